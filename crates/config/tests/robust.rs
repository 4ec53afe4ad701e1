//! Whatever the text, `parse` answers: it never panics, and every fault lies in the text.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

/// What both the properties and the corpus of the fuzz target must hold to.
fn holds(text: &str) {
    let faults = match config::parse("evenkeel.toml", text) {
        Ok(config) => config.warnings,
        Err(report) => {
            assert!(!report.faults().is_empty());
            assert!(!report.render(true).is_empty());
            report.faults().to_vec()
        }
    };
    for fault in &faults {
        assert!(text.get(fault.span.clone()).is_some(), "{fault:?} is not in the text");
        assert!(fault.line >= 1 && fault.column >= 1);
        assert!(!fault.message.is_empty());
        assert!(!fault.render(false).contains('\u{1b}'));
    }
    assert!(faults.is_sorted_by_key(|fault| fault.span.start));
}

#[test]
fn every_file_of_the_fuzz_corpus_is_answered() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/config");
    let mut seen = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        // The target reads what is not UTF-8 as its lossy form too.
        holds(&String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()));
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn a_file_cut_short_anywhere_is_answered() {
    let text = include_str!("golden/good/full.toml");
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        holds(&text[..end]);
    }
}

#[test]
fn deep_nesting_and_many_faults_are_answered_soon() {
    let start = std::time::Instant::now();
    let texts = [
        "[".repeat(100_000),
        "a=".to_owned() + &"[".repeat(100_000),
        "a.".repeat(100_000),
        "x = {".repeat(50_000),
        "= 1\n".repeat(50_000),
        "[q]\n".repeat(50_000),
        "a = [\nb = 1\n]\n".repeat(10_000),
    ];
    for text in texts {
        let began = start.elapsed();
        let report = config::parse("evenkeel.toml", &text).unwrap_err();
        assert!(!report.faults().is_empty());
        assert!((start.elapsed() - began).as_secs() < 10, "{:?} for {:?}", start.elapsed() - began, &text[..10]);
    }
    let many: String = (0..20_000).map(|i| format!("unknown{i} = 1\n")).collect();
    assert_eq!(config::parse("evenkeel.toml", &many).unwrap_err().faults().len(), 20_001);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// Words of the language, values of every kind and the marks between them.
const WORDS: &[&str] = &[
    "listen",
    "backends",
    "balance",
    "health",
    "listener",
    "route",
    "pool",
    "match",
    "path",
    "host",
    "timeout",
    "total",
    "limits",
    "body",
    "redirect",
    "respond",
    "request_headers",
    "set",
    "remove",
    "retry",
    "on",
    "idle",
    "admin",
    "token",
    "log",
    "access",
    "env",
    "file",
    "priority",
    "client_ip",
    "method",
    "status",
    "hash",
    "web",
    "=",
    "=",
    "=",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ",",
    ".",
    "\n",
    "\n",
    "\"",
    "'",
    "\"/api/\"",
    "\"~(\"",
    "\"=/x\"",
    "\":80\"",
    "\"127.0.0.1:80\"",
    "\"5s\"",
    "\"16KiB\"",
    "\"20%\"",
    "\"10/s\"",
    "\"{host}\"",
    "\"200-399\"",
    "5",
    "-1",
    "1.5",
    "true",
    "false",
    "1979-05-27",
    "\"\"\"",
    "'''",
    "#",
    "\\",
    "\u{7}",
    "ü",
    "\r\n",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![8 => proptest::sample::select(WORDS).prop_map(str::to_owned), 1 => "\\PC{0,8}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        holds(&text);
    }

    #[test]
    fn any_words_of_the_language_are_answered(words in proptest::collection::vec(word(), 0..60)) {
        holds(&words.join(" "));
    }

    #[test]
    fn a_good_file_with_pieces_replaced_is_answered(edits in proptest::collection::vec((0..1_800_usize, 0..20_usize, word()), 1..6)) {
        let mut text = include_str!("golden/good/full.toml").to_owned();
        for (at, len, word) in edits {
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.floor_char_boundary((start + len).min(text.len()));
            text.replace_range(start..end, &word);
        }
        holds(&text);
    }

    #[test]
    fn any_arguments_are_answered(listen in "\\PC{0,30}", backends in proptest::collection::vec("\\PC{0,30}", 0..4)) {
        if let Err(report) = config::short(&listen, &backends) {
            prop_assert!(!report.to_string().is_empty());
        }
    }
}
