//! Products, and how much of each is held, as MySQL and MariaDB are asked for them.

pub(super) const PRODUCTS: &str = concat!(
    "SELECT p.id, p.name, p.price, p.stock, p.received, p.seller_id FROM ",
    keys!("?1": whole id "$"),
    " STRAIGHT_JOIN products AS p FORCE INDEX (PRIMARY) ON p.id = j.id"
);

/// Held: off the shelf and not yet sold. The three statuses are those in which goods can be held.
macro_rules! held_lines {
    () => {
        "SELECT l.product_id, CAST(sum(l.quantity) AS SIGNED) AS held
    FROM payments AS p STRAIGHT_JOIN order_lines AS l ON l.order_id = p.order_id
    WHERE p.status IN ('IN_PROGRESS', 'UNKNOWN', 'QUARANTINED') AND p.stock_held"
    };
}

macro_rules! wanted_lines {
    () => {
        concat!(
            " AND l.product_id IN (SELECT j.id FROM ",
            keys!("?1": whole id "$"),
            ") GROUP BY l.product_id"
        )
    };
}

pub(super) const COUNTED: &str = concat!(
    "SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held FROM ",
    keys!("?1": whole id "$"),
    " STRAIGHT_JOIN products AS s FORCE INDEX (PRIMARY) ON s.id = j.id LEFT JOIN (",
    held_lines!(),
    wanted_lines!(),
    ") AS h ON h.product_id = s.id ORDER BY s.id"
);

/// What the orders themselves say of a product beside what it says, in one view: the whole book of it is read.
pub(super) const BOOKED: &str = concat!(
    "SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held,
           coalesce(h.sold, 0) AS sold FROM ",
    keys!("?1": whole id "$"),
    " STRAIGHT_JOIN products AS s FORCE INDEX (PRIMARY) ON s.id = j.id LEFT JOIN (
        SELECT l.product_id,
               CAST(sum(CASE WHEN p.status IN ('IN_PROGRESS', 'UNKNOWN', 'QUARANTINED') THEN l.quantity ELSE 0 END)
                    AS SIGNED) AS held,
               CAST(sum(CASE WHEN p.status = 'DONE' THEN l.quantity ELSE 0 END) AS SIGNED) AS sold
        FROM order_lines AS l STRAIGHT_JOIN payments AS p ON p.order_id = l.order_id WHERE p.stock_held",
    wanted_lines!(),
    ") AS h ON h.product_id = s.id ORDER BY s.id"
);

pub(super) const ALL_COUNTED: &str = concat!(
    "SELECT s.id, s.name, s.price, s.stock, s.received, s.seller_id, coalesce(h.held, 0) AS held
    FROM products AS s LEFT JOIN (",
    held_lines!(),
    " GROUP BY l.product_id) AS h ON h.product_id = s.id ORDER BY s.id"
);
