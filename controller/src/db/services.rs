//! Rows of the register: services, applications, contact persons.

use lumbung_model::{ApplicationId, ContactPersonId, PdId, ServerId, ServiceId};
use lumbung_wire::messages::register::{Application, ContactPerson, Service};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::Deed;
use super::register::{EVERY_PD, LIVE, record};
use super::{DbError, id, json, maybe_id, signed, to_json};
use crate::act::Act;

const SERVICE: &str = "SELECT id, pd, name, critical, sla_millipercent, hours, rto_s, sla_document, standby FROM services";

fn service_row(row: &Row<'_>) -> rusqlite::Result<Service> {
    Ok(Service {
        id: ServiceId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        critical: row.get(3)?,
        sla_millipercent: row.get(4)?,
        hours: row.get(5)?,
        rto_s: row.get::<_, Option<i64>>(6)?.map(i64::unsigned_abs),
        sla_document: row.get(7)?,
        standby: maybe_id(row, 8)?.map(ServerId::from_bytes),
    })
}

/// The services that are not retired, of all PD or of one, by name.
pub fn services(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Service>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!("{SERVICE} WHERE {of_pd} AND {LIVE} ORDER BY name, id");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], service_row)?.collect::<Result<_, _>>()?)
}

/// All services, also those that are retired, of all PD or of one.
pub fn services_ever(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Service>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let mut statement = db.prepare_cached(&format!("{SERVICE} WHERE {of_pd}"))?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], service_row)?.collect::<Result<_, _>>()?)
}

/// The service of that id.
pub fn service(db: &Connection, service: &ServiceId) -> Result<Option<Service>, DbError> {
    let mut statement = db.prepare_cached(&format!("{SERVICE} WHERE id = ?"))?;
    Ok(statement.query_row([service.as_bytes()], service_row).optional()?)
}

/// The PD's service of that name.
pub fn service_by_name(db: &Connection, pd: &PdId, name: &str) -> Result<Option<Service>, DbError> {
    let mut statement = db.prepare_cached(&format!("{SERVICE} WHERE pd = ? AND name = ?"))?;
    Ok(statement.query_row(params![pd.as_bytes(), name], service_row).optional()?)
}

/// Writes a service.
pub fn put_service(db: &Connection, act: &Act, service: &Service) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO services (id, pd, name, critical, sla_millipercent, hours, rto_s, sla_document, standby)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET pd = ?2, name = ?3, critical = ?4, sla_millipercent = ?5, hours = ?6,
            rto_s = ?7, sla_document = ?8, standby = ?9",
    )?
    .execute(params![
        service.id.as_bytes(),
        service.pd.as_bytes(),
        service.name,
        service.critical,
        service.sla_millipercent,
        service.hours,
        service.rto_s.map(signed),
        service.sla_document,
        service.standby.map(|server| *server.as_bytes()),
    ])?;
    let deed =
        Deed { action: "service.put", kind: "service", id: &service.id, pd: Some(service.pd) };
    record(db, act, deed, service.id.as_bytes(), service)
}

const APPLICATION: &str = "SELECT id, pd, name, service, technology, servers FROM applications";

fn application_row(row: &Row<'_>) -> rusqlite::Result<Application> {
    Ok(Application {
        id: ApplicationId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        service: maybe_id(row, 3)?.map(ServiceId::from_bytes),
        technology: row.get(4)?,
        servers: json(row, 5)?,
    })
}

/// The applications that are not retired, of all PD or of one, by name.
pub fn applications(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Application>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!("{APPLICATION} WHERE {of_pd} AND {LIVE} ORDER BY name, id");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], application_row)?.collect::<Result<_, _>>()?)
}

/// All applications, also those that are retired, of all PD or of one.
pub fn applications_ever(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Application>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let mut statement = db.prepare_cached(&format!("{APPLICATION} WHERE {of_pd}"))?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], application_row)?.collect::<Result<_, _>>()?)
}

/// The application of that id.
pub fn application(
    db: &Connection,
    application: &ApplicationId,
) -> Result<Option<Application>, DbError> {
    let mut statement = db.prepare_cached(&format!("{APPLICATION} WHERE id = ?"))?;
    Ok(statement.query_row([application.as_bytes()], application_row).optional()?)
}

/// The PD's application of that name.
pub fn application_by_name(
    db: &Connection,
    pd: &PdId,
    name: &str,
) -> Result<Option<Application>, DbError> {
    let mut statement = db.prepare_cached(&format!("{APPLICATION} WHERE pd = ? AND name = ?"))?;
    Ok(statement.query_row(params![pd.as_bytes(), name], application_row).optional()?)
}

/// Writes an application.
pub fn put_application(
    db: &Connection,
    act: &Act,
    application: &Application,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO applications (id, pd, name, service, technology, servers)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET pd = ?2, name = ?3, service = ?4, technology = ?5, servers = ?6",
    )?
    .execute(params![
        application.id.as_bytes(),
        application.pd.as_bytes(),
        application.name,
        application.service.map(|service| *service.as_bytes()),
        application.technology,
        to_json(&application.servers)?,
    ])?;
    let deed = Deed {
        action: "application.put",
        kind: "application",
        id: &application.id,
        pd: Some(application.pd),
    };
    record(db, act, deed, application.id.as_bytes(), application)
}

const CONTACT_PERSON: &str =
    "SELECT id, pd, service, tier, name, phone, email, telegram FROM contact_persons";

fn contact_person_row(row: &Row<'_>) -> rusqlite::Result<ContactPerson> {
    Ok(ContactPerson {
        id: ContactPersonId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        service: maybe_id(row, 2)?.map(ServiceId::from_bytes),
        tier: row.get(3)?,
        name: row.get(4)?,
        phone: row.get(5)?,
        email: row.get(6)?,
        telegram: row.get(7)?,
    })
}

/// The contact persons that are not retired, of all PD or of one, by tier and name.
pub fn contact_persons(db: &Connection, pd: Option<&PdId>) -> Result<Vec<ContactPerson>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!("{CONTACT_PERSON} WHERE {of_pd} AND {LIVE} ORDER BY tier, name, id");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([pd.map(PdId::as_bytes)], contact_person_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The contact person of that id.
pub fn contact_person(
    db: &Connection,
    person: &ContactPersonId,
) -> Result<Option<ContactPerson>, DbError> {
    let mut statement = db.prepare_cached(&format!("{CONTACT_PERSON} WHERE id = ?"))?;
    Ok(statement.query_row([person.as_bytes()], contact_person_row).optional()?)
}

/// The PD's contact person of that name for that service, or for all.
pub fn contact_person_by_name(
    db: &Connection,
    pd: &PdId,
    service: Option<&ServiceId>,
    name: &str,
) -> Result<Option<ContactPerson>, DbError> {
    let sql = format!("{CONTACT_PERSON} WHERE pd = ? AND coalesce(service, x'') = ? AND name = ?");
    let service = service.map_or(&[][..], |service| service.as_bytes());
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_row(params![pd.as_bytes(), service, name], contact_person_row).optional()?)
}

/// Writes a contact person.
pub fn put_contact_person(
    db: &Connection,
    act: &Act,
    person: &ContactPerson,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO contact_persons (id, pd, service, tier, name, phone, email, telegram)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET pd = ?2, service = ?3, tier = ?4, name = ?5, phone = ?6, email = ?7, telegram = ?8",
    )?
    .execute(params![
        person.id.as_bytes(),
        person.pd.as_bytes(),
        person.service.map(|service| *service.as_bytes()),
        person.tier,
        person.name,
        person.phone,
        person.email,
        person.telegram,
    ])?;
    let deed = Deed {
        action: "contact_person.put",
        kind: "contact_person",
        id: &person.id,
        pd: Some(person.pd),
    };
    record(db, act, deed, person.id.as_bytes(), person)
}
