//! The one place that knows how databases differ: their SQL, how the rows of a batch travel, and what their error codes mean.
//!
//! Every text is constant, never sized by a batch, so each is prepared once.

use sea_orm::DbBackend;
use sea_orm::sqlx::error::{DatabaseError, ErrorKind};
use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::sqlx::postgres::PgDatabaseError;

mod mysql;
mod postgres;
mod sqlite;

pub(super) static SQLITE: &Sql = &sqlite::SQL;
pub(super) static POSTGRES: &Sql = &postgres::SQL;
pub(super) static MYSQL: &Sql = &mysql::SQL;

/// What an answer of the database says about the statement that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The statement itself cannot be: a constraint, a type, a size.
    Refused,
    /// It collided with somebody else's, who may be done by now: the whole transaction again.
    Collided,
    /// A lock was not had in time. Once more; then whoever wants it is told, and its batch-mates go on without it.
    Blocked,
    /// Somebody else has written the row since the transaction looked. If the next look does not see it, it is refused.
    Taken,
    /// It is about the database's health.
    Unwell,
}

pub(super) fn error_class(answer: &dyn DatabaseError) -> ErrorClass {
    if let Some(answer) = answer.try_downcast_ref::<PgDatabaseError>() {
        return postgres::error_class(answer);
    }
    if let Some(answer) = answer.try_downcast_ref::<MySqlDatabaseError>() {
        return mysql::error_class(answer);
    }
    sqlite::error_class(answer)
}

/// Whether this answer to COMMIT says that the commit was not made. Other answers leave open what a restart will find.
pub(super) fn is_no_commit(answer: &dyn DatabaseError) -> bool {
    let server = answer.try_downcast_ref::<PgDatabaseError>().is_some()
        || answer.try_downcast_ref::<MySqlDatabaseError>().is_some();
    if server {
        // A server that refuses says so with a reason; one that is going down may have written already.
        return error_class(answer) != ErrorClass::Unwell;
    }
    sqlite::is_no_commit(answer)
}

/// How the rows of a batch travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// One JSON array; each row is an array, each key stands by itself.
    Json,
    /// One array literal a column.
    Columns,
}

/// What payments write, in the order in which rows point at one another: new payments and their lines, states, new attempts,
/// attempts, history, news, stock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Together {
    /// One round trip that takes all eight, empty or not.
    One(&'static str),
    /// Each by itself, and nothing is said about one with nothing to write.
    Each([&'static str; 8]),
}

/// How an optimist, who has not looked at the shelves, hears of the stock that it leaves behind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Telling {
    /// This moves stock as [`Sql::move_stock`] does, and answers with each product and its stock.
    Moving(&'static str),
    /// Asked afterwards, with the keys of the products: this database has no UPDATE that answers.
    Afterwards(&'static str),
}

/// `lock_*` read under the locks of what they read, in key order; the rest of the first block writes. All take the rows of a
/// batch as [`Sql::batch`] has them.
pub(super) struct Sql {
    /// Whether several nodes may serve one database; else whoever serves it knows that all others are dead.
    pub shared: bool,
    pub batch: Batch,
    /// keys of payments, keys of products
    pub lock_rows: &'static str,
    pub lock_checkout_keys: &'static str,
    pub lock_nodes: &'static str,

    pub write_payments: Together,
    pub drop_checkout_keys: &'static str,
    pub put_checkout_keys: &'static str,
    pub postpone_payments: &'static str,
    pub put_listings: &'static str,
    pub insert_stock_changes: &'static str,
    pub move_stock: &'static str,
    pub tell_stock: Telling,
    pub put_nodes: &'static str,
    pub update_nodes: &'static str,

    /// order. Before [`Sql::read_back`], which must see what the lock has waited for.
    pub lock_payment: &'static str,
    /// order, transition
    pub read_back: &'static str,
    /// id
    pub stock_change: &'static str,
    /// What is seen may be forgotten again. These write, given the id of a row, and leave nothing behind; once they are
    /// committed, all that came before stays. None where nobody sees what does not stay.
    pub witness: &'static [&'static str],
    /// keys of payments
    pub load: &'static str,
    /// keys of payments
    pub versions: &'static str,
    /// order
    pub history: &'static str,
    /// now, the asking incarnation, limit of each status, from which age on a heartbeat is a dead node's, the last
    /// digits of the orders that are asked for, from which deadline on an attempt is nobody's
    pub due: &'static str,
    /// By the database's clock, in microseconds.
    pub now: &'static str,
    /// incarnation, from which age on a heartbeat is a dead node's
    pub lives: &'static str,
    /// from which age on a heartbeat is a dead node's
    pub living: &'static str,
    /// now
    pub backlog: &'static str,
    /// limit
    pub recent: &'static str,
    /// limit
    pub quarantined: &'static str,
    /// the last order seen, limit
    pub audit_page: &'static str,
    /// keys of products
    pub products: &'static str,
    /// keys of products
    pub counted: &'static str,
    pub all_counted: &'static str,
    /// keys of products
    pub booked: &'static str,
    /// user, key
    pub checkout_key: &'static str,
    /// user
    pub user: &'static str,

    pub is_empty: &'static str,
    /// id, name
    pub insert_user: &'static str,
    /// now, the asking incarnation, from which age on a heartbeat is a dead node's. What has a time, then what has none:
    /// each is a piece of the index by itself, so that the next thousand are found behind the last ones.
    pub make_orphans_due: [&'static str; 2],
    /// name
    pub secret: &'static str,
    /// name, value
    pub insert_secret: &'static str,
    pub ping: &'static str,
    pub retention: &'static Retention,
    /// Whoever migrates waits here for whoever already does: until the transaction ends, or until it is unlocked. `None`: a
    /// transaction is alone.
    pub lock_schema: Option<&'static str>,
    /// Once the lock is had: a step that waits for somebody's table makes everybody else wait behind it.
    pub impatient_again: Option<&'static str>,
    pub unlock_schema: Option<&'static str>,
}

/// What housekeeping deletes: each table is read along its primary key, a few rows at a time, and pruned by keys that were
/// read. Several nodes may do so at once: a row that is not there any more, or that somebody else has, is nobody's loss.
pub(super) struct Retention {
    /// the last user and key seen, limit
    pub checkout_keys: &'static str,
    /// user, key and age of each
    pub drop_checkout_keys: &'static str,
    /// The silent: closed or dead for so long, and without a payment that is unfinished.
    /// the last incarnation seen, for how long in microseconds, limit
    pub nodes: &'static str,
    /// incarnations, for how long
    pub drop_nodes: &'static str,
    /// With each row, when its order was made, the payment's version, and since when the payment rests for good: nothing,
    /// if it does not, or if the row is its last.
    /// the last order and version seen, now, limit
    pub history: &'static str,
    /// order and version of each payment whose former rows go
    pub drop_history: &'static str,
    /// the last id seen, limit
    pub outbox: &'static str,
    /// ids
    pub drop_outbox: &'static str,
}

/// The text with its values as this database wants them. MySQL knows no numbers: each `?1` becomes a `?` with a copy of the
/// value that it means.
pub(super) fn placed<V: Clone>(
    backend: DbBackend,
    sql: &'static str,
    values: Vec<V>,
) -> (String, Vec<V>) {
    if backend != DbBackend::MySql {
        return (sql.to_owned(), values);
    }
    let mut parts = sql.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut placed = Vec::with_capacity(values.len());
    for part in parts {
        text.push('?');
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = part[..digits].parse().unwrap_or(placed.len() + 1);
        placed.extend(values.get(number.wrapping_sub(1)).cloned());
        text.push_str(&part[digits..]);
    }
    (text, placed)
}

fn is_constraint(answer: &dyn DatabaseError) -> bool {
    !matches!(answer.kind(), ErrorKind::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_values_are_repeated_where_the_text_repeats_them() {
        let sql = "SELECT a WHERE b = ?2 AND c < ?1 AND d > ?2 LIMIT ?3";
        let (text, values) = placed(DbBackend::MySql, sql, vec!["x", "y", "z"]);
        assert_eq!(text, "SELECT a WHERE b = ? AND c < ? AND d > ? LIMIT ?");
        assert_eq!(values, ["y", "x", "y", "z"]);
        let (text, values) = placed(DbBackend::Sqlite, sql, vec!["x"]);
        assert_eq!((text.as_str(), values), (sql, vec!["x"]));
    }
}
