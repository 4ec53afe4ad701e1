//! The demo as a new user meets it, and what becomes of its backends when it ends one way or another.
#![allow(clippy::unwrap_used)]

mod verb;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use serde_json::Value;
use testkit::client::get;
use verb::{Running, evenkeel, lasting_address, wait};

/// Addresses for one demo, and the arguments that say so.
struct Places {
    front: SocketAddr,
    admin: SocketAddr,
    backends: [SocketAddr; 3],
}

impl Places {
    fn new() -> Self {
        Self { front: lasting_address(), admin: lasting_address(), backends: [(); 3].map(|()| lasting_address()) }
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let backends = self.backends.map(|backend| backend.port().to_string()).join(",");
        let places = ["--listen".to_owned(), self.front.port().to_string(), "--admin".to_owned(), self.admin.port().to_string()];
        let args = ["demo".to_owned()].into_iter().chain(places).chain(["--backends".to_owned(), backends]);
        args.chain(more.iter().map(|more| (*more).to_owned())).collect()
    }

    fn start(&self, more: &[&str]) -> Running {
        let args = self.args(more);
        let demo = Running::start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        wait("the demo does not say that it runs", || {
            demo.stdout().contains("Ctrl-C ends") || demo.stdout().contains("requests/s")
        });
        demo
    }

    fn all_gone(&self) -> bool {
        let all = self.backends.iter().chain([&self.front, &self.admin]);
        all.into_iter().all(|address| TcpStream::connect(address).is_err())
    }
}

fn curl(args: &[&str]) -> String {
    let output = Command::new("curl").arg("-sS").args(args).output().expect("curl is installed: ./test does it");
    assert!(output.status.success(), "curl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nine_curls_reach_three_backends_in_cyclic_order_and_a_post_is_echoed() {
    let places = Places::new();
    let mut demo = places.start(&[]);
    let url = format!("localhost:{}", places.front.port());
    let names: Vec<String> =
        (0..9).map(|_| serde_json::from_str::<Value>(&curl(&[&url])).unwrap()["backend"].to_string()).collect();
    assert!(names.windows(4).all(|four| four[0] == four[3]), "{names:?}");
    assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2], "{names:?}");
    let echo: Value = serde_json::from_str(&curl(&["-X", "POST", "-d", "mydata=123", &format!("{url}/x")])).unwrap();
    assert_eq!((&echo["method"], &echo["path"], &echo["body"]), (&"POST".into(), &"/x".into(), &"mydata=123".into()));
    assert_eq!(echo["headers"]["Content-Type"], "application/x-www-form-urlencoded");
    assert_eq!(echo["headers"]["X-Forwarded-For"], "127.0.0.1");
    let said = demo.stdout();
    for shown in [format!("curl localhost:{}/", places.front.port()), format!("http://{}", places.admin), "mydata=123".to_owned()] {
        assert!(said.contains(&shown), "{shown} is not in\n{said}");
    }
    demo.signal("INT");
    assert_eq!(demo.end().code(), Some(0), "{}", demo.stderr());
    assert!(places.all_gone());
}

#[test]
fn chaos_loses_no_request_and_ends_with_the_verdict() {
    let places = Places::new();
    let args = places.args(&["--chaos", "--duration", "8s"]);
    let ended = evenkeel(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.ends_with("\n4000 requests, 0 failed\n"), "{}", ended.stdout);
    for part in ["b1 killed (SIGKILL", "b1 started again", "b2 killed (SIGKILL", "is found down", "p50", "p99"] {
        assert!(ended.stdout.contains(part), "{part} is not in\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\x1b') && ended.stderr.is_empty(), "{}\n{}", ended.stdout, ended.stderr);
    assert!(places.all_gone());
}

#[test]
fn chaos_that_is_interrupted_tells_what_it_has_seen() {
    let places = Places::new();
    let mut demo = places.start(&["--chaos"]);
    wait("no backend is killed", || demo.stdout().contains("b1 killed"));
    demo.signal("INT");
    assert_eq!(demo.end().code(), Some(0), "{}{}", demo.stdout(), demo.stderr());
    assert!(demo.stdout().ends_with(" requests, 0 failed\n"), "{}", demo.stdout());
    assert!(places.all_gone());
}

#[test]
fn backends_do_not_outlive_a_demo_that_is_killed() {
    let places = Places::new();
    let demo = places.start(&[]);
    assert_eq!(get(places.backends[2], "/").backend().as_deref(), Some("b3"));
    demo.kill();
    wait("something still listens", || places.all_gone());
}

#[test]
fn a_backend_that_somebody_kills_comes_back() {
    let places = Places::new();
    let mut demo = places.start(&["--duration", "20s"]);
    let said = demo.stdout();
    let victim = said.lines().find(|line| line.contains("backend b2")).unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    verb::signal(victim, "KILL");
    wait("not started again", || demo.stdout().contains("b2 started again"));
    wait("not found up", || demo.stdout().contains("b2 is found up"));
    assert_eq!(get(places.front, "/").status, 200);
    // The terminal is closed.
    demo.signal("HUP");
    assert_eq!(demo.end().code(), Some(0), "{}", demo.stderr());
    assert!(places.all_gone());
}

#[test]
fn a_taken_port_is_named_and_another_is_offered() {
    let places = Places::new();
    let _held = TcpListener::bind(places.front).unwrap();
    let args = places.args(&[]);
    let ended = evenkeel(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains(&places.front.to_string()) && ended.stderr.contains("--listen 9000"), "{}", ended.stderr);
    assert!(places.backends.iter().all(|backend| TcpStream::connect(backend).is_err()));
}
