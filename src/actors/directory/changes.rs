//! What the shop changes by hand: its catalogue and its shelves, through the gate of each product.

use super::Directory;
use crate::actors::api::{ProductView, Refused};
use crate::actors::product::{List, Restock};
use crate::domain::ProductId;
use crate::domain::product::Listing;
use crate::store;

impl Directory {
    /// Creates the product or changes it; the flag tells whether it was created.
    pub async fn list(&self, listing: Listing) -> Result<(ProductView, bool), Refused> {
        let id = listing.id;
        let store = self.hands.store.clone();
        let known = self.read(async move { store.shelf(&[id]).await }).await?;
        let gate = self.hands.products.gate(id, &self.hands.journal);
        told(id, gate.send(List(listing)).await)?;
        Ok((self.changed(id).await?, known.is_empty()))
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
        let restock = store::Restock {
            id: self.hands.clock.new_change_id(),
            product,
            change,
            reason,
            at: self.hands.clock.now(),
        };
        told(product, gate.send(Restock(restock)).await)?;
        self.changed(product).await
    }

    /// After a change that is made: a look that fails must not sound as if it were not.
    async fn changed(&self, product: ProductId) -> Result<ProductView, Refused> {
        let look = self.product(product).await;
        look.map_err(|_| Refused::Doubtful(product))
    }
}

fn told(
    product: ProductId,
    answer: Result<Result<(), Refused>, actix::MailboxError>,
) -> Result<(), Refused> {
    // The gate closed with the change on its way: the journal may have it.
    answer.unwrap_or(Err(Refused::Doubtful(product)))
}
