//! `/api/v1/products`: what the shop sells and where its goods are; changes are the shop's alone.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::{location, product_url};
use crate::actors::ProductView;
use crate::domain::product::{self, Listing};
use crate::domain::{Product, ProductId, Rejection, Won};
use crate::http::answers::{Refusal, answer, data};
use crate::http::desk::Desk;
use crate::http::reading::{Field, fields};

/// What a change of stock may say about itself.
const REASON_CHARS: usize = 200;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProductBody<'a> {
    id: i64,
    name: &'a str,
    price: i64,
    stock: i64,
    held: i64,
    sold: i64,
    received: i64,
    seller_id: i64,
}

#[derive(Serialize)]
struct Products<'a> {
    products: Vec<ProductBody<'a>>,
}

impl<'a> From<&'a ProductView> for ProductBody<'a> {
    fn from(view: &'a ProductView) -> ProductBody<'a> {
        let Product {
            listing,
            stock,
            received,
        } = &view.product;
        ProductBody {
            id: listing.id.get(),
            name: &listing.name,
            price: listing.price.get(),
            stock: *stock,
            held: view.held,
            sold: view.sold,
            received: *received,
            seller_id: listing.seller_id,
        }
    }
}

pub async fn all(req: HttpRequest) -> HttpResponse {
    answer(&req, look_at_all(&req).await)
}

async fn look_at_all(req: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let desk = Desk::of(req)?;
    desk.terms.access.may_enter(desk.caller()?)?;
    let views = desk.directory()?.products().await?;
    let products = views.iter().map(ProductBody::from).collect();
    data(StatusCode::OK, Products { products })
}

pub async fn one(req: HttpRequest) -> HttpResponse {
    answer(&req, look_at(&req).await)
}

async fn look_at(req: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let desk = Desk::of(req)?;
    desk.terms.access.may_enter(desk.caller()?)?;
    let product = product_of(&desk)?;
    let view = desk.directory()?.product(product).await?;
    data(StatusCode::OK, ProductBody::from(&view))
}

pub async fn put(req: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&req, list(&req, payload).await)
}

async fn list(req: &HttpRequest, payload: Payload) -> Result<HttpResponse, Refusal> {
    let desk = Desk::of(req)?;
    desk.terms.access.may_manage(desk.caller()?)?;
    let product = product_of(&desk)?;
    let body = desk.body(payload).await?;
    let listing = listing(product, &body)?;
    let (view, created) = desk.directory()?.list(listing).await?;
    if !created {
        return data(StatusCode::OK, ProductBody::from(&view));
    }
    let mut res = data(StatusCode::CREATED, ProductBody::from(&view))?;
    let location = location(product_url(product))?;
    res.headers_mut().insert(header::LOCATION, location);
    Ok(res)
}

pub async fn stock(req: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&req, restock(&req, payload).await)
}

async fn restock(req: &HttpRequest, payload: Payload) -> Result<HttpResponse, Refusal> {
    let desk = Desk::of(req)?;
    desk.terms.access.may_manage(desk.caller()?)?;
    let product = product_of(&desk)?;
    let body = desk.body(payload).await?;
    let (change, reason) = change(&body)?;
    let view = desk.directory()?.restock(product, change, reason).await?;
    data(StatusCode::OK, ProductBody::from(&view))
}

fn product_of(desk: &Desk<'_>) -> Result<ProductId, Rejection> {
    let text = desk.part("id");
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let id = text.parse().ok().filter(|_| plain).and_then(ProductId::new);
    id.ok_or_else(|| {
        Rejection::invalid(
            "id",
            format!("an integer from 1 to {} in the path", Won::MAX),
        )
    })
}

fn listing(id: ProductId, body: &[u8]) -> Result<Listing, Refusal> {
    let [name, price, seller] = fields(body, &["name", "price", "sellerId"])?;
    Ok(Listing {
        id,
        name: words(&name, Product::NAME_CHARS)?,
        // 0 is a price: a gift that goes along with what is paid for.
        price: price.won()?,
        seller_id: seller_id(&seller)?,
    })
}

fn seller_id(field: &Field<'_>) -> Result<i64, Rejection> {
    let wants = format!("an integer from 1 to {}", Listing::SELLERS.end());
    let id = field.whole(&wants)?;
    let fits = Listing::SELLERS.contains(&id);
    fits.then_some(id).ok_or_else(|| field.refuse(wants))
}

fn change(body: &[u8]) -> Result<(i64, Box<str>), Refusal> {
    let [change, reason] = fields(body, &["change", "reason"])?;
    let most = Product::MOST_STOCK;
    let wants = format!("an integer other than 0, from -{most} to {most}");
    let amount = change.whole(&wants)?;
    if amount == 0 || !(-most..=most).contains(&amount) {
        return Err(change.refuse(wants).into());
    }
    Ok((amount, words(&reason, REASON_CHARS)?))
}

fn words(field: &Field<'_>, most: usize) -> Result<Box<str>, Rejection> {
    let words = product::words(&field.text()?, most);
    words.ok_or_else(|| field.refuse(format!("1 to {most} characters, none a control character")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn complaint<T: std::fmt::Debug>(read: Result<T, Refusal>) -> String {
        match read {
            Err(Refusal::Rejected(Rejection::InvalidInput { field, wants })) => {
                format!("{field}: {wants}")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_listing_names_what_it_wants() {
        let id = ProductId::new(3).unwrap();
        let of = |name: &str, price: &str, seller: &str| {
            let body = format!(r#"{{"name": {name}, "price": {price}, "sellerId": {seller}}}"#);
            listing(id, body.as_bytes())
        };
        let fit = of(r#"" Ogu T ""#, "\"50000\"", "2").unwrap();
        assert_eq!(
            (&*fit.name, fit.price.get(), fit.seller_id),
            ("Ogu T", 50_000, 2)
        );
        assert!(of(r#""gift""#, "0", "2").is_ok());
        let most = "가".repeat(Product::NAME_CHARS);
        assert!(of(&format!("\"{most}\""), "1", "2").is_ok());
        let name = "name: 1 to 90 characters, none a control character";
        let price = "price: whole won, plain digits only: 0 to 9007199254740991";
        let seller = "sellerId: an integer from 1 to 9007199254740991";
        for (read, expected) in [
            (of("7", "1", "2"), "name: a string"),
            (of("\"  \"", "1", "2"), name),
            (of("\"a\\nb\"", "1", "2"), name),
            (of(&format!("\"{most}x\""), "1", "2"), name),
            (of("\"a\"", "-1", "2"), price),
            (of("\"a\"", "1.5", "2"), price),
            (of("\"a\"", "null", "2"), price),
            (of("\"a\"", "1", "0"), seller),
            (of("\"a\"", "1", "null"), seller),
            (of("\"a\"", "1", "\"2\""), seller),
        ] {
            assert_eq!(complaint(read), expected);
        }
    }

    #[test]
    fn a_change_of_stock_moves_something_and_says_why() {
        let of = |amount: &str, reason: &str| {
            change(format!(r#"{{"change": {amount}, "reason": {reason}}}"#).as_bytes())
        };
        assert_eq!(of("-3", "\"broken\""), Ok((-3, "broken".into())));
        let wants = "change: an integer other than 0, from -1000000000000 to 1000000000000";
        for amount in [
            "0",
            "-0",
            "1.0",
            "\"5\"",
            "null",
            "1000000000001",
            "-1000000000001",
            "99999999999999999999",
        ] {
            assert_eq!(complaint(of(amount, "\"r\"")), wants, "{amount}");
        }
        let reason = "reason: 1 to 200 characters, none a control character";
        let long = format!("\"{}\"", "r".repeat(201));
        assert_eq!(complaint(of("1", "\"\"")), reason);
        assert_eq!(complaint(of("1", &long)), reason);
        assert_eq!(complaint(of("1", "null")), "reason: a string");
    }

    #[test]
    fn a_product_shows_where_its_goods_are() {
        let listing = Listing {
            id: ProductId::new(1).unwrap(),
            name: "Ogu T".into(),
            price: Won::new(50_000).unwrap(),
            seller_id: 2,
        };
        let product = Product {
            listing,
            stock: 50,
            received: 59,
        };
        let view = ProductView {
            product,
            held: 4,
            sold: 5,
        };
        let said = serde_json::to_string(&ProductBody::from(&view)).unwrap();
        let expected = r#"{"id":1,"name":"Ogu T","price":50000,"stock":50,"held":4,"sold":5,"received":59,"sellerId":2}"#;
        assert_eq!(said, expected);
    }
}
