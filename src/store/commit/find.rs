//! Phase one of a commit, for whoever looks first: the rows of the whole batch are locked and read, in key order.

use sea_orm::{DatabaseTransaction, FromQueryResult};

use super::Aborted;
use super::change::Wanted;
use super::decide::{Found, Made, Stand};
use crate::domain::product::Shelf;
use crate::domain::{Incarnation, OrderId, Timestamp};
use crate::store::dialect::Sql;
use crate::store::{rows, rows_of};

/// Each a JSON array of arrays: one row, however many were locked.
#[derive(FromQueryResult)]
struct LockedRows {
    payments: String,
    products: String,
}

impl LockedRows {
    fn enter(&self, found: &mut Found<'_>) -> Result<(), String> {
        let payments: Vec<(uuid::Uuid, i64, i64)> = rows::parse("payments", &self.payments)?;
        for (order, version, held) in payments {
            let held = held != 0;
            found
                .payments
                .insert(OrderId::new(order), Stand { version, held });
        }
        let products: Vec<(i64, i64, i64)> = rows::parse("products", &self.products)?;
        for (id, stock, received) in products {
            let shelf = Shelf { stock, received };
            found.products.insert(rows::product_id(id)?, shelf);
        }
        Ok(())
    }
}

#[derive(FromQueryResult)]
pub(in crate::store) struct CheckoutKeyRow {
    user_id: String,
    key: String,
    body_hash: String,
    order_id: String,
    created_at: i64,
}

#[derive(FromQueryResult)]
struct NodeRow {
    incarnation: String,
}

pub(super) async fn find<'a>(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    wanted: &Wanted<'a>,
) -> Result<Found<'a>, Aborted> {
    let refused = Aborted::refused;
    let mut found = Found::default();
    if !(wanted.payments.is_empty() && wanted.products.is_empty()) {
        let payments: Vec<_> = wanted.payments.iter().collect();
        let products: Vec<_> = wanted.products.iter().collect();
        let keys = [sql.batch.keys(&payments), sql.batch.keys(&products)];
        let [payments, products] = keys;
        let keys = [payments.map_err(refused)?, products.map_err(refused)?];
        for row in rows_of::<LockedRows>(txn, sql.lock_rows, keys).await? {
            row.enter(&mut found).map_err(refused)?;
        }
    }
    let rows: Vec<CheckoutKeyRow> =
        read(txn, sql, sql.lock_checkout_keys, &wanted.checkout_keys).await?;
    for row in rows {
        // The batch's own spelling of the key lives as long as the batch.
        let mut names = wanted.checkout_keys.iter();
        let name = names.find(|name| **name == (row.user_id.as_str(), row.key.as_str()));
        if let Some(name) = name {
            found
                .checkout_keys
                .insert(*name, row.made().map_err(refused)?);
        }
    }
    let rows: Vec<NodeRow> = read(txn, sql, sql.lock_nodes, &wanted.nodes).await?;
    for row in rows {
        let id = uuid::Uuid::try_parse(&row.incarnation).map_err(|e| refused(e.to_string()))?;
        found.nodes.insert(Incarnation(id));
    }
    Ok(found)
}

/// No keys, no round trip.
async fn read<T: FromQueryResult, K: serde::Serialize>(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    text: &'static str,
    keys: &std::collections::BTreeSet<K>,
) -> Result<Vec<T>, Aborted> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = keys.iter().collect();
    let keys = sql.batch.values(&keys).map_err(Aborted::refused)?;
    Ok(rows_of(txn, text, keys).await?)
}

impl CheckoutKeyRow {
    pub(in crate::store) fn made(&self) -> Result<Made, String> {
        Ok(Made {
            order: rows::order_id(&self.order_id)?,
            body_hash: rows::hash(&self.body_hash)?,
            at: Timestamp::from_micros(self.created_at),
        })
    }
}
