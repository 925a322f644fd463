//! What moves on the shelves.

use sea_orm::{DatabaseTransaction, FromQueryResult};
use serde::Serialize;
use uuid::Uuid;

use super::Aborted;
use super::change::Restock;
use super::decide::Writes;
use super::write::{all_of, put};
use crate::domain::ProductId;
use crate::store::dialect::{Sql, Telling};
use crate::store::rows::{StockRow, product_id};
use crate::store::{execute, rows_of};

#[derive(Serialize)]
struct StockChangeRow<'a> {
    id: Uuid,
    product_id: i64,
    quantity: i64,
    reason: &'a str,
    at: i64,
}

#[derive(FromQueryResult)]
struct MovedRow {
    id: i64,
    stock: i64,
}

/// Returns what is on the shelves from now on.
pub(super) async fn move_and_tell(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    rows: &[StockRow],
) -> Result<Vec<(ProductId, i64)>, Aborted> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let values = sql.batch.values(rows).map_err(Aborted::refused)?;
    let moved: Vec<MovedRow> = match sql.tell_stock {
        Telling::Moving(text) => rows_of(txn, text, values).await?,
        Telling::Afterwards(text) => {
            all_of(rows.len(), execute(txn, sql.move_stock, values).await?)?;
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let keys = sql.batch.keys(&ids).map_err(Aborted::refused)?;
            rows_of(txn, text, [keys]).await?
        }
    };
    all_of(rows.len(), moved.len() as u64)?;
    // The database's own CHECK says so too, unless somebody has switched it off.
    if let Some(short) = moved.iter().find(|row| row.stock < 0) {
        let why = format!("product {} would be short", short.id);
        return Err(Aborted::refused(why));
    }
    let told = |row: MovedRow| Ok((product_id(row.id)?, row.stock));
    moved
        .into_iter()
        .map(told)
        .collect::<Result<_, _>>()
        .map_err(Aborted::refused)
}

/// As differences: the database does the sum, and its CHECK has the last word on a negative stock.
pub(super) fn moves(writes: &Writes<'_>) -> Vec<StockRow> {
    let moved = writes.stock.iter();
    moved
        .map(|(product, change)| StockRow {
            id: product.get(),
            stock: change.stock,
            received: change.received,
        })
        .collect()
}

pub(super) async fn put_changes(
    txn: &DatabaseTransaction,
    sql: &'static Sql,
    restocks: &[&Restock],
) -> Result<(), Aborted> {
    let rows: Vec<StockChangeRow<'_>> = restocks.iter().map(|restock| change(restock)).collect();
    put(txn, sql, sql.insert_stock_changes, &rows).await?;
    Ok(())
}

fn change(restock: &Restock) -> StockChangeRow<'_> {
    StockChangeRow {
        id: restock.id,
        product_id: restock.product.get(),
        quantity: restock.change,
        reason: &restock.reason,
        at: restock.at.micros(),
    }
}
