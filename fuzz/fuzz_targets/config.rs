//! Configuration text: the parser never panics, and every fault it reports lies in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    // Files and variables of the machine that fuzzes are none of its business.
    if text.contains("file") || text.contains("env") {
        return;
    }
    let faults = match config::parse("evenkeel.toml", &text) {
        Ok(config) => config.warnings,
        Err(report) => report.faults().to_vec(),
    };
    for fault in &faults {
        assert!(text.get(fault.span.clone()).is_some(), "{fault:?} is not in the text");
        assert!(!fault.render(true).is_empty());
    }
});
