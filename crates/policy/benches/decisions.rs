//! What a decision costs: `cargo bench -p policy`. Prints nanoseconds of one pick or one find, the best of five rounds.
//!
//! Picks read padded atomics in random order of keys, as the data plane does; nothing else shares the core.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use policy::Key;
use policy::balance::{Balance, Balancer, Hash, HashMethod, Member, View, Weight, hash_key};
use policy::route::{Condition, HostMatch, Input, PathMatch, Router, Rule};

const ROUND: u64 = 200_000;

fn main() {
    picks();
    finds();
    networks();
}

/// 10,000 networks of IPv4 and as many of IPv6, asked for addresses half of which lie in them.
fn networks() {
    let v4 = (0..10_000_u32).map(|i| ipnet::Ipv4Net::new((i << 17).into(), 24).unwrap().into());
    let v6 = (0..10_000_u128).map(|i| ipnet::Ipv6Net::new((i << 80 | 0x2001 << 112).into(), 64).unwrap().into());
    let set = policy::Networks::new(v4.chain(v6));
    let cost = nanoseconds(|k| {
        let asked = (k as u32).wrapping_mul(2_654_435_761) >> 1;
        black_box(set.contains(IpAddr::from(asked.to_be_bytes())));
    });
    println!("\nan address in {} networks: {cost:.1} ns", set.len());
}

/// The best of five rounds, after one to warm up.
fn nanoseconds(mut once: impl FnMut(u64)) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..ROUND).for_each(&mut once);
        start.elapsed().as_nanos() as f64 / ROUND as f64
    };
    (0..6).map(round).skip(1).fold(f64::INFINITY, f64::min)
}

#[derive(Default)]
#[repr(align(128))]
struct Fact {
    down: AtomicBool,
    in_flight: AtomicU32,
}

struct Board {
    facts: Vec<Fact>,
    turn: AtomicUsize,
}

impl View for Board {
    fn available(&self, i: usize) -> bool {
        !self.facts[i].down.load(Relaxed)
    }
    fn in_flight(&self, i: usize) -> u32 {
        self.facts[i].in_flight.load(Relaxed)
    }
    fn latency(&self, i: usize) -> u64 {
        1_000_000 + i as u64
    }
    fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Relaxed)
    }
    fn total_in_flight(&self, _: usize) -> u64 {
        100
    }
}

fn picks() {
    let hash = |method, bounded| {
        let key = Key::ClientIp;
        Balance::Hash(Hash { key, method, bounded })
    };
    let algorithms = [
        ("round_robin", Balance::RoundRobin),
        ("least_connections", Balance::LeastConnections),
        ("least_response_time", Balance::LeastResponseTime),
        ("random", Balance::Random),
        ("hash maglev", hash(HashMethod::Maglev, None)),
        ("hash maglev bounded", hash(HashMethod::Maglev, Some(1.5))),
        ("hash ring", hash(HashMethod::Ring, None)),
        ("hash rendezvous", hash(HashMethod::Rendezvous, None)),
    ];
    println!("{:22}{:>12}{:>12}{:>12}{:>20}", "pick, ns", "3", "100", "1000", "build 1000, µs");
    for (name, balance) in algorithms {
        print!("{name:22}");
        for n in [3, 100, 1000] {
            let members: Vec<Member> = (0..n)
                .map(|i: u64| Member { id: hash_key(&i.to_le_bytes()), weight: Weight::new(1 + (i % 3) as u16).unwrap() })
                .collect();
            let board = Board { facts: (0..n).map(|_| Fact::default()).collect(), turn: AtomicUsize::new(0) };
            let start = Instant::now();
            let balancer = Balancer::new(&balance, &members);
            let built = start.elapsed();
            let mut rng = fastrand::Rng::with_seed(1);
            let cost = nanoseconds(|k| {
                let key = hash_key(&(k % 50_000).to_le_bytes());
                black_box(balancer.pick(&board, key, &mut rng));
            });
            print!("{cost:12.1}");
            if n == 1000 {
                print!("{:20}", built.as_micros());
            }
        }
        println!();
    }
}

struct Request {
    host: String,
    path: String,
}

impl Input for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn query(&self) -> &[u8] {
        b""
    }
    fn header(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
    fn client_ip(&self) -> IpAddr {
        [10, 0, 0, 1].into()
    }
}

/// Tables of n routes: n hosts with one path each; one host with n paths; n/10 hosts with ten paths and a method.
fn finds() {
    println!("\n{:22}{:>12}{:>12}{:>12}{:>20}", "find, ns", "1", "100", "10000", "build 10000, µs");
    for shape in ["hosts", "paths", "mixed", "paths, one asked"] {
        print!("{shape:22}");
        for n in [1, 100, 10_000] {
            let (host, path) = (
                |i: usize| match shape {
                    "hosts" => format!("host-{i}.example.com"),
                    "mixed" => format!("host-{}.example.com", i / 10),
                    _ => "www.example.com".to_owned(),
                },
                |i: usize| match shape {
                    "hosts" => "/api".to_owned(),
                    "mixed" => format!("/service-{}/v1", i % 10),
                    _ => format!("/service-{i}/v1"),
                },
            );
            let rule = |i| Rule {
                priority: 0,
                host: HostMatch::Exact(host(i)),
                path: PathMatch::Prefix(path(i)),
                conditions: if shape == "mixed" { vec![Condition::Method(vec!["GET".into()])] } else { Vec::new() },
            };
            let rules = (0..n).map(rule).collect();
            let start = Instant::now();
            let router = Router::new(rules);
            let built = start.elapsed();
            let asked = if shape == "paths, one asked" { 1 } else { 256 };
            let request = |k: usize| Request { host: host(k * 7919 % n), path: path(k * 7919 % n) + "/items/17" };
            let requests: Vec<Request> = (0..asked).map(request).collect();
            let cost = nanoseconds(|k| {
                let request = &requests[k as usize % requests.len()];
                black_box(router.find(request).unwrap());
            });
            print!("{cost:12.1}");
            if n == 10_000 {
                print!("{:20}", built.as_micros());
            }
        }
        println!();
    }
}
