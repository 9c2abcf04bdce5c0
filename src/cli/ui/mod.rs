//! Everything a person or a pipe sees: stdout is data, stderr is for people. The only place that prints.
//!
//! With `--json` stdout carries exactly one JSON object, errors included. Text that came from outside (names, cells,
//! model output) is escaped on a terminal and raw in pipes and JSON.

mod progress;
pub mod rows;
mod table;

pub use progress::Progress;
pub use rows::RowFormat;
pub use table::Table;

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::args::Global;
use crate::error::{Exit, Result};

/// The console of one run.
#[derive(Debug, Clone)]
pub struct Ui {
    json: bool,
    quiet: bool,
    stdout_terminal: bool,
    stderr_terminal: bool,
    colour: bool,
    progress: bool,
    /// Data goes here instead of to stdout: a verb run by another verb.
    capture: Option<Arc<Mutex<String>>>,
}

impl Ui {
    /// A console as the flags and the environment (`NO_COLOR`) ask for.
    pub fn new(global: &Global) -> Self {
        let stderr_terminal = std::io::stderr().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json: global.json,
            quiet: global.quiet,
            stdout_terminal: std::io::stdout().is_terminal(),
            stderr_terminal,
            colour: stderr_terminal && !no_colour,
            progress: !global.quiet && !global.json,
            capture: None,
        }
    }

    /// A console that answers in JSON before the flags could be read.
    pub fn for_json() -> Self {
        Self::new(&Global { json: true, ..Global::default() })
    }

    /// A console for a verb that this verb runs: it answers in JSON, which is kept; what it says to people is shown as
    /// this console shows it.
    pub fn nested(&self) -> Self {
        Self { json: true, quiet: self.quiet || self.json, capture: Some(Arc::default()), ..self.clone() }
    }

    /// A console that says nothing but errors, in words: beside the process that speaks.
    pub fn silent(&self) -> Self {
        Self { json: false, quiet: true, progress: false, capture: Some(Arc::default()), ..self.clone() }
    }

    /// What was captured so far, parsed: the JSON object of a nested verb.
    pub fn captured(&self) -> Result<Value> {
        let text = self.capture.as_ref().map(|c| c.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Ok(serde_json::from_str(&text.unwrap_or_default())?)
    }

    /// Whether `--json` was given: then nothing but [`Ui::json`] goes to stdout.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether stdout is a terminal.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_terminal
    }

    /// Whether stderr is a terminal.
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr_terminal
    }

    /// Data on stdout, as it is; a line break is added where the text has none at its end. A reader that went away is
    /// no error.
    pub fn data(&self, text: &str) -> Result<()> {
        if let Some(capture) = &self.capture {
            capture.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        match write!(out, "{text}{end}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Data on stdout that came from outside: escaped if stdout is a terminal.
    pub fn data_untrusted(&self, text: &str) -> Result<()> {
        if self.stdout_terminal { self.data(&escape(text)) } else { self.data(text) }
    }

    /// The one JSON object of a `--json` run: `schema` (`expert-cli.<verb>/1`) first, then the fields of `body`.
    pub fn json(&self, schema: &str, body: Value) -> Result<()> {
        let mut object = serde_json::Map::new();
        object.insert("schema".into(), schema.into());
        if let Value::Object(fields) = body {
            object.extend(fields);
        }
        self.data(&serde_json::to_string_pretty(&Value::Object(object))?)
    }

    /// A line for people on stderr; outside text in it is escaped.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// A warning on stderr.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            self.line(&format!("{} {text}", self.paint("warning:", "33")));
        }
    }

    /// Names the command to run next; a verb that is run by another verb leaves that to it.
    pub fn next(&self, command: &str) {
        if self.capture.is_none() {
            self.note(&format!("\nnext: {command}"));
        }
    }

    /// The error that ends the run: on stderr, and with `--json` on stdout as `expert-cli.error/1`.
    pub fn error(&self, error: &anyhow::Error, exit: Exit, hint: Option<&str>) {
        let message = format!("{error:#}");
        if self.json {
            let body = json!({"error": message, "hint": hint, "exit": exit.code()});
            let _ = self.json("expert-cli.error/1", body);
            return;
        }
        self.line(&format!("{} {message}", self.paint("error:", "31;1")));
        if let Some(hint) = hint {
            self.line(&format!("\n{} {hint}", self.paint("hint:", "36")));
        }
    }

    /// A progress bar on stderr: drawn on a terminal, plain lines every few seconds elsewhere, nothing when quiet.
    pub fn progress(&self, total: u64, unit: &'static str) -> Progress {
        Progress::new(total, unit, self.stderr_terminal, !self.progress)
    }

    /// Asks a yes/no question on the terminal; `default` without one.
    pub fn confirm(&self, question: &str, default: bool) -> bool {
        if !self.stderr_terminal || !std::io::stdin().is_terminal() {
            return default;
        }
        self.line(&format!("{question} [{}]", if default { "Y/n" } else { "y/N" }));
        let mut answer = String::new();
        match std::io::stdin().read_line(&mut answer) {
            Ok(_) if answer.trim().is_empty() => default,
            Ok(_) => matches!(answer.trim().to_lowercase().as_str(), "y" | "yes" | "s" | "sim"),
            Err(_) => default,
        }
    }

    /// ANSI colour `code` around `text` where stderr shows colours.
    pub fn paint(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn line(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// Text made safe for a terminal: control characters, bidirectional overrides and other invisible code points are
/// shown as `\u{…}`; tab and line feed stay.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        if (c.is_control() && c != '\n' && c != '\t') || hidden {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_invisible_characters_are_shown() {
        for (raw, shown) in [
            ("a\tb\nc", "a\tb\nc"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\r", "\\u{d}"),
            ("\u{7f}", "\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gpj", "\\u{202e}gpj"),
            ("\u{200b}", "\\u{200b}"),
            ("\u{2066}", "\\u{2066}"),
            ("ção 日本 🎉", "ção 日本 🎉"),
        ] {
            assert_eq!(escape(raw), shown);
        }
    }
}
