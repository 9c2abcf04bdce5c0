//! Names inside expressions. The walk over an expression is `sqlparser`'s; it stops at subqueries, which have scopes of
//! their own.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Visit, Visitor};

use super::Linter;
use super::query::Environment;
use super::scope::{Found, Scope};
use super::suggest::nearest;
use crate::sql::Dialect;
use crate::sql::schema::same;
use crate::sql::walk::walk;

/// Names that every table of a system has without saying so, and bare words that are values.
const PSEUDO: [&str; 20] = [
    "rowid",
    "oid",
    "_rowid_",
    "ctid",
    "xmin",
    "xmax",
    "cmin",
    "cmax",
    "tableoid",
    "default",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "session_user",
    "user",
    "true",
    "false",
];

/// Bare words that functions such as TIMESTAMPDIFF take as a unit of time.
const UNITS: [&str; 12] = [
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "dow",
    "epoch",
];

/// Whose output aliases count at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aliases {
    /// They do not exist yet (SELECT list, ON) or are not looked at.
    Hidden,
    /// They count.
    Visible,
}

struct Walk<'a, 'p, 's> {
    linter: &'a mut Linter<'s>,
    scope: &'a Scope<'p>,
    environment: &'a Environment,
    aliases: Aliases,
    /// How many subqueries or lambdas we are inside of: names there are not ours.
    depth: usize,
    /// Bare words that are units of time.
    units: Vec<Ident>,
}

impl Visitor for Walk<'_, '_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if self.depth == 0 {
            self.linter.query(query, self.environment, Some(self.scope));
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Lambda(_) => self.depth += 1,
            _ if self.depth > 0 => {}
            Expr::Identifier(ident) if !self.units.contains(ident) => {
                self.linter.bare_column(ident, self.scope, self.aliases);
            }
            Expr::CompoundIdentifier(parts) => self.linter.qualified_column(parts, self.scope),
            Expr::Function(function) => {
                if let FunctionArguments::List(list) = &function.args {
                    let first = list.args.iter().take(2).filter_map(|argument| match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident))) => Some(ident),
                        _ => None,
                    });
                    let is_unit = |ident: &&Ident| UNITS.iter().any(|unit| ident.value.eq_ignore_ascii_case(unit));
                    let takes_units = function.name.to_string().to_ascii_lowercase();
                    if ["timestamp", "date", "time", "extract"].iter().any(|word| takes_units.starts_with(word)) {
                        self.units.extend(first.filter(is_unit).cloned());
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if matches!(expression, Expr::Lambda(_)) {
            self.depth -= 1;
        }
        ControlFlow::Continue(())
    }
}

impl Linter<'_> {
    /// Checks the names in an expression, or in anything else made of expressions.
    pub(super) fn expressions<V: Visit>(
        &mut self,
        node: &V,
        scope: &Scope<'_>,
        environment: &Environment,
        aliases: Aliases,
    ) {
        let mut visitor = Walk { linter: self, scope, environment, aliases, depth: 0, units: Vec::new() };
        let _ = walk(node, &mut visitor);
    }

    /// Checks a column named without its table.
    pub(super) fn bare_column(&mut self, ident: &Ident, scope: &Scope<'_>, aliases: Aliases) {
        let name = ident.value.as_str();
        match scope.column(name, aliases == Aliases::Visible) {
            Found::Yes => {}
            Found::Ambiguous(relations) => {
                let ways: Vec<String> = relations.iter().map(|relation| format!("`{relation}.{name}`")).collect();
                self.report(format!("ambiguous column `{name}`"), Some(format!("qualify it: {}", ways.join(" or "))));
            }
            Found::No => {
                let string = ident.quote_style == Some('"') && self.dialect.double_quotes_may_be_strings();
                let pseudo = ident.quote_style.is_none() && PSEUDO.iter().any(|word| same(word, name));
                if !string && !pseudo {
                    let quoted = ident.quote_style == Some('"');
                    let hint = self
                        .hint_for_column(name, scope)
                        .or_else(|| quoted.then(|| format!("strings stand in single quotes: '{name}'")));
                    self.report(format!("unknown column `{name}`"), hint);
                }
            }
        }
    }

    fn hint_for_column(&self, name: &str, scope: &Scope<'_>) -> Option<String> {
        if scope.aliases.iter().any(|alias| same(alias, name)) {
            return Some("an output alias cannot be used here".into());
        }
        let in_sight = scope.all_relations();
        let holder = self.schema.tables().iter().find(|table| {
            table.column(name).is_some() && !in_sight.iter().any(|r| r.table.as_ref().is_some_and(|t| table.name.is(t)))
        });
        if let Some(table) = holder {
            return Some(format!("it is a column of `{}`, which is not in FROM", table.name.text()));
        }
        nearest(name, scope.all_columns()).map(|near| format!("did you mean `{near}`?"))
    }

    /// Checks a column named with its table or alias.
    pub(super) fn qualified_column(&mut self, parts: &[Ident], scope: &Scope<'_>) {
        let [.., owner, column] = parts else { return };
        let (owner, column) = (owner.value.as_str(), column.value.as_str());
        let Some(relation) = scope.relation(owner) else {
            // `column.field` of a composite value.
            if scope.column(&parts[0].value, true) == Found::No {
                self.unknown_relation(owner, scope);
            }
            return;
        };
        let system = PSEUDO.iter().take(9).any(|word| same(word, column));
        if !relation.columns.may_have(column) && !system {
            let near = nearest(column, relation.columns.names()).map(|near| format!("did you mean `{near}`?"));
            self.report(format!("unknown column `{owner}.{column}`"), near);
        }
    }

    /// Reports a table or alias that is not in FROM.
    pub(super) fn unknown_relation(&mut self, name: &str, scope: &Scope<'_>) {
        let in_sight = scope.all_relations();
        let renamed = in_sight.iter().find(|relation| relation.table.as_ref().is_some_and(|table| same(table, name)));
        let hint = match renamed {
            Some(relation) => Some(format!("it is called `{}` here", relation.name)),
            None if self.schema.table(name).is_some() => Some(format!("`{name}` is not in FROM")),
            None => nearest(name, in_sight.iter().map(|relation| relation.name.as_str()))
                .map(|near| format!("did you mean `{near}`?")),
        };
        self.report(format!("unknown table or alias `{name}`"), hint);
    }

    /// Whether output aliases count in WHERE and, with grouping, in HAVING.
    pub(super) fn aliases_in(&self, having: bool) -> Aliases {
        match self.dialect {
            Dialect::Postgres => Aliases::Hidden,
            Dialect::MySql if !having => Aliases::Hidden,
            _ => Aliases::Visible,
        }
    }
}
