//! The line before backends that are all at their `max_connections`: who goes when, who is turned away, and what they are told.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::{Answer, Recording, Script, Step};
use testkit::client::{Connection, Response, exchange};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Answers after so long.
fn slow(name: &str, after: Duration) -> Recording {
    Recording::with(name, Script(vec![Step::ReadRequest, Step::Pause(after), Step::Respond(Answer::Json)]))
}

fn start(backends: &[&Recording], pool: &str) -> Evenkeel {
    let list: Vec<_> =
        backends.iter().map(|backend| format!("{{ address = \"{}\", max_connections = 1 }}", backend.address())).collect();
    let config = format!(
        "workers = 2\n[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\n[pool.app]\n\
         backends = [{}]\nhealth = false\n{pool}\n",
        list.join(", ")
    );
    Evenkeel::start(&testkit::binary(BINARY), &config)
}

fn status(evenkeel: &Evenkeel) -> serde_json::Value {
    let ask = format!("GET /status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", evenkeel.admin());
    exchange(evenkeel.admin(), ask.as_bytes()).json()["pools"][0].clone()
}

fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SECOND * 10;
    while !condition() {
        assert!(Instant::now() < deadline, "{otherwise}");
        thread::sleep(MS * 5);
    }
}

fn waiting(evenkeel: &Evenkeel) -> u64 {
    status(evenkeel)["queue"]["waiting"].as_u64().unwrap()
}

/// Asks on a connection of its own and does not wait for the answer.
fn ask(evenkeel: &Evenkeel, path: &str, fields: &str) -> Connection {
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
    client
}

/// Asks, and waits until it stands in line behind `before` others.
fn line_up(evenkeel: &Evenkeel, path: &str, fields: &str, before: u64) -> Connection {
    let client = ask(evenkeel, path, fields);
    until("it does not stand in line", || waiting(evenkeel) == before + 1);
    client
}

fn answer(mut client: Connection) -> Response {
    client.response_within("GET", SECOND * 8).unwrap()
}

fn retry_after(answer: &Response) -> u64 {
    answer.get("retry-after").unwrap().parse().unwrap()
}

/// The paths in the order in which the backend was asked for them.
fn order(backend: &Recording) -> Vec<String> {
    backend.exchanges().iter().filter(|e| e.total > 0).map(|e| e.line().split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn whoever_finds_it_full_waits_and_everybody_is_served_over_both_workers() {
    let backends = [slow("one", MS * 10), slow("two", MS * 10)];
    let evenkeel = start(&[&backends[0], &backends[1]], "");
    let clients: Vec<_> = (0..60).map(|_| ask(&evenkeel, "/", "")).collect();
    assert!(clients.into_iter().all(|client| answer(client).status == 200));
    for backend in &backends {
        assert!(backend.count() >= 10, "both serve");
    }
    let now = status(&evenkeel);
    assert_eq!((now["in_flight"].as_u64(), now["queue"]["waiting"].as_u64()), (Some(0), Some(0)), "{now:#}");
    assert!(now["queue"]["waited"].as_u64().unwrap() >= 40 && now["queue"]["mean_wait_ms"].as_f64().unwrap() > 5.0, "{now:#}");
}

#[test]
fn never_are_more_at_a_backend_than_it_may_have() {
    let backend = slow("one", MS * 3);
    let evenkeel = start(&[&backend], "");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Connection::open(evenkeel.address()).unwrap();
                for _ in 0..40 {
                    assert_eq!(client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status, 200);
                }
            });
        }
    });
    assert_eq!(backend.count(), 320);
    assert!(backend.accepted() <= 3, "one connection to the backend serves them all: {}", backend.accepted());
}

#[test]
fn who_waits_too_long_is_told_so_and_when_to_come_again() {
    let backend = slow("one", SECOND * 2);
    let evenkeel = start(&[&backend], "queue = { timeout = \"300ms\" }");
    let _first = ask(&evenkeel, "/", "");
    until("the first is not served", || backend.count() == 1);
    let since = Instant::now();
    let late = answer(ask(&evenkeel, "/", ""));
    assert_eq!((late.status, late.reason().as_deref(), retry_after(&late)), (503, Some("queue_timeout"), 1));
    assert!((MS * 290..MS * 600).contains(&since.elapsed()), "after {:?}", since.elapsed());
    assert_eq!(waiting(&evenkeel), 0);
}

#[test]
fn a_full_line_turns_away_at_once_with_the_pace_of_the_line() {
    let backend = slow("one", MS * 500);
    let evenkeel = start(&[&backend], "queue = { length = 4, overload = \"oldest_first\" }");
    let warm: Vec<_> = (0..4).map(|_| ask(&evenkeel, "/", "")).collect();
    assert!(warm.into_iter().all(|client| answer(client).status == 200));
    let _first = ask(&evenkeel, "/", "");
    until("the first is not served", || backend.count() == 5);
    let line: Vec<_> = (0..4).map(|i| line_up(&evenkeel, "/", "", i)).collect();
    let since = Instant::now();
    let refused = answer(ask(&evenkeel, "/", ""));
    assert_eq!((refused.status, refused.reason().as_deref()), (503, Some("queue_full")));
    assert!(since.elapsed() < MS * 200, "after {:?}", since.elapsed());
    // Five at two a second.
    assert!((2..=4).contains(&retry_after(&refused)), "{refused:?}");
    assert!(line.into_iter().all(|client| answer(client).status == 200));
}

/// Row F9.
#[test]
fn f9_who_leaves_gives_its_place_in_line_and_at_the_backend_to_the_next_within_100_ms() {
    let backend = slow("one", SECOND * 5);
    let evenkeel = start(&[&backend], "");
    let served = ask(&evenkeel, "/served", "");
    until("the first is not served", || backend.count() == 1);
    let leaves = line_up(&evenkeel, "/leaves", "", 0);
    let _stays = line_up(&evenkeel, "/stays", "", 1);
    let since = Instant::now();
    drop(leaves);
    until("it still stands in line", || waiting(&evenkeel) == 1);
    assert!(since.elapsed() < MS * 150, "after {:?}", since.elapsed());
    let since = Instant::now();
    drop(served);
    until("the place is not free", || order(&backend).len() == 2);
    assert!(since.elapsed() < MS * 150, "after {:?}", since.elapsed());
    assert_eq!(order(&backend), ["/served", "/stays"]);
}

#[test]
fn each_key_has_its_turn_and_a_higher_priority_goes_first() {
    let backend = slow("one", MS * 250);
    let evenkeel = start(&[&backend], "queue = { key = \"header:X-User\", priority = \"header:X-Priority\" }");
    let first = ask(&evenkeel, "/first", "");
    until("the first is not served", || backend.count() == 1);
    let line: Vec<_> = [("/a1", "a", 5), ("/a2", "a", 5), ("/a3", "a", 5), ("/b1", "b", 5), ("/c1", "c", 9)]
        .into_iter()
        .zip(0..)
        .map(|((path, user, priority), before)| {
            line_up(&evenkeel, path, &format!("X-User: {user}\r\nX-Priority: {priority}\r\n"), before)
        })
        .collect();
    assert!(line.into_iter().chain([first]).all(|client| answer(client).status == 200));
    assert_eq!(order(&backend), ["/first", "/c1", "/a1", "/b1", "/a2", "/a3"]);
}

#[test]
fn while_it_is_overloaded_the_newest_goes_first() {
    let backend = slow("one", MS * 400);
    let evenkeel = start(&[&backend], "queue = { timeout = \"600ms\" }");
    let first = ask(&evenkeel, "/first", "");
    until("the first is not served", || backend.count() == 1);
    let old = line_up(&evenkeel, "/old", "", 0);
    let new = line_up(&evenkeel, "/new", "", 1);
    assert_eq!((answer(first).status, answer(new).status, answer(old).status), (200, 200, 503));
    assert_eq!(order(&backend), ["/first", "/new"]);
}

#[test]
fn without_a_line_a_full_pool_answers_503_at_once() {
    let backend = slow("one", SECOND);
    let evenkeel = start(&[&backend], "queue = false");
    let _first = ask(&evenkeel, "/", "");
    until("the first is not served", || backend.count() == 1);
    let refused = answer(ask(&evenkeel, "/", ""));
    assert_eq!((refused.status, refused.reason().as_deref()), (503, Some("queue_full")));
    assert!(status(&evenkeel)["queue"].is_null());
}

#[test]
fn a_session_waits_for_its_own_backend_though_another_is_free() {
    let backends = [slow("one", MS * 300), slow("two", MS * 300)];
    let evenkeel = start(&[&backends[0], &backends[1]], "sticky = { cookie = \"ek\" }");
    let first = answer(ask(&evenkeel, "/", ""));
    let cookie = format!("Cookie: {}\r\n", first.get("set-cookie").unwrap().split(';').next().unwrap());
    let both: Vec<_> = (0..2).map(|_| ask(&evenkeel, "/", &cookie)).collect();
    let names: Vec<_> = both.into_iter().map(|client| answer(client).backend()).collect();
    assert_eq!(names, [first.backend(), first.backend()]);
}
