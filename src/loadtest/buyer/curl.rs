//! A request as a command that a reader can paste into a shell.

use reqwest::header::HeaderValue;
use reqwest::{Method, Url};

pub(super) fn command(
    method: &Method,
    url: &Url,
    origin: Option<&HeaderValue>,
    body: Option<&str>,
) -> String {
    let mut text = String::from("curl -s");
    if *method != Method::GET {
        text.push_str(" -X ");
        text.push_str(method.as_str());
    }
    text.push(' ');
    text.push_str(&quoted(url.as_str()));
    if let Some(origin) = origin.and_then(|origin| origin.to_str().ok()) {
        text.push_str(" -H ");
        text.push_str(&quoted(&format!("Origin: {origin}")));
    }
    if let Some(body) = body {
        text.push_str(" -H 'Content-Type: application/json' -d ");
        text.push_str(&quoted(body));
    }
    text
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_a_command() {
        let url = Url::parse("http://127.0.0.1:8080/api/v1/payments/o-1").unwrap();
        assert_eq!(
            command(&Method::GET, &url, None, None),
            "curl -s http://127.0.0.1:8080/api/v1/payments/o-1"
        );
        let origin = HeaderValue::from_static("http://localhost:5173");
        assert_eq!(
            command(
                &Method::PUT,
                &url,
                Some(&origin),
                Some(r#"{"name":"Ogu's"}"#)
            ),
            "curl -s -X PUT http://127.0.0.1:8080/api/v1/payments/o-1 -H 'Origin: http://localhost:5173' \
             -H 'Content-Type: application/json' -d '{\"name\":\"Ogu'\\''s\"}'"
        );
    }
}
