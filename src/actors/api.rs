//! What the door may ask of the actors, and what it hears: plain values, no addresses.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{
    Answer, OrderId, Payment, PaymentKey, Product, ProductId, Quantity, Rejection, Status,
    Timestamp, UserId, Won,
};

/// The W3C trace id of the request that caused a message; it travels with it into every log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A client's idempotency key for a checkout, and what it was first used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutIdempotency {
    pub key: Box<str>,
    /// SHA-256 of the body in canonical form.
    pub body_hash: [u8; 32],
}

#[derive(Clone, Debug)]
pub struct CheckoutRequest {
    pub user: UserId,
    /// As [`Order::merge`](crate::domain::Order::merge) has it: one line a product.
    pub wanted: BTreeMap<ProductId, Quantity>,
    pub idempotency: Option<CheckoutIdempotency>,
    pub trace: TraceId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedOut {
    pub payment: Payment,
    /// The idempotency key had been used with the same body: this is the order of that time.
    pub replayed: bool,
}

#[derive(Clone, Debug)]
pub struct ConfirmRequest {
    pub order: OrderId,
    /// `None` where an order token or an API key stands for the buyer.
    pub user: Option<UserId>,
    pub amount: Won,
    pub payment_key: PaymentKey,
    pub trace: TraceId,
}

/// How long the caller of a confirm waits, and for what.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// For a settled answer; after that it is pending.
    UntilSettled(Duration),
    /// For a settled answer during `wait`, then only for the intent to be durable.
    UntilAccepted { wait: Duration, at_most: Duration },
}

/// What the caller of a confirm hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Answer(Answer),
    /// The intent is durable: whatever happens now, the payment will settle.
    Accepted {
        order: OrderId,
        status: Status,
    },
    Rejected(Rejection),
}

/// Why a request that is not a confirm got nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Rejected(Rejection),
    /// Our machinery broke, and nothing was written.
    Fault,
    /// The change of this product may have been made: look before making it again.
    Doubtful(ProductId),
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Refused {
        Refused::Rejected(rejection)
    }
}

/// A payment as the store has it, with what a reader needs beside it.
#[derive(Clone, Debug)]
pub struct PaymentView {
    pub payment: Payment,
    pub created_at: Timestamp,
    /// Of lines that have none of their own.
    pub names: BTreeMap<ProductId, Box<str>>,
}

/// One row of a payment's history.
#[derive(Clone, Debug)]
pub struct HistoryView {
    pub version: i64,
    /// `None` for the checkout.
    pub from: Option<Status>,
    pub to: Status,
    pub event: Box<str>,
    pub reason: Option<Box<str>>,
    pub at: Timestamp,
}

/// A product and where its goods are: `received = stock + held + sold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductView {
    pub product: Product,
    pub held: i64,
    pub sold: i64,
}
