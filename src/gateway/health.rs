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

#[cfg(test)]
mod tests {
    use super::super::reading;
    use super::*;

    /// Our wrong key is told apart; whatever else Toss itself says below 500 is a healthy answer.
    #[test]
    fn only_what_toss_does_not_say_itself_or_cannot_answer_is_a_fault() {
        let html = "<html>".to_owned();
        let said = |code: &str| format!(r#"{{"code":"{code}","message":"m"}}"#);
        for (status, body, health) in [
            (403, said("REJECT_CARD_PAYMENT"), Health::Well),
            (404, said("NOT_FOUND_PAYMENT"), Health::Well),
            (409, said("IDEMPOTENT_REQUEST_PROCESSING"), Health::Well),
            (401, said("A_CODE_OF_NEXT_YEAR"), Health::Well),
            (401, said("UNAUTHORIZED_KEY"), Health::KeyRefused),
            (401, said("INVALID_API_KEY"), Health::KeyRefused),
            (403, said("INCORRECT_BASIC_AUTH_FORMAT"), Health::KeyRefused),
            (500, said("REJECT_CARD_PAYMENT"), Health::Faulty),
            (502, html.clone(), Health::Faulty),
            (200, html.clone(), Health::Faulty),
            (302, String::new(), Health::Faulty),
            (429, said("NOT_FOUND"), Health::Mute),
            (403, html, Health::Mute),
        ] {
            let confirm = reading::confirm(status, body.as_bytes());
            assert_eq!(Health::of(status, &confirm), health, "{status} {body}");
            let look_up = reading::look_up(status, body.as_bytes());
            assert_eq!(Health::of(status, &look_up), health, "{status} {body}");
        }
    }
}
