//! A PostgreSQL of our own for tests that judge by results: started in a temporary folder on a unix socket, under
//! another user where we are root, and stopped when dropped. Where its programs are missing, tests say so and skip.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user that PostgreSQL runs as when we are root, which it refuses: `nobody`.
const NOBODY: u32 = 65_534;

pub struct Postgres {
    dir: tempfile::TempDir,
    programs: PathBuf,
    psql: PathBuf,
}

/// What a statement gave: rows of cells (none: NULL), or the error.
pub type Answer = Result<Vec<Vec<Option<String>>>, String>;

fn find(program: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    folders.push("/usr/local/bin".into());
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn is_root(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(dir).unwrap().uid() == 0
}

impl Postgres {
    /// A server, or none with a word on stderr.
    pub fn start() -> Option<Self> {
        let (Some(initdb), Some(psql)) = (find("initdb"), find("psql")) else {
            #[allow(clippy::print_stderr, reason = "a skipped check says so")]
            {
                eprintln!("skipped: no PostgreSQL here (initdb and psql are needed)");
            }
            return None;
        };
        let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        if is_root(dir.path()) {
            std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let server = Self { programs: initdb.parent().unwrap().to_owned(), psql, dir };
        let data = server.dir.path().join("data");
        let data = data.to_str().unwrap();
        server.program("initdb", &["--locale=C", "-E", "UTF8", "-A", "trust", "-U", "postgres", "-D", data]);
        let options = format!("-k {} -c listen_addresses= -c fsync=off", server.dir.path().display());
        let log = server.dir.path().join("log");
        server.program("pg_ctl", &["-w", "-D", data, "-o", &options, "-l", log.to_str().unwrap(), "start"]);
        Some(server)
    }

    /// The folder of its socket (port 5432, database and superuser `postgres`, no password).
    #[allow(dead_code, reason = "each binary that has this file uses a part of it")]
    pub fn socket(&self) -> &Path {
        self.dir.path()
    }

    fn program(&self, name: &str, args: &[&str]) {
        let mut command = Command::new(self.programs.join(name));
        command.args(args).current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root(&std::env::current_exe().unwrap()) || is_root(Path::new("/proc/self")) {
            command.uid(NOBODY).gid(NOBODY);
        }
        assert!(command.status().unwrap().success(), "{name} failed");
    }

    /// Runs statements one by one over `setup`; what a statement printed, or its error, each after the other.
    pub fn run(&self, setup: &str, statements: &[&str]) -> Vec<Answer> {
        let mut script = String::from(
            "\\set QUIET on\n\\set VERBOSITY terse\n\\pset format unaligned\n\\pset fieldsep '\\037'\n\\pset recordsep '\\036'\n\\pset null '\\002'\n\\pset tuples_only on\n\\pset footer off\nSET client_min_messages = error;\nSET TimeZone = 'UTC';\nSET statement_timeout = 3000;\n",
        );
        script.push_str(setup);
        for statement in statements {
            let statement = statement.trim().trim_end_matches(';');
            script.push_str(&format!(
                "\n\\echo '\\035begin'\n{statement}\n;\n\\echo '\\035end' :ERROR :LAST_ERROR_MESSAGE\n"
            ));
        }
        let input = self.dir.path().join(format!("{:?}.sql", std::thread::current().id()));
        std::fs::write(&input, script).unwrap();
        let output = Command::new(&self.psql)
            .args(["-X", "-h", self.dir.path().to_str().unwrap(), "-U", "postgres", "-d", "postgres", "-f"])
            .arg(&input)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let answers: Vec<Answer> = text.split("\u{1d}begin\n").skip(1).map(answer).collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(answers.len(), statements.len(), "psql stopped: {errors}");
        answers
    }
}

fn answer(text: &str) -> Answer {
    let (rows, end) = text.split_once("\u{1d}end ").unwrap_or((text, "true the output broke off"));
    if let Some(error) = end.strip_prefix("true") {
        return Err(error.trim().to_owned());
    }
    let rows = rows.strip_suffix('\n').unwrap_or(rows);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let cell = |cell: &str| (cell != "\u{2}").then(|| cell.to_owned());
    Ok(rows.split('\u{1e}').map(|row| row.split('\u{1f}').map(cell).collect()).collect())
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.dir.path().join("data");
        self.program("pg_ctl", &["-D", data.to_str().unwrap(), "-m", "immediate", "stop"]);
    }
}

/// A cell as results are compared: numbers to five significant digits, flags as numbers.
pub fn plain(cell: Option<&str>) -> String {
    match cell {
        None => "NULL".to_owned(),
        Some("t" | "true") => "1.0000e0".to_owned(),
        Some("f" | "false") => "0.0000e0".to_owned(),
        Some(text) => match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() && !text.trim().is_empty() => {
                format!("{:.4e}", if value == 0.0 { 0.0 } else { value })
            }
            _ => text.to_owned(),
        },
    }
}
