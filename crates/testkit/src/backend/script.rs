//! What a backend does with one exchange: a list of steps, also in the one-line form that case files use.

use std::time::Duration;

use crate::cases::unescape;

/// One thing a backend does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads to the end of the request's head.
    ReadHead,
    /// Reads the whole request, body included; an `Expect: 100-continue` gets its 100 first.
    ReadRequest,
    /// Reads until the exchange has this many bytes and not one more.
    ReadUpTo(u64),
    /// Reads, and records, until the peer closes.
    ReadToEnd,
    /// Writes bytes.
    Write(Vec<u8>),
    /// Writes bytes in pieces of a size with a pause between.
    WritePieces(usize, Duration, Vec<u8>),
    /// Answers the request that was read.
    Respond(Answer),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing more, reads nothing, but keeps the connection until it is dropped.
    Stall,
    /// Sends back whatever comes until the peer closes, then closes too: the far end of a tunnel.
    Echo,
    /// Sends FIN, then reads what is left so that no RST follows it.
    Close,
    /// Sends RST.
    Reset,
}

/// An answer made from the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with a JSON object of `backend`, `method`, `target`, `headers` (pairs, in order) and `body`.
    Json,
    /// 200 with a JSON object of `backend`, `length` and `checksum` of the request's body, however large.
    Checksum,
    /// 200 with [`crate::body_bytes`] of this length, chunked or with its length.
    Stream {
        /// Bytes of the body.
        length: u64,
        /// In chunks of 32 KiB.
        chunked: bool,
    },
}

/// What a backend does with one exchange. When it ends with neither close nor reset the connection serves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(pub Vec<Step>);

impl Script {
    /// Reads the request and answers with what it was, as JSON.
    pub fn echo_json() -> Self {
        Self::answer(Answer::Json)
    }

    /// Reads the request and answers.
    pub fn answer(answer: Answer) -> Self {
        Self(vec![Step::ReadRequest, Step::Respond(answer)])
    }

    /// Reads the request and writes exactly these bytes.
    pub fn fixed(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![Step::ReadRequest, Step::Write(bytes.into())])
    }

    /// Reads the request and writes these bytes in pieces.
    pub fn in_pieces(size: usize, pause: Duration, bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![Step::ReadRequest, Step::WritePieces(size, pause, bytes.into())])
    }

    /// Accepts and says nothing, ever.
    pub fn stall() -> Self {
        Self(vec![Step::Stall])
    }

    /// Reads the request, then resets without an answer.
    pub fn reset_after_request() -> Self {
        Self(vec![Step::ReadRequest, Step::Reset])
    }

    /// Reads the request, then closes without an answer.
    pub fn close_after_request() -> Self {
        Self(vec![Step::ReadRequest, Step::Close])
    }

    /// Resets once this many bytes of the request were read.
    pub fn reset_after_read(bytes: u64) -> Self {
        Self(vec![Step::ReadUpTo(bytes), Step::Reset])
    }

    /// Closes once this many bytes of the request were read.
    pub fn close_after_read(bytes: u64) -> Self {
        Self(vec![Step::ReadUpTo(bytes), Step::Close])
    }

    /// Reads the request, writes the first bytes of an answer, then resets.
    pub fn reset_after_written(answer: &[u8], bytes: usize) -> Self {
        // The pause lets the bytes be read before the RST overtakes them.
        Self(vec![Step::ReadRequest, Step::Write(answer[..bytes].to_vec()), Step::Pause(Duration::from_millis(3)), Step::Reset])
    }

    /// Reads the request, writes the first bytes of an answer, then closes.
    pub fn close_after_written(answer: &[u8], bytes: usize) -> Self {
        Self(vec![Step::ReadRequest, Step::Write(answer[..bytes].to_vec()), Step::Close])
    }

    /// Reads the request, writes the first bytes of an answer, then nothing more.
    pub fn stall_after_written(answer: &[u8], bytes: usize) -> Self {
        Self(vec![Step::ReadRequest, Step::Write(answer[..bytes].to_vec()), Step::Stall])
    }

    /// Answers once the head was read, before the body is, and goes on reading nothing.
    pub fn early(answer: impl Into<Vec<u8>>) -> Self {
        Self(vec![Step::ReadHead, Step::Write(answer.into()), Step::Stall])
    }

    /// Answers, then after a pause writes bytes nobody asked for on the idle connection.
    pub fn then_on_idle(answer: impl Into<Vec<u8>>, pause: Duration, unasked: impl Into<Vec<u8>>) -> Self {
        Self(vec![Step::ReadRequest, Step::Write(answer.into()), Step::Pause(pause), Step::Write(unasked.into()), Step::ReadToEnd])
    }

    /// A script from the lines of a case file.
    ///
    /// `read head`, `read request`, `read N`, `read end`, `write TEXT`, `pieces N PAUSE TEXT`, `answer`, `pause 50ms`, `stall`, `echo`,
    /// `close`, `reset`; TEXT with the escapes of [`unescape`].
    ///
    /// # Errors
    /// Names the line it does not understand.
    pub fn parse(lines: &[String]) -> Result<Self, String> {
        lines.iter().map(|line| step(line).map_err(|e| format!("backend step {line:?}: {e}"))).collect::<Result<_, _>>().map(Self)
    }
}

fn step(line: &str) -> Result<Step, String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match (verb, rest) {
        ("read", "head") => Step::ReadHead,
        ("read", "request") => Step::ReadRequest,
        ("read", "end") => Step::ReadToEnd,
        ("read", n) => Step::ReadUpTo(n.parse().map_err(|_| "read what?")?),
        ("write", text) => Step::Write(unescape(text)?),
        ("pieces", rest) => {
            let mut words = rest.splitn(3, ' ');
            let size = words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0).ok_or("pieces of what size?")?;
            Step::WritePieces(size, duration(words.next().unwrap_or_default())?, unescape(words.next().unwrap_or_default())?)
        }
        ("answer", "") => Step::Respond(Answer::Json),
        ("pause", time) => Step::Pause(duration(time)?),
        ("stall", "") => Step::Stall,
        ("echo", "") => Step::Echo,
        ("close", "") => Step::Close,
        ("reset", "") => Step::Reset,
        _ => return Err("no such step".to_owned()),
    })
}

/// A time as case files write it: `50ms` or `2s`.
///
/// # Errors
/// On anything else.
pub fn duration(text: &str) -> Result<Duration, String> {
    let number = |digits: &str| digits.parse::<u64>().map_err(|_| format!("{text:?} is no duration such as 50ms or 2s"));
    match text.strip_suffix("ms") {
        Some(digits) => number(digits).map(Duration::from_millis),
        None => number(text.strip_suffix('s').unwrap_or("")).map(Duration::from_secs),
    }
}
