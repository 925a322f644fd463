//! A rule said no. Closed, with the fields that the one who asked needs; the door turns each into one answer.

use super::money::Won;
use super::order::OrderId;
use super::product::ProductId;

/// One line that the shelf could not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shortage {
    pub product: ProductId,
    pub requested: i64,
    /// What was there when it was looked at; a hint, since others buy too.
    pub available: i64,
}

/// Why a payment can no longer be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotPayable {
    Expired,
    TooManyAttempts,
}

/// Who stands in the way of a paymentKey that was never tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyConflict {
    /// Another paymentKey is being tried; when it fails, this one may be.
    InFlight,
    /// Another paymentKey has paid.
    Paid,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// A stock change by hand would go below zero or past the shelf's bound.
    NotEnoughStock {
        product: ProductId,
        stock: i64,
    },
    ProductNotFound(ProductId),
    UserNotFound,
    PaymentNotFound(Option<OrderId>),
    InvalidTotalAmount {
        expected: Won,
    },
    InvalidUserId,
    InvalidPaymentKey(KeyConflict),
    NotPayable(NotPayable),
    OutOfStock(Vec<Shortage>),
    IdempotencyKeyReused,
    /// Load shed before anything was written.
    Busy {
        retry_after_s: u32,
    },
    /// `field` as the client spells it, `wants` in plain English.
    InvalidInput {
        field: String,
        wants: String,
    },
}

impl Rejection {
    pub fn invalid(field: impl Into<String>, wants: impl Into<String>) -> Rejection {
        Rejection::InvalidInput {
            field: field.into(),
            wants: wants.into(),
        }
    }
}
