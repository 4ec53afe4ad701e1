//! From the file system: where secrets are looked for, and files that can't be read.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn secrets_are_read_beside_the_file_and_lose_their_last_line_break() {
    let folder = folder("secrets");
    std::fs::write(folder.join("token.txt"), "0123456789abcdef\r\n").unwrap();
    let path = folder.join("evenkeel.toml");
    std::fs::write(&path, "listen = ':80'\nbackends = ['a']\nadmin = { token = { file = 'token.txt' } }").unwrap();
    let config = config::load(&path).unwrap();
    assert_eq!(config.source.as_deref(), Some(path.as_path()));
    let token = config.admin.as_ref().unwrap().token.clone().unwrap();
    assert_eq!(token.expose(), "0123456789abcdef");
    assert!(!format!("{config:?} {token}").contains("0123456789abcdef"));
}

#[test]
fn a_file_that_is_missing_a_folder_or_not_text_is_a_report() {
    let folder = folder("unreadable");
    let binary = folder.join("binary.toml");
    std::fs::write(&binary, b"listen = \"\xff\"").unwrap();
    for (path, why) in
        [(folder.join("missing.toml"), "No such file"), (folder.clone(), "directory"), (binary, "it is not UTF-8 from byte 10 on")]
    {
        let report = config::load(&path).unwrap_err();
        let text = report.to_string();
        assert!(text.starts_with("error: can't read ") && text.contains(why), "{text}");
        assert_eq!(report.faults()[0].file(), path.display().to_string());
    }
}
