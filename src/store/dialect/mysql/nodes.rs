//! Who serves, and who still lives, as MySQL and MariaDB are asked for it.

pub(super) const LOCK: &str = concat!(
    "SELECT n.incarnation FROM ",
    keys!("?1": id incarnation "$"),
    " STRAIGHT_JOIN nodes AS n FORCE INDEX (PRIMARY) ON n.incarnation = j.incarnation WHERE n.closed_at IS NULL
      FOR UPDATE /*!80001 OF n */"
);

pub(super) const PUT: &str = concat!(
    "INSERT INTO nodes (incarnation, name, started_at, heartbeat_at)
    SELECT j.incarnation, j.name, ",
    now!(),
    ", ",
    now!(),
    " FROM ",
    batch!(0 id incarnation, 1 text name),
    " ON DUPLICATE KEY UPDATE name = VALUES(name), heartbeat_at = VALUES(heartbeat_at), closed_at = NULL"
);

pub(super) const UPDATE: &str = concat!(
    "UPDATE ",
    batch!(0 id incarnation, 1 whole beats, 2 whole closes, 3 whole saturated),
    " STRAIGHT_JOIN nodes AS n FORCE INDEX (PRIMARY) ON n.incarnation = j.incarnation
    SET n.heartbeat_at = CASE WHEN j.beats THEN ",
    now!(),
    " ELSE n.heartbeat_at END,
        n.closed_at = CASE WHEN j.closes THEN ",
    now!(),
    " ELSE n.closed_at END,
        n.saturated = j.saturated"
);

pub(super) const LIVES: &str = concat!(living!("1 AS one", "?2"), " AND incarnation = ?1");

pub(super) const LIVING: &str = living!("incarnation, name, saturated", "?1");

/// InnoDB shows a commit, and lets its locks go, before it has flushed its log; without a binary log nothing else has it by
/// then. The log is flushed in order. The row is gone before anybody could take it for a node.
pub(super) const WITNESS: &[&str] = &[
    "INSERT INTO nodes (incarnation, name, started_at, heartbeat_at) VALUES (?1, 'witness', 0, 0)",
    "DELETE FROM nodes WHERE incarnation = ?1",
];
