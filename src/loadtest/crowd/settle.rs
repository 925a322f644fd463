//! After the confirms: what was pending, or whose answer was lost, is asked for until it rests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::closed_loop;
use super::phases::Ticket;
use crate::loadtest::args::LoadtestArgs;
use crate::loadtest::buyer::{Buyer, OrderStatus};

/// The longest that anybody waits for the open orders.
const PATIENCE: Duration = Duration::from_secs(60);
/// One question's wait at the server, in seconds.
const QUESTION_S: u64 = 5;

/// How many of the open orders came to rest in time. What did not is the audit's to report.
pub async fn settle(
    buyer: &Arc<Buyer>,
    args: &LoadtestArgs,
    tickets: &Arc<[Ticket]>,
    open: &[usize],
) -> anyhow::Result<u64> {
    let until = Instant::now() + PATIENCE;
    let (buyer, tickets) = (Arc::clone(buyer), Arc::clone(tickets));
    let open: Arc<[usize]> = open.into();
    let jobs = open.len();
    let rested = closed_loop("settling", jobs, args.callers().min(256), move |at| {
        let (buyer, tickets, order) = (Arc::clone(&buyer), Arc::clone(&tickets), open[at]);
        async move { came_to_rest(&buyer, &tickets[order].order_id, until).await }
    });
    let rested = rested.await?;
    Ok(rested.iter().filter(|rested| **rested).count() as u64)
}

async fn came_to_rest(buyer: &Buyer, order_id: &str, until: Instant) -> bool {
    while Instant::now() < until {
        let asked = Instant::now();
        let answer = buyer.settled_status(order_id, QUESTION_S).await;
        let order = answer
            .ok()
            .and_then(|answer| answer.data::<OrderStatus>().ok());
        if order.is_some_and(|order| !is_travelling(&order.status)) {
            return true;
        }
        // A server that answers at once instead of waiting must not be asked in a tight loop.
        if asked.elapsed() < Duration::from_millis(200) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    false
}

fn is_travelling(status: &str) -> bool {
    matches!(status, "IN_PROGRESS" | "UNKNOWN")
}
