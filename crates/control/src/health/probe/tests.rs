//! What probes find at backends that answer in all manner of ways.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use config::model::Wanted;
use policy::expression::{Expression, Scope};
use policy::health::Params;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a probe finds at a backend that sends these pieces and then closes, or holds the connection open.
async fn finds(pieces: &'static [&'static [u8]], closes: bool, timeout: Duration) -> Result<String, String> {
    let finding = judged(pieces, closes, timeout, Wanted::default()).await;
    finding.map(|pass| pass.reason).map_err(|failure| failure.reason)
}

async fn judged(pieces: &'static [&'static [u8]], closes: bool, timeout: Duration, wanted: Wanted) -> Finding {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        for piece in pieces {
            socket.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        if !closes {
            std::future::pending::<()>().await;
        }
    });
    let check = Check::Http { path: "/".to_owned(), host: None, status: vec![200..=299, 301..=301] };
    prober(check, address, timeout, wanted).probe().await
}

fn prober(check: Check, address: SocketAddr, timeout: Duration, answer: Wanted) -> Prober {
    let params = Params { timeout, ..Params::default() };
    Prober::new(&model::Health { check, port: None, tls: None, answer, params }, address, "backend", "1.2.3")
}

fn failed(why: &str) -> Result<String, String> {
    Err(why.to_owned())
}

/// An answer with this body, to a probe that wants this of it.
async fn of_body(answer: &'static [u8], body: Option<&str>, expect: Option<&str>, degraded: Option<&str>) -> Finding {
    let expression = |text: &str| Arc::new(Expression::compile(text, Scope::Answer).unwrap());
    let wanted = Wanted {
        body: body.map(|text| model::Pattern(regex::bytes::Regex::new(text).unwrap())),
        expect: expect.map(expression),
        degraded: degraded.map(expression),
    };
    let pieces: &'static [&'static [u8]] = Box::leak(Box::new([answer]));
    judged(pieces, true, PATIENCE, wanted).await
}

const FIGURES: &[u8] = b"HTTP/1.1 200 OK\r\nX-Load: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
    f\r\n{\"cpu_usage\": 9\r\n15\r\n7, \"status\": \"slow\"}\n\r\n0\r\n\r\n";

#[tokio::test]
async fn what_an_answer_says_decides() {
    let pass = |reason: &str, degraded| Ok(Pass { reason: reason.to_owned(), degraded });
    let fail = |cause, reason: &str| Err(Failure::new(cause, reason));
    let expect = |text| of_body(FIGURES, None, Some(text), None);
    assert_eq!(expect("json.cpu_usage <= 97 && headers['x-load'] == '3' && latency_ms >= 0.0").await, pass("status 200", false));
    let finding = expect("json.cpu_usage <= 90 && json.status != 'ok'").await;
    let reason = "expected `json.cpu_usage <= 90 && json.status != 'ok'`, but json.cpu_usage is 97, json.status is 'slow'";
    assert_eq!(finding, fail(Cause::Expect, reason));
    let finding = expect("json.memory <= 90").await;
    assert_eq!(finding, fail(Cause::Expect, "`json.memory <= 90` can't be evaluated: there is no `memory`"));
    let finding = of_body(FIGURES, Some("cpu_[a-z]+"), Some("true"), Some("json.status == 'slow'")).await;
    assert_eq!(finding, pass("status 200, degraded: json.status is 'slow'", true));
    let finding = of_body(FIGURES, Some("^ready"), None, None).await;
    assert_eq!(finding, fail(Cause::Body, "status 200, but the body does not match `^ready`"));
    let no_json = b"HTTP/1.0 200 OK\r\n\r\nready";
    let finding = of_body(no_json, Some("^ready$"), Some("json.ok"), None).await;
    assert_eq!(finding, fail(Cause::Expect, "status 200, but the body is no JSON: expected value at line 1 column 1"));
    assert_eq!(of_body(no_json, Some("^ready$"), Some("body == 'ready'"), None).await, pass("status 200", false));
    let finding = of_body(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", None, Some("true"), None).await;
    assert_eq!(finding, fail(Cause::Status, "status 500, wanted 200-299, 301"));
}

#[tokio::test]
async fn a_body_that_is_to_be_looked_at_must_be_whole_and_not_too_large() {
    let short = of_body(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nready", Some("ready"), None, None).await;
    assert_eq!(short, Err(Failure::new(Cause::Protocol, "connection closed within the answer's body")));
    let large = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 65 * 1024]].concat();
    let large = of_body(Box::leak(large.into_boxed_slice()), Some("x"), None, None).await;
    assert_eq!(large, Err(Failure::new(Cause::Body, "the body is larger than 64 KiB")));
    let pieces: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nready"];
    let wanted = Wanted { body: Some(model::Pattern(regex::bytes::Regex::new("ready").unwrap())), ..Wanted::default() };
    let stuck = judged(pieces, false, Duration::from_millis(50), wanted).await;
    assert_eq!(stuck, Err(Failure::new(Cause::Timeout, "no answer within 50 ms")));
}

#[tokio::test]
async fn statuses_pass_or_fail_however_the_answer_is_framed_and_cut() {
    let cut: &[&[u8]] = &[b"HT", b"TP/1.1 2", b"00 OK\r\nContent-Le", b"ngth: 0\r\n\r", b"\n"];
    assert_eq!(finds(cut, false, PATIENCE).await, Ok("status 200".to_owned()));
    let until_close: &[&[u8]] = &[b"HTTP/1.0 301 Moved\r\n\r\nbody"];
    assert_eq!(finds(until_close, true, PATIENCE).await, Ok("status 301".to_owned()));
    let interim: &[&[u8]] = &[b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n"];
    assert_eq!(finds(interim, true, PATIENCE).await, Ok("status 204".to_owned()));
    let chunked: &[&[u8]] = &[b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"];
    assert_eq!(finds(chunked, false, PATIENCE).await, failed("status 503, wanted 200-299, 301"));
}

#[tokio::test]
async fn a_body_without_end_does_not_hold_the_verdict_up() {
    let began = Instant::now();
    let endless: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nxxx"];
    assert_eq!(finds(endless, false, PATIENCE).await, Ok("status 200".to_owned()));
    assert!(began.elapsed() < PATIENCE / 2);
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    assert_eq!(finds(&[], true, PATIENCE).await, failed("connection closed without an answer"));
    assert_eq!(finds(&[b"HTTP/1.1 200"], true, PATIENCE).await, failed("connection closed within the answer's head"));
    let finding = finds(&[b"SSH-2.0-OpenSSH\r\n"], false, PATIENCE).await;
    assert!(finding.as_ref().is_err_and(|why| why.starts_with("the answer is not valid HTTP (")), "{finding:?}");
    let silent = finds(&[b"HTTP/1.1 200 OK\r\n"], false, Duration::from_millis(50)).await;
    assert_eq!(silent, failed("no answer within 50 ms"));
    let finding = finds(&[b"HTTP/1.1 200 OK\r\nA: ", &[b'a'; 70_000]], false, PATIENCE).await;
    assert!(finding.is_err(), "a head without end");
}

#[tokio::test]
async fn nobody_at_a_port_is_a_refusal_even_if_the_kernel_connects_us_to_ourselves() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for _ in 0..100 {
        let finding = prober(Check::Tcp, address, PATIENCE, Wanted::default()).probe().await;
        assert_eq!(finding, Err(Failure::new(Cause::Connect, "connection refused")));
    }
}
