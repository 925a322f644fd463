//! Which Toss this is: base URL and merchant key, checked once; what they say about real money; where each call goes.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::client::GatewayFault;
use crate::domain::{GatewayIdentity, PaymentKey};

/// Whose money moves, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GatewayKind {
    /// A Toss on this machine.
    Sandbox,
    /// Toss with a test key: no money moves.
    Test,
    /// Toss with a live key: a buyer's money moves.
    Live,
}

impl GatewayKind {
    /// As the header `Payonce-Gateway` says it.
    pub const fn name(self) -> &'static str {
        match self {
            GatewayKind::Sandbox => "sandbox",
            GatewayKind::Test => "test",
            GatewayKind::Live => "live",
        }
    }
}

impl fmt::Display for GatewayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A checked base URL with the key that belongs to it.
pub(super) struct Place {
    /// Without a slash at its end.
    base: String,
    pub identity: GatewayIdentity,
    pub kind: GatewayKind,
    pub is_loopback: bool,
    pub is_encrypted: bool,
}

impl Place {
    pub fn new(base_url: &str, secret_key: &SecretString) -> Result<Place, GatewayFault> {
        let url = Url::parse(base_url).map_err(|_| GatewayFault::BaseUrl("an absolute URL"))?;
        let is_encrypted = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(GatewayFault::BaseUrl("http:// or https://")),
        };
        // The base URL is part of the identity that every attempt records: nothing secret may hide in it.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GatewayFault::BaseUrl("no user and no password inside"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(GatewayFault::BaseUrl("no query and no fragment"));
        }
        let is_loopback = is_loopback(&url);
        let key = secret_key.expose_secret();
        let kind = kind(is_loopback, is_encrypted, key)?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        let fingerprint = hex::encode(&Sha256::digest(key.as_bytes())[..6]);
        Ok(Place {
            identity: GatewayIdentity(format!("{base}#{fingerprint}").into()),
            base,
            kind,
            is_loopback,
            is_encrypted,
        })
    }

    pub fn url(&self, path: &str) -> Result<Url, GatewayFault> {
        Url::parse(&format!("{}{path}", self.base))
            .map_err(|_| GatewayFault::BaseUrl("a URL that a path can follow"))
    }

    /// Where one payment is looked up.
    pub fn payment_url(&self, key: &PaymentKey) -> String {
        let key = key.reveal();
        let mut url = String::with_capacity(self.base.len() + 16 + 2 * key.len());
        url.push_str(&self.base);
        url.push_str("/v1/payments/");
        push_segment(&mut url, key);
        url
    }
}

fn kind(is_loopback: bool, is_encrypted: bool, key: &str) -> Result<GatewayKind, GatewayFault> {
    let is_live = key.starts_with("live_");
    let well_formed = key.len() > 5 && key.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !well_formed || !(is_live || key.starts_with("test_")) {
        return Err(GatewayFault::SecretKey(
            "live_… or test_…, as Toss wrote it",
        ));
    }
    match (is_live, is_loopback) {
        // Whatever listens here is not Toss: goods would leave for money that nobody took.
        (true, true) => Err(GatewayFault::SecretKey("test_… with a loopback base URL")),
        (true, false) if !is_encrypted => Err(GatewayFault::BaseUrl("https:// for a live_ key")),
        (true, false) => Ok(GatewayKind::Live),
        (false, true) => Ok(GatewayKind::Sandbox),
        (false, false) => Ok(GatewayKind::Test),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Everything but RFC 3986's unreserved characters is encoded, so that no key can leave its segment.
fn push_segment(url: &mut String, segment: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push(char::from(HEX[usize::from(byte >> 4)]));
            url.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn place(base_url: &str, key: &str) -> Result<Place, String> {
        Place::new(base_url, &SecretString::from(key)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn url_and_key_together_tell_whether_money_moves() {
        let toss = "https://api.tosspayments.com";
        for (base_url, key, kind) in [
            ("http://127.0.0.1:8090", "test_sk_x", "sandbox"),
            ("http://127.9.9.9", "test_gsk_x", "sandbox"),
            ("http://localhost:1/", "test_sk_x", "sandbox"),
            ("http://[::1]:8090", "test_sk_x", "sandbox"),
            ("http://sandbox:8090", "test_sk_x", "test"),
            (toss, "test_sk_x", "test"),
            (toss, "live_sk_x", "live"),
            ("https://localhost.example.com", "live_gsk_x", "live"),
        ] {
            let kind_of = place(base_url, key).map(|place| place.kind.to_string());
            assert_eq!(kind_of.as_deref(), Ok(kind), "{base_url} {key}");
        }
    }

    #[test]
    fn a_fake_gateway_never_gets_a_live_key_and_nonsense_is_named() {
        let toss = "https://api.tosspayments.com";
        for (base_url, key, wants) in [
            (
                "http://127.0.0.1:8090",
                "live_sk_x",
                "test_… with a loopback",
            ),
            (
                "http://localhost:8090",
                "live_sk_x",
                "test_… with a loopback",
            ),
            ("http://toss.example.com", "live_sk_x", "https://"),
            ("ftp://x", "test_sk_x", "http:// or https://"),
            ("api.tosspayments.com", "test_sk_x", "an absolute URL"),
            ("https://me:pw@x", "test_sk_x", "no user and no password"),
            ("https://x?a=b", "test_sk_x", "no query"),
            (toss, "", "live_… or test_…"),
            (toss, "test_", "live_… or test_…"),
            (toss, "sk_x", "live_… or test_…"),
            (toss, "test_sk_x\n", "live_… or test_…"),
            (toss, "test_sk_x:", "live_… or test_…"),
        ] {
            let fault = place(base_url, key).err().unwrap();
            assert!(fault.contains(wants), "{base_url} {key:?}: {fault}");
            assert!(!fault.contains("pw") && !fault.contains("sk_x"), "{fault}");
        }
    }

    #[test]
    fn the_identity_names_the_place_and_the_key_without_showing_it() {
        let one = place("https://api.tosspayments.com/", "test_sk_one").unwrap();
        let same = place("https://api.tosspayments.com", "test_sk_one").unwrap();
        let other = place("https://api.tosspayments.com", "test_sk_two").unwrap();
        assert_eq!(one.identity, same.identity);
        assert_ne!(one.identity, other.identity);
        let fingerprint = &hex::encode(Sha256::digest(b"test_sk_one"))[..12];
        let name = format!("https://api.tosspayments.com#{fingerprint}");
        assert_eq!(one.identity.to_string(), name);
    }

    #[test]
    fn a_hostile_payment_key_does_not_leave_its_segment() {
        let place = place("http://127.0.0.1:8090", "test_sk_x").unwrap();
        for (key, path) in [
            ("tgen_2025~.-A", "/v1/payments/tgen_2025~.-A"),
            ("../x?y", "/v1/payments/..%2Fx%3Fy"),
            ("a/b", "/v1/payments/a%2Fb"),
            ("orders/o", "/v1/payments/orders%2Fo"),
            ("%2e%2e", "/v1/payments/%252e%252e"),
            ("..\\x#y", "/v1/payments/..%5Cx%23y"),
            ("@:;&=+$,", "/v1/payments/%40%3A%3B%26%3D%2B%24%2C"),
        ] {
            let key = PaymentKey::parse(key).unwrap();
            let url = Url::parse(&place.payment_url(&key)).unwrap();
            assert_eq!(
                (url.path(), url.query(), url.fragment()),
                (path, None, None)
            );
            assert_eq!(url.authority(), "127.0.0.1:8090");
        }
        // No encoding keeps these in their segment.
        for key in [".", "..", "..."] {
            assert_eq!(PaymentKey::parse(key), None);
        }
    }
}
