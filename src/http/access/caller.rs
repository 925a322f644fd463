//! The bearer of a request, and what each may do. The only file that looks at `Authorization`.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::token::OrderTokens;
use crate::domain::OrderId;
use crate::http::answers::Refusal;

/// Who stands at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Nobody,
    /// Holds the token of this order.
    Buyer(OrderId),
    /// Holds an API key.
    Shop,
}

/// How much of an order a caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    Outline,
    Receipt,
    Everything,
}

/// SHA-256 of an API key, so that a leaked memory dump or setting gives no key away. It has no equality: whoever
/// compares does so in constant time.
pub struct KeyHash([u8; 32]);

impl KeyHash {
    pub const fn new(hash: [u8; 32]) -> KeyHash {
        KeyHash(hash)
    }

    fn is(&self, hash: &[u8]) -> Choice {
        self.0.as_slice().ct_eq(hash)
    }
}

/// The rules of who may.
pub struct Access {
    pub api_keys: Vec<KeyHash>,
    pub allow_anonymous: bool,
    /// A loopback bind without API keys: for trying out, everything is allowed.
    pub open: bool,
    pub tokens: OrderTokens,
}

impl Access {
    /// The caller of a request. A bearer that is nobody's is refused, except where everything is open.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(authorization) = headers.get(AUTHORIZATION) else {
            return Ok(Caller::Nobody);
        };
        let bearer = authorization.to_str().ok().and_then(bearer);
        let known = bearer.and_then(|secret| {
            if self.is_key(secret) {
                Some(Caller::Shop)
            } else {
                self.tokens.read(secret).map(Caller::Buyer)
            }
        });
        match known {
            Some(caller) => Ok(caller),
            None if self.open => Ok(Caller::Nobody),
            None => Err(Refusal::Unauthenticated),
        }
    }

    /// All keys are compared, each in constant time: neither how many there are nor which one matched shows.
    fn is_key(&self, secret: &str) -> bool {
        let hash = Sha256::digest(secret.as_bytes());
        let hash: &[u8] = hash.as_ref();
        let any = |any: Choice, key: &KeyHash| any | key.is(hash);
        self.api_keys.iter().fold(Choice::from(0), any).into()
    }

    /// Checkouts and look-ups of products.
    pub fn may_enter(&self, caller: Caller) -> Result<(), Refusal> {
        match caller {
            Caller::Buyer(_) | Caller::Shop => Ok(()),
            Caller::Nobody if self.open || self.allow_anonymous => Ok(()),
            Caller::Nobody => Err(Refusal::Unauthenticated),
        }
    }

    /// Changes of products and stock.
    pub fn may_manage(&self, caller: Caller) -> Result<(), Refusal> {
        match caller {
            Caller::Nobody | Caller::Buyer(_) if self.open => Ok(()),
            Caller::Shop => Ok(()),
            Caller::Buyer(_) => Err(Refusal::Forbidden),
            Caller::Nobody => Err(Refusal::Unauthenticated),
        }
    }

    pub fn sight(&self, caller: Caller, order: OrderId) -> Result<Sight, Refusal> {
        match caller {
            Caller::Nobody | Caller::Buyer(_) if self.open => Ok(Sight::Everything),
            Caller::Shop => Ok(Sight::Everything),
            Caller::Buyer(own) if own == order => Ok(Sight::Receipt),
            Caller::Buyer(_) => Err(Refusal::Unauthenticated),
            Caller::Nobody => Ok(Sight::Outline),
        }
    }

    /// Whether somebody vouches for the buyer of this order: an API key, or the order's token, sent as the bearer or
    /// in the body. Without that, the body must name the user.
    pub fn vouched(
        &self,
        caller: Caller,
        order: OrderId,
        in_body: Option<&str>,
    ) -> Result<bool, Refusal> {
        if let Some(token) = in_body
            && self.tokens.read(token) != Some(order)
        {
            return Err(Refusal::Forbidden);
        }
        match caller {
            Caller::Shop => Ok(true),
            Caller::Buyer(own) if own == order => Ok(true),
            Caller::Buyer(_) if !self.open => Err(Refusal::Unauthenticated),
            Caller::Buyer(_) | Caller::Nobody if in_body.is_some() => Ok(true),
            Caller::Buyer(_) | Caller::Nobody => self.may_enter(Caller::Nobody).map(|()| false),
        }
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, secret) = authorization.trim().split_once(' ')?;
    let secret = secret.trim_start();
    let bears = scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty();
    bears.then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use uuid::Uuid;

    const KEY: &str = "pk_test";
    const MINE: OrderId = OrderId::new(Uuid::from_u128(1));
    const OTHER: OrderId = OrderId::new(Uuid::from_u128(2));

    fn access(open: bool, allow_anonymous: bool) -> Access {
        let hash = |key: &str| KeyHash::new(Sha256::digest(key).into());
        Access {
            api_keys: if open {
                vec![]
            } else {
                vec![hash("other"), hash(KEY)]
            },
            allow_anonymous,
            open,
            tokens: OrderTokens::new(&[1; 32]),
        }
    }

    fn caller(access: &Access, authorization: &str) -> Result<Caller, Refusal> {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(authorization)
            && !authorization.is_empty()
        {
            headers.insert(AUTHORIZATION, value);
        }
        access.caller(&headers)
    }

    #[test]
    fn a_bearer_is_a_key_or_a_token_or_refused() {
        let access = access(false, true);
        let token = access.tokens.issue(MINE).0;
        for (authorization, expected) in [
            ("", Ok(Caller::Nobody)),
            ("Bearer pk_test", Ok(Caller::Shop)),
            ("bearer  other ", Ok(Caller::Shop)),
            (&*format!("Bearer {token}"), Ok(Caller::Buyer(MINE))),
            ("Bearer pk_tes", Err(Refusal::Unauthenticated)),
            ("Bearer pk_test x", Err(Refusal::Unauthenticated)),
            ("Bearer ", Err(Refusal::Unauthenticated)),
            ("Basic cGtfdGVzdA==", Err(Refusal::Unauthenticated)),
            ("pk_test", Err(Refusal::Unauthenticated)),
        ] {
            assert_eq!(
                caller(&access, authorization),
                expected,
                "{authorization:?}"
            );
        }
    }

    /// Does not compile once a `KeyHash` has an equality: the compiler could not tell then which probe is meant.
    #[test]
    fn the_hash_of_a_key_can_be_compared_in_constant_time_only() {
        trait Probe<Which> {
            fn probe() {}
        }
        impl<T> Probe<()> for T {}
        impl<T: PartialEq> Probe<u8> for T {}
        <KeyHash as Probe<_>>::probe();
    }

    #[test]
    fn an_open_house_asks_nobody_who_they_are() {
        let access = access(true, false);
        assert_eq!(caller(&access, "Bearer whoever"), Ok(Caller::Nobody));
        assert_eq!(access.may_enter(Caller::Nobody), Ok(()));
        assert_eq!(access.may_manage(Caller::Nobody), Ok(()));
        assert_eq!(
            access.sight(Caller::Buyer(OTHER), MINE),
            Ok(Sight::Everything)
        );
        assert_eq!(access.vouched(Caller::Nobody, MINE, None), Ok(false));
    }

    #[test]
    fn who_may_is_the_table_of_the_contract() {
        use Caller::{Buyer, Nobody, Shop};
        let unknown = || Err(Refusal::Unauthenticated);
        let (anonymous, strict) = (access(false, true), access(false, false));
        for (caller, enters, enters_strictly, manages, sight) in [
            (Nobody, Ok(()), unknown(), unknown(), Ok(Sight::Outline)),
            (
                Buyer(MINE),
                Ok(()),
                Ok(()),
                Err(Refusal::Forbidden),
                Ok(Sight::Receipt),
            ),
            (Shop, Ok(()), Ok(()), Ok(()), Ok(Sight::Everything)),
        ] {
            assert_eq!(anonymous.may_enter(caller), enters, "{caller:?}");
            assert_eq!(strict.may_enter(caller), enters_strictly, "{caller:?}");
            for access in [&anonymous, &strict] {
                assert_eq!(access.may_manage(caller), manages, "{caller:?}");
                assert_eq!(access.sight(caller, MINE), sight, "{caller:?}");
            }
        }
        let stranger = anonymous.sight(Buyer(OTHER), MINE);
        assert_eq!(
            stranger,
            Err(Refusal::Unauthenticated),
            "another order's token"
        );
    }

    #[test]
    fn a_user_may_be_left_out_only_where_somebody_vouches() {
        use Caller::{Buyer, Nobody, Shop};
        let (anonymous, strict) = (access(false, true), access(false, false));
        let token = anonymous.tokens.issue(MINE).0;
        let wrong = anonymous.tokens.issue(OTHER).0;
        for (caller, in_body, expected, strictly) in [
            (Nobody, None, Ok(false), Err(Refusal::Unauthenticated)),
            (Nobody, Some(&*token), Ok(true), Ok(true)),
            (
                Nobody,
                Some(&*wrong),
                Err(Refusal::Forbidden),
                Err(Refusal::Forbidden),
            ),
            (
                Nobody,
                Some(""),
                Err(Refusal::Forbidden),
                Err(Refusal::Forbidden),
            ),
            (Shop, None, Ok(true), Ok(true)),
            (
                Shop,
                Some(&*wrong),
                Err(Refusal::Forbidden),
                Err(Refusal::Forbidden),
            ),
            (Buyer(MINE), None, Ok(true), Ok(true)),
            (
                Buyer(OTHER),
                None,
                Err(Refusal::Unauthenticated),
                Err(Refusal::Unauthenticated),
            ),
        ] {
            assert_eq!(
                anonymous.vouched(caller, MINE, in_body),
                expected,
                "{caller:?}"
            );
            assert_eq!(
                strict.vouched(caller, MINE, in_body),
                strictly,
                "{caller:?}"
            );
        }
    }
}
