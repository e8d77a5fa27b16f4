//! Checks of services and servers.

use lumbung_model::CheckId;
use lumbung_wire::messages::register::{Check, CheckInput, Target};
use rusqlite::Connection;

use super::pds::{service_of, stays};
use super::text::line;
use super::{Change, Mode, RegisterError, by_id, enter, known, live, settle};
use crate::act::Act;
use crate::db::{checks as rows, register};

/// Checks that a city may have: one a server and a few a service.
const CHECKS_MAX: u64 = 5000;
/// Longest text that an HTTP answer has to contain, characters.
const TEXT_MAX_CHARS: usize = 200;

/// Enters a check.
///
/// # Errors
/// If a rule forbids it.
pub fn put_check(
    db: &Connection,
    act: &Act,
    input: &CheckInput,
    mode: Mode,
) -> Result<(Check, Change), RegisterError> {
    line("name", &input.name)?;
    of_its_kind(input)?;
    in_bounds(input)?;
    known("PD", &input.pd, |id| register::pd(db, id))?;
    belongs(db, input)?;
    let same_id = by_id(input.id, |id| rows::check(db, id))?;
    let by_name = rows::check_by_name(db, &input.pd, &input.name)?;
    let found = settle(("check", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    let check = Check {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(CheckId::random),
        pd: stays(found.as_ref().map(|one| (one.pd, one.id)), input.pd)?,
        name: input.name.clone(),
        service: input.service,
        server: input.server,
        target: input.target.clone(),
        status: input.status,
        contains: input.contains.clone(),
        address: input.address.clone(),
        any_certificate: input.any_certificate,
        interval_s: input.interval_s,
        timeout_s: input.timeout_s,
        enabled: input.enabled,
    };
    can_be_probed(&check)?;
    if let Some(before) = found.as_ref() {
        // What was seen of one thing is not another's.
        if (before.service, before.server) != (check.service, check.server) {
            return Err(RegisterError::OtherSubject(check.name));
        }
    } else if rows::live_count(db)? >= CHECKS_MAX {
        let reason = "so many checks are looked at already: disable some, or enter fewer";
        return Err(RegisterError::Number { field: "name", found: CHECKS_MAX, reason });
    }
    if found.as_ref() != Some(&check) {
        for parent in [
            Some(*check.pd.as_bytes()),
            check.service.map(|id| *id.as_bytes()),
            check.server.map(|id| *id.as_bytes()),
        ] {
            parent.map(|id| live(db, &id)).transpose()?;
        }
    }
    enter(found.as_ref(), check, |row| rows::put_check(db, act, row))
}

/// What is asked of an answer goes with the target.
fn of_its_kind(input: &CheckInput) -> Result<(), RegisterError> {
    let http = matches!(input.target, Target::Http(_));
    let dns = matches!(input.target, Target::Dns { .. });
    let wrong = |field, found: &str, reason| {
        Err(RegisterError::Text { field, found: found.chars().take(64).collect(), reason })
    };
    if !http && !input.contains.is_empty() {
        return wrong(
            "contains",
            &input.contains,
            "only an HTTP answer has a text: leave it empty",
        );
    }
    if let Some(status) = input.status.filter(|_| !http) {
        let reason = "only an HTTP answer has a status: leave it out";
        return Err(RegisterError::Number { field: "status", found: status.into(), reason });
    }
    if !http && input.any_certificate {
        return wrong(
            "any_certificate",
            "true",
            "only an HTTPS answer has a certificate: leave it out",
        );
    }
    if !dns && !input.address.is_empty() {
        return wrong(
            "address",
            &input.address,
            "only a DNS answer has an address: leave it empty",
        );
    }
    let is_address = input.address.is_empty() || input.address.parse::<std::net::IpAddr>().is_ok();
    if !is_address {
        return wrong("address", &input.address, "write an IPv4 or IPv6 address, as in 10.1.2.3");
    }
    Ok(())
}

fn in_bounds(input: &CheckInput) -> Result<(), RegisterError> {
    let number = |field, found: u32, reason| {
        Err(RegisterError::Number { field, found: found.into(), reason })
    };
    if !(10..=3600).contains(&input.interval_s) {
        return number("interval_s", input.interval_s, "write seconds, from 10 to 3600");
    }
    if !(1..=60).contains(&input.timeout_s) || input.timeout_s >= input.interval_s {
        let reason = "write seconds, from 1 to 60 and less than interval_s";
        return number("timeout_s", input.timeout_s, reason);
    }
    if let Some(status) = input.status.filter(|status| !(100..=599).contains(status)) {
        return number("status", status.into(), "an HTTP status is 100 to 599");
    }
    let printable = !input.contains.chars().any(char::is_control);
    if input.contains.chars().count() > TEXT_MAX_CHARS || !printable {
        let (found, reason) =
            (input.contains.chars().take(64).collect(), "up to 200 characters on one line");
        return Err(RegisterError::Text { field: "contains", found, reason });
    }
    Ok(())
}

/// What no place could probe is refused here and not found out there.
fn can_be_probed(check: &Check) -> Result<(), RegisterError> {
    lumbung_probe::check(&check.probe()).map_err(|error| RegisterError::Probe {
        found: check.target.to_string(),
        reason: lumbung_model::with_causes(&error),
    })
}

/// The service or the server that it is of is the PD's own.
fn belongs(db: &Connection, input: &CheckInput) -> Result<(), RegisterError> {
    match (&input.service, &input.server) {
        (Some(service), None) => service_of(db, &input.pd, service).map(drop),
        (None, Some(id)) => {
            let server = known("server", id, |id| register::server(db, id))?;
            if server.pd == input.pd {
                return Ok(());
            }
            Err(RegisterError::Foreign { field: "server", id: id.to_string() })
        }
        _ => {
            let reason = "a check is of one service or of one server: name either";
            Err(RegisterError::Text { field: "service", found: String::new(), reason })
        }
    }
}
