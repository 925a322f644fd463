//! Reads the command line, runs one command, reports how it ended.

use std::process::ExitCode;

/// Freed memory is handed back and reused across threads: actors are born on one and die on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match payonce::cli::run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            payonce::terminal::complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
