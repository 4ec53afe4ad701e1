//! Circuit breakers: stops sending where too much fails or is too slow, and finds out carefully whether that has passed.
//!
//! Closed, it counts outcomes over a window. Open, it admits nobody for a while. Half-open, it admits probes: one at first, and
//! one more at a time for each that went well, until enough in a row close it; one that fails opens it again. The state is one
//! word, so that all workers go by one truth. Source: Nygard, "Release It!", 2007; the ramp is ours.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use crate::measure::{Counts, Window};
use crate::{Nanos, nanos};

/// When a breaker opens and how it closes (`breaker =`).
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Share of failed attempts that opens it. Default: 0.5, or `None` where only [`Params::latency`] is set. Unit: fraction.
    pub error_rate: Option<f64>,
    /// From when on an attempt is slow, to the head of its answer. Default: `None`, none is.
    pub latency: Option<Duration>,
    /// Share of slow attempts that opens it. Default: 0.5. Unit: fraction.
    pub slow_rate: f64,
    /// Over which the shares are taken. Default: 10 s.
    pub window: Duration,
    /// Attempts in the window below which its shares say nothing. Default: 20.
    pub minimum: u32,
    /// How long it stays open. Default: 30 s.
    pub open: Duration,
    /// Probes in a row that must go well to close it. Default: 3. Range: 1 to 255.
    pub probes: u8,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            error_rate: Some(0.5),
            latency: None,
            slow_rate: 0.5,
            window: Duration::from_secs(10),
            minimum: 20,
            open: Duration::from_secs(30),
            probes: 3,
        }
    }
}

impl Params {
    fn trips(&self, counts: Counts) -> bool {
        let share = |n: u32, least: f64| f64::from(n) >= least * f64::from(counts.all);
        let fails = self.error_rate.is_some_and(|least| share(counts.failed, least));
        let is_slow = self.latency.is_some() && share(counts.slow, self.slow_rate);
        counts.all >= self.minimum && (fails || is_slow)
    }
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// Probes.
    HalfOpen,
}

impl State {
    /// The word for status, metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Leave to make one attempt; to be given back with [`Breaker::settle`] or [`Breaker::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a probe that is not settled keeps others from being made"]
pub enum Pass {
    /// It was closed.
    Free,
    /// It was half-open; of the round of this number.
    Probe(u8),
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// No answer, or one with a status from 500 on.
    pub failed: bool,
    /// Slower than [`Params::latency`].
    pub slow: bool,
}

/// One breaker, shared by all workers.
#[derive(Debug, Default)]
pub struct Breaker {
    word: AtomicU64,
    opened: AtomicU64,
    window: Window,
}

/// What the word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    phase: Phase,
    /// Counts the times it was open, so that a late probe of an earlier round is told apart.
    round: u8,
    /// Probes that went well.
    good: u8,
    /// Probes that run.
    running: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    /// Until this millisecond.
    Open(u64),
    HalfOpen,
}

const MS: Nanos = 1_000_000;
/// 38 bits of milliseconds last for eight years.
const UNTIL_MASK: u64 = (1 << 38) - 1;

impl Word {
    fn unpack(word: u64) -> Self {
        let until = (word >> 24) & UNTIL_MASK;
        let phase = match word >> 62 {
            0 => Phase::Closed,
            1 => Phase::Open(until),
            _ => Phase::HalfOpen,
        };
        Self { phase, round: (word >> 16) as u8, good: (word >> 8) as u8, running: word as u8 }
    }

    fn pack(self) -> u64 {
        let phase = match self.phase {
            Phase::Closed => 0,
            Phase::Open(until) => 1 << 62 | (until & UNTIL_MASK) << 24,
            Phase::HalfOpen => 2 << 62,
        };
        phase | u64::from(self.round) << 16 | u64::from(self.good) << 8 | u64::from(self.running)
    }

    /// The word once one more attempt is let through; `None` if none is.
    fn admit(self, params: &Params, now: Nanos) -> Option<Self> {
        match self.phase {
            Phase::Closed => Some(self),
            Phase::Open(until) if now / MS < until => None,
            Phase::Open(_) => Some(Self { phase: Phase::HalfOpen, good: 0, running: 1, ..self }),
            Phase::HalfOpen => {
                let most = self.good.saturating_add(1).min(params.probes);
                (self.running < most).then(|| Self { running: self.running + 1, ..self })
            }
        }
    }

    fn opened(self, params: &Params, now: Nanos) -> Self {
        let until = now.saturating_add(nanos(params.open)).div_ceil(MS);
        Self { phase: Phase::Open(until), round: self.round.wrapping_add(1), good: 0, running: 0 }
    }
}

impl Breaker {
    /// Whether an attempt would be let through now. One load when it's closed.
    pub fn admits(&self, params: &Params, now: Nanos) -> bool {
        let word = self.word.load(SeqCst);
        word >> 62 == 0 || Word::unpack(word).admit(params, now).is_some()
    }

    /// Lets an attempt through, or not.
    pub fn enter(&self, params: &Params, now: Nanos) -> Option<Pass> {
        let mut word = self.word.load(SeqCst);
        loop {
            let before = Word::unpack(word);
            let after = before.admit(params, now)?;
            if after.phase == Phase::Closed {
                return Some(Pass::Free);
            }
            match self.word.compare_exchange_weak(word, after.pack(), SeqCst, SeqCst) {
                Ok(_) => return Some(Pass::Probe(after.round)),
                Err(other) => word = other,
            }
        }
    }

    /// Takes note of how an attempt went. The state it has come into, if that is news: who may be picked has changed then.
    ///
    /// Cost while it's closed: one compare-and-swap, and ten loads after a bad outcome.
    pub fn settle(&self, params: &Params, pass: Pass, outcome: Outcome, now: Nanos) -> Option<State> {
        let is_bad = outcome.failed || outcome.slow;
        match pass {
            Pass::Free => {
                let counts = Counts { all: 1, failed: u32::from(outcome.failed), slow: u32::from(outcome.slow) };
                self.window.add(counts, now, params.window);
                if is_bad { self.judge(params, now) } else { None }
            }
            Pass::Probe(round) => self.change(|word| {
                if word.phase != Phase::HalfOpen || word.round != round {
                    return None;
                }
                if is_bad {
                    return Some(word.opened(params, now));
                }
                let (good, running) = (word.good.saturating_add(1), word.running.saturating_sub(1));
                Some(if good >= params.probes {
                    Word { phase: Phase::Closed, good: 0, running: 0, ..word }
                } else {
                    Word { good, running, ..word }
                })
            }),
        }
    }

    /// An attempt that seemed to go well has failed after all: its answer broke off.
    pub fn amend(&self, params: &Params, now: Nanos) -> Option<State> {
        self.window.add(Counts { all: 0, failed: 1, slow: 0 }, now, params.window);
        self.judge(params, now)
    }

    /// Gives a pass back whose attempt says nothing of the backend: the client went away.
    pub fn cancel(&self, pass: Pass) {
        let Pass::Probe(round) = pass else { return };
        self.change(|word| {
            let is_ours = word.phase == Phase::HalfOpen && word.round == round;
            is_ours.then(|| Word { running: word.running.saturating_sub(1), ..word })
        });
    }

    fn judge(&self, params: &Params, now: Nanos) -> Option<State> {
        if !params.trips(self.window.counts(now, params.window)) {
            return None;
        }
        self.change(|word| (word.phase == Phase::Closed).then(|| word.opened(params, now)))
    }

    /// Changes the word. The new state, if it's another.
    fn change(&self, mut next: impl FnMut(Word) -> Option<Word>) -> Option<State> {
        let mut word = self.word.load(SeqCst);
        loop {
            let before = Word::unpack(word);
            let after = next(before)?;
            match self.word.compare_exchange_weak(word, after.pack(), SeqCst, SeqCst) {
                Ok(_) if before.phase == after.phase => return None,
                Ok(_) => {
                    match after.phase {
                        // What was counted before must not open it again.
                        Phase::Closed => self.window.clear(),
                        Phase::Open(_) => _ = self.opened.fetch_add(1, Relaxed),
                        Phase::HalfOpen => {}
                    }
                    return Some(state(after.phase));
                }
                Err(other) => word = other,
            }
        }
    }

    /// What it lets through at `now`.
    pub fn state(&self, now: Nanos) -> State {
        match Word::unpack(self.word.load(SeqCst)).phase {
            Phase::Open(until) if now / MS >= until => State::HalfOpen,
            phase => state(phase),
        }
    }

    /// Until when it lets nobody through; 0 if it does.
    pub fn open_until(&self) -> Nanos {
        match Word::unpack(self.word.load(SeqCst)).phase {
            Phase::Open(until) => until * MS,
            _ => 0,
        }
    }

    /// How often it has opened.
    pub fn times_opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// What its window holds.
    pub fn counts(&self, params: &Params, now: Nanos) -> Counts {
        self.window.counts(now, params.window)
    }
}

fn state(phase: Phase) -> State {
    match phase {
        Phase::Closed => State::Closed,
        Phase::Open(_) => State::Open,
        Phase::HalfOpen => State::HalfOpen,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const SECOND: Nanos = 1_000_000_000;
    const GOOD: Outcome = Outcome { failed: false, slow: false };
    const BAD: Outcome = Outcome { failed: true, slow: false };
    const SLOW: Outcome = Outcome { failed: false, slow: true };

    fn one(breaker: &Breaker, params: &Params, outcome: Outcome, now: Nanos) -> Option<State> {
        breaker.settle(params, breaker.enter(params, now).unwrap(), outcome, now)
    }

    /// A breaker that opened at 1 s and is half-open from 31 s on.
    fn opened(params: &Params) -> Breaker {
        let breaker = Breaker::default();
        let news: Vec<State> = (0..params.minimum).filter_map(|_| one(&breaker, params, BAD, SECOND)).collect();
        assert_eq!(news, [State::Open]);
        breaker
    }

    #[test]
    fn half_of_twenty_failing_opens_it_and_nineteen_say_nothing() {
        let (breaker, params) = (Breaker::default(), Params::default());
        assert!((0..19).all(|k| one(&breaker, &params, if k % 2 == 0 { BAD } else { GOOD }, SECOND).is_none()));
        assert_eq!(one(&breaker, &params, BAD, SECOND), Some(State::Open));
        assert_eq!((breaker.enter(&params, 2 * SECOND), breaker.admits(&params, 2 * SECOND)), (None, false));
        assert_eq!((breaker.open_until(), breaker.times_opened()), (31 * SECOND, 1));
        let calm = Breaker::default();
        assert!((0..1000).all(|k| one(&calm, &params, if k % 3 == 0 { BAD } else { GOOD }, k * SECOND / 50).is_none()));
    }

    #[test]
    fn what_failed_before_the_window_is_forgotten() {
        let (breaker, params) = (Breaker::default(), Params::default());
        assert!((0..19).all(|_| one(&breaker, &params, BAD, SECOND).is_none()));
        assert!((0..19).all(|_| one(&breaker, &params, BAD, 12 * SECOND).is_none()));
    }

    #[test]
    fn slow_ones_open_it_where_a_latency_is_set() {
        let params = Params { error_rate: None, latency: Some(Duration::from_secs(1)), ..Params::default() };
        let breaker = Breaker::default();
        assert!((0..100).all(|_| one(&breaker, &params, BAD, SECOND).is_none()), "no error rate is set");
        let news: Vec<State> = (0..100)
            .map_while(|_| breaker.enter(&params, 9 * SECOND))
            .filter_map(|pass| breaker.settle(&params, pass, SLOW, 9 * SECOND))
            .collect();
        assert_eq!(news, [State::Open]);
        let fast = Params { latency: None, ..Params::default() };
        let breaker = Breaker::default();
        assert!((0..100).all(|_| one(&breaker, &fast, SLOW, SECOND).is_none()));
    }

    #[test]
    fn half_open_it_admits_one_probe_then_two_then_three() {
        let params = Params { probes: 10, ..Params::default() };
        let breaker = opened(&params);
        let now = 31 * SECOND;
        assert_eq!((breaker.state(now - MS), breaker.state(now)), (State::Open, State::HalfOpen));
        let room = || {
            let passes: Vec<Pass> = std::iter::from_fn(|| breaker.enter(&params, now)).collect();
            passes.iter().for_each(|pass| breaker.cancel(*pass));
            passes.len()
        };
        for good in 0..10 {
            assert_eq!(room(), good + 1);
            assert_eq!(one(&breaker, &params, GOOD, now), (good == 9).then_some(State::Closed));
            if good == 9 {
                break;
            }
        }
        assert_eq!(breaker.state(now), State::Closed);
    }

    #[test]
    fn three_good_probes_close_it_and_old_failures_do_not_open_it_again() {
        let params = Params { window: Duration::from_secs(600), ..Params::default() };
        let breaker = opened(&params);
        let news: Vec<Option<State>> = (0..3).map(|_| one(&breaker, &params, GOOD, 31 * SECOND)).collect();
        assert_eq!(news, [None, None, Some(State::Closed)]);
        assert!((0..19).all(|_| one(&breaker, &params, BAD, 32 * SECOND).is_none()));
    }

    #[test]
    fn a_failed_probe_opens_it_again_and_late_ones_of_that_round_say_nothing() {
        let params = Params::default();
        let breaker = opened(&params);
        assert_eq!(one(&breaker, &params, GOOD, 31 * SECOND), None);
        let [first, late] = [0; 2].map(|_| breaker.enter(&params, 31 * SECOND).unwrap());
        assert_eq!(breaker.settle(&params, first, BAD, 32 * SECOND), Some(State::Open));
        assert_eq!(breaker.settle(&params, late, GOOD, 33 * SECOND), None);
        let next = breaker.enter(&params, 62 * SECOND).unwrap();
        breaker.cancel(late);
        assert_eq!(breaker.enter(&params, 62 * SECOND), None, "the late one holds no place of this round");
        breaker.cancel(next);
        assert!(breaker.enter(&params, 62 * SECOND).is_some());
    }

    #[test]
    fn answers_that_break_off_count_as_failed() {
        let (breaker, params) = (Breaker::default(), Params::default());
        let mut news = Vec::new();
        for _ in 0..40 {
            let Some(pass) = breaker.enter(&params, SECOND) else { break };
            news.extend(breaker.settle(&params, pass, GOOD, SECOND));
            news.extend(breaker.amend(&params, SECOND));
        }
        assert_eq!(news, [State::Open]);
    }

    #[test]
    fn workers_that_probe_at_once_get_one_pass() {
        let params = Params::default();
        for _ in 0..50 {
            let breaker = opened(&params);
            let passes: usize = std::thread::scope(|scope| {
                let probe = || (0..10).filter(|_| breaker.enter(&params, 40 * SECOND).is_some()).count();
                let workers = [0; 4].map(|_| scope.spawn(probe));
                workers.into_iter().map(|worker| worker.join().unwrap()).sum()
            });
            assert_eq!(passes, 1);
        }
    }

    proptest! {
        #[test]
        fn a_word_holds_what_was_packed(phase in 0..3u8, until in 0..=UNTIL_MASK, round: u8, good: u8, running: u8) {
            let phase = [Phase::Closed, Phase::Open(until), Phase::HalfOpen][usize::from(phase)];
            let word = Word { phase, round, good, running };
            prop_assert_eq!(Word::unpack(word.pack()), word);
        }

        /// Whatever happens in whatever order: places of probes are never lost, and never more than the ramp allows.
        #[test]
        fn probes_never_exceed_the_ramp_and_never_get_stuck(steps in prop::collection::vec((0..6u8, any::<prop::sample::Index>()), 0..300)) {
            let params = Params { minimum: 3, open: Duration::from_secs(1), ..Params::default() };
            let breaker = Breaker::default();
            let (mut now, mut held): (Nanos, Vec<Pass>) = (SECOND, Vec::new());
            for (step, which) in steps {
                match step {
                    0 | 1 => held.extend(breaker.enter(&params, now)),
                    2 => now += SECOND / 3,
                    _ if held.is_empty() => {}
                    _ => {
                        let pass = held.swap_remove(which.index(held.len()));
                        match step {
                            3 => _ = breaker.settle(&params, pass, BAD, now),
                            4 => _ = breaker.settle(&params, pass, GOOD, now),
                            _ => breaker.cancel(pass),
                        }
                    }
                }
                let word = Word::unpack(breaker.word.load(SeqCst));
                let ours = held.iter().filter(|pass| **pass == Pass::Probe(word.round)).count();
                if word.phase == Phase::HalfOpen {
                    prop_assert_eq!(usize::from(word.running), ours);
                    prop_assert!(word.good < params.probes && word.running <= params.probes);
                }
            }
            held.drain(..).for_each(|pass| breaker.cancel(pass));
            prop_assert!(breaker.enter(&params, now + 2 * SECOND).is_some());
        }
    }
}
