//! What PostgreSQL's error codes mean.

use sea_orm::sqlx::postgres::PgDatabaseError;

use crate::store::dialect::ErrorClass;

pub fn error_class(answer: &PgDatabaseError) -> ErrorClass {
    class_of(answer.code())
}

/// By SQLSTATE.
fn class_of(code: &str) -> ErrorClass {
    /// Serialization failure and deadlock.
    const COLLISIONS: [&str; 2] = ["40001", "40P01"];
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const UNIQUE_VIOLATION: &str = "23505";
    /// What is wrong with the data, a constraint, or the statement's own words.
    const REFUSALS: [&str; 4] = ["21", "22", "23", "42"];
    if COLLISIONS.contains(&code) {
        ErrorClass::Collided
    } else if code == LOCK_NOT_AVAILABLE {
        ErrorClass::Blocked
    } else if code == UNIQUE_VIOLATION {
        ErrorClass::Taken
    } else if REFUSALS.iter().any(|class| code.starts_with(class)) {
        ErrorClass::Refused
    } else {
        ErrorClass::Unwell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_whether_to_try_again_and_who_is_at_fault() {
        for (code, class) in [
            ("40001", ErrorClass::Collided),
            ("40P01", ErrorClass::Collided),
            ("55P03", ErrorClass::Blocked),
            ("23505", ErrorClass::Taken),
            ("23503", ErrorClass::Refused),
            ("23514", ErrorClass::Refused),
            ("22003", ErrorClass::Refused),
            ("42703", ErrorClass::Refused),
            ("40003", ErrorClass::Unwell),
            ("53300", ErrorClass::Unwell),
            ("57P01", ErrorClass::Unwell),
            ("XX000", ErrorClass::Unwell),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }
}
