//! What a person reads, and may have stopped reading: the reader of a pipe goes away, a disk is full. Standard output is for
//! what a command has to say, standard error for the log. Neither is worth an order.

use std::fmt;
use std::io::{self, Write};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// A line of what a command was asked for. A command that cannot say it has failed, and ends.
macro_rules! say {
    () => {
        $crate::terminal::say(format_args!(""))
    };
    ($($words:tt)*) => {
        $crate::terminal::say(format_args!($($words)*))
    };
}

/// A line beside the work: whether anybody reads it changes nothing.
macro_rules! mention {
    () => {
        $crate::terminal::mention(format_args!(""))
    };
    ($($words:tt)*) => {
        $crate::terminal::mention(format_args!($($words)*))
    };
}

/// See [`say!`].
pub fn say(words: fmt::Arguments<'_>) {
    // A test's words are its report, and kept for that.
    #[cfg(test)]
    return println!("{words}");
    #[cfg(not(test))]
    say_or_end(words);
}

#[cfg(not(test))]
fn say_or_end(words: fmt::Arguments<'_>) {
    let Err(error) = writeln!(io::stdout(), "{words}") else {
        return;
    };
    // Who has closed the pipe knows.
    if error.kind() != io::ErrorKind::BrokenPipe {
        complain(format_args!("cannot write the output: {error}"));
    }
    std::process::exit(1);
}

/// See [`mention!`].
pub fn mention(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{words}");
}

/// Why a command failed.
pub fn complain(why: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "payonce: {why}");
}

/// Lines of the log that may wait for whoever reads them. More are lost, and nobody waits.
const LOG_LINES: usize = 20_000;

/// The log, written by a thread of its own. What has not been written when the guard is dropped is written then, for a second
/// at the most.
pub fn log() -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(Unread(io::stderr()))
}

/// Whether it could be written is not told: nobody could do anything about it.
struct Unread<W>(W);

impl<W: Write> Write for Unread<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}
