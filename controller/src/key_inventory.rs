//! The key inventory: which PD has a key that was rebuilt from its shares, by whom, how long ago; and who lets it wait.
//!
//! Invariants: it follows from rosters and signed records alone, and holds no key; an interval that no instrument sets is a
//! proposal; a round that finds nothing new writes nothing.

use std::collections::BTreeMap;

use lumbung_model::{Day, PdId, Timestamp};
use lumbung_pack::RootRole;
use lumbung_wire::messages::keys::{KeyEntry, KeyState, ShareHolder};
use rusqlite::Connection;

use crate::db::alarms::{self, Finding};
use crate::db::rehearsals::{self, Rehearsed};
use crate::db::{Db, DbError, rosters};
use crate::profile::{Keys, Profile};

/// The kind of alarms that are raised here.
pub const ALARM: &str = "key-rehearsal";

const DAY_S: i64 = 86_400;

/// The root keys of all repositories, or of one PD's.
///
/// # Errors
/// If the database fails.
pub fn keys(
    db: &Connection,
    pd: Option<PdId>,
    now: Timestamp,
    asked: &Keys,
) -> Result<Vec<KeyEntry>, DbError> {
    let mut entries = Vec::new();
    for (repository, pd, bound) in rehearsals::repositories(db, pd)? {
        let Some(chain) = rosters::chain(db, &repository)? else { continue };
        let newest = &chain.current().body;
        for root in &newest.root_keys {
            let rehearsed = rehearsals::of_key(db, &root.key)?;
            let last = rehearsed.first();
            let since = last.map_or(bound, |last| last.at);
            let due = since.plus_seconds(i64::from(asked.rehearsal_days) * DAY_S);
            let opens = |last: &Rehearsed| {
                newest.recipients.iter().any(|recipient| recipient.key == last.recovery)
            };
            entries.push(KeyEntry {
                pd,
                repository,
                key: root.key,
                label: root.label.clone(),
                spare: root.role == RootRole::Spare,
                state: state(last.is_some(), now > due),
                rehearsed: last.map(|last| last.at),
                due,
                instrument: asked.instrument.clone(),
                set: last.map(|last| last.set),
                threshold: last.map_or(0, |last| last.threshold),
                shares: last.map_or(0, |last| last.shares),
                holders: holders(&rehearsed),
                opens: last.is_some_and(opens),
            });
        }
    }
    Ok(entries)
}

const fn state(rehearsed: bool, overdue: bool) -> KeyState {
    match (rehearsed, overdue) {
        (_, true) => KeyState::Overdue,
        (true, false) => KeyState::Tested,
        (false, false) => KeyState::Untested,
    }
}

/// Who keeps the shares of the split that was rehearsed last, as far as they were seen.
fn holders(rehearsed: &[Rehearsed]) -> Vec<ShareHolder> {
    let Some(last) = rehearsed.first() else { return Vec::new() };
    let mut found: BTreeMap<u8, ShareHolder> = BTreeMap::new();
    for one in rehearsed.iter().filter(|one| one.set == last.set) {
        for (number, holder) in &one.present {
            let holder = || ShareHolder { number: *number, holder: holder.clone(), last: one.at };
            found.entry(*number).or_insert_with(holder);
        }
    }
    found.into_values().collect()
}

/// One finding for each repository none of whose working keys was rehearsed in time.
fn findings(entries: &[KeyEntry], profile: &Profile) -> Vec<Finding> {
    let mut of: BTreeMap<_, Vec<&KeyEntry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !entry.spare) {
        of.entry(entry.repository).or_default().push(entry);
    }
    let late = of
        .into_values()
        .filter(|all| !all.is_empty() && all.iter().all(|entry| entry.state == KeyState::Overdue));
    let finding = |all: Vec<&KeyEntry>| {
        let first = all.iter().max_by_key(|entry| entry.due)?;
        let last = first.rehearsed.map_or_else(
            || "it was never rehearsed".to_owned(),
            |at| format!("last rehearsed on {}", Day::of(at, profile.zone())),
        );
        let detail = format!(
            "the key of repository {} was to be rebuilt from its shares by {} ({last}): `lumbung key rehearse`, then `lumbung key report`",
            first.repository.short(),
            Day::of(first.due, profile.zone())
        );
        let subject = first.repository.to_string();
        Some(Finding { subject, pd: Some(first.pd), site: None, service: None, detail })
    };
    late.filter_map(finding).collect()
}

/// Makes the open alarms be what is found today.
///
/// # Errors
/// If the database fails; nothing is changed then.
pub async fn keep(db: &Db, now: Timestamp, profile: &Profile) -> Result<(), DbError> {
    let profile = profile.clone();
    alarms::keep(db, now, [ALARM], move |tx| {
        Ok([findings(&keys(tx, None, now, &profile.keys)?, &profile)])
    })
    .await
}

#[cfg(test)]
mod tests {
    use lumbung_model::{PublicKey, ShareSetId};
    use lumbung_pack::{Rehearsal, open_signed, sign};

    use super::*;
    use crate::testing::{City, START, profile};

    fn rehearsal(recovery: PublicKey, day: i64, present: &[(u8, &str)]) -> Rehearsal {
        Rehearsal {
            set: ShareSetId::from_bytes([4; 16]),
            threshold: 2,
            shares: 3,
            recovery,
            at: START.plus_seconds(day * DAY_S),
            present: present.iter().map(|(n, holder)| (*n, (*holder).to_owned())).collect(),
            note: "ruang rapat".into(),
        }
    }

    fn at(day: i64) -> Timestamp {
        START.plus_seconds(day * DAY_S)
    }

    async fn city() -> City {
        let city = City::new();
        city.poll_both().await;
        city
    }

    fn entry(city: &City, day: i64) -> KeyEntry {
        let keys = |tx: &rusqlite::Transaction<'_>| keys(tx, None, at(day), &profile().keys);
        let mut all = city.db.read(keys).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn hand_in(city: &City, record: &Rehearsal, day: i64) -> bool {
        let record = open_signed::<Rehearsal>(&sign(record, &city.root)).unwrap();
        city.db.write::<_, DbError>(|tx| rehearsals::put(tx, at(day), &record)).unwrap()
    }

    #[tokio::test]
    async fn a_key_is_tested_while_its_last_rehearsal_is_fresh() {
        let city = city().await;
        let recipient = PublicKey::from_bytes([7; 32]);
        assert_eq!(entry(&city, 1).state, KeyState::Untested);
        assert_eq!(entry(&city, 366).state, KeyState::Overdue, "never, for a year");
        let first = rehearsal(recipient, 10, &[(1, "Sekda"), (2, "Inspektorat")]);
        assert!(hand_in(&city, &first, 10));
        assert!(!hand_in(&city, &first, 11), "again");
        hand_in(&city, &rehearsal(recipient, 20, &[(2, "Inspektorat"), (3, "Diskominfo")]), 20);
        let tested = entry(&city, 380);
        assert_eq!((tested.state, tested.rehearsed), (KeyState::Tested, Some(at(20))));
        assert_eq!((tested.threshold, tested.shares, tested.opens), (2, 3, true));
        let holders: Vec<_> =
            tested.holders.iter().map(|one| (one.number, one.holder.as_str(), one.last)).collect();
        assert_eq!(
            holders,
            [(1, "Sekda", at(10)), (2, "Inspektorat", at(20)), (3, "Diskominfo", at(20))]
        );
        assert_eq!(entry(&city, 386).state, KeyState::Overdue);
        // Another split; and a date in the future counts as of when it was handed in.
        let mut other = rehearsal(PublicKey::from_bytes([8; 32]), 9000, &[(1, "Sekda")]);
        other.set = ShareSetId::from_bytes([5; 16]);
        hand_in(&city, &other, 400);
        let entry = entry(&city, 401);
        assert_eq!((entry.rehearsed, entry.opens), (Some(at(400)), false));
        assert_eq!(entry.holders.len(), 1, "of the split that was rehearsed last");
    }

    #[tokio::test]
    async fn an_overdue_rehearsal_is_an_alarm_until_it_is_held() {
        let city = city().await;
        let profile = profile();
        keep(&city.db, at(300), &profile).await.unwrap();
        assert_eq!(city.alarms(), Vec::<String>::new());
        keep(&city.db, at(400), &profile).await.unwrap();
        assert_eq!(city.alarms(), [ALARM]);
        hand_in(&city, &rehearsal(PublicKey::from_bytes([7; 32]), 401, &[(1, "Sekda")]), 401);
        keep(&city.db, at(402), &profile).await.unwrap();
        assert_eq!(city.alarms(), Vec::<String>::new());
    }
}
