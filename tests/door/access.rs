//! Who may: nobody, the holder of an order's token, the shop with its API key; and a browser of another origin.

use std::collections::BTreeSet;

use super::*;
use crate::common::Other;

/// The fields of an order's status, for somebody.
async fn seen(house: &House, order: &Order, bearer: Option<&str>) -> (BTreeSet<String>, Value) {
    let mut request = get(house, &format!("/api/v1/payments/{}", order.id));
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer);
    }
    let reply = house.send(request).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let fields = reply.data().as_object().unwrap();
    (fields.keys().cloned().collect(), reply.data().clone())
}

fn and(names: &BTreeSet<String>, more: &[&str]) -> BTreeSet<String> {
    let more = more.iter().map(|name| (*name).to_owned());
    names.iter().cloned().chain(more).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_shows_each_caller_what_is_theirs_and_no_more() {
    let house = guarded().start();
    let (order, key) = house.authorized().await;
    assert_eq!(house.confirm(&order, &key).await.status, 200);

    let outline = ["orderId", "status", "totalAmount", "approvedAt", "failure"];
    let outline = and(&BTreeSet::new(), &outline);
    let (fields, nobody) = seen(&house, &order, None).await;
    assert_eq!(fields, outline);
    assert_eq!(
        (&nobody["status"], &nobody["totalAmount"]),
        (&json!("DONE"), &json!(order.total))
    );

    let receipt = [
        "orderName",
        "lines",
        "method",
        "receiptUrl",
        "createdAt",
        "expiresAt",
    ];
    let receipt = and(&outline, &receipt);
    let (fields, buyer) = seen(&house, &order, Some(&order.token)).await;
    assert_eq!(fields, receipt);
    assert_eq!(buyer["lines"][0]["productId"], 1);

    let inside = [
        "userId",
        "stockHeld",
        "quarantineReason",
        "nextAttemptAt",
        "attempts",
        "history",
    ];
    let (fields, mut shop) = seen(&house, &order, Some(API_KEY)).await;
    assert_eq!(fields, and(&receipt, &inside));
    assert_eq!(shop["attempts"][0]["status"], "APPROVED");
    assert!(shop["history"].as_array().unwrap().len() >= 3, "{shop:#}");
    // Toss's own link to the receipt names the payment; nothing of ours does.
    assert!(!nobody.to_string().contains(&key), "{nobody:#}");
    shop["receiptUrl"] = Value::Null;
    assert!(!shop.to_string().contains(&key), "{shop:#}");
}

/// A product may be renamed; what was ordered was not. Lines of an earlier build have no name of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_called_what_it_was_called_when_it_was_ordered() {
    let house = House::start();
    let named = |name: &str| json!({"name": name, "price": 50_000, "sellerId": 2});
    let put = |name: &str| {
        house
            .request(Method::PUT, "/api/v1/products/1")
            .json(&named(name))
    };
    let ordered = r#"오구 "T" 👕 it's 1\2"#;
    assert_eq!(house.send(put(ordered)).await.status, 200);
    let order = house.checkout(&[(1, 1), (2, 1)]).await;
    assert_eq!(house.send(put("Ogu T, next year's")).await.status, 200);

    let (_, shown) = seen(&house, &order, None).await;
    assert_eq!(shown["orderName"], format!("{ordered} 외 1건"));
    assert_eq!(shown["lines"][0]["name"], ordered, "{shown:#}");
    assert_eq!(shown["lines"][1]["name"], "Baby Ogu T", "{shown:#}");

    let other = Other::of(&house).await;
    let forget = "UPDATE order_lines SET name = NULL WHERE order_id = ";
    other.say(&format!("{forget}'{}'", order.id)).await;
    other.close().await;
    let (_, shown) = seen(&house, &order, None).await;
    assert_eq!(shown["lines"][0]["name"], "Ogu T, next year's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_that_is_nobodys_or_another_orders_is_refused() {
    let house = guarded().start();
    let (mine, other) = (
        house.checkout(&[(1, 1)]).await,
        house.checkout(&[(1, 1)]).await,
    );
    let path = format!("/api/v1/payments/{}", mine.id);
    for bearer in [&*other.token, "pk_guessed", &mine.token[1..]] {
        let request = get(&house, &path).bearer_auth(bearer);
        let reply = refused(&house, request, "401 E99401 fix_request").await;
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    let key = house.authorize(&mine).await;
    let mut body = House::confirm_body(&mine, &key);
    body["orderToken"] = json!(other.token);
    let request = post(&house, CONFIRM, &body);
    refused(&house, request, "403 E99403 fix_request").await;
    assert_eq!(house.counted(&mine, "confirmCalls").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn products_and_stock_are_changed_by_the_shop_alone() {
    let house = guarded().start();
    let order = house.checkout(&[(1, 1)]).await;
    let product = json!({"name": "Ogu T", "price": 40_000, "sellerId": 2});
    let stock = json!({"change": 1, "reason": "restock"});
    let changes = [
        (Method::PUT, "/api/v1/products/1", &product),
        (Method::POST, "/api/v1/products/1/stock", &stock),
    ];
    let change = |(method, path, body): &(Method, &str, &Value)| {
        house.request(method.clone(), path).json(body)
    };
    let before = house.get("/api/v1/products/1").await.body;
    for each in &changes {
        refused(&house, change(each), "401 E99401 fix_request").await;
        let buyer = change(each).bearer_auth(&order.token);
        refused(&house, buyer, "403 E99403 fix_request").await;
    }
    assert_eq!(house.get("/api/v1/products/1").await.body, before);
    for each in &changes {
        let shop = house.send(change(each).bearer_auth(API_KEY)).await;
        assert_eq!(shop.status, 200, "{shop:?}");
    }
    let after = house.get("/api/v1/products/1").await;
    assert_eq!(after.data()["price"], 40_000);
    assert_eq!(house.shelf(1).await, (60, 0, 0, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_a_token_confirms_without_a_user_and_nobody_does_not() {
    let house = guarded().start();
    let without_user = |order: &Order, key: &str| json!({"orderId": order.id, "amount": order.total, "paymentKey": key});
    let (order, key) = house.authorized().await;
    let body = without_user(&order, &key);
    let nobody = refused(
        &house,
        post(&house, CONFIRM, &body),
        "400 E99001 fix_request",
    )
    .await;
    assert_eq!(nobody.body["error"]["field"], "userId");
    assert_eq!(house.counted(&order, "confirmCalls").await, 0);
    let shop = post(&house, CONFIRM, &body).bearer_auth(API_KEY);
    assert_eq!(house.send(shop).await.status, 200);

    let (order, key) = house.authorized().await;
    let bearer = post(&house, CONFIRM, &without_user(&order, &key)).bearer_auth(&order.token);
    assert_eq!(house.send(bearer).await.status, 200);

    let (order, key) = house.authorized().await;
    let mut body = without_user(&order, &key);
    body["orderToken"] = json!(order.token);
    assert_eq!(house.post(CONFIRM, &body).await.status, 200);
    house.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_may_buy_a_key_may() {
    let house = guarded().env("SERVER__ALLOW_ANONYMOUS", "false").start();
    let body = cart(&json!(1), &one_of(1));
    for closed in [
        post(&house, CHECKOUT, &body),
        get(&house, "/api/v1/products"),
        get(&house, "/api/v1/products/1"),
    ] {
        refused(&house, closed, "401 E99401 fix_request").await;
    }
    let shop = post(&house, CHECKOUT, &body).bearer_auth(API_KEY);
    let checked_out = house.send(shop).await;
    assert_eq!(checked_out.status, 201, "{checked_out:?}");
    let token = checked_out.data()["orderToken"].as_str().unwrap();
    let look = get(&house, "/api/v1/products/1").bearer_auth(token);
    assert_eq!(house.send(look).await.status, 200);
    assert_eq!(house.get("/health/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_and_what_is_not_allowed_is_refused_in_json() {
    let house = House::start();
    let preflight = |method: &str| {
        house
            .request(Method::OPTIONS, CHECKOUT)
            .header("Origin", ORIGIN)
            .header("Access-Control-Request-Method", method)
            .header(
                "Access-Control-Request-Headers",
                "content-type, idempotency-key, authorization, prefer",
            )
    };
    let reply = house.send(preflight("POST")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert!(
        reply
            .header("access-control-allow-methods")
            .contains("POST")
    );
    let allowed = reply.header("access-control-allow-headers").to_lowercase();
    for name in [
        "authorization",
        "content-type",
        "idempotency-key",
        "prefer",
        "traceparent",
        "accept-language",
    ] {
        assert!(allowed.contains(name), "{name}: {allowed}");
    }
    assert_eq!(reply.header("payonce-gateway"), "sandbox");
    let other = house.send(preflight("DELETE")).await;
    assert_eq!(
        (other.status.as_u16(), other.code()),
        (403, "E99403"),
        "{other:?}"
    );

    let fine = house
        .send(get(&house, "/api/v1/products/1").header("Origin", ORIGIN))
        .await;
    let exposed = fine.header("access-control-expose-headers").to_lowercase();
    for name in [
        "location",
        "retry-after",
        "traceparent",
        "payonce-gateway",
        "idempotency-replayed",
    ] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
    assert_eq!(fine.header("access-control-allow-origin"), "*");
}
