//! Exit codes and the one error type that carries a hint.
//!
//! Every failure a person can cause ends as a [`Problem`]: what happened, the details, one thing to do, and the exit
//! code. Rooms pass it through `anyhow`; only `main` turns it into text. Owns no I/O and knows nothing of ours.

use std::fmt;

/// What every fallible function of this crate returns.
pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;

/// Process exit codes (success is 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The work failed, or the answer is "no" (a verification mismatch, an answer that does not validate).
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// An input was refused or cannot be read: corrupt, hostile, does not parse.
    Input = 3,
    /// A resource ran out or is not allowed: memory, disk, permission.
    Resource = 4,
    /// Ctrl+C.
    Interrupted = 130,
}

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// An error meant for people: message, details, hint and exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The exit code the program ends with if nobody handles this.
    pub exit: Exit,
    /// What happened and where, one line, without a full stop.
    pub message: String,
    /// Indented lines under the message (expected and found, the list of defects).
    pub details: Vec<String>,
    /// The one thing to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with this exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), hint: None }
    }

    /// The work failed or the answer is "no" (exit 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line is wrong (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An input was refused or is unreadable (exit 3).
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Exit::Input, message)
    }

    /// A resource ran out (exit 4).
    pub fn resource(message: impl Into<String>) -> Self {
        Self::new(Exit::Resource, message)
    }

    /// The result was printed and says it all; only this exit code is left to give.
    pub fn reported(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Whether there is nothing left to print.
    pub fn is_reported(&self) -> bool {
        self.message.is_empty()
    }

    /// Adds a detail line.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Sets the one thing to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for line in &self.details {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The exit code and hint of an error: those of the first [`Problem`] in its chain, else of the first I/O error that
/// speaks of a resource, else 1.
pub fn classify(error: &anyhow::Error) -> (Exit, Option<String>) {
    for cause in error.chain() {
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            return (problem.exit, problem.hint.clone());
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as K;
            match io.kind() {
                K::StorageFull | K::QuotaExceeded | K::FileTooLarge => {
                    return (Exit::Resource, Some("free some disk space and run the same command again".into()));
                }
                K::PermissionDenied | K::ReadOnlyFilesystem => {
                    return (
                        Exit::Resource,
                        Some("choose a folder you may write to, or change its permissions".into()),
                    );
                }
                K::NotFound => return (Exit::Input, Some("check the path: it is seen from the current folder".into())),
                K::InvalidData | K::UnexpectedEof => return (Exit::Input, None),
                _ => {}
            }
        }
    }
    (Exit::Failed, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_first_problem_in_the_chain_decides() {
        let error: anyhow::Error = Problem::input("bad file").hint("fix it").into();
        let error = Err::<(), _>(error).context("while loading").unwrap_err();
        assert_eq!(classify(&error), (Exit::Input, Some("fix it".into())));
    }

    #[test]
    fn a_full_disk_is_a_resource_problem() {
        let error = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(classify(&error).0, Exit::Resource);
    }
}
