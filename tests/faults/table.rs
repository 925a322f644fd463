//! Where each lone fault lets the payment rest. One line is one fault, at every call of its third column.
//!
//! `hits`: which call meets the fault, and what came before it.
//!   `first`  the first confirm;
//!   `again`  the second one with the same key: the first was not answered;
//!   `next`   the first one with the next key: Toss had answered "temporary";
//!   `lost`   look-ups of a payment that Toss has approved, while every answer to a confirm is lost;
//!   `open`   look-ups of a payment that Toss has not confirmed, after a "temporary" answer.
//!   A look-up is hit at the first call, and, with a `+`, at those after a first one that says READY.
//! `answer`: what the first caller hears; `soon` is paid or pending, whichever a late answer allows.
//! `stays`: where the payment rests for as long as the fault stays and an approval may still come, the goods (held,
//!   sold, back), and the approvals that Toss has executed. `then`: where it goes when the fault is healed.
//! `over`: where it rests with the fault still there, after the confirm window has passed and the questions are spent.
//!   `then`: where it goes from there when the fault is healed. `=` is as in the column before.

pub const TABLE: &str = "
fault                        | on      | hits                     | answer   | stays              | then        | over               | then
delay a little               | confirm | first again next         | paid     | DONE sold 1        | =           | =                  | =
delay beyond the patience    | confirm | first again next         | soon     | DONE sold 1        | =           | =                  | =
REJECT_CARD_PAYMENT          | confirm | first again next         | declined | FAILED back 0      | =           | =                  | =
INVALID_STOPPED_CARD         | confirm | first again next         | declined | FAILED back 0      | =           | =                  | =
REJECT_CARD_PAYMENT, open    | confirm | first again              | declined | FAILED back 0      | =           | =                  | =
REJECT_CARD_PAYMENT, open    | confirm | next                     | pending  | UNKNOWN held 0     | =           | QUARANTINED held 0 | =
PROVIDER_ERROR               | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
NOT_AVAILABLE_BANK           | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
ALREADY_PROCESSED_PAYMENT    | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
ALREADY_PROCESSING_REQUEST   | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
IDEMPOTENT_REQUEST_PROCESSING| confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
NOT_FOUND_PAYMENT_SESSION    | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
NOT_FOUND_PAYMENT            | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
INVALID_REQUEST              | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
FORBIDDEN_REQUEST            | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
FAILED_INTERNAL_SYSTEM_PROCESSING | confirm | first again next    | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
UNKNOWN_PAYMENT_ERROR        | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
500 with a declining code    | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
400 with a code of next year | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
429                          | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
502 HTML                     | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
200 empty                    | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
reset_before                 | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
hang_before                  | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
reset_after                  | confirm | first again next         | paid     | DONE sold 1        | =           | =                  | =
hang_after                   | confirm | first again next         | soon     | DONE sold 1        | =           | =                  | =
garbled                      | confirm | first again next         | paid     | DONE sold 1        | =           | =                  | =
status WAITING_FOR_DEPOSIT   | confirm | first again next         | paid     | DONE sold 1        | =           | =                  | =
status IN_PROGRESS           | confirm | first again next         | paid     | DONE sold 1        | =           | =                  | =
status CANCELED              | confirm | first again next         | paid     | DONE sold 1        | =           | =                  | =
totalAmount                  | confirm | first again next         | review   | DONE sold 1        | =           | =                  | =
orderId                      | confirm | first again next         | paid     | DONE sold 1        | =           | =                  | =
paymentKey                   | confirm | first again next         | paid     | DONE sold 1        | =           | =                  | =
delay a little               | look-up | lost lost+ open open+    | paid     | DONE sold 1        | =           | =                  | =
delay beyond the patience    | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
delay beyond the patience    | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
REJECT_CARD_PAYMENT          | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | QUARANTINED held 1 | DONE sold 1
REJECT_CARD_PAYMENT          | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | QUARANTINED held 0 | =
PROVIDER_ERROR               | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
PROVIDER_ERROR               | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
ALREADY_PROCESSED_PAYMENT    | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | QUARANTINED held 1 | DONE sold 1
IDEMPOTENT_REQUEST_PROCESSING| look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
NOT_FOUND_PAYMENT            | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
NOT_FOUND_PAYMENT            | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | FAILED back 0      | =
FAILED_INTERNAL_SYSTEM_PROCESSING | look-up | lost lost+          | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
FAILED_INTERNAL_SYSTEM_PROCESSING | look-up | open open+          | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
429                          | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
429                          | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
502 HTML                     | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
502 HTML                     | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
200 empty                    | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
reset_before                 | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
reset_before                 | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
hang_before                  | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
hang_before                  | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
reset_after                  | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
hang_after                   | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
garbled                      | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
garbled                      | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
status READY                 | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | QUARANTINED held 1 | DONE sold 1
status READY                 | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | QUARANTINED held 0 | =
status IN_PROGRESS           | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
status WAITING_FOR_DEPOSIT   | look-up | lost lost+               | review   | QUARANTINED held 1 | DONE sold 1 | QUARANTINED held 1 | DONE sold 1
status WAITING_FOR_DEPOSIT   | look-up | open open+               | review   | QUARANTINED held 0 | =           | =                  | =
status CANCELED              | look-up | lost lost+               | review   | QUARANTINED held 1 | =           | =                  | =
status CANCELED              | look-up | open open+               | review   | QUARANTINED held 0 | =           | =                  | =
status PARTIAL_CANCELED      | look-up | lost lost+               | review   | QUARANTINED held 1 | =           | =                  | =
status ABORTED               | look-up | open open+               | declined | FAILED back 0      | =           | =                  | =
status EXPIRED               | look-up | open open+               | declined | FAILED back 0      | =           | =                  | =
totalAmount                  | look-up | lost lost+               | review   | QUARANTINED held 1 | DONE sold 1 | QUARANTINED held 1 | DONE sold 1
totalAmount                  | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | QUARANTINED held 0 | =
orderId, once                | look-up | lost lost+               | paid     | DONE sold 1        | =           | =                  | =
orderId, once                | look-up | open open+               | paid     | DONE sold 1        | =           | =                  | =
orderId                      | look-up | open open+               | declined | FAILED back 0      | =           | =                  | =
paymentKey                   | look-up | lost lost+               | pending  | UNKNOWN held 1     | DONE sold 1 | QUARANTINED held 1 | DONE sold 1
paymentKey                   | look-up | open open+               | pending  | UNKNOWN held 0     | DONE sold 1 | QUARANTINED held 0 | =
";

/// Our own key is refused: no order is failed for it. Each hit in a house of its own, for Toss is then asked nothing
/// for anybody.
pub const KEY_REFUSED: &str = "
fault                        | on      | hits                     | answer   | stays              | then        | over               | then
UNAUTHORIZED_KEY             | confirm | first again next         | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
UNAUTHORIZED_KEY             | look-up | lost                     | pending  | UNKNOWN held 1     | DONE sold 1 | UNKNOWN held 1     | DONE sold 1
INVALID_API_KEY              | look-up | open                     | pending  | UNKNOWN held 0     | DONE sold 1 | UNKNOWN held 0     | DONE sold 1
";

/// Where a payment rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    pub status: &'static str,
    /// Held, sold or back.
    pub goods: &'static str,
    pub approvals: i64,
}

/// One fault at one call.
#[derive(Clone, Debug)]
pub struct Case {
    pub fault: &'static str,
    pub on: &'static str,
    pub hits: &'static str,
    pub answer: &'static str,
    pub stays: Rest,
    pub then: Rest,
    pub over: Rest,
    pub over_then: Rest,
}

fn rest(cell: &'static str) -> Rest {
    let mut words = cell.split_whitespace();
    let mut word = || words.next().unwrap_or_else(|| panic!("{cell:?}"));
    let (status, goods) = (word(), word());
    Rest {
        status,
        goods,
        approvals: word().parse().unwrap(),
    }
}

/// Every case of a table.
pub fn cases(table: &'static str) -> Vec<Case> {
    let rows = table.lines().filter(|line| !line.is_empty()).skip(1);
    rows.flat_map(|row| {
        let cells: Vec<&'static str> = row.split('|').map(str::trim).collect();
        let [fault, on, hits, answer, stays, then, over, over_then] = cells[..] else {
            panic!("{row:?}");
        };
        let mut last = stays;
        let mut cell = |cell: &'static str| {
            last = if cell == "=" { last } else { cell };
            rest(last)
        };
        let (stays, then) = (cell(stays), cell(then));
        let (over, over_then) = (cell(over), cell(over_then));
        hits.split_whitespace().map(move |hits| Case {
            fault,
            on,
            hits,
            answer,
            stays: stays.clone(),
            then: then.clone(),
            over: over.clone(),
            over_then: over_then.clone(),
        })
    })
    .collect()
}
