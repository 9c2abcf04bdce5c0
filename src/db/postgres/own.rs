//! A schema of our own on somebody's server: made, filled, and dropped when it is no longer needed. Nothing outside it is
//! written: plain names mean what is in it, and everything it holds was made here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::session::Session;
use super::{Address, CONNECT};
use crate::db::{Limits, QueryError};

/// Time for making and filling it, and for dropping it.
const TIME: Duration = Duration::from_secs(60);

/// A schema that goes when this value goes.
#[derive(Debug)]
pub struct OwnSchema {
    address: Address,
}

impl OwnSchema {
    /// Makes a schema under a new name and runs statements in it: all of them, or the schema is gone again.
    pub fn create(address: &Address, statements: &str) -> Result<Self, QueryError> {
        let name = new_name();
        let mut session = open(address)?;
        session.run(&format!("CREATE SCHEMA {name}"))?;
        drop(session);
        let own = Self { address: Address { namespace: Some(name), ..address.clone() } };
        open(&own.address)?.run(statements)?;
        Ok(own)
    }

    /// Where it is: plain names mean what is in it.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for OwnSchema {
    fn drop(&mut self) {
        // Nobody is left to tell. What a lost connection leaves behind is recognised by its name.
        if let (Some(name), Ok(mut session)) = (&self.address.namespace, open(&self.address)) {
            let _ = session.run(&format!("DROP SCHEMA IF EXISTS {name} CASCADE"));
        }
    }
}

fn open(address: &Address) -> Result<Session, QueryError> {
    let mut session = Session::open(address, CONNECT, &Limits::default())?;
    session.allow(TIME, TIME);
    Ok(session)
}

/// A name that nobody else takes: the process, the time, and how many were made before.
fn new_name() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    format!("expert_eval_{}_{now:x}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}
