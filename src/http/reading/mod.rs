//! What comes in at the door, read by hand so that every refusal names the field and what it wants.

mod body;
mod fields;
mod language;
mod prefer;
mod query;
mod scan;
mod trace;

pub use body::{BodyLimits, read};
pub use fields::{Field, fields};
pub use language::Language;
pub use prefer::{Preference, prefers};
pub use query::wait_s;
pub use trace::{Cause, TRACEPARENT};
