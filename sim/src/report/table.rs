// SPDX-License-Identifier: MPL-2.0
//! Aligned tables in plain text: words to the left, numbers to the right.

use super::style::{Style, Tone};
use super::thousands;
use std::fmt::Write;

/// One cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell {
    /// Text, aligned left.
    Text(String),
    /// A number, aligned right, with thousands separated.
    Number(u64),
    /// Text that belongs among numbers, aligned right.
    Right(String),
    /// Nothing.
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_string())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Cell {
        Cell::Number(number)
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Text(text) | Cell::Right(text) => text.clone(),
            Cell::Number(number) => thousands(*number),
            Cell::Empty => String::new(),
        }
    }

    fn to_the_right(&self) -> bool {
        matches!(self, Cell::Number(_) | Cell::Right(_))
    }
}

enum Row {
    Cells(Vec<Cell>),
    Rule,
}

/// A table with a line of headings. A column whose cells are all numbers has its heading to the
/// right as well.
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(headings: [&str; N]) -> Table {
        Table {
            headings: headings.map(str::to_string).to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing at its end are empty, those too many are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut cells: Vec<Cell> = cells.into_iter().collect();
        cells.resize(self.headings.len(), Cell::Empty);
        self.rows.push(Row::Cells(cells));
    }

    /// Adds a line across, as above a sum.
    pub fn rule(&mut self) {
        self.rows.push(Row::Rule);
    }

    /// The table as text, two spaces between columns, a newline at the end of each line and no
    /// spaces before it.
    pub fn render(&self, style: Style) -> String {
        let columns = self.headings.len();
        let rows: Vec<&Vec<Cell>> = self
            .rows
            .iter()
            .filter_map(|row| match row {
                Row::Cells(cells) => Some(cells),
                Row::Rule => None,
            })
            .collect();
        let width = |column: usize| {
            rows.iter()
                .map(|cells| cells[column].text().chars().count())
                .chain([self.headings[column].chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let right = |column: usize| {
            !rows.is_empty()
                && rows
                    .iter()
                    .all(|cells| cells[column] == Cell::Empty || cells[column].to_the_right())
        };
        let mut out = String::new();
        let heading: Vec<(String, bool)> = (0..columns)
            .map(|column| (self.headings[column].clone(), right(column)))
            .collect();
        push_line(&mut out, style, Tone::Heading, &heading, &widths);
        for row in &self.rows {
            match row {
                Row::Cells(cells) => {
                    let cells: Vec<(String, bool)> = cells
                        .iter()
                        .map(|cell| (cell.text(), cell.to_the_right()))
                        .collect();
                    push_line(&mut out, style, Tone::Plain, &cells, &widths);
                }
                Row::Rule => {
                    let width = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
                    out.push_str(&style.paint(Tone::Faint, &"-".repeat(width)));
                    out.push('\n');
                }
            }
        }
        out
    }
}

fn push_line(
    out: &mut String,
    style: Style,
    tone: Tone,
    cells: &[(String, bool)],
    widths: &[usize],
) {
    let mut line = String::new();
    for (column, ((text, right), &width)) in cells.iter().zip(widths).enumerate() {
        if column > 0 {
            line.push_str("  ");
        }
        // Writing to a string cannot fail.
        let _ = if *right {
            write!(line, "{text:>width$}")
        } else {
            write!(line, "{text:<width$}")
        };
    }
    out.push_str(&style.paint(tone, line.trim_end()));
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_well() {
        let mut table = Table::new(["message", "count", "bytes", "note"]);
        table.row([
            "scsi_cmd".into(),
            Cell::Number(64),
            Cell::Number(61_440),
            "".into(),
        ]);
        table.row([
            "scsi_data".into(),
            Cell::Number(1024),
            Cell::Number(268_439_552),
            "most".into(),
        ]);
        table.row(["echo_request".into()]);
        table.rule();
        table.row(["all".into(), Cell::Number(1088), Cell::Right("many".into())]);
        insta::assert_snapshot!(table.render(Style::PLAIN), @r"
        message       count        bytes  note
        scsi_cmd         64       61,440
        scsi_data     1,024  268,439,552  most
        echo_request
        --------------------------------------
        all           1,088         many
        ");
    }

    #[test]
    fn an_empty_table_is_its_headings() {
        assert_eq!(
            Table::new(["one", "two"]).render(Style::PLAIN),
            "one  two\n"
        );
    }
}
