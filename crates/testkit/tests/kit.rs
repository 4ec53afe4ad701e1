//! The kit tried on itself: a client against a backend with no proxy between them.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use testkit::backend::{Agenda, Answer, Clogging, Recording, Refusing, Script, Step};
use testkit::cases::{self, Lane, Mode, run_case};
use testkit::client::{Connection, End, Load, exchange, get};
use testkit::{Checksum, body_bytes};

const POST: &[u8] = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_backend_keeps_exactly_what_it_was_sent_and_numbers_connections() {
    let backend = Recording::start("one");
    let mut first = Connection::open(backend.address()).unwrap();
    let answer = first.exchange(POST).unwrap();
    assert_eq!(answer.json()["body"], "hello");
    assert_eq!(answer.backend().unwrap(), "one");
    first.exchange(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    get(backend.address(), "/3");
    let seen = backend.exchanges();
    assert_eq!(
        seen.iter().map(|e| (e.connection, e.turn, e.complete)).collect::<Vec<_>>(),
        [(1, 1, true), (1, 2, true), (2, 1, true)]
    );
    assert_eq!((seen[0].bytes.as_slice(), seen[0].body.as_slice()), (POST, &b"hello"[..]));
    assert_eq!(seen[2].line(), "GET /3 HTTP/1.1");
}

#[test]
fn pipelined_requests_are_told_apart() {
    let backend = Recording::start("one");
    let mut client = Connection::open(backend.address()).unwrap();
    client.send(&[POST, POST].concat()).unwrap();
    client.response("POST").unwrap();
    client.response("POST").unwrap();
    let seen = backend.exchanges();
    assert!(seen.len() == 2 && seen.iter().all(|e| e.bytes == POST && e.total == POST.len() as u64));
}

#[test]
fn a_backend_resets_or_closes_after_exactly_so_many_bytes() {
    let backend = Recording::start("one");
    for at in 1..POST.len() {
        for (script, end) in [(Script::reset_after_read(at as u64), End::Reset), (Script::close_after_read(at as u64), End::Closed)]
        {
            let mark = backend.count();
            backend.next(script);
            let mut client = Connection::open(backend.address()).unwrap();
            client.send(POST).unwrap();
            assert_eq!(client.read_to_end(Duration::from_secs(2)), Some(end), "at {at}");
            assert_eq!(backend.since(mark)[0].bytes, &POST[..at]);
        }
    }
    assert_eq!(get(backend.address(), "/").status, 200);
}

#[test]
fn a_backend_breaks_off_its_answer_at_each_byte() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let backend = Recording::start("one");
    for at in 0..answer.len() {
        for (script, end) in
            [(Script::reset_after_written(answer, at), End::Reset), (Script::close_after_written(answer, at), End::Closed)]
        {
            backend.next(script);
            let mut client = Connection::open(backend.address()).unwrap();
            client.send(POST).unwrap();
            assert_eq!(client.read_to_end(Duration::from_secs(2)), Some(end), "at {at}");
            assert_eq!(client.received, &answer[..at]);
        }
    }
}

#[test]
fn a_killed_backend_resets_refuses_and_comes_back_on_its_port() {
    let mut backend = Recording::start("one");
    let mut client = Connection::open(backend.address()).unwrap();
    client.exchange(POST).unwrap();
    backend.kill();
    assert_eq!(client.read_to_end(Duration::from_secs(2)), Some(End::Reset));
    assert!(Connection::open(backend.address()).is_err());
    backend.restart();
    assert_eq!(get(backend.address(), "/").status, 200);
    assert!(Connection::open(Refusing::start().address()).is_err());
}

#[test]
fn a_clogged_backend_neither_accepts_nor_refuses() {
    let backend = Clogging::start();
    assert!(std::net::TcpStream::connect(backend.address()).is_ok());
    backend.clog();
    let started = Instant::now();
    let error = std::net::TcpStream::connect_timeout(&backend.address(), Duration::from_millis(200)).unwrap_err();
    assert!(error.kind() == std::io::ErrorKind::TimedOut && started.elapsed() >= Duration::from_millis(150));
}

#[test]
fn backends_that_share_an_agenda_take_from_it_in_turn() {
    let agenda = Agenda::new(Script::echo_json());
    let [a, b] = ["a", "b"].map(|name| Recording::sharing(name, agenda.clone()));
    agenda.push(Script::fixed("HTTP/1.1 204 No Content\r\n\r\n"));
    assert_eq!(get(b.address(), "/").status, 204);
    assert_eq!(get(a.address(), "/").status, 200);
}

#[test]
fn large_bodies_go_both_ways_with_a_checksum() {
    const LENGTH: usize = 5_000_000;
    let mut body = vec![0; LENGTH];
    body_bytes(0, &mut body);
    let backend = Recording::with("one", Script::answer(Answer::Checksum));
    let mut request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n").into_bytes();
    request.extend_from_slice(&body);
    let answer = exchange(backend.address(), &request).json();
    assert_eq!((answer["length"].as_u64(), answer["checksum"].as_u64()), (Some(LENGTH as u64), Some(Checksum::of(&body).0)));
    for chunked in [false, true] {
        backend.next(Script::answer(Answer::Stream { length: LENGTH as u64, chunked }));
        assert!(get(backend.address(), "/").body == body, "chunked: {chunked}");
    }
}

#[test]
fn a_tunnel_echoes_until_either_side_closes() {
    let backend = Recording::with(
        "one",
        Script(vec![Step::ReadHead, Step::Write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec()), Step::Echo]),
    );
    let mut client = Connection::open(backend.address()).unwrap();
    assert_eq!(client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status, 101);
    client.send(b"ping").unwrap();
    assert!(client.read_until(Duration::from_secs(2), |got| got == b"ping"));
    client.finish();
    assert_eq!(client.read_to_end(Duration::from_secs(2)), Some(End::Closed));
}

#[test]
fn a_load_counts_answers_by_backend_and_every_error() {
    let mut backend = Recording::start("one");
    let load = Load::start(backend.address(), "/", 200, 2, 3);
    std::thread::sleep(Duration::from_millis(400));
    backend.kill();
    std::thread::sleep(Duration::from_millis(100));
    let tally = load.stop();
    assert!(tally.ok > 40 && tally.by_backend["one"] == tally.ok && !tally.errors.is_empty(), "{tally:?}");
}

#[test]
fn cases_run_whole_in_bytes_and_cut_and_a_wrong_one_says_everything() {
    let text = r#"
        row = "A13"
        [[case]]
        name = "post"
        head = ["POST /x HTTP/1.1", "Host: a", "X-One: 1", "Content-Length: 5"]
        body = 'hello'
        split = "all"
        expect = { status = 200, closed = false, contains = ['"body":"hello"'] }
        seen = { line = "POST /x HTTP/1.1", fields = ["host: a", "X-One: 1"], body = "hello", framing = "length", lacks = ["Via"] }
        [[case]]
        name = "wrong"
        head = ["GET /y HTTP/1.1", "Host: a"]
        expect = { status = 404 }
        seen = "nothing"
        [[case]]
        name = "scripted"
        head = ["GET /z HTTP/1.1", "Host: a"]
        backend = ["read request", 'write HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi', "close"]
        expect = { status = 200, complete = false }
    "#;
    let cases = cases::parse(text).unwrap();
    let lane = Lane::new(90);
    let run = |case: usize, mode| run_case(&cases[case], mode, lane.backend.address(), &lane);
    for mode in [Mode::Whole, Mode::Bytes].into_iter().chain((1..cases[0].bytes().len()).map(Mode::Split)) {
        run(0, mode).unwrap();
    }
    run(2, Mode::Whole).unwrap();
    let failure = run(1, Mode::Whole).unwrap_err();
    for part in ["A13", "wrong", "GET /y", "wanted status [404], got 200", "should have seen nothing", "HTTP/1.1 200 OK"] {
        assert!(failure.contains(part), "{part} is not in {failure}");
    }
}
