//! Rows F1 to F10 of the safety contract: what a client gets, and how often a backend sees a POST, for each way a backend can fail at each byte.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::{Agenda, Clogging, Exchange, Recording, Refusing, Script, Step};
use testkit::client::{Connection, Response, exchange, get};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n";

/// Backends that share an agenda, so that "the first attempt fails" holds wherever it goes, and the proxy before them.
struct Fleet {
    agenda: Arc<Agenda>,
    backends: Vec<Recording>,
    evenkeel: Evenkeel,
}

impl Fleet {
    /// `keep`: backends keep their connections, so attempts after the first ones run on idle ones; else every attempt has a fresh one.
    fn start(backends: usize, keep: bool, route: &str) -> Self {
        Self::checked_every("60s", backends, keep, route)
    }

    /// With this interval of health checks; otherwise they stay out of the way.
    fn checked_every(interval: &str, backends: usize, keep: bool, route: &str) -> Self {
        let good = if keep {
            Script::fixed(ANSWER)
        } else {
            let answer = [&b"HTTP/1.1 200 OK\r\nConnection: close\r\n"[..], &ANSWER[17..]].concat();
            Script(vec![Step::ReadRequest, Step::Write(answer), Step::Close])
        };
        let agenda = Agenda::new(good);
        let backends: Vec<_> = (0..backends).map(|n| Recording::sharing(&format!("b{n}"), agenda.clone())).collect();
        let addresses: Vec<_> = backends.iter().map(|b| format!("\"{}\"", b.address())).collect();
        let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config(&addresses.join(", "), route).replace("60s", interval));
        Self { agenda, backends, evenkeel }
    }

    /// Sends a request after a warm-up that leaves an idle connection to each backend (if they keep them); says what was seen of it.
    fn attempt(&self, request: &[u8], scripts: &[Script]) -> (Result<Response, String>, Vec<Exchange>) {
        let mut client = Connection::open(self.evenkeel.address()).unwrap();
        for _ in &self.backends {
            assert_eq!(client.exchange(GET).map(|r| r.status), Ok(200), "a good request between two broken ones");
        }
        let marks: Vec<_> = self.backends.iter().map(Recording::count).collect();
        for script in scripts {
            self.agenda.push(script.clone());
        }
        let answer = client.exchange(request);
        if answer.as_ref().is_ok_and(|a| !a.complete) {
            assert!(client.end.is_some(), "a body that breaks off closes the connection");
        }
        self.agenda.clear();
        let seen = self.backends.iter().zip(marks).flat_map(|(b, mark)| b.since(mark)).collect();
        (answer, seen)
    }

    /// How many bytes the proxy makes of this request.
    fn forwarded(&self, request: &[u8]) -> u64 {
        let (answer, seen) = self.attempt(request, &[]);
        assert_eq!((answer.unwrap().status, seen.len()), (200, 1));
        seen[0].total
    }
}

fn config(backends: &str, route: &str) -> String {
    format!(
        r#"
workers = 1
[listener.web]
listen = "LISTEN"
[[route]]
match = {{ path = "/" }}
pool = "app"
{route}
[pool.app]
backends = [{backends}]
health = {{ tcp = true, interval = "60s" }}
retry = {{ attempts = 2, on = ["connect", "reset"], budget = "100%" }}
"#
    )
}

fn describe(what: &str, answer: &Result<Response, String>, seen: &[Exchange]) -> String {
    let seen: Vec<_> = seen
        .iter()
        .map(|e| format!("{} connection {} turn {}: {}", e.backend, e.connection, e.turn, testkit::show(&e.bytes)))
        .collect();
    format!("{what}\n  came: {answer:?}\n  backends saw: {seen:#?}")
}

fn is(answer: &Result<Response, String>, status: u16, reasons: &[&str]) -> bool {
    answer.as_ref().is_ok_and(|a| {
        a.status == status && a.complete && (reasons.is_empty() || a.reason().is_some_and(|r| reasons.contains(&r.as_str())))
    })
}

/// F3 (fresh connections) and F7 (idle ones): the backend ends the connection after each byte of the request.
fn ends_within_the_request(keep: bool) {
    let fleet = Fleet::start(2, keep, "");
    for request in [GET, POST] {
        let is_get = request == GET;
        let length = fleet.forwarded(request);
        for at in 1..=length {
            for script in [Script::reset_after_read(at), Script::close_after_read(at)] {
                let (answer, seen) = fleet.attempt(request, std::slice::from_ref(&script));
                let what = format!("{} idle: {keep}, {script:?} of {length}", testkit::text(&request[..4]));
                if is_get {
                    assert!(is(&answer, 200, &[]), "F3/F7: a GET is tried again\n{}", describe(&what, &answer, &seen));
                    assert!(seen.len() == 2, "F3/F7: one retry\n{}", describe(&what, &answer, &seen));
                    if !keep {
                        assert_ne!(seen[0].backend, seen[1].backend, "F3: on another backend\n{}", describe(&what, &answer, &seen));
                    }
                } else {
                    assert!(is(&answer, 502, &["upstream_reset"]), "F3: 502 upstream_reset\n{}", describe(&what, &answer, &seen));
                    assert!(seen.len() == 1, "F3: the POST is seen once\n{}", describe(&what, &answer, &seen));
                }
                assert!(
                    keep == seen.iter().any(|e| e.turn > 1),
                    "idle connections are used when there are some\n{}",
                    describe(&what, &answer, &seen)
                );
            }
        }
    }
}

#[test]
fn f3_a_fresh_connection_that_ends_at_any_byte_of_the_request() {
    ends_within_the_request(false);
}

#[test]
fn f7_an_idle_connection_that_ends_at_any_byte_of_the_request() {
    ends_within_the_request(true);
}

/// F3, F5 and F6: the backend ends the connection after each byte of its answer.
fn ends_within_the_answer(keep: bool) {
    let fleet = Fleet::start(2, keep, "");
    for (request, answer) in [(GET, ANSWER), (POST, ANSWER), (GET, CHUNKED), (POST, CHUNKED)] {
        let head = testkit::message::find(answer, b"\r\n\r\n").unwrap() + 4;
        for at in 0..answer.len() {
            for script in [Script::reset_after_written(answer, at), Script::close_after_written(answer, at)] {
                let (came, seen) = fleet.attempt(request, std::slice::from_ref(&script));
                let what = format!(
                    "{} idle: {keep}, ended after {at} of {} bytes of the answer ({:?})",
                    testkit::text(&request[..4]),
                    answer.len(),
                    script.0.last()
                );
                let shown = describe(&what, &came, &seen);
                match at {
                    0 if request == GET => assert!(is(&came, 200, &[]) && seen.len() == 2, "F3/F7: a GET is tried again\n{shown}"),
                    0 => assert!(is(&came, 502, &["upstream_reset"]), "F3: 502 upstream_reset\n{shown}"),
                    _ if at < head => assert!(is(&came, 502, &["upstream_reset", "upstream_malformed"]), "F5: 502\n{shown}"),
                    _ => {
                        let broken = came.as_ref().is_ok_and(|a| a.status == 200 && !a.complete) || is(&came, 502, &[]);
                        assert!(broken, "F6: never ended cleanly\n{shown}");
                    }
                }
                if request == POST {
                    assert_eq!(seen.len(), 1, "the POST is seen once\n{shown}");
                }
            }
        }
    }
    fleet.evenkeel.wait_for_log("upstream_truncated");
}

#[test]
fn f5_f6_a_fresh_connection_that_ends_at_any_byte_of_the_answer() {
    ends_within_the_answer(false);
}

#[test]
fn f5_f6_an_idle_connection_that_ends_at_any_byte_of_the_answer() {
    ends_within_the_answer(true);
}

#[test]
fn f6_a_body_that_lasts_until_the_close_and_is_reset_is_not_ended_cleanly() {
    let fleet = Fleet::start(1, false, "");
    let answer = b"HTTP/1.1 200 OK\r\n\r\nsome of it";
    let (came, seen) = fleet.attempt(GET, &[Script::reset_after_written(answer, answer.len())]);
    assert!(came.as_ref().is_ok_and(|a| !a.complete) || is(&came, 502, &[]), "{}", describe("reset", &came, &seen));
    let (came, seen) = fleet.attempt(GET, &[Script::close_after_written(answer, answer.len())]);
    assert!(came.as_ref().is_ok_and(|a| a.complete && a.body == b"some of it"), "{}", describe("close", &came, &seen));
}

#[test]
fn f3_without_another_backend_the_retry_goes_to_the_same_one() {
    let fleet = Fleet::start(1, false, "");
    let (came, seen) = fleet.attempt(GET, &[Script::reset_after_request()]);
    assert!(is(&came, 200, &[]) && seen.len() == 2, "{}", describe("one backend", &came, &seen));
}

#[test]
fn f3_a_backend_that_always_resets_ends_in_502_and_a_bounded_number_of_attempts() {
    let fleet = Fleet::start(4, false, "");
    let (came, seen) = fleet.attempt(GET, &vec![Script::reset_after_request(); 10]);
    assert!(is(&came, 502, &["upstream_reset"]) && (2..=3).contains(&seen.len()), "{}", describe("all reset", &came, &seen));
}

#[test]
fn f3_methods_are_retried_by_their_idempotence() {
    let fleet = Fleet::start(2, false, "");
    for (method, again) in [
        ("GET", true),
        ("HEAD", true),
        ("PUT", true),
        ("DELETE", true),
        ("OPTIONS", true),
        ("POST", false),
        ("PATCH", false),
        ("PURGE", false),
    ] {
        let request = format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        let (came, seen) = fleet.attempt(request.as_bytes(), &[Script::reset_after_request()]);
        let shown = describe(method, &came, &seen);
        assert_eq!(seen.len(), if again { 2 } else { 1 }, "{shown}");
        assert_eq!(came.as_ref().map(|a| a.status), Ok(if again { 200 } else { 502 }), "{shown}");
        if again {
            assert_eq!(seen[1].body, b"hello", "the retry carries the whole body\n{shown}");
        }
    }
}

#[test]
fn f3_a_body_over_64_kib_is_not_held_and_so_not_sent_again() {
    let fleet = Fleet::start(2, false, "");
    let request = |length: usize| {
        [format!("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes(), vec![b'z'; length]].concat()
    };
    let (came, seen) = fleet.attempt(&request(200_000), &[Script::reset_after_request()]);
    assert!(is(&came, 502, &["upstream_reset"]) && seen.len() == 1, "{}", describe("200,000 bytes", &came, &seen));
    let (came, seen) = fleet.attempt(&request(30_000), &[Script::reset_after_request()]);
    assert!(is(&came, 200, &[]) && seen.len() == 2 && seen[1].body_length == 30_000, "{}", describe("30,000 bytes", &came, &seen));
}

#[test]
fn f4_no_answer_in_time_is_504_and_the_request_is_not_sent_again() {
    let fleet = Fleet::start(2, false, r#"timeout = { response = "300ms" }"#);
    let mut scripts =
        vec![Script::stall(), Script(vec![Step::ReadRequest, Step::Stall]), Script(vec![Step::ReadHead, Step::Stall])];
    scripts.extend([1, 9, 15, 17, 30, 37].map(|at| Script::stall_after_written(ANSWER, at)));
    for script in scripts {
        for request in [GET, POST] {
            let started = Instant::now();
            let (came, seen) = fleet.attempt(request, std::slice::from_ref(&script));
            let shown = describe(&format!("{} {script:?}", testkit::text(&request[..4])), &came, &seen);
            assert!(is(&came, 504, &["response_timeout"]), "F4: 504 response_timeout\n{shown}");
            assert_eq!(seen.len(), 1, "F4: sent once\n{shown}");
            let took = started.elapsed();
            assert!((Duration::from_millis(250)..Duration::from_millis(1_500)).contains(&took), "F4: after {took:?}\n{shown}");
        }
    }
}

#[test]
fn f1_a_backend_that_refuses_costs_no_client_an_error_with_any_method() {
    let mut fleet = Fleet::start(3, false, "");
    for n in 0..2 {
        fleet.backends[n].kill();
        for _ in 0..10 {
            for request in [GET, POST] {
                let answer = exchange(fleet.evenkeel.address(), request);
                assert_eq!(answer.status, 200, "F1: {} backends gone: {answer:?}", n + 1);
            }
        }
    }
    let posts: usize = fleet.backends.iter().map(|b| b.exchanges().iter().filter(|e| e.bytes.starts_with(b"POST")).count()).sum();
    assert_eq!(posts, 20, "every POST is seen once");
}

#[test]
fn f1_all_backends_refuse_is_502_and_soon_503_until_one_is_back() {
    let mut fleet = Fleet::checked_every("1s", 2, false, "");
    fleet.backends.iter_mut().for_each(Recording::kill);
    let first = exchange(fleet.evenkeel.address(), POST);
    assert_eq!((first.status, first.reason().as_deref()), (502, Some("connect_failed")), "{first:?}");
    let status_becomes = |wanted: u16, within: u64| {
        let deadline = Instant::now() + Duration::from_secs(within);
        loop {
            let answer = get(fleet.evenkeel.address(), "/x");
            if answer.status == wanted {
                return answer;
            }
            assert!(Instant::now() < deadline, "no {wanted} within {within} s but {answer:?}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    let down = status_becomes(503, 10);
    assert_eq!(down.reason().as_deref(), Some("no_healthy_backend"));
    fleet.backends[1].restart();
    let deadline = Instant::now() + Duration::from_secs(10);
    while get(fleet.evenkeel.address(), "/x").status != 200 {
        assert!(Instant::now() < deadline, "a backend that is back is used again");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Row F2.
#[test]
fn f2_a_backend_that_does_not_accept_is_passed_over_and_alone_gives_504() {
    let clogging = Clogging::start();
    let good = Recording::with("good", Script::fixed(ANSWER));
    let route = r#"timeout = { connect = "300ms" }"#;
    let alone = Evenkeel::start(&testkit::binary(BINARY), &config(&format!("\"{}\"", clogging.address()), route));
    let both =
        Evenkeel::start(&testkit::binary(BINARY), &config(&format!("\"{}\", \"{}\"", clogging.address(), good.address()), route));
    clogging.clog();
    let started = Instant::now();
    for request in [GET, POST] {
        for _ in 0..2 {
            assert_eq!(exchange(both.address(), request).status, 200);
        }
    }
    assert!(started.elapsed() >= Duration::from_millis(300), "the one that does not accept was never asked");
    let started = Instant::now();
    let answer = exchange(alone.address(), POST);
    assert_eq!((answer.status, answer.reason().as_deref()), (504, Some("connect_timeout")), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(good.exchanges().iter().filter(|e| e.bytes.starts_with(b"POST")).count(), 2, "every POST is seen once");
}

#[test]
fn f7_idle_connections_that_the_backend_ended_cost_nothing() {
    let fleet = Fleet::start(2, true, "");
    for round in 0..40 {
        let mut client = Connection::open(fleet.evenkeel.address()).unwrap();
        for _ in 0..2 {
            assert_eq!(client.exchange(GET).unwrap().status, 200);
        }
        for backend in &fleet.backends {
            if round % 2 == 0 { backend.close_connections() } else { backend.reset_connections() }
        }
        // A GET may meet the end halfway and is sent again; a POST is given the time to be told.
        let request = if round % 4 < 2 { GET } else { POST };
        if request == POST {
            thread::sleep(Duration::from_millis(30));
        }
        let answer = client.exchange(request).unwrap();
        assert_eq!(answer.status, 200, "round {round}: {answer:?}");
    }
}

/// Row F8.
#[test]
fn f8_an_early_answer_is_relayed_and_the_rest_of_the_body_is_not_sent() {
    let fleet = Fleet::start(1, true, "");
    for keep_sending in [false, true] {
        fleet.agenda.push(Script::early("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"));
        let mut client = Connection::open(fleet.evenkeel.address()).unwrap();
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").unwrap();
        client.send(&[b'z'; 1000]).unwrap();
        if keep_sending {
            client.send_in_pieces(&vec![b'z'; 2_000_000], 16_384, Duration::ZERO);
        }
        let answer = client.response("POST").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
        assert_eq!(exchange(fleet.evenkeel.address(), POST).status, 200, "the next request has a connection of its own");
    }
    let seen = fleet.backends[0].exchanges();
    let early: Vec<_> = seen.iter().filter(|e| e.line().starts_with("POST /up")).collect();
    assert!(
        early.iter().all(|e| seen.iter().filter(|o| o.connection == e.connection && o.turn > e.turn).count() == 0),
        "an upstream connection with half a request is not used again"
    );
}

/// Row F8: the backend goes on reading, so that only the proxy can end the sending and the connection.
#[test]
fn f8_after_an_early_answer_the_sending_stops_and_the_upstream_connection_is_closed() {
    const SECOND: Duration = Duration::from_secs(1);
    let fleet = Fleet::start(1, true, r#"timeout = { idle = "1s" }"#);
    // Of the second answer the end never comes: what is sent on meanwhile would arrive.
    for (turn, body) in ["whole", "half"].into_iter().enumerate() {
        let refusal = format!("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\n{body}");
        fleet.agenda.push(Script(vec![Step::ReadHead, Step::Write(refusal.into_bytes()), Step::ReadToEnd]));
        let mut client = Connection::open(fleet.evenkeel.address()).unwrap();
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").unwrap();
        let relayed = client.read_until(SECOND * 2, |got| got.starts_with(b"HTTP/1.1 413") && got.ends_with(body.as_bytes()));
        assert!(relayed, "relayed while the body is still to come: {}", testkit::show(&client.received));
        client.stream().set_write_timeout(Some(SECOND / 2)).unwrap();
        client.send_in_pieces(&vec![b'z'; 20_000_000], 65_536, Duration::ZERO);
        drop(client);
        assert!(fleet.backends[0].wait_until(SECOND * 5, |seen| seen[turn].over), "{body}: the upstream connection stays open");
        let total = fleet.backends[0].exchanges()[turn].total;
        assert!(total < 1_000_000, "{body}: the sending went on: {total}");
    }
}

#[test]
fn f9_a_client_that_goes_away_ends_its_attempt_at_once() {
    let fleet = Fleet::start(1, false, "");
    for reset in [true, false] {
        let mark = fleet.backends[0].count();
        fleet.agenda.push(Script(vec![Step::ReadRequest, Step::ReadToEnd]));
        let mut client = Connection::open(fleet.evenkeel.address()).unwrap();
        client.send(GET).unwrap();
        assert!(fleet.backends[0].wait_until(Duration::from_secs(2), |all| { all.get(mark).is_some_and(|e| e.complete) }));
        let started = Instant::now();
        if reset {
            client.reset()
        } else {
            drop(client)
        }
        assert!(
            fleet.backends[0].wait_until(Duration::from_secs(2), |all| all[mark].over),
            "F9: the attempt goes on after its client went away (reset: {reset})"
        );
        let took = started.elapsed();
        assert!(took < Duration::from_millis(250), "F9: cancelled only after {took:?}");
    }
}

#[test]
fn f10_with_every_backend_down_the_answer_is_503_at_once_and_nobody_is_dialled() {
    let dead = [Refusing::start(), Refusing::start()];
    let evenkeel =
        Evenkeel::start(&testkit::binary(BINARY), &config(&format!("\"{}\", \"{}\"", dead[0].address(), dead[1].address()), ""));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    let mut times = Vec::new();
    for request in [GET, POST].repeat(10) {
        let started = Instant::now();
        let answer = client.exchange(request).unwrap();
        times.push(started.elapsed());
        assert_eq!(
            (answer.status, answer.reason().as_deref(), answer.get("Retry-After")),
            (503, Some("no_healthy_backend"), Some("1")),
            "{answer:?}"
        );
    }
    times.sort_unstable();
    assert!(
        times[times.len() / 2] < Duration::from_millis(10),
        "half of the answers took longer than {:?}",
        times[times.len() / 2]
    );
    evenkeel.stop();
}

#[test]
fn f4_a_client_that_was_told_something_by_one_backend_gets_no_answer_of_another() {
    let agenda = Agenda::new(Script::fixed(ANSWER));
    let backends: Vec<_> = (0..2).map(|n| Recording::sharing(&format!("b{n}"), agenda.clone())).collect();
    let addresses: Vec<_> = backends.iter().map(|b| format!("\"{}\"", b.address())).collect();
    let config =
        config(&addresses.join(", "), r#"timeout = { response = "300ms" }"#).replace("\"reset\"", "\"reset\", \"timeout\"");
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config);
    for (told, expected) in [(&b""[..], 200), (b"HTTP/1.1 103 Early Hints\r\nLink: </b0.css>\r\n\r\n", 504)] {
        agenda.push(Script(vec![Step::ReadHead, Step::Write(told.to_vec()), Step::Stall]));
        let mut client = Connection::open(evenkeel.address()).unwrap();
        client.send(GET).unwrap();
        if !told.is_empty() {
            assert!(client.read_until(Duration::from_secs(1), |got| got.ends_with(b"\r\n\r\n")));
            client.received.clear();
        }
        assert_eq!(client.response("GET").map(|answer| answer.status), Ok(expected));
    }
}
