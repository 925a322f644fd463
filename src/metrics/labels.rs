//! The labels: closed lists, so that every series can be shown before its first event.

/// A call to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Confirm,
    LookUp,
    LookUpByOrder,
}

impl Operation {
    pub const ALL: [Operation; 3] = [
        Operation::Confirm,
        Operation::LookUp,
        Operation::LookUpByOrder,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Operation::Confirm => "confirm",
            Operation::LookUp => "look_up",
            Operation::LookUpByOrder => "look_up_by_order",
        }
    }
}

/// What one call to the gateway came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    Approved,
    Declined,
    InProgress,
    Temporary,
    Unknown,
    NotAttempted,
    Found,
    NotFound,
    Undecided,
    NoAnswer,
}

impl CallEnd {
    /// What a call of this kind can come to.
    pub const fn of(operation: Operation) -> &'static [CallEnd] {
        match operation {
            Operation::Confirm => &[
                CallEnd::Approved,
                CallEnd::Declined,
                CallEnd::InProgress,
                CallEnd::Temporary,
                CallEnd::Unknown,
                CallEnd::NotAttempted,
            ],
            Operation::LookUp | Operation::LookUpByOrder => &[
                CallEnd::Found,
                CallEnd::NotFound,
                CallEnd::Undecided,
                CallEnd::NoAnswer,
            ],
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            CallEnd::Approved => "approved",
            CallEnd::Declined => "declined",
            CallEnd::InProgress => "in_progress",
            CallEnd::Temporary => "temporary",
            CallEnd::Unknown => "unknown",
            CallEnd::NotAttempted => "not_attempted",
            CallEnd::Found => "found",
            CallEnd::NotFound => "not_found",
            CallEnd::Undecided => "undecided",
            CallEnd::NoAnswer => "no_answer",
        }
    }
}

/// The breaker before the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    pub const ALL: [BreakerState; 3] = [
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::HalfOpen,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// What housekeeping deletes rows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    CheckoutKeys,
    Nodes,
    History,
    Outbox,
}

impl Table {
    pub const ALL: [Table; 4] = [
        Table::CheckoutKeys,
        Table::Nodes,
        Table::History,
        Table::Outbox,
    ];

    /// As the database has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Table::CheckoutKeys => "checkout_keys",
            Table::Nodes => "nodes",
            Table::History => "payment_history",
            Table::Outbox => "outbox",
        }
    }
}

/// Where a request was turned away before anything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// Too many requests at the door.
    Door,
    /// Too many callers wait for one order.
    Waiters,
    /// Too many messages wait for orders that are being loaded.
    Loading,
    /// No slot or no rate left for the gateway.
    Gateway,
    /// The breaker is open.
    Breaker,
    /// The journal's queue is full, or the database is not there.
    Journal,
}

impl Shed {
    pub const ALL: [Shed; 6] = [
        Shed::Door,
        Shed::Waiters,
        Shed::Loading,
        Shed::Gateway,
        Shed::Breaker,
        Shed::Journal,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Shed::Door => "door",
            Shed::Waiters => "waiters",
            Shed::Loading => "loading",
            Shed::Gateway => "gateway",
            Shed::Breaker => "breaker",
            Shed::Journal => "journal",
        }
    }
}
