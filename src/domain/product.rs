//! What a shop sells: a name, a price, and how much of it there is.

use std::fmt;
use std::ops::RangeInclusive;

use super::money::Won;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProductId(i64);

impl ProductId {
    /// Ids are positive and fit a JSON number.
    pub fn new(id: i64) -> Option<ProductId> {
        (1..=Won::MAX.get()).contains(&id).then_some(ProductId(id))
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What may be said of a product by the one who sells it; stock moves by other ways.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listing {
    pub id: ProductId,
    pub name: Box<str>,
    pub price: Won,
    pub seller_id: i64,
}

impl Listing {
    /// A seller's id is the shop's; it fits a JSON number.
    pub const SELLERS: RangeInclusive<i64> = 1..=Won::MAX.get();
}

/// A product as it stands: `received = stock + held + sold`, always.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    pub listing: Listing,
    /// On the shelf.
    pub stock: i64,
    /// Ever put on the shelf, less what was taken off by hand.
    pub received: i64,
}

impl Product {
    /// Longest name that still leaves room for "외 99건" in Toss's 100 characters of orderName.
    pub const NAME_CHARS: usize = 90;

    /// Most of one product that a shelf may hold.
    pub const MOST_STOCK: i64 = 1_000_000_000_000;
}

/// What a person may write about goods: something to read, and no control characters, which would break a line of a log
/// or a table. Without the spaces at its ends.
pub fn words(text: &str, most_chars: usize) -> Option<Box<str>> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= most_chars;
    (fits && !text.chars().any(char::is_control)).then(|| text.into())
}

/// How much of a product there is, whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    pub stock: i64,
    pub received: i64,
}

impl Shelf {
    /// Stock and received after a change by hand, or `None` where the shelf would go below zero or burst.
    pub fn after_change(self, change: i64) -> Option<Shelf> {
        let stock = self.stock.checked_add(change)?;
        let received = self.received.checked_add(change)?;
        let fits = (0..=Product::MOST_STOCK).contains(&stock) && received <= Product::MOST_STOCK;
        fits.then_some(Shelf { stock, received })
    }
}
