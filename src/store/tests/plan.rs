//! The plans of the statements that run all day: an index, never a walk over every payment.

use sea_orm::{FromQueryResult, Value};

use super::shop::Shop;
use crate::store::dialect::{Telling, Together};

#[derive(FromQueryResult)]
struct Plan {
    detail: String,
}

async fn plan(shop: &Shop, sql: &str, values: usize) -> Vec<String> {
    let sql: &'static str = Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
    let values = vec![Value::from("[]"); values];
    let plan: Vec<Plan> = crate::store::rows_of(&shop.writer(), sql, values)
        .await
        .unwrap();
    plan.into_iter().map(|step| step.detail).collect()
}

fn walks(plan: &[String]) -> bool {
    let tables = [
        "payments",
        "p",
        "products",
        "l",
        "a",
        "h",
        "o",
        "order_lines",
        "attempts",
        "payment_history",
        "outbox",
    ];
    let walk = |step: &String| {
        let mut words = step.split(' ');
        words.next() == Some("SCAN") && words.next().is_some_and(|table| tables.contains(&table))
    };
    plan.iter().any(walk)
}

#[tokio::test]
async fn the_due_queue_is_searched_by_its_index() {
    let shop = Shop::file_with(0, 0).await;
    let plan = plan(&shop, shop.store.0.sql.due, 6).await;
    let searches = |step: &&String| step.starts_with("SEARCH payments USING");
    assert_eq!(plan.iter().filter(searches).count(), 4, "{plan:#?}");
    assert!(
        plan.iter()
            .filter(searches)
            .all(|step| step.contains("payments_due")),
        "{plan:#?}"
    );
    assert!(!walks(&plan), "{plan:#?}");
}

#[tokio::test]
async fn no_statement_of_a_commit_or_a_load_walks_a_table() {
    let shop = Shop::file_with(0, 0).await;
    let sql = shop.store.0.sql;
    let Telling::Moving(move_and_tell) = sql.tell_stock else {
        panic!("a file moves and tells at once");
    };
    for (sql, values) in [
        (move_and_tell, 1),
        (sql.lock_rows, 2),
        (sql.lock_checkout_keys, 1),
        (sql.lock_nodes, 1),
        (sql.lives, 2),
        (sql.postpone_payments, 1),
        (sql.move_stock, 1),
        (sql.update_nodes, 1),
        (sql.read_back, 2),
        (sql.load, 1),
        (sql.history, 1),
        (sql.audit_page, 2),
        (sql.backlog, 1),
        (sql.checkout_key, 2),
        (sql.make_orphans_due[0], 3),
        (sql.make_orphans_due[1], 3),
    ] {
        let plan = plan(&shop, sql, values).await;
        assert!(!walks(&plan), "{sql}\n{plan:#?}");
    }
    let keep = sql.retention;
    for (sql, values) in [
        (keep.checkout_keys, 3),
        (keep.nodes, 3),
        (keep.history, 4),
        (keep.outbox, 2),
        (keep.drop_history, 1),
        (keep.drop_outbox, 1),
        (keep.drop_nodes, 2),
    ] {
        let plan = plan(&shop, sql, values).await;
        assert!(!walks(&plan), "{sql}\n{plan:#?}");
    }
    let keys = plan(&shop, keep.checkout_keys, 3).await;
    let searches = |step: &String| step.contains("SEARCH checkout_keys USING PRIMARY KEY");
    assert!(keys.iter().all(searches), "{keys:#?}");
    let dropped = plan(&shop, sql.drop_checkout_keys, 1).await;
    let searches = |step: &String| step.starts_with("SEARCH checkout_keys USING PRIMARY KEY");
    assert!(dropped.iter().any(searches), "{dropped:#?}");
    let Together::One(text) = sql.write_payments else {
        panic!("a file is written in one trip");
    };
    let parts: Vec<&str> = text.split(';').collect();
    assert_eq!(parts.len(), 8);
    for part in parts {
        let plan = plan(&shop, part, 1).await;
        assert!(!walks(&plan), "{part}\n{plan:#?}");
    }
}
