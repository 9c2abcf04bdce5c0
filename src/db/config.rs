//! askGuru's `db_conn.json`: one server, several databases.
//!
//! `{"host", "port", "user", "password", "dialect", "databases": {"shop": "shop_prod", …}}`. A database is the name it
//! has on the server (of SQLite: the path of its file, relative to the configuration), or an object that also overrides
//! host, port, user and password; a list of names and a single `database` are read too.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::Source;
use super::postgres::{Address, Host};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::sql::Dialect;

impl Source {
    /// The database that `name` means in a configuration file; without a name, the only one.
    pub fn from_config(path: &Path, name: Option<&str>) -> Result<Self> {
        let shown = path.display();
        let config: Json = serde_json::from_str(&fsx::read_text(path)?)
            .map_err(|error| Problem::input(format!("{shown} is not JSON")).detail(error.to_string()))?;
        let config = config.as_object().ok_or_else(|| Problem::input(format!("{shown} holds no object")))?;
        let databases = databases(config);
        let known = || databases.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let (name, entry) = match (name, &databases[..]) {
            (Some(wanted), all) => all.iter().find(|(name, _)| name == wanted).ok_or_else(|| {
                Problem::usage(format!("{shown} has no database `{wanted}`")).hint(format!("it has {}", known()))
            })?,
            (None, [only]) => only,
            (None, []) => return Err(Problem::input(format!("{shown} names no databases")).into()),
            (None, _) => {
                let problem = Problem::usage(format!("{shown} has several databases"));
                return Err(problem.hint(format!("--db NAME picks one of {}", known())).into());
            }
        };
        let text = |key: &str| text(entry, key).or_else(|| text_of(config, key));
        let place = match entry {
            Json::String(place) => place.clone(),
            _ => ["database", "dbname", "db_name", "path", "file"]
                .iter()
                .find_map(|key| self::text(entry, key))
                .unwrap_or_else(|| name.clone()),
        };
        let dialect = text("dialect").or_else(|| text("type")).unwrap_or_else(|| "postgresql".into());
        match Dialect::from_name(&dialect) {
            Some(Dialect::Sqlite) => {
                let folder = path.parent().unwrap_or(Path::new("."));
                Ok(Self::Sqlite(folder.join(place)))
            }
            Some(Dialect::Postgres) => {
                let host = text("host").unwrap_or_else(|| "localhost".into());
                let port = text("port").map_or(Ok(5432), |port| port.parse());
                let port = port.map_err(|_| Problem::input(format!("{shown}: `port` is no number")))?;
                let host = if host.starts_with('/') { Host::Socket(host.into()) } else { Host::Tcp(host) };
                let user = text("user").or_else(|| text("username"));
                let user = user.ok_or_else(|| Problem::input(format!("{shown} names no user")))?;
                let password = text("password").or_else(|| std::env::var("PGPASSWORD").ok()).unwrap_or_default();
                Ok(Self::Postgres(Address { host, port, user, password, database: place, namespace: None }))
            }
            _ => Err(Problem::usage(format!("{shown}: `{dialect}` databases are not supported"))
                .hint("postgresql and sqlite are")
                .into()),
        }
    }
}

/// Every database with what is said of it.
fn databases(config: &Map<String, Json>) -> Vec<(String, Json)> {
    match config.get("databases") {
        Some(Json::Object(named)) => named.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect(),
        Some(Json::Array(names)) => {
            names.iter().filter_map(|name| Some((name.as_str()?.to_owned(), name.clone()))).collect()
        }
        _ => text_of(config, "database").map(|name| (name.clone(), Json::String(name))).into_iter().collect(),
    }
}

fn text(entry: &Json, key: &str) -> Option<String> {
    text_of(entry.as_object()?, key)
}

/// A text, or a number as text.
fn text_of(object: &Map<String, Json>, key: &str) -> Option<String> {
    match object.get(key)? {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(config: &Json, name: Option<&str>) -> Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db_conn.json");
        fsx::write_atomic(&path, config.to_string().as_bytes()).unwrap();
        let shown = Source::from_config(&path, name)?.to_string();
        Ok(shown.replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn every_form_names_a_database() {
        let server = json!({"host": "h", "port": 7, "user": "u", "password": "p", "dialect": "postgresql",
            "databases": {"shop": "shop_prod", "hr": {"database": "people", "host": "/run/pg", "port": "8"}}});
        assert_eq!(read(&server, Some("shop")).unwrap(), "postgres://u@h:7/shop_prod");
        assert_eq!(read(&server, Some("hr")).unwrap(), "postgres://u@/people?host=/run/pg&port=8");
        let files = json!({"dialect": "sqlite", "databases": ["a.db"]});
        assert_eq!(read(&files, None).unwrap(), "sqlite:DIR/a.db");
        assert_eq!(read(&json!({"user": "u", "database": "d"}), None).unwrap(), "postgres://u@localhost:5432/d");
        for (config, name, reason) in [
            (server.clone(), None, "several databases"),
            (server, Some("x"), "no database `x`"),
            (json!({"user": "u"}), None, "names no databases"),
            (json!({"database": "d"}), None, "names no user"),
            (json!({"user": "u", "database": "d", "dialect": "oracle"}), None, "`oracle`"),
            (json!([]), None, "holds no object"),
        ] {
            assert!(read(&config, name).unwrap_err().to_string().contains(reason), "{reason}");
        }
    }
}
