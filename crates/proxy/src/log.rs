//! The access log: lines are made on the worker and written elsewhere; when they can't be written fast enough they are lost and counted.

use std::cell::RefCell;
use std::io::Write;
use std::net::IpAddr;
use std::sync::mpsc::SyncSender;
use std::time::{SystemTime, UNIX_EPOCH};

use config::model::AccessFormat;
use policy::Nanos;
use tokio::sync::Notify;

use crate::error::Reason;
use crate::http::h1::Connection;

/// Lines go out together once they are this many bytes.
const BATCH: usize = 16 * 1024;

/// Where batches of lines go: whole lines, in the order they were made by one worker. A full channel loses the batch.
pub type Sink = SyncSender<Vec<u8>>;

/// A worker's lines on their way out.
#[derive(Debug)]
pub(crate) struct Lines {
    sink: Sink,
    batch: RefCell<Batch>,
    written: Notify,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

impl Lines {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, batch: RefCell::default(), written: Notify::new() }
    }

    /// Adds a line. Returns how many lines that lost.
    pub(crate) fn push(&self, format: AccessFormat, line: &Line<'_>) -> u64 {
        let mut batch = self.batch.borrow_mut();
        if batch.lines == 0 {
            self.written.notify_one();
        }
        batch.lines += 1;
        line.write(format, SystemTime::now(), &mut batch.bytes);
        let is_full = batch.bytes.len() >= BATCH;
        drop(batch);
        if is_full { self.flush() } else { 0 }
    }

    /// Waits until there is a line that has not gone out.
    pub(crate) async fn written(&self) {
        self.written.notified().await;
    }

    /// Sends off what there is. Returns how many lines that lost.
    pub(crate) fn flush(&self) -> u64 {
        let batch = std::mem::take(&mut *self.batch.borrow_mut());
        if batch.lines > 0 && self.sink.try_send(batch.bytes).is_err() { batch.lines } else { 0 }
    }
}

/// One exchange as the log shows it. The query is left out: it's where secrets stand.
pub(crate) struct Line<'a> {
    pub(crate) client: IpAddr,
    pub(crate) method: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) version: &'a str,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) took: Nanos,
    pub(crate) route: Option<&'a str>,
    pub(crate) pool: Option<&'a str>,
    pub(crate) backend: Option<&'a str>,
    pub(crate) attempts: u8,
    pub(crate) reason: Option<Reason>,
    pub(crate) id: &'a [u8],
}

/// Logs a request whose head was refused.
pub(crate) fn refused(conn: &Connection, reason: Reason, id: &str) {
    let Some(format) = conn.worker.local().and_then(|local| local.plan.access) else { return };
    let line = Line {
        client: conn.peer.ip().to_canonical(),
        method: b"-",
        host: b"",
        path: b"-",
        version: "-",
        status: reason.status(),
        bytes: 0,
        took: 0,
        route: None,
        pool: None,
        backend: None,
        attempts: 0,
        reason: Some(reason),
        id: id.as_bytes(),
    };
    let lost = conn.worker.lines.push(format, &line);
    conn.worker.cells.log_lost.add(lost);
}

impl Line<'_> {
    fn write(&self, format: AccessFormat, now: SystemTime, out: &mut Vec<u8>) {
        // Writing to a vector can't fail.
        let _ = match format {
            AccessFormat::Json => self.write_json(now, out),
            AccessFormat::Common => self.write_common(now, out),
            AccessFormat::Text => self.write_text(now, out),
        };
    }

    fn write_json(&self, now: SystemTime, out: &mut Vec<u8>) -> std::io::Result<()> {
        write!(out, "{{\"time\":\"{}\",\"client\":\"{}\",\"method\":\"", Time::of(now).iso(), self.client)?;
        escape(self.method, json, out);
        out.extend_from_slice(b"\",\"host\":\"");
        escape(self.host, json, out);
        out.extend_from_slice(b"\",\"path\":\"");
        escape(self.path, json, out);
        write!(out, "\",\"status\":{},\"bytes\":{},\"duration_ms\":{:.3}", self.status, self.bytes, self.milliseconds())?;
        for (key, value) in
            [("route", self.route), ("pool", self.pool), ("backend", self.backend), ("reason", self.reason.map(Reason::word))]
        {
            if let Some(value) = value {
                write!(out, ",\"{key}\":\"")?;
                escape(value.as_bytes(), json, out);
                out.push(b'"');
            }
        }
        write!(out, ",\"attempts\":{},\"request_id\":\"", self.attempts)?;
        escape(self.id, json, out);
        out.extend_from_slice(b"\"}\n");
        Ok(())
    }

    /// `client - - [10/Oct/2000:13:55:36 +0000] "GET /path HTTP/1.1" 200 2326`
    fn write_common(&self, now: SystemTime, out: &mut Vec<u8>) -> std::io::Result<()> {
        write!(out, "{} - - [{}] \"", self.client, Time::of(now).common())?;
        escape(self.method, hex, out);
        out.push(b' ');
        escape(self.path, hex, out);
        writeln!(out, " {}\" {} {}", self.version, self.status, self.bytes)
    }

    fn write_text(&self, now: SystemTime, out: &mut Vec<u8>) -> std::io::Result<()> {
        write!(out, "{} {} {:>9.3} ms  ", Time::of(now).iso(), self.status, self.milliseconds())?;
        escape(self.method, hex, out);
        out.push(b' ');
        escape(self.host, hex, out);
        escape(self.path, hex, out);
        write!(out, "  {} → {}", self.client, self.backend.unwrap_or("-"))?;
        if let Some(reason) = self.reason {
            write!(out, "  {}", reason.word())?;
        }
        out.push(b'\n');
        Ok(())
    }

    fn milliseconds(&self) -> f64 {
        self.took as f64 / 1e6
    }
}

/// Writes `text` with control characters, quotes and backslashes escaped (D10); bytes that are no UTF-8 as well.
fn escape(text: &[u8], form: fn(&mut Vec<u8>, u8), out: &mut Vec<u8>) {
    if text.iter().all(|b| is_plain(*b)) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            // C1 controls too: a terminal may obey them.
            if c.is_ascii() && is_plain(c as u8) || !c.is_ascii() && !c.is_control() {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| form(out, b));
            }
        }
        chunk.invalid().iter().for_each(|b| form(out, *b));
    }
}

fn is_plain(b: u8) -> bool {
    (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\'
}

fn json(out: &mut Vec<u8>, b: u8) {
    let _ = match b {
        b'"' | b'\\' => out.write_all(&[b'\\', b]),
        _ => write!(out, "\\u{b:04x}"),
    };
}

fn hex(out: &mut Vec<u8>, b: u8) {
    let _ = write!(out, "\\x{b:02x}");
}

/// A moment in UTC.
struct Time {
    year: i64,
    month: u32,
    day: u32,
    second: u32,
    millisecond: u32,
}

impl Time {
    /// Days to dates as in Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let days = (since.as_secs() / 86_400) as i64 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u32,
            day: (day_of_year - (153 * shifted + 2) / 5 + 1) as u32,
            second: (since.as_secs() % 86_400) as u32,
            millisecond: since.subsec_millis(),
        }
    }

    fn clock(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.second / 3600, self.second / 60 % 60, self.second % 60)
    }

    fn iso(&self) -> String {
        format!("{}-{:02}-{:02}T{}.{:03}Z", self.year, self.month, self.day, self.clock(), self.millisecond)
    }

    fn common(&self) -> String {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        format!("{:02}/{}/{}:{} +0000", self.day, MONTHS[self.month as usize - 1], self.year, self.clock())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn line(path: &[u8]) -> Line<'_> {
        Line {
            client: "192.0.2.1".parse().unwrap(),
            method: b"GET",
            host: b"shop",
            path,
            version: "HTTP/1.1",
            status: 200,
            bytes: 12,
            took: 1_234_000,
            route: Some("r"),
            pool: None,
            backend: Some("b:80"),
            attempts: 1,
            reason: None,
            id: b"abc",
        }
    }

    fn written(format: AccessFormat, path: &[u8]) -> String {
        let mut out = Vec::new();
        line(path).write(format, UNIX_EPOCH + Duration::from_millis(1_709_164_799_042), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_have_the_form_asked_for() {
        assert_eq!(written(AccessFormat::Common, b"/a"), "192.0.2.1 - - [28/Feb/2024:23:59:59 +0000] \"GET /a HTTP/1.1\" 200 12\n");
        assert_eq!(
            written(AccessFormat::Json, b"/a"),
            "{\"time\":\"2024-02-28T23:59:59.042Z\",\"client\":\"192.0.2.1\",\"method\":\"GET\",\"host\":\"shop\",\"path\":\"/a\",\
             \"status\":200,\"bytes\":12,\"duration_ms\":1.234,\"route\":\"r\",\"backend\":\"b:80\",\"attempts\":1,\"request_id\":\"abc\"}\n"
        );
        assert_eq!(written(AccessFormat::Text, b"/a"), "2024-02-28T23:59:59.042Z 200     1.234 ms  GET shop/a  192.0.2.1 → b:80\n");
    }

    #[test]
    fn what_could_forge_a_line_is_escaped_d10() {
        let nasty = b"/\"\\\r\n\x1b[2J\xff\xc2\x9b\xc3\xa4";
        assert!(written(AccessFormat::Json, nasty).contains("/\\\"\\\\\\u000d\\u000a\\u001b[2J\\u00ff\\u00c2\\u009b\u{e4}\""));
        assert!(written(AccessFormat::Common, nasty).contains("/\\x22\\x5c\\x0d\\x0a\\x1b[2J\\xff\\xc2\\x9b\u{e4} HTTP"));
        for format in [AccessFormat::Json, AccessFormat::Common, AccessFormat::Text] {
            assert_eq!(written(format, nasty).lines().count(), 1);
        }
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, date) in
            [(0u64, "1970-01-01"), (951_782_400, "2000-02-29"), (951_868_800, "2000-03-01"), (4_107_542_400, "2100-03-01")]
        {
            assert!(Time::of(UNIX_EPOCH + Duration::from_secs(seconds)).iso().starts_with(date));
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_lost_and_counted() {
        let (sink, taker) = std::sync::mpsc::sync_channel(1);
        let lines = Lines::new(sink);
        let mut lost = 0;
        for _ in 0..1000 {
            lost += lines.push(AccessFormat::Json, &line(&[b'a'; 100]));
        }
        lost += lines.flush();
        let kept: usize = taker.try_iter().map(|batch| batch.iter().filter(|b| **b == b'\n').count()).sum();
        assert!(kept > 0 && lost > 0);
        assert_eq!(kept as u64 + lost, 1000);
    }
}
