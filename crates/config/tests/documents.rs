//! The configurations that people copy: `examples/`, and what the pages show, are legal and without a warning.
#![allow(clippy::unwrap_used)]

use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn legal(name: &str, text: &str) {
    match config::parse(name, text) {
        Ok(config) => assert!(config.warnings.is_empty(), "{:?}", config.warnings),
        Err(report) => panic!("{report}"),
    }
}

/// As [`legal`], but something may be missing that stands elsewhere, secrets in the environment too.
fn fragment(name: &str, text: &str) {
    if let Err(report) = config::parse(name, text) {
        let missing = |message: &str| {
            message.contains(" needs `")
                || message.starts_with("the file has no")
                || message.starts_with("nothing is configured")
                || message.contains("there is no pool")
                || message.starts_with("the environment variable")
        };
        assert!(report.faults().iter().all(|fault| missing(&fault.message)), "{report}");
    }
}

#[test]
fn every_example_is_legal() {
    let mut seen = 0;
    for entry in std::fs::read_dir(Path::new(ROOT).join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            legal(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn every_configuration_in_the_pages_is_legal() {
    for page in ["README.md", "docs/guide.md", "docs/policy.md", "docs/reference.md"] {
        let text = std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        for block in text.split("```toml\n").skip(1) {
            fragment(page, block.split("```").next().unwrap());
        }
    }
}
