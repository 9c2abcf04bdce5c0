//! `chat`: one question and its SQL, or a conversation.

mod lines;
mod repl;

use std::io::Read as _;

use super::answering::live::{Live, catch_interrupts, take_interrupt};
use super::answering::{Loaded, answer_json, check_source, context, typed_flags, warn_about, with_dialect_of};
use super::args::chat::Args;
use super::ui::{Ui, escape};
use crate::error::{Exit, Problem, Result};
use crate::generate::conversation::{Context, Question};
use crate::generate::decode::Finish;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    if ui.is_json() && args.prompt.is_none() {
        return Err(Problem::usage("--json answers one question").hint("give it with --prompt \"…\"").into());
    }
    let question = args.prompt.as_deref().map(question).transpose()?;
    catch_interrupts();
    check_source(&args.source)?;
    let model = with_dialect_of(&args.source, &args.model)?;
    let loaded = Loaded::new(&model, &args.sampling, None, ui)?;
    let context = context(&args.source, loaded.sql_dialect(), ui)?;
    if context.is_none() {
        ui.note("no schema given (--context, --schema or --db): table and column names are not checked");
    }
    loaded.show_settings(args.sampling.show_settings, ui);
    match question {
        Some(text) => one_shot(args, &loaded, text, context, ui),
        None => repl::run(args, loaded, context, ui),
    }
}

/// The question of `--prompt`; `-` is stdin.
fn question(prompt: &str) -> Result<String> {
    let mut text = prompt.to_owned();
    if prompt == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text)?;
    }
    if text.trim().is_empty() {
        return Err(Problem::usage("the question is empty").hint("--prompt \"How many users are there?\"").into());
    }
    Ok(text)
}

fn one_shot(args: &Args, loaded: &Loaded, text: String, context: Option<Context>, ui: &Ui) -> Result<()> {
    let conversation = loaded.conversation(args.logits);
    let mut live = Live::new(loaded.settings.max_tokens.value, ui);
    let answer = conversation.answer(&Question { text: text.clone(), context }, &mut live)?;
    drop(live);
    if take_interrupt() || answer.finish == Finish::Interrupted {
        return Err(Problem::new(Exit::Interrupted, "stopped before the answer ended").into());
    }
    if ui.is_json() {
        let mut body = answer_json(&answer, args.logits);
        body["question"] = text.trim().into();
        if let (Some(body), Some(who)) = (body.as_object_mut(), loaded.to_json().as_object()) {
            body.extend(who.clone());
        }
        ui.json("expert-cli.chat/1", body)?;
    } else {
        if args.sampling.show_reasoning && !answer.reasoning.is_empty() {
            ui.note(&escape(&answer.reasoning));
        }
        ui.data_untrusted(&answer.sql)?;
        if args.logits {
            ui.note("--logits shows its numbers in the JSON: add --json");
        }
    }
    warn_about(&answer, ui);
    if answer.verdict.as_ref().is_some_and(|verdict| loaded.refuses(verdict)) {
        ui.warn("the answer does not validate");
        return Err(Problem::reported(Exit::Failed).into());
    }
    ui.next(&format!(
        "expert-cli infer{} --input questions.jsonl --output answers.jsonl",
        typed_flags(&args.model, &args.source)
    ));
    Ok(())
}
