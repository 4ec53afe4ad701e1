//! What happened: cells that one worker writes and only a reader adds up.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use policy::measure::{BUCKETS, bucket_of, value_of};

use crate::error::Reason;

/// A count that one worker writes. No read-modify-write: the reader may be one behind, the writer never waits.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One worker's cells of one backend.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct BackendCells {
    pub(crate) attempts: Count,
    pub(crate) failures: Count,
    /// By the first digit of the status, 1 to 5.
    pub(crate) answers: [Count; 5],
    pub(crate) stale: Count,
    pub(crate) unasked: Count,
}

/// What became of a session in a sticky pool.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stay {
    Kept,
    Begun,
    Moved,
}

/// One worker's cells of one pool.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct PoolCells {
    pub(crate) exchanges: Count,
    pub(crate) errors: Count,
    pub(crate) retries: Count,
    /// By [`Stay`].
    pub(crate) sessions: [Count; 3],
    pub(crate) latency: Latencies,
}

/// A histogram that one worker writes.
#[derive(Debug)]
pub(crate) struct Latencies {
    buckets: Box<[Count]>,
    sum: Count,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Count::default()).collect(), sum: Count::default() }
    }
}

impl Latencies {
    pub(crate) fn record(&self, ns: u64) {
        self.buckets[bucket_of(ns)].add(1);
        self.sum.add(ns);
    }
}

/// One worker's cells that belong to no pool.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerCells {
    /// Connections open now; other workers read it to hand connections on.
    pub(crate) open: AtomicU32,
    pub(crate) accepted: Count,
    pub(crate) handed_on: Count,
    pub(crate) exchanges: Count,
    pub(crate) answers: [Count; 5],
    pub(crate) reasons: Box<[Count]>,
    pub(crate) log_lost: Count,
    pub(crate) panics: Count,
    pub(crate) accept_pauses: Count,
    pub(crate) crowded: Count,
    /// 1 while the worker has a connection to the store of shared limits.
    pub(crate) store_up: AtomicU32,
    pub(crate) store_failures: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
}

impl Default for WorkerCells {
    fn default() -> Self {
        Self {
            open: AtomicU32::new(0),
            accepted: Count::default(),
            handed_on: Count::default(),
            exchanges: Count::default(),
            answers: Default::default(),
            reasons: Reason::ALL.iter().map(|_| Count::default()).collect(),
            log_lost: Count::default(),
            panics: Count::default(),
            accept_pauses: Count::default(),
            crowded: Count::default(),
            store_up: AtomicU32::new(0),
            store_failures: Count::default(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
        }
    }
}

impl WorkerCells {
    pub(crate) fn reason(&self, reason: Reason) -> &Count {
        &self.reasons[reason as usize]
    }
}

/// The sums of all workers at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Client connections open now.
    pub open: u64,
    /// Client connections accepted since the start.
    pub accepted: u64,
    /// Of these, given to a less busy worker.
    pub handed_on: u64,
    /// Exchanges ended since the start.
    pub exchanges: u64,
    /// Of these, by the first digit of their status, 1 to 5.
    pub answers: [u64; 5],
    /// How often each [`Reason`] was given, in the order of [`Reason::ALL`].
    pub reasons: Vec<(&'static str, u64)>,
    /// Access log lines lost because the log could not be written fast enough.
    pub log_lost: u64,
    /// Exchanges ended by a fault of ours.
    pub panics: u64,
    /// Times accepting paused because descriptors ran out.
    pub accept_pauses: u64,
    /// Client connections closed at once because their address had as many as it may.
    pub crowded: u64,
    /// Workers with a connection to the store of shared limits.
    pub store_up: u64,
    /// Times a connection to it failed or did not answer in time.
    pub store_failures: u64,
    /// Bytes of request bodies and tunnels read from clients.
    pub bytes_in: u64,
    /// Bytes of answer bodies and tunnels written to clients.
    pub bytes_out: u64,
}

impl Totals {
    pub(crate) fn sum<'a>(workers: impl Iterator<Item = &'a WorkerCells>) -> Self {
        let mut total = Self { reasons: Reason::ALL.iter().map(|reason| (reason.word(), 0)).collect(), ..Self::default() };
        for cells in workers {
            total.open += u64::from(cells.open.load(Relaxed));
            total.accepted += cells.accepted.get();
            total.handed_on += cells.handed_on.get();
            total.exchanges += cells.exchanges.get();
            total.log_lost += cells.log_lost.get();
            total.panics += cells.panics.get();
            total.accept_pauses += cells.accept_pauses.get();
            total.crowded += cells.crowded.get();
            total.store_up += u64::from(cells.store_up.load(Relaxed));
            total.store_failures += cells.store_failures.get();
            total.bytes_in += cells.bytes_in.get();
            total.bytes_out += cells.bytes_out.get();
            for (sum, count) in total.answers.iter_mut().zip(&cells.answers) {
                *sum += count.get();
            }
            for (sum, count) in total.reasons.iter_mut().zip(&cells.reasons) {
                sum.1 += count.get();
            }
        }
        total
    }
}

/// The sums of one pool.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolTotals {
    /// Exchanges sent to the pool.
    pub exchanges: u64,
    /// Of these, answered with an error of ours instead of a backend's answer.
    pub errors: u64,
    /// Attempts made again.
    pub retries: u64,
    /// Answers of a sticky pool to clients that stayed with their backend, that had none yet, and that left one for another.
    pub sessions: [u64; 3],
    /// Sum of all latencies. Unit: nanoseconds.
    pub latency_sum: u64,
    /// Latencies by bucket of `policy::measure`.
    pub latency: Vec<u64>,
}

impl PoolTotals {
    pub(crate) fn sum(cells: &[PoolCells]) -> Self {
        let mut total = Self { latency: vec![0; BUCKETS], ..Self::default() };
        for cell in cells {
            total.exchanges += cell.exchanges.get();
            total.errors += cell.errors.get();
            total.retries += cell.retries.get();
            for (sum, count) in total.sessions.iter_mut().zip(&cell.sessions) {
                *sum += count.get();
            }
            total.latency_sum += cell.latency.sum.get();
            for (sum, bucket) in total.latency.iter_mut().zip(&cell.latency.buckets) {
                *sum += bucket.get();
            }
        }
        total
    }

    /// The latency that the share `q` of the exchanges did not exceed. Unit: nanoseconds; 0 without any.
    pub fn quantile(&self, q: f64) -> u64 {
        let count: u64 = self.latency.iter().sum();
        let rank = ((count as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, n) in self.latency.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return value_of(bucket);
            }
        }
        0
    }
}

/// The sums of one backend.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BackendTotals {
    /// Attempts made.
    pub attempts: u64,
    /// Of these, ended without an answer.
    pub failures: u64,
    /// Answers by the first digit of their status, 1 to 5.
    pub answers: [u64; 5],
    /// Kept connections that were closed under a request.
    pub stale: u64,
    /// Connections closed because of bytes nobody had asked for.
    pub unasked: u64,
}

impl BackendTotals {
    pub(crate) fn sum(cells: &[BackendCells]) -> Self {
        let mut total = Self::default();
        for cell in cells {
            total.attempts += cell.attempts.get();
            total.failures += cell.failures.get();
            total.stale += cell.stale.get();
            total.unasked += cell.unasked.get();
            for (sum, count) in total.answers.iter_mut().zip(&cell.answers) {
                *sum += count.get();
            }
        }
        total
    }
}
