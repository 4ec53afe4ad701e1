//! Reloads under load: nothing is refused, nothing reset, nothing forgotten; a bad file changes nothing (safety rows F13, F14).
#![allow(clippy::unwrap_used)]

mod verb;

use std::fs;
use std::net::SocketAddr;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::backend::{Recording, Script, Step};
use testkit::client::{Connection, Load, get};
use testkit::{Evenkeel, text};
use verb::{EVENKEEL, Running, ask, evenkeel_in, lasting_address, wait};

const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// What differs from one file to the next.
fn config(apps: &[SocketAddr], others: &[(&str, SocketAddr)], n: u32) -> String {
    let mut text = format!(
        "[admin]\nlisten = \"ADMIN\"\n[log]\naccess = \"off\"\n[listener.web]\nlisten = \"LISTEN\"\n\
         [[route]]\npool = \"app\"\nresponse_headers = {{ set = {{ X-Turn = \"{n}\" }} }}\n\
         [pool.app]\nbackends = [{{ address = \"{}\", weight = {} }}, \"{}\"]\n",
        apps[0],
        1 + n % 4,
        apps[1],
    );
    for (name, address) in others {
        text +=
            &format!("[[route]]\nmatch = {{ path = \"/{name}\" }}\npool = \"{name}\"\n[pool.{name}]\nbackends = [\"{address}\"]\n");
    }
    if n % 2 == 1 {
        text +=
            &format!("[[route]]\nmatch = {{ path = \"/extra\" }}\npool = \"extra\"\n[pool.extra]\nbackends = [\"{}\"]\n", apps[0]);
    }
    text
}

fn pool(evenkeel: &Evenkeel, name: &str) -> Value {
    let status = ask(evenkeel.admin(), "/status").json();
    status["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == name).unwrap().clone()
}

fn reloads(evenkeel: &Evenkeel) -> u64 {
    ask(evenkeel.admin(), "/status").json()["config"]["reloads"].as_u64().unwrap()
}

/// Asks by the verb, in the folder of the running process.
fn reload(evenkeel: &Evenkeel) -> verb::Ended {
    evenkeel_in(evenkeel.config_path().parent().unwrap(), &["reload"])
}

/// A tunnel that sends back what it is sent.
fn open_tunnel(to: SocketAddr) -> Connection {
    let mut tunnel = Connection::open(to).unwrap();
    tunnel.send(HANDSHAKE).unwrap();
    assert!(tunnel.read_until(Duration::from_secs(5), |came| came.ends_with(b"\r\n\r\n")), "{}", text(&tunnel.received));
    assert!(tunnel.received.starts_with(b"HTTP/1.1 101 "), "{}", text(&tunnel.received));
    tunnel.received.clear();
    tunnel
}

fn echo(tunnel: &mut Connection, what: &[u8]) {
    tunnel.send(what).unwrap();
    assert!(tunnel.read_until(Duration::from_secs(5), |came| came == what), "{}, end {:?}", text(&tunnel.received), tunnel.end);
    tunnel.received.clear();
}

#[test]
fn a_hundred_reloads_under_load_cost_nobody_anything() {
    let apps = [(); 2].map(|()| lasting_address());
    let _backends = [Running::backend("b1", apps[0], &[]), Running::backend("b2", apps[1], &[])];
    let slow = lasting_address();
    let _slow = Running::backend("slow", slow, &["--delay", "4s"]);
    let tunnels = Recording::with("ws", Script(vec![Step::ReadHead, Step::Write(SWITCH.to_vec()), Step::Echo]));
    let dead = lasting_address();
    let others = [("ws", tunnels.address()), ("slow", slow), ("dead", dead)];
    let evenkeel = Evenkeel::start(EVENKEEL, &config(&apps, &others, 0));
    let front = evenkeel.address();

    let load = Load::start(front, "/", 800, 16, 5);
    let mut tunnel = open_tunnel(front);
    echo(&mut tunnel, b"before");
    let waiting = spawn(move || get(front, "/slow"));
    wait("the slow request is not in flight", || pool(&evenkeel, "slow")["in_flight"] == 1);
    let down_since = pool(&evenkeel, "dead")["backends"][0]["since"].clone();
    assert_eq!(pool(&evenkeel, "dead")["backends"][0]["health"], "down");

    for n in 1..=100 {
        let due = Instant::now() + Duration::from_millis(50);
        let before = reloads(&evenkeel);
        if n % 2 == 0 {
            evenkeel.reload(&config(&apps, &others, n));
            wait("SIGHUP is not followed", || reloads(&evenkeel) > before);
        } else {
            fs::write(evenkeel.config_path(), placed(&config(&apps, &others, n), &evenkeel)).unwrap();
            let ended = reload(&evenkeel);
            assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        }
        if n == 20 {
            assert_eq!(pool(&evenkeel, "slow")["in_flight"], 1, "what is in flight is forgotten");
            assert_eq!(pool(&evenkeel, "dead")["backends"][0]["health"], "down", "health is forgotten");
            assert_eq!(pool(&evenkeel, "dead")["backends"][0]["since"], down_since, "health is found anew");
        }
        if n % 10 == 0 {
            echo(&mut tunnel, format!("after {n}").as_bytes());
            assert_eq!(get(front, "/").get("x-turn"), Some(n.to_string().as_str()));
        }
        sleep(due.saturating_duration_since(Instant::now()));
    }

    let tally = load.stop();
    assert_eq!(tally.errors, Vec::<String>::new(), "of {}", tally.ok);
    assert!(tally.ok > 2000, "{}", tally.ok);
    assert_eq!(waiting.join().unwrap().status, 200);
    assert_eq!(reloads(&evenkeel), 100);
    echo(&mut tunnel, b"to the end");
    drop(tunnel);
    evenkeel.stop();
}

/// With the addresses of the running process in place.
fn placed(config: &str, evenkeel: &Evenkeel) -> String {
    config.replace("LISTEN", &evenkeel.address().to_string()).replace("ADMIN", &evenkeel.admin().to_string())
}

#[test]
fn a_broken_or_unreadable_file_changes_nothing_and_the_reason_is_told_everywhere() {
    let app = lasting_address();
    let _backend = Running::backend("b1", app, &[]);
    let good = format!("listen = \"LISTEN\"\nbackends = [\"{app}\"]\n[admin]\nlisten = \"ADMIN\"\n");
    let evenkeel = Evenkeel::start(EVENKEEL, &good);
    let path = evenkeel.config_path();
    let refused = |file: &str| -> u64 {
        assert_eq!(get(evenkeel.address(), "/").backend().as_deref(), Some("b1"), "after {file}");
        ask(evenkeel.admin(), "/status").json()["config"]["refused"].as_u64().unwrap()
    };

    fs::write(&path, placed(&format!("{good}\nnonsense_key = 3\n[pool.x\n"), &evenkeel)).unwrap();
    let ended = reload(&evenkeel);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("nonsense_key") && ended.stderr.contains("is unchanged"), "{}", ended.stderr);
    assert_eq!(refused("the verb's own check"), 0, "a file with faults is not even sent");
    evenkeel.signal("HUP");
    wait("the refusal is not counted", || refused("SIGHUP") == 1);
    assert!(evenkeel.stderr().contains("nonsense_key"), "the log has no report: {}", evenkeel.stderr());
    let shown = evenkeel_in(path.parent().unwrap(), &["status", "--admin", &evenkeel.admin().to_string()]);
    assert!(shown.stdout.contains("the last reload was refused") && shown.stdout.contains("nonsense_key"), "{}", shown.stdout);

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let ended = reload(&evenkeel);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("can't read evenkeel.toml"), "{}", ended.stderr);
    evenkeel.signal("HUP");
    wait("the refusal is not counted", || refused("a folder") == 2);

    fs::remove_dir(&path).unwrap();
    evenkeel.signal("HUP");
    wait("the refusal is not counted", || refused("no file") == 3);

    fs::write(&path, placed(&good, &evenkeel)).unwrap();
    let ended = reload(&evenkeel);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ask(evenkeel.admin(), "/status").json()["config"]["last_reload_error"].is_null());
    evenkeel.stop();
}

#[test]
fn with_watch_a_changed_file_is_in_force_by_itself() {
    let app = lasting_address();
    let _backend = Running::backend("b1", app, &[]);
    let turn = |n: u32| config(&[app, app], &[], n).replace(&format!(", \"{app}\"]"), "]");
    let evenkeel = Evenkeel::start_with(EVENKEEL, &turn(2), &["--watch"]);
    assert_eq!(get(evenkeel.address(), "/").get("x-turn"), Some("2"));
    fs::write(evenkeel.config_path(), placed(&turn(4), &evenkeel)).unwrap();
    wait("the change is not seen", || get(evenkeel.address(), "/").get("x-turn") == Some("4"));
    evenkeel.stop();
}
