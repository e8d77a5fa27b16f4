//! Entries into the register: names become ids, and each entry goes through the register's rules.
//!
//! Invariants: what something belongs to is entered before it, whatever the order of the file; an entry whose parent
//! was refused is left out without a fault of its own; whether rows fit where they are is asked once all are entered.

mod colocated;
mod roster;
mod services;

use std::collections::HashSet;

use lumbung_model::{ApplicationId, BuildingId, PdId, RoomId, ServerId, SiteId, Timestamp};
use lumbung_wire::messages::register::{
    BuildingInput, CheckInput, DatasetInput, ImportOutcome, RegisterTable, RoomInput, ServerInput,
};
use rusqlite::Connection;

use super::entries::{BuildingEntry, CheckEntry, DatasetEntry, Entry, RoomEntry, ServerEntry};
use super::{Fault, Place, Placed};
use crate::act::Act;
use crate::db::{DbError, places, register as rows, services as service_rows};
use crate::profile::Profile;
use crate::register::{self, Change, Fits, Mode, RegisterError};

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
    profile: &'a Profile,
    outcome: ImportOutcome,
    faults: Vec<Fault>,
    refused: HashSet<Key>,
    changed: Vec<(Box<dyn Fits>, Place)>,
    /// Turns on call that were entered: one moment can be written in several ways.
    turns: HashSet<(u8, Timestamp, String)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        db: &'a Connection,
        act: &'a Act,
        profile: &'a Profile,
        faults: Vec<Fault>,
    ) -> Self {
        let outcome = ImportOutcome::default();
        Self {
            db,
            act,
            profile,
            outcome,
            faults,
            refused: HashSet::new(),
            changed: Vec::new(),
            turns: HashSet::new(),
        }
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
            let mut of_table: Vec<_> =
                entries.iter().filter(|one| one.entry.table() == *table).collect();
            // The feed that another names as its partner is there before it.
            of_table.sort_by_key(
                |one| matches!(&one.entry, Entry::Feed(feed) if !feed.partner.is_empty()),
            );
            for Placed { entry, place } in of_table {
                let key = key(*table, &entry.path());
                let refusal = if seen.insert(key.clone()) {
                    self.enter(entry, place).err()
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
        self.fit_all()
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

    fn enter(&mut self, entry: &Entry, place: &Place) -> Result<(), Refusal> {
        let (db, act, mode) = (self.db, self.act, Mode::Upsert);
        match entry {
            Entry::Site(site) => self.entered(register::put_site(db, act, site, mode)?, place),
            Entry::Building(entry) => {
                let input = self.building_input(entry)?;
                self.entered(register::put_building(db, act, &input, mode)?, place);
            }
            Entry::Room(entry) => {
                let input = self.room_input(entry)?;
                self.entered(register::put_room(db, act, &input, mode)?, place);
            }
            Entry::Pd(pd) => self.entered(register::put_pd(db, act, pd, mode)?, place),
            Entry::Server(entry) => {
                let input = self.server_input(entry)?;
                self.entered(register::put_server(db, act, &input, mode)?, place);
            }
            Entry::Service(entry) => {
                let input = self.service_input(entry)?;
                self.entered(register::put_service(db, act, &input, mode)?, place);
            }
            Entry::Application(entry) => {
                let input = self.application_input(entry)?;
                self.entered(register::put_application(db, act, &input, mode)?, place);
            }
            Entry::ContactPerson(entry) => {
                let input = self.person_input(entry)?;
                self.entered(register::put_contact_person(db, act, &input, mode)?, place);
            }
            Entry::Check(entry) => {
                let input = self.check_input(entry)?;
                self.entered(register::put_check(db, act, &input, mode)?, place);
            }
            Entry::Dataset(entry) => {
                let input = self.dataset_input(entry)?;
                let put = register::put_dataset(db, act, &input, &self.profile.urgency, mode)?;
                self.entered(put, place);
            }
            Entry::OnCall(entry) => self.enter_turn(entry)?,
            other => self.enter_colocated(other, place)?,
        }
        Ok(())
    }

    /// Counts what came of an entry, and remembers to ask whether it fits.
    fn entered<T: Fits + 'static>(&mut self, (row, change): (T, Change), place: &Place) {
        register::count(&mut self.outcome, change);
        if change != Change::Unchanged {
            self.changed.push((Box::new(row), place.clone()));
        }
    }

    /// Asks of each row that was changed whether it fits where it is. While others are refused, what stands in its way may be
    /// what they would have moved: then nobody is asked.
    fn fit_all(&mut self) -> Result<(), DbError> {
        if !self.faults.is_empty() {
            return Ok(());
        }
        let today = self.profile.today(self.act.now);
        for (row, place) in std::mem::take(&mut self.changed) {
            match row.fits(self.db, today) {
                Ok(()) => {}
                Err(RegisterError::Db(error)) => return Err(error),
                Err(error) => self.faults.push(place.fault(error.field(), error.to_string())),
            }
        }
        Ok(())
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

    /// A server of the PD itself.
    fn own_server(&self, (code, pd): (&str, &PdId), name: &str) -> Result<ServerId, Refusal> {
        let found = rows::server_by_name(self.db, pd, name)?.map(|server| server.id);
        self.named(found, "server", (RegisterTable::Servers, "server"), &[code, name])
    }

    fn own_application(
        &self,
        (code, pd): (&str, &PdId),
        name: &str,
    ) -> Result<ApplicationId, Refusal> {
        let found = service_rows::application_by_name(self.db, pd, name)?.map(|one| one.id);
        let table = (RegisterTable::Applications, "application");
        self.named(found, "application", table, &[code, name])
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
            pool: self.pool_of(entry)?,
            vcpus: entry.vcpus,
            memory_bytes: entry.memory_bytes,
            disk_bytes: entry.disk_bytes,
        })
    }

    fn check_input(&self, entry: &CheckEntry) -> Result<CheckInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let own = (entry.pd.as_str(), &pd);
        Ok(CheckInput {
            id: entry.id,
            pd,
            name: entry.name.clone(),
            service: self.service(&entry.pd, &pd, &entry.service)?,
            server: given(&entry.server).map(|name| self.own_server(own, name)).transpose()?,
            target: entry.target.clone(),
            status: entry.status,
            contains: entry.contains.clone(),
            address: entry.address.clone(),
            any_certificate: entry.any_certificate,
            interval_s: entry.interval_s,
            timeout_s: entry.timeout_s,
            enabled: !entry.disabled,
        })
    }

    fn dataset_input(&self, entry: &DatasetEntry) -> Result<DatasetInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let own = (entry.pd.as_str(), &pd);
        let application =
            given(&entry.application).map(|name| self.own_application(own, name)).transpose()?;
        Ok(DatasetInput {
            id: entry.id,
            pd,
            server: given(&entry.server).map(|name| self.own_server(own, name)).transpose()?,
            name: entry.name.clone(),
            kind: entry.kind,
            application,
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

/// A name, if one is given.
fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
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
        RegisterTable::Checks => ("name", "check"),
        RegisterTable::Datasets => ("name", "dataset"),
        RegisterTable::Racks => ("name", "rack"),
        RegisterTable::Feeds => ("name", "feed"),
        RegisterTable::Pools => ("name", "pool"),
        RegisterTable::Devices => ("name", "device"),
        RegisterTable::Reservations => ("name", "reservation"),
        RegisterTable::Handovers => ("name", "handover"),
        RegisterTable::OnCall => ("from", "turn of"),
        RegisterTable::Care => ("name", "care"),
    };
    let path = entry.path();
    let name = path.last().copied().unwrap_or_default();
    (field, format!("{what} {name:?} stands twice in this file: merge the two entries"))
}
