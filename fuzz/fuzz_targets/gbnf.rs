//! Any text as a grammar, and the rest of it as a text to match: an error or a verdict, within the limits.
#![no_main]

use std::sync::Arc;

use expert_cli::grammar::{Grammar, examine};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (grammar, input) = text.split_once('\0').unwrap_or((&text, "SELECT 1"));
    if let Ok(grammar) = Grammar::parse(grammar) {
        let _ = examine(&Arc::new(grammar), input.as_bytes());
    }
});
