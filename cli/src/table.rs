//! Tables of plain text, at most 100 columns wide.
//!
//! Invariant: no line is longer than [`WIDTH`] unless its cells' minimum does not fit; cells are cut
//! from the widest column first and end in `…`. Ids are never cut: give them to a [`Table::rigid`] column.

/// The widest line.
pub(crate) const WIDTH: usize = 100;
const GAP: usize = 2;
const NARROWEST: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Left,
    Right,
    Rigid,
}

/// A table under construction.
#[derive(Debug, Default)]
pub(crate) struct Table {
    headings: Vec<String>,
    fits: Vec<Fit>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn column(mut self, heading: &str, fit: Fit) -> Self {
        self.headings.push(heading.to_owned());
        self.fits.push(fit);
        self
    }

    /// A column of text, cut where there is no room.
    #[must_use]
    pub(crate) fn text(self, heading: &str) -> Self {
        self.column(heading, Fit::Left)
    }

    /// A column of numbers, aligned to the right and never cut.
    #[must_use]
    pub(crate) fn number(self, heading: &str) -> Self {
        self.column(heading, Fit::Right)
    }

    /// A column that is never cut: ids, states, times.
    #[must_use]
    pub(crate) fn rigid(self, heading: &str) -> Self {
        self.column(heading, Fit::Rigid)
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.headings.len(), String::new());
        self.rows.push(row);
    }

    /// Whether there is no row.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self) -> Vec<usize> {
        let width = |text: &String| text.chars().count();
        let mut widths: Vec<usize> = self.headings.iter().map(width).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > WIDTH {
            let flexible = |i: &usize| self.fits[*i] == Fit::Left && widths[*i] > NARROWEST;
            let Some(widest) = (0..widths.len()).filter(flexible).max_by_key(|i| widths[*i]) else {
                break;
            };
            widths[widest] -= 1;
        }
        widths
    }

    /// The table as text, with its heading; every line ends in a newline.
    #[must_use]
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        let mut text = String::new();
        for row in [&self.headings, &rule].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), fit) in row.iter().zip(&widths).zip(&self.fits) {
                let cell = shorten(cell, *width);
                let pad = " ".repeat(width - cell.chars().count().min(*width));
                match fit {
                    Fit::Right => line.push_str(&format!("{pad}{cell}")),
                    Fit::Left | Fit::Rigid => line.push_str(&format!("{cell}{pad}")),
                }
                line.push_str(&" ".repeat(GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Cuts a text to `width` characters.
fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Lines of `name: value`, values aligned.
#[must_use]
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    pairs
        .iter()
        .map(|(name, value)| {
            let pad = " ".repeat(widest - name.chars().count());
            format!("{name}:{pad} {value}\n")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_and_keeps_its_ids() {
        let mut table = Table::new().rigid("Cuplikan").text("Sumber").number("Ukuran");
        table.row(["0123abcd".into(), "x".repeat(200), "1.00 GB".into()]);
        table.row(["4567cdef".into(), "y".into(), "7 B".into()]);
        let text = table.render();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(
            text.contains("0123abcd") && text.contains("x…") && text.contains("    7 B"),
            "{text}"
        );
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs(&[("a", "1".into()), ("bcd", "2".into())]), "a:   1\nbcd: 2\n");
    }
}
