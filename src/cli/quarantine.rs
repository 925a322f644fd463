//! `payonce quarantine`: what waits for a human, what Toss says about it now, and the human's decision. It writes
//! beside a running server; the rules are the domain's.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::QuarantineCommand;
use super::orders::{clock, timeline};
use crate::app;
use crate::domain::payment::{Evidence, QuarantineReason, Resolution, Ruling};
use crate::domain::rejection::Shortage;
use crate::domain::{
    Dice, Event, Finding, Moment, OrderId, Payment, Report, Rules, Status, Timestamp, Transition,
    TransitionId, after,
};
use crate::gateway::Toss;
use crate::settings::Settings;
use crate::store::{Change, CommitFault, Landing, Opened, Quarantined, Store, Verdict};

/// `--as`
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Wanted {
    Done,
    Failed,
}

impl Wanted {
    const fn ruling(self) -> Ruling {
        match self {
            Wanted::Done => Ruling::Done,
            Wanted::Failed => Ruling::Failed,
        }
    }
}

pub async fn run(
    settings: &Settings,
    runtime: &Runtime,
    command: QuarantineCommand,
) -> anyhow::Result<bool> {
    match command {
        QuarantineCommand::List { limit } => list(settings, runtime, limit).await,
        QuarantineCommand::Show { order } => show(settings, runtime, &order).await,
        QuarantineCommand::Resolve {
            order,
            ruling,
            reason,
            by,
        } => {
            let words = words(by, &reason)?;
            resolve(settings, runtime, &order, ruling.ruling(), words).await
        }
    }
}

async fn list(settings: &Settings, runtime: &Runtime, limit: u32) -> anyhow::Result<bool> {
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    let found = store.quarantined(limit.saturating_add(1)).await?;
    if found.is_empty() {
        println!("nothing is quarantined");
        return Ok(true);
    }
    let most = limit as usize;
    found.iter().take(most).for_each(line);
    if found.len() > most {
        println!("and more: --limit shows up to 1000");
    }
    println!("payonce quarantine show ORDER asks Toss about one, and says what may be decided");
    Ok(true)
}

fn line(found: &Quarantined) {
    let payment = &found.payment;
    let entered = |row: &&crate::store::HistoryRow| {
        row.to == Status::Quarantined && row.from != Some(Status::Quarantined)
    };
    let since = found.history.iter().rev().find(entered);
    let since = since.map_or_else(|| "?".to_owned(), |row| clock(row.at));
    let reason = payment.quarantine.map_or("?", QuarantineReason::name);
    let (order, total) = (payment.order.id, payment.order.total);
    let stock = match payment.stock_held {
        true => "stock held",
        false => "stock NOT held",
    };
    println!("{order}  since {since}  {reason}  {total}  {stock}");
    println!("    known  {}", known(payment));
    println!("    next   {}", next(payment));
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

fn order_id(text: &str) -> anyhow::Result<OrderId> {
    OrderId::parse(text)
        .ok_or_else(|| anyhow!("{text:?} is no order id; `payonce quarantine list` shows some"))
}

async fn load(store: &Store, order: OrderId) -> anyhow::Result<Payment> {
    let payment = store.load(order).await?;
    payment.ok_or_else(|| anyhow!("there is no order {order}"))
}

async fn show(settings: &Settings, runtime: &Runtime, order: &str) -> anyhow::Result<bool> {
    let order = order_id(order)?;
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    let payment = load(&store, order).await?;
    timeline(&payment, &store.history(order).await?);
    if payment.status == Status::Quarantined {
        println!("known     {}", known(&payment));
    }
    let toss = app::open_gateway(settings, None)?;
    let evidence = ask(&toss, &payment).await?;
    let kind = toss.kind();
    println!(
        "Toss now  {kind} at {}, asked at {}",
        app::gateway_url(settings),
        clock(evidence.asked_at)
    );
    for (number, finding) in &evidence.by_key {
        println!("  attempt {number}  {}", seen(&payment, finding));
    }
    println!("  by order   {}", seen(&payment, &evidence.by_order));
    println!("decisions");
    let rules = app::rules(settings);
    let moment = moment(&rules)?;
    for (name, ruling) in [("done  ", Ruling::Done), ("failed", Ruling::Failed)] {
        let verdict = match payment.weigh(ruling, &evidence, &moment) {
            Ok(()) => format!("allowed{}", consequence(&payment, ruling)),
            Err(refusal) => format!("refused: {refusal}"),
        };
        println!("  --as {name}  {verdict}");
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
    let mut words = format!("{payment_key}  {}, {total} KRW", status.name());
    if *report.order_id != *payment.order.id.to_string() {
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

fn now() -> anyhow::Result<Timestamp> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp::from_micros(i64::try_from(now.as_micros())?))
}

fn moment(rules: &Rules) -> anyhow::Result<Moment<'_>> {
    Ok(Moment {
        at: now()?,
        dice: Dice::default(),
        transition: TransitionId(Uuid::now_v7()),
        polled: false,
        rules,
    })
}

/// Everything that Toss can tell: every attempt by its paymentKey, and the order. Reads only.
async fn ask(toss: &Toss, payment: &Payment) -> anyhow::Result<Evidence> {
    let asked_at = now()?;
    let mut by_key = Vec::with_capacity(payment.attempts.len());
    for attempt in &payment.attempts {
        by_key.push((
            attempt.number,
            toss.look_up(&attempt.payment_key).await.said,
        ));
    }
    Ok(Evidence {
        gateway: toss.identity().clone(),
        asked_at,
        by_key,
        by_order: toss.look_up_order(payment.order.id).await.said,
    })
}

/// Who decides and why, as the history will say it.
#[derive(Debug)]
struct Words {
    by: Box<str>,
    why: Box<str>,
}

const MOST_BY_CHARS: usize = 100;
const MOST_REASON_CHARS: usize = 500;

fn words(by: Option<String>, reason: &str) -> anyhow::Result<Words> {
    let by = by.or_else(operator).context(
        "it is not known who decides, since $USER or this host's name is missing: give --by NAME",
    )?;
    let fits = |text: &str, most: usize| {
        (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    let (by, why) = (by.trim(), reason.trim());
    if !fits(by, MOST_BY_CHARS) {
        bail!("--by wants a name, 1 to {MOST_BY_CHARS} characters in one line");
    }
    if !fits(why, MOST_REASON_CHARS) {
        bail!("--reason wants a reason, 1 to {MOST_REASON_CHARS} characters in one line");
    }
    Ok(Words {
        by: by.into(),
        why: why.into(),
    })
}

fn operator() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = set("USER").or_else(|| set("LOGNAME"))?;
    let host = set("HOSTNAME").or_else(|| {
        let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
        let mut names = files.iter().flat_map(std::fs::read_to_string);
        names.next().map(|name| name.trim().to_owned())
    });
    let host = host.filter(|host| !host.is_empty())?;
    Some(format!("{user}@{host}"))
}

async fn resolve(
    settings: &Settings,
    runtime: &Runtime,
    order: &str,
    ruling: Ruling,
    words: Words,
) -> anyhow::Result<bool> {
    let order = order_id(order)?;
    let store = app::open_store(settings, Opened::Beside, runtime).await?;
    let payment = load(&store, order).await?;
    let refused = || format!("order {order} was not resolved");
    if payment.status != Status::Quarantined {
        let status = payment.status.name();
        bail!("order {order} is {status}, not QUARANTINED: there is nothing to resolve");
    }
    // The history is shown to the shop, and kept.
    let mut keys = payment.attempts.iter().map(|a| a.payment_key.reveal());
    if keys.any(|key| words.why.contains(key) || words.by.contains(key)) {
        bail!("the reason names a whole paymentKey; the history must not: say \"attempt 1\"");
    }
    let toss = app::open_gateway(settings, None)?;
    let evidence = ask(&toss, &payment).await?;
    let rules = app::rules(settings);
    let moment = moment(&rules)?;
    payment
        .weigh(ruling, &evidence, &moment)
        .with_context(refused)?;
    let event = Event::Resolved(Box::new(Resolution {
        ruling,
        evidence,
        by: words.by,
        why: words.why,
    }));
    let transition = after(&payment, event, &moment).with_context(refused)?;
    commit(&store, &transition).await.with_context(refused)?;
    store.close().await;
    told(&payment, &transition);
    Ok(true)
}

fn told(before: &Payment, transition: &Transition) {
    let next = &transition.next;
    let (order, status) = (next.order.id, next.status.name());
    println!(
        "order     {order}  {}, {}",
        next.order.name, next.order.total
    );
    println!("status    {} -> {status}", before.status.name());
    let history = &transition.history;
    let reason = history.reason.as_deref().unwrap_or("");
    println!("history   {}  {}  {reason}", next.version, history.event);
    let stock = match (before.stock_held, next.stock_held) {
        (true, true) => "sold",
        (false, true) => "taken from the shelf, and sold",
        (true, false) => "back on the shelf",
        (false, false) => "on the shelf, as before",
    };
    println!("stock     {stock}");
}

/// One change, one transaction, guarded by the version that was read before Toss was asked.
async fn commit(store: &Store, transition: &Transition) -> anyhow::Result<()> {
    let order = transition.order_id();
    let moved = || {
        anyhow!(
            "it changed while Toss was asked; nothing was written. Look again: payonce quarantine show {order}"
        )
    };
    let verdict = match store.commit(&[Change::Advance(transition.clone())]).await {
        Ok(committed) => committed.verdicts.into_iter().next(),
        Err(CommitFault::Unavailable(why) | CommitFault::Refused(why)) => {
            bail!("the database did not take it, and nothing was written: {why}")
        }
        Err(CommitFault::Doubtful(why)) => {
            let landing = store
                .read_back(order, transition.id, transition.replaces)
                .await;
            return match landing {
                Ok(Landing::Landed { .. }) => Ok(()),
                Ok(Landing::Absent) => Err(moved()),
                Ok(Landing::Undecided) | Err(_) => Err(anyhow!(
                    "the database did not say whether it was written ({why}). Look: payonce quarantine show {order}"
                )),
            };
        }
    };
    match verdict {
        Some(Verdict::Committed { .. }) => Ok(()),
        Some(Verdict::Stale { .. } | Verdict::NotFound) => Err(moved()),
        Some(Verdict::OutOfStock(shortages)) => Err(out_of_stock(&shortages)),
        Some(Verdict::Duplicate { .. } | Verdict::NotEnoughStock { .. }) | None => Err(anyhow!(
            "the database gave a verdict that this change cannot have"
        )),
    }
}

fn out_of_stock(shortages: &[Shortage]) -> anyhow::Error {
    let line = |short: &Shortage| {
        let Shortage {
            product,
            requested,
            available,
        } = short;
        format!("product {product} has {available} of {requested}")
    };
    let lines: Vec<String> = shortages.iter().map(line).collect();
    anyhow!(
        "Toss has the money, but the goods are not there: {}. Restock \
         (POST /api/v1/products/ID/stock) and resolve again, or refund it at Toss",
        lines.join(", ")
    )
}
