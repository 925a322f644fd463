//! Pauses between tries while the database is away: short at first, then longer, never long.

use std::time::Duration;

use tokio::time::sleep;

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Pauses(Duration);

impl Pauses {
    pub const fn new() -> Pauses {
        Pauses(SHORTEST)
    }

    /// Each is twice the one before.
    pub async fn pause(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}
