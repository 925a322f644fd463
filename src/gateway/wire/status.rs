//! The one word of an answer that says whether the money is taken.

use serde::{Deserialize, Serialize};

/// How a payment stands at Toss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", try_from = "String")]
pub enum PaymentStatus {
    Ready,
    InProgress,
    WaitingForDeposit,
    Done,
    Canceled,
    PartialCanceled,
    Aborted,
    Expired,
}

impl PaymentStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::InProgress => "IN_PROGRESS",
            Self::WaitingForDeposit => "WAITING_FOR_DEPOSIT",
            Self::Done => "DONE",
            Self::Canceled => "CANCELED",
            Self::PartialCanceled => "PARTIAL_CANCELED",
            Self::Aborted => "ABORTED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// By its word alone: the derived reader would take the object `{"DONE": null}` for DONE as well.
impl TryFrom<String> for PaymentStatus {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let all = [
            Self::Ready,
            Self::InProgress,
            Self::WaitingForDeposit,
            Self::Done,
            Self::Canceled,
            Self::PartialCanceled,
            Self::Aborted,
            Self::Expired,
        ];
        let known = all.into_iter().find(|status| status.as_str() == word);
        known.ok_or_else(|| "no status of a payment".to_owned())
    }
}

impl std::fmt::Display for PaymentStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
