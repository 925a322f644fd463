//! A shop with a sandbox of its own, and what it can ask.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use payonce::gateway::wire::{ErrorBody, PaymentObject, PaymentStatus};
use payonce::sandbox::{Sandbox, SandboxSettings, start};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

pub const SECRET_KEY: &str = "test_sk_sandbox";

pub struct Shop {
    pub sandbox: Sandbox,
    pub client: Client,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn payment(&self) -> PaymentObject {
        assert_eq!(self.status, 200, "{}", self.json());
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn refusal(&self) -> (u16, String) {
        let body: ErrorBody = serde_json::from_slice(&self.body).unwrap();
        assert!(!body.message.is_empty());
        (self.status, body.code)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Shop {
    pub async fn open() -> Self {
        Self::open_with(SandboxSettings::new(loopback())).await
    }

    pub async fn open_on(ledger: &Path) -> Self {
        Self::open_with(SandboxSettings {
            ledger_path: Some(ledger.to_owned()),
            ..SandboxSettings::new(loopback())
        })
        .await
    }

    pub async fn open_with(settings: SandboxSettings) -> Self {
        Self {
            sandbox: start(settings).await.unwrap(),
            client: Client::new(),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.sandbox.base_url()))
            .timeout(Duration::from_secs(10))
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: response.bytes().await?.to_vec(),
        })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(
            self.request(Method::GET, path)
                .basic_auth(SECRET_KEY, Some("")),
        )
        .await
    }

    pub fn confirmation(
        &self,
        payment_key: &str,
        order_id: &str,
        amount: impl Into<Value>,
    ) -> RequestBuilder {
        self.request(Method::POST, "/v1/payments/confirm")
            .basic_auth(SECRET_KEY, Some(""))
            .json(&json!({"paymentKey": payment_key, "orderId": order_id, "amount": amount.into()}))
    }

    pub async fn confirm(
        &self,
        payment_key: &str,
        order_id: &str,
        amount: impl Into<Value>,
    ) -> Answer {
        self.send(self.confirmation(payment_key, order_id, amount))
            .await
    }

    pub async fn confirm_as(
        &self,
        key: &str,
        payment_key: &str,
        order_id: &str,
        amount: i64,
    ) -> Answer {
        self.send(
            self.confirmation(payment_key, order_id, amount)
                .header("Idempotency-Key", key),
        )
        .await
    }

    pub async fn cancel(&self, payment_key: &str, body: Value) -> Answer {
        let path = format!("/v1/payments/{payment_key}/cancel");
        self.send(
            self.request(Method::POST, &path)
                .basic_auth(SECRET_KEY, Some(""))
                .json(&body),
        )
        .await
    }

    pub async fn control(&self, method: Method, path: &str, body: Value) -> Answer {
        self.send(self.request(method, path).json(&body)).await
    }

    /// The buyer pays in the window; the paymentKey comes back.
    pub async fn authorize(&self, order_id: &str, amount: i64) -> String {
        let answer = self
            .control(
                Method::POST,
                "/sandbox/authorizations",
                json!({"orderId": order_id, "amount": amount}),
            )
            .await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["paymentKey"].as_str().unwrap().to_owned()
    }

    pub async fn faults(&self, rules: Value) {
        let answer = self.control(Method::PUT, "/sandbox/faults", rules).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    pub async fn advance(&self, seconds: u64) {
        let answer = self
            .control(
                Method::POST,
                "/sandbox/clock",
                json!({"advanceSeconds": seconds}),
            )
            .await;
        assert_eq!(answer.status, 200);
    }

    pub async fn whole_ledger(&self) -> Value {
        self.send(self.request(Method::GET, "/sandbox/ledger"))
            .await
            .json()
    }

    pub async fn ledger(&self, order_id: &str) -> Value {
        self.send(self.request(Method::GET, &format!("/sandbox/ledger?orderId={order_id}")))
            .await
            .json()
    }

    /// A confirm of this order has arrived, whatever comes of it.
    pub async fn until_called(&self, order_id: &str) {
        let called = async {
            while self.ledger(order_id).await["totals"]["confirmCalls"] == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let called = tokio::time::timeout(Duration::from_secs(60), called).await;
        assert!(called.is_ok(), "no call arrived");
    }

    pub async fn status(&self, payment_key: &str) -> PaymentStatus {
        self.get(&format!("/v1/payments/{payment_key}"))
            .await
            .payment()
            .status
    }
}

pub fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
