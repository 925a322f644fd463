//! How to speak Toss: the client, its wire types, and the one table from error codes to outcomes.

pub mod wire;
