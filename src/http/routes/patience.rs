//! How long the caller of a confirm is waited for, and what of their preference was honoured.

use std::time::Duration;

use actix_web::http::header::HeaderValue;

use super::MOST_WAIT_S;
use crate::actors::Patience;
use crate::http::reading::Preference;

/// Alone, `wait` can only shorten our own patience: that ends before the gateway's does, and must.
pub fn patience(preference: Preference, ours: Duration) -> Patience {
    let wait = |seconds: u64| Duration::from_secs(seconds.min(MOST_WAIT_S));
    let Preference {
        respond_async,
        wait_s,
    } = preference;
    if respond_async {
        let wait = wait_s.map_or(Duration::ZERO, wait);
        let at_most = ours.max(wait);
        Patience::UntilAccepted { wait, at_most }
    } else {
        Patience::UntilSettled(wait_s.map_or(ours, |seconds| wait(seconds).min(ours)))
    }
}

/// `Preference-Applied`, where anything was preferred.
pub fn applied(preference: Preference, patience: Patience) -> Option<HeaderValue> {
    let words = match (patience, preference.wait_s) {
        (Patience::UntilAccepted { wait, .. }, Some(_)) => {
            format!("respond-async, wait={}", wait.as_secs())
        }
        (Patience::UntilAccepted { .. }, None) => "respond-async".to_owned(),
        (Patience::UntilSettled(wait), Some(_)) => format!("wait={}", wait.as_secs()),
        (Patience::UntilSettled(_), None) => return None,
    };
    HeaderValue::from_maybe_shared(words).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(respond_async: bool, wait_s: Option<u64>) -> (u64, u64, String) {
        let preference = Preference {
            respond_async,
            wait_s,
        };
        let patience = patience(preference, Duration::from_secs(15));
        let applied = applied(preference, patience);
        let applied = applied.and_then(|v| v.to_str().map(str::to_owned).ok());
        let (wait, at_most) = match patience {
            Patience::UntilSettled(wait) => (wait, Duration::ZERO),
            Patience::UntilAccepted { wait, at_most } => (wait, at_most),
        };
        (
            wait.as_secs(),
            at_most.as_secs(),
            applied.unwrap_or_default(),
        )
    }

    #[test]
    fn a_caller_is_waited_for_as_they_like_within_bounds_and_told_so() {
        let said = |wait, at_most, applied: &str| (wait, at_most, applied.to_owned());
        assert_eq!(waits(false, None), said(15, 0, ""));
        assert_eq!(waits(false, Some(5)), said(5, 0, "wait=5"));
        assert_eq!(waits(false, Some(u64::MAX)), said(15, 0, "wait=15"));
        assert_eq!(waits(true, None), said(0, 15, "respond-async"));
        assert_eq!(
            waits(true, Some(10)),
            said(10, 15, "respond-async, wait=10")
        );
        assert_eq!(
            waits(true, Some(u64::MAX)),
            said(60, 60, "respond-async, wait=60")
        );
    }
}
