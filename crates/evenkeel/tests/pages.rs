//! The pages tell the truth: links lead somewhere, and every row of the safety contract is cited by a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_link_between_pages_leads_somewhere() {
    let root = root();
    let mut pages = Vec::new();
    for folder in [root.clone(), root.join("docs")] {
        pages.extend(files(&folder, false).into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    assert!(pages.len() > 5, "the pages were not found");
    let mut dead = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("a listed page can be read");
        let folder = page.parent().expect("a page stands in a folder");
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            if !target.exists() || (!part.is_empty() && !headings(&target).contains(part)) {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn every_row_of_the_safety_contract_is_cited_by_a_test() {
    let contract = fs::read_to_string(root().join("docs/safety.md")).expect("the contract");
    let (held, open) = contract.split_once("## Not held yet").expect("the contract says what is open");
    let open = open.replace("C (", "C1 C2 C3 C4 C5 C6 C7 C8 (");
    let open: BTreeSet<&str> = words(&open).collect();
    let rows: BTreeSet<&str> =
        held.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |")).map(|(row, _)| row).collect();
    let tests: String = files(&root().join("crates"), true).iter().filter_map(|path| test_text(path)).collect();
    let cited: BTreeSet<&str> = words(&tests).collect();
    let rows: Vec<&str> = rows.into_iter().filter(|row| is_row(row) && !open.contains(row)).collect();
    assert!(rows.len() > 40, "the rows were not found: {rows:?}");
    let missing: Vec<&str> = rows.into_iter().filter(|row| !cited.contains(row)).collect();
    assert!(missing.is_empty(), "rows no test cites: {missing:?}");
}

/// The targets of `[text](target)`, those in code left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link).filter(|link| !link.contains([' ', '`']))
}

/// Headings as links spell them.
fn headings(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap_or_default();
    let spell =
        |title: &str| title.to_lowercase().replace(' ', "-").replace(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'), "");
    text.lines().filter(|line| line.starts_with('#')).map(|line| spell(line.trim_start_matches('#').trim())).collect()
}

/// A letter and a number, such as F13.
fn is_row(word: &str) -> bool {
    word.len() >= 2 && word.starts_with(|c: char| ('A'..='F').contains(&c)) && word[1..].chars().all(|c| c.is_ascii_digit())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_row(word))
}

/// What of a file is a test: all below `tests/`, else what follows `#[cfg(test)]`. This file cites nothing.
fn test_text(path: &Path) -> Option<String> {
    let name = path.to_string_lossy();
    if !(name.ends_with(".rs") || name.ends_with(".toml")) || path.ends_with("pages.rs") || name.contains("/tidy/") {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    if name.contains("/tests/") || name.ends_with("/tests.rs") {
        Some(text)
    } else {
        text.split_once("#[cfg(test)]").map(|(_, rest)| rest.to_owned())
    }
}

fn files(folder: &Path, deep: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if deep {
                found.extend(files(&path, true));
            }
        } else {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project exists")
}
