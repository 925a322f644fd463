//! What the settings accept, what they refuse, and that a refusal names the setting without showing a secret.
#![expect(clippy::unwrap_used, reason = "tests")]

use sha2::{Digest as _, Sha256};

use super::*;

mod money;

const LIVE: &str = "live_sk_zzRealMoneyMovesHere01";
const TEST: &str = "test_sk_zzNoMoneyMovesHere0001";
const HASH: &str = "sha256:abababababababababababababababababababababababababababababababab";

type Variables<'a> = &'a [(&'a str, &'a str)];

fn with(environment: &[(&str, &str)]) -> Result<Settings, SettingsFault> {
    let variable = |(name, value): &(&str, &str)| (format!("PAYONCE_{name}"), (*value).to_owned());
    load(None, environment.iter().map(variable), Purpose::Serving)
}

fn with_file(text: &str, environment: &[(&str, &str)]) -> Result<Settings, SettingsFault> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payonce.toml");
    std::fs::write(&path, text).unwrap();
    let variable = |(name, value): &(&str, &str)| (format!("PAYONCE_{name}"), (*value).to_owned());
    load(
        Some(&path),
        environment.iter().map(variable),
        Purpose::Serving,
    )
}

fn refusal(environment: &[(&str, &str)]) -> String {
    match with(environment) {
        Ok(_) => panic!("{environment:?} was accepted"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn no_setting_is_needed_to_try_it() {
    let settings = with(&[]).unwrap();
    assert!(matches!(
        settings.gateway_plan(),
        GatewayPlan::BuiltInSandbox
    ));
    assert_eq!(settings.server.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.checkout.expires_after_s, 2_400);
    assert_eq!(settings.confirm.patience_ms, 15_000);
    assert_eq!(settings.toss.read_timeout_ms, 30_000);
    assert!(settings.allow_anonymous());
    assert_eq!(settings.calls_per_minute(), None);
}

#[test]
fn the_environment_outranks_the_file_and_the_file_the_defaults() {
    let file = "[confirm]\ntries = 4\npatience_ms = 1\n[log]\nformat = 'json'\n";
    let settings = with_file(file, &[("CONFIRM__PATIENCE_MS", "2")]).unwrap();
    assert_eq!(
        (settings.confirm.tries, settings.confirm.patience_ms),
        (4, 2)
    );
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.confirm.window_s, 660);
    let other = load(
        None,
        [("PATH".to_owned(), "x".to_owned())].into_iter(),
        Purpose::Serving,
    );
    assert!(other.is_ok(), "only PAYONCE_ is ours");
}

#[test]
fn an_unknown_setting_is_named_with_the_nearest_one() {
    for (written, nearest) in [
        ("CONFIRM__PATIENCE", Some("PAYONCE_CONFIRM__PATIENCE_MS")),
        ("SERVER_BIND", Some("PAYONCE_SERVER__BIND")),
        ("TOSS__SECRETKEY", Some("PAYONCE_TOSS__SECRET_KEY")),
        ("SERVR__API_KEYS", Some("PAYONCE_SERVER__API_KEYS")),
        ("SOMETHING__ELSE_ENTIRELY", None),
    ] {
        let said = refusal(&[(written, "5")]);
        assert!(
            said.starts_with(&format!("PAYONCE_{written} is not a setting")),
            "{said}"
        );
        let hint = nearest.map(|name| format!("; did you mean {name}?"));
        assert!(
            said.ends_with(hint.as_deref().unwrap_or("is not a setting")),
            "{said}"
        );
    }
    let fault = with_file("[confirm]\ntrys = 1\n", &[]).unwrap_err();
    let expected = "confirm.trys is not a setting; did you mean confirm.tries?";
    assert_eq!(fault.to_string(), expected);
    assert!(
        with_file("tries = 1\n", &[]).is_err(),
        "a key without its section"
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_what_it_wants_and_what_it_got() {
    for (name, value, wants) in [
        ("CONFIRM__PATIENCE_MS", "soon", "an integer, got \"soon\""),
        ("CONFIRM__PATIENCE_MS", "-1", "an integer, got \"-1\""),
        ("CONFIRM__PATIENCE_MS", "", "an integer, got \"\""),
        ("CONFIRM__TRIES", "99999999999999999999", "an integer, got"),
        (
            "DATABASE__READERS",
            "4294967296",
            "an unsigned 32 bit integer",
        ),
        (
            "SERVER__ALLOW_ANONYMOUS",
            "perhaps",
            "a boolean, got \"perhaps\"",
        ),
        (
            "SERVER__BIND",
            "localhost:8080",
            "an address and a port, such as 127.0.0.1:8080, got \"localhost:8080\"",
        ),
        ("SANDBOX__BIND", "", "an address and a port"),
        ("LOG__FORMAT", "xml", "`text` or `json`"),
        ("LOG__FILTER", "payonce=loud", "error, warn, info"),
        ("LOG__FILTER", "", "error, warn, info"),
        ("NODE__NAME", "", "1 to 100 visible"),
        ("SERVER__API_KEYS", "sha256:abc", "sha256:<64 hex>"),
        ("SERVER__ALLOWED_ORIGINS", "*", "https://shop.example"),
        (
            "SERVER__ALLOWED_ORIGINS",
            "https://a.example/",
            "https://shop.example",
        ),
    ] {
        let said = refusal(&[(name, value)]);
        assert!(
            said.starts_with(&format!("PAYONCE_{name} wants ")),
            "{said}"
        );
        assert!(said.contains(wants), "{said}");
    }
}

#[test]
fn everything_is_kept_for_ever_until_somebody_says_for_how_many_days() {
    let days = |environment: Variables| {
        let settings = with(environment).unwrap();
        let days = |kept: std::time::Duration| kept.as_secs() / 86_400;
        let kept = &settings.retention;
        (kept.history().map(days), kept.outbox().map(days))
    };
    assert_eq!(days(&[]), (None, None));
    let some: Variables = &[
        ("RETENTION__HISTORY_DAYS", "365"),
        ("RETENTION__OUTBOX_DAYS", "1"),
    ];
    assert_eq!(days(some), (Some(365), Some(1)));
    for name in ["RETENTION__HISTORY_DAYS", "RETENTION__OUTBOX_DAYS"] {
        let said = refusal(&[(name, "36501")]);
        let wanted = format!("PAYONCE_{name} wants 0 to 36500, got \"36501\"");
        assert_eq!(said, wanted);
    }
}

/// Every number has a range, and where zero is not a meaning of its own, it is in none of them.
#[test]
fn zero_and_too_much_are_refused_with_the_range() {
    for name in [
        "SERVER__WORKERS",
        "SERVER__MAX_IN_FLIGHT",
        "SERVER__BODY_LIMIT_BYTES",
        "SERVER__SHUTDOWN_MS",
        "DATABASE__READERS",
        "DATABASE__BUSY_TIMEOUT_MS",
        "CHECKOUT__EXPIRES_AFTER_S",
        "CONFIRM__PATIENCE_MS",
        "CONFIRM__FLIGHT_BUDGET_MS",
        "CONFIRM__TRIES",
        "CONFIRM__WINDOW_S",
        "CONFIRM__MAX_WAITERS",
        "JOURNAL__BATCH",
        "JOURNAL__QUEUE",
        "PRODUCTS__RECHECK_MS",
        "RECOVERY__TICK_MS",
        "RECOVERY__BACKOFF_MIN_MS",
        "RECOVERY__BACKOFF_MAX_MS",
        "RECOVERY__QUESTIONS",
        "RECOVERY__BATCH",
        "RECOVERY__PER_SECOND",
        "RECOVERY__QUARANTINE_ASK_S",
        "RETENTION__BATCH",
        "RETENTION__PAUSE_MS",
        "RETENTION__EVERY_S",
        "ACTORS__IDLE_S",
        "ACTORS__SHARDS",
        "ACTORS__LOADING",
        "NODE__HEARTBEAT_MS",
        "NODE__DEAD_AFTER_MS",
        "TOSS__CONNECT_TIMEOUT_MS",
        "TOSS__READ_TIMEOUT_MS",
        "TOSS__CALLS_PER_MINUTE",
        "TOSS__CONCURRENCY",
        "TOSS__ADMISSION_WAIT_MS",
        "TOSS__RECOVERY_SHARE_PERCENT",
    ] {
        let said = refusal(&[(name, "0")]);
        let named = format!("PAYONCE_{name} wants ");
        assert!(
            said.starts_with(&named) && said.ends_with(", got \"0\""),
            "{said}"
        );
        assert!(said[named.len()..].contains(" to "), "{said}");
        if name != "TOSS__CALLS_PER_MINUTE" {
            let said = refusal(&[(name, "4000000000")]);
            assert!(said.starts_with(&named), "{said}");
        }
    }
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    for (environment, named) in [
        (
            vec![
                ("RECOVERY__BACKOFF_MIN_MS", "500"),
                ("RECOVERY__BACKOFF_MAX_MS", "499"),
            ],
            "PAYONCE_RECOVERY__BACKOFF_MAX_MS wants at least recovery.backoff_min_ms, 500, got \"499\"",
        ),
        (
            vec![("NODE__DEAD_AFTER_MS", "3999")],
            "PAYONCE_NODE__DEAD_AFTER_MS wants at least four heartbeats, 4000, got \"3999\"",
        ),
        (
            vec![("SERVER__BIND", "127.0.0.1:8090")],
            "PAYONCE_SANDBOX__BIND wants another address",
        ),
        (
            vec![("SANDBOX__BIND", "0.0.0.0:8090")],
            "PAYONCE_SANDBOX__BIND wants a loopback address",
        ),
        (
            vec![("DATABASE__URL", "oracle://x")],
            "PAYONCE_DATABASE__URL wants sqlite://FILE",
        ),
        (
            vec![("DATABASE__URL", "sqlite::memory:")],
            "PAYONCE_DATABASE__URL wants sqlite://FILE",
        ),
        (
            vec![("TOSS__BASE_URL", "http://toss.example")],
            "PAYONCE_TOSS__BASE_URL wants https://",
        ),
        (
            vec![("TOSS__BASE_URL", "http://127.0.0.1:1@evil.example")],
            "PAYONCE_TOSS__BASE_URL wants",
        ),
        (
            vec![("TOSS__SECRET_KEY", "sk_1")],
            "PAYONCE_TOSS__SECRET_KEY wants a secret key of Toss",
        ),
        (
            vec![("TOSS__SECRET_KEY", "")],
            "PAYONCE_TOSS__SECRET_KEY wants a secret key of Toss",
        ),
    ] {
        let said = refusal(&environment);
        assert!(said.starts_with(named), "{said}");
    }
}

#[test]
fn a_public_door_needs_keys_and_is_closed_to_strangers() {
    let public = ("SERVER__BIND", "0.0.0.0:8080");
    let said = refusal(&[public, ("TOSS__SECRET_KEY", TEST)]);
    assert!(
        said.starts_with("PAYONCE_SERVER__API_KEYS wants at least one key"),
        "{said}"
    );
    let settings = [
        public,
        ("TOSS__SECRET_KEY", TEST),
        ("SERVER__API_KEYS", HASH),
    ];
    assert!(!with(&settings).unwrap().allow_anonymous());
}

/// A sandbox only where it cannot be a production, or where somebody said so.
#[test]
fn a_secret_may_come_from_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toss");
    let from = |path: &Path| with(&[("TOSS__SECRET_KEY_FILE", path.to_str().unwrap())]);
    let missing = from(&path).unwrap_err().to_string();
    assert!(
        missing.starts_with("PAYONCE_TOSS__SECRET_KEY_FILE wants a file that"),
        "{missing}"
    );
    std::fs::write(&path, format!("{TEST}\n")).unwrap();
    let key = from(&path).unwrap().toss.secret_key.unwrap();
    assert_eq!(key.expose_secret(), TEST);
    let file = ("TOSS__SECRET_KEY_FILE", path.to_str().unwrap());
    let both = refusal(&[file, ("TOSS__SECRET_KEY", LIVE)]);
    assert!(both.contains("to be the only one"), "{both}");
    std::fs::write(&path, "").unwrap();
    assert!(from(&path).is_err(), "an empty file is a forgotten key");
}

#[test]
fn no_secret_is_shown_by_a_setting_or_by_a_refusal() {
    let mut settings = with(&[("TOSS__SECRET_KEY", LIVE), ("SERVER__API_KEYS", HASH)]).unwrap();
    let mut shown = String::new();
    for url in [
        "postgres://payonce:hunter2@db:5432/payonce",
        "mysql://payonce:p@hunter2@db/payonce",
        "postgres://db/payonce?user=payonce&password=hunter2",
        "payonce:hunter2@db",
    ] {
        settings.database.url = url.to_owned();
        shown += &format!("{settings:?} {:?} ", settings.gateway_plan());
        shown += &refusal(&[("DATABASE__URL", url)]);
    }
    shown += &refusal(&[("TOSS__SECRET_KEY", "sk_hunter2")]);
    shown += &refusal(&[("SERVER__API_KEYS", "pk_hunter2")]);
    shown += &refusal(&[("TOSS__BASE_URL", "http://me:hunter2@toss.example")]);
    for line in [
        "secret_key = hunter2",
        "secret_key = \"hunter2",
        "secret_key = \"hunter2\" x",
        "secret_key = { a = \"hunter2\" }",
    ] {
        shown += &with_file(&format!("[toss]\n{line}\n"), &[])
            .unwrap_err()
            .to_string();
    }
    assert!(
        !shown.contains("hunter2") && !shown.contains(LIVE),
        "{shown}"
    );
    assert!(
        shown.contains("line 2"),
        "where a file is broken is told: {shown}"
    );
}

/// They come by themselves, into every pod beside a Service that is called payonce or payonce-something.
#[test]
fn what_kubernetes_tells_of_a_service_of_our_name_stops_no_start() {
    let links = [
        ("SERVICE_HOST", "10.0.0.7"),
        ("SERVICE_PORT", "8080"),
        ("SERVICE_PORT_HTTP", "8080"),
        ("PORT", "tcp://10.0.0.7:8080"),
        ("PORT_8080_TCP", "tcp://10.0.0.7:8080"),
        ("PORT_8080_TCP_PROTO", "tcp"),
        ("PORT_8080_TCP_PORT", "8080"),
        ("PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("ADMIN_SERVICE_HOST", "10.0.0.8"),
        ("ADMIN_PORT", "tcp://10.0.0.8:80"),
    ];
    with(&links).unwrap();
    for (unknown, value) in [
        ("PORT", "8080"),
        ("SERVER_BIND", "127.0.0.1:1"),
        ("SERVER__PORT", "tcp://10.0.0.7:8080"),
        ("PORT_8080", "1"),
        ("SERVICE", "x"),
    ] {
        let refused = with(&[(unknown, value)]).unwrap_err().to_string();
        assert!(refused.contains(unknown), "{unknown}: {refused}");
    }
}

#[test]
fn an_api_key_is_random_and_known_only_by_its_hash() {
    let (key, hash) = new_api_key();
    assert_ne!(new_api_key().0, key);
    assert!(key.starts_with("pk_") && key.len() >= 40, "{key}");
    let keys = format!("{HASH}, {hash}");
    let settings = with(&[("SERVER__API_KEYS", &keys), ("SANDBOX__ENABLED", "true")]).unwrap();
    let keys = &settings.server.api_keys;
    let digest = Sha256::digest(key.as_bytes());
    let of_key = |known: &&ApiKeyHash| known.bytes() == *digest;
    assert_eq!(keys.iter().filter(of_key).count(), 1);
    let hex = hash.trim_start_matches("sha256:");
    for unfit in [
        hex.to_owned(),
        format!("sha256:{}", &hex[2..]),
        format!("sha1:{hex}"),
    ] {
        assert_eq!(ApiKeyHash::parse(&unfit), None);
    }
}

/// The manual is config/default.toml: what has no default stands there as a comment, in its section.
#[test]
fn the_manual_names_every_setting_and_no_secret() {
    let manual = include_str!("../../config/default.toml");
    for name in layers::WITHOUT_DEFAULT.iter().chain([&layers::LEDGER_PATH]) {
        let (section, key) = name.split_once('.').unwrap();
        let (_, rest) = manual.split_once(&format!("\n[{section}]\n")).unwrap();
        let section = rest.split("\n[").next().unwrap();
        assert!(section.contains(&format!("\n# {key} = ")), "{name}");
    }
    let mut section = "";
    for line in manual.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let shown = line.strip_prefix("# ").and_then(|l| l.split_once(" = "));
        // One word: a sentence with a sign in it is none.
        if let Some((key, _)) = shown.filter(|(key, _)| !key.contains(' ')) {
            let name = format!("{section}.{key}");
            let mut known = layers::WITHOUT_DEFAULT.iter().chain([&layers::LEDGER_PATH]);
            assert!(known.any(|known| *known == name), "{name} is not taken");
        }
    }
    assert!(manual.contains("# secret_key = \"\"\n"));
    for line in manual
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
    {
        let (before, _) = manual.split_once(line).unwrap();
        let told = before.trim_end().lines().last().unwrap();
        assert!(
            told.starts_with('#') || told.contains(" = "),
            "{line} is not explained"
        );
    }
}
