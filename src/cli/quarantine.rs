//! `payonce quarantine`: what waits for a human, what Toss says about it now, and the human's decision. It writes
//! beside a running server; the rules are the domain's.

use anyhow::anyhow;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::QuarantineCommand;
use crate::domain::payment::{Evidence, Ruling};
use crate::domain::{Dice, Moment, OrderId, Payment, Rules, TransitionId};
use crate::gateway::Toss;
use crate::settings::Settings;
use crate::store::Store;

mod decision;
mod view;

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
        QuarantineCommand::List { limit } => view::list(settings, runtime, limit).await,
        QuarantineCommand::Show { order } => view::show(settings, runtime, &order).await,
        QuarantineCommand::Resolve {
            order,
            ruling,
            reason,
            by,
        } => {
            let words = decision::words(by, &reason)?;
            decision::resolve(settings, runtime, &order, ruling.ruling(), words).await
        }
    }
}

fn order_id(text: &str) -> anyhow::Result<OrderId> {
    OrderId::parse(text)
        .ok_or_else(|| anyhow!("{text:?} is not an order id; `payonce quarantine list` shows some"))
}

async fn load(store: &Store, order: OrderId) -> anyhow::Result<Payment> {
    let payment = store.load(order).await?;
    payment.ok_or_else(|| anyhow!("there is no order {order}"))
}

/// By the clock that the attempts were written by: this host's may be anywhere.
async fn moment<'a>(rules: &'a Rules, store: &Store) -> anyhow::Result<Moment<'a>> {
    Ok(Moment {
        at: store.now().await?,
        dice: Dice::default(),
        transition: TransitionId(Uuid::now_v7()),
        polled: false,
        steady: true,
        rules,
    })
}

/// Everything that Toss can tell: every attempt by its paymentKey, and the order. Reads only.
async fn ask(toss: &Toss, store: &Store, payment: &Payment) -> anyhow::Result<Evidence> {
    let asked_at = store.now().await?;
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
