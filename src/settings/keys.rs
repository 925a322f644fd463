//! API keys: the shop holds the key, the settings hold its hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _};
use sha2::{Digest as _, Sha256};

/// SHA-256 of an API key. Keys carry 256 random bits, so a plain hash is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKeyHash([u8; 32]);

impl ApiKeyHash {
    pub fn parse(text: &str) -> Option<ApiKeyHash> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text.strip_prefix("sha256:")?, &mut hash).ok()?;
        Some(ApiKeyHash(hash))
    }

    pub const fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

/// A fresh key and the hash that the settings want.
pub fn new_api_key() -> (String, String) {
    let key = format!("pk_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let hash = format!("sha256:{}", hex::encode(Sha256::digest(key.as_bytes())));
    (key, hash)
}

pub(super) fn commas<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(source)?;
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    Ok(parts.map(str::to_owned).collect())
}

pub(super) fn hashes<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<ApiKeyHash>, D::Error> {
    let parse = |text: &String| {
        ApiKeyHash::parse(text)
            .ok_or_else(|| D::Error::custom("sha256:<64 hex>, made by `payonce key new`"))
    };
    commas(source)?.iter().map(parse).collect()
}
