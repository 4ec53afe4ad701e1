//! The client everybody has, through the proxy: curl with every way it has to send and to fetch.
#![allow(clippy::unwrap_used)]

mod verb;

use std::fs;
use std::process::Command;

use serde_json::Value;
use testkit::Evenkeel;
use testkit::backend::{Answer, Recording, Script};
use verb::{EVENKEEL, Running, lasting_address};

/// The proxy in front of one sample backend, and one that sends what is large.
struct Set {
    evenkeel: Evenkeel,
    large: Recording,
    _sample: Running,
}

const LARGE: u64 = 20 << 20;

impl Set {
    fn start() -> Self {
        let address = lasting_address();
        let sample = Running::backend("sample", address, &[]);
        let large = Recording::with("large", Script::answer(Answer::Stream { length: LARGE, chunked: true }));
        let config = format!(
            "[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"sample\"\n[[route]]\nmatch = {{ path = \"/large\" }}\npool = \"large\"\n\
             [[route]]\nmatch = {{ path = \"/old\" }}\nredirect = \"http://{{host}}:PORT/new\"\n[pool.sample]\nbackends = [\"{address}\"]\n\
             [pool.large]\nbackends = [\"{}\"]\n",
            large.address()
        );
        let evenkeel = Evenkeel::start(EVENKEEL, &config);
        Self { evenkeel, large, _sample: sample }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.evenkeel.address())
    }
}

fn curl(args: &[&str]) -> Vec<u8> {
    let output =
        Command::new("curl").args(["-sS", "--max-time", "20"]).args(args).output().expect("curl is installed: ./test does it");
    assert!(output.status.success(), "curl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn echo(args: &[&str]) -> Value {
    serde_json::from_slice(&curl(args)).unwrap()
}

#[test]
fn what_curl_sends_reaches_the_backend_as_it_was() {
    let set = Set::start();
    let url = set.url("/a/b?c=d%20e");
    let got = echo(&[&url, "-H", "X-Mine: yes"]);
    assert_eq!((&got["method"], &got["path"], &got["headers"]["X-Mine"]), (&"GET".into(), &"/a/b?c=d%20e".into(), &"yes".into()));
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        assert_eq!(echo(&[&url, "-X", method])["method"], method);
    }
    assert_eq!(echo(&[&url, "-d", "mydata=123"])["body"], "mydata=123");
    assert_eq!(echo(&[&url, "--http1.0", "-d", "old"])["body"], "old");
    assert_eq!(echo(&[&url, "-d", "in chunks", "-H", "Transfer-Encoding: chunked"])["body"], "in chunks");
    let form = echo(&[&url, "-F", "field=value"]);
    assert!(form["body"].as_str().unwrap().contains("name=\"field\"\r\n\r\nvalue"), "{form}");
    set.evenkeel.stop();
}

#[test]
fn a_head_has_no_body_and_its_length() {
    let set = Set::start();
    let head = String::from_utf8(curl(&["-I", &set.url("/")])).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: "), "{head}");
    set.evenkeel.stop();
}

#[test]
fn a_large_upload_waits_for_100_continue_and_arrives_whole() {
    let set = Set::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("upload");
    let text = "0123456789abcdef".repeat(256 << 10);
    fs::write(&file, &text).unwrap();
    let from = format!("@{}", file.display());
    for more in [&["-H", "Expect: 100-continue"][..], &["-H", "Transfer-Encoding: chunked"], &["-H", "Expect:"]] {
        let got = echo(&[&[&set.url("/upload"), "-X", "PUT", "--data-binary", &from], more].concat());
        assert!(got["body"] == text.as_str(), "{more:?}");
    }
    set.evenkeel.stop();
}

#[test]
fn a_large_download_arrives_whole_in_every_framing() {
    let set = Set::start();
    let mut expected = vec![0; usize::try_from(LARGE).unwrap()];
    testkit::body_bytes(0, &mut expected);
    assert!(curl(&[&set.url("/large")]) == expected);
    assert!(curl(&["--http1.0", &set.url("/large")]) == expected);
    set.large.agenda().set_default(Script::answer(Answer::Stream { length: LARGE, chunked: false }));
    assert!(curl(&[&set.url("/large")]) == expected);
    set.evenkeel.stop();
}

#[test]
fn one_connection_serves_many_urls() {
    let set = Set::start();
    let urls: Vec<String> = (0..20).map(|n| set.url(&format!("/{n}"))).collect();
    let args: Vec<&str> = ["-w", "%{num_connects} "].into_iter().chain(urls.iter().map(String::as_str)).collect();
    let told = String::from_utf8(curl(&args)).unwrap();
    // What curl says behind each answer: connections made for it.
    let connects: Vec<&str> =
        told.lines().filter_map(|line| line.split('{').next()).map(str::trim).filter(|n| !n.is_empty()).collect();
    assert_eq!(connects.iter().filter(|n| **n == "1").count(), 1, "{told}");
    set.evenkeel.stop();
}

#[test]
fn a_redirect_is_followed() {
    let set = Set::start();
    let port = set.evenkeel.address().port().to_string();
    let path = set.evenkeel.config_path();
    let config = fs::read_to_string(&path).unwrap().replace("PORT", &port);
    set.evenkeel.reload(&config);
    set.evenkeel.wait_for_log("configuration reloaded");
    let got = echo(&["-L", &set.url("/old")]);
    assert_eq!(got["path"], "/new");
    set.evenkeel.stop();
}

#[test]
fn an_error_is_what_the_client_asked_for() {
    let address = lasting_address();
    let evenkeel = Evenkeel::start(EVENKEEL, &format!("listen = \"LISTEN\"\nbackends = [\"{address}\"]\n"));
    let url = format!("http://{}/", evenkeel.address());
    assert_eq!(echo(&[&url])["reason"], "no_healthy_backend");
    let text = String::from_utf8(curl(&[&url, "-H", "Accept: text/plain"])).unwrap();
    assert!(text.contains("no_healthy_backend") && !text.contains('{'), "{text}");
    let page = String::from_utf8(curl(&[&url, "-H", "Accept: text/html,application/xhtml+xml,*/*;q=0.8"])).unwrap();
    assert!(page.to_lowercase().contains("<html"), "{page}");
    evenkeel.stop();
}
