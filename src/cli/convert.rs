//! `convert`: SQL on stdin, or a file of rows, from one dialect to another; rows stay in order.

use std::io::{BufRead as _, Read as _, Write as _};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::args::convert::{Args, Fidelity, From, OnUnsupported, To};
use super::ui::Ui;
use crate::error::{Exit, Problem, Result};
use crate::fsx;
use crate::sql::convert::{self, Converter, Source, Target, Unsupported};
use crate::sql::{Dialect, Schema};

/// Rows that are in memory at once: enough to keep the cores busy, few enough to stay small. Price: about 4 MB.
const CHUNK: usize = 4096;

impl std::convert::From<Fidelity> for convert::Fidelity {
    fn from(named: Fidelity) -> Self {
        match named {
            Fidelity::Exact => Self::Exact,
            Fidelity::Idiomatic => Self::Idiomatic,
        }
    }
}

impl std::convert::From<OnUnsupported> for Unsupported {
    fn from(named: OnUnsupported) -> Self {
        match named {
            OnUnsupported::Keep => Self::Keep,
            OnUnsupported::Drop => Self::Drop,
            OnUnsupported::Error => Self::Error,
        }
    }
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let mut converter = Converter::new(
        match args.from {
            From::Auto => None,
            From::Mysql => Some(Source::MySql),
            From::Sqlite => Some(Source::Sqlite),
            From::Postgres => Some(Source::Postgres),
        },
        match args.to {
            To::Postgres => Target::Postgres,
            To::Sqlite => Target::Sqlite,
            To::Mysql => Target::MySql,
            To::Oracle => Target::Oracle,
        },
    );
    converter.fidelity = args.fidelity.into();
    converter.unsupported = args.on_unsupported.into();
    if let Some(path) = &args.context {
        let dialect = converter.from.map_or(Dialect::Generic, Source::dialect);
        converter.context = Some(Arc::new(Schema::parse(&fsx::read_text(path)?, dialect)?));
    }
    match &args.input {
        Some(_) => rows(args, &converter, ui),
        None => one(args, &converter, ui),
    }
}

fn one(args: &Args, converter: &Converter, ui: &Ui) -> Result<()> {
    let mut sql = String::new();
    std::io::stdin().read_to_string(&mut sql)?;
    if sql.trim().is_empty() {
        return Err(Problem::usage("there is no SQL on stdin")
            .hint("echo \"SELECT 1\" | expert-cli convert --from sqlite")
            .into());
    }
    let done = converter.text(sql.trim_end(), converter.context.as_deref());
    if !done.warnings.is_empty() && converter.unsupported != Unsupported::Keep {
        return Err(Problem::input(done.warnings.join("; "))
            .hint("--on-unsupported keep converts what can be converted")
            .into());
    }
    if ui.is_json() {
        let body = json!({"from": done.from.name(), "to": converter.to.name(), "evidence": done.evidence,
            "sql": sql.trim_end(), "converted": done.sql, "changes": done.changes, "warnings": done.warnings});
        return ui.json("expert-cli.convert/1", body);
    }
    ui.data_untrusted(&done.sql)?;
    if converter.from.is_none() {
        let why =
            if done.evidence.is_empty() { "nothing speaks against it".to_owned() } else { done.evidence.join(", ") };
        ui.note(&format!("read as {}: {why}", done.from.name()));
    }
    if args.explain {
        for rule in &done.changes {
            ui.note(&format!("rule {rule}"));
        }
    }
    for warning in &done.warnings {
        ui.warn(warning);
    }
    Ok(())
}

fn rows(args: &Args, converter: &Converter, ui: &Ui) -> Result<()> {
    let Some(input) = &args.input else { return Ok(()) };
    let mut lines = std::io::BufReader::with_capacity(1 << 16, fsx::open(input)?).lines();
    let mut file = args.output.as_deref().map(fsx::AtomicFile::create).transpose()?;
    let (mut read, mut written, mut changed, mut warned) = (0usize, 0usize, 0usize, 0usize);
    let mut rules: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        for line in lines.by_ref().take(CHUNK) {
            chunk.push(line?);
        }
        if chunk.is_empty() {
            break;
        }
        let first = read + 1;
        read += chunk.len();
        let done: Vec<Result<Option<Done>>> = chunk
            .into_par_iter()
            .enumerate()
            .map(|(at, line)| convert_line(&line, &format!("{}:{}", input.display(), first + at), converter))
            .collect();
        let mut text = String::new();
        for row in done {
            let Some(row) = row? else { continue };
            written += 1;
            changed += usize::from(!row.changes.is_empty());
            warned += usize::from(row.warned);
            for rule in row.changes {
                *rules.entry(rule).or_default() += 1;
            }
            text.push_str(&row.text);
            text.push('\n');
        }
        match &mut file {
            Some(file) => file.write_all(text.as_bytes())?,
            None if ui.is_json() => {}
            None => ui.data(&text)?,
        }
    }
    if let Some(file) = file {
        file.commit()?;
    }
    let body = json!({"input": input, "output": args.output, "rows": read, "written": written,
        "dropped": read - written, "changed": changed, "warned": warned, "rules": rules});
    if ui.is_json() {
        ui.json("expert-cli.convert/1", body)?;
    } else {
        ui.note(&format!("{read} rows: {changed} changed, {warned} with warnings, {} left out", read - written));
        if args.explain {
            for (rule, count) in &rules {
                ui.note(&format!("{count:>8}  {rule}"));
            }
        }
    }
    if read == 0 {
        return Err(Problem::new(Exit::Input, format!("{} holds no rows", input.display())).into());
    }
    Ok(())
}

struct Done {
    text: String,
    changes: Vec<String>,
    warned: bool,
}

fn convert_line(line: &str, place: &str, converter: &Converter) -> Result<Option<Done>> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let mut value: Value =
        serde_json::from_str(line).map_err(|error| Problem::input(format!("{place}: no JSON object: {error}")))?;
    let Value::Object(row) = &mut value else {
        return Err(Problem::input(format!("{place}: the line is no JSON object")).into());
    };
    if !converter.row(row, place)? {
        return Ok(None);
    }
    let words = |key: &str| -> Vec<String> {
        let list = row.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (changes, warned) = (words("changes"), !words("warnings").is_empty());
    Ok(Some(Done { text: serde_json::to_string(&value)?, changes, warned }))
}
