//! The operator of the small world: asks Toss everything, from whichever copy of the truth answers, and rules.

use super::journal::Commit;
use super::toss::View;
use super::world::{World, ours};
use crate::domain::outcome::Finding;
use crate::domain::payment::{Event, Evidence, Resolution, Ruling, after};

impl World {
    /// From a process of its own, beside the nodes; what the ruling makes of the record, the nodes find out.
    pub fn rule(
        &mut self,
        node: usize,
        order: usize,
        ruling: Ruling,
        view: View,
        (dice, commit): (u32, Commit),
    ) {
        let payment = self.journal.payments[order].clone();
        let gateway = self.nodes[node].gateway.clone();
        let home = gateway == ours();
        let by_key = payment.attempts.iter().map(|attempt| {
            let finding = match home {
                true => self.toss.look_up(&attempt.payment_key, view, self.now),
                false => Finding::NotFound,
            };
            (attempt.number, finding)
        });
        let by_key = by_key.collect();
        let by_order = match home {
            true => self
                .toss
                .look_up_order(order, dice as usize, view, self.now),
            false => Finding::NotFound,
        };
        let evidence = Evidence {
            gateway,
            asked_at: self.clock(node),
            by_key,
            by_order,
        };
        let event = Event::Resolved(Box::new(Resolution {
            ruling,
            evidence,
            by: "kim".into(),
            why: "seen".into(),
        }));
        let moment = self.moment(node, dice);
        if let Ok(transition) = after(&payment, event, &moment) {
            self.write(transition, commit);
        }
    }
}
