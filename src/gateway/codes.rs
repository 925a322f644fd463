//! What each of Toss's error codes says about the money: the one closed table, and the reading of an error answer by it.

use super::wire::ErrorBody;
use crate::domain::{Decline, Outcome};

/// What a code proves. `Unknown` is the honest answer wherever a doubt is left: a look-up decides then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The money is not taken and this paymentKey is at its end.
    Declined,
    /// Not processed; the same paymentKey may be tried again later.
    Temporary,
    /// Another call for the same payment, or with the same idempotency key, is still running.
    InProgress,
    /// Decides nothing.
    Unknown,
    /// Toss does not accept our key at all: no order is failed for it, and somebody must be told.
    Misconfigured,
}

use Meaning::{Declined, InProgress, Misconfigured, Temporary, Unknown};

/// This answer to an idempotency key is not stored under it: the key is still free.
pub const IDEMPOTENT_REQUEST_PROCESSING: &str = "IDEMPOTENT_REQUEST_PROCESSING";

/// Sorted by code. A code that is not here decides nothing.
const TABLE: &[(&str, Meaning)] = &[
    ("ALREADY_PROCESSED_PAYMENT", Unknown), // usually approved already
    ("ALREADY_PROCESSING_REQUEST", InProgress),
    ("API_VERSION_UPDATE_NEEDED", Unknown), // our mistake, not the buyer's
    ("BELOW_MINIMUM_AMOUNT", Declined),
    ("CARD_PROCESSING_ERROR", Unknown),
    ("COMMON_ERROR", Unknown),
    ("EXCEED_MAX_AMOUNT", Declined),
    ("EXCEED_MAX_AUTH_COUNT", Declined),
    ("EXCEED_MAX_CARD_INSTALLMENT_PLAN", Declined),
    ("EXCEED_MAX_DAILY_PAYMENT_COUNT", Declined),
    ("EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT", Declined),
    ("EXCEED_MAX_ONE_DAY_AMOUNT", Declined),
    ("EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT", Declined),
    ("EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT", Declined),
    ("EXCEED_MAX_PAYMENT_AMOUNT", Declined),
    ("FAILED_DB_PROCESSING", Unknown),
    ("FAILED_INTERNAL_SYSTEM_PROCESSING", Unknown),
    ("FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", Unknown),
    ("FDS_ERROR", Declined),
    ("FORBIDDEN_CONSECUTIVE_REQUEST", Temporary),
    // "The key, orderId or paymentKey differs from the original request": a mix-up of ours as easily as a refusal.
    ("FORBIDDEN_REQUEST", Unknown),
    (IDEMPOTENT_REQUEST_PROCESSING, InProgress),
    ("INCORRECT_BASIC_AUTH_FORMAT", Misconfigured),
    ("INVALID_ACCOUNT_INFO_RE_REGISTER", Declined),
    ("INVALID_API_KEY", Misconfigured),
    ("INVALID_AUTHORIZE_AUTH", Declined),
    ("INVALID_CARD_EXPIRATION", Declined),
    ("INVALID_CARD_INSTALLMENT_PLAN", Declined),
    ("INVALID_CARD_LOST_OR_STOLEN", Declined),
    ("INVALID_CARD_NUMBER", Declined),
    ("INVALID_IDEMPOTENCY_KEY", Unknown),
    ("INVALID_PASSWORD", Declined),
    ("INVALID_REJECT_CARD", Declined),
    // Either the request is broken, by us, or the payment is refused: Toss does not say which, so it proves nothing.
    ("INVALID_REQUEST", Unknown),
    ("INVALID_STOPPED_CARD", Declined),
    ("INVALID_TEST_CODE", Unknown),
    ("INVALID_UNREGISTERED_SUBMALL", Unknown), // our contract, not the buyer's card
    ("NOT_ALLOWED_POINT_USE", Declined),
    ("NOT_AVAILABLE_BANK", Temporary),
    ("NOT_AVAILABLE_PAYMENT", Temporary),
    ("NOT_FOUND", Unknown),
    ("NOT_FOUND_HTTP_METHOD", Unknown),
    // On a confirm both only say that there is nothing to confirm *now*: an earlier call may have been approved.
    ("NOT_FOUND_PAYMENT", Unknown),
    ("NOT_FOUND_PAYMENT_SESSION", Unknown),
    ("NOT_FOUND_TERMINAL_ID", Unknown), // our contract, not the buyer's card
    ("NOT_REGISTERED_BUSINESS", Unknown), // our contract, not the buyer's card
    ("NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT", Declined),
    ("NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN", Declined),
    // Listed for look-ups only, where it cannot be about money.
    (
        "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN_BELOW_AMOUNT",
        Unknown,
    ),
    ("PROVIDER_ERROR", Temporary),
    ("REJECT_ACCOUNT_PAYMENT", Declined),
    ("REJECT_CARD_COMPANY", Declined),
    ("REJECT_CARD_PAYMENT", Declined),
    ("REJECT_TOSSPAY_INVALID_ACCOUNT", Declined),
    ("RESTRICTED_TRANSFER_ACCOUNT", Declined),
    ("UNAPPROVED_ORDER_ID", Unknown),
    ("UNAUTHORIZED_KEY", Misconfigured),
    ("UNKNOWN_PAYMENT_ERROR", Unknown),
];

/// What `code` means below HTTP 500; `None` for a code that Toss never published for these calls.
pub fn meaning(code: &str) -> Option<Meaning> {
    let row = TABLE
        .binary_search_by_key(&code, |(listed, _)| *listed)
        .ok()?;
    Some(TABLE[row].1)
}

/// Toss's codes are upper-case words. Whatever else calls itself a code was not written by Toss, and might be anything.
pub(super) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// What an error answer to a confirm means. The code decides, not the HTTP status: PROVIDER_ERROR is a 400 and temporary.
/// Only a 5xx outweighs its code, since Toss itself may not know what it has done; and a 2xx that bears
/// an error contradicts itself.
pub(super) fn outcome(status: u16, error: ErrorBody) -> Outcome {
    let why = || format!("{} (HTTP {status})", error.code).into_boxed_str();
    if !(300..500).contains(&status) {
        return Outcome::Unknown(why());
    }
    match meaning(&error.code) {
        Some(Declined) => Outcome::Declined(decline(error)),
        Some(Temporary) => Outcome::Temporary(why()),
        Some(InProgress) => Outcome::InProgress(why()),
        Some(Unknown | Misconfigured) | None => Outcome::Unknown(why()),
    }
}

/// Whether Toss says that our key or our way to present it is wrong.
pub(super) fn is_misconfigured(code: &str) -> bool {
    meaning(code) == Some(Misconfigured)
}

/// Toss promises at most 510 characters; they go to the buyer and into our record.
const MESSAGE_CHARS: usize = 510;

/// A refusal in Toss's words, made fit to keep: a code that is one, a message of bounded length without control characters.
pub(super) fn decline(error: ErrorBody) -> Decline {
    let code = match is_code(&error.code) {
        true => error.code.into_boxed_str(),
        false => "UNREADABLE_CODE".into(),
    };
    let printable = error.message.chars().filter(|c| !c.is_control());
    let message: String = printable.take(MESSAGE_CHARS).collect();
    Decline::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str) -> Outcome {
        let body = ErrorBody {
            code: code.to_owned(),
            message: "안내".to_owned(),
        };
        outcome(status, body)
    }

    fn declined(code: &str) -> Outcome {
        Outcome::Declined(Decline::new(code, "안내"))
    }

    fn why(status: u16, code: &str) -> Box<str> {
        format!("{code} (HTTP {status})").into()
    }

    #[test]
    fn the_table_is_sorted_and_names_no_code_twice() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        assert!(TABLE.iter().all(|(code, _)| is_code(code)));
    }

    /// Toss's published table of confirm, row by row: HTTP status and code of what declines ...
    const DECLINES: [(u16, &str); 28] = [
        (400, "EXCEED_MAX_CARD_INSTALLMENT_PLAN"),
        (400, "NOT_ALLOWED_POINT_USE"),
        (400, "INVALID_REJECT_CARD"),
        (400, "BELOW_MINIMUM_AMOUNT"),
        (400, "INVALID_CARD_EXPIRATION"),
        (400, "INVALID_STOPPED_CARD"),
        (400, "EXCEED_MAX_DAILY_PAYMENT_COUNT"),
        (400, "NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT"),
        (400, "INVALID_CARD_INSTALLMENT_PLAN"),
        (400, "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN"),
        (400, "EXCEED_MAX_PAYMENT_AMOUNT"),
        (400, "INVALID_AUTHORIZE_AUTH"),
        (400, "INVALID_CARD_LOST_OR_STOLEN"),
        (400, "RESTRICTED_TRANSFER_ACCOUNT"),
        (400, "INVALID_CARD_NUMBER"),
        (400, "EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT"),
        (400, "EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT"),
        (400, "EXCEED_MAX_AMOUNT"),
        (400, "INVALID_ACCOUNT_INFO_RE_REGISTER"),
        (400, "EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT"),
        (403, "REJECT_ACCOUNT_PAYMENT"),
        (403, "REJECT_CARD_PAYMENT"),
        (403, "REJECT_CARD_COMPANY"),
        (403, "REJECT_TOSSPAY_INVALID_ACCOUNT"),
        (403, "EXCEED_MAX_AUTH_COUNT"),
        (403, "EXCEED_MAX_ONE_DAY_AMOUNT"),
        (403, "INVALID_PASSWORD"),
        (403, "FDS_ERROR"),
    ];

    /// ... and of what decides nothing, with COMMON_ERROR, which was measured.
    const UNDECIDED: [(u16, &str, Meaning); 23] = [
        (400, "ALREADY_PROCESSED_PAYMENT", Unknown),
        (400, "ALREADY_PROCESSING_REQUEST", InProgress),
        (400, "PROVIDER_ERROR", Temporary),
        (400, "CARD_PROCESSING_ERROR", Unknown),
        (400, "UNAPPROVED_ORDER_ID", Unknown),
        (400, "NOT_AVAILABLE_PAYMENT", Temporary),
        (400, "INVALID_REQUEST", Unknown),
        (400, "INVALID_API_KEY", Misconfigured),
        (400, "NOT_FOUND_TERMINAL_ID", Unknown),
        (400, "INVALID_UNREGISTERED_SUBMALL", Unknown),
        (400, "NOT_REGISTERED_BUSINESS", Unknown),
        (400, "INVALID_IDEMPOTENCY_KEY", Unknown),
        (401, "UNAUTHORIZED_KEY", Misconfigured),
        (403, "INCORRECT_BASIC_AUTH_FORMAT", Misconfigured),
        (403, "FORBIDDEN_REQUEST", Unknown),
        (403, "NOT_AVAILABLE_BANK", Temporary),
        (404, "NOT_FOUND_PAYMENT", Unknown),
        (404, "NOT_FOUND_PAYMENT_SESSION", Unknown),
        (409, "IDEMPOTENT_REQUEST_PROCESSING", InProgress),
        (500, "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", Unknown),
        (500, "FAILED_INTERNAL_SYSTEM_PROCESSING", Unknown),
        (500, "UNKNOWN_PAYMENT_ERROR", Unknown),
        (500, "COMMON_ERROR", Unknown),
    ];

    #[test]
    fn every_published_decline_is_a_decline_and_nothing_else_is() {
        for (status, code) in DECLINES {
            assert_eq!(said(status, code), declined(code));
        }
        let listed = TABLE.iter().filter(|(_, meant)| *meant == Declined);
        assert_eq!(listed.count(), DECLINES.len());
    }

    #[test]
    fn every_other_published_code_of_confirm_comes_to_its_outcome() {
        for (status, code, meant) in UNDECIDED {
            let expected = match meant {
                Declined => unreachable!("listed above"),
                Temporary => Outcome::Temporary(why(status, code)),
                InProgress => Outcome::InProgress(why(status, code)),
                Unknown | Misconfigured => Outcome::Unknown(why(status, code)),
            };
            assert_eq!(said(status, code), expected);
            assert_eq!(meaning(code), Some(meant), "{code} is listed");
            assert_eq!(is_misconfigured(code), meant == Misconfigured, "{code}");
        }
    }

    #[test]
    fn codes_of_look_ups_and_of_transport_never_decline_a_confirm() {
        for (status, code) in [
            (400, "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN_BELOW_AMOUNT"),
            (404, "NOT_FOUND"),
            (404, "NOT_FOUND_HTTP_METHOD"),
            (400, "API_VERSION_UPDATE_NEEDED"),
            (400, "INVALID_TEST_CODE"),
            (500, "FAILED_DB_PROCESSING"),
        ] {
            assert_eq!(said(status, code), Outcome::Unknown(why(status, code)));
            assert!(meaning(code).is_some(), "{code} is listed");
        }
        let busy = "FORBIDDEN_CONSECUTIVE_REQUEST";
        assert_eq!(said(403, busy), Outcome::Temporary(why(403, busy)));
    }

    #[test]
    fn a_5xx_is_unknown_whatever_its_code() {
        for code in ["REJECT_CARD_PAYMENT", "PROVIDER_ERROR", "NOT_FOUND_PAYMENT"] {
            for status in [500, 502, 503, 599] {
                assert_eq!(said(status, code), Outcome::Unknown(why(status, code)));
            }
        }
    }

    #[test]
    fn below_500_the_code_decides_and_not_the_status() {
        for status in [302, 400, 401, 403, 404, 409, 418, 499] {
            assert_eq!(
                said(status, "REJECT_CARD_PAYMENT"),
                declined("REJECT_CARD_PAYMENT")
            );
            let busy = "PROVIDER_ERROR";
            assert_eq!(said(status, busy), Outcome::Temporary(why(status, busy)));
            let odd = "A_CODE_OF_NEXT_YEAR";
            assert_eq!(said(status, odd), Outcome::Unknown(why(status, odd)));
        }
    }

    #[test]
    fn a_success_that_bears_an_error_contradicts_itself() {
        let code = "REJECT_CARD_PAYMENT";
        assert_eq!(said(200, code), Outcome::Unknown(why(200, code)));
    }

    #[test]
    fn a_decline_is_made_fit_to_keep() {
        let body = |code: &str, message: String| ErrorBody {
            code: code.to_owned(),
            message,
        };
        let long = decline(body("FDS_ERROR", "가".repeat(2_000)));
        assert_eq!(long.message.chars().count(), MESSAGE_CHARS);
        let odd = decline(body("<b>no</b>", "a\u{0}b\nc".to_owned()));
        assert_eq!((&*odd.code, &*odd.message), ("UNREADABLE_CODE", "abc"));
    }
}
