//! The schema, step by step: numbered, forward-only, one DDL statement a file (MySQL commits each by itself).
//! A step that was released is never changed; a correction is the next number.

use sea_orm::{DbBackend, FromQueryResult, Statement};
use sea_orm_migration::prelude::*;

mod m0001_create_users;
mod m0002_create_products;
mod m0003_create_payments;
mod m0004_index_payments_due;
mod m0005_index_payments_user;
mod m0006_create_order_lines;
mod m0007_create_checkout_keys;
mod m0008_create_attempts;
mod m0009_create_payment_history;
mod m0010_create_outbox;
mod m0011_create_nodes;
mod m0012_create_secrets;
mod m0013_create_stock_changes;
mod m0014_drop_payments_user;
mod m0015_free_attempts;
mod m0016_free_payment_history;
mod m0017_room_for_outcomes;
mod m0018_name_order_lines;
mod m0019_saturation_of_nodes;
mod m0020_drop_payments_due;
mod m0021_index_payments_open;

#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_create_users::Migration),
            Box::new(m0002_create_products::Migration),
            Box::new(m0003_create_payments::Migration),
            Box::new(m0004_index_payments_due::Migration),
            Box::new(m0005_index_payments_user::Migration),
            Box::new(m0006_create_order_lines::Migration),
            Box::new(m0007_create_checkout_keys::Migration),
            Box::new(m0008_create_attempts::Migration),
            Box::new(m0009_create_payment_history::Migration),
            Box::new(m0010_create_outbox::Migration),
            Box::new(m0011_create_nodes::Migration),
            Box::new(m0012_create_secrets::Migration),
            Box::new(m0013_create_stock_changes::Migration),
            Box::new(m0014_drop_payments_user::Migration),
            Box::new(m0015_free_attempts::Migration),
            Box::new(m0016_free_payment_history::Migration),
            Box::new(m0017_room_for_outcomes::Migration),
            Box::new(m0018_name_order_lines::Migration),
            Box::new(m0019_saturation_of_nodes::Migration),
            Box::new(m0020_drop_payments_due::Migration),
            Box::new(m0021_index_payments_open::Migration),
        ]
    }
}

/// A UUID in its hyphenated form.
const UUID_CHARS: u32 = 36;
/// The shop's name of a buyer.
const USER_CHARS: u32 = 64;
/// Statuses and events.
const WORD_CHARS: u32 = 40;
/// SHA-256 in hexadecimal.
const HASH_CHARS: u32 = 64;

/// A table whose rows live in the tree of their primary key. SQLite would otherwise keep a second tree beside
/// it and write every row twice; MySQL does it always, PostgreSQL never.
fn keyed_table(manager: &SchemaManager<'_>, name: &'static str) -> TableCreateStatement {
    let mut table = counted_table(manager, name);
    if manager.get_database_backend() == DbBackend::Sqlite {
        table.extra("WITHOUT ROWID");
    }
    table
}

/// A table whose rows are numbered, or few. Texts compare byte by byte on every database, so that two keys that differ are
/// two keys, and their order is the same everywhere: here for MySQL, in each column for PostgreSQL, by default on SQLite.
fn counted_table(manager: &SchemaManager<'_>, name: &'static str) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Alias::new(name));
    if manager.get_database_backend() == DbBackend::MySql {
        // A step that was made, and its node killed before that was noted, is there already.
        table
            .if_not_exists()
            .engine("InnoDB")
            .character_set("utf8mb4")
            .collate("utf8mb4_bin");
    }
    table
}

fn id(manager: &SchemaManager<'_>, name: &'static str) -> ColumnDef {
    text(manager, name, UUID_CHARS)
}

fn text(manager: &SchemaManager<'_>, name: &'static str, chars: u32) -> ColumnDef {
    let mut column = maybe_text(manager, name, chars);
    column.not_null();
    column
}

fn maybe_text(manager: &SchemaManager<'_>, name: &'static str, chars: u32) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.string_len(chars);
    if manager.get_database_backend() == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}

fn integer(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.big_integer().not_null();
    column
}

fn flag(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.boolean().not_null();
    column
}

/// As with tables: MySQL may have made it already.
async fn create_index(
    manager: &SchemaManager<'_>,
    name: &'static str,
    table: &'static str,
    columns: [&'static str; 2],
) -> Result<(), DbErr> {
    let by_itself = manager.get_database_backend() == DbBackend::MySql;
    if by_itself && manager.has_index(table, name).await? {
        return Ok(());
    }
    let mut index = Index::create();
    index.name(name).table(table);
    index.col(columns[0]).col(columns[1]);
    manager.create_index(index).await
}

/// And may have dropped it already.
async fn drop_index(
    manager: &SchemaManager<'_>,
    name: &'static str,
    table: &'static str,
) -> Result<(), DbErr> {
    if !manager.has_index(table, name).await? {
        return Ok(());
    }
    let mut index = Index::drop();
    index.name(name).table(table);
    manager.drop_index(index).await
}

fn primary_key(columns: [&'static str; 2]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.primary().col(columns[0]).col(columns[1]);
    index
}

/// To the payment of the same order: a row about an order that does not exist is a bug. Two tables lost theirs again on servers,
/// see [`drop_key_to_payment`].
fn of_payment(table: &'static str) -> ForeignKeyCreateStatement {
    let mut key = ForeignKey::create();
    key.from(table, "order_id").to("payments", "order_id");
    key
}

#[derive(FromQueryResult)]
struct Constraint {
    name: String,
}

/// The one foreign key of the table. Its rows are written in the transaction that has read their payment, and under its lock. To look for it again for
/// each of them was a seventh of what a commit costs PostgreSQL. The lines keep their key: so no payment can be deleted
/// that has any. SQLite keeps this one too: there it costs next to nothing, and only a copy of the table would be without it.
async fn drop_key_to_payment(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    let here = match manager.get_database_backend() {
        DbBackend::MySql => "database()",
        DbBackend::Postgres => "current_schema()",
        _ => return Ok(()),
    };
    let keys = format!(
        "SELECT constraint_name AS name FROM information_schema.table_constraints
         WHERE table_schema = {here} AND table_name = '{table}' AND constraint_type = 'FOREIGN KEY'"
    );
    let connection = manager.get_connection();
    let keys = Statement::from_string(manager.get_database_backend(), keys);
    for key in Constraint::find_by_statement(keys).all(connection).await? {
        let mut drop = ForeignKey::drop();
        drop.table(Alias::new(table)).name(key.name);
        manager.drop_foreign_key(drop).await?;
    }
    Ok(())
}

fn at_least(column: &'static str, least: i64) -> SimpleExpr {
    Expr::col(column).gte(least)
}
