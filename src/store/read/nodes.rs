//! Nodes: who lives, by the database's clock, and which part of the orders a node looks after.

use std::time::Duration;

use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use super::broken;
use crate::domain::{Incarnation, Timestamp};
use crate::store::{One, Store, StoreFault};

/// An incarnation that lives, under the name of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Living {
    pub incarnation: Incarnation,
    pub name: Box<str>,
    /// Its journal was, when it said last that it lives.
    pub saturated: bool,
}

/// A part of all orders, by the last hexadecimal digit of their ids, which is random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share(Box<str>);

const DIGITS: &str = "0123456789abcdef";

impl Share {
    pub fn whole() -> Share {
        Share(DIGITS.into())
    }

    /// Of so many nodes, the part of the one with this rank, from 0. Every order is in exactly one; from the
    /// seventeenth node on they are empty.
    pub fn of(rank: usize, nodes: usize) -> Share {
        let mine = |(digit, _): &(usize, char)| digit % nodes.max(1) == rank;
        let digits: String = DIGITS
            .chars()
            .enumerate()
            .filter(mine)
            .map(|(_, digit)| digit)
            .collect();
        Share(digits.into())
    }

    pub fn none() -> Share {
        Share("".into())
    }

    pub fn has(&self, order: crate::domain::OrderId) -> bool {
        let last = order.to_string().pop();
        last.is_some_and(|digit| self.0.contains(digit))
    }

    pub(super) fn digits(&self) -> &str {
        &self.0
    }
}

#[derive(FromQueryResult)]
struct NowRow {
    now: i64,
}

#[derive(FromQueryResult)]
struct LivingRow {
    incarnation: String,
    name: String,
    saturated: bool,
}

/// Older than any heartbeat can be in the future: with it nobody lives.
const NOBODY: i64 = -(1 << 60);

impl Store {
    /// Whether other nodes may be at work on this database. A SQLite file has one server, which knows by its lock that
    /// everybody else is dead.
    pub fn is_shared(&self) -> bool {
        #[cfg(test)]
        if self.0.sabotage.is_shared() {
            return true;
        }
        self.0.sql.shared
    }

    /// Whether this incarnation lives: its row is open, and its heartbeat younger than this.
    pub async fn lives(
        &self,
        incarnation: Incarnation,
        dead_after: Duration,
    ) -> Result<bool, StoreFault> {
        if !self.is_shared() {
            return Ok(false);
        }
        let values = [incarnation.to_string().into(), self.age(dead_after)];
        let found: Vec<One> = self.rows(self.0.sql.lives, values).await?;
        Ok(!found.is_empty())
    }

    /// By the database's clock.
    pub async fn now(&self) -> Result<Timestamp, StoreFault> {
        let found: Vec<NowRow> = self.rows(self.0.sql.now, []).await?;
        let nothing = || StoreFault::Unavailable("the database has no time".to_owned());
        let row = found.first().ok_or_else(nothing)?;
        Ok(Timestamp::from_micros(row.now))
    }

    /// Everybody who lives, the eldest first.
    pub async fn living(&self, dead_after: Duration) -> Result<Vec<Living>, StoreFault> {
        let rows: Vec<LivingRow> = self.rows(self.0.sql.living, [self.age(dead_after)]).await?;
        let read = |row: LivingRow| {
            let id = Uuid::try_parse(&row.incarnation).map_err(|error| error.to_string());
            let incarnation = Incarnation(id.map_err(broken(row.incarnation))?);
            Ok(Living {
                incarnation,
                name: row.name.into(),
                saturated: row.saturated,
            })
        };
        let mut living = rows
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, StoreFault>>()?;
        living.sort_unstable_by_key(|node| node.incarnation);
        Ok(living)
    }

    /// The age, in microseconds, from which on a heartbeat is a dead node's.
    pub(in crate::store) fn age(&self, dead_after: Duration) -> Value {
        let age = match self.is_shared() {
            true => i64::try_from(dead_after.as_micros()).unwrap_or(i64::MAX / 2),
            false => NOBODY,
        };
        age.into()
    }
}
