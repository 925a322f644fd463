//! CORS: which pages of other origins may talk to us, and what they may send and see. No cookies, so any origin is safe.

use actix_cors::Cors;
use actix_web::http::Uri;

/// The origins whose pages may call; none named means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    Any,
    These(Vec<String>),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no origin: scheme, host and port as in https://shop.example, without a path")]
pub struct UnfitOrigin(String);

impl Origins {
    /// Browsers keep a preflight's answer for at most two hours.
    const PREFLIGHT_S: usize = 7_200;

    pub fn parse(origins: Vec<String>) -> Result<Origins, UnfitOrigin> {
        if origins.is_empty() {
            return Ok(Origins::Any);
        }
        match origins.iter().find(|origin| !is_origin(origin)) {
            Some(unfit) => Err(UnfitOrigin(unfit.clone())),
            None => Ok(Origins::These(origins)),
        }
    }

    pub fn layer(&self) -> Cors {
        let cors = Cors::default()
            .allowed_methods(["GET", "HEAD", "POST", "PUT"])
            .allowed_headers([
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Prefer",
                "traceparent",
                "Accept-Language",
            ])
            .expose_headers([
                "Location",
                "Retry-After",
                "traceparent",
                "Payonce-Gateway",
                "Idempotency-Replayed",
            ])
            .max_age(Origins::PREFLIGHT_S);
        match self {
            Origins::Any => cors.allow_any_origin().send_wildcard(),
            Origins::These(origins) => origins
                .iter()
                .fold(cors, |cors, origin| cors.allowed_origin(origin)),
        }
    }
}

fn is_origin(text: &str) -> bool {
    let spelled = |uri: &Uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?));
    let uri = text.parse::<Uri>().ok();
    uri.as_ref().and_then(spelled).as_deref() == Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host_and_nothing_more() {
        let parse =
            |origins: &[&str]| Origins::parse(origins.iter().map(ToString::to_string).collect());
        let shop = "https://shop.example".to_owned();
        assert_eq!(parse(&[]), Ok(Origins::Any));
        assert_eq!(
            parse(&["https://shop.example"]),
            Ok(Origins::These(vec![shop]))
        );
        assert!(parse(&["http://localhost:3000"]).is_ok());
        for unfit in [
            "*",
            "shop.example",
            "https://shop.example/",
            "https://shop.example/a",
            "",
            "null",
            "a b",
        ] {
            assert_eq!(parse(&[unfit]), Err(UnfitOrigin(unfit.to_owned())));
        }
    }
}
