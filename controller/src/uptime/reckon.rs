//! From rows to what is said of every check and every subject over a stretch of time.
//!
//! Invariants: a function of the database and the stretch. Servers stand where they stood at the stretch's end, and are whose they
//! were then. A server is judged by its checks alone while it has any, else by its heartbeats.

use std::collections::{BTreeMap, HashMap};

use lumbung_model::schedule::{Schedule, Tz};
use lumbung_model::uptime::{
    Judged, Place, Recurrence, Target, Timeline, Window, check, cut_off, else_by, host, seen,
    subject,
};
use lumbung_model::{CheckId, PdId, ServerId, ServiceId, SiteId, Timestamp};
use lumbung_wire::messages::register::Check;
use lumbung_wire::messages::uptime::{Maintenance, MaintenanceScope, UpKind};
use rusqlite::Connection;

use crate::db::stands::{self, Stand};
use crate::db::{DbError, checks, incidents, sights, uptime as rows};

/// What figures depend on beside rows.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The city's zone.
    pub zone: Tz,
    /// Seconds between two heartbeats.
    pub heartbeat_s: u32,
}

/// What can be up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// What kind of thing it is.
    pub kind: UpKind,
    /// Its id.
    pub id: [u8; 16],
    /// Whose it is.
    pub pd: PdId,
}

impl Subject {
    /// The service that it is; none if it is a server.
    #[must_use]
    pub fn service(&self) -> Option<ServiceId> {
        (self.kind == UpKind::Service).then(|| ServiceId::from_bytes(self.id))
    }
}

/// What is said of a subject.
#[derive(Debug, Clone)]
pub struct SubjectLine {
    /// Of which.
    pub subject: Subject,
    /// With what people entered.
    pub line: Timeline<Judged>,
    /// As it was seen.
    pub seen: Timeline<Judged>,
}

/// What is said of a check.
#[derive(Debug, Clone)]
pub struct CheckLine {
    /// The check.
    pub check: Check,
    /// What is said of it.
    pub line: Timeline<Judged>,
    /// When a place saw it down while another saw it up.
    pub links: Vec<(SiteId, Timeline<()>)>,
}

/// What is said over a stretch of time.
#[derive(Debug, Clone, Default)]
pub struct Reckoned {
    /// Of each subject that had life in it.
    pub subjects: Vec<SubjectLine>,
    /// Of each check that some place was told to look at.
    pub checks: Vec<CheckLine>,
    /// When each place was itself cut off.
    pub cut_off: Vec<(SiteId, Timeline<()>)>,
}

type Stretch = (Timestamp, Timestamp);
/// A line of each place.
type ByPlace = Vec<(SiteId, Timeline<()>)>;

/// Reckons a stretch of time.
///
/// # Errors
/// If the database fails.
pub fn reckon(db: &Connection, rules: Rules, window: Stretch) -> Result<Reckoned, DbError> {
    let (lines, cut_off) = check_lines(db, window)?;
    let mut judged: BTreeMap<Subject, Vec<Timeline<Judged>>> = BTreeMap::new();
    for one in &lines {
        if let Some(subject) = subject_of(&one.check) {
            judged.entry(subject).or_default().push(one.line.clone());
        }
    }
    let stands = stands::stands(db, window.1)?;
    for (subject, line) in host_lines(db, rules, window, &stands)? {
        let checks = judged.entry(subject).or_default();
        *checks = vec![else_by(checks, line, window)];
    }
    let mut entered = entered_lines(db, window)?;
    for subject in entered.keys() {
        judged.entry(*subject).or_default();
    }
    let planned = Planned::read(db, rules.zone, window, stands)?;
    let subjects = judged.into_iter().map(|(key, lines)| {
        let maintenance = planned.of(&key);
        let entered = entered.remove(&key).unwrap_or_default();
        SubjectLine {
            subject: key,
            line: subject(&lines, &entered, &maintenance, window),
            seen: subject(&lines, &Timeline::default(), &maintenance, window),
        }
    });
    Ok(Reckoned { subjects: subjects.collect(), checks: lines, cut_off })
}

pub(super) fn subject_of(check: &Check) -> Option<Subject> {
    let of = |kind, id| Subject { kind, id, pd: check.pd };
    let service = check.service.map(|id| of(UpKind::Service, *id.as_bytes()));
    service.or(check.server.map(|id| of(UpKind::Server, *id.as_bytes())))
}

/// What is said of each check, and when each place was cut off.
fn check_lines(db: &Connection, window: Stretch) -> Result<(Vec<CheckLine>, ByPlace), DbError> {
    let told = checks::told(db, window)?;
    let mut runs = sights::runs(db, window)?;
    let mut places: HashMap<CheckId, Vec<(SiteId, Place)>> = HashMap::new();
    let mut by_site: BTreeMap<SiteId, Vec<Target>> = BTreeMap::new();
    for ((check, site), told) in told {
        let runs = runs.remove(&(check, site)).unwrap_or_default();
        let seen: Vec<Timeline<bool>> = runs.into_values().map(seen).collect();
        let targets = seen.iter().map(|line| (check, line.clone()));
        by_site.entry(site).or_default().extend(targets);
        places.entry(check).or_default().push((site, Place { told, seen, ..Place::default() }));
    }
    let (sites, targets): (Vec<_>, Vec<_>) = by_site.into_iter().unzip();
    let cut: Vec<_> = sites.into_iter().zip(cut_off(&targets, window)).collect();
    let cut_of: HashMap<_, _> = cut.iter().cloned().collect();
    let mut lines = Vec::with_capacity(places.len());
    for row in checks::checks_ever(db)? {
        let Some(mut places) = places.remove(&row.id) else { continue };
        places.sort_unstable_by_key(|(site, _)| *site);
        let (sites, places): (Vec<_>, Vec<_>) = places
            .into_iter()
            .map(|(site, place)| {
                let cut_off = cut_of.get(&site).cloned().unwrap_or_default();
                (site, Place { cut_off, ..place })
            })
            .unzip();
        let (line, links) = check(&places, window);
        lines.push(CheckLine { check: row, line, links: sites.into_iter().zip(links).collect() });
    }
    Ok((lines, cut))
}

/// What heartbeats say of servers.
fn host_lines(
    db: &Connection,
    rules: Rules,
    window: Stretch,
    stands: &HashMap<ServerId, Stand>,
) -> Result<Vec<(Subject, Timeline<Judged>)>, DbError> {
    let listened = rows::watches(db, window)?;
    let mut lines = Vec::new();
    for one in rows::hosts(db, window)? {
        let Some(stand) = stands.get(&one.server) else { continue };
        let seen = host(&one.beats, rules.heartbeat_s, &listened, window);
        let place = Place { told: one.life, seen: vec![seen], cut_off: Timeline::default() };
        let id = *one.server.as_bytes();
        let subject = Subject { kind: UpKind::Server, id, pd: stand.pd };
        lines.push((subject, check(&[place], window).0));
    }
    Ok(lines)
}

/// When people entered that something was down.
fn entered_lines(
    db: &Connection,
    window: Stretch,
) -> Result<BTreeMap<Subject, Timeline<()>>, DbError> {
    let mut spans: BTreeMap<Subject, Vec<Stretch>> = BTreeMap::new();
    for row in incidents::touching(db, true, window)? {
        let subject = Subject { kind: row.kind, id: row.subject, pd: row.pd };
        let until = row.until.unwrap_or(window.1);
        spans.entry(subject).or_default().push((row.from, until));
    }
    Ok(spans.into_iter().map(|(subject, spans)| (subject, Timeline::union(spans))).collect())
}

/// When what is in maintenance.
struct Planned {
    windows: Vec<(Maintenance, Vec<Stretch>)>,
    stands: HashMap<ServerId, Stand>,
    /// Where the servers of each service stand.
    services: HashMap<ServiceId, Vec<ServerId>>,
}

impl Planned {
    fn read(
        db: &Connection,
        zone: Tz,
        window: Stretch,
        stands: HashMap<ServerId, Stand>,
    ) -> Result<Self, DbError> {
        let rows = incidents::maintenance_within(db, window)?;
        let windows = rows
            .into_iter()
            .map(|row| {
                let spans = as_window(&row, zone).within(window);
                (row, spans.spans().iter().map(|span| (span.from, span.until)).collect())
            })
            .collect();
        let services = stands::servers_of_services(db, window.1)?;
        Ok(Self { windows, stands, services })
    }

    fn of(&self, subject: &Subject) -> Timeline<()> {
        let fits = self.windows.iter().filter(|(row, _)| self.covers(row, subject));
        Timeline::union(fits.flat_map(|(_, spans)| spans.iter().copied()).collect())
    }

    fn covers(&self, row: &Maintenance, subject: &Subject) -> bool {
        let is = |kind, text: String| subject.kind == kind && text == row.subject;
        match row.scope {
            MaintenanceScope::City => true,
            MaintenanceScope::Pd => row.pd == Some(subject.pd),
            MaintenanceScope::Service => {
                is(UpKind::Service, ServiceId::from_bytes(subject.id).to_string())
            }
            MaintenanceScope::Server => {
                is(UpKind::Server, ServerId::from_bytes(subject.id).to_string())
            }
            MaintenanceScope::Site => self.stands_so(subject, |stand| {
                stand.site.is_some_and(|site| site.to_string() == row.subject)
            }),
            MaintenanceScope::Rack => self.stands_so(subject, |stand| {
                stand.rack.is_some_and(|rack| rack.to_string() == row.subject)
            }),
            MaintenanceScope::Room => self.stands_so(subject, |stand| {
                stand.room.is_some_and(|room| room.to_string() == row.subject)
            }),
        }
    }

    /// Whether the server, or every server of the service, stands so. A service of which another server stands elsewhere is
    /// expected to go on there.
    fn stands_so(&self, subject: &Subject, so: impl Fn(&Stand) -> bool) -> bool {
        let stands = |id: &ServerId| self.stands.get(id).is_some_and(&so);
        match subject.kind {
            UpKind::Server => stands(&ServerId::from_bytes(subject.id)),
            UpKind::Service => self
                .services
                .get(&ServiceId::from_bytes(subject.id))
                .is_some_and(|servers| !servers.is_empty() && servers.iter().all(stands)),
        }
    }
}

/// A maintenance window as it is reckoned: one that was called off holds until then.
fn as_window(row: &Maintenance, zone: Tz) -> Window {
    let until = row.cancelled.map_or(row.until, |at| at.min(row.until));
    // What was entered was parsed: a schedule that cannot be read plans nothing.
    let recurrence = (!row.schedule.is_empty()).then(|| row.schedule.parse().ok()).flatten();
    let recurrence = recurrence.map(|expression| Recurrence {
        schedule: Schedule::new(expression, zone),
        duration_s: row.duration_s,
    });
    let unreadable = !row.schedule.is_empty() && recurrence.is_none();
    Window { from: row.from, until: if unreadable { row.from } else { until }, recurrence }
}
