//! The load of `demo --chaos`: a steady stream of GETs whose clients count everything a user would call an error.
//!
//! On a thread of its own, so that it sees the proxy from outside and not from the runtime it is controlled by.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use policy::measure::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wire::h1::{Body, Limits, Method, Progress, Response, Status};

use crate::boot;

/// Clients at one time. Half of them take a new connection for every request.
const CLIENTS: u32 = 20;
/// Requests on one connection of the other half.
const KEPT_FOR: u64 = 100;
/// A client that waits longer gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many failures are kept in words.
const SHOWN: usize = 3;

/// What the clients have met so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// The first few failures in words.
    pub(super) failures: Vec<String>,
    /// Good answers by the backend that gave them.
    pub(super) answered: BTreeMap<String, u64>,
    /// From when a request was due to its whole answer: a stall counts for every request it delayed.
    pub(super) latencies: Histogram,
}

impl Tally {
    fn fail(&mut self, failure: String) {
        self.failed += 1;
        if self.failures.len() < SHOWN {
            self.failures.push(failure);
        }
    }
}

/// A running load; ends when stopped or dropped.
#[derive(Debug)]
pub(super) struct Load {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Sends `rate` requests a second for `duration`, or until it is stopped.
    pub(super) fn start(to: SocketAddr, rate: u32, duration: Option<Duration>) -> anyhow::Result<Self> {
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let (counted, stopped) = (tally.clone(), stop.clone());
        let runtime = boot::runtime()?;
        let work = move || LocalSet::new().block_on(&runtime, run(to, rate, duration, counted, stopped));
        let thread = std::thread::Builder::new().name("load".to_owned()).spawn(work)?;
        Ok(Self { tally, stop, thread: Some(thread) })
    }

    /// What it has met so far.
    pub(super) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Ends it, once every client has its answer, and says what it met.
    pub(super) async fn stop(&mut self) -> Tally {
        self.stop.store(true, Relaxed);
        while !self.is_done() {
            sleep(Duration::from_millis(5)).await;
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            lock(&self.tally).fail("the load itself broke off".to_owned());
        }
        self.tally()
    }

    /// Whether every request was sent and answered.
    pub(super) fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// The clients' tasks cannot panic while they hold it; whatever happened, the figures stand.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(to: SocketAddr, rate: u32, duration: Option<Duration>, tally: Arc<Mutex<Tally>>, stop: Arc<AtomicBool>) {
    let start = Instant::now();
    let clients = CLIENTS.min(rate);
    let gap = Duration::from_secs(1) * clients / rate;
    let tasks: Vec<_> = (0..clients)
        .map(|n| {
            let client = Client {
                to,
                request: format!("GET / HTTP/1.1\r\nHost: {to}\r\nUser-Agent: evenkeel-demo\r\n\r\n").into_bytes(),
                kept_for: if n % 2 == 0 { KEPT_FOR } else { 1 },
                tally: tally.clone(),
                stop: stop.clone(),
            };
            // Spread over the gap, so that the rate is steady from the start.
            let first = start + gap * n / clients;
            tokio::task::spawn_local(client.run(first, gap, duration.map(|duration| start + duration)))
        })
        .collect();
    for task in tasks {
        if task.await.is_err() {
            lock(&tally).fail("a client of the load broke off".to_owned());
        }
    }
}

struct Client {
    to: SocketAddr,
    request: Vec<u8>,
    /// Requests on one connection.
    kept_for: u64,
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
}

impl Client {
    async fn run(self, first: Instant, gap: Duration, end: Option<Instant>) {
        let mut due = first;
        let mut kept = None;
        for n in 1.. {
            if end.is_some_and(|end| due >= end) {
                return;
            }
            let late = due < Instant::now();
            sleep_until(due).await;
            if self.stop.load(Relaxed) {
                return;
            }
            // A timer that fires a moment late is no fault of the proxy; an answer that did not come in time is.
            let begin = if late { due } else { Instant::now() };
            let outcome = timeout(PATIENCE, self.request(kept.take())).await;
            let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
            kept = self.count(outcome, begin).filter(|_| n % self.kept_for != 0);
            due += gap;
        }
    }

    /// Sends one request and reads its answer; the name of the backend, and the connection if it stays open.
    async fn request(&self, kept: Option<TcpStream>) -> Result<(String, Option<TcpStream>), String> {
        let mut socket = match kept {
            Some(socket) => socket,
            None => TcpStream::connect(self.to).await.map_err(|e| format!("no connection: {e}"))?,
        };
        // The last client's answer waits for nobody's acknowledgement.
        let _ = socket.set_nodelay(true);
        socket.write_all(&self.request).await.map_err(|e| format!("can't send: {e}"))?;
        let (head, response) = read_answer(&mut socket).await?;
        if response.status != 200 {
            return Err(format!("status {}", response.status));
        }
        let name = response.find_name(&head, b"x-backend").next().map(|field| field.value.of(&head));
        let name = String::from_utf8_lossy(name.unwrap_or(b"?")).into_owned();
        Ok((name, response.keep_alive.then_some(socket)))
    }

    fn count(&self, outcome: Result<(String, Option<TcpStream>), String>, begin: Instant) -> Option<TcpStream> {
        let mut tally = lock(&self.tally);
        tally.requests += 1;
        match outcome {
            Ok((name, socket)) => {
                *tally.answered.entry(name).or_default() += 1;
                tally.latencies.record(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
                socket
            }
            Err(failure) => {
                tally.fail(failure);
                None
            }
        }
    }
}

/// Reads a whole answer; its head is returned, its body only has to be whole.
async fn read_answer(socket: &mut TcpStream) -> Result<(Vec<u8>, Response), String> {
    let mut received = Vec::with_capacity(4096);
    let (mut response, mut progress) = (Response::new(), Progress::default());
    loop {
        let parsed = response.parse(&received, &mut progress, &Limits::DEFAULT, Method::Get);
        if parsed.map_err(|bad| format!("no HTTP answer: {}", bad.reason()))? == Status::Complete {
            break;
        }
        fill(socket, &mut received).await?;
    }
    let mut body = received.split_off(response.len);
    let mut framing = Body::of_response(response.framing);
    loop {
        let piece = framing.decode(&body).map_err(|bad| format!("bad body: {}", bad.reason()))?;
        body.drain(..piece.skip + piece.data);
        if framing.is_done() {
            return Ok((received, response));
        }
        if piece.skip + piece.data == 0 {
            fill(socket, &mut body).await?;
        }
    }
}

async fn fill(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), String> {
    match socket.read_buf(buffer).await {
        Ok(0) => Err("closed before the whole answer".to_owned()),
        Ok(_) => Ok(()),
        Err(e) => Err(format!("can't receive: {e}")),
    }
}
