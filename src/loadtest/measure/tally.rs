//! What a buyer heard, sorted into what it means. Refusals are no failures, and what never left cannot be lost.

use serde::Serialize;

use crate::loadtest::buyer::{Answer, Paid, Silence};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Declined,
    OutOfStock,
    /// Another amount than the order's; only those who tamper with it should hear that.
    WrongAmount,
    /// Not known yet: the server goes on.
    Pending,
    /// Load was shed before anything was written.
    Refused,
    /// Never reached the server.
    Unsent,
    /// Sent, and no answer came.
    Lost,
    /// An answer that no scenario of ours asks for.
    Unexpected,
}

impl Outcome {
    pub fn of(heard: &Result<Answer, Silence>) -> Outcome {
        let answer = match heard {
            Ok(answer) => answer,
            Err(Silence::Unsent(_)) => return Outcome::Unsent,
            Err(Silence::Lost(_)) => return Outcome::Lost,
        };
        if answer.status == 200 {
            let paid = answer.data::<Paid<'_>>();
            return match paid {
                Ok(paid) if paid.status == "DONE" => Outcome::Done,
                Ok(_) | Err(_) => Outcome::Unexpected,
            };
        }
        match (answer.status, answer.refusal().code.as_str()) {
            (402, "E03010") => Outcome::Declined,
            (409, "E03013") => Outcome::OutOfStock,
            (400, "E03002") => Outcome::WrongAmount,
            (503, "E03009") => Outcome::Pending,
            (503, "E99004") => Outcome::Refused,
            _ => Outcome::Unexpected,
        }
    }

    /// Worth a word in the report.
    pub const fn is_odd(self) -> bool {
        match self {
            Outcome::Refused | Outcome::Unsent | Outcome::Lost | Outcome::Unexpected => true,
            Outcome::Done
            | Outcome::Declined
            | Outcome::OutOfStock
            | Outcome::WrongAmount
            | Outcome::Pending => false,
        }
    }

    /// Toss's answer is known, and will not change.
    pub const fn is_settled(self) -> bool {
        match self {
            Outcome::Done | Outcome::Declined => true,
            Outcome::OutOfStock
            | Outcome::WrongAmount
            | Outcome::Pending
            | Outcome::Refused
            | Outcome::Unsent
            | Outcome::Lost
            | Outcome::Unexpected => false,
        }
    }

    /// The order may be anywhere: ask again before judging it.
    pub const fn is_open(self) -> bool {
        match self {
            Outcome::Pending | Outcome::Lost | Outcome::Unexpected => true,
            Outcome::Done
            | Outcome::Declined
            | Outcome::OutOfStock
            | Outcome::WrongAmount
            | Outcome::Refused
            | Outcome::Unsent => false,
        }
    }
}

/// How an outcome is told to a person.
impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Outcome::Done => "done",
            Outcome::Declined => "declined",
            Outcome::OutOfStock => "out of stock",
            Outcome::WrongAmount => "wrong amount",
            Outcome::Pending => "pending",
            Outcome::Refused => "refused",
            Outcome::Unsent => "unsent",
            Outcome::Lost => "lost",
            Outcome::Unexpected => "unexpected",
        })
    }
}

/// First answers, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub done: u64,
    pub declined: u64,
    pub out_of_stock: u64,
    pub wrong_amount: u64,
    pub pending: u64,
    pub refused: u64,
    pub unsent: u64,
    pub lost: u64,
    pub unexpected: u64,
}

impl Tally {
    pub fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Done => &mut self.done,
            Outcome::Declined => &mut self.declined,
            Outcome::OutOfStock => &mut self.out_of_stock,
            Outcome::WrongAmount => &mut self.wrong_amount,
            Outcome::Pending => &mut self.pending,
            Outcome::Refused => &mut self.refused,
            Outcome::Unsent => &mut self.unsent,
            Outcome::Lost => &mut self.lost,
            Outcome::Unexpected => &mut self.unexpected,
        } += 1;
    }
}

/// The first few answers that need an explanation, in words.
#[derive(Debug, Default)]
pub struct Oddities(Vec<String>);

/// An answer, or the silence, as one short line.
pub fn in_words(heard: &Result<Answer, Silence>) -> String {
    match heard {
        Ok(answer) => answer.summary(),
        Err(silence) => silence.to_string(),
    }
}

impl Oddities {
    pub const MOST: usize = 5;

    pub fn keep_text(&mut self, text: String) {
        if self.0.len() < Oddities::MOST && !self.0.contains(&text) {
            self.0.push(text);
        }
    }

    pub fn into_vec(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(status: u16, body: &str) -> Result<Answer, Silence> {
        Ok(Answer {
            status,
            headers: reqwest::header::HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        })
    }

    fn refused(status: u16, code: &str) -> Result<Answer, Silence> {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}},"code":"{code}"}}"#);
        heard(status, &body)
    }

    #[test]
    fn each_answer_is_counted_as_what_it_means() {
        let done = r#"{"data":{"orderId":"o","amount":1,"status":"DONE"}}"#;
        let odd = r#"{"data":{"orderId":"o","status":"IN_PROGRESS"}}"#;
        let cases = [
            (heard(200, done), Outcome::Done),
            (heard(200, odd), Outcome::Unexpected),
            (heard(200, "<html>"), Outcome::Unexpected),
            (heard(202, done), Outcome::Unexpected),
            (refused(402, "E03010"), Outcome::Declined),
            (refused(409, "E03013"), Outcome::OutOfStock),
            (refused(400, "E03002"), Outcome::WrongAmount),
            (refused(409, "E03002"), Outcome::Unexpected),
            (refused(409, "E03005"), Outcome::Unexpected),
            (refused(503, "E03009"), Outcome::Pending),
            (refused(503, "E99004"), Outcome::Refused),
            (heard(503, ""), Outcome::Unexpected),
            (refused(500, "E99999"), Outcome::Unexpected),
            (Err(Silence::Unsent("refused".into())), Outcome::Unsent),
            (Err(Silence::Lost("reset".into())), Outcome::Lost),
        ];
        for (heard, outcome) in cases {
            assert_eq!(Outcome::of(&heard), outcome, "{heard:?}");
        }
    }

    #[test]
    fn unsent_refused_and_lost_are_counted_apart() {
        let mut tally = Tally::default();
        for outcome in [
            Outcome::Unsent,
            Outcome::Refused,
            Outcome::Refused,
            Outcome::Lost,
        ] {
            tally.count(outcome);
        }
        let wanted = Tally {
            unsent: 1,
            refused: 2,
            lost: 1,
            ..Tally::default()
        };
        assert_eq!(tally, wanted);
    }

    #[test]
    fn oddities_are_few_and_different() {
        let mut odd = Oddities::default();
        for at in 0..20 {
            odd.keep_text(format!("answer {}", at / 2));
        }
        assert_eq!(odd.into_vec().len(), Oddities::MOST);
    }
}
