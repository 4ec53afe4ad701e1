//! The end: what runs ends well, nothing new begins, the exit code is what it should be (safety row F15).
#![allow(clippy::unwrap_used)]

mod verb;

use std::net::{SocketAddr, TcpStream};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use testkit::client::{Connection, Load};
use testkit::{Evenkeel, show};
use verb::{EVENKEEL, Running, ask, lasting_address, wait};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn start(backend: SocketAddr, patience: &str) -> Evenkeel {
    let config =
        format!("listen = \"LISTEN\"\nbackends = [\"{backend}\"]\nshutdown = \"{patience}\"\n[admin]\nlisten = \"ADMIN\"\n");
    Evenkeel::start(EVENKEEL, &config)
}

fn end(mut evenkeel: Evenkeel) -> (Option<i32>, String) {
    let mut status = None;
    wait("evenkeel still runs", || {
        status = evenkeel.exited();
        status.is_some()
    });
    (status.unwrap().code(), evenkeel.stderr())
}

#[test]
fn requests_begun_before_sigterm_end_well_and_new_ones_are_not_taken() {
    let backend = lasting_address();
    let _backend = Running::backend("slow", backend, &["--delay", "800ms"]);
    let evenkeel = start(backend, "10s");
    let (front, admin) = (evenkeel.address(), evenkeel.admin());
    let mut idle = Connection::open(front).unwrap();
    assert_eq!(idle.exchange(GET).unwrap().status, 200);
    let running = spawn(move || Connection::open(front).unwrap().exchange(GET));
    sleep(Duration::from_millis(200));
    evenkeel.signal("TERM");
    sleep(Duration::from_millis(150));
    assert!(TcpStream::connect(front).is_err(), "a new connection is accepted");
    assert_eq!(ask(admin, "/readyz").status, 503);
    idle.read_until(Duration::from_secs(1), |_| false);
    assert!(idle.end.is_some() && idle.received.is_empty(), "an idle connection is left open: {}", show(&idle.received));
    let answer = running.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.complete, answer.head.has_token("connection", "close")), (200, true, true), "{answer:?}");
    let (code, stderr) = end(evenkeel);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("everything has ended"), "{stderr}");
}

#[test]
fn what_does_not_end_in_time_is_left_and_the_exit_code_is_0_all_the_same() {
    let backend = lasting_address();
    let _backend = Running::backend("slow", backend, &["--delay", "30s"]);
    let evenkeel = start(backend, "500ms");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(GET).unwrap();
    sleep(Duration::from_millis(100));
    let begin = Instant::now();
    evenkeel.signal("TERM");
    let (code, stderr) = end(evenkeel);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(begin.elapsed() > Duration::from_millis(450) && begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(stderr.contains("ran out"), "{stderr}");
}

#[test]
fn a_second_sigint_ends_at_once() {
    let backend = lasting_address();
    let _backend = Running::backend("slow", backend, &["--delay", "30s"]);
    let evenkeel = start(backend, "30s");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(GET).unwrap();
    sleep(Duration::from_millis(100));
    evenkeel.signal("INT");
    evenkeel.wait_for_log("SIGINT: ending");
    let begin = Instant::now();
    evenkeel.signal("INT");
    let (code, stderr) = end(evenkeel);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn under_load_every_answer_that_is_begun_is_whole() {
    let backend = lasting_address();
    let _backend = Running::backend("b", backend, &["--delay", "5ms"]);
    let evenkeel = start(backend, "10s");
    let load = Load::start(evenkeel.address(), "/", 400, 8, 10);
    sleep(Duration::from_millis(800));
    let front = evenkeel.address();
    evenkeel.signal("TERM");
    wait("it still listens", || TcpStream::connect(front).is_err());
    sleep(Duration::from_millis(200));
    let tally = load.stop();
    let (code, stderr) = end(evenkeel);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(tally.ok > 200, "{}", tally.ok);
    // After the end there is nobody to connect to, and a kept connection may close just as it is used again; an answer never breaks off.
    let broken = tally.errors.iter().filter(|error| error.contains("complete: false") || error.contains("came: HTTP"));
    assert_eq!(broken.collect::<Vec<_>>(), Vec::<&String>::new());
}
