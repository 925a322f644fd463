//! The connections of the door, each for itself: how many there may be, how much is read of one ahead of its answers, and
//! how long it may be held by a client that neither asks nor hears. What a closing door asks about all of them together,
//! the last words of those who have left included, is `layers::Traffic`'s to know.

mod line;
mod reaper;
mod state;

use std::io;
use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpSocket;

pub use line::Line;
pub use reaper::Reaper;
pub use state::{Asking, Listening, Watched};

/// Half of all open files are left for the store and for Toss.
const DESCRIPTORS_EACH: u64 = 2;

/// How many connections each worker may hold: as set, but never so many that the house itself runs out of files.
pub fn most_each(wanted: usize, workers: usize) -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    let bearable = usize::try_from(files / DESCRIPTORS_EACH).unwrap_or(usize::MAX);
    if bearable < wanted {
        tracing::warn!(
            wanted,
            bearable,
            files,
            "fewer connections than server.max_connections: the limit of open files is low"
        );
    }
    (wanted.min(bearable) / workers.max(1)).max(1)
}

/// What the kernel takes of a connection before we read it.
const UNREAD_BYTES: u32 = 8 << 10;

/// What the kernel keeps of answers that nobody takes; by itself it would keep 4 MiB for each connection. Whoever listens
/// takes longer answers as they come.
const UNHEARD_BYTES: u32 = 64 << 10;

/// How many may wait to be accepted while the workers are busy. What overflows is not refused but asked again by the
/// client's kernel, a second later and then twice that: the kernel's own bound (net.core.somaxconn) since Linux 5.4.
const BACKLOG: u32 = 4_096;

/// Must be called within a runtime; fails where the address cannot be had.
pub fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    let socket = if bind.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Each connection inherits them.
    socket.set_recv_buffer_size(UNREAD_BYTES)?;
    socket.set_send_buffer_size(UNHEARD_BYTES)?;
    socket.bind(bind)?;
    socket.listen(BACKLOG)?.into_std()
}
