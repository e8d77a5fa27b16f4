//! `lumbung register set`: one row, some of its fields.
//!
//! Invariant: a change is made of the row as it was shown: if somebody else changed it meanwhile, nothing is changed.

use std::str::FromStr;

use clap::Args;
use lumbung_wire::messages::register::RegisterTable;
use serde_json::{Map, Value};

use crate::commands::register::{find_pd, id_in};
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::table::Table;
use crate::terminal::{Terminal, printable};

type Row = Map<String, Value>;

/// Arguments of `register set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// sites, buildings, rooms, racks, feeds, pools, pd, servers, services, applications, contact_persons, checks, datasets, devices,
    /// reservations, handovers or care
    table: RegisterTable,
    /// The row's name (of a PD its code) or id
    name: String,
    /// FIELD=VALUE as docs/api.md and exports name the fields, for instance urgency=critical or rpo_s=3600. An empty value
    /// takes the field out. Another row is given by its name or id. FIELD:=JSON writes numbers and flags that were not
    /// set before, and lists (of ids, where they are of rows)
    #[arg(required = true, value_name = "FIELD=VALUE")]
    fields: Vec<Setting>,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// One `FIELD=VALUE`.
#[derive(Debug, Clone, PartialEq)]
struct Setting {
    field: String,
    value: Given,
}

#[derive(Debug, Clone, PartialEq)]
enum Given {
    Text(String),
    Json(Value),
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (field, value) = text.split_once('=').ok_or("write FIELD=VALUE")?;
        let (field, value) = match field.strip_suffix(':') {
            Some(field) => {
                let json = serde_json::from_str(value).map_err(|error| {
                    format!("{field}: what stands after := is no JSON: {error}")
                })?;
                (field, Given::Json(json))
            }
            None => (field, Given::Text(value.to_owned())),
        };
        if field.is_empty() {
            return Err("write FIELD=VALUE".to_owned());
        }
        Ok(Self { field: field.to_owned(), value })
    }
}

/// Runs `lumbung register set`.
///
/// # Errors
/// If there is no such row, a value names nothing, or the controller refuses.
pub(crate) fn set(args: &SetArgs, terminal: &Terminal) -> Outcome<Exit> {
    if args.table == RegisterTable::OnCall {
        let next = "take it back (lumbung on-call remove) and add another";
        return Err(Failure::new(Code::Usage, "a turn on call is not changed", next));
    }
    let controller = args.controller.connect()?;
    let path = path_of(&controller, (args.table, &args.name, args.pd.as_deref()))?;
    let (before, tag): (Row, String) = controller.get_tagged(&path)?;
    let mut patch = Row::new();
    for setting in &args.fields {
        let value = value_of(&controller, (&before, &patch), setting)?;
        if patch.insert(setting.field.clone(), value).is_some() {
            let message = format!("{} is given twice", setting.field);
            return Err(Failure::new(Code::Usage, message, "give each field once"));
        }
    }
    let after: Row = controller.patch(&path, tag, &patch)?;
    terminal.result(&after, || changes(&before, &after, terminal))?;
    Ok(Exit::Fine)
}

/// The tables whose rows are the city's and no PD's, as the API calls them.
const OF_CITY: [&str; 7] = ["sites", "buildings", "rooms", "racks", "feeds", "pools", "on-call"];

/// How the API calls a table.
const fn segment(table: RegisterTable) -> &'static str {
    match table {
        RegisterTable::ContactPersons => "contact-persons",
        RegisterTable::OnCall => "on-call",
        other => other.as_str(),
    }
}

/// The path of the row of a table that has this name or id, of that PD if one is named.
pub(crate) fn path_of(
    controller: &Controller,
    (table, name, pd): (RegisterTable, &str, Option<&str>),
) -> Outcome<String> {
    let segment = segment(table);
    if table == RegisterTable::Pd {
        return Ok(format!("/api/v1/pd/{}", find_pd(controller, name)?.id));
    }
    let pd = pd.filter(|_| !OF_CITY.contains(&segment));
    let pd = pd.map(|pd| find_pd(controller, pd)).transpose()?.map(|pd| pd.code);
    let id = id_in(controller, segment, pd.as_deref(), name)?;
    Ok(format!("/api/v1/{segment}/{id}"))
}

fn text<'a>(row: &'a Row, member: &str) -> &'a str {
    row.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// What is sent for a field of the row, after what `patch` has already.
fn value_of(
    controller: &Controller,
    (row, patch): (&Row, &Row),
    setting: &Setting,
) -> Outcome<Value> {
    let given = match &setting.value {
        Given::Json(value) => return Ok(value.clone()),
        Given::Text(text) if text.is_empty() => return Ok(Value::Null),
        Given::Text(text) => text,
    };
    let segment = match setting.field.as_str() {
        "pd" => return Ok(Value::String(find_pd(controller, given)?.id.to_string())),
        "site" => "sites",
        "building" => "buildings",
        "room" => "rooms",
        "server" | "standby" => "servers",
        "service" => "services",
        "application" => "applications",
        "rack" => "racks",
        "pool" => "pools",
        "partner" => "feeds",
        "dataset" => "datasets",
        // What holds a number, a list or yes or no now will hold such a thing.
        field => {
            let is_text = row.get(field).is_none_or(|now| now.is_string() || now.is_null());
            let json = serde_json::from_str(given).ok().filter(|_| !is_text);
            return Ok(json.unwrap_or_else(|| Value::String(given.clone())));
        }
    };
    // A standby may be another PD's.
    let of_any = OF_CITY.contains(&segment) || setting.field == "standby";
    let of = if patch.contains_key("pd") { patch } else { row };
    let pd = Some(text(of, "pd")).filter(|pd| !of_any && !pd.is_empty());
    Ok(Value::String(id_in(controller, segment, pd, given)?))
}

/// What is otherwise now, field by field.
fn changes(before: &Row, after: &Row, terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Isian", "Field"))
        .text(terminal.pick("Sebelum", "Before"))
        .text(terminal.pick("Sesudah", "After"));
    let mut fields: Vec<_> = before.keys().chain(after.keys()).collect();
    fields.sort_unstable();
    fields.dedup();
    let mut any = false;
    for field in fields.into_iter().filter(|field| before.get(*field) != after.get(*field)) {
        any = true;
        table.row([field.clone(), shown(before.get(field)), shown(after.get(field))]);
    }
    if any {
        return table.render();
    }
    format!("{}\n", terminal.pick("Tidak ada yang berubah.", "Nothing has changed."))
}

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => return "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    printable(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_unless_they_are_marked_as_json() {
        let read = |text: &str| text.parse::<Setting>();
        let of = |field: &str, value| Ok(Setting { field: field.to_owned(), value });
        assert_eq!(read("phone=0811"), of("phone", Given::Text("0811".into())));
        assert_eq!(read("note=a=b"), of("note", Given::Text("a=b".into())));
        assert_eq!(read("owner="), of("owner", Given::Text(String::new())));
        assert_eq!(read("rpo_s:=60"), of("rpo_s", Given::Json(60.into())));
        for wrong in ["rpo_s", "=x", ":=1"] {
            assert_eq!(read(wrong), Err("write FIELD=VALUE".to_owned()), "{wrong}");
        }
        assert!(read("rpo_s:=an hour").unwrap_err().starts_with("rpo_s: what stands after"));
    }
}
