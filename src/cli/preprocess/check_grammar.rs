//! `--check-grammar`: which of the rows that were written an expert with this grammar could never answer.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::cli::ui::Ui;
use crate::data::template::Layout;
use crate::error::Result;
use crate::fsx;
use crate::grammar::{Grammar, Matcher, Verdict, examine_with};

/// Where the refused rows are told, beside the rows.
const REPORT: &str = "grammar-refused.jsonl";

/// Rows that one matcher looks at before it is made anew, so that its caches do not grow over a whole data set.
const CHUNK: usize = 2048;

/// Asks the grammar about the answer of every row in `folder`, writes those it refuses to a file there and says how many
/// they are. Answers may end in `;`, at which an expert's answer stops.
pub(super) fn report(grammar: &Arc<Grammar>, name: &Path, layout: Layout, folder: &Path, ui: &Ui) -> Result<Value> {
    let (mut rows, mut refused) = (0, Vec::new());
    for file in ["train.jsonl", "val.jsonl"] {
        let path = folder.join(file);
        if !path.is_file() {
            continue;
        }
        let text = fsx::read_text(&path)?;
        let lines: Vec<(usize, &str)> = text.lines().enumerate().collect();
        rows += lines.len();
        let found: Vec<Vec<Value>> = lines
            .par_chunks(CHUNK)
            .map(|lines| {
                let matcher = Matcher::new(Arc::clone(grammar));
                lines.iter().filter_map(|(at, line)| refusal(&matcher, layout, file, *at, line)).collect()
            })
            .collect();
        refused.extend(found.into_iter().flatten());
    }
    let path = folder.join(REPORT);
    let lines: String = refused.iter().map(|row| format!("{row}\n")).collect();
    fsx::write_atomic(&path, lines.as_bytes())?;
    ui.note(&format!("{} refuses {} of {rows} answers: {}", name.display(), refused.len(), path.display()));
    Ok(json!({"grammar": name, "rows": rows, "refused": refused.len(), "report": path}))
}

/// What is told of a row whose answer is not in the language; none where it is.
fn refusal(matcher: &Matcher, layout: Layout, file: &str, at: usize, line: &str) -> Option<Value> {
    let row: Value = serde_json::from_str(line).ok()?;
    let (_, answer) = layout.parse(row["text"].as_str()?)?;
    let answer = answer.trim_end().trim_end_matches(';').trim_end();
    let Verdict::Outside { offset, too_short, .. } = examine_with(matcher, answer.as_bytes()) else { return None };
    Some(json!({"file": file, "line": at + 1, "offset": offset, "too_short": too_short, "answer": answer}))
}
