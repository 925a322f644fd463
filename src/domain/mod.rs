//! What is true: payments, their states and their rules. Pure: no async, no clock, no I/O, no randomness.

pub mod moment;
pub mod money;
pub mod order;
pub mod outcome;
pub mod payment;
pub mod product;
pub mod rejection;
pub mod retry;

pub use moment::{Dice, Moment, Timestamp};
pub use money::Won;
pub use order::{Line, Order, OrderId, OrderToken, PaymentKey, Quantity, UserId};
pub use outcome::{Charge, Decline, Finding, Outcome, Reply, Report, TossStatus, VirtualAccount};
pub use payment::{
    Answer, Attempt, Claim, Event, Further, GatewayIdentity, IllegalEvent, Incarnation, Payment,
    Status, Step, StockMove, Transition, TransitionId, after, next_step,
};
pub use product::{Product, ProductId};
pub use rejection::Rejection;
pub use retry::Rules;
