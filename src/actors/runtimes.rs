//! The runtimes that the crew works on.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

/// A socket is served by the runtime on which it was opened.
#[derive(Clone, Debug)]
pub struct Runtimes {
    /// Of everybody: calls to Toss, reads, and the arbiters' own waiting.
    pub shared: Arc<Runtime>,
    /// Of the journal's commits, which everybody waits for. The database's answer to one of their statements is read at once:
    /// on the shared runtime it would be found by a thread that has first run what was woken before, hundreds of calls to
    /// Toss after each batch, and a batch is a chain of eight such answers.
    pub journal: Arc<Runtime>,
}

impl Runtimes {
    pub fn new(shared: Runtime) -> std::io::Result<Runtimes> {
        let mut journal = Builder::new_multi_thread();
        let journal = journal.worker_threads(1).thread_name("journal");
        Ok(Runtimes {
            shared: Arc::new(shared),
            journal: Arc::new(journal.enable_all().build()?),
        })
    }
}
