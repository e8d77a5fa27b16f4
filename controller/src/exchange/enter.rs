//! Entries into the register: names become ids, and each entry goes through the register's rules.
//!
//! Invariants: what something belongs to is entered before it, whatever the order of the file; an entry whose parent
//! was refused is left out without a fault of its own.

use std::collections::HashSet;

use lumbung_model::{BuildingId, PdId, RoomId, ServerId, SiteId};
use lumbung_wire::messages::register::{
    ApplicationInput, BuildingInput, ContactPersonInput, DatasetInput, ImportOutcome,
    RegisterTable, RoomInput, ServerInput, ServiceInput,
};
use rusqlite::Connection;

use super::entries::{
    ApplicationEntry, BuildingEntry, ContactPersonEntry, DatasetEntry, Entry, RoomEntry,
    ServerEntry, ServiceEntry,
};
use super::{Fault, Place, Placed};
use crate::act::Act;
use crate::db::{DbError, places, register as rows, services};
use crate::profile::UrgencyClasses;
use crate::register::{self, Change, Mode, RegisterError};

/// Why an entry is not entered.
enum Refusal {
    /// One of its fields.
    Field(Option<&'static str>, String),
    /// What it belongs to was refused.
    Parent,
    /// The database failed.
    Db(DbError),
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<RegisterError> for Refusal {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Db(error) => Self::Db(error),
            error => Self::Field(error.field(), error.to_string()),
        }
    }
}

/// A row's table and what it is called: texts joined by a byte that stands in none of them.
type Key = (RegisterTable, String);

fn key(table: RegisterTable, path: &[&str]) -> Key {
    (table, path.join("\0"))
}

pub(super) struct Run<'a> {
    db: &'a Connection,
    act: &'a Act,
    classes: &'a UrgencyClasses,
    outcome: ImportOutcome,
    faults: Vec<Fault>,
    refused: HashSet<Key>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        db: &'a Connection,
        act: &'a Act,
        classes: &'a UrgencyClasses,
        faults: Vec<Fault>,
    ) -> Self {
        let outcome = ImportOutcome::default();
        Self { db, act, classes, outcome, faults, refused: HashSet::new() }
    }

    pub(super) fn end(self) -> (ImportOutcome, Vec<Fault>) {
        (self.outcome, self.faults)
    }

    /// Enters them, table by table.
    ///
    /// # Errors
    /// Only if the database fails.
    pub(super) fn enter_all(&mut self, entries: Vec<Placed>) -> Result<(), DbError> {
        let mut seen = HashSet::new();
        // A parent that could not even be read may be among the faults: what names it is not told twice.
        let unread = !self.faults.is_empty();
        for table in RegisterTable::ALL {
            for Placed { entry, place } in entries.iter().filter(|one| one.entry.table() == *table)
            {
                let key = key(*table, &entry.path());
                let refusal = if seen.insert(key.clone()) {
                    self.enter(entry).err()
                } else {
                    let (field, detail) = twice(*table, entry);
                    Some(Refusal::Field(Some(field), detail))
                };
                match refusal {
                    None => {}
                    Some(Refusal::Db(error)) => return Err(error),
                    Some(refusal) => self.refuse(key, refusal, place, unread),
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, key: Key, refusal: Refusal, place: &Place, unread: bool) {
        self.refused.insert(key);
        if let Refusal::Field(field, detail) = refusal {
            let names_another = detail.contains("is not in the register");
            if !(unread && names_another) {
                self.faults.push(place.fault(field, detail));
            }
        }
    }

    fn enter(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let (db, act, mode) = (self.db, self.act, Mode::Upsert);
        let change = match entry {
            Entry::Site(site) => register::put_site(db, act, site, mode)?.1,
            Entry::Building(entry) => {
                register::put_building(db, act, &self.building_input(entry)?, mode)?.1
            }
            Entry::Room(entry) => register::put_room(db, act, &self.room_input(entry)?, mode)?.1,
            Entry::Pd(pd) => register::put_pd(db, act, pd, mode)?.1,
            Entry::Server(entry) => {
                register::put_server(db, act, &self.server_input(entry)?, mode)?.1
            }
            Entry::Service(entry) => {
                register::put_service(db, act, &self.service_input(entry)?, mode)?.1
            }
            Entry::Application(entry) => {
                register::put_application(db, act, &self.application_input(entry)?, mode)?.1
            }
            Entry::ContactPerson(entry) => {
                register::put_contact_person(db, act, &self.person_input(entry)?, mode)?.1
            }
            Entry::Dataset(entry) => {
                let input = self.dataset_input(entry)?;
                register::put_dataset(db, act, &input, self.classes, mode)?.1
            }
        };
        self.count(change);
        Ok(())
    }

    fn count(&mut self, change: Change) {
        register::count(&mut self.outcome, change);
    }

    /// What must be there, by its name; `path` is how it is called.
    fn named<T>(
        &self,
        found: Option<T>,
        field: &'static str,
        (table, what): (RegisterTable, &'static str),
        path: &[&str],
    ) -> Result<T, Refusal> {
        found.ok_or_else(|| {
            if self.refused.contains(&key(table, path)) {
                return Refusal::Parent;
            }
            let name = path.last().copied().unwrap_or_default();
            let detail = format!("{what} {name:?} is not in the register: enter it first");
            Refusal::Field(Some(field), detail)
        })
    }

    fn site(&self, name: &str) -> Result<SiteId, Refusal> {
        let found = rows::site_by_name(self.db, name)?.map(|site| site.id);
        self.named(found, "site", (RegisterTable::Sites, "site"), &[name])
    }

    fn building(&self, site: &str, name: &str) -> Result<BuildingId, Refusal> {
        let found = places::building_by_name(self.db, &self.site(site)?, name)?;
        let table = (RegisterTable::Buildings, "building");
        self.named(found.map(|one| one.id), "building", table, &[site, name])
    }

    fn room(&self, site: &str, building: &str, name: &str) -> Result<RoomId, Refusal> {
        let found = places::room_by_name(self.db, &self.building(site, building)?, name)?;
        let table = (RegisterTable::Rooms, "room");
        self.named(found.map(|one| one.id), "room", table, &[site, building, name])
    }

    fn pd(&self, code: &str) -> Result<PdId, Refusal> {
        let found = rows::pd_by_code(self.db, code)?.map(|pd| pd.id);
        self.named(found, "pd", (RegisterTable::Pd, "PD"), &[code])
    }

    /// A server of the PD, or as `CODE/name` one of another.
    fn server(
        &self,
        field: &'static str,
        (code, pd): (&str, &PdId),
        text: &str,
    ) -> Result<ServerId, Refusal> {
        let elsewhere = match text.split_once('/') {
            Some((code, name)) => rows::pd_by_code(self.db, code)?.map(|pd| (code, pd.id, name)),
            None => None,
        };
        let (code, pd, name) = elsewhere.unwrap_or((code, *pd, text));
        let found = rows::server_by_name(self.db, &pd, name)?.map(|server| server.id);
        self.named(found, field, (RegisterTable::Servers, "server"), &[code, name])
    }

    fn building_input(&self, entry: &BuildingEntry) -> Result<BuildingInput, Refusal> {
        Ok(BuildingInput {
            id: entry.id,
            site: self.site(&entry.site)?,
            name: entry.name.clone(),
            address: entry.address.clone(),
            jurisdiction: entry.jurisdiction.clone(),
            hazard_assessment: entry.hazard_assessment.clone(),
        })
    }

    fn room_input(&self, entry: &RoomEntry) -> Result<RoomInput, Refusal> {
        Ok(RoomInput {
            id: entry.id,
            building: self.building(&entry.site, &entry.building)?,
            name: entry.name.clone(),
            kind: entry.kind,
        })
    }

    fn server_input(&self, entry: &ServerEntry) -> Result<ServerInput, Refusal> {
        let given = |text: &String| !text.is_empty();
        let site = Some(&entry.site).filter(|text| given(text)).map(|name| self.site(name));
        let room = Some(&entry.room)
            .filter(|text| given(text))
            .map(|room| self.room(&entry.site, &entry.building, room));
        if room.is_none() && given(&entry.building) {
            let detail = "name the room too, or leave the building out";
            return Err(Refusal::Field(Some("building"), detail.to_owned()));
        }
        Ok(ServerInput {
            id: entry.id,
            pd: self.pd(&entry.pd)?,
            name: entry.name.clone(),
            kind: entry.kind,
            site: site.transpose()?,
            room: room.transpose()?,
        })
    }

    fn service_input(&self, entry: &ServiceEntry) -> Result<ServiceInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let standby = (!entry.standby.is_empty())
            .then(|| self.server("standby", (&entry.pd, &pd), &entry.standby));
        Ok(ServiceInput {
            id: entry.id,
            pd,
            name: entry.name.clone(),
            critical: entry.critical,
            sla_millipercent: entry.sla_millipercent,
            hours: entry.hours.clone(),
            rto_s: entry.rto_s,
            sla_document: entry.sla_document.clone(),
            standby: standby.transpose()?,
        })
    }

    fn service(
        &self,
        code: &str,
        pd: &PdId,
        name: &str,
    ) -> Result<Option<lumbung_model::ServiceId>, Refusal> {
        if name.is_empty() {
            return Ok(None);
        }
        let found = services::service_by_name(self.db, pd, name)?.map(|service| service.id);
        let table = (RegisterTable::Services, "service");
        self.named(found, "service", table, &[code, name]).map(Some)
    }

    fn application_input(&self, entry: &ApplicationEntry) -> Result<ApplicationInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let server = |name: &String| self.server("servers", (&entry.pd, &pd), name);
        Ok(ApplicationInput {
            id: entry.id,
            pd,
            name: entry.name.clone(),
            service: self.service(&entry.pd, &pd, &entry.service)?,
            technology: entry.technology.clone(),
            servers: entry.servers.iter().map(server).collect::<Result<_, _>>()?,
        })
    }

    fn person_input(&self, entry: &ContactPersonEntry) -> Result<ContactPersonInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        Ok(ContactPersonInput {
            id: entry.id,
            pd,
            service: self.service(&entry.pd, &pd, &entry.service)?,
            tier: entry.tier,
            name: entry.name.clone(),
            phone: entry.phone.clone(),
            email: entry.email.clone(),
            telegram: entry.telegram.clone(),
        })
    }

    fn dataset_input(&self, entry: &DatasetEntry) -> Result<DatasetInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let server = (!entry.server.is_empty()).then(|| {
            let found = rows::server_by_name(self.db, &pd, &entry.server)?.map(|server| server.id);
            let table = (RegisterTable::Servers, "server");
            self.named(found, "server", table, &[&entry.pd, &entry.server])
        });
        let application = (!entry.application.is_empty()).then(|| {
            let found = services::application_by_name(self.db, &pd, &entry.application)?;
            let table = (RegisterTable::Applications, "application");
            let path = [entry.pd.as_str(), &entry.application];
            self.named(found.map(|one| one.id), "application", table, &path)
        });
        Ok(DatasetInput {
            id: entry.id,
            pd,
            server: server.transpose()?,
            name: entry.name.clone(),
            kind: entry.kind,
            application: application.transpose()?,
            owner: entry.owner.clone(),
            classification: entry.classification,
            distribution: entry.distribution.clone(),
            location: entry.location.clone(),
            urgency: entry.urgency,
            rpo_s: entry.rpo_s,
            schedule: entry.schedule.clone(),
            retention: entry.retention.clone(),
            period: entry.period.clone(),
            media: entry.media.clone(),
            repository: entry.repository,
            paths: entry.paths.clone(),
            exclude: entry.exclude.clone(),
        })
    }
}

/// An entry that stands twice in one file would silently take its last form.
fn twice(table: RegisterTable, entry: &Entry) -> (&'static str, String) {
    let (field, what) = match table {
        RegisterTable::Sites => ("name", "site"),
        RegisterTable::Buildings => ("name", "building"),
        RegisterTable::Rooms => ("name", "room"),
        RegisterTable::Pd => ("code", "PD"),
        RegisterTable::Servers => ("name", "server"),
        RegisterTable::Services => ("name", "service"),
        RegisterTable::Applications => ("name", "application"),
        RegisterTable::ContactPersons => ("name", "contact person"),
        RegisterTable::Datasets => ("name", "dataset"),
    };
    let path = entry.path();
    let name = path.last().copied().unwrap_or_default();
    (field, format!("{what} {name:?} stands twice in this file: merge the two entries"))
}
