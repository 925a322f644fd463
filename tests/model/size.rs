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
    /// Toss remembers idempotency keys, by merchant key, and nothing else: under a new one it takes the same money again.
    pub charges_again: bool,
    /// An era is longer than Toss remembers an idempotency key, and its copies may be as old.
    pub fortnights: bool,
    /// Somebody else buys the goods when they are on the shelf; where there is an operator, he may bring them back.
    pub rival: bool,
    /// An operator looks at what is quarantined, and rules.
    pub operator: bool,
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
        charges_again: false,
        fortnights: false,
        rival: false,
        operator: false,
    };

    /// Toss declines and leaves the window open, forgets what it answered, and looks up old or missing copies.
    pub const HOSTILE: Size = Size {
        declines_stay_open: true,
        forgets_answers: true,
        stale: true,
        hides: true,
        ..Size::PLAIN
    };

    /// The buyer comes with another paymentKey after a decline.
    pub const SECOND_KEY: Size = Size {
        keys: 2,
        copies: 1,
        declines_stay_open: true,
        hides: true,
        ..Size::PLAIN
    };

    /// Two nodes take the order out of each other's hands, whether or not the owner is dead.
    pub const RIVALS: Size = Size {
        nodes: 2,
        copies: 1,
        refusals: false,
        ..Size::PLAIN
    };

    pub const COMMITS_LOST: Size = Size {
        commits_lost: true,
        ..Size::PLAIN
    };

    pub const REFUNDED: Size = Size {
        refunds: true,
        hides: true,
        ..Size::PLAIN
    };

    /// Toss denies what it approved, and others want the goods.
    pub const DENIED: Size = Size {
        lies: true,
        refunds: true,
        rival: true,
        ..Size::PLAIN
    };

    /// As before, with a rival node that may still hold the approval.
    pub const DENIED_TO_RIVALS: Size = Size {
        nodes: 2,
        travelling: 1,
        copies: 1,
        lies: true,
        refusals: false,
        ..Size::PLAIN
    };

    pub const MIXED_UP: Size = Size {
        mixups: 1,
        eras: 3,
        ..Size::PLAIN
    };

    pub const MIXED_UP_AND_DENIED: Size = Size {
        mixups: 1,
        lies: true,
        ..Size::PLAIN
    };

    pub const EARLY_BUYER: Size = Size {
        early_buyer: true,
        eras: 3,
        expires: 2,
        hides: true,
        forgets_answers: true,
        ..Size::PLAIN
    };

    pub const STRANGER: Size = Size {
        nodes: 2,
        stranger: true,
        copies: 1,
        ..Size::PLAIN
    };

    /// A Toss that guards nothing but its idempotency keys: only ours are between the buyer and a second charge.
    pub const CHARGES_AGAIN: Size = Size {
        charges_again: true,
        declines_stay_open: true,
        stale: true,
        hides: true,
        ..Size::PLAIN
    };

    pub const CHARGES_AGAIN_MIXED_UP: Size = Size {
        charges_again: true,
        hides: true,
        ..Size::MIXED_UP
    };

    pub const CHARGES_AGAIN_FOR_STRANGERS: Size = Size {
        charges_again: true,
        ..Size::STRANGER
    };

    pub const CHARGES_AGAIN_AFTER_A_FORTNIGHT: Size = Size {
        charges_again: true,
        fortnights: true,
        stale: true,
        ..Size::PLAIN
    };

    /// Worse than anybody promises: it does not even remember the keys that it answered with a 5xx.
    pub const CHARGES_AGAIN_AND_FORGETS: Size = Size {
        charges_again: true,
        ..Size::HOSTILE
    };

    pub const COMMITS_LOST_AND_MIXED_UP: Size = Size {
        commits_lost: true,
        copies: 1,
        refusals: false,
        ..Size::MIXED_UP
    };

    /// What another merchant's node could not find goes to an operator at once, while the confirm may still travel.
    pub const OPERATOR: Size = Size {
        operator: true,
        hides: true,
        crashes: false,
        refusals: false,
        ..Size::STRANGER
    };

    pub const OPERATOR_TWO_KEYS: Size = Size {
        keys: 2,
        ..Size::OPERATOR
    };

    pub const OPERATOR_MIXED_UP: Size = Size {
        operator: true,
        ..Size::MIXED_UP_AND_DENIED
    };

    /// An operator comes upon late approvals, and Toss denies them.
    pub const OPERATOR_DENIED: Size = Size {
        operator: true,
        ..Size::DENIED_TO_RIVALS
    };

    /// The goods of a late approval are gone, and come back.
    pub const OPERATOR_SOLD_OUT: Size = Size {
        rival: true,
        crashes: false,
        ..Size::OPERATOR_DENIED
    };

    /// What every change explores.
    pub const ALL: [(&str, Size); 24] = [
        ("one node, one paymentKey", Size::PLAIN),
        ("a hostile Toss", Size::HOSTILE),
        ("a second paymentKey", Size::SECOND_KEY),
        (
            "two paymentKeys, a hostile Toss",
            Size {
                keys: 2,
                ..Size::HOSTILE
            },
        ),
        ("two nodes", Size::RIVALS),
        ("commit answers lost", Size::COMMITS_LOST),
        ("refunds in the dashboard", Size::REFUNDED),
        ("Toss denies what it approved", Size::DENIED),
        ("Toss denies it to a rival node", Size::DENIED_TO_RIVALS),
        ("answers mixed up", Size::MIXED_UP),
        ("mixed up, then denied", Size::MIXED_UP_AND_DENIED),
        ("an early buyer", Size::EARLY_BUYER),
        ("another merchant key", Size::STRANGER),
        ("Toss charges again", Size::CHARGES_AGAIN),
        (
            "Toss charges again, two nodes",
            Size {
                charges_again: true,
                stale: true,
                hides: true,
                ..Size::RIVALS
            },
        ),
        (
            "Toss charges again, answers mixed up",
            Size::CHARGES_AGAIN_MIXED_UP,
        ),
        (
            "Toss charges again, another merchant key",
            Size::CHARGES_AGAIN_FOR_STRANGERS,
        ),
        (
            "Toss charges again, after a fortnight",
            Size::CHARGES_AGAIN_AFTER_A_FORTNIGHT,
        ),
        (
            "commit answers lost, answers mixed up",
            Size::COMMITS_LOST_AND_MIXED_UP,
        ),
        ("an operator", Size::OPERATOR),
        (
            "an operator, mixed up, then denied",
            Size::OPERATOR_MIXED_UP,
        ),
        ("an operator, sold out", Size::OPERATOR_SOLD_OUT),
        (
            "an operator, an early buyer",
            Size {
                operator: true,
                ..Size::EARLY_BUYER
            },
        ),
        (
            "an operator, commit answers lost",
            Size {
                operator: true,
                eras: 2,
                ..Size::COMMITS_LOST_AND_MIXED_UP
            },
        ),
    ];

    /// What a long campaign explores.
    pub const LARGE: [(&str, Size); 11] = [
        (
            "an operator, commit answers lost, mixed up, denied",
            Size {
                operator: true,
                lies: true,
                ..Size::COMMITS_LOST_AND_MIXED_UP
            },
        ),
        (
            "an operator, and crashes",
            Size {
                crashes: true,
                ..Size::OPERATOR
            },
        ),
        ("an operator, denied to a rival node", Size::OPERATOR_DENIED),
        (
            "an operator, two nodes, commit answers lost",
            Size {
                commits_lost: true,
                ..Size::OPERATOR
            },
        ),
        ("an operator, two paymentKeys", Size::OPERATOR_TWO_KEYS),
        (
            "an operator, two nodes, two calls, denied",
            Size {
                operator: true,
                travelling: 2,
                refunds: true,
                rival: true,
                ..Size::DENIED_TO_RIVALS
            },
        ),
        (
            "two nodes, a hostile Toss",
            Size {
                nodes: 2,
                ..Size::HOSTILE
            },
        ),
        (
            "two nodes, two paymentKeys",
            Size {
                nodes: 2,
                ..Size::SECOND_KEY
            },
        ),
        (
            "two nodes, commit answers lost",
            Size {
                nodes: 2,
                copies: 1,
                ..Size::COMMITS_LOST
            },
        ),
        (
            "two nodes, two calls, denied",
            Size {
                travelling: 2,
                refunds: true,
                rival: true,
                ..Size::DENIED_TO_RIVALS
            },
        ),
        (
            "three keys deep, three windows",
            Size {
                most_n: 3,
                eras: 3,
                travelling: 3,
                ..Size::HOSTILE
            },
        ),
    ];
}
