//! The stream of one connection, read no further ahead than its answers are taken.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::state::{Connection, Watched};

/// What is read in one go. The framework makes requests of all that it has read, some 5 KB of memory each, before it
/// answers the first: of the smallest ones these are 230. Left to itself it reads 128 KiB ahead, makes 12 MB of them
/// (measured with those of 60 bytes), and then keeps itself awake, at the cost of a processor, until the client listens.
const PORTION: usize = 4 << 10;

/// The framework panics over a header's name of 64 KiB. Nobody has one of half of that.
const LONGEST_NAME: usize = 32 << 10;

/// Watches over the heads that pass by.
#[derive(Default)]
struct Heads {
    /// The bytes since the line broke, while they may be a header's name.
    name: Option<usize>,
}

impl Heads {
    /// Whether a name among them has no end.
    fn is_endless(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().any(|byte| {
            self.name = match byte {
                b'\n' => Some(0),
                b':' | 0..=b' ' => None,
                _ => self.name.map(|bytes| bytes + 1),
            };
            self.name.is_some_and(|bytes| bytes > LONGEST_NAME)
        })
    }
}

/// A client that asks for more before it has its answer is heard when it has: until then its words stay with the kernel,
/// and it cannot send much more. Most clients never do; a body on its way, and the end of a connection, are always heard.
pub struct Line {
    io: TcpStream,
    connection: Arc<Connection>,
    /// Bytes since the framework last had a turn to make requests of them.
    read: usize,
    heads: Heads,
}

impl Line {
    pub fn new(io: TcpStream, connection: Arc<Connection>) -> Line {
        Line {
            io,
            connection,
            read: 0,
            heads: Heads::default(),
        }
    }

    pub fn peer(&self) -> Option<SocketAddr> {
        self.io.peer_addr().ok()
    }

    pub fn watched(&self) -> Watched {
        Watched(Arc::clone(&self.connection))
    }

    /// Whoever drives this line is woken by the reaper too.
    fn turn(&self, cx: &Context<'_>) -> io::Result<()> {
        self.connection.driver.register(cx.waker());
        if !self.connection.is_cut() {
            return Ok(());
        }
        if self.connection.is_deaf() {
            // Nor does the kernel keep for it what it does not take.
            self.io.set_zero_linger()?;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Ends when the client has hung up.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        match ready!(self.io.poll_peek(cx, &mut ReadBuf::new(&mut byte)))? {
            0 => Poll::Ready(Ok(())),
            _ => {
                self.connection.leave_the_rest();
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.turn(cx)?;
        if self.connection.has_enough() {
            self.read = 0;
            return self.poll_end(cx);
        }
        if self.read >= PORTION {
            self.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = buf.remaining().min(PORTION - self.read);
        let mut portion = ReadBuf::new(buf.initialize_unfilled_to(most));
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut portion);
        let read = portion.filled().len();
        let is_asked = self.connection.is_asked();
        if is_asked && read > 0 {
            // It is a body, and with its last bytes the next head may begin: no more is read then.
            self.heads = Heads::default();
        }
        if self.heads.is_endless(portion.filled()) && !is_asked {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        buf.advance(read);
        self.read = if polled.is_ready() {
            self.read + read
        } else {
            0
        };
        polled
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.turn(cx)?;
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.connection.takes(polled.is_ready());
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_without_an_end_is_endless() {
        let endless = |start: &str, rest: &str| {
            let mut heads = Heads::default();
            // As it comes from the wire, and the last of it in a portion of its own.
            heads.is_endless(start.as_bytes()) || heads.is_endless(rest.as_bytes())
        };
        let long = "n".repeat(LONGEST_NAME);
        assert!(!endless("GET / HTTP/1.1\r\n", &format!("{long}: y\r\n")));
        assert!(endless("GET / HTTP/1.1\r\n", &format!("{long}n: y\r\n")));
        assert!(endless(&format!("GET / HTTP/1.1\r\n{long}"), "n: y\r\n"));
        assert!(!endless("GET / HTTP/1.1\r\nx: ", &long.repeat(2)));
        assert!(!endless("GET /", &long.repeat(2)));
        // The rest of a body that nobody wanted.
        assert!(!endless("{\"name\": \"", &long.repeat(2)));
    }
}
