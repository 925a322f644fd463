//! CPU time that the machine's owner gave to somebody else meanwhile: a figure measured under steal says little.

/// Counters since the machine started, in ticks over all cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTime {
    total: u64,
    steal: u64,
}

impl CpuTime {
    /// `None` on systems that do not tell.
    pub async fn now() -> Option<CpuTime> {
        let text = tokio::fs::read_to_string("/proc/stat").await.ok()?;
        CpuTime::parse(&text)
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
        Some(CpuTime {
            total: ticks.iter().sum(),
            steal: ticks[7],
        })
    }

    /// Percent of all CPU time since `earlier` that was stolen.
    pub fn steal_percent_since(self, earlier: CpuTime) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total)?;
        let steal = self.steal.checked_sub(earlier.steal)?;
        (total > 0).then(|| steal as f64 * 100.0 / total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_read_from_the_first_line_and_guests_are_not_counted_twice() {
        let before = CpuTime::parse("cpu  100 0 50 800 10 0 0 40 30 0\ncpu0 1 2 3\n");
        let after = CpuTime::parse("cpu  150 0 70 900 10 0 0 60 70 0\ncpu0 1 2 3\n");
        assert_eq!(
            before,
            Some(CpuTime {
                total: 1000,
                steal: 40
            })
        );
        let percent = after
            .zip(before)
            .and_then(|(b, a)| b.steal_percent_since(a));
        assert_eq!(percent, Some(20.0 * 100.0 / 190.0));
    }

    #[test]
    fn a_system_that_does_not_tell_gives_nothing() {
        for text in ["", "intr 5 6", "cpu 1 2 3", "cpu a b c d e f g h"] {
            assert_eq!(CpuTime::parse(text), None, "{text:?}");
        }
        let same = CpuTime { total: 5, steal: 1 };
        assert_eq!(same.steal_percent_since(same), None);
    }
}
