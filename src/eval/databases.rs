//! The databases of a suite, made when they are first asked for: files in a folder of their own that goes when this value
//! goes, schemas of their own on a PostgreSQL server, or the user's database, which is only read.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::spider::{self, ForeignKeys, Tables};
use super::suite::{Content, Database, Suite};
use crate::db::postgres::{Address, OwnSchema};
use crate::db::sqlite::Scratch;
use crate::db::{Limits, Source, Value};
use crate::error::{Problem, Result};
use crate::fsx;
use crate::sql::{Dialect, Schema};
use crate::synth;

/// How many times rows are made up for tables without any, each time others: two queries that are not the same give the
/// same result by accident on one of them, rarely on all. Price: every answer is run as often.
pub const ROW_SEEDS: usize = 3;

/// Makes and keeps databases.
#[derive(Debug)]
pub struct Databases {
    folder: fsx::Staging,
    server: Option<Address>,
    seeds: usize,
    opened: BTreeMap<usize, Rc<Opened>>,
}

/// A database that can be asked.
#[derive(Debug)]
pub struct Opened {
    /// The same tables with different rows: an answer must be right on all of them. Never empty.
    pub sources: Vec<Source>,
    /// Its tables, as prompts show them.
    pub schema: Schema,
    /// The dialect it speaks.
    pub speaks: Dialect,
    /// Its tables as Spider's evaluator reads them.
    pub(super) tables: Tables,
    /// Its foreign keys as that evaluator takes them.
    pub(super) keys: ForeignKeys,
    /// Schemas that go with it.
    _own: Vec<OwnSchema>,
}

impl Databases {
    /// `server`: where the statements of a suite are run instead of in SQLite; `seeds`: how many times rows are made up.
    pub fn new(server: Option<Address>, seeds: usize) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("expert-eval-{}", std::process::id()));
        let (folder, seeds) = (fsx::Staging::new(&folder)?, seeds.max(1));
        Ok(Self { folder, server, seeds, opened: BTreeMap::new() })
    }

    /// The database of this number.
    pub fn open(&mut self, suite: &Suite, number: usize) -> Result<Rc<Opened>> {
        if let Some(opened) = self.opened.get(&number) {
            return Ok(Rc::clone(opened));
        }
        let database = &suite.databases[number];
        let cannot = |error: anyhow::Error| {
            Problem::input(format!("the database of {} cannot be made: {error:#}", database.name))
        };
        let opened = Rc::new(self.make(suite, number).map_err(cannot)?);
        self.opened.insert(number, Rc::clone(&opened));
        Ok(opened)
    }

    fn make(&self, suite: &Suite, number: usize) -> Result<Opened> {
        let database = &suite.databases[number];
        let mut own = Vec::new();
        let sources = match &database.content {
            Content::Source(source) => vec![source.clone()],
            Content::Script(script) => match &self.server {
                Some(address) => {
                    let made = OwnSchema::create(address, script).map_err(Problem::from)?;
                    let source = Source::Postgres(made.address().clone());
                    own.push(made);
                    vec![source]
                }
                None => {
                    let mut scratch = Scratch::new()?;
                    scratch.execute(script, &Limits::default()).map_err(Problem::from)?;
                    vec![self.saved(&mut scratch, number, 0)?]
                }
            },
            Content::MadeUp(seed) => {
                let schema = Schema::parse(database.ddl.as_deref().unwrap_or_default(), suite.dialect)?;
                (0..self.seeds).map(|turn| self.made_up(&schema, *seed, number, turn)).collect::<Result<_>>()?
            }
        };
        let speaks = sources.first().map_or(Dialect::Sqlite, Source::dialect);
        let schema = shown(database, &sources, suite.dialect)?;
        let keys = match suite.tables.get(&database.name) {
            Some(entry) => spider::foreign_keys(entry),
            None => spider::foreign_keys_of(&schema),
        };
        Ok(Opened { tables: spider::tables(&schema), keys, sources, schema, speaks, _own: own })
    }

    fn made_up(&self, schema: &Schema, seed: u64, number: usize, turn: usize) -> Result<Source> {
        // The first rows are those that the questions were written about.
        let seed = seed.wrapping_add((turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (schema, tables) = synth::made_up_rows(schema, seed)?;
        let mut scratch = Scratch::with_schema(&schema)?;
        for (table, rows) in schema.tables().iter().zip(&tables) {
            scratch.insert(table.name.text(), rows as &[Vec<Value>]).map_err(Problem::from)?;
        }
        self.saved(&mut scratch, number, turn)
    }

    fn saved(&self, scratch: &mut Scratch, number: usize, turn: usize) -> Result<Source> {
        let path = self.folder.path().join(format!("{number}-{turn}.sqlite"));
        scratch.save(&path)?;
        Ok(Source::Sqlite(path))
    }
}

/// The tables that prompts show: those of the suite's text, else the database's own.
fn shown(database: &Database, sources: &[Source], dialect: Dialect) -> Result<Schema> {
    match (&database.ddl, sources.first()) {
        (Some(ddl), _) => Schema::parse(ddl, dialect),
        (None, Some(source)) => source.schema(),
        (None, None) => Err(Problem::input("it has no tables").into()),
    }
}
