//! The conversation: questions, commands, answers that can be stopped. Nothing that happens in an answer ends it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::lines::{Input, Lines, read};
use crate::cli::answering::live::{Live, on_this_console, take_interrupt};
use crate::cli::answering::{Loaded, context_of_db, warn_about};
use crate::cli::args::chat::{Args, ModelArgs};
use crate::cli::home::expert_home;
use crate::cli::ui::{Table, Ui, escape};
use crate::error::{Problem, Result, classify};
use crate::fsx;
use crate::generate::conversation::{Answer, Context, Question};
use crate::generate::decode::Finish;
use crate::manifest::did_you_mean;

const COMMANDS: [(&str, &str); 6] = [
    ("/help", "this list"),
    (
        "/schema",
        "show the tables; /schema FILE, /schema CREATE TABLE … or /schema sqlite:PATH sets them, none forgets them",
    ),
    ("/expert", "who answers; /expert NAME[@VERSION] asks another one"),
    ("/settings", "every setting and where it came from"),
    ("/reasoning", "show or hide what the model thinks"),
    ("/exit", "leave (also Ctrl+D)"),
];

struct Repl<'a> {
    args: &'a Args,
    ui: &'a Ui,
    loaded: Loaded,
    context: Option<Context>,
    show_reasoning: bool,
}

pub(super) fn run(args: &Args, loaded: Loaded, context: Option<Context>, ui: &Ui) -> Result<()> {
    let mut lines = Lines::open(&expert_home(), ui.stdout_is_terminal())?;
    let show_reasoning = args.sampling.show_reasoning;
    let mut repl = Repl { args, ui, loaded, context, show_reasoning };
    ui.note(&format!(
        "{} answers in {}. A question ends with `;` or an empty line; /help lists the commands.",
        escape(&repl.loaded.name),
        repl.loaded.dialect
    ));
    loop {
        match read(&mut lines, "? ", "  ")? {
            Input::End => break,
            Input::Command(name, _) if matches!(name.as_str(), "exit" | "quit" | "q") => break,
            Input::Command(name, argument) => {
                if let Err(error) = repl.command(&name, &argument) {
                    repl.show(&error);
                }
            }
            Input::Question(question) => {
                take_interrupt();
                match guarded(|| repl.ask(question)) {
                    Ok(answer) => repl.print(&answer)?,
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
    fn ask(&self, question: String) -> Result<Answer> {
        let mut live = Live::new(self.loaded.settings.max_tokens.value, self.ui);
        let question = Question { text: question, context: self.context.clone() };
        self.loaded.conversation(false).answer(&question, &mut live)
    }

    fn print(&self, answer: &Answer) -> Result<()> {
        if self.show_reasoning && !answer.reasoning.is_empty() {
            self.ui.note(&escape(&answer.reasoning));
        }
        self.ui.data_untrusted(&answer.sql)?;
        if answer.finish == Finish::Interrupted {
            self.ui.note("stopped");
        } else {
            warn_about(answer, self.ui);
        }
        let (tokens, seconds) = (answer.ids.len(), answer.latency.as_secs_f64());
        self.ui.note(&format!("{tokens} tokens in {seconds:.2} s ({:.1} tokens/s)", tokens as f64 / seconds.max(1e-9)));
        Ok(())
    }

    fn command(&mut self, name: &str, argument: &str) -> Result<()> {
        match name {
            "help" | "h" | "?" => {
                let text: Vec<String> =
                    COMMANDS.iter().map(|(command, what)| format!("{command:<11} {what}")).collect();
                self.ui.note(&on_this_console(&text.join("\n")));
            }
            "schema" => self.schema(argument)?,
            "expert" => self.expert(argument)?,
            "settings" => self.loaded.show_settings(true, self.ui),
            "reasoning" => {
                self.show_reasoning = !self.show_reasoning;
                self.ui.note(if self.show_reasoning { "reasoning is shown" } else { "reasoning is hidden" });
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

    fn schema(&mut self, argument: &str) -> Result<()> {
        let dialect = self.loaded.sql_dialect();
        if argument.is_empty() {
            self.show_schema();
            return Ok(());
        }
        if argument == "none" {
            self.context = None;
            self.ui.note("no schema: table and column names are not checked");
            return Ok(());
        }
        let is_ddl = argument.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("create"));
        let context = if is_ddl {
            self.read_ddl(argument)
        } else if Path::new(argument).is_file() {
            let text = fsx::read_text(Path::new(argument))?;
            self.read_ddl(&text)
        } else if argument.contains(':') {
            context_of_db(argument, dialect, self.ui)?
        } else {
            return Err(Problem::input(format!("there is no file {argument}"))
                .hint("/schema takes a file, CREATE TABLE text or sqlite:PATH")
                .into());
        };
        self.context = Some(context);
        self.show_schema();
        Ok(())
    }

    fn read_ddl(&self, text: &str) -> Context {
        let (context, warning) = Context::from_text(text, self.loaded.sql_dialect());
        if let Some(warning) = warning {
            self.ui.warn(&escape(&format!("{warning}; names are not checked")));
        }
        context
    }

    fn show_schema(&self) {
        match &self.context {
            None => self.ui.note("no schema"),
            Some(Context { schema: Some(schema), .. }) => {
                let mut table = Table::new(["table", "columns"]);
                for entry in schema.tables() {
                    let columns: Vec<&str> = entry.columns.iter().map(|column| column.name.text()).collect();
                    table.row([entry.name.text(), &columns.join(", ")]);
                }
                self.ui.note(&on_this_console(&table.render()));
            }
            Some(context) => self.ui.note(&escape(&context.text)),
        }
    }

    fn expert(&mut self, argument: &str) -> Result<()> {
        if !argument.is_empty() {
            let model = ModelArgs { experts: Some(argument.to_owned()), adapter: None, ..self.args.model.clone() };
            self.loaded = Loaded::new(&model, &self.args.sampling, Some(&self.loaded), self.ui)?;
        }
        self.ui.note(&format!("{} answers in {}", escape(&self.loaded.name), self.loaded.dialect));
        Ok(())
    }

    fn show(&self, error: &anyhow::Error) {
        let (exit, hint) = classify(error);
        self.ui.error(error, exit, hint.as_deref());
    }
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
