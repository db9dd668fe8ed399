//! What was measured: ratios first, then aligned tables; or all of it as JSON.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Everything that one run measured.
pub(crate) struct Report {
    binary: String,
    bytes: u64,
    /// Sentences.
    pub(crate) ratios: Vec<String>,
    pub(crate) tables: Vec<Table>,
}

impl Report {
    pub(crate) fn of(pitcrew: &Path) -> Self {
        let bytes = std::fs::metadata(pitcrew).unwrap().len();
        Self { binary: pitcrew.display().to_string(), bytes, ratios: Vec::new(), tables: Vec::new() }
    }

    pub(crate) fn json(&self) -> Value {
        let tables: Vec<_> = self.tables.iter().map(Table::json).collect();
        json!({ "binary": self.binary, "binary_bytes": self.bytes, "ratios": self.ratios, "tables": tables })
    }
}

/// What heads the document.
const HEAD: &str = "\
# Performance

Generated: `cargo bench --profile dev --workspace --bench cost -- --markdown >docs/PERFORMANCE.md`. Ratios first: they hold on other
machines; the figures below are of this one.
";

impl Report {
    /// The document that is kept.
    pub(crate) fn markdown(&self, machine: &str) -> String {
        let mut text = format!("{HEAD}\nMeasured on {machine}.\n\n");
        for ratio in &self.ratios {
            text += &format!("- {ratio}\n");
        }
        for table in &self.tables {
            text += &format!("\n## {}\n\n{}", capital(&table.title), table.markdown());
        }
        text + &format!("\nThe binary measured has {} bytes.\n", self.bytes)
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ratio in &self.ratios {
            writeln!(f, "{ratio}")?;
        }
        for table in &self.tables {
            write!(f, "\n{table}")?;
        }
        writeln!(f, "\n{} ({:.1} MB)", self.binary, crate::count(self.bytes) / 1e6)
    }
}

/// Numbers in columns whose names end in their unit, a row for each thing measured.
pub(crate) struct Table {
    title: String,
    columns: &'static [&'static str],
    rows: Vec<(String, Vec<f64>)>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &'static [&'static str]) -> Self {
        Self { title: title.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// A row; what is not a number was not measured.
    pub(crate) fn row<const N: usize>(&mut self, name: &str, values: [f64; N]) {
        assert_eq!(N, self.columns.len(), "a value for each column");
        self.rows.push((name.to_owned(), values.to_vec()));
    }

    pub(crate) fn note(&mut self, sentence: String) {
        self.notes.push(sentence);
    }

    fn markdown(&self) -> String {
        let headings: Vec<_> = self.columns.iter().map(|column| column.replace('_', " ")).collect();
        let mut text = format!("| | {} |\n|--|{}\n", headings.join(" | "), "--:|".repeat(headings.len()));
        for (name, values) in &self.rows {
            let values = values.iter().map(|value| if value.is_nan() { String::new() } else { format!("{value:.2}") });
            text += &format!("| {} | {} |\n", name.trim(), values.collect::<Vec<_>>().join(" | "));
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }

    fn json(&self) -> Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|(name, values)| {
                let values =
                    self.columns.iter().zip(values).map(|(column, value)| ((*column).to_owned(), json!(value)));
                json!({ "what": name, "values": values.collect::<Map<_, _>>() })
            })
            .collect();
        json!({ "title": self.title, "rows": rows, "notes": self.notes })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings: Vec<_> = self.columns.iter().map(|column| column.replace('_', " ")).collect();
        let first = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{}", self.title)?;
        write!(f, "  {:first$}", "")?;
        for heading in &headings {
            write!(f, "   {heading}")?;
        }
        writeln!(f)?;
        for (name, values) in &self.rows {
            write!(f, "  {name:first$}")?;
            for (heading, value) in headings.iter().zip(values) {
                let width = heading.chars().count();
                if value.is_nan() {
                    write!(f, "   {:>width$}", "")?;
                } else {
                    write!(f, "   {value:>width$.2}")?;
                }
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}
