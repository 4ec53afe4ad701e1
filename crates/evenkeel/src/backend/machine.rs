//! How busy this machine is, for `/health`: from `/proc/stat` and `/proc/meminfo`, or as the arguments say.

use std::cell::Cell;
use std::fs;
use std::time::{Duration, Instant};

/// Shorter spans hold too few clock ticks to say anything.
const SHORTEST_SPAN: Duration = Duration::from_millis(200);

/// Where the figures come from.
pub(super) struct Machine {
    cpu_usage: Option<f64>,
    memory_usage: Option<f64>,
    last: Cell<Reading>,
}

/// CPU time at one look, and the usage since the look before.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    ticks: Ticks,
    usage: f64,
}

/// CPU time of all cores since the machine was started, in clock ticks.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl Machine {
    /// Figures given here are told instead of measured ones.
    pub(super) fn new(cpu_usage: Option<f64>, memory_usage: Option<f64>) -> Self {
        let ticks = read_ticks();
        let since_boot = usage(Ticks::default(), ticks).unwrap_or(0.0);
        Self { cpu_usage, memory_usage, last: Cell::new(Reading { at: Instant::now(), ticks, usage: since_boot }) }
    }

    /// Percent of all cores, since the last time it was asked.
    pub(super) fn cpu_usage(&self) -> f64 {
        if let Some(told) = self.cpu_usage {
            return told;
        }
        let last = self.last.get();
        if last.at.elapsed() < SHORTEST_SPAN {
            return last.usage;
        }
        let ticks = read_ticks();
        let usage = usage(last.ticks, ticks).unwrap_or(last.usage);
        self.last.set(Reading { at: Instant::now(), ticks, usage });
        usage
    }

    /// Percent of the memory that is not available to new programs.
    pub(super) fn memory_usage(&self) -> f64 {
        self.memory_usage.or_else(|| fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory(&text))).unwrap_or(0.0)
    }
}

fn read_ticks() -> Ticks {
    fs::read_to_string("/proc/stat").ok().and_then(|text| ticks(&text)).unwrap_or_default()
}

/// Percent of the time between two looks, to one decimal; `None` where no time went by.
fn usage(from: Ticks, to: Ticks) -> Option<f64> {
    let all = to.all.checked_sub(from.all).filter(|all| *all > 0)?;
    Some(percent(to.busy.saturating_sub(from.busy), all))
}

/// From the first line of `/proc/stat`, see proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; guest time is in
/// user already.
fn ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_ascii_whitespace().take(8).map_while(|time| time.parse().ok()).collect();
    let all = times.iter().sum();
    let idle: u64 = times.iter().skip(3).take(2).sum();
    Some(Ticks { busy: all - idle, all })
}

/// From `/proc/meminfo`, see proc_meminfo(5).
fn memory(text: &str) -> Option<f64> {
    let figure = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_ascii_whitespace().next()?.parse().ok()
    };
    let (total, available) = (figure("MemTotal")?, figure("MemAvailable")?);
    (total > 0).then(|| percent(total.saturating_sub(available), total))
}

fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 * 1000.0 / whole as f64).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_usage_is_the_busy_share_between_two_looks() {
        let before = ticks("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1\n");
        let after = ticks("cpu  150 0 100 740 110 0 0 0 50 0\n");
        assert_eq!(before, Some(Ticks { busy: 200, all: 1000 }));
        assert_eq!(usage(before.unwrap_or_default(), after.unwrap_or_default()), Some(50.0));
        assert_eq!(usage(Ticks { busy: 1, all: 2 }, Ticks { busy: 1, all: 2 }), None);
    }

    #[test]
    fn memory_usage_is_what_is_not_available() {
        assert_eq!(memory("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n"), Some(75.0));
        assert_eq!(memory("MemTotal: 0 kB\nMemAvailable: 0 kB\n"), None);
        assert_eq!(memory("nonsense"), None);
    }

    #[test]
    fn figures_given_are_the_figures_told() {
        let machine = Machine::new(Some(91.0), Some(12.5));
        assert_eq!((machine.cpu_usage(), machine.memory_usage()), (91.0, 12.5));
    }
}
