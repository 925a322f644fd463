//! Directory: what the door holds. It finds the shard of an order, keeps a caller's patience, and answers reads
//! from the store without waking anybody.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::api::Refused;
use super::payment::{Hands, Retry, Timeout};
use super::shard::{Deliver, ForOrder, Shard};
use super::vitals::Vitals;
use crate::domain::{OrderId, Rejection, Status};
use crate::store::StoreFault;

mod changes;
mod checkout;
mod confirm;
mod readiness;
mod reads;

/// What a directory is told at start-up.
#[derive(Clone, Copy, Debug)]
pub struct CheckoutRules {
    pub expires_after: Duration,
    /// Whether a buyer must be one of the shop's users.
    pub known_users_only: bool,
}

/// What one kind of request may have of the door's room, so that whoever waits for Toss leaves room for the others.
#[derive(Clone, Copy, Debug)]
pub struct DoorBounds {
    /// Confirms in hand at once; one more hears "busy".
    pub confirms: usize,
    /// Readers who wait for a payment to settle; one more is answered as it is.
    pub readers: usize,
}

#[derive(Clone)]
pub struct Directory {
    hands: Arc<Hands>,
    shards: Arc<[Addr<Shard>]>,
    checkout: CheckoutRules,
    confirms: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    /// Database work of the door runs here: its own workers must not wait for sockets of another runtime.
    runtime: tokio::runtime::Handle,
    vitals: Vitals,
}

impl Directory {
    pub fn new(
        hands: Arc<Hands>,
        shards: Vec<Addr<Shard>>,
        checkout: CheckoutRules,
        bounds: DoorBounds,
        runtime: tokio::runtime::Handle,
    ) -> Directory {
        let room = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Directory {
            hands,
            shards: shards.into(),
            checkout,
            confirms: room(bounds.confirms),
            readers: room(bounds.readers),
            runtime,
            vitals: Vitals::default(),
        }
    }

    /// Where those who keep the house going give their signs of life.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Low bits of a UUID v7 are random, so orders spread evenly.
    fn shard(&self, order: OrderId) -> &Addr<Shard> {
        let random = order.uuid().as_u128() & u128::from(u32::MAX);
        let index = usize::try_from(random).unwrap_or(0) % self.shards.len();
        &self.shards[index]
    }

    /// Runs on the shared runtime; a task that panicked is a fault like any other.
    async fn read<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreFault>> + Send + 'static,
    ) -> Result<T, Refused> {
        match self.runtime.spawn(work).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(fault @ StoreFault::Unavailable(_))) => {
                tracing::warn!(%fault, "a read found the database away");
                Err(Rejection::Busy { retry_after_s: 1 }.into())
            }
            Ok(Err(fault)) => {
                tracing::error!(%fault, "a read failed");
                Err(Refused::Fault)
            }
            Err(fault) => {
                tracing::error!(%fault, "a read broke off");
                Err(Refused::Fault)
            }
        }
    }

    /// Sends the order's actor to look after its payment. Resolves when the work that this led to has ended.
    pub fn wake(&self, order: OrderId, status: Status) -> oneshot::Receiver<()> {
        let (reply, landed) = oneshot::channel();
        let reply = Some(reply);
        let message = match status {
            Status::Ready => ForOrder::Timeout(Timeout { reply }),
            Status::InProgress
            | Status::Unknown
            | Status::Done
            | Status::Failed
            | Status::Expired
            | Status::Quarantined => ForOrder::Retry(Retry {
                seen: status,
                since: Instant::now(),
                reply,
            }),
        };
        self.shard(order).do_send(Deliver { order, message });
        landed
    }

    /// How many unfinished payments may ask Toss now.
    pub fn questions(&self) -> usize {
        self.hands.front.breaker.questions()
    }
}
