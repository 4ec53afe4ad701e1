//! Backends are killed and stalled all the time, Redis goes and comes, the configuration is reloaded under load; what clients take as
//! whole is whole.
//!
//! 15 seconds in the suite; `EVENKEEL_CHAOS_SECONDS=600 cargo test -p evenkeel --test e2e_chaos -- --nocapture` for the long run.
#![allow(clippy::unwrap_used)]

mod chaos;
mod verb;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use chaos::{Backend, Ledger};
use testkit::client::{Connection, Response};
use testkit::{Checksum, Evenkeel, body_bytes, free_port};
use verb::{EVENKEEL, ask, lasting_address, wait};

const CLIENTS: u64 = 12;
/// Longest wait for an answer: more than the route allows.
const PATIENCE: Duration = Duration::from_secs(8);
const ALGORITHMS: [&str; 4] = ["round_robin", "least_connections", "random", "least_response_time"];

/// A Redis that is stopped as by `kill -9`, and started again.
struct Redis {
    port: u16,
    process: Option<Child>,
}

impl Redis {
    fn start() -> Self {
        let mut redis = Self { port: free_port(), process: None };
        redis.toggle();
        redis
    }

    fn toggle(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
            return;
        }
        let args = ["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned);
        let command = Command::new("redis-server").args(args).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.process = Some(command.expect("redis-server, which ./test installs"));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.toggle();
        }
    }
}

fn config(backends: &[SocketAddr], redis: u16, turn: usize) -> String {
    let weight = |i: usize| if (turn + i).is_multiple_of(3) { 3 } else { 1 };
    let backends: Vec<String> =
        backends.iter().enumerate().map(|(i, at)| format!("{{ address = \"{at}\", weight = {} }}", weight(i))).collect();
    format!(
        "[admin]\nlisten = \"ADMIN\"\n[log]\naccess = \"off\"\n[listener.web]\nlisten = \"LISTEN\"\n\
         [redis]\naddress = \"127.0.0.1:{redis}\"\n\
         [[route]]\npool = \"app\"\nrate_limit = {{ rate = \"100000/s\", burst = 100000, shared = \"redis\" }}\nresponse_headers.set = {{ X-Turn = \"{turn}\" }}\ntimeout = {{ connect = \"500ms\", response = \"1s\", total = \"5s\" }}\n\
         [pool.app]\nbalance = \"{}\"\nbackends = [{}]\nretry = {{ on = [\"connect\", \"reset\", \"timeout\", \"502-504\"] }}\n\
         [pool.app.health]\npath = \"/health\"\ninterval = \"1s\"\ntimeout = \"500ms\"\n",
        ALGORITHMS[turn % ALGORITHMS.len()],
        backends.join(", ")
    )
}

/// What clients have met.
#[derive(Debug, Default)]
struct Tally {
    good: AtomicU64,
    /// Errors that a client sees as such: a status, a broken connection, an answer known to be cut.
    failed: AtomicU64,
    /// How often each word of the proxy's, or what the connection did, stood for an error.
    kinds: Mutex<BTreeMap<String, u64>>,
    /// Answers taken as whole that are not what was asked for.
    wrong: Mutex<Vec<String>>,
    /// POSTs that were answered with 200.
    posted: Mutex<Vec<u64>>,
}

struct Client {
    to: SocketAddr,
    number: u64,
    rng: fastrand::Rng,
    tally: Arc<Tally>,
}

impl Client {
    fn run(mut self, stop: &AtomicBool) {
        let mut connection = None;
        for turn in 0.. {
            if stop.load(SeqCst) {
                return;
            }
            let mut open = match connection.take() {
                Some(open) => open,
                None => match Connection::open(self.to) {
                    Ok(open) => open,
                    Err(error) => {
                        self.fail(format!("connect: {error}"));
                        continue;
                    }
                },
            };
            let result = if self.rng.u8(..3) == 0 { self.post(&mut open, turn) } else { self.get(&mut open) };
            match result {
                Ok(keep) => {
                    self.tally.good.fetch_add(1, SeqCst);
                    connection = Some(open).filter(|_| keep && self.rng.u8(..50) != 0);
                }
                // The next request must not read what is left of this one.
                Err(kind) => self.fail(kind),
            }
            thread::sleep(Duration::from_millis(self.rng.u64(..20)));
        }
    }

    fn fail(&self, kind: String) {
        self.tally.failed.fetch_add(1, SeqCst);
        *self.tally.kinds.lock().unwrap().entry(kind).or_default() += 1;
    }

    fn get(&mut self, connection: &mut Connection) -> Result<bool, String> {
        let length = [0, 200, 3_000, 40_000, 200_000][self.rng.usize(..5)] + self.rng.usize(..100);
        let seed = self.rng.u64(..1 << 40);
        let request = format!("GET /bytes/{length}/{seed} HTTP/1.1\r\nHost: chaos\r\n\r\n");
        let answer = self.exchange(connection, "GET", request.as_bytes())?;
        let mut wanted = vec![0; length];
        body_bytes(seed, &mut wanted);
        self.judge(&answer, answer.body == wanted, &format!("GET of {length}, seed {seed}"))
    }

    /// Every POST has a number of its own and is sent once, whatever comes of it.
    fn post(&mut self, connection: &mut Connection, turn: u64) -> Result<bool, String> {
        let id = turn * CLIENTS + self.number + 1;
        let mut body = vec![0; [0, 100, 5_000, 60_000, 150_000][self.rng.usize(..5)]];
        body_bytes(id, &mut body);
        let mut request = format!("POST /take HTTP/1.1\r\nHost: chaos\r\nX-Id: {id}\r\n").into_bytes();
        if id.is_multiple_of(2) {
            request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            request.extend_from_slice(&body);
        } else {
            request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(7_000) {
                request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                request.extend_from_slice(piece);
                request.extend_from_slice(b"\r\n");
            }
            request.extend_from_slice(b"0\r\n\r\n");
        }
        let answer = self.exchange(connection, "POST", &request)?;
        let keep = self.judge(&answer, answer.text() == format!("{id} {} {}", body.len(), Checksum::of(&body).0), "POST")?;
        self.tally.posted.lock().unwrap().push(id);
        Ok(keep)
    }

    fn exchange(&self, connection: &mut Connection, method: &str, request: &[u8]) -> Result<Response, String> {
        // A proxy that answers early may have closed; what it said is still to be read.
        let _ = connection.send(request);
        connection.response_within(method, PATIENCE).map_err(|_| format!("no answer to {method}"))
    }

    /// Whether the connection can be kept; an error where the client is told of one.
    fn judge(&self, answer: &Response, is_right: bool, what: &str) -> Result<bool, String> {
        if answer.status != 200 || !answer.complete {
            let kind = if answer.complete { answer.reason().unwrap_or_default() } else { "broken off".to_owned() };
            return Err(format!("{} {} {kind}", what.split(' ').next().unwrap_or_default(), answer.status));
        }
        if !is_right {
            self.tally.wrong.lock().unwrap().push(format!("{what}: {answer:?}"));
        }
        Ok(!answer.head.has_token("connection", "close"))
    }
}

/// Each second one more backend is hurt, for one to two seconds; two of four are always well.
struct Chaos {
    backends: Vec<Backend>,
    hurt: Vec<(usize, Instant)>,
    rng: fastrand::Rng,
}

impl Chaos {
    fn tick(&mut self) {
        let now = Instant::now();
        let (over, still): (Vec<_>, Vec<_>) = self.hurt.iter().partition(|(_, until)| *until <= now);
        over.into_iter().for_each(|(i, _)| self.backends[i].revive());
        self.hurt = still;
        if self.hurt.len() * 2 >= self.backends.len() {
            return;
        }
        let well: Vec<usize> = (0..self.backends.len()).filter(|i| self.hurt.iter().all(|(hurt, _)| hurt != i)).collect();
        let victim = well[self.rng.usize(..well.len())];
        if self.rng.bool() {
            self.backends[victim].kill()
        } else {
            self.backends[victim].stall()
        }
        self.hurt.push((victim, now + Duration::from_millis(self.rng.u64(900..2_000))));
    }
}

fn duration() -> Duration {
    Duration::from_secs(std::env::var("EVENKEEL_CHAOS_SECONDS").ok().and_then(|it| it.parse().ok()).unwrap_or(15))
}

#[test]
fn in_chaos_nothing_wrong_is_taken_as_whole_and_no_post_is_delivered_twice() {
    let (addresses, ledger) = ([(); 4].map(|()| lasting_address()), Arc::<Ledger>::default());
    let backends = addresses.map(|at| Backend::start(at, &ledger)).into();
    let mut redis = Redis::start();
    let evenkeel = Evenkeel::start(EVENKEEL, &config(&addresses, redis.port, 0));
    let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (rng, tally, stop) = (fastrand::Rng::with_seed(number), Arc::clone(&tally), Arc::clone(&stop));
            let client = Client { to: evenkeel.address(), number, rng, tally };
            thread::spawn(move || client.run(&stop))
        })
        .collect();
    let mut chaos = Chaos { backends, hurt: Vec::new(), rng: fastrand::Rng::with_seed(7) };
    let (begun, length) = (Instant::now(), duration());
    let mut usage = Vec::new();
    for second in 1.. {
        thread::sleep((begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        if begun.elapsed() >= length {
            break;
        }
        chaos.tick();
        if second.is_multiple_of(5) {
            evenkeel.reload(&config(&addresses, redis.port, second as usize / 5));
        }
        if second % 4 == 3 {
            redis.toggle();
        }
        usage.push((evenkeel.rss(), evenkeel.descriptors()));
    }
    stop.store(true, SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    report(&tally, &ledger, &usage);

    assert_eq!(tally.wrong.lock().unwrap().as_slice(), &[] as &[String]);
    assert_eq!(ledger.twice(), &[] as &[u64], "POSTs delivered twice");
    let lost: Vec<u64> = tally.posted.lock().unwrap().iter().copied().filter(|&id| ledger.delivered(id) != 1).collect();
    assert_eq!(lost, &[] as &[u64], "POSTs answered with 200 that no backend has seen");
    let (good, failed) = (tally.good.load(SeqCst), tally.failed.load(SeqCst));
    assert!(good > 20 * length.as_secs(), "{good} good answers");
    // What can't be repeated can't be hidden: POSTs and answers in the middle. The rest is.
    assert!(failed * 10 < good, "{failed} failed, {good} good");
    is_flat(&usage);
    let reloads = ask(evenkeel.admin(), "/status").json()["config"]["reloads"].as_u64().unwrap_or_default();
    assert!(reloads + 1 >= (length.as_secs() - 1) / 5, "{reloads} reloads");
    // Nothing is left open for exchanges that are over: the clients are gone, the backends alive.
    chaos.backends.iter_mut().for_each(Backend::revive);
    let before = usage[0].1 + 40;
    wait("descriptors stay open", || evenkeel.descriptors() < before);
    evenkeel.stop();
}

fn report(tally: &Tally, ledger: &Ledger, usage: &[(u64, usize)]) {
    let (good, failed) = (tally.good.load(SeqCst), tally.failed.load(SeqCst));
    let (posts, twice) = (tally.posted.lock().unwrap().len(), ledger.twice().len());
    let peak = |part: &[(u64, usize)]| {
        let rss = part.iter().map(|(rss, _)| rss >> 20).max().unwrap_or_default();
        format!("{rss} MiB, {} descriptors", part.iter().map(|(_, fds)| *fds).max().unwrap_or_default())
    };
    let (first, second) = usage.split_at(usage.len() / 2);
    let wrong = tally.wrong.lock().unwrap().len();
    #[allow(clippy::print_stdout, reason = "what the long run is run for")]
    {
        println!("{good} good, {failed} failed, {wrong} wrong; {posts} POSTs answered, {twice} delivered twice");
        println!("{:?}", tally.kinds.lock().unwrap());
        println!("at most in the first half {}, in the second {}", peak(first), peak(second));
    }
}

/// The second half needs no more than the first, but for noise.
fn is_flat(usage: &[(u64, usize)]) {
    let (first, second) = usage.split_at(usage.len() / 2);
    let peak = |part: &[(u64, usize)]| (part.iter().map(|it| it.0).max().unwrap(), part.iter().map(|it| it.1).max().unwrap());
    let (before, after) = (peak(first), peak(second));
    assert!(after.0 < before.0 + (8 << 20), "memory grows: {before:?}, then {after:?}");
    assert!(after.1 < before.1 * 3 / 2 + 16, "descriptors grow: {before:?}, then {after:?}");
}
