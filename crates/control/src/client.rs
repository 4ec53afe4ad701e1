//! The other side of the admin listener: what the verbs `status` and `reload` ask a process that runs. Blocking, one question a connection.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use wire::h1::{Body, Limits, Method, Progress, Response, Status as Parsed};

use crate::admin::token;
use crate::text;
use crate::{Operated, Query, Reloaded, Status, Switch};

/// Longest silence. A reload may wait for names and checks.
const PATIENCE: Duration = Duration::from_secs(15);
/// Larger answers are not ours.
const LARGEST: usize = 256 << 20;

/// Why the process did not do what was asked.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody answers there.
    Unreachable(SocketAddr, io::Error),
    /// Somebody answers who is not an admin listener of ours.
    NotOurs(SocketAddr, String),
    /// The request was refused: status, reason, text for a person.
    Refused {
        /// The status of the answer.
        status: u16,
        /// The word for programs.
        reason: String,
        /// For a person: the report, where there is one.
        text: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(address, error) => {
                write!(f, "no evenkeel answers on {address}: {}", text::io_error(error))?;
                f.write_str("\nhint: is it running, with an [admin] table, and is this the address in it?")
            }
            Self::NotOurs(address, why) => write!(f, "what answers on {address} is no admin listener of evenkeel: {why}"),
            Self::Refused { text, .. } => f.write_str(text),
        }
    }
}

impl std::error::Error for ClientError {}

/// The status of the process whose admin listener is at `address`. From another machine it takes the token.
///
/// # Errors
/// When nobody answers, or somebody else does, or the request is refused.
pub fn status(address: SocketAddr, token: Option<&str>) -> Result<Status, ClientError> {
    let value = ask(address, "GET", "/status", token, "")?;
    serde_json::from_value(value).map_err(|error| ClientError::NotOurs(address, error.to_string()))
}

/// Has the process read its configuration again.
///
/// # Errors
/// As [`status`]; a faulty configuration is [`ClientError::Refused`] with the report as its text.
pub fn reload(address: SocketAddr, token: &str) -> Result<Reloaded, ClientError> {
    let value = ask(address, "POST", "/reload", Some(token), "")?;
    serde_json::from_value(value).map_err(|error| ClientError::NotOurs(address, error.to_string()))
}

/// Has the process drain a backend or change its weight: `path` is that of the endpoint, with its query.
///
/// # Errors
/// As [`status`]; where there is no such backend it is [`ClientError::Refused`].
pub fn operate(address: SocketAddr, path: &str, token: &str) -> Result<Operated, ClientError> {
    let value = ask(address, "POST", path, Some(token), "")?;
    serde_json::from_value(value).map_err(|error| ClientError::NotOurs(address, error.to_string()))
}

/// What would become of a request in the process.
///
/// # Errors
/// As [`status`].
pub fn explain(address: SocketAddr, token: Option<&str>, query: &Query) -> Result<Value, ClientError> {
    let body = serde_json::to_string(query).map_err(|error| ClientError::NotOurs(address, error.to_string()))?;
    ask(address, "POST", "/explain", token, &body)
}

/// Has the process send a route's exchanges to another pool.
///
/// # Errors
/// As [`status`].
pub fn switch(address: SocketAddr, token: &str, asked: &Switch) -> Result<(), ClientError> {
    let body = serde_json::to_string(asked).map_err(|error| ClientError::NotOurs(address, error.to_string()))?;
    let longest = asked.wait_healthy.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
    ask_within(address, "POST", "/switch", Some(token), &body, PATIENCE + longest).map(|_| ())
}

/// The token that a process of the same user has left for its admin listener at `port`.
///
/// # Errors
/// When there is none: no such process, another user's, or its configuration gives the token.
pub fn token(runtime_dir: &Path, port: u16) -> io::Result<String> {
    std::fs::read_to_string(token::path(runtime_dir, port)).map(|token| token.trim().to_owned())
}

fn ask(address: SocketAddr, method: &str, path: &str, token: Option<&str>, body: &str) -> Result<Value, ClientError> {
    ask_within(address, method, path, token, body, PATIENCE)
}

fn ask_within(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
    patience: Duration,
) -> Result<Value, ClientError> {
    let address = reachable(address);
    let (status, body) = exchange(address, method, path, token, (body, patience))?;
    let value: Value = serde_json::from_slice(&body).map_err(|error| ClientError::NotOurs(address, error.to_string()))?;
    if status == 200 {
        return Ok(value);
    }
    let word = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match (word("reason"), word("report").or_else(|| word("error"))) {
        (Some(reason), Some(text)) => Err(ClientError::Refused { status, reason, text }),
        _ => Err(ClientError::NotOurs(address, format!("status {status}"))),
    }
}

/// Who listens on every address is reached on this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    (body, patience): (&str, Duration),
) -> Result<(u16, Vec<u8>), ClientError> {
    let unreachable = |error| ClientError::Unreachable(address, error);
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(3)).map_err(unreachable)?;
    socket.set_read_timeout(Some(patience)).map_err(unreachable)?;
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Accept: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut bytes = Vec::new();
    (&mut socket).take(LARGEST as u64).read_to_end(&mut bytes).map_err(unreachable)?;
    read(&bytes).map_err(|why| ClientError::NotOurs(address, why))
}

/// Status and body of a whole answer.
fn read(bytes: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let mut answer = Response::new();
    let parsed = answer.parse(bytes, &mut Progress::default(), &Limits::DEFAULT, Method::Get);
    if parsed.map_err(|fault| fault.reason().to_owned())? == Parsed::Partial {
        return Err("the answer breaks off".to_owned());
    }
    let mut decoder = Body::of_response(answer.framing);
    let mut rest = &bytes[answer.len..];
    let mut body = Vec::new();
    while !decoder.is_done() {
        let piece = decoder.decode(rest).map_err(|fault| format!("{fault:?}"))?;
        if piece.skip + piece.data == 0 {
            break;
        }
        body.extend_from_slice(&rest[piece.skip..piece.skip + piece.data]);
        rest = &rest[piece.skip + piece.data..];
    }
    decoder.at_eof().map_err(|_| "the answer breaks off".to_owned())?;
    Ok((answer.status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_read_in_every_framing_and_broken_ones_are_not() {
        let body = |bytes: &[u8]| read(bytes).map(|(status, body)| (status, String::from_utf8_lossy(&body).into_owned()));
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Ok((200, "{}".to_owned())));
        assert_eq!(body(b"HTTP/1.1 422 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), Ok((422, "{}".to_owned())));
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\n{}"), Ok((200, "{}".to_owned())));
        assert!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}").is_err());
        assert!(body(b"HTTP/1.1 200").is_err() && body(b"SSH-2.0\r\n").is_err());
    }

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        assert_eq!(reachable(([0, 0, 0, 0], 9900).into()), ([127, 0, 0, 1], 9900).into());
    }
}
