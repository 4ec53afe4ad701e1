//! Limits with the real binary: how often, how many at one time, how many connections; what they refuse and what they leave alone.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::{Answer, Recording, Script, Step};
use testkit::client::{Connection, Response, exchange, get};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const SECOND: Duration = Duration::from_secs(1);

fn config(backend: &Recording, limits: &str) -> String {
    format!(
        "[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\nname = \"api\"\npool = \"app\"\n{limits}\n\
         [[route]]\nmatch = {{ path = \"/free\" }}\npool = \"app\"\n[pool.app]\nbackends = [\"{}\"]\n",
        backend.address()
    )
}

fn start(backend: &Recording, limits: &str) -> Evenkeel {
    Evenkeel::start(&testkit::binary(BINARY), &config(backend, limits))
}

fn ask(client: &mut Connection, path: &str, field: &str) -> Response {
    client.exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n").as_bytes()).unwrap()
}

fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SECOND * 10;
    while !condition() {
        assert!(Instant::now() < deadline, "{otherwise}");
        thread::sleep(SECOND / 100);
    }
}

fn field(answer: &Response, name: &str) -> u64 {
    answer.head.get(name).unwrap_or_else(|| panic!("no {name}: {answer:?}")).parse().unwrap()
}

fn status(evenkeel: &Evenkeel) -> serde_json::Value {
    let admin = evenkeel.admin();
    exchange(admin, format!("GET /status HTTP/1.1\r\nHost: {admin}\r\n\r\n").as_bytes()).json()
}

#[test]
fn a_burst_passes_and_the_rest_is_429_and_other_keys_routes_and_later_requests_are_untouched() {
    let backend = Recording::start("one");
    let limit = "rate_limit = { rate = \"10/s\", burst = 5, key = \"header:X-Key\" }";
    let evenkeel = start(&backend, limit);
    // Two connections are two workers where there are two; the limit is one all the same.
    let mut clients = [(); 2].map(|()| Connection::open(evenkeel.address()).unwrap());
    let begin = Instant::now();
    let answers: Vec<Response> = (0..60).map(|i| ask(&mut clients[i % 2], "/", "X-Key: one\r\n")).collect();
    let allowed = 6.0 + 10.0 * begin.elapsed().as_secs_f64();
    let (passed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(passed.len() as f64 <= allowed && passed.len() as f64 >= allowed - 2.0, "{} passed, not {allowed}", passed.len());
    assert_eq!(backend.count(), passed.len());
    for answer in &refused {
        assert_eq!((answer.status, answer.reason().as_deref()), (429, Some("rate_limited")));
        assert_eq!(
            (field(answer, "retry-after"), field(answer, "ratelimit-remaining"), field(answer, "ratelimit-reset")),
            (1, 0, 1)
        );
    }
    assert_eq!((field(passed[0], "ratelimit-limit"), field(passed[0], "ratelimit-remaining")), (6, 5));
    assert_eq!(passed[0].head.get("ratelimit-policy"), Some("10;w=1;burst=5"));
    assert_eq!(ask(&mut clients[0], "/", "X-Key: two\r\n").status, 200);
    assert!((0..20).all(|_| ask(&mut clients[0], "/", "").status == 200), "without the key there is no limit");
    assert!((0..20).all(|_| ask(&mut clients[0], "/free", "X-Key: one\r\n").status == 200));
    // A reload changes the terms; what is known of the key stays.
    evenkeel.reload(&config(&backend, &limit.replace("burst = 5", "burst = 4")));
    assert_eq!(ask(&mut clients[0], "/", "X-Key: one\r\n").status, 429);
    until("the key never recovers", || ask(&mut clients[1], "/", "X-Key: one\r\n").status == 200);
    let route = status(&evenkeel)["limits"][0].clone();
    assert_eq!(route["route"], "api");
    assert!(route["refused"].as_u64().unwrap() >= refused.len() as u64, "{route}");
    assert!(evenkeel.metric("evenkeel_rate_limit_total{route=\"api\",result=\"refused\"}") >= refused.len() as f64);
    assert!((1.0..1e6).contains(&evenkeel.metric("evenkeel_limit_memory_bytes")));
}

#[test]
fn what_is_beyond_the_burst_waits_its_turn_where_a_delay_is_set() {
    let backend = Recording::start("one");
    let evenkeel = start(&backend, "rate_limit = { rate = \"20/s\", delay = \"200ms\", headers = false }");
    let begin = Instant::now();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let to = evenkeel.address();
            thread::spawn(move || (get(to, "/"), begin.elapsed()))
        })
        .collect();
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let refused = answers.iter().filter(|(answer, _)| answer.status == 429).count();
    // One at once, four that wait 50, 100, 150 and 200 ms; one more if the eight came slowly.
    assert!((2..=3).contains(&refused), "{refused} of 8 were refused");
    let last = answers.iter().filter(|(answer, _)| answer.status == 200).map(|(_, took)| *took).max().unwrap();
    assert!(last >= Duration::from_millis(190), "the last one passed after {last:?}");
    assert!(answers.iter().all(|(answer, _)| answer.head.get("ratelimit-limit").is_none()));
    assert!(evenkeel.metric("evenkeel_rate_limit_total{route=\"api\",result=\"delayed\"}") >= 4.0);
}

#[test]
fn of_several_limits_all_must_allow_and_one_that_is_refused_counts_for_none() {
    let backend = Recording::start("one");
    let limits = "rate_limit = [{ rate = \"10/h\", burst = 9, key = \"route\" }, { rate = \"1/h\", burst = 1, key = \"header:X-Key\", status = 503 }]";
    let evenkeel = start(&backend, limits);
    let mut client = Connection::open(evenkeel.address()).unwrap();
    let first: Vec<u16> = (0..20).map(|_| ask(&mut client, "/", "X-Key: greedy\r\n").status).collect();
    assert_eq!(first, [&[200; 2][..], &[503; 18]].concat());
    // The greedy one took two of the route's ten.
    let others: Vec<u16> = (0..10).map(|i| ask(&mut client, "/", &format!("X-Key: {i}\r\n")).status).collect();
    assert_eq!(others, [&[200; 8][..], &[429; 2]].concat());
    assert!(field(&ask(&mut client, "/", "X-Key: greedy\r\n"), "retry-after") > 100);
}

#[test]
fn a_dry_run_counts_what_it_would_refuse_and_refuses_nothing() {
    let backend = Recording::start("one");
    let limits = "rate_limit = { rate = \"1/h\", dry_run = true }\nconcurrency = { limit = 1, dry_run = true }";
    let evenkeel = start(&backend, limits);
    let mut client = Connection::open(evenkeel.address()).unwrap();
    assert!((0..10).all(|_| ask(&mut client, "/", "").status == 200));
    assert_eq!(evenkeel.metric("evenkeel_rate_limit_total{route=\"api\",result=\"would_refuse\"}"), 9.0);
    assert_eq!(evenkeel.metric("evenkeel_concurrency_limit_total{route=\"api\",result=\"would_refuse\"}"), 0.0);
}

#[test]
fn a_key_has_no_more_exchanges_at_one_time_than_its_limit_and_gets_its_places_back() {
    let backend = Recording::with("one", Script(vec![Step::ReadRequest, Step::Pause(SECOND), Step::Respond(Answer::Json)]));
    let evenkeel = start(&backend, "concurrency = { limit = 3, key = \"header:X-Key\" }");
    let ask_in_the_background = |key: &str| {
        let mut client = Connection::open(evenkeel.address()).unwrap();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n").as_bytes()).unwrap();
        client
    };
    let mut held: Vec<_> = (0..3).map(|_| ask_in_the_background("one")).collect();
    assert!(backend.wait_until(SECOND * 5, |exchanges| exchanges.len() == 3));
    let mut other = Connection::open(evenkeel.address()).unwrap();
    let refused = ask(&mut other, "/", "X-Key: one\r\n");
    assert_eq!((refused.status, refused.reason().as_deref()), (429, Some("concurrency_limited")));
    assert_eq!(ask(&mut other, "/", "X-Key: two\r\n").status, 200);
    // One is answered, one leaves: both places are free.
    assert_eq!(held.pop().unwrap().response("GET").unwrap().status, 200);
    until("a place never comes free", || ask(&mut other, "/", "X-Key: one\r\n").status == 200);
    assert!(evenkeel.metric("evenkeel_concurrency_limit_total{route=\"api\",result=\"refused\"}") >= 1.0);
    assert!(status(&evenkeel)["limits"][0]["crowded"].as_u64().unwrap() >= 1);
}

/// Row E4.
#[test]
fn e4_an_address_has_no_more_connections_than_its_bound_and_others_are_served() {
    let backend = Recording::start("one");
    let text = config(&backend, "").replace("listen = \"LISTEN\"", "listen = \"LISTEN\"\nmax_connections_per_ip = 3");
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &text);
    // The connections by which the start was noticed count until their end is.
    until("connections stay open", || evenkeel.metric("evenkeel_connections") == 0.0);
    let mut held: Vec<_> = (0..3).map(|_| Connection::open(evenkeel.address()).unwrap()).collect();
    assert!(held.iter_mut().all(|client| ask(client, "/", "").status == 200));
    let mut fourth = Connection::open(evenkeel.address()).unwrap();
    assert!(fourth.read_to_end(SECOND * 5).is_some(), "the fourth connection stays open");
    let mut other = Connection::open_from("127.0.0.2".parse().unwrap(), evenkeel.address()).unwrap();
    assert_eq!(ask(&mut other, "/", "").status, 200);
    drop(held.pop());
    let again = || Connection::open(evenkeel.address()).unwrap().exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("its place never comes free", || again().is_ok());
    assert!(evenkeel.metric("evenkeel_connections_refused_total") >= 1.0);
    assert!(status(&evenkeel)["connections"]["crowded"].as_u64().unwrap() >= 1);
}
