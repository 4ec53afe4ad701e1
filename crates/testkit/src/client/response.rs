//! Answers as a strict client reads them.

use super::End;
use crate::message::{Body, Framing, Head};
use crate::text;

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// First line and fields.
    pub head: Head,
    /// Interim answers (1xx) that came before it.
    pub interim: Vec<Head>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// Trailers of a chunked body.
    pub trailers: Vec<String>,
    /// Sizes of the chunks, if it came in chunks.
    pub chunks: Vec<u64>,
    /// False when the connection ended in the middle of the body.
    pub complete: bool,
}

/// As a failed test should show it: the body as text, cut when it is long.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let interim: Vec<_> = self.interim.iter().map(|head| head.line.as_str()).collect();
        write!(
            f,
            "{} {:?} {:?}, interim {interim:?}, whole: {}",
            self.head.line,
            self.head.fields,
            crate::show(&self.body),
            self.complete
        )
    }
}

impl Response {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        text(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in an answer that should be JSON: {self:?}"))
    }

    /// The reason word of an error the proxy made, from its JSON.
    pub fn reason(&self) -> Option<String> {
        let json: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(json.get("reason")?.as_str()?.to_owned())
    }

    /// Name of the backend that answered, from its JSON.
    pub fn backend(&self) -> Option<String> {
        let json: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(json.get("backend")?.as_str()?.to_owned())
    }

    /// What the JSON-echoing backend saw of a field: every value, in order.
    pub fn echoed(&self, name: &str) -> Vec<String> {
        let json = self.json();
        let pairs = json["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
        pairs
            .iter()
            .filter(|p| p[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name)))
            .filter_map(|p| Some(p[1].as_str()?.to_owned()))
            .collect()
    }
}

/// What stands at the front of received bytes.
pub type Parsed = Result<Option<(Response, usize)>, String>;

/// Reads the next final answer and says how many bytes it took; `None` while it is not whole and may still become so.
pub(super) fn parse(buf: &[u8], method: &str, end: Option<End>) -> Parsed {
    let mut at = 0;
    let mut interim = Vec::new();
    loop {
        let Some(head) = Head::parse(&buf[at..])? else {
            return Ok(None);
        };
        at += head.len;
        let status = status_of(&head.line)?;
        if (100..200).contains(&status) && status != 101 {
            interim.push(head);
            continue;
        }
        return body(buf, at, method, end, status, head, interim);
    }
}

fn body(buf: &[u8], mut at: usize, method: &str, end: Option<End>, status: u16, head: Head, interim: Vec<Head>) -> Parsed {
    let declared = head.framing()?;
    let framing = match declared {
        _ if method == "HEAD" || status == 204 || status == 304 || status == 101 => Framing::Empty,
        Some(framing) => framing,
        None => Framing::UntilClose,
    };
    let mut reader = Body::new(framing);
    let mut body = Vec::new();
    at += reader.feed(&buf[at..], &mut |piece| body.extend_from_slice(piece))?;
    // A reset is never a clean end of a body that lasts until the close.
    let complete = reader.is_done() || (reader.may_close() && end == Some(End::Closed));
    if !complete && end.is_none() {
        return Ok(None);
    }
    Ok(Some((Response { status, head, interim, body, trailers: reader.trailers, chunks: reader.chunks, complete }, at)))
}

fn status_of(line: &str) -> Result<u16, String> {
    let bad = || format!("bad status line {line:?}");
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(bad)?;
    let (digits, reason) = rest.split_once(' ').ok_or_else(bad)?;
    let legal = digits.len() == 3
        && digits.bytes().all(|b| b.is_ascii_digit())
        && reason.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b) || b >= 0x80);
    if legal { digits.parse().map_err(|_| bad()) } else { Err(bad()) }
}

/// Reads as many answers as there are methods and returns them with the bytes that are left.
///
/// # Errors
/// When bytes are no strict HTTP/1 answer.
pub fn parse_all(buf: &[u8], methods: &[&str], end: Option<End>) -> Result<(Vec<Response>, Vec<u8>), String> {
    let mut at = 0;
    let mut out = Vec::new();
    for method in methods {
        let Some((response, len)) = parse(&buf[at..], method, end)? else {
            break;
        };
        at += len;
        out.push(response);
    }
    Ok((out, buf[at..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_by_length_by_chunks_or_by_the_close() {
        let length = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP";
        let (got, len) = parse(length, "GET", None).expect("legal").expect("whole");
        assert_eq!((got.status, got.text().as_str(), len), (200, "hi", length.len() - 4));
        let until_close = b"HTTP/1.1 200 OK\r\n\r\nhi";
        assert_eq!(parse(until_close, "GET", None), Ok(None));
        assert!(parse(until_close, "GET", Some(End::Closed)).expect("legal").expect("ended").0.complete);
        assert!(!parse(until_close, "GET", Some(End::Reset)).expect("legal").expect("ended").0.complete);
        let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
        assert!(!parse(cut, "GET", Some(End::Closed)).expect("legal").expect("ended").0.complete);
    }

    #[test]
    fn interim_answers_are_kept_apart_and_head_has_no_body() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        let (got, len) = parse(bytes, "HEAD", None).expect("legal").expect("whole");
        assert_eq!((got.interim.len(), got.status, len, got.complete), (1, 200, bytes.len(), true));
    }

    #[test]
    fn a_sloppy_status_line_is_a_fault() {
        for bad in ["HTTP/1.1 20 OK", "HTTP/1.1 200", "HTTP/1.1  200 OK", "http/1.1 200 OK", "HTTP/1.0 200 OK"] {
            assert!(parse(format!("{bad}\r\nContent-Length: 0\r\n\r\n").as_bytes(), "GET", None).is_err(), "{bad}");
        }
    }
}
