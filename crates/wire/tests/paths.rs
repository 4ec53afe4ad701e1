//! Paths: rows D1 and D2 of the safety contract.

use wire::h1::path::{BadPath, Normal, Policy, normalise};

fn normal_with(path: &str, policy: Policy) -> Result<String, BadPath> {
    let mut out = b"what was there before".to_vec();
    Ok(match normalise(path.as_bytes(), policy, &mut out)? {
        Normal::Unchanged => path.to_owned(),
        Normal::Rewritten => String::from_utf8_lossy(&out).into_owned(),
    })
}

fn normal(path: &str) -> Result<String, BadPath> {
    normal_with(path, Policy::default())
}

#[test]
fn a_normal_path_is_left_alone_d1() {
    for path in ["/", "/a", "/a/b.c/", "/a.b/..c/...", "/a/b;c=d", "/~x/!$&'()*+,=:@|{}\"<>^`[]", "/a%20b", "/%C3%A9", "/a%252e"] {
        let mut out = Vec::new();
        assert_eq!(normalise(path.as_bytes(), Policy::default(), &mut out), Ok(Normal::Unchanged), "{path}");
    }
}

#[test]
fn every_spelling_of_a_path_becomes_one_d1() {
    for (path, expected) in [
        ("", "/"),
        ("//", "/"),
        ("///a//b///", "/a/b/"),
        ("/.", "/"),
        ("/./a/./b/.", "/a/b/"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/../", "/a/"),
        ("/a/b/../../c", "/c"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("/a//../b", "/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/.%2e", "/"),
        ("/%2e/a", "/a"),
        ("/%61%2Dz%7e", "/a-z~"),
        ("/%c3%a9%3f", "/%C3%A9%3F"),
        ("/a%2e%2e", "/a.."),
        ("/.hidden", "/.hidden"),
    ] {
        assert_eq!(normal(path).as_deref(), Ok(expected), "{path}");
    }
}

#[test]
fn a_path_that_servers_read_differently_is_refused_d2() {
    for (path, bad) in [
        ("/a%2Fb", BadPath::EscapedByte),
        ("/a%2fb", BadPath::EscapedByte),
        ("/a%5Cb", BadPath::EscapedByte),
        ("/a%00", BadPath::EscapedByte),
        ("/%0d%0a", BadPath::EscapedByte),
        ("/%7f", BadPath::EscapedByte),
        ("/a\\b", BadPath::Byte),
        ("/a b", BadPath::Byte),
        ("/a?b", BadPath::Byte),
        ("/\u{e9}", BadPath::Byte),
        ("/%", BadPath::Escape),
        ("/%4", BadPath::Escape),
        ("/%4g", BadPath::Escape),
        ("/%%41", BadPath::Escape),
        ("/%u0041", BadPath::Escape),
        ("/a/..;/b", BadPath::DotSegment),
        ("/a/..;x=y/b", BadPath::DotSegment),
        ("/a/%2e%2e;/b", BadPath::DotSegment),
        ("/a/..%3b/b", BadPath::DotSegment),
        ("/.;/a", BadPath::DotSegment),
        ("a", BadPath::NotAbsolute),
        ("../a", BadPath::NotAbsolute),
    ] {
        assert_eq!(normal(path), Err(bad), "{path}");
    }
}

#[test]
fn an_escaped_slash_may_be_kept_but_hides_no_dots_d2() {
    let kept = |path: &str| normal_with(path, Policy { keep_encoded_slash: true });
    assert_eq!(kept("/a%2fb/../c%2Fd").as_deref(), Ok("/c%2Fd"));
    assert_eq!(kept("/a%2F..b/..c%2f").as_deref(), Ok("/a%2F..b/..c%2F"));
    for path in ["/a/..%2fb", "/a%2f../b", "/a%2f%2e%2e%2fb", "/.%2Fa", "/a%2F..;/b", "/a%2f.%3Bx"] {
        assert_eq!(kept(path), Err(BadPath::DotSegment), "{path}");
    }
    assert_eq!(kept("/a%5cb"), Err(BadPath::EscapedByte));
}
