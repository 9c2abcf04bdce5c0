//! The command line as text: what was typed, quoted for a shell, so that a `next:` line or a hint can be pasted; errors of
//! parsing it; and the devices it may name. Called by the verbs and by [`super::main`].

use candle_core::Device;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::ui::Ui;
use crate::error::{Exit, Problem, Result};

/// One word as a shell takes it: as it is, or in single quotes.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// ` --flag VALUE` for a command that is to be pasted; nothing where the flag was not given.
pub(super) fn flag(name: &str, value: Option<impl AsRef<std::ffi::OsStr>>) -> String {
    value.map_or_else(String::new, |value| format!(" {name} {}", quoted(&value.as_ref().to_string_lossy())))
}

/// The command that was typed, with `--resume` in place of what said where to start.
pub(super) fn resume_command(arguments: impl Iterator<Item = String>) -> String {
    typed_command(arguments, &["--restart"]) + " --resume"
}

/// The command that was typed, quoted for a shell, without `--resume` and these flags (which take no value).
pub(super) fn typed_command(arguments: impl Iterator<Item = String>, without: &[&str]) -> String {
    let mut command = vec!["expert-cli".to_owned()];
    let mut arguments = arguments.skip(1).peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--resume" {
            arguments.next_if(|next| !next.starts_with('-'));
        } else if !without.contains(&argument.as_str()) && !argument.starts_with("--resume=") {
            command.push(quoted(&argument));
        }
    }
    command.join(" ")
}

/// What `--device` names; none is the CPU with our own kernels. A word that is no device is a wrong command line (exit 2);
/// a GPU that is not there, or that this build knows nothing of, is a missing resource (exit 4). `number` is the GPU that
/// `cuda` alone means.
pub(super) fn device(name: &str, number: usize) -> Result<Option<Device>> {
    let number = match (name, name.strip_prefix("cuda:").map(str::parse)) {
        ("" | "auto" | "cpu", _) => return Ok(None),
        ("cuda", _) => number,
        (_, Some(Ok(number))) => number,
        _ => {
            return Err(Problem::usage(format!("`{name}` is no device"))
                .hint("--device takes auto, cpu, cuda or cuda:N")
                .into());
        }
    };
    if !cfg!(feature = "cuda") {
        return Err(Problem::resource(format!("--device {name}: this build computes on the CPU only"))
            .hint("leave --device out, or give --device cpu; `scripts/build-cuda.sh` makes a build for GPUs")
            .into());
    }
    match Device::new_cuda(number) {
        Ok(device) => Ok(Some(device)),
        Err(error) => Err(Problem::resource(format!("--device {name}: there is no GPU {number} to compute on"))
            .detail(error.to_string())
            .hint("leave --device out, or give --device cpu")
            .into()),
    }
}

/// Says what clap has to say (an error, the help, the version) and returns the exit code. `--json` anywhere in the
/// command line makes it one JSON object on stdout.
pub(super) fn unparsed(error: &clap::Error, arguments: impl Iterator<Item = String>) -> u8 {
    let json = arguments.skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    if !json {
        let _ = error.print();
        return if error.use_stderr() { Exit::Usage.code() } else { 0 };
    }
    let ui = Ui::for_json();
    let text = error.render().to_string();
    if !error.use_stderr() {
        let (schema, key) = match error.kind() {
            ErrorKind::DisplayVersion => ("expert-cli.version/1", "version"),
            _ => ("expert-cli.help/1", "text"),
        };
        let value = text.trim();
        let value = if key == "version" { value.rsplit(' ').next().unwrap_or(value) } else { value };
        return ui.json(schema, serde_json::json!({ key: value })).map_or(Exit::Failed.code(), |()| 0);
    }
    let problem = anyhow::Error::from(Problem::usage(message(&text)));
    ui.error(&problem, Exit::Usage, Some(&hint(error)));
    Exit::Usage.code()
}

/// What is wrong: clap's text up to its tips and the usage.
fn message(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let body: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.trim_start().starts_with("tip:"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    body.join(" ")
}

/// The likely spelling where clap has found one, else the way to the help.
fn hint(error: &clap::Error) -> String {
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue] {
        match error.get(kind) {
            Some(ContextValue::String(near)) => return format!("did you mean `{near}`?"),
            Some(ContextValue::Strings(near)) if !near.is_empty() => return format!("did you mean `{}`?", near[0]),
            _ => {}
        }
    }
    "`--help` behind the verb lists what it takes".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resume_command_is_what_was_typed() {
        let command = |line: &[&str]| resume_command(line.iter().map(|s| (*s).to_owned()));
        for (typed, expected) in [
            (&["/bin/expert-cli", "train"][..], "expert-cli train --resume"),
            (&["x", "train", "--resume", "--epochs", "2"], "expert-cli train --epochs 2 --resume"),
            (&["x", "train", "--resume", "checkpoint-5", "--seed", "1"], "expert-cli train --seed 1 --resume"),
            (&["x", "train", "--restart", "--output", "my dir"], "expert-cli train --output 'my dir' --resume"),
        ] {
            assert_eq!(command(typed), expected);
        }
    }

    #[test]
    fn a_flag_that_was_not_given_leaves_no_trace() {
        assert_eq!(flag("--weights", None::<&str>), "");
        assert_eq!(flag("--weights", Some("my dir")), " --weights 'my dir'");
    }

    #[test]
    fn devices() {
        for (name, exit) in [
            ("auto", None),
            ("cpu", None),
            ("cuda", Some(Exit::Resource)),
            ("cuda:1", Some(Exit::Resource)),
            ("cuda:x", Some(Exit::Usage)),
            ("gpu", Some(Exit::Usage)),
        ] {
            let found = device(name, 0).err().map(|error| crate::error::classify(&error).0);
            assert_eq!(found, exit, "{name}");
        }
    }
}
