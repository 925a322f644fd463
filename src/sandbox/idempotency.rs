//! Idempotency keys: the first answer is remembered for 15 days and given again, errors included; while the first
//! request still runs, its key is busy.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::clock::Instant;
use super::codes::Code;
use super::ids::{Hex, Id, Language};

pub const LONGEST_KEY_CHARS: usize = 300;
const KEPT_S: i64 = 15 * 24 * 60 * 60;

/// An answer in its shortest form. It is written out again from the payment, byte for byte the same: what it shows of the
/// payment (the approval, the first `cancels` refunds) never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    #[serde(rename_all = "camelCase")]
    Paid {
        payment_key: Id,
        cancels: u32,
        language: Language,
    },
    Refused {
        code: Code,
        language: Language,
    },
}

/// The first answer to a key. The key itself, which the caller chose, is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub at: Instant,
    pub trace: Hex,
    pub answer: Answer,
}

/// Key + API key + HTTP method + URL. The body is not part of it: Toss replays the first answer to any body.
pub fn identity(key: &[u8], secret_key: &str, method: &str, path: &str) -> Hex {
    let mut hash = Sha256::new();
    for part in [
        key,
        secret_key.as_bytes(),
        method.as_bytes(),
        path.as_bytes(),
    ] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize()[..16]);
    Hex(u128::from_be_bytes(half))
}

#[derive(Debug)]
enum Slot {
    /// The request waits, unprocessed.
    Waiting(Hold),
    /// Processed, but its answer is held back: for the outside it still runs.
    HeldBack(Hold, Answered),
    Answered(Answered),
}

/// A claim on a busy key. It can only end its own claim, never that of a request after a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    identity: Hex,
    serial: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Never,
    Busy,
    Before(Answered),
}

#[derive(Debug, Default)]
pub struct Answers {
    slots: HashMap<Hex, Slot>,
    last_serial: u64,
}

impl Answers {
    pub fn look(&self, identity: Hex, now: Instant) -> Seen {
        match self.slots.get(&identity) {
            None => Seen::Never,
            Some(Slot::Waiting(_) | Slot::HeldBack(..)) => Seen::Busy,
            Some(Slot::Answered(first)) if now > first.at.plus_s(KEPT_S) => Seen::Never,
            Some(Slot::Answered(first)) => Seen::Before(first.clone()),
        }
    }

    /// Makes the key busy until [`Self::release`] or its answer.
    pub fn hold(&mut self, identity: Hex) -> Hold {
        self.last_serial += 1;
        let hold = Hold {
            identity,
            serial: self.last_serial,
        };
        let slot = match self.slots.remove(&identity) {
            Some(Slot::Answered(first)) => Slot::HeldBack(hold, first),
            Some(Slot::Waiting(_) | Slot::HeldBack(..)) | None => Slot::Waiting(hold),
        };
        self.slots.insert(identity, slot);
        hold
    }

    pub fn answer(&mut self, identity: Hex, first: Answered) {
        self.slots.insert(identity, Slot::Answered(first));
    }

    /// The request is over. If it was never answered, its key is as good as new.
    pub fn release(&mut self, hold: Hold) {
        match self.slots.remove(&hold.identity) {
            Some(Slot::HeldBack(held, first)) if held == hold => {
                self.slots.insert(hold.identity, Slot::Answered(first));
            }
            Some(Slot::Waiting(held)) if held == hold => {}
            Some(other) => {
                self.slots.insert(hold.identity, other);
            }
            None => {}
        }
    }

    pub fn clear(&mut self) {
        self.slots.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(at: Instant) -> Answered {
        let answer = Answer::Refused {
            code: Code::INVALID_REQUEST,
            language: Language::Korean,
        };
        Answered {
            at,
            trace: Hex(7),
            answer,
        }
    }

    #[test]
    fn a_key_is_another_key_for_another_caller_method_or_url() {
        let base = identity(b"k", "test_sk_a", "POST", "/v1/payments/confirm");
        assert_eq!(
            base,
            identity(b"k", "test_sk_a", "POST", "/v1/payments/confirm")
        );
        for other in [
            identity(b"kt", "est_sk_a", "POST", "/v1/payments/confirm"),
            identity(b"k", "test_sk_b", "POST", "/v1/payments/confirm"),
            identity(b"k", "test_sk_a", "PUT", "/v1/payments/confirm"),
            identity(b"k", "test_sk_a", "POST", "/v1/payments/x/cancel"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn an_answer_is_kept_for_fifteen_days() {
        let mut answers = Answers::default();
        let at = Instant(1_000);
        answers.answer(Hex(1), refused(at));
        assert_eq!(
            answers.look(Hex(1), at.plus_s(KEPT_S)),
            Seen::Before(refused(at))
        );
        assert_eq!(answers.look(Hex(1), at.plus_s(KEPT_S + 1)), Seen::Never);
        assert_eq!(answers.look(Hex(2), at), Seen::Never);
    }

    #[test]
    fn a_key_is_busy_while_its_request_runs_and_free_again_if_nothing_was_answered() {
        let mut answers = Answers::default();
        let now = Instant(0);
        let hold = answers.hold(Hex(1));
        assert_eq!(answers.look(Hex(1), now), Seen::Busy);
        answers.release(hold);
        assert_eq!(answers.look(Hex(1), now), Seen::Never);

        answers.answer(Hex(1), refused(now));
        let hold = answers.hold(Hex(1));
        assert_eq!(
            answers.look(Hex(1), now),
            Seen::Busy,
            "processed, but held back"
        );
        answers.release(hold);
        assert_eq!(answers.look(Hex(1), now), Seen::Before(refused(now)));
    }

    #[test]
    fn a_request_from_before_a_reset_cannot_free_the_key_of_one_after_it() {
        let mut answers = Answers::default();
        let old = answers.hold(Hex(1));
        answers.clear();
        let new = answers.hold(Hex(1));
        answers.release(old);
        assert_eq!(answers.look(Hex(1), Instant(0)), Seen::Busy);
        answers.release(new);
        assert_eq!(answers.look(Hex(1), Instant(0)), Seen::Never);
    }
}
