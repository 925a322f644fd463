//! Rows as they travel: to the database as JSON, from it as columns and JSON. What is written here is what is read here.

use std::borrow::Cow;

use sea_orm::FromQueryResult;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::payment::{Approval, ApprovalSign, QuarantineReason, Settled};
use crate::domain::product::Listing;
use crate::domain::{
    Attempt, Decline, GatewayIdentity, Incarnation, Line, Order, OrderId, Payment, PaymentKey,
    Product, ProductId, Quantity, Status, Timestamp, UserId, Won,
};

/// The facts of a new order.
#[derive(Serialize)]
pub(super) struct NewPaymentRow<'a> {
    #[serde(flatten)]
    pub state: StateRow<'a>,
    pub total_amount: i64,
    pub created_at: i64,
    pub user_id: &'a str,
    pub order_name: &'a str,
}

/// Everything of a payment that a transition may change, attempts aside.
///
/// Here as in each row of a batch, what is short comes first: to find a field, a database that reads JSON reads all that
/// stands before it.
#[derive(Serialize)]
pub(super) struct StateRow<'a> {
    /// The version that must be there.
    pub replaces: i64,
    pub version: i64,
    pub stock_held: u8,
    pub rounds: u32,
    pub questions: u32,
    pub next_attempt_at: Option<i64>,
    pub expires_at: i64,
    pub status: &'a str,
    pub quarantine: Option<&'a str>,
    pub order_id: Uuid,
    pub owner: Option<Uuid>,
    /// The `stock_held` that must be there.
    pub was_held: u8,
}

impl StateRow<'_> {
    /// `replaces`: version and `stock_held` before it.
    pub fn of(payment: &Payment, replaces: (i64, bool), held: bool) -> StateRow<'_> {
        let (replaces, was_held) = replaces;
        StateRow {
            order_id: payment.order.id.uuid(),
            replaces,
            was_held: was_held.into(),
            status: payment.status.name(),
            stock_held: held.into(),
            version: payment.version,
            owner: payment.owner.map(|owner| owner.0),
            next_attempt_at: payment.due_at().map(Timestamp::micros),
            expires_at: payment.expires_at.micros(),
            rounds: payment.rounds,
            questions: payment.questions,
            quarantine: payment.quarantine.map(QuarantineReason::name),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct LineRow<'a> {
    pub product_id: i64,
    pub quantity: i64,
    pub amount: i64,
    #[serde(default)]
    pub order_id: Uuid,
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
}

/// All of an attempt: what never changes after its first write stands at the end.
#[derive(Serialize, Deserialize)]
pub(super) struct AttemptRow<'a> {
    #[serde(flatten, borrow)]
    pub state: AttemptStateRow<'a>,
    pub started_at: i64,
    pub owner: Uuid,
    #[serde(borrow)]
    pub gateway: Cow<'a, str>,
}

/// What a transition may change of an attempt that is there, and what it must be found by.
#[derive(Serialize, Deserialize)]
pub(super) struct AttemptStateRow<'a> {
    pub number: u8,
    pub n: u32,
    pub answered: u8,
    pub may_send_until: i64,
    pub many_owners: u8,
    pub foreign_seen: u8,
    #[serde(with = "SignName")]
    pub approval_sign: ApprovalSign,
    pub outcome: Option<OutcomeName>,
    pub approved_at: Option<i64>,
    #[serde(default)]
    pub order_id: Uuid,
    pub method: Option<Cow<'a, str>>,
    pub receipt_url: Option<Cow<'a, str>>,
    pub doubted_code: Option<Cow<'a, str>>,
    pub doubted_message: Option<Cow<'a, str>>,
    pub gateway_code: Option<Cow<'a, str>>,
    pub gateway_message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub payment_key: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ApprovalSign", rename_all = "SCREAMING_SNAKE_CASE")]
enum SignName {
    None,
    Contradicted,
    Seen,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum OutcomeName {
    Approved,
    Declined,
    /// Its callers hear the decline; it paid all the same.
    Overruled,
}

impl<'a> AttemptStateRow<'a> {
    pub fn of(order: OrderId, attempt: &'a Attempt) -> AttemptStateRow<'a> {
        let doubted = attempt.doubted_decline.as_ref();
        let (declined, approved) = match &attempt.settled {
            Some(Settled::Declined(decline)) => (Some(decline), None),
            Some(Settled::Approved(approval)) => (None, Some(approval)),
            Some(Settled::Overruled { told, approval }) => (Some(told), Some(approval)),
            None => (None, None),
        };
        let outcome = attempt.settled.as_ref().map(|settled| match settled {
            Settled::Approved(_) => OutcomeName::Approved,
            Settled::Declined(_) => OutcomeName::Declined,
            Settled::Overruled { .. } => OutcomeName::Overruled,
        });
        AttemptStateRow {
            number: attempt.number,
            n: attempt.n,
            answered: attempt.answered.into(),
            may_send_until: attempt.may_send_until.micros(),
            many_owners: attempt.many_owners.into(),
            foreign_seen: attempt.foreign_seen.into(),
            approval_sign: attempt.approval_sign,
            outcome,
            approved_at: approved.and_then(|a| a.approved_at.map(Timestamp::micros)),
            order_id: order.uuid(),
            method: approved.and_then(|a| a.method.as_deref().map(Cow::from)),
            receipt_url: approved.and_then(|a| a.receipt_url.as_deref().map(Cow::from)),
            doubted_code: doubted.map(|decline| (&*decline.code).into()),
            doubted_message: doubted.map(|decline| (&*decline.message).into()),
            gateway_code: declined.map(|decline| (&*decline.code).into()),
            gateway_message: declined.map(|decline| (&*decline.message).into()),
            payment_key: attempt.payment_key.reveal().into(),
        }
    }
}

impl<'a> AttemptRow<'a> {
    pub fn of(order: OrderId, attempt: &'a Attempt) -> AttemptRow<'a> {
        AttemptRow {
            state: AttemptStateRow::of(order, attempt),
            started_at: attempt.started_at.micros(),
            owner: attempt.owner.0,
            gateway: (&*attempt.gateway.0).into(),
        }
    }

    fn attempt(self) -> Result<Attempt, String> {
        let state = self.state;
        let key = PaymentKey::parse(&state.payment_key).ok_or("an invalid paymentKey")?;
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Box::from(&*text));
        let told = Decline {
            code: owned(state.gateway_code).unwrap_or_default(),
            message: owned(state.gateway_message).unwrap_or_default(),
        };
        let approval = Approval {
            approved_at: state.approved_at.map(Timestamp::from_micros),
            method: owned(state.method),
            receipt_url: owned(state.receipt_url),
        };
        let settled = state.outcome.map(|outcome| match outcome {
            OutcomeName::Approved => Settled::Approved(approval),
            OutcomeName::Declined => Settled::Declined(told),
            OutcomeName::Overruled => Settled::Overruled { told, approval },
        });
        let doubted_message = owned(state.doubted_message);
        let doubted_decline = owned(state.doubted_code).map(|code| Decline {
            code,
            message: doubted_message.unwrap_or_default(),
        });
        Ok(Attempt {
            number: state.number,
            payment_key: key,
            n: state.n,
            answered: state.answered != 0,
            gateway: GatewayIdentity(self.gateway.into()),
            started_at: Timestamp::from_micros(self.started_at),
            may_send_until: Timestamp::from_micros(state.may_send_until),
            owner: Incarnation(self.owner),
            many_owners: state.many_owners != 0,
            foreign_seen: state.foreign_seen != 0,
            approval_sign: state.approval_sign,
            doubted_decline,
            settled,
        })
    }
}

/// A payment with its lines and attempts, as one row.
#[derive(FromQueryResult)]
pub(super) struct PaymentRow {
    pub order_id: String,
    pub user_id: String,
    pub order_name: String,
    pub status: String,
    pub stock_held: bool,
    pub total_amount: i64,
    pub version: i64,
    pub owner: Option<String>,
    pub next_attempt_at: Option<i64>,
    pub expires_at: i64,
    pub rounds: i64,
    pub questions: i64,
    pub quarantine: Option<String>,
    pub created_at: i64,
    pub lines: String,
    pub attempts: String,
}

impl PaymentRow {
    pub fn payment(&self) -> Result<Payment, String> {
        let status = status(&self.status)?;
        let quarantine = self.quarantine.as_deref().map(|name| {
            QuarantineReason::parse(name).ok_or_else(|| format!("unknown quarantine {name:?}"))
        });
        let next_attempt_at = match status {
            // The column holds the deadline, for the due queue's sake.
            Status::Ready => None,
            Status::InProgress
            | Status::Unknown
            | Status::Done
            | Status::Failed
            | Status::Expired
            | Status::Quarantined => self.next_attempt_at.map(Timestamp::from_micros),
        };
        let count = |name: &str, n: i64| u32::try_from(n).map_err(|_| format!("{name} is {n}"));
        Ok(Payment {
            order: self.order()?,
            status,
            version: self.version,
            owner: self.owner.as_deref().map(incarnation).transpose()?,
            expires_at: Timestamp::from_micros(self.expires_at),
            next_attempt_at,
            rounds: count("rounds", self.rounds)?,
            questions: count("questions", self.questions)?,
            stock_held: self.stock_held,
            quarantine: quarantine.transpose()?,
            attempts: self.attempts()?,
        })
    }

    fn order(&self) -> Result<Order, String> {
        let rows: Vec<LineRow<'_>> = parse("lines", &self.lines)?;
        let mut lines = rows.iter().map(line).collect::<Result<Vec<Line>, _>>()?;
        lines.sort_unstable_by_key(|line| line.product);
        Ok(Order {
            id: order_id(&self.order_id)?,
            user: UserId::parse(&self.user_id).ok_or("an invalid user id")?,
            name: self.order_name.as_str().into(),
            lines: lines.into(),
            total: won(self.total_amount)?,
        })
    }

    fn attempts(&self) -> Result<Vec<Attempt>, String> {
        let rows: Vec<AttemptRow<'_>> = parse("attempts", &self.attempts)?;
        let attempts: Result<Vec<_>, _> = rows.into_iter().map(AttemptRow::attempt).collect();
        let mut attempts = attempts?;
        attempts.sort_unstable_by_key(|attempt| attempt.number);
        Ok(attempts)
    }
}

#[derive(FromQueryResult, Deserialize)]
pub(super) struct ProductRow {
    pub id: i64,
    pub name: String,
    pub price: i64,
    pub stock: i64,
    pub received: i64,
    pub seller_id: i64,
}

impl ProductRow {
    pub fn product(self) -> Result<Product, String> {
        let listing = Listing {
            id: product_id(self.id)?,
            name: self.name.into(),
            price: won(self.price)?,
            seller_id: self.seller_id,
        };
        Ok(Product {
            listing,
            stock: self.stock,
            received: self.received,
        })
    }
}

#[derive(Serialize)]
pub(super) struct ListingRow<'a> {
    pub id: i64,
    pub name: &'a str,
    pub price: i64,
    pub seller_id: i64,
}

/// As a difference.
#[derive(Serialize)]
pub(super) struct StockRow {
    pub id: i64,
    pub stock: i64,
    pub received: i64,
}

fn line(row: &LineRow<'_>) -> Result<Line, String> {
    let fits = || format!("a quantity of {}", row.quantity);
    Ok(Line {
        product: product_id(row.product_id)?,
        name: row.name.as_deref().map(Into::into),
        quantity: Quantity::new(row.quantity).ok_or_else(fits)?,
        amount: won(row.amount)?,
    })
}

/// The text is left out of the error: it holds paymentKeys.
pub(super) fn parse<'a, T: Deserialize<'a>>(what: &str, json: &'a str) -> Result<T, String> {
    let broken = |error: serde_json::Error| format!("{what}, column {}", error.column());
    serde_json::from_str(json).map_err(broken)
}

pub(super) fn status(name: &str) -> Result<Status, String> {
    Status::parse(name).ok_or_else(|| format!("unknown status {name:?}"))
}

pub(super) fn order_id(text: &str) -> Result<OrderId, String> {
    OrderId::parse(text).ok_or_else(|| format!("an order id {text:?}"))
}

pub(super) fn product_id(id: i64) -> Result<ProductId, String> {
    ProductId::new(id).ok_or_else(|| format!("a product id {id}"))
}

fn won(won: i64) -> Result<Won, String> {
    Won::new(won).ok_or_else(|| format!("an amount of {won}"))
}

fn incarnation(text: &str) -> Result<Incarnation, String> {
    let id = Uuid::try_parse(text).map_err(|_| format!("an incarnation {text:?}"))?;
    Ok(Incarnation(id))
}

/// A SHA-256, as the database keeps it.
pub(super) fn hash(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "an invalid hash".to_owned())?;
    Ok(bytes)
}
