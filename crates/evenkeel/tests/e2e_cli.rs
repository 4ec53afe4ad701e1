//! Every verb as its users meet it: what it prints, where, and how it ends.
#![allow(clippy::unwrap_used)]

mod verb;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::client::{exchange, get};
use testkit::{Evenkeel, free_port};
use verb::{EVENKEEL, Running, evenkeel, evenkeel_in, folder_with, lasting_address, wait};

const VALID: &str = r#"
[listener.web]
listen = "127.0.0.1:8080"
[listener.more]
listen = "127.0.0.1:8081"

[[route]]
match = { path = "/a/" }
pool = "a"
[[route]]
match = { path = "/b/" }
pool = "b"
[[route]]
match = { path = "/up" }
respond = { status = 200, body = "OK" }

[pool.a]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
[pool.b]
backends = ["10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"]
"#;

const FAULTY: &str = "listen = \"127.0.0.1:8080\"\nbackend = [\"10.0.0.1:80\"]\n\n[shutdwn]\n";

#[test]
fn a_valid_file_is_counted_in_one_line() {
    let ended = evenkeel_in(folder_with(VALID).path(), &["check", "evenkeel.toml"]);
    assert_eq!(ended.stdout, "evenkeel.toml is valid: 2 listeners, 3 routes, 2 pools, 5 backends\n");
    assert_eq!((ended.stderr.as_str(), ended.code), ("", Some(0)));
}

#[test]
fn every_fault_is_shown_with_its_place_and_no_colour_where_there_is_no_terminal() {
    let ended = evenkeel_in(folder_with(FAULTY).path(), &["check"]);
    assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(2)));
    for part in ["evenkeel.toml:2:1", "did you mean `backends`?", "evenkeel.toml:4:", "evenkeel.toml is not valid: "] {
        assert!(ended.stderr.contains(part), "{part} is not in\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains('\x1b'), "{}", ended.stderr);
}

#[test]
fn colour_is_for_terminals_whose_user_does_not_refuse_it() {
    let folder = folder_with(FAULTY);
    let on_terminal = |no_color: &str| {
        let command = format!("{EVENKEEL} check");
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(folder.path()).env("TERM", "xterm").env("NO_COLOR", no_color);
        let output = script.stdin(Stdio::null()).output().expect("`script` of util-linux is installed");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, coloured) = on_terminal("");
    assert!(code == Some(2) && coloured.contains("\x1b["), "{coloured}");
    let (code, plain) = on_terminal("1");
    assert!(code == Some(2) && !plain.contains("\x1b[") && plain.contains("did you mean"), "{plain}");
}

#[test]
fn a_warning_is_shown_and_leaves_the_file_valid() {
    let unused = format!("{VALID}\n[pool.unused]\nbackends = [\"10.0.0.6:80\"]\n");
    let ended = evenkeel_in(folder_with(&unused).path(), &["check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("warning") && ended.stderr.contains("unused"), "{}", ended.stderr);
}

#[test]
fn faults_are_json_where_programs_ask() {
    let ended = evenkeel_in(folder_with(FAULTY).path(), &["check", "--json"]);
    let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&verdict["valid"], ended.code, ended.stderr.as_str()), (&Value::Bool(false), Some(2), ""));
    let fault = &verdict["faults"][0];
    assert_eq!((fault["line"].as_u64(), fault["column"].as_u64(), fault["severity"].as_str()), (Some(2), Some(1), Some("error")));
    let ended = evenkeel_in(folder_with(VALID).path(), &["check", "--json"]);
    let verdict: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((verdict["valid"].as_bool(), verdict["backends"].as_u64(), ended.code), (Some(true), Some(5), Some(0)));
}

#[test]
fn a_missing_file_comes_with_one_that_works() {
    for args in [&["run"][..], &["check"], &["run", "-c", "evenkeel.toml"]] {
        let ended = evenkeel(args);
        assert_eq!(ended.code, Some(2), "{args:?}");
        assert!(ended.stderr.contains("can't read evenkeel.toml"), "{}", ended.stderr);
        let shown: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("    ")).collect();
        assert_eq!(shown.len(), 3, "{}", ended.stderr);
        let ended = evenkeel_in(folder_with(&shown.join("\n")).path(), &["check"]);
        assert_eq!(ended.code, Some(0), "what the hint shows is not valid: {}", ended.stderr);
    }
}

#[test]
fn wrong_arguments_exit_with_2_and_the_version_with_0() {
    assert_eq!(evenkeel(&["serve"]).code, Some(2));
    assert_eq!(evenkeel(&["proxy", ":8000"]).code, Some(2));
    assert_eq!(evenkeel(&["demo", "--duration", "5"]).code, Some(2));
    assert_eq!(evenkeel(&["backend", "--fail", "10"]).code, Some(2));
    let version = evenkeel(&["--version"]);
    assert_eq!((version.stdout.as_str(), version.code), (concat!("evenkeel ", env!("CARGO_PKG_VERSION"), "\n"), Some(0)));
}

#[test]
fn a_fault_in_the_arguments_of_proxy_is_shown_as_one_of_a_file_is() {
    let ended = evenkeel(&["proxy", ":8000", "10.0.0.1:80", "10.0.0.2:eighty"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("command line") && ended.stderr.contains("^^^"), "{}", ended.stderr);
}

#[test]
fn help_teaches_with_an_example() {
    for verb in ["run", "check", "schema", "proxy", "backend", "reload", "status", "demo"] {
        let help = evenkeel(&[verb, "--help"]);
        assert_eq!(help.code, Some(0));
        assert!(help.stdout.contains("Example") && help.stdout.contains(&format!("$ evenkeel {verb}")), "{}", help.stdout);
    }
}

#[test]
fn the_schema_is_json() {
    let schema: Value = serde_json::from_str(&evenkeel(&["schema"]).stdout).unwrap();
    assert!(schema["$schema"].is_string() && schema["properties"]["backends"].is_object());
}

#[test]
fn a_taken_port_ends_the_start_with_a_hint() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let config = format!("listen = \"{address}\"\nbackends = [\"127.0.0.1:1\"]\n");
    let ended = evenkeel_in(folder_with(&config).path(), &["run"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&format!("can't listen on {address}")) && ended.stderr.contains("ss -ltnp"), "{}", ended.stderr);
}

#[test]
fn the_sample_backend_echoes_what_it_was_sent() {
    let address = lasting_address();
    let backend = Running::backend("b1", address, &["--cpu-usage", "91", "--memory-usage", "12.5"]);
    let answer = exchange(
        address,
        b"POST /x?y=1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nmyd\r\n7\r\nata=123\r\n0\r\n\r\n",
    );
    let echo = answer.json();
    assert_eq!(
        (&echo["backend"], &echo["server"], echo["port"].as_u64()),
        (&"b1".into(), &"b1".into(), Some(address.port().into()))
    );
    assert_eq!((&echo["method"], &echo["path"], &echo["body"]), (&"POST".into(), &"/x?y=1".into(), &"mydata=123".into()));
    assert_eq!(echo["headers"]["X-One"], "1");
    let health = get(address, "/health").json();
    assert_eq!(
        (&health["name"], health["cpu_usage"].as_f64(), health["memory_usage"].as_f64()),
        (&"b1".into(), Some(91.0), Some(12.5))
    );
    assert!(health["status"].is_string());
    let refused = exchange(address, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    assert_eq!((refused.status, refused.head.has_token("connection", "close")), (400, true));
    drop(backend);
}

#[test]
fn the_sample_backend_is_late_and_fails_as_it_is_told() {
    let address = lasting_address();
    let _backend = Running::backend("bad", address, &["--delay", "120ms", "--fail", "100%"]);
    let begin = Instant::now();
    assert_eq!(get(address, "/").status, 500);
    assert!(begin.elapsed() >= Duration::from_millis(120));
    let begin = Instant::now();
    let health = get(address, "/health");
    assert!(health.status == 200 && begin.elapsed() < Duration::from_millis(100));
    let figure = |name: &str| health.json()[name].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&figure("cpu_usage")) && figure("memory_usage") > 0.0);
}

#[test]
fn proxy_needs_no_file_and_has_none_to_reload() {
    let [front, one, two] = [(); 3].map(|()| lasting_address());
    let _backends = [Running::backend("one", one, &[]), Running::backend("two", two, &[])];
    let args = [
        "proxy",
        &front.to_string(),
        &one.to_string(),
        &two.to_string(),
        "--health-path",
        "/health",
        "--balance",
        "least_connections",
    ];
    let mut proxy = Running::start(&args);
    proxy.wait_until_it_accepts(front);
    let mut names: Vec<String> = (0..4).map(|_| get(front, "/").backend().unwrap()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names, ["one", "two"]);
    proxy.signal("HUP");
    wait("no word on the reload", || proxy.stderr().contains("there is no file to reload"));
    proxy.signal("TERM");
    assert_eq!(proxy.end().code(), Some(0), "{}", proxy.stderr());
}

#[test]
fn status_shows_each_backend_and_why_it_is_down() {
    let [up, down] = [(); 2].map(|()| lasting_address());
    let _backend = Running::backend("up", up, &[]);
    let config = format!(
        "[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\n\
         [pool.app]\nbackends = [{{ address = \"{up}\", name = \"good\" }}, {{ address = \"{down}\", name = \"gone\" }}]\n"
    );
    let running = Evenkeel::start(EVENKEEL, &config);
    assert_eq!(get(running.address(), "/").backend().as_deref(), Some("up"));
    let ended = evenkeel(&["status", "--admin", &running.admin().to_string()]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let line = |name: &str| ended.stdout.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(
        line("good").contains(" up ") && line("gone").contains(" down ") && line("gone").contains("connection refused"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("pool app: 1 of 2 backends up"), "{}", ended.stdout);

    let path = running.config_path();
    let ended = evenkeel(&["status", "-c", path.to_str().unwrap(), "--json"]);
    let status: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(status["pools"][0]["backends"][1]["health"], "down");
    assert_eq!(status["pid"].as_u64(), Some(running.pid().into()));
    running.stop();
}

#[test]
fn status_and_reload_say_what_is_missing() {
    let ended = evenkeel(&["status", "--admin", &format!("127.0.0.1:{}", free_port())]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is it running"), "{}", ended.stderr);
    for verb in ["status", "reload"] {
        let ended = evenkeel_in(folder_with(VALID).path(), &[verb]);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("[admin]"), "{}", ended.stderr);
    }
    let ended = evenkeel_in(folder_with(VALID).path(), &["reload"]);
    assert!(ended.stderr.contains("kill -HUP"), "{}", ended.stderr);
    let config = format!("{VALID}\n[admin]\nlisten = \"127.0.0.1:{}\"\n", free_port());
    let ended = evenkeel_in(folder_with(&config).path(), &["reload"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is evenkeel running"), "{}", ended.stderr);
    let ended = evenkeel_in(folder_with(FAULTY).path(), &["reload"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("did you mean") && ended.stderr.contains("the running configuration is unchanged"),
        "{}",
        ended.stderr
    );
}

#[test]
fn reload_does_not_speak_for_a_file_that_is_not_served() {
    let config = "listen = \"LISTEN\"\nbackends = [\"127.0.0.1:1\"]\n[admin]\nlisten = \"ADMIN\"\n";
    let running = Evenkeel::start(EVENKEEL, config);
    let copy = folder_with(&fs::read_to_string(running.config_path()).unwrap());
    let ended = evenkeel_in(copy.path(), &["reload"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains(running.config_path().to_str().unwrap()), "{}", ended.stderr);
    let ended = evenkeel_in(running.config_path().parent().unwrap(), &["reload"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("is in force") && ended.stdout.contains("1 listener, 1 route, 1 pool, 1 backend"),
        "{}",
        ended.stdout
    );
    running.stop();
}

#[test]
fn from_the_start_to_the_first_answer_it_takes_less_than_100_ms() {
    let backend = lasting_address();
    let _backend = Running::backend("b", backend, &[]);
    let took = (0..5).map(|_| {
        let front = lasting_address();
        let begin = Instant::now();
        let proxy = Running::start(&["proxy", &front.to_string(), &backend.to_string(), "--health-path", "/health"]);
        while std::net::TcpStream::connect(front).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(5), "{}", proxy.stderr());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(get(front, "/").status, 200);
        begin.elapsed()
    });
    // The best of five: the machine may be busy with other tests.
    let took = took.min().unwrap();
    assert!(took < Duration::from_millis(100), "{took:?}");
}
