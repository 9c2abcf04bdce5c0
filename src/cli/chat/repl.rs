//! The conversation: questions, answers that can be stopped, rows. Nothing that happens in an answer ends it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::lines::{Input, Lines, read};
use super::{Asked, ask, commands};
use crate::cli::answering::best::{Best, critic};
use crate::cli::answering::crew::Crew;
use crate::cli::answering::database::{execute, execute_sql, row_format};
use crate::cli::answering::live::take_interrupt;
use crate::cli::answering::{Loaded, warn_about};
use crate::cli::args::chat::Args;
use crate::cli::home::expert_home;
use crate::cli::ui::{RowFormat, Ui, escape};
use crate::db::Source;
use crate::error::{Problem, Result, classify};
use crate::generate::conversation::{Answer, Context, Question};
use crate::generate::decode::Finish;

/// When answers are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunMode {
    /// Every answer that reads.
    Auto,
    /// After a yes.
    Ask,
    /// Not at all.
    Never,
}

impl RunMode {
    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::Auto,
            "ask" => Self::Ask,
            "never" => Self::Never,
            _ => return None,
        })
    }

    /// What it means.
    pub fn words(self) -> &'static str {
        match self {
            Self::Auto => "answers that read are run (/run auto)",
            Self::Ask => "you are asked before an answer is run (/run ask)",
            Self::Never => "answers are not run (/run never)",
        }
    }
}

pub(super) struct Repl<'a> {
    pub args: &'a Args,
    pub ui: &'a Ui,
    pub crew: Crew,
    pub context: Option<Context>,
    pub source: Option<Source>,
    pub mode: RunMode,
    pub format: RowFormat,
    pub show_reasoning: bool,
    pub timing: bool,
    /// What was asked last.
    pub question: Option<String>,
    /// Who chooses between several answers.
    pub critic: Option<Loaded>,
    /// What came back.
    pub best: Option<Best>,
    /// The statement that /run, /explain and /save are about: the answer's, or what /edit made of it.
    pub sql: Option<String>,
}

pub(super) fn run(args: &Args, crew: Crew, context: Option<Context>, source: Option<Source>, ui: &Ui) -> Result<()> {
    let mut lines = Lines::open(&expert_home(), ui.stdout_is_terminal())?;
    let mode = match (args.run.run, args.run.no_execute) {
        (true, _) => RunMode::Auto,
        (_, true) => RunMode::Never,
        _ => RunMode::Ask,
    };
    let critic = critic(&args.candidates, &args.model, &args.sampling, crew.current(), ui)?;
    let mut repl = Repl {
        args,
        ui,
        crew,
        context,
        source,
        mode,
        format: row_format(&args.model).unwrap_or_default(),
        show_reasoning: args.sampling.show_reasoning,
        timing: true,
        question: None,
        best: None,
        critic,
        sql: None,
    };
    ui.note(&format!(
        "{} answers in {}. A question ends with `;` or an empty line; /help lists the commands.",
        escape(&repl.crew.current().name),
        repl.crew.current().dialect
    ));
    if repl.source.is_some() {
        ui.note(mode.words());
    }
    loop {
        match read(&mut lines, "? ", "  ")? {
            Input::End => break,
            Input::Command(name, _) if matches!(name.as_str(), "exit" | "quit" | "q") => break,
            Input::Command(name, argument) => {
                take_interrupt();
                if let Err(error) = guarded(|| commands::command(&mut repl, &mut lines, &name, &argument)) {
                    repl.show(&error);
                }
            }
            Input::Question(question) => {
                take_interrupt();
                match guarded(|| repl.answer(question)) {
                    Ok(best) => repl.print(best)?,
                    Err(error) => repl.show(&error),
                }
            }
        }
    }
    ui.note("");
    Ok(())
}

/// Runs an answer; a panic in it becomes an error.
fn guarded<T>(answer: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
        Err(Problem::failed("the answer ended in an internal error; the conversation goes on").into())
    })
}

impl Repl<'_> {
    fn answer(&mut self, text: String) -> Result<Best> {
        self.question = Some(text.clone());
        if self.args.route {
            self.crew.route(&text, self.ui)?;
        }
        let asked = Asked { loaded: self.crew.current(), critic: self.critic.as_ref(), source: self.source.as_ref() };
        ask(self.args, &asked, &Question { text, context: self.context.clone() }, self.ui)
    }

    fn print(&mut self, mut best: Best) -> Result<()> {
        let for_choice = best.executed.take();
        let answer = &best.answer;
        if self.show_reasoning && !answer.reasoning.is_empty() {
            self.ui.note(&escape(&answer.reasoning));
        }
        self.ui.data_untrusted(&answer.sql)?;
        let stopped = answer.finish == Finish::Interrupted;
        if stopped {
            self.ui.note("stopped");
        } else {
            best.note(self.ui);
            warn_about(answer, self.ui);
        }
        if self.timing {
            self.ui.note(&tempo(answer));
        }
        if let Some(source) = self.source.as_ref().filter(|_| !stopped && self.wants_to_run(answer)) {
            let executed = for_choice.unwrap_or_else(|| execute(answer, source));
            executed.show(self.format, self.timing, self.ui)?;
        }
        self.sql = Some(answer.sql.clone());
        self.best = Some(best);
        Ok(())
    }

    fn wants_to_run(&self, answer: &Answer) -> bool {
        match self.mode {
            RunMode::Auto => true,
            RunMode::Never => false,
            RunMode::Ask => answer.finish.is_complete() && self.ui.confirm("run it?", false),
        }
    }

    /// Runs the statement at hand and shows its rows.
    pub(super) fn run_sql(&self) -> Result<()> {
        let sql = self.sql()?;
        // An answer that was cut off stays unrun until somebody has edited it.
        let answer = self.best.as_ref().map(|best| &best.answer);
        let cut = answer.is_some_and(|answer| !answer.finish.is_complete() && answer.sql == sql);
        if cut {
            return Err(Problem::failed("the answer is incomplete: it is not run").hint("/edit completes it").into());
        }
        if self.args.run.no_execute {
            return Err(Problem::usage("--no-execute forbids running anything").into());
        }
        execute_sql(sql, self.source()?).show(self.format, self.timing, self.ui)?;
        Ok(())
    }

    pub(super) fn source(&self) -> Result<&Source> {
        Ok(self
            .source
            .as_ref()
            .ok_or_else(|| Problem::usage("there is no database").hint("/schema sqlite:PATH names one"))?)
    }

    pub(super) fn sql(&self) -> Result<&str> {
        Ok(self.sql.as_deref().ok_or_else(|| Problem::usage("nothing has been answered yet").hint("ask a question"))?)
    }

    fn show(&self, error: &anyhow::Error) {
        let (exit, hint) = classify(error);
        self.ui.error(error, exit, hint.as_deref());
    }
}

/// `31 tokens in 0.52 s (60.1 tokens/s)`.
pub(super) fn tempo(answer: &Answer) -> String {
    let (tokens, seconds) = (answer.ids.len(), answer.latency.as_secs_f64());
    format!("{tokens} tokens in {seconds:.2} s ({:.1} tokens/s)", tokens as f64 / seconds.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_answer_not_the_program() {
        let error = guarded(|| -> Result<()> { panic!("injected") }).unwrap_err();
        assert!(error.to_string().contains("conversation goes on"));
        assert_eq!(guarded(|| Ok(3)).unwrap(), 3);
    }
}
