//! Who does what: one actor per order, gates in front of stock and Toss, the journal, and the timer.

mod api;
mod directory;

pub use api::{
    CheckedOut, CheckoutIdempotency, CheckoutRequest, ConfirmRequest, Heard, HistoryView, Patience,
    PaymentView, ProductView, Refused, TraceId,
};
pub use directory::Directory;
