//! A steady load of GETs that counts everything a client would call an error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::Connection;

/// What a load has met so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Whole answers with 200.
    pub ok: u64,
    /// Everything else, one line each.
    pub errors: Vec<String>,
    /// Good answers by the backend that gave them.
    pub by_backend: BTreeMap<String, u64>,
    /// Time to the whole answer, from when the request was due: a stall counts for every request it delayed.
    pub latencies: Vec<Duration>,
}

impl Tally {
    /// The latency that this share of requests stayed within; zero without requests.
    pub fn quantile(&self, q: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = ((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }
}

/// A running load; ends when stopped or dropped.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    /// `rate` GETs of `path` a second from `clients` clients, each of which takes a new connection after every `fresh_every` requests.
    pub fn start(to: SocketAddr, path: &str, rate: u32, clients: u32, fresh_every: u32) -> Self {
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let gap = Duration::from_secs(1) * clients / rate.max(1);
        let threads = (0..clients).map(|n| {
            let client = Client {
                to,
                request: format!("GET {path} HTTP/1.1\r\nHost: load\r\n\r\n").into_bytes(),
                fresh_every: fresh_every.max(1),
                tally: Arc::clone(&tally),
                stop: Arc::clone(&stop),
            };
            // Spread over the gap, so that the rate is steady from the start.
            thread::spawn(move || client.run(gap * n / clients, gap))
        });
        Self { threads: threads.collect(), tally, stop }
    }

    /// What it has met so far.
    pub fn tally(&self) -> Tally {
        self.tally.lock().expect("no panic while held").clone()
    }

    /// Ends it and returns what it met.
    ///
    /// # Panics
    /// Never but for a fault of its own.
    pub fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a load client never panics");
        }
        self.tally()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Client {
    to: SocketAddr,
    request: Vec<u8>,
    fresh_every: u32,
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
}

impl Client {
    fn run(&self, delay: Duration, gap: Duration) {
        let mut due = Instant::now() + delay;
        let mut connection = None;
        for n in 1.. {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let outcome = self.request(&mut connection);
            let keep = outcome.is_ok() && n % self.fresh_every != 0;
            self.count(outcome, due);
            if !keep {
                connection = None;
            }
            // Not from now: an answer that was late must not lower the rate. But no burst to catch up after a long stall.
            due = (due + gap).max(Instant::now() - gap * 10);
        }
    }

    fn request(&self, connection: &mut Option<Connection>) -> Result<Option<String>, String> {
        if connection.is_none() {
            *connection = Some(Connection::open(self.to).map_err(|e| format!("connect: {e}"))?);
        }
        let Some(open) = connection.as_mut() else {
            return Err("no connection".to_owned());
        };
        let answer = open.exchange(&self.request)?;
        if answer.head.has_token("connection", "close") {
            *connection = None;
        }
        match (answer.status, answer.complete) {
            (200, true) => Ok(answer.backend()),
            (status, complete) => Err(format!("{status}, complete: {complete}, {}", answer.text())),
        }
    }

    fn count(&self, outcome: Result<Option<String>, String>, due: Instant) {
        let mut tally = self.tally.lock().expect("no panic while held");
        match outcome {
            Ok(backend) => {
                tally.ok += 1;
                *tally.by_backend.entry(backend.unwrap_or_else(|| "?".to_owned())).or_default() += 1;
                tally.latencies.push(due.elapsed());
            }
            Err(error) => tally.errors.push(error),
        }
    }
}
