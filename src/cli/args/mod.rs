//! What can be typed: clap types only, no logic. One file per verb.

use clap::{Args as ClapArgs, Parser, Subcommand};

pub mod bench;
pub mod chat;
pub mod completions;
pub mod convert;
pub mod eval;
pub mod grammar;
pub mod infer;
pub mod init;
pub mod install;
pub mod list;
pub mod package;
pub mod preprocess;
pub mod quickstart;
pub mod report;
pub mod show;
pub mod synthesize;
pub mod train;
pub mod uninstall;
pub mod validate;
pub mod verify;

/// Make, ship and run small text-to-SQL experts.
#[derive(Debug, Parser)]
#[command(name = "expert-cli", version, about, propagate_version = true)]
pub struct Cli {
    /// Flags that every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every verb takes.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Global {
    /// Print one JSON object on stdout instead of text (errors too)
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing on stderr but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole chain on a small example: preprocess, train, package, install, chat
    Quickstart(quickstart::Args),
    /// Write a starter expert folder
    Init(init::Args),
    /// Check a manifest: every problem at once
    Validate(validate::Args),
    /// Turn a text-to-SQL data set into training rows
    Preprocess(Box<preprocess::Args>),
    /// Write a training set for a database, from its schema alone
    Synthesize(synthesize::Args),
    /// Train an adapter as the manifest says
    Train(Box<train::Args>),
    /// Draw the curves of one run or several as a page that opens offline
    Report(report::Args),
    /// Pack a trained expert into one .expert file
    Package(package::Args),
    /// Install a .expert file or an expert folder
    Install(install::Args),
    /// List the installed experts
    List(list::Args),
    /// Show one installed expert
    Show(show::Args),
    /// Check a package or an installed expert against its hashes
    Verify(verify::Args),
    /// Remove an installed expert
    Uninstall(uninstall::Args),
    /// Ask an expert: one question or a conversation
    Chat(Box<chat::Args>),
    /// Answer a file of questions
    Infer(Box<infer::Args>),
    /// Measure start-up, prompt, answer and memory
    Bench(Box<bench::Args>),
    /// Convert SQL between dialects, with its schema at hand
    Convert(convert::Args),
    /// Judge answers by executing them: scores with intervals, every failure with its reason
    Eval(Box<eval::Args>),
    /// Check and measure GBNF grammars
    Grammar(grammar::Args),
    /// Print the completion script of a shell, or write the manual pages
    Completions(completions::Args),
}
