//! The answers' file: lines are appended in the order of the input, so a run that was stopped, even by a power cut, is
//! taken up behind its last whole line. Beside it stand the settings it was made with: an output is never mixed.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::rows::Rows;
use crate::error::{Problem, Result};
use crate::fsx;

/// An output that is being written; nobody else writes it meanwhile.
pub(super) struct Output {
    path: PathBuf,
    /// What an earlier run answered.
    kept: Vec<Map<String, Value>>,
    lock_path: PathBuf,
    _lock: fsx::Lock,
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

impl Output {
    /// Opens an output for answers of `made_by`. Answers by somebody else are refused, unless `force` throws them away.
    pub fn open(path: &Path, made_by: &Value, force: bool) -> Result<Self> {
        let lock_path = beside(path, ".lock");
        let lock = fsx::Lock::try_acquire(&lock_path, &path.display().to_string())?;
        let settings_path = beside(path, ".settings.json");
        if force {
            fsx::remove(path)?;
        }
        let mut output = Self { path: path.to_owned(), kept: Vec::new(), lock_path, _lock: lock };
        if path.is_file() {
            let earlier: Value = match settings_path.is_file() {
                true => serde_json::from_str(&fsx::read_text(&settings_path)?).unwrap_or_default(),
                false => Value::Null,
            };
            output.kept = whole_lines(path)?;
            if !output.kept.is_empty() && earlier.is_null() {
                return Err(Problem::input(format!("it cannot be told what made {}", path.display()))
                    .detail(format!("{} is missing or no JSON", settings_path.display()))
                    .hint("--force begins anew, --output names another file")
                    .into());
            }
            if !output.kept.is_empty() && &earlier != made_by {
                return Err(Problem::input(format!("{} was made with other settings", path.display()))
                    .details_of(&earlier, made_by)
                    .hint("--force begins anew, --output names another file")
                    .into());
            }
        }
        fsx::write_atomic(&settings_path, (serde_json::to_string_pretty(made_by)? + "\n").as_bytes())?;
        Ok(output)
    }

    /// Skips the rows that were answered before; their number. The torn last line of a killed run goes.
    pub fn resume(&mut self, rows: &mut Rows) -> Result<u64> {
        for (at, answered) in self.kept.iter().enumerate() {
            let row = rows.next().transpose()?;
            if !row.is_some_and(|row| row.is_answered_by(answered)) {
                return Err(Problem::input(format!(
                    "line {} of {} does not answer the question at its place in the input",
                    at + 1,
                    self.path.display()
                ))
                .hint("--force begins anew, --output names another file")
                .into());
            }
        }
        if self.path.is_file() {
            let text: String = self.kept.iter().map(|row| line(&Value::Object(row.clone()))).collect();
            if fsx::read(&self.path)? != text.as_bytes() {
                fsx::write_atomic(&self.path, text.as_bytes())?;
            }
        } else {
            fsx::write_atomic(&self.path, b"")?;
        }
        Ok(std::mem::take(&mut self.kept).len() as u64)
    }

    /// Appends answers.
    pub fn append(&self, rows: &[Value]) -> Result<()> {
        fsx::append(&self.path, rows.iter().map(line).collect::<String>().as_bytes())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Left behind it would harm nobody: a lock counts only while its process holds it.
        let _ = fsx::remove(&self.lock_path);
    }
}

fn line(row: &Value) -> String {
    format!("{row}\n")
}

/// The lines of a file up to the first that is torn.
fn whole_lines(path: &Path) -> Result<Vec<Map<String, Value>>> {
    let bytes = fsx::read(path)?;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    Ok(lines.map_while(|line| serde_json::from_slice(line).ok()).collect())
}

trait Differences {
    fn details_of(self, earlier: &Value, now: &Value) -> Self;
}

impl Differences for Problem {
    /// One line for every field that differs.
    fn details_of(mut self, earlier: &Value, now: &Value) -> Self {
        let mut compare = |name: &str, earlier: &Value, now: &Value| {
            if earlier != now {
                self.details.push(format!("{name}: then {earlier}, now {now}"));
            }
        };
        for (name, now) in now.as_object().into_iter().flatten() {
            let earlier = &earlier[name];
            match now.as_object().filter(|_| name == "settings") {
                None => compare(name, earlier, now),
                Some(settings) => {
                    settings.iter().for_each(|(name, now)| compare(name, &earlier[name]["value"], &now["value"]));
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ROWS: &str = "{\"question\": \"a\"}\n{\"question\": \"b\"}\n{\"question\": \"c\"}\n";

    fn answered(question: &str) -> Value {
        json!({"question": question, "predicted_sql": "SELECT 1"})
    }

    #[test]
    fn a_torn_last_line_is_dropped_and_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let (input, path) = (dir.path().join("q.jsonl"), dir.path().join("p.jsonl"));
        fsx::write_atomic(&input, ROWS.as_bytes()).unwrap();
        let made_by = json!({"settings": {"seed": {"value": 1, "origin": "flag"}}});
        let mut output = Output::open(&path, &made_by, false).unwrap();
        assert_eq!(output.resume(&mut Rows::open(&input).unwrap()).unwrap(), 0);
        output.append(&[answered("a"), answered("b")]).unwrap();
        assert!(Output::open(&path, &made_by, false).is_err(), "somebody writes");
        drop(output);
        let whole = fsx::read_text(&path).unwrap();
        fsx::append(&path, b"{\"question\": \"c\", \"predic").unwrap();

        let mut rows = Rows::open(&input).unwrap();
        let mut output = Output::open(&path, &made_by, false).unwrap();
        assert_eq!(output.resume(&mut rows).unwrap(), 2);
        assert_eq!(fsx::read_text(&path).unwrap(), whole);
        assert_eq!(rows.count(), 1);
        drop(output);

        let other = json!({"settings": {"seed": {"value": 2, "origin": "flag"}}});
        let error = Output::open(&path, &other, false).err().unwrap().to_string();
        assert!(error.contains("seed: then 1, now 2"), "{error}");
        let mut forced = Output::open(&path, &other, true).unwrap();
        assert_eq!(forced.resume(&mut Rows::open(&input).unwrap()).unwrap(), 0);
        drop(forced);
        assert_eq!(fsx::list_dir(dir.path()).unwrap().len(), 3, "input, output, settings");
    }

    #[test]
    fn answers_to_other_questions_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (input, path) = (dir.path().join("q.jsonl"), dir.path().join("p.jsonl"));
        fsx::write_atomic(&input, ROWS.as_bytes()).unwrap();
        let mut output = Output::open(&path, &json!({}), false).unwrap();
        output.resume(&mut Rows::open(&input).unwrap()).unwrap();
        output.append(&[answered("a"), answered("other")]).unwrap();
        drop(output);
        let mut output = Output::open(&path, &json!({}), false).unwrap();
        let error = output.resume(&mut Rows::open(&input).unwrap()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
