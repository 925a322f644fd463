//! What came back for one request: an answer, or a silence and what it means.

use anyhow::{Context, bail};
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::words::Refusal;

/// A whole HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// Never reached the server: nothing can have happened.
    #[error("not sent: {0}")]
    Unsent(String),
    /// It left, and nothing (or half of an answer) came back: anything can have happened.
    #[error("sent, and no answer came: {0}")]
    Lost(String),
}

impl Silence {
    pub(super) fn unsent(error: impl Into<anyhow::Error>) -> Silence {
        Silence::Unsent(format!("{:#}", error.into()))
    }

    fn of(error: reqwest::Error) -> Silence {
        let never_left = error.is_connect() || error.is_builder();
        // Without the URL: an order's status may be asked for with more than its id one day.
        let text = format!("{:#}", anyhow::Error::from(error.without_url()));
        if never_left {
            Silence::Unsent(text)
        } else {
            Silence::Lost(text)
        }
    }
}

impl Answer {
    pub(super) async fn of(request: RequestBuilder) -> Result<Answer, Silence> {
        let mut response = request.send().await.map_err(Silence::of)?;
        let headers = std::mem::take(response.headers_mut());
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(Silence::of)?.to_vec();
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status <= 299
    }

    /// The `data` of the envelope, byte for byte.
    pub fn raw_data(&self) -> Option<&str> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let envelope: Envelope<'_> = serde_json::from_slice(&self.body).ok()?;
        Some(envelope.data.get())
    }

    /// The `data` of the envelope, as far as `T` wants it.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> anyhow::Result<T> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: T,
        }
        let read: Result<Envelope<T>, _> = serde_json::from_slice(&self.body);
        match read {
            Ok(envelope) if self.is_success() => Ok(envelope.data),
            Err(error) if self.is_success() => {
                Err(error).with_context(|| format!("unexpected answer: {}", self.summary()))
            }
            Ok(_) | Err(_) => bail!("refused: {}", self.summary()),
        }
    }

    /// A body without an envelope, as the sandbox sends it.
    pub fn plain<'a, T: Deserialize<'a>>(&'a self) -> anyhow::Result<T> {
        if !self.is_success() {
            bail!("refused: {}", self.summary());
        }
        serde_json::from_slice(&self.body)
            .with_context(|| format!("unexpected answer: {}", self.summary()))
    }

    /// The `error` of the envelope; empty when there is none.
    pub fn refusal(&self) -> Refusal {
        #[derive(Deserialize)]
        struct Envelope {
            error: Refusal,
        }
        let read: Result<Envelope, _> = serde_json::from_slice(&self.body);
        read.map(|envelope| envelope.error).unwrap_or_default()
    }

    /// What two callers of one confirm must have in common: all but trace ids, advice and wording.
    pub fn essence(&self) -> String {
        match self.raw_data() {
            Some(data) => format!("{} {data}", self.status),
            None => {
                let Refusal { code, gateway, .. } = self.refusal();
                let gateway = gateway.map_or_else(String::new, |gateway| gateway.code);
                format!("{} {code} {gateway}", self.status)
            }
        }
    }

    /// One short line for a person: status, and the error's code and message if there is one.
    pub fn summary(&self) -> String {
        let Refusal { code, message, .. } = self.refusal();
        if !code.is_empty() {
            return format!("{} {code} {message}", self.status);
        }
        let text = String::from_utf8_lossy(&self.body);
        let start: String = text.chars().take(120).collect();
        format!("{} {start}", self.status)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::words::Paid;
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn data_is_read_from_the_envelope_of_a_success_only() {
        let paid = answer(
            200,
            r#"{"data":{"orderId":"o","status":"DONE","amount":210000}}"#,
        );
        assert_eq!(paid.data::<Paid>().unwrap().status, "DONE");
        assert_eq!(
            paid.raw_data(),
            Some(r#"{"orderId":"o","status":"DONE","amount":210000}"#)
        );

        let refused = answer(
            400,
            r#"{"error":{"code":"E03002","message":"no"},"code":"E03002"}"#,
        );
        let why = refused.data::<Paid>().map(|_| ()).unwrap_err().to_string();
        assert_eq!(why, "refused: 400 E03002 no");
        let misread = answer(200, "<html>")
            .data::<Paid>()
            .map(|_| ())
            .unwrap_err();
        assert_eq!(misread.to_string(), "unexpected answer: 200 <html>");
    }

    #[test]
    fn the_essence_of_a_refusal_leaves_its_trace_out() {
        let one = answer(
            402,
            r#"{"error":{"code":"E03010","message":"a","traceId":"1","gateway":{"code":"STOPPED","message":"m"}}}"#,
        );
        let two = answer(
            402,
            r#"{"error":{"code":"E03010","message":"b","traceId":"2","gateway":{"code":"STOPPED","message":"m"}}}"#,
        );
        let other = answer(
            402,
            r#"{"error":{"code":"E03010","gateway":{"code":"LOST"}}}"#,
        );
        assert_eq!(one.essence(), two.essence());
        assert_ne!(one.essence(), other.essence());
        assert_ne!(
            answer(200, r#"{"data":1}"#).essence(),
            answer(200, r#"{"data":2}"#).essence()
        );
    }

    #[tokio::test]
    async fn a_call_that_never_left_is_told_from_one_whose_answer_was_lost() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let reset = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 64];
            tokio::io::AsyncReadExt::read(&mut socket, &mut request)
                .await
                .unwrap();
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let lost = Answer::of(client.get(&url)).await.map(|_| ()).unwrap_err();
        assert!(matches!(lost, Silence::Lost(_)), "{lost}");

        // The listener is gone with its task: nobody accepts any more.
        reset.await.unwrap();
        let unsent = Answer::of(client.get(&url)).await.map(|_| ()).unwrap_err();
        assert!(matches!(unsent, Silence::Unsent(_)), "{unsent}");
    }
}
