//! A question that is not yet worded: its SQL, and what is to be said in it.

/// How hard a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difficulty {
    /// One table, one idea.
    Easy,
    /// A filter or a group, or two tables.
    Medium,
    /// Several of them together, or a subquery.
    Hard,
    /// Windows, common table expressions, three and more tables.
    Extra,
}

impl Difficulty {
    /// All of them, easiest first.
    pub const ALL: [Self; 4] = [Self::Easy, Self::Medium, Self::Hard, Self::Extra];

    /// The word written into the rows: Spider's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Medium => "medium",
            Self::Hard => "hard",
            Self::Extra => "extra",
        }
    }
}

/// Something said: a section of the phrasing rules and what fills its slots.
#[derive(Debug, Clone)]
pub(super) struct Phrase {
    /// The section.
    pub key: &'static str,
    /// The slots, each used by every line of the section that may be taken.
    pub slots: Vec<(&'static str, Slot)>,
}

/// What fills a slot.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    /// Something said in its own words.
    Phrase(Phrase),
    /// A table's words.
    Table(usize),
    /// Columns' words, each `(table, column)`; `full`: with the table's words, where several tables have a say.
    Columns {
        /// Which.
        columns: Vec<(usize, usize)>,
        /// Whether the table is named too.
        full: bool,
    },
    /// A value: stands in the question as it is, whatever happens to the words around it.
    Value(String),
    /// Words that are translated like a column's.
    Words(String),
    /// A piece of SQL: stands as it is and never between quotes.
    Code(String),
    /// A day, `YYYY-MM-DD`: said like that or with the month's name.
    Day(String),
    /// A table with an English adjective in front: Brazilian customers.
    Described {
        /// Which.
        table: usize,
        /// The adjective.
        adjective: &'static str,
    },
}

impl Phrase {
    /// What the section `key` says.
    pub fn new(key: &'static str) -> Self {
        Self { key, slots: Vec::new() }
    }

    /// With a slot.
    #[must_use]
    pub fn with(mut self, name: &'static str, slot: Slot) -> Self {
        self.slots.push((name, slot));
        self
    }

    /// With a table.
    #[must_use]
    pub fn table(self, name: &'static str, table: usize) -> Self {
        self.with(name, Slot::Table(table))
    }

    /// With a column of the table the sentence is about.
    #[must_use]
    pub fn column(self, name: &'static str, table: usize, column: usize) -> Self {
        self.with(name, Slot::Columns { columns: vec![(table, column)], full: false })
    }

    /// With a column and its table's words.
    #[must_use]
    pub fn full(self, name: &'static str, table: usize, column: usize) -> Self {
        self.with(name, Slot::Columns { columns: vec![(table, column)], full: true })
    }

    /// With a value.
    #[must_use]
    pub fn value(self, name: &'static str, value: impl ToString) -> Self {
        self.with(name, Slot::Value(value.to_string()))
    }

    /// With a piece of SQL.
    #[must_use]
    pub fn code(self, name: &'static str, code: impl Into<String>) -> Self {
        self.with(name, Slot::Code(code.into()))
    }

    /// With a day.
    #[must_use]
    pub fn day(self, name: &'static str, day: impl Into<String>) -> Self {
        self.with(name, Slot::Day(day.into()))
    }

    /// With words.
    #[must_use]
    pub fn words(self, name: &'static str, words: impl Into<String>) -> Self {
        self.with(name, Slot::Words(words.into()))
    }

    /// What fills a slot.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|(own, _)| *own == name).map(|(_, slot)| slot)
    }

    /// The one column in a slot.
    pub fn one_column(&self, name: &str) -> Option<(usize, usize)> {
        match self.slot(name)? {
            Slot::Columns { columns, .. } if columns.len() == 1 => columns.first().copied(),
            _ => None,
        }
    }

    /// With another phrase.
    #[must_use]
    pub fn phrase(self, name: &'static str, phrase: Phrase) -> Self {
        self.with(name, Slot::Phrase(phrase))
    }

    /// With a condition, if there is one.
    #[must_use]
    pub fn given(self, condition: Option<&Condition>) -> Self {
        match condition {
            Some(condition) => self.phrase("where", condition.phrase.clone()),
            None => self,
        }
    }
}

/// A condition on the rows of one table.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// What stands behind WHERE.
    pub sql: String,
    /// What is said behind the table's name.
    pub phrase: Phrase,
    /// What kind it is, for the combination.
    pub kind: String,
    /// Whether it holds an OR that needs brackets beside an AND.
    pub loose: bool,
}

/// A question that is not yet worded.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// The SQL.
    pub sql: String,
    /// What it asks.
    pub phrase: Phrase,
    /// What stands beside the question and decides how it is read.
    pub evidence: Vec<Phrase>,
    /// What it is put together from, beside its pattern: kinds of conditions, aggregates, directions.
    pub parts: Vec<String>,
    /// A query whose one column must hold no value twice in its first `n` rows: the sort keys around a LIMIT.
    pub ties: Option<(String, usize)>,
    /// Whether nothing found is an answer too (days counted from today, duplicates).
    pub may_be_empty: bool,
    /// Whether it changes data.
    pub changes: bool,
}

impl Draft {
    /// A draft.
    pub fn new(sql: String, phrase: Phrase) -> Self {
        Self { sql, phrase, evidence: Vec::new(), parts: Vec::new(), ties: None, may_be_empty: false, changes: false }
    }

    /// With a part of the combination.
    #[must_use]
    pub fn part(mut self, part: impl Into<String>) -> Self {
        self.parts.push(part.into());
        self
    }

    /// With a line of evidence.
    #[must_use]
    pub fn evidence(mut self, phrase: Phrase) -> Self {
        self.evidence.push(phrase);
        self
    }

    /// With a condition's kind, if there is one.
    #[must_use]
    pub fn given(mut self, condition: Option<&Condition>) -> Self {
        self.parts.extend(condition.map(|condition| condition.kind.clone()));
        self
    }

    /// With the query that shows ties at a cut.
    #[must_use]
    pub fn ties(mut self, sql: String, count: usize) -> Self {
        self.ties = Some((sql, count));
        self
    }

    /// Nothing found is an answer too.
    #[must_use]
    pub fn may_be_empty(mut self) -> Self {
        self.may_be_empty = true;
        self
    }
}

/// ` WHERE …` or nothing.
pub(super) fn where_clause(condition: Option<&Condition>) -> String {
    condition.map(|condition| format!(" WHERE {}", condition.sql)).unwrap_or_default()
}

/// ` AND …` or nothing.
pub(super) fn and_clause(condition: Option<&Condition>) -> String {
    match condition {
        Some(condition) if condition.loose => format!(" AND ({})", condition.sql),
        Some(condition) => format!(" AND {}", condition.sql),
        None => String::new(),
    }
}
