//! Which backend dies when: a plan without a clock of its own.

use std::time::Duration;

/// The first kill, so that what is normal is seen before.
const FIRST: Duration = Duration::from_millis(1500);
/// From one kill to the next.
const EVERY: Duration = Duration::from_secs(3);
/// From a kill to the restart: time enough to be found dead.
const DEAD_FOR: Duration = Duration::from_millis(2000);

/// What to do to a backend, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Kill(usize),
    Restart(usize),
}

/// Kills and restarts in turn; never is the next backend killed before the last one runs again.
#[derive(Debug)]
pub(super) struct Chaos {
    backends: usize,
    kills: u32,
    restarts: u32,
}

impl Chaos {
    pub(super) fn new(backends: usize) -> Self {
        Self { backends, kills: 0, restarts: 0 }
    }

    /// What is due by now, if something is; called again and again until it is `None`.
    pub(super) fn due(&mut self, elapsed: Duration) -> Option<Deed> {
        if self.restarts < self.kills {
            let killed = FIRST + EVERY * (self.kills - 1);
            if elapsed < killed + DEAD_FOR {
                return None;
            }
            self.restarts += 1;
            return Some(Deed::Restart(self.number(self.restarts)));
        }
        if elapsed < FIRST + EVERY * self.kills {
            return None;
        }
        self.kills += 1;
        Some(Deed::Kill(self.number(self.kills)))
    }

    fn number(&self, deed: u32) -> usize {
        (deed as usize - 1) % self.backends.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_die_and_return_one_after_the_other() {
        let mut chaos = Chaos::new(2);
        let mut deeds = Vec::new();
        for tenths in 0..=100 {
            while let Some(deed) = chaos.due(Duration::from_millis(tenths * 100)) {
                deeds.push((tenths, deed));
            }
        }
        use Deed::{Kill, Restart};
        assert_eq!(deeds, [(15, Kill(0)), (35, Restart(0)), (45, Kill(1)), (65, Restart(1)), (75, Kill(0)), (95, Restart(0))]);
    }
}
