//! A buyer, and now and then the shop's back office: everything that a customer says to payonce and to the
//! sandbox, over HTTP. What comes back leaves unjudged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use reqwest::{Client, Method, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

mod answer;
mod at_once;
mod curl;
mod words;

pub use answer::{Answer, Silence};
pub use at_once::{AtOnce, Call};
pub use words::{Attempt, Authorized, Confirm, Line, OrderStatus, Paid, Product, Refusal, grouped};

/// Told every request before it leaves, as a curl command.
pub type Witness = Arc<dyn Fn(&str) + Send + Sync>;

/// Longer than any patience of the server's: what is not answered by then was lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Below the keep-alive of payonce (75 s) and of the sandbox, so that no request leaves on a connection that is being closed;
/// and longer than a phase lasts that needs fewer of them: thousands closed at once would be seen in its latencies.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Buyer {
    client: Client,
    nodes: Arc<[Node]>,
    next: Arc<AtomicUsize>,
    /// Speaks to this node alone, instead of to each in turn.
    only: Option<usize>,
    sandbox: Url,
    api_key: Option<SecretString>,
    origin: Option<HeaderValue>,
    witness: Option<Witness>,
}

/// One payonce of a shop.
struct Node {
    base: Url,
    confirm: Url,
}

impl Buyer {
    pub fn new(shop: &str, sandbox: &str, api_key: Option<SecretString>) -> anyhow::Result<Buyer> {
        Buyer::of_nodes(&[shop], sandbox, api_key)
    }

    /// A buyer of a shop with several doors; each request goes to the next one.
    pub fn of_nodes(
        nodes: &[impl AsRef<str>],
        sandbox: &str,
        api_key: Option<SecretString>,
    ) -> anyhow::Result<Buyer> {
        anyhow::ensure!(!nodes.is_empty(), "a shop has at least one URL");
        let client = Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(3))
            .timeout(ANSWER_WITHIN)
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(usize::MAX)
            .build()
            .context("cannot make an HTTP client")?;
        let base = |name: &str, text: &str| {
            Url::parse(text).with_context(|| format!("{name}: {text:?} is not a URL"))
        };
        let node = |text: &str| {
            let base = base("the shop", text)?;
            let confirm = base.join("/api/v1/payments/confirm")?;
            anyhow::Ok(Node { base, confirm })
        };
        let nodes: anyhow::Result<_> = nodes.iter().map(|text| node(text.as_ref())).collect();
        Ok(Buyer {
            client,
            nodes: nodes?,
            next: Arc::default(),
            only: None,
            sandbox: base("the sandbox", sandbox)?,
            api_key,
            origin: None,
            witness: None,
        })
    }

    /// Speaks as a page of this origin does.
    #[must_use]
    pub fn from_origin(mut self, origin: &'static str) -> Buyer {
        self.origin = Some(HeaderValue::from_static(origin));
        self
    }

    #[must_use]
    pub fn watched_by(mut self, witness: Witness) -> Buyer {
        self.witness = Some(witness);
        self
    }

    #[must_use]
    pub fn unwatched(mut self) -> Buyer {
        self.witness = None;
        self
    }

    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The node whose turn it is.
    pub fn next_node(&self) -> usize {
        let turn = || self.next.fetch_add(1, Ordering::Relaxed);
        self.only.unwrap_or_else(turn) % self.nodes.len()
    }

    /// The same buyer, at one node's door; nodes are counted around.
    #[must_use]
    pub fn at(&self, node: usize) -> Buyer {
        Buyer {
            only: Some(node % self.nodes.len()),
            ..self.clone()
        }
    }

    pub async fn checkout(&self, user: u64, lines: &[Line]) -> Result<Answer, Silence> {
        let body = words::Checkout {
            user_id: user,
            ordered_product_list: lines,
        };
        let url = self.shop("/api/v1/payments/checkout")?;
        self.send(Method::POST, url, Some(&body)).await
    }

    pub async fn confirm(&self, confirm: &Confirm<'_>) -> Result<Answer, Silence> {
        let url = self.confirm_url();
        self.send(Method::POST, url, Some(confirm)).await
    }

    pub async fn status(&self, order_id: &str) -> Result<Answer, Silence> {
        let url = self.shop(&format!("/api/v1/payments/{order_id}"))?;
        self.get(url).await
    }

    /// The status once it is settled, or after `wait_s`.
    pub async fn settled_status(&self, order_id: &str, wait_s: u64) -> Result<Answer, Silence> {
        let url = self.shop(&format!("/api/v1/payments/{order_id}?wait={wait_s}"))?;
        self.get(url).await
    }

    pub async fn ready(&self) -> Result<Answer, Silence> {
        self.get(self.shop("/health/ready")?).await
    }

    pub async fn product(&self, id: i64) -> Result<Answer, Silence> {
        self.get(self.shop(&format!("/api/v1/products/{id}"))?)
            .await
    }

    /// The back office creates a product, or changes it.
    pub async fn put_product(&self, id: i64, name: &str, price: i64) -> Result<Answer, Silence> {
        let body = serde_json::json!({"name": name, "price": price, "sellerId": 2});
        let url = self.shop(&format!("/api/v1/products/{id}"))?;
        self.send(Method::PUT, url, Some(&body)).await
    }

    /// The back office receives goods.
    pub async fn receive_stock(&self, id: i64, change: i64) -> Result<Answer, Silence> {
        let body = serde_json::json!({"change": change, "reason": "load test"});
        let url = self.shop(&format!("/api/v1/products/{id}/stock"))?;
        self.send(Method::POST, url, Some(&body)).await
    }

    /// The buyer pays in Toss's window.
    pub async fn authorize(&self, order_id: &str, amount: i64) -> Result<Answer, Silence> {
        let body = serde_json::json!({"orderId": order_id, "amount": amount});
        let url = self.sandbox("/sandbox/authorizations")?;
        self.send(Method::POST, url, Some(&body)).await
    }

    /// All that Toss knows, or what it knows of one order.
    pub async fn ledger(&self, order_id: Option<&str>) -> Result<Answer, Silence> {
        let url = match order_id {
            Some(order_id) => self.sandbox(&format!("/sandbox/ledger?orderId={order_id}"))?,
            None => self.sandbox("/sandbox/ledger")?,
        };
        self.get(url).await
    }

    /// The faults that the sandbox plays.
    pub async fn faults(&self) -> Result<Answer, Silence> {
        self.get(self.sandbox("/sandbox/faults")?).await
    }

    /// Replaces the faults that the sandbox plays.
    pub async fn set_faults(&self, faults: &serde_json::Value) -> Result<Answer, Silence> {
        let url = self.sandbox("/sandbox/faults")?;
        self.send(Method::PUT, url, Some(faults)).await
    }

    fn shop(&self, path: &str) -> Result<Url, Silence> {
        let node = &self.nodes[self.next_node()];
        node.base.join(path).map_err(Silence::unsent)
    }

    fn confirm_url(&self) -> Url {
        self.nodes[self.next_node()].confirm.clone()
    }

    fn sandbox(&self, path: &str) -> Result<Url, Silence> {
        self.sandbox.join(path).map_err(Silence::unsent)
    }

    async fn get(&self, url: Url) -> Result<Answer, Silence> {
        self.send(Method::GET, url, None::<&()>).await
    }

    async fn send<T: Serialize + ?Sized>(
        &self,
        method: Method,
        url: Url,
        body: Option<&T>,
    ) -> Result<Answer, Silence> {
        let body = body
            .map(serde_json::to_string)
            .transpose()
            .map_err(Silence::unsent)?;
        if let Some(witness) = &self.witness {
            let origin = self.origin.as_ref().filter(|_| self.is_shop(&url));
            witness(&curl::command(&method, &url, origin, body.as_deref()));
        }
        Answer::of(self.request(method, url, body)).await
    }

    fn request(&self, method: Method, url: Url, body: Option<String>) -> RequestBuilder {
        let to_shop = self.is_shop(&url);
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            request = request.header(CONTENT_TYPE, json).body(body);
        }
        // A page's origin and the shop's key are between it and the shop: Toss never sees them.
        if let Some(origin) = self.origin.as_ref().filter(|_| to_shop) {
            request = request.header(ORIGIN, origin.clone());
        }
        if let Some(key) = self.api_key.as_ref().filter(|_| to_shop) {
            request = request.bearer_auth(key.expose_secret());
        }
        request
    }

    fn is_shop(&self, url: &Url) -> bool {
        let same =
            |node: &Node| url.port() == node.base.port() && url.host_str() == node.base.host_str();
        self.nodes.iter().any(same)
    }
}

/// Each connection is an open file, and many systems begin with 1,024 (macOS: 256). Children inherit it.
pub fn allow_many_connections() {
    #[cfg(unix)]
    // Refused means that the present limit stays; calls beyond it are then counted as unsent.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn each_request_goes_to_the_next_node_and_a_buyer_at_one_door_stays_there() {
        let nodes = ["http://127.0.0.1:1", "http://127.0.0.1:2"];
        let buyer = Buyer::of_nodes(&nodes, "http://127.0.0.1:3", None).unwrap();
        let port = |buyer: &Buyer| buyer.confirm_url().port().unwrap();
        assert_eq!([port(&buyer), port(&buyer), port(&buyer)], [1, 2, 1]);
        let second = buyer.at(1);
        assert_eq!([port(&second), port(&second)], [2, 2]);
        assert_eq!(port(&buyer.at(2)), 1);
        for (url, is_shop) in [
            ("http://127.0.0.1:2/x", true),
            ("http://127.0.0.1:3/", false),
        ] {
            assert_eq!(buyer.is_shop(&Url::parse(url).unwrap()), is_shop, "{url}");
        }
        assert!(Buyer::of_nodes(&[] as &[&str], "http://127.0.0.1:3", None).is_err());
    }
}
