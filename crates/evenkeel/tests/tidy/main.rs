//! Holds the house to its plan: who may import whom, and what each room never does (ARCHITECTURE.md).
//!
//! Works on the text of manifests and sources, so it needs nothing built. What it cannot see from text (a lock passed in
//! by value, a name re-exported under another) stays a matter of review.

mod arrows;
mod code;
mod names;
mod rules;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A place where the code leaves the plan.
#[derive(PartialEq, Eq, Debug)]
struct Fault {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// A source file by its path from the root of the project.
struct Source {
    path: String,
    text: String,
}

#[test]
fn every_source_keeps_the_nevers_of_its_room() {
    let sources = sources();
    assert!(sources.len() > 20, "the sources were not found");
    report(sources.iter().flat_map(|source| rules::check(source).into_iter().chain(names::check(source))).collect());
}

#[test]
fn every_manifest_imports_downwards_only() {
    let manifests = files("Cargo.toml");
    assert!(manifests.len() > 5, "the manifests were not found");
    report(manifests.iter().flat_map(|source| arrows::check(&source.path, &source.text)).collect());
}

#[test]
fn no_dependency_is_older_than_its_last_known_advisory() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the workspace has a lock file");
    report(arrows::check_lock(&lock));
}

fn report(faults: Vec<Fault>) {
    let text: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(text.is_empty(), "{} fault(s):\n{}", text.len(), text.join("\n"));
}

fn sources() -> Vec<Source> {
    files(".rs")
}

/// Every file of the workspace members whose name ends so.
fn files(end: &str) -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["crates", "bench"] {
        collect(&root.join(folder), end, &mut found);
    }
    found.sort();
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a listed file can be read");
        let path = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        Source { path, text }
    };
    found.into_iter().map(source).collect()
}

fn collect(folder: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            collect(&path, end, found);
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/evenkeel stands two below the root").to_owned()
}
