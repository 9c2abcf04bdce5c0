//! What can be said to the conversation besides questions.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use super::ask_base;
use super::lines::{Line, Lines};
use super::repl::{Repl, RunMode, tempo};
use crate::cli::answering::context_of_db;
use crate::cli::answering::database::{Executed, execute_sql, source_named};
use crate::cli::answering::live::on_this_console;
use crate::cli::ui::rows::render;
use crate::cli::ui::{RowFormat, Table, escape};
use crate::db::{Limits, Rows, Value};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::generate::conversation::{Context, Question};
use crate::manifest::did_you_mean;
use crate::sql::Dialect;

const COMMANDS: [(&str, &str); 14] = [
    ("/help", "this list"),
    ("/schema", "show the tables; FILE, CREATE TABLE …, sqlite:PATH, postgres://… or none sets them"),
    ("/expert", "who answers; /expert NAME[@VERSION] asks another one"),
    ("/run", "run the last answer; /run auto, ask or never says when answers are run"),
    ("/format", "how rows are shown: table, csv, json or sql"),
    ("/explain", "the database's plan for the last answer"),
    ("/edit", "change the last answer, then /run it; /edit SQL replaces it"),
    ("/save", "/save FILE writes the last answer; to FILE.csv or FILE.json, its rows"),
    ("/why", "what speaks for and against the last answer"),
    ("/compare", "the base model's answer to the last question"),
    ("/timing", "show or hide how long things took"),
    ("/settings", "every setting and where it came from"),
    ("/reasoning", "show or hide what the model thinks"),
    ("/exit", "leave (also Ctrl+D)"),
];

pub(super) fn command(repl: &mut Repl<'_>, lines: &mut Lines, name: &str, argument: &str) -> Result<()> {
    match name {
        "help" | "h" | "?" => {
            let text: Vec<String> = COMMANDS.iter().map(|(command, what)| format!("{command:<11} {what}")).collect();
            repl.ui.note(&on_this_console(&text.join("\n")));
        }
        "schema" => schema(repl, argument)?,
        "expert" => expert(repl, argument)?,
        "run" => run(repl, argument)?,
        "format" => format(repl, argument)?,
        "explain" => explain(repl)?,
        "edit" => edit(repl, lines, argument)?,
        "save" => save(repl, argument)?,
        "why" => why(repl)?,
        "compare" => compare(repl)?,
        "timing" => {
            repl.timing = !repl.timing;
            repl.ui.note(if repl.timing { "timing is shown" } else { "timing is hidden" });
        }
        "settings" => repl.crew.current().show_settings(true, repl.ui),
        "reasoning" => {
            repl.show_reasoning = !repl.show_reasoning;
            repl.ui.note(if repl.show_reasoning { "reasoning is shown" } else { "reasoning is hidden" });
        }
        _ => {
            let names = COMMANDS.map(|(command, _)| &command[1..]);
            let close = did_you_mean(name, names).map(|close| format!("did you mean /{close}? "));
            return Err(Problem::usage(format!("there is no command /{name}"))
                .hint(format!("{}/help lists the commands", close.unwrap_or_default()))
                .into());
        }
    }
    Ok(())
}

fn schema(repl: &mut Repl<'_>, argument: &str) -> Result<()> {
    if argument.is_empty() {
        show_schema(repl);
        return Ok(());
    }
    if argument == "none" {
        (repl.context, repl.source) = (None, None);
        repl.ui.note("no schema: table and column names are not checked");
        return Ok(());
    }
    let is_ddl = argument.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("create"));
    let mut source = None;
    let context = if is_ddl {
        read_ddl(repl, argument)
    } else if Path::new(argument).is_file() {
        let text = fsx::read_text(Path::new(argument))?;
        read_ddl(repl, &text)
    } else if argument.contains(':') || repl.args.source.db_config.is_some() {
        let named = source_named(argument, repl.args.source.db_config.as_deref())?;
        context_of_db(source.insert(named), repl.crew.current().sql_dialect(), repl.ui)?
    } else {
        return Err(Problem::input(format!("there is no file {argument}"))
            .hint("/schema takes a file, CREATE TABLE text, sqlite:PATH or postgres://…")
            .into());
    };
    // Tables of a file are not those of the database that was named before.
    repl.source = source;
    repl.context = Some(context);
    show_schema(repl);
    Ok(())
}

fn read_ddl(repl: &Repl<'_>, text: &str) -> Context {
    let (context, warning) = Context::from_text(text, repl.crew.current().sql_dialect());
    if let Some(warning) = warning {
        repl.ui.warn(&escape(&format!("{warning}; names are not checked")));
    }
    context
}

fn show_schema(repl: &Repl<'_>) {
    if let Some(source) = &repl.source {
        repl.ui.note(&escape(&source.to_string()));
    }
    match &repl.context {
        None => repl.ui.note("no schema"),
        Some(Context { schema: Some(schema), .. }) => {
            let mut table = Table::new(["table", "columns"]);
            for entry in schema.tables() {
                let columns: Vec<&str> = entry.columns.iter().map(|column| column.name.text()).collect();
                table.row([entry.name.text(), &columns.join(", ")]);
            }
            repl.ui.note(&on_this_console(&table.render()));
        }
        Some(context) => repl.ui.note(&escape(&context.text)),
    }
}

fn expert(repl: &mut Repl<'_>, argument: &str) -> Result<()> {
    if !argument.is_empty() {
        let begun = Instant::now();
        repl.crew.switch(argument, &repl.args.model, &repl.args.sampling, repl.ui)?;
        if repl.timing {
            repl.ui.note(&format!("switched in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3));
        }
    }
    let current = repl.crew.current();
    repl.ui.note(&format!("{} answers in {}", escape(&current.name), current.dialect));
    let others: Vec<&str> = repl.crew.names().into_iter().filter(|name| *name != current.name).collect();
    if !others.is_empty() {
        repl.ui.note(&escape(&format!("also here: {}", others.join(", "))));
    }
    Ok(())
}

fn run(repl: &mut Repl<'_>, argument: &str) -> Result<()> {
    if argument.is_empty() {
        return repl.run_sql();
    }
    let mode = RunMode::from_name(argument)
        .ok_or_else(|| Problem::usage(format!("`{argument}` is no mode")).hint("/run auto, /run ask or /run never"))?;
    if mode != RunMode::Never && repl.args.run.no_execute {
        return Err(Problem::usage("--no-execute forbids running anything").into());
    }
    repl.mode = mode;
    repl.ui.note(mode.words());
    Ok(())
}

fn format(repl: &mut Repl<'_>, argument: &str) -> Result<()> {
    repl.format = RowFormat::from_name(argument).ok_or_else(|| {
        Problem::usage(format!("`{argument}` is no format")).hint(format!("/format {}", RowFormat::NAMES.join(", ")))
    })?;
    repl.ui.note(&format!("rows are shown as {argument}"));
    Ok(())
}

fn explain(repl: &Repl<'_>) -> Result<()> {
    let (source, sql) = (repl.source()?, repl.sql()?);
    if repl.args.run.no_execute {
        return Err(Problem::usage("--no-execute forbids asking the database").into());
    }
    let command = match source.dialect() {
        Dialect::Sqlite => "EXPLAIN QUERY PLAN",
        _ => "EXPLAIN",
    };
    match execute_sql(&format!("{command} {sql}"), source) {
        Executed::Rows(rows) => repl.ui.data_untrusted(&plan(&rows))?,
        other => {
            other.show(RowFormat::Table, false, repl.ui)?;
        }
    }
    Ok(())
}

/// A plan as text, because a table's cells are cut: PostgreSQL's lines as they come, SQLite's steps each under the one
/// it is part of.
fn plan(rows: &Rows) -> String {
    let mut depths: HashMap<String, usize> = HashMap::new();
    let mut line = |row: &Vec<Value>| match row.as_slice() {
        [id, parent, _, detail] => {
            let depth = depths.get(&parent.to_string()).map_or(0, |depth| depth + 1);
            depths.insert(id.to_string(), depth);
            format!("{}{detail}", "  ".repeat(depth))
        }
        cells => cells.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
    };
    rows.rows.iter().map(&mut line).collect::<Vec<_>>().join("\n")
}

fn edit(repl: &mut Repl<'_>, lines: &mut Lines, argument: &str) -> Result<()> {
    let edited = match argument {
        "" => match lines.edit("sql> ", repl.sql()?)? {
            Line::Text(text) => text,
            Line::Cancelled | Line::End => return Ok(()),
        },
        sql => sql.to_owned(),
    };
    if edited.trim().is_empty() {
        return Ok(());
    }
    repl.ui.data_untrusted(edited.trim())?;
    repl.sql = Some(edited.trim().to_owned());
    if repl.source.is_some() && repl.mode == RunMode::Auto {
        repl.run_sql()?;
    }
    Ok(())
}

fn save(repl: &Repl<'_>, argument: &str) -> Result<()> {
    if argument.is_empty() {
        return Err(Problem::usage("/save needs a file").hint("/save answer.sql or /save rows.csv").into());
    }
    let path = Path::new(argument);
    if path.exists() {
        return Err(Problem::input(format!("{argument} is there already")).hint("save under another name").into());
    }
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => RowFormat::Csv,
        Some("json") => RowFormat::Json,
        _ => RowFormat::Sql,
    };
    let sql = repl.sql()?;
    let text = match format {
        RowFormat::Sql => format!("{}\n", sql.trim_end()),
        _ if repl.args.run.no_execute => {
            return Err(Problem::usage("--no-execute forbids running anything").into());
        }
        format => {
            let rows = repl.source()?.query(sql, &Limits::default()).map_err(Problem::from)?;
            if rows.truncated {
                repl.ui.warn(&format!("only the first {} rows: there are more", rows.rows.len()));
            }
            render(&rows, format)?
        }
    };
    fsx::write_atomic(path, text.as_bytes())?;
    repl.ui.note(&format!("saved to {}", escape(argument)));
    Ok(())
}

fn why(repl: &Repl<'_>) -> Result<()> {
    let Some(best) = &repl.best else {
        return Err(Problem::usage("nothing has been answered yet").hint("ask a question").into());
    };
    let answer = &best.answer;
    let tokens = answer.ids.len().max(1) as f64;
    let mut table = Table::new(["what", "value"]);
    table.row(["who", repl.crew.current().name.as_str()]);
    table.row(["ended by", answer.finish.name()]);
    let mean = (answer.log_probability / tokens).exp() * 100.0;
    table.row(["probability of a token, mean".to_owned(), format!("{mean:.1} %")]);
    table.row(["tokens", &tempo(answer)]);
    match &answer.verdict {
        None => table.row(["checks", "off (--validation none)"]),
        Some(verdict) => {
            let linted = if verdict.linted { "" } else { "; no schema to check names against" };
            let parses = if verdict.parses { "parses as" } else { "does not parse as" };
            table.row(["checks".to_owned(), format!("{parses} {}{linted}", repl.crew.current().dialect)]);
        }
    }
    repl.ui.note(&on_this_console(&table.render()));
    // Not in the table: its cells are cut, and these are sentences.
    for issue in answer.verdict.iter().flat_map(|verdict| &verdict.issues) {
        repl.ui.note(&escape(&format!("against it: {}", issue.message)));
    }
    if let Some(election) = best.table() {
        repl.ui.note(&on_this_console(&election));
    }
    Ok(())
}

fn compare(repl: &Repl<'_>) -> Result<()> {
    if !repl.crew.current().has_adapter() {
        return Err(Problem::usage("the base model answers already").hint("/expert NAME asks an expert").into());
    }
    let Some(question) = repl.question.clone() else {
        return Err(Problem::usage("nothing has been asked yet").hint("ask a question").into());
    };
    let base = ask_base(repl.crew.current(), &Question { text: question, context: repl.context.clone() }, repl.ui)?;
    repl.ui.note(&format!("base model {}:", escape(&repl.crew.current().base_name())));
    repl.ui.data_untrusted(&base.sql)?;
    if let Some(best) = &repl.best {
        repl.ui.note(&format!("{}:", escape(&repl.crew.current().name)));
        repl.ui.data_untrusted(&best.answer.sql)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_lines() {
        let rows =
            |rows: Vec<Vec<Value>>| Rows { columns: Vec::new(), rows, truncated: false, elapsed: Default::default() };
        let step = |id, parent, what: &str| {
            vec![Value::Integer(id), Value::Integer(parent), Value::Integer(0), Value::Text(what.into())]
        };
        let sqlite = rows(vec![step(3, 0, "CO-ROUTINE a"), step(7, 3, "SCAN t"), step(9, 0, "SCAN a")]);
        assert_eq!(plan(&sqlite), "CO-ROUTINE a\n  SCAN t\nSCAN a");
        let long = "->  Seq Scan on customer c  (cost=0.00..18.50 rows=850 width=36)";
        assert_eq!(plan(&rows(vec![vec![Value::Text(long.into())]])), long);
    }
}
