//! A user's machine in a temporary folder: an empty `EXPERT_HOME`, a tiny base model, a trained expert.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run of the program gave.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Exit code, stdout and stderr as one text, for snapshots.
    pub fn shown(&self) -> String {
        format!("exit: {}\n-- stdout\n{}-- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        Self { dir }
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_expert-cli"));
        command
            .args(args)
            .current_dir(self.work())
            .env("EXPERT_HOME", self.home())
            .env("HF_HOME", self.dir.path().join("hf"))
            .env("NO_COLOR", "1");
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Self::wait(&mut self.command(args))
    }

    pub fn wait(command: &mut Command) -> Run {
        let output = command.output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs and demands success.
    pub fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {}", run.shown());
        run
    }

    /// Copies a fixture model to where base models are kept.
    pub fn base(&self, model: &str) -> PathBuf {
        let folder = self.home().join("models").join(model);
        copy(&fixture(model), &folder);
        folder
    }

    /// An expert folder `work/<name>` with PEFT's own DoRA adapter as checkpoint-5 and final.
    pub fn expert(&self, name: &str) -> PathBuf {
        self.ok(&["init", name, "--base-model", "tiny-qwen3"]);
        let folder = self.work().join(name);
        for checkpoint in ["checkpoint-5", "final"] {
            copy(&fixture("golden/tiny-qwen3/dora-adapter"), &folder.join("weights/tiny-qwen3").join(checkpoint));
        }
        folder
    }

    /// Packs an expert folder and returns the package.
    pub fn package(&self, name: &str) -> PathBuf {
        let run = self.ok(&["package", "--manifest", name, "--quiet"]);
        self.work().join(run.stdout.trim())
    }

    /// Every path under the user's folder but the registry's own two files, sorted.
    pub fn installed_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        walk(&self.home(), &self.home(), &mut paths);
        paths.retain(|path| {
            !path.starts_with("models/")
                && !["models", "expert-registry.json", "registry.lock"].contains(&path.as_str())
        });
        paths
    }

    /// Filters that take this machine out of a snapshot.
    pub fn settings(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&regex(&self.dir.path().to_string_lossy()), "[TMP]");
        settings.add_filter(r"\d{4}-\d\d-\d\dT?[\d:]*Z?", "[DATE]");
        settings.add_filter(r"\b[0-9a-f]{64}\b", "[SHA256]");
        settings.add_filter(r"\b[0-9a-f]{12}\b", "[HASH]");
        settings.add_filter(r"\d+ bytes", "[N] bytes");
        settings.set_prepend_module_to_snapshot(true);
        settings
    }
}

fn regex(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") }).collect()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn walk(root: &Path, dir: &Path, paths: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        paths.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        if path.is_dir() {
            walk(root, &path, paths);
        }
    }
    paths.sort();
}
