//! SQLite's texts. `CROSS JOIN` pins the loop order: the batch outside, the index inside, whatever the statistics say.

use sea_orm::sqlx::error::DatabaseError;

use super::{Batch, ErrorClass, Retention, Sql, Telling, Together, is_constraint};

fn primary_code(answer: &dyn DatabaseError) -> Option<i64> {
    let code = answer.code().and_then(|code| code.parse::<i64>().ok());
    code.map(|code| code & 0xff)
}

/// One writer has the file: nothing collides.
pub(super) fn error_class(answer: &dyn DatabaseError) -> ErrorClass {
    /// ERROR, TOOBIG, CONSTRAINT, MISMATCH, RANGE.
    const REFUSALS: [i64; 5] = [1, 18, 19, 20, 25];
    if primary_code(answer).is_some_and(|code| REFUSALS.contains(&code)) || is_constraint(answer) {
        ErrorClass::Refused
    } else {
        ErrorClass::Unwell
    }
}

/// The file is busy, or its disk is full. An I/O error while syncing, for instance, leaves open what is on the disk.
pub(super) fn is_no_commit(answer: &dyn DatabaseError) -> bool {
    /// BUSY and FULL.
    const NOT_MADE: [i64; 2] = [5, 13];
    primary_code(answer).is_some_and(|code| NOT_MADE.contains(&code))
}

/// The payments ?1 and the products ?2 of a batch, each as one JSON array of arrays.
const LOCK_ROWS: &str = "
    SELECT (SELECT json_group_array(json_array(p.order_id, p.version, p.stock_held))
            FROM json_each(?1) AS j CROSS JOIN payments AS p ON p.order_id = j.value) AS payments,
           (SELECT json_group_array(json_array(p.id, p.stock, p.received))
            FROM json_each(?2) AS j CROSS JOIN products AS p ON p.id = j.value) AS products";

const LOCK_CHECKOUT_KEYS: &str = r#"
    SELECT k.user_id, k."key", k.body_hash, k.order_id, k.created_at
    FROM jsonb_each(?1) AS j
    CROSS JOIN checkout_keys AS k ON k.user_id = j.value ->> 0 AND k."key" = j.value ->> 1"#;

const LOCK_NODES: &str = "
    SELECT n.incarnation FROM json_each(?1) AS j
    CROSS JOIN nodes AS n ON n.incarnation = j.value WHERE n.closed_at IS NULL";

macro_rules! move_stock {
    ($rows:literal) => {
        concat!(
            "
    UPDATE products
    SET stock = stock + (j.value ->> 1), received = received + (j.value ->> 2)
    FROM jsonb_each(",
            $rows,
            ") AS j WHERE products.id = j.value ->> 0"
        )
    };
}

/// One round trip: eight would each wait for a turn of two threads. The parameters have no
/// numbers, because sqlx counts on from statement to statement and loses its way among numbered ones.
const WRITE_PAYMENTS: &str = concat!(
    "
    INSERT INTO payments (order_id, user_id, order_name, status, stock_held, total_amount, version, owner,
                          next_attempt_at, expires_at, rounds, questions, quarantine, created_at)
    SELECT j.value ->> 9, j.value ->> 14, j.value ->> 15, j.value ->> 7, j.value ->> 2, j.value ->> 12,
           j.value ->> 1, j.value ->> 10, j.value ->> 5, j.value ->> 6, j.value ->> 3, j.value ->> 4,
           j.value ->> 8, j.value ->> 13
    FROM jsonb_each(?) AS j;
    INSERT INTO order_lines (product_id, quantity, amount, order_id, name)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4
    FROM jsonb_each(?) AS j;
    UPDATE payments
    SET version = j.value ->> 1, stock_held = j.value ->> 2, rounds = j.value ->> 3,
        questions = j.value ->> 4, next_attempt_at = j.value ->> 5,
        expires_at = j.value ->> 6, status = j.value ->> 7, quarantine = j.value ->> 8,
        owner = j.value ->> 10
    FROM jsonb_each(?) AS j
    WHERE payments.order_id = j.value ->> 9 AND payments.version = j.value ->> 0
      AND payments.stock_held = j.value ->> 11;
    INSERT INTO attempts (number, n, answered, may_send_until, many_owners, foreign_seen, approval_sign, outcome,
                          approved_at, order_id, method, receipt_url, doubted_code, doubted_message, gateway_code,
                          gateway_message, payment_key, started_at, owner, gateway)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5,
           j.value ->> 6, j.value ->> 7, j.value ->> 8, j.value ->> 9, j.value ->> 10, j.value ->> 11,
           j.value ->> 12, j.value ->> 13, j.value ->> 14, j.value ->> 15, j.value ->> 16, j.value ->> 17,
           j.value ->> 18, j.value ->> 19
    FROM jsonb_each(?) AS j;
    UPDATE attempts
    SET n = j.value ->> 1, answered = j.value ->> 2, may_send_until = j.value ->> 3,
        many_owners = j.value ->> 4, foreign_seen = j.value ->> 5, approval_sign = j.value ->> 6,
        outcome = j.value ->> 7, approved_at = j.value ->> 8, method = j.value ->> 10,
        receipt_url = j.value ->> 11, doubted_code = j.value ->> 12, doubted_message = j.value ->> 13,
        gateway_code = j.value ->> 14, gateway_message = j.value ->> 15
    FROM jsonb_each(?) AS j
    WHERE attempts.order_id = j.value ->> 9 AND attempts.number = j.value ->> 0
      AND attempts.payment_key = j.value ->> 16;
    INSERT INTO payment_history (version, at, from_status, to_status, event, order_id, transition_id, reason)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5,
           j.value ->> 6, j.value ->> 7
    FROM jsonb_each(?) AS j;
    INSERT INTO outbox (version, at, event, order_id, payload)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4
    FROM jsonb_each(?) AS j;",
    move_stock!("?")
);

/// Those whose day is over, as they were read.
const DROP_CHECKOUT_KEYS: &str = r#"
    DELETE FROM checkout_keys WHERE (user_id, "key", created_at) IN (
        SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2 FROM jsonb_each(?1) AS j)"#;

const PUT_CHECKOUT_KEYS: &str = r#"
    INSERT INTO checkout_keys (user_id, "key", body_hash, order_id, created_at)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3,
           j.value ->> 4
    FROM jsonb_each(?1) AS j"#;

const POSTPONE_PAYMENTS: &str = "
    UPDATE payments SET next_attempt_at = j.value ->> 2
    FROM jsonb_each(?1) AS j
    WHERE payments.order_id = j.value ->> 0 AND payments.version = j.value ->> 1";

const PUT_LISTINGS: &str = "
    INSERT INTO products (id, name, price, stock, received, seller_id)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, 0, 0, j.value ->> 3
    FROM jsonb_each(?1) AS j WHERE true
    ON CONFLICT (id) DO UPDATE
    SET name = excluded.name, price = excluded.price, seller_id = excluded.seller_id";

const INSERT_STOCK_CHANGES: &str = "
    INSERT INTO stock_changes (id, product_id, quantity, reason, at)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3,
           j.value ->> 4
    FROM jsonb_each(?1) AS j";

/// By the database's clock, the only one that all nodes share; heartbeats are written and judged by it alone.
macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
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

const PUT_NODES: &str = concat!(
    "
    INSERT INTO nodes (incarnation, name, started_at, heartbeat_at, closed_at)
    SELECT j.value ->> 0, j.value ->> 1, ",
    now!(),
    ", ",
    now!(),
    ", NULL
    FROM jsonb_each(?1) AS j WHERE true
    ON CONFLICT (incarnation) DO UPDATE
    SET name = excluded.name, heartbeat_at = excluded.heartbeat_at, closed_at = NULL"
);

const UPDATE_NODES: &str = concat!(
    "
    UPDATE nodes
    SET heartbeat_at = CASE WHEN j.value ->> 1 THEN ",
    now!(),
    " ELSE heartbeat_at END,
        closed_at = CASE WHEN j.value ->> 2 THEN ",
    now!(),
    " ELSE closed_at END,
        saturated = j.value ->> 3
    FROM jsonb_each(?1) AS j WHERE nodes.incarnation = j.value ->> 0"
);

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
        "
           (SELECT json_group_array(json_object(
                'product_id', l.product_id, 'quantity', l.quantity, 'amount', l.amount, 'name', l.name))
            FROM order_lines AS l WHERE l.order_id = p.order_id) AS lines,
           (SELECT json_group_array(json_object(
                'number', a.number, 'payment_key', a.payment_key, 'n', a.n, 'answered', a.answered,
                'gateway', a.gateway, 'started_at', a.started_at, 'may_send_until', a.may_send_until,
                'owner', a.owner, 'many_owners', a.many_owners, 'foreign_seen', a.foreign_seen,
                'approval_sign', a.approval_sign, 'doubted_code', a.doubted_code,
                'doubted_message', a.doubted_message, 'outcome', a.outcome,
                'gateway_code', a.gateway_code, 'gateway_message', a.gateway_message,
                'approved_at', a.approved_at, 'method', a.method, 'receipt_url', a.receipt_url))
            FROM attempts AS a WHERE a.order_id = p.order_id) AS attempts"
    };
}

const LOAD: &str = concat!(
    "SELECT ",
    payment!(),
    ",",
    lines_and_attempts!(),
    " FROM json_each(?1) AS j CROSS JOIN payments AS p ON p.order_id = j.value"
);

const AUDIT_PAGE: &str = concat!(
    "SELECT ",
    payment!(),
    ",",
    lines_and_attempts!(),
    ",
           (SELECT json_group_array(json_object(
                'version', h.version, 'transition_id', h.transition_id, 'from_status', h.from_status,
                'to_status', h.to_status, 'event', h.event, 'reason', h.reason, 'at', h.at))
            FROM payment_history AS h WHERE h.order_id = p.order_id) AS history,
           (SELECT json_group_array(json_object(
                'id', o.id, 'version', o.version, 'event', o.event, 'payload', o.payload, 'at', o.at))
            FROM outbox AS o WHERE o.order_id = p.order_id) AS outbox
    FROM payments AS p WHERE p.order_id > ?1 ORDER BY p.order_id LIMIT ?2"
);

const HISTORY: &str = "
    SELECT json_group_array(json_object(
        'version', h.version, 'transition_id', h.transition_id, 'from_status', h.from_status,
        'to_status', h.to_status, 'event', h.event, 'reason', h.reason, 'at', h.at)) AS history
    FROM payment_history AS h WHERE h.order_id = ?1";

macro_rules! in_share {
    () => {
        "instr(?5, substr(order_id, 36, 1)) > 0"
    };
}

/// One stretch of the due queue: earliest first.
macro_rules! due {
    ($($condition:tt)+) => {
        concat!(
            "SELECT * FROM (SELECT order_id, status, next_attempt_at FROM payments
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
    ") ORDER BY next_attempt_at"
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
    ",",
    lines_and_attempts!(),
    ",
           (SELECT json_group_array(json_object(
                'version', h.version, 'transition_id', h.transition_id, 'from_status', h.from_status,
                'to_status', h.to_status, 'event', h.event, 'reason', h.reason, 'at', h.at))
            FROM payment_history AS h WHERE h.order_id = p.order_id) AS history
    FROM payments AS p WHERE p.status = 'QUARANTINED' ORDER BY p.order_id LIMIT ?1"
);

const PRODUCTS: &str = "
    SELECT p.id, p.name, p.price, p.stock, p.received, p.seller_id
    FROM json_each(?1) AS j CROSS JOIN products AS p ON p.id = j.value";

/// Held: off the shelf and not yet sold. The three statuses are those in which goods can be held.
macro_rules! held_lines {
    () => {
        "
    FROM payments AS p CROSS JOIN order_lines AS l ON l.order_id = p.order_id
    WHERE p.status IN ('IN_PROGRESS', 'UNKNOWN', 'QUARANTINED') AND p.stock_held"
    };
}

const COUNTED: &str = concat!(
    "
    SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held
    FROM json_each(?1) AS j CROSS JOIN products AS s ON s.id = j.value
    LEFT JOIN (SELECT l.product_id, sum(l.quantity) AS held",
    held_lines!(),
    " AND l.product_id IN (SELECT value FROM json_each(?1)) GROUP BY l.product_id) AS h
    ON h.product_id = s.id ORDER BY s.id"
);

const ALL_COUNTED: &str = concat!(
    "
    SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held
    FROM products AS s
    LEFT JOIN (SELECT l.product_id, sum(l.quantity) AS held",
    held_lines!(),
    " GROUP BY l.product_id) AS h ON h.product_id = s.id ORDER BY s.id"
);

/// What the orders themselves say of a product beside what it says, in one view: the whole book of it is read.
const BOOKED: &str = "
    SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held, coalesce(h.sold, 0) AS sold
    FROM json_each(?1) AS j CROSS JOIN products AS s ON s.id = j.value
    LEFT JOIN (SELECT l.product_id,
                      sum(CASE WHEN p.status IN ('IN_PROGRESS', 'UNKNOWN', 'QUARANTINED') THEN l.quantity ELSE 0 END) AS held,
                      sum(CASE WHEN p.status = 'DONE' THEN l.quantity ELSE 0 END) AS sold
               FROM order_lines AS l CROSS JOIN payments AS p ON p.order_id = l.order_id
               WHERE p.stock_held AND l.product_id IN (SELECT value FROM json_each(?1)) GROUP BY l.product_id) AS h
    ON h.product_id = s.id ORDER BY s.id";

const CHECKOUT_KEY: &str = r#"
    SELECT user_id, "key", body_hash, order_id, created_at
    FROM checkout_keys WHERE user_id = ?1 AND "key" = ?2"#;

macro_rules! make_due {
    ($when:literal) => {
        concat!(
            "
    UPDATE payments SET next_attempt_at = ?1
    WHERE status IN ('IN_PROGRESS', 'UNKNOWN') AND ",
            $when,
            " AND owner IS NOT ?2
      AND (owner IS NULL OR owner NOT IN (",
            living!("incarnation", "?3"),
            "))"
        )
    };
}

const IS_EMPTY: &str = "
    SELECT NOT EXISTS (SELECT 1 FROM users) AND NOT EXISTS (SELECT 1 FROM products)
       AND NOT EXISTS (SELECT 1 FROM payments) AS empty";

pub(super) static SQL: Sql = Sql {
    // The lock on the file.
    shared: false,
    batch: Batch::Json,
    lock_rows: LOCK_ROWS,
    lock_checkout_keys: LOCK_CHECKOUT_KEYS,
    lock_nodes: LOCK_NODES,
    write_payments: Together::One(WRITE_PAYMENTS),
    drop_checkout_keys: DROP_CHECKOUT_KEYS,
    put_checkout_keys: PUT_CHECKOUT_KEYS,
    postpone_payments: POSTPONE_PAYMENTS,
    put_listings: PUT_LISTINGS,
    insert_stock_changes: INSERT_STOCK_CHANGES,
    tell_stock: Telling::Moving(concat!(move_stock!("?1"), " RETURNING id, stock")),
    move_stock: move_stock!("?1"),
    put_nodes: PUT_NODES,
    update_nodes: UPDATE_NODES,
    lock_payment: "SELECT 1 AS one FROM payments WHERE order_id = ?1",
    read_back: READ_BACK,
    stock_change: "SELECT quantity FROM stock_changes WHERE id = ?1",
    witness: &[],
    load: LOAD,
    versions: "SELECT p.order_id, p.version FROM json_each(?1) AS j CROSS JOIN payments AS p ON p.order_id = j.value",
    history: HISTORY,
    due: DUE,
    now: concat!("SELECT ", now!(), " AS now"),
    lives: concat!(living!("1 AS one", "?2"), " AND incarnation = ?1"),
    living: living!("incarnation, name, saturated", "?1"),
    backlog: BACKLOG,
    recent: RECENT,
    quarantined: QUARANTINED,
    audit_page: AUDIT_PAGE,
    products: PRODUCTS,
    counted: COUNTED,
    all_counted: ALL_COUNTED,
    booked: BOOKED,
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
    lock_schema: None,
    impatient_again: None,
    unlock_schema: None,
};
