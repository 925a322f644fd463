//! The way in for a new order: priced from the server's own catalogue, and durable before anyone hears its id.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::Directory;
use crate::actors::api::{CheckedOut, CheckoutRequest, Refused};
use crate::actors::journal::NoVerdict;
use crate::actors::shard::Open;
use crate::domain::order::UnfitLines;
use crate::domain::{Order, OrderId, Payment, Product, ProductId, Quantity, Rejection, UserId};
use crate::metrics::Shed;
use crate::store::Verdict;

impl Directory {
    pub async fn checkout(&self, request: CheckoutRequest) -> Result<CheckedOut, Refused> {
        let CheckoutRequest {
            user,
            wanted,
            idempotency,
            trace,
        } = request;
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
        match written.await.unwrap_or(Err(NoVerdict::Doubtful)) {
            Ok(Verdict::Committed { .. }) => Ok(CheckedOut {
                payment,
                replayed: false,
            }),
            Ok(Verdict::Duplicate {
                order,
                body_hash: winner,
            }) => self.replay(order, body_hash == Some(winner)).await,
            // Nobody has heard the id: an order that landed after all expires unpaid, or is the answer to its key.
            Err(why @ (NoVerdict::Busy | NoVerdict::Doubtful)) => {
                if why == NoVerdict::Busy {
                    self.hands.metrics.shed(Shed::Journal);
                }
                Err(Rejection::Busy { retry_after_s: 1 }.into())
            }
            Err(NoVerdict::Fault)
            | Ok(
                Verdict::Stale { .. }
                | Verdict::OutOfStock(_)
                | Verdict::NotFound
                | Verdict::NotEnoughStock { .. },
            ) => Err(Refused::Fault),
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
