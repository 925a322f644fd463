//! The TossActor against a wire that breaks: what a series of tries proves, and what its gate lets in.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod breaker;
mod line;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Admit, BreakerRules, Front, Lane, Permit, SendConfirm, TossActor, TossLimits};
use crate::actors::api::TraceId;
use crate::actors::membership::{Membership, Warrant};
use crate::domain::{Incarnation, OrderId, Outcome, PaymentKey, Won};
use crate::gateway::{ConfirmCall, Toss, TossSettings};
use crate::metrics::Metrics;

const LIMITS: TossLimits = TossLimits {
    concurrency: 4,
    calls_per_minute: None,
    admission_wait: Duration::from_millis(100),
    waiting: 100,
    recovery_share_percent: 25,
    tries: 3,
    repeat_within: Duration::from_secs(5),
    breaker: BreakerRules {
        failures: 20,
        failure_percent: 60,
        sample: 100,
        window: Duration::from_secs(10),
        open: Duration::from_millis(100),
        open_max: Duration::from_millis(200),
        probes: 1,
        probe: Duration::from_secs(5),
        trial: 8,
    },
    probe_patience: Duration::from_millis(10),
};

fn actor(address: std::net::SocketAddr, limits: TossLimits) -> Addr<TossActor> {
    let settings = TossSettings {
        base_url: format!("http://{address}"),
        secret_key: SecretString::from("test_sk_actorsAmongThemselves"),
        connect_timeout_ms: 500,
        read_timeout_ms: 500,
    };
    TossActor::new(
        Toss::new(settings).unwrap(),
        limits,
        &Front::new(&limits),
        Metrics::new().unwrap(),
    )
    .start()
}

fn order(send_by: Instant) -> SendConfirm {
    let call = ConfirmCall {
        payment_key: PaymentKey::parse("tgen_20250102210202h9Oy0").unwrap(),
        order: OrderId::new(Uuid::now_v7()),
        amount: Won::new(1_000).unwrap(),
        idempotency_key: "order:1:1".to_owned(),
    };
    let pass = Permit::unbounded(Lane::Live).pass();
    let trace = TraceId::default();
    let owner = Incarnation(Uuid::now_v7());
    let warrant = Warrant {
        send_by,
        owner,
        membership: Membership::new(owner, false, Duration::from_secs(5)),
        flight: Arc::downgrade(Box::leak(Box::new(Arc::new(())))),
    };
    SendConfirm {
        call,
        pass,
        warrant,
        trace,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// The first try arrived and hung up on us; nobody listens any more when the others come.
#[actix::test]
async fn a_series_whose_first_try_was_sent_is_unknown_though_the_last_could_not_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let actor = actor(listener.local_addr().unwrap(), LIMITS);
    let toss = async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        drop(listener);
        _ = socket.read(&mut [0; 4_096]).await.unwrap();
    };
    let (reply, ()) = tokio::join!(actor.send(order(soon())), toss);
    let reply = reply.unwrap();
    assert!(matches!(reply.outcome, Outcome::Unknown(_)), "{reply:?}");
    assert!(!reply.answered);
}

#[actix::test]
async fn a_series_that_never_connected_was_not_attempted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reply = actor(address, LIMITS).send(order(soon())).await.unwrap();
    assert!(
        matches!(reply.outcome, Outcome::NotAttempted(_)),
        "{reply:?}"
    );
}

#[actix::test]
async fn nothing_leaves_after_the_hard_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let actor = actor(listener.local_addr().unwrap(), LIMITS);
    let reply = actor.send(order(Instant::now())).await.unwrap();
    assert!(
        matches!(reply.outcome, Outcome::NotAttempted(_)),
        "{reply:?}"
    );
    let called = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(called.is_err(), "somebody called");
}

/// Unanswered calls are repeated; but not by a node that may have been taken for dead meanwhile.
#[actix::test]
async fn nothing_is_repeated_by_an_incarnation_that_has_ended_or_for_a_flight_that_is_gone() {
    for gone in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let actor = actor(listener.local_addr().unwrap(), LIMITS);
        let me = Incarnation(Uuid::now_v7());
        let membership = Membership::new(me, true, Duration::from_secs(600));
        assert!(membership.renew(me, Instant::now()));
        let flight = Arc::new(());
        let mut order = order(soon());
        order.warrant.owner = me;
        order.warrant.membership = membership.clone();
        order.warrant.flight = Arc::downgrade(&flight);
        let toss = async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            _ = socket.read(&mut [0; 4_096]).await.unwrap();
            match gone {
                true => drop(flight),
                false => membership.lapse(),
            }
            drop(socket);
            let again = tokio::time::timeout(Duration::from_secs(2), listener.accept()).await;
            assert!(again.is_err(), "it was sent again");
        };
        let (reply, ()) = tokio::join!(actor.send(order), toss);
        let reply = reply.unwrap();
        assert!(matches!(reply.outcome, Outcome::Unknown(_)), "{reply:?}");
    }
}

#[actix::test]
async fn the_gate_is_bounded_by_slots_and_by_rate_and_gives_back_what_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slots = actor(address, LIMITS);
    let live = || slots.send(Admit { lane: Lane::Live });
    let mut permits = Vec::new();
    for _ in 0..4 {
        permits.push(live().await.unwrap().unwrap());
    }
    assert!(live().await.unwrap().is_err(), "a fifth of four");
    permits.pop();
    let recovery = slots
        .send(Admit {
            lane: Lane::Recovery,
        })
        .await
        .unwrap();
    assert!(recovery.is_ok(), "the slot came back");

    let slow = TossLimits {
        calls_per_minute: NonZeroU32::new(1),
        ..LIMITS
    };
    let slow = actor(address, slow);
    assert!(slow.send(Admit { lane: Lane::Live }).await.unwrap().is_ok());
    let busy = slow
        .send(Admit { lane: Lane::Live })
        .await
        .unwrap()
        .unwrap_err();
    assert!((50..=60).contains(&busy.retry_after_s), "{busy:?}");
}
