//! `evenkeel explain` says what really happens, of a file and of the process that runs; and tests in the file refuse it.
#![allow(clippy::unwrap_used)]

mod verb;

use testkit::Evenkeel;
use testkit::backend::Recording;
use testkit::client::exchange;
use verb::{evenkeel, folder_with};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

fn config(standard: &Recording, gold: &Recording) -> String {
    format!(
        r#"
[admin]
listen = "ADMIN"
[listener.web]
listen = "LISTEN"
trusted_proxies = ["198.51.100.0/24"]
[[route]]
name = "standard"
match = {{ path = "/" }}
pool = "standard"
response_headers = {{ set = {{ X-Frame-Options = "DENY" }} }}
request_headers = {{ set = {{ Authorization = "Basic c2VjcmV0" }} }}
[[route]]
name = "gold"
match = {{ path = "/", header = {{ X-Tier = "gold" }} }}
pool = "gold"
[[route]]
name = "old"
match = {{ path = "/old" }}
redirect = "https://{{host}}/new"
[pool.standard]
backends = ["{}"]
[pool.gold]
backends = ["{}"]
"#,
        standard.address(),
        gold.address()
    )
}

fn explain(args: &[&str]) -> serde_json::Value {
    let ended = evenkeel(&[&["explain", "--json"], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn explain_says_what_really_happens_of_the_file_and_live() {
    let (standard, gold) = (Recording::start("standard"), Recording::start("gold"));
    let proxy = Evenkeel::start(&testkit::binary(BINARY), &config(&standard, &gold));
    let (file, admin) = (proxy.config_path().display().to_string(), proxy.admin().to_string());
    let url = |path: &str| format!("http://{}{path}", proxy.address());
    for (path, header, status) in
        [("/", "X-Tier: gold", 200), ("/a", "X-Tier: silver", 200), ("/old/x", "X-A: b", 302), ("/a%2fb", "X-A: b", 400)]
    {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{header}\r\n\r\n", proxy.address());
        let answer = exchange(proxy.address(), request.as_bytes());
        let asked =
            [&standard, &gold].into_iter().find(|backend| answer.text().contains(backend.name())).map(|b| b.name().to_owned());
        for from in [["-c", &file], ["--admin", &admin]] {
            let explained = explain(&[&from[..], &["GET", &url(path), "-H", header]].concat());
            assert_eq!(explained["answer"]["status"], u64::from(status), "{explained:#}");
            assert_eq!(answer.status, status);
            assert_eq!(explained["pool"]["name"].as_str().map(str::to_owned), asked, "{explained:#}");
            for field in explained["answer"]["headers"].as_array().unwrap().iter().filter(|field| field[0] != "Content-Length") {
                assert!(answer.get(field[0].as_str().unwrap()).is_some(), "{field} of {explained:#}");
            }
        }
    }
    let why = |explained: &serde_json::Value, route: &str| {
        let routes = explained["routes"].as_array().unwrap();
        routes.iter().find(|tried| tried["route"] == route).unwrap()["why"].as_str().unwrap().to_owned()
    };
    let explained = explain(&["--admin", &admin, "GET", &url("/a")]);
    assert_eq!(why(&explained, "gold"), "does not hold: header x-tier is \"gold\"");
    assert_eq!(why(&explained, "standard"), "takes the request");
    assert_eq!(explained["pool"]["candidates"][0]["state"], "up");
    proxy.stop();
}

#[test]
fn explain_decides_on_the_client_as_the_listener_does_and_shows_no_secret() {
    let (standard, gold) = (Recording::start("standard"), Recording::start("gold"));
    let folder = folder_with(&config(&standard, &gold).replace("LISTEN", "127.0.0.1:8000").replace("ADMIN", "127.0.0.1:9900"));
    let file = folder.path().join("evenkeel.toml").display().to_string();
    let client = |from: &str| {
        let forwarded = "X-Forwarded-For: 203.0.113.9";
        explain(&["-c", &file, "GET", "http://a/", "-H", forwarded, "--from", from])["client"]["address"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(client("198.51.100.7"), "203.0.113.9");
    assert_eq!(client("192.0.2.1"), "192.0.2.1");
    let text = evenkeel(&["explain", "-c", &file, "GET", "http://a/", "-H", "Cookie: sid=hunter2"]).stdout;
    assert!(text.contains("Authorization: ***") && text.contains("Cookie: ***"), "{text}");
    assert!(!text.contains("c2VjcmV0") && !text.contains("hunter2") && !text.contains('\x1b'), "{text}");
    assert_eq!(evenkeel(&["explain", "-c", &file, "GET", "a/"]).code, Some(2));
}

#[test]
fn a_test_in_the_file_that_fails_refuses_check_start_and_reload_at_its_place() {
    let (standard, gold) = (Recording::start("standard"), Recording::start("gold"));
    let test = |expect: &str| {
        format!(
            "{}\n[[test]]\nname = \"tiers\"\nrequest = \"GET http://a/x\"\nheader = {{ X-Tier = \"gold\" }}\nexpect = {{ {expect} }}\n",
            config(&standard, &gold)
        )
    };
    let good = test("pool = \"gold\", status = 200, route = \"gold\", header = { X-Frame-Options = false }");
    let proxy = Evenkeel::start(&testkit::binary(BINARY), &good);
    let file = proxy.config_path().display().to_string();
    assert_eq!(evenkeel(&["check", &file]).code, Some(0));
    for (expect, found) in [
        ("pool = \"standard\"", "the pool is `gold`"),
        ("status = 404", "the status is 200"),
        ("route = \"old\"", "that route serves other paths"),
        ("header = { X-A = \"b\" }", "the answer has no `X-A`"),
        ("request_header = { X-Tier = \"silver\" }", "`X-Tier` of what goes upstream is `gold`"),
        ("redirect = \"/\"", "there is no redirect"),
        ("backend = \"10.0.0.1:80\"", "the backend is "),
    ] {
        let bad = test(expect);
        let at = bad.lines().position(|line| line.starts_with("expect")).unwrap() + 1;
        std::fs::write(&file, bad.replace("LISTEN", &proxy.address().to_string()).replace("ADMIN", &proxy.admin().to_string()))
            .unwrap();
        let checked = evenkeel(&["check", &file]);
        assert_eq!(checked.code, Some(2), "{expect}");
        assert!(
            checked.stderr.contains(found) && checked.stderr.contains(&format!("{file}:{at}:")),
            "{expect}: {}",
            checked.stderr
        );
        assert_eq!(evenkeel(&["run", "-c", &file]).code, Some(2), "{expect}");
        proxy.signal("HUP");
    }
    proxy.wait_for_log("the test \"tiers\" fails");
    let status = verb::ask(proxy.admin(), "/status");
    assert!(status.text().contains("the test"), "{}", status.text());
    let answer = exchange(proxy.address(), b"GET /x HTTP/1.1\r\nHost: a\r\nX-Tier: gold\r\n\r\n");
    assert!(answer.text().contains("\"gold\""), "what ran goes on");
    proxy.stop();
}
