//! Pumps between real sockets: any body, in any pieces, towards a reader of any pace, against what a simple reader makes of it.
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::buffer::Buffers;
use wire::h1::{Framing, ResponseFraming};

const HEAD: &[u8] = b"HEAD that stays in the buffer";
const NEXT: &[u8] = b"GET /the-next HTTP/1.1";

/// How the source says where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Length,
    Chunked,
    UntilClose,
}

/// One run: what is sent, and how it goes wrong if it does.
#[derive(Debug)]
struct Case {
    from: From,
    chunked: bool,
    body: Vec<u8>,
    /// The source closes after so many bytes of the message.
    cut: Option<usize>,
    slow: bool,
}

impl Case {
    fn dice(rng: &mut fastrand::Rng) -> Self {
        let from = [From::Length, From::Chunked, From::UntilClose][rng.usize(..3)];
        let length = match rng.u8(..4) {
            0 => rng.usize(..20),
            1 => rng.usize(..5_000),
            2 => COPIED + rng.usize(..3) - 1,
            _ => rng.usize(..400_000),
        };
        let body = (0..length).map(|i| (i * 7 + i / 251) as u8).collect();
        Self { from, chunked: from != From::Length && rng.bool(), body, cut: None, slow: rng.u8(..4) == 0 }
    }

    fn message(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        if self.from != From::Chunked {
            return self.body.clone();
        }
        let mut out = Vec::new();
        let most = [30, 3_000, 100_000][rng.usize(..3)];
        let mut rest = &self.body[..];
        while !rest.is_empty() {
            let n = rng.usize(1..=most).min(rest.len());
            out.extend_from_slice(format!("{n:x};extension=\"x\"\r\n").as_bytes());
            out.extend_from_slice(&rest[..n]);
            out.extend_from_slice(b"\r\n");
            rest = &rest[n..];
        }
        out.extend_from_slice(b"0\r\nTrailer: dropped\r\n\r\n");
        out
    }

    fn framing(&self) -> Body {
        match self.from {
            From::Length => Body::of_request(Framing::Length(self.body.len() as u64)),
            From::Chunked => Body::of_request(Framing::Chunked),
            From::UntilClose => Body::of_response(ResponseFraming::UntilClose),
        }
    }
}

async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    far.set_nodelay(true).unwrap();
    (Stream::new(listener.accept().await.unwrap().0), far)
}

async fn write_in_pieces(mut to: TcpStream, bytes: Vec<u8>, close: bool, mut rng: fastrand::Rng) -> TcpStream {
    let most = [3, 700, 20_000, 200_000][rng.usize(..4)].max(bytes.len() / 300);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let n = rng.usize(1..=most).min(rest.len());
        to.write_all(&rest[..n]).await.unwrap();
        rest = &rest[n..];
        if rng.bool() {
            tokio::task::yield_now().await;
        }
    }
    if close {
        to.shutdown().await.unwrap();
    }
    to
}

async fn read_at_a_pace(mut from: TcpStream, slow: bool, mut rng: fastrand::Rng) -> Vec<u8> {
    let mut got = Vec::new();
    let mut space = vec![0; 50_000];
    loop {
        if slow && got.len() < 100_000 {
            tokio::time::sleep(std::time::Duration::from_micros(200)).await;
        }
        let most = rng.usize(1..space.len());
        match from.read(&mut space[..most]).await.unwrap() {
            0 => return got,
            n => got.extend_from_slice(&space[..n]),
        }
    }
}

/// What a reader without any cleverness makes of chunks: payload, and whether the last one came.
fn unchunked(mut text: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = text.windows(2).position(|end| end == b"\r\n") {
        let n = usize::from_str_radix(std::str::from_utf8(&text[..line]).unwrap(), 16).unwrap();
        text = &text[line + 2..];
        if n == 0 {
            assert_eq!(text, b"\r\n", "nothing follows the last chunk");
            return (body, true);
        }
        let held = n.min(text.len());
        body.extend_from_slice(&text[..held]);
        text = &text[held..];
        if text.len() < 2 {
            break;
        }
        assert_eq!(&text[..2], b"\r\n");
        text = &text[2..];
    }
    (body, false)
}

async fn run(case: &Case, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut sent = case.message(&mut rng);
    let whole = sent.len();
    if let Some(cut) = case.cut {
        sent.truncate(cut);
    } else if case.from != From::UntilClose {
        sent.extend_from_slice(NEXT);
    }
    let (mut source, client) = pair().await;
    let (mut sink, backend) = pair().await;
    let closes = case.cut.is_some() || case.from == From::UntilClose;
    let writer = tokio::task::spawn_local(write_in_pieces(client, [HEAD, &sent].concat(), closes, rng.fork()));
    let reader = tokio::task::spawn_local(read_at_a_pace(backend, case.slow, rng.fork()));

    let mut buffer = Buffers::default().take().unwrap();
    buffer.hold();
    while buffer.held().len() < HEAD.len() {
        let n = poll_fn(|cx| source.poll_read(cx, buffer.space_for_head())).await.unwrap();
        buffer.filled(n);
    }
    buffer.consume(HEAD.len());
    let mut pump = Pump::new();
    pump.start(case.framing(), case.chunked, HEAD.len());
    pump.out.extend_from_slice(b"head\r\n\r\n");
    let end = poll_fn(|cx| pump.poll(cx, &mut source, &mut buffer, &mut sink)).await;
    assert_eq!(&buffer.held()[..HEAD.len()], HEAD, "the head stays where it is");
    drop(sink);
    let got = reader.await.unwrap();
    let got = got.strip_prefix(b"head\r\n\r\n").unwrap();
    let (body, ended) = if case.chunked { unchunked(got) } else { (got.to_vec(), false) };
    if case.cut.is_some() {
        assert_eq!(end, Err(Broken::Truncated));
        assert!(case.body.starts_with(&body) && !ended, "what broke off is not ended");
        return;
    }
    assert_eq!(end, Ok(()));
    assert!(pump.is_done() && pump.is_read() && pump.moved == case.body.len() as u64);
    assert!(body == case.body && ended == case.chunked, "{} bytes of {}, ended: {ended}", body.len(), case.body.len());
    // What follows the message is left for the next one, some of it in the socket perhaps.
    drop(writer.await.unwrap());
    let mut left = buffer.unread().to_vec();
    let mut space = [0; 64];
    while let Ok(n @ 1..) = poll_fn(|cx| source.poll_read(cx, &mut space)).await {
        left.extend_from_slice(&space[..n]);
    }
    assert_eq!(left, &sent[whole..]);
}

fn with_runtime(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

async fn run_all(cases: impl Iterator<Item = (u64, Case)>) {
    for (seed, case) in cases {
        let what = format!("seed {seed}: {:?} chunked {} body {} cut {:?}", case.from, case.chunked, case.body.len(), case.cut);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), run(&case, seed)).await;
        assert!(ended.is_ok(), "hangs: {what}");
    }
}

#[test]
fn any_body_in_any_pieces_at_any_pace_arrives_whole_and_nothing_behind_it() {
    with_runtime(async || {
        run_all((0..400).map(|seed| (seed, Case::dice(&mut fastrand::Rng::with_seed(seed))))).await;
    });
}

#[test]
fn a_body_that_breaks_off_is_never_ended() {
    with_runtime(async || {
        let cases = (0..400).filter_map(|seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let case = Case::dice(&mut rng);
            let length = case.message(&mut fastrand::Rng::with_seed(seed)).len();
            let broken = case.from != From::UntilClose && length > 0;
            broken.then(|| (seed, Case { cut: Some(rng.usize(..length)), ..case }))
        });
        run_all(cases).await;
    });
}

#[test]
fn a_body_over_its_limit_stops_before_its_end() {
    with_runtime(async || {
        for size in [1_001, 2_048, 2_049, 70_000] {
            let case = Case { from: From::Chunked, chunked: true, body: vec![b'c'; size], cut: None, slow: false };
            let message = case.message(&mut fastrand::Rng::with_seed(1));
            let (mut source, mut client) = pair().await;
            let (mut sink, backend) = pair().await;
            let reader = tokio::task::spawn_local(read_at_a_pace(backend, false, fastrand::Rng::with_seed(2)));
            client.write_all(&message).await.unwrap();
            let mut buffer = Buffers::default().take().unwrap();
            let mut pump = Pump::new();
            pump.start(case.framing(), true, 0);
            pump.most = 1_000;
            let end = poll_fn(|cx| pump.poll(cx, &mut source, &mut buffer, &mut sink)).await;
            assert_eq!(end, Err(Broken::TooLarge));
            drop(sink);
            let (body, ended) = unchunked(&reader.await.unwrap());
            assert!(!ended && body.len() <= 1_000, "{} bytes, ended: {ended}", body.len());
        }
    });
}
