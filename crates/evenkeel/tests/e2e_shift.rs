//! Traffic moved from pool to pool: exact shares over all workers, cohorts that stay, and a switch by hand.
#![allow(clippy::unwrap_used)]

mod verb;

use testkit::Evenkeel;
use testkit::backend::Recording;
use testkit::client::{exchange, get};
use verb::{ask, evenkeel, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

fn config(route: &str, v1: &str, v2: &str) -> String {
    format!(
        "workers = 2\n[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\nname = \"shop\"\n{route}\n\
         [pool.v1]\nbackends = [\"{v1}\"]\n[pool.v2]\nbackends = [\"{v2}\"]\nhealth = {{ interval = \"100ms\", timeout = \"100ms\" }}\n"
    )
}

#[test]
fn shares_of_pools_are_exact_over_all_workers() {
    let (v1, v2) = (Recording::start("v1"), Recording::start("v2"));
    let route = "pools = [{ pool = \"v1\", weight = 9 }, { pool = \"v2\", weight = 1 }]";
    let proxy = Evenkeel::start(&testkit::binary(BINARY), &config(route, &v1.address().to_string(), &v2.address().to_string()));
    // Each over a connection of its own, so that both workers take some.
    (0..100).for_each(|_| assert_eq!(get(proxy.address(), "/").status, 200));
    assert_eq!((v1.count(), v2.count()), (90, 10));
    let status = ask(proxy.admin(), "/status").text();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["routes"][0]["pools"], serde_json::json!({"v1": 9, "v2": 1}));
    let metrics = ask(proxy.admin(), "/metrics").text();
    assert!(metrics.contains("evenkeel_route_pool_share{route=\"shop\",pool=\"v2\"} 0.1"), "{metrics}");
    proxy.stop();
}

#[test]
fn a_cohort_stays_with_its_pool_and_explain_says_which() {
    let (v1, v2) = (Recording::start("v1"), Recording::start("v2"));
    let route = |canary: u16| {
        let shares = format!("pools = [{{ pool = \"v1\", weight = {} }}, {{ pool = \"v2\", weight = {canary} }}]", 100 - canary);
        config(&(shares + "\ncohort = \"cookie:uid\""), &v1.address().to_string(), &v2.address().to_string())
    };
    let proxy = Evenkeel::start(&testkit::binary(BINARY), &route(20));
    let of = |user: usize| {
        let answer = exchange(proxy.address(), format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: uid=u{user}\r\n\r\n").as_bytes());
        answer.text().contains("\"v2\"")
    };
    let first: Vec<bool> = (0..100).map(of).collect();
    assert_eq!(first, (0..100).map(of).collect::<Vec<_>>());
    let canaries = first.iter().filter(|is_canary| **is_canary).count();
    assert!((8..=35).contains(&canaries), "{canaries}");
    let explained =
        evenkeel(&["explain", "--json", "--admin", &proxy.admin().to_string(), "GET", "http://a/", "-H", "Cookie: uid=u0"]);
    assert!(explained.stdout.contains(if first[0] { "\"name\": \"v2\"" } else { "\"name\": \"v1\"" }), "{}", explained.stdout);
    proxy.reload(&route(60));
    wait("the reload", || ask(proxy.admin(), "/status").text().contains("\"v2\": 60"));
    let grown: Vec<bool> = (0..100).map(of).collect();
    assert!(first.iter().zip(&grown).all(|(before, now)| !before || *now), "a canary lost a client as it grew");
    proxy.stop();
}

#[test]
fn a_switch_waits_for_healthy_backends_and_holds_until_the_file_changes_the_route() {
    let (blue, green) = (Recording::start("blue"), Recording::start("green"));
    let dead = testkit::free_port();
    let blue_address = blue.address().to_string();
    let proxy = Evenkeel::start(&testkit::binary(BINARY), &config("pool = \"v1\"", &blue_address, &format!("127.0.0.1:{dead}")));
    let file = proxy.config_path().display().to_string();
    let refused = evenkeel(&["switch", "shop", "v2", "--wait-healthy", "--timeout", "300ms", "-c", &file]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("not up in time") && get(proxy.address(), "/").text().contains("\"blue\""),
        "{}",
        refused.stderr
    );
    assert!(evenkeel(&["switch", "shopp", "v2", "-c", &file]).stderr.contains("there is no route"));
    let with_green = |route: &str| config(route, &blue_address, &green.address().to_string());
    proxy.reload(&with_green("pool = \"v1\""));
    wait("the reload", || ask(proxy.admin(), "/status").text().contains(&green.address().to_string()));
    let done = evenkeel(&["switch", "shop", "v2", "--wait-healthy", "-c", &file]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(get(proxy.address(), "/").text().contains("\"green\""));
    assert!(ask(proxy.admin(), "/status").text().contains("\"switched_to\": \"v2\""));
    proxy.reload(&(with_green("pool = \"v1\"") + "[pool.v3]\nbackends = [\"127.0.0.1:1\"]\n"));
    wait("the reload", || ask(proxy.admin(), "/status").text().contains("\"v3\""));
    assert!(get(proxy.address(), "/").text().contains("\"green\""), "a reload that leaves the route alone keeps the switch");
    proxy.reload(&with_green("match = { path = \"/\" }\npool = \"v1\""));
    wait("the file rules again", || get(proxy.address(), "/").text().contains("\"blue\""));
    assert_eq!(evenkeel(&["switch", "shop", "v2", "-c", &file]).code, Some(0));
    assert_eq!(evenkeel(&["switch", "shop", "--back", "-c", &file]).code, Some(0));
    assert!(get(proxy.address(), "/").text().contains("\"blue\""));
    proxy.stop();
}
