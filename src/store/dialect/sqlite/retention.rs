//! What housekeeping reads and deletes in a file.

use super::{DROP_CHECKOUT_KEYS, Retention};

const CHECKOUT_KEYS: &str = r#"
    SELECT user_id, "key", created_at FROM checkout_keys
    WHERE (user_id, "key") > (?1, ?2) ORDER BY user_id, "key" LIMIT ?3"#;

/// Whoever beats, and whoever has just closed, is not silent.
macro_rules! silent {
    ($age:literal) => {
        concat!(
            "max(heartbeat_at, coalesce(closed_at, 0)) < ",
            now!(),
            " - ",
            $age
        )
    };
}

const NODES: &str = concat!(
    "SELECT incarnation FROM nodes WHERE incarnation > ?1 AND ",
    silent!("?2"),
    " AND incarnation NOT IN (SELECT owner FROM payments
                              WHERE status IN ('IN_PROGRESS', 'UNKNOWN') AND owner IS NOT NULL)
    ORDER BY incarnation LIMIT ?3"
);

const DROP_NODES: &str = concat!(
    "DELETE FROM nodes WHERE incarnation IN (SELECT value FROM json_each(?1)) AND ",
    silent!("?2")
);

const HISTORY: &str = "
    SELECT h.order_id, h.version,
           (SELECT p.created_at FROM payments AS p WHERE p.order_id = h.order_id) AS created_at,
           (SELECT p.version FROM payments AS p WHERE p.order_id = h.order_id) AS latest,
           (SELECT l.at FROM payments AS p
            CROSS JOIN payment_history AS l ON l.order_id = p.order_id AND l.version = p.version
            WHERE p.order_id = h.order_id AND p.version > h.version
              AND (p.status IN ('DONE', 'EXPIRED') OR p.status = 'FAILED' AND p.expires_at <= ?3)) AS rests_since
    FROM payment_history AS h
    WHERE (h.order_id, h.version) > (?1, ?2) ORDER BY h.order_id, h.version LIMIT ?4";

const DROP_HISTORY: &str = "
    DELETE FROM payment_history WHERE (order_id, version) IN (
        SELECT h.order_id, h.version FROM jsonb_each(?1) AS j
        CROSS JOIN payment_history AS h ON h.order_id = j.value ->> 0 AND h.version < j.value ->> 1)";

pub(super) static SQL: Retention = Retention {
    checkout_keys: CHECKOUT_KEYS,
    drop_checkout_keys: DROP_CHECKOUT_KEYS,
    nodes: NODES,
    drop_nodes: DROP_NODES,
    history: HISTORY,
    drop_history: DROP_HISTORY,
    outbox: "SELECT id, at FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2",
    drop_outbox: "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?1))",
};
