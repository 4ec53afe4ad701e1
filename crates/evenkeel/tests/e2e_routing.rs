//! Which route answers: the most specific one, whatever the order in the file; and what a route can answer by itself; and reloads.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::{Duration, Instant};

use testkit::Evenkeel;
use testkit::backend::Recording;
use testkit::client::{Load, exchange, get};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

/// Routes that answer with their own name; less specific ones first, so that order alone would be wrong.
const ROUTES: &[(&str, &str)] = &[
    ("any", r#"match = { path = "/" }"#),
    ("path", r#"match = { path = "/api/" }"#),
    ("longer path", r#"match = { path = "/api/v1/" }"#),
    ("exact path", r#"match = { path = "=/api/v1/exact" }"#),
    ("regex", r#"match = { path = "~^/v[0-9]+/" }"#),
    ("wildcard", r#"match = { host = "*.example.com", path = "/" }"#),
    ("longer wildcard", r#"match = { host = "*.shop.example.com", path = "/" }"#),
    ("host", r#"match = { host = "shop.example.com", path = "/" }"#),
    ("host and path", r#"match = { host = "shop.example.com", path = "/api/" }"#),
    ("method", r#"match = { path = "/api/", method = "PUT" }"#),
    ("header", r#"match = { path = "/api/", header = { X-Tier = "gold" } }"#),
    ("method and header", r#"match = { path = "/api/", method = "PUT", header = { X-Tier = "gold" } }"#),
    ("cookie", r#"match = { path = "/api/", cookie = { beta = "1" } }"#),
    ("query", r#"match = { path = "/api/", query = { debug = "1" } }"#),
    ("priority", "match = { path = \"/urgent\" }\npriority = 10"),
    ("not reached", r#"match = { host = "shop.example.com", path = "=/urgent" }"#),
];

const WANTED: &[(&str, &str, &str, &str, &str)] = &[
    ("GET", "other.test", "/", "", "any"),
    ("GET", "other.test", "/apix", "", "any"),
    ("GET", "other.test", "/api", "", "path"),
    ("GET", "other.test", "/api/", "", "path"),
    ("GET", "other.test", "/api/x", "", "path"),
    ("GET", "other.test", "/api/v1", "", "longer path"),
    ("GET", "other.test", "/api/v1/x", "", "longer path"),
    ("GET", "other.test", "/api/v11", "", "path"),
    ("GET", "other.test", "/api/v1/exact", "", "exact path"),
    ("GET", "other.test", "/api/v1/exact/", "", "longer path"),
    ("GET", "other.test", "/api/v1/exact?a=b", "", "exact path"),
    ("GET", "other.test", "/v2/x", "", "regex"),
    ("GET", "other.test", "/vx/x", "", "any"),
    ("GET", "a.example.com", "/api/", "", "wildcard"),
    ("GET", "a.b.example.com", "/", "", "wildcard"),
    ("GET", "example.com", "/", "", "any"),
    ("GET", "badexample.com", "/", "", "any"),
    ("GET", "a.shop.example.com", "/", "", "longer wildcard"),
    ("GET", "shop.example.com", "/", "", "host"),
    ("GET", "SHOP.Example.COM", "/", "", "host"),
    ("GET", "shop.example.com:8000", "/", "", "host"),
    ("GET", "shop.example.com", "/api/x", "", "host and path"),
    ("PUT", "other.test", "/api/x", "", "method"),
    ("GET", "other.test", "/api/x", "X-Tier: gold\r\n", "header"),
    ("GET", "other.test", "/api/x", "x-tier: gold\r\n", "header"),
    ("GET", "other.test", "/api/x", "X-Tier: golden\r\n", "path"),
    ("PUT", "other.test", "/api/x", "X-Tier: gold\r\n", "method and header"),
    ("GET", "other.test", "/api/x", "Cookie: a=b; beta=1\r\n", "cookie"),
    ("GET", "other.test", "/api/x", "Cookie: beta=11\r\n", "path"),
    ("GET", "other.test", "/api/x?a=b&debug=1", "", "query"),
    ("GET", "other.test", "/api/x?debug=10", "", "path"),
    ("GET", "shop.example.com", "/urgent", "", "priority"),
];

fn config(routes: &[(&str, &str)]) -> String {
    let mut text = "[listener.web]\nlisten = \"LISTEN\"\n".to_owned();
    for (name, rule) in routes {
        text += &format!("[[route]]\n{rule}\nrespond = {{ status = 200, body = \"{name}\" }}\n");
    }
    text
}

#[test]
fn the_most_specific_route_answers_whatever_the_order() {
    let backwards: Vec<_> = ROUTES.iter().rev().copied().collect();
    for routes in [ROUTES, &backwards] {
        let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &config(routes));
        for (method, host, target, fields, wanted) in WANTED {
            let answer =
                exchange(evenkeel.address(), format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").as_bytes());
            assert_eq!(answer.text(), *wanted, "{method} {host} {target} {fields:?}, first route {:?}", routes[0].0);
        }
        evenkeel.stop();
    }
}

#[test]
fn a_route_answers_or_sends_elsewhere_by_itself() {
    let routes = [
        "[[route]]\nmatch = { path = \"/gone\" }\nrespond = { status = 410, body = \"no more\" }",
        "[[route]]\nmatch = { path = \"/empty\" }\nrespond = { status = 204 }",
        "[[route]]\nmatch = { path = \"/old\" }\nredirect = \"https://new.example/place\"",
    ];
    let evenkeel =
        Evenkeel::start(&testkit::binary(BINARY), &format!("[listener.web]\nlisten = \"LISTEN\"\n{}\n", routes.join("\n")));
    let gone = get(evenkeel.address(), "/gone");
    assert_eq!((gone.status, gone.text().as_str(), gone.get("Content-Length")), (410, "no more", Some("7")));
    let empty = get(evenkeel.address(), "/empty");
    assert_eq!((empty.status, empty.get("Content-Length"), empty.get("Transfer-Encoding")), (204, None, None));
    let moved = get(evenkeel.address(), "/old?a=b");
    assert!([301, 302, 307, 308].contains(&moved.status), "{moved:?}");
    assert_eq!(moved.get("Location"), Some("https://new.example/place"));
    let nothing = get(evenkeel.address(), "/nothing");
    assert_eq!((nothing.status, nothing.reason().as_deref()), (404, Some("no_route")));
    evenkeel.stop();
}

fn weighted(backends: &[Recording], weight: u32) -> String {
    let [a, b] = [&backends[0], &backends[1]].map(Recording::address);
    format!(
        "[log]\naccess = \"off\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\nmatch = {{ path = \"/\" }}\npool = \"app\"\n[pool.app]\nbackends = [{{ address = \"{a}\", weight = {weight} }}, \"{b}\"]\n"
    )
}

#[test]
fn f13_reloads_under_load_cost_no_client_an_error() {
    let backends = ["a", "b"].map(Recording::start);
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &weighted(&backends, 1));
    let load = Load::start(evenkeel.address(), "/", 400, 4, 5);
    for n in 0..30 {
        evenkeel.reload(&weighted(&backends, 1 + n % 4));
        thread::sleep(Duration::from_millis(60));
    }
    evenkeel.reload(&weighted(&backends, 9));
    let share = || {
        let before = load.tally().by_backend;
        thread::sleep(Duration::from_millis(500));
        let after = load.tally().by_backend;
        let more = |name: &str| (after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0)) as f64;
        more("a") / (more("a") + more("b")).max(1.0)
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = share();
        if (0.85..0.95).contains(&now) {
            break;
        }
        assert!(Instant::now() < deadline, "the last weights are not in force: share {now}");
    }
    let tally = load.stop();
    assert!(
        tally.errors.is_empty() && tally.ok > 500,
        "{} good, {} errors: {:?}",
        tally.ok,
        tally.errors.len(),
        tally.errors.first()
    );
    evenkeel.stop();
}

#[test]
fn f14_a_bad_file_is_refused_whole_and_the_old_one_serves() {
    let backends = ["a", "b"].map(Recording::start);
    let evenkeel = Evenkeel::start(&testkit::binary(BINARY), &weighted(&backends, 1));
    for (bad, named) in [
        ("nonsense_key = 3\n", "nonsense_key"),
        ("[pool.x\n", "evenkeel.toml"),
        ("[[route]]\nmatch = { path = \"/x\" }\npool = \"nowhere\"\n", "nowhere"),
    ] {
        let text = if bad.starts_with('[') { weighted(&backends, 1) + bad } else { format!("{bad}{}", weighted(&backends, 1)) };
        evenkeel.reload(&text);
        evenkeel.wait_for_log(named);
        assert_eq!(get(evenkeel.address(), "/").status, 200, "the old configuration serves after {bad:?}");
    }
    evenkeel.stop();
}
