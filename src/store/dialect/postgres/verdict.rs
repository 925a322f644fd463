//! What PostgreSQL's error codes mean.

use sea_orm::sqlx::postgres::PgDatabaseError;

use crate::store::dialect::Verdict;

pub fn verdict(answer: &PgDatabaseError) -> Verdict {
    verdict_of(answer.code())
}

/// By SQLSTATE.
fn verdict_of(code: &str) -> Verdict {
    /// Serialization failure and deadlock.
    const COLLISIONS: [&str; 2] = ["40001", "40P01"];
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const UNIQUE_VIOLATION: &str = "23505";
    /// What is wrong with the data, a constraint, or the statement's own words.
    const REFUSALS: [&str; 4] = ["21", "22", "23", "42"];
    if COLLISIONS.contains(&code) {
        Verdict::Collided
    } else if code == LOCK_NOT_AVAILABLE {
        Verdict::Blocked
    } else if code == UNIQUE_VIOLATION {
        Verdict::Taken
    } else if REFUSALS.iter().any(|class| code.starts_with(class)) {
        Verdict::Refused
    } else {
        Verdict::Unwell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_says_whether_to_try_again_and_who_is_at_fault() {
        for (code, verdict) in [
            ("40001", Verdict::Collided),
            ("40P01", Verdict::Collided),
            ("55P03", Verdict::Blocked),
            ("23505", Verdict::Taken),
            ("23503", Verdict::Refused),
            ("23514", Verdict::Refused),
            ("22003", Verdict::Refused),
            ("42703", Verdict::Refused),
            ("40003", Verdict::Unwell),
            ("53300", Verdict::Unwell),
            ("57P01", Verdict::Unwell),
            ("XX000", Verdict::Unwell),
        ] {
            assert_eq!(verdict_of(code), verdict, "{code}");
        }
    }
}
