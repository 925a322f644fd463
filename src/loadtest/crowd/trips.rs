//! Whole shopping trips, for runs of which only the time is known: each caller checks out, pays and confirms, again
//! and again. Both phases are timed, and a server has both to do at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Sale;
use super::confirms::{Confirmed, warm_up};
use super::pace::{Timed, Turn, paced};
use super::phases::{Ticket, check_out, pay_in_window};
use super::shelf::Shelf;
use super::visit::{Sparing, Visit, visit};
use crate::loadtest::args::LoadtestArgs;
use crate::loadtest::buyer::Buyer;
use crate::loadtest::measure::{Phase, latencies};

struct Trip {
    checkout: Duration,
    /// A trip that ended before the confirm keeps a few words of why.
    bought: Result<(Ticket, Visit), Option<String>>,
}

pub async fn sell(buyer: &Arc<Buyer>, args: &LoadtestArgs, shelf: Shelf) -> anyhow::Result<Sale> {
    warm_up(buyer, args).await?;
    let (buyer, args) = (Arc::clone(buyer), Arc::new(args.clone()));
    let (load, odd) = (args.load(), Arc::new(Sparing::default()));
    let lap = paced("trips", shelf.orders, load, move |turn| {
        let (buyer, args) = (Arc::clone(&buyer), Arc::clone(&args));
        let odd = Arc::clone(&odd);
        async move { shop(&buyer, &args, shelf, turn, &odd).await }
    });
    let lap = lap.await?;
    let checkouts = latencies(lap.results.iter().map(|timed| timed.result.checkout))?;
    let checkout = Phase::of(&checkouts, lap.took).with_cpu(lap.cpu);
    let (mut tickets, mut visits, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for timed in lap.results {
        let (due, left, latency) = (timed.due, timed.left, timed.latency);
        match timed.result.bought {
            Ok((ticket, result)) => {
                tickets.push(ticket);
                visits.push(Timed {
                    result,
                    due,
                    left,
                    latency,
                });
            }
            Err(why) => failed.push(why),
        }
    }
    let not_opened = failed.len() as u64;
    let mut confirmed = Confirmed::of_visits(visits);
    (confirmed.calls.took, confirmed.calls.cpu) = (lap.took, lap.cpu);
    for why in failed.into_iter().flatten() {
        confirmed.odd.keep_text(why);
    }
    if tickets.is_empty() {
        let odd = confirmed.odd.into_vec();
        bail!("nobody came to a confirm: {}", odd.join("; "));
    }
    Ok(Sale {
        checkout,
        not_opened,
        tickets: tickets.into(),
        confirmed,
    })
}

async fn shop(
    buyer: &Buyer,
    args: &LoadtestArgs,
    shelf: Shelf,
    turn: Turn,
    odd: &Sparing,
) -> Timed<Trip> {
    let began = Instant::now();
    let opened = check_out(buyer, turn.at, shelf.product_of(turn.at)).await;
    let checkout = began.elapsed();
    let paid = match &opened {
        Ok(opened) => pay_in_window(buyer, opened).await,
        Err(error) => Err(anyhow::anyhow!("checkout: {error:#}")),
    };
    match paid {
        Ok(ticket) => {
            let manner = args.scenario.manner_of(args, turn.at);
            let timed = visit(buyer, &ticket, manner, turn.anew(), odd).await;
            timed.map(|visit| Trip {
                checkout,
                bought: Ok((ticket, visit)),
            })
        }
        Err(error) => {
            let why = odd.may_keep().then(|| format!("{error:#}"));
            turn.answered(Trip {
                checkout,
                bought: Err(why),
            })
        }
    }
}
