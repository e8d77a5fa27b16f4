//! PD, and what they do: contact persons, services, applications.

use lumbung_model::{ApplicationId, ContactPersonId, PdId, ServerId, ServiceId};
use lumbung_wire::messages::register::{
    Application, ApplicationInput, ContactPerson, ContactPersonInput, Pd, PdInput, Service,
    ServiceInput,
};
use rusqlite::Connection;

use super::text::{bandwidth, code, email, free_text, line, phone, telegram};
use super::{Change, Mode, RegisterError, by_id, enter_live, known, settle};
use crate::act::Act;
use crate::db::{register as rows, services};

/// Longest recovery time that a service may be given, seconds: a year.
const RTO_MAX_S: u64 = 366 * 86_400;
/// Servers of one application.
const SERVERS_MAX: usize = 256;

/// Enters a PD.
///
/// # Errors
/// If a rule forbids it.
pub fn put_pd(
    db: &Connection,
    act: &Act,
    input: &PdInput,
    mode: Mode,
) -> Result<(Pd, Change), RegisterError> {
    code(&input.code)?;
    line("name", &input.name)?;
    free_text("contact", &input.contact)?;
    bandwidth(&input.link, &input.rate, &input.windows)?;
    let same_id = by_id(input.id, |id| rows::pd(db, id))?;
    let by_code = rows::pd_by_code(db, &input.code)?;
    let found = settle(("PD", &input.code), mode, input.id, same_id, by_code, |pd| pd.id)?;
    let pd = Pd {
        id: found.as_ref().map(|pd| pd.id).or(input.id).unwrap_or_else(PdId::random),
        code: input.code.clone(),
        name: input.name.clone(),
        kind: input.kind,
        contact: input.contact.clone(),
        mandiri_tik: input.mandiri_tik,
        runs_pusat_data: input.runs_pusat_data,
        link: input.link.clone(),
        rate: input.rate.clone(),
        windows: input.windows.clone(),
    };
    enter_live(db, found.as_ref(), pd, |pd| rows::put_pd(db, act, pd))
}

/// The PD's own server, or one of the PD that runs the Pusat Data.
fn server_for(
    db: &Connection,
    pd: &PdId,
    field: &'static str,
    id: &ServerId,
) -> Result<(), RegisterError> {
    let server = known("server", id, |id| rows::server(db, id))?;
    let own = server.pd == *pd;
    if own || rows::pd(db, &server.pd)?.is_some_and(|owner| owner.runs_pusat_data) {
        return Ok(());
    }
    Err(RegisterError::Foreign { field, id: id.to_string() })
}

/// The PD's own service.
pub(super) fn service_of(
    db: &Connection,
    pd: &PdId,
    id: &ServiceId,
) -> Result<Service, RegisterError> {
    let service = known("service", id, |id| services::service(db, id))?;
    if service.pd == *pd {
        return Ok(service);
    }
    Err(RegisterError::Foreign { field: "service", id: id.to_string() })
}

/// Enters a service.
///
/// # Errors
/// If a rule forbids it.
pub fn put_service(
    db: &Connection,
    act: &Act,
    input: &ServiceInput,
    mode: Mode,
) -> Result<(Service, Change), RegisterError> {
    line("name", &input.name)?;
    free_text("hours", &input.hours)?;
    free_text("sla_document", &input.sla_document)?;
    if let Some(found) = input.sla_millipercent.filter(|sla| !(1..=100_000).contains(sla)) {
        let reason = "write thousandths of a percent, 1 to 100000, as in 99500 for 99.5 %";
        let found = found.into();
        return Err(RegisterError::Number { field: "sla_millipercent", found, reason });
    }
    if let Some(found) = input.rto_s.filter(|rto_s| !(1..=RTO_MAX_S).contains(rto_s)) {
        let reason = "write seconds, from 1 to 31622400 (a year)";
        return Err(RegisterError::Number { field: "rto_s", found, reason });
    }
    known("PD", &input.pd, |id| rows::pd(db, id))?;
    input.standby.as_ref().map(|id| server_for(db, &input.pd, "standby", id)).transpose()?;
    let same_id = by_id(input.id, |id| services::service(db, id))?;
    let by_name = services::service_by_name(db, &input.pd, &input.name)?;
    let found = settle(("service", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    let service = Service {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(ServiceId::random),
        pd: stays(found.as_ref().map(|one| (one.pd, one.id)), input.pd)?,
        name: input.name.clone(),
        critical: input.critical,
        sla_millipercent: input.sla_millipercent,
        hours: input.hours.clone(),
        rto_s: input.rto_s,
        sla_document: input.sla_document.clone(),
        standby: input.standby,
    };
    enter_live(db, found.as_ref(), service, |row| services::put_service(db, act, row))
}

/// What belongs to a PD stays there: what refers to it is that PD's.
pub(super) fn stays<I: ToString>(
    present: Option<(PdId, I)>,
    given: PdId,
) -> Result<PdId, RegisterError> {
    match present {
        Some((pd, id)) if pd != given => {
            Err(RegisterError::Foreign { field: "id", id: id.to_string() })
        }
        _ => Ok(given),
    }
}

/// Enters an application.
///
/// # Errors
/// If a rule forbids it.
pub fn put_application(
    db: &Connection,
    act: &Act,
    input: &ApplicationInput,
    mode: Mode,
) -> Result<(Application, Change), RegisterError> {
    line("name", &input.name)?;
    free_text("technology", &input.technology)?;
    known("PD", &input.pd, |id| rows::pd(db, id))?;
    input.service.as_ref().map(|id| service_of(db, &input.pd, id)).transpose()?;
    if input.servers.len() > SERVERS_MAX {
        let (found, reason) = (input.servers.len() as u64, "at most 256 servers");
        return Err(RegisterError::Number { field: "servers", found, reason });
    }
    for id in &input.servers {
        server_for(db, &input.pd, "servers", id)?;
    }
    let same_id = by_id(input.id, |id| services::application(db, id))?;
    let by_name = services::application_by_name(db, &input.pd, &input.name)?;
    let name = ("application", input.name.as_str());
    let found = settle(name, mode, input.id, same_id, by_name, |one| one.id)?;
    let application = Application {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(ApplicationId::random),
        pd: stays(found.as_ref().map(|one| (one.pd, one.id)), input.pd)?,
        name: input.name.clone(),
        service: input.service,
        technology: input.technology.clone(),
        servers: input.servers.clone(),
    };
    enter_live(db, found.as_ref(), application, |row| services::put_application(db, act, row))
}

/// Enters a contact person.
///
/// # Errors
/// If a rule forbids it.
pub fn put_contact_person(
    db: &Connection,
    act: &Act,
    input: &ContactPersonInput,
    mode: Mode,
) -> Result<(ContactPerson, Change), RegisterError> {
    line("name", &input.name)?;
    phone(&input.phone)?;
    email(&input.email)?;
    telegram(&input.telegram)?;
    if !(1..=3).contains(&input.tier) {
        let (found, reason) = (input.tier.into(), "1 is asked first, then 2, then 3");
        return Err(RegisterError::Number { field: "tier", found, reason });
    }
    known("PD", &input.pd, |id| rows::pd(db, id))?;
    input.service.as_ref().map(|id| service_of(db, &input.pd, id)).transpose()?;
    let same_id = by_id(input.id, |id| services::contact_person(db, id))?;
    let by_name =
        services::contact_person_by_name(db, &input.pd, input.service.as_ref(), &input.name)?;
    let name = ("contact person", input.name.as_str());
    let found = settle(name, mode, input.id, same_id, by_name, |one| one.id)?;
    let person = ContactPerson {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(ContactPersonId::random),
        pd: stays(found.as_ref().map(|one| (one.pd, one.id)), input.pd)?,
        service: input.service,
        tier: input.tier,
        name: input.name.clone(),
        phone: input.phone.clone(),
        email: input.email.clone(),
        telegram: input.telegram.clone(),
    };
    enter_live(db, found.as_ref(), person, |row| services::put_contact_person(db, act, row))
}
