//! One probe of one backend: what it does, and what it found in words for a person.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::model::Check;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::h1::{Limits, Method, Progress, Response, Status};

use crate::text;

/// Most bytes of an answer that are read.
const LARGEST_ANSWER: usize = 64 * 1024;
/// How long the rest of an answer is waited for once its verdict is clear; closing on unread bytes would reset the backend's side.
const LINGER: Duration = Duration::from_millis(100);

/// What a probe found: the reason it passed, or the reason it failed.
pub(super) type Finding = Result<String, String>;

/// Probes `address` as `check` says; `authority` is how the backend is named in the configuration.
pub(super) async fn probe(check: &Check, address: SocketAddr, authority: &str, version: &str, timeout: Duration) -> Finding {
    let mut connected = false;
    let work = async {
        let socket = connect(address).await.map_err(|error| text::io_error(&error))?;
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

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
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

/// Reads on to the end of the answer where that is near.
async fn rest(socket: &mut TcpStream, answer: &Response, buf: &mut Vec<u8>) {
    let end = match answer.declared {
        Some(length) => answer.len.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)),
        None => usize::MAX,
    };
    let end = end.min(LARGEST_ANSWER);
    while buf.len() < end && matches!(socket.read_buf(buf).await, Ok(n) if n > 0) {}
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
