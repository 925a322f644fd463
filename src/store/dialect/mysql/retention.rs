//! What housekeeping reads and deletes on MySQL and MariaDB. A pair is compared in two steps: neither searches an index by
//! one that is written as a row. Rows are locked in the order of their keys.

use super::{DROP_CHECKOUT_KEYS, Retention};

const CHECKOUT_KEYS: &str = "
    SELECT user_id, `key`, created_at FROM checkout_keys FORCE INDEX (PRIMARY)
    WHERE user_id > ?1 OR user_id = ?1 AND `key` > ?2 ORDER BY user_id, `key` LIMIT ?3";

/// Whoever beats, and whoever has just closed, is not silent.
macro_rules! silent {
    ($age:literal) => {
        concat!(
            "greatest(n.heartbeat_at, coalesce(n.closed_at, 0)) < ",
            now!(),
            " - ",
            $age
        )
    };
}

const NODES: &str = concat!(
    "SELECT n.incarnation FROM nodes AS n WHERE n.incarnation > ?1 AND ",
    silent!("?2"),
    " AND n.incarnation NOT IN (SELECT p.owner FROM payments AS p
                                WHERE p.status IN ('IN_PROGRESS', 'UNKNOWN') AND p.owner IS NOT NULL)
    ORDER BY n.incarnation LIMIT ?3"
);

const DROP_NODES: &str = concat!(
    "DELETE n FROM ",
    keys!("?1": id incarnation "$"),
    " STRAIGHT_JOIN nodes AS n FORCE INDEX (PRIMARY) ON n.incarnation = j.incarnation WHERE ",
    silent!("?2")
);

const HISTORY: &str = "
    SELECT h.order_id, h.version,
           (SELECT p.created_at FROM payments AS p WHERE p.order_id = h.order_id) AS created_at,
           (SELECT p.version FROM payments AS p WHERE p.order_id = h.order_id) AS latest,
           (SELECT l.at FROM payments AS p FORCE INDEX (PRIMARY)
            STRAIGHT_JOIN payment_history AS l FORCE INDEX (PRIMARY) ON l.order_id = p.order_id AND l.version = p.version
            WHERE p.order_id = h.order_id AND p.version > h.version
              AND (p.status IN ('DONE', 'EXPIRED') OR p.status = 'FAILED' AND p.expires_at <= ?3)) AS rests_since
    FROM payment_history AS h FORCE INDEX (PRIMARY)
    WHERE h.order_id > ?1 OR h.order_id = ?1 AND h.version > ?2 ORDER BY h.order_id, h.version LIMIT ?4";

const DROP_HISTORY: &str = concat!(
    "DELETE h FROM ",
    batch!(0 id order_id, 1 whole latest),
    " STRAIGHT_JOIN payment_history AS h FORCE INDEX (PRIMARY) ON h.order_id = j.order_id AND h.version < j.latest"
);

const DROP_OUTBOX: &str = concat!(
    "DELETE o FROM ",
    keys!("?1": whole id "$"),
    " STRAIGHT_JOIN outbox AS o FORCE INDEX (PRIMARY) ON o.id = j.id"
);

pub(super) static SQL: Retention = Retention {
    checkout_keys: CHECKOUT_KEYS,
    drop_checkout_keys: DROP_CHECKOUT_KEYS,
    nodes: NODES,
    drop_nodes: DROP_NODES,
    history: HISTORY,
    drop_history: DROP_HISTORY,
    outbox: "SELECT id, at FROM outbox FORCE INDEX (PRIMARY) WHERE id > ?1 ORDER BY id LIMIT ?2",
    drop_outbox: DROP_OUTBOX,
};
