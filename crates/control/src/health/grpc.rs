//! A gRPC probe: `grpc.health.v1.Health/Check` over HTTP/2.
//!
//! Source: <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>.

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{self, SendRequest};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use super::probe::{Cause, Failure, Finding, Pass};

/// Far more than a status takes.
const LARGEST_ANSWER: usize = 4096;

/// Asks whether `service` serves; `origin` is the scheme and authority.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, service: &str, origin: &str, version: &str) -> Finding {
    let mut builder = client::Builder::new();
    builder.enable_push(false).max_header_list_size(16 * 1024).initial_window_size(LARGEST_ANSWER as u32 * 4);
    let (sender, connection) = builder.handshake::<_, Bytes>(socket).await.map_err(|error| broken(&error))?;
    let mut asking = std::pin::pin!(exchange(sender, service, origin, version));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        finding = &mut asking => finding,
        // The answer may have come with what ended the connection.
        ended = &mut connection => match asking.await {
            Err(failure) if failure.cause == Cause::Protocol => Err(ended.err().map_or(failure, |error| broken(&error))),
            finding => finding,
        },
    }
}

async fn exchange(sender: SendRequest<Bytes>, service: &str, origin: &str, version: &str) -> Finding {
    let request = Request::post(format!("{origin}/grpc.health.v1.Health/Check"))
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", format!("evenkeel-health/{version}"))
        .body(())
        .map_err(|error| Failure::new(Cause::Protocol, error.to_string()))?;
    let mut sender = sender.ready().await.map_err(|error| broken(&error))?;
    let (answer, mut stream) = sender.send_request(request, false).map_err(|error| broken(&error))?;
    stream.send_data(message(service), true).map_err(|error| broken(&error))?;
    let (head, mut body) = answer.await.map_err(|error| broken(&error))?.into_parts();
    if head.status != http::StatusCode::OK {
        return Err(Failure::new(Cause::Status, format!("status {}, wanted 200", head.status.as_u16())));
    }
    let data = read(&mut body).await?;
    let trailers = body.trailers().await.map_err(|error| broken(&error))?;
    // An answer without a message has its trailers in its head.
    verdict(&data, trailers.as_ref().unwrap_or(&head.headers))
}

fn broken(error: &h2::Error) -> Failure {
    Failure::new(Cause::Protocol, format!("HTTP/2: {error}"))
}

/// `HealthCheckRequest { service }` in protocol buffers behind the five bytes that gRPC puts before a message.
fn message(service: &str) -> Bytes {
    let mut length = BytesMut::new();
    let mut left = service.len();
    while left >= 0x80 {
        length.put_u8(left as u8 | 0x80);
        left >>= 7;
    }
    length.put_u8(left as u8);
    let mut message = BytesMut::new();
    message.put_u8(0);
    if service.is_empty() {
        message.put_u32(0);
        return message.freeze();
    }
    message.put_u32((1 + length.len() + service.len()) as u32);
    message.put_u8(0x0a);
    message.extend_from_slice(&length);
    message.extend_from_slice(service.as_bytes());
    message.freeze()
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| broken(&error))?;
        let _ = body.flow_control().release_capacity(piece.len());
        data.extend_from_slice(&piece);
        if data.len() > LARGEST_ANSWER {
            return Err(Failure::new(Cause::Protocol, "the answer is too large"));
        }
    }
    Ok(data)
}

fn verdict(data: &[u8], trailers: &HeaderMap) -> Finding {
    let field = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    match field("grpc-status") {
        Some("0") => {}
        Some("5") => return Err(Failure::new(Cause::Grpc, "the service is not known there")),
        Some("12") => return Err(Failure::new(Cause::Grpc, "the gRPC health service is not there")),
        Some(status) => {
            let why = field("grpc-message").map(|why| format!(": {}", why.escape_debug())).unwrap_or_default();
            return Err(Failure::new(Cause::Grpc, format!("grpc-status {}{why}", status.escape_debug())));
        }
        None => return Err(Failure::new(Cause::Protocol, "the answer is not gRPC: it has no grpc-status")),
    }
    match serving_status(data) {
        Some(1) => Ok(Pass::plain("serving")),
        Some(2) => Err(Failure::new(Cause::Grpc, "not serving")),
        Some(3) => Err(Failure::new(Cause::Grpc, "the service is not known there")),
        Some(_) => Err(Failure::new(Cause::Grpc, "serving status unknown")),
        None => Err(Failure::new(Cause::Protocol, "the answer is no HealthCheckResponse")),
    }
}

/// `HealthCheckResponse { status }`: field 1, a number. Other fields are of later versions and skipped; without it the status is 0.
fn serving_status(data: &[u8]) -> Option<u64> {
    let (prefix, message) = data.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if prefix[0] != 0 || message.len() != length {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let tag = number(&mut rest)?;
        match tag & 7 {
            0 => {
                let value = number(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(number(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// Seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
