//! (under construction)
#[derive(Clone)]
pub struct Directory {}
