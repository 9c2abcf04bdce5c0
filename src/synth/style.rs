//! One canonical way to write each thing per dialect, so that a small model sees every meaning in one form.
//!
//! Keywords in capitals, single spaces, columns qualified by the whole table name exactly where several tables are
//! read, aliases only where a table is read twice.

use super::Cell;
use crate::sql::Dialect;

/// How SQL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// For whom.
    pub dialect: Dialect,
}

impl Style {
    /// A value.
    pub fn literal(self, cell: &Cell) -> String {
        match cell {
            Cell::Null => "NULL".into(),
            Cell::Integer(number) => number.to_string(),
            Cell::Real(number) => plain_number(*number),
            Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        }
    }

    /// Yes or no, compared with a flag.
    pub fn flag(self, column: &str, yes: bool) -> String {
        match (self.dialect, yes) {
            (Dialect::Postgres, true) => format!("{column} = TRUE"),
            (Dialect::Postgres, false) => format!("{column} = FALSE"),
            _ => format!("{column} = {}", u8::from(yes)),
        }
    }

    /// A comparison with a pattern, without regard to case.
    pub fn like(self, column: &str, pattern: &str) -> String {
        let operator = if self.dialect == Dialect::Postgres { "ILIKE" } else { "LIKE" };
        format!("{column} {operator} '{}'", pattern.replace('\'', "''"))
    }

    /// The opposite of `like`.
    pub fn unlike(self, column: &str, pattern: &str) -> String {
        let operator = if self.dialect == Dialect::Postgres { "NOT ILIKE" } else { "NOT LIKE" };
        format!("{column} {operator} '{}'", pattern.replace('\'', "''"))
    }

    /// The year of a day, as a number or (SQLite) text; see `year_is` for comparing it.
    pub fn year(self, column: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("STRFTIME('%Y', {column})"),
            Dialect::MySql => format!("YEAR({column})"),
            _ => format!("EXTRACT(YEAR FROM {column})"),
        }
    }

    /// Whether a day lies in a year.
    pub fn year_is(self, column: &str, year: i64) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("{} = '{year}'", self.year(column)),
            _ => format!("{} = {year}", self.year(column)),
        }
    }

    /// Year and month of a day as `YYYY-MM`.
    pub fn month(self, column: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("STRFTIME('%Y-%m', {column})"),
            Dialect::MySql => format!("DATE_FORMAT({column}, '%Y-%m')"),
            _ => format!("TO_CHAR({column}, 'YYYY-MM')"),
        }
    }

    /// The day of a point in time.
    pub fn day(self, column: &str) -> String {
        match self.dialect {
            Dialect::Postgres | Dialect::Generic => format!("CAST({column} AS DATE)"),
            _ => format!("DATE({column})"),
        }
    }

    /// The day that lies `count` units (`days`, `months`, `years`) before today.
    pub fn ago(self, count: i64, unit: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("DATE('now', '-{count} {unit}')"),
            Dialect::MySql => {
                format!("CURDATE() - INTERVAL {count} {}", unit.trim_end_matches('s').to_uppercase())
            }
            _ => format!("CURRENT_DATE - INTERVAL '{count} {unit}'"),
        }
    }

    /// The first day of this month.
    pub fn month_start(self) -> String {
        match self.dialect {
            Dialect::Sqlite => "DATE('now', 'start of month')".into(),
            Dialect::MySql => "DATE_FORMAT(CURDATE(), '%Y-%m-01')".into(),
            _ => "DATE_TRUNC('month', CURRENT_DATE)".into(),
        }
    }

    /// Whole or broken days from `from` to `to`.
    pub fn days_between(self, from: &str, to: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("JULIANDAY({to}) - JULIANDAY({from})"),
            Dialect::MySql => format!("DATEDIFF({to}, {from})"),
            _ => format!("{} - {}", self.day(to), self.day(from)),
        }
    }

    /// A number with so many decimals: PostgreSQL rounds only exact numbers that way.
    pub fn rounded(self, number: &str, decimals: u8) -> String {
        match self.dialect {
            Dialect::Postgres => format!("ROUND(CAST({number} AS NUMERIC), {decimals})"),
            _ => format!("ROUND({number}, {decimals})"),
        }
    }

    /// Text put together.
    pub fn concat(self, parts: &[&str]) -> String {
        match self.dialect {
            Dialect::MySql => format!("CONCAT({})", parts.join(", ")),
            _ => parts.join(" || "),
        }
    }

    /// Characters of a text.
    pub fn length(self, column: &str) -> String {
        if self.dialect == Dialect::MySql { format!("CHAR_LENGTH({column})") } else { format!("LENGTH({column})") }
    }
}

/// A number without exponent and without needless zeros.
pub(super) fn plain_number(number: f64) -> String {
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_form_and_it_parses() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
            let style = Style { dialect };
            let sql = format!(
                "SELECT {}, {}, {}, {} FROM t WHERE d >= {} AND d >= {} AND {} AND {} AND {}",
                style.month("d"),
                style.day("d"),
                style.days_between("a", "b"),
                style.concat(&["x", "' '", "y"]),
                style.ago(30, "days"),
                style.month_start(),
                style.like("n", "%o'x%"),
                style.year_is("d", 2024),
                style.flag("f", true),
            );
            crate::sql::parse(&sql, dialect).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let style = Style { dialect: Dialect::Sqlite };
        assert_eq!(style.literal(&Cell::Real(12.50)), "12.5");
        assert_eq!(style.literal(&Cell::Text("it's".into())), "'it''s'");
        assert_eq!(plain_number(1e3), "1000");
    }
}
