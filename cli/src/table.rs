//! Tables for people: as wide as they need to be, numbers to the right.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::out::{Tone, coloured, plain};

/// Between two columns.
const GAP: &str = "  ";
/// A cell shows at most this many columns of the terminal.
const WIDEST: usize = 60;

/// What a column shows of a row.
pub(crate) struct Column {
    heading: &'static str,
    to_the_right: bool,
    show: fn(&Value) -> String,
    tone: fn(&Value) -> Tone,
}

/// A column of words.
pub(crate) fn words(heading: &'static str, show: fn(&Value) -> String) -> Column {
    Column { heading, to_the_right: false, show, tone: |_| Tone::Plain }
}

/// A column of figures.
pub(crate) fn figures(heading: &'static str, show: fn(&Value) -> String) -> Column {
    Column { heading, to_the_right: true, show, tone: |_| Tone::Plain }
}

impl Column {
    /// With a colour that depends on the row.
    pub(crate) fn toned(self, tone: fn(&Value) -> Tone) -> Self {
        Self { tone, ..self }
    }
}

/// A table that rows are added to.
pub(crate) struct Table<'c> {
    columns: &'c [Column],
    rows: Vec<Vec<(String, Tone)>>,
}

impl<'c> Table<'c> {
    /// A table without rows.
    pub(crate) fn new(columns: &'c [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds what the columns show of this row.
    pub(crate) fn add(&mut self, row: &Value) {
        let cell = |column: &Column| (shortened(plain(&(column.show)(row))), (column.tone)(row));
        self.rows.push(self.columns.iter().map(cell).collect());
    }

    /// The headings and the rows; without rows it says so.
    pub(crate) fn render(&self, colours: bool) -> String {
        if self.rows.is_empty() {
            return "none\n".to_owned();
        }
        let width = |place: usize| {
            let cells = self.rows.iter().map(|row| row[place].0.width());
            cells.chain([self.columns[place].heading.width()]).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let headings: Vec<_> = self.columns.iter().map(|column| (column.heading.to_owned(), Tone::Plain)).collect();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for ((place, (cell, tone)), width) in row.iter().enumerate().zip(&widths) {
                let padding = " ".repeat(width - cell.width());
                let cell = coloured(cell, *tone, colours);
                let gap = if place == 0 { "" } else { GAP };
                line += &if self.columns[place].to_the_right {
                    format!("{gap}{padding}{cell}")
                } else {
                    format!("{gap}{cell}{padding}")
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

fn shortened(text: String) -> String {
    if text.width() <= WIDEST {
        return text;
    }
    let mut short = String::new();
    for c in text.chars() {
        if short.width() + 3 > WIDEST {
            break;
        }
        short.push(c);
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_stand_left_and_figures_right() {
        let columns = [
            words("NAME", |row| row["name"].as_str().unwrap_or_default().to_owned()),
            figures("COST", |row| row["cost"].to_string()).toned(|_| Tone::Good),
            words("NOTE", |_| String::new()),
        ];
        let mut table = Table::new(&columns);
        table.add(&json!({ "name": "日本", "cost": 5 }));
        table.add(&json!({ "name": "a\u{1b}[31m", "cost": 12345 }));
        assert_eq!(table.render(false), "NAME          COST  NOTE\n日本             5\na\\u{1b}[31m  12345\n");
        assert!(table.render(true).contains("\u{1b}[32m12345\u{1b}[0m"));
        assert_eq!(Table::new(&columns).render(false), "none\n");
    }

    #[test]
    fn a_long_cell_is_cut() {
        assert_eq!(shortened("x".repeat(60)).width(), 60);
        assert_eq!(shortened("語".repeat(60)).width(), 59);
    }
}
