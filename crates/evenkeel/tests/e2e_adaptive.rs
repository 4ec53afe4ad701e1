//! The limit of exchanges at one time that finds itself, before a backend that does four at a time and keeps the others waiting.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::client::{Connection, exchange};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const CLIENTS: usize = 64;

/// Four at one time, each for 20 ms: 200 a second at best.
#[derive(Default)]
struct Places {
    taken: Mutex<u32>,
    left: Condvar,
}

impl Places {
    fn work(&self) {
        let mut taken = self.left.wait_while(self.taken.lock().unwrap(), |taken| *taken == 4).unwrap();
        *taken += 1;
        drop(taken);
        thread::sleep(MS * 20);
        *self.taken.lock().unwrap() -= 1;
        self.left.notify_one();
    }
}

fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let places = Arc::<Places>::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let places = places.clone();
            thread::spawn(move || serve(stream, &places));
        }
    });
    address
}

fn serve(mut stream: TcpStream, places: &Places) {
    let (mut head, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        head.extend_from_slice(&chunk[..n]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            places.work();
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }
}

fn start(pool: &str) -> Evenkeel {
    let config = format!(
        "workers = 2\n[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\n[pool.app]\n\
         backends = [\"{}\"]\nhealth = false\n{pool}\n",
        backend()
    );
    Evenkeel::start(&testkit::binary(BINARY), &config)
}

fn ask(evenkeel: &Evenkeel, path: &str) -> testkit::client::Response {
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", evenkeel.admin());
    exchange(evenkeel.admin(), ask.as_bytes())
}

fn status(evenkeel: &Evenkeel) -> serde_json::Value {
    ask(evenkeel, "/status").json()["pools"][0]["adaptive"].clone()
}

/// How long answers took since somebody last looked.
#[derive(Default)]
struct Tally {
    good: Vec<Duration>,
    refused: Vec<Duration>,
}

impl Tally {
    fn median(times: &mut [Duration]) -> Duration {
        times.sort();
        times[times.len() / 2]
    }
}

/// Has all clients ask without pause, but for 10 ms where one is turned away, while `watch` looks on.
fn under_load(evenkeel: &Evenkeel, watch: impl FnOnce(&Mutex<Tally>)) {
    let (tally, over) = (Mutex::<Tally>::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Connection::open(evenkeel.address()).unwrap();
                while !over.load(Relaxed) {
                    let since = Instant::now();
                    let answer = client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                    let took = since.elapsed();
                    if answer.status == 200 {
                        tally.lock().unwrap().good.push(took);
                        continue;
                    }
                    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("overloaded")));
                    assert!(answer.get("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
                    tally.lock().unwrap().refused.push(took);
                    thread::sleep(MS * 10);
                }
            });
        }
        // Also where it panics, or the clients would go on for good.
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watch(&tally)));
        over.store(true, Relaxed);
        seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// The tally of the next two seconds.
fn two_seconds(tally: &Mutex<Tally>) -> Tally {
    *tally.lock().unwrap() = Tally::default();
    thread::sleep(SECOND * 2);
    std::mem::take(&mut *tally.lock().unwrap())
}

#[test]
fn the_limit_falls_to_what_the_backend_can_do_and_the_excess_is_refused_at_once() {
    let evenkeel =
        start("adaptive_concurrency = { min = 2, max = 100, start = 60, window = \"100ms\", relearn = \"2s\" }\nqueue = false");
    under_load(&evenkeel, |tally| {
        let deadline = Instant::now() + SECOND * 20;
        while status(&evenkeel)["limit"].as_u64().unwrap() > 16 || status(&evenkeel)["base_ms"].as_f64().unwrap() > 60.0 {
            assert!(Instant::now() < deadline, "it does not fall: {}", status(&evenkeel));
            thread::sleep(MS * 20);
        }
        let mut seen = two_seconds(tally);
        let (good, refused) = (Tally::median(&mut seen.good), Tally::median(&mut seen.refused));
        assert!(good < MS * 140, "a line of all clients would take 320 ms, this {good:?}");
        assert!(refused < MS * 20, "they wait for nothing: {refused:?}");
        assert!(seen.good.len() > 200, "400 can be done: {}", seen.good.len());
    });
    let now = status(&evenkeel);
    assert!(now["in_flight"] == 0 && now["refused"].as_u64().unwrap() > 100, "{now:#}");
    let metrics = ask(&evenkeel, "/metrics").text();
    for name in ["limit", "in_flight", "refused_total"] {
        assert!(metrics.contains(&format!("\nevenkeel_pool_adaptive_{name}{{pool=\"app\"}} ")), "{metrics}");
    }
}

#[test]
fn without_it_everybody_waits_and_nobody_is_refused() {
    let evenkeel = start("");
    under_load(&evenkeel, |tally| {
        two_seconds(tally);
        let mut seen = two_seconds(tally);
        assert!(Tally::median(&mut seen.good) > MS * 200 && seen.refused.is_empty());
    });
    assert!(status(&evenkeel).is_null());
    assert!(!ask(&evenkeel, "/metrics").text().contains("evenkeel_pool_adaptive_limit{"));
}
