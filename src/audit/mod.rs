//! Our record held against Toss's ledger. `compare` is pure; whoever calls it collects both sides first: the
//! crowd over HTTP, `payonce audit` from the database.

mod chain;
pub mod collect;
mod compare;
mod record;
mod violation;

pub use compare::{Comparison, Kept, Terms, compare, stock_violations};
pub use record::{
    AttemptRecord, AttemptResult, HistoryRow, Line, OrderRecord, OurRecord, OutboxRow, Outside,
    ProductRecord, TossEntry, TossLedger,
};
pub use violation::{Invariant, Subject, TwiceSeen, Violation};
