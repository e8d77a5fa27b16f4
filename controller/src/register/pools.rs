//! Pools that virtual machines draw on, what a server has of one, and handovers of access.

use lumbung_model::{HandoverId, PdId, PoolId, SiteId};
use lumbung_wire::messages::register::{
    Handover, HandoverInput, Pool, PoolInput, ServerInput, ServerKind,
};
use rusqlite::Connection;

use super::colocation::{related, together};
use super::pds::stays;
use super::text::{free_text, line};
use super::{Change, Mode, RegisterError, by_id, enter_live, known, live, settle};
use crate::act::Act;
use crate::db::{pools as rows, register, services};

/// The largest memory or disk, bytes: a pebibyte. Sums of many stay below what the database counts to.
const BYTES_MAX: u64 = 1 << 50;
/// The most processors.
const PROCESSORS_MAX: u32 = 1_000_000;

/// Enters a pool.
///
/// # Errors
/// If a rule forbids it.
pub fn put_pool(
    db: &Connection,
    act: &Act,
    input: &PoolInput,
    mode: Mode,
) -> Result<(Pool, Change), RegisterError> {
    line("name", &input.name)?;
    if !(100..=2000).contains(&input.overcommit_percent) {
        let reason = "write percent, 100 (as many as there are) to 2000 (twenty for one)";
        let (field, found) = ("overcommit_percent", input.overcommit_percent.into());
        return Err(RegisterError::Number { field, found, reason });
    }
    sizes(Some(input.vcpus), Some(input.memory_bytes), Some(input.disk_bytes))?;
    known("site", &input.site, |id| register::site(db, id))?;
    let same_id = by_id(input.id, |id| rows::pool(db, id))?;
    let by_name = rows::pool_by_name(db, &input.site, &input.name)?;
    let found = settle(("pool", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    if let Some(before) = found.as_ref().filter(|before| before.site != input.site) {
        nobody_draws_on(db, before)?;
    }
    let pool = Pool {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(PoolId::random),
        site: input.site,
        name: input.name.clone(),
        vcpus: input.vcpus,
        overcommit_percent: input.overcommit_percent,
        memory_bytes: input.memory_bytes,
        disk_bytes: input.disk_bytes,
    };
    enter_live(db, found.as_ref(), pool, |row| rows::put_pool(db, act, row))
}

/// Fails if servers draw on a pool that is to be at another site: they are where their pool is.
fn nobody_draws_on(db: &Connection, pool: &Pool) -> Result<(), RegisterError> {
    let servers = register::servers(db, None)?;
    let Some(server) = servers.iter().find(|server| server.pool == Some(pool.id)) else {
        return Ok(());
    };
    let (what, field, name) = ("pool", "site", pool.name.clone());
    Err(RegisterError::Inside { what, field, name, inside: format!("server {:?}", server.name) })
}

fn sizes(
    vcpus: Option<u32>,
    memory_bytes: Option<u64>,
    disk_bytes: Option<u64>,
) -> Result<(), RegisterError> {
    if let Some(found) = vcpus.filter(|vcpus| !(1..=PROCESSORS_MAX).contains(vcpus)) {
        let (field, reason) = ("vcpus", "write a number, 1 to 1000000");
        return Err(RegisterError::Number { field, found: found.into(), reason });
    }
    for (field, bytes) in [("memory_bytes", memory_bytes), ("disk_bytes", disk_bytes)] {
        if let Some(found) = bytes.filter(|bytes| !(1..=BYTES_MAX).contains(bytes)) {
            let reason = "write bytes, 1 to 1125899906842624, as in 8589934592 for 8 GiB";
            return Err(RegisterError::Number { field, found, reason });
        }
    }
    Ok(())
}

/// The site of the pool that a server draws on.
pub(super) fn site_of(
    db: &Connection,
    input: &ServerInput,
) -> Result<Option<SiteId>, RegisterError> {
    let pool = input.pool.map(|id| known("pool", &id, |id| rows::pool(db, id))).transpose()?;
    Ok(pool.map(|pool| pool.site))
}

/// What a server has of a pool: all of it is said, of a virtual machine, at the pool's site.
pub(super) fn drawn(db: &Connection, input: &ServerInput) -> Result<(), RegisterError> {
    let asked = (input.vcpus.is_some(), input.memory_bytes.is_some(), input.disk_bytes.is_some());
    let Some(pool) = &input.pool else {
        let reason = "vcpus, memory_bytes and disk_bytes are of a pool: name it, or leave them out";
        return together("pool", asked == (false, false, false), reason);
    };
    let reason = "say how much of the pool: vcpus, memory_bytes and disk_bytes";
    together("pool", asked == (true, true, true), reason)?;
    related(
        "pool",
        input.kind == ServerKind::Vps,
        "only a server of the kind vps draws on a pool",
    )?;
    sizes(input.vcpus, input.memory_bytes, input.disk_bytes)?;
    let pool = known("pool", pool, |id| rows::pool(db, id))?;
    let here = input.site.is_none_or(|site| site == pool.site);
    related("pool", here, "name a pool of the server's own site")
}

/// Enters a handover of access.
///
/// # Errors
/// If a rule forbids it.
pub fn put_handover(
    db: &Connection,
    act: &Act,
    input: &HandoverInput,
    mode: Mode,
) -> Result<(Handover, Change), RegisterError> {
    line("name", &input.name)?;
    line("from_person", &input.from_person)?;
    line("to_person", &input.to_person)?;
    free_text("letter", &input.letter)?;
    free_text("secret_kept_at", &input.secret_kept_at)?;
    let in_order = input.returned_on.is_none_or(|day| day >= input.handed_on);
    together("returned_on", in_order, "nothing is returned before it is handed over")?;
    known("PD", &input.pd, |id| register::pd(db, id))?;
    let subject = subject(db, input)?;
    let same_id = by_id(input.id, |id| rows::handover(db, id))?;
    let by_name = rows::handover_by_name(db, &input.pd, &input.name)?;
    let name = ("handover", input.name.as_str());
    let found = settle(name, mode, input.id, same_id, by_name, |one| one.id)?;
    if found.is_none() {
        // That access to what is gone was given back can still be said; that it is handed over, not.
        live(db, &subject)?;
    }
    let row = Handover {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(HandoverId::random),
        pd: stays(found.as_ref().map(|one| (one.pd, one.id)), input.pd)?,
        name: input.name.clone(),
        server: input.server,
        application: input.application,
        dataset: input.dataset,
        from_person: input.from_person.clone(),
        to_person: input.to_person.clone(),
        handed_on: input.handed_on,
        letter: input.letter.clone(),
        secret_kept_at: input.secret_kept_at.clone(),
        returned_on: input.returned_on,
    };
    enter_live(db, found.as_ref(), row, |row| rows::put_handover(db, act, row))
}

/// The id of what access is handed over to: one server, application or dataset of the PD.
fn subject(db: &Connection, input: &HandoverInput) -> Result<[u8; 16], RegisterError> {
    let own = |field, pd: PdId, bytes: &[u8; 16]| {
        related(field, pd == input.pd, "name one of the PD's own").map(|()| *bytes)
    };
    match (&input.server, &input.application, &input.dataset) {
        (Some(id), None, None) => {
            let server = known("server", id, |id| register::server(db, id))?;
            own("server", server.pd, id.as_bytes())
        }
        (None, Some(id), None) => {
            let application = known("application", id, |id| services::application(db, id))?;
            own("application", application.pd, id.as_bytes())
        }
        (None, None, Some(id)) => {
            let dataset = known("dataset", id, |id| register::dataset(db, id))?;
            own("dataset", dataset.pd, id.as_bytes())
        }
        _ => {
            let reason = "access is to one thing: a server, an application or a dataset";
            Err(RegisterError::Together { field: "server", reason })
        }
    }
}
