//! The order token: an order's id under our seal. Whoever holds it may see and confirm that one order; it needs no
//! place in the database, and the same order always has the same token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::domain::{OrderId, OrderToken};

const ID_BYTES: usize = 16;
const SEAL_BYTES: usize = 32;
const BYTES: usize = ID_BYTES + SEAL_BYTES;

/// Keeps the seals of one secret from being good for another purpose of the same secret.
const PURPOSE: &[u8] = b"payonce order token v1";

/// The one who seals; made once, since keying a MAC costs as much as using it.
#[derive(Clone)]
pub struct OrderTokens {
    keyed: Hmac<Sha256>,
}

impl OrderTokens {
    pub fn new(secret: &[u8; 32]) -> OrderTokens {
        let mut keyed = Hmac::new(&key(secret));
        keyed.update(PURPOSE);
        OrderTokens { keyed }
    }

    pub fn issue(&self, order: OrderId) -> OrderToken {
        let id = order.uuid().into_bytes();
        let mut bytes = [0_u8; BYTES];
        bytes[..ID_BYTES].copy_from_slice(&id);
        let seal = self.keyed.clone().chain_update(id).finalize();
        bytes[ID_BYTES..].copy_from_slice(&seal.into_bytes());
        OrderToken(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// The order that a token of ours is for. The seal is compared in constant time.
    pub fn read(&self, text: &str) -> Option<OrderId> {
        let mut bytes = [0_u8; BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (id, seal) = bytes.split_first_chunk::<ID_BYTES>()?;
        let sealed = self.keyed.clone().chain_update(id).verify_slice(seal);
        let ours = length == BYTES && sealed.is_ok();
        ours.then(|| OrderId::new(Uuid::from_bytes(*id)))
    }
}

/// SHA-256 pads a key to its block of 64 bytes with zeros; done here, the key has the exact length and cannot be refused.
fn key(secret: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
    key[..secret.len()].copy_from_slice(secret);
    key
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn order(n: u128) -> OrderId {
        OrderId::new(Uuid::from_u128(n))
    }

    #[test]
    fn a_token_names_its_order_and_no_other() {
        let tokens = OrderTokens::new(&[7; 32]);
        let token = tokens.issue(order(1)).0;
        assert_eq!(tokens.read(&token), Some(order(1)));
        assert_eq!(
            tokens.issue(order(1)).0,
            token,
            "the same order, the same token"
        );
        assert_ne!(tokens.issue(order(2)).0, token);
        assert_eq!(
            OrderTokens::new(&[8; 32]).read(&token),
            None,
            "another secret"
        );
        assert!(token.len() == 64 && token.bytes().all(|b| b.is_ascii_graphic()));
    }

    #[test]
    fn a_token_with_any_character_changed_is_none() {
        let tokens = OrderTokens::new(&[7; 32]);
        let token = tokens.issue(order(1)).0;
        for at in 0..token.len() {
            let mut forged = token.to_string().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(tokens.read(&forged), None, "{at}");
        }
        for forged in [
            "",
            "x",
            &token[..63],
            &format!("{token}A"),
            &format!("{token}="),
            "é",
        ] {
            assert_eq!(tokens.read(forged), None, "{forged}");
        }
    }

    #[test]
    fn the_seal_is_hmac_sha256() {
        let mut plain = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
        plain.update(PURPOSE);
        plain.update(&[0; 16]);
        let token = OrderTokens::new(&[7; 32]).issue(order(0)).0;
        let bytes = URL_SAFE_NO_PAD.decode(&*token).unwrap();
        assert_eq!(bytes[16..], *plain.finalize().into_bytes());
    }
}
