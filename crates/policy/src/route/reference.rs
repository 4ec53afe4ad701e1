//! The matcher equals a naive one that tries every rule, whatever the number of rules.

#![allow(clippy::unwrap_used)]

use std::cmp::Ordering;
use std::net::IpAddr;

use proptest::prelude::*;
use regex::bytes::Regex;

use super::{Condition, HostMatch, Input, PathMatch, Router, Rule, ValueMatch, Verdict};

/// A request as tests write it down.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) host: String,
    pub(super) path: String,
    pub(super) method: &'static str,
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) ip: IpAddr,
}

impl Request {
    pub(super) fn get(host: &str, path: &str) -> Self {
        Self {
            host: host.into(),
            path: path.into(),
            method: "GET",
            query: String::new(),
            headers: Vec::new(),
            ip: [203, 0, 113, 9].into(),
        }
    }
}

impl Input for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }
    fn query(&self) -> &[u8] {
        self.query.as_bytes()
    }
    fn header(&self, lower_name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let lines = self.headers.iter().filter(|(name, _)| name.to_ascii_lowercase() == lower_name);
        lines.into_iter().any(|(_, value)| test(value.as_bytes()))
    }
    fn client_ip(&self) -> IpAddr {
        self.ip
    }
}

/// The first in order of all that match.
fn find_naive(rules: &[Rule], request: &Request) -> Option<usize> {
    let matches = |&i: &usize| {
        let rule = &rules[i];
        let conditions = rule.conditions.iter().all(|c| c.clone().lowered().holds(request));
        host_matches(&rule.host, &request.host) && path_matches(&rule.path, &request.path) && conditions
    };
    (0..rules.len()).filter(matches).min_by(|&a, &b| in_order(&rules[a], &rules[b]).then(a.cmp(&b)))
}

fn host_matches(host: &HostMatch, asked: &str) -> bool {
    let asked = asked.to_lowercase();
    let asked = asked.strip_suffix('.').unwrap_or(&asked);
    match host {
        HostMatch::Any => true,
        HostMatch::Exact(name) => asked == name.to_lowercase(),
        HostMatch::Wildcard(name) => {
            let before = asked.strip_suffix(&name.to_lowercase());
            before.and_then(|before| before.strip_suffix('.')).is_some_and(|labels| !labels.is_empty())
        }
    }
}

fn path_matches(path: &PathMatch, asked: &str) -> bool {
    match path {
        PathMatch::Any => true,
        PathMatch::Exact(path) => asked == path,
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            let rest = asked.strip_prefix(prefix);
            prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathMatch::Regex(regex) => regex.is_match(asked.as_bytes()),
    }
}

fn in_order(a: &Rule, b: &Rule) -> Ordering {
    let host = |rule: &Rule| match &rule.host {
        HostMatch::Exact(_) => usize::MAX,
        HostMatch::Wildcard(name) => name.len() + 1,
        HostMatch::Any => 0,
    };
    let path = |rule: &Rule| match &rule.path {
        PathMatch::Exact(_) => usize::MAX,
        PathMatch::Prefix(prefix) => prefix.trim_end_matches('/').len() + 1,
        PathMatch::Regex(regex) => regex.as_str().len() + 1,
        PathMatch::Any => 0,
    };
    let key = |rule: &Rule| (rule.priority, host(rule), path(rule), rule.conditions.len());
    key(b).cmp(&key(a))
}

/// A die that makes rules and requests of few words, so that they meet.
struct Words(fastrand::Rng);

impl Words {
    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.usize(..of.len())].clone()
    }

    fn host(&mut self) -> String {
        let labels = (0..self.0.usize(1..5)).map(|_| self.one(&["a", "b", "shop", "Example", "com"]));
        labels.collect::<Vec<_>>().join(".")
    }

    fn path(&mut self) -> String {
        let segments = (0..self.0.usize(0..5)).map(|_| self.one(&["/api", "/apix", "/v1", "/x", "/", "/é"]));
        let path: String = segments.collect();
        if path.is_empty() { "/".into() } else { path }
    }

    fn rule(&mut self, extras: bool) -> Rule {
        Rule {
            priority: if extras { self.one(&[0, 0, 0, 0, 0, 0, 1, -1]) } else { 0 },
            host: match self.0.u8(..4) {
                0 => HostMatch::Any,
                1 => HostMatch::Wildcard(self.host()),
                _ => HostMatch::Exact(self.host()),
            },
            path: match self.0.u8(..8) {
                0 => PathMatch::Any,
                1 | 2 => PathMatch::Exact(self.path()),
                3 if extras => PathMatch::Regex(self.one(&["^/v[0-9]", "x$", "^/api/"]).parse::<Regex>().unwrap()),
                _ => PathMatch::Prefix(self.path()),
            },
            conditions: (0..self.one(&[0, 0, 1, 2])).map(|_| self.condition()).collect(),
        }
    }

    fn condition(&mut self) -> Condition {
        let value = match self.0.u8(..5) {
            0 => ValueMatch::Present,
            1 => ValueMatch::Absent,
            2 => ValueMatch::Prefix("g".into()),
            _ => ValueMatch::Exact(self.one(&["gold", "free"]).into()),
        };
        match self.0.u8(..5) {
            0 => Condition::Method(vec![self.one(&["GET", "POST"]).into()]),
            1 => Condition::Header { name: "X-Tier".into(), value },
            2 => Condition::Cookie { name: "tier".into(), value },
            3 => Condition::Query { name: "tier".into(), value },
            _ => Condition::ClientIp(vec!["10.0.0.0/8".parse().unwrap()]),
        }
    }

    fn request(&mut self) -> Request {
        let tier = self.one(&["", "gold", "free"]);
        Request {
            host: self.host() + self.one(&["", "", "", "."]),
            method: self.one(&["GET", "POST"]),
            query: if self.0.bool() { format!("a=1&tier={tier}") } else { String::new() },
            headers: vec![("x-tier", tier.into()), ("cookie", format!("sid=1; tier={tier}"))],
            ip: self.one(&["10.1.2.3".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
            ..Request::get("", &self.path())
        }
    }
}

/// Compares on as many requests as make sense for the size, and tells how many met a rule.
fn assert_equal(seed: u64, routes: usize, requests: usize, extras: bool) -> usize {
    let mut words = Words(fastrand::Rng::with_seed(seed));
    let rules: Vec<Rule> = (0..routes).map(|_| words.rule(extras)).collect();
    let router = Router::new(rules.clone());
    let mut met = 0;
    for _ in 0..requests {
        let request = words.request();
        let found = router.find(&request);
        assert_eq!(found, find_naive(&rules, &request), "{request:?}\n{:?}", found.map(|i| router.rule(i)));
        met += usize::from(found.is_some());
        if routes <= 101 {
            assert_explained(&router, &rules, &request, found);
        }
    }
    met
}

/// Every rule has the verdict that looking at it alone gives.
fn assert_explained(router: &Router, rules: &[Rule], request: &Request, found: Option<usize>) {
    let tried = router.explain(request);
    assert_eq!(tried.len(), rules.len());
    for tried in tried {
        let rule = &rules[tried.rule];
        let (host, path) = (host_matches(&rule.host, &request.host), path_matches(&rule.path, &request.path));
        let as_wanted = match tried.verdict {
            Verdict::Taken => found == Some(tried.rule),
            Verdict::Host => !host,
            Verdict::Path => !path,
            Verdict::Condition(i) => host && path && !rule.conditions[i].clone().lowered().holds(request),
            Verdict::Lost => host && path && found.is_some_and(|found| found != tried.rule),
        };
        assert!(as_wanted, "{request:?}\n{rule:?}: {:?}", tried.verdict);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_router_equals_the_naive_matcher_at_1_route(seed in any::<u64>()) {
        assert_equal(seed, 1, 50, true);
    }

    #[test]
    fn the_router_equals_the_naive_matcher_at_up_to_30_routes(seed in any::<u64>(), routes in 0_usize..30) {
        assert_equal(seed, routes, 50, true);
    }
}

#[test]
fn the_router_equals_the_naive_matcher_at_100_101_and_10_000_routes() {
    for seed in 0..20 {
        assert!(assert_equal(seed, 100, 100, true) > 50);
        assert!(assert_equal(seed, 101, 100, false) > 50);
    }
    for seed in 0..4 {
        assert!(assert_equal(seed, 10_000, 100, seed % 2 == 0) > 90);
    }
}
