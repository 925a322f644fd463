//! The way into a flight: reserve the goods, be admitted to Toss, write the intent down. Whatever ends it early
//! gives back what was taken, because everything taken is a guard.

use tokio::time::Instant;

use super::advance::{Flight, Landing};
use super::hands::{Hands, Term};
use crate::actors::journal::{NoVerdict, Write};
use crate::actors::product::{Look, Reservation, Reserve};
use crate::actors::toss::{Admit, Lane, Permit};
use crate::actors::versions::VersionOf;
use crate::domain::{Event, Payment, PaymentKey, ProductId, Rejection, after};
use crate::metrics::Shed;
use crate::store::{Change, Verdict};

/// An opened flight: the intent is durable.
pub struct Opened {
    pub payment: Payment,
    /// When the intent left for the journal.
    pub as_of: Instant,
    pub permit: Permit,
    pub term: Term,
}

/// Opens an attempt with `key`, or says how the flight has ended before it began.
pub async fn open(flight: &Flight, key: &PaymentKey) -> Result<Opened, Box<Landing>> {
    let hands = &*flight.hands;
    let reservations = set_aside(flight).await?;
    #[cfg(test)]
    assert!(
        !hands
            .sabotage
            .next
            .swap(false, std::sync::atomic::Ordering::Relaxed),
        "sabotaged"
    );
    let permit = match hands.admit.send(Admit { lane: Lane::Live }).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(refused)) => {
            hands.shed_before_toss();
            return Err(busy(refused.retry_after_s));
        }
        Err(_) => return Err(busy(1)),
    };
    fault_point!(Admitted);
    let term = hands.term().ok_or_else(|| busy(1))?;
    let event = Event::AttemptStarted {
        payment_key: key.clone(),
        gateway: hands.gateway.clone(),
        claim: term.claim,
    };
    // Illegal: the payment changed between the check and now (its deadline passed).
    let transition = after(&flight.sight.payment, event, &hands.clock.moment())
        .map_err(|_| Box::new(Landing::CheckAgain))?;
    let (payment, as_of) = (transition.next.clone(), Instant::now());
    let write = Write::opening(Change::Advance(transition))
        .traced(flight.trace)
        .taking(reservations);
    let written = hands.journal.send(write).await;
    match written.unwrap_or(Err(NoVerdict::Doubtful)) {
        Ok(Verdict::Committed { .. }) => {
            fault_point!(Opened);
            Ok(Opened {
                payment,
                as_of,
                permit,
                term,
            })
        }
        Ok(Verdict::OutOfStock(shortages)) => Err(rejected(Rejection::OutOfStock(shortages))),
        Err(NoVerdict::Busy) => {
            hands.metrics.shed(Shed::Journal);
            Err(busy(1))
        }
        Err(NoVerdict::Fault) => Err(busy(1)),
        Ok(Verdict::Stale { .. } | Verdict::NotFound) => Err(Box::new(Landing::CheckAgain)),
        Err(NoVerdict::Doubtful)
        | Ok(Verdict::Duplicate { .. } | Verdict::NotEnoughStock { .. }) => {
            Err(Box::new(Landing::Doubtful))
        }
    }
}

async fn set_aside(flight: &Flight) -> Result<Vec<Reservation>, Box<Landing>> {
    match reserve_all(&flight.hands, &flight.sight.payment).await {
        Ok(reservations) => Ok(reservations),
        // The last piece may be this very order's, taken at another node.
        Err(_) if has_moved(flight).await => Err(Box::new(Landing::CheckAgain)),
        Err(rejection) => Err(rejected(rejection)),
    }
}

/// Whether another node has written the payment since it was read here.
async fn has_moved(flight: &Flight) -> bool {
    let (hands, sight) = (&flight.hands, &flight.sight);
    if !hands.store.is_shared() || sight.as_of >= flight.since {
        return false;
    }
    let version = hands.versions.send(VersionOf(sight.payment.order.id)).await;
    version.is_ok_and(|now| now.is_some_and(|now| now != sight.payment.version))
}

fn busy(retry_after_s: u32) -> Box<Landing> {
    rejected(Rejection::Busy { retry_after_s })
}

fn rejected(rejection: Rejection) -> Box<Landing> {
    Box::new(Landing::Rejected(rejection))
}

/// All lines or none, in product order. The first line that is short drops the guards of those before it, and those behind
/// it are only looked at: every line that is short is named, and nothing is set aside for an order that cannot be.
async fn reserve_all(hands: &Hands, payment: &Payment) -> Result<Vec<Reservation>, Rejection> {
    let mut reservations = Vec::with_capacity(payment.order.lines.len());
    let mut shortages = Vec::new();
    for line in payment.order.lines.iter() {
        let quantity = i64::from(line.quantity.get());
        let gate = hands.products.gate(line.product, &hands.journal);
        let closed = |_| closed(line.product, quantity);
        if !shortages.is_empty() {
            let look = gate.send(Look { quantity }).await.map_err(closed)?;
            shortages.extend(look.err());
            continue;
        }
        match gate.send(Reserve { quantity }).await.map_err(closed)? {
            Ok(reservation) => reservations.push(reservation),
            Err(shortage) => {
                reservations.clear();
                shortages.push(shortage);
            }
        }
    }
    match shortages.is_empty() {
        true => Ok(reservations),
        false => Err(Rejection::OutOfStock(shortages)),
    }
}

/// The gate's handler panicked while we stood before it. The next one finds a new gate.
fn closed(product: ProductId, requested: i64) -> Rejection {
    tracing::error!(%product, requested, "the gate of a product closed");
    Rejection::Busy { retry_after_s: 1 }
}
