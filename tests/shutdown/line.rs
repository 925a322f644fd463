//! A client's end of one connection, without any client's habit of trying again: what broke is seen.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{House, Order};

/// What came back on a line.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u16,
    /// The server says that it was the last answer on this line.
    pub last: bool,
    pub body: Value,
}

impl Said {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }
}

/// One keep-alive connection, without any client's habit of trying again.
pub struct Line(TcpStream);

impl Line {
    pub async fn open(url: &str) -> std::io::Result<Line> {
        let address = url.trim_start_matches("http://");
        Ok(Line(TcpStream::connect(address).await?))
    }

    /// The whole answer, or how the line broke.
    pub async fn ask(&mut self, head: &str, body: &str) -> std::io::Result<Said> {
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.0.write_all(request.as_bytes()).await?;
        let mut heard = Vec::new();
        let head = loop {
            if let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut heard).await?;
        };
        let text = String::from_utf8_lossy(&heard[..head]).to_ascii_lowercase();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let length: usize = field("content-length:").map_or(0, |length| length.parse().unwrap());
        while heard.len() < head + length {
            self.more(&mut heard).await?;
        }
        Ok(Said {
            status: text.split(' ').nth(1).unwrap().parse().unwrap(),
            last: field("connection:").is_some_and(|word| word == "close"),
            body: serde_json::from_slice(&heard[head..]).unwrap_or(Value::Null),
        })
    }

    async fn more(&mut self, heard: &mut Vec<u8>) -> std::io::Result<()> {
        match self.0.read_buf(heard).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    pub async fn confirm(&mut self, order: &Order, key: &str) -> std::io::Result<Said> {
        let body = House::confirm_body(order, key).to_string();
        self.ask("POST /api/v1/payments/confirm", &body).await
    }
}
