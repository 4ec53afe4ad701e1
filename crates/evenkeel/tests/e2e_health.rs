//! Checks that look inside: what an answer says takes a backend out or halves its share, over TLS and gRPC too, and the reason is told
//! wherever the operator looks.
#![allow(clippy::unwrap_used)]

mod verb;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use testkit::Evenkeel;
use testkit::client::get;
use verb::{EVENKEEL, Running, ask, evenkeel, lasting_address, wait};

const QUICK: &str = "interval = \"200ms\"\nedge_interval = \"100ms\"\nfall = 2\n";

/// One pool of these backends with these lines in its `health`.
fn start(backends: &[SocketAddr], health: &str) -> Evenkeel {
    let backends: Vec<String> = backends.iter().map(|backend| format!("\"{backend}\"")).collect();
    let config = format!(
        "[admin]\nlisten = \"ADMIN\"\n[log]\naccess = \"off\"\n[listener.web]\nlisten = \"LISTEN\"\n[[route]]\npool = \"app\"\n\
         [pool.app]\nbackends = [{}]\n[pool.app.health]\n{QUICK}{health}\n",
        backends.join(", ")
    );
    Evenkeel::start(EVENKEEL, &config)
}

fn backend_of(evenkeel: &Evenkeel, at: usize) -> serde_json::Value {
    ask(evenkeel.admin(), "/status").json()["pools"][0]["backends"][at].take()
}

fn waits_for(evenkeel: &Evenkeel, at: usize, health: &str, reason: &str) {
    let mut last = serde_json::Value::Null;
    let found = |last: &serde_json::Value| last["health"] == health && last["reason"].as_str().unwrap().contains(reason);
    for _ in 0..500 {
        last = backend_of(evenkeel, at);
        if found(&last) {
            return;
        }
        thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("not {health} with {reason:?}: {last}\n{}", evenkeel.stderr());
}

#[test]
fn a_backend_whose_figures_are_not_as_expected_gets_nothing_and_everybody_is_told_why() {
    let addresses = [(); 2].map(|()| lasting_address());
    let _busy = Running::backend("busy", addresses[0], &["--cpu-usage", "97.5"]);
    let _calm = Running::backend("calm", addresses[1], &["--cpu-usage", "10"]);
    let health = "path = \"/health\"\nexpect = \"json.cpu_usage <= 90 && json.status == 'healthy'\"\nbody = 'cpu_usage'";
    let evenkeel_up = start(&addresses, health);
    let reason =
        "expected `json.cpu_usage <= 90 && json.status == 'healthy'`, but json.cpu_usage is 97.5, json.status is 'healthy'";
    waits_for(&evenkeel_up, 0, "down", reason);
    waits_for(&evenkeel_up, 1, "up", "status 200");
    for _ in 0..6 {
        assert_eq!(get(evenkeel_up.address(), "/").backend().as_deref(), Some("calm"));
    }
    let metrics = ask(evenkeel_up.admin(), "/metrics").text();
    let failed = |cause: &str| {
        let row = metrics.lines().find(|line| {
            line.starts_with("evenkeel_health_checks_failed_total{")
                && line.contains(&format!("\"{}\"", addresses[0]))
                && line.contains(&format!("cause=\"{cause}\""))
        });
        row.and_then(|row| row.rsplit(' ').next()?.parse::<u64>().ok()).unwrap()
    };
    assert!(failed("expect") > 0 && failed("status") == 0, "{metrics}");
    wait("the log does not say why", || evenkeel_up.stderr().contains("json.cpu_usage is 97.5"));
    let shown = evenkeel(&["status", "--admin", &evenkeel_up.admin().to_string()]).stdout;
    assert!(shown.contains("json.cpu_usage is 97.5"), "{shown}");
}

#[test]
fn a_degraded_backend_serves_on_and_is_shown_as_such_until_it_recovers() {
    let addresses = [(); 2].map(|()| lasting_address());
    let slow = Running::backend("slow", addresses[0], &["--cpu-usage", "80"]);
    let _well = Running::backend("well", addresses[1], &["--cpu-usage", "10"]);
    let evenkeel_up = start(&addresses, "path = \"/health\"\ndegraded = \"json.cpu_usage > 70\"");
    waits_for(&evenkeel_up, 0, "up", "status 200, degraded: json.cpu_usage is 80");
    assert_eq!((&backend_of(&evenkeel_up, 0)["degraded"], &backend_of(&evenkeel_up, 1)["degraded"]), (&true.into(), &false.into()));
    let degraded = || {
        let metrics = ask(evenkeel_up.admin(), "/metrics").text();
        metrics.lines().filter(|line| line.starts_with("evenkeel_backend_degraded{") && line.ends_with(" 1")).count()
    };
    assert_eq!(degraded(), 1);
    assert!(evenkeel(&["status", "--admin", &evenkeel_up.admin().to_string()]).stdout.contains("degraded"));
    let mut served = 0;
    for _ in 0..30 {
        served += usize::from(get(evenkeel_up.address(), "/").backend().as_deref() == Some("slow"));
    }
    assert!(served > 0, "degraded is not down");
    slow.kill();
    let _recovered = Running::backend("slow", addresses[0], &["--cpu-usage", "20"]);
    wait("still degraded", || degraded() == 0);
    waits_for(&evenkeel_up, 0, "up", "status 200");
}

/// A TLS server with a certificate of its own for `localhost`.
struct TlsServer(Child, tempfile::TempDir, SocketAddr);

impl TlsServer {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = lasting_address();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let child = Command::new("openssl")
            .args(["s_server", "-accept", &address.to_string(), "-cert", "cert.pem", "-key", "key.pem", "-www", "-quiet"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait("openssl does not accept", || TcpStream::connect(address).is_ok());
        Self(child, folder, address)
    }

    fn ca(&self) -> String {
        self.1.path().join("cert.pem").display().to_string()
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_check_over_tls_believes_whom_it_is_told_to_and_may_go_to_another_port() {
    let server = TlsServer::start();
    let served = lasting_address();
    let _backend = Running::backend("b1", served, &[]);
    let port = server.2.port();
    let check = |tls: &str| start(&[served], &format!("path = \"/\"\nport = {port}\nbody = \"Cipher|cipher\"\ntls = {tls}"));
    let believed = check(&format!("{{ ca = {:?}, server_name = \"localhost\" }}", server.ca()));
    waits_for(&believed, 0, "up", "status 200");
    assert_eq!(get(believed.address(), "/").backend().as_deref(), Some("b1"), "the port of the check is not that of requests");
    waits_for(&check("{ insecure = true }"), 0, "up", "status 200");
    waits_for(
        &check(&format!("{{ ca = {:?}, server_name = \"other\" }}", server.ca())),
        0,
        "down",
        "TLS: invalid peer certificate",
    );
    waits_for(&check("true"), 0, "down", "TLS: invalid peer certificate");
}

/// A server of the gRPC health service and nothing else, which says the given status; enough of HTTP/2 for one call a connection.
fn grpc_server(status: Arc<AtomicU8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let status = status.clone();
            thread::spawn(move || serve_call(socket.unwrap(), status.load(Ordering::SeqCst)));
        }
    });
    address
}

fn serve_call(mut socket: TcpStream, status: u8) -> Option<()> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream][..], payload].concat()
    };
    let field =
        |name: &str, value: &str| [&[0, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat();
    let mut preface = [0; 24];
    socket.read_exact(&mut preface).ok()?;
    socket.write_all(&frame(4, 0, 0, &[])).ok()?;
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).ok()?;
        let mut payload = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
        socket.read_exact(&mut payload).ok()?;
        match (head[3], head[4]) {
            (4, 0) => socket.write_all(&frame(4, 1, 0, &[])).ok()?,
            // The request's last piece.
            (0, flags) if flags & 1 == 1 => break,
            _ => {}
        }
    }
    // 0x88 is `:status: 200`.
    let answer = [&[0x88][..], &field("content-type", "application/grpc")].concat();
    let said = [frame(1, 4, 1, &answer), frame(0, 0, 1, &[0, 0, 0, 0, 2, 8, status]), frame(1, 5, 1, &field("grpc-status", "0"))];
    socket.write_all(&said.concat()).ok()?;
    let _ = socket.read_to_end(&mut Vec::new());
    Some(())
}

#[test]
fn a_grpc_service_that_stops_serving_is_taken_out_and_comes_back() {
    let status = Arc::new(AtomicU8::new(1));
    let backend = grpc_server(status.clone());
    let evenkeel = start(&[backend], "grpc = \"shop.Orders\"");
    waits_for(&evenkeel, 0, "up", "serving");
    status.store(2, Ordering::SeqCst);
    waits_for(&evenkeel, 0, "down", "not serving");
    status.store(1, Ordering::SeqCst);
    waits_for(&evenkeel, 0, "up", "serving");
}
