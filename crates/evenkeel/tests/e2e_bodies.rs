//! Large and slow bodies: every byte arrives, memory stays bounded, a side that does not read stops the side that writes.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::thread;
use std::time::Duration;

use testkit::backend::{Answer, Recording, Script, Step};
use testkit::client::Connection;
use testkit::{Checksum, Evenkeel, body_bytes};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const LARGE: u64 = 64 << 20;
/// What a proxy that streams may grow by; one that buffers a body grows by all of it.
const ROOM: u64 = 24 << 20;

fn proxy(backend: &Recording) -> Evenkeel {
    let config = format!(
        "workers = 1\n[log]\naccess = \"off\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\nmatch = {{ path = \"/\" }}\npool = \"app\"\n[pool.app]\nbackends = [\"{}\"]\n",
        backend.address()
    );
    Evenkeel::start(&testkit::binary(BINARY), &config)
}

fn expected(length: u64) -> Checksum {
    let mut sum = Checksum::default();
    each_piece(length, |piece| sum.update(piece));
    sum
}

fn each_piece(length: u64, mut f: impl FnMut(&[u8])) {
    let mut piece = vec![0; 60_000];
    let mut at = 0;
    while at < length {
        let n = piece.len().min(usize::try_from(length - at).unwrap());
        body_bytes(at, &mut piece[..n]);
        f(&piece[..n]);
        at += n as u64;
    }
}

#[test]
fn sixty_four_mib_go_up_whole_and_memory_stays_small() {
    let backend = Recording::with("one", Script::answer(Answer::Checksum));
    let evenkeel = proxy(&backend);
    let before = evenkeel.rss();
    for chunked in [false, true] {
        let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {LARGE}") };
        let mut client = Connection::open(evenkeel.address()).unwrap();
        client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes()).unwrap();
        each_piece(LARGE, |piece| {
            if chunked {
                client.send(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
            }
            client.send(piece).unwrap();
            if chunked {
                client.send(b"\r\n").unwrap();
            }
        });
        if chunked {
            client.send(b"0\r\n\r\n").unwrap();
        }
        let answer = client.response_within("POST", Duration::from_secs(30)).unwrap().json();
        assert_eq!(
            (answer["length"].as_u64(), answer["checksum"].as_u64()),
            (Some(LARGE), Some(expected(LARGE).0)),
            "chunked: {chunked}"
        );
    }
    let grown = evenkeel.peak_rss().saturating_sub(before);
    assert!(grown < ROOM, "memory grew by {grown} bytes");
}

#[test]
fn sixty_four_mib_come_down_whole_and_memory_stays_small() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend);
    let before = evenkeel.rss();
    for chunked in [false, true] {
        backend.next(Script::answer(Answer::Stream { length: LARGE, chunked }));
        let mut client = Connection::open(evenkeel.address()).unwrap();
        client.send(b"GET /down HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let answer = client.response_within("GET", Duration::from_secs(30)).unwrap();
        assert!(answer.complete && answer.body.len() as u64 == LARGE, "chunked: {chunked}: {} bytes", answer.body.len());
        assert_eq!(Checksum::of(&answer.body), expected(LARGE), "chunked: {chunked}");
        assert_eq!(answer.chunks.is_empty(), !chunked, "the framing is the backend's");
    }
    let grown = evenkeel.peak_rss().saturating_sub(before);
    assert!(grown < ROOM, "memory grew by {grown} bytes");
}

#[test]
fn a_client_that_does_not_read_stops_the_backend_and_costs_neither_memory_nor_cpu() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend);
    let before = evenkeel.rss();
    let mut clients = Vec::new();
    for _ in 0..8 {
        backend.next(Script::answer(Answer::Stream { length: 1 << 30, chunked: false }));
        let mut client = Connection::open_with_small_window(evenkeel.address(), 16_384).unwrap();
        client.send(b"GET /down HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(client.read_until(Duration::from_secs(5), |got| !got.is_empty()));
        clients.push(client);
    }
    // Until the kernel's buffers are full; then everything must stand still.
    thread::sleep(Duration::from_millis(500));
    let cpu = evenkeel.cpu();
    thread::sleep(Duration::from_millis(500));
    let spent = evenkeel.cpu() - cpu;
    assert!(spent < Duration::from_millis(50), "{spent:?} of CPU while nobody reads");
    let grown = evenkeel.rss().saturating_sub(before);
    assert!(grown < ROOM / 2, "memory grew by {grown} bytes for 8 slow readers");
    let had = clients[0].received.len();
    assert!(clients[0].read_until(Duration::from_secs(5), |got| got.len() > had + 4_000_000), "and it flows again when it is read");
}

#[test]
fn a_backend_that_does_not_read_stops_the_client() {
    const OFFERED: usize = 200 << 20;
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend);
    let before = evenkeel.rss();
    backend.next(Script(vec![Step::ReadHead, Step::Stall]));
    let mut client = Connection::open(evenkeel.address()).unwrap();
    client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {OFFERED}\r\n\r\n").as_bytes()).unwrap();
    client.stream().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![b'z'; 65_536];
    let mut sent = 0;
    while sent < OFFERED && client.stream().write_all(&piece).is_ok() {
        sent += piece.len();
    }
    assert!(sent < OFFERED / 4, "{sent} bytes were taken though the backend reads nothing");
    let grown = evenkeel.rss().saturating_sub(before);
    assert!(grown < ROOM / 2, "memory grew by {grown} bytes");
}

#[test]
fn a6_a_client_that_waits_in_the_middle_of_a_chunk_costs_no_cpu() {
    let backend = Recording::start("one");
    let evenkeel = proxy(&backend);
    let clients: Vec<_> = ["5", "5\r\nhel", "5\r\nhello\r", "5\r\nhello\r\n0\r\n"]
        .iter()
        .map(|body| {
            let mut client = Connection::open(evenkeel.address()).unwrap();
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes()).unwrap();
            client
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    let cpu = evenkeel.cpu();
    thread::sleep(Duration::from_millis(500));
    let spent = evenkeel.cpu() - cpu;
    assert!(spent < Duration::from_millis(30), "{spent:?} of CPU while {} clients wait", clients.len());
}
