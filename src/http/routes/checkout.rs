//! `POST /api/v1/payments/checkout`: a user and what they want, in; an order with the shop's own prices, out.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{location, status_url};
use crate::actors::{CheckedOut, CheckoutIdempotency, CheckoutRequest};
use crate::domain::order::UnfitLines;
use crate::domain::{Order, OrderId, ProductId, Quantity, Rejection, UserId};
use crate::http::access::OrderTokens;
use crate::http::answers::{Kst, Refusal, Shown, answer, data};
use crate::http::desk::Desk;
use crate::http::reading::{Field, fields};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Room for a UUID, a ULID or a shop's own words.
const MOST_KEY_CHARS: usize = 255;

const LINES: &str = "orderedProductList";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckedOutBody<'a> {
    order_id: Shown<OrderId>,
    order_name: &'a str,
    total_amount: i64,
    status: &'static str,
    expires_at: Kst,
    order_token: &'a str,
}

pub async fn checkout(req: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&req, check_out(&req, payload).await)
}

async fn check_out(req: &HttpRequest, payload: Payload) -> Result<HttpResponse, Refusal> {
    let desk = Desk::of(req)?;
    desk.terms.access.may_enter(desk.caller()?)?;
    let body = desk.body(payload).await?;
    let (user, wanted) = parse(&body)?;
    let idempotency = idempotency_key(req)?.map(|key| CheckoutIdempotency {
        key,
        body_hash: hash(&user, &wanted),
    });
    let request = CheckoutRequest {
        user,
        wanted,
        idempotency,
        trace: desk.trace(),
    };
    let checked_out = desk.directory()?.checkout(request).await?;
    req.extensions_mut().insert(checked_out.payment.order.id);
    say(&desk.terms.access.tokens, &checked_out)
}

fn say(tokens: &OrderTokens, checked_out: &CheckedOut) -> Result<HttpResponse, Refusal> {
    let CheckedOut { payment, replayed } = checked_out;
    let token = tokens.issue(payment.order.id);
    let body = CheckedOutBody {
        order_id: Shown(payment.order.id),
        order_name: &payment.order.name,
        total_amount: payment.order.total.get(),
        status: payment.status.name(),
        expires_at: Kst(payment.expires_at),
        order_token: &token.0,
    };
    let status = if *replayed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut res = data(status, body)?;
    let location = location(status_url(payment.order.id))?;
    res.headers_mut().insert(header::LOCATION, location);
    if *replayed {
        let replayed = HeaderValue::from_static("true");
        res.headers_mut().insert(IDEMPOTENCY_REPLAYED, replayed);
    }
    Ok(res)
}

/// Whatever the body says about names and prices is not even read.
fn parse(body: &[u8]) -> Result<(UserId, BTreeMap<ProductId, Quantity>), Refusal> {
    let [user, lines] = fields(body, &["userId", LINES])?;
    let user = user.user()?;
    let items = lines.objects(&["productId", "quantity"], Order::MOST_LINES)?;
    let wanted: Result<Vec<_>, Rejection> = items.iter().map(line).collect();
    let wanted = wanted?;
    let merged = Order::merge(&wanted).map_err(|unfit| unfit_lines(&unfit, &lines, &wanted))?;
    Ok((user, merged))
}

fn line([product, quantity]: &[Field<'_>; 2]) -> Result<(ProductId, Quantity), Rejection> {
    let wants = "an integer from 1 to 9007199254740991";
    let id = ProductId::new(product.whole(wants)?).ok_or_else(|| product.refuse(wants))?;
    let wants = format!("an integer from 1 to {}", Quantity::MOST);
    let count = Quantity::new(quantity.whole(&wants)?).ok_or_else(|| quantity.refuse(wants))?;
    Ok((id, count))
}

/// Lines that are fine each, but not together.
fn unfit_lines(
    unfit: &UnfitLines,
    lines: &Field<'_>,
    wanted: &[(ProductId, Quantity)],
) -> Rejection {
    match unfit {
        UnfitLines::TooMany(product) => {
            let last = wanted.iter().rposition(|(other, _)| other == product);
            let field = format!("{LINES}[{}].quantity", last.unwrap_or_default());
            Rejection::invalid(field, unfit.to_string())
        }
        UnfitLines::Count | UnfitLines::UnknownProduct(_) | UnfitLines::Total => {
            lines.refuse(unfit.to_string())
        }
    }
}

fn idempotency_key(req: &HttpRequest) -> Result<Option<Box<str>>, Refusal> {
    let mut keys = req.headers().get_all(IDEMPOTENCY_KEY);
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let fits = (1..=MOST_KEY_CHARS).contains(&key.len());
    let visible = key.as_bytes().iter().all(u8::is_ascii_graphic);
    match key.to_str() {
        Ok(text) if fits && visible && keys.next().is_none() => Ok(Some(text.into())),
        Ok(_) | Err(_) => {
            let wants = format!("1 to {MOST_KEY_CHARS} visible ASCII characters, once");
            Err(Refusal::invalid("Idempotency-Key", wants))
        }
    }
}

/// Of what is wanted, not of how it is spelled: the order of lines, spaces and unknown fields make no other body.
fn hash(user: &UserId, wanted: &BTreeMap<ProductId, Quantity>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (product, quantity) in wanted {
        hash.update(product.get().to_be_bytes());
        hash.update(quantity.get().to_be_bytes());
    }
    // Last, since it alone has no fixed length: no two bodies run together into the same bytes.
    hash.update([0xff]);
    hash.update(user.as_str().as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn wanted(body: &str) -> Result<(String, Vec<(i64, u32)>), String> {
        let read = parse(body.as_bytes()).map_err(|refusal| match refusal {
            Refusal::Rejected(Rejection::InvalidInput { field, wants }) => {
                format!("{field}: {wants}")
            }
            other => format!("{other:?}"),
        });
        let plain = |(p, q): (ProductId, Quantity)| (p.get(), q.get());
        read.map(|(user, wanted)| {
            let wanted = wanted.into_iter().map(plain).collect();
            (user.as_str().to_owned(), wanted)
        })
    }

    fn lines(lines: &str) -> String {
        format!(r#"{{"userId": 1, "orderedProductList": {lines}}}"#)
    }

    #[test]
    fn a_checkout_is_read_merged_and_all_else_is_ignored() {
        let body = r#"{"userId": 1, "orderedProductList": [
            {"productId": 2, "quantity": 1, "price": 1},
            {"quantity": 3, "productId": 1},
            {"productId": 2, "quantity": 1}], "totalAmount": 5, "note": {"a": []}}"#;
        assert_eq!(wanted(body), Ok(("1".to_owned(), vec![(1, 3), (2, 2)])));
    }

    #[test]
    fn each_unfit_checkout_names_the_field() {
        let list = "orderedProductList: a list of 1 to 100";
        let product = "orderedProductList[0].productId: an integer from 1 to 9007199254740991";
        let quantity = "orderedProductList[0].quantity: an integer from 1 to 10000";
        let many = |n| {
            format!(
                "[{}]",
                vec![r#"{"productId": 1, "quantity": 1}"#; n].join(",")
            )
        };
        let line = |line: &str| lines(&format!("[{{{line}}}]"));
        for (body, expected) in [
            (
                r#"{"orderedProductList": []}"#.to_owned(),
                "userId: an integer, or 1 to 64 characters without control characters or spaces at its ends",
            ),
            (r#"{"userId": 1}"#.to_owned(), list),
            (lines("[]"), list),
            (lines("null"), list),
            (lines(r#""x""#), list),
            (lines(&many(101)), list),
            (lines("[5]"), "orderedProductList[0]: a JSON object"),
            (line(r#""quantity": 1"#), product),
            (line(r#""productId": 0, "quantity": 1"#), product),
            (line(r#""productId": "1", "quantity": 1"#), product),
            (line(r#""productId": 1.5, "quantity": 1"#), product),
            (line(r#""productId": 1"#), quantity),
            (line(r#""productId": 1, "quantity": null"#), quantity),
            (line(r#""productId": 1, "quantity": 0"#), quantity),
            (line(r#""productId": 1, "quantity": -1"#), quantity),
            (line(r#""productId": 1, "quantity": 10001"#), quantity),
            (
                line(r#""productId": 1, "quantity": 99999999999999999999"#),
                quantity,
            ),
            (line(r#""productId": 1, "quantity": 1.0"#), quantity),
            (line(r#""productId": 1, "quantity": "1""#), quantity),
            (
                lines(
                    r#"[{"productId": 7, "quantity": 9000}, {"productId": 8, "quantity": 1}, {"productId": 7, "quantity": 1001}]"#,
                ),
                "orderedProductList[2].quantity: at most 10000 of product 7",
            ),
        ] {
            assert_eq!(wanted(&body), Err(expected.to_owned()), "{body}");
        }
        assert!(wanted(&lines(&many(100))).is_ok());
    }

    #[test]
    fn the_same_wish_in_other_words_is_the_same_body() {
        let of = |body: &str| {
            let (user, wanted) = parse(body.as_bytes()).unwrap();
            hash(&user, &wanted)
        };
        let body = of(&lines(
            r#"[{"productId":1,"quantity":1},{"productId":2,"quantity":2}]"#,
        ));
        let turned =
            lines(r#"[{"quantity":2, "productId":2}, {"productId":1,"quantity":1,"x":0}]"#);
        assert_eq!(of(&turned), body);
        let other = lines(r#"[{"productId":1,"quantity":2},{"productId":2,"quantity":1}]"#);
        assert_ne!(of(&other), body);
        let user = r#"{"userId": 2, "orderedProductList": [{"productId":1,"quantity":1},{"productId":2,"quantity":2}]}"#;
        assert_ne!(of(user), body);
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_and_there_once() {
        let key = |values: &[&[u8]]| {
            let mut req = actix_web::test::TestRequest::default();
            for value in values {
                let value = HeaderValue::from_bytes(value).unwrap();
                req = req.append_header((IDEMPOTENCY_KEY, value));
            }
            idempotency_key(&req.to_http_request())
                .ok()
                .map(|key| key.map(String::from))
        };
        let most = [b'x'; 255];
        assert_eq!(key(&[]), Some(None));
        assert_eq!(key(&[b"a-1"]), Some(Some("a-1".to_owned())));
        assert!(key(&[&most]).is_some() && key(&[&[b'x'; 256]]).is_none());
        for unfit in [
            &[b"" as &[u8]] as &[&[u8]],
            &[b"a b"],
            &["é".as_bytes()],
            &[b"a\tb"],
            &[b"a", b"a"],
        ] {
            assert_eq!(key(unfit), None, "{unfit:?}");
        }
    }

    #[test]
    fn an_order_is_created_once_and_found_again() {
        let id = OrderId::parse("01990000-0000-7000-8000-00000000abcd").unwrap();
        let order = Order {
            id,
            user: UserId::parse("1").unwrap(),
            name: "Ogu T 외 1건".into(),
            lines: [].into(),
            total: crate::domain::Won::new(210_000).unwrap(),
        };
        let expires_at = crate::domain::Timestamp::from_micros(2_400_000_000);
        let payment = crate::domain::Payment::ready(order, expires_at);
        let tokens = OrderTokens::new(&[1; 32]);
        let token = tokens.issue(id).0;
        let body = format!(
            r#"{{"data":{{"orderId":"{id}","orderName":"Ogu T 외 1건","totalAmount":210000,"status":"READY","expiresAt":"1970-01-01T09:40:00+09:00","orderToken":"{token}"}}}}"#
        );
        for (replayed, status, header) in [(false, 201, None), (true, 200, Some("true"))] {
            let payment = payment.clone();
            let res = say(&tokens, &CheckedOut { payment, replayed }).unwrap();
            let shown = |name| {
                res.headers()
                    .get(name)
                    .map(|v: &HeaderValue| v.to_str().unwrap())
            };
            assert_eq!(
                (res.status().as_u16(), shown(IDEMPOTENCY_REPLAYED)),
                (status, header)
            );
            assert_eq!(shown(header::LOCATION), Some(&*status_url(id)));
            let said = actix_web::body::MessageBody::try_into_bytes(res.into_body());
            assert_eq!(said.ok().unwrap(), body);
        }
    }
}
