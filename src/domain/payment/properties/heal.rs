//! The end of every story: nothing is lost any more, and recovery runs until nothing moves.

use super::checks::{check, check_settled};
use super::flight::{Line, Manner};
use super::journal::Commit;
use super::toss::{Place, Verdict, View};
use super::world::{Doing, World, ours};
use crate::domain::{Payment, Status, Timestamp};

/// More than the budget of questions and the longest pause between them can need.
const ROUNDS: usize = 400;
/// Slow questions about quarantined payments that are waited for.
const QUIET_ROUNDS: usize = 4;

impl World {
    pub fn heal(&mut self, verdict: Verdict, view: View) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            if self.nodes[node].gateway != ours() {
                self.restart(node, true);
            }
        }
        self.journal.ghosts.clear();
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            self.toss_works(verdict);
            for hop in 0.. {
                if !self.fly(view)? {
                    break;
                }
                if hop == ROUNDS {
                    return Err(format!(
                        "liveness: a flight never lands: {:?}",
                        self.flights
                    ));
                }
                self.toss_works(verdict);
                check(self)?;
            }
            let settled = self.journal.payments.iter().all(|p| {
                matches!(
                    p.status,
                    Status::Done | Status::Failed | Status::Expired | Status::Quarantined
                )
            });
            quiet += usize::from(settled);
            let Some(due) = self.next_due().filter(|_| quiet <= QUIET_ROUNDS) else {
                break;
            };
            let ahead_ms = due.ms_since(self.now) + 1;
            self.wait(ahead_ms.max(1));
            self.recover();
            check(self)?;
        }
        check_settled(self)
    }

    fn toss_works(&mut self, verdict: Verdict) {
        for call in 0..self.toss.calls.len() {
            self.toss.arrive(call, verdict, self.now);
            self.toss.finish(call, self.now);
        }
    }

    /// Every flight makes one move; false when all have landed.
    fn fly(&mut self, view: View) -> Result<bool, String> {
        let manner = Manner {
            dice: u32::MAX,
            commit: Commit::Heard,
            view,
            refused: false,
        };
        for flight in (0..self.flights.len()).rev() {
            let clock = self.clock(self.flights[flight].node);
            let later = self.flights[flight]
                .payment
                .next_attempt_at
                .is_some_and(|at| at > clock);
            match self.flights[flight].doing.clone() {
                // The flight's budget is spent after one question; the timer goes on.
                Doing::Deciding
                    if later && self.flights[flight].payment.status == Status::Unknown =>
                {
                    let owned = self.flights[flight].claim.deadline;
                    match self.flights[flight].payment.next_attempt_at == Some(owned) {
                        true => self.proceed(flight, manner)?,
                        false => drop(self.flights.remove(flight)),
                    }
                }
                Doing::Deciding => self.proceed(flight, manner)?,
                Doing::Sending { series, .. } => {
                    let gone = |call: &usize| matches!(self.toss.calls[*call].place, Place::Gone);
                    let line = if series.iter().all(gone) {
                        Line::Broken
                    } else {
                        Line::Clean
                    };
                    self.hear(flight, line, manner)?;
                }
                Doing::Asking { .. } => self.hear(flight, Line::Clean, manner)?,
            }
        }
        Ok(!self.flights.is_empty())
    }

    fn next_due(&self) -> Option<Timestamp> {
        let slowest = self
            .nodes
            .iter()
            .map(|node| -node.skew_ms)
            .max()
            .unwrap_or(0);
        let moves = |p: &&Payment| p.status != Status::Quarantined || p.may_settle_itself();
        let due = self
            .journal
            .payments
            .iter()
            .filter(moves)
            .filter_map(Payment::due_at)
            .min();
        due.map(|due| due.plus_ms(slowest))
    }

    fn recover(&mut self) {
        for order in 0..self.orders() {
            let due = self.journal.payments[order].due_at();
            if due.is_some_and(|due| due <= self.clock(0)) {
                self.take_over(0, order, u32::MAX, Commit::Heard);
            }
        }
    }
}
