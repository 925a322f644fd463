//! What lies around every handler, from the outside: the frame (trace, headers, log), CORS, the guard (bound, panics).

mod cors;
mod frame;
mod guard;
mod traffic;

pub use cors::{Origins, UnfitOrigin};
pub use frame::Frame;
pub use guard::{Guard, Slot};
pub use traffic::Traffic;
