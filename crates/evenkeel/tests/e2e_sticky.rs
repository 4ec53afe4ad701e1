//! Sticky sessions: who stays, who moves, and what a client can't do with its cookie.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::Recording;
use testkit::client::{Response, exchange};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const KEY: &str = "keys = \"0123456789abcdef\"";

fn backends() -> Vec<Recording> {
    ["one", "two", "three"].map(Recording::start).into()
}

fn config(backends: &[Recording], sticky: &str) -> String {
    let list: Vec<_> = backends.iter().map(|backend| format!("\"{}\"", backend.address())).collect();
    format!(
        "workers = 2\n[admin]\nlisten = \"ADMIN\"\ntoken = \"0123456789abcdef\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\n\
         [pool.app]\nbackends = [{}]\nsticky = {{ {sticky} }}\nhealth = {{ tcp = true, interval = \"200ms\" }}\n",
        list.join(", ")
    )
}

fn start(backends: &[Recording], sticky: &str) -> Evenkeel {
    Evenkeel::start(&testkit::binary(BINARY), &config(backends, sticky))
}

fn get(evenkeel: &Evenkeel, fields: &str) -> Response {
    exchange(evenkeel.address(), format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n").as_bytes())
}

fn backend(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["backend"].as_str().unwrap().to_owned()
}

fn set_cookie(answer: &Response) -> Option<String> {
    Some(answer.get("set-cookie")?.to_owned())
}

/// The cookie as a browser sends it back.
fn cookie(answer: &Response) -> String {
    format!("Cookie: a=b; {}\r\n", set_cookie(answer).unwrap().split(';').next().unwrap())
}

fn who(evenkeel: &Evenkeel, fields: &str, times: usize) -> HashSet<String> {
    (0..times).map(|_| backend(&get(evenkeel, fields))).collect()
}

fn until(otherwise: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn sessions(evenkeel: &Evenkeel) -> [u64; 3] {
    let ask = format!("GET /status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", evenkeel.admin());
    let status = exchange(evenkeel.admin(), ask.as_bytes()).json();
    ["kept", "begun", "moved"].map(|what| status["pools"][0]["sticky"][what].as_u64().unwrap())
}

#[test]
fn a_client_with_its_cookie_stays_and_is_told_once() {
    let backends = backends();
    let evenkeel = start(&backends, "cookie = \"ek\", ttl = \"12h\", same_site = \"strict\", path = \"/\"");
    let first = get(&evenkeel, "");
    let told = set_cookie(&first).unwrap();
    assert!(told.starts_with("ek=") && told.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=strict"), "{told}");
    for _ in 0..20 {
        let again = get(&evenkeel, &cookie(&first));
        assert_eq!((backend(&again), set_cookie(&again)), (backend(&first), None));
    }
    assert_eq!(sessions(&evenkeel), [20, 1, 0]);
    // The cookie is of no other pool and tells nobody where its backend is.
    assert!(backends.iter().all(|backend| !told.contains(&backend.address().port().to_string())));
    assert_eq!(who(&evenkeel, "", 9).len(), 3, "those without a cookie are spread");
}

#[test]
fn a_cookie_that_was_made_up_or_changed_is_ignored_and_replaced() {
    let backends = backends();
    let evenkeel = start(&backends, "cookie = \"ek\"");
    let genuine = cookie(&get(&evenkeel, ""));
    let changed = genuine.replace("\r\n", "").split_at(genuine.len() - 6).0.to_owned() + "AAAA\r\n";
    for forged in [changed.as_str(), "Cookie: ek=\r\n", "Cookie: ek=one\r\n", "Cookie: ek=0\r\n"] {
        assert_eq!(who(&evenkeel, forged, 9).len(), 3, "{forged}");
        assert!(set_cookie(&get(&evenkeel, forged)).is_some());
    }
}

#[test]
fn a_dead_backend_is_left_without_an_error_and_the_cookie_rewritten() {
    let mut backends = backends();
    let evenkeel = start(&backends, "cookie = \"ek\"");
    let first = get(&evenkeel, "");
    let was = backend(&first);
    backends.iter_mut().find(|backend| backend.name() == was).unwrap().kill();
    let moved = get(&evenkeel, &cookie(&first));
    assert_ne!(backend(&moved), was);
    assert_eq!(who(&evenkeel, &cookie(&moved), 9), HashSet::from([backend(&moved)]));
    assert_eq!(sessions(&evenkeel)[2], 1);
}

#[test]
fn keys_rotate_over_a_reload_and_a_second_instance_knows_the_cookies_of_the_first() {
    let backends = backends();
    let evenkeel = start(&backends, KEY);
    let first = get(&evenkeel, "");
    let second = start(&backends, KEY);
    assert_eq!(who(&second, &cookie(&first), 9), HashSet::from([backend(&first)]));
    evenkeel.reload(&config(&backends, "keys = [\"fedcba9876543210\", \"0123456789abcdef\"]"));
    until("the old cookie is not renewed", || set_cookie(&get(&evenkeel, &cookie(&first))).is_some());
    let renewed = get(&evenkeel, &cookie(&first));
    assert_eq!(backend(&renewed), backend(&first));
    evenkeel.reload(&config(&backends, "keys = \"fedcba9876543210\""));
    until("the old key still opens", || who(&evenkeel, &cookie(&first), 9).len() == 3);
    assert_eq!(who(&evenkeel, &cookie(&renewed), 9), HashSet::from([backend(&first)]));
}

#[test]
fn without_keys_sessions_live_on_over_a_reload() {
    let backends = backends();
    let evenkeel = start(&backends, "cookie = \"ek\"");
    let first = get(&evenkeel, "");
    evenkeel.reload(&config(&backends, "cookie = \"ek\", same_site = \"strict\""));
    until("the reload is not in force", || set_cookie(&get(&evenkeel, "")).unwrap().ends_with("strict"));
    assert_eq!(who(&evenkeel, &cookie(&first), 9), HashSet::from([backend(&first)]));
}

#[test]
fn clients_are_told_apart_by_a_header_or_by_their_address() {
    let mut backends = backends();
    let evenkeel = start(&backends, "header = \"X-Session\"");
    let sessions: Vec<_> = (0..12).map(|i| format!("X-Session: user-{i}\r\n")).collect();
    let homes: Vec<_> = sessions.iter().map(|session| who(&evenkeel, session, 1)).collect();
    assert_eq!(homes.iter().flatten().collect::<HashSet<_>>().len(), 3, "they are spread");
    sessions.iter().zip(&homes).for_each(|(session, home)| assert_eq!(&who(&evenkeel, session, 5), home));
    let (was, session) = (homes[0].iter().next().unwrap().clone(), &sessions[0]);
    let dead = backends.iter_mut().find(|backend| backend.name() == was).unwrap();
    dead.kill();
    let moved = who(&evenkeel, session, 1);
    assert!(!moved.contains(&was));
    dead.restart();
    until("the dead one does not come back", || who(&evenkeel, "", 3).contains(&was));
    assert_eq!(who(&evenkeel, session, 9), moved, "it stays where it went");

    let by_address = start(&backends, "client_ip = true");
    assert_eq!(who(&by_address, "", 9).len(), 1);
}
