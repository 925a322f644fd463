//! The TossActor with its breaker, against a Toss on a real socket that can be well, broken, or refuse our key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{LIMITS, order, soon};
use crate::actors::api::TraceId;
use crate::actors::toss::{Admit, Busy, Front, Lane, LookUp, Subject, TossActor, TossLimits};
use crate::domain::{Finding, OrderId, Outcome};
use crate::gateway::{Toss, TossSettings};
use crate::metrics::{BreakerState, Metrics};

const WELL: usize = 0;
const BROKEN: usize = 1;
const KEY_REFUSED: usize = 2;
const SILENT: usize = 3;

struct Wire {
    mood: AtomicUsize,
    confirms: AtomicUsize,
    lookups: AtomicUsize,
}

struct Bench {
    wire: Arc<Wire>,
    actor: Addr<TossActor>,
    breaker: crate::actors::toss::line::BreakerWatch,
}

async fn bench(mood: usize, limits: TossLimits) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = TossSettings {
        base_url: format!("http://{}", listener.local_addr().unwrap()),
        secret_key: "test_sk_actorsAmongThemselves".into(),
        connect_timeout_ms: 2_000,
        // Who waits for silence waits shortly; everybody else hears an answer, however slow the machine.
        read_timeout_ms: if mood == SILENT { 300 } else { 20_000 },
    };
    let wire = Arc::new(Wire {
        mood: mood.into(),
        confirms: 0.into(),
        lookups: 0.into(),
    });
    let served = wire.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, served.clone()));
        }
    });
    let front = Front::new(&limits);
    let breaker = front.breaker.clone();
    let actor = TossActor::new(
        Toss::new(settings).unwrap(),
        limits,
        &front,
        Metrics::new().unwrap(),
    )
    .start();
    Bench {
        wire,
        actor,
        breaker,
    }
}

async fn serve(mut socket: TcpStream, wire: Arc<Wire>) {
    let mut bytes = [0; 8_192];
    while let Ok(read @ 1..) = socket.read(&mut bytes).await {
        let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
        let counter = match text.starts_with("POST") {
            true => &wire.confirms,
            false => &wire.lookups,
        };
        counter.fetch_add(1, Ordering::SeqCst);
        let (status, code) = match (wire.mood.load(Ordering::SeqCst), text.starts_with("POST")) {
            (WELL, true) => (403, "REJECT_CARD_PAYMENT"),
            (WELL, false) => (404, "NOT_FOUND_PAYMENT"),
            (BROKEN, _) => (500, "FAILED_INTERNAL_SYSTEM_PROCESSING"),
            (KEY_REFUSED, _) => (401, "UNAUTHORIZED_KEY"),
            _ => std::future::pending().await,
        };
        let body = format!(r#"{{"code":"{code}","message":"m"}}"#);
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Bench {
    fn mood(&self, mood: usize) {
        self.wire.mood.store(mood, Ordering::SeqCst);
    }

    fn state(&self) -> BreakerState {
        self.breaker.standing().state
    }

    fn calls(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.wire.confirms), count(&self.wire.lookups))
    }

    async fn confirm(&self) -> Outcome {
        self.actor.send(order(soon())).await.unwrap().outcome
    }

    async fn admit(&self, lane: Lane) -> Result<crate::actors::toss::Permit, Busy> {
        self.actor.send(Admit { lane }).await.unwrap()
    }

    async fn until(&self, state: BreakerState) {
        let wait = async {
            while self.state() != state {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(Duration::from_secs(30), wait).await;
        assert!(reached.is_ok(), "{state:?} was not reached");
    }
}

fn question(pass: crate::actors::toss::Pass) -> LookUp {
    LookUp {
        subject: Subject::Order(OrderId::new(Uuid::now_v7())),
        pass,
        trace: TraceId::default(),
    }
}

#[actix::test]
async fn declines_never_open_the_breaker() {
    let bench = bench(WELL, LIMITS).await;
    for _ in 0..50 {
        assert!(matches!(bench.confirm().await, Outcome::Declined(_)));
    }
    assert_eq!(bench.state(), BreakerState::Closed);
    assert!(bench.admit(Lane::Live).await.is_ok());
}

/// Refused before anything is sent; probed with look-ups, never with money; mended, it closes by itself.
#[actix::test]
async fn a_refused_key_opens_the_breaker_at_once_and_only_look_ups_probe_it() {
    let bench = bench(KEY_REFUSED, LIMITS).await;
    assert!(matches!(bench.confirm().await, Outcome::Unknown(_)));
    assert_ne!(bench.state(), BreakerState::Closed);
    let busy = bench.admit(Lane::Live).await.unwrap_err();
    assert!(busy.retry_after_s >= 1, "{busy:?}");
    for _ in 0..5 {
        assert!(matches!(bench.confirm().await, Outcome::NotAttempted(_)));
    }
    while bench.calls().1 < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.calls().0, 1, "money probed");
    assert!(bench.breaker.standing().key_refused);
    bench.mood(WELL);
    bench.until(BreakerState::Closed).await;
    assert!(matches!(bench.confirm().await, Outcome::Declined(_)));
    assert!(bench.admit(Lane::Live).await.is_ok());
}

#[actix::test]
async fn a_series_does_not_go_on_with_money_once_the_breaker_has_opened() {
    let mut limits = LIMITS;
    limits.breaker.failures = 1;
    limits.breaker.open = Duration::from_secs(600);
    limits.breaker.open_max = Duration::from_secs(600);
    let bench = bench(SILENT, limits).await;
    let outcome = bench.confirm().await;
    // Sent once and not answered: Unknown, whatever became of the rest of the series.
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    assert_eq!(bench.calls(), (1, 0));
}

#[actix::test]
async fn recovery_is_let_in_one_at_a_time_and_its_question_is_the_probe() {
    let mut limits = LIMITS;
    limits.breaker.failures = 1;
    // The actor itself never probes here.
    limits.probe_patience = Duration::from_secs(600);
    let mut patient = limits;
    patient.breaker.open = Duration::from_secs(600);
    patient.breaker.open_max = Duration::from_secs(600);
    let shut = bench(BROKEN, patient).await;
    assert!(matches!(shut.confirm().await, Outcome::Unknown(_)));
    assert!(shut.admit(Lane::Recovery).await.is_err(), "not due yet");
    let bench = bench(BROKEN, limits).await;
    assert!(matches!(bench.confirm().await, Outcome::Unknown(_)));
    bench.mood(WELL);
    while bench.breaker.questions() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let mut permit = bench.admit(Lane::Recovery).await.unwrap();
    assert!(bench.admit(Lane::Recovery).await.is_err(), "one at a time");
    assert!(bench.admit(Lane::Live).await.is_err());
    assert!(matches!(bench.confirm().await, Outcome::NotAttempted(_)));
    let pass = permit.pass();
    let found = bench.actor.send(question(pass)).await.unwrap();
    assert_eq!(found, Finding::NotFound);
    assert_eq!(bench.state(), BreakerState::Closed);
    assert_eq!(bench.calls(), (1, 1));
}

#[actix::test]
async fn a_question_that_is_not_a_probe_is_not_asked_while_the_breaker_is_open() {
    let mut limits = LIMITS;
    limits.breaker.failures = 1;
    limits.breaker.open = Duration::from_secs(600);
    limits.breaker.open_max = Duration::from_secs(600);
    let bench = bench(BROKEN, limits).await;
    let mut permit = bench.admit(Lane::Live).await.unwrap();
    bench.confirm().await;
    let found = bench.actor.send(question(permit.pass())).await.unwrap();
    assert!(matches!(found, Finding::NoAnswer(_)), "{found:?}");
    assert_eq!(bench.calls(), (1, 0));
}

/// Closed by look-ups while confirms still hang: one may try, the others are refused and not caught in it.
#[actix::test]
async fn after_closing_only_a_few_confirms_may_try_at_once() {
    let mut limits = LIMITS;
    limits.breaker.trial = 2;
    let bench = bench(KEY_REFUSED, limits).await;
    bench.confirm().await;
    bench.mood(WELL);
    bench.until(BreakerState::Closed).await;
    let first = bench.admit(Lane::Live).await.unwrap();
    let second = bench.admit(Lane::Live).await.unwrap();
    assert!(bench.admit(Lane::Live).await.is_err());
    drop(first);
    assert!(bench.admit(Lane::Live).await.is_ok(), "its place came back");
    assert!(matches!(bench.confirm().await, Outcome::Declined(_)));
    let all = [second, bench.admit(Lane::Live).await.unwrap()];
    assert!(bench.admit(Lane::Live).await.is_ok(), "the trial is over");
    drop(all);
}

/// Who finds the waiting room full is refused at once, not after the wait.
#[actix::test]
async fn only_so_many_wait_for_a_turn_and_the_others_are_refused_at_once() {
    let limits = TossLimits {
        admission_wait: Duration::from_secs(20),
        waiting: 2,
        ..LIMITS
    };
    let bench = bench(WELL, limits).await;
    let mut slots = Vec::new();
    for _ in 0..4 {
        slots.push(bench.admit(Lane::Live).await.unwrap());
    }
    let began = Instant::now();
    let waiting: Vec<_> = (0..2)
        .map(|_| bench.actor.send(Admit { lane: Lane::Live }))
        .map(tokio::task::spawn_local)
        .collect();
    sleep(Duration::from_millis(50)).await;
    for _ in 0..100 {
        assert!(bench.admit(Lane::Live).await.is_err());
    }
    assert!(began.elapsed() < Duration::from_secs(10), "they waited");
    slots.truncate(2);
    for admitted in waiting {
        assert!(admitted.await.unwrap().unwrap().is_ok(), "those who wait");
    }
}
