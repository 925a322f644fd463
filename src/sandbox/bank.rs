//! What is true of one payment at this Toss: its state, its time limit, and what may be done to it. Pure.

use serde::{Deserialize, Serialize};

use super::clock::Instant;
use super::codes::Code;
use super::ids::{Hex, Id};
use crate::gateway::wire::PaymentStatus;

/// From the buyer's authentication to the merchant's confirm. After that the money can no longer be taken.
pub const CONFIRM_WINDOW_S: i64 = 600;

/// How the buyer paid in the window. Virtual accounts are not simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    #[serde(rename = "카드", alias = "CARD")]
    Card,
    #[serde(rename = "간편결제", alias = "EASY_PAY")]
    EasyPay,
    #[serde(rename = "계좌이체", alias = "TRANSFER")]
    Transfer,
    #[serde(rename = "휴대폰", alias = "MOBILE_PHONE")]
    MobilePhone,
    #[serde(rename = "문화상품권", alias = "CULTURE_GIFT_CERTIFICATE")]
    CultureGiftCertificate,
}

/// One authorization of the buyer, named by its paymentKey, and what became of it.
#[derive(Debug, Clone)]
pub struct Payment {
    pub payment_key: Id,
    pub order_id: Id,
    pub order_name: Id,
    pub method: Method,
    pub amount: i64,
    pub authorized_at: Instant,
    pub state: State,
    pub cancels: Vec<Cancellation>,
    pub calls: Calls,
    /// A confirm of it is under way: it waits in a delay or hangs.
    pub confirming: bool,
    /// The authorization of the same order before this one.
    pub older: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Authenticated, not confirmed. Expiry is not stored: it follows from the clock.
    Open,
    Approved {
        at: Instant,
        transaction_key: Hex,
    },
    Aborted {
        code: Code,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    pub at: Instant,
    pub transaction_key: Hex,
    pub amount: i64,
    pub reason: String,
}

/// Requests that arrived, whatever became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    pub confirms: u32,
    pub lookups: u32,
    pub cancels: u32,
}

impl Payment {
    pub fn expires_at(&self) -> Instant {
        self.authorized_at.plus_s(CONFIRM_WINDOW_S)
    }

    /// The status when only the first `cancels` of its refunds had happened.
    pub fn status_after(&self, cancels: usize, now: Instant) -> PaymentStatus {
        match self.state {
            State::Open if now > self.expires_at() => PaymentStatus::Expired,
            State::Open => PaymentStatus::InProgress,
            State::Aborted { .. } => PaymentStatus::Aborted,
            State::Approved { .. } => match self.cancels.get(..cancels) {
                None | Some([]) => PaymentStatus::Done,
                Some([whole]) if whole.amount == self.amount => PaymentStatus::Canceled,
                // Measured: refunded in two parts it stays PARTIAL_CANCELED, though the balance is zero.
                Some(_) => PaymentStatus::PartialCanceled,
            },
        }
    }

    pub fn status(&self, now: Instant) -> PaymentStatus {
        self.status_after(self.cancels.len(), now)
    }

    pub fn balance_after(&self, cancels: usize) -> i64 {
        self.amount
            - self
                .cancels
                .iter()
                .take(cancels)
                .map(|cancel| cancel.amount)
                .sum::<i64>()
    }

    pub fn balance(&self) -> i64 {
        self.balance_after(self.cancels.len())
    }

    /// Can a confirm still take the money?
    pub fn is_open(&self, now: Instant) -> bool {
        self.state == State::Open && now <= self.expires_at()
    }

    pub fn is_approved(&self) -> bool {
        matches!(self.state, State::Approved { .. })
    }

    /// May it be confirmed with this order and amount, now?
    ///
    /// # Errors
    /// The code that Toss refuses it with. Which code a wrong amount gets is not documented: INVALID_REQUEST is
    /// this sandbox's choice.
    pub fn confirm(&self, order_id: &str, amount: i64, now: Instant) -> Result<(), Code> {
        match self.status(now) {
            PaymentStatus::Expired | PaymentStatus::Aborted => {
                return Err(Code::NOT_FOUND_PAYMENT_SESSION);
            }
            PaymentStatus::Ready
            | PaymentStatus::InProgress
            | PaymentStatus::WaitingForDeposit
            | PaymentStatus::Done
            | PaymentStatus::Canceled
            | PaymentStatus::PartialCanceled => {}
        }
        if order_id != self.order_id.as_str() {
            return Err(Code::FORBIDDEN_REQUEST);
        }
        if self.is_approved() {
            return Err(Code::ALREADY_PROCESSED_PAYMENT);
        }
        if self.confirming {
            return Err(Code::ALREADY_PROCESSING_REQUEST);
        }
        if amount != self.amount {
            return Err(Code::INVALID_REQUEST);
        }
        Ok(())
    }

    /// How much a cancel takes off, if it may.
    ///
    /// # Errors
    /// The code that Toss refuses it with. When exactly Toss says NOT_CANCELABLE_PAYMENT is not documented; here it is
    /// said of whatever was never approved.
    pub fn cancel(
        &self,
        amount: Option<i64>,
        refundable: Option<i64>,
        now: Instant,
    ) -> Result<i64, Code> {
        match self.status(now) {
            PaymentStatus::Done | PaymentStatus::PartialCanceled => {}
            PaymentStatus::Canceled => return Err(Code::ALREADY_CANCELED_PAYMENT),
            PaymentStatus::Ready
            | PaymentStatus::InProgress
            | PaymentStatus::WaitingForDeposit
            | PaymentStatus::Aborted
            | PaymentStatus::Expired => return Err(Code::NOT_CANCELABLE_PAYMENT),
        }
        let balance = self.balance();
        if balance == 0 {
            return Err(Code::NOT_CANCELABLE_AMOUNT);
        }
        if refundable.is_some_and(|refundable| refundable != balance) {
            return Err(Code::NOT_MATCHES_REFUNDABLE_AMOUNT);
        }
        let amount = amount.unwrap_or(balance);
        if amount <= 0 {
            return Err(Code::INVALID_REQUEST);
        }
        if amount > balance {
            return Err(Code::NOT_CANCELABLE_AMOUNT);
        }
        Ok(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Instant = Instant(1_763_860_847_000);

    fn payment(state: State, cancels: &[i64]) -> Payment {
        Payment {
            payment_key: Id::from("tpayo1"),
            order_id: Id::from("order-1"),
            order_name: Id::from("name"),
            method: Method::Card,
            amount: 1_000,
            authorized_at: AT,
            state,
            cancels: cancels
                .iter()
                .map(|&amount| Cancellation {
                    at: AT,
                    transaction_key: Hex(0),
                    amount,
                    reason: String::new(),
                })
                .collect(),
            calls: Calls::default(),
            confirming: false,
            older: None,
        }
    }

    const APPROVED: State = State::Approved {
        at: AT,
        transaction_key: Hex(1),
    };
    const ABORTED: State = State::Aborted {
        code: Code::NOT_FOUND,
    };

    #[test]
    fn a_payment_expires_ten_minutes_after_the_buyer_authenticated() {
        let open = payment(State::Open, &[]);
        assert_eq!(open.status(AT.plus_s(600)), PaymentStatus::InProgress);
        assert_eq!(
            open.status(Instant(AT.plus_s(600).0 + 1)),
            PaymentStatus::Expired
        );
        assert_eq!(
            payment(APPROVED, &[]).status(AT.plus_s(601)),
            PaymentStatus::Done
        );
        assert_eq!(
            payment(ABORTED, &[]).status(AT.plus_s(601)),
            PaymentStatus::Aborted
        );
    }

    #[test]
    fn confirm_is_refused_with_the_codes_of_toss() {
        const GONE: Result<(), Code> = Err(Code::NOT_FOUND_PAYMENT_SESSION);
        const AGAIN: Result<(), Code> = Err(Code::ALREADY_PROCESSED_PAYMENT);
        const STRANGER: Result<(), Code> = Err(Code::FORBIDDEN_REQUEST);
        let open = payment(State::Open, &[]);
        let paid = payment(APPROVED, &[]);
        let refunded = payment(APPROVED, &[1_000]);
        let aborted = payment(ABORTED, &[]);
        let busy = Payment {
            confirming: true,
            ..open.clone()
        };
        for (payment, order_id, amount, after_s, wanted) in [
            (&open, "order-1", 1_000, 600, Ok(())),
            (&open, "order-1", 1_000, 601, GONE),
            (&open, "order-2", 1_000, 0, STRANGER),
            (&open, "order-1", 999, 0, Err(Code::INVALID_REQUEST)),
            (&aborted, "order-1", 1_000, 0, GONE),
            (&paid, "order-1", 1_000, 601, AGAIN),
            (&paid, "order-2", 1_000, 0, STRANGER),
            (&refunded, "order-1", 1_000, 0, AGAIN),
            (
                &busy,
                "order-1",
                1_000,
                0,
                Err(Code::ALREADY_PROCESSING_REQUEST),
            ),
        ] {
            let got = payment.confirm(order_id, amount, AT.plus_s(after_s));
            assert_eq!(
                got, wanted,
                "{:?} {order_id} {amount} {after_s}",
                payment.state
            );
        }
    }

    #[test]
    fn cancel_has_the_measured_traps() {
        let never = Err(Code::NOT_CANCELABLE_PAYMENT);
        for (state, cancels, amount, refundable, wanted) in [
            (APPROVED, &[][..], None, None, Ok(1_000)),
            (APPROVED, &[], Some(300), None, Ok(300)),
            (APPROVED, &[300], None, None, Ok(700)),
            (APPROVED, &[300], Some(700), Some(700), Ok(700)),
            (
                APPROVED,
                &[300],
                Some(100),
                Some(1_000),
                Err(Code::NOT_MATCHES_REFUNDABLE_AMOUNT),
            ),
            (
                APPROVED,
                &[300],
                Some(701),
                None,
                Err(Code::NOT_CANCELABLE_AMOUNT),
            ),
            (
                APPROVED,
                &[300, 700],
                None,
                None,
                Err(Code::NOT_CANCELABLE_AMOUNT),
            ),
            (
                APPROVED,
                &[1_000],
                None,
                None,
                Err(Code::ALREADY_CANCELED_PAYMENT),
            ),
            (APPROVED, &[], Some(0), None, Err(Code::INVALID_REQUEST)),
            (State::Open, &[], None, None, never),
            (ABORTED, &[], None, None, never),
        ] {
            let payment = payment(state, cancels);
            assert_eq!(
                payment.cancel(amount, refundable, AT),
                wanted,
                "{state:?} {cancels:?} {amount:?}"
            );
        }
    }

    #[test]
    fn refunded_in_two_parts_it_stays_partially_cancelled_with_nothing_left() {
        for (cancels, status, balance) in [
            (&[][..], PaymentStatus::Done, 1_000),
            (&[1_000], PaymentStatus::Canceled, 0),
            (&[300], PaymentStatus::PartialCanceled, 700),
            (&[300, 700], PaymentStatus::PartialCanceled, 0),
        ] {
            let payment = payment(APPROVED, cancels);
            assert_eq!(
                (payment.status(AT), payment.balance()),
                (status, balance),
                "{cancels:?}"
            );
            assert_eq!(payment.status_after(0, AT), PaymentStatus::Done);
        }
    }
}
