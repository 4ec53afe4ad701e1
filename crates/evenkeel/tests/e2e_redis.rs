//! Limits that several processes share by a real Redis, and what holds while it is away (row F17).
#![allow(clippy::unwrap_used)]

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::Recording;
use testkit::client::Connection;

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const SECOND: Duration = Duration::from_secs(1);
const PASSWORD: &str = "a-secret-of-the-test";

/// A Redis of the test's own, killed when dropped.
struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    fn start(port: u16) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--requirepass", PASSWORD, "--port"]);
        let process = command.arg(port.to_string()).stdout(Stdio::null()).spawn().expect("redis-server is installed by ./test");
        until("redis does not accept", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { process, port }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([format!("-{name}"), self.process.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SECOND * 15;
    while !condition() {
        assert!(Instant::now() < deadline, "{otherwise}");
        thread::sleep(SECOND / 100);
    }
}

fn start(backend: &Recording, port: u16, limit: &str, timeout: &str) -> Evenkeel {
    let config = format!(
        "[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\nname = \"api\"\npool = \"app\"\n\
         rate_limit = {{ {limit}, key = \"route\", shared = \"redis\" }}\n[pool.app]\nbackends = [\"{}\"]\n\
         [redis]\naddress = \"127.0.0.1:{port}\"\npassword = \"{PASSWORD}\"\ntimeout = \"{timeout}\"\n",
        backend.address()
    );
    Evenkeel::start(&testkit::binary(BINARY), &config)
}

fn is_connected(evenkeel: &Evenkeel) -> bool {
    evenkeel.metric("evenkeel_store_connections") == evenkeel.metric("evenkeel_workers")
}

/// Statuses of requests made one after the other until the time is over.
fn ask_for(client: &mut Connection, time: Duration) -> Vec<u16> {
    let begin = Instant::now();
    let mut statuses = Vec::new();
    while begin.elapsed() < time {
        statuses.push(client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status);
    }
    statuses
}

#[test]
fn two_processes_together_pass_what_one_limit_says_within_2_percent() {
    let backend = Recording::start("one");
    let redis = Redis::start(testkit::free_port());
    // Long enough for a machine that does much else.
    let both = [(); 2].map(|()| start(&backend, redis.port, "rate = \"200/s\", burst = 19", "1s"));
    until("not connected", || both.iter().all(is_connected));
    let begin = Instant::now();
    let statuses: Vec<Vec<u16>> = thread::scope(|scope| {
        let clients = (0..4).map(|i| {
            let to = both[i % 2].address();
            scope.spawn(move || ask_for(&mut Connection::open(to).unwrap(), SECOND * 4))
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let took = begin.elapsed().as_secs_f64();
    let passed = statuses.concat().iter().filter(|status| **status == 200).count() as f64;
    let limit = 20.0 + 200.0 * took;
    assert!((passed / limit - 1.0).abs() < 0.02, "{passed} passed, the limit is {limit}");
    assert!(statuses.concat().iter().all(|status| matches!(status, 200 | 429)));
    for evenkeel in &both {
        assert!(evenkeel.metric("evenkeel_rate_limit_shared_total{route=\"api\",by=\"store\"}") > 100.0);
        assert_eq!(evenkeel.metric("evenkeel_rate_limit_shared_total{route=\"api\",by=\"alone\"}"), 0.0);
    }
}

#[test]
fn f17_a_redis_that_stalls_or_ends_costs_20_ms_and_no_request_and_is_used_again_when_it_is_back() {
    let backend = Recording::start("one");
    let redis = Redis::start(testkit::free_port());
    let evenkeel = start(&backend, redis.port, "rate = \"20/s\", burst = 4", "20ms");
    until("not connected", || is_connected(&evenkeel));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    assert!(ask_for(&mut client, SECOND / 2).contains(&429), "the shared limit holds");
    for word in ["STOP", "KILL"] {
        redis.signal(word);
        let begin = Instant::now();
        client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(begin.elapsed() < SECOND / 2, "a request waited for {:?}", begin.elapsed());
        let (begin, statuses) = (Instant::now(), ask_for(&mut client, SECOND));
        let passed = statuses.iter().filter(|status| **status == 200).count() as f64;
        let most = 5.0 + 20.0 * begin.elapsed().as_secs_f64();
        assert!(passed > 10.0 && passed <= most + 1.0, "{passed} passed while redis was away, not {most}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 429)) && statuses.len() > 100, "{} answers", statuses.len());
        let alone = evenkeel.metric("evenkeel_rate_limit_shared_total{route=\"api\",by=\"alone\"}");
        assert!(alone > 0.0 && evenkeel.metric("evenkeel_store_failures_total") > 0.0);
        if word == "STOP" {
            redis.signal("CONT");
            until("it does not come back", || is_connected(&evenkeel));
        }
    }
    let port = redis.port;
    drop(redis);
    let _again = Redis::start(port);
    until("it does not come back", || is_connected(&evenkeel));
    let by_store = || evenkeel.metric("evenkeel_rate_limit_shared_total{route=\"api\",by=\"store\"}");
    let before = by_store();
    ask_for(&mut client, SECOND / 5);
    assert!(by_store() > before);
    assert!(!evenkeel.stderr().contains(PASSWORD));
}
