//! The TOML import of the register: all of it or none of it.
//!
//! Invariants: one transaction; the same file twice changes nothing the second time (sites and servers
//! are known by name, PD by code, datasets by name on their server); whatever is refused names the line,
//! the field, and where it can what was meant.

use lumbung_model::{PdId, ServerId};
use lumbung_wire::messages::register::{
    DatasetImport, DatasetInput, ImportOutcome, PdInput, RegisterImport, ServerInput,
};
use rusqlite::Connection;

use crate::act::Act;
use crate::config::RpoDefaults;
use crate::db::DbError;
use crate::register::{self, Mode, RegisterError};
use lumbung_model::toml_text::{self, TomlError};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The text is no register.
    #[error("nothing was imported: {0}")]
    Toml(TomlError),
    /// An entry is refused.
    #[error("nothing was imported: {at}")]
    Entry {
        /// File, line, and what is wrong.
        at: TomlError,
    },
    /// The database failed.
    #[error("nothing was imported: the database failed")]
    Db(#[from] DbError),
}

/// Where an entry stands in the document: `pd`, 2, `server`, 0.
type Place = Vec<(&'static str, usize)>;

/// Imports `text`, which stands in `file`, within the caller's transaction.
///
/// # Errors
/// What is wrong, and where; the caller rolls back.
pub fn import(
    db: &Connection,
    act: &Act,
    file: &str,
    text: &str,
    defaults: &RpoDefaults,
) -> Result<ImportOutcome, ImportError> {
    let document: RegisterImport = toml_text::parse(file, text).map_err(ImportError::Toml)?;
    let mut run = Run { db, act, file, text, defaults, outcome: ImportOutcome::default() };
    run.distinct(&document)?;
    for (index, site) in document.sites.iter().enumerate() {
        let entered = register::put_site(db, act, site, Mode::Upsert).map(|(_, change)| change);
        run.entered(&vec![("site", index)], entered)?;
    }
    for (index, pd) in document.pds.iter().enumerate() {
        run.pd(&vec![("pd", index)], pd)?;
    }
    Ok(run.outcome)
}

struct Run<'a> {
    db: &'a Connection,
    act: &'a Act,
    file: &'a str,
    text: &'a str,
    defaults: &'a RpoDefaults,
    outcome: ImportOutcome,
}

impl Run<'_> {
    /// An entry that stands twice in one document would silently take its last form.
    fn distinct(&self, document: &RegisterImport) -> Result<(), ImportError> {
        let mut seen = std::collections::HashSet::new();
        let mut check = |place: Place, field: &'static str, what: &str, key: String| {
            if seen.insert((what.to_owned(), key.clone())) {
                return Ok(());
            }
            let short = key.rsplit('\u{0}').next().unwrap_or_default().to_owned();
            Err(self.refuse(
                &place,
                Some(field),
                format!("{what} {short:?} stands twice in this file: merge the two entries"),
            ))
        };
        for (index, site) in document.sites.iter().enumerate() {
            check(vec![("site", index)], "name", "site", site.name.clone())?;
        }
        for (p, pd) in document.pds.iter().enumerate() {
            check(vec![("pd", p)], "code", "PD", pd.code.clone())?;
            for (d, dataset) in pd.datasets.iter().enumerate() {
                check(
                    vec![("pd", p), ("dataset", d)],
                    "name",
                    "dataset",
                    format!("{}\0\0{}", pd.code, dataset.name),
                )?;
            }
            for (s, server) in pd.servers.iter().enumerate() {
                check(
                    vec![("pd", p), ("server", s)],
                    "name",
                    "server",
                    format!("{}\0{}", pd.code, server.name),
                )?;
                for (d, dataset) in server.datasets.iter().enumerate() {
                    let key = format!("{}\0{}\0{}", pd.code, server.name, dataset.name);
                    check(vec![("pd", p), ("server", s), ("dataset", d)], "name", "dataset", key)?;
                }
            }
        }
        Ok(())
    }

    fn pd(
        &mut self,
        place: &Place,
        pd: &lumbung_wire::messages::register::PdImport,
    ) -> Result<(), ImportError> {
        let input = PdInput {
            id: pd.id,
            code: pd.code.clone(),
            name: pd.name.clone(),
            contact: pd.contact.clone(),
            mandiri_tik: pd.mandiri_tik,
        };
        let entered = register::put_pd(self.db, self.act, &input, Mode::Upsert);
        let id = entered.as_ref().map_or(PdId::ZERO, |(pd, _)| pd.id);
        self.entered(place, entered.map(|(_, change)| change))?;
        for (index, dataset) in pd.datasets.iter().enumerate() {
            self.dataset(place, index, dataset, id, None)?;
        }
        for (index, server) in pd.servers.iter().enumerate() {
            let mut place = place.clone();
            place.push(("server", index));
            let input =
                ServerInput { id: server.id, pd: id, name: server.name.clone(), kind: server.kind };
            let entered = register::put_server(self.db, self.act, &input, Mode::Upsert);
            let server_id = entered.as_ref().map_or(ServerId::ZERO, |(server, _)| server.id);
            self.entered(&place, entered.map(|(_, change)| change))?;
            for (index, dataset) in server.datasets.iter().enumerate() {
                self.dataset(&place, index, dataset, id, Some(server_id))?;
            }
        }
        Ok(())
    }

    fn dataset(
        &mut self,
        place: &Place,
        index: usize,
        dataset: &DatasetImport,
        pd: PdId,
        server: Option<ServerId>,
    ) -> Result<(), ImportError> {
        let mut place = place.clone();
        place.push(("dataset", index));
        let input = DatasetInput {
            id: dataset.id,
            pd,
            server,
            name: dataset.name.clone(),
            kind: dataset.kind,
            owner: dataset.owner.clone(),
            classification: dataset.classification,
            urgency: dataset.urgency,
            rpo_s: dataset.rpo_s,
            retention: dataset.retention.clone(),
            period: dataset.period.clone(),
            media: dataset.media.clone(),
            repository: dataset.repository,
            paths: dataset.paths.clone(),
        };
        let entered = register::put_dataset(self.db, self.act, &input, self.defaults, Mode::Upsert);
        self.entered(&place, entered.map(|(_, change)| change))
    }

    fn entered(
        &mut self,
        place: &Place,
        entered: Result<register::Change, RegisterError>,
    ) -> Result<(), ImportError> {
        match entered {
            Ok(change) => {
                register::count(&mut self.outcome, change);
                Ok(())
            }
            Err(RegisterError::Db(error)) => Err(ImportError::Db(error)),
            Err(error) => Err(self.refuse(place, error.field(), error.to_string())),
        }
    }

    fn refuse(&self, place: &Place, field: Option<&str>, message: String) -> ImportError {
        let line = locate(self.text, place, field);
        ImportError::Entry { at: TomlError { file: self.file.into(), line, message } }
    }
}

/// The line of an entry's field, else of the entry.
fn locate(text: &str, place: &Place, field: Option<&str>) -> usize {
    let Ok(document) = toml::de::DeTable::parse(text) else { return 1 };
    let mut table = document.get_ref();
    let mut offset = document.span().start;
    for (key, index) in place {
        let Some(entry) = table.get(*key).and_then(|value| value.get_ref().get(*index)) else {
            break;
        };
        offset = entry.span().start;
        match entry.get_ref().as_table() {
            Some(inner) => table = inner,
            None => break,
        }
    }
    let value = field.and_then(|field| table.get(field));
    toml_text::line_at(text, value.map_or(offset, |value| value.span().start))
}
