//! Reads what stands between the brackets of CREATE TABLE: columns with their types and options, keys, conditions.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Piece, remark, spell, split_at_commas, string};
use super::{Column, ForeignKey, Name, Schema, Table};

/// Words that end a column's type and begin one of its options.
const OPTION_WORDS: [&str; 24] = [
    "NOT",
    "NULL",
    "DEFAULT",
    "PRIMARY",
    "UNIQUE",
    "CHECK",
    "REFERENCES",
    "CONSTRAINT",
    "COLLATE",
    "COMMENT",
    "AUTO_INCREMENT",
    "AUTOINCREMENT",
    "GENERATED",
    "AS",
    "IDENTITY",
    "ON",
    "CHARSET",
    "KEY",
    "STORED",
    "VIRTUAL",
    "INVISIBLE",
    "VISIBLE",
    "STORAGE",
    "ENCODE",
];

/// The table that is being read and the schema read so far.
pub(super) struct Body<'a> {
    pub table: &'a mut Table,
    pub schema: &'a Schema,
}

impl Body<'_> {
    /// Reads one item: a key or condition of the table, or a column.
    pub fn item(&mut self, pieces: Vec<Piece>) {
        let mut cursor = Cursor::of(pieces);
        if cursor.is_done() {
            return;
        }
        if !self.constraint(&mut cursor) {
            self.column(cursor);
        }
    }

    fn constraint(&mut self, cursor: &mut Cursor) -> bool {
        const KINDS: [&str; 5] = ["PRIMARY", "FOREIGN", "UNIQUE", "CHECK", "EXCLUDE"];
        if cursor.at_word(&["CONSTRAINT"]) {
            let is_kind = |piece: Option<&Piece>| piece.is_some_and(|p| KINDS.iter().any(|kind| p.is_word(kind)));
            if is_kind(cursor.peek_at(1)) {
                cursor.next();
            } else if is_kind(cursor.peek_at(2)) {
                cursor.next();
                cursor.next();
            }
        }
        if cursor.eat_words(&["PRIMARY", "KEY"]) {
            if let Some(columns) = self.columns_behind(cursor) {
                self.table.primary_key = columns;
            }
            return true;
        }
        if cursor.eat_words(&["FOREIGN", "KEY"]) {
            if let Some(columns) = self.columns_behind(cursor) {
                self.references(columns, cursor);
            }
            return true;
        }
        if cursor.at_word(&["UNIQUE"]) && self.is_key_list(cursor) {
            cursor.next();
            let _ = cursor.eat_words(&["KEY"]) || cursor.eat_words(&["INDEX"]);
            self.table.unique.extend(self.columns_behind(cursor));
            return true;
        }
        if cursor.at_word(&["CHECK"]) && cursor.peek_at(1).is_some_and(|piece| piece.token == Token::LParen) {
            cursor.next();
            self.table.checks.extend(cursor.group().map(|inner| spell(&inner, false)));
            return true;
        }
        if cursor.at_word(&["LIKE"]) && !cursor.peek_at(1).is_some_and(|piece| piece.is_word("TEXT")) {
            cursor.next();
            self.like(cursor);
            return true;
        }
        // Indexes are storage. `key VARCHAR(10)` is a column all the same: its bracket holds a number.
        (cursor.at_word(&["KEY", "INDEX", "FULLTEXT", "SPATIAL"]) && self.is_key_list(cursor))
            || cursor.at_word(&["EXCLUDE"]) && self.is_key_list(cursor)
    }

    /// Whether a list of names in brackets follows within the next words.
    fn is_key_list(&self, cursor: &mut Cursor) -> bool {
        let open = (1..6).find(|&ahead| cursor.peek_at(ahead).is_some_and(|piece| piece.token == Token::LParen));
        open.is_some_and(|at| !matches!(cursor.peek_at(at + 1).map(|p| &p.token), None | Some(Token::Number(..))))
    }

    /// The names in the next brackets; what stands before them (the name of a key, USING BTREE) is skipped. Lengths and
    /// orders behind a name are dropped.
    fn columns_behind(&self, cursor: &mut Cursor) -> Option<Vec<Name>> {
        while cursor.peek().is_some_and(|piece| piece.token != Token::LParen) {
            cursor.next();
        }
        let items = split_at_commas(cursor.group()?);
        Some(items.into_iter().filter_map(|item| Cursor::of(item).name()).collect())
    }

    /// `REFERENCES t (a, b)` behind these columns.
    fn references(&mut self, columns: Vec<Name>, cursor: &mut Cursor) {
        if !cursor.eat_words(&["REFERENCES"]) {
            return;
        }
        let Some((_, table)) = cursor.dotted_name() else { return };
        let listed = cursor.peek().is_some_and(|piece| piece.token == Token::LParen);
        let references = if listed { self.columns_behind(cursor).unwrap_or_default() } else { Vec::new() };
        self.table.foreign_keys.push(ForeignKey { columns, table, references });
    }

    /// `LIKE other`: its columns.
    pub fn like(&mut self, cursor: &mut Cursor) {
        let other = cursor.dotted_name().and_then(|(_, name)| self.schema.table(name.text()));
        match other {
            Some(other) => self.table.columns.extend(other.columns.iter().cloned()),
            None => self.table.columns_known = false,
        }
    }

    fn column(&mut self, mut cursor: Cursor) {
        cursor.take_comments();
        let Some(name) = cursor.name() else { return };
        let mut column = Column { name, ..Column::default() };
        // An option's word in brackets is none: `ENUM(key)`.
        let (mut data_type, mut depth) = (Vec::new(), 0usize);
        while depth > 0 || !at_option(&mut cursor) {
            let Some(piece) = cursor.next() else { break };
            match piece.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            data_type.push(piece);
        }
        let data_type = spell(&data_type, true);
        column.data_type = (!data_type.is_empty()).then_some(data_type);
        while !cursor.is_done() {
            self.option(&mut column, &mut cursor);
        }
        if let Some(remark) = cursor.take_comments() {
            column.comment.get_or_insert(remark);
        }
        self.table.columns.push(column);
    }

    fn option(&mut self, column: &mut Column, cursor: &mut Cursor) {
        if cursor.eat_words(&["NOT", "NULL"]) {
            column.not_null = true;
        } else if cursor.eat_words(&["DEFAULT"]) {
            column.default = Some(default_value(cursor)).filter(|value| !value.eq_ignore_ascii_case("null"));
        } else if cursor.eat_words(&["PRIMARY", "KEY"]) {
            self.table.primary_key.push(column.name.clone());
        } else if cursor.eat_words(&["UNIQUE"]) {
            cursor.eat_words(&["KEY"]);
            self.table.unique.push(vec![column.name.clone()]);
        } else if cursor.eat_words(&["CHECK"]) {
            column.check = cursor.group().map(|inner| spell(&inner, false));
        } else if cursor.at_word(&["REFERENCES"]) {
            self.references(vec![column.name.clone()], cursor);
        } else if cursor.eat_words(&["COMMENT"]) {
            cursor.eat(&Token::Eq);
            let text = cursor.next().and_then(|piece| string(&piece.token));
            column.comment = text.and_then(|text| remark(&text));
        } else if cursor.eat_words(&["ON", "UPDATE"]) || cursor.eat_words(&["ON", "DELETE"]) {
            let _ = cursor.eat_words(&["SET", "NULL"]) || cursor.eat_words(&["SET", "DEFAULT"]);
        } else if cursor.peek().is_some_and(|piece| piece.token == Token::LParen) {
            cursor.group();
        } else {
            cursor.next();
        }
    }
}

fn at_option(cursor: &mut Cursor) -> bool {
    let charset = cursor.at_word(&["CHARACTER"]) && cursor.peek_at(1).is_some_and(|piece| piece.is_word("SET"));
    charset || cursor.at_word(&OPTION_WORDS)
}

/// The expression behind DEFAULT: at least one token, then everything up to the next option.
fn default_value(cursor: &mut Cursor) -> String {
    let mut pieces = Vec::new();
    let mut depth = 0usize;
    while let Some(piece) = cursor.next() {
        match piece.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        pieces.push(piece);
        if depth == 0 && at_option(cursor) {
            break;
        }
    }
    spell(&pieces, false)
}

/// One form for tables that mean the same.
pub(super) mod table_body {
    use super::{Name, Table};

    /// Drops keys of columns that are not there, what a key implies, and repetitions; single keys stand in the order of
    /// their columns.
    pub fn normalise(table: &mut Table) {
        let known: Vec<Name> = table.columns.iter().map(|column| column.name.clone()).collect();
        let has = |name: &Name| known.iter().any(|known| known.is(name.text()));
        let own = |name: &Name| known.iter().find(|known| known.is(name.text())).cloned().unwrap_or_default();
        let clean = |key: &[Name]| -> Vec<Name> {
            let mut names: Vec<Name> = Vec::new();
            for name in key.iter().filter(|name| has(name)).map(own) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names
        };
        table.primary_key = clean(&table.primary_key);
        if let [key] = table.primary_key.as_slice() {
            table.columns.iter_mut().filter(|column| column.name == *key).for_each(|column| column.not_null = false);
        }
        let all: Vec<Vec<Name>> = table.unique.iter().filter(|key| key.iter().all(has)).map(|key| clean(key)).collect();
        let (mut singles, mut unique): (Vec<_>, Vec<_>) = all.into_iter().partition(|key| key.len() == 1);
        singles.sort_by_key(|key| known.iter().position(|name| *name == key[0]));
        singles.append(&mut unique);
        table.unique = Vec::new();
        for key in singles {
            if !key.is_empty() && key != table.primary_key && !table.unique.contains(&key) {
                table.unique.push(key);
            }
        }
        let mut keys = std::mem::take(&mut table.foreign_keys);
        keys.retain(|key| !key.columns.is_empty() && key.columns.iter().all(has));
        for mut key in keys {
            key.columns = key.columns.iter().map(own).collect();
            if !table.foreign_keys.contains(&key) {
                table.foreign_keys.push(key);
            }
        }
    }
}
