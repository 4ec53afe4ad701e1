//! `/etc/hosts` and `localhost`: what is known without asking anybody. Read anew each time, for containers rewrite it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// The addresses that the file at `path` gives `name`, or those that `localhost` always has. Empty if there are none.
pub(super) fn look_up(path: &Path, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let found = std::fs::read(path).map(|text| find(&String::from_utf8_lossy(&text), &name)).unwrap_or_default();
    // RFC 6761 section 6.3: never asked of a server.
    if found.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
        return vec![Ipv4Addr::LOCALHOST.into()];
    }
    found
}

fn find(text: &str, name: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let matching = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name)).then_some(address)
    });
    matching.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_found_whatever_their_case_and_comments_are_not() {
        let text =
            "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost\n10.0.0.7  DB.internal db # spare\n#10.0.0.8 db\nnonsense db\n";
        let found = |name| find(text, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(found("db"), ["10.0.0.7"]);
        assert_eq!(found("db.internal"), ["10.0.0.7"]);
        assert!(found("spare").is_empty() && found("10.0.0.7").is_empty());
    }

    #[test]
    fn localhost_is_known_without_a_file() {
        let at = |name| look_up(Path::new("/no/such/file"), name);
        assert_eq!(at("localhost"), [Ipv4Addr::LOCALHOST]);
        assert_eq!(at("shop.LocalHost."), [Ipv4Addr::LOCALHOST]);
        assert!(at("example.com").is_empty());
    }
}
