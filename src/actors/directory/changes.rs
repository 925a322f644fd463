//! What the shop changes by hand: its catalogue and its shelves, through the gate of each product.

use super::Directory;
use crate::actors::api::{ProductView, Refused};
use crate::actors::product::{List, Refusal, Restock};
use crate::domain::ProductId;
use crate::domain::product::Listing;

impl Directory {
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
}

fn told(answer: Result<Result<(), Refusal>, actix::MailboxError>) -> Result<(), Refused> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Refusal::Rejected(rejection))) => Err(rejection.into()),
        Ok(Err(Refusal::Fault)) | Err(_) => Err(Refused::Fault),
    }
}
