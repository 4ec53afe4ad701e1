//! Health checks against backends that live, die, stall and flap.

#![allow(clippy::unwrap_used)]

mod stage;

use std::time::Duration;

use stage::{Backend, SILENT, Stage, one_pool, until};

#[tokio::test]
async fn a_dead_backend_is_down_before_the_listeners_open() {
    let (live, mut dead) = (Backend::start().await, Backend::start().await);
    dead.kill().await;
    let stage = Stage::start(&one_pool(&[dead.address, live.address], "{ tcp = true }")).await;
    let status = stage.backend(0);
    assert_eq!((status.health.as_str(), status.reason.as_str()), ("down", "connection refused"));
    assert_eq!((stage.backend(1).health.as_str(), stage.backend(1).reason.as_str()), ("up", "connected"));
    for _ in 0..4 {
        assert_eq!(stage.get("/").await.status, 200);
    }
    assert_eq!((live.requests(), stage.backend(0).attempts), (4, 0));
}

#[tokio::test]
async fn an_http_probe_says_who_asks_and_judges_the_status() {
    let (good, bad, silent) = (Backend::start().await, Backend::start().await, Backend::start().await);
    bad.answer(503);
    silent.answer(SILENT);
    let health = r#"{ path = "/health?deep=1", timeout = "300ms", interval = "5s" }"#;
    let stage = Stage::start(&one_pool(&[good.address, bad.address, silent.address], health)).await;
    let reasons: Vec<String> = (0..3).map(|i| stage.backend(i).reason).collect();
    assert_eq!(reasons, ["status 200", "status 503, wanted 200-399", "no answer within 300 ms"]);
    let health: Vec<String> = (0..3).map(|i| stage.backend(i).health).collect();
    assert_eq!(health, ["up", "down", "down"]);
    let probe = good.heads().remove(0);
    assert!(probe.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{probe}");
    for line in [format!("Host: {}", good.address), "User-Agent: evenkeel-health/1.2.3".to_owned(), "Connection: close".to_owned()]
    {
        assert!(probe.contains(&format!("\r\n{line}\r\n")), "{line} is not in {probe}");
    }
}

#[tokio::test]
async fn the_configured_host_is_sent_to_the_backend() {
    let backend = Backend::start().await;
    let _stage = Stage::start(&one_pool(&[backend.address], r#"{ path = "/", host = "shop.example.com" }"#)).await;
    assert!(backend.heads()[0].contains("\r\nHost: shop.example.com\r\n"));
}

#[tokio::test]
async fn a_backend_that_refuses_a_request_is_down_within_its_interval_and_back_after_it_returns() {
    let (live, mut dying) = (Backend::start().await, Backend::start().await);
    let health = r#"{ path = "/", interval = "3s", timeout = "1s", edge_interval = "200ms" }"#;
    let stage = Stage::start(&one_pool(&[live.address, dying.address], health)).await;
    dying.kill().await;
    for _ in 0..4 {
        assert_eq!(stage.get("/").await.status, 200, "a killed backend costs no client an error");
    }
    let took = until("the backend is down", || stage.backend(1).health == "down").await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(stage.backend(1).reason, "connection refused");
    dying.restart().await;
    until("the backend is up again", || stage.backend(1).health == "up").await;
    assert!(!stage.backend(1).suspected);
    let before = dying.requests();
    for _ in 0..4 {
        assert_eq!(stage.get("/").await.status, 200);
    }
    assert!(dying.requests() > before);
}

#[tokio::test]
async fn a_probe_that_passes_ends_a_suspicion_at_once() {
    let (live, mut dying) = (Backend::start().await, Backend::start().await);
    let health = r#"{ tcp = true, interval = "60s", timeout = "1s", edge_interval = "1s", fall = 10 }"#;
    let stage = Stage::start(&one_pool(&[live.address, dying.address], health)).await;
    dying.kill().await;
    for _ in 0..2 {
        assert_eq!(stage.get("/").await.status, 200);
    }
    assert!(stage.backend(1).suspected);
    dying.restart().await;
    // Far sooner than the interval: the suspicion has the check look at once, and then each second.
    until("the suspicion is over", || !stage.backend(1).suspected).await;
    assert_eq!(stage.backend(1).health, "up");
}

#[tokio::test]
async fn a_backend_that_flaps_is_held_down_though_it_passes_f11() {
    let (live, flapping) = (Backend::start().await, Backend::start().await);
    let health = r#"{ path = "/", interval = "100ms", timeout = "100ms", edge_interval = "50ms", rise = 1, fall = 1 }"#;
    let stage = Stage::start(&one_pool(&[live.address, flapping.address], health)).await;
    let mut held = false;
    for _ in 0..12 {
        flapping.answer(500);
        until("the backend is down", || stage.backend(1).health == "down").await;
        flapping.answer(200);
        until("the backend is up or held down", || stage.backend(1).held_down || stage.backend(1).health == "up").await;
        if stage.backend(1).held_down {
            held = true;
            assert_eq!(stage.backend(1).health, "down");
            break;
        }
    }
    assert!(held, "a dozen falls in a row hold nobody down");
}

#[tokio::test]
async fn without_checks_a_backend_is_unknown_and_serves() {
    let backend = Backend::start().await;
    let stage = Stage::start(&one_pool(&[backend.address], "false")).await;
    assert_eq!(stage.get("/").await.status, 200);
    let status = stage.backend(0);
    assert_eq!((status.health.as_str(), status.reason.as_str(), status.since), ("unknown", "", None));
    assert_eq!(backend.heads().len(), 1, "nobody probed");
}

#[tokio::test]
async fn a_backend_held_down_serves_when_nobody_else_is_left_f11() {
    let (mut live, flapping) = (Backend::start().await, Backend::start().await);
    let health = r#"{ path = "/", interval = "100ms", timeout = "100ms", edge_interval = "50ms", rise = 1, fall = 1 }"#;
    let stage = Stage::start(&one_pool(&[live.address, flapping.address], health)).await;
    // After this many falls it is held for long.
    for _ in 0..8 {
        flapping.answer(500);
        until("the backend is down", || stage.backend(1).health == "down").await;
        flapping.answer(200);
        until("the backend passes", || stage.backend(1).held_down || stage.backend(1).health == "up").await;
        if stage.backend(1).held_down {
            live.kill().await;
            until("the other is down", || stage.backend(0).health == "down").await;
            until("it serves all the same", || stage.backend(1).health == "up").await;
            assert_eq!(stage.get("/").await.status, 200);
            return;
        }
    }
    panic!("nobody was held down");
}
