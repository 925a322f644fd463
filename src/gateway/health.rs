//! What one call tells about the line to Toss, apart from what it says about a payment.

use super::reading::Heard;

/// What was said, and what it tells about the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    pub said: T,
    pub health: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// Toss answered in its own words, below 500: a decline and a "not found" are healthy answers.
    Well,
    /// No connection, no answer in time, a broken one, or a 5xx.
    Faulty,
    /// Toss refuses our secret key, or how we present it: every further call is in vain until a human acts.
    KeyRefused,
    /// Tells nothing: the request was never sent, or a gate in front of Toss turned it away (429, a page of HTML).
    Mute,
}

impl Health {
    pub(super) fn of<T>(status: u16, heard: &Heard<T>) -> Health {
        if heard.is_misconfigured() {
            return Health::KeyRefused;
        }
        match (status, heard.recognised) {
            (500.., _) => Health::Faulty,
            (_, true) => Health::Well,
            (400..=499, false) => Health::Mute,
            (_, false) => Health::Faulty,
        }
    }
}
