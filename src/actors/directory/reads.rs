//! What is read without waking anybody: payments with their past, and products with their goods.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Directory;
use crate::actors::api::{HistoryView, PaymentView, ProductView, Refused};
use crate::domain::{OrderId, Payment, ProductId, Rejection, Status};
use crate::store::{Counted, HistoryRow};

/// Pace at which a reader who waits looks again.
const LOOK_MIN: Duration = Duration::from_millis(50);
const LOOK_MAX: Duration = Duration::from_millis(500);

impl Directory {
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
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let more = left.filter(|left| !left.is_zero() && !resting);
            let Some(left) = more else {
                let (payment, created_at) = (record.payment, record.created_at);
                let names = self.names(&payment).await?;
                return Ok(Some(PaymentView {
                    payment,
                    created_at,
                    names,
                }));
            };
            // The last look is at the end of the wait.
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    /// What the products of its nameless lines are called today.
    async fn names(&self, payment: &Payment) -> Result<BTreeMap<ProductId, Box<str>>, Refused> {
        let nameless = payment.order.lines.iter().filter(|l| l.name.is_none());
        let ids: Vec<ProductId> = nameless.map(|line| line.product).collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
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
}

fn product_view(counted: Counted) -> ProductView {
    let (held, sold) = (counted.held, counted.sold());
    ProductView {
        product: counted.product,
        held,
        sold,
    }
}
