//! The promise, invariant by invariant, held against the whole world after every action.

use super::journal::Row;
use super::toss::{Call, Session};
use super::world::World;
use crate::domain::payment::{Answer, Attempt, Payment};
use crate::domain::{Further, Status, Timestamp};

pub fn check(world: &mut World) -> Result<(), String> {
    for order in 0..world.orders() {
        at_most_one_approval(world, order)?;
        no_lost_approval(world, order)?;
        no_phantom(world, order)?;
        history_is_one_legal_chain(world, order)?;
        every_end_has_its_evidence(world, order)?;
        news_is_told_once(world, order)?;
        answers_are_stable(world, order)?;
    }
    stock_is_conserved(world)
}

fn approvals(world: &World, order: usize) -> u32 {
    let of_order = world
        .toss
        .sessions
        .iter()
        .filter(|session| session.order == order);
    of_order.map(|session| session.approvals).sum()
}

fn at_most_one_approval(world: &World, order: usize) -> Result<(), String> {
    match approvals(world, order) {
        0 | 1 => Ok(()),
        _ if world.lied.contains(&order) => Ok(()),
        more => Err(format!(
            "at most one approval: order {order} was approved {more} times"
        )),
    }
}

/// An approval behind a closed payment is a lost one, at once, unless Toss had lied; and one that was heard
/// and written down is never forgotten, whatever Toss says.
fn no_lost_approval(world: &World, order: usize) -> Result<(), String> {
    let status = world.journal.payments[order].status;
    let approved = approvals(world, order) > 0 && !world.lied.contains(&order);
    let closed = matches!(status, Status::Failed | Status::Expired);
    if approved && closed {
        return Err(format!(
            "no lost approval: order {order} is {} and approved",
            status.name()
        ));
    }
    let kept = matches!(status, Status::Done | Status::Quarantined);
    if world.heard.contains(&order) && !kept && !is_cleared(world, order) {
        return Err(format!(
            "no lost approval: an approval of order {order} was heard; it is {}",
            status.name()
        ));
    }
    Ok(())
}

/// All that was heard is a claim of another amount, and an operator ruled, after it, on an end that Toss shows.
fn is_cleared(world: &World, order: usize) -> bool {
    let rows = &world.journal.rows[order];
    let last = |event| rows.iter().rposition(|row| row.history.event == event);
    let approved = last("APPROVED").or(last("FOUND_CANCELED"));
    approved.is_none() && last("RESOLVED_FAILED") > last("AMOUNT_MISMATCHED")
}

fn no_phantom(world: &World, order: usize) -> Result<(), String> {
    let payment = &world.journal.payments[order];
    if payment.status != Status::Done {
        return Ok(());
    }
    let paid = |session: &&Session| {
        let attempt = payment.attempt_with(&session.key);
        let settled = attempt.and_then(|attempt| attempt.settled.as_ref());
        let pays = settled.is_some_and(|settled| settled.approval().is_some());
        pays && session.approvals == 1
    };
    let same =
        |session: &Session| session.order == order && session.total == payment.order.total.get();
    match world.toss.sessions.iter().find(paid) {
        Some(session) if same(session) => Ok(()),
        Some(_) | None => Err(format!(
            "no phantom: order {order} is DONE without its approval at Toss"
        )),
    }
}

fn held(payment: &Payment) -> impl Iterator<Item = (crate::domain::ProductId, i64)> {
    let lines = payment.stock_held.then(|| payment.order.lines.clone());
    let lines: Vec<_> = lines
        .iter()
        .flat_map(|lines| lines.iter().cloned())
        .collect();
    lines
        .into_iter()
        .map(|line| (line.product, i64::from(line.quantity.get())))
}

fn stock_is_conserved(world: &World) -> Result<(), String> {
    for (product, received) in &world.journal.received {
        let payments = world.journal.payments.iter();
        let out: i64 = payments
            .flat_map(held)
            .filter(|(id, _)| id == product)
            .map(|(_, n)| n)
            .sum();
        let stock = world.journal.shelf[product];
        if stock < 0 || stock + out != *received {
            return Err(format!(
                "stock is conserved: product {product}: {received} received, {stock} in stock, {out} out"
            ));
        }
    }
    for payment in &world.journal.payments {
        let right = match payment.status {
            Status::InProgress | Status::Unknown | Status::Done => payment.stock_held,
            Status::Ready | Status::Failed | Status::Expired => !payment.stock_held,
            Status::Quarantined => true,
        };
        if !right {
            let (status, held) = (payment.status.name(), payment.stock_held);
            return Err(format!(
                "stock is conserved: {} is {status} with stock_held = {held}",
                payment.order.id
            ));
        }
    }
    Ok(())
}

fn answers_are_stable(world: &mut World, order: usize) -> Result<(), String> {
    let payment = &world.journal.payments[order];
    for attempt in &payment.attempts {
        let answer = match payment.answer_for(&attempt.payment_key, Timestamp::default()) {
            // The advice may change.
            Some(Answer::Declined {
                order_id, decline, ..
            }) => Some(Answer::Declined {
                order_id,
                decline,
                further: Further::PayAgain,
            }),
            other => other,
        };
        let heard = (order, attempt.payment_key.clone());
        match (world.told.get(&heard), answer) {
            (Some(told), now) if Some(told) != now.as_ref() => {
                return Err(format!(
                    "stable answers: order {order}: told {told:?}, now {now:?}"
                ));
            }
            (None, Some(answer)) if answer.is_settled() => {
                world.told.insert(heard, answer);
            }
            (Some(_) | None, _) => {}
        }
    }
    let tried = |key| payment.attempt_with(key).is_some();
    match world
        .told
        .keys()
        .find(|(of, key)| *of == order && !tried(key))
    {
        Some((_, key)) => Err(format!("stable answers: order {order} has forgotten {key}")),
        None => Ok(()),
    }
}

/// Section 4 of the rules, as pairs.
fn is_legal(from: Option<Status>, to: Status) -> bool {
    use Status::{Done, Expired, Failed, InProgress, Quarantined, Ready, Unknown};
    let reachable: &[Status] = match from {
        None => &[Ready],
        Some(Ready) => &[InProgress, Expired, Quarantined],
        Some(InProgress) => &[Done, Failed, Unknown, Quarantined],
        Some(Unknown) => &[Done, Failed, Unknown, Quarantined, InProgress],
        Some(Failed) => &[InProgress, Quarantined],
        Some(Done | Expired) => &[Quarantined],
        Some(Quarantined) => &[Done, Failed, Quarantined],
    };
    reachable.contains(&to)
}

fn history_is_one_legal_chain(world: &World, order: usize) -> Result<(), String> {
    let (payment, rows) = (&world.journal.payments[order], &world.journal.rows[order]);
    let mut from = None;
    for (version, row) in (1..).zip(rows) {
        let whole = row.version == version && row.history.from == from;
        if !whole || !is_legal(from, row.history.to) {
            return Err(format!(
                "the history is whole: order {order}: row {version} is {row:?} after {from:?}"
            ));
        }
        from = Some(row.history.to);
    }
    let last = rows.last().map(|row| row.version);
    match last == Some(payment.version) && from == Some(payment.status) {
        true => Ok(()),
        false => Err(format!(
            "the history is whole: order {order}: the history ends elsewhere than the payment"
        )),
    }
}

/// What Toss's window and a margin leave, after the last call of an order, to those who believe a "not found" or
/// give up asking; less than the margin, for clocks that differ.
const WINDOW_MS: i64 = 650_000;

/// FAILED needs positive evidence, DONE an approval; giving up needs time, and more than silence.
fn every_end_has_its_evidence(world: &World, order: usize) -> Result<(), String> {
    let payment = &world.journal.payments[order];
    let id: Box<str> = payment.order.id.to_string().into();
    let mut attempts = 0;
    for Row { history, .. } in &world.journal.rows[order] {
        attempts += u8::from(history.event == "ATTEMPT_STARTED");
        let of_attempt = |call: &&Call| call.order_id == id && call.attempt == attempts;
        let before = |call: &Call| (call.left_at <= history.at).then_some(call.left_at);
        let last = world
            .toss
            .calls
            .iter()
            .filter(of_attempt)
            .filter_map(before)
            .max();
        let quiet = last.is_none_or(|last| history.at.ms_since(last) > WINDOW_MS);
        let declined = |attempt: &Attempt| world.toss.declined.contains(&attempt.payment_key);
        let fits = match (history.event, history.to) {
            ("DECLINED", Status::Failed) => payment.attempts.iter().any(declined),
            ("FOUND_ENDED" | "FOUND_FOREIGN", Status::Failed) => true,
            ("FOUND_NOTHING", Status::Failed) => quiet,
            // Whatever an operator is shown, no approval may lie behind it: that is checked on its own.
            ("RESOLVED_FAILED", Status::Failed) | ("RESOLVED_DONE", Status::Done) => true,
            (_, Status::Failed) => false,
            ("QUESTION_LOST", to) => to == Status::Unknown,
            (_, Status::Quarantined) => {
                history.reason.as_deref() != Some("QUESTIONS_SPENT") || quiet
            }
            ("ATTEMPT_STARTED", _) => history.at < payment.expires_at,
            ("APPROVED", _) => true,
            (_, to) => to != Status::Done,
        };
        if !fits {
            return Err(format!(
                "no lost approval: order {order}: no evidence for {history:?}"
            ));
        }
    }
    Ok(())
}

fn news_is_told_once(world: &World, order: usize) -> Result<(), String> {
    for row in &world.journal.rows[order] {
        let told = row.outbox.map(|outbox| outbox.to);
        let news = matches!(
            row.history.to,
            Status::Done | Status::Failed | Status::Expired | Status::Quarantined
        );
        if told != news.then_some(row.history.to) {
            return Err(format!("news is told once: order {order}: {row:?}"));
        }
    }
    Ok(())
}

/// Once Toss and the database answer again: all is settled, or with a human; and an honest approval is DONE.
pub fn check_settled(world: &World) -> Result<(), String> {
    for (order, payment) in world.journal.payments.iter().enumerate() {
        let status = payment.status;
        if matches!(status, Status::Ready | Status::InProgress | Status::Unknown) {
            return Err(format!("liveness: order {order} stays {}", status.name()));
        }
        let honest = !world.odd.contains(&order) && !world.lied.contains(&order);
        if honest && approvals(world, order) == 1 && status != Status::Done {
            return Err(format!(
                "no lost approval: order {order} was approved honestly and ends {}",
                status.name()
            ));
        }
    }
    Ok(())
}
