//! What the error codes of MySQL and MariaDB say about a statement.

use sea_orm::sqlx::mysql::MySqlDatabaseError;

use crate::store::dialect::{ErrorClass, is_constraint};

pub(in crate::store::dialect) fn error_class(answer: &MySqlDatabaseError) -> ErrorClass {
    class_of(answer.number(), answer.code(), is_constraint(answer))
}

fn class_of(number: u16, state: Option<&str>, is_constraint: bool) -> ErrorClass {
    /// A row that was changed since it was read, and a deadlock.
    const COLLISIONS: [u16; 2] = [1020, 1213];
    const LOCK_WAIT_TIMEOUT: u16 = 1205;
    const DUPLICATE: u16 = 1062;
    /// What is wrong with the data, a constraint, or the statement's own words.
    const STATES: [&str; 4] = ["21", "22", "23", "42"];
    /// The same, where the state does not tell: a packet that is too large, truncation, no value, a wrong value, collations
    /// that cannot be compared, MySQL's CHECK.
    const REFUSALS: [u16; 6] = [1153, 1265, 1267, 1364, 1366, 3819];
    // JSON that is none: MariaDB's, MySQL's, and what JSON_TABLE says of a value that does not fit.
    let json = [3140..=3158, 3665..=3673, 4037..=4044, 4174..=4178];
    let stated = |class: &str| state.is_some_and(|state| state.starts_with(class));
    if COLLISIONS.contains(&number) {
        ErrorClass::Collided
    } else if number == LOCK_WAIT_TIMEOUT {
        ErrorClass::Blocked
    } else if number == DUPLICATE {
        ErrorClass::Taken
    } else if is_constraint
        || REFUSALS.contains(&number)
        || json.iter().any(|numbers| numbers.contains(&number))
        || STATES.iter().any(|class| stated(class))
    {
        ErrorClass::Refused
    } else {
        ErrorClass::Unwell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_pass_is_told_from_what_can_never_be_written() {
        let of = |number, state| class_of(number, Some(state), false);
        for (number, state) in [(1213, "40001"), (1020, "HY000")] {
            assert_eq!(of(number, state), ErrorClass::Collided, "{number}");
        }
        assert_eq!(of(1205, "HY000"), ErrorClass::Blocked);
        assert_eq!(of(1062, "23000"), ErrorClass::Taken);
        for (number, state) in [
            (1048, "23000"),
            (1064, "42000"),
            (1146, "42S02"),
            (1153, "08S01"),
            (1264, "22003"),
            (1366, "HY000"),
            (1406, "22001"),
            (1452, "23000"),
            (1690, "22003"),
            (3140, "22032"),
            (3819, "HY000"),
            (4025, "23000"),
            (4037, "HY000"),
        ] {
            assert_eq!(of(number, state), ErrorClass::Refused, "{number}");
        }
        // Too many connections, a full disk, a killed statement, a server that goes down, a replica, a killed connection.
        for (number, state) in [
            (1040, "08004"),
            (1021, "HY000"),
            (1317, "70100"),
            (1053, "08S01"),
            (1290, "HY000"),
            (1927, "70100"),
        ] {
            assert_eq!(of(number, state), ErrorClass::Unwell, "{number}");
        }
    }
}
