//! The command line: one file per verb. What was typed is `args`; what people see goes through [`ui`]; the work is done
//! in the rooms below. No tensor maths and no policy here.

mod answering;
pub mod args;
mod command_line;
pub mod home;
pub mod ui;

mod bench;
mod chat;
mod completions;
mod convert;
mod eval;
mod grammar;
mod infer;
mod init;
mod install;
mod list;
mod package;
mod preprocess;
mod quickstart;
mod ranks;
mod report;
mod show;
mod synthesize;
mod train;
mod uninstall;
mod validate;
mod verify;

use clap::{CommandFactory as _, Parser as _};

use crate::error::{Problem, Result, classify};
use args::{Cli, Command};
use ui::Ui;

/// Runs the program on the process's arguments; returns its exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            return command_line::unparsed(&error, std::env::args_os().map(|word| word.to_string_lossy().into_owned()));
        }
    };
    let ui = Ui::new(&cli.global);
    let error = match dispatch(cli.command, &ui) {
        Ok(()) => {
            ranks::end(None);
            return 0;
        }
        Err(error) => error,
    };
    let (exit, hint) = classify(&error);
    if !error.downcast_ref::<Problem>().is_some_and(Problem::is_reported) {
        ui.error(&error, exit, hint.as_deref());
    }
    ranks::end(Some(exit));
    exit.code()
}

/// What a verb that was run by another verb did.
struct Nested {
    outcome: Result<()>,
    /// Its JSON answer; a verb may answer and fail (an answer that does not validate).
    answer: Option<serde_json::Value>,
}

/// Runs a verb from within another one. What it says to people is shown as usual.
fn nested(argv: &[&str], ui: &Ui) -> Result<Nested> {
    let cli = Cli::try_parse_from(["expert-cli"].iter().chain(argv))?;
    let console = ui.nested();
    let outcome = dispatch(cli.command, &console);
    Ok(Nested { outcome, answer: console.captured().ok() })
}

fn dispatch(command: Command, ui: &Ui) -> Result<()> {
    match command {
        Command::Quickstart(args) => quickstart::run(&args, ui),
        Command::Init(args) => init::run(&args, ui),
        Command::Validate(args) => validate::run(&args, ui),
        Command::Preprocess(args) => preprocess::run(&args, ui),
        Command::Eval(args) => eval::run(&args, ui),
        Command::Synthesize(args) => synthesize::run(&args, ui),
        Command::Train(args) => train::run(&args, ui),
        Command::Report(args) => report::run(&args, ui),
        Command::Package(args) => package::run(&args, ui),
        Command::Install(args) => install::run(&args, ui),
        Command::List(args) => list::run(&args, ui),
        Command::Show(args) => show::run(&args, ui),
        Command::Verify(args) => verify::run(&args, ui),
        Command::Uninstall(args) => uninstall::run(&args, ui),
        Command::Chat(args) => chat::run(&args, ui),
        Command::Infer(args) => infer::run(&args, ui),
        Command::Bench(args) => bench::run(&args, ui),
        Command::Convert(args) => convert::run(&args, ui),
        Command::Grammar(args) => grammar::run(&args, ui),
        Command::Completions(args) => completions::run(&args, &mut Cli::command(), ui),
    }
}
