//! Why a rule took a request or did not, and rules as people read them.

use std::fmt;

use super::{Condition, HostMatch, Input, PathMatch, Rule, ValueMatch};

/// What became of one rule in a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its position in the list given to [`super::Router::new`].
    pub rule: usize,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes the request.
    Taken,
    /// It serves other hosts.
    Host,
    /// It serves other paths.
    Path,
    /// The condition at this position does not hold.
    Condition(usize),
    /// A rule that is more specific takes the request.
    Lost,
}

/// Is told which rules a search looks at.
pub(super) trait Trace {
    /// `missed` is why the rule of this rank did not match.
    fn tried(&mut self, rank: u32, missed: Option<Verdict>);
}

/// Nobody asks.
impl Trace for () {
    fn tried(&mut self, _: u32, _: Option<Verdict>) {}
}

impl Rule {
    /// Why a search need not look at this rule: its host or its path, or else that a more specific one was found before.
    pub(super) fn missed_by(&self, input: &impl Input) -> Verdict {
        if !self.host.serves(input.host()) {
            Verdict::Host
        } else if !self.path.serves(input.path()) {
            Verdict::Path
        } else {
            Verdict::Lost
        }
    }
}

impl HostMatch {
    fn serves(&self, asked: &[u8]) -> bool {
        let asked = asked.strip_suffix(b".").unwrap_or(asked);
        let is = |asked: &[u8], name: &str| asked.eq_ignore_ascii_case(name.strip_suffix('.').unwrap_or(name).as_bytes());
        match self {
            Self::Any => true,
            Self::Exact(name) => is(asked, name),
            Self::Wildcard(name) => {
                let dots = asked.iter().enumerate().skip(1).filter(|&(_, &b)| b == b'.');
                dots.map(|(dot, _)| &asked[dot + 1..]).any(|below| is(below, name))
            }
        }
    }
}

impl PathMatch {
    fn serves(&self, asked: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(path) => asked == path.as_bytes(),
            Self::Prefix(prefix) => {
                let rest = asked.strip_prefix(prefix.trim_end_matches('/').as_bytes());
                rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
            }
            Self::Regex(regex) => regex.is_match(asked),
        }
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

/// As it is written in a configuration.
impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Exact(path) => write!(f, "={path}"),
            Self::Prefix(prefix) => f.write_str(prefix),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

/// What must hold. Values of fields and cookies that carry credentials are not shown.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(methods) => write!(f, "method {}", methods.join(" or ")),
            Self::Header { name, value } if is_credential(name) => value.fmt_of(f, "header", name, true),
            Self::Header { name, value } => value.fmt_of(f, "header", name, false),
            Self::Cookie { name, value } => value.fmt_of(f, "cookie", name, is_credential(name)),
            Self::Query { name, value } => value.fmt_of(f, "query parameter", name, is_credential(name)),
            Self::ClientIp(nets) => {
                write!(f, "client_ip in ")?;
                for (i, net) in nets.iter().enumerate().take(4) {
                    write!(f, "{}{net}", if i == 0 { "" } else { ", " })?;
                }
                if nets.len() > 4 { write!(f, " and {} more", nets.len() - 4) } else { Ok(()) }
            }
        }
    }
}

impl ValueMatch {
    fn fmt_of(&self, f: &mut fmt::Formatter<'_>, what: &str, name: &str, hidden: bool) -> fmt::Result {
        match self {
            Self::Present => write!(f, "{what} {name} is there"),
            Self::Absent => write!(f, "{what} {name} is not there"),
            _ if hidden => write!(f, "{what} {name} is ***"),
            Self::Exact(text) => write!(f, "{what} {name} is {text:?}"),
            Self::Prefix(text) => write!(f, "{what} {name} begins with {text:?}"),
            Self::Regex(regex) => write!(f, "{what} {name} matches ~{regex}"),
        }
    }
}

/// Whether what goes by this name is likely to open a door.
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "token", "secret", "password", "session", "api-key", "apikey", "cookie"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::Router;
    use super::super::reference::Request;
    use super::*;

    fn rule(host: HostMatch, path: &str, conditions: Vec<Condition>) -> Rule {
        let path = path.strip_prefix('=').map_or_else(|| PathMatch::Prefix(path.into()), |exact| PathMatch::Exact(exact.into()));
        Rule { priority: 0, host, path, conditions }
    }

    #[test]
    fn each_rule_says_why_it_does_not_take_the_request() {
        let tier = Condition::Header { name: "X-Tier".into(), value: ValueMatch::Exact("gold".into()) };
        let router = Router::new(vec![
            rule(HostMatch::Any, "/", Vec::new()),
            rule(HostMatch::Any, "/api", vec![tier]),
            rule(HostMatch::Any, "/api", Vec::new()),
            rule(HostMatch::Any, "/other", Vec::new()),
            rule(HostMatch::Exact("b.test".into()), "/api", Vec::new()),
            rule(HostMatch::Wildcard("test".into()), "=/exactly", Vec::new()),
        ]);
        let verdict = |request: &Request| {
            let mut tried = router.explain(request);
            tried.sort_by_key(|tried| tried.rule);
            tried.into_iter().map(|tried| tried.verdict).collect::<Vec<_>>()
        };
        let mut request = Request::get("a.test", "/api/x");
        assert_eq!(
            verdict(&request),
            [Verdict::Lost, Verdict::Condition(0), Verdict::Taken, Verdict::Path, Verdict::Host, Verdict::Path]
        );
        request.headers.push(("x-tier", "gold".into()));
        assert_eq!(verdict(&request), [Verdict::Lost, Verdict::Taken, Verdict::Lost, Verdict::Path, Verdict::Host, Verdict::Path]);
        request.host = "b.test".into();
        assert_eq!(verdict(&request), [Verdict::Lost, Verdict::Lost, Verdict::Lost, Verdict::Path, Verdict::Taken, Verdict::Path]);
    }

    #[test]
    fn what_may_be_a_credential_is_not_shown() {
        let value = || ValueMatch::Exact("hunter2".into());
        for condition in [
            Condition::Header { name: "authorization".into(), value: value() },
            Condition::Cookie { name: "session".into(), value: value() },
            Condition::Query { name: "api_token".into(), value: value() },
        ] {
            assert!(!condition.to_string().contains("hunter2"), "{condition}");
        }
        assert_eq!(Condition::Header { name: "x-tier".into(), value: value() }.to_string(), "header x-tier is \"hunter2\"");
    }
}
