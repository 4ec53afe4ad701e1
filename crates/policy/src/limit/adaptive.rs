//! A limit of concurrent exchanges that finds itself: as many as a pool can serve without a line growing behind its sockets.
//!
//! Window by window the mean latency is held against the base, which is the latency of an unhurried pool. As long as it stays within
//! `tolerance` the limit grows by its square root, and only while it's made use of; beyond, it shrinks in proportion (the gradient of
//! Netflix's concurrency-limits, Gradient2; the headroom is Envoy's too). A pool under constant load never shows its base, and an average
//! of what it shows would take the line for normal; so, as Envoy does, the limit of one that is slow is cut now and then for one window to
//! look.
//!
//! All is atomics. Whoever's sample ends a window does its sum, and nobody waits for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use crate::{Nanos, nanos};

/// Samples below which a window goes on.
const MINIMUM: u32 = 10;
/// Windows from one look at the base to the next while looks still find something new.
const SOON: u64 = 3;
/// Windows after which a look that saw too little is given up.
const PATIENCE: u64 = 4;

/// The bounds and the pace of such a limit (`adaptive_concurrency =`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// Never below. Default: 8. Range: 1 to `max`.
    pub min: u32,
    /// Never above. Default: 1000.
    pub max: u32,
    /// At first. Default: 32. Range: `min` to `max`.
    pub start: u32,
    /// How often it moves. Default: 1 s.
    pub window: Duration,
    /// How many times the base latency is still good. Default: 1.5. Range: 1 to 10.
    pub tolerance: f64,
    /// How often the base is looked at while the pool is busy. Default: 1 min.
    pub relearn: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self { min: 8, max: 1000, start: 32, window: Duration::from_secs(1), tolerance: 1.5, relearn: Duration::from_secs(60) }
    }
}

/// The limit of one pool, shared by all workers.
#[derive(Debug)]
pub struct Adaptive {
    params: Params,
    /// In force now.
    limit: AtomicU32,
    running: AtomicU32,
    refused: AtomicU64,
    /// Most that ran in this window.
    peak: AtomicU32,
    samples: AtomicU32,
    sum: AtomicU64,
    /// When this window may end; 0 before the first sample, `Nanos::MAX` while somebody does its sum.
    ends: AtomicU64,
    /// Only whoever does the sum writes what follows. The limit found, as the bits of an `f64`.
    found: AtomicU64,
    /// Unit: nanoseconds; 0 is unknown.
    base: AtomicU64,
    /// The limit is cut to see the base.
    looks: AtomicBool,
    next_look: AtomicU64,
    /// Exchanges that began earlier say nothing of this window.
    counts_from: AtomicU64,
}

/// One that runs; counted until it is dropped.
#[derive(Debug)]
pub struct Running(Arc<Adaptive>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Adaptive {
    /// Begins at `start` and knows nothing.
    pub fn new(params: Params) -> Self {
        Self {
            params,
            limit: AtomicU32::new(params.start),
            running: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            peak: AtomicU32::new(0),
            samples: AtomicU32::new(0),
            sum: AtomicU64::new(0),
            ends: AtomicU64::new(0),
            found: AtomicU64::new(f64::from(params.start).to_bits()),
            base: AtomicU64::new(0),
            looks: AtomicBool::new(false),
            next_look: AtomicU64::new(0),
            counts_from: AtomicU64::new(0),
        }
    }

    /// What it was made for.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Counts one more if the limit allows it. Workers that see the last place at once don't all get it.
    pub fn claim(self: &Arc<Self>, now: Nanos) -> Option<Running> {
        let limit = self.limit.load(Relaxed);
        let Ok(before) = self.running.fetch_update(SeqCst, SeqCst, |n| (n < limit).then(|| n + 1)) else {
            self.refused.fetch_add(1, Relaxed);
            self.peak.fetch_max(limit, Relaxed);
            // A look at a pool that answers nothing good must not last.
            self.end_window(now);
            return None;
        };
        if self.peak.load(Relaxed) <= before {
            self.peak.fetch_max(before + 1, Relaxed);
        }
        Some(Running(self.clone()))
    }

    /// Takes in the latency of one that was answered just now, or in vain waited so long.
    pub fn sample(&self, took: Nanos, now: Nanos) {
        if now.saturating_sub(took) < self.counts_from.load(Relaxed) {
            return;
        }
        self.sum.fetch_add(took.max(1), Relaxed);
        self.samples.fetch_add(1, Relaxed);
        self.end_window(now);
    }

    /// The most that may run now.
    pub fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    /// How many run now.
    pub fn running(&self) -> u32 {
        self.running.load(Relaxed)
    }

    /// How many were refused since it began.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The latency of the pool when it isn't hurried; 0 is unknown. Unit: nanoseconds.
    pub fn base(&self) -> Nanos {
        self.base.load(Relaxed)
    }

    /// Does the sum of the window if it is over and nobody else does.
    fn end_window(&self, now: Nanos) {
        let ends = self.ends.load(Relaxed);
        let window = nanos(self.params.window);
        if now < ends {
            return;
        }
        let is_given_up = self.looks.load(Relaxed) && now >= ends.saturating_add(PATIENCE * window);
        if ends != 0 && self.samples.load(Relaxed) < MINIMUM && !is_given_up {
            return;
        }
        if self.ends.compare_exchange(ends, Nanos::MAX, SeqCst, SeqCst).is_err() {
            return;
        }
        if ends == 0 {
            self.next_look.store(now.saturating_add(SOON * window), Relaxed);
        } else {
            self.settle(now, window);
        }
        self.ends.store(now.saturating_add(window).min(Nanos::MAX - 1), SeqCst);
    }

    fn settle(&self, now: Nanos, window: Nanos) {
        let samples = self.samples.swap(0, Relaxed);
        let sum = self.sum.swap(0, Relaxed);
        let peak = self.peak.swap(self.running(), Relaxed);
        let mean = (samples > 0).then(|| (sum / u64::from(samples)).max(1));
        let mut found = f64::from_bits(self.found.load(Relaxed));
        if self.looks.load(Relaxed) {
            self.end_look(mean, now, window);
        } else if let Some(mean) = mean {
            found = self.follow(found, mean, peak, now);
            self.found.store(found.to_bits(), Relaxed);
            let is_due = now >= self.next_look.load(Relaxed);
            if is_due && !self.is_quiet(peak, found) && self.is_hurried(mean) {
                self.looks.store(true, Relaxed);
                self.counts_from.store(now, Relaxed);
                self.limit.store(self.cut(found), Relaxed);
                return;
            }
        }
        self.limit.store(found as u32, Relaxed);
    }

    /// Goes by what the cut limit has shown.
    fn end_look(&self, mean: Option<Nanos>, now: Nanos, window: Nanos) {
        self.looks.store(false, Relaxed);
        self.counts_from.store(0, Relaxed);
        let before = self.base.load(Relaxed);
        let base = mean.unwrap_or(before);
        self.base.store(base, Relaxed);
        let is_news = !(0.8..1.25).contains(&(base as f64 / before.max(1) as f64));
        let wait = if is_news { SOON * window } else { nanos(self.params.relearn) };
        self.next_look.store(now.saturating_add(wait), Relaxed);
    }

    /// The limit after a window of this mean latency.
    fn follow(&self, found: f64, mean: Nanos, peak: u32, now: Nanos) -> f64 {
        let mut base = self.base.load(Relaxed);
        if base == 0 || mean < base {
            base = mean;
        } else if self.is_quiet(peak, found) {
            // As good as a look; in small steps, since what is slow for a moment is not the base.
            base += (mean - base) / 10;
            self.next_look.store(now.saturating_add(nanos(self.params.relearn)), Relaxed);
        }
        self.base.store(base, Relaxed);
        if f64::from(peak) * 2.0 < found {
            return found;
        }
        let gradient = (self.params.tolerance * base as f64 / mean as f64).clamp(0.5, 1.0);
        (found * gradient + found.sqrt()).clamp(f64::from(self.params.min), f64::from(self.params.max))
    }

    /// Few enough for no line, if `found` is what the pool can just bear within the tolerance.
    fn is_quiet(&self, peak: u32, found: f64) -> bool {
        f64::from(peak) <= found / (2.0 * self.params.tolerance)
    }

    /// Slow enough for a look to be worth what it costs, which are the exchanges that it refuses.
    fn is_hurried(&self, mean: Nanos) -> bool {
        mean as f64 > self.base() as f64 * (1.0 + self.params.tolerance) / 2.0
    }

    /// The limit of a look.
    fn cut(&self, found: f64) -> u32 {
        ((found / (2.0 * self.params.tolerance)) as u32).max(self.params.min)
    }
}

#[cfg(test)]
mod tests;
