//! Messages at the edges of buffers and limits: heads and bodies that fill a buffer, bodies that nobody reads, clients that say early
//! that they send no more.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::Duration;

use testkit::backend::{Answer, Recording, Script, Step};
use testkit::client::Connection;
use testkit::{Checksum, Evenkeel};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

fn proxy(backend: &Recording, listener: &str) -> Evenkeel {
    let config = format!(
        "workers = 1\n[log]\naccess = \"stdout\"\nformat = \"json\"\n[listener.web]\nlisten = \"LISTEN\"\n{listener}\n\
         [[route]]\nmatch = {{ path = \"/\" }}\npool = \"app\"\n\
         [[route]]\nmatch = {{ path = \"/fixed\" }}\nrespond = {{ status = 200, body = \"fixed\" }}\n\
         [pool.app]\nbackends = [\"{}\"]\n",
        backend.address()
    );
    Evenkeel::start(&testkit::binary(BINARY), &config)
}

/// Field lines of about `bytes` bytes in all, each below the limit of a line.
fn padding(bytes: usize) -> String {
    (0..bytes / 4000).map(|i| format!("X-Pad-{i}: {}\r\n", "p".repeat(3980))).collect()
}

#[test]
fn a9_a_body_that_comes_after_the_answer_leaves_the_log_line_and_the_connection_whole() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(b"POST /fixed HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\n").unwrap();
    assert_eq!(client.response("POST").unwrap().body, b"fixed");
    client.send(b"0123456789").unwrap();
    assert_eq!(client.exchange(b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().body, b"fixed");
    evenkeel.wait_for_log("\"method\":\"POST\",\"host\":\"shop.example\",\"path\":\"/fixed\"");
}

#[test]
fn a_body_that_is_held_for_another_attempt_may_stand_behind_any_head() {
    let backend = Recording::with("one", Script::answer(Answer::Checksum));
    let evenkeel = proxy(&backend, "");
    for (head, body) in [(60_000, 65_536), (24_000, 65_536), (12_000, 60_000), (0, 65_536)] {
        let mut client = Connection::open(evenkeel.address()).unwrap();
        let bytes = vec![b'b'; body];
        let request = format!("PUT /up HTTP/1.1\r\nHost: a\r\n{}Content-Length: {body}\r\n\r\n", padding(head));
        client.send(&[request.as_bytes(), &bytes].concat()).unwrap();
        let answer = client.response("PUT").map(|answer| answer.json());
        assert_eq!(answer.map(|it| it["checksum"].as_u64()), Ok(Some(Checksum::of(&bytes).0)), "head {head}, body {body}");
    }
}

#[test]
fn a13_a_pipelined_request_that_starts_late_in_the_buffer_still_gets_its_body_in() {
    let backend = Recording::with("one", Script::answer(Answer::Checksum));
    let evenkeel = proxy(&backend, "");
    for first in (50_000..82_000).step_by(1_000) {
        for method in ["PUT", "POST"] {
            let mut client = Connection::open(evenkeel.address()).unwrap();
            let bytes = vec![b'2'; 40_000];
            let one = format!("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: {first}\r\n\r\n{}", "1".repeat(first));
            let two = format!("{method} /2 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", bytes.len());
            client.send(&[one.as_bytes(), two.as_bytes(), &bytes].concat()).unwrap();
            assert_eq!(client.response("POST").unwrap().json()["length"].as_u64(), Some(first as u64));
            let answer = client.response(method).map(|answer| answer.json());
            assert_eq!(answer.map(|it| it["checksum"].as_u64()), Ok(Some(Checksum::of(&bytes).0)), "{method} behind {first}");
        }
    }
}

#[test]
fn a12_a_head_larger_than_any_buffer_is_431() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "limits = { head = \"64KiB\" }");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", padding(120_000));
    let _ = client.send(head.as_bytes());
    assert_eq!(client.response("GET").map(|answer| answer.status), Ok(431));
}

#[test]
fn a_chunked_body_over_the_limit_is_413_even_if_it_comes_at_once() {
    let backend = Recording::with("one", Script::answer(Answer::Checksum));
    let evenkeel = proxy(&backend, "limits = { body = \"1KiB\" }");
    for size in [1025, 1500, 3000, 20_000, 200_000] {
        let mut client = Connection::open(evenkeel.address()).unwrap();
        let body = format!("{size:x}\r\n{}\r\n0\r\n\r\n", "c".repeat(size));
        let _ = client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes());
        assert_eq!(client.response("POST").map(|answer| answer.status), Ok(413), "{size} bytes");
    }
    assert!(backend.exchanges().iter().all(|seen| !seen.complete), "the backend must not take it for a request");
    let whole = format!("400\r\n{}\r\n0\r\n\r\n", "c".repeat(1024));
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{whole}");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    assert_eq!(client.exchange(request.as_bytes()).map(|answer| answer.status), Ok(200), "the limit itself is allowed");
}

#[test]
fn a_connection_stays_after_a_large_body_that_was_read_to_its_end() {
    let backend = Recording::with("one", Script::answer(Answer::Checksum));
    let evenkeel = proxy(&backend, "");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    for _ in 0..2 {
        let body = vec![b'u'; 300_000];
        client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
        client.send(&body).unwrap();
        assert_eq!(client.response("POST").unwrap().json()["length"].as_u64(), Some(300_000));
    }
}

#[test]
fn a9_a_refusal_before_the_body_came_is_not_followed_by_a_reset() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "limits = { body = \"1KiB\" }");
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").unwrap();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(100));
        client.send(&[b'x'; 10_000]).expect("a client that writes first must get to reading the answer");
    }
    assert_eq!(client.response("POST").map(|answer| answer.status), Ok(413));
}

#[test]
fn a_client_that_has_sent_its_fin_gets_a_large_answer_however_late_it_reads() {
    const LENGTH: u64 = 32 << 20;
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    backend.next(Script::answer(Answer::Stream { length: LENGTH, chunked: false }));
    let mut client = Connection::open_with_small_window(evenkeel.address(), 16_384).unwrap();
    client.send(b"GET /down HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.finish();
    thread::sleep(Duration::from_millis(500));
    let answer = client.response_within("GET", Duration::from_secs(20)).unwrap();
    assert!(answer.complete && answer.body.len() as u64 == LENGTH, "{} bytes", answer.body.len());
}

#[test]
fn a_client_that_was_told_to_continue_and_does_not_is_the_one_that_is_late() {
    let backend = Recording::start("one");
    let config = format!(
        "workers = 1\n[listener.web]\nlisten = \"LISTEN\"\ntimeout = {{ body = \"300ms\" }}\n\
         [[route]]\nmatch = {{ path = \"/\" }}\npool = \"app\"\ntimeout = {{ response = \"1s\" }}\n[pool.app]\nbackends = [\"{}\"]\n",
        backend.address()
    );
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config);
    backend.next(Script(vec![Step::ReadHead, Step::Write(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), Step::Stall]));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert!(client.read_until(Duration::from_secs(2), |got| got.windows(4).any(|end| end == b"\r\n\r\n")));
    client.received.clear();
    assert_eq!(client.response("POST").map(|answer| answer.status), Ok(408));
}

#[test]
fn b7_last_words_arrive_although_the_client_still_speaks_to_a_backend_that_is_gone() {
    const ASK: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend, "");
    for length in [100_000, 1_000_000] {
        let words = vec![b'w'; length];
        let script =
            vec![Step::ReadHead, Step::Write([SWITCH, &words].concat()), Step::Pause(Duration::from_millis(100)), Step::Reset];
        backend.next(Script(script));
        let mut client = Connection::open_with_small_window(evenkeel.address(), 4_096).unwrap();
        client.send(ASK).unwrap();
        thread::sleep(Duration::from_millis(250));
        for _ in 0..3 {
            let _ = client.send(b"are you there?");
            thread::sleep(Duration::from_millis(20));
        }
        client.read_to_end(Duration::from_secs(5));
        assert_eq!(client.received.len(), SWITCH.len() + length);
    }
}
