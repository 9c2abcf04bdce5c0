//! Where the lines of a conversation come from: an editor with history on a terminal, plain lines from a pipe.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use rustyline::config::{Behavior, Config};
use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, Editor};

use crate::error::Result;
use crate::fsx;

/// How many lines the history keeps.
const HISTORY: usize = 1000;

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end.
    Text(String),
    /// Ctrl+C at the prompt.
    Cancelled,
    /// Ctrl+D, or the pipe is empty.
    End,
}

/// A source of lines.
pub(super) enum Lines {
    /// A person at a terminal.
    Terminal {
        /// Reads, edits, remembers.
        editor: Box<DefaultEditor>,
        /// Where the history lives (rustyline writes it with mode 0600).
        history: PathBuf,
    },
    /// A pipe or a file on stdin.
    Pipe,
    /// Prepared lines.
    #[cfg(test)]
    Prepared(std::collections::VecDeque<Line>),
}

impl Lines {
    /// The lines of stdin; the history lies in `home`.
    pub fn open(home: &Path, stdout_is_terminal: bool) -> Result<Self> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Pipe);
        }
        // With stdout in a pipe the prompt must not get into the data.
        let behavior = if stdout_is_terminal { Behavior::Stdio } else { Behavior::PreferTerm };
        let config = Config::builder().behavior(behavior).max_history_size(HISTORY)?.history_ignore_space(true).build();
        let mut editor: DefaultEditor = Editor::with_config(config)?;
        fsx::create_dir_all(home)?;
        let history = home.join("history.txt");
        // None yet, or unreadable: the conversation does not depend on it.
        let _ = editor.load_history(&history);
        Ok(Self::Terminal { editor: Box::new(editor), history })
    }

    /// The next line.
    pub fn next(&mut self, prompt: &str) -> Result<Line> {
        match self {
            Self::Terminal { editor, .. } => match editor.readline(prompt) {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Cancelled),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(error.into()),
            },
            Self::Pipe => {
                let mut line = String::new();
                Ok(match std::io::stdin().lock().read_line(&mut line)? {
                    0 => Line::End,
                    _ => Line::Text(line.trim_end_matches(['\r', '\n']).to_owned()),
                })
            }
            #[cfg(test)]
            Self::Prepared(lines) => Ok(lines.pop_front().unwrap_or(Line::End)),
        }
    }

    /// Lets the person change a text; from a pipe, the next line takes its place.
    pub fn edit(&mut self, prompt: &str, text: &str) -> Result<Line> {
        match self {
            // The editor has one line: line breaks become spaces.
            Self::Terminal { editor, .. } => {
                match editor.readline_with_initial(prompt, (&text.replace(['\n', '\r'], " "), "")) {
                    Ok(line) => Ok(Line::Text(line)),
                    Err(ReadlineError::Interrupted) => Ok(Line::Cancelled),
                    Err(ReadlineError::Eof) => Ok(Line::End),
                    Err(error) => Err(error.into()),
                }
            }
            _ => self.next(prompt),
        }
    }

    /// Puts an entry into the history.
    pub fn remember(&mut self, entry: &str) {
        if let Self::Terminal { editor, history } = self {
            // A history that cannot be written is not worth an error in the middle of a conversation.
            let _ = editor.add_history_entry(entry);
            let _ = editor.append_history(history);
        }
    }

    /// Whether a person is typing.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }
}

/// What the person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// `/name argument`.
    Command(String, String),
    /// A question, its closing `;` removed.
    Question(String),
    /// Enough.
    End,
}

/// Reads a command, or a question of one or more lines that ends in `;` or with an empty line.
pub(super) fn read(lines: &mut Lines, prompt: &str, continued: &str) -> Result<Input> {
    let mut question = String::new();
    loop {
        let line = match lines.next(if question.is_empty() { prompt } else { continued })? {
            Line::Text(line) => line,
            Line::Cancelled => {
                question.clear();
                continue;
            }
            Line::End if question.is_empty() || lines.is_terminal() => return Ok(Input::End),
            Line::End => String::new(),
        };
        if question.is_empty() {
            if let Some(command) = line.trim().strip_prefix('/') {
                let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
                lines.remember(line.trim());
                return Ok(Input::Command(name.to_lowercase(), argument.trim().to_owned()));
            }
            if line.trim().is_empty() {
                continue;
            }
        }
        let ends = line.trim().is_empty() || line.trim_end().ends_with(';');
        if !line.trim().is_empty() {
            if !question.is_empty() {
                question.push('\n');
            }
            question.push_str(line.trim_end());
        }
        if ends {
            lines.remember(&question);
            return Ok(Input::Question(question.trim_end_matches(';').trim_end().to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(lines: &[&str]) -> Vec<Input> {
        let line = |text: &&str| if *text == "^C" { Line::Cancelled } else { Line::Text((*text).to_owned()) };
        let mut lines = Lines::Prepared(lines.iter().map(line).collect());
        let mut inputs = Vec::new();
        loop {
            match read(&mut lines, "> ", ". ").unwrap() {
                Input::End => return inputs,
                input => inputs.push(input),
            }
        }
    }

    #[test]
    fn a_question_ends_with_a_semicolon_or_an_empty_line() {
        let question = |text: &str| Input::Question(text.into());
        assert_eq!(
            inputs(&["", "how many?;", "and", "  how", "", "", "last"]),
            [question("how many?"), question("and\n  how"), question("last")]
        );
        assert_eq!(inputs(&["half a", "^C", "whole;"]), [question("whole")]);
        assert_eq!(inputs(&["not a", "/command;"]), [question("not a\n/command")]);
    }

    #[test]
    fn commands_are_one_line() {
        assert_eq!(
            inputs(&["/HELP", " /schema  a b.sql ", "/"]),
            [
                Input::Command("help".into(), String::new()),
                Input::Command("schema".into(), "a b.sql".into()),
                Input::Command(String::new(), String::new()),
            ]
        );
    }
}
