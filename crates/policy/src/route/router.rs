//! The compiled rules.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::explain::{Trace, Tried, Verdict};
use super::trie::{Ranks, TextMap, Trie};
use super::{HostMatch, Input, PathMatch, Rule};

/// Longer hosts than any name (RFC 1035: 253 bytes) match only rules for every host.
const LONGEST_HOST: usize = 255;

/// All rules of a listener, ready to be searched.
///
/// The most specific rule wins: by priority; then exact host, longest wildcard, any host; then exact path, longest prefix
/// or regular expression, any path; then the number of conditions; then the order in the list.
///
/// May be shared by workers. Regular expressions then share their scratch behind a lock; where that matters give each worker
/// a clone.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// As given.
    rules: Vec<Rule>,
    /// Positions in `rules`, the most specific first. A rank is a position in this list.
    ranked: Vec<u32>,
    exact: TextMap<Host>,
    wildcard: TextMap<Host>,
    any: Host,
}

/// The rules of one host.
#[derive(Clone, Debug, Default)]
struct Host {
    /// Lowest rank of all its rules.
    lowest: Option<u32>,
    exact: TextMap<Ranks>,
    prefixes: Trie,
    regexes: Ranks,
    any: Ranks,
}

impl Router {
    /// Compiles the rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut ranked: Vec<u32> = (0..rules.len() as u32).collect();
        ranked.sort_by_cached_key(|&i| (specificity(&rules[i as usize]), i));
        let mut router = Self { ranked, ..Self::default() };
        for (rank, &i) in router.ranked.iter().enumerate() {
            let rule = &rules[i as usize];
            let host = match &rule.host {
                HostMatch::Any => &mut router.any,
                HostMatch::Exact(name) => router.exact.entry(key(name)).or_default(),
                HostMatch::Wildcard(name) => router.wildcard.entry(key(name)).or_default(),
            };
            host.insert(&rule.path, rank as u32);
        }
        let lowered =
            |rule: Rule| Rule { conditions: rule.conditions.into_iter().map(super::Condition::lowered).collect(), ..rule };
        router.rules = rules.into_iter().map(lowered).collect();
        router
    }

    /// The position of the rule that serves this request.
    ///
    /// Allocates nothing, but for the scratch of a regular expression on its first use. Costs a look-up for the host, one for each label where there are wildcards, and one for each
    /// segment of the path that rules know; then the conditions of the rules found there and above. Regular expressions
    /// are tried one after the other.
    pub fn find(&self, input: &impl Input) -> Option<usize> {
        self.search(input, &mut ())
    }

    /// Every rule, the most specific first, and what [`Router::find`] comes to with it. For people: it takes as long as there are rules.
    pub fn explain(&self, input: &impl Input) -> Vec<Tried> {
        let mut looked_at = LookedAt::new();
        let found = self.search(input, &mut looked_at);
        let verdict = |(rank, &rule): (usize, &u32)| {
            let rule = rule as usize;
            let verdict = match looked_at.get(&(rank as u32)) {
                _ if found == Some(rule) => Verdict::Taken,
                Some(failed) => failed.unwrap_or(Verdict::Lost),
                None => self.rules[rule].missed_by(input),
            };
            Tried { rule, verdict }
        };
        self.ranked.iter().enumerate().map(verdict).collect()
    }

    /// The one search behind both; what is looked at is told to the trace.
    fn search(&self, input: &impl Input, trace: &mut impl Trace) -> Option<usize> {
        let mut search = Search { router: self, input, best: None, trace };
        if !(self.exact.is_empty() && self.wildcard.is_empty()) {
            let mut buffer = [0; LONGEST_HOST];
            if let Some(host) = lower(input.host(), &mut buffer) {
                self.find_by_host(host, &mut search);
            }
        }
        search.host(&self.any);
        search.best.map(|rank| self.ranked[rank as usize] as usize)
    }

    /// The rule at a position.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn rule(&self, i: usize) -> &Rule {
        &self.rules[i]
    }

    fn find_by_host(&self, host: &[u8], search: &mut Search<'_, impl Input, impl Trace>) {
        if let Some(rules) = self.exact.get(host) {
            search.host(rules);
        }
        if self.wildcard.is_empty() {
            return;
        }
        let dots = host.iter().enumerate().skip(1).filter(|&(_, &b)| b == b'.');
        for (dot, _) in dots {
            if let Some(rules) = self.wildcard.get(&host[dot + 1..]) {
                search.host(rules);
            }
        }
    }
}

impl Host {
    fn insert(&mut self, path: &PathMatch, rank: u32) {
        self.lowest.get_or_insert(rank);
        match path {
            PathMatch::Any => self.any.push(rank),
            PathMatch::Prefix(prefix) => self.prefixes.insert(prefix, rank),
            PathMatch::Exact(path) => self.exact.entry(path.as_bytes().into()).or_default().push(rank),
            PathMatch::Regex(_) => self.regexes.push(rank),
        }
    }
}

/// One search: the lowest rank that matches so far. Whatever cannot beat it is not looked at.
struct Search<'a, I, T> {
    router: &'a Router,
    input: &'a I,
    best: Option<u32>,
    trace: &'a mut T,
}

/// By rank: why the rule did not match, `None` where it did.
type LookedAt = HashMap<u32, Option<Verdict>>;

impl Trace for LookedAt {
    fn tried(&mut self, rank: u32, missed: Option<Verdict>) {
        self.insert(rank, missed);
    }
}

impl<I: Input, T: Trace> Search<'_, I, T> {
    fn host(&mut self, host: &Host) {
        if !host.lowest.is_some_and(|lowest| self.beats(lowest)) {
            return;
        }
        let path = self.input.path();
        if !host.exact.is_empty()
            && let Some(ranks) = host.exact.get(path)
        {
            self.ranks(ranks);
        }
        host.prefixes.deepest_first(path, |ranks| self.ranks(ranks));
        self.ranks(&host.regexes);
        self.ranks(&host.any);
    }

    fn ranks(&mut self, ranks: &[u32]) {
        for &rank in ranks {
            if !self.beats(rank) {
                return;
            }
            let rule = &self.router.rules[self.router.ranked[rank as usize] as usize];
            let path = match &rule.path {
                PathMatch::Regex(regex) => regex.is_match(self.input.path()),
                // Found by it.
                _ => true,
            };
            let missed = match path {
                true => rule.conditions.iter().position(|c| !c.holds(self.input)).map(Verdict::Condition),
                false => Some(Verdict::Path),
            };
            self.trace.tried(rank, missed);
            if missed.is_none() {
                self.best = Some(rank);
                return;
            }
        }
    }

    fn beats(&self, rank: u32) -> bool {
        self.best.is_none_or(|best| rank < best)
    }
}

/// What ranks a rule; the smaller the more specific.
pub(super) fn specificity(rule: &Rule) -> impl Ord + use<> {
    let host = match &rule.host {
        HostMatch::Exact(_) => (0, Reverse(0)),
        HostMatch::Wildcard(name) => (1, Reverse(key(name).len())),
        HostMatch::Any => (2, Reverse(0)),
    };
    let path = match &rule.path {
        PathMatch::Exact(_) => (0, Reverse(0)),
        PathMatch::Prefix(prefix) => (1, Reverse(prefix.trim_end_matches('/').len())),
        PathMatch::Regex(regex) => (1, Reverse(regex.as_str().len())),
        PathMatch::Any => (2, Reverse(0)),
    };
    (Reverse(rule.priority), host, path, Reverse(rule.conditions.len()))
}

/// A configured host as it is compared: lower case, no dot at the end.
fn key(name: &str) -> Box<[u8]> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into_bytes().into()
}

/// The host asked for as it is compared, in the given buffer.
fn lower<'a>(host: &[u8], buffer: &'a mut [u8; LONGEST_HOST]) -> Option<&'a [u8]> {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let lowered = buffer.get_mut(..host.len())?;
    lowered.iter_mut().zip(host).for_each(|(to, from)| *to = from.to_ascii_lowercase());
    Some(lowered)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::reference::Request;
    use super::super::{Condition, ValueMatch};
    use super::*;

    fn rule(host: &str, path: &str) -> Rule {
        Rule {
            priority: 0,
            host: match host.strip_prefix("*.") {
                _ if host.is_empty() => HostMatch::Any,
                Some(name) => HostMatch::Wildcard(name.into()),
                None => HostMatch::Exact(host.into()),
            },
            path: match path.split_at_checked(1) {
                None => PathMatch::Any,
                Some(("=", exact)) => PathMatch::Exact(exact.into()),
                Some(("~", regex)) => PathMatch::Regex(regex.parse().unwrap()),
                Some(_) => PathMatch::Prefix(path.into()),
            },
            conditions: Vec::new(),
        }
    }

    #[test]
    fn the_most_specific_wins_whatever_the_order() {
        // From the least to the most specific, for a request that all of them match.
        let mut rules = vec![
            rule("", ""),
            rule("", "/"),
            rule("", "/api/v1"),
            rule("", "=/api/v1/x"),
            rule("*.com", ""),
            rule("*.com", "/api"),
            rule("*.example.com", ""),
            rule("shop.example.com", ""),
            rule("shop.example.com", "/"),
            rule("shop.example.com", "~/v"),
            rule("shop.example.com", "/api"),
            rule("shop.example.com", "~^/api/v[0-9]"),
            rule("shop.example.com", "=/api/v1/x"),
        ];
        let with = |conditions: Vec<Condition>| Rule { conditions, ..rule("shop.example.com", "=/api/v1/x") };
        let get = || Condition::Method(vec!["GET".into()]);
        rules.push(with(vec![get()]));
        rules.push(with(vec![get(), Condition::ClientIp(vec!["203.0.113.0/24".parse().unwrap()])]));
        rules.push(Rule { priority: 1, ..rule("", "") });
        let request = Request::get("SHOP.example.com.", "/api/v1/x");
        while !rules.is_empty() {
            assert_eq!(Router::new(rules.clone()).find(&request), Some(rules.len() - 1));
            let reversed: Vec<Rule> = rules.iter().rev().cloned().collect();
            assert_eq!(Router::new(reversed).find(&request), Some(0));
            rules.pop();
        }
    }

    #[test]
    fn a_prefix_is_one_of_segments() {
        for prefix in ["/api", "/api/"] {
            let router = Router::new(vec![rule("", prefix)]);
            let served = |path: &str| router.find(&Request::get("a", path)).is_some();
            assert!(["/api", "/api/", "/api/x", "/api/x/y"].into_iter().all(served));
            assert!(!["/apix", "/ap", "/", "/x/api", "/API"].into_iter().any(served));
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_or_more_labels() {
        let router = Router::new(vec![rule("*.example.com", "")]);
        let served = |host: &str| router.find(&Request::get(host, "/")).is_some();
        assert!(["a.example.com", "a.b.Example.COM", "a.example.com."].into_iter().all(served));
        assert!(!["example.com", ".example.com", "aexample.com", "a.example.org", ""].into_iter().any(served));
    }

    #[test]
    fn among_10_000_routes_only_those_of_the_same_host_and_path_are_tried() {
        let asks = |i: usize| Condition::Method(vec![format!("M{i}")]);
        let rules = (0..10_000)
            .map(|i| Rule { conditions: vec![asks(i)], ..rule(&format!("h{}.example.com", i % 100), &format!("/s{}", i / 100)) });
        let request = CountsMethod(Request::get("h7.example.com", "/s33/x"), 0.into());
        let router = Router::new(rules.chain([rule("*.example.com", "")]).collect());
        assert_eq!(router.find(&request), Some(10_000));
        assert_eq!(request.1.get(), 1);
    }

    /// A request that counts how often its method is asked for.
    struct CountsMethod(Request, std::cell::Cell<u32>);

    impl Input for CountsMethod {
        fn host(&self) -> &[u8] {
            self.0.host()
        }
        fn path(&self) -> &[u8] {
            self.0.path()
        }
        fn method(&self) -> &[u8] {
            self.1.set(self.1.get() + 1);
            b"GET"
        }
        fn query(&self) -> &[u8] {
            self.0.query()
        }
        fn header(&self, lower_name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            self.0.header(lower_name, test)
        }
        fn client_ip(&self) -> std::net::IpAddr {
            self.0.client_ip()
        }
    }

    #[test]
    fn absurd_hosts_and_paths_are_no_trouble() {
        let router = Router::new(vec![rule("a", "/"), rule("*.a", "/"), rule("", "/x")]);
        let (long, deep) = ("a.".repeat(2000), "/x".repeat(4000));
        assert_eq!(router.find(&Request::get(&long, &deep)), Some(2));
        assert_eq!(router.find(&Request::get(&"a.".repeat(127), "/")), Some(1));
        assert_eq!(router.find(&Request::get("", "")), None);
        assert_eq!(Router::new(Vec::new()).find(&Request::get("a", "/")), None);
    }

    #[test]
    fn a_rule_whose_conditions_fail_leaves_the_request_to_the_next() {
        let gold = Condition::Header { name: "X-Tier".into(), value: ValueMatch::Exact("gold".into()) };
        let router = Router::new(vec![rule("a", ""), Rule { conditions: vec![gold], ..rule("a", "/api") }]);
        let mut request = Request::get("a", "/api");
        assert_eq!(router.find(&request), Some(0));
        request.headers.push(("x-tier", "gold".into()));
        assert_eq!(router.find(&request), Some(1));
    }
}
