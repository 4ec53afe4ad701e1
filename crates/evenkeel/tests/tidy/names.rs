//! Names and shapes of files: no drawer for odds and ends, a first line that says why a file exists, no giants.

use crate::code::strip;
use crate::{Fault, Source};

/// Rooms that would hold anything.
const DRAWERS: &[&str] = &["core", "common", "util", "utils", "helper", "helpers", "misc", "shared", "manager"];
/// Words that say nothing about a type.
const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils", "Wrapper", "Info", "Data"];
/// Most files are far below; one that reaches this is two rooms.
const LONGEST: usize = 800;

/// What is wrong with the names and the shape of a source.
pub(crate) fn check(source: &Source) -> Vec<Fault> {
    let fault = |line: usize, what: String| Fault { file: source.path.clone(), line, what };
    let mut faults = Vec::new();
    for part in source.path.trim_end_matches(".rs").split('/') {
        if DRAWERS.contains(&part) {
            faults.push(fault(1, format!("`{part}` is a drawer, not a room: put it beside its first user")));
        }
        if part.chars().any(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')) {
            faults.push(fault(1, format!("`{part}` is not written in snake_case")));
        }
    }
    if !source.text.trim_start().starts_with("//!") {
        faults.push(fault(1, "the file does not begin by saying why it exists (`//!`)".to_owned()));
    }
    let length = source.text.lines().count();
    if length > LONGEST {
        faults.push(fault(length, format!("{length} lines: more than {LONGEST} is more than one room")));
    }
    for (at, line) in strip(&source.text).lines().enumerate() {
        if let Some(name) = type_name(line)
            && EMPTY_WORDS.iter().any(|word| name.ends_with(word))
        {
            faults.push(fault(at + 1, format!("`{name}` does not say what it is")));
        }
    }
    faults
}

/// The name a line gives to a type.
fn type_name(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    words.find(|word| ["struct", "enum", "trait", "type", "union"].contains(word))?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&Source { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn drawers_odd_file_names_and_empty_type_names_are_found() {
        assert_eq!(faults("crates/proxy/src/util.rs", "//! Why."), 1);
        assert_eq!(faults("crates/common/src/lib.rs", "//! Why."), 1);
        assert_eq!(faults("crates/proxy/src/ConnPool.rs", "//! Why."), 1);
        assert_eq!(faults("crates/proxy/src/pool.rs", "//! Why.\npub(crate) struct PoolManager;"), 1);
        assert_eq!(faults("crates/proxy/src/pool.rs", "//! Why.\npub(crate) struct Pool;\n// struct PoolInfo"), 0);
    }

    #[test]
    fn a_file_says_why_it_exists_and_is_no_giant() {
        assert_eq!(faults("crates/proxy/src/pool.rs", "use std::fmt;"), 1);
        assert_eq!(faults("crates/proxy/src/pool.rs", &format!("//! Why.\n{}", "\n".repeat(LONGEST))), 1);
    }
}
