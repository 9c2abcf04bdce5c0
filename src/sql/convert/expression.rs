//! The walk over an expression: operands first, then the rules of the construct; every step returns the type of what
//! is there now.

use sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    Subscript, UnaryOperator, Value, WindowSpec, WindowType,
};

use super::build::{self, take};
use super::scope::Scope;
use super::value_type::Ty;
use super::walk::Place;
use super::{Rewriter, Source, Stage, Target};

impl<'s> Rewriter<'s> {
    /// Rewrites an expression; returns its type.
    pub fn expr(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        match expr {
            Expr::BinaryOp { .. } => self.chain(expr, scope),
            Expr::Identifier(_) => self.identifier(expr, scope),
            Expr::CompoundIdentifier(_) => self.compound_identifier(expr, scope),
            Expr::Value(literal) => {
                self.foreign_literal(&mut literal.value);
                if let Value::DoubleQuotedString(text) = &literal.value {
                    literal.value = Value::SingleQuotedString(text.replace('\'', "''"));
                    self.did("double-quoted-strings");
                }
                Ty::of_value(&literal.value)
            }
            Expr::Nested(inner) => self.expr(inner, scope),
            Expr::Function(_) => self.call(expr, scope),
            Expr::UnaryOp { op, expr: inner } => {
                if matches!(op, UnaryOperator::Not | UnaryOperator::BangNot) {
                    if *op == UnaryOperator::BangNot && self.source != Source::Postgres {
                        *op = UnaryOperator::Not;
                    }
                    self.condition(inner, scope);
                    return Ty::Bool;
                }
                let ty = self.part(inner, scope);
                if *op == UnaryOperator::PGSquareRoot && matches!(self.stage, Stage::FromPostgres(_)) {
                    *expr = build::call("SQRT", vec![build::strip(build::take(inner))]);
                    self.did("square-root");
                    return Ty::Float;
                }
                self.number_operand(inner, ty)
            }
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                self.part(inner, scope);
                Ty::Bool
            }
            Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner) => {
                self.condition(inner, scope);
                if matches!(self.stage, Stage::FromPostgres(Target::Sqlite | Target::Oracle)) {
                    if matches!(expr, Expr::IsUnknown(_) | Expr::IsNotUnknown(_)) {
                        self.did("unknown-as-null");
                    }
                    super::leave::unknown_as_null(expr);
                }
                Ty::Bool
            }
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                let left_type = self.part(left, scope);
                self.string_hint(right, scope);
                let right_type = self.part(right, scope);
                self.align(left, left_type, right, right_type, true);
                self.distinct_from(expr)
            }
            Expr::InList { expr: inner, list, .. } => {
                let ty = self.part(inner, scope);
                let mut types = Vec::with_capacity(list.len());
                for item in list.iter_mut() {
                    self.string_hint(item, scope);
                    types.push(self.expr(item, scope));
                }
                self.in_list(inner, ty, list, &types);
                Ty::Bool
            }
            Expr::InSubquery { expr: inner, subquery, .. } => {
                let ty = self.part(inner, scope);
                let output = self.query(subquery, Some(scope));
                if let [(_, found)] = output.as_slice() {
                    self.in_query(inner, ty, subquery, *found);
                }
                Ty::Bool
            }
            Expr::Between { expr: inner, low, high, .. } => {
                let ty = self.part(inner, scope);
                for bound in [low, high] {
                    self.string_hint(bound, scope);
                    let found = self.part(bound, scope);
                    self.align_one(inner, ty, bound, found);
                }
                Ty::Bool
            }
            Expr::Like { .. } | Expr::ILike { .. } | Expr::RLike { .. } | Expr::SimilarTo { .. } => {
                self.pattern(expr, scope)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let operand_type = operand.as_mut().map(|operand| self.expr(operand, scope));
                let mut types = Vec::with_capacity(conditions.len() + 1);
                for arm in conditions.iter_mut() {
                    match (&mut *operand, operand_type) {
                        (Some(operand), Some(ty)) => {
                            self.string_hint(&mut arm.condition, scope);
                            let found = self.expr(&mut arm.condition, scope);
                            self.align_one(operand, ty, &mut arm.condition, found);
                        }
                        _ => self.condition(&mut arm.condition, scope),
                    }
                    self.string_hint(&mut arm.result, scope);
                    types.push(self.expr(&mut arm.result, scope));
                }
                let mut results: Vec<&mut Expr> = conditions.iter_mut().map(|arm| &mut arm.result).collect();
                if let Some(other) = else_result {
                    self.string_hint(other, scope);
                    types.push(self.expr(other, scope));
                    results.push(other);
                }
                self.unify(&mut results, &mut types)
            }
            Expr::Cast { .. } => self.cast(expr, scope),
            Expr::Convert { .. } => self.convert_call(expr, scope),
            Expr::Subquery(query) => {
                let output = self.query(query, Some(scope));
                output.first().map_or(Ty::Unknown, |(_, ty)| *ty)
            }
            Expr::Exists { subquery, .. } => {
                self.query(subquery, Some(scope));
                Ty::Bool
            }
            Expr::Extract { expr: inner, .. } => {
                let ty = self.expr(inner, scope);
                self.extract_call(expr, ty)
            }
            Expr::Interval(_) => self.interval_literal(expr, scope),
            Expr::TypedString(typed) => {
                let ty = Ty::of_cast(&typed.data_type);
                self.typed_string(expr);
                ty
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                self.part(timestamp, scope);
                self.expr(time_zone, scope);
                self.at_time_zone(expr);
                Ty::Timestamp
            }
            Expr::Ceil { expr: inner, .. } | Expr::Floor { expr: inner, .. } => {
                let ty = self.expr(inner, scope);
                self.number_operand(inner, ty)
            }
            Expr::Position { expr: inner, r#in } => {
                for inner in [inner, r#in] {
                    let ty = self.expr(inner, scope);
                    self.text_operand(inner, ty);
                }
                self.position(expr);
                Ty::Int
            }
            Expr::Substring { .. } => self.substring(expr, scope),
            Expr::Trim { trim_what, expr: inner, trim_characters, .. } => {
                let ty = self.expr(inner, scope);
                self.text_operand(inner, ty);
                if let Some(what) = trim_what {
                    self.string_hint(what, scope);
                    self.expr(what, scope);
                }
                for what in trim_characters.iter_mut().flatten() {
                    self.string_hint(what, scope);
                    self.expr(what, scope);
                }
                self.trim(expr);
                Ty::Text
            }
            Expr::Overlay { expr: inner, overlay_what, overlay_from, overlay_for } => {
                for part in [inner, overlay_what, overlay_from].into_iter().chain(overlay_for) {
                    self.expr(part, scope);
                }
                Ty::Text
            }
            Expr::Collate { expr: inner, .. } => {
                let ty = self.expr(inner, scope);
                self.collate(expr);
                ty
            }
            Expr::Tuple(items) => {
                items.iter_mut().for_each(|item| {
                    self.expr(item, scope);
                });
                Ty::Other
            }
            Expr::Array(array) => {
                array.elem.iter_mut().for_each(|item| {
                    self.expr(item, scope);
                });
                Ty::Other
            }
            Expr::AnyOp { left, right, .. } | Expr::AllOp { left, right, .. } => {
                self.expr(left, scope);
                self.expr(right, scope);
                if matches!(self.stage, Stage::FromPostgres(_)) {
                    self.any_from_postgres(expr);
                }
                Ty::Bool
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.expr(root, scope);
                for access in access_chain {
                    match access {
                        AccessExpr::Subscript(Subscript::Index { index }) => {
                            self.expr(index, scope);
                        }
                        AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) => {
                            for bound in [lower_bound, upper_bound].into_iter().flatten() {
                                self.expr(bound, scope);
                            }
                        }
                        AccessExpr::Dot(_) => {}
                    }
                }
                Ty::Unknown
            }
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                sets.iter_mut().flatten().for_each(|item| {
                    self.expr(item, scope);
                });
                Ty::Unknown
            }
            Expr::MatchAgainst { .. } => self.match_against(expr, scope),
            Expr::Prefixed { value, .. } => {
                let ty = self.expr(value, scope);
                self.prefixed(expr);
                ty
            }
            _ => Ty::Unknown,
        }
    }

    /// Rewrites an operand: what a rule made of a call gets brackets where it needs them.
    pub fn part(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let whole = build::holds_together(expr);
        let ty = self.expr(expr, scope);
        if whole && !build::holds_together(expr) {
            *expr = Expr::Nested(Box::new(take(expr)));
        }
        ty
    }

    /// Rewrites an expression that stands where a condition is wanted.
    pub fn condition(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) {
        if let Expr::Nested(inner) = expr {
            return self.condition(inner, scope);
        }
        let ty = self.expr(expr, scope);
        self.truth(expr, ty);
    }

    /// Operators that lean to the left may be thousands deep: unrolled, so that the stack stays shallow.
    fn chain(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let mut spine = Vec::new();
        let mut at = take(expr);
        while let Expr::BinaryOp { left, op, right } = at {
            spine.push((op, right));
            at = *left;
        }
        let blind_left = super::literals::is_nocase(&at);
        let mut ty = self.part(&mut at, scope);
        while let Some((op, mut right)) = spine.pop() {
            if matches!(op, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor) {
                match &mut at {
                    Expr::Nested(inner) => self.truth(inner, ty),
                    at => self.truth(at, ty),
                }
                self.condition(&mut right, scope);
                (at, ty) = self.logical(at, op, *right);
            } else {
                self.string_hint(&mut right, scope);
                let blind = self.stage == Stage::ToPostgres
                    && super::literals::is_comparison(&op)
                    && (super::literals::is_nocase(&right) || blind_left);
                let right_type = self.part(&mut right, scope);
                if blind {
                    at = super::literals::lowered(at);
                    *right = super::literals::lowered(*right);
                    self.did("collate-nocase");
                }
                (at, ty) = self.binary(at, ty, op, *right, right_type);
            }
        }
        *expr = at;
        ty
    }

    fn call(&mut self, expr: &mut Expr, scope: &Scope<'_, 's>) -> Ty {
        let Expr::Function(function) = expr else { return Ty::Unknown };
        let name = build::function_name(function);
        let place = std::mem::take(&mut self.place);
        let keeps_units = super::dates::takes_unit(&name);
        let mut types = Vec::new();
        if let FunctionArguments::List(list) = &mut function.args {
            types.reserve(list.args.len());
            for (at, argument) in list.args.iter_mut().enumerate() {
                let (FunctionArg::Unnamed(arg) | FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. }) =
                    argument;
                types.push(match arg {
                    FunctionArgExpr::Expr(Expr::Identifier(_)) if keeps_units && at == 0 => Ty::Unknown,
                    FunctionArgExpr::Expr(argument) => {
                        if at > 0 || name == "CONCAT" {
                            self.string_hint(argument, scope);
                        }
                        // Aliases do not reach into calls of the SELECT list but do into those of the other clauses.
                        self.place = place;
                        let ty = self.expr(argument, scope);
                        self.place = Place::Plain;
                        ty
                    }
                    _ => Ty::Unknown,
                });
            }
            for clause in &mut list.clauses {
                if let FunctionArgumentClause::OrderBy(keys) = clause {
                    keys.iter_mut().for_each(|by| self.order_key(by, scope));
                    if self.stage == Stage::FromPostgres(Target::MySql) {
                        self.split_nulls(keys, scope);
                    }
                }
            }
        } else if let FunctionArguments::Subquery(query) = &mut function.args {
            self.query(query, Some(scope));
        }
        if let Some(filter) = &mut function.filter {
            self.condition(filter, scope);
        }
        function.within_group.iter_mut().for_each(|by| self.order_key(by, scope));
        if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
            self.window(spec, scope);
        }
        self.place = place;
        self.function(expr, &name, &mut types, scope)
    }

    /// A window: its keys.
    pub fn window(&mut self, spec: &mut WindowSpec, scope: &Scope<'_, 's>) {
        spec.partition_by.iter_mut().for_each(|expr| {
            self.expr(expr, scope);
        });
        spec.order_by.iter_mut().for_each(|by| self.order_key(by, scope));
        if self.stage == Stage::FromPostgres(Target::MySql) {
            self.split_nulls(&mut spec.order_by, scope);
        }
    }
}
