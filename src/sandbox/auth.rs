//! Who is calling: Toss's Basic auth, with the secret key as the user name and no password.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::codes::Code;

/// Some clients leave the padding out, and Toss lets them.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Secret keys of the API, of the widget, and of old days. Live keys are refused: nobody may be charged here, and
/// nobody may believe to have been.
const TEST_SECRET_KEYS: [&str; 3] = ["test_sk_", "test_gsk_", "test_ak_"];

/// The secret key of the caller.
///
/// # Errors
/// UNAUTHORIZED_KEY without a well-formed test secret key, INCORRECT_BASIC_AUTH_FORMAT if it came without its colon.
pub fn secret_key(authorization: Option<&str>) -> Result<String, Code> {
    let (scheme, encoded) = authorization
        .and_then(|header| header.split_once(' '))
        .ok_or(Code::UNAUTHORIZED_KEY)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Code::UNAUTHORIZED_KEY);
    }
    let decoded = PADDED_OR_NOT
        .decode(encoded.trim())
        .map_err(|_| Code::UNAUTHORIZED_KEY)?;
    let mut credentials = String::from_utf8(decoded).map_err(|_| Code::UNAUTHORIZED_KEY)?;
    let colon = credentials
        .find(':')
        .ok_or(Code::INCORRECT_BASIC_AUTH_FORMAT)?;
    let password = &credentials[colon + 1..];
    if !password.is_empty() || !is_test_secret(&credentials[..colon]) {
        return Err(Code::UNAUTHORIZED_KEY);
    }
    credentials.truncate(colon);
    Ok(credentials)
}

fn is_test_secret(key: &str) -> bool {
    TEST_SECRET_KEYS.iter().any(|prefix| {
        key.strip_prefix(prefix).is_some_and(|rest| {
            (1..=200).contains(&rest.len())
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

    #[test]
    fn only_a_test_secret_key_with_its_colon_gets_in() {
        let unauthorized = Err(Code::UNAUTHORIZED_KEY);
        for (credentials, wanted) in [
            ("test_sk_abc:", Ok("test_sk_abc".to_owned())),
            ("test_gsk_D5yaZ:", Ok("test_gsk_D5yaZ".to_owned())),
            ("test_sk_abc", Err(Code::INCORRECT_BASIC_AUTH_FORMAT)),
            ("live_sk_abc:", unauthorized.clone()),
            ("test_ck_abc:", unauthorized.clone()),
            ("test_sk_:", unauthorized.clone()),
            ("test_sk_abc:password", unauthorized.clone()),
            ("test_sk_a b:", unauthorized.clone()),
            (":", unauthorized.clone()),
        ] {
            for encoded in [
                STANDARD.encode(credentials),
                STANDARD_NO_PAD.encode(credentials),
            ] {
                assert_eq!(
                    secret_key(Some(&format!("Basic {encoded}"))),
                    wanted,
                    "{credentials}"
                );
            }
        }
        for header in [
            None,
            Some(""),
            Some("Basic"),
            Some("Basic ???"),
            Some("Bearer dGVzdF9za19hYmM6"),
        ] {
            assert_eq!(secret_key(header), unauthorized, "{header:?}");
        }
    }
}
