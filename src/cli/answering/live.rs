//! While an answer is drawn: Ctrl+C, the growing text, and what this console can show.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::ui::{Progress, Ui, escape};
use crate::error::Exit;
use crate::generate::decode::Observer;

/// Set by Ctrl+C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl+C stops the running answer; a second one ends the program.
pub(in crate::cli) fn catch_interrupts() {
    // Refused only if this process already watches for Ctrl+C, as `quickstart` may: then that handler decides.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
    });
}

/// Whether Ctrl+C came since the last call.
pub(in crate::cli) fn take_interrupt() -> bool {
    INTERRUPTED.swap(false, Ordering::SeqCst)
}

/// Whether Ctrl+C came.
pub(in crate::cli) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Shows an answer growing.
pub(in crate::cli) struct Live {
    progress: Progress,
    tokens: u64,
    tail: String,
}

/// How much of the growing answer is shown.
const TAIL: usize = 60;

impl Live {
    /// A display for an answer of at most this many tokens.
    pub fn new(max_tokens: usize, ui: &Ui) -> Self {
        Self { progress: ui.progress(max_tokens as u64, "token"), tokens: 0, tail: String::new() }
    }
}

impl Observer for Live {
    fn token(&mut self, sequence: usize, text: &str) {
        // Of several answers the first is shown: they grow at once.
        if sequence > 0 {
            return;
        }
        self.tokens += 1;
        self.tail.push_str(text);
        let from = self.tail.char_indices().rev().nth(TAIL - 1).map_or(0, |(at, _)| at);
        self.tail.drain(..from);
        self.progress.update(self.tokens, &escape(&self.tail.replace(['\n', '\t'], " ")));
    }

    fn interrupted(&mut self) -> bool {
        is_interrupted()
    }
}

/// Text with box characters as this console can show it.
pub(in crate::cli) fn on_this_console(text: &str) -> String {
    if speaks_utf8() { text.to_owned() } else { to_ascii(text) }
}

fn to_ascii(text: &str) -> String {
    text.replace('│', "|").replace('─', "-").replace('┼', "+").replace('…', "...").replace('↵', "\\n")
}

/// Whether the console shows UTF-8: what the locale says; on Windows, whether it is the new terminal.
fn speaks_utf8() -> bool {
    if cfg!(windows) {
        return std::env::var_os("WT_SESSION").is_some();
    }
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    locale.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_an_ascii_form() {
        assert_eq!(to_ascii(" a │ b…\n───┼──"), " a | b...\n---+--");
    }
}
