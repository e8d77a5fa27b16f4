//! One table of the register as CSV (RFC 4180), as spreadsheets read and write it.
//!
//! Invariants: a cell that a spreadsheet would take for a formula is written with an apostrophe before it, and read
//! without it; several texts in one cell stand on lines of their own.

use lumbung_model::toml_text::{explain, nearest};
use lumbung_wire::messages::register::RegisterTable;

use super::entries::{Cell, Entry, columns};
use super::{Fault, Place, Placed};
use crate::db::DbError;

/// The entries of a text, and what cannot be read of it.
pub(super) fn read(table: RegisterTable, text: &str) -> (Vec<Placed>, Vec<Fault>) {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(text))
        .flexible(true)
        .from_reader(text.as_bytes());
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    let header = match reader.headers().map_err(|error| error.to_string()) {
        Ok(header) => known_columns(table, header, &mut faults),
        Err(error) => {
            faults.push(Place { line: 1, fields: Vec::new() }.fault(None, error));
            return (entries, faults);
        }
    };
    if !faults.is_empty() {
        return (entries, faults);
    }
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(1, |at| line_of(at.line()));
                faults.push(Place { line, fields: Vec::new() }.fault(None, error.to_string()));
                continue;
            }
        };
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let line = record.position().map_or(1, |at| line_of(at.line()));
        let place = Place { line, fields: Vec::new() };
        match row(table, &header, &record) {
            Ok(entry) => entries.push(Placed { entry, place }),
            Err((field, detail)) => faults.push(place.fault(field, detail)),
        }
    }
    (entries, faults)
}

fn line_of(line: u64) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX)
}

/// A semicolon where the header has one and no comma: what spreadsheets write in Indonesia.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    if header.contains(';') && !header.contains(',') { b';' } else { b',' }
}

/// The columns of the header, in its order.
fn known_columns(
    table: RegisterTable,
    header: &csv::StringRecord,
    faults: &mut Vec<Fault>,
) -> Vec<(&'static str, Cell)> {
    let mut found = Vec::new();
    let place = Place { line: 1, fields: Vec::new() };
    let names = || columns(table).iter().map(|(name, _)| *name);
    for name in header {
        let name = name.trim();
        match columns(table).iter().find(|(known, _)| *known == name) {
            Some(column) if found.contains(column) => {
                faults.push(place.fault(Some(name), format!("column `{name}` stands twice")));
            }
            Some(column) => found.push(*column),
            None => {
                let meant = nearest(name, names()).map_or_else(
                    || format!("{table} has {}", names().collect::<Vec<_>>().join(", ")),
                    |meant| format!("did you mean `{meant}`?"),
                );
                faults.push(place.fault(Some(name), format!("unknown column `{name}`; {meant}")));
            }
        }
    }
    found
}

/// A refusal: the field and what is wrong with it.
type Refusal = (Option<&'static str>, String);

fn row(
    table: RegisterTable,
    header: &[(&'static str, Cell)],
    record: &csv::StringRecord,
) -> Result<Entry, Refusal> {
    if record.len() != header.len() {
        let detail = format!(
            "{} cells under {} columns: quote cells that hold a comma",
            record.len(),
            header.len()
        );
        return Err((None, detail));
    }
    let mut fields = toml::Table::new();
    for ((name, cell), text) in header.iter().zip(record) {
        let value = value_of(*cell, &plain(text))
            .map_err(|error| (Some(*name), format!("{name}: {error}")))?;
        if let Some(value) = value {
            fields.insert((*name).to_owned(), value);
        }
    }
    Entry::read(table, toml::Value::Table(fields)).map_err(|error| (None, explain(error.message())))
}

/// A cell of a table as a value, if it holds anything.
fn value_of(cell: Cell, text: &str) -> Result<Option<toml::Value>, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(None);
    }
    let value = match cell {
        Cell::Text => toml::Value::String(text.to_owned()),
        Cell::Lines => toml::Value::Array(
            text.lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| toml::Value::String(line.to_owned()))
                .collect(),
        ),
        Cell::Integer => trimmed
            .parse()
            .map(toml::Value::Integer)
            .map_err(|_| format!("{trimmed:?} is no whole number"))?,
        Cell::Number => trimmed
            .parse()
            .map(toml::Value::Float)
            .map_err(|_| format!("{trimmed:?} is no number: write 3.59 with a point"))?,
        Cell::Flag => toml::Value::Boolean(match trimmed.to_ascii_lowercase().as_str() {
            "true" | "yes" | "ya" | "1" => true,
            "false" | "no" | "tidak" | "0" => false,
            _ => return Err(format!("{trimmed:?}: write true or false")),
        }),
    };
    Ok(Some(value))
}

/// What a spreadsheet would compute instead of showing.
fn is_formula(text: &str) -> bool {
    let bare = text.trim_start_matches('\'');
    bare.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// The cell for a text.
fn guarded(text: &str) -> String {
    if is_formula(text) { format!("'{text}") } else { text.to_owned() }
}

/// The text of a cell.
fn plain(cell: &str) -> String {
    match cell.strip_prefix('\'') {
        Some(rest) if is_formula(rest) => rest.to_owned(),
        _ => cell.to_owned(),
    }
}

/// The entries as a table with all its columns.
pub(super) fn write<'a>(
    table: RegisterTable,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<String, DbError> {
    let corrupt = || DbError::Corrupt { what: "a register row, for CSV" };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns(table).iter().map(|(name, _)| *name)).map_err(|_| corrupt())?;
    for entry in entries {
        let fields = entry.to_table().map_err(|_| corrupt())?;
        let cells = columns(table)
            .iter()
            .map(|(name, _)| fields.get(*name).map(cell_of).unwrap_or_default());
        writer.write_record(cells).map_err(|_| corrupt())?;
    }
    let bytes = writer.into_inner().map_err(|_| corrupt())?;
    String::from_utf8(bytes).map_err(|_| corrupt())
}

fn cell_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => guarded(text),
        toml::Value::Array(list) => {
            let lines: Vec<_> = list.iter().filter_map(toml::Value::as_str).collect();
            guarded(&lines.join("\n"))
        }
        // Numbers: a negative latitude is no formula.
        other => other.to_string(),
    }
}
