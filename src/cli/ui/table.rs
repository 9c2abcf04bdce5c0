//! Tables for the terminal: aligned columns, long cells cut in the middle.

use super::escape;

/// Cells wider than this many characters are cut in the middle.
const WIDEST_CELL: usize = 48;

/// A table with a header row.
#[derive(Debug, Clone, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these column titles.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as lines; cells are escaped. Columns of numbers are aligned right.
    pub fn render(&self) -> String {
        let cut = |cell: &str| cut_middle(&escape(cell).replace('\n', "↵").replace('\t', " "), WIDEST_CELL);
        let header: Vec<String> = self.header.iter().map(|c| cut(c)).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(|c| cut(c)).collect()).collect();
        let columns = header.len();
        let width = |i: usize| {
            rows.iter().filter_map(|r| r.get(i)).chain(header.get(i)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let numeric: Vec<bool> = (0..columns)
            .map(|i| {
                let mut cells =
                    rows.iter().filter_map(|r| r.get(i)).filter(|c| !c.is_empty() && *c != "NULL").peekable();
                cells.peek().is_some() && cells.all(|c| c.parse::<f64>().is_ok())
            })
            .collect();
        let line = |cells: &[String]| {
            let mut text = String::new();
            for i in 0..columns {
                let cell = cells.get(i).map_or("", String::as_str);
                let pad = " ".repeat(widths[i].saturating_sub(cell.chars().count()));
                let (left, right) = if numeric[i] { (pad.as_str(), "") } else { ("", pad.as_str()) };
                text.push_str(if i == 0 { " " } else { " │ " });
                text.push_str(left);
                text.push_str(cell);
                text.push_str(right);
            }
            text.trim_end().to_owned()
        };
        let rule: Vec<String> = widths.iter().map(|w| "─".repeat(w + 2)).collect();
        let mut lines = vec![line(&header), rule.join("┼")];
        lines.extend(rows.iter().map(|row| line(row)));
        lines.join("\n")
    }
}

/// `text` shortened to `width` characters by leaving out its middle.
fn cut_middle(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let head = width / 2;
    let tail = width - head - 1;
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_controls_are_shown() {
        let mut table = Table::new(["name", "n"]);
        table.row(["a\u{1b}[2J", "5"]);
        table.row(["b", "12"]);
        let text = table.render();
        assert!(text.contains("\\u{1b}"), "{text}");
        assert!(text.contains("│  5"), "{text}");
    }

    #[test]
    fn long_cells_lose_their_middle() {
        assert_eq!(cut_middle("abcdefghij", 5), "ab…ij");
    }
}
