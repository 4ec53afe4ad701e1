//! Every file under `examples/` passes `check`, runs, and does what its comments say.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::backend::Recording;
use testkit::{Evenkeel, client};

/// An example that runs, with recording backends in the place of ports 8001 to 8003.
struct Running {
    proxy: Evenkeel,
    backends: [Recording; 3],
}

impl Running {
    fn start(name: &str) -> Running {
        let backends = ["one", "two", "three"].map(Recording::start);
        let mut text = std::fs::read_to_string(folder().join(name)).expect("the example exists");
        for (port, backend) in (8001..).zip(&backends) {
            text = text.replace(&format!("127.0.0.1:{port}"), &backend.address().to_string());
        }
        text = text.replace("0.0.0.0:8000", "LISTEN").replace("127.0.0.1:9900", "ADMIN");
        Running { proxy: Evenkeel::start(&binary(), &text), backends }
    }

    /// Who answered a GET with these fields.
    fn backend_of(&self, path: &str, fields: &str) -> String {
        let answer = self.ask("test", path, fields);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("a backend answers in JSON");
        body["backend"].as_str().expect("a backend names itself").to_owned()
    }

    fn ask(&self, host: &str, path: &str, fields: &str) -> client::Response {
        client::exchange(self.proxy.address(), format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").as_bytes())
    }
}

#[test]
fn every_example_passes_check_and_a_misspelt_one_does_not() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).expect("the examples").flatten() {
        let path = entry.path();
        let checked = check(&path);
        assert!(checked.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&checked.stderr));
        let broken = tempfile::NamedTempFile::new().expect("a file");
        let text = std::fs::read_to_string(&path).expect("the example exists");
        std::fs::write(broken.path(), text.replace("listen ", "listne ")).expect("written");
        assert_eq!(check(broken.path()).status.code(), Some(2), "{} misspelt", path.display());
        seen += 1;
    }
    assert!(seen >= 5, "{seen} examples were found");
}

#[test]
fn short_serves_three_backends_in_turn() {
    let running = Running::start("short.toml");
    let first: Vec<String> = (0..3).map(|_| running.backend_of("/", "")).collect();
    let again: Vec<String> = (0..3).map(|_| running.backend_of("/", "")).collect();
    assert_eq!(first, again);
    assert!(["one", "two", "three"].iter().all(|name| first.iter().any(|seen| seen == name)), "{first:?}");
}

#[test]
fn full_sends_the_api_to_its_own_pool_and_edits_its_headers() {
    let running = Running::start("full.toml");
    for _ in 0..4 {
        assert_ne!(running.backend_of("/api/items", "X-Debug: 1\r\n"), "three");
        assert_eq!(running.backend_of("/apix", ""), "three");
    }
    let answer = running.ask("test", "/api/items", "X-Debug: 1\r\n");
    assert_eq!(answer.get("X-Frame-Options"), Some("SAMEORIGIN"));
    assert!(!answer.text().to_ascii_lowercase().contains("x-debug"), "{}", answer.text());
}

#[test]
fn header_routing_takes_the_route_with_the_most_conditions() {
    let running = Running::start("header-routing.toml");
    let enterprise = "X-Customer-Tier: enterprise\r\n";
    assert_eq!(running.backend_of("/", enterprise), "one");
    assert_eq!(running.backend_of("/", &format!("{enterprise}Cookie: a=b; beta=1\r\n")), "two");
    assert_eq!(running.backend_of("/", ""), "three");
    let search = running.backend_of("/search/?q=boats", "");
    assert_ne!(search, "three");
    assert_eq!(running.backend_of("/search/?q=boats", ""), search);
    assert_eq!(running.backend_of("/search/", ""), "three");
}

#[test]
fn weights_and_backup_shares_three_to_one_and_spares_the_backup() {
    let running = Running::start("weights-and-backup.toml");
    let answered: Vec<String> = (0..8).map(|_| running.backend_of("/", "")).collect();
    let count = |name: &str| answered.iter().filter(|seen| *seen == name).count();
    assert_eq!((count("one"), count("two"), count("three")), (6, 2, 0), "{answered:?}");
}

#[test]
fn weights_and_backup_turns_to_the_backup_when_the_others_die() {
    let mut running = Running::start("weights-and-backup.toml");
    running.backends[0].kill();
    assert!((0..6).all(|_| running.backend_of("/", "") == "two"));
    running.backends[1].kill();
    assert!((0..6).all(|_| running.backend_of("/", "") == "three"));
}

#[test]
fn fail_over_leaves_a_dead_backend_without_an_error() {
    let mut running = Running::start("fail-over.toml");
    let served = |running: &Running| -> Vec<String> { (0..6).map(|_| running.backend_of("/", "")).collect() };
    let before = served(&running);
    assert!(["one", "two", "three"].iter().all(|name| before.iter().filter(|seen| seen == name).count() == 2), "{before:?}");
    running.backends[1].kill();
    let after = served(&running);
    assert!(after.iter().all(|name| name != "two") && after.iter().any(|name| name == "one"), "{after:?}");
}

#[test]
fn redirect_and_respond_answer_without_a_backend() {
    let running = Running::start("redirect-and-respond.toml");
    let health = running.ask("test", "/healthz", "");
    assert_eq!((health.status, health.text().as_str()), (200, "OK\n"));
    let moved = running.ask("www.example.com", "/a?b=c", "");
    assert_eq!((moved.status, moved.get("Location")), (301, Some("https://example.com/a?b=c")));
    assert_eq!(running.ask("test", "/admin/users", "").status, 403);
    assert!(!running.backend_of("/", "").is_empty());
}

#[test]
fn shop_limits_sticks_splits_and_keeps_strangers_out() {
    let running = Running::start("shop.toml");
    let page = running.ask("test", "/", "");
    assert_eq!((page.status, page.get("X-Content-Type-Options")), (200, Some("nosniff")));
    assert_eq!(running.backend_of("/api/items", ""), "two");
    assert_eq!(running.ask("test", "/healthz", "").text(), "OK\n");
    assert_eq!(running.ask("test", "/admin/users", "").status, 403);
    // A client stays where it was first, by the cookie it was given.
    let first = running.ask("test", "/checkout/", "");
    let cookie = first.get("Set-Cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned();
    let stays = running.backend_of("/checkout/", &format!("Cookie: {cookie}\r\n"));
    assert!(first.text().contains(&stays));
    let refused = (0..20).filter(|_| running.ask("test", "/checkout/", &format!("Cookie: {cookie}\r\n")).status == 429).count();
    assert!(refused >= 5, "{refused} of 20 at once were refused");
    let canaries = (0..200).filter(|user| running.backend_of("/search/", &format!("Cookie: uid=u{user}\r\n")) == "three").count();
    assert!((1..40).contains(&canaries), "{canaries} of 200 clients met the canary");
}

fn check(file: &Path) -> std::process::Output {
    Command::new(binary()).arg("check").arg(file).output().expect("the binary runs")
}

fn binary() -> String {
    testkit::binary(env!("CARGO_BIN_EXE_evenkeel"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}
