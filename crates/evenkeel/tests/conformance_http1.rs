//! Rows A, B and D of the safety contract for HTTP/1: every case of `tests/cases/*.toml`, whole, byte by byte and cut, through the real binary.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::Path;

use testkit::cases::{self, Setup};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

/// Strict as it comes.
const DEFAULT: Setup<'_> = Setup {
    name: "default",
    config: r#"
[log]
access = "off"
[listener.web]
listen = "LISTEN"
LANES
"#,
    lanes: 8,
    route: "",
};

/// Deadlines a test can wait for.
const SHORT: Setup<'_> = Setup {
    name: "short",
    config: r#"
[log]
access = "off"
[listener.web]
listen = "LISTEN"
timeout = { header = "1s", body = "1s", idle = "1s" }
LANES
"#,
    lanes: 16,
    route: "",
};

/// Routes that answer by themselves.
const ANSWERS: Setup<'_> = Setup {
    name: "answers",
    config: r#"
[log]
access = "off"
[listener.web]
listen = "LISTEN"
[[route]]
match = { path = "/respond" }
respond = { status = 200, body = "fine" }
[[route]]
match = { path = "/redirect" }
redirect = "http://elsewhere.example/"
LANES
"#,
    lanes: 8,
    route: "",
};

/// What operators may switch off.
const LENIENT: Setup<'_> = Setup {
    name: "lenient",
    config: r#"
[log]
access = "off"
[listener.web]
listen = "LISTEN"
keep_encoded_slash = true
underscores = true
LANES
"#,
    lanes: 8,
    route: "",
};

/// Everybody on this machine is a trusted proxy. One lane: the client address is what X-Forwarded-For says, so it can not choose the route.
const TRUSTED: Setup<'_> = Setup {
    name: "trusted",
    config: r#"
[log]
access = "off"
[listener.web]
listen = "LISTEN"
trusted_proxies = ["127.0.0.0/8"]
LANES
"#,
    lanes: 1,
    route: r#"request_headers = { set = { X-Client = "{client_ip}" } }"#,
};

const SETUPS: [Setup<'_>; 5] = [DEFAULT, SHORT, ANSWERS, LENIENT, TRUSTED];

fn every_case() -> Vec<cases::Case> {
    cases::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"))
}

#[test]
fn every_case_of_rows_a_b_and_d_holds() {
    let report = cases::run(&testkit::binary(BINARY), &SETUPS, &every_case());
    report.assert_ok();
}

#[test]
fn every_row_has_cases_and_there_are_more_than_three_hundred() {
    let cases = every_case();
    for row in [
        "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "A12", "A13", "A14", "B1", "B2", "B3", "B4", "B5",
        "B6", "B7", "D1", "D2", "D3", "D4", "D5",
    ] {
        let count = cases.iter().filter(|case| case.row == row).count();
        assert!(count >= 5, "row {row} has {count} cases");
    }
    let distinct: HashSet<_> = cases.iter().map(|case| (case.bytes(), &case.backend, &case.config, case.finish)).collect();
    assert!(distinct.len() >= 300, "{} cases, {} of them distinct", cases.len(), distinct.len());
}
