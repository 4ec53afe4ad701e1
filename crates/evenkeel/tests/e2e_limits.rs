//! Rows E1, E2, E4, E5 and E7 of the safety contract: clients that take their time or come without end, descriptors that run out, logs
//! that can't be written. E3 and E6 need a look inside and stand in `crates/proxy/src/stage.rs`.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::{Recording, Script, Step};
use testkit::client::{Connection, Response, get};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

fn config(backend: &Recording, listener: &str, rest: &str) -> String {
    format!(
        "{rest}\n[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n{listener}\n[[route]]\npool = \"app\"\n[pool.app]\n\
         backends = [\"{}\"]\nhealth = {{ tcp = true, interval = \"200ms\", fall = 2 }}\n",
        backend.address()
    )
}

fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SECOND * 10;
    while !condition() {
        assert!(Instant::now() < deadline, "{otherwise}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// CPU time spent in half a second in which nothing should be done.
fn cpu_at_rest(evenkeel: &Evenkeel) -> Duration {
    let before = evenkeel.cpu();
    thread::sleep(SECOND / 2);
    evenkeel.cpu() - before
}

fn is_refused(answer: &Response, reason: &str) {
    let closes = answer.head.has_token("connection", "close");
    assert_eq!((answer.status, answer.reason().as_deref(), closes), (408, Some(reason), true), "{answer:?}");
}

/// Row E1.
#[test]
fn e1_a_head_that_does_not_end_in_time_is_408_however_it_comes() {
    let backend = Recording::start("one");
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config(&backend, "timeout = { header = \"400ms\" }", ""));
    let clients: Vec<_> = [false, true]
        .into_iter()
        .flat_map(|second| [b"G".as_slice(), b"GET / HTTP/1.1\r\nHost: a\r\n"].map(|begin| (second, begin)))
        .map(|(second, begin)| {
            let mut client = Connection::open(evenkeel.address()).unwrap();
            if second {
                assert_eq!(client.exchange(GET).unwrap().status, 200);
            }
            client.send(begin).unwrap();
            (client, Instant::now())
        })
        .collect();
    for (mut client, since) in clients {
        is_refused(&client.response_within("GET", SECOND * 3).unwrap(), "header_timeout");
        assert!((SECOND / 4..SECOND * 2).contains(&since.elapsed()), "after {:?}", since.elapsed());
        client.read_until(SECOND * 4, |_| false);
        assert!(client.end.is_some(), "it stays open");
    }
    // Byte by byte each one comes soon enough, and the head as a whole does not.
    let (mut client, since) = (Connection::open(evenkeel.address()).unwrap(), Instant::now());
    client.send_in_pieces(&[b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 200]].concat(), 1, Duration::from_millis(50));
    is_refused(&client.response_within("GET", SECOND).unwrap(), "header_timeout");
    assert!(since.elapsed() < SECOND * 3, "after {:?}", since.elapsed());
    // Who says nothing at all is told nothing.
    let mut silent = Connection::open(evenkeel.address()).unwrap();
    silent.read_until(SECOND * 4, |_| false);
    assert!(silent.end.is_some() && silent.received.is_empty(), "{silent:?}");
    assert_eq!(backend.exchanges().iter().filter(|e| e.total > 0).count(), 2, "only the whole requests go upstream");
}

/// Row E2.
#[test]
fn e2_a_body_that_is_too_slow_on_the_whole_is_408_and_a_faster_one_goes_on() {
    let backend = Recording::start("one");
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config(&backend, "timeout = { body_rate = \"256B/s\" }", ""));
    let upload = |bytes_a_second: usize| {
        let (mut client, since) = (Connection::open(evenkeel.address()).unwrap(), Instant::now());
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").unwrap();
        client.send_in_pieces(&vec![b'x'; bytes_a_second * 13], bytes_a_second / 4, SECOND / 4);
        (client, since.elapsed())
    };
    thread::scope(|scope| {
        let [slow, fast] = [100, 1_000].map(|pace| scope.spawn(move || upload(pace)));
        let (mut slow, took) = slow.join().unwrap();
        is_refused(&slow.response_within("POST", SECOND * 5).unwrap(), "body_timeout");
        assert!((SECOND * 10..SECOND * 16).contains(&took), "after {took:?}");
        let (fast, _) = fast.join().unwrap();
        assert!(fast.end.is_none() && fast.received.is_empty(), "{fast:?}");
    });
    assert!(backend.wait_until(SECOND * 5, |seen| seen.iter().any(|e| e.over && !e.complete)), "upstream closed too");
}

/// How many of the clients have their answer.
fn served(all: &mut [Connection]) -> usize {
    all.iter_mut().for_each(Connection::take_what_came);
    all.iter().filter(|client| client.received.starts_with(b"HTTP/1.1 200")).count()
}

/// At the limit nobody more is served, at no cost; as many as leave, others take their place.
///
/// Two workers that both see the last place free both take it, so there may be one more.
fn bounded(evenkeel: &Evenkeel, limit: usize) {
    let allowed = limit..=limit + 1;
    // The test's own first connection must have gone.
    until("a connection is left", || evenkeel.metric("evenkeel_connections") == 0.0);
    let mut all: Vec<_> = (0..limit * 3).map(|_| Connection::open(evenkeel.address()).unwrap()).collect();
    all.iter_mut().for_each(|client| client.send(GET).unwrap());
    until("fewer are served than may be", || served(&mut all) >= limit);
    let spent = cpu_at_rest(evenkeel);
    assert!(spent < SECOND / 20, "{spent:?} of CPU while {} clients wait", limit * 2);
    let count = served(&mut all);
    assert!(allowed.contains(&count), "{count} connections at a limit of {limit}");
    assert_eq!(evenkeel.metric("evenkeel_connections"), count as f64);
    assert!(evenkeel.metric("evenkeel_accept_pauses_total") > 0.0);
    let (gone, mut rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|client| !client.received.is_empty());
    drop(gone);
    until("no others take the places that are free", || served(&mut rest) >= limit);
    assert!(allowed.contains(&served(&mut rest)));
    drop(rest);
    assert_eq!(get(evenkeel.address(), "/").status, 200);
}

/// Row E4.
#[test]
fn e4_a_listener_holds_as_many_connections_as_it_may_and_goes_on_when_some_leave() {
    let backend = Recording::start("one");
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config(&backend, "max_connections = 10", "workers = 2"));
    bounded(&evenkeel, 10);
}

/// Rows E4 and E5.
#[test]
fn e4_connections_in_all_are_bounded_by_the_open_file_limit_less_100() {
    let backend = Recording::start("one");
    let config = config(&backend, "", "workers = 2");
    let evenkeel = Evenkeel::start_after("ulimit -n 130", &testkit::binary(BINARY), &config);
    bounded(&evenkeel, 30);
}

/// Row E5.
#[test]
fn e5_without_descriptors_accepting_rests_and_what_runs_goes_on() {
    let backend = Recording::start("one");
    let mut evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config(&backend, "", "workers = 1"));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    assert_eq!(client.exchange(GET).unwrap().status, 200);
    let mut status = Connection::open(evenkeel.admin()).unwrap();
    let ask = format!("GET /status HTTP/1.1\r\nHost: {}\r\n\r\n", evenkeel.admin());
    assert_eq!(status.exchange(ask.as_bytes()).unwrap().status, 200);
    evenkeel.limit_descriptors(3);
    let mut waiting: Vec<_> = (0..20).map(|_| Connection::open(evenkeel.address()).unwrap()).collect();
    let mut at_admin = Connection::open(evenkeel.admin()).unwrap();
    waiting.iter_mut().for_each(|client| client.send(GET).unwrap());
    at_admin.send(ask.as_bytes()).unwrap();
    let spent = cpu_at_rest(&evenkeel);
    assert!(spent < SECOND / 20, "{spent:?} of CPU without descriptors");
    // Long enough for health checks to fail, if they were counted.
    let looks = Instant::now() + SECOND;
    while Instant::now() < looks {
        assert_eq!(client.exchange(GET).unwrap().status, 200, "by the kept connection");
        let now = status.exchange(ask.as_bytes()).unwrap().json();
        assert_eq!(now["pools"][0]["backends"][0]["health"], "up", "{now:#}");
        thread::sleep(SECOND / 20);
    }
    // A request that needs a connection of its own fails, and the backend is not blamed for it.
    let mark = backend.count();
    backend.next(Script(vec![
        Step::ReadRequest,
        Step::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Step::Close,
    ]));
    assert_eq!(client.exchange(GET).unwrap().status, 200);
    assert!(backend.wait_until(SECOND * 2, |seen| seen[mark..].iter().any(|e| e.over)));
    until("a connection is dialled without a descriptor", || {
        let answer = client.exchange(GET).unwrap();
        answer.status == 500 && answer.reason().as_deref() == Some("internal")
    });
    let now = status.exchange(ask.as_bytes()).unwrap().json();
    assert_eq!(now["pools"][0]["backends"][0]["suspected"].as_bool(), Some(false), "{now:#}");
    waiting.iter_mut().for_each(Connection::take_what_came);
    assert!(waiting.iter().all(|client| client.received.is_empty() && client.end.is_none()), "they wait in the kernel");
    evenkeel.limit_descriptors(1_000);
    until("those who waited are served", || served(&mut waiting) == 20);
    assert_eq!(at_admin.response("GET").unwrap().status, 200);
    assert_eq!(client.exchange(GET).unwrap().status, 200);
    assert!(evenkeel.metric("evenkeel_accept_pauses_total") > 0.0);
    assert!(evenkeel.exited().is_none());
}

/// Row E7.
#[test]
fn e7_an_access_log_on_a_full_disk_loses_lines_and_counts_them() {
    let backend = Recording::start("one");
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config(&backend, "", "log = { access = \"/dev/full\" }"));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    for _ in 0..100 {
        assert_eq!(client.exchange(GET).unwrap().status, 200);
    }
    until("the lost lines are counted", || evenkeel.metric("evenkeel_access_log_lost_lines_total") == 100.0);
    evenkeel.stop();
}

/// Row E7.
#[test]
fn e7_an_access_log_that_nobody_reads_stalls_neither_traffic_nor_the_end() {
    let backend = Recording::start("one");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let route = "[[route]]\nmatch = { path = \"/long\" }\nrespond = { status = 200 }";
    let config = config(&backend, "", "").replacen("[[route]]", &format!("{route}\n[[route]]"), 1);
    // Open for reading too, so that it is a pipe with a reader who never reads.
    let evenkeel = Evenkeel::start_after(&format!("exec 1<>'{}'", pipe.display()), &testkit::binary(BINARY), &config);
    let mut client = Connection::open(evenkeel.address()).unwrap();
    let long = format!("GET /long/{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(7_900));
    // A few MiB of lines may wait; what comes beyond is lost.
    for _ in 0..3_000 {
        assert_eq!(client.exchange(long.as_bytes()).unwrap().status, 200);
    }
    assert!(evenkeel.metric("evenkeel_access_log_lost_lines_total") > 0.0);
    let before = Instant::now();
    assert_eq!(client.exchange(GET).unwrap().status, 200);
    assert!(before.elapsed() < SECOND);
    evenkeel.stop();
}

/// Row E7.
#[test]
fn e7_a_standard_error_that_can_not_be_written_ends_nothing() {
    let mut backend = Recording::start("one");
    let config = config(&backend, "", "log = { level = \"debug\" }");
    let evenkeel = Evenkeel::start_after("exec 2>/dev/full", &testkit::binary(BINARY), &config);
    assert_eq!(get(evenkeel.address(), "/").status, 200);
    backend.kill();
    until("its fall is seen", || get(evenkeel.address(), "/").status == 503);
    backend.restart();
    until("its return is seen", || get(evenkeel.address(), "/").status == 200);
    evenkeel.stop();
}
