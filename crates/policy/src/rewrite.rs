//! Another path for the backend than the client's.

use regex::bytes::Regex;

/// What becomes of a path, in this order: the prefix goes, the expression replaces, the other prefix comes.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    /// Taken off by segments: `/api` of `/api/x` leaves `/x`, of `/apix` nothing is taken. Without a `/` at its end.
    pub strip: Option<String>,
    /// Where it matches, the whole match is replaced, once; `$1` and `${name}` stand for its groups.
    pub replace: Option<(Regex, String)>,
    /// Put before the rest. Without a `/` at its end.
    pub add: Option<String>,
}

impl Rewrite {
    /// Writes the new path over `out`; false where it stays as it is.
    ///
    /// What comes out is as normal as what went in, but for a replacement: that must be made normal again.
    pub fn apply(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let rest = self.strip.as_ref().and_then(|prefix| without(path, prefix.as_bytes()));
        let begun = rest.unwrap_or(path);
        if let Some(prefix) = &self.add {
            out.extend_from_slice(prefix.as_bytes());
        }
        let replaced = self.replace.as_ref().and_then(|(regex, to)| Some((regex.captures(begun)?, to)));
        match &replaced {
            Some((groups, to)) => {
                let whole = groups.get_match();
                out.extend_from_slice(&begun[..whole.start()]);
                groups.expand(to.as_bytes(), out);
                out.extend_from_slice(&begun[whole.end()..]);
            }
            // A prefix alone is not followed by the `/` of an empty path.
            None if begun == b"/" && self.add.is_some() && rest.is_some() && path.last() != Some(&b'/') => {}
            None => out.extend_from_slice(begun),
        }
        rest.is_some() || replaced.is_some() || self.add.is_some()
    }
}

/// `path` below `prefix`; `/` where it is the prefix itself.
fn without<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    match path.strip_prefix(prefix)? {
        [] => Some(b"/"),
        rest @ [b'/', ..] => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rewritten(strip: &str, replace: Option<(&str, &str)>, add: &str, path: &str) -> Option<String> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let replace = replace.map(|(regex, to)| (Regex::new(regex).unwrap(), to.to_owned()));
        let mut out = b"old".to_vec();
        let rewrite = Rewrite { strip: some(strip), replace, add: some(add) };
        rewrite.apply(path.as_bytes(), &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_prefix_is_taken_off_by_segments() {
        let strip = |path| rewritten("/api", None, "", path);
        assert_eq!(strip("/api/x").as_deref(), Some("/x"));
        assert_eq!(strip("/api").as_deref(), Some("/"));
        assert_eq!(strip("/api/").as_deref(), Some("/"));
        assert_eq!(strip("/apix"), None);
        assert_eq!(strip("/x/api"), None);
    }

    #[test]
    fn a_prefix_is_put_before_and_may_take_the_place_of_another() {
        assert_eq!(rewritten("", None, "/v2", "/x").as_deref(), Some("/v2/x"));
        assert_eq!(rewritten("", None, "/v2", "/").as_deref(), Some("/v2/"));
        assert_eq!(rewritten("/api", None, "/v2", "/api/x").as_deref(), Some("/v2/x"));
        assert_eq!(rewritten("/api", None, "/v2", "/api").as_deref(), Some("/v2"));
        assert_eq!(rewritten("/api", None, "/v2", "/api/").as_deref(), Some("/v2/"));
    }

    #[test]
    fn an_expression_replaces_its_match_with_its_groups() {
        let user = Some(("^/users/([0-9]+)/(?P<rest>.*)$", "/u/${rest}/$1"));
        assert_eq!(rewritten("", user, "", "/users/7/photos").as_deref(), Some("/u/photos/7"));
        assert_eq!(rewritten("", user, "", "/users/x/photos"), None);
        assert_eq!(rewritten("", Some(("old", "new")), "", "/a/old/old").as_deref(), Some("/a/new/old"), "once");
        assert_eq!(rewritten("/api", Some(("^/old", "/new")), "/v2", "/api/old/x").as_deref(), Some("/v2/new/x"));
    }
}
