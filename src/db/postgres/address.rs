//! Where a PostgreSQL server is and as whom to ask it: the `postgres://` form that its own tools read.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Problem, Result};

/// The port where none is given.
const PORT: u16 = 5432;

/// A server, a database on it, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// How to get there.
    pub host: Host,
    /// The port; of a unix socket, the number in its name.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password; empty where the server asks for none.
    pub password: String,
    /// The database.
    pub database: String,
    /// The schema that plain names mean, in place of the server's own choice; then days are those of UTC too.
    pub namespace: Option<String>,
}

/// How to get to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The folder of its unix socket.
    Socket(PathBuf),
}

/// What to write instead.
const HINT: &str = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE, or postgres:///DATABASE?host=/FOLDER for a \
                    unix socket; the password may stand in PGPASSWORD";

impl Address {
    /// Reads what stands behind `postgres:`. Known parameters: host, port, user, password, dbname, sslmode.
    pub fn parse(rest: &str) -> Result<Self, Problem> {
        let refuse = |what: &str| Problem::usage(format!("the PostgreSQL address {what}")).hint(HINT);
        let rest = rest.strip_prefix("//").ok_or_else(|| refuse("does not begin with postgres://"))?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (who, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((host, port)) => (host, port.trim_start_matches(':')),
            None => host.split_once(':').unwrap_or((host, "")),
        };
        let text = |part: &str| decode(part).ok_or_else(|| refuse("has a `%` that is no code"));
        let (mut host, mut port, mut database) = (text(host)?, port.to_owned(), text(database)?);
        let (mut user, mut password) = (text(user)?, text(password)?);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = text(value)?;
            match name {
                "host" => host = value,
                "port" => port = value,
                "user" => user = value,
                "password" => password = value,
                "dbname" => database = value,
                "sslmode" if matches!(value.as_str(), "disable" | "allow" | "prefer") => {}
                "sslmode" => return Err(no_tls()),
                "application_name" | "connect_timeout" => {}
                _ => return Err(refuse(&format!("has an unknown parameter `{name}`"))),
            }
        }
        let or_environment = |value: String, name: &str| match value.is_empty() {
            true => std::env::var(name).unwrap_or_default(),
            false => value,
        };
        password = or_environment(password, "PGPASSWORD");
        user = or_environment(or_environment(user, "PGUSER"), "USER");
        if user.is_empty() {
            return Err(refuse("names no user"));
        }
        if database.is_empty() {
            database.clone_from(&user);
        }
        let port = match port.as_str() {
            "" => PORT,
            port => port.parse().map_err(|_| refuse(&format!("has the port `{port}`")))?,
        };
        let host = match host {
            host if host.starts_with('/') => Host::Socket(host.into()),
            host if host.is_empty() => Host::Tcp("localhost".into()),
            host => Host::Tcp(host),
        };
        Ok(Self { host, port, user, password, database, namespace: None })
    }

    /// Whether the server is on this machine, so that nobody listens on the way.
    pub fn is_local(&self) -> bool {
        match &self.host {
            Host::Socket(_) => true,
            Host::Tcp(host) => {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

/// What to say to somebody who needs an encrypted connection.
pub(super) fn no_tls() -> Problem {
    Problem::usage("encrypted connections to PostgreSQL are not in this build")
        .hint("open a tunnel (`ssh -L 5432:localhost:5432 HOST`) and connect to localhost")
}

/// `%41` to `A`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(host) => write!(f, "postgres://{}@{host}:{}/{}", self.user, self.port, self.database),
            Host::Socket(folder) => {
                write!(f, "postgres://{}@/{}?host={}&port={}", self.user, self.database, folder.display(), self.port)
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_form() {
        for (text, shown, password) in [
            ("//u:p@db.example:6000/shop", "postgres://u@db.example:6000/shop", "p"),
            ("//u:p%40%2Fq@h/shop?sslmode=prefer", "postgres://u@h:5432/shop", "p@/q"),
            ("//u@/shop?host=/run/pg&port=7", "postgres://u@/shop?host=/run/pg&port=7", ""),
            ("//u@%2Frun%2Fpg/shop", "postgres://u@/shop?host=/run/pg&port=5432", ""),
            ("//u:a:b@[::1]:9/d", "postgres://u@::1:9/d", "a:b"),
            ("///d?user=u&password=x", "postgres://u@localhost:5432/d", "x"),
            ("//u@h", "postgres://u@h:5432/u", ""),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            if std::env::var_os("PGPASSWORD").is_none() {
                assert_eq!(address.password, password);
            }
            assert!(password.is_empty() || !format!("{address:?}").contains(&format!(":{password}@")));
        }
    }

    #[test]
    fn what_cannot_work_is_refused_without_showing_the_password() {
        for (text, reason) in [
            ("u:secret@h/d", "does not begin"),
            ("//u:secret@h:x/d", "the port `x`"),
            ("//u:secret%zz@h/d", "no code"),
            ("//u:secret@h/d?sslmode=require", "encrypted connections"),
            ("//u:secret@h/d?nothing=1", "unknown parameter `nothing`"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.message.contains(reason), "{error}");
            assert!(!error.to_string().contains("secret") && error.hint.is_some());
        }
    }
}
