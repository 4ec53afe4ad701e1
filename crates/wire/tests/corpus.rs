//! Every file the fuzzer starts from, or once stumbled over, is also a test: `fuzz/corpus/<target>/`.
#![allow(clippy::unwrap_used)]

mod checks;

use std::fs;
use std::path::Path;

fn check_all(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let data = fs::read(entry.unwrap().path()).unwrap();
        check(&data);
        // Cut off at every byte, it must be just as harmless.
        for end in 0..data.len().min(600) {
            check(&data[..end]);
        }
        count += 1;
    }
    assert!(count >= 10, "{target} has only {count} files");
}

#[test]
fn the_corpus_of_request_heads_breaks_no_promise() {
    check_all("request_head", checks::request_head);
}

#[test]
fn the_corpus_of_response_heads_breaks_no_promise() {
    check_all("response_head", checks::response_head);
}

#[test]
fn the_corpus_of_chunked_bodies_breaks_no_promise() {
    check_all("chunked_body", checks::chunked_body);
}

#[test]
fn the_corpus_of_paths_breaks_no_promise() {
    check_all("path", checks::path);
}
