//! The decision of a human, in words that the history keeps: asked about at Toss, weighed by the rules, written once.

use anyhow::{Context as _, anyhow, bail};
use tokio::runtime::Runtime;

use super::{ask, load, moment, order_id};
use crate::app;
use crate::domain::payment::{Resolution, Ruling};
use crate::domain::rejection::Shortage;
use crate::domain::{Event, Payment, Status, Transition, after};
use crate::settings::Settings;
use crate::store::{Change, CommitFault, Opened, Store, Verdict, WriteFate};

/// Who decides and why, as the history will say it.
#[derive(Debug)]
pub struct Words {
    by: Box<str>,
    why: Box<str>,
}

const MOST_BY_CHARS: usize = 100;

const MOST_REASON_CHARS: usize = 500;

pub fn words(by: Option<String>, reason: &str) -> anyhow::Result<Words> {
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

pub async fn resolve(
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
    let evidence = ask(&toss, &store, &payment).await?;
    let rules = app::rules(settings);
    let moment = moment(&rules, &store).await?;
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
    mention!(
        "order     {order}  {}, {}",
        next.order.name,
        next.order.total
    );
    mention!("status    {} -> {status}", before.status.name());
    let history = &transition.history;
    let reason = history.reason.as_deref().unwrap_or("");
    mention!("history   {}  {}  {reason}", next.version, history.event);
    let stock = match (before.stock_held, next.stock_held) {
        (true, true) => "sold",
        (false, true) => "taken from the shelf, and sold",
        (true, false) => "back on the shelf",
        (false, false) => "on the shelf, as before",
    };
    mention!("stock     {stock}");
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
        Err(
            CommitFault::Unavailable(why) | CommitFault::Refused(why) | CommitFault::Blocked(why),
        ) => {
            bail!("the database did not take it, and nothing was written: {why}")
        }
        Err(CommitFault::Doubtful(why)) => {
            let landing = store
                .read_back(order, transition.id, transition.replaces)
                .await;
            return match landing {
                Ok(WriteFate::Landed { .. }) => Ok(()),
                Ok(WriteFate::Absent) => Err(moved()),
                Ok(WriteFate::Undecided) | Err(_) => Err(anyhow!(
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
