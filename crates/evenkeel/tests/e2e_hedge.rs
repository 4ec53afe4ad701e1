//! Hedging: a second attempt beside a slow first one, what it may be made for, and what it costs.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::{Answer, Recording, Script, Step};
use testkit::client::{Response, exchange};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const MS: Duration = Duration::from_millis(1);

fn start(backends: &[Recording], hedge: &str, pool: &str) -> Evenkeel {
    let list: Vec<_> = backends.iter().map(|backend| format!("\"{}\"", backend.address())).collect();
    let config = format!(
        "workers = 1\n[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\nhedge = \"{hedge}\"\n\
         [pool.app]\nbackends = [{}]\nhealth = false\n{pool}\n",
        list.join(", ")
    );
    Evenkeel::start(&testkit::binary(BINARY), &config)
}

fn pair() -> [Recording; 2] {
    ["one", "two"].map(Recording::start)
}

fn slow(after: Duration) -> Script {
    Script(vec![Step::ReadRequest, Step::Pause(after), Step::Respond(Answer::Json)])
}

fn ask(evenkeel: &Evenkeel, method: &str, body: &str) -> (Response, Duration) {
    let since = Instant::now();
    let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    (exchange(evenkeel.address(), head.as_bytes()), since.elapsed())
}

fn hedges(evenkeel: &Evenkeel) -> [u64; 2] {
    let text = format!("GET /status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", evenkeel.admin());
    let pool = exchange(evenkeel.admin(), text.as_bytes()).json()["pools"][0].clone();
    ["hedges", "hedges_won"].map(|key| pool[key].as_u64().unwrap())
}

fn count(backends: &[Recording]) -> usize {
    backends.iter().map(Recording::count).sum()
}

#[test]
fn a_slow_first_attempt_is_overtaken_by_a_second_one_and_cancelled() {
    let backends = pair();
    let evenkeel = start(&backends, "100ms", "");
    // Says nothing, and sees when it is left.
    backends[0].next(Script(vec![Step::ReadRequest, Step::ReadToEnd]));
    for body in ["", "some bytes"] {
        let (answer, took) = ask(&evenkeel, "PUT", body);
        assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some(body)));
        assert!(took < MS * 1000, "{took:?}");
    }
    assert_eq!(hedges(&evenkeel), [1, 1]);
    assert!(backends[0].wait_until(MS * 1000, |seen| seen[0].over), "the loser's connection stays open");
    assert_eq!(ask(&evenkeel, "GET", "").0.status, 200);
}

#[test]
fn the_first_still_wins_if_it_answers_first() {
    let backends = pair();
    let evenkeel = start(&backends, "100ms", "");
    for backend in &backends {
        backend.next(slow(MS * 250));
    }
    let (answer, took) = ask(&evenkeel, "PUT", "held");
    assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some("held")));
    assert!((MS * 240..MS * 340).contains(&took), "{took:?}");
    assert_eq!(hedges(&evenkeel), [1, 0]);
    assert_eq!(ask(&evenkeel, "GET", "").0.status, 200);
}

#[test]
fn a_post_is_never_sent_twice() {
    let backends = pair();
    let evenkeel = start(&backends, "50ms", "");
    backends.iter().for_each(|backend| backend.next(slow(MS * 300)));
    assert_eq!(ask(&evenkeel, "POST", "once").0.status, 200);
    assert_eq!((count(&backends), hedges(&evenkeel)), (1, [0, 0]));
}

#[test]
fn where_one_of_the_two_fails_the_other_answers() {
    let backends = pair();
    let evenkeel = start(&backends, "100ms", "retry = { attempts = 0 }");
    // The first resets after the second has begun.
    backends[0].next(Script(vec![Step::ReadRequest, Step::Pause(MS * 200), Step::Reset]));
    backends[1].next(slow(MS * 300));
    assert_eq!(ask(&evenkeel, "GET", "").0.status, 200);
    // The second resets at once.
    let other = if backends[0].count() == backends[1].count() { [0, 1] } else { [1, 0] };
    backends[other[0]].next(slow(MS * 300));
    backends[other[1]].next(Script::reset_after_request());
    assert_eq!(ask(&evenkeel, "GET", "").0.status, 200);
    assert_eq!(hedges(&evenkeel)[0], 2);
}

#[test]
fn hedges_are_within_the_retry_budget() {
    let backends = pair();
    let evenkeel = start(&backends, "10ms", "retry = { budget = \"0%\", budget_min = \"1/s\" }\npassive = false");
    for backend in &backends {
        backend.agenda().set_default(slow(MS * 40));
    }
    for _ in 0..30 {
        assert_eq!(ask(&evenkeel, "GET", "").0.status, 200);
    }
    // One a second, ten seconds' worth at once.
    let [made, _] = hedges(&evenkeel);
    assert!((8..=10).contains(&made), "{made}");
}

#[test]
fn at_p95_of_live_latencies_few_are_hedged_and_the_slow_ones_are() {
    let backends = pair();
    let evenkeel = start(&backends, "p95", "");
    for backend in &backends {
        backend.agenda().set_default(slow(MS * 10));
    }
    for _ in 0..120 {
        ask(&evenkeel, "GET", "");
    }
    let [usual, _] = hedges(&evenkeel);
    assert!(usual <= 60, "{usual} of 120");
    backends.iter().for_each(|backend| backend.next(slow(MS * 1500)));
    // Both of the next are slow first; whichever goes to the other backend finds it quick once the first was overtaken.
    let mut took: Vec<_> = (0..4).map(|_| ask(&evenkeel, "GET", "").1).collect();
    took.sort_unstable();
    assert!(took[2] < MS * 700, "{took:?}");
    assert!(hedges(&evenkeel)[0] > usual);
}
