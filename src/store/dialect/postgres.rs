//! PostgreSQL's texts. The rows of a batch come as one array literal a column: `unnest` reads them about twice as fast as
//! it reads JSON, and a NULL stays one. It stands in the list of a SELECT, where PostgreSQL takes cell by cell from each
//! column: `FROM unnest(.., ..)` first copies each column into a table of its own, which costs three times as much.
//!
//! Rows are locked `FOR NO KEY UPDATE`: the foreign keys of a new order only want its product's key to stay, and must not
//! wait for whoever moves its stock.

use super::{Batch, Retention, Sql, Telling, Together};

mod error_class;

pub(super) use error_class::error_class;

/// The keys come in order, and each row is locked by a look-up of its own. Asked for as `= ANY (..) ORDER BY`, a young and
/// unmeasured table is walked in the order of its index instead. What is read is what was there when the lock was had.
const LOCK_ROWS: &str = "
    SELECT (SELECT coalesce(json_agg(json_build_array(p.order_id, p.version, p.stock_held::int)), '[]')
            FROM unnest($1::text[]) AS j (key) CROSS JOIN LATERAL (
                SELECT order_id, version, stock_held FROM payments
                WHERE order_id = j.key FOR NO KEY UPDATE) AS p)::text AS payments,
           (SELECT coalesce(json_agg(json_build_array(p.id, p.stock, p.received)), '[]')
            FROM unnest($2::bigint[]) AS j (key) CROSS JOIN LATERAL (
                SELECT id, stock, received FROM products WHERE id = j.key FOR NO KEY UPDATE) AS p)::text AS products";

const LOCK_CHECKOUT_KEYS: &str = r#"
    SELECT k.user_id, k."key", k.body_hash, k.order_id, k.created_at
    FROM (SELECT unnest($1::text[]) AS user_id, unnest($2::text[]) AS "key") AS j CROSS JOIN LATERAL (
        SELECT user_id, "key", body_hash, order_id, created_at FROM checkout_keys
        WHERE user_id = j.user_id AND "key" = j."key" FOR UPDATE) AS k"#;

const LOCK_NODES: &str = "
    SELECT n.incarnation FROM unnest($1::text[]) AS j (key) CROSS JOIN LATERAL (
        SELECT incarnation FROM nodes WHERE incarnation = j.key AND closed_at IS NULL FOR UPDATE) AS n";

const INSERT_PAYMENTS: &str = "
    INSERT INTO payments (order_id, user_id, order_name, total_amount, created_at, status, stock_held, version, owner,
                          next_attempt_at, expires_at, rounds, questions, quarantine)
    SELECT order_id, user_id, order_name, total_amount, created_at, status, stock_held::boolean, version, owner,
           next_attempt_at, expires_at, rounds, questions, quarantine
    FROM (SELECT unnest($1::bigint[]) AS replaces, unnest($2::bigint[]) AS version, unnest($3::int[]) AS stock_held,
                 unnest($4::bigint[]) AS rounds, unnest($5::bigint[]) AS questions,
                 unnest($6::bigint[]) AS next_attempt_at, unnest($7::bigint[]) AS expires_at,
                 unnest($8::text[]) AS status, unnest($9::text[]) AS quarantine, unnest($10::text[]) AS order_id,
                 unnest($11::text[]) AS owner, unnest($12::int[]) AS was_held, unnest($13::bigint[]) AS total_amount,
                 unnest($14::bigint[]) AS created_at, unnest($15::text[]) AS user_id,
                 unnest($16::text[]) AS order_name) AS j";

const INSERT_LINES: &str = "
    INSERT INTO order_lines (product_id, quantity, amount, order_id, name)
    SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::text[])";

const UPDATE_PAYMENTS: &str = "
    UPDATE payments AS p
    SET status = j.status, stock_held = j.stock_held::boolean, version = j.version, owner = j.owner,
        next_attempt_at = j.next_attempt_at, expires_at = j.expires_at, rounds = j.rounds,
        questions = j.questions, quarantine = j.quarantine
    FROM (SELECT unnest($1::bigint[]) AS replaces, unnest($2::bigint[]) AS version, unnest($3::int[]) AS stock_held,
                 unnest($4::bigint[]) AS rounds, unnest($5::bigint[]) AS questions,
                 unnest($6::bigint[]) AS next_attempt_at, unnest($7::bigint[]) AS expires_at,
                 unnest($8::text[]) AS status, unnest($9::text[]) AS quarantine, unnest($10::text[]) AS order_id,
                 unnest($11::text[]) AS owner, unnest($12::int[]) AS was_held) AS j
    WHERE p.order_id = j.order_id AND p.version = j.replaces AND p.stock_held = j.was_held::boolean";

const INSERT_ATTEMPTS: &str = "
    INSERT INTO attempts (number, n, answered, may_send_until, many_owners, foreign_seen, approval_sign, outcome,
                          approved_at, order_id, method, receipt_url, doubted_code, doubted_message, gateway_code,
                          gateway_message, payment_key, started_at, owner, gateway)
    SELECT number, n, answered::boolean, may_send_until, many_owners::boolean, foreign_seen::boolean, approval_sign, outcome,
           approved_at, order_id, method, receipt_url, doubted_code, doubted_message, gateway_code,
           gateway_message, payment_key, started_at, owner, gateway
    FROM (SELECT unnest($1::bigint[]) AS number, unnest($2::bigint[]) AS n, unnest($3::int[]) AS answered,
                 unnest($4::bigint[]) AS may_send_until, unnest($5::int[]) AS many_owners,
                 unnest($6::int[]) AS foreign_seen, unnest($7::text[]) AS approval_sign, unnest($8::text[]) AS outcome,
                 unnest($9::bigint[]) AS approved_at, unnest($10::text[]) AS order_id, unnest($11::text[]) AS method,
                 unnest($12::text[]) AS receipt_url, unnest($13::text[]) AS doubted_code,
                 unnest($14::text[]) AS doubted_message, unnest($15::text[]) AS gateway_code,
                 unnest($16::text[]) AS gateway_message, unnest($17::text[]) AS payment_key,
                 unnest($18::bigint[]) AS started_at, unnest($19::text[]) AS owner, unnest($20::text[]) AS gateway) AS j";

const UPDATE_ATTEMPTS: &str = "
    UPDATE attempts AS a
    SET n = j.n, answered = j.answered::boolean, may_send_until = j.may_send_until,
        many_owners = j.many_owners::boolean, foreign_seen = j.foreign_seen::boolean, approval_sign = j.approval_sign,
        outcome = j.outcome, approved_at = j.approved_at, method = j.method, receipt_url = j.receipt_url,
        doubted_code = j.doubted_code, doubted_message = j.doubted_message, gateway_code = j.gateway_code,
        gateway_message = j.gateway_message
    FROM (SELECT unnest($1::bigint[]) AS number, unnest($2::bigint[]) AS n, unnest($3::int[]) AS answered,
                 unnest($4::bigint[]) AS may_send_until, unnest($5::int[]) AS many_owners,
                 unnest($6::int[]) AS foreign_seen, unnest($7::text[]) AS approval_sign, unnest($8::text[]) AS outcome,
                 unnest($9::bigint[]) AS approved_at, unnest($10::text[]) AS order_id, unnest($11::text[]) AS method,
                 unnest($12::text[]) AS receipt_url, unnest($13::text[]) AS doubted_code,
                 unnest($14::text[]) AS doubted_message, unnest($15::text[]) AS gateway_code,
                 unnest($16::text[]) AS gateway_message, unnest($17::text[]) AS payment_key) AS j
    WHERE a.order_id = j.order_id AND a.number = j.number AND a.payment_key = j.payment_key";

const INSERT_HISTORY: &str = "
    INSERT INTO payment_history (version, at, from_status, to_status, event, order_id, transition_id, reason)
    SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
           unnest($6::text[]), unnest($7::text[]), unnest($8::text[])";

const INSERT_OUTBOX: &str = "
    INSERT INTO outbox (version, at, event, order_id, payload)
    SELECT unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[])";

macro_rules! move_stock {
    () => {
        "
    UPDATE products AS p SET stock = p.stock + j.stock, received = p.received + j.received
    FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::bigint[]) AS stock, unnest($3::bigint[]) AS received) AS j
    WHERE p.id = j.id"
    };
}

const MOVE_STOCK: &str = move_stock!();
const MOVE_AND_TELL: &str = concat!(move_stock!(), " RETURNING p.id, p.stock");

const DROP_CHECKOUT_KEYS: &str = r#"
    DELETE FROM checkout_keys AS k
    USING (SELECT unnest($1::text[]) AS user_id, unnest($2::text[]) AS "key", unnest($3::bigint[]) AS created_at) AS j
    WHERE k.user_id = j.user_id AND k."key" = j."key" AND k.created_at = j.created_at"#;

const PUT_CHECKOUT_KEYS: &str = r#"
    INSERT INTO checkout_keys (user_id, "key", body_hash, order_id, created_at)
    SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::bigint[])"#;

const POSTPONE_PAYMENTS: &str = "
    UPDATE payments AS p SET next_attempt_at = j.until
    FROM (SELECT unnest($1::text[]) AS order_id, unnest($2::bigint[]) AS version, unnest($3::bigint[]) AS until) AS j
    WHERE p.order_id = j.order_id AND p.version = j.version";

const PUT_LISTINGS: &str = "
    INSERT INTO products (id, name, price, stock, received, seller_id)
    SELECT id, name, price, 0, 0, seller_id
    FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::text[]) AS name, unnest($3::bigint[]) AS price,
                 unnest($4::bigint[]) AS seller_id) AS j
    ON CONFLICT (id) DO UPDATE
    SET name = excluded.name, price = excluded.price, seller_id = excluded.seller_id";

const INSERT_STOCK_CHANGES: &str = "
    INSERT INTO stock_changes (id, product_id, quantity, reason, at)
    SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::bigint[])";

/// By the database's clock, the only one that all nodes share; heartbeats are written and judged by it alone. Not the start
/// of the transaction: it may have waited.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
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
    INSERT INTO nodes (incarnation, name, started_at, heartbeat_at)
    SELECT incarnation, name, ",
    now!(),
    ", ",
    now!(),
    " FROM (SELECT unnest($1::text[]) AS incarnation, unnest($2::text[]) AS name) AS j
    ON CONFLICT (incarnation) DO UPDATE
    SET name = excluded.name, heartbeat_at = excluded.heartbeat_at, closed_at = NULL"
);

const UPDATE_NODES: &str = concat!(
    "
    UPDATE nodes AS n
    SET heartbeat_at = CASE WHEN j.beats THEN ",
    now!(),
    " ELSE n.heartbeat_at END,
        closed_at = CASE WHEN j.closes THEN ",
    now!(),
    " ELSE n.closed_at END,
        saturated = j.saturated
    FROM (SELECT unnest($1::text[]) AS incarnation, unnest($2::boolean[]) AS beats, unnest($3::boolean[]) AS closes,
                 unnest($4::boolean[]) AS saturated) AS j
    WHERE n.incarnation = j.incarnation"
);

/// A commit whose wait for a synchronous standby was broken off is there, and the standby may not have it. Whoever commits
/// after it waits for both. The row is gone before anybody could take it for a node.
const WITNESS: &[&str] = &[
    "INSERT INTO nodes (incarnation, name, started_at, heartbeat_at) VALUES ($1, 'witness', 0, 0)",
    "DELETE FROM nodes WHERE incarnation = $1",
];

const READ_BACK: &str = "
    SELECT p.version, p.stock_held,
           EXISTS (SELECT 1 FROM payment_history AS h
                   WHERE h.transition_id = $2 AND h.order_id = p.order_id) AS landed
    FROM payments AS p WHERE p.order_id = $1";

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
           (SELECT coalesce(json_agg(json_build_object(
                'product_id', l.product_id, 'quantity', l.quantity, 'amount', l.amount, 'name', l.name)), '[]')
            FROM order_lines AS l WHERE l.order_id = p.order_id)::text AS lines,
           (SELECT coalesce(json_agg(json_build_object(
                'number', a.number, 'payment_key', a.payment_key, 'n', a.n, 'answered', a.answered::int,
                'gateway', a.gateway, 'started_at', a.started_at, 'may_send_until', a.may_send_until,
                'owner', a.owner, 'many_owners', a.many_owners::int, 'foreign_seen', a.foreign_seen::int,
                'approval_sign', a.approval_sign, 'doubted_code', a.doubted_code,
                'doubted_message', a.doubted_message, 'outcome', a.outcome,
                'gateway_code', a.gateway_code, 'gateway_message', a.gateway_message,
                'approved_at', a.approved_at, 'method', a.method, 'receipt_url', a.receipt_url)), '[]')
            FROM attempts AS a WHERE a.order_id = p.order_id)::text AS attempts"
    };
}

macro_rules! past {
    () => {
        "
           (SELECT coalesce(json_agg(json_build_object(
                'version', h.version, 'transition_id', h.transition_id, 'from_status', h.from_status,
                'to_status', h.to_status, 'event', h.event, 'reason', h.reason, 'at', h.at)), '[]')
            FROM payment_history AS h WHERE h.order_id = p.order_id)::text AS history"
    };
}

const LOAD: &str = concat!(
    "SELECT ",
    payment!(),
    ",",
    lines_and_attempts!(),
    " FROM unnest($1::text[]) AS j (key) JOIN payments AS p ON p.order_id = j.key"
);

const AUDIT_PAGE: &str = concat!(
    "SELECT ",
    payment!(),
    ",",
    lines_and_attempts!(),
    ",",
    past!(),
    ",
           (SELECT coalesce(json_agg(json_build_object(
                'id', o.id, 'version', o.version, 'event', o.event, 'payload', o.payload, 'at', o.at)), '[]')
            FROM outbox AS o WHERE o.order_id = p.order_id)::text AS outbox
    FROM payments AS p WHERE p.order_id > $1 ORDER BY p.order_id LIMIT $2"
);

const HISTORY: &str = concat!(
    "SELECT",
    past!(),
    " FROM (SELECT $1::text AS order_id) AS p"
);

macro_rules! in_share {
    () => {
        "strpos($5, right(order_id, 1)) > 0"
    };
}

/// One stretch of the due queue: earliest first.
macro_rules! due {
    ($($condition:tt)+) => {
        concat!(
            "(SELECT order_id, status, next_attempt_at FROM payments
            WHERE ",
            $($condition)+,
            " ORDER BY next_attempt_at LIMIT $3)"
        )
    };
}

/// Each branch walks its own stretch of the index in order and stops at the limit, so that no status hides another. What
/// the asking incarnation has in progress itself is due for it alone, in whose share it may be; until long after the last
/// instant at which it may send. Then its node's heart beats, and nobody there looks after it.
const DUE: &str = concat!(
    "SELECT order_id, status FROM (",
    due!(concat!(
        "status = 'IN_PROGRESS' AND CASE WHEN owner = $2 THEN next_attempt_at <= $1
             ELSE ",
        in_share!(),
        " AND (owner IS NULL OR owner NOT IN (",
        living!("incarnation", "$4"),
        ") OR next_attempt_at <= $6) END"
    )),
    " UNION ALL ",
    due!(concat!(
        "status = 'UNKNOWN' AND next_attempt_at <= $1 AND ",
        in_share!()
    )),
    " UNION ALL ",
    due!(concat!(
        "status = 'READY' AND next_attempt_at <= $1 AND ",
        in_share!()
    )),
    " UNION ALL ",
    due!(concat!(
        "status = 'QUARANTINED' AND next_attempt_at <= $1 AND ",
        in_share!()
    )),
    ") AS found ORDER BY next_attempt_at"
);

const BACKLOG: &str = "
    SELECT count(*) AS due, min(next_attempt_at) AS oldest,
           (SELECT count(*) FROM payments WHERE status = 'UNKNOWN') AS unknown,
           (SELECT count(*) FROM payments WHERE status = 'QUARANTINED') AS quarantined
    FROM payments WHERE status IN ('IN_PROGRESS', 'UNKNOWN') AND next_attempt_at <= $1";

const RECENT: &str = "
    SELECT order_id, user_id, status, total_amount, order_name, created_at
    FROM payments ORDER BY order_id DESC LIMIT $1";

/// Oldest order first. With its past, since a list says since when and why.
const QUARANTINED: &str = concat!(
    "SELECT ",
    payment!(),
    ",",
    lines_and_attempts!(),
    ",",
    past!(),
    " FROM payments AS p WHERE p.status = 'QUARANTINED' ORDER BY p.order_id LIMIT $1"
);

const PRODUCTS: &str = "
    SELECT id, name, price, stock, received, seller_id FROM products WHERE id = ANY ($1::bigint[])";

/// Held: off the shelf and not yet sold. The three statuses are those in which goods can be held.
macro_rules! held_lines {
    () => {
        "SELECT l.product_id, sum(l.quantity)::bigint AS held
    FROM payments AS p JOIN order_lines AS l ON l.order_id = p.order_id
    WHERE p.status IN ('IN_PROGRESS', 'UNKNOWN', 'QUARANTINED') AND p.stock_held"
    };
}

const COUNTED: &str = concat!(
    "SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held
    FROM products AS s LEFT JOIN (",
    held_lines!(),
    " AND l.product_id = ANY ($1::bigint[]) GROUP BY l.product_id) AS h ON h.product_id = s.id
    WHERE s.id = ANY ($1::bigint[]) ORDER BY s.id"
);

const ALL_COUNTED: &str = concat!(
    "SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held
    FROM products AS s LEFT JOIN (",
    held_lines!(),
    " GROUP BY l.product_id) AS h ON h.product_id = s.id ORDER BY s.id"
);

/// What the orders themselves say of a product beside what it says, in one view: the whole book of it is read.
const BOOKED: &str = "
    SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held, coalesce(h.sold, 0) AS sold
    FROM products AS s LEFT JOIN (
        SELECT l.product_id,
               sum(CASE WHEN p.status IN ('IN_PROGRESS', 'UNKNOWN', 'QUARANTINED') THEN l.quantity ELSE 0 END)::bigint AS held,
               sum(CASE WHEN p.status = 'DONE' THEN l.quantity ELSE 0 END)::bigint AS sold
        FROM order_lines AS l JOIN payments AS p ON p.order_id = l.order_id
        WHERE p.stock_held AND l.product_id = ANY ($1::bigint[]) GROUP BY l.product_id) AS h ON h.product_id = s.id
    WHERE s.id = ANY ($1::bigint[]) ORDER BY s.id";

const CHECKOUT_KEY: &str = r#"
    SELECT user_id, "key", body_hash, order_id, created_at
    FROM checkout_keys WHERE user_id = $1 AND "key" = $2"#;

macro_rules! make_due {
    ($when:literal) => {
        concat!(
            "
    UPDATE payments SET next_attempt_at = $1
    WHERE order_id IN (
        SELECT order_id FROM payments
        WHERE status IN ('IN_PROGRESS', 'UNKNOWN') AND ",
            $when,
            " AND owner IS DISTINCT FROM $2
          AND (owner IS NULL OR owner NOT IN (",
            living!("incarnation", "$3"),
            "))
        LIMIT 1000 FOR UPDATE)"
        )
    };
}

const IS_EMPTY: &str = "
    SELECT NOT EXISTS (SELECT 1 FROM users) AND NOT EXISTS (SELECT 1 FROM products)
       AND NOT EXISTS (SELECT 1 FROM payments) AS empty";

/// Any number will do that nobody else on this database uses. Somebody else's migration is waited for longer than a row:
/// the patience is set before the number is known.
const LOCK_SCHEMA: &str = "
    SELECT 1::bigint AS had FROM (
        SELECT pg_advisory_xact_lock(
            CASE WHEN set_config('lock_timeout', '60s', true) IS NULL THEN 0 ELSE 7205759403792794 END)) AS locked";

pub(super) static SQL: Sql = Sql {
    shared: true,
    batch: Batch::Columns,
    lock_rows: LOCK_ROWS,
    lock_checkout_keys: LOCK_CHECKOUT_KEYS,
    lock_nodes: LOCK_NODES,
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
    tell_stock: Telling::Moving(MOVE_AND_TELL),
    put_nodes: PUT_NODES,
    update_nodes: UPDATE_NODES,
    lock_payment: "SELECT 1::bigint AS one FROM payments WHERE order_id = $1 FOR NO KEY UPDATE",
    read_back: READ_BACK,
    stock_change: "SELECT quantity FROM stock_changes WHERE id = $1",
    witness: WITNESS,
    load: LOAD,
    versions: "SELECT order_id, version FROM payments WHERE order_id = ANY ($1::text[])",
    history: HISTORY,
    due: DUE,
    now: concat!("SELECT ", now!(), " AS now"),
    lives: concat!(living!("1::bigint AS one", "$2"), " AND incarnation = $1"),
    living: living!("incarnation, name, saturated", "$1"),
    backlog: BACKLOG,
    recent: RECENT,
    quarantined: QUARANTINED,
    audit_page: AUDIT_PAGE,
    products: PRODUCTS,
    counted: COUNTED,
    all_counted: ALL_COUNTED,
    booked: BOOKED,
    checkout_key: CHECKOUT_KEY,
    user: "SELECT 1::bigint AS one FROM users WHERE id = $1",
    is_empty: IS_EMPTY,
    insert_user: "INSERT INTO users (id, name) VALUES ($1, $2)",
    make_orphans_due: [
        make_due!("next_attempt_at > $1"),
        make_due!("next_attempt_at IS NULL"),
    ],
    secret: "SELECT value FROM secrets WHERE name = $1",
    insert_secret: "INSERT INTO secrets (name, value) VALUES ($1, $2)",
    ping: "SELECT 1::bigint AS one",
    retention: &retention::SQL,
    lock_schema: Some(LOCK_SCHEMA),
    // Longer than a deadlock goes unnoticed: only then is a vacuum of the server's own sent away.
    impatient_again: Some("SET LOCAL lock_timeout = '2s'"),
    unlock_schema: None,
};
