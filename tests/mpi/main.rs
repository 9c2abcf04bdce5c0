//! Two processes under `mpirun`: `cargo test --features mpi --test mpi`. Where there is no `mpirun` every test says so and
//! passes.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and reports")]

#[path = "../it/tiny.rs"]
#[expect(dead_code, reason = "the rows are those of the integration tests")]
mod tiny;

mod double;
mod program;

use std::process::{Command, Output, Stdio};

/// `mpirun`, with room for two processes wherever it runs; none, with a word, where it is not installed. A job that hangs
/// is ended.
fn mpirun() -> Option<Command> {
    let there = Command::new("mpirun").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no mpirun (Debian: openmpi-bin)");
        return None;
    }
    let mut command = Command::new("mpirun");
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1").env("OMPI_MCA_hwloc_base_binding_policy", "none");
    command.env("MPIEXEC_TIMEOUT", "120").stdin(Stdio::null());
    Some(command)
}

/// Runs a test of this binary, which is ignored otherwise, as two processes.
fn as_two(test: &str) -> Option<Output> {
    let mut command = mpirun()?;
    command.args(["-n", "2"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"]);
    Some(command.output().unwrap())
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}
