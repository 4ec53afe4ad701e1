//! Retries: what is tried again, how soon, and what a backend that asks to be left alone gets.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::{Recording, Script};
use testkit::client::{Response, exchange};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const MS: Duration = Duration::from_millis(1);

fn start(backends: &[&Recording], retry: &str) -> Evenkeel {
    let list: Vec<_> = backends.iter().map(|backend| format!("\"{}\"", backend.address())).collect();
    let config = format!(
        "workers = 1\n[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\n[pool.app]\n\
         backends = [{}]\nhealth = false\nretry = {{ {retry} }}\n",
        list.join(", ")
    );
    Evenkeel::start(&testkit::binary(BINARY), &config)
}

fn ask(evenkeel: &Evenkeel, method: &str) -> (Response, Duration) {
    let since = Instant::now();
    let answer = exchange(
        evenkeel.address(),
        format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    (answer, since.elapsed())
}

fn answering(status: &str, fields: &str) -> Script {
    Script::fixed(format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: 0\r\n\r\n"))
}

#[test]
fn an_answer_of_a_configured_status_is_followed_by_another_attempt_after_a_wait() {
    let backend = Recording::start("one");
    let evenkeel = start(&[&backend], "on = \"503\", attempts = 3, backoff = \"80ms\", backoff_max = \"80ms\"");
    let mut took = Vec::new();
    for _ in 0..12 {
        backend.next(answering("503", ""));
        let (answer, time) = ask(&evenkeel, "GET");
        assert_eq!(answer.status, 200);
        took.push(time);
    }
    assert_eq!(backend.count(), 24);
    // Drawn from 0 to 80 ms each.
    let mean = took.iter().sum::<Duration>() / 12;
    assert!((MS * 15..MS * 80).contains(&mean) && took.iter().max() < Some(&(MS * 250)), "{took:?}");
    assert!(took.iter().max().unwrap().saturating_sub(*took.iter().min().unwrap()) > MS * 10, "no jitter: {took:?}");
    backend.next(answering("503", ""));
    assert_eq!(ask(&evenkeel, "POST").0.status, 503, "a POST is not sent twice");
}

#[test]
fn a_backend_without_another_is_left_alone_as_long_as_it_asks() {
    let backend = Recording::start("one");
    let evenkeel = start(&[&backend], "on = \"503\"");
    backend.next(answering("503", "Retry-After: 1\r\n"));
    let (answer, time) = ask(&evenkeel, "GET");
    assert_eq!(answer.status, 200);
    assert!((MS * 990..MS * 1500).contains(&time), "{time:?}");
    backend.next(answering("503", "Retry-After: 60\r\n"));
    let (answer, time) = ask(&evenkeel, "GET");
    assert_eq!((answer.status, answer.get("retry-after")), (503, Some("60")), "the backend's own answer");
    assert!(time < MS * 500, "{time:?}");
}

#[test]
fn another_backend_is_asked_at_once_whatever_the_first_asks_for() {
    let backends = [Recording::start("one"), Recording::start("two")];
    let evenkeel = start(&[&backends[0], &backends[1]], "on = \"503\"");
    for _ in 0..2 {
        backends[0].next(answering("503", "Retry-After: 60\r\n"));
        let (answer, time) = ask(&evenkeel, "GET");
        assert_eq!((answer.status, answer.backend().as_deref()), (200, Some("two")));
        assert!(time < MS * 500, "{time:?}");
        ask(&evenkeel, "GET");
    }
}

#[test]
fn an_attempt_that_takes_too_long_is_followed_by_another_where_that_is_safe() {
    let backend = Recording::start("one");
    let evenkeel = start(&[&backend], "on = \"timeout\", attempt_timeout = \"200ms\"");
    backend.next(Script::stall());
    let (answer, time) = ask(&evenkeel, "GET");
    assert_eq!(answer.status, 200);
    assert!((MS * 195..MS * 700).contains(&time), "{time:?}");
    let slow = Script(vec![
        testkit::backend::Step::ReadRequest,
        testkit::backend::Step::Pause(MS * 400),
        testkit::backend::Step::Write(b"HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n".to_vec()),
    ]);
    backend.next(slow);
    assert_eq!(ask(&evenkeel, "POST").0.status, 201, "one that can't be sent again has the route's time");
    assert_eq!(backend.count(), 3);
}

#[test]
fn a_client_that_leaves_during_the_wait_is_the_end_of_it() {
    let backend = Recording::start("one");
    let evenkeel = start(&[&backend], "on = \"503\"");
    backend.next(answering("503", "Retry-After: 2\r\n"));
    let mut client = testkit::client::Connection::open(evenkeel.address()).unwrap();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(backend.wait_until(MS * 2000, |seen| seen.len() == 1));
    client.reset();
    let deadline = Instant::now() + MS * 1500;
    while evenkeel.metric("evenkeel_connections") > 0.0 {
        assert!(Instant::now() < deadline, "the exchange goes on");
        std::thread::sleep(MS * 10);
    }
    assert_eq!(backend.count(), 1);
}
