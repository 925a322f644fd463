//! What waits for a human, and all that is known about one of them; nothing is written.

use tokio::runtime::Runtime;

use super::{ask, load, moment, order_id};
use crate::app;
use crate::cli::orders::{clock, timeline};
use crate::domain::payment::{QuarantineReason, Ruling};
use crate::domain::{Finding, Payment, Report, Status};
use crate::settings::Settings;
use crate::store::{HistoryRow, Opened, Quarantined};

pub async fn list(settings: &Settings, runtime: &Runtime, limit: u32) -> anyhow::Result<bool> {
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    let found = store.quarantined(limit.saturating_add(1)).await?;
    if found.is_empty() {
        say!("nothing is quarantined");
        return Ok(true);
    }
    let most = limit as usize;
    found.iter().take(most).for_each(line);
    if found.len() > most {
        say!("and more: --limit shows up to 1000");
    }
    say!("payonce quarantine show ORDER asks Toss about one, and says what may be decided");
    Ok(true)
}

fn line(found: &Quarantined) {
    let payment = &found.payment;
    let entered =
        |row: &&HistoryRow| row.to == Status::Quarantined && row.from != Some(Status::Quarantined);
    let since = found.history.iter().rev().find(entered);
    let since = since.map_or_else(|| "?".to_owned(), |row| clock(row.at));
    let reason = payment.quarantine.map_or("?", QuarantineReason::name);
    let (order, total) = (payment.order.id, payment.order.total);
    let stock = match payment.stock_held {
        true => "stock held",
        false => "stock NOT held",
    };
    say!("{order}  since {since}  {reason}  {total}  {stock}");
    say!("    known  {}", known(payment));
    say!("    next   {}", next(payment));
}

/// What the reason means, for somebody who reads it for the first time.
fn known(payment: &Payment) -> String {
    let tries = match payment.attempts.len() {
        1 => "1 attempt".to_owned(),
        many => format!("{many} attempts"),
    };
    let what = match payment.quarantine {
        Some(QuarantineReason::AmountMismatch) => "Toss took another amount than the order's",
        Some(QuarantineReason::LateApproval) => {
            "Toss approved it after it was closed here, or beside another paymentKey"
        }
        Some(QuarantineReason::ConflictingEvidence) => {
            "Toss once claimed an approval, and now says otherwise"
        }
        Some(QuarantineReason::CanceledAtToss) => {
            "Toss approved it, and it was refunded outside of payonce"
        }
        Some(QuarantineReason::QuestionsSpent) => {
            "Toss was asked as often as the settings allow, and nothing it said decides"
        }
        Some(QuarantineReason::OtherGateway) => {
            "it was sent to another Toss account than the one set here"
        }
        Some(QuarantineReason::WaitingForDeposit) => {
            "a virtual account was issued, and the money is not there yet"
        }
        None => "no reason is on record",
    };
    format!("{what}; {tries}")
}

fn next(payment: &Payment) -> String {
    let asks = payment
        .next_attempt_at
        .filter(|_| payment.may_settle_itself());
    match (asks, payment.current_attempt()) {
        (Some(at), Some(attempt)) => format!(
            "Toss is asked again at {}; a clear answer about attempt {} settles it",
            clock(at),
            attempt.number
        ),
        (Some(_) | None, _) => "nothing by itself: a human decides".to_owned(),
    }
}

pub async fn show(settings: &Settings, runtime: &Runtime, order: &str) -> anyhow::Result<bool> {
    let order = order_id(order)?;
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    let payment = load(&store, order).await?;
    timeline(&payment, &store.history(order).await?, store.now().await?);
    if payment.status == Status::Quarantined {
        say!("known     {}", known(&payment));
    }
    let toss = app::open_gateway(settings, None)?;
    let evidence = ask(&toss, &store, &payment).await?;
    let kind = toss.kind();
    say!(
        "Toss now  {kind} at {}, asked at {}",
        app::gateway_url(settings),
        clock(evidence.asked_at)
    );
    for (number, finding) in &evidence.by_key {
        say!("  attempt {number}  {}", seen(&payment, finding));
    }
    say!("  by order   {}", seen(&payment, &evidence.by_order));
    say!("decisions");
    let rules = app::rules(settings);
    let moment = moment(&rules, &store).await?;
    for (name, ruling) in [("done  ", Ruling::Done), ("failed", Ruling::Failed)] {
        let verdict = match payment.weigh(ruling, &evidence, &moment) {
            Ok(()) => format!("allowed{}", consequence(&payment, ruling)),
            Err(refusal) => format!("refused: {refusal}"),
        };
        say!("  --as {name}  {verdict}");
    }
    Ok(true)
}

const fn consequence(payment: &Payment, ruling: Ruling) -> &'static str {
    match (ruling, payment.stock_held) {
        (Ruling::Done, true) => "; the goods held for it are sold",
        (Ruling::Done, false) => "; its goods are taken from the shelf, if they are there",
        (Ruling::Failed, true) => "; its goods go back to the shelf",
        (Ruling::Failed, false) => "",
    }
}

/// One answer of Toss, in a line.
fn seen(payment: &Payment, finding: &Finding) -> String {
    let report = match finding {
        Finding::Found(report) | Finding::PaidUnder(report) => report,
        Finding::NotFound => return "not known to Toss".to_owned(),
        Finding::Undecided(why) => return format!("an answer that decides nothing: {why}"),
        Finding::NoAnswer(why) => return format!("no answer: {why}"),
    };
    let Report {
        payment_key,
        status,
        total,
        ..
    } = report;
    let mut words = format!("{payment_key}  {}, {total}", status.name());
    if !report.is_of(payment.order.id) {
        words.push_str(", for another order");
    }
    if payment.attempt_with(payment_key).is_none() {
        words.push_str(", a paymentKey that our record lacks");
    }
    if let Some(at) = report.approved_at {
        words.push_str(&format!(", approved at {}", clock(at)));
    }
    if let Some(failure) = &report.failure {
        words.push_str(&format!(", {}", failure.code));
    }
    words
}
