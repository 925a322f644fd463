//! What the checker says: where, which rule, and what broke it.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    pub line: usize,
    pub rule: &'static str,
    pub what: String,
}

impl Finding {
    pub fn new(file: &str, line: usize, rule: &'static str, what: impl Into<String>) -> Finding {
        Finding {
            file: file.to_owned(),
            line,
            rule,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            file,
            line,
            rule,
            what,
        } = self;
        write!(f, "{file}:{line}: {rule}: {what}")
    }
}
