//! Runs cases through one proxy over several lanes at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::file::{Case, Piece, Seen};
use super::judge::{self, Got};
use crate::backend::{Exchange, Recording, Script};
use crate::client::{self, Connection};
use crate::message::find;
use crate::{Evenkeel, show};

/// A request that must always work; its path is how it is told from the case's own.
const GOOD_PATH: &str = "/testkit-good";

/// A configuration cases may ask for by name.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The name.
    pub name: &'a str,
    /// Its text: `LISTEN` stands for the address, `LANES` for routes and pools that the runner writes.
    pub config: &'a str,
    /// How many cases run at once. With one the route is by path alone, which a listener that believes X-Forwarded-For needs.
    pub lanes: u8,
    /// What each of the runner's routes ends with, such as header edits.
    pub route: &'a str,
}

/// A client address and the backend that serves it.
#[derive(Debug)]
pub struct Lane {
    /// Where the client speaks from.
    pub client: IpAddr,
    /// The backend.
    pub backend: Recording,
}

impl Lane {
    /// The lane of that number.
    pub fn new(number: u8) -> Self {
        Self { client: Ipv4Addr::new(127, 0, 0, 10 + number).into(), backend: Recording::start(&format!("lane-{number}")) }
    }
}

/// How the bytes of a case are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the case says.
    Whole,
    /// Byte by byte (large ones in pieces of 509 bytes).
    Bytes,
    /// Cut at this offset.
    Split(usize),
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases by row.
    pub by_row: BTreeMap<String, usize>,
    /// Conversations held.
    pub runs: usize,
    /// Every case that failed, described.
    pub failures: Vec<String>,
}

impl Report {
    /// How many cases were run.
    pub fn cases(&self) -> usize {
        self.by_row.values().sum()
    }

    /// Fails the test with every failure.
    ///
    /// # Panics
    /// When there are failures.
    pub fn assert_ok(&self) {
        const IN_FULL: usize = 12;
        let (failed, all) = (self.failures.len(), self.cases());
        let brief = |failure: &String| failure.lines().take(2).collect::<Vec<_>>().join(" ");
        let shown: Vec<String> =
            self.failures.iter().enumerate().map(|(n, f)| if n < IN_FULL { f.clone() } else { brief(f) }).collect();
        assert!(
            failed == 0,
            "{failed} of {all} cases fail ({} runs):\n{}\n{failed} of {all} cases fail",
            self.runs,
            shown.join("\n")
        );
    }
}

/// Runs every case under the configuration it asks for.
///
/// # Panics
/// When a configuration is asked for that is not there, or the proxy does not start.
pub fn run(binary: &str, setups: &[Setup<'_>], cases: &[Case]) -> Report {
    let mut report = Report::default();
    for case in cases {
        assert!(setups.iter().any(|s| s.name == case.config), "case {:?} asks for configuration {:?}", case.name, case.config);
        *report.by_row.entry(case.row.clone()).or_default() += 1;
    }
    for setup in setups {
        let mine: Vec<&Case> = cases.iter().filter(|c| c.config == setup.name).collect();
        if !mine.is_empty() {
            run_setup(binary, setup, &mine, &mut report);
        }
    }
    report
}

fn run_setup(binary: &str, setup: &Setup<'_>, cases: &[&Case], report: &mut Report) {
    let lanes: Vec<Lane> = (0..setup.lanes.max(1)).map(Lane::new).collect();
    let evenkeel = Evenkeel::start(binary, &setup.config.replace("LANES", &routes(setup, &lanes)));
    let (next, runs, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let front = evenkeel.address();
    thread::scope(|scope| {
        for lane in &lanes {
            let (next, runs, failures) = (&next, &runs, &failures);
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = run_modes(case, front, lane, runs) {
                        failures.lock().expect("no panic while held").push(failure);
                    }
                }
            });
        }
    });
    report.runs += runs.into_inner();
    report.failures.append(&mut failures.into_inner().expect("no panic while held"));
    // A proxy that dies of a case and is not noticed would be the worst of failures.
    let (_, stderr) = evenkeel.stop();
    if stderr.contains("panicked") {
        report.failures.push(format!("the proxy panicked under configuration {}:\n{stderr}", setup.name));
    }
}

fn routes(setup: &Setup<'_>, lanes: &[Lane]) -> String {
    let mut out = String::new();
    for (n, lane) in lanes.iter().enumerate() {
        let by = if lanes.len() == 1 { String::new() } else { format!(", client_ip = \"{}/32\"", lane.client) };
        let address = lane.backend.address();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n[[route]]\nmatch = {{ path = \"/\"{by} }}\npool = \"lane-{n}\"\n{}\n[pool.lane-{n}]\nbackends = [\"{address}\"]\nhealth = {{ tcp = true, interval = \"60s\" }}\n",
            setup.route
        );
    }
    out
}

/// All ways of sending one case; stops at the first that fails.
fn run_modes(case: &Case, front: SocketAddr, lane: &Lane, runs: &AtomicUsize) -> Result<(), String> {
    let mut modes = vec![Mode::Whole];
    if !case.whole_only {
        modes.push(Mode::Bytes);
    }
    if case.splits() {
        modes.extend((1..case.bytes().len()).map(Mode::Split));
    }
    for mode in modes {
        runs.fetch_add(1, Ordering::Relaxed);
        run_case(case, mode, front, lane)?;
    }
    Ok(())
}

/// One case, sent one way.
///
/// # Errors
/// Describes the failure: name, row, what was sent, what came, what the backend saw and what was wanted.
pub fn run_case(case: &Case, mode: Mode, front: SocketAddr, lane: &Lane) -> Result<(), String> {
    let mark = lane.backend.count();
    for script in &case.backend {
        lane.backend.next(Script::parse(script)?);
    }
    let mut connection =
        Connection::open_from(lane.client, front).map_err(|e| format!("case {:?}: cannot connect: {e}", case.name))?;
    transmit(case, mode, &mut connection);
    let (got, received) = receive(case, &mut connection);
    drop(connection);
    lane.backend.agenda().clear();
    let mut faults = judge::answers(&case.expect, &got);
    if let Err(fault) = good_request(front, lane) {
        faults.push(format!("afterwards a good request on a new connection fails: {fault}"));
    }
    let exchanges = settled(case, lane, mark);
    faults.extend(judge::seen(case, &exchanges, &lane.client.to_string()));
    if faults.is_empty() { Ok(()) } else { Err(describe(case, mode, &faults, &received, &got, &exchanges)) }
}

fn transmit(case: &Case, mode: Mode, connection: &mut Connection) {
    let bytes = case.bytes();
    if let Mode::Split(at) = mode {
        connection.send_in_pieces(&bytes[..at], bytes.len(), Duration::from_millis(1));
        connection.send_in_pieces(&bytes[at..], bytes.len(), Duration::ZERO);
    } else {
        for piece in &case.send {
            match piece {
                Piece::Bytes(bytes) if mode == Mode::Whole => connection.send_in_pieces(bytes, bytes.len(), Duration::ZERO),
                Piece::Bytes(bytes) if bytes.len() <= 1024 => connection.send_in_pieces(bytes, 1, Duration::from_micros(20)),
                Piece::Bytes(bytes) => connection.send_in_pieces(bytes, 509, Duration::from_micros(20)),
                Piece::Pause(time) => thread::sleep(*time),
                Piece::Wait(text) => {
                    connection.read_until(client::PATIENCE, |got| find(got, text).is_some());
                }
            }
        }
    }
    if case.finish {
        connection.finish();
    }
}

fn receive(case: &Case, connection: &mut Connection) -> (Got, Vec<u8>) {
    let expect = &case.expect;
    let count = expect.statuses.len().max(1);
    let first = if case.bytes().starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let methods: Vec<&str> =
        (0..count).map(|i| expect.methods.get(i).map_or(if i == 0 { first } else { "GET" }, String::as_str)).collect();
    let tail = expect.tail.as_ref().map_or(0, |t| super::unescape(t).map_or(0, |t| t.len()));
    if expect.closed == Some(true) || expect.no_answer || expect.complete == Some(false) {
        // A case about time may have to wait for a deadline of the proxy; any other is to be closed at once.
        connection.read_to_end(if case.whole_only { Duration::from_secs(8) } else { Duration::from_secs(2) });
    } else {
        connection.read_until(client::PATIENCE, |got| match client::parse_all(got, &methods, None) {
            Ok((answers, rest)) => answers.len() == count && rest.len() >= tail,
            Err(_) => true,
        });
    }
    let received = connection.received.clone();
    let answers = client::parse_all(&received, &methods, connection.end);
    let served_on = (expect.closed == Some(false)).then(|| {
        connection.received.clear();
        serves(connection)
    });
    (Got { answers, end: connection.end, served_on }, received)
}

fn good_request(front: SocketAddr, lane: &Lane) -> Result<(), String> {
    let mut connection = Connection::open_from(lane.client, front).map_err(|e| e.to_string())?;
    serves(&mut connection)
}

fn serves(connection: &mut Connection) -> Result<(), String> {
    let answer = connection.exchange(format!("GET {GOOD_PATH} HTTP/1.1\r\nHost: good\r\n\r\n").as_bytes())?;
    // The right answer, not just an answer: bytes left over from before must not pass for one.
    let right = answer.backend().is_some() && answer.text().contains(GOOD_PATH);
    if answer.status == 200 && answer.complete && right {
        return Ok(());
    }
    Err(format!("{} {}", answer.status, answer.text()))
}

/// What the case itself made the backend see, once that is at rest.
fn settled(case: &Case, lane: &Lane, mark: usize) -> Vec<Exchange> {
    let is_good = |e: &Exchange| e.line().split(' ').nth(1) == Some(GOOD_PATH);
    if let Some(Seen::Requests(_)) = case.seen {
        // What was wanted may still be on its way when the answer was early; what was not wanted had the good request's time to come.
        lane.backend.wait_until(Duration::from_millis(if case.backend.is_empty() { 1_000 } else { 200 }), |all| {
            let mine: Vec<_> = all.iter().skip(mark).filter(|e| !is_good(e)).collect();
            !mine.is_empty() && mine.iter().all(|e| e.complete)
        });
    }
    lane.backend.since(mark).into_iter().filter(|e| !is_good(e)).collect()
}

fn describe(case: &Case, mode: Mode, faults: &[String], received: &[u8], got: &Got, exchanges: &[Exchange]) -> String {
    let mut out = format!("--- {} {:?} ({}), sent {mode:?}\n", case.row, case.name, case.config);
    for fault in faults {
        let _ = writeln!(out, "  ! {fault}");
    }
    let _ = writeln!(out, "  sent:   {}", show(&case.bytes()));
    if !case.backend.is_empty() {
        let _ = writeln!(out, "  backend does: {:?}", case.backend);
    }
    let _ = writeln!(out, "  came:   {} (ended: {:?})", show(received), got.end);
    for exchange in exchanges {
        let _ = writeln!(
            out,
            "  backend saw (connection {}, whole: {}): {}",
            exchange.connection,
            exchange.complete,
            show(&exchange.bytes)
        );
    }
    let _ = writeln!(out, "  wanted: {:?}\n          of the backend: {:?}", case.expect, case.seen);
    out
}
