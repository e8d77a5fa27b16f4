//! The morning's overview: sites and how far they are apart, agents, totals, what the register does not know.

use lumbung_model::geo::Coordinates;
use lumbung_model::{AgentId, Timestamp};
use lumbung_wire::messages::overview::{
    AgentCounts, AgentStatus, Overview, SiteDistance, SiteStatus, UnregisteredDataset,
    UnregisteredRepository,
};
use lumbung_wire::messages::register::{HeartbeatState, Site};
use rusqlite::Connection;

use crate::db::{DbError, agents, alarms, polls, register as rows};
use crate::deadlines;
use crate::liveness::clock_warning_s;
use crate::profile::{Look, Profile};
use crate::report::{self, Terms};

/// Alarms that are counted at most.
const ALARMS_MAX: u32 = 10_000;

/// The overview.
///
/// # Errors
/// If the database fails.
pub fn overview(db: &Connection, terms: &Terms, profile: &Profile) -> Result<Overview, DbError> {
    let (totals, never) = report::totals(db, terms)?;
    let owed = deadlines::overdue(db, None, terms.now)?;
    let sites = rows::sites(db)?;
    let pds = rows::pds(db)?;
    Ok(Overview {
        at: terms.now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        distances: distances(&sites, profile),
        sites: sites.iter().map(|site| site_status(db, site)).collect::<Result<_, _>>()?,
        agents: counts(db, terms)?,
        pds: pds.len() as u64,
        belum_mencadangkan: never,
        registered: report::step_totals(totals.registered),
        backed_up: report::step_totals(totals.backed_up),
        at_drc: report::step_totals(totals.at_drc),
        verified: report::step_totals(totals.verified),
        proven: report::step_totals(totals.proven),
        alarms: alarms::list(db, None, &alarms::Wanted::default(), ALARMS_MAX)?.len() as u64,
        deposits_overdue: owed.iter().map(|one| one.overdue).sum(),
        deposits_due_soon: owed.iter().map(|one| one.due_soon).sum(),
        unregistered_datasets: agents::unregistered(db)?.into_iter().map(unregistered).collect(),
        unregistered_repositories: polls::unregistered(db)?
            .into_iter()
            .map(|(repository, site)| UnregisteredRepository { repository, site })
            .collect(),
    })
}

fn unregistered(row: agents::UnregisteredDataset) -> UnregisteredDataset {
    UnregisteredDataset {
        dataset: row.dataset,
        repository: row.repository,
        agent: row.agent,
        name: row.name,
        first: row.first,
        last: row.last,
    }
}

fn site_status(db: &Connection, site: &Site) -> Result<SiteStatus, DbError> {
    let poll = polls::poll(db, &site.id)?.unwrap_or_default();
    let enrolled = site.receipt_key.is_some() && site.url.is_some() && site.tls_pin.is_some();
    let polled = (poll.tried != Timestamp::default()).then_some(poll.tried);
    Ok(SiteStatus {
        site: site.id,
        name: site.name.clone(),
        kind: site.kind,
        enrolled,
        polled,
        succeeded: poll.succeeded,
        error: poll.error,
        version: poll.version,
        clock_warning_s: poll
            .clock
            .and_then(|clock| clock_warning_s(clock, poll.reached.unwrap_or(poll.tried))),
    })
}

/// The distance of every pair of sites whose coordinates are known; what is asked for is the profile's, if it asks.
#[must_use]
pub fn distances(sites: &[Site], profile: &Profile) -> Vec<SiteDistance> {
    let place = |site: &Site| Coordinates::new(site.latitude?, site.longitude?).ok();
    let placed: Vec<_> = sites.iter().filter_map(|site| Some((site.id, place(site)?))).collect();
    let rule = profile.rules.iter().find(|rule| rule.look == Look::DrcDistance);
    let min_km = rule.and_then(|rule| rule.min_km).unwrap_or_default();
    let note = match rule.map(|rule| rule.instrument.as_str()) {
        None => "tidak diatur (not asked for)".to_owned(),
        Some("") => "usulan: belum ada dasar hukum (proposal, no legal instrument yet)".to_owned(),
        Some(instrument) => instrument.to_owned(),
    };
    let mut distances = Vec::new();
    for (index, (from, here)) in placed.iter().enumerate() {
        for (to, there) in &placed[index + 1..] {
            let km = (here.distance_km(*there) * 10.0).round() / 10.0;
            distances.push(SiteDistance {
                from: *from,
                to: *to,
                km,
                min_km,
                met: km >= min_km,
                note: note.clone(),
            });
        }
    }
    distances
}

fn counts(db: &Connection, terms: &Terms) -> Result<AgentCounts, DbError> {
    let mut counts = AgentCounts::default();
    for (_, seen) in agents::seen(db)? {
        match terms.patience.state(seen, terms.now) {
            HeartbeatState::Up => counts.up += 1,
            HeartbeatState::Late => counts.late += 1,
            HeartbeatState::Down => counts.down += 1,
            HeartbeatState::Never => counts.never += 1,
        }
    }
    Ok(counts)
}

/// How agents are, by id: those behind `after`.
///
/// # Errors
/// If the database fails.
pub fn agents(
    db: &Connection,
    terms: &Terms,
    after: Option<&AgentId>,
    limit: u32,
) -> Result<Vec<AgentStatus>, DbError> {
    let status = |heard: agents::AgentHeard| {
        let skew = heard.agent_clock.zip(heard.last_seen);
        AgentStatus {
            agent: heard.agent,
            server: heard.server,
            heartbeat: terms.patience.state(heard.last_seen, terms.now),
            last_seen: heard.last_seen,
            clock_warning_s: skew.and_then(|(theirs, ours)| clock_warning_s(theirs, ours)),
            version: heard.version,
            health: heard.health.and_then(|health| serde_json::from_str(&health).ok()),
            jobs: heard.jobs.and_then(|jobs| serde_json::from_str(&jobs).ok()).unwrap_or_default(),
        }
    };
    Ok(agents::heard(db, after, limit)?.into_iter().map(status).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::SiteId;
    use lumbung_wire::messages::register::SiteKind;

    fn site(n: u8, place: Option<(f64, f64)>) -> Site {
        Site {
            id: SiteId::from_bytes([n; 16]),
            name: format!("site {n}"),
            kind: SiteKind::Other,
            latitude: place.map(|(latitude, _)| latitude),
            longitude: place.map(|(_, longitude)| longitude),
            address: String::new(),
            url: None,
            receipt_key: None,
            tls_pin: None,
            link: String::new(),
            rate: String::new(),
            windows: Vec::new(),
        }
    }

    #[test]
    fn every_pair_with_coordinates_has_its_distance_and_the_note() {
        let sites =
            [site(1, Some((-6.1754, 106.8272))), site(2, None), site(3, Some((-6.4025, 106.7942)))];
        let mut profile = Profile::load("kota").unwrap();
        let found = distances(&sites, &profile);
        assert_eq!(found.len(), 1);
        assert!((found[0].km - 25.5).abs() < 0.01 && !found[0].met);
        assert!(found[0].note.starts_with("usulan"));
        let rule = profile.rules.iter_mut().find(|rule| rule.look == Look::DrcDistance).unwrap();
        (rule.min_km, rule.instrument) = (Some(20.0), "Kepwal 1/2026".to_owned());
        let found = distances(&sites, &profile);
        assert!(found[0].met && found[0].note == "Kepwal 1/2026");
    }
}
