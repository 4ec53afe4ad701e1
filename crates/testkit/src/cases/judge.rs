//! Compares what came with what was wanted; every difference is one line.

use super::file::{Case, Expect, Seen, SeenRequests, unescape};
use crate::backend::Exchange;
use crate::client::{End, Response};
use crate::message::{Framing, Head};
use crate::{show, text};

/// What a client got.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) answers: Result<(Vec<Response>, Vec<u8>), String>,
    pub(super) end: Option<End>,
    pub(super) served_on: Option<Result<(), String>>,
}

/// Fields the proxy itself makes or decides about.
const GENERATED: [&str; 13] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "via",
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
];

/// Every way in which the answers are not what was wanted.
pub(super) fn answers(expect: &Expect, got: &Got) -> Vec<String> {
    let mut faults = Vec::new();
    let (answers, rest) = match &got.answers {
        Ok(read) => read,
        Err(fault) => return vec![format!("the answer is not strict HTTP/1: {fault}")],
    };
    closing(expect, got, &mut faults);
    if expect.no_answer {
        if !answers.is_empty() || !rest.is_empty() {
            faults.push("wanted a close without an answer".to_owned());
        }
        return faults;
    }
    let statuses: Vec<u16> = answers.iter().map(|a| a.status).collect();
    if !expect.statuses.is_empty() && statuses != expect.statuses {
        faults.push(format!("wanted statuses {:?}, got {statuses:?}", expect.statuses));
    }
    match answers.last() {
        Some(last) => last_answer(expect, last, &mut faults),
        None if expect.silent_ok && rest.is_empty() => {}
        None => faults.push("no answer".to_owned()),
    }
    let tail = expect.tail.as_ref().map(|t| unescape(t).unwrap_or_default()).unwrap_or_default();
    if *rest != tail {
        faults.push(format!("after the last answer came {:?}, wanted {:?}", show(rest), show(&tail)));
    }
    faults
}

fn closing(expect: &Expect, got: &Got, faults: &mut Vec<String>) {
    let closed = expect.closed.or(expect.no_answer.then_some(true));
    if closed == Some(true) && got.end.is_none() {
        faults.push("the connection was not closed".to_owned());
    }
    if let (Some(false), Some(Err(why))) = (closed, &got.served_on) {
        faults.push(format!("the connection does not serve on: {why}"));
    }
}

fn last_answer(expect: &Expect, last: &Response, faults: &mut Vec<String>) {
    let mut check = |ok: bool, what: String| {
        if !ok {
            faults.push(what);
        }
    };
    check(
        expect.status.is_empty() || expect.status.contains(&last.status),
        format!("wanted status {:?}, got {}", expect.status, last.status),
    );
    check(last.complete == expect.complete.unwrap_or(true), format!("the body ended cleanly: {}", last.complete));
    if let Some(reason) = &expect.reason {
        check(
            last.reason().as_ref() == Some(reason),
            format!("wanted reason {reason}, got {:?} in {}", last.reason(), last.text()),
        );
    }
    if let Some(interim) = &expect.interim {
        let got: Vec<_> = last.interim.iter().filter_map(|h| h.line.get(9..12)?.parse::<u16>().ok()).collect();
        check(got == *interim, format!("wanted interim answers {interim:?}, got {got:?}"));
    }
    for line in &expect.has {
        check(has(&last.head, line, ""), format!("the answer lacks {line:?}: {:?}", last.head.fields));
    }
    for name in &expect.lacks {
        check(last.get(name).is_none(), format!("the answer has {name}: {:?}", last.head.fields));
    }
    if let Some(body) = &expect.body {
        let body = unescape(body).unwrap_or_default();
        check(last.body == body, format!("wanted body {:?}, got {:?}", show(&body), show(&last.body)));
    }
    for part in &expect.contains {
        check(last.text().contains(part.as_str()), format!("the body does not contain {part:?}: {:?}", show(&last.body)));
    }
}

/// Every way in which the backend saw what it should not.
pub(super) fn seen(case: &Case, exchanges: &[Exchange], client: &str) -> Vec<String> {
    let mut faults: Vec<String> =
        exchanges.iter().filter_map(|e| Some(format!("the backend was sent a malformed request: {}", e.fault.as_ref()?))).collect();
    match &case.seen {
        None => {}
        Some(Seen::Word(word)) => {
            let nothing = word == "nothing";
            if exchanges.iter().any(|e| nothing || e.complete) {
                faults.push(format!("the backend should have seen {word}"));
            }
        }
        Some(Seen::Requests(wanted)) => requests(wanted, exchanges, client, &mut faults),
    }
    faults
}

fn requests(wanted: &SeenRequests, exchanges: &[Exchange], client: &str, faults: &mut Vec<String>) {
    let lines: Vec<String> = exchanges.iter().map(Exchange::line).collect();
    let count = wanted.count.unwrap_or(if wanted.lines.is_empty() { 1 } else { wanted.lines.len() });
    if lines.len() != count {
        faults.push(format!("the backend saw {} requests, wanted {count}: {lines:?}", lines.len()));
    }
    if !wanted.lines.is_empty() && lines != wanted.lines {
        faults.push(format!("the backend saw {lines:?}, wanted {:?}", wanted.lines));
    }
    let Some(first) = exchanges.first() else {
        return;
    };
    if !wanted.incomplete && !exchanges.iter().all(|e| e.complete) {
        faults.push("the backend did not see the whole request".to_owned());
    }
    match first.head() {
        Some(head) => first_request(wanted, first, &head, client, faults),
        None => faults.push("the backend saw no whole head".to_owned()),
    }
}

fn first_request(wanted: &SeenRequests, first: &Exchange, head: &Head, client: &str, faults: &mut Vec<String>) {
    let mut check = |ok: bool, what: String| {
        if !ok {
            faults.push(what);
        }
    };
    if let Some(line) = &wanted.line {
        let line = text(&unescape(line).unwrap_or_default());
        check(head.line == line, format!("the backend saw {:?}, wanted {line:?}", head.line));
    }
    if let Some(fields) = &wanted.fields {
        let got: Vec<String> = head
            .fields
            .iter()
            .filter(|(n, _)| !GENERATED.contains(&n.to_ascii_lowercase().as_str()))
            .map(|(n, v)| format!("{}: {v}", n.to_ascii_lowercase()))
            .collect();
        let want: Vec<String> = fields.iter().map(|f| lower_name(&text(&unescape(f).unwrap_or_default()))).collect();
        check(got == want, format!("the backend saw fields {got:?}, wanted {want:?}"));
    }
    for line in &wanted.has {
        check(has(head, line, client), format!("the backend should have seen {line:?}: {:?}", head.fields));
    }
    for name in &wanted.lacks {
        check(head.get(name).is_none(), format!("the backend should not have seen {name}: {:?}", head.fields));
    }
    for (name, times) in &wanted.times {
        check(head.all(name).count() == *times, format!("wanted {name} {times} times: {:?}", head.fields));
    }
    if let Some(body) = &wanted.body {
        let body = unescape(body).unwrap_or_default();
        check(first.body == body, format!("the backend saw body {:?}, wanted {:?}", show(&first.body), show(&body)));
    }
    if let Some(framing) = &wanted.framing {
        let got = match head.framing() {
            Ok(None | Some(Framing::Empty | Framing::UntilClose)) => "none",
            Ok(Some(Framing::Length(_))) => "length",
            Ok(Some(Framing::Chunked)) => "chunked",
            Err(_) => "unclear",
        };
        check(got == framing, format!("the backend saw framing {got}, wanted {framing}: {:?}", head.fields));
    }
}

fn lower_name(line: &str) -> String {
    line.split_once(':').map_or_else(|| line.to_ascii_lowercase(), |(name, value)| format!("{}:{value}", name.to_ascii_lowercase()))
}

/// Whether a head has the field `Name: value`, where the value may be or hold `<*>` or `<client>`; `Name` alone means any value.
fn has(head: &Head, line: &str, client: &str) -> bool {
    let Some((name, value)) = line.split_once(':') else {
        return head.get(line).is_some();
    };
    let value = text(&unescape(value.trim()).unwrap_or_default()).replace("<client>", client);
    head.all(name).any(|got| match value.split_once("<*>") {
        Some((before, after)) => got.len() >= before.len() + after.len() && got.starts_with(before) && got.ends_with(after),
        None => got == value,
    })
}
