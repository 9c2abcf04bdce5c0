//! One number about one table: how many, how much, which share.

use super::{Pattern, pattern};
use crate::synth::draft::{Difficulty::*, Draft, Phrase, where_clause};
use crate::synth::maker::Maker;
use crate::synth::role::Role;

pub(super) const PATTERNS: &[Pattern] = &[
    pattern("count", Easy, count),
    pattern("count filtered", Easy, count_filtered),
    pattern("count distinct", Easy, count_distinct),
    pattern("aggregate", Easy, aggregate),
    pattern("aggregate filtered", Medium, aggregate_filtered),
    pattern("two aggregates", Medium, two_aggregates),
    pattern("count missing", Medium, count_missing),
    pattern("product sum", Hard, product_sum),
    pattern("share", Hard, share),
    pattern("side by side", Hard, side_by_side),
    pattern("two counts", Hard, two_counts),
    pattern("ratio of counts", Extra, ratio),
];

fn count(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let sql = format!("SELECT COUNT(*) FROM {}", maker.name(table));
    Some(Draft::new(sql, Phrase::new("count").table("table", table)))
}

fn count_filtered(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let condition = Some(maker.condition(table, false, &[])?);
    let sql = format!("SELECT COUNT(*) FROM {}{}", maker.name(table), where_clause(condition.as_ref()));
    let phrase = Phrase::new("count").table("table", table).given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn count_distinct(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.column(table, |column| column.role == Role::Category && column.values.len() >= 2)?;
    let condition = maker.maybe(0.25, table, false, &[column]);
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT COUNT(DISTINCT {}) FROM {}{filter}", maker.bare(table, column), maker.name(table));
    let phrase = Phrase::new("count distinct").table("table", table).column("column", table, column);
    Some(Draft::new(sql, phrase.given(condition.as_ref())).given(condition.as_ref()))
}

fn aggregate_with(maker: &mut Maker<'_>, filter: bool) -> Option<Draft> {
    let table = maker.any_table()?;
    let measure = maker.aggregate(table, false)?;
    let condition = if filter { Some(maker.condition(table, false, &[])?) } else { None };
    let sql = format!("SELECT {} FROM {}{}", measure.sql, maker.name(table), where_clause(condition.as_ref()));
    let phrase = Phrase::new("aggregate").table("table", table).phrase("measure", measure.phrase);
    Some(Draft::new(sql, phrase.given(condition.as_ref())).part(measure.kind).given(condition.as_ref()))
}

fn aggregate(maker: &mut Maker<'_>) -> Option<Draft> {
    aggregate_with(maker, false)
}

fn aggregate_filtered(maker: &mut Maker<'_>) -> Option<Draft> {
    aggregate_with(maker, true)
}

fn two_aggregates(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.number(table)?;
    let condition = maker.maybe(0.3, table, false, &[column]);
    let (a, b) = *maker.draws.pick(&[("min", "max"), ("avg", "max"), ("max", "min"), ("min", "avg")])?;
    let (a, b) = (maker.aggregate_of(a, table, column, false), maker.aggregate_of(b, table, column, false));
    let filter = where_clause(condition.as_ref());
    let sql = format!("SELECT {}, {} FROM {}{filter}", a.sql, b.sql, maker.name(table));
    let phrase = Phrase::new("two aggregates").table("table", table).phrase("a", a.phrase).phrase("b", b.phrase);
    Some(
        Draft::new(sql, phrase.given(condition.as_ref()))
            .part(format!("{}+{}", a.kind, b.kind))
            .given(condition.as_ref()),
    )
}

fn count_missing(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.column(table, |column| column.nulls > 0 && column.role != Role::Reference)?;
    let known = maker.draws.chance(0.4);
    let (test, key) = if known { ("IS NOT NULL", "count known") } else { ("IS NULL", "count missing") };
    let sql = format!("SELECT COUNT(*) FROM {} WHERE {} {test}", maker.name(table), maker.bare(table, column));
    Some(Draft::new(sql, Phrase::new(key).table("table", table).column("column", table, column)).part(key))
}

/// Pieces times money of one table.
fn product_sum(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.table_where(|table| {
        table.count(|column| column.role == Role::Quantity) > 0
            && table.count(|column| column.words.ends_with("price")) > 0
    })?;
    let pieces = maker.column(table, |column| column.role == Role::Quantity && column.nulls == 0)?;
    let money = maker
        .column(table, |column| column.role == Role::Money && column.nulls == 0 && column.words.ends_with("price"))?;
    let condition = maker.maybe(0.4, table, false, &[pieces, money]);
    let filter = where_clause(condition.as_ref());
    let (pieces_sql, money_sql) = (maker.bare(table, pieces), maker.bare(table, money));
    let sql = format!("SELECT SUM({pieces_sql} * {money_sql}) FROM {}{filter}", maker.name(table));
    let phrase = Phrase::new("product sum")
        .table("table", table)
        .column("pieces", table, pieces)
        .column("price", table, money)
        .given(condition.as_ref());
    Some(Draft::new(sql, phrase).given(condition.as_ref()))
}

fn share(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let (condition, _) = maker.simple(table, false, &[])?;
    if condition.sql.contains("IS NULL") {
        return None;
    }
    let sql = format!(
        "SELECT 100.0 * SUM(CASE WHEN {} THEN 1 ELSE 0 END) / COUNT(*) FROM {}",
        condition.sql,
        maker.name(table)
    );
    let phrase = Phrase::new("share").table("table", table).phrase("where", condition.phrase.clone());
    Some(Draft::new(sql, phrase).given(Some(&condition)))
}

/// Two values of a category counted in two columns.
fn side_by_side(maker: &mut Maker<'_>) -> Option<Draft> {
    let table = maker.any_table()?;
    let column = maker.column(table, |column| column.role == Role::Category && column.values.len() >= 2)?;
    let chosen = maker.draws.some(&maker.facts_of(table, column).values, 2);
    let [a, b] = chosen.as_slice() else { return None };
    let name = maker.bare(table, column);
    let case = |value| format!("SUM(CASE WHEN {name} = {} THEN 1 ELSE 0 END)", maker.style.literal(value));
    let sql = format!("SELECT {}, {} FROM {}", case(a), case(b), maker.name(table));
    let phrase = Phrase::new("side by side")
        .table("table", table)
        .column("column", table, column)
        .value("a", a.said())
        .value("b", b.said());
    Some(Draft::new(sql, phrase))
}

fn two_tables(maker: &mut Maker<'_>) -> Option<(usize, usize)> {
    let a = maker.any_table()?;
    let b = maker.any_table()?;
    (a != b).then_some((a, b))
}

fn two_counts(maker: &mut Maker<'_>) -> Option<Draft> {
    let (a, b) = two_tables(maker)?;
    let sql = format!("SELECT (SELECT COUNT(*) FROM {}), (SELECT COUNT(*) FROM {})", maker.name(a), maker.name(b));
    Some(Draft::new(sql, Phrase::new("two counts").table("a", a).table("b", b)))
}

fn ratio(maker: &mut Maker<'_>) -> Option<Draft> {
    let (a, b) = two_tables(maker)?;
    if maker.draws.chance(0.35) {
        let (first, second) = (maker.name(a), maker.name(b));
        let sql = format!("SELECT 1.0 * (SELECT COUNT(*) FROM {first}) / (SELECT COUNT(*) FROM {second})");
        let term = *maker.draws.pick(crate::synth::evidence::words("rate"))?;
        let said = |key| Phrase::new(key).words("term", term);
        let evidence = said("evidence rate").code("a", first).code("b", second);
        return Some(Draft::new(sql, said("rate").table("a", a).table("b", b)).part("rate").evidence(evidence));
    }
    let percent = maker.draws.chance(0.3);
    let (factor, key) = if percent { ("100.0", "percentage of counts") } else { ("1.0", "ratio of counts") };
    let sql = format!(
        "SELECT {factor} * (SELECT COUNT(*) FROM {}) / (SELECT COUNT(*) FROM {})",
        maker.name(a),
        maker.name(b)
    );
    Some(Draft::new(sql, Phrase::new(key).table("a", a).table("b", b)).part(key))
}
