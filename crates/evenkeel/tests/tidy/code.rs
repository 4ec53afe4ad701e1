//! Source text as the rules see it: no comments, no literals, no test modules; then its names, joined to paths.

/// A path as written (`std::time::Instant`, `println!`, `unsafe`), with `use` trees spread out, and its line.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Mention {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// What the code outside its test modules mentions.
pub(crate) fn mentions(text: &str) -> Vec<Mention> {
    let code = without_tests(&strip(text));
    let tokens = tokens(&code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // Not `use<'a>`, which captures a lifetime.
        if tokens[at].text == "use" && tokens.get(at + 1).is_some_and(|next| next.text != "<") {
            at = spread(&tokens, at + 1, &[], &mut found);
        } else if tokens[at].is_name() {
            let line = tokens[at].line;
            let mut path = vec![tokens[at].text.clone()];
            while at + 2 < tokens.len() && tokens[at + 1].text == "::" && tokens[at + 2].is_name() {
                at += 2;
                path.push(tokens[at].text.clone());
            }
            if tokens.get(at + 1).is_some_and(|next| next.text == "!") {
                path.last_mut().expect("a path has a name").push('!');
            }
            found.push(Mention { line, path });
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Comments, strings and characters become spaces; lines stay where they are.
pub(crate) fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Blanks every item under `#[cfg(test)]`. Takes stripped code.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.to_owned();
    while let Some(start) = out.find(MARK) {
        let end = item_end(&out[start + MARK.len()..]) + start + MARK.len();
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Where the item at the start of `code` ends: behind its `;` or behind the brace that closes it.
fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Where a comment or literal that begins at `at` ends; `at` itself if none begins there.
fn skipped(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or(' ');
    let after_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == '/' => until(chars, at, |rest| rest[0] == '\n', 0),
        '/' if next(1) == '*' => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        'r' if !after_name && (next(1) == '"' || next(1) == '#') => raw_string_end(chars, at + 1).unwrap_or(at),
        'b' | 'c' if !after_name && next(1) == 'r' => raw_string_end(chars, at + 2).unwrap_or(at),
        '\'' if next(1) == '\\' => until(chars, at + 3, |rest| rest[0] == '\'', 1),
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn until(chars: &[char], from: usize, stop: impl Fn(&[char]) -> bool, behind: usize) -> usize {
    (from..chars.len()).find(|i| stop(&chars[*i..])).map_or(chars.len(), |i| i + behind)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') if depth == 1 => return i + 2,
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// `at` stands behind the `r`. `None` for a raw identifier such as `r#type`.
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closes = |rest: &[char]| rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|c| *c == '#');
    Some(until(chars, at + hashes + 1, closes, hashes + 1))
}

struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

fn tokens(code: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        let mut text = c.to_string();
        if c == '\n' {
            line += 1;
        }
        if c.is_whitespace() {
            continue;
        }
        if c.is_alphanumeric() || c == '_' {
            while let Some(more) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                text.push(more);
            }
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            text.push(':');
        }
        found.push(Token { line, text });
    }
    found
}

/// Spreads the `use` tree at `at` into one path a leaf; returns where it ends.
fn spread(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Mention>) -> usize {
    let mut path = before.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => {}
            "{" => {
                at += 1;
                // A `;` in a tree is no Rust; it must still end.
                while tokens.get(at).is_some_and(|token| token.text != "}" && token.text != ";") {
                    at = spread(tokens, at, &path, found);
                    if tokens.get(at).is_some_and(|token| token.text == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            // The new name of an import says nothing about where it comes from.
            "as" => at += 1,
            "," | "}" | ";" => break,
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    found.push(Mention { line, path });
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        mentions(text).iter().map(|mention| mention.path.join("::")).collect()
    }

    #[test]
    fn use_trees_are_spread_out() {
        let text = "use std::{env, net::{IpAddr as Ip, TcpStream}, time::*};";
        assert_eq!(paths(text), ["std::env", "std::net::IpAddr", "std::net::TcpStream", "std::time::*"]);
    }

    #[test]
    fn comments_literals_and_tests_are_not_code() {
        let text = "//! unsafe\n/* tokio /* x */ tokio */ a(\"tokio\\\" tokio\", r#\"tokio \" tokio\"#, b\"tokio\", 't', '\\'', br\"tokio\");\n\
                    #[cfg(test)]\nmod tests { fn t() { tokio::x() } }\n#[cfg(test)]\nuse tokio::y;\nfn last<'tokio>() {}";
        let found = paths(text);
        assert!(!found.iter().any(|path| path.starts_with("tokio::") || path == "unsafe"), "{found:?}");
        assert!(found.contains(&"last".to_owned()), "{found:?}");
    }

    #[test]
    fn text_that_is_no_rust_ends_too() {
        assert_eq!(
            paths("fn f() -> impl Fn() + use<'a> { x; }\nuse a::{b; c"),
            ["fn", "f", "impl", "Fn", "use", "a", "x", "a::b", "c"]
        );
    }

    #[test]
    fn a_mention_knows_its_line_and_whether_it_is_a_macro() {
        let found = mentions("\n/*\n*/\nfn f() {\n    println!(\"\");\n}");
        assert!(found.contains(&Mention { line: 5, path: vec!["println!".to_owned()] }), "{found:?}");
    }
}
