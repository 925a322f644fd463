//! What a buyer wants: lines of products at the shop's prices, under an id that Toss accepts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::moment::Timestamp;
use super::money::Won;
use super::product::{Product, ProductId};

/// UUID v7 in its hyphenated form: 36 characters of Toss's 6-64 of `[A-Za-z0-9-_]`, and ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(Uuid);

impl OrderId {
    pub const fn new(id: Uuid) -> OrderId {
        OrderId(id)
    }

    /// Only the canonical text: lower case, hyphens in place. Anything else names no order of ours.
    pub fn parse(text: &str) -> Option<OrderId> {
        let id = Uuid::try_parse(text).ok()?;
        let canonical = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text;
        canonical.then_some(OrderId(id))
    }

    /// Whether payonce may have named it so: its ids are UUIDs of version 7.
    pub fn may_be_ours(text: &str) -> bool {
        OrderId::parse(text).is_some_and(|id| id.0.get_version_num() == 7)
    }

    /// Comes before every order that was named at this instant, or later.
    pub const fn earliest_of(at: Timestamp) -> OrderId {
        let ms = if at.micros() > 0 {
            at.micros() / 1_000
        } else {
            0
        };
        OrderId(Uuid::from_u128((ms.unsigned_abs() as u128) << 80))
    }

    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The shop's own name of a buyer; opaque to us.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

impl UserId {
    pub const CHARS: usize = 64;

    /// 1 to 64 characters, none of them a control character.
    pub fn parse(text: &str) -> Option<UserId> {
        let fits = !text.is_empty() && text.chars().count() <= UserId::CHARS;
        (fits && !text.chars().any(char::is_control)).then(|| UserId(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Toss's name of one authorization by the buyer. It is a bearer of money: shown masked, always.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentKey(Arc<str>);

impl PaymentKey {
    pub const CHARS: usize = 200;

    /// What a buyer's key may have beside letters and digits. Toss writes its own in letters, digits, `-` and `_`; the rest
    /// means the same everywhere in the path of a URL.
    pub const SYMBOLS: &str = "-_.~=+:";

    /// As a buyer brings it. With a `/` or `%`, many a server in front of Toss would refuse to look it up at all, and an order
    /// that nobody can ask about holds its goods for long.
    pub fn offered(text: &str) -> Option<PaymentKey> {
        let known =
            |b: u8| b.is_ascii_alphanumeric() || PaymentKey::SYMBOLS.as_bytes().contains(&b);
        PaymentKey::parse(text).filter(|key| key.0.bytes().all(known))
    }

    /// 1 to 200 visible ASCII characters; Toss promises at most 200. Not dots alone: "." and ".." stand for other
    /// places in every URL, so Toss could never be asked about them.
    pub fn parse(text: &str) -> Option<PaymentKey> {
        let fits = (1..=PaymentKey::CHARS).contains(&text.len());
        let fits = fits && text.bytes().any(|b| b != b'.');
        (fits && text.bytes().all(|b| b.is_ascii_graphic())).then(|| PaymentKey(text.into()))
    }

    /// The whole key: for Toss and for the database, never for a log or an answer.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Enough to tell two keys apart, too little to use one.
    pub fn masked(&self) -> String {
        match self.0.len() {
            0..=15 => "***".to_owned(),
            len => format!("{}…{}", &self.0[..6], &self.0[len - 4..]),
        }
    }
}

impl fmt::Debug for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentKey({})", self.masked())
    }
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// What lets a buyer see and confirm an order: handed out at checkout, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderToken(pub Box<str>);

impl fmt::Debug for OrderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderToken(***)")
    }
}

/// How many of one product: 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(u32);

impl Quantity {
    pub const MOST: u32 = 10_000;

    pub fn new(quantity: i64) -> Option<Quantity> {
        let quantity = u32::try_from(quantity).ok()?;
        (1..=Quantity::MOST)
            .contains(&quantity)
            .then_some(Quantity(quantity))
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

/// One product of an order and what it costs in all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub product: ProductId,
    /// What the shop called it at checkout. Orders of an earlier build have none.
    pub name: Option<Box<str>>,
    pub quantity: Quantity,
    /// Price at checkout times quantity.
    pub amount: Won,
}

/// The facts of an order; they never change after checkout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    pub id: OrderId,
    pub user: UserId,
    pub name: Box<str>,
    /// In product order, one line a product: everyone who locks, locks in this order.
    pub lines: Arc<[Line]>,
    pub total: Won,
}

/// Why lines make no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitLines {
    #[error("1 to {most} lines", most = Order::MOST_LINES)]
    Count,
    #[error("product {0} is not sold here")]
    UnknownProduct(ProductId),
    #[error("at most {most} of product {0}", most = Quantity::MOST)]
    TooMany(ProductId),
    #[error("a total of 1 to {most}", most = Won::MAX)]
    Total,
}

impl Order {
    pub const MOST_LINES: usize = 100;

    /// One line a product, in product order: what was wanted on two lines is wanted once, summed.
    pub fn merge(
        wanted: &[(ProductId, Quantity)],
    ) -> Result<BTreeMap<ProductId, Quantity>, UnfitLines> {
        if wanted.is_empty() || wanted.len() > Order::MOST_LINES {
            return Err(UnfitLines::Count);
        }
        let mut merged = BTreeMap::new();
        for (product, quantity) in wanted {
            let sum = merged.get(product).map_or(0, |q: &Quantity| q.get()) + quantity.get();
            let sum = Quantity::new(i64::from(sum)).ok_or(UnfitLines::TooMany(*product))?;
            merged.insert(*product, sum);
        }
        Ok(merged)
    }

    /// The order at the shop's own prices; whatever the client says about prices is not even read.
    pub fn price(
        id: OrderId,
        user: UserId,
        wanted: &BTreeMap<ProductId, Quantity>,
        shelf: &BTreeMap<ProductId, Product>,
    ) -> Result<Order, UnfitLines> {
        let mut lines = Vec::with_capacity(wanted.len());
        for (&product, &quantity) in wanted {
            let found = shelf
                .get(&product)
                .ok_or(UnfitLines::UnknownProduct(product))?;
            let amount = found
                .listing
                .price
                .checked_mul(quantity.get())
                .ok_or(UnfitLines::Total)?;
            lines.push(Line {
                product,
                name: Some(found.listing.name.clone()),
                quantity,
                amount,
            });
        }
        let total = Won::total(lines.iter().map(|line| line.amount));
        // Nothing to pay is nothing that Toss could confirm.
        let total = total
            .filter(|total| total.get() > 0)
            .ok_or(UnfitLines::Total)?;
        let first = lines.first().and_then(|line| shelf.get(&line.product));
        let name = Order::name(first.ok_or(UnfitLines::Count)?, lines.len() - 1);
        Ok(Order {
            id,
            user,
            name,
            lines: lines.into(),
            total,
        })
    }

    fn name(first: &Product, others: usize) -> Box<str> {
        match others {
            0 => first.listing.name.clone(),
            more => format!("{} 외 {more}건", first.listing.name).into(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::domain::product::Listing;

    fn product(id: i64, name: &str, price: i64) -> (ProductId, Product) {
        let id = ProductId::new(id).unwrap();
        let price = Won::new(price).unwrap();
        let listing = Listing {
            id,
            name: name.into(),
            price,
            seller_id: 2,
        };
        (
            id,
            Product {
                listing,
                stock: 59,
                received: 59,
            },
        )
    }

    fn want(id: i64, quantity: i64) -> (ProductId, Quantity) {
        (
            ProductId::new(id).unwrap(),
            Quantity::new(quantity).unwrap(),
        )
    }

    fn price(wanted: &[(ProductId, Quantity)]) -> Result<Order, UnfitLines> {
        let shelf = BTreeMap::from([
            product(1, "Ogu T", 50_000),
            product(2, "Baby Ogu T", 30_000),
        ]);
        let user = UserId::parse("1").unwrap();
        Order::price(
            OrderId::new(Uuid::nil()),
            user,
            &Order::merge(wanted)?,
            &shelf,
        )
    }

    #[test]
    fn an_order_is_priced_by_the_shop_and_named_after_its_first_product() {
        let order = price(&[want(2, 2), want(1, 3)]).unwrap();
        assert_eq!(order.total.get(), 210_000);
        assert_eq!(&*order.name, "Ogu T 외 1건");
        assert_eq!(
            order
                .lines
                .iter()
                .map(|l| l.product.get())
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(&*price(&[want(1, 1)]).unwrap().name, "Ogu T");
    }

    #[test]
    fn the_same_product_on_two_lines_is_one_line() {
        let order = price(&[want(1, 1), want(2, 1), want(1, 2)]).unwrap();
        assert_eq!(order.lines.len(), 2);
        assert_eq!(order.lines[0].quantity.get(), 3);
        assert_eq!(order.total.get(), 180_000);
    }

    #[test]
    fn what_makes_no_order_says_why() {
        assert_eq!(price(&[]), Err(UnfitLines::Count));
        assert_eq!(price(&[want(1, 1); 101]), Err(UnfitLines::Count));
        let unknown = ProductId::new(9).unwrap();
        assert_eq!(
            price(&[want(9, 1)]),
            Err(UnfitLines::UnknownProduct(unknown))
        );
        let first = ProductId::new(1).unwrap();
        assert_eq!(
            price(&[want(1, 6_000), want(1, 6_000)]),
            Err(UnfitLines::TooMany(first))
        );
        assert!(Quantity::new(0).is_none() && Quantity::new(10_001).is_none());
        assert!(Quantity::new(i64::MAX).is_none() && Quantity::new(-1).is_none());
    }

    #[test]
    fn order_ids_have_one_spelling() {
        let id = OrderId::new(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_abcd));
        assert_eq!(OrderId::parse(&id.to_string()), Some(id));
        assert_eq!(OrderId::parse(&id.to_string().to_uppercase()), None);
        assert_eq!(OrderId::parse(&id.uuid().simple().to_string()), None);
        assert_eq!(OrderId::parse("../../etc/passwd"), None);
    }

    #[test]
    fn order_ids_are_ordered_by_time() {
        let at = |ms| OrderId::earliest_of(Timestamp::from_micros(ms * 1_000));
        let ms = 1_760_000_000_123_i64;
        let seconds = ms.unsigned_abs() / 1_000;
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 123_000_000);
        let order = OrderId::new(Uuid::new_v7(stamp));
        assert!(at(ms) < order && order < at(ms + 1));
        assert!(
            at(ms).to_string() < order.to_string() && order.to_string() < at(ms + 1).to_string()
        );
    }

    #[test]
    fn a_payment_key_is_never_shown_whole() {
        let key = PaymentKey::parse("tgen_20250102210202h9Oy0").unwrap();
        assert_eq!(
            format!("{key} {key:?}"),
            "tgen_2…9Oy0 PaymentKey(tgen_2…9Oy0)"
        );
        assert_eq!(PaymentKey::parse("short").unwrap().masked(), "***");
        assert!(PaymentKey::parse("a b").is_none() && PaymentKey::parse("").is_none());
        for unfit in ["a/b", "a%2Fb", "a;b", "a?b", "a#b", "a\\b", "<a>", "..", ""] {
            assert!(PaymentKey::offered(unfit).is_none(), "{unfit}");
        }
        assert!(PaymentKey::offered("tgen_20260102210202h9Oy0-~.=+:").is_some());
        assert!(PaymentKey::parse(&"x".repeat(201)).is_none());
    }
}
