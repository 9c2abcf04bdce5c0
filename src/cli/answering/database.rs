//! The database behind a question: found by the flags, asked for rows, its answer shown.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::live::on_this_console;
use crate::cli::args::chat::{ModelArgs, SourceArgs};
use crate::cli::ui::rows::{footer, render};
use crate::cli::ui::{RowFormat, Ui, escape};
use crate::data::template::Layout;
use crate::db::{Limits, QueryError, Rows, Source};
use crate::error::{Problem, Result};
use crate::generate::conversation::Answer;

/// The database that the flags name.
pub(in crate::cli) fn source_of(args: &SourceArgs) -> Result<Option<Source>> {
    match (&args.db, &args.db_config) {
        (Some(name), config) => source_named(name, config.as_deref()).map(Some),
        (None, Some(config)) => Source::from_config(config, None).map(Some),
        (None, None) => Ok(None),
    }
}

/// The database of this address, or of this name in a configuration file.
pub(in crate::cli) fn source_named(name: &str, config: Option<&Path>) -> Result<Source> {
    match config {
        // An address is an address even beside a file of names.
        Some(config) if !name.contains(':') => Source::from_config(config, Some(name)),
        _ => Ok(name.parse()?),
    }
}

/// What `--db` was given, without the password that it may hold.
pub(super) fn without_password(name: &str) -> String {
    match name.parse() {
        Ok(Source::Postgres(address)) => address.to_string(),
        _ => name.to_owned(),
    }
}

/// The layout that `--layout`, or `--format` with a layout's name, asks for.
pub(super) fn layout_flag(model: &ModelArgs) -> Result<Option<&str>> {
    let mut named = model.layout.as_deref();
    for format in &model.format {
        match (Layout::from_name(format), RowFormat::from_name(format)) {
            (Some(_), _) => named = named.or(Some(format)),
            (None, Some(_)) => {}
            (None, None) => {
                return Err(Problem::usage(format!("there is no format and no prompt layout `{format}`"))
                    .hint(format!(
                        "--format takes {} for rows, or a layout as --layout does",
                        RowFormat::NAMES.join(", ")
                    ))
                    .into());
            }
        }
    }
    Ok(named)
}

/// How rows are to be shown.
pub(in crate::cli) fn row_format(model: &ModelArgs) -> Option<RowFormat> {
    model.format.iter().rev().find_map(|format| RowFormat::from_name(format))
}

/// What became of an answer that was to be run.
#[derive(Debug)]
pub(in crate::cli) enum Executed {
    /// Its rows.
    Rows(Rows),
    /// It was not run, and why.
    NotRun(String),
    /// The database did not accept it.
    Failed(QueryError),
}

/// Runs an answer. One that was cut off is never run: half a statement may mean something else.
pub(in crate::cli) fn execute(answer: &Answer, source: &Source) -> Executed {
    if !answer.finish.is_complete() {
        return Executed::NotRun("the answer is incomplete".into());
    }
    execute_sql(&answer.sql, source)
}

/// Runs a statement that somebody wrote or edited.
pub(in crate::cli) fn execute_sql(sql: &str, source: &Source) -> Executed {
    match source.query(sql, &Limits::default()) {
        Ok(rows) => Executed::Rows(rows),
        Err(QueryError::Refused(reason)) => Executed::NotRun(reason),
        Err(error) => Executed::Failed(error),
    }
}

impl Executed {
    /// `{rows…}` or `{error, kind}`.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Rows(rows) => rows.to_json(),
            Self::NotRun(reason) => json!({"error": reason, "kind": "refused"}),
            Self::Failed(error) => json!({"error": error.to_string(), "kind": error.kind()}),
        }
    }

    /// Shows rows on stdout, everything else on stderr. Whether the database gave an answer, or was not to be asked.
    pub fn show(&self, format: RowFormat, timing: bool, ui: &Ui) -> Result<bool> {
        match self {
            Self::Rows(rows) => {
                let text = render(rows, format)?;
                match format {
                    RowFormat::Table => ui.data(&on_this_console(&text))?,
                    _ => ui.data_untrusted(&text)?,
                }
                if timing || rows.truncated {
                    ui.note(&footer(rows));
                }
            }
            Self::NotRun(reason) => ui.warn(&escape(&format!("not run: {reason}"))),
            Self::Failed(error) => {
                ui.warn(&escape(&format!("the database refused the answer: {error}")));
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_has_no_password() {
        assert_eq!(without_password("postgres://u:secret@h/d"), "postgres://u@h:5432/d");
        assert_eq!(without_password("sqlite:shop.db"), "sqlite:shop.db");
    }

    #[test]
    fn a_format_is_of_rows_or_of_prompts() {
        let model = |layout: Option<&str>, format: &[&str]| ModelArgs {
            layout: layout.map(str::to_owned),
            format: format.iter().map(|name| (*name).to_owned()).collect(),
            ..ModelArgs::default()
        };
        let csv = model(Some("alpaca"), &["csv"]);
        assert_eq!((layout_flag(&csv).unwrap(), row_format(&csv)), (Some("alpaca"), Some(RowFormat::Csv)));
        let old = model(None, &["chatml"]);
        assert_eq!((layout_flag(&old).unwrap(), row_format(&old)), (Some("chatml"), None));
        assert!(layout_flag(&model(None, &["vicuna"])).unwrap_err().to_string().contains("no prompt layout"));
    }
}
