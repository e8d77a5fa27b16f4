//! Lines: what moved over them, what has to, and whether they carry it.
//!
//! Invariants: a PD's line carries what its agents sent, that is what came to the Pusat Data; a site's line carries what
//! came to that site. What has to move is measured where there are two weeks of it, else assumed and marked so.

use std::collections::{BTreeMap, HashMap};

use lumbung_model::rate::{Rate, RatePlan};
use lumbung_model::transfer::Line;
use lumbung_model::{ByteSize, Day, PdId, SiteId, Timestamp};
use lumbung_wire::messages::capacity::{BandwidthEntry, LineFit, MovedDay};
use lumbung_wire::messages::policy::PolicyRates;
use lumbung_wire::messages::register::{Pd, Site, SiteKind};
use lumbung_wire::policy::rate_plan;
use rusqlite::Connection;

use crate::db::alarms::Finding;
use crate::db::capacity as rows;
use crate::db::standings::{self, Sums};
use crate::db::{DbError, register};
use crate::profile::Profile;

/// Days that are shown.
const SHOWN_DAYS: u32 = 31;
/// Days from which the daily need is told.
const NEED_DAYS: u32 = 28;
/// Before so many days were counted, the need is assumed.
const LEAST_DAYS: i64 = 14;

/// The lines of all PD and sites, or of one PD.
///
/// # Errors
/// If the database fails.
pub fn lines(
    db: &Connection,
    profile: &Profile,
    pd: Option<&PdId>,
    now: Timestamp,
) -> Result<Vec<BandwidthEntry>, DbError> {
    let today = Day::of(now, profile.zone());
    let sites = register::sites(db)?;
    let main: Vec<SiteId> =
        sites.iter().filter(|site| site.kind == SiteKind::PusatData).map(|site| site.id).collect();
    let moved = rows::moved(db, pd, today.minus_days(SHOWN_DAYS - 1))?;
    let sums = standings::sums(db, pd)?;
    let begun: HashMap<PdId, Day> = rows::first_moved(db)?.into_iter().collect();
    let pds = register::pds(db)?.into_iter().filter(|row| pd.is_none_or(|pd| *pd == row.id));
    let mut lines = Vec::new();
    for row in pds {
        let own = moved.iter().filter(|(pd, _)| *pd == row.id);
        let days: Vec<MovedDay> = own
            .map(|(_, day)| *day)
            .filter(|day| main.is_empty() || main.contains(&day.site))
            .collect();
        let sums = sums.get(&row.id).copied().unwrap_or_default();
        let has = Has { today, since: begun.get(&row.id).copied(), sums };
        lines.push(line(&Wire::of_pd(&row), profile, days, &has));
    }
    if pd.is_none() {
        let sums = sums.values().fold(Sums::default(), |sum, one| sum.plus(*one));
        let has = Has { today, since: begun.values().min().copied(), sums };
        for site in &sites {
            let days = of_site(&moved, &site.id);
            lines.push(line(&Wire::of_site(site), profile, days, &has));
        }
    }
    Ok(lines)
}

/// What came to a site, of all PD together.
fn of_site(moved: &[(PdId, MovedDay)], site: &SiteId) -> Vec<MovedDay> {
    let mut days: BTreeMap<Day, MovedDay> = BTreeMap::new();
    for (_, one) in moved.iter().filter(|(_, one)| one.site == *site) {
        let day = days.entry(one.day).or_insert(MovedDay { bytes: 0, snapshots: 0, ..*one });
        day.bytes = day.bytes.saturating_add(one.bytes);
        day.snapshots += one.snapshots;
    }
    days.into_values().rev().collect()
}

/// What is known of whoever uses a line.
struct Has {
    today: Day,
    /// Since when what moves is counted.
    since: Option<Day>,
    sums: Sums,
}

/// A line of the register.
struct Wire<'a> {
    pd: Option<PdId>,
    site: Option<SiteId>,
    name: &'a str,
    link: &'a str,
    rate: &'a str,
    windows: &'a [String],
}

impl<'a> Wire<'a> {
    fn of_pd(pd: &'a Pd) -> Self {
        let Pd { id, code, link, rate, windows, .. } = pd;
        Self { pd: Some(*id), site: None, name: code, link, rate, windows }
    }

    fn of_site(site: &'a Site) -> Self {
        let Site { id, name, link, rate, windows, .. } = site;
        Self { pd: None, site: Some(*id), name, link, rate, windows }
    }

    /// The line; none if the register holds what cannot be read, which entering it refuses.
    fn line(&self, profile: &Profile) -> Option<Line> {
        let link = match self.link {
            "" => None,
            link => Some(link.parse::<Rate>().ok()?),
        };
        let rates = PolicyRates {
            rate: self.rate.to_owned(),
            windows: self.windows.to_vec(),
            timezone: profile.city.timezone.clone(),
        };
        let plan: RatePlan = rate_plan(&rates).ok()?;
        Some(Line::new(link, plan))
    }
}

fn line(wire: &Wire<'_>, profile: &Profile, days: Vec<MovedDay>, has: &Has) -> BandwidthEntry {
    let is_assumed = has.since.is_none_or(|since| has.today.days_since(since) < LEAST_DAYS);
    let full_copy_bytes = has.sums.totals.registered.bytes;
    let daily_bytes = if is_assumed {
        share(full_copy_bytes, profile.capacity.daily_change_permille)
    } else {
        usual(&days, has)
    };
    let fit = wire.line(profile).and_then(|line| line.fit(daily_bytes, full_copy_bytes));
    BandwidthEntry {
        pd: wire.pd,
        site: wire.site,
        name: wire.name.to_owned(),
        link: wire.link.to_owned(),
        rate: wire.rate.to_owned(),
        windows: wire.windows.to_vec(),
        daily_bytes,
        is_assumed,
        full_copy_bytes,
        unknown_datasets: has.sums.never,
        fit: fit.map(|fit| LineFit {
            day_bytes: fit.carries.day_bytes,
            week_bytes: fit.carries.week_bytes,
            use_permille: fit.use_permille,
            missing_bytes: fit.missing_bytes,
            first_copy_days: fit.first_copy_days(),
        }),
        days,
    }
}

fn share(bytes: u64, permille: u32) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(permille) / 1000).unwrap_or(u64::MAX)
}

/// What moved on four of five days was no more than this: a first copy or two days after an outage are no daily need.
fn usual(days: &[MovedDay], has: &Has) -> u64 {
    let counted = has.since.map_or(0, |since| has.today.days_since(since));
    let counted = usize::try_from(counted.min(i64::from(NEED_DAYS))).unwrap_or(0).max(1);
    let mut by_day: BTreeMap<Day, u64> = BTreeMap::new();
    // Today is not over.
    let within = |day: Day| (1..=i64::from(NEED_DAYS)).contains(&has.today.days_since(day));
    for one in days.iter().filter(|one| within(one.day)) {
        let sum = by_day.entry(one.day).or_default();
        *sum = sum.saturating_add(one.bytes);
    }
    let mut sums: Vec<u64> = by_day.into_values().collect();
    sums.resize(counted.max(sums.len()), 0);
    sums.sort_unstable();
    sums[(sums.len() * 4).div_ceil(5) - 1]
}

/// What of it is an alarm: lines that do not carry what has to move every day.
#[must_use]
pub fn findings(lines: &[BandwidthEntry]) -> Vec<Finding> {
    let short = |entry: &BandwidthEntry| {
        let fit = entry.fit.filter(|fit| fit.missing_bytes > 0)?;
        Some(finding(entry, &fit))
    };
    lines.iter().filter_map(short).collect()
}

fn finding(entry: &BandwidthEntry, fit: &LineFit) -> Finding {
    let assumed = if entry.is_assumed { " (assumed: usulan)" } else { "" };
    let id = entry.pd.map(|pd| pd.to_string()).or_else(|| entry.site.map(|site| site.to_string()));
    Finding {
        subject: id.unwrap_or_default(),
        pd: entry.pd,
        site: entry.site,
        service: None,
        detail: format!(
            "the line of {} carries {} on its worst weekday, and {}{assumed} has to move: {} stay behind; raise the cap or the \
             line, move windows, or back up less often (`lumbung bandwidth`)",
            entry.name,
            ByteSize::bytes(fit.day_bytes),
            ByteSize::bytes(entry.daily_bytes),
            ByteSize::bytes(fit.missing_bytes),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(since: u32) -> Has {
        let today: Day = "2026-11-30".parse().unwrap();
        Has { today, since: Some(today.minus_days(since)), sums: Sums::default() }
    }

    fn days(bytes: &[u64]) -> Vec<MovedDay> {
        let site = SiteId::from_bytes([1; 16]);
        let day = |(back, bytes): (u32, &u64)| MovedDay {
            day: has(0).today.minus_days(back),
            site,
            bytes: *bytes,
            snapshots: 1,
        };
        (0..).zip(bytes).map(day).collect()
    }

    #[test]
    fn a_first_copy_and_today_are_no_daily_need() {
        let mut moved = vec![5; 29];
        moved[0] = 9_000;
        moved[24..].fill(1_000);
        assert_eq!(usual(&days(&moved), &has(28)), 5);
        moved[20..24].fill(1_000);
        assert_eq!(usual(&days(&moved), &has(28)), 1_000);
        // Of two weeks, two days had something; on the others nothing had to move.
        assert_eq!(usual(&days(&[0, 7, 7]), &has(14)), 0);
        assert_eq!(usual(&[], &has(14)), 0);
    }

    #[test]
    fn a_share_is_exact_and_never_too_large() {
        assert_eq!(share(1_000_000, 20), 20_000);
        assert_eq!(share(u64::MAX, 1000), u64::MAX);
    }
}
