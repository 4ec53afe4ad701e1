//! One probe of one backend: what it does, and what it found in words for a person.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::model::Check;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use wire::h1::{Body, Limits, Method, Progress, Response, Status};

use crate::text;

/// Most bytes of an answer that are read.
const LARGEST_ANSWER: usize = 64 * 1024;
/// How long the rest of an answer is waited for once its verdict is clear; closing on unread bytes would reset the backend's side.
const LINGER: Duration = Duration::from_millis(100);

/// Between two tries to get a descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// What a probe found: the reason it passed, or the reason it failed.
pub(super) type Finding = Result<String, String>;

/// Probes `address` as `check` says; `authority` is how the backend is named in the configuration.
pub(super) async fn probe(check: &Check, address: SocketAddr, authority: &str, version: &str, timeout: Duration) -> Finding {
    let socket = match socket(address).await {
        Ok(socket) => socket,
        Err(error) => return Err(text::io_error(&error)),
    };
    let mut connected = false;
    let work = async {
        let socket = connect(socket, address).await.map_err(|error| text::io_error(&error))?;
        connected = true;
        match check {
            Check::Http { path, host, status } => {
                let host = host.as_deref().unwrap_or(authority);
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: evenkeel-health/{version}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
                );
                ask(socket, request.as_bytes(), status).await
            }
            Check::Tcp | Check::Off => Ok("connected".to_owned()),
        }
    };
    let finding = tokio::time::timeout(timeout, work).await;
    finding.unwrap_or_else(|_| {
        let what = if connected { "answer" } else { "connection" };
        Err(format!("no {what} within {}", text::duration(timeout)))
    })
}

/// A socket; waits where descriptors have run out, which says nothing of the backend (E5).
async fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    loop {
        match if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() } {
            Err(error) if proxy::is_out_of_descriptors(&error) => tokio::time::sleep(PAUSE).await,
            made => return made,
        }
    }
}

async fn connect(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket.connect(address).await?;
    // The kernel may choose the very port we connect to, when nobody listens there, and connect us to ourselves.
    if socket.local_addr()? == socket.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(socket)
}

async fn ask(mut socket: TcpStream, request: &[u8], wanted: &[RangeInclusive<u16>]) -> Finding {
    socket.write_all(request).await.map_err(|error| text::io_error(&error))?;
    let (answer, mut buf) = head(&mut socket).await?;
    let _ = tokio::time::timeout(LINGER, rest(&mut socket, &answer, &mut buf)).await;
    match answer.status {
        status if wanted.iter().any(|range| range.contains(&status)) => Ok(format!("status {status}")),
        status => Err(format!("status {status}, wanted {}", ranges(wanted))),
    }
}

/// Reads until the head of the final answer is there.
async fn head(socket: &mut TcpStream) -> Result<(Response, Vec<u8>), String> {
    let mut answer = Response::new();
    let mut progress = Progress::default();
    let mut buf = Vec::with_capacity(4096);
    loop {
        match socket.read_buf(&mut buf).await {
            Ok(0) if buf.is_empty() => return Err("connection closed without an answer".to_owned()),
            Ok(0) => return Err("connection closed within the answer's head".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(text::io_error(&error)),
        }
        loop {
            let parsed = answer.parse(&buf, &mut progress, &Limits::DEFAULT, Method::Get);
            match parsed.map_err(|fault| format!("the answer is not valid HTTP ({})", fault.reason()))? {
                Status::Partial if buf.len() >= LARGEST_ANSWER => return Err("the answer's head is too large".to_owned()),
                Status::Partial => break,
                Status::Complete if matches!(answer.status, 100..=199) && answer.status != 101 => {
                    buf.drain(..answer.len);
                    progress = Progress::default();
                }
                Status::Complete => return Ok((answer, buf)),
            }
        }
    }
}

/// Reads on to the end of the answer where that is near. What is wrong with a body is no matter of health.
async fn rest(socket: &mut TcpStream, answer: &Response, buf: &mut Vec<u8>) {
    let mut body = Body::of_response(answer.framing);
    let mut at = answer.len;
    while !body.is_done() {
        match body.decode(&buf[at..]) {
            Ok(piece) if piece.skip + piece.data > 0 => at += piece.skip + piece.data,
            Ok(_) if buf.len() < LARGEST_ANSWER && matches!(socket.read_buf(buf).await, Ok(n) if n > 0) => {}
            _ => return,
        }
    }
}

fn ranges(ranges: &[RangeInclusive<u16>]) -> String {
    let shown: Vec<String> = ranges
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start}-{end}"),
        })
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// What a probe finds at a backend that sends these pieces and then closes, or holds the connection open.
    async fn finds(pieces: &'static [&'static [u8]], closes: bool, timeout: Duration) -> Finding {
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
        probe(&check, address, "backend", "1.2.3", timeout).await
    }

    fn failed(why: &str) -> Finding {
        Err(why.to_owned())
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
            assert_eq!(probe(&Check::Tcp, address, "", "", PATIENCE).await, failed("connection refused"));
        }
    }
}
