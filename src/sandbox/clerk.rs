//! Who decides a request, with the books open in front: is the caller let in, was the key answered before, does it
//! go wrong on order, and what do the rules of the bank say. No waiting here, and no I/O.

use super::bank::Payment;
use super::books::Books;
use super::call::{Call, Wants};
use super::clock::Instant;
use super::codes::Code;
use super::faults::{Endpoint, Fault};
use super::idempotency::{Answer, Answered, Hold, Seen};
use super::ids::{Hex, Id};
use super::ledger::{Called, Deed, Entry, Remembered};
use super::page::Page;

/// What became of a request when it arrived.
#[derive(Debug)]
pub struct Admitted {
    pub fault: Option<Fault>,
    /// What to tell; none if it was not executed, or not yet.
    pub page: Option<Page>,
    pub trace: Hex,
    /// The trace of the first answer, when this is a replay.
    pub original: Option<Hex>,
    /// Its idempotency key is busy until this is released.
    pub hold: Option<Hold>,
}

enum Gate {
    Refused(Code),
    Remembered(Answered),
    Open(Option<Hex>),
}

/// What Toss did, and what it says.
struct Verdict {
    did: Option<Deed>,
    says: Says,
}

enum Says {
    Payment { payment_key: Id, cancels: usize },
    Page(Page),
    Refused(Code),
}

/// A request arrives: it is counted, and executed at once unless a fault says later or never.
pub fn admit(books: &mut Books, call: &Call) -> (Admitted, Entry) {
    let (now, trace) = (books.now(), Hex::random());
    let payment = call.payment(books);
    let order_id = payment.map(|payment| payment.order_id.clone());
    let called = called(call, payment, now);
    let mut admitted = Admitted {
        fault: None,
        page: None,
        trace,
        original: None,
        hold: None,
    };
    let identity = match gate(books, call, now) {
        Gate::Refused(code) => {
            admitted.page = Some(Page::Refusal {
                code,
                language: call.language,
            });
            return arrived(books, called, admitted);
        }
        Gate::Remembered(first) => {
            admitted.original = Some(first.trace);
            admitted.page = Some(recall(books, &first.answer, now));
            admitted.fault = pick(books, call, order_id.as_ref(), true);
            return arrived(books, called, admitted);
        }
        Gate::Open(identity) => identity,
    };
    admitted.fault = pick(books, call, order_id.as_ref(), false);
    let error = match &admitted.fault {
        Some(Fault::Status { .. } | Fault::ResetBefore {}) => {
            return arrived(books, called, admitted);
        }
        Some(Fault::Delay { .. } | Fault::HangBefore { .. }) => {
            admitted.hold = identity.map(|identity| books.answers.hold(identity));
            set_confirming(books, call, true);
            return arrived(books, called, admitted);
        }
        Some(Fault::Error { code, keep_open }) => Some((*code, *keep_open)),
        None
        | Some(Fault::ResetAfter {} | Fault::HangAfter { .. })
        | Some(Fault::Garbled {} | Fault::Tamper { .. }) => None,
    };
    let (page, entry) = execute(books, call, error, Entry::Called, called, trace);
    admitted.page = Some(page);
    if let Some(Fault::HangAfter { .. }) = admitted.fault {
        // Its answer is remembered, but for everyone outside the request still runs.
        admitted.hold = identity.map(|identity| books.answers.hold(identity));
    }
    (admitted, entry)
}

/// A delayed request, counted when it arrived, is executed now, under today's rules and time.
pub fn execute_late(books: &mut Books, call: &Call, trace: Hex) -> (Page, Entry) {
    set_confirming(books, call, false);
    let called = called(call, call.payment(books), books.now());
    execute(books, call, None, Entry::Executed, called, trace)
}

/// A slow request is over; `waited`: it was not executed when it arrived.
pub fn release(books: &mut Books, call: &Call, hold: Option<Hold>, waited: bool) {
    if waited {
        set_confirming(books, call, false);
    }
    if let Some(hold) = hold {
        books.answers.release(hold);
    }
}

fn pick(books: &mut Books, call: &Call, order: Option<&Id>, remembered: bool) -> Option<Fault> {
    let Books { faults, dice, .. } = books;
    faults.pick(call.target(order), remembered, || dice.throw())
}

fn called(call: &Call, payment: Option<&Payment>, at: Instant) -> Called {
    let payment_key = payment.map(|payment| payment.payment_key.clone());
    Called {
        at,
        on: call.endpoint,
        payment_key,
        did: None,
        answered: None,
    }
}

fn arrived(books: &mut Books, called: Called, admitted: Admitted) -> (Admitted, Entry) {
    let entry = Entry::Called(called);
    books.apply(&entry);
    (admitted, entry)
}

fn gate(books: &Books, call: &Call, now: Instant) -> Gate {
    let identity = match call.caller {
        Err(code) => return Gate::Refused(code),
        Ok(identity) => identity,
    };
    match identity.map_or(Seen::Never, |identity| books.answers.look(identity, now)) {
        Seen::Never => Gate::Open(identity),
        Seen::Busy => Gate::Refused(Code::IDEMPOTENT_REQUEST_PROCESSING),
        Seen::Before(first) => Gate::Remembered(first),
    }
}

fn execute(
    books: &mut Books,
    call: &Call,
    error: Option<(Code, bool)>,
    entry: fn(Called) -> Entry,
    mut called: Called,
    trace: Hex,
) -> (Page, Entry) {
    let now = called.at;
    let verdict = decide(books, call, error, now);
    called.did = verdict.did;
    called.answered = call
        .caller
        .ok()
        .flatten()
        .zip(memorable(&verdict.says, call))
        .map(|(identity, answer)| Remembered {
            identity,
            first: Answered {
                at: now,
                trace,
                answer,
            },
        });
    let entry = entry(called);
    books.apply(&entry);
    let page = match verdict.says {
        Says::Payment {
            payment_key,
            cancels,
        } => show(books, &payment_key, cancels, now, call),
        Says::Page(page) => page,
        Says::Refused(code) => Page::Refusal {
            code,
            language: call.language,
        },
    };
    (page, entry)
}

/// What an idempotency key keeps. Refusals too, as measured for 4xx; whether Toss keeps its 5xx answers is not known: here
/// it does, which is the harder case for a caller. The busy answer is the key's own, not the request's.
fn memorable(says: &Says, call: &Call) -> Option<Answer> {
    match says {
        Says::Payment {
            payment_key,
            cancels,
        } => Some(Answer::Paid {
            payment_key: payment_key.clone(),
            cancels: u32::try_from(*cancels).ok()?,
            language: call.language,
        }),
        Says::Refused(code) if *code == Code::IDEMPOTENT_REQUEST_PROCESSING => None,
        Says::Refused(code) => Some(Answer::Refused {
            code: *code,
            language: call.language,
        }),
        Says::Page(_) => None,
    }
}

fn decide(books: &Books, call: &Call, error: Option<(Code, bool)>, now: Instant) -> Verdict {
    // Measured: the test code is looked at before the paymentKey; it answers for a payment that does not exist too.
    if let Some(name) = &call.test_code {
        return Verdict::refused(Code::named(name).unwrap_or(Code::INVALID_TEST_CODE));
    }
    if let Some((code, keep_open)) = error {
        let open = call
            .payment(books)
            .is_some_and(|payment| payment.is_open(now));
        let aborts = call.endpoint == Endpoint::Confirm && code.declines() && open && !keep_open;
        return Verdict {
            did: aborts.then_some(Deed::Aborted { code }),
            says: Says::Refused(code),
        };
    }
    match verdict(books, call, now) {
        Ok(verdict) => verdict,
        Err(code) => Verdict::refused(code),
    }
}

fn verdict(books: &Books, call: &Call, now: Instant) -> Result<Verdict, Code> {
    match &call.wants {
        Wants::Confirm(confirm) => {
            let payment = call.payment(books).ok_or(Code::NOT_FOUND_PAYMENT_SESSION)?;
            payment.confirm(&confirm.order_id, confirm.amount, now)?;
            let transaction_key = books.next_transaction_key();
            Ok(Verdict::about(
                payment,
                0,
                Some(Deed::Approved { transaction_key }),
            ))
        }
        Wants::LookupByKey(_) | Wants::LookupByOrder(_) => {
            let payment = call.payment(books).ok_or(Code::NOT_FOUND_PAYMENT)?;
            Ok(Verdict::about(payment, payment.cancels.len(), None))
        }
        Wants::Cancel(_, cancel) => {
            let payment = call.payment(books).ok_or(Code::NOT_FOUND_PAYMENT)?;
            let amount = payment.cancel(cancel.cancel_amount, cancel.refundable_amount, now)?;
            let transaction_key = books.next_transaction_key();
            let reason = cancel.cancel_reason.clone();
            let deed = Deed::Canceled {
                transaction_key,
                amount,
                reason,
            };
            Ok(Verdict::about(
                payment,
                payment.cancels.len() + 1,
                Some(deed),
            ))
        }
        Wants::Transactions {
            from,
            to,
            after,
            limit,
        } => {
            let lines = books
                .transactions((*from, *to), *after, *limit)
                .ok_or(Code::INVALID_REQUEST)?;
            let page = Page::Transactions {
                lines,
                now,
                language: call.language,
            };
            Ok(Verdict {
                did: None,
                says: Says::Page(page),
            })
        }
        Wants::Nonsense { .. } => Err(Code::INVALID_REQUEST),
    }
}

impl Verdict {
    fn about(payment: &Payment, cancels: usize, did: Option<Deed>) -> Self {
        Self {
            did,
            says: Says::Payment {
                payment_key: payment.payment_key.clone(),
                cancels,
            },
        }
    }

    fn refused(code: Code) -> Self {
        Self {
            did: None,
            says: Says::Refused(code),
        }
    }
}

fn show(books: &Books, payment_key: &Id, cancels: usize, now: Instant, call: &Call) -> Page {
    match books.payment(payment_key.as_str()) {
        Some(payment) => Page::Payment {
            payment: payment.clone(),
            cancels,
            now,
            language: call.language,
        },
        None => Page::Refusal {
            code: Code::NOT_FOUND_PAYMENT,
            language: call.language,
        },
    }
}

fn recall(books: &Books, answer: &Answer, now: Instant) -> Page {
    match answer {
        Answer::Refused { code, language } => Page::Refusal {
            code: *code,
            language: *language,
        },
        Answer::Paid {
            payment_key,
            cancels,
            language,
        } => match books.payment(payment_key.as_str()) {
            Some(payment) => Page::Payment {
                payment: payment.clone(),
                cancels: *cancels as usize,
                now,
                language: *language,
            },
            None => Page::Refusal {
                code: Code::NOT_FOUND_PAYMENT,
                language: *language,
            },
        },
    }
}

fn set_confirming(books: &mut Books, call: &Call, confirming: bool) {
    if let Wants::Confirm(confirm) = &call.wants
        && let Some(payment) = books.payment_mut(&confirm.payment_key)
    {
        payment.confirming = confirming;
    }
}
