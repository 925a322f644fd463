//! Stand-in for the door's branch only; the lead replaces it.
use std::time::Duration;

use super::api::*;
use crate::domain::product::Listing;
use crate::domain::{OrderId, ProductId};

#[derive(Clone)]
pub struct Directory {}

#[allow(clippy::unused_async, unused_variables, clippy::unimplemented)]
impl Directory {
    pub async fn checkout(&self, request: CheckoutRequest) -> Result<CheckedOut, Refused> {
        unimplemented!()
    }
    pub async fn confirm(&self, request: ConfirmRequest, patience: Patience) -> Heard {
        unimplemented!()
    }
    /// `None`: no such order. With `wait`: returns when settled or after the wait.
    pub async fn view(&self, order: OrderId, wait: Option<Duration>) -> Result<Option<PaymentView>, Refused> {
        unimplemented!()
    }
    pub async fn history(&self, order: OrderId) -> Result<Vec<HistoryView>, Refused> {
        unimplemented!()
    }
    pub async fn products(&self) -> Result<Vec<ProductView>, Refused> {
        unimplemented!()
    }
    pub async fn product(&self, product: ProductId) -> Result<ProductView, Refused> {
        unimplemented!()
    }
    /// Creates or changes; the flag tells whether it was created.
    pub async fn list(&self, listing: Listing) -> Result<(ProductView, bool), Refused> {
        unimplemented!()
    }
    pub async fn restock(&self, product: ProductId, change: i64, reason: Box<str>) -> Result<ProductView, Refused> {
        unimplemented!()
    }
    /// What is not ready, by name; empty when all is.
    pub async fn not_ready(&self) -> Vec<&'static str> {
        unimplemented!()
    }
}
