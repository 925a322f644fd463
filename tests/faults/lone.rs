//! The lone faults: every case of the table is an order of its own, all of them at once in one house.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{House, Order, Plan, Reply, command, without_breaker};
use crate::kinds::rules;
use crate::table::{Case, KEY_REFUSED, Rest, TABLE, cases};

const SOON: Duration = Duration::from_secs(120);
const PRODUCT: i64 = 700;

/// Questions and calls of the timer after which a payment that is still unsettled is taken to stay so.
const ENOUGH_CALLS: i64 = 4;

/// Confirms at once. The times below leave these room on a machine with two cores that carries two servers as well: a call
/// that is answered too late meets another fault than its own.
const AT_ONCE: usize = 64;

const READ_TIMEOUT_MS: u64 = 3_000;

/// Nobody here waits long for an answer or for the next question.
fn hasty() -> Plan {
    House::plan()
        .env("TOSS__CONNECT_TIMEOUT_MS", 2_000)
        .env("TOSS__READ_TIMEOUT_MS", READ_TIMEOUT_MS)
        .env("CONFIRM__TRIES", 2)
        .env("CONFIRM__FLIGHT_BUDGET_MS", 10_000)
        .env("RECOVERY__TICK_MS", 50)
        .env("RECOVERY__BACKOFF_MIN_MS", 50)
        .env("RECOVERY__BACKOFF_MAX_MS", 300)
        .env("RECOVERY__QUESTIONS", 3)
        .env("RECOVERY__QUARANTINE_ASK_S", 1)
        .env("TOSS__RECOVERY_SHARE_PERCENT", 100)
}

struct Placed {
    case: Case,
    order: Order,
    key: String,
}

async fn place(house: &House, cases: Vec<Case>) -> Vec<Placed> {
    house.put_product(PRODUCT, 1_000, 10_000).await;
    let place = async |case: Case| {
        let order = house.checkout(&[(PRODUCT, 1)]).await;
        let key = house.authorize(&order).await;
        Placed { case, order, key }
    };
    let placed = join_all(cases.into_iter().map(place)).await;
    let all: Vec<Value> = placed
        .iter()
        .flat_map(|one| {
            let Case {
                fault, on, hits, ..
            } = &one.case;
            rules(&one.order.id, fault, on, hits)
        })
        .collect();
    house.faults(json!(all)).await;
    placed
}

fn class(reply: &Reply) -> String {
    match (reply.status.as_u16(), reply.code()) {
        (200, _) => "paid".into(),
        (402, "E03010") => "declined".into(),
        (503, "E03009") => "pending".into(),
        (409, "E03017") => "review".into(),
        (status, code) => format!("{status} {code}"),
    }
}

fn fits(answer: &str, wanted: &str) -> bool {
    answer == wanted || (wanted == "soon" && matches!(answer, "paid" | "pending"))
}

/// Where every order rests now, and how many calls Toss has had for it: one look for all, so that looking
/// is no load.
struct Sight(HashMap<String, (Rest, i64)>);

impl Sight {
    async fn of(house: &House) -> Sight {
        let sql = "SELECT order_id, status, stock_held FROM payments";
        let rows = house.rows(sql).await;
        let ledger = house.toss(Method::GET, "/sandbox/ledger", None).await;
        let mut counted: HashMap<&str, (i64, i64)> = HashMap::new();
        for entry in ledger.body["payments"].as_array().unwrap() {
            let count = |name: &str| entry[name].as_i64().unwrap();
            let sum = counted.entry(entry["orderId"].as_str().unwrap());
            let sum = sum.or_default();
            sum.0 += count("approvals");
            sum.1 += count("confirmCalls") + count("lookups");
        }
        let seen = rows.iter().map(|row| {
            let order: String = row.try_get_by(0).unwrap();
            let (status, held): (String, bool) =
                (row.try_get_by(1).unwrap(), row.try_get_by(2).unwrap());
            let (approvals, calls) = counted.get(order.as_str()).copied().unwrap_or_default();
            let rest = rest_of(&status, held, approvals);
            (order, (rest, calls))
        });
        Sight(seen.collect())
    }

    fn calls(&self, order: &Order) -> i64 {
        self.0[&order.id].1
    }
}

fn rest_of(status: &str, held: bool, approvals: i64) -> Rest {
    let kept = if held { "held" } else { "back" };
    let (status, goods) = match status {
        "READY" => ("READY", kept),
        // Between two questions; nobody but the timer sees the difference.
        "UNKNOWN" | "IN_PROGRESS" => ("UNKNOWN", kept),
        "DONE" => ("DONE", if held { "sold" } else { "back" }),
        "FAILED" => ("FAILED", kept),
        "QUARANTINED" => ("QUARANTINED", kept),
        other => panic!("{other}"),
    };
    Rest {
        status,
        goods,
        approvals,
    }
}

/// Waits until each payment rests as wanted, and where it is asked about still, until Toss has had `enough` calls for
/// it. A settled one does not move any more: there the first word is the last.
async fn until_all_rest(
    house: &House,
    placed: &[Placed],
    wanted: impl Fn(&Case) -> &Rest,
    enough: i64,
) -> Vec<(String, String)> {
    let (until, began) = (Instant::now() + SOON, Sight::of(house).await);
    let mut open: Vec<&Placed> = placed.iter().collect();
    let mut complaints = Vec::new();
    loop {
        let sight = Sight::of(house).await;
        let late = Instant::now() > until;
        open.retain(|one| {
            let (wanted, (seen, calls)) = (wanted(&one.case), &sight.0[&one.order.id]);
            let asked = calls - began.calls(&one.order);
            let long = wanted.status != "UNKNOWN" || asked >= enough;
            let settled = matches!(seen.status, "DONE" | "FAILED") && seen.status != wanted.status;
            if (seen != wanted || !long) && (settled || late) {
                let complaint = format!("rests {seen:?} after {asked} calls, not {wanted:?}");
                let order = &one.order.id;
                complaints.push((name(&one.case), format!("{order} {complaint}")));
                return false;
            }
            seen != wanted || !long
        });
        if open.is_empty() {
            return complaints;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The complaints, each with the end of its order's story.
fn report(house: &House, complaints: Vec<(String, String)>) {
    for (_, complaint) in complaints.iter().take(3) {
        let order = complaint.split(' ').next().unwrap();
        let shown = command(&["order", "show", order], house.environment()).output();
        let shown = String::from_utf8_lossy(&shown.unwrap().stdout).into_owned();
        let (first, last): (Vec<&str>, Vec<&str>) = (
            shown.lines().take(25).collect(),
            shown.lines().rev().take(12).collect(),
        );
        println!(
            "{}\n...\n{}",
            first.join("\n"),
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
    }
    let mut by_case: BTreeMap<String, String> = BTreeMap::new();
    by_case.extend(complaints);
    let lines: Vec<String> = by_case
        .iter()
        .map(|(case, complaint)| format!("{case}: {complaint}"))
        .collect();
    assert!(
        lines.is_empty(),
        "{} cases:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

fn name(case: &Case) -> String {
    format!("{} on {} {}", case.fault, case.on, case.hits)
}

/// What is held and sold, to the piece.
async fn count_goods(house: &House, rests: impl Iterator<Item = &Rest>) {
    let (mut held, mut sold) = (0, 0);
    for rest in rests {
        held += i64::from(rest.goods == "held");
        sold += i64::from(rest.goods == "sold");
    }
    let stock = 10_000 - held - sold;
    assert_eq!(house.shelf(PRODUCT).await, (stock, held, sold, 10_000));
}

/// While an approval may still come: the first answer, the rest, and the way out when the fault is gone.
async fn inside_the_window(house: &House, cases: Vec<Case>) {
    let placed = place(house, cases).await;
    let first = async |one: &Placed| {
        let answer = class(&house.confirm(&one.order, &one.key).await);
        let fits = fits(&answer, one.case.answer);
        let complaint = || format!("answered {answer}, not {}", one.case.answer);
        fits.then_some(()).ok_or_else(complaint)
    };
    let mut complaints = all(&placed, first).await;
    complaints.extend(until_all_rest(house, &placed, |case| &case.stays, ENOUGH_CALLS).await);
    house.heal().await;
    complaints.extend(until_all_rest(house, &placed, |case| &case.then, 0).await);
    complaints.extend(all(&placed, async |one| answers_stay(house, one).await).await);
    report(house, complaints);
    count_goods(house, placed.iter().map(|one| &one.case.then)).await;
    house.audit();
}

/// Asked again, the settled ones say what they said.
async fn answers_stay(house: &House, one: &Placed) -> Result<(), String> {
    let wanted = match one.case.then.status {
        "DONE" => "paid",
        "FAILED" => "declined",
        "QUARANTINED" => "review",
        // Not settled: whoever asks waits.
        _ => return Ok(()),
    };
    let answers = [(); 2].map(|()| house.confirm(&one.order, &one.key));
    let [first, second] = join_all(answers).await.try_into().unwrap();
    let stable = class(&first) == wanted && first.data() == second.data();
    let complaint = || format!("then answered {first:?}, then {second:?}");
    stable.then_some(()).ok_or_else(complaint)
}

async fn all(
    placed: &[Placed],
    check: impl AsyncFn(&Placed) -> Result<(), String>,
) -> Vec<(String, String)> {
    let checks = placed.iter().map(async |one| {
        let checked = check(one).await;
        checked.err().map(|complaint| (name(&one.case), complaint))
    });
    let checked: Vec<_> = stream::iter(checks).buffered(AT_ONCE).collect().await;
    checked.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lone_fault_lets_the_payment_rest_where_the_table_says() {
    // Patience beyond any flight, so that the answer is the flight's.
    let plan = hasty().env("CONFIRM__PATIENCE_MS", 60_000);
    let house = without_breaker(plan).start();
    let cases = cases(TABLE);
    println!("{} cases", cases.len());
    inside_the_window(&house, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_merchant_key_fails_no_order_whichever_call_it_hits() {
    // Each house blocks this thread while it starts and while it is audited: none is asked before all stand, as a connection
    // that asks nothing for long is cut.
    let houses = cases(KEY_REFUSED).into_iter().map(|case| {
        let house = hasty().env("CONFIRM__PATIENCE_MS", 60_000).start();
        (house, case)
    });
    let houses: Vec<(House, Case)> = houses.collect();
    let stories = houses.iter().map(async |(house, case)| {
        let placed = place(house, vec![case.clone()]).await;
        let [one] = &placed[..] else { unreachable!() };
        let name = name(case);
        let answer = class(&house.confirm(&one.order, &one.key).await);
        assert!(fits(&answer, case.answer), "{name}: {answer}");
        let seen = |sight: Sight| sight.0[&one.order.id].0.clone();
        assert_eq!(seen(Sight::of(house).await), case.stays, "{name}");
        house.heal().await;
        house.wait_for(&one.order, &[case.then.status], SOON).await;
        assert_eq!(seen(Sight::of(house).await), case.then, "{name}");
    });
    join_all(stories).await;
    for (house, _) in &houses {
        house.audit();
    }
}

/// The last claim of a flight that began with the confirm, and the confirm window after it.
const WINDOW: Duration = Duration::from_millis(1_000 + 2_000 + READ_TIMEOUT_MS + 5_000 + 1_000);

/// With the fault still there when no approval can come any more.
#[tokio::test(flavor = "multi_thread")]
async fn every_lone_fault_that_stays_ends_where_the_table_says() {
    let plan = hasty()
        .env("CONFIRM__FLIGHT_BUDGET_MS", 1_000)
        .env("CONFIRM__WINDOW_S", 1)
        .env("CONFIRM__PATIENCE_MS", 1_000);
    let house = without_breaker(plan).start();
    let placed = place(&house, cases(TABLE)).await;
    let confirms = placed.iter().map(|one| house.confirm(&one.order, &one.key));
    let confirms = stream::iter(confirms).buffered(AT_ONCE);
    confirms.for_each(async |_| ()).await;
    // Before its window has passed, nothing is over.
    tokio::time::sleep(WINDOW).await;
    let over = until_all_rest(&house, &placed, |case| &case.over, ENOUGH_CALLS).await;
    house.heal().await;
    let healed = until_all_rest(&house, &placed, |case| &case.over_then, 0).await;
    report(&house, over.into_iter().chain(healed).collect());
    count_goods(&house, placed.iter().map(|one| &one.case.over_then)).await;
    house.audit();
}
