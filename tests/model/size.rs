//! How much world is explored: how many nodes and paymentKeys, and which troubles there are.

/// What the explored world has room for, and what may go wrong in it.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: u8,
    pub keys: u8,
    /// Confirm windows that pass, counted from one.
    pub eras: u8,
    /// The era from which on the order is past its deadline.
    pub expires: u8,
    /// How far an attempt's idempotency key is followed.
    pub most_n: u32,
    /// Confirms on their way at once; more must wait for one to arrive or to be lost.
    pub travelling: usize,
    /// Times that a flight repeats a call which nobody has answered.
    pub copies: u8,
    pub crashes: bool,
    /// A call may fail before it leaves.
    pub refusals: bool,
    pub declines_stay_open: bool,
    /// Answers that are not final are not kept under their idempotency key; a confirm may say 404 or 409.
    pub forgets_answers: bool,
    /// Look-ups are answered from a copy that is a few seconds old.
    pub stale: bool,
    /// Look-ups answer 404 for what is not settled, or was settled just now.
    pub hides: bool,
    /// Commit answers are lost; a commit of unknown fate may land late.
    pub commits_lost: bool,
    /// Refunds in Toss's dashboard.
    pub refunds: bool,
    /// Toss says ABORTED or 404 of what is open or approved.
    pub lies: bool,
    /// Answers, at most this many, are about somebody else's payment or another amount.
    pub mixups: u8,
    /// The buyer's paymentKey reaches us before the buyer has authenticated.
    pub early_buyer: bool,
    /// The second node runs under another merchant key.
    pub stranger: bool,
    /// Somebody else buys the goods when they are on the shelf.
    pub rival: bool,
}

impl Size {
    /// One node, one paymentKey, an honest Toss and a network that loses what it likes.
    pub const PLAIN: Size = Size {
        nodes: 1,
        keys: 1,
        eras: 2,
        expires: 1,
        most_n: 2,
        travelling: 2,
        copies: 2,
        crashes: true,
        refusals: true,
        declines_stay_open: false,
        forgets_answers: false,
        stale: false,
        hides: false,
        commits_lost: false,
        refunds: false,
        lies: false,
        mixups: 0,
        early_buyer: false,
        stranger: false,
        rival: false,
    };
}
