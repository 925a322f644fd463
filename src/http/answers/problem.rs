//! The wire shape of an error: what every one has, and the fields that some carry.

use std::borrow::Cow;
use std::fmt::Display;

use serde::{Serialize, Serializer};

use crate::domain::OrderId;
use crate::domain::rejection::Shortage;

/// Anything that is text at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<T>(pub T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The copies of code and message at top level are what the browser client of the system that payonce re-implements reads.
#[derive(Serialize)]
pub struct ErrorEnvelope<'a> {
    pub error: Problem<'a>,
    pub code: &'static str,
    pub message: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem<'a> {
    pub code: &'static str,
    pub message: &'static str,
    pub next: &'static str,
    pub trace_id: Shown<crate::actors::TraceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wants: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<Shown<OrderId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub products: Option<Vec<Wanting>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_amount: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<&'a [&'static str]>,
}

impl Default for Shown<crate::actors::TraceId> {
    fn default() -> Self {
        Shown(crate::actors::TraceId::default())
    }
}

impl<'a> Problem<'a> {
    pub fn input(field: impl Into<Cow<'a, str>>, wants: impl Into<Cow<'a, str>>) -> Problem<'a> {
        Problem {
            field: Some(field.into()),
            wants: Some(wants.into()),
            ..Problem::default()
        }
    }
}

/// What Toss said, in its own words.
#[derive(Serialize)]
pub struct Gateway<'a> {
    pub code: &'a str,
    pub message: &'a str,
}

/// One product of which there is too little.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanting {
    product_id: i64,
    requested: i64,
    available: i64,
}

impl From<&Shortage> for Wanting {
    fn from(shortage: &Shortage) -> Wanting {
        Wanting {
            product_id: shortage.product.get(),
            requested: shortage.requested,
            available: shortage.available,
        }
    }
}
