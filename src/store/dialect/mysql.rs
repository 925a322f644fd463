//! The texts of MySQL 8 and MariaDB. The rows of a batch come as one JSON array that JSON_TABLE reads.
//!
//! `STRAIGHT_JOIN` pins the loop order: the batch outside, the key inside; `FORCE INDEX`, because a small table would be walked
//! all the same. Any other plan would read, and lock, every row of the table. The columns of the batch have the tables' own
//! collation, or their keys could not be looked up.
//!
//! MySQL would lock the JSON_TABLE too, and fails: it must be told which table it is. MariaDB knows no such word, and skips what
//! a comment says to a MySQL of version 8.

use super::{Batch, Retention, Sql, Telling, Together};

mod error_class;

pub(super) use error_class::error_class;

/// MariaDB cuts a text that is longer than its column here, and says nothing. So each is longer than the column of the table
/// that it goes to, which refuses what is too long.
macro_rules! kind {
    (whole) => {
        "BIGINT"
    };
    (id) => {
        "VARCHAR(37) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    };
    (word) => {
        "VARCHAR(41) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    };
    (text) => {
        "VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    };
    (long) => {
        "MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    };
}

/// The keys of a batch as a table `j`.
macro_rules! keys {
    ($values:literal: $kind:ident $name:ident $path:literal $(, $more:ident $next:ident $place:literal)*) => {
        concat!(
            "JSON_TABLE(", $values, ", '$[*]' COLUMNS (`",
            stringify!($name), "` ", kind!($kind), " PATH '", $path, "' ERROR ON ERROR",
            $(", `", stringify!($next), "` ", kind!($more), " PATH '", $place, "' ERROR ON ERROR",)*
            ")) AS j"
        )
    };
}

/// The rows of a batch as a table `j`, by the places of their fields.
macro_rules! batch {
    ($place:literal $kind:ident $name:ident $(, $at:literal $more:ident $next:ident)*) => {
        concat!(
            "JSON_TABLE(?1, '$[*]' COLUMNS (`",
            stringify!($name), "` ", kind!($kind), " PATH '$[", $place, "]' ERROR ON ERROR",
            $(", `", stringify!($next), "` ", kind!($more), " PATH '$[", $at, "]' ERROR ON ERROR",)*
            ")) AS j"
        )
    };
}

macro_rules! insert {
    ($table:literal: $place:literal $kind:ident $name:ident $(, $at:literal $more:ident $next:ident)*) => {
        concat!(
            "INSERT INTO ", $table, " (`", stringify!($name), "`", $(", `", stringify!($next), "`",)*
            ") SELECT j.`", stringify!($name), "`", $(", j.`", stringify!($next), "`",)*
            " FROM ",
            batch!($place $kind $name $(, $at $more $next)*)
        )
    };
}

/// An array of all the rows that follow; none is an empty one.
macro_rules! array_of {
    ($row:literal) => {
        concat!(
            "CAST(coalesce(JSON_ARRAYAGG(",
            $row,
            "), JSON_ARRAY()) AS CHAR)"
        )
    };
}

const LOCK_ROWS: &str = concat!(
    "SELECT (SELECT ",
    array_of!("JSON_ARRAY(p.order_id, p.version, p.stock_held)"),
    " FROM ",
    keys!("?1": id order_id "$"),
    " STRAIGHT_JOIN payments AS p FORCE INDEX (PRIMARY) ON p.order_id = j.order_id FOR UPDATE /*!80001 OF p */) AS payments,
            (SELECT ",
    array_of!("JSON_ARRAY(p.id, p.stock, p.received)"),
    " FROM ",
    keys!("?2": whole id "$"),
    " STRAIGHT_JOIN products AS p FORCE INDEX (PRIMARY) ON p.id = j.id FOR UPDATE /*!80001 OF p */) AS products"
);

const LOCK_CHECKOUT_KEYS: &str = concat!(
    "SELECT k.user_id, k.`key`, k.body_hash, k.order_id, k.created_at FROM ",
    keys!("?1": text user_id "$[0]", text key "$[1]"),
    " STRAIGHT_JOIN checkout_keys AS k FORCE INDEX (PRIMARY) ON k.user_id = j.user_id AND k.`key` = j.`key`
      FOR UPDATE /*!80001 OF k */"
);

const INSERT_PAYMENTS: &str = insert!("payments":
    1 whole version, 2 whole stock_held, 3 whole rounds, 4 whole questions, 5 whole next_attempt_at, 6 whole expires_at,
    7 word status, 8 word quarantine, 9 id order_id, 10 id owner, 12 whole total_amount, 13 whole created_at, 14 text user_id,
    15 text order_name);

/// In place of a foreign key, which would lock the products: a line whose product is not there is not written, and then the
/// rows are too few.
const INSERT_LINES: &str = concat!(
    insert!("order_lines": 0 whole product_id, 1 whole quantity, 2 whole amount, 3 id order_id, 4 text name),
    " STRAIGHT_JOIN products AS p FORCE INDEX (PRIMARY) ON p.id = j.product_id"
);

const UPDATE_PAYMENTS: &str = concat!(
    "UPDATE ",
    batch!(0 whole replaces, 1 whole version, 2 whole stock_held, 3 whole rounds, 4 whole questions, 5 whole next_attempt_at,
           6 whole expires_at, 7 word status, 8 word quarantine, 9 id order_id, 10 id owner, 11 whole was_held),
    " STRAIGHT_JOIN payments AS p FORCE INDEX (PRIMARY)
      ON p.order_id = j.order_id AND p.version = j.replaces AND p.stock_held = j.was_held
    SET p.status = j.status, p.stock_held = j.stock_held, p.version = j.version, p.owner = j.owner,
        p.next_attempt_at = j.next_attempt_at, p.expires_at = j.expires_at, p.rounds = j.rounds,
        p.questions = j.questions, p.quarantine = j.quarantine"
);

const INSERT_ATTEMPTS: &str = insert!("attempts":
    0 whole number, 1 whole n, 2 whole answered, 3 whole may_send_until, 4 whole many_owners, 5 whole foreign_seen,
    6 word approval_sign, 7 word outcome, 8 whole approved_at, 9 id order_id, 10 long method, 11 long receipt_url,
    12 long doubted_code, 13 long doubted_message, 14 long gateway_code, 15 long gateway_message, 16 text payment_key,
    17 whole started_at, 18 id owner, 19 text gateway);

const UPDATE_ATTEMPTS: &str = concat!(
    "UPDATE ",
    batch!(0 whole number, 1 whole n, 2 whole answered, 3 whole may_send_until, 4 whole many_owners, 5 whole foreign_seen,
           6 word approval_sign, 7 word outcome, 8 whole approved_at, 9 id order_id, 10 long method, 11 long receipt_url,
           12 long doubted_code, 13 long doubted_message, 14 long gateway_code, 15 long gateway_message, 16 text payment_key),
    " STRAIGHT_JOIN attempts AS a FORCE INDEX (PRIMARY)
      ON a.order_id = j.order_id AND a.number = j.number AND a.payment_key = j.payment_key
    SET a.n = j.n, a.answered = j.answered, a.may_send_until = j.may_send_until,
        a.many_owners = j.many_owners, a.foreign_seen = j.foreign_seen, a.approval_sign = j.approval_sign,
        a.outcome = j.outcome, a.approved_at = j.approved_at, a.method = j.method, a.receipt_url = j.receipt_url,
        a.doubted_code = j.doubted_code, a.doubted_message = j.doubted_message, a.gateway_code = j.gateway_code,
        a.gateway_message = j.gateway_message"
);

const INSERT_HISTORY: &str = insert!("payment_history":
    0 whole version, 1 whole at, 2 word from_status, 3 word to_status, 4 word event, 5 id order_id, 6 id transition_id,
    7 long reason);

const INSERT_OUTBOX: &str =
    insert!("outbox": 0 whole version, 1 whole at, 2 word event, 3 id order_id, 4 long payload);

const MOVE_STOCK: &str = concat!(
    "UPDATE ",
    batch!(0 whole id, 1 whole stock, 2 whole received),
    " STRAIGHT_JOIN products AS p FORCE INDEX (PRIMARY) ON p.id = j.id
    SET p.stock = p.stock + j.stock, p.received = p.received + j.received"
);

const STOCK: &str = concat!(
    "SELECT p.id, p.stock FROM ",
    keys!("?1": whole id "$"),
    " STRAIGHT_JOIN products AS p FORCE INDEX (PRIMARY) ON p.id = j.id"
);

const DROP_CHECKOUT_KEYS: &str = concat!(
    "DELETE k FROM ",
    batch!(0 text user_id, 1 text key, 2 whole created_at),
    " STRAIGHT_JOIN checkout_keys AS k FORCE INDEX (PRIMARY)
      ON k.user_id = j.user_id AND k.`key` = j.`key` AND k.created_at = j.created_at"
);

const PUT_CHECKOUT_KEYS: &str = insert!("checkout_keys":
    0 text user_id, 1 text key, 2 text body_hash, 3 id order_id, 4 whole created_at);

const POSTPONE_PAYMENTS: &str = concat!(
    "UPDATE ",
    batch!(0 id order_id, 1 whole version, 2 whole until),
    " STRAIGHT_JOIN payments AS p FORCE INDEX (PRIMARY) ON p.order_id = j.order_id AND p.version = j.version
    SET p.next_attempt_at = j.`until`"
);

const PUT_LISTINGS: &str = concat!(
    "INSERT INTO products (id, name, price, stock, received, seller_id)
    SELECT j.id, j.name, j.price, 0, 0, j.seller_id FROM ",
    batch!(0 whole id, 1 text name, 2 whole price, 3 whole seller_id),
    " ON DUPLICATE KEY UPDATE name = VALUES(name), price = VALUES(price), seller_id = VALUES(seller_id)"
);

const INSERT_STOCK_CHANGES: &str = insert!("stock_changes":
    0 id id, 1 whole product_id, 2 whole quantity, 3 long reason, 4 whole at);

/// By the database's clock, the only one that all nodes share; heartbeats are written and judged by it alone. Not the start
/// of the statement: it may have waited.
macro_rules! now {
    () => {
        "CAST(unix_timestamp(sysdate(6)) * 1000000 AS SIGNED)"
    };
}

mod retention;

/// The open rows with a heartbeat that is younger than the parameter, in microseconds; and not of a future that a clock
/// which was set back has left behind.
macro_rules! living {
    ($columns:literal, $age:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM nodes WHERE closed_at IS NULL AND heartbeat_at > ",
            now!(),
            " - ",
            $age,
            " AND heartbeat_at < ",
            now!(),
            " + abs(",
            $age,
            ")"
        )
    };
}

mod nodes;

const READ_BACK: &str = "
    SELECT p.version, p.stock_held,
           EXISTS (SELECT 1 FROM payment_history AS h
                   WHERE h.transition_id = ?2 AND h.order_id = p.order_id) AS landed
    FROM payments AS p WHERE p.order_id = ?1";

/// By name: a column that a newer build adds must not change what a prepared statement of this one answers.
macro_rules! payment {
    () => {
        "p.order_id, p.user_id, p.order_name, p.status, p.stock_held, p.total_amount, p.version, p.owner,
           p.next_attempt_at, p.expires_at, p.rounds, p.questions, p.quarantine, p.created_at"
    };
}

/// The lines and the attempts of `p`, each as a JSON array: one statement sees one state, whatever is written beside it.
macro_rules! lines_and_attempts {
    () => {
        concat!(
            "(SELECT ",
            array_of!("JSON_OBJECT('product_id', l.product_id, 'quantity', l.quantity, 'amount', l.amount, 'name', l.name)"),
            " FROM order_lines AS l WHERE l.order_id = p.order_id) AS `lines`,
           (SELECT ",
            array_of!("JSON_OBJECT(
                'number', a.number, 'payment_key', a.payment_key, 'n', a.n, 'answered', a.answered,
                'gateway', a.gateway, 'started_at', a.started_at, 'may_send_until', a.may_send_until,
                'owner', a.owner, 'many_owners', a.many_owners, 'foreign_seen', a.foreign_seen,
                'approval_sign', a.approval_sign, 'doubted_code', a.doubted_code,
                'doubted_message', a.doubted_message, 'outcome', a.outcome,
                'gateway_code', a.gateway_code, 'gateway_message', a.gateway_message,
                'approved_at', a.approved_at, 'method', a.method, 'receipt_url', a.receipt_url)"),
            " FROM attempts AS a WHERE a.order_id = p.order_id) AS attempts"
        )
    };
}

macro_rules! past {
    ($order:literal) => {
        concat!(
            "(SELECT ",
            array_of!("JSON_OBJECT(
                'version', h.version, 'transition_id', h.transition_id, 'from_status', h.from_status,
                'to_status', h.to_status, 'event', h.event, 'reason', h.reason, 'at', h.`at`)"),
            " FROM payment_history AS h WHERE h.order_id = ", $order, ") AS history"
        )
    };
}

const LOAD: &str = concat!(
    "SELECT ",
    payment!(),
    ", ",
    lines_and_attempts!(),
    " FROM ",
    keys!("?1": id order_id "$"),
    " STRAIGHT_JOIN payments AS p FORCE INDEX (PRIMARY) ON p.order_id = j.order_id"
);

const AUDIT_PAGE: &str = concat!(
    "SELECT ",
    payment!(),
    ", ",
    lines_and_attempts!(),
    ", ",
    past!("p.order_id"),
    ", (SELECT ",
    array_of!("JSON_OBJECT(
                'id', o.id, 'version', o.version, 'event', o.event, 'payload', o.payload, 'at', o.`at`)"),
    " FROM outbox AS o WHERE o.order_id = p.order_id) AS outbox
    FROM payments AS p WHERE p.order_id > ?1 ORDER BY p.order_id LIMIT ?2"
);

const HISTORY: &str = concat!("SELECT ", past!("?1"));

macro_rules! in_share {
    () => {
        "instr(?5, right(order_id, 1)) > 0"
    };
}

/// One stretch of the due queue: earliest first.
macro_rules! due {
    ($($condition:tt)+) => {
        concat!(
            "(SELECT order_id, status, next_attempt_at FROM payments
            WHERE ",
            $($condition)+,
            " ORDER BY next_attempt_at LIMIT ?3)"
        )
    };
}

/// Each branch walks its own stretch of the index in order and stops at the limit, so that no status hides another. What
/// the asking incarnation has in progress itself is due for it alone, in whose share it may be; until long after the last
/// instant at which it may send. Then its node's heart beats, and nobody there looks after it.
const DUE: &str = concat!(
    "SELECT order_id, status FROM (",
    due!(concat!(
        "status = 'IN_PROGRESS' AND CASE WHEN owner = ?2 THEN next_attempt_at <= ?1
             ELSE ",
        in_share!(),
        " AND (owner IS NULL OR owner NOT IN (",
        living!("incarnation", "?4"),
        ") OR next_attempt_at <= ?6) END"
    )),
    " UNION ALL ",
    due!(concat!(
        "status = 'UNKNOWN' AND next_attempt_at <= ?1 AND ",
        in_share!()
    )),
    " UNION ALL ",
    due!(concat!(
        "status = 'READY' AND next_attempt_at <= ?1 AND ",
        in_share!()
    )),
    " UNION ALL ",
    due!(concat!(
        "status = 'QUARANTINED' AND next_attempt_at <= ?1 AND ",
        in_share!()
    )),
    ") AS found ORDER BY next_attempt_at"
);

const BACKLOG: &str = "
    SELECT count(*) AS due, min(next_attempt_at) AS oldest,
           (SELECT count(*) FROM payments WHERE status = 'UNKNOWN') AS unknown,
           (SELECT count(*) FROM payments WHERE status = 'QUARANTINED') AS quarantined
    FROM payments WHERE status IN ('IN_PROGRESS', 'UNKNOWN') AND next_attempt_at <= ?1";

const RECENT: &str = "
    SELECT order_id, user_id, status, total_amount, order_name, created_at
    FROM payments ORDER BY order_id DESC LIMIT ?1";

/// Oldest order first. With its past, since a list says since when and why.
const QUARANTINED: &str = concat!(
    "SELECT ",
    payment!(),
    ", ",
    lines_and_attempts!(),
    ", ",
    past!("p.order_id"),
    " FROM payments AS p WHERE p.status = 'QUARANTINED' ORDER BY p.order_id LIMIT ?1"
);

mod catalogue;

const CHECKOUT_KEY: &str = "
    SELECT user_id, `key`, body_hash, order_id, created_at
    FROM checkout_keys WHERE user_id = ?1 AND `key` = ?2";

macro_rules! make_due {
    ($when:literal) => {
        concat!(
            "
    UPDATE payments SET next_attempt_at = ?1
    WHERE status IN ('IN_PROGRESS', 'UNKNOWN') AND ",
            $when,
            " AND NOT (owner <=> ?2)
      AND (owner IS NULL OR owner NOT IN (",
            living!("incarnation", "?3"),
            "))
    LIMIT 1000"
        )
    };
}

const IS_EMPTY: &str = "
    SELECT NOT EXISTS (SELECT 1 FROM users) AND NOT EXISTS (SELECT 1 FROM products)
       AND NOT EXISTS (SELECT 1 FROM payments) AS `empty`";

/// The name counts for the whole server and has 64 characters: one of its own for each database.
macro_rules! migration_lock {
    () => {
        "concat('payonce migrates ', left(sha2(database(), 256), 32))"
    };
}

pub(super) static SQL: Sql = Sql {
    shared: true,
    batch: Batch::Json,
    lock_rows: LOCK_ROWS,
    lock_checkout_keys: LOCK_CHECKOUT_KEYS,
    lock_nodes: nodes::LOCK,
    write_payments: Together::Each([
        INSERT_PAYMENTS,
        INSERT_LINES,
        UPDATE_PAYMENTS,
        INSERT_ATTEMPTS,
        UPDATE_ATTEMPTS,
        INSERT_HISTORY,
        INSERT_OUTBOX,
        MOVE_STOCK,
    ]),
    drop_checkout_keys: DROP_CHECKOUT_KEYS,
    put_checkout_keys: PUT_CHECKOUT_KEYS,
    postpone_payments: POSTPONE_PAYMENTS,
    put_listings: PUT_LISTINGS,
    insert_stock_changes: INSERT_STOCK_CHANGES,
    move_stock: MOVE_STOCK,
    tell_stock: Telling::Afterwards(STOCK),
    put_nodes: nodes::PUT,
    update_nodes: nodes::UPDATE,
    lock_payment: "SELECT 1 AS one FROM payments WHERE order_id = ?1 FOR UPDATE",
    read_back: READ_BACK,
    stock_change: "SELECT quantity FROM stock_changes WHERE id = ?1",
    witness: nodes::WITNESS,
    load: LOAD,
    versions: concat!(
        "SELECT p.order_id, p.version FROM ",
        keys!("?1": id order_id "$"),
        " STRAIGHT_JOIN payments AS p FORCE INDEX (PRIMARY) ON p.order_id = j.order_id"
    ),
    history: HISTORY,
    due: DUE,
    now: concat!("SELECT ", now!(), " AS now"),
    lives: nodes::LIVES,
    living: nodes::LIVING,
    backlog: BACKLOG,
    recent: RECENT,
    quarantined: QUARANTINED,
    audit_page: AUDIT_PAGE,
    products: catalogue::PRODUCTS,
    counted: catalogue::COUNTED,
    all_counted: catalogue::ALL_COUNTED,
    booked: catalogue::BOOKED,
    checkout_key: CHECKOUT_KEY,
    user: "SELECT 1 AS one FROM users WHERE id = ?1",
    is_empty: IS_EMPTY,
    insert_user: "INSERT INTO users (id, name) VALUES (?1, ?2)",
    make_orphans_due: [
        make_due!("next_attempt_at > ?1"),
        make_due!("next_attempt_at IS NULL"),
    ],
    secret: "SELECT value FROM secrets WHERE name = ?1",
    insert_secret: "INSERT INTO secrets (name, value) VALUES (?1, ?2)",
    ping: "SELECT 1 AS one",
    retention: &retention::SQL,
    // The longest in seconds that somebody else's migration is waited for.
    lock_schema: Some(concat!(
        "SELECT coalesce(get_lock(",
        migration_lock!(),
        ", 60), 0) AS had"
    )),
    impatient_again: None,
    unlock_schema: Some(concat!(
        "SELECT coalesce(release_lock(",
        migration_lock!(),
        "), 0) AS had"
    )),
};
