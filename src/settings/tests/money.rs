//! Which Toss is spoken to: nobody is approved for free by accident, and no live key goes astray.

use super::*;

#[test]
fn a_forgotten_or_a_live_key_never_meets_a_sandbox() {
    let public = [("SERVER__BIND", "0.0.0.0:8080"), ("SERVER__API_KEYS", HASH)];
    let refused: [(Variables, &str); 9] = [
        (
            &[("TOSS__SECRET_KEY", LIVE)],
            "PAYONCE_SERVER__API_KEYS wants at least one key (`payonce key new`), because a live key moves money",
        ),
        (
            &[("SERVER__API_KEYS", HASH)],
            "PAYONCE_TOSS__SECRET_KEY wants a secret key: server.api_keys has a shop's keys",
        ),
        (
            &[
                ("TOSS__SECRET_KEY", LIVE),
                ("TOSS__BASE_URL", "https://toss-mock.staging.example"),
            ],
            "PAYONCE_TOSS__BASE_URL wants https://api.tosspayments.com: a live key",
        ),
        (
            &[
                ("TOSS__SECRET_KEY", LIVE),
                ("TOSS__BASE_URL", "https://api.tosspayments.com.example"),
            ],
            "PAYONCE_TOSS__BASE_URL wants https://api.tosspayments.com: a live key",
        ),
        (
            &public,
            "PAYONCE_TOSS__SECRET_KEY wants a secret key: 0.0.0.0:8080 is not loopback",
        ),
        (
            &[("SANDBOX__ENABLED", "false")],
            "PAYONCE_TOSS__SECRET_KEY wants a secret key: the sandbox is off",
        ),
        (
            &[("TOSS__SECRET_KEY", LIVE), ("SANDBOX__ENABLED", "true")],
            "PAYONCE_SANDBOX__ENABLED wants to be off: a live key",
        ),
        (
            &[("TOSS__SECRET_KEY", TEST), ("SANDBOX__ENABLED", "true")],
            "PAYONCE_SANDBOX__ENABLED wants to be off",
        ),
        (
            &[
                ("TOSS__SECRET_KEY", LIVE),
                ("TOSS__BASE_URL", "http://LOCALHOST:8090"),
            ],
            "PAYONCE_TOSS__BASE_URL wants another host than this machine",
        ),
    ];
    for (environment, named) in refused {
        let said = refusal(environment);
        assert!(said.starts_with(named), "{said}");
    }
    let keys = ("SERVER__API_KEYS", HASH);
    let proxy = ("TOSS__BASE_URL", "https://egress.shop.example/toss");
    for allowed in [
        &[("TOSS__SECRET_KEY", LIVE), keys][..],
        &[
            ("TOSS__SECRET_KEY", LIVE),
            keys,
            proxy,
            ("TOSS__ELSEWHERE", "true"),
        ],
        &[("TOSS__SECRET_KEY", TEST), proxy],
    ] {
        with(allowed).unwrap();
    }
    let said_so = [public[0], public[1], ("SANDBOX__ENABLED", "true")];
    let settings = with(&said_so).unwrap();
    assert!(matches!(
        settings.gateway_plan(),
        GatewayPlan::BuiltInSandbox
    ));
}

/// A window copied from a test's file would let a "not found" of the tenth second end a payment that Toss approves in the
/// next one.
#[test]
fn an_approval_may_come_for_ten_minutes_wherever_money_moves() {
    let short = ("CONFIRM__WINDOW_S", "599");
    let keys = ("SERVER__API_KEYS", HASH);
    for key in [TEST, LIVE] {
        let said = refusal(&[("TOSS__SECRET_KEY", key), short]);
        let named = "PAYONCE_CONFIRM__WINDOW_S wants at least 600";
        assert!(said.starts_with(named), "{said}");
        with(&[
            ("TOSS__SECRET_KEY", key),
            keys,
            ("CONFIRM__WINDOW_S", "600"),
        ])
        .unwrap();
    }
    with(&[short]).unwrap();
    let here = ("TOSS__BASE_URL", "http://127.0.0.1:8090");
    with(&[("TOSS__SECRET_KEY", TEST), here, short]).unwrap();
}

/// Whoever audits or decides opens no door.
#[test]
fn a_live_key_alone_is_enough_to_ask_toss() {
    let live = ("PAYONCE_TOSS__SECRET_KEY".to_owned(), LIVE.to_owned());
    let load = |purpose| load(None, [live.clone()].into_iter(), purpose);
    load(Purpose::Payments).unwrap();
    load(Purpose::Serving).unwrap_err();
}

/// A command that only opens the database asks for nothing that it does not need.
#[test]
fn a_database_server_without_a_key_is_taken_for_a_production() {
    let server = ("DATABASE__URL", "postgres://payonce:hunter2@db/payonce");
    let said = refusal(&[server]);
    assert!(
        said.starts_with("PAYONCE_TOSS__SECRET_KEY wants a secret key: the database"),
        "{said}"
    );
    with(&[server, ("SANDBOX__ENABLED", "true")]).unwrap();
    let variables = [("SERVER__BIND", "0.0.0.0:8080"), server];
    let variables = variables.map(|(name, value)| (format!("PAYONCE_{name}"), value.to_owned()));
    load(None, variables.clone().into_iter(), Purpose::Serving).unwrap_err();
    load(None, variables.into_iter(), Purpose::Records).unwrap();
}

#[test]
fn with_a_key_calls_go_to_toss_at_the_pace_that_toss_allows() {
    let sandbox = ("TOSS__BASE_URL", "http://127.0.0.1:8090");
    let keys = ("SERVER__API_KEYS", HASH);
    let cases: [(Variables, Option<u32>); 4] = [
        (&[("TOSS__SECRET_KEY", TEST)], Some(100)),
        (&[("TOSS__SECRET_KEY", LIVE), keys], Some(6_000)),
        (&[("TOSS__SECRET_KEY", TEST), sandbox], None),
        (
            &[
                ("TOSS__SECRET_KEY", TEST),
                sandbox,
                ("TOSS__CALLS_PER_MINUTE", "7"),
            ],
            Some(7),
        ),
    ];
    for (environment, calls) in cases {
        let settings = with(environment).unwrap();
        assert!(matches!(settings.gateway_plan(), GatewayPlan::Toss { .. }));
        assert_eq!(settings.calls_per_minute(), calls, "{environment:?}");
    }
}
