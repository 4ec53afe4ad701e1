//! The admin listener: who may ask, what it answers, and how the process ends.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod stage;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use control::client::{self, ClientError};
use stage::{Answer, Backend, SILENT, Stage, one_pool, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const HEALTH: &str = r#"{ tcp = true, interval = "60s" }"#;

/// Row D8.
#[tokio::test]
async fn reads_are_free_here_and_writes_need_the_token_d8() {
    let backend = Backend::start().await;
    let stage = Stage::start(&one_pool(&[backend.address], HEALTH)).await;
    for path in ["/status", "/metrics", "/healthz", "/readyz"] {
        assert_eq!(stage.ask_admin("GET", path, &[]).await.status, 200, "{path}");
        assert_eq!(stage.ask_admin("GET", path, &[("Host", "evil.example")]).await.status, 403, "{path}");
        assert_eq!(stage.ask_admin("GET", path, &[("Origin", "http://evil.example")]).await.status, 403, "{path}");
    }
    let bearer = format!("Bearer {}", stage.token());
    let refused = stage.ask_admin("POST", "/reload", &[]).await;
    assert_eq!((refused.status, refused.json()["reason"].as_str()), (403, Some("token_missing")));
    let wrong = stage.ask_admin("POST", "/reload", &[("Authorization", "Bearer 0123")]).await;
    assert_eq!((wrong.status, wrong.json()["reason"].as_str()), (403, Some("token_wrong")));
    let cross = stage.ask_admin("POST", "/reload", &[("Authorization", &bearer), ("Origin", "http://evil.example")]).await;
    assert_eq!(cross.status, 403);
    let done = stage.ask_admin("POST", "/reload", &[("Authorization", &bearer)]).await;
    assert_eq!((done.status, done.json()["backends"].as_u64()), (200, Some(1)), "{done:?}");
}

#[tokio::test]
async fn a_refused_reload_is_answered_with_the_report() {
    let backend = Backend::start().await;
    let text = one_pool(&[backend.address], HEALTH);
    let stage = Stage::start(&text).await;
    let bearer = format!("Bearer {}", stage.token());
    stage.write(&text.replace("backends", "backend"));
    let refused = stage.ask_admin("POST", "/reload", &[("Authorization", &bearer)]).await;
    assert_eq!(refused.status, 422);
    let report = refused.json()["report"].as_str().unwrap().to_owned();
    assert!(report.contains("evenkeel.toml:") && report.contains("did you mean `backends`?"), "{report}");
}

#[tokio::test]
async fn what_is_not_there_says_what_is() {
    let backend = Backend::start().await;
    let stage = Stage::start(&one_pool(&[backend.address], HEALTH)).await;
    let answer = stage.ask_admin("GET", "/", &[]).await;
    assert_eq!((answer.status, answer.json()["endpoints"].as_array().unwrap().len()), (404, 9));
    let answer = stage.ask_admin("GET", "/reload", &[]).await;
    assert!(answer.status == 405 && answer.head.to_lowercase().contains("\r\nallow: post"), "{answer:?}");
}

#[tokio::test]
async fn status_tells_what_happened() {
    let (good, mut dead) = (Backend::start().await, Backend::start().await);
    dead.kill().await;
    let stage = Stage::start(&one_pool(&[good.address, dead.address], HEALTH)).await;
    for _ in 0..3 {
        assert_eq!(stage.get("/").await.status, 200);
    }
    until("the exchanges are counted", || stage.control.status().totals.exchanges == 3).await;
    let status = stage.ask_admin("GET", "/status", &[]).await.json();
    assert_eq!(status["version"], "1.2.3");
    assert_eq!(status["phase"], "running");
    assert_eq!(status["workers"], 1);
    assert_eq!(status["totals"]["answers"]["2xx"], 3);
    assert_eq!(status["listeners"][0]["address"], stage.front().to_string());
    assert_eq!(status["listeners"][0]["name"], "web");
    assert_eq!(status["admin"]["address"], stage.admin().to_string());
    let pool = &status["pools"][0];
    assert_eq!((pool["name"].as_str(), pool["exchanges"].as_u64()), (Some("web"), Some(3)));
    assert!(
        pool["latency_ms"]["p50"].as_f64().unwrap() > 0.0
            && pool["latency_ms"]["p999"].as_f64() >= pool["latency_ms"]["p50"].as_f64()
    );
    assert_eq!((pool["backends"][0]["attempts"].as_u64(), pool["backends"][0]["answers"]["2xx"].as_u64()), (Some(3), Some(3)));
    assert_eq!(pool["backends"][1]["health"], "down");
    assert_eq!(pool["backends"][1]["reason"], "connection refused");
    assert!(pool["backends"][1]["since"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let backend = Backend::start().await;
    let pool = format!("{HEALTH}\nadaptive_concurrency = true");
    let stage = Stage::start(&one_pool(&[backend.address], &pool)).await;
    for _ in 0..20 {
        stage.get("/").await;
    }
    until("the exchanges are counted", || stage.control.status().totals.exchanges == 20).await;
    let answer = stage.ask_admin("GET", "/metrics", &[]).await;
    assert!(answer.head.to_lowercase().contains("\r\ncontent-type: text/plain; version=0.0.4"), "{}", answer.head);
    let metrics = answer.body;
    assert!(metrics.contains("evenkeel_pool_latency_seconds_bucket{pool=\"web\",le=\"+Inf\"} 20\n"), "{metrics}");
    let buckets = metrics.lines().filter(|line| line.starts_with("evenkeel_pool_latency_seconds_bucket"));
    let counts: Vec<u64> = buckets.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(counts.is_sorted(), "{counts:?}");
    let name = format!("evenkeel_backend_up{{pool=\"web\",backend=\"{0}\",name=\"{0}\"}} 1\n", backend.address);
    assert!(metrics.contains(&name), "{metrics}");
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("promtool is not installed: the format of the metrics was not checked");
        return;
    };
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && words.is_empty(), "{}\n{metrics}", String::from_utf8_lossy(&words));
}

#[tokio::test]
async fn the_client_of_the_other_verbs_reads_status_and_reloads() {
    let backend = Backend::start().await;
    let text = one_pool(&[backend.address], HEALTH);
    let stage = Stage::start(&text).await;
    let (address, token) = (stage.admin(), stage.token());
    let status = blocking(move || client::status(address, None)).await.unwrap();
    assert_eq!((status.version.as_str(), status.pools.len()), ("1.2.3", 1));
    let given = token.clone();
    let done = blocking(move || client::reload(address, &given)).await.unwrap();
    assert_eq!((done.pools, done.backends), (1, 1));
    stage.write("listen = 3\n");
    let error = blocking(move || client::reload(address, &token)).await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused { status: 422, reason, .. } if reason == "config_refused"), "{error}");
    let error = blocking(move || client::reload(address, "wrong")).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { status: 403, .. }));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(blocking(move || client::status(nobody, None)).await, Err(ClientError::Unreachable(..))));
    let front = stage.front();
    assert!(matches!(blocking(move || client::status(front, None)).await, Err(ClientError::NotOurs(..))));
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn draining_fails_readiness_at_once_and_lets_what_runs_end_f15() {
    let backend = Backend::start().await;
    let stage = Stage::start(&one_pool(&[backend.address], HEALTH)).await;
    let folder = stage.folder.path().join("run");
    let (front, admin) = (stage.front(), stage.admin());
    // The client has sent half of its head.
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    until("the connection is seen", || stage.control.status().connections.open == 1).await;
    let control = stage.control.clone();
    let ending = tokio::spawn(async move { control.shutdown().await });
    let mut ready = 200;
    while ready == 200 {
        ready = stage::ask(admin, "GET", "/readyz", &[]).await.status;
    }
    assert_eq!(ready, 503);
    assert_eq!(stage::ask(admin, "GET", "/healthz", &[]).await.status, 200);
    client.write_all(b"\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut client, &mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    assert!(ending.await.unwrap(), "everything ended in time");
    assert!(client::token(&folder, admin.port()).is_err(), "the token goes with the process");
    assert!(TcpStream::connect(front).await.is_err());
}

#[tokio::test]
async fn a_drain_that_takes_too_long_is_ended_and_says_so() {
    let backend = Backend::start().await;
    let text = format!("shutdown = \"300ms\"\n{}", one_pool(&[backend.address], HEALTH));
    let stage = Stage::start(&text).await;
    backend.answer(SILENT);
    let front = stage.front();
    let client = tokio::spawn(async move { stage::ask(front, "GET", "/", &[]).await });
    until("the request is under way", || stage.backend(0).in_flight == 1).await;
    assert!(!stage.control.shutdown().await);
    client.abort();
    let _: Result<Answer, _> = client.await;
}

#[tokio::test]
async fn a_reload_while_the_process_ends_changes_nothing() {
    let backend = Backend::start().await;
    let stage = Stage::start(&one_pool(&[backend.address], HEALTH)).await;
    assert!(tokio::time::timeout(Duration::from_secs(5), stage.control.shutdown()).await.unwrap());
    assert!(matches!(stage.control.reload().await, Err(control::ReloadError::ShuttingDown)));
}
