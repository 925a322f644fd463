//! A client that sends what no client would: bytes as they stand here, over sockets that it leaves as it likes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Long enough for a machine that is busy elsewhere; no test waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One answer, as it came.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Said {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn error(&self, field: &str) -> Value {
        self.json()["error"][field].clone()
    }

    pub fn code(&self) -> String {
        self.error("code").as_str().unwrap_or("").to_owned()
    }

    fn closes(&self) -> bool {
        let connection = self.header("connection");
        connection.is_some_and(|word| word.eq_ignore_ascii_case("close"))
    }
}

/// A connection, and what came over it and was not read yet.
pub struct Wire {
    pub stream: TcpStream,
    bytes: Vec<u8>,
}

impl Wire {
    pub fn to(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire {
            stream,
            bytes: Vec::new(),
        }
    }

    /// False once the other side is gone.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// More bytes; false at the end. Silence without an end fails the test.
    fn more(&mut self) -> bool {
        let mut chunk = [0; 16_384];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(read) => {
                self.bytes.extend_from_slice(&chunk[..read]);
                true
            }
            Err(broken) => {
                let silent = matches!(broken.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!silent, "neither an answer nor an end within {PATIENCE:?}");
                false
            }
        }
    }

    /// The next final answer, or `None` where the connection ends before one.
    pub fn hear(&mut self, headless: bool) -> Option<Said> {
        loop {
            let end = loop {
                if let Some(at) = self.bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                    break at + 4;
                }
                if !self.more() {
                    return None;
                }
            };
            let head = String::from_utf8(self.bytes.drain(..end).collect()).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut said = Said {
                status,
                head,
                body: String::new(),
            };
            if (100..200).contains(&status) {
                continue;
            }
            let length = said.header("content-length").unwrap_or("0");
            let length: usize = if headless { 0 } else { length.parse().unwrap() };
            while self.bytes.len() < length {
                if !self.more() {
                    return None;
                }
            }
            said.body = String::from_utf8(self.bytes.drain(..length).collect()).unwrap();
            return Some(said);
        }
    }

    /// All answers until the other side ends the connection.
    pub fn hear_out(&mut self) -> Vec<Said> {
        let mut all = Vec::new();
        while let Some(said) = self.hear(false) {
            all.push(said);
        }
        all
    }
}

/// Keeps one connection for many requests, as long as the door keeps it.
pub struct Caller {
    address: SocketAddr,
    wire: Option<Wire>,
}

impl Caller {
    pub fn to(address: SocketAddr) -> Caller {
        Caller {
            address,
            wire: None,
        }
    }

    /// The answer to one request, or `None` where a fresh connection ends without any.
    pub fn ask(&mut self, request: &[u8]) -> Option<Said> {
        let headless = request.starts_with(b"HEAD ");
        for kept in [true, false] {
            let wire = match self.wire.take().filter(|_| kept) {
                Some(wire) => Some(wire),
                None if kept => None,
                None => Some(Wire::to(self.address)),
            };
            let Some(mut wire) = wire else {
                continue;
            };
            wire.send(request);
            if let Some(said) = wire.hear(headless) {
                // Whatever was not an end of a request is not to be taken for the start of the next.
                let clean = !said.closes() && said.status != 413 && wire.bytes.is_empty();
                self.wire = clean.then_some(wire);
                return Some(said);
            }
        }
        None
    }
}

/// A whole request with an honest length.
pub fn request(line: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line} HTTP/1.1\r\nHost: shop\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}
