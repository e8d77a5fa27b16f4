//! The register as TOML: what belongs to something may stand inside of it, as in `[[pd.server.dataset]]`, or beside it,
//! naming it.
//!
//! Invariant: an entry that cannot be read does not keep the others from being read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lumbung_model::toml_text::{Lines, explain, nearest};
use lumbung_wire::messages::register::RegisterTable;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::entries::{Entry, columns};
use super::{Fault, Place, Placed};
use crate::db::DbError;

/// What may stand inside of what: the key, the table it is of, and the fields that it has from what is around it.
const fn inside(table: Option<RegisterTable>) -> &'static [(&'static str, RegisterTable)] {
    use RegisterTable as T;
    match table {
        None => &[
            ("site", T::Sites),
            ("building", T::Buildings),
            ("room", T::Rooms),
            ("pd", T::Pd),
            ("server", T::Servers),
            ("service", T::Services),
            ("application", T::Applications),
            ("contact_person", T::ContactPersons),
            ("check", T::Checks),
            ("dataset", T::Datasets),
            ("rack", T::Racks),
            ("feed", T::Feeds),
            ("pool", T::Pools),
            ("device", T::Devices),
            ("reservation", T::Reservations),
            ("handover", T::Handovers),
            ("on_call", T::OnCall),
            ("care", T::Care),
        ],
        Some(T::Sites) => &[("building", T::Buildings), ("pool", T::Pools)],
        Some(T::Buildings) => &[("room", T::Rooms)],
        Some(T::Rooms) => &[("rack", T::Racks), ("feed", T::Feeds)],
        Some(T::Pd) => &[
            ("server", T::Servers),
            ("service", T::Services),
            ("application", T::Applications),
            ("contact_person", T::ContactPersons),
            ("check", T::Checks),
            ("dataset", T::Datasets),
            ("device", T::Devices),
            ("reservation", T::Reservations),
            ("handover", T::Handovers),
        ],
        Some(T::Servers) => &[("check", T::Checks), ("dataset", T::Datasets), ("care", T::Care)],
        Some(T::Services) => &[("contact_person", T::ContactPersons), ("check", T::Checks)],
        Some(_) => &[],
    }
}

/// The field by which what is inside names what is around it, and the field there that it is.
const fn names(table: RegisterTable) -> (&'static str, &'static str) {
    match table {
        RegisterTable::Sites => ("site", "name"),
        RegisterTable::Buildings => ("building", "name"),
        RegisterTable::Rooms => ("room", "name"),
        RegisterTable::Pd => ("pd", "code"),
        RegisterTable::Servers => ("server", "name"),
        RegisterTable::Services => ("service", "name"),
        _ => ("", ""),
    }
}

/// The entries of a document, and what cannot be read of it.
pub(super) fn read(text: &str) -> (Vec<Placed>, Vec<Fault>) {
    let mut reader = Reader { lines: Lines::of(text), entries: Vec::new(), faults: Vec::new() };
    match DeTable::parse(text) {
        Ok(document) => {
            let mut table = document.into_inner();
            reader.children(None, &mut table, &[]);
            let known = || inside(None).iter().map(|(key, _)| *key);
            for key in table.keys() {
                let name: &str = key.get_ref();
                let meant = nearest(name, known()).map_or_else(
                    || format!("one of [[{}]]", known().collect::<Vec<_>>().join("]], [[")),
                    |meant| format!("did you mean [[{meant}]]?"),
                );
                reader.fault(
                    key.span().start,
                    Some(name),
                    format!("unknown key `{name}`; {meant}"),
                );
            }
        }
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, None, explain(error.message()));
        }
    }
    (reader.entries, reader.faults)
}

struct Reader {
    lines: Lines,
    entries: Vec<Placed>,
    faults: Vec<Fault>,
}

/// Fields that an entry has from what is around it.
type Inherited<'a> = [(&'static str, Cow<'a, str>)];

impl Reader {
    fn fault(&mut self, offset: usize, field: Option<&str>, detail: String) {
        let place = Place { line: self.lines.at(offset), fields: Vec::new() };
        self.faults.push(place.fault(field, detail));
    }

    /// Takes out of `table` what stands inside of it, and reads that.
    fn children<'i>(
        &mut self,
        of: Option<RegisterTable>,
        table: &mut DeTable<'i>,
        inherited: &Inherited<'i>,
    ) {
        for (key, child) in inside(of) {
            // A plain value of that name is a field: `server = "web-1"` of an entry that stands alone.
            if !table.get(*key).is_some_and(|value| is_tables(value.get_ref())) {
                continue;
            }
            let Some(value) = table.remove(*key) else { continue };
            let DeValue::Array(list) = value.into_inner() else { continue };
            for entry in list {
                let span = entry.span();
                match entry.into_inner() {
                    DeValue::Table(inner) => {
                        self.entry(*child, Spanned::new(span, inner), inherited);
                    }
                    _ => self.fault(span.start, Some(key), format!("write [[{key}]]")),
                }
            }
        }
    }

    fn entry<'i>(
        &mut self,
        of: RegisterTable,
        table: Spanned<DeTable<'i>>,
        inherited: &Inherited<'i>,
    ) {
        let (span, mut table) = (table.span(), table.into_inner());
        for (field, value) in inherited {
            if let Some(present) = table.get(*field) {
                let detail = format!("`{field}` is that of the entry around it: leave it out");
                let at = present.span().start;
                self.fault(at, Some(field), detail);
            }
            let value = DeValue::String(value.clone());
            let name = Spanned::new(span.clone(), Cow::Borrowed(*field));
            table.insert(name, Spanned::new(span.clone(), value));
        }
        let mut inner = inherited.to_vec();
        let (field, name) = names(of);
        if let Some(DeValue::String(name)) = table.get(name).map(Spanned::get_ref) {
            inner.push((field, name.clone()));
        }
        self.children(Some(of), &mut table, &inner);
        let line = |at: usize| self.lines.at(at);
        let fields = table.iter().map(|(key, value)| {
            let own = value.span().start != span.start;
            (key.get_ref().to_string(), line(if own { value.span().start } else { span.start }))
        });
        let place = Place { line: line(span.start), fields: fields.collect() };
        match Entry::read(of, Deserializer::from(Spanned::new(span.clone(), table))) {
            Ok(entry) => self.entries.push(Placed { entry, place }),
            Err(error) => {
                let at = error.span().map_or(span.start, |span| span.start);
                self.fault(at, None, explain(error.message()));
            }
        }
    }
}

fn is_tables(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Array(list)
        if list.iter().any(|entry| matches!(entry.get_ref(), DeValue::Table(_))))
}

/// The entries as a document, each inside of what it belongs to.
pub(super) fn write(entries: &[Entry]) -> Result<String, DbError> {
    let corrupt = |_| DbError::Corrupt { what: "a register row, for TOML" };
    let mut tree = Node::default();
    for entry in entries {
        let table = entry.to_table().map_err(corrupt)?;
        tree.put(&steps(entry), entry.table(), table);
    }
    let mut text =
        String::from("# The register of a city. Import it with `lumbung register import`.\n");
    tree.write("", None, &mut text).map_err(corrupt)?;
    Ok(text)
}

/// The keys and names that lead to an entry in the document.
fn steps(entry: &Entry) -> Vec<(&'static str, String)> {
    let step = |key, name: &str| (key, name.to_owned());
    match entry {
        Entry::Site(one) => vec![step("site", &one.name)],
        Entry::Building(one) => vec![step("site", &one.site), step("building", &one.name)],
        Entry::Room(one) => {
            vec![step("site", &one.site), step("building", &one.building), step("room", &one.name)]
        }
        Entry::Pd(one) => vec![step("pd", &one.code)],
        Entry::Server(one) => vec![step("pd", &one.pd), step("server", &one.name)],
        Entry::Service(one) => vec![step("pd", &one.pd), step("service", &one.name)],
        Entry::Application(one) => vec![step("pd", &one.pd), step("application", &one.name)],
        Entry::ContactPerson(one) if one.service.is_empty() => {
            vec![step("pd", &one.pd), step("contact_person", &one.name)]
        }
        Entry::ContactPerson(one) => vec![
            step("pd", &one.pd),
            step("service", &one.service),
            step("contact_person", &one.name),
        ],
        Entry::Check(one) if !one.service.is_empty() => {
            vec![step("pd", &one.pd), step("service", &one.service), step("check", &one.name)]
        }
        Entry::Check(one) => {
            vec![step("pd", &one.pd), step("server", &one.server), step("check", &one.name)]
        }
        Entry::Dataset(one) if one.server.is_empty() => {
            vec![step("pd", &one.pd), step("dataset", &one.name)]
        }
        Entry::Dataset(one) => {
            vec![step("pd", &one.pd), step("server", &one.server), step("dataset", &one.name)]
        }
        Entry::Rack(one) => in_room([&one.site, &one.building, &one.room], ("rack", &one.name)),
        Entry::Feed(one) => in_room([&one.site, &one.building, &one.room], ("feed", &one.name)),
        Entry::Pool(one) => vec![step("site", &one.site), step("pool", &one.name)],
        Entry::Device(one) => vec![step("pd", &one.pd), step("device", &one.name)],
        // Other racks may have reservations of the same name.
        Entry::Reservation(one) => {
            vec![step("pd", &one.pd), step("reservation", &entry.path().join("\0"))]
        }
        Entry::Handover(one) => vec![step("pd", &one.pd), step("handover", &one.name)],
        // In the order of time.
        Entry::OnCall(one) => {
            vec![step("on_call", &format!("{}\0{}\0{}", one.from, one.tier, one.name))]
        }
        // On other days the same may have been done.
        Entry::Care(one) => {
            let own = step("care", &entry.path().join("\0"));
            vec![step("pd", &one.pd), step("server", &one.server), own]
        }
    }
}

fn in_room(
    [site, building, room]: [&String; 3],
    (key, name): (&'static str, &String),
) -> Vec<(&'static str, String)> {
    let step = |key, name: &String| (key, name.clone());
    vec![step("site", site), step("building", building), step("room", room), step(key, name)]
}

/// A part of the document that is being written.
#[derive(Default)]
struct Node {
    of: Option<RegisterTable>,
    fields: toml::Table,
    inside: BTreeMap<&'static str, BTreeMap<String, Node>>,
}

impl Node {
    fn put(
        &mut self,
        steps: &[(&'static str, String)],
        of: RegisterTable,
        mut fields: toml::Table,
    ) {
        let Some(((key, name), rest)) = steps.split_first() else {
            self.of = Some(of);
            self.fields = fields;
            return;
        };
        // What is around it is not said again.
        if !rest.is_empty() {
            fields.remove(*key);
        }
        self.inside.entry(key).or_default().entry(name.clone()).or_default().put(rest, of, fields);
    }

    fn write(
        &self,
        path: &str,
        of: Option<RegisterTable>,
        text: &mut String,
    ) -> Result<(), toml::ser::Error> {
        if let Some(table) = of {
            *text += &format!("\n[[{path}]]\n");
            for (name, _) in columns(table) {
                let Some(value) = self.fields.get(*name) else { continue };
                let line = toml::Table::from_iter([((*name).to_owned(), value.clone())]);
                *text += &toml::to_string(&line)?;
            }
        }
        for (key, _) in inside(of) {
            let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
            for node in self.inside.get(key).into_iter().flat_map(BTreeMap::values) {
                node.write(&path, node.of, text)?;
            }
        }
        Ok(())
    }
}
