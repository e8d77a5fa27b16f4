//! The register's rows as entries, with names in place of ids.
//!
//! Invariant: the order is stable: parents before what belongs to them, each table by name and id, so that two exports
//! of the same register are the same text.

use std::collections::HashMap;

use lumbung_model::schedule::Tz;
use lumbung_model::{
    ApplicationId, BuildingId, FeedId, PdId, PoolId, RackId, RoomId, ServerId, ServiceId, SiteId,
    Timestamp,
};
use lumbung_wire::messages::register::{
    Application, Building, Check, ContactPerson, Dataset, Feed, Pd, PdInput, Rack, Room, Server,
    Service, Site, SiteInput,
};
use rusqlite::Connection;

use super::entries::{
    ApplicationEntry, BuildingEntry, CheckEntry, ContactPersonEntry, DatasetEntry, Entry,
    OnCallEntry, RoomEntry, ServerEntry, ServiceEntry,
};
use crate::db::{DbError, checks, colocation, on_call, places, pools, register as rows, services};

mod colocated;

/// All entries, of the city or of one PD. Of the roster what is not over: what is could be entered nowhere.
pub(super) fn entries(
    db: &Connection,
    pd: Option<PdId>,
    (now, zone): (Timestamp, Tz),
) -> Result<Vec<Entry>, DbError> {
    let names = Names::read(db)?;
    let own = pd.as_ref();
    let mut entries = Vec::new();
    if pd.is_none() {
        entries.extend(rows::sites(db)?.into_iter().map(site));
        entries.extend(places::buildings(db)?.iter().filter_map(|row| names.building(row)));
        entries.extend(places::rooms(db)?.iter().filter_map(|row| names.room(row)));
        entries.extend(colocated::of_city(db, &names)?);
    }
    let is_own = |row: &Pd| own.is_none_or(|own| *own == row.id);
    entries.extend(rows::pds(db)?.into_iter().filter(is_own).map(pd_entry));
    entries.extend(rows::servers(db, own)?.into_iter().map(|row| names.server(row, own.is_none())));
    entries.extend(services::services(db, own)?.into_iter().map(|row| names.service(row)));
    entries.extend(services::applications(db, own)?.into_iter().map(|row| names.application(row)));
    entries.extend(services::contact_persons(db, own)?.into_iter().map(|row| names.person(row)));
    entries.extend(checks::checks(db, own)?.into_iter().map(|row| names.check(row)));
    entries.extend(rows::datasets(db, own)?.into_iter().map(|row| names.dataset(row)));
    entries.extend(colocated::of_pds(db, &names, own)?);
    if pd.is_none() {
        let turns = on_call::list(db, now, false)?;
        entries.extend(turns.into_iter().map(|turn| Entry::OnCall(OnCallEntry::of(turn, zone))));
    }
    Ok(entries)
}

fn site(row: Site) -> Entry {
    Entry::Site(SiteInput {
        id: Some(row.id),
        name: row.name,
        kind: row.kind,
        latitude: row.latitude,
        longitude: row.longitude,
        address: row.address,
        url: row.url,
        receipt_key: row.receipt_key,
        tls_pin: row.tls_pin,
        link: row.link,
        rate: row.rate,
        windows: row.windows,
    })
}

fn pd_entry(row: Pd) -> Entry {
    Entry::Pd(PdInput {
        id: Some(row.id),
        code: row.code,
        name: row.name,
        kind: row.kind,
        contact: row.contact,
        mandiri_tik: row.mandiri_tik,
        runs_pusat_data: row.runs_pusat_data,
        link: row.link,
        rate: row.rate,
        windows: row.windows,
    })
}

/// What ids are called.
struct Names {
    sites: HashMap<SiteId, String>,
    buildings: HashMap<BuildingId, Building>,
    rooms: HashMap<RoomId, Room>,
    pds: HashMap<PdId, String>,
    servers: HashMap<ServerId, (PdId, String)>,
    services: HashMap<ServiceId, String>,
    applications: HashMap<ApplicationId, String>,
    racks: HashMap<RackId, Rack>,
    feeds: HashMap<FeedId, Feed>,
    pools: HashMap<PoolId, String>,
}

impl Names {
    fn read(db: &Connection) -> Result<Self, DbError> {
        Ok(Self {
            sites: rows::sites(db)?.into_iter().map(|row| (row.id, row.name)).collect(),
            buildings: places::buildings(db)?.into_iter().map(|row| (row.id, row)).collect(),
            rooms: places::rooms(db)?.into_iter().map(|row| (row.id, row)).collect(),
            pds: rows::pds(db)?.into_iter().map(|row| (row.id, row.code)).collect(),
            servers: rows::servers_ever(db, None)?
                .into_iter()
                .map(|row| (row.id, (row.pd, row.name)))
                .collect(),
            services: services::services(db, None)?
                .into_iter()
                .map(|row| (row.id, row.name))
                .collect(),
            applications: services::applications(db, None)?
                .into_iter()
                .map(|row| (row.id, row.name))
                .collect(),
            racks: colocation::racks(db)?.into_iter().map(|row| (row.id, row)).collect(),
            feeds: colocation::feeds(db)?.into_iter().map(|row| (row.id, row)).collect(),
            pools: pools::pools(db)?.into_iter().map(|row| (row.id, row.name)).collect(),
        })
    }

    fn of<I: std::hash::Hash + Eq>(names: &HashMap<I, String>, id: Option<I>) -> String {
        id.and_then(|id| names.get(&id).cloned()).unwrap_or_default()
    }

    fn code(&self, pd: PdId) -> String {
        Self::of(&self.pds, Some(pd))
    }

    /// A server as the PD names it: its own by name, another PD's with the code before it.
    fn server_name(&self, pd: PdId, id: ServerId) -> Option<String> {
        let (owner, name) = self.servers.get(&id)?;
        let plain = *owner == pd && !name.contains('/');
        Some(if plain { name.clone() } else { format!("{}/{name}", self.code(*owner)) })
    }

    /// None if its site was taken out of the register.
    fn building(&self, row: &Building) -> Option<Entry> {
        Some(Entry::Building(BuildingEntry {
            id: Some(row.id),
            site: self.sites.get(&row.site)?.clone(),
            name: row.name.clone(),
            address: row.address.clone(),
            jurisdiction: row.jurisdiction.clone(),
            hazard_assessment: row.hazard_assessment.clone(),
        }))
    }

    fn room(&self, row: &Room) -> Option<Entry> {
        let building = self.buildings.get(&row.building)?;
        Some(Entry::Room(RoomEntry {
            id: Some(row.id),
            site: self.sites.get(&building.site)?.clone(),
            building: building.name.clone(),
            name: row.name.clone(),
            kind: row.kind,
        }))
    }

    fn server(&self, row: Server, with_place: bool) -> Entry {
        let (mut building, mut room) = (String::new(), String::new());
        let place = row.room.and_then(|id| self.rooms.get(&id));
        let around = place.and_then(|place| self.buildings.get(&place.building));
        let site = Self::of(&self.sites, row.site.filter(|_| with_place));
        if let (Some(place), Some(around), false) = (place, around, site.is_empty()) {
            (building, room) = (around.name.clone(), place.name.clone());
        }
        // A pool is one of its site's.
        let pool = row.pool.filter(|_| !site.is_empty());
        Entry::Server(ServerEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            name: row.name,
            kind: row.kind,
            site,
            building,
            room,
            pool: Self::of(&self.pools, pool),
            vcpus: row.vcpus.filter(|_| pool.is_some()),
            memory_bytes: row.memory_bytes.filter(|_| pool.is_some()),
            disk_bytes: row.disk_bytes.filter(|_| pool.is_some()),
        })
    }

    fn service(&self, row: Service) -> Entry {
        Entry::Service(ServiceEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            standby: row.standby.and_then(|id| self.server_name(row.pd, id)).unwrap_or_default(),
            name: row.name,
            critical: row.critical,
            sla_millipercent: row.sla_millipercent,
            hours: row.hours,
            rto_s: row.rto_s,
            sla_document: row.sla_document,
        })
    }

    fn application(&self, row: Application) -> Entry {
        let servers = row.servers.iter().filter_map(|id| self.server_name(row.pd, *id)).collect();
        Entry::Application(ApplicationEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            name: row.name,
            service: Self::of(&self.services, row.service),
            technology: row.technology,
            servers,
        })
    }

    fn person(&self, row: ContactPerson) -> Entry {
        Entry::ContactPerson(ContactPersonEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            service: Self::of(&self.services, row.service),
            tier: row.tier,
            name: row.name,
            phone: row.phone,
            email: row.email,
            telegram: row.telegram,
        })
    }

    fn check(&self, row: Check) -> Entry {
        let server = row.server.and_then(|id| self.servers.get(&id));
        Entry::Check(Box::new(CheckEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            service: Self::of(&self.services, row.service),
            server: server.map(|(_, name)| name.clone()).unwrap_or_default(),
            name: row.name,
            target: row.target,
            status: row.status,
            contains: row.contains,
            address: row.address,
            any_certificate: row.any_certificate,
            interval_s: row.interval_s,
            timeout_s: row.timeout_s,
            disabled: !row.enabled,
        }))
    }

    fn dataset(&self, row: Dataset) -> Entry {
        let server = row.server.and_then(|id| self.servers.get(&id));
        Entry::Dataset(Box::new(DatasetEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            server: server.map(|(_, name)| name.clone()).unwrap_or_default(),
            name: row.name,
            kind: row.kind,
            application: Self::of(&self.applications, row.application),
            owner: row.owner,
            classification: row.classification,
            distribution: row.distribution,
            location: row.location,
            urgency: row.urgency,
            rpo_s: row.own_rpo.then_some(row.rpo_s),
            schedule: row.schedule,
            retention: row.retention,
            period: row.period,
            media: row.media,
            repository: row.repository,
            paths: row.paths,
            exclude: row.exclude,
        }))
    }
}
