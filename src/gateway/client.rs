//! The client: one call in, one HTTP request out, and what came back - or did not - as a value. It repeats nothing:
//! whether and when to ask again is decided by those who know the payment.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use time::macros::{format_description, offset};

use super::health::{Health, Told};
use super::place::{GatewayKind, Place};
use super::reading::{self, Heard};
use super::telling::{Call, tell};
use super::wire::{ConfirmRequest, TransactionObject};
use crate::domain::{
    Finding, GatewayIdentity, OrderId, Outcome, PaymentKey, Reply, Timestamp, Won,
};

/// An answer of Toss has some kilobytes; whoever sends more is not Toss, and does not get our memory.
const BODY_BYTES: usize = 1 << 20;

/// Below the five seconds after which the most impatient servers close an idle connection: a request must not
/// meet a closing one, since nobody could tell whether it was read.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// A silent connection that carries many calls is found dead long before their timeouts.
const PING: Duration = Duration::from_secs(10);

/// Transactions asked for at once; fewer came back means that these were the last. Toss allows 5,000, our body bound does not.
pub const TRANSACTIONS_PAGE: usize = 1_000;

#[derive(Clone, Debug)]
pub struct TossSettings {
    pub base_url: String,
    pub secret_key: SecretString,
    pub connect_timeout_ms: u64,
    /// From the start of a call to the last byte of its answer.
    pub read_timeout_ms: u64,
}

/// One confirm. The idempotency key makes it safe to send again; nothing else does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmCall {
    pub payment_key: PaymentKey,
    pub order: OrderId,
    pub amount: Won,
    pub idempotency_key: String,
}

/// Our machinery broke. What Toss says is never one of these, except to the audit, which has no payment to protect.
#[derive(Debug, thiserror::Error)]
pub enum GatewayFault {
    #[error("toss.base_url wants {0}")]
    BaseUrl(&'static str),
    #[error("toss.secret_key wants {0}")]
    SecretKey(&'static str),
    #[error("the HTTP client cannot start: {0}")]
    Client(String),
    #[error("Toss gave no list of transactions: {0}")]
    NoAnswer(Box<str>),
}

/// A door to one Toss. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub struct Toss(Arc<Door>);

struct Door {
    client: Client,
    place: Place,
    confirm: Url,
}

impl fmt::Debug for Toss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Toss({})", self.0.place.identity)
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Toss's own name of the call, for a question to its staff.
    trace: Option<Box<str>>,
}

/// No answer, or none that could be read to its end.
struct Silence {
    why: Box<str>,
    /// False only if the request surely stayed here.
    may_have_left: bool,
    /// What the line is accused of; nothing where the request itself was unfit.
    health: Health,
    /// For the log: the innermost cause. It names hosts and protocol errors, never a URL.
    cause: Option<String>,
}

impl Toss {
    /// Must be called on the runtime that will make the calls: a socket belongs to the runtime that opened it.
    pub fn new(settings: TossSettings) -> Result<Toss, GatewayFault> {
        let place = Place::new(&settings.base_url, &settings.secret_key)?;
        Ok(Toss(Arc::new(Door {
            client: client(&settings, &place)?,
            confirm: place.url("/v1/payments/confirm")?,
            place,
        })))
    }

    pub fn identity(&self) -> &GatewayIdentity {
        &self.0.place.identity
    }

    pub fn kind(&self) -> GatewayKind {
        self.0.place.kind
    }

    pub async fn confirm(&self, call: &ConfirmCall) -> Told<Reply> {
        let begun = Instant::now();
        let body = ConfirmRequest {
            payment_key: call.payment_key.reveal().to_owned(),
            order_id: call.order.to_string(),
            amount: call.amount.get(),
        };
        let request = self.0.client.post(self.0.confirm.clone());
        let request = request
            .header("Idempotency-Key", &call.idempotency_key)
            .json(&body);
        fault_point!(ConfirmReady);
        let answer = fault_point!(while ConfirmOut: send(request));
        fault_point!(ConfirmAnswered);
        let heard = match &answer {
            Ok(answer) => reading::confirm(answer.status, &answer.body),
            Err(silence) => Heard::unrecognised(silence.to_confirm()),
        };
        let call = Call::new("confirm", begun)
            .of_order(call.order)
            .with_key(&call.payment_key);
        tell(&answer_of(&call, &answer), &heard);
        told(&answer, heard)
    }

    pub async fn look_up(&self, key: &PaymentKey) -> Told<Finding> {
        let call = Call::new("look_up", Instant::now()).with_key(key);
        let url = self.0.place.payment_url(key);
        fault_point!(KeyLookUpReady);
        let asked = self.find(call, self.0.client.get(url));
        let found = fault_point!(while KeyLookUpOut: asked);
        fault_point!(KeyLookUpAnswered);
        found
    }

    /// Which payment of an order Toss returns is not documented: only an approval of our own paymentKey counts.
    pub async fn look_up_order(&self, order: OrderId) -> Told<Finding> {
        let call = Call::new("look_up_order", Instant::now()).of_order(order);
        match self.0.place.url(&format!("/v1/payments/orders/{order}")) {
            Ok(url) => {
                fault_point!(OrderLookUpReady);
                let asked = self.find(call, self.0.client.get(url));
                let found = fault_point!(while OrderLookUpOut: asked);
                fault_point!(OrderLookUpAnswered);
                found
            }
            Err(fault) => not_sent(&fault.to_string()),
        }
    }

    async fn find(&self, call: Call<'_>, request: RequestBuilder) -> Told<Finding> {
        let answer = send(request).await;
        let heard = match &answer {
            Ok(answer) => reading::look_up(answer.status, &answer.body),
            Err(silence) => Heard::unrecognised(Finding::NoAnswer(silence.why.clone())),
        };
        tell(&answer_of(&call, &answer), &heard);
        told(&answer, heard)
    }

    /// One page of what Toss executed between two instants, oldest first; `after` is the transactionKey that the page before ended with.
    pub async fn transactions(
        &self,
        from: Timestamp,
        to: Timestamp,
        after: Option<String>,
    ) -> Result<Vec<TransactionObject>, GatewayFault> {
        let (from, to) = (korean_second(from)?, korean_second(to.plus_ms(999))?);
        let request = self.0.client.get(self.0.place.url("/v1/transactions")?);
        let request = request
            .query(&[("startDate", &from), ("endDate", &to)])
            .query(&[("limit", TRANSACTIONS_PAGE)])
            .query(&after.map(|key| [("startingAfter", key)]));
        let answer = send(request).await;
        let answer = answer.map_err(|silence| GatewayFault::NoAnswer(silence.why))?;
        reading::list(answer.status, &answer.body).map_err(GatewayFault::NoAnswer)
    }
}

fn client(settings: &TossSettings, place: &Place) -> Result<Client, GatewayFault> {
    let fault = |error: reqwest::Error| GatewayFault::Client(innermost(&error));
    let secret = settings.secret_key.expose_secret();
    let basic = format!("Basic {}", STANDARD.encode(format!("{secret}:")));
    let mut authorization = HeaderValue::try_from(basic)
        .map_err(|_| GatewayFault::SecretKey("live_… or test_…, as Toss wrote it"))?;
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut builder = Client::builder()
        .default_headers(headers)
        .user_agent(concat!("payonce/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // One call is one request: whoever repeats a confirm must know that it does.
        .retry(reqwest::retry::never())
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .timeout(Duration::from_millis(settings.read_timeout_ms))
        .pool_idle_timeout(POOL_IDLE)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PING);
    if place.is_loopback {
        // A proxy in the environment is for the world outside.
        builder = builder.no_proxy();
    }
    if !place.is_encrypted {
        // Without this a machine that has no root certificates could not even talk to itself.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(fault)
}

async fn send(request: RequestBuilder) -> Result<Answer, Silence> {
    let mut response = request.send().await.map_err(|error| silence(&error))?;
    let status = response.status().as_u16();
    let trace = response
        .headers()
        .get("x-tosspayments-trace-id")
        .and_then(|trace| trace.to_str().ok())
        .filter(|trace| trace.len() <= 200)
        .map(Into::into);
    let mut body = Vec::with_capacity(4_096);
    loop {
        let chunk = response.chunk().await.map_err(|error| Silence {
            why: format!("{} (HTTP {status})", lost(&error)).into(),
            may_have_left: true,
            health: Health::Faulty,
            cause: Some(innermost(&error)),
        })?;
        let Some(chunk) = chunk else {
            break;
        };
        if body.len() + chunk.len() > BODY_BYTES {
            return Err(Silence {
                why: format!("the answer does not end (HTTP {status})").into(),
                may_have_left: true,
                health: Health::Faulty,
                cause: None,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        body,
        trace,
    })
}

/// The request surely stayed here only if it could not be built or no connection was made for it. The total
/// timeout is not a proof, whenever it strikes; a connect timeout is, since the connection comes first.
fn silence(error: &reqwest::Error) -> Silence {
    let (why, may_have_left) = if error.is_builder() {
        ("the request could not be built", false)
    } else if error.is_connect() && error.is_timeout() {
        ("connect timeout", false)
    } else if error.is_connect() {
        ("no connection", false)
    } else {
        (lost(error), true)
    };
    Silence {
        why: why.into(),
        may_have_left,
        health: match error.is_builder() {
            true => Health::Mute,
            false => Health::Faulty,
        },
        cause: Some(innermost(error)),
    }
}

fn lost(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else {
        "connection lost"
    }
}

/// The last cause in the chain. Unlike reqwest's own text it never repeats the URL, which may bear a paymentKey.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    cause.map_or_else(String::new, ToString::to_string)
}

impl Silence {
    fn to_confirm(&self) -> Reply {
        let why = self.why.clone();
        let outcome = match self.may_have_left {
            true => Outcome::Unknown(why),
            false => Outcome::NotAttempted(why),
        };
        Reply {
            outcome,
            answered: false,
        }
    }
}

fn told<T>(answer: &Result<Answer, Silence>, heard: Heard<T>) -> Told<T> {
    let health = match answer {
        Ok(answer) => Health::of(answer.status, &heard),
        Err(silence) => silence.health,
    };
    let said = heard.said;
    Told { said, health }
}

fn not_sent(why: &str) -> Told<Finding> {
    Told {
        said: Finding::NoAnswer(why.into()),
        health: Health::Mute,
    }
}

fn answer_of<'a>(call: &Call<'a>, answer: &'a Result<Answer, Silence>) -> Call<'a> {
    match answer {
        Ok(answer) => call.answered(answer.status, answer.trace.as_deref()),
        Err(silence) => call.lost(silence.cause.as_deref()),
    }
}

/// Toss reads times of this list as Korean.
fn korean_second(at: Timestamp) -> Result<String, GatewayFault> {
    let wanted = || GatewayFault::NoAnswer("the time is out of range".into());
    let second = at.micros().div_euclid(1_000_000);
    let at = OffsetDateTime::from_unix_timestamp(second).map_err(|_| wanted())?;
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let at = at.checked_to_offset(offset!(+9)).ok_or_else(wanted)?;
    at.format(format).map_err(|_| wanted())
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
