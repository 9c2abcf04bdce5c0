//! Names and quotes: what is a column, what is a string, and how a name is written in the target.

use sqlparser::ast::{Expr, Ident, ObjectName};

use super::build;
use super::reserved::{RESERVED_IN_MYSQL, RESERVED_IN_ORACLE, RESERVED_IN_POSTGRES};
use super::scope::{Found, Scope};
use super::value_type::Ty;
use super::walk::{Place, last_mut};
use super::{Rewriter, Source, Stage, Target};
use crate::sql::Dialect;
use crate::sql::schema::{Name, same};

/// Whether PostgreSQL wants this word quoted where a name stands.
pub(super) fn is_reserved(word: &str) -> bool {
    has(RESERVED_IN_POSTGRES, word)
}

fn has(sorted: &[&str], word: &str) -> bool {
    word.len() <= 20
        && sorted.binary_search_by(|known| known.bytes().cmp(word.bytes().map(|b| b.to_ascii_lowercase()))).is_ok()
}

fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl<'s> Rewriter<'s> {
    /// A bare name: a column, an output alias, or a string in double quotes.
    pub fn identifier(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let Expr::Identifier(ident) = expr else { return Ty::Unknown };
        // The word DEFAULT among values is no column.
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") {
            return Ty::Unknown;
        }
        let place = self.place;
        let found = scope.column(None, &ident.value, self.source);
        let here = found.is_some_and(|found| found.level == 0);
        if !here
            && self.source != Source::Postgres
            && place == Place::Clause
            && let Some(alias) = scope.alias(&ident.value)
        {
            // Relations whose columns are not known may own the name.
            if found.is_none() || !scope.is_open() {
                let ty = alias.ty;
                *expr = build::operand(alias.expr.clone());
                self.did("output-alias-expanded");
                return ty;
            }
        }
        if let Some(found) = found {
            let ty = found.ty;
            self.spell_found(ident, found);
            return ty;
        }
        if ident.quote_style == Some('"')
            && self.stage == Stage::ToPostgres
            && !scope.is_open()
            && !self.is_row(ident, scope)
        {
            return self.make_string(expr);
        }
        self.spell(ident, None);
        Ty::Unknown
    }

    fn is_row(&self, ident: &Ident, scope: &Scope<'_, 's>) -> bool {
        scope.relation(&ident.value).is_some()
    }

    fn make_string(&mut self, expr: &mut Expr) -> Ty {
        if let Expr::Identifier(ident) = expr {
            let inner = ident.value.replace("\"\"", "\"");
            *expr = build::text(&inner);
            self.did("double-quoted-strings");
        }
        Ty::Literal
    }

    /// `"x"` where values stand: a string if nothing of that name is known. Without a schema the place decides.
    pub fn string_hint(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) {
        if let Expr::Identifier(ident) = expr
            && ident.quote_style == Some('"')
            && self.stage == Stage::ToPostgres
            && scope.is_open()
            && scope.column(None, &ident.value, self.source).is_none()
            && scope.alias(&ident.value).is_none()
            && scope.relations.len() + scope.aliases.len() > 0
        {
            self.make_string(expr);
        }
    }

    /// `owner.column`.
    pub fn compound_identifier(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let Expr::CompoundIdentifier(parts) = expr else { return Ty::Unknown };
        let [.., owner, column] = parts.as_mut_slice() else { return Ty::Unknown };
        let found = scope.column(Some(&owner.value), &column.value, self.source);
        match scope.relation(&owner.value) {
            Some(relation) if self.stage == Stage::ToPostgres => {
                let wanted = relation.name.clone();
                self.adopt(owner, &wanted);
            }
            _ => self.spell(owner, None),
        }
        match found {
            Some(found) => {
                let ty = found.ty;
                self.spell_found(column, found);
                ty
            }
            None => {
                self.spell(column, None);
                Ty::Unknown
            }
        }
    }

    /// The name of a column outside of an expression (USING, INSERT).
    pub fn column_name(&mut self, ident: &mut Ident, scope: &Scope<'_, 's>) {
        match scope.column(None, &ident.value, self.source) {
            Some(found) => self.spell_found(ident, found),
            None => self.spell(ident, None),
        }
    }

    /// The owner in `owner.*`.
    pub fn relation_name(&mut self, name: &mut ObjectName, scope: &Scope<'_, 's>) {
        let Some(ident) = last_mut(name) else { return };
        match scope.relation(&ident.value) {
            Some(relation) if self.stage == Stage::ToPostgres => {
                let wanted = relation.name.clone();
                self.adopt(ident, &wanted);
            }
            _ => self.spell(ident, None),
        }
    }

    fn spell_found(&mut self, ident: &mut Ident, found: Found<'_>) {
        match (found.name, found.ident) {
            (Some(name), _) => self.spell(ident, Some(name)),
            (None, Some(wanted)) if self.stage == Stage::ToPostgres && !wanted.value.is_empty() => {
                let wanted = wanted.clone();
                self.adopt(ident, &wanted);
            }
            _ => self.spell(ident, None),
        }
    }

    /// Takes over the quotes of the name that is meant.
    fn adopt(&mut self, ident: &mut Ident, wanted: &Ident) {
        if ident.quote_style != wanted.quote_style {
            *ident = Ident { span: ident.span, ..wanted.clone() };
            if ident.quote_style.is_none() {
                self.spell(ident, None);
            }
            self.did("quoted-names");
        } else if ident.quote_style.is_some() && ident.value != wanted.value {
            ident.value.clone_from(&wanted.value);
            self.did("quoted-names");
        } else if ident.quote_style.is_none() {
            self.spell(ident, None);
        }
    }

    /// A name that is made here (aliases).
    pub fn new_name(&mut self, ident: &mut Ident) {
        if ident.quote_style == Some('\'') {
            ident.quote_style = Some('"');
            self.did("quoted-names");
        }
        self.spell(ident, None);
    }

    /// Writes a name as the target needs it; `known`: how the schema writes it.
    pub fn spell(&mut self, ident: &mut Ident, known: Option<&Name>) {
        match self.stage {
            Stage::ToPostgres => self.spell_for_postgres(ident, known),
            Stage::FromPostgres(target) => self.spell_from_postgres(ident, target),
        }
    }

    fn spell_for_postgres(&mut self, ident: &mut Ident, known: Option<&Name>) {
        let quotes = match known {
            Some(name) => {
                let text = name.text();
                let sql = name.to_sql(Dialect::Postgres);
                if sql.starts_with('"') || (is_reserved(text) && !name.is("default")) {
                    let folded = if sql.starts_with('"') { text.to_owned() } else { text.to_ascii_lowercase() };
                    if ident.quote_style != Some('"') || ident.value != folded {
                        ident.value = folded;
                        ident.quote_style = Some('"');
                        self.did("quoted-names");
                    }
                    return;
                }
                // Quotes that the schema does not need stay where they change nothing.
                match ident.quote_style {
                    Some('"') => ident.value.bytes().all(|b| !b.is_ascii_uppercase()),
                    _ => false,
                }
            }
            None => match ident.quote_style {
                Some('"') => true,
                Some(_) => !is_plain(&ident.value) || is_reserved(&ident.value),
                None => is_reserved(&ident.value) && is_plain(&ident.value),
            },
        };
        match (ident.quote_style, quotes) {
            (Some('"'), true) | (None, false) => {}
            (Some(quote), true) => {
                ident.value = unescape(&ident.value, quote).replace('"', "\"\"");
                if is_reserved(&ident.value) {
                    ident.value.make_ascii_lowercase();
                }
                ident.quote_style = Some('"');
                self.did("quoted-names");
            }
            (Some(quote), false) => {
                ident.value = unescape(&ident.value, quote);
                ident.quote_style = None;
                self.did("quoted-names");
            }
            (None, true) => {
                ident.value.make_ascii_lowercase();
                ident.quote_style = Some('"');
                self.did("reserved-names");
            }
        }
    }

    fn spell_from_postgres(&mut self, ident: &mut Ident, target: Target) {
        let (quote, reserved) = match target {
            Target::MySql => ('`', RESERVED_IN_MYSQL),
            Target::Oracle => ('"', RESERVED_IN_ORACLE),
            Target::Sqlite | Target::Postgres => ('"', [].as_slice()),
        };
        if ident.quote_style == Some('"') && quote == '`' {
            ident.value = unescape(&ident.value, '"').replace('`', "``");
            ident.quote_style = Some(quote);
            self.did("quoted-names");
        } else if ident.quote_style.is_none() && (has(reserved, &ident.value) && !same(&ident.value, "rownum")) {
            if target == Target::Oracle {
                ident.value.make_ascii_uppercase();
            }
            ident.quote_style = Some(quote);
            self.did("reserved-names");
        }
    }
}

fn unescape(raw: &str, quote: char) -> String {
    let close = if quote == '[' { ']' } else { quote };
    if raw.contains(close) { raw.replace(&format!("{close}{close}"), &close.to_string()) } else { raw.to_owned() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        for list in [super::RESERVED_IN_POSTGRES, super::RESERVED_IN_MYSQL, super::RESERVED_IN_ORACLE] {
            assert!(list.is_sorted());
        }
        assert!(super::is_reserved("USER"));
        assert!(!super::is_reserved("name"));
    }
}
