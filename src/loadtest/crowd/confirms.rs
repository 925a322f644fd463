//! The timed heart: every order confirmed by its buyer, or by everybody at once.

use std::sync::Arc;

use super::pace::{Timed, Turn, closed_loop, paced};
use super::phases::Ticket;
use super::visit::{Reload, Sparing, Visit, visit};
use crate::loadtest::args::LoadtestArgs;
use crate::loadtest::buyer::Buyer;
use crate::loadtest::measure::{Call, Calls, Oddities};
use crate::loadtest::scenario::{SameOrder, Scenario, all_at_once};

#[derive(Default)]
pub struct Confirmed {
    pub calls: Calls,
    /// The places of the orders that may be anywhere.
    pub open: Vec<usize>,
    pub reloads: Vec<Reload>,
    pub same_order: Option<SameOrder>,
    pub odd: Oddities,
}

pub async fn confirm(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
) -> anyhow::Result<Confirmed> {
    match args.scenario {
        Scenario::Distinct | Scenario::Hot | Scenario::LastItem | Scenario::Mixed => {
            warm_up(buyer, args).await?;
            one_by_one(buyer, args, tickets).await
        }
        Scenario::SameOrder => all_at_once(buyer, args.callers(), tickets).await,
    }
}

/// Opens the connections, so that the first confirms do not pay for it.
pub async fn warm_up(buyer: &Arc<Buyer>, args: &LoadtestArgs) -> anyhow::Result<()> {
    let buyer = Arc::clone(buyer);
    let calls = args.callers() * 4 * buyer.nodes();
    closed_loop("warm-up", calls, args.callers(), move |_| {
        let buyer = Arc::clone(&buyer);
        async move { buyer.ready().await.is_ok() }
    })
    .await?;
    Ok(())
}

async fn one_by_one(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
) -> anyhow::Result<Confirmed> {
    let (buyer, asked) = (Arc::clone(buyer), Arc::clone(tickets));
    let (args, odd) = (Arc::new(args.clone()), Arc::new(Sparing::default()));
    let load = args.load();
    let job = move |turn: Turn| {
        let (buyer, asked) = (Arc::clone(&buyer), Arc::clone(&asked));
        let (manner, odd) = (args.scenario.manner_of(&args, turn.at), Arc::clone(&odd));
        async move { visit(&buyer, &asked[turn.at], manner, turn, &odd).await }
    };
    let lap = paced("confirm", tickets.len(), load, job).await?;
    let mut confirmed = Confirmed::of_visits(lap.results);
    (confirmed.calls.took, confirmed.calls.cpu) = (lap.took, lap.cpu);
    Ok(confirmed)
}

impl Confirmed {
    /// One visit for each order, in their order.
    pub fn of_visits(visits: Vec<Timed<Visit>>) -> Confirmed {
        let mut confirmed = Confirmed::default();
        for (order, timed) in visits.into_iter().enumerate() {
            confirmed.calls.all.push(Call::of(order, &timed));
            confirmed.reloads.extend(timed.result.reload);
            if let Some(odd) = timed.result.odd {
                confirmed.odd.keep_text(odd);
            }
        }
        confirmed.open = confirmed.calls.open_orders();
        confirmed
    }
}
