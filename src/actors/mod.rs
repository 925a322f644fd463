//! Who does what: one actor per order, gates in front of stock and Toss, the journal, and the timer.
//! The door comes in with values (`api`). The gateway is reached by one actor, and so are changes in the store; reads go
//! around them.

mod api;
mod clock;
mod crew;
mod directory;
mod fallen;
mod housekeeper;
mod journal;
mod membership;
mod node;
mod pacing;
mod payment;
mod product;
mod recovery;
mod rounds;
mod runtimes;
mod shard;
#[cfg(test)]
mod tests;
mod toss;
mod versions;
mod vitals;

pub use api::{
    CheckedOut, CheckoutIdempotency, CheckoutRequest, ConfirmRequest, Heard, HistoryView, Patience,
    PaymentView, ProductView, Refused, TraceId,
};
pub use clock::Clock;
pub use crew::{Crew, CrewSettings};
pub use directory::{CheckoutRules, Directory, DoorBounds};
pub use housekeeper::RetentionLimits;
pub use journal::JournalLimits;
pub use payment::FlightLimits;
pub use recovery::RecoveryLimits;
pub use runtimes::Runtimes;
pub use shard::ShardLimits;
pub use toss::{BreakerRules, TossLimits};
