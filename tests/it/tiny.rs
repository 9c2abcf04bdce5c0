//! A tiny random base model with its own tokenizer, and fresh text-to-SQL rows: what the end-to-end tests run on.

use std::path::Path;

use expert_cli::data::tokenizer;
use expert_cli::model::init::{RandomModel, write_random};

/// Questions, schemas and answers made here.
pub fn rows(count: usize) -> Vec<(String, String, String)> {
    let tables = ["customer", "invoice", "ship", "garden", "lecture", "engine", "museum", "parcel"];
    let columns = ["name", "price", "weight", "city", "height", "grade", "colour", "speed"];
    (0..count)
        .map(|i| {
            let table = tables[i % tables.len()];
            let (first, second) = (columns[i / 2 % columns.len()], columns[(i / 3 + 3) % columns.len()]);
            let schema = format!("CREATE TABLE {table} (id INTEGER, {first} TEXT, {second}_{i} INTEGER)");
            let (question, answer) = match i % 4 {
                0 => (format!("How many {table}s are there in set {i}?"), format!("SELECT COUNT(*) FROM {table}")),
                1 => (format!("List the {first} of every {table}, set {i}."), format!("SELECT {first} FROM {table}")),
                2 => (
                    format!("Which {table}s have {second} {i} above {i}?"),
                    format!("SELECT id FROM {table} WHERE {second}_{i} > {i}"),
                ),
                _ => (
                    format!("What is the largest {second} {i} of a {table}?"),
                    format!("SELECT MAX({second}_{i}) FROM {table}"),
                ),
            };
            (question, schema, answer)
        })
        .collect()
}

/// Writes the rows in the shape of sql-create-context, one JSON object a line.
pub fn write_rows(path: &Path, count: usize) {
    let lines: Vec<String> = rows(count)
        .into_iter()
        .map(|(question, context, answer)| {
            serde_json::json!({"question": question, "context": context, "answer": answer}).to_string()
        })
        .collect();
    expert_cli::fsx::write_atomic(path, (lines.join("\n") + "\n").as_bytes()).unwrap();
}

/// Writes a random Qwen3 folder whose tokenizer was trained on the rows.
pub fn write_model(dir: &Path) {
    let texts: Vec<String> = rows(200).into_iter().map(|(q, s, a)| format!("{s}\n{q}\n{a}")).collect();
    let size = tokenizer::write_new(dir, texts.iter().map(String::as_str), 600).unwrap();
    let model = RandomModel { vocab_size: size + 8, ..RandomModel::default() };
    write_random(dir, &model).unwrap();
}
