//! Where the machine's CPU time went meanwhile, with what its owner gave to somebody else: a figure measured under
//! steal says little, and one measured on an idle machine names another bottleneck.

use serde::Serialize;

use super::figures::rounded;

/// Counters since the machine started, in ticks over all cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTime {
    user: u64,
    system: u64,
    iowait: u64,
    idle: u64,
    steal: u64,
}

/// Shares of all cores' time; they sum to 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CpuPercent {
    /// Programs, niced ones included.
    pub user: f64,
    /// The kernel, interrupts included.
    pub system: f64,
    /// Idle, and a disk was awaited.
    pub iowait: f64,
    pub idle: f64,
    pub steal: f64,
}

impl CpuTime {
    /// `None` on systems that do not tell.
    pub async fn now() -> Option<CpuTime> {
        let text = tokio::fs::read_to_string("/proc/stat").await.ok()?;
        CpuTime::parse(&text)
    }

    /// The shares since `earlier`, if the system tells both.
    pub async fn spent_since(earlier: Option<CpuTime>) -> Option<CpuPercent> {
        let now = CpuTime::now().await?;
        now.percent_since(earlier?)
    }

    /// The first line: user nice system idle iowait irq softirq steal guest guest_nice. The guests' time is in
    /// the user's already.
    fn parse(text: &str) -> Option<CpuTime> {
        let mut words = text.lines().next()?.split_ascii_whitespace();
        if words.next()? != "cpu" {
            return None;
        }
        let mut ticks = [0; 8];
        for tick in &mut ticks {
            *tick = words.next()?.parse::<u64>().ok()?;
        }
        let [user, nice, system, idle, iowait, irq, softirq, steal] = ticks;
        Some(CpuTime {
            user: user + nice,
            system: system + irq + softirq,
            iowait,
            idle,
            steal,
        })
    }

    fn percent_since(self, earlier: CpuTime) -> Option<CpuPercent> {
        let user = self.user.checked_sub(earlier.user)?;
        let system = self.system.checked_sub(earlier.system)?;
        // The kernel's guess at waiting may go backwards.
        let iowait = self.iowait.saturating_sub(earlier.iowait);
        let idle = self.idle.checked_sub(earlier.idle)?;
        let steal = self.steal.checked_sub(earlier.steal)?;
        let total = user + system + iowait + idle + steal;
        let percent = |ticks: u64| rounded(ticks as f64 * 100.0 / total as f64);
        (total > 0).then(|| CpuPercent {
            user: percent(user),
            system: percent(system),
            iowait: percent(iowait),
            idle: percent(idle),
            steal: percent(steal),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_from_the_first_line_and_guests_are_not_counted_twice() {
        let before = CpuTime::parse("cpu  100 0 50 800 10 0 0 40 30 0\ncpu0 1 2 3\n");
        let after = CpuTime::parse("cpu  150 10 70 890 15 3 2 60 70 0\ncpu0 1 2 3\n");
        let percent = after
            .zip(before)
            .and_then(|(after, before)| after.percent_since(before));
        let wanted = CpuPercent {
            user: 30.0,
            system: 12.5,
            iowait: 2.5,
            idle: 45.0,
            steal: 10.0,
        };
        assert_eq!(percent, Some(wanted));
    }

    #[test]
    fn a_system_that_does_not_tell_gives_nothing() {
        for text in ["", "intr 5 6", "cpu 1 2 3", "cpu a b c d e f g h"] {
            assert_eq!(CpuTime::parse(text), None, "{text:?}");
        }
        let stopped = CpuTime::parse("cpu 5 1 0 0 0 0 0 0");
        let percent = stopped.and_then(|now| now.percent_since(now));
        assert_eq!(percent, None);
    }
}
