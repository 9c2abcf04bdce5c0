//! The schema of a record: read once for all records that share it, and the text that a row shows of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::judged::Answers;
use super::row::Dropped;
use super::{Options, Reason};
use crate::sql::{Dialect, Schema, Style, convert};

/// How many schemas are kept; rows of one database usually stand together. Price: about 10 KB each, and their
/// answers.
const SCHEMAS_KEPT: usize = 1024;

/// A schema as it was read.
#[derive(Debug)]
pub(super) struct Read {
    /// What answers are checked against; none: the text is no DDL and is shown as it is.
    pub schema: Option<Schema>,
    /// The same with the types of the rows' dialect, as it is shown.
    pub shown: Option<Schema>,
    /// The text that a row shows when nothing is pruned.
    pub text: String,
    /// Answers that were judged over it.
    pub answers: Answers,
}

/// What of the options a reading and the answers judged over it depend on: the sources of one run may differ in it.
type Under = (Dialect, Option<&'static str>, bool);

/// The schemas of a run.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    kept: Mutex<HashMap<Under, HashMap<String, Arc<Read>>>>,
}

impl Schemas {
    /// The schema of a record. Text that holds no CREATE statement (M-Schema, a list of columns) is shown as it is and
    /// nothing is checked against it.
    pub fn get(&self, text: &str, options: &Options) -> Result<Arc<Read>, Dropped> {
        let under: Under = (options.dialect, options.language, options.validate_sql);
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&under).and_then(|kept| kept.get(text)) {
            return Ok(known.clone());
        }
        let read = Arc::new(read(text, options)?);
        let mut kept = lock();
        let kept = kept.entry(under).or_default();
        if kept.len() >= SCHEMAS_KEPT {
            kept.clear();
        }
        kept.insert(text.to_owned(), read.clone());
        Ok(read)
    }
}

fn read(text: &str, options: &Options) -> Result<Read, Dropped> {
    let as_it_is = || Read { schema: None, shown: None, text: text.to_owned(), answers: Answers::default() };
    let upper = text.to_ascii_uppercase();
    if !upper.contains("CREATE ") || !(upper.contains("TABLE") || upper.contains("VIEW")) {
        return Ok(as_it_is());
    }
    match Schema::parse(text, options.dialect) {
        Ok(schema) => {
            let shown = convert::schema_for(schema.clone(), options.dialect);
            let text = show(&shown, options.schema_style);
            Ok(Read { schema: Some(schema), shown: Some(shown), text, answers: Answers::default() })
        }
        Err(error) if options.validate_sql => Err((Reason::Schema, error.to_string())),
        Err(_) => Ok(as_it_is()),
    }
}

/// The text of a schema, without sample values: a data set brings none.
pub(super) fn show(schema: &Schema, style: Style) -> String {
    schema.show(style, None, &|_, _| Vec::new())
}

impl Read {
    /// The text that a row with this question and answer shows: within the budget, with the tables that the answer uses.
    pub fn text_for(&self, question: &str, used: &[String], options: &Options) -> String {
        let (Some(budget), Some(schema)) = (options.schema_budget, &self.shown) else { return self.text.clone() };
        let used: Vec<&str> = used.iter().map(String::as_str).collect();
        show(&schema.pruned(question, &used, budget), options.schema_style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_one_run_in_two_dialects_do_not_share_what_was_read() {
        let schemas = Schemas::default();
        let judged = |dialect| {
            let options = Options { dialect, ..Options::default() };
            let read = schemas.get("CREATE TABLE t (a TEXT, b INT)", &options).unwrap();
            let answer = "SELECT a FROM t WHERE a ILIKE 'x%'";
            read.answers.get(answer, Some(Dialect::Postgres), read.schema.as_ref(), &options).unwrap().sql.clone()
        };
        let postgres = judged(Dialect::Postgres);
        assert_ne!(judged(Dialect::Sqlite), postgres);
        assert_eq!(judged(Dialect::Postgres), postgres);
    }
}
