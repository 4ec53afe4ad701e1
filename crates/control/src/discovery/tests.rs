//! Row F16 against a DNS server that answers, lies low and fails as told.

#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use tempfile::TempDir;
use tokio::net::{TcpListener, UdpSocket};

use super::Lookup;
use crate::task::Task;
use crate::{Control, Options, Source, Status};

const NAME: &str = "app.example.com";
const NXDOMAIN: u8 = 3;
const SERVFAIL: u8 = 2;

/// What the server says of every name.
#[derive(Clone, Debug)]
enum Says {
    /// These addresses, for so many seconds.
    Addresses(Vec<Ipv4Addr>, u32),
    Code(u8),
    Nothing,
}

/// A DNS server on a port of its own.
struct Server {
    address: SocketAddr,
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
    _serving: Task,
}

impl Server {
    async fn start(says: Says) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let says = Arc::new(Mutex::new(says));
        let asked = Arc::new(AtomicUsize::new(0));
        let (saying, counting) = (says.clone(), asked.clone());
        let serving = Task::spawn(async move {
            let mut buf = [0; 1500];
            while let Ok((n, peer)) = socket.recv_from(&mut buf).await {
                counting.fetch_add(1, SeqCst);
                let said = saying.lock().unwrap().clone();
                if let Some(answer) = answer(&buf[..n], &said) {
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
        });
        Self { address, says, asked, _serving: serving }
    }

    fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn lookup(&self) -> Lookup {
        let mut server = NameServerConfig::udp(self.address.ip());
        server.connections[0].port = self.address.port();
        let mut options = ResolverOpts::default();
        options.timeout = Duration::from_millis(200);
        options.attempts = 1;
        Lookup::new("/no/such/hosts".into(), ResolverConfig::from_parts(None, Vec::new(), vec![server]), options)
    }
}

/// RFC 1035, as little of it as a resolver needs.
fn answer(query: &[u8], says: &Says) -> Option<Vec<u8>> {
    let name = query[12..].iter().position(|byte| *byte == 0)? + 13;
    let question = &query[12..name + 4];
    let is_a = query[name..name + 2] == [0, 1];
    let (code, addresses, ttl) = match says {
        Says::Addresses(addresses, ttl) if is_a => (0, addresses.as_slice(), *ttl),
        Says::Addresses(..) => (0, &[][..], 0),
        Says::Code(code) => (*code, &[][..], 0),
        Says::Nothing => return None,
    };
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    out.extend(question);
    for address in addresses {
        out.extend([0xc0, 0x0c, 0, 1, 0, 1]);
        out.extend(ttl.to_be_bytes());
        out.extend([0, 4]);
        out.extend(address.octets());
    }
    Some(out)
}

/// Something that takes connections at the same port of 127.0.0.1 and 127.0.0.2.
async fn backends() -> (u16, [TcpListener; 2]) {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        if let Ok(second) = TcpListener::bind(("127.0.0.2", port)).await {
            return (port, [first, second]);
        }
    }
}

async fn start(lookup: Lookup, port: u16) -> (Control, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evenkeel.toml");
    let text = format!("listen = \"127.0.0.1:0\"\nbackends = [\"{NAME}:{port}\"]\nworkers = 1\nlog = {{ access = \"off\" }}\n");
    std::fs::write(&file, text).unwrap();
    let options = Options { source: Source::File(file), watch: false, version: "1.2.3", runtime_dir: folder.path().join("run") };
    (Control::start_with(options, lookup).await.unwrap(), folder)
}

fn addresses(status: &Status) -> Vec<String> {
    status.pools[0].backends.iter().map(|backend| backend.address.clone()).collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn a_start_without_name_resolution_is_a_start_all_the_same_f16() {
    tokio::join!(begins_with(Says::Nothing), begins_with(Says::Code(SERVFAIL)), begins_with(Says::Code(NXDOMAIN)));
}

async fn begins_with(silence: Says) {
    let server = Server::start(silence.clone()).await;
    let (port, _listeners) = backends().await;
    let began = Instant::now();
    let (control, _folder) = start(server.lookup(), port).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{silence:?}: {:?}", began.elapsed());
    assert_eq!(control.listening().len(), 1);
    let pool = control.status().pools.remove(0);
    let why = pool.unresolved.get(&format!("{NAME}:{port}"));
    assert!(pool.backends.is_empty() && why.is_some(), "{silence:?}: {pool:?}");
    // Once somebody answers, it serves.
    server.say(Says::Addresses(vec![ONE], 300));
    until("the name is resolved", || addresses(&control.status()) == [format!("{ONE}:{port}")]).await;
    let pool = control.status().pools.remove(0);
    assert!(pool.unresolved.is_empty() && pool.backends[0].health == "up", "{silence:?}: {pool:?}");
}

#[tokio::test]
async fn a_name_is_looked_up_again_when_its_time_is_up_and_its_last_good_answer_is_kept_f16() {
    let server = Server::start(Says::Addresses(vec![ONE], 1)).await;
    let (port, _listeners) = backends().await;
    let (control, _folder) = start(server.lookup(), port).await;
    assert_eq!(addresses(&control.status()), [format!("{ONE}:{port}")]);
    let since = control.status().pools[0].backends[0].since.clone();

    server.say(Says::Addresses(vec![TWO, ONE], 1));
    until("the new address is there", || addresses(&control.status()).len() == 2).await;
    let status = control.status();
    assert_eq!(addresses(&status), [format!("{ONE}:{port}"), format!("{TWO}:{port}")]);
    let backends = &status.pools[0].backends;
    assert!(backends.iter().all(|backend| backend.health == "up"), "probed before the first request: {backends:?}");
    assert_eq!(backends[0].since, since, "who was there before is not disturbed");

    for failure in [Says::Code(SERVFAIL), Says::Nothing, Says::Code(NXDOMAIN), Says::Addresses(Vec::new(), 1)] {
        server.say(failure.clone());
        let asked = server.asked.load(SeqCst);
        until("the look-up has failed", || server.asked.load(SeqCst) > asked && !control.status().pools[0].stale_names.is_empty())
            .await;
        assert_eq!(addresses(&control.status()).len(), 2, "{failure:?} empties nothing");
        server.say(Says::Addresses(vec![ONE, TWO], 1));
        until("the name is resolved again", || control.status().pools[0].stale_names.is_empty()).await;
    }
    server.say(Says::Addresses(vec![TWO], 1));
    until("an address that is gone is gone", || addresses(&control.status()) == [format!("{TWO}:{port}")]).await;
}

#[tokio::test]
async fn an_answer_is_not_asked_for_again_before_its_time() {
    let server = Server::start(Says::Addresses(vec![ONE], 0)).await;
    let lookup = server.lookup();
    assert_eq!(lookup.look_up(NAME).await.unwrap().ttl, Duration::ZERO);
    server.say(Says::Addresses(vec![TWO, ONE], 300));
    let answer = lookup.look_up(NAME).await.unwrap();
    assert!(answer.ttl > Duration::from_secs(250) && answer.addresses.len() == 2, "{answer:?}: nothing is remembered");
    // A time to live of 0 is a second here.
    server.say(Says::Addresses(vec![ONE], 0));
    let (port, _listeners) = backends().await;
    let (control, _folder) = start(server.lookup(), port).await;
    let asked = server.asked.load(SeqCst);
    let began = Instant::now();
    until("asked three times more", || server.asked.load(SeqCst) >= asked + 3).await;
    assert!(began.elapsed() > Duration::from_millis(1900), "{:?}", began.elapsed());
    drop(control);
}
