//! What a person reads, and may have stopped reading: the reader of a pipe goes away, a disk is full. Standard output is for
//! what a command has to say, standard error for the log. Neither is worth an order.

use std::backtrace::BacktraceStatus;
use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc;
use std::thread::Builder;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

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

/// Ends the log: what has not been written yet is written, if somebody reads it within a moment.
pub struct LogGuard(Option<WorkerGuard>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else {
            return;
        };
        let (flushed, end) = mpsc::channel();
        // Where nobody reads, it would wait for ever.
        let last = Builder::new().spawn(move || {
            drop(guard);
            flushed.send(())
        });
        if last.is_ok() {
            let _ = end.recv_timeout(LAST_LINES);
        }
    }
}

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The log, written by a thread of its own, and how many lines of it were lost.
pub fn log() -> (NonBlocking, ErrorCounter, LogGuard) {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(Unread(io::stderr()));
    let lost = writer.error_counter();
    (writer, lost, LogGuard(Some(guard)))
}

/// A panic is a line of the log like any other: standard error may have nobody who reads it.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        match trace.status() {
            BacktraceStatus::Captured => tracing::error!("{panic}\nstack backtrace:\n{trace}"),
            _ => tracing::error!("{panic}"),
        }
    }));
}

/// Says in the log itself, once there is room again, how many of its lines nobody will see.
pub fn tell_losses(lost: ErrorCounter) {
    // Without it the log is as good, and only less honest.
    let _ = Builder::new().name("log losses".into()).spawn(move || {
        let mut told = 0;
        loop {
            std::thread::sleep(LOSSES_TOLD_EVERY);
            let now = lost.dropped_lines();
            if now > told {
                tracing::warn!(
                    lines = now - told,
                    "lines of the log were lost: it was not read"
                );
                told = now;
            }
        }
    });
}

const LOSSES_TOLD_EVERY: Duration = Duration::from_secs(10);

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
