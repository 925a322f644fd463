//! What the log hears of a call: one event each, quiet for what is ordinary, loud for what is odd, never a secret.

use std::time::Instant;

use tracing::{debug, warn};

use super::reading::Heard;
use crate::domain::{Finding, OrderId, Outcome, PaymentKey, Reply};

/// The facts of one call. A paymentKey is shown by its `Display`, which masks it.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    op: &'static str,
    begun: Instant,
    order: Option<OrderId>,
    payment_key: Option<&'a PaymentKey>,
    http_status: Option<u16>,
    toss_trace: Option<&'a str>,
    cause: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub fn new(op: &'static str, begun: Instant) -> Call<'a> {
        Call {
            op,
            begun,
            order: None,
            payment_key: None,
            http_status: None,
            toss_trace: None,
            cause: None,
        }
    }

    pub fn of_order(mut self, order: OrderId) -> Call<'a> {
        self.order = Some(order);
        self
    }

    pub fn with_key(mut self, key: &'a PaymentKey) -> Call<'a> {
        self.payment_key = Some(key);
        self
    }

    pub fn answered(mut self, http_status: u16, toss_trace: Option<&'a str>) -> Call<'a> {
        self.http_status = Some(http_status);
        self.toss_trace = toss_trace;
        self
    }

    pub fn lost(mut self, cause: Option<&'a str>) -> Call<'a> {
        self.cause = cause;
        self
    }
}

/// What was said, for a log: a word, the reason if there is one, and whether anybody should look.
pub(super) trait Telling {
    fn word(&self) -> (&'static str, Option<&str>, bool);
}

impl Telling for Reply {
    fn word(&self) -> (&'static str, Option<&str>, bool) {
        match &self.outcome {
            Outcome::Approved(_) => ("approved", None, false),
            Outcome::Declined(_) => ("declined", None, false),
            Outcome::NotAttempted(why) => ("not attempted", Some(why), true),
            Outcome::InProgress(why) => ("in progress", Some(why), true),
            Outcome::Temporary(why) => ("temporary", Some(why), true),
            Outcome::Unknown(why) => ("unknown", Some(why), true),
        }
    }
}

impl Telling for Finding {
    fn word(&self) -> (&'static str, Option<&str>, bool) {
        match self {
            Finding::Found(_) => ("found", None, false),
            Finding::PaidUnder(_) => ("paid under another key", None, true),
            Finding::NotFound => ("not found", None, false),
            Finding::Undecided(why) => ("undecided", Some(why), true),
            Finding::NoAnswer(why) => ("no answer", Some(why), true),
        }
    }
}

macro_rules! event {
    ($level:ident, $call:expr, $code:expr, $said:expr, $why:expr, $text:literal) => {
        $level!(
            op = $call.op,
            said = $said,
            why = $why,
            code = $code,
            http_status = $call.http_status,
            elapsed_ms = u64::try_from($call.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            order = $call.order.map(tracing::field::display),
            payment_key = $call.payment_key.map(tracing::field::display),
            toss_trace = $call.toss_trace,
            cause = $call.cause,
            $text
        )
    };
}

pub(super) fn tell<T: Telling>(call: &Call<'_>, heard: &Heard<T>) {
    let (said, why, is_odd) = heard.said.word();
    let code = heard.code.as_deref();
    if heard.is_misconfigured() {
        event!(
            warn,
            call,
            code,
            said,
            why,
            "Toss refuses our secret key; no order is failed for this"
        );
    } else if is_odd {
        event!(warn, call, code, said, why, "Toss did not decide");
    } else {
        event!(debug, call, code, said, why, "Toss answered");
    }
}
