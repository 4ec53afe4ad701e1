//! Golden pairs: every file of `tests/golden/good` next to the model it comes to, every file of `tests/golden/bad` next to what
//! its user is told. `UPDATE_GOLDEN=1 cargo test -p config` writes them anew; look at the difference before you commit it.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

#[test]
fn every_good_file_comes_to_its_model() {
    let files = files("good");
    assert!(files.len() >= 15);
    let mut differing = Vec::new();
    for file in files {
        let config = parse(&file).unwrap_or_else(|report| panic!("{}:\n{report}", file.display()));
        let warnings: String = config.warnings.iter().map(|warning| warning.render(false) + "\n").collect();
        let model = format!("{:#?}\n", config::model::Config { warnings: Vec::new(), ..config });
        differing.extend(differs(&file.with_extension("model"), &(warnings + &model)));
    }
    assert!(differing.is_empty(), "UPDATE_GOLDEN=1 accepts what is new:\n{}", differing.join("\n"));
}

#[test]
fn every_bad_file_is_refused_as_its_user_reads_it() {
    let files = files("bad");
    assert!(files.len() >= 40);
    let mut differing = Vec::new();
    for file in files {
        let report = parse(&file).err().unwrap_or_else(|| panic!("{} was accepted", file.display()));
        differing.extend(differs(&file.with_extension("report"), &report.to_string()));
    }
    assert!(differing.is_empty(), "UPDATE_GOLDEN=1 accepts what is new:\n{}", differing.join("\n"));
}

/// Under a bare name, so that reports read alike everywhere; `{ file = … }` then begins at the crate.
fn parse(file: &Path) -> Result<config::model::Config, config::Report> {
    config::parse("evenkeel.toml", &std::fs::read_to_string(file).unwrap())
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(DIR).join(folder)).unwrap();
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

/// What differs, if anything does and it is not to be accepted.
fn differs(golden: &Path, now: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, now).unwrap();
        return None;
    }
    let before = std::fs::read_to_string(golden).unwrap_or_default();
    (before != now).then(|| format!("--- {}\n{now}", golden.display()))
}
