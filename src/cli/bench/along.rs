//! What grammar and guard cost while right SQL is written: the answers of a file of rows are decoded token by token,
//! each forced upon the model, once with every pick taken and once with every tenth pick refused first.

use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::measures::{percentile, rounded};
use crate::cli::answering::Loaded;
use crate::cli::ui::{Table, Ui};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::generate::constraint::Constraint;
use crate::generate::conversation::{Context, Question};
use crate::generate::decode::NextLogits as _;
use crate::generate::sampler::{Allowed as _, Anything, Sampler};

/// Every so many steps the first pick is one that grammar or guard refuse.
const REFUSED_EVERY: usize = 10;

/// Tokens tried for a pick that is refused.
const TRIED: u32 = 64;

/// Seconds of the steps along all answers.
#[derive(Debug, Default)]
pub(super) struct Along {
    rows: usize,
    /// Rows whose answer the grammar or the guard does not take.
    refused_rows: usize,
    /// The model's part of a step, drawing without a constraint, what the constraint adds where the pick is taken, and
    /// where it is refused first.
    forward: Vec<f64>,
    free: Vec<f64>,
    accepted: Vec<f64>,
    refused: Vec<f64>,
}

/// One row: a question, its tables, the right answer.
struct Row {
    question: Question,
    answer: String,
}

fn rows(path: &Path, loaded: &Loaded, most: usize) -> Result<Vec<Row>> {
    let text = fsx::read_text(path)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty()).take(most).enumerate();
    let row = |(number, line): (usize, &str)| {
        let bad = |what: &str| Problem::input(format!("{}:{}: {what}", path.display(), number + 1));
        let keys: Map<String, Value> = serde_json::from_str(line).map_err(|error| bad(&error.to_string()))?;
        let find = |names: &[&str]| names.iter().find_map(|name| keys.get(*name)?.as_str()).map(str::to_owned);
        let answer = find(&["answer", "sql"]).ok_or_else(|| bad("no `answer` or `sql`"))?;
        let text = find(&["question", "sql_prompt"]).ok_or_else(|| bad("no `question`"))?;
        let tables = find(&["context", "schema", "sql_context"]).ok_or_else(|| bad("no `context`"))?;
        let context = Context::from_text(&tables, loaded.sql_dialect()).0;
        Ok(Row { question: Question { text, context: Some(context) }, answer })
    };
    lines.map(row).collect()
}

/// Decodes along the answers of at most `most` rows of the file.
pub(super) fn measure(loaded: &Loaded, path: &Path, most: usize, ui: &Ui) -> Result<Along> {
    let rows = rows(path, loaded, most)?;
    let mut along = Along::default();
    let mut bar = ui.progress(rows.len() as u64, "row");
    for (done, row) in rows.iter().enumerate() {
        along.row(loaded, row)?;
        bar.update(done as u64 + 1, "");
    }
    bar.finish();
    if along.accepted.is_empty() {
        return Err(Problem::input(format!("no answer of {} is in the grammar", path.display()))
            .hint("--grammar names one; expert-cli grammar check tells where a text leaves it")
            .into());
    }
    Ok(along)
}

impl Along {
    fn row(&mut self, loaded: &Loaded, row: &Row) -> Result<()> {
        let conversation = loaded.conversation(false);
        let start = conversation.start(&row.question)?;
        let Some(mut constraint) = start.constraint.clone() else {
            return Err(Problem::usage("nothing holds the answers to a grammar")
                .hint("--grammar sql-sqlite, or an expert that has one")
                .into());
        };
        let ids = conversation.vocabulary.encode(row.answer.trim().trim_end_matches(';'))?;
        let vocabulary = conversation.vocabulary.vocab_size();
        let model = &conversation.model;
        self.rows += 1;
        let mut caches = [model.new_cache()];
        let mut logits = model.prompts(&[(&start.ids, start.shared)], &mut caches)?.concat();
        let mut sampler = Sampler::new(conversation.settings.chain(), 0, vocabulary, &start.ids);
        for (step, &id) in ids.iter().enumerate() {
            let budget = conversation.settings.max_tokens.value.saturating_sub(step);
            constraint.set_budget(budget);
            // What would be taken here is not what is measured: each step is judged anew.
            if !constraint.clone().allows(id) {
                self.refused_rows += 1;
                return Ok(());
            }
            let highest = logits.iter().copied().fold(0.0f32, f32::max);
            logits[id as usize] = highest + 100.0;
            let begun = Instant::now();
            sampler.clone().next(&logits, &mut Anything)?;
            self.free.push(begun.elapsed().as_secs_f64());
            if (self.free.len()).is_multiple_of(REFUSED_EVERY)
                && let Some(bad) = refusable(&constraint, vocabulary as u32, step as u32)
            {
                let mut forced = logits.clone();
                forced[bad as usize] = highest + 200.0;
                let mut other = constraint.clone();
                let mut draws = sampler.clone();
                let begun = Instant::now();
                let pick = draws.next(&forced, &mut other)?;
                other.advance(pick.id)?;
                self.refused.push(begun.elapsed().as_secs_f64());
            }
            let begun = Instant::now();
            let pick = sampler.next(&logits, &mut constraint)?;
            constraint.advance(pick.id)?;
            self.accepted.push(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            logits = model.forward(&[&[id]], &mut caches)?.concat();
            self.forward.push(begun.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// What grammar and guard add to the time of all steps, as a share of it, with this share of picks refused.
    fn slowdown(&self, refused: f64) -> f64 {
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
        let plain = mean(&self.forward) + mean(&self.free);
        let with = mean(&self.accepted) * (1.0 - refused) + mean(&self.refused) * refused;
        (with - mean(&self.free)) / plain
    }

    /// The times in microseconds a token.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["along the rows' answers", "p50", "p99", "unit"]);
        for (what, of) in [
            ("model", &self.forward),
            ("drawing freely", &self.free),
            ("drawing under grammar and guard", &self.accepted),
            ("the same, first pick refused", &self.refused),
        ] {
            let cell = |share| format!("{:.1}", percentile(of, share) * 1e6);
            table.row([what.to_owned(), cell(0.5), cell(0.99), "µs/token".to_owned()]);
        }
        for (what, refused) in [("slowdown, picks taken", 0.0), ("slowdown, 10 % refused", 0.1)] {
            table.row([
                what.to_owned(),
                format!("{:.2}", self.slowdown(refused) * 100.0),
                String::new(),
                "%".to_owned(),
            ]);
        }
        table
    }

    pub fn to_json(&self) -> Value {
        let sum_up = |of: &[f64]| {
            let at = |share| rounded(percentile(of, share) * 1e6);
            json!({"p50": at(0.5), "p99": at(0.99), "n": of.len()})
        };
        json!({
            "rows": self.rows,
            "rows_not_in_the_grammar": self.refused_rows,
            "model_us": sum_up(&self.forward),
            "free_us": sum_up(&self.free),
            "accepted_us": sum_up(&self.accepted),
            "refused_us": sum_up(&self.refused),
            "slowdown": rounded(self.slowdown(0.0)),
            "slowdown_with_a_tenth_refused": rounded(self.slowdown(0.1)),
        })
    }
}

/// A token that may not come next, looked for from a place that changes with the step.
fn refusable(constraint: &Constraint, vocabulary: u32, step: u32) -> Option<u32> {
    let mut constraint = constraint.clone();
    (0..TRIED).map(|i| (step * 7919 + i * 104_729) % vocabulary).find(|&id| !constraint.allows(id))
}
