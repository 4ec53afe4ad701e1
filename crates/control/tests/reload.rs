//! Reloads: what changes, what stays, and what a faulty file does (F13, F14).

#![allow(clippy::unwrap_used)]

mod stage;

use control::{Control, Options, ReloadError, Source, StartError};
use stage::{Backend, DEADLINE, Stage, one_pool, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEALTH: &str = r#"{ path = "/", interval = "60s" }"#;

#[tokio::test]
async fn a_reload_keeps_listeners_connections_counts_and_checks_f13() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let stage = Stage::start(&one_pool(&[a.address], HEALTH)).await;
    let front = stage.front();
    let mut client = TcpStream::connect(front).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {front}\r\n\r\n");
    let mut answer = [0; 4096];
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(client.read(&mut answer).await.unwrap() > 0);
    let before = stage.backend(0);

    stage.write(&one_pool(&[a.address, b.address], HEALTH));
    let done = stage.control.reload().await.unwrap();
    assert_eq!((done.pools, done.routes, done.backends), (1, 1, 2));
    assert_eq!(stage.front(), front);
    let after = stage.backend(0);
    assert_eq!(
        (after.since, after.checks_passed, after.attempts),
        (before.since.clone(), 1, 1),
        "the check of a went on as it was"
    );
    assert_eq!(stage.backend(1).health, "up", "the first check of b came before its first request");
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(client.read(&mut answer).await.unwrap() > 0, "the connection lives on");

    // Another name is no other check.
    let named = format!("{{ address = \"{}\", name = \"blue\" }}", a.address);
    stage.write(&one_pool(&[a.address], HEALTH).replace(&format!("\"{}\"", a.address), &named));
    stage.control.reload().await.unwrap();
    let after = stage.backend(0);
    assert_eq!((after.name.as_str(), after.since, after.checks_passed), ("blue", before.since, 1));

    // Other parameters are.
    stage.write(&one_pool(&[a.address], r#"{ path = "/other", interval = "60s" }"#));
    stage.control.reload().await.unwrap();
    until("a is checked in the new way", || a.heads().iter().any(|head| head.starts_with("GET /other "))).await;
    assert_eq!(stage.pool().backends.len(), 1);
    stage.write(&one_pool(&[a.address], "false"));
    stage.control.reload().await.unwrap();
    assert_eq!(stage.backend(0).health, "unknown", "nobody checks it any more");
}

#[tokio::test]
async fn a_faulty_or_unreadable_file_is_refused_whole_and_everyone_is_told_f14() {
    let backend = Backend::start().await;
    let good = one_pool(&[backend.address], HEALTH);
    let stage = Stage::start(&good).await;
    stage.write(&format!("{good}\nlisten_on = 3\n"));
    let error = stage.control.reload().await.unwrap_err();
    assert!(matches!(&error, ReloadError::Report(report) if report.to_string().contains("listen_on")), "{error}");
    assert_eq!(stage.get("/").await.status, 200);
    let config = stage.control.status().config;
    assert!(config.last_reload_error.unwrap().message.contains("listen_on"));
    assert_eq!((config.reloads, config.refused), (0, 1));
    let metrics = stage.ask_admin("GET", "/metrics", &[]).await.body;
    assert!(metrics.contains("\nevenkeel_config_last_reload_successful 0\n"), "{metrics}");

    std::fs::remove_file(stage.file()).unwrap();
    assert!(matches!(stage.control.reload().await, Err(ReloadError::Report(_))));
    assert_eq!(stage.get("/").await.status, 200);

    stage.write(&good);
    stage.control.reload().await.unwrap();
    assert!(stage.control.status().config.last_reload_error.is_none());
}

#[tokio::test]
async fn an_address_in_use_refuses_the_whole_reload() {
    let backend = Backend::start().await;
    let stage = Stage::start(&one_pool(&[backend.address], HEALTH)).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = one_pool(&[backend.address, "127.0.0.1:1".parse().unwrap()], HEALTH);
    stage.write(&format!("{text}[listener.more]\nlisten = \"{}\"\n", taken.local_addr().unwrap()));
    let error = stage.control.reload().await.unwrap_err();
    assert!(matches!(error, ReloadError::CantListen(_)) && error.to_string().contains("ss -ltnp"), "{error}");
    let status = stage.control.status();
    assert_eq!((status.listeners.len(), status.pools[0].backends.len()), (1, 1));
    assert_eq!(stage.get("/").await.status, 200);
}

#[tokio::test]
async fn listeners_come_and_go() {
    let backend = Backend::start().await;
    let text = one_pool(&[backend.address], HEALTH);
    let stage = Stage::start(&text).await;
    let more = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    stage.write(&format!("{text}[listener.more]\nlisten = \"{more}\"\n"));
    stage.control.reload().await.unwrap();
    assert_eq!(stage::ask(more, "GET", "/", &[]).await.status, 200);
    stage.write(&text);
    stage.control.reload().await.unwrap();
    let began = std::time::Instant::now();
    while TcpStream::connect(more).await.is_ok() {
        assert!(began.elapsed() < DEADLINE, "the listener that is gone still accepts");
    }
    assert_eq!(stage.get("/").await.status, 200);
}

#[tokio::test]
async fn the_admin_listener_moves_and_its_token_file_with_it() {
    let backend = Backend::start().await;
    let text = one_pool(&[backend.address], HEALTH);
    let stage = Stage::start(&text).await;
    let (before, token) = (stage.admin(), stage.token());
    let after = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    stage.write(&format!("{text}[admin]\nlisten = \"{after}\"\n"));
    stage.control.reload().await.unwrap();
    assert_eq!((stage.admin(), stage.token()), (after, token));
    assert!(control::client::token(&stage.folder.path().join("run"), before.port()).is_err());
    assert_eq!(stage.ask_admin("GET", "/healthz", &[]).await.status, 200);
    until("the old one is closed", || std::net::TcpStream::connect(before).is_err()).await;
    // A token of the operator's own replaces ours, and needs no file.
    stage.write(&format!("{text}[admin]\nlisten = \"{after}\"\ntoken = \"0123456789abcdef\"\n"));
    stage.control.reload().await.unwrap();
    assert!(control::client::token(&stage.folder.path().join("run"), after.port()).is_err());
    let given = [("Authorization", "Bearer 0123456789abcdef")];
    assert_eq!(stage.ask_admin("POST", "/reload", &given).await.status, 200);
}

#[tokio::test]
async fn the_access_log_goes_where_the_file_says_now_and_is_opened_anew() {
    let backend = Backend::start().await;
    let text = one_pool(&[backend.address], HEALTH);
    let stage = Stage::start(&text).await;
    let log = stage.folder.path().join("access.log");
    stage.write(&format!("{text}[log]\naccess = \"{}\"\n", log.display()));
    stage.control.reload().await.unwrap();
    stage.get("/first").await;
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    until("the first line is written", || read(&log).contains("/first")).await;
    let rotated = stage.folder.path().join("access.log.1");
    std::fs::rename(&log, &rotated).unwrap();
    stage.control.reload().await.unwrap();
    stage.get("/second").await;
    until("the second line is in the new file", || read(&log).contains("/second")).await;
    assert!(!read(&rotated).contains("/second"));
    // A log that can't be opened refuses the reload.
    stage.write(&format!("{text}[log]\naccess = \"/no/such/folder/x.log\"\n"));
    assert!(matches!(stage.control.reload().await, Err(ReloadError::Io(..))));
}

#[tokio::test]
async fn what_needs_a_restart_is_said() {
    let backend = Backend::start().await;
    let text = one_pool(&[backend.address], HEALTH);
    let stage = Stage::start(&text).await;
    stage.write(&text.replace("workers = 1", "workers = 2"));
    let done = stage.control.reload().await.unwrap();
    assert!(done.warnings.iter().any(|warning| warning.contains("needs a restart")), "{:?}", done.warnings);
}

#[tokio::test]
async fn a_watched_file_is_reloaded_when_it_has_changed() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let stage = Stage::try_start(&one_pool(&[a.address], HEALTH), true).await.unwrap();
    stage.write(&one_pool(&[a.address, b.address], HEALTH));
    until("the file is reloaded", || stage.pool().backends.len() == 2).await;
    // Replaced by a rename, as editors do.
    let other = stage.folder.path().join("other.toml");
    std::fs::rename(stage.file(), &other).unwrap();
    stage.write(&one_pool(&[b.address], HEALTH));
    until("the file is reloaded again", || stage.pool().backends.len() == 1).await;
}

#[tokio::test]
async fn a_configuration_from_the_command_line_has_nothing_to_reload() {
    let backend = Backend::start().await;
    let mut config = config::short("127.0.0.1:0", &[backend.address.to_string()]).unwrap();
    config.log.access = config::model::AccessTo::Off;
    let folder = tempfile::tempdir().unwrap();
    let options = Options { source: Source::Given(config), watch: true, version: "1.2.3", runtime_dir: folder.path().into() };
    let control = Control::start(options).await.unwrap();
    assert_eq!(stage::ask(control.listening()[0].1, "GET", "/", &[]).await.status, 200);
    assert!(matches!(control.reload().await, Err(ReloadError::NoFile)));
    assert_eq!((control.admin_address(), control.status().config.source), (None, None));
    assert!(control.shutdown().await);
}

#[tokio::test]
async fn a_start_that_cant_go_well_says_why() {
    let error = Stage::try_start("listen = 3\n", false).await.err().unwrap();
    assert!(matches!(error, StartError::Report(_)));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let held = std::net::TcpListener::bind(taken).unwrap();
    let text = format!("listen = \"{}\"\nbackends = [\"127.0.0.1:1\"]\n", held.local_addr().unwrap());
    let error = Stage::try_start(&text, false).await.err().unwrap();
    assert!(matches!(error, StartError::CantListen(_)) && error.to_string().contains("hint: "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_cost_nobody_an_answer_f13() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let one = one_pool(&[a.address, b.address], HEALTH);
    let other = one_pool(&[b.address, a.address], r#"{ tcp = true, interval = "30s" }"#);
    let stage = Stage::start(&one).await;
    let front = stage.front();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                // Half on connections of their own, half on one that is kept.
                let mut kept = TcpStream::connect(front).await.unwrap();
                let request = format!("GET / HTTP/1.1\r\nHost: {front}\r\n\r\n");
                let mut buf = [0; 4096];
                for _ in 0..150 {
                    assert_eq!(stage::ask(front, "GET", "/", &[]).await.status, 200);
                    kept.write_all(request.as_bytes()).await.unwrap();
                    let n = kept.read(&mut buf).await.unwrap();
                    assert!(buf[..n].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buf[..n]));
                }
            })
        })
        .collect();
    let mut reloads = 0;
    while clients.iter().any(|client| !client.is_finished()) {
        stage.write(if reloads % 2 == 0 { &other } else { &one });
        stage.control.reload().await.unwrap();
        reloads += 1;
    }
    for client in clients {
        client.await.unwrap();
    }
    assert!(reloads > 5, "{reloads}");
    let status = stage.control.status();
    assert_eq!((status.config.reloads, status.reasons.len()), (reloads, 0), "{:?}", status.reasons);
    assert!(status.pools[0].backends.iter().all(|backend| backend.attempts > 0 && backend.in_flight == 0), "{status:?}");
}
