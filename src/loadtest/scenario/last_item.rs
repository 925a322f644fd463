//! More buyers than pieces: exactly the pieces are sold, and only who came too late is refused.

use std::fmt;

use serde::Serialize;

use crate::loadtest::buyer::{Product, grouped};
use crate::loadtest::measure::{Calls, Outcome, Phase, Tally};

/// What `last-item` adds to the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastItem {
    pub items: u32,
    pub sold: i64,
    /// In stock at the end.
    pub left: i64,
    /// Those who came too late, from when the first of them asked to when the last one was answered.
    pub sold_out: Phase,
}

impl LastItem {
    pub fn of(
        items: u32,
        calls: &Calls,
        before: Product,
        after: Product,
    ) -> anyhow::Result<LastItem> {
        Ok(LastItem {
            items,
            sold: after.sold - before.sold,
            left: after.stock,
            sold_out: calls.spell_of(Outcome::OutOfStock)?,
        })
    }

    /// What the sale promised, and broke.
    pub fn findings(&self, tally: Tally) -> Vec<String> {
        let LastItem {
            items, sold, left, ..
        } = *self;
        let items = i64::from(items);
        let (done, refused) = (tally.done, tally.out_of_stock);
        let mut found = Vec::new();
        if sold > items {
            found.push(format!("oversold: {sold} sold of {items}."));
        }
        if refused > 0 && left > 0 {
            found.push(format!(
                "{refused} buyers heard that nothing is left, but {left} are."
            ));
        }
        // Everybody who got through to the shelf; shed load, lost calls and calls that never left may not have.
        let came = done + refused + tally.pending;
        if sold < i64::try_from(came).unwrap_or(i64::MAX).min(items) {
            found.push(format!(
                "{sold} sold of {items}, though {came} buyers came."
            ));
        }
        found
    }
}

impl fmt::Display for LastItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LastItem {
            items,
            sold,
            left,
            sold_out,
        } = self;
        let refusals = grouped(sold_out.per_second.round() as u64);
        let items = grouped((*items).into());
        writeln!(
            f,
            "last item   {sold} of {items} sold, {left} left; then {refusals} refusals per s"
        )
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn findings(sold: i64, left: i64, done: u64, refused: u64, busy: u64) -> Vec<String> {
        let shelf = |stock, sold| Product {
            id: 1,
            stock,
            held: 0,
            sold,
            received: 0,
        };
        let calls = Calls::default();
        let item = LastItem::of(10, &calls, shelf(10, 90), shelf(left, 90 + sold)).unwrap();
        item.findings(Tally {
            done,
            out_of_stock: refused,
            refused: busy,
            ..Tally::default()
        })
    }

    #[test]
    fn exactly_the_items_are_sold_and_nobody_is_refused_before() {
        assert!(findings(10, 0, 10, 10, 0).is_empty());
        // Who was not let in could not buy.
        assert!(findings(4, 6, 4, 0, 16).is_empty());
        assert!(
            findings(7, 3, 7, 0, 0).is_empty(),
            "fewer buyers than pieces"
        );
        for (found, what) in [
            (findings(11, -1, 11, 9, 0), "oversold"),
            (findings(9, 1, 9, 11, 0), "but 1 are"),
            (findings(9, 0, 9, 11, 0), "9 sold of 10"),
            (findings(9, 1, 10, 0, 0), "9 sold of 10"),
        ] {
            assert!(
                found.iter().any(|text| text.contains(what)),
                "{what}: {found:?}"
            );
        }
    }
}
