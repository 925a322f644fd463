//! PaymentActor, one per order: its messages. They come from the order's shard and from its own flight.

mod actor;
mod advance;
mod ask;
mod callers;
mod check;
mod hands;
mod opening;
mod pauses;
mod recorder;
mod sight;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

#[cfg(test)]
pub use actor::Explode;
pub use actor::{PaymentActor, ShardPort};
pub use check::Request;
pub use hands::{FlightLimits, Flights, Hands};

use super::api::{CheckoutIdempotency, Heard, TraceId};
use super::journal::Written;
use crate::domain::{OrderId, Status};

/// Write the order down: the first message of an actor whose order nobody knows yet.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Checkout {
    pub idempotency: Option<CheckoutIdempotency>,
    pub reply: oneshot::Sender<Written>,
    pub trace: TraceId,
}

/// Collect this amount with this paymentKey.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Confirm {
    pub request: Request,
    pub trace: TraceId,
    pub waiter: Waiter,
    /// When the caller came.
    pub since: Instant,
}

/// One caller of a confirm. Leaving cancels nothing: the channel closes, the work goes on.
#[derive(Debug)]
pub struct Waiter {
    /// Told once the intent is durable.
    pub began: Option<oneshot::Sender<()>>,
    pub answer: oneshot::Sender<Heard>,
}

impl Waiter {
    fn tell_begun(&mut self) {
        if let Some(began) = self.began.take() {
            _ = began.send(());
        }
    }

    fn tell(self, heard: Heard) {
        _ = self.answer.send(heard);
    }
}

/// Take the payment in hand again, if it is unfinished and nobody is at it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Retry {
    /// The status that the record had when the message was sent.
    pub seen: Status,
    /// When it had it.
    pub since: Instant,
    pub reply: Landed,
}

/// See whether the deadline has passed.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Timeout {
    pub reply: Landed,
}

/// Dropped when the work that the message led to has ended; nothing is ever sent on it.
pub type Landed = Option<oneshot::Sender<()>>;

/// Say how many messages of the shard you have seen, if you are idle.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct AreYouIdle;

/// An idle actor's word to its shard.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Idle {
    pub order: OrderId,
    pub seen: u64,
}

/// An actor that ends: it panicked, or its order was never written. The shard forgets it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Ended {
    pub order: OrderId,
    pub actor: Addr<PaymentActor>,
    /// Load the order afresh and ask about it at once.
    pub ask: bool,
}

/// The shard has forgotten this actor; no message can come any more.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Stop;
