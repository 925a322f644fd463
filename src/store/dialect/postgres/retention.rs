//! What housekeeping reads and deletes on PostgreSQL. Nobody waits for anybody in a circle: rows that somebody else has
//! are left to him, or locked in the order of their keys.

use super::Retention;

const CHECKOUT_KEYS: &str = r#"
    SELECT user_id, "key", created_at FROM checkout_keys
    WHERE (user_id, "key") > ($1, $2) ORDER BY user_id, "key" LIMIT $3"#;

/// Key by key along the index, then by where the rows lie: whatever the statistics say, no table is walked for it. A place
/// is one of a partition, where there are any: without its name, rows of all the others would go that lie at the same place.
macro_rules! delete {
    ($table:literal, $keys:literal, $($found:tt)+) => {
        concat!(
            "WITH gone AS MATERIALIZED (
                SELECT found.part, found.place FROM unnest(", $keys, "
                CROSS JOIN LATERAL (
                    SELECT t.tableoid AS part, t.ctid AS place FROM ", $table, " AS t WHERE ", $($found)+, ") AS found)
             DELETE FROM ", $table, " AS d USING gone WHERE d.ctid = gone.place AND d.tableoid = gone.part"
        )
    };
}

const DROP_CHECKOUT_KEYS: &str = delete!(
    "checkout_keys",
    r#"$1::text[], $2::text[], $3::bigint[]) AS j (user_id, "key", created_at)"#,
    r#"t.user_id = j.user_id AND t."key" = j."key" AND t.created_at = j.created_at FOR UPDATE SKIP LOCKED"#
);

/// Whoever beats, and whoever has just closed, is not silent.
macro_rules! silent {
    ($age:literal) => {
        concat!("greatest(heartbeat_at, closed_at) < ", now!(), " - ", $age)
    };
}

const NODES: &str = concat!(
    "SELECT incarnation FROM nodes WHERE incarnation > $1 AND ",
    silent!("$2"),
    " AND incarnation NOT IN (SELECT owner FROM payments
                              WHERE status IN ('IN_PROGRESS', 'UNKNOWN') AND owner IS NOT NULL)
    ORDER BY incarnation LIMIT $3"
);

const DROP_NODES: &str = delete!(
    "nodes",
    "$1::text[]) AS j (incarnation)",
    concat!(
        "t.incarnation = j.incarnation AND ",
        silent!("$2"),
        " FOR UPDATE SKIP LOCKED"
    )
);

/// What is asked of a payment is asked row by row, where no join could make a walk over all payments of it.
const HISTORY: &str = "
    SELECT h.order_id, h.version,
           (SELECT p.created_at FROM payments AS p WHERE p.order_id = h.order_id) AS created_at,
           (SELECT p.version FROM payments AS p WHERE p.order_id = h.order_id) AS latest,
           (SELECT l.at FROM payments AS p
            JOIN payment_history AS l ON l.order_id = p.order_id AND l.version = p.version
            WHERE p.order_id = h.order_id AND p.version > h.version
              AND (p.status IN ('DONE', 'EXPIRED') OR p.status = 'FAILED' AND p.expires_at <= $3)) AS rests_since
    FROM payment_history AS h
    WHERE (h.order_id, h.version) > ($1, $2) ORDER BY h.order_id, h.version LIMIT $4";

/// In the order of the keys, and waiting: of a payment's past either all goes, or nothing.
const DROP_HISTORY: &str = delete!(
    "payment_history",
    "$1::text[], $2::bigint[]) AS j (order_id, latest)",
    "t.order_id = j.order_id AND t.version < j.latest ORDER BY t.version FOR UPDATE"
);

const DROP_OUTBOX: &str = delete!(
    "outbox",
    "$1::bigint[]) AS j (id)",
    "t.id = j.id FOR UPDATE SKIP LOCKED"
);

pub(super) static SQL: Retention = Retention {
    checkout_keys: CHECKOUT_KEYS,
    drop_checkout_keys: DROP_CHECKOUT_KEYS,
    nodes: NODES,
    drop_nodes: DROP_NODES,
    history: HISTORY,
    drop_history: DROP_HISTORY,
    outbox: "SELECT id, at FROM outbox WHERE id > $1 ORDER BY id LIMIT $2",
    drop_outbox: DROP_OUTBOX,
};
