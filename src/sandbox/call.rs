//! A request to Toss's API, read once: who calls, what they want, under which idempotency key.

use std::collections::HashMap;

use actix_web::HttpRequest;
use actix_web::http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, HeaderValue};
use serde_json::Value;

use super::auth;
use super::bank::Payment;
use super::books::Books;
use super::clock::Instant;
use super::codes::Code;
use super::faults::{Endpoint, Target};
use super::idempotency::{self, LONGEST_KEY_CHARS};
use super::ids::{Hex, Id, Language};
use crate::gateway::wire::{CancelRequest, ConfirmRequest};

pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
const TEST_CODE: &str = "tosspayments-test-code";

const LONGEST_PAYMENT_KEY_CHARS: usize = 200;
const LONGEST_REASON_CHARS: usize = 200;
const TRANSACTIONS_BY_DEFAULT: usize = 100;
const MOST_TRANSACTIONS: usize = 5_000;

#[derive(Debug)]
pub struct Call {
    pub endpoint: Endpoint,
    pub wants: Wants,
    pub language: Language,
    /// What the idempotency key stands for, if one was given; or why the caller is turned away.
    pub caller: Result<Option<Hex>, Code>,
    pub idempotency_key: Option<HeaderValue>,
    pub test_code: Option<String>,
}

#[derive(Debug)]
pub enum Wants {
    Confirm(ConfirmRequest),
    LookupByKey(String),
    LookupByOrder(String),
    Cancel(String, CancelRequest),
    Transactions {
        from: Instant,
        to: Instant,
        after: Option<Hex>,
        limit: usize,
    },
    /// It cannot be read, but perhaps it says whom it is about.
    Nonsense {
        payment_key: Option<String>,
    },
}

impl Call {
    fn new(request: &HttpRequest, endpoint: Endpoint, wants: Wants) -> Self {
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let is_post = request.method() == actix_web::http::Method::POST;
        // Ignored on GET, as Toss does.
        let idempotency_key = request
            .headers()
            .get(IDEMPOTENCY_KEY)
            .filter(|key| is_post && !key.is_empty())
            .cloned();
        let caller = auth::secret_key(header(AUTHORIZATION.as_str())).and_then(|secret_key| {
            let Some(key) = &idempotency_key else {
                return Ok(None);
            };
            if String::from_utf8_lossy(key.as_bytes()).chars().count() > LONGEST_KEY_CHARS {
                return Err(Code::INVALID_IDEMPOTENCY_KEY);
            }
            let method = request.method().as_str();
            Ok(Some(idempotency::identity(
                key.as_bytes(),
                &secret_key,
                method,
                request.path(),
            )))
        });
        Self {
            endpoint,
            wants,
            language: Language::of(header(ACCEPT_LANGUAGE.as_str())),
            caller,
            idempotency_key,
            test_code: header(TEST_CODE).map(str::to_owned),
        }
    }

    pub fn confirm(request: &HttpRequest, body: &[u8]) -> Self {
        let fits = |confirm: &ConfirmRequest| {
            (1..=LONGEST_PAYMENT_KEY_CHARS).contains(&confirm.payment_key.chars().count())
                && !confirm.order_id.is_empty()
                && confirm.amount > 0
        };
        let wants = match serde_json::from_slice::<ConfirmRequest>(body) {
            Ok(confirm) if fits(&confirm) => Wants::Confirm(confirm),
            Ok(_) | Err(_) => {
                let named = serde_json::from_slice::<Value>(body).ok();
                let payment_key =
                    named.and_then(|body| body["paymentKey"].as_str().map(str::to_owned));
                Wants::Nonsense { payment_key }
            }
        };
        Self::new(request, Endpoint::Confirm, wants)
    }

    pub fn lookup_by_key(request: &HttpRequest, payment_key: String) -> Self {
        Self::new(request, Endpoint::Lookup, Wants::LookupByKey(payment_key))
    }

    pub fn lookup_by_order(request: &HttpRequest, order_id: String) -> Self {
        Self::new(request, Endpoint::Lookup, Wants::LookupByOrder(order_id))
    }

    pub fn cancel(request: &HttpRequest, payment_key: String, body: &[u8]) -> Self {
        let fits = |cancel: &CancelRequest| {
            (1..=LONGEST_REASON_CHARS).contains(&cancel.cancel_reason.chars().count())
        };
        let wants = match serde_json::from_slice::<CancelRequest>(body) {
            Ok(cancel) if fits(&cancel) => Wants::Cancel(payment_key, cancel),
            Ok(_) | Err(_) => Wants::Nonsense {
                payment_key: Some(payment_key),
            },
        };
        Self::new(request, Endpoint::Cancel, wants)
    }

    pub fn transactions(request: &HttpRequest, query: &HashMap<String, String>) -> Self {
        let wants = period(query).unwrap_or(Wants::Nonsense { payment_key: None });
        Self::new(request, Endpoint::Transactions, wants)
    }

    /// The payment that it is about, if there is such a payment.
    pub fn payment<'b>(&self, books: &'b Books) -> Option<&'b Payment> {
        match &self.wants {
            Wants::Confirm(confirm) => books.payment(&confirm.payment_key),
            Wants::LookupByKey(key) | Wants::Cancel(key, _) => books.payment(key),
            Wants::LookupByOrder(order_id) => books.newest_of_order(order_id),
            Wants::Nonsense { payment_key } => {
                payment_key.as_deref().and_then(|key| books.payment(key))
            }
            Wants::Transactions { .. } => None,
        }
    }

    pub fn target<'a>(&'a self, order_of_payment: Option<&'a Id>) -> Target<'a> {
        let named = match &self.wants {
            Wants::Confirm(confirm) => Some(confirm.order_id.as_str()),
            Wants::LookupByOrder(order_id) => Some(order_id.as_str()),
            Wants::LookupByKey(_)
            | Wants::Cancel(..)
            | Wants::Transactions { .. }
            | Wants::Nonsense { .. } => None,
        };
        Target {
            endpoint: self.endpoint,
            orders: [order_of_payment.map(Id::as_str), named],
        }
    }
}

fn period(query: &HashMap<String, String>) -> Option<Wants> {
    let from = Instant::parse(query.get("startDate")?)?;
    let to = Instant::parse(query.get("endDate")?)?;
    let after = match query.get("startingAfter") {
        Some(key) => Some(Hex::parse(key)?),
        None => None,
    };
    let limit = match query.get("limit") {
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|limit| (1..=MOST_TRANSACTIONS).contains(limit))?,
        None => TRANSACTIONS_BY_DEFAULT,
    };
    Some(Wants::Transactions {
        from,
        to,
        after,
        limit,
    })
}
