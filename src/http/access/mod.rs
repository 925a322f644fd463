//! Who comes in, and how far: nobody, the buyer of one order, or the shop itself.

mod caller;
mod token;

pub use caller::{Access, Caller, KeyHash, Sight};
pub use token::OrderTokens;
