//! Backends that fail under traffic: ejection, breakers, tiers, slow start, and what happens when too few are left (rows F11, F12).
#![allow(clippy::unwrap_used)]

mod verb;

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::Evenkeel;
use testkit::backend::{Recording, Script, Step};
use testkit::client::{Response, get};
use verb::{EVENKEEL, ask, wait};

const BAD: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad";
const FAULT: &[u8] = b"HTTP/1.1 500 Fault\r\nContent-Length: 3\r\n\r\nbad";
const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

fn backends<const N: usize>() -> [Recording; N] {
    std::array::from_fn(|n| Recording::with(&format!("b{n}"), Script::fixed(GOOD)))
}

fn list(backends: &[Recording]) -> String {
    backends.iter().map(|b| format!("\"{}\"", b.address())).collect::<Vec<_>>().join(", ")
}

/// A pool `app` with these backends and further keys; it is not probed unless they say so.
fn start(backends: &str, keys: &str) -> Evenkeel {
    Evenkeel::start(&testkit::binary(EVENKEEL), &config(backends, keys))
}

fn config(backends: &str, keys: &str) -> String {
    let health = if keys.contains("health") { "" } else { "health = false\n" };
    format!(
        "workers = 2\n[admin]\nlisten = \"ADMIN\"\ntoken = \"0123456789abcdef\"\n[log]\naccess = \"off\"\n[listener.web]\nlisten = \"LISTEN\"\n\
         [[route]]\npool = \"app\"\n[pool.app]\nbackends = [{backends}]\n{health}{keys}\n"
    )
}

fn send(evenkeel: &Evenkeel, n: usize) -> Vec<Response> {
    (0..n).map(|_| get(evenkeel.address(), "/")).collect()
}

fn statuses(answers: &[Response], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

fn pool(evenkeel: &Evenkeel) -> Value {
    ask(evenkeel.admin(), "/status").json()["pools"][0].clone()
}

/// A metric of one backend.
fn metric(evenkeel: &Evenkeel, name: &str, of: &Recording) -> String {
    let page = testkit::text(&ask(evenkeel.admin(), "/metrics").body).to_string();
    let (name, of) = (format!("{name}{{"), format!("backend=\"{}\"", of.address()));
    let line = page.lines().find(|line| line.starts_with(&name) && line.contains(&of)).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

fn backend(evenkeel: &Evenkeel, at: usize) -> Value {
    pool(evenkeel)["backends"][at].clone()
}

#[test]
fn five_failures_in_a_row_eject_a_backend_by_default() {
    let backends = backends::<3>();
    backends[1].agenda().set_default(Script::fixed(BAD));
    let evenkeel = start(&list(&backends), "");
    let answers = send(&evenkeel, 60);
    assert_eq!(statuses(&answers, 502), 5, "the client gets what the backend said, five times");
    assert_eq!(backends[1].count(), 5);
    let status = backend(&evenkeel, 1);
    assert_eq!((&status["ejected"], &status["ejections"]), (&true.into(), &1.into()), "{status}");
    evenkeel.wait_for_log("is ejected for 30 s: 5 failures in a row");
    let page =
        verb::evenkeel_in(evenkeel.config_path().parent().unwrap(), &["status", "-c", evenkeel.config_path().to_str().unwrap()]);
    assert!(page.stdout.contains("ejected"), "{}{}", page.stdout, page.stderr);
    assert_eq!(metric(&evenkeel, "evenkeel_backend_ejections_total", &backends[1]), "1");
    evenkeel.stop();
}

#[test]
fn successes_between_them_keep_a_backend_in_and_off_is_off() {
    let backends = backends::<2>();
    let evenkeel = start(&list(&backends), "");
    for _ in 0..5 {
        (0..4).for_each(|_| backends[0].next(Script::fixed(BAD)));
        send(&evenkeel, 12);
    }
    assert_eq!(backend(&evenkeel, 0)["ejected"], false);
    evenkeel.stop();
    let evenkeel = start(&list(&backends), "passive = false");
    backends[0].agenda().set_default(Script::fixed(BAD));
    assert_eq!(statuses(&send(&evenkeel, 40), 502), 20);
    evenkeel.stop();
}

#[test]
fn an_ejected_backend_comes_back_on_probation() {
    let backends = backends::<2>();
    backends[0].agenda().set_default(Script::fixed(BAD));
    let evenkeel = start(&list(&backends), "passive = { failures = 3, eject = \"300ms\", max_eject = \"1s\" }");
    send(&evenkeel, 20);
    assert_eq!(backends[0].count(), 3);
    wait("not back", || backend(&evenkeel, 0)["ejected"] == false);
    send(&evenkeel, 20);
    assert_eq!(backends[0].count(), 4, "the first failure ejects it again");
    assert_eq!(backend(&evenkeel, 0)["ejections"], 2);
    backends[0].agenda().set_default(Script::fixed(GOOD));
    wait("not back", || backend(&evenkeel, 0)["ejected"] == false);
    send(&evenkeel, 20);
    assert_eq!(backends[0].count(), 14);
    evenkeel.stop();
}

#[test]
fn never_more_than_half_of_a_pool_is_ejected() {
    let backends = backends::<4>();
    backends.iter().for_each(|backend| backend.agenda().set_default(Script::fixed(BAD)));
    let evenkeel = start(&list(&backends), "passive = { failures = 2 }");
    assert_eq!(statuses(&send(&evenkeel, 100), 502), 100);
    let out = pool(&evenkeel)["backends"].as_array().unwrap().iter().filter(|backend| backend["ejected"] == true).count();
    assert_eq!(out, 2);
    evenkeel.stop();
}

#[test]
fn a_backend_that_resets_is_ejected_and_clients_of_get_notice_nothing() {
    let backends = backends::<3>();
    backends[2].agenda().set_default(Script::reset_after_request());
    let evenkeel = start(&list(&backends), "");
    assert_eq!(statuses(&send(&evenkeel, 60), 200), 60);
    assert_eq!((backends[2].count(), backend(&evenkeel, 2)["ejected"].clone()), (5, true.into()));
    evenkeel.stop();
}

#[test]
fn a_backend_whose_bodies_break_off_is_ejected() {
    let backends = backends::<2>();
    backends[0].agenda().set_default(Script::close_after_written(GOOD, GOOD.len() - 2));
    let evenkeel = start(&list(&backends), "");
    send(&evenkeel, 40);
    assert_eq!(backends[0].count(), 5);
    evenkeel.stop();
}

#[test]
fn the_breaker_of_a_backend_opens_and_probes_close_it() {
    let backends = backends::<2>();
    backends[0].agenda().set_default(Script::fixed(FAULT));
    let evenkeel = start(&list(&backends), "breaker = { error_rate = \"50%\", minimum = 10, open = \"500ms\" }");
    let answers = send(&evenkeel, 60);
    assert_eq!((statuses(&answers, 500), backends[0].count()), (10, 10), "a 500 passes to the client, ten times");
    assert_eq!((&backend(&evenkeel, 0)["breaker"], &backend(&evenkeel, 1)["breaker"]), (&"open".into(), &"closed".into()));
    assert_eq!(metric(&evenkeel, "evenkeel_breaker_opened_total", &backends[0]), "1");
    wait("not half-open", || backend(&evenkeel, 0)["breaker"] == "half_open");
    assert_eq!(statuses(&send(&evenkeel, 20), 500), 1, "one probe, and it opens again");
    backends[0].agenda().set_default(Script::fixed(GOOD));
    wait("not half-open", || backend(&evenkeel, 0)["breaker"] == "half_open");
    assert_eq!(statuses(&send(&evenkeel, 20), 200), 20);
    assert_eq!(backend(&evenkeel, 0)["breaker"], "closed");
    evenkeel.stop();
}

#[test]
fn while_every_breaker_is_open_clients_are_told_at_once() {
    for scope in ["backend", "pool"] {
        let backends = backends::<2>();
        backends.iter().for_each(|backend| backend.agenda().set_default(Script::fixed(FAULT)));
        let keys = format!("breaker = {{ minimum = 10, open = \"10s\", scope = \"{scope}\" }}");
        let evenkeel = start(&list(&backends), &keys);
        let answers = send(&evenkeel, 60);
        let expected = if scope == "pool" { 10 } else { 20 };
        assert_eq!((statuses(&answers, 500), statuses(&answers, 503)), (expected, 60 - expected), "{scope}");
        let last = answers.last().unwrap();
        assert_eq!((last.reason().as_deref(), last.get("retry-after")), (Some("breaker_open"), Some("1")), "{scope}");
        if scope == "pool" {
            assert_eq!(pool(&evenkeel)["breaker"], "open");
        }
        evenkeel.stop();
    }
}

#[test]
fn slow_answers_open_a_breaker_with_a_latency() {
    let backends = backends::<2>();
    let late = Script(vec![Step::ReadRequest, Step::Pause(Duration::from_millis(80)), Step::Write(GOOD.to_vec())]);
    backends[0].agenda().set_default(late);
    let evenkeel = start(&list(&backends), "breaker = { latency = \"50ms\", minimum = 5, open = \"10s\" }");
    assert_eq!(statuses(&send(&evenkeel, 40), 200), 40);
    assert_eq!((backends[0].count(), backend(&evenkeel, 0)["breaker"].clone()), (5, "open".into()));
    evenkeel.stop();
}

#[test]
fn a_breaker_stays_open_over_a_reload() {
    let backends = backends::<2>();
    backends[0].agenda().set_default(Script::fixed(FAULT));
    let keys = "breaker = { minimum = 5, open = \"30s\" }";
    let evenkeel = start(&list(&backends), keys);
    send(&evenkeel, 20);
    assert_eq!(backends[0].count(), 5);
    evenkeel.reload(&config(&list(&backends), keys).replace("[pool.app]", "[pool.app]\nbalance = \"random\""));
    evenkeel.wait_for_log("configuration reloaded");
    send(&evenkeel, 20);
    assert_eq!(backends[0].count(), 5);
    evenkeel.stop();
}

#[test]
fn a_higher_tier_serves_only_when_no_lower_one_can() {
    let mut backends = backends::<3>();
    let tiers: Vec<String> =
        backends.iter().enumerate().map(|(tier, b)| format!("{{ address = \"{}\", tier = {tier} }}", b.address())).collect();
    let evenkeel = start(&tiers.join(", "), "");
    for tier in 0..3 {
        let before: Vec<usize> = backends.iter().map(Recording::count).collect();
        assert_eq!(statuses(&send(&evenkeel, 10), 200), 10);
        let after: Vec<usize> = backends.iter().map(Recording::count).collect();
        let got: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!((got[tier], got.iter().sum::<usize>()), (10, 10), "tier {tier}: {got:?}");
        backends[tier].kill();
    }
    evenkeel.stop();
}

/// Row F12: under every algorithm a backend that is new gets little at first.
#[test]
fn a_backend_that_comes_in_gets_its_share_by_and_by() {
    let hash = "{ hash = \"query:k\", method = \"METHOD\" }";
    let hashes = ["maglev", "ring", "rendezvous"].map(|method| hash.replace("METHOD", method));
    let plain = ["round_robin", "least_connections", "least_response_time", "random"].map(|word| format!("\"{word}\""));
    for balance in plain.into_iter().chain(hashes) {
        let backends = backends::<3>();
        let keys = format!("balance = {balance}\nslow_start = \"20s\"");
        let evenkeel = start(&list(&backends[..2]), &keys);
        (0..10).for_each(|k| _ = get(evenkeel.address(), &format!("/?k={k}")));
        evenkeel.reload(&config(&list(&backends), &keys));
        evenkeel.wait_for_log("configuration reloaded");
        let begin = Instant::now();
        (0..300).for_each(|k| _ = get(evenkeel.address(), &format!("/?k={k}")));
        if begin.elapsed() < Duration::from_secs(2) {
            let new = backends[2].count();
            // A tenth of a third. Where the least busy is picked and nobody is, those with their whole share are.
            let least = usize::from(!balance.contains("least"));
            assert!((least..=45).contains(&new), "{balance}: {new} of 300");
            let others = [backends[0].count(), backends[1].count()];
            assert!(balance.contains("time") || others.iter().all(|n| *n > 90), "{balance}: {others:?}");
        }
        assert_eq!(backend(&evenkeel, 2)["share_percent"], if begin.elapsed() < Duration::from_secs(2) { 10 } else { 20 });
        evenkeel.stop();
    }
}

#[test]
fn where_too_few_are_healthy_health_is_ignored_if_so_configured() {
    for (keys, served) in [("", 0), ("fail_open_below = \"50%\"", 3)] {
        let backends = backends::<3>();
        let keys = format!("health = {{ path = \"/health\", interval = \"100ms\", fall = 1 }}\n{keys}");
        backends.iter().for_each(|backend| backend.agenda().set_default(Script::fixed(FAULT)));
        let evenkeel = start(&list(&backends), &keys);
        wait("not all down", || pool(&evenkeel)["backends"].as_array().unwrap().iter().all(|backend| backend["health"] == "down"));
        let answers = send(&evenkeel, 30);
        assert_eq!(statuses(&answers, 503), if served == 0 { 30 } else { 0 });
        let tried = backends.iter().filter(|backend| backend.exchanges().iter().any(|e| e.line().contains("GET / "))).count();
        assert_eq!((tried, pool(&evenkeel)["failing_open"].clone()), (served, (served > 0).into()));
        evenkeel.stop();
    }
}

/// Runs a verb that asks the process.
fn verb(evenkeel: &Evenkeel, args: &[&str]) -> verb::Ended {
    let file = evenkeel.config_path();
    verb::evenkeel_in(file.parent().unwrap(), &[args, &["-c", file.to_str().unwrap()]].concat())
}

#[test]
fn a_drained_backend_gets_no_new_request_ends_what_it_has_and_stays_drained_over_reloads() {
    let backends = backends::<2>();
    let evenkeel = start(&list(&backends), "");
    let which = format!("app/{}", backends[0].address());
    let slow = Script(vec![Step::ReadRequest, Step::Pause(Duration::from_millis(500)), Step::Write(GOOD.to_vec())]);
    backends[0].agenda().set_default(slow);
    let address = evenkeel.address();
    let busy = std::thread::spawn(move || [get(address, "/").status, get(address, "/").status]);
    wait("it has nothing in flight", || backend(&evenkeel, 0)["in_flight"] == 1);
    let waited = Instant::now();
    let drained = verb(&evenkeel, &["drain", &which, "--wait"]);
    assert_eq!((drained.code, drained.stdout), (Some(0), format!("{which} is drained: nothing in flight\n")), "{}", drained.stderr);
    assert!(waited.elapsed() > Duration::from_millis(50));
    assert_eq!(busy.join().unwrap(), [200, 200], "what ran was not disturbed");
    let before = backends[0].count();
    assert_eq!(statuses(&send(&evenkeel, 10), 200), 10);
    evenkeel.reload(&config(&list(&backends), "balance = \"random\""));
    evenkeel.wait_for_log("configuration reloaded");
    assert_eq!(statuses(&send(&evenkeel, 10), 200), 10);
    assert_eq!((backends[0].count(), backend(&evenkeel, 0)["draining"].clone()), (before, true.into()));
    assert_eq!(metric(&evenkeel, "evenkeel_backend_draining", &backends[0]), "1");
    backends[0].agenda().set_default(Script::fixed(GOOD));
    assert_eq!(verb(&evenkeel, &["drain", &which, "--off"]).code, Some(0));
    send(&evenkeel, 40);
    assert!(backends[0].count() > before);
    evenkeel.stop();
}

#[test]
fn a_drain_that_takes_too_long_is_told_so() {
    let backends = backends::<2>();
    let evenkeel = start(&list(&backends), "");
    backends[0].agenda().set_default(Script::stall());
    let address = evenkeel.address();
    let client = std::thread::spawn(move || {
        let mut client = testkit::client::Connection::open(address).unwrap();
        (0..2).for_each(|_| _ = client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        client
    });
    let _client = client.join().unwrap();
    wait("it has nothing in flight", || backend(&evenkeel, 0)["in_flight"] == 1);
    let drained = verb(&evenkeel, &["drain", &format!("app/{}", backends[0].address()), "--wait=200ms"]);
    assert_eq!(drained.code, Some(1), "{}", drained.stderr);
    assert!(drained.stdout.contains("drains: 1 in flight"), "{}", drained.stdout);
}

#[test]
fn a_weight_given_at_run_time_holds_over_reloads_until_the_files_is_asked_for() {
    let backends = backends::<2>();
    let evenkeel = start(&list(&backends), "");
    let which = format!("app/{}", backends[0].address());
    let share = |evenkeel: &Evenkeel| {
        let before = backends[0].count();
        send(evenkeel, 100);
        backends[0].count() - before
    };
    assert_eq!(share(&evenkeel), 50);
    let given = verb(&evenkeel, &["weight", &which, "9"]);
    assert_eq!((given.code, given.stdout), (Some(0), format!("{which} has weight 9\n")), "{}", given.stderr);
    assert_eq!(share(&evenkeel), 90);
    evenkeel.reload(&config(&list(&backends), "retry = { attempts = 1 }"));
    evenkeel.wait_for_log("configuration reloaded");
    assert_eq!(share(&evenkeel), 90);
    assert_eq!(verb(&evenkeel, &["weight", &which, "default"]).code, Some(0));
    assert_eq!(share(&evenkeel), 50);
    evenkeel.stop();
}

#[test]
fn who_may_not_or_does_not_know_changes_nothing() {
    let backends = backends::<2>();
    let evenkeel = start(&list(&backends), "");
    let unknown = verb(&evenkeel, &["drain", "app/10.0.0.9:80"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("the pool app has no backend \"10.0.0.9:80\"; it has 127.0.0.1:"), "{}", unknown.stderr);
    assert!(verb(&evenkeel, &["weight", "shop/x", "3"]).stderr.contains("there is no pool \"shop\"; there is app"));
    assert_eq!(verb(&evenkeel, &["weight", "app/x", "0"]).code, Some(2), "a weight of 0 is a drain");
    let admin = evenkeel.admin();
    let post = format!("POST /drain?backend=app/{} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n", backends[0].address());
    assert_eq!(testkit::client::exchange(admin, post.as_bytes()).status, 403);
    assert_eq!(backend(&evenkeel, 0)["draining"], false);
    evenkeel.stop();
}
