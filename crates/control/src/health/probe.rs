//! One probe of one backend: what it does, and what it found in words for a person.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use config::model::{self, Check};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::tls::Tls;
use super::{answer, grpc};
use crate::text;

/// Between two tries to get a descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// What a probe found.
pub(super) type Finding = Result<Pass, Failure>;

/// A probe that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// For a person.
    pub(super) reason: String,
    /// The backend serves, but badly.
    pub(super) degraded: bool,
}

/// A probe that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// For a person.
    pub(super) reason: String,
}

/// What kind of failure it was, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No connection.
    Connect,
    /// No TLS, or with somebody who is not believed.
    Tls,
    /// It took too long.
    Timeout,
    /// What came was no answer.
    Protocol,
    /// An answer with the wrong status.
    Status,
    /// An answer with the wrong body.
    Body,
    /// An answer that is not as expected, or of which that can't be told.
    Expect,
    /// The service says that it does not serve.
    Grpc,
}

impl Cause {
    /// In the order of their numbers.
    pub(crate) const WORDS: [&'static str; 8] = ["connect", "tls", "timeout", "protocol", "status", "body", "expect", "grpc"];

    pub(crate) fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl Pass {
    pub(super) fn plain(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), degraded: false }
    }
}

impl Failure {
    pub(super) fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { cause, reason: reason.into() }
    }
}

/// How one backend is probed.
#[derive(Debug)]
pub(super) struct Prober {
    check: Check,
    answer: model::Wanted,
    timeout: Duration,
    address: SocketAddr,
    /// How the backend is named where the check names no host.
    authority: String,
    version: &'static str,
    /// `Err`: why no probe can be made.
    tls: Option<Result<Tls, String>>,
}

impl Prober {
    /// `authority` is how the backend is named in the configuration.
    pub(super) fn new(how: &model::Health, mut address: SocketAddr, authority: &str, version: &'static str) -> Self {
        let mut authority = authority.to_owned();
        if let Some(port) = how.port {
            address.set_port(port);
            let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
            authority = format!("{host}:{port}");
        }
        let host = match &how.check {
            Check::Http { host, .. } | Check::Grpc { host, .. } => host.clone(),
            Check::Tcp | Check::Off => None,
        };
        let authority = host.unwrap_or(authority);
        let is_grpc = matches!(how.check, Check::Grpc { .. });
        let tls = how.tls.as_ref().map(|tls| Tls::new(tls, &authority, is_grpc));
        Self { check: how.check.clone(), answer: how.answer.clone(), timeout: how.params.timeout, address, authority, version, tls }
    }

    pub(super) async fn probe(&self) -> Finding {
        let connect = |error: io::Error| Failure::new(Cause::Connect, text::io_error(&error));
        let socket = socket(self.address).await.map_err(connect)?;
        let began = Instant::now();
        let mut awaited = "connection";
        let work = async {
            let mut socket = self::connect(socket, self.address).await.map_err(connect)?;
            match &self.tls {
                None => {
                    awaited = "answer";
                    self.converse(&mut socket, began).await
                }
                Some(Err(why)) => Err(Failure::new(Cause::Tls, why.clone())),
                Some(Ok(tls)) => {
                    awaited = "TLS handshake";
                    let mut socket = tls.connect(socket).await.map_err(|why| Failure::new(Cause::Tls, why))?;
                    awaited = "answer";
                    self.converse(&mut socket, began).await
                }
            }
        };
        let finding = tokio::time::timeout(self.timeout, work).await;
        finding
            .unwrap_or_else(|_| Err(Failure::new(Cause::Timeout, format!("no {awaited} within {}", text::duration(self.timeout)))))
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: &mut S, began: Instant) -> Finding {
        let Self { authority, version, .. } = self;
        match &self.check {
            Check::Http { path, status, .. } => {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: evenkeel-health/{version}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
                );
                answer::ask(socket, request.as_bytes(), status, &self.answer, began).await
            }
            Check::Grpc { service, .. } => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                grpc::ask(socket, service, &format!("{scheme}://{authority}"), version).await
            }
            Check::Tcp | Check::Off => Ok(Pass::plain(if self.tls.is_some() { "connected over TLS" } else { "connected" })),
        }
    }
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

#[cfg(test)]
mod tests;
