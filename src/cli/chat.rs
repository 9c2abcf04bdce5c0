//! `chat`: one question and its SQL, or a conversation.

mod commands;
mod lines;
mod repl;

use std::io::Read as _;

use super::answering::best::{Best, Choice, best, critic};
use super::answering::crew::Crew;
use super::answering::database::{Executed, execute, row_format, source_of};
use super::answering::live::{Live, catch_interrupts, take_interrupt};
use super::answering::{Loaded, answer_json, check_source, context, typed_flags, warn_about, with_dialect_of};
use super::args::chat::{Args, SamplingArgs};
use super::ui::{RowFormat, Ui, escape};
use crate::db::Source;
use crate::error::{Exit, Problem, Result};
use crate::generate::conversation::{Answer, Question};
use crate::generate::decode::Finish;

pub(super) fn run(args: &Args, ui: &Ui) -> Result<()> {
    if ui.is_json() && args.prompt.is_none() {
        return Err(Problem::usage("--json answers one question").hint("give it with --prompt \"…\"").into());
    }
    let question = args.prompt.as_deref().map(question).transpose()?;
    let source = source_of(&args.source)?;
    if args.run.run && source.is_none() {
        return Err(Problem::usage("--run needs a database").hint("name it with --db sqlite:PATH").into());
    }
    catch_interrupts();
    check_source(&args.source)?;
    let mut model = with_dialect_of(source.as_ref(), &args.model);
    model.exact |= args.logits;
    // Exact numbers are those of the whole prompt: sums over a part of it differ in their last bits.
    model.keeps_prompts = !model.exact;
    // Logits are compared with those of programs that know no grammar.
    let free = args.logits && args.sampling.grammar.is_none();
    let sampling = SamplingArgs { no_grammar: args.sampling.no_grammar || free, ..args.sampling.clone() };
    let mut crew = Crew::load(&model, &sampling, ui)?;
    let routed = match &question {
        Some(text) if args.route => Some(crew.route(text, ui)?),
        _ => None,
    };
    let loaded = crew.current();
    if args.compare && !loaded.has_adapter() {
        return Err(Problem::usage("--compare needs an expert to compare its base model with")
            .hint("--experts NAME or --adapter DIR names one")
            .into());
    }
    let context = context(&args.source, source.as_ref(), loaded.sql_dialect(), ui)?;
    if context.is_none() {
        ui.note("no schema given (--context, --schema or --db): table and column names are not checked");
    }
    loaded.show_settings(args.sampling.show_settings, ui);
    match question {
        Some(text) => one_shot(args, loaded, (Question { text, context }, routed), source.as_ref(), ui),
        None => repl::run(args, crew, context, source, ui),
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

/// Asks, and shows the answer growing. `source`: the database that may be asked, for votes and faults.
fn ask(args: &Args, asked: &Asked<'_>, question: &Question, ui: &Ui) -> Result<Best> {
    let mut live = Live::new(asked.loaded.settings.max_tokens.value, ui);
    let source = asked.source.filter(|_| !args.run.no_execute);
    // The numbers of the first step are those of one answer.
    let choice = Choice::new(&args.candidates, source.is_some() && !args.logits, asked.critic)?;
    best(asked.loaded, question, choice, source, args.logits, &mut live)
}

/// Asks the base model alone.
fn ask_base(loaded: &Loaded, question: &Question, ui: &Ui) -> Result<Answer> {
    let mut live = Live::new(loaded.settings.max_tokens.value, ui);
    loaded.conversation_of_base().answer(question, &mut live)
}

/// Who answers, who chooses, and on which database.
struct Asked<'a> {
    loaded: &'a Loaded,
    critic: Option<&'a Loaded>,
    source: Option<&'a Source>,
}

fn one_shot(
    args: &Args,
    loaded: &Loaded,
    (question, routed): (Question, Option<String>),
    source: Option<&Source>,
    ui: &Ui,
) -> Result<()> {
    let critic = critic(&args.candidates, &args.model, &args.sampling, loaded, ui)?;
    let asked = Asked { loaded, critic: critic.as_ref(), source };
    let mut best = ask(args, &asked, &question, ui)?;
    let base = match args.compare && best.answer.finish != Finish::Interrupted {
        true => Some(ask_base(loaded, &question, ui)?),
        false => None,
    };
    // What was run for the choice is not run again.
    let for_choice = best.executed.take();
    let answer = &best.answer;
    if take_interrupt() || answer.finish == Finish::Interrupted {
        return Err(Problem::new(Exit::Interrupted, "stopped before the answer ended").into());
    }
    let run = |answer: &Answer| source.filter(|_| args.run.run).map(|source| execute(answer, source));
    let executed = for_choice.filter(|_| args.run.run).or_else(|| run(answer));
    let base_executed = base.as_ref().and_then(run);
    let mut failed = executed.as_ref().is_some_and(|executed| matches!(executed, Executed::Failed(_)));
    if ui.is_json() {
        let mut body = answer_json(answer, args.logits);
        body["question"] = question.text.trim().into();
        body["execution"] = executed.as_ref().map(Executed::to_json).into();
        best.add_to(&mut body);
        if let Some(reason) = routed {
            body["routed_by"] = reason.into();
        }
        if let Some(base) = &base {
            body["base"] = answer_json(base, false);
            body["base"]["execution"] = base_executed.as_ref().map(Executed::to_json).into();
        }
        if let (Some(body), Some(who)) = (body.as_object_mut(), loaded.to_json().as_object()) {
            body.extend(who.clone());
        }
        ui.json("expert-cli.chat/1", body)?;
    } else {
        if args.sampling.show_reasoning && !answer.reasoning.is_empty() {
            ui.note(&escape(&answer.reasoning));
        }
        let format = row_format(&args.model).unwrap_or_default();
        if let Some(base) = &base {
            ui.note(&format!("base model {}:", escape(&loaded.base_name())));
            print_answer(base, base_executed.as_ref(), format, ui)?;
            ui.note(&format!("\n{}:", escape(&loaded.name)));
        }
        failed = !print_answer(answer, executed.as_ref(), format, ui)? || failed;
        if args.logits {
            ui.note("--logits shows its numbers in the JSON: add --json");
        }
    }
    best.note(ui);
    warn_about(answer, ui);
    if answer.verdict.as_ref().is_some_and(|verdict| loaded.refuses(verdict)) {
        ui.warn("the answer does not validate");
        return Err(Problem::reported(Exit::Failed).into());
    }
    if failed {
        return Err(Problem::reported(Exit::Failed).into());
    }
    ui.next(&format!(
        "expert-cli infer{} --input questions.jsonl --output answers.jsonl",
        typed_flags(&args.model, &args.source)
    ));
    Ok(())
}

/// The statement, and its rows if it was run; whether the database had nothing against it. CSV and JSON are for
/// programs: there stdout has the rows alone, where there are any.
fn print_answer(answer: &Answer, executed: Option<&Executed>, format: RowFormat, ui: &Ui) -> Result<bool> {
    let rows_alone = matches!(format, RowFormat::Csv | RowFormat::Json) && matches!(executed, Some(Executed::Rows(_)));
    match rows_alone {
        true => ui.note(&escape(&answer.sql)),
        false => ui.data_untrusted(&answer.sql)?,
    }
    executed.map_or(Ok(true), |executed| executed.show(format, true, ui))
}
