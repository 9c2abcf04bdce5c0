//! The binary: hands argv to [`expert_cli::cli`] and ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(expert_cli::cli::main())
}
