//! The crowd at work, from the first checkout to the last confirm: with orders that are prepared beforehand, or made
//! on the way.

use std::sync::Arc;

use super::args::LoadtestArgs;
use super::buyer::Buyer;
use super::measure::Phase;

mod confirms;
mod faults;
mod pace;
mod phases;
mod settle;
mod shelf;
mod trips;
mod visit;

pub use confirms::Confirmed;
pub use faults::Faults;
pub use pace::{Load, Pace, Timed, closed_loop, progress_bar};
pub use phases::Ticket;
pub use settle::settle;
pub use shelf::Shelf;
pub use visit::{Echo, Manner, Reload, Visit};

pub struct Sale {
    pub checkout: Phase,
    /// Checkouts that gave no order.
    pub not_opened: u64,
    pub tickets: Arc<[Ticket]>,
    pub confirmed: Confirmed,
}

/// The faults are there for the time of the confirms.
pub async fn sell(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    shelf: Shelf,
    faults: &Faults,
) -> anyhow::Result<Sale> {
    if args.prepared().is_none() {
        faults.play(buyer).await?;
        let sale = trips::sell(buyer, args, shelf).await?;
        faults.take_out(buyer).await?;
        return Ok(sale);
    }
    let opened = phases::checkout(buyer, args, &shelf).await?;
    let tickets = phases::authorize(buyer, args, opened.opened).await?;
    faults.play(buyer).await?;
    let mut confirmed = confirms::confirm(buyer, args, &tickets).await?;
    faults.take_out(buyer).await?;
    for odd in opened.odd {
        confirmed.odd.keep_text(odd);
    }
    Ok(Sale {
        checkout: opened.phase,
        not_opened: opened.not_opened,
        tickets,
        confirmed,
    })
}
