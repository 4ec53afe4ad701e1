//! Whether a backend is up, from the results of its active checks.
//!
//! A state machine without I/O: the caller probes when [`Checker::next_probe`] says, and tells [`Checker::observe`] how
//! it went. The very first check decides alone; later `rise` passes or `fall` failures in a row are needed, and while such
//! a row runs the next probe comes after `edge_interval`. A backend that flaps is held down for longer each time (F11).

use std::time::Duration;

use crate::{Nanos, nanos};

/// How a backend is checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// From one probe to the next. Default: 5 s. Not 0: the caller would probe without pause.
    pub interval: Duration,
    /// Longest time a probe may take; for the caller, the state machine does not use it. Default: 2 s.
    pub timeout: Duration,
    /// Random part of each wait, either way, so that probes of many backends and balancers spread (F12).
    ///
    /// Unit: fraction of the wait. Default: 0.1. Range: 0 to 0.5.
    pub jitter: f64,
    /// Passes in a row that bring a backend up. Default: 2.
    pub rise: u32,
    /// Failures in a row that take it down. Default: 3.
    pub fall: u32,
    /// From one probe to the next while a row against the present state runs. Default: 1 s.
    pub edge_interval: Duration,
    /// Longest hold-down, and how long a backend must stay up to be forgiven one flap. Default: 60 s; 0 turns it off.
    pub hold_down_max: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            jitter: 0.1,
            rise: 2,
            fall: 3,
            edge_interval: Duration::from_secs(1),
            hold_down_max: Duration::from_secs(60),
        }
    }
}

/// What is known of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not checked yet.
    #[default]
    Unknown,
    /// In rotation.
    Up,
    /// Out of rotation.
    Down,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Now up.
    Up,
    /// Now down.
    Down,
}

/// The state machine of one backend.
#[derive(Clone, Debug)]
pub struct Checker {
    params: Params,
    state: State,
    /// Results in a row that speak against the state.
    against: u32,
    /// When the state was entered.
    since: Nanos,
    /// When the last probe ended.
    probed: Nanos,
    /// Falls in quick succession, each doubling the hold-down.
    flaps: u32,
    /// No coming up before this.
    held_until: Nanos,
}

impl Checker {
    /// A backend not checked yet.
    pub fn new(params: Params) -> Self {
        Self { params, state: State::Unknown, against: 0, since: 0, probed: 0, flaps: 0, held_until: 0 }
    }

    /// What is known now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the backend passes its checks and is down only because it flapped. Such a one is better than none.
    pub fn is_held_down(&self, now: Nanos) -> bool {
        self.state == State::Down && self.against >= self.params.rise && now < self.held_until
    }

    /// The result of a probe that ended at `now`.
    pub fn observe(&mut self, passed: bool, now: Nanos) -> Option<Change> {
        self.probed = now;
        let agrees = match self.state {
            State::Unknown => return Some(self.enter(passed, now)),
            State::Up => passed,
            State::Down => !passed,
        };
        if agrees {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = if passed { self.params.rise } else { self.params.fall };
        if self.against < needed || (passed && now < self.held_until) {
            return None;
        }
        Some(self.enter(passed, now))
    }

    /// When to probe next, given that the last probe ended at `now`. At once if there was none yet.
    pub fn next_probe(&self, now: Nanos, rng: &mut fastrand::Rng) -> Nanos {
        let interval = nanos(self.params.interval);
        let edge = nanos(self.params.edge_interval).min(interval);
        let wait = match self.state {
            State::Unknown => return now,
            _ if self.against == 0 => interval,
            // Nothing can come of a quick probe before the hold-down is over.
            State::Down if now < self.held_until => (self.held_until - now).clamp(edge, interval),
            _ => edge,
        };
        let jitter = (rng.f64() * 2.0 - 1.0) * self.params.jitter.clamp(0.0, 0.5);
        now + (wait as f64 * (1.0 + jitter)) as Nanos
    }

    /// When to probe instead if that is sooner, after an exchange has just failed at this backend: at once, though not
    /// within `edge_interval` of the last probe. The failure itself is no verdict. `None` unless it is up.
    ///
    /// With traffic a dead backend is so down after (fall − 1) × `edge_interval`, whatever its interval.
    pub fn suspect(&self, now: Nanos) -> Option<Nanos> {
        let soonest = self.probed.saturating_add(nanos(self.params.edge_interval));
        (self.state == State::Up).then(|| now.max(soonest))
    }

    fn enter(&mut self, up: bool, now: Nanos) -> Change {
        if !up && self.state == State::Up {
            self.hold_down(now);
        }
        self.against = 0;
        self.since = now;
        self.state = if up { State::Up } else { State::Down };
        if up { Change::Up } else { Change::Down }
    }

    /// A fall soon after coming up is a flap and doubles the hold-down, from `edge_interval` on; each `hold_down_max` of
    /// being up takes one flap back.
    fn hold_down(&mut self, now: Nanos) {
        let longest = nanos(self.params.hold_down_max);
        if longest == 0 {
            return;
        }
        match now.saturating_sub(self.since) / longest {
            0 => self.flaps += 1,
            calm => self.flaps = self.flaps.saturating_sub(u32::try_from(calm).unwrap_or(u32::MAX)),
        }
        let hold = match self.flaps {
            0 => 0,
            n => nanos(self.params.edge_interval).saturating_mul(1 << (n - 1).min(40)).min(longest),
        };
        self.held_until = now.saturating_add(hold);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    /// Probes a backend from `from` to `to` at the times the checker asks for; `works` says what a probe finds then.
    /// Returns the changes and how many probes it took.
    fn run(checker: &mut Checker, from: Nanos, to: Nanos, seed: u64, works: impl Fn(Nanos) -> bool) -> (Vec<(Nanos, Change)>, u32) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut changes, mut probes) = (Vec::new(), 0);
        let mut now = checker.next_probe(from, &mut rng);
        while now < to {
            probes += 1;
            changes.extend(checker.observe(works(now), now).map(|change| (now, change)));
            let next = checker.next_probe(now, &mut rng);
            assert!(next > now);
            now = next;
        }
        (changes, probes)
    }

    fn up() -> Checker {
        let mut checker = Checker::new(Params::default());
        assert_eq!(checker.observe(true, 0), Some(Change::Up));
        checker
    }

    #[test]
    fn the_first_check_alone_decides() {
        assert_eq!(Checker::new(Params::default()).state(), State::Unknown);
        assert_eq!(up().state(), State::Up);
        let mut checker = Checker::new(Params::default());
        assert_eq!(checker.next_probe(77, &mut fastrand::Rng::with_seed(1)), 77);
        assert_eq!(checker.observe(false, 77), Some(Change::Down));
    }

    #[test]
    fn only_rows_of_results_change_the_state() {
        let mut checker = up();
        let mut observe =
            |results: &str| -> Vec<Option<Change>> { results.chars().map(|c| checker.observe(c == '+', 1000 * SECOND)).collect() };
        assert!(observe("--+--+-+--").iter().all(Option::is_none));
        assert_eq!(observe("-"), [Some(Change::Down)]);
        assert!(observe("-+-+").iter().all(Option::is_none));
        assert_eq!(observe("+"), [Some(Change::Up)]);
    }

    #[test]
    fn probes_come_every_interval_and_each_second_at_an_edge() {
        let mut checker = up();
        let mut rng = fastrand::Rng::with_seed(3);
        let mut wait = |checker: &Checker| checker.next_probe(0, &mut rng) as f64 / SECOND as f64;
        for _ in 0..1000 {
            assert!((4.5..=5.5).contains(&wait(&checker)));
        }
        checker.observe(false, 100 * SECOND);
        for _ in 0..1000 {
            assert!((0.9..=1.1).contains(&wait(&checker)));
        }
    }

    #[test]
    fn a_backend_that_dies_is_down_within_8_s_and_back_within_rise_times_interval() {
        for seed in 0..200 {
            let mut checker = Checker::new(Params::default());
            let (dies, lives) = (200 * SECOND + seed * SECOND / 37, 300 * SECOND);
            let (changes, _) = run(&mut checker, 0, 400 * SECOND, seed, |now| !(dies..lives).contains(&now));
            let [(0, Change::Up), (down, Change::Down), (up, Change::Up)] = changes[..] else {
                panic!("{changes:?}");
            };
            assert!(down - dies < 8 * SECOND && up - lives < 10 * SECOND, "{changes:?}");
        }
    }

    #[test]
    fn a_failed_exchange_hastens_the_verdict_but_is_none() {
        let mut checker = up();
        assert_eq!(checker.suspect(SECOND / 2), Some(SECOND));
        assert_eq!(checker.suspect(3 * SECOND), Some(3 * SECOND));
        assert_eq!(checker.state(), State::Up);
        let mut rng = fastrand::Rng::with_seed(3);
        let mut now = checker.suspect(3 * SECOND).unwrap();
        while checker.observe(false, now).is_none() {
            now = checker.next_probe(now, &mut rng);
        }
        assert!(now < 3 * SECOND + 23 * SECOND / 10);
        assert_eq!(checker.suspect(now), None);
    }

    #[test]
    fn a_lost_probe_now_and_then_takes_nobody_down() {
        let (changes, _) = run(&mut up(), 0, 24 * 3600 * SECOND, 5, |now| !(now / SECOND).is_multiple_of(20));
        assert!(changes.is_empty(), "{changes:?}");
    }

    /// Row F11.
    #[test]
    fn flapping_holds_down_for_longer_each_time_up_to_a_minute() {
        // Works for 10 s, fails for 10 s, and so on.
        let (changes, _) = run(&mut up(), 0, 3600 * SECOND, 9, |now| (now / (10 * SECOND)).is_multiple_of(2));
        let downs: Vec<Nanos> = changes.windows(2).filter(|w| w[0].1 == Change::Down).map(|w| w[1].0 - w[0].0).collect();
        assert!(downs.len() < 60, "{} falls in an hour of 180", downs.len());
        assert!(downs[0] < 12 * SECOND);
        assert!(downs.iter().skip(8).all(|&d| (60..90).contains(&(d / SECOND))), "{downs:?}");
    }

    /// Row F11.
    #[test]
    fn the_hold_down_doubles_and_stability_takes_it_back() {
        let mut checker = up();
        let mut now = 0;
        // Seconds for which a backend that passes every check is held down after falling `up_for` after coming up.
        let mut held = |up_for: Nanos| {
            now += up_for * SECOND;
            while checker.observe(false, now).is_none() {}
            let fell = now;
            while checker.observe(true, now).is_none() {
                assert_eq!(checker.is_held_down(now), checker.against >= 2);
                now += SECOND / 10;
            }
            (now - fell).div_ceil(SECOND)
        };
        assert_eq!(held(600), 1, "two passes, a tenth of a second apart");
        assert_eq!([held(10), held(10), held(10), held(10)], [1, 2, 4, 8]);
        assert_eq!([held(10), held(10), held(10), held(10)], [16, 32, 60, 60]);
        // Four minutes take back four doublings, a day all.
        assert_eq!(held(240), 8);
        assert_eq!(held(86_400), 1);
        assert_eq!(held(10), 1);
    }

    #[test]
    fn a_held_down_backend_is_not_probed_each_second() {
        let mut checker = up();
        checker.flaps = 10;
        assert_eq!([false; 3].map(|passed| checker.observe(passed, SECOND)), [None, None, Some(Change::Down)]);
        let (changes, probes) = run(&mut checker, SECOND, 61 * SECOND, 1, |_| true);
        assert!(changes.is_empty() && probes < 16, "{probes} {changes:?}");
        assert!(checker.is_held_down(60 * SECOND));
        let (changes, _) = run(&mut checker, 61 * SECOND, 65 * SECOND, 1, |_| true);
        assert_eq!(changes.len(), 1);
    }

    #[test]
    fn probes_of_many_backends_do_not_stay_in_step() {
        let mut rng = fastrand::Rng::with_seed(4);
        let checker = up();
        let mut times = vec![0; 100];
        for _ in 0..50 {
            for time in &mut times {
                *time = checker.next_probe(*time, &mut rng);
            }
        }
        let mut seconds = [0; 5];
        times.iter().for_each(|time| seconds[(time / SECOND % 5) as usize] += 1);
        assert!(seconds.iter().all(|&n| n > 5), "{seconds:?}");
    }
}
