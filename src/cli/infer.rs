//! `infer`: a file of questions to a file of answers, in batches. A run that was stopped goes on where it ended.

mod output;
mod rows;

use std::time::Instant;

use serde_json::{Value, json};

use super::answering::best::{Best, Choice, best, critic, mended, single};
use super::answering::database::source_of;
use super::answering::live::{catch_interrupts, is_interrupted};
use super::answering::{Loaded, check_source, context, typed_flags, with_dialect_of};
use super::args::infer::Args;
use super::ui::{Progress, Ui};
use crate::error::{Exit, Problem, Result};
use crate::generate::conversation::Question;
use crate::generate::decode::{Finish, Observer};
use output::Output;
use rows::{Row, Rows, Tables};

/// What happened so far.
#[derive(Debug, Default)]
struct Counts {
    answered: u64,
    resumed: u64,
    errors: u64,
    invalid: u64,
    incomplete: u64,
    tokens: u64,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    let total = rows::count(&args.input)?.min(args.limit.unwrap_or(usize::MAX)) as u64;
    catch_interrupts();
    check_source(&args.source)?;
    let source = source_of(&args.source)?;
    let model = with_dialect_of(source.as_ref(), &args.model);
    let loaded = Loaded::new(&model, &args.sampling, None, ui)?;
    let default = context(&args.source, source.as_ref(), loaded.sql_dialect(), ui)?;
    let mut tables = Tables::new(default, source, loaded.sql_dialect(), args.source.db_config.clone());
    loaded.show_settings(args.sampling.show_settings, ui);

    let critic = critic(&args.candidates, &args.model, &args.sampling, &loaded, ui)?;
    let choice = |has_database: bool| Choice::new(&args.candidates, has_database, critic.as_ref());
    let mut made_by = loaded.to_json();
    choice(true)?.add_to(&mut made_by);

    let mut rows = Rows::open(&args.input)?;
    let mut output = Output::open(&args.output, &made_by, args.force)?;
    let mut counts = Counts { resumed: output.resume(&mut rows)?.min(total), ..Counts::default() };
    if counts.resumed > 0 {
        ui.note(&format!("{} of {total} questions were answered before", counts.resumed));
    }

    let conversation = loaded.conversation(false);
    let begun = Instant::now();
    let mut watch = Watch { progress: ui.progress(total, "question"), done: counts.resumed, tokens: 0, begun };
    let mut remaining = total - counts.resumed;
    let mut stopped = false;
    while remaining > 0 && !stopped {
        let batch: Vec<Row> = rows.by_ref().take(args.batch_size.min(remaining) as usize).collect::<Result<_>>()?;
        if batch.is_empty() {
            break;
        }
        remaining -= batch.len() as u64;
        let questions: Vec<Result<Question>> = batch.iter().map(|row| row.question(&mut tables, ui)).collect();
        let asked: Vec<Question> = questions.iter().flatten().cloned().collect();
        // One answer each is drawn for the whole batch at once, several answers for one question at a time.
        let mut answers = match choice(false)?.is_single() {
            true => conversation.answers(&asked, &mut watch)?.into_iter(),
            false => Vec::new().into_iter(),
        };
        let mut lines = Vec::with_capacity(batch.len());
        for (row, question) in batch.iter().zip(questions) {
            let source = row.source(&tables).filter(|_| !args.no_execute);
            let answer = question.and_then(|question| {
                let choice = choice(source.is_some())?;
                if !choice.is_single() {
                    return best(&loaded, &question, choice, source, false, &mut watch);
                }
                let answer = answers.next().unwrap_or_else(|| Err(Problem::failed("no answer came back").into()))?;
                mended(&loaded, &question, single(answer, source, choice), choice, source, &mut watch)
            });
            if matches!(&answer, Ok(best) if best.answer.finish == Finish::Interrupted) {
                stopped = true; // what is not finished is asked again
                break;
            }
            counts.add(&answer);
            lines.push(row.answered(&answer_fields(&answer, args.sampling.show_reasoning)));
        }
        output.append(&lines)?;
        watch.done += lines.len() as u64;
        stopped |= is_interrupted();
    }
    drop(watch);
    drop(output);
    let done = counts.resumed + counts.answered + counts.errors;
    if stopped && done < total {
        return Err(Problem::new(Exit::Interrupted, format!("stopped: {done} of {total} questions are answered"))
            .hint("the same command goes on where this one ended")
            .into());
    }
    summary(args, &loaded, &counts, total, begun.elapsed().as_secs_f64(), ui)
}

impl Counts {
    fn add(&mut self, answer: &Result<Best>) {
        match answer {
            Ok(Best { answer, .. }) => {
                self.answered += 1;
                self.tokens += answer.ids.len() as u64;
                self.invalid += u64::from(answer.verdict.as_ref().is_some_and(|verdict| !verdict.is_valid()));
                self.incomplete += u64::from(!answer.finish.is_complete());
            }
            Err(_) => self.errors += 1,
        }
    }
}

/// What stands beside a row's own keys.
fn answer_fields(answer: &Result<Best>, reasoning: bool) -> Value {
    let best = match answer {
        Ok(best) => best,
        Err(error) => return json!({"predicted_sql": null, "error": error.to_string()}),
    };
    let answer = &best.answer;
    let mut fields = json!({
        "predicted_sql": answer.sql,
        "finish_reason": answer.finish.name(),
        "incomplete": !answer.finish.is_complete(),
        "validation": answer.verdict.as_ref().map(crate::generate::validation::Verdict::to_json),
        "prompt_tokens": answer.prompt_ids.len(),
        "completion_tokens": answer.ids.len(),
        "log_probability": answer.log_probability,
    });
    best.add_to(&mut fields);
    if answer.text != answer.sql {
        fields["predicted_text"] = json!(answer.text);
    }
    if reasoning {
        fields["predicted_reasoning"] = json!(answer.reasoning);
    }
    fields
}

fn summary(args: &Args, loaded: &Loaded, counts: &Counts, total: u64, seconds: f64, ui: &Ui) -> Result<()> {
    let rate = counts.tokens as f64 / seconds.max(1e-9);
    if ui.is_json() {
        let mut body = json!({
            "input": args.input,
            "output": args.output,
            "questions": total,
            "answered": counts.answered,
            "resumed": counts.resumed,
            "errors": counts.errors,
            "invalid": counts.invalid,
            "incomplete": counts.incomplete,
            "completion_tokens": counts.tokens,
            "seconds": (seconds * 1e3).round() / 1e3,
            "tokens_per_s": (rate * 10.0).round() / 10.0,
        });
        if let (Some(body), Some(who)) = (body.as_object_mut(), loaded.to_json().as_object()) {
            body.extend(who.clone());
        }
        ui.json("expert-cli.infer/1", body)?;
    }
    ui.note(&format!(
        "{} answers in {seconds:.1} s ({rate:.1} tokens/s): {} not valid, {} incomplete, {} could not be asked",
        counts.answered, counts.invalid, counts.incomplete, counts.errors
    ));
    if counts.errors > 0 && counts.answered + counts.resumed == 0 {
        let message = format!("none of the {total} questions could be asked");
        ui.warn(&message);
        return Err(match ui.is_json() {
            true => Problem::reported(Exit::Failed),
            false => Problem::failed(message).hint(format!("the reasons stand in {}", args.output.display())),
        }
        .into());
    }
    if !ui.is_json() {
        ui.data(&args.output.display().to_string())?;
    }
    ui.next(&format!("expert-cli chat{}", typed_flags(&args.model, &args.source)));
    Ok(())
}

/// Shows how far a file is.
struct Watch {
    progress: Progress,
    done: u64,
    tokens: u64,
    begun: Instant,
}

impl Observer for Watch {
    fn token(&mut self, _sequence: usize, _text: &str) {
        self.tokens += 1;
        let rate = self.tokens as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        self.progress.update(self.done, &format!("{rate:.0} tokens/s"));
    }

    fn interrupted(&mut self) -> bool {
        is_interrupted()
    }
}
