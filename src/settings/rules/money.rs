//! Who gets a key of Toss, who gets a sandbox, and how long an approval may still come.

use secrecy::ExposeSecret as _;

use super::{Settings, SettingsFault, is_loopback_url, wrong};

/// Toss may approve for ten minutes after the buyer's authorization. A "not found" that was believed sooner would give the
/// goods back, and the buyer would pay twice. Where no money moves, nobody has to wait so long.
pub(super) fn window(s: &Settings) -> Result<(), SettingsFault> {
    const TOSS_S: u64 = 600;
    let here = s.toss.secret_key.is_none() || is_loopback_url(&s.toss.base_url);
    let window_s = s.confirm.window_s;
    if here || window_s >= TOSS_S {
        return Ok(());
    }
    let wants = format!("at least {TOSS_S}: Toss may approve for so long");
    Err(wrong("confirm.window_s", wants, Some(window_s.to_string())))
}

/// Whether a buyer's money moves.
fn is_live(s: &Settings) -> bool {
    let key = s.toss.secret_key.as_ref().map(|key| key.expose_secret());
    key.is_some_and(|key| key.starts_with("live_"))
}

/// Behind a proxy on the same machine every visitor comes from loopback.
pub(super) fn who_sets_prices(s: &Settings) -> Result<(), SettingsFault> {
    if !is_live(s) || !s.server.api_keys.is_empty() {
        return Ok(());
    }
    let wants = "at least one key (`payonce key new`), because a live key moves money";
    Err(wrong("server.api_keys", wants, None))
}

pub(super) fn where_it_moves(s: &Settings) -> Result<(), SettingsFault> {
    let key = s.toss.secret_key.as_ref().map(|key| key.expose_secret());
    if let Some(key) = key {
        let known = ["test_", "live_"]
            .iter()
            .any(|prefix| key.starts_with(prefix));
        if !known || key.len() < 12 || !key.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            let wants = "a secret key of Toss, test_sk_... or live_sk_...";
            return Err(wrong("toss.secret_key", wants, None));
        }
    }
    let live = is_live(s);
    match (key, s.sandbox.enabled) {
        (Some(_), Some(true)) if live => Err(wrong(
            "sandbox.enabled",
            "to be off: a live key is configured",
            None,
        )),
        (Some(_), Some(true)) => {
            let wants = "to be off, or toss.secret_key to be absent: one Toss at a time";
            Err(wrong("sandbox.enabled", wants, None))
        }
        // A live merchant whose one wrong variable sends the orders to a fake would give its goods away.
        (Some(_), Some(false) | None) if live && is_loopback_url(&s.toss.base_url) => {
            let wants = "another host than this machine: a live key is configured";
            Err(wrong("toss.base_url", wants, Some(s.toss.base_url.clone())))
        }
        (Some(_), Some(false) | None)
            if live && !s.toss.elsewhere && !is_toss(&s.toss.base_url) =>
        {
            let wants = "https://api.tosspayments.com: a live key is configured; for a proxy of your own in front of it, \
                         toss.elsewhere = true";
            Err(wrong("toss.base_url", wants, Some(s.toss.base_url.clone())))
        }
        (Some(_), Some(false) | None) | (None, Some(true)) => Ok(()),
        (None, Some(false)) => Err(wrong(
            "toss.secret_key",
            "a secret key: the sandbox is off",
            None,
        )),
        // Only where it cannot be a production: nothing is reachable from outside, and one file is the store.
        (None, None) if !s.server.bind.ip().is_loopback() => {
            let bind = s.server.bind;
            let wants =
                format!("a secret key: {bind} is not loopback, and a sandbox approves for free");
            Err(wrong("toss.secret_key", wants, None))
        }
        (None, None) if !s.database.is_sqlite() => {
            let wants = "a secret key: the database is a server, and a sandbox approves for free";
            Err(wrong("toss.secret_key", wants, None))
        }
        (None, None) if !s.server.api_keys.is_empty() => {
            let wants =
                "a secret key: server.api_keys has a shop's keys, and a sandbox approves for free";
            Err(wrong("toss.secret_key", wants, None))
        }
        (None, None) => Ok(()),
    }
}

/// Toss's only address, for test and live keys alike.
fn is_toss(url: &str) -> bool {
    const TOSS: &str = "https://api.tosspayments.com";
    let base = url.trim_end_matches('/');
    base.eq_ignore_ascii_case(TOSS)
}
