//! An HTTP probe: the request, and what its answer says of the backend.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::model::{Pattern, Wanted};
use policy::expression::{Expression, Facts, Value, Variable};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use wire::h1::{Body, Limits, Method, Progress, Response, ResponseFraming, Status};

use super::probe::{Cause, Failure, Finding, Pass};
use crate::text;

/// Most bytes of an answer's head that are read, and most of its body.
const LARGEST_ANSWER: usize = 64 * 1024;
/// How long the rest of an answer is waited for once its verdict is clear; closing on unread bytes would reset the backend's side.
const LINGER: Duration = Duration::from_millis(100);

/// Sends the request and judges the answer; `began` is when the probe did.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    request: &[u8],
    statuses: &[RangeInclusive<u16>],
    wanted: &Wanted,
    began: Instant,
) -> Finding {
    socket.write_all(request).await.map_err(|error| broken(text::io_error(&error)))?;
    let (answer, mut buf) = head(socket).await.map_err(broken)?;
    let status = answer.status;
    let passes = statuses.iter().any(|range| range.contains(&status));
    if !passes || wanted.is_nothing() {
        let _ = tokio::time::timeout(LINGER, rest(socket, &answer, &mut buf)).await;
        return match passes {
            true => Ok(Pass::plain(format!("status {status}"))),
            false => Err(Failure::new(Cause::Status, format!("status {status}, wanted {}", ranges(statuses)))),
        };
    }
    let body = body(socket, &answer, &mut buf).await?;
    Answer {
        head: &answer,
        text: &buf,
        latency: began.elapsed(),
        json: None,
        body_text: String::from_utf8_lossy(&body),
        body: &body,
    }
    .judge(wanted)
}

fn broken(reason: String) -> Failure {
    Failure::new(Cause::Protocol, reason)
}

/// An answer as expressions see it.
struct Answer<'a> {
    head: &'a Response,
    /// The bytes the head's positions point into.
    text: &'a [u8],
    body: &'a [u8],
    body_text: Cow<'a, str>,
    json: Option<serde_json::Value>,
    latency: Duration,
}

impl Facts for Answer<'_> {
    fn value(&self, variable: Variable) -> Value<'_> {
        match variable {
            Variable::Status => Value::Int(self.head.status.into()),
            Variable::LatencyMs => Value::Double((self.latency.as_secs_f64() * 1e6).round() / 1e3),
            Variable::Body => Value::text(&self.body_text),
            Variable::Json => self.json.as_ref().map_or(Value::Null, Value::json),
            Variable::Headers => Value::Fields(variable),
            // An expression over an answer can't name what a request has: it is refused where it is compiled.
            _ => Value::Null,
        }
    }

    fn field(&self, _: Variable, name: &str) -> Option<Cow<'_, str>> {
        let mut fields = self.head.fields.iter();
        let field = fields.find(|field| field.name.of(self.text).eq_ignore_ascii_case(name.as_bytes()))?;
        Some(String::from_utf8_lossy(field.value.of(self.text)))
    }
}

impl Answer<'_> {
    fn judge(mut self, wanted: &Wanted) -> Finding {
        let status = self.head.status;
        if let Some(Pattern(pattern)) = wanted.body.as_ref().filter(|pattern| !pattern.0.is_match(self.body)) {
            return Err(Failure::new(Cause::Body, format!("status {status}, but the body does not match `{pattern}`")));
        }
        let conditions = [&wanted.expect, &wanted.degraded].into_iter().flatten();
        if conditions.clone().any(|condition| condition.uses(Variable::Json)) {
            let json = serde_json::from_slice(self.body)
                .map_err(|error| Failure::new(Cause::Expect, format!("status {status}, but the body is no JSON: {error}")))?;
            self.json = Some(json);
        }
        if let Some(expect) = &wanted.expect
            && !self.holds(expect)?
        {
            let reason = format!("expected `{}`, but {}", expect.text(), self.findings(expect));
            return Err(Failure::new(Cause::Expect, reason));
        }
        if let Some(degraded) = &wanted.degraded
            && self.holds(degraded)?
        {
            return Ok(Pass { reason: format!("status {status}, degraded: {}", self.findings(degraded)), degraded: true });
        }
        Ok(Pass::plain(format!("status {status}")))
    }

    fn holds(&self, condition: &Expression) -> Result<bool, Failure> {
        let failure = |error| Failure::new(Cause::Expect, format!("`{}` can't be evaluated: {error}", condition.text()));
        condition.holds(self).map_err(failure)
    }

    fn findings(&self, condition: &Expression) -> String {
        let findings = condition.findings(self);
        if findings.is_empty() { format!("`{}` is fixed", condition.text()) } else { findings }
    }
}

/// The whole body, as far as it is not too large.
async fn body<S: AsyncRead + Unpin>(socket: &mut S, answer: &Response, buf: &mut Vec<u8>) -> Result<Vec<u8>, Failure> {
    let mut framing = Body::of_response(answer.framing);
    let mut body = Vec::new();
    let mut at = answer.len;
    while !framing.is_done() {
        let piece = framing.decode(&buf[at..]).map_err(|_| broken("the answer's body is not valid HTTP".to_owned()))?;
        if piece.skip + piece.data > 0 {
            let data = at + piece.skip..at + piece.skip + piece.data;
            at = data.end;
            body.extend_from_slice(&buf[data]);
            if body.len() > LARGEST_ANSWER {
                return Err(Failure::new(Cause::Body, format!("the body is larger than {} KiB", LARGEST_ANSWER / 1024)));
            }
            continue;
        }
        // The head's positions point into what stays.
        buf.drain(answer.len..at);
        at = answer.len;
        match socket.read_buf(buf).await {
            Ok(n) if n > 0 => {}
            // Some end TLS without saying so; where the end of the connection ends the body, that is taken as its end.
            _ if answer.framing == ResponseFraming::UntilClose => break,
            _ => return Err(broken("connection closed within the answer's body".to_owned())),
        }
    }
    Ok(body)
}

/// Reads until the head of the final answer is there.
async fn head<S: AsyncRead + Unpin>(socket: &mut S) -> Result<(Response, Vec<u8>), String> {
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
async fn rest<S: AsyncRead + Unpin>(socket: &mut S, answer: &Response, buf: &mut Vec<u8>) {
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
