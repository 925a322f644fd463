//! Directory: what the door holds. It prices checkouts, finds the shard of an order, keeps a caller's patience,
//! and answers reads from the store without waking anybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::api::{
    CheckedOut, CheckoutRequest, ConfirmRequest, Heard, HistoryView, Patience, PaymentView,
    ProductView, Refused,
};
use super::clock::Pulse;
use super::journal::Written;
use super::payment::{Confirm, Hands, Request, Retry, Timeout, Waiter};
use super::product::{List, Refusal, Restock};
use super::shard::{Count, Deliver, ForOrder, Open, Shard};
use crate::domain::order::UnfitLines;
use crate::domain::product::Listing;
use crate::domain::{
    Answer, Order, OrderId, Payment, Product, ProductId, Quantity, Rejection, Status, UserId,
};
use crate::store::{Counted, HistoryRow, StoreFault};

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
    pulse: Pulse,
    /// Database work of the door runs here: its own workers must not wait for sockets of another runtime.
    runtime: tokio::runtime::Handle,
}

/// Pace at which a reader who waits looks again.
const LOOK_MIN: Duration = Duration::from_millis(50);
const LOOK_MAX: Duration = Duration::from_millis(500);

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
            pulse: Pulse::default(),
            runtime,
        }
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

    pub async fn checkout(&self, request: CheckoutRequest) -> Result<CheckedOut, Refused> {
        let CheckoutRequest {
            user,
            wanted,
            idempotency,
            trace,
        } = request;
        let wanted = Order::merge(&wanted).map_err(unfit)?;
        if let Some(given) = &idempotency {
            let (store, at) = (self.hands.store.clone(), self.hands.clock.now());
            let (buyer, key) = (user.clone(), given.key.clone());
            let used = self
                .read(async move { store.checkout_key(&buyer, &key, at).await })
                .await?;
            if let Some((order, body_hash)) = used {
                return self.replay(order, body_hash == given.body_hash).await;
            }
        }
        let shelf = self.shelf_for(&user, &wanted).await?;
        let id = self.hands.clock.new_order_id();
        let order = Order::price(id, user, &wanted, &shelf).map_err(unfit)?;
        let ms = i64::try_from(self.checkout.expires_after.as_millis()).unwrap_or(i64::MAX);
        let payment = Payment::ready(order, self.hands.clock.now().plus_ms(ms));
        let body_hash = idempotency.as_ref().map(|given| given.body_hash);
        let (reply, written) = oneshot::channel();
        self.shard(id).do_send(Open {
            payment: payment.clone(),
            idempotency,
            reply,
            trace,
        });
        match written.await.unwrap_or(Written::Doubtful) {
            Written::Committed { .. } => Ok(CheckedOut {
                payment,
                replayed: false,
            }),
            Written::Duplicate {
                order,
                body_hash: winner,
            } => self.replay(order, body_hash == Some(winner)).await,
            Written::Busy => Err(Rejection::Busy { retry_after_s: 1 }.into()),
            // Nobody has heard the id: an order that landed after all expires unpaid.
            Written::Fault
            | Written::Doubtful
            | Written::Stale { .. }
            | Written::OutOfStock(_)
            | Written::NotFound
            | Written::NotEnoughStock { .. } => Err(Refused::Fault),
        }
    }

    async fn replay(&self, order: OrderId, same_body: bool) -> Result<CheckedOut, Refused> {
        if !same_body {
            return Err(Rejection::IdempotencyKeyReused.into());
        }
        let store = self.hands.store.clone();
        let payment = self.read(async move { store.load(order).await }).await?;
        let payment = payment.ok_or(Refused::Fault)?;
        Ok(CheckedOut {
            payment,
            replayed: true,
        })
    }

    async fn shelf_for(
        &self,
        user: &UserId,
        wanted: &BTreeMap<ProductId, Quantity>,
    ) -> Result<BTreeMap<ProductId, Product>, Refused> {
        let ids: Vec<ProductId> = wanted.keys().copied().collect();
        let (store, user) = (self.hands.store.clone(), user.clone());
        let strict = self.checkout.known_users_only;
        let looked = self.read(async move {
            let known = !strict || store.user_exists(&user).await?;
            Ok((known, store.shelf(&ids).await?))
        });
        match looked.await? {
            (false, _) => Err(Rejection::UserNotFound.into()),
            (true, shelf) => Ok(shelf),
        }
    }

    /// Never an error: whatever breaks, the caller hears that the payment is being checked.
    pub async fn confirm(&self, request: ConfirmRequest, patience: Patience) -> Heard {
        let Ok(_place) = self.confirms.try_acquire() else {
            return Heard::Rejected(Rejection::Busy { retry_after_s: 1 });
        };
        let until = match patience {
            Patience::UntilSettled(wait) => Instant::now() + wait,
            Patience::UntilAccepted { at_most, .. } => Instant::now() + at_most,
        };
        let pending = |status| {
            Heard::Answer(Answer::Pending {
                order_id: request.order,
                status,
            })
        };
        // An actor that fell with our message in its mailbox is rebuilt by its shard: once more, then pending.
        for _ in 0..2 {
            let (mut began, mut answer) = self.deliver_confirm(&request);
            let heard = match patience {
                Patience::UntilSettled(_) => tokio::select! {
                    heard = &mut answer => heard,
                    () = sleep_until(until) => return pending(Status::InProgress),
                },
                Patience::UntilAccepted { wait, .. } => tokio::select! {
                    heard = &mut answer => heard,
                    () = sleep(wait) => tokio::select! {
                        biased;
                        heard = &mut answer => heard,
                        Ok(()) = &mut began => {
                            let (order, status) = (request.order, Status::InProgress);
                            return Heard::Accepted { order, status };
                        }
                        () = sleep_until(until) => return pending(Status::InProgress),
                    },
                },
            };
            match (heard, patience) {
                // Durable and not known yet is exactly what such a caller asked to be told.
                (
                    Ok(Heard::Answer(Answer::Pending {
                        order_id: order,
                        status,
                    })),
                    Patience::UntilAccepted { .. },
                ) if began.try_recv().is_ok() => {
                    return Heard::Accepted { order, status };
                }
                (Ok(heard), _) => return heard,
                (Err(_), _) => {}
            }
        }
        pending(Status::Unknown)
    }

    fn deliver_confirm(
        &self,
        request: &ConfirmRequest,
    ) -> (oneshot::Receiver<()>, oneshot::Receiver<Heard>) {
        let ((began, has_begun), (answer, heard)) = (oneshot::channel(), oneshot::channel());
        let waiter = Waiter {
            began: Some(began),
            answer,
        };
        let ConfirmRequest {
            order,
            user,
            amount,
            payment_key,
            trace,
        } = request.clone();
        let request = Request {
            user,
            amount,
            payment_key,
        };
        let message = ForOrder::Confirm(Confirm {
            request,
            trace,
            waiter,
        });
        self.shard(order).do_send(Deliver { order, message });
        (has_begun, heard)
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
                reply,
            }),
        };
        self.shard(order).do_send(Deliver { order, message });
        landed
    }

    /// `None`: no such order. With a wait: when it is settled, or as it is when the wait ends.
    pub async fn view(
        &self,
        order: OrderId,
        wait: Option<Duration>,
    ) -> Result<Option<PaymentView>, Refused> {
        let place = wait.and_then(|_| self.readers.try_acquire().ok());
        let until = wait.filter(|_| place.is_some());
        let until = until.map(|wait| Instant::now() + wait);
        let mut pause = LOOK_MIN;
        loop {
            let store = self.hands.store.clone();
            let found = self.read(async move { store.record(order).await }).await?;
            let Some(record) = found else { return Ok(None) };
            let status = record.payment.status;
            let resting = status.is_settled() || status == Status::Quarantined;
            let more = until.is_some_and(|until| Instant::now() + pause <= until);
            if resting || !more {
                let (payment, created_at) = (record.payment, record.created_at);
                let names = self.names(&payment).await?;
                return Ok(Some(PaymentView {
                    payment,
                    created_at,
                    names,
                }));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    async fn names(&self, payment: &Payment) -> Result<BTreeMap<ProductId, Box<str>>, Refused> {
        let ids: Vec<ProductId> = payment
            .order
            .lines
            .iter()
            .map(|line| line.product)
            .collect();
        let store = self.hands.store.clone();
        let shelf = self.read(async move { store.shelf(&ids).await }).await?;
        Ok(shelf
            .into_iter()
            .map(|(id, product)| (id, product.listing.name))
            .collect())
    }

    pub async fn history(&self, order: OrderId) -> Result<Vec<HistoryView>, Refused> {
        let store = self.hands.store.clone();
        let rows = self.read(async move { store.history(order).await }).await?;
        let view = |row: HistoryRow| {
            let HistoryRow {
                version,
                from,
                to,
                event,
                reason,
                at,
                ..
            } = row;
            HistoryView {
                version,
                from,
                to,
                event,
                reason,
                at,
            }
        };
        Ok(rows.into_iter().map(view).collect())
    }

    pub async fn products(&self) -> Result<Vec<ProductView>, Refused> {
        let store = self.hands.store.clone();
        let counted = self.read(async move { store.all_counted().await }).await?;
        Ok(counted.into_iter().map(product_view).collect())
    }

    pub async fn product(&self, product: ProductId) -> Result<ProductView, Refused> {
        let store = self.hands.store.clone();
        let counted = self
            .read(async move { store.counted(&[product]).await })
            .await?;
        let found = counted.into_iter().next().map(product_view);
        found.ok_or_else(|| Rejection::ProductNotFound(product).into())
    }

    /// Creates the product or changes it; the flag tells whether it was created.
    pub async fn list(&self, listing: Listing) -> Result<(ProductView, bool), Refused> {
        let id = listing.id;
        let store = self.hands.store.clone();
        let known = self.read(async move { store.shelf(&[id]).await }).await?;
        let gate = self.hands.products.gate(id, &self.hands.journal);
        told(gate.send(List(listing)).await)?;
        Ok((self.product(id).await?, known.is_empty()))
    }

    pub async fn restock(
        &self,
        product: ProductId,
        change: i64,
        reason: Box<str>,
    ) -> Result<ProductView, Refused> {
        // Looked at first: an unknown product opens no gate.
        self.product(product).await?;
        let gate = self.hands.products.gate(product, &self.hands.journal);
        told(gate.send(Restock { change, reason }).await)?;
        self.product(product).await
    }

    /// What is not ready, by name; empty when all is.
    pub async fn not_ready(&self) -> Vec<&'static str> {
        let store = self.hands.store.clone();
        let ping = self.runtime.spawn(async move { store.ping().await });
        let mut missing = Vec::new();
        if !matches!(timeout(Duration::from_secs(3), ping).await, Ok(Ok(Ok(())))) {
            missing.push("database");
        }
        for shard in self.shards.iter() {
            if !matches!(
                timeout(Duration::from_secs(3), shard.send(Count)).await,
                Ok(Ok(_))
            ) {
                missing.push("actors");
                break;
            }
        }
        if !self.hands.journal.connected() {
            missing.push("journal");
        }
        if !self.pulse.beats() {
            missing.push("recovery");
        }
        missing
    }

    /// Where the recovery timer shows that it lives.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// How many unfinished payments may ask Toss now.
    pub fn questions(&self) -> usize {
        self.hands.breaker.questions()
    }

    /// PaymentActors that are loaded.
    pub async fn loaded(&self) -> usize {
        let mut sum = 0;
        for shard in self.shards.iter() {
            sum += shard.send(Count).await.unwrap_or(0);
        }
        sum
    }
}

fn product_view(counted: Counted) -> ProductView {
    let (held, sold) = (counted.held, counted.sold());
    ProductView {
        product: counted.product,
        held,
        sold,
    }
}

fn told(answer: Result<Result<(), Refusal>, actix::MailboxError>) -> Result<(), Refused> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Refusal::Rejected(rejection))) => Err(rejection.into()),
        Ok(Err(Refusal::Fault)) | Err(_) => Err(Refused::Fault),
    }
}

fn unfit(lines: UnfitLines) -> Refused {
    let rejection = match lines {
        UnfitLines::UnknownProduct(product) => Rejection::ProductNotFound(product),
        fit @ (UnfitLines::Count | UnfitLines::TooMany(_) | UnfitLines::Total) => {
            Rejection::invalid("orderedProductList", fit.to_string())
        }
    };
    rejection.into()
}
