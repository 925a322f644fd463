//! A client of a few lines: what it sends is what stands there, and what it shows is what came over the wire.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Door;

#[derive(Debug)]
pub struct Said {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Said {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn error(&self, field: &str) -> Value {
        self.json()["error"][field].clone()
    }
}

pub async fn read(stream: &mut TcpStream, headless: bool) -> Said {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        assert_ne!(
            stream.read_buf(&mut bytes).await.unwrap(),
            0,
            "closed early"
        );
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut said = Said {
        status,
        head,
        body: String::new(),
    };
    let announced = said.header("content-length").unwrap_or("0");
    let length: usize = if headless {
        0
    } else {
        announced.parse().unwrap()
    };
    while bytes.len() < end + length {
        assert_ne!(
            stream.read_buf(&mut bytes).await.unwrap(),
            0,
            "closed early"
        );
    }
    said.body = String::from_utf8(bytes[end..].to_vec()).unwrap();
    said
}

pub async fn ask_on(stream: &mut TcpStream, line: &str, headers: &str, body: &[u8]) -> Said {
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let head = format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    read(stream, line.starts_with("HEAD")).await
}

pub async fn ask(door: &Door, line: &str, headers: &str, body: &str) -> Said {
    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    ask_on(&mut stream, line, headers, body.as_bytes()).await
}
