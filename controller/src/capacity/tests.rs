//! A vault whose storage is small, read day after day; what moves; who hears of it.

use std::sync::Arc;

use lumbung_model::forecast::MIN_DAYS;
use lumbung_model::{Clock as _, Day, ManifestId, Timestamp};
use lumbung_pack::{object_id, sign};
use lumbung_wire::messages::VaultCapacity;
use lumbung_wire::messages::capacity::{BandwidthEntry, CapacityEntry, CapacityKind, MovedDay};
use lumbung_wire::messages::register::Pd;

use super::{Keeper, lines, report};
use crate::act::Act;
use crate::db::alarms::{self, AlarmRow, Wanted};
use crate::db::capacity as rows;
use crate::db::{DbError, register};
use crate::profile::Profile;
use crate::testing::{City, START, profile};

const DAY_S: i64 = 86_400;
const GB: u64 = 1_000_000_000;

fn days_on(city: &City, days: i64) -> Timestamp {
    let at = START.plus_seconds(days * DAY_S);
    city.clock.set(at);
    at
}

/// Polls the Pusat Data once a day, which tells what `used` says of 5 TB.
async fn polled(city: &City, days: std::ops::Range<i64>, used: impl Fn(u64) -> u64) {
    for day in days {
        days_on(city, day);
        let used_bytes = used(day.unsigned_abs());
        city.pusat.vault.inner().capacity = Some(VaultCapacity {
            used_bytes,
            limit_bytes: Some(5000 * GB),
            free_bytes: Some((5000 * GB).saturating_sub(used_bytes)),
            quota_bytes: None,
        });
        city.poll(&city.pusat).await;
    }
}

fn entries(city: &City, profile: &Profile) -> Vec<CapacityEntry> {
    let now = city.clock.now();
    city.db.read(|tx| report(tx, profile, now)).unwrap().entries
}

async fn round(city: &City, profile: &Profile) -> Vec<AlarmRow> {
    let (db, clock) = (city.db.clone(), city.clock.clone());
    Keeper { db, clock, profile: Arc::new(profile.clone()) }.round().await.unwrap();
    let mut found = city.db.read(|tx| alarms::list(tx, None, &Wanted::default(), 100)).unwrap();
    found.retain(|row| ["capacity", "bandwidth"].contains(&row.kind.as_str()));
    found
}

#[tokio::test]
async fn storage_that_fills_up_is_forecast_from_polls_and_raises_an_alarm() {
    let city = City::new();
    let profile = profile();
    polled(&city, 0..30, |day| 1000 * GB + day * 10 * GB).await;
    let early = entries(&city, &profile);
    assert_eq!(early.len(), 1, "the DRC's vault does not say how full it is");
    assert_eq!((early[0].history_days, early[0].missing_days), (30, MIN_DAYS - 30));
    assert!(early[0].months.is_empty() && early[0].crossing.is_none() && !early[0].alarm);
    assert_eq!(round(&city, &profile).await, []);

    polled(&city, 30..120, |day| 1000 * GB + day * 10 * GB).await;
    let late = entries(&city, &profile).remove(0);
    assert_eq!((late.kind, late.name.as_str()), (CapacityKind::Storage, "Pusat Data"));
    assert_eq!((late.used, late.limit), (2190 * GB, Some(5000 * GB)));
    assert_eq!((late.months.len(), late.missing_days), (24, 0));
    // 281 days of 10 GB are left.
    let crossing = late.crossing.unwrap();
    let expected = crossing.expected.unwrap();
    assert!((240..=320).contains(&expected.days_since(late.measured)), "{crossing:?}");
    assert!(crossing.earliest <= expected);

    let alarm = round(&city, &profile).await.remove(0);
    assert_eq!((alarm.kind.as_str(), alarm.finding.site), ("capacity", Some(city.pusat.id)));
    assert!(alarm.finding.detail.contains("urgent: within a year"), "{}", alarm.finding.detail);
    assert!(alarm.finding.detail.contains("usulan"), "{}", alarm.finding.detail);
    let again = round(&city, &profile).await;
    assert_eq!((again.len(), again[0].sequence), (1, alarm.sequence), "one alarm, confirmed");
    let mut hasty = profile.clone();
    hasty.capacity.lead_months = 3;
    assert_eq!(round(&city, &hasty).await, [], "three months are enough for that city");
}

#[tokio::test]
async fn of_one_day_the_newest_word_counts_and_after_three_years_it_is_forgotten() {
    let city = City::new();
    polled(&city, 0..1, |_| 7).await;
    polled(&city, 0..1, |_| 9).await;
    let subject = (CapacityKind::Storage, *city.pusat.id.as_bytes());
    let used = |city: &City| {
        let found = city.db.read(|tx| rows::series(tx, subject)).unwrap();
        found.map(|(series, _)| series.iter().map(|one| one.used).collect::<Vec<_>>())
    };
    assert_eq!(used(&city), Some(vec![9]));
    days_on(&city, i64::from(rows::KEPT_DAYS));
    round(&city, &profile()).await;
    assert_eq!(used(&city), Some(vec![9]));
    days_on(&city, i64::from(rows::KEPT_DAYS) + 1);
    round(&city, &profile()).await;
    assert_eq!(used(&city), None);
}

#[tokio::test]
async fn what_is_full_is_an_alarm_however_short_its_history_is() {
    let city = City::new();
    polled(&city, 0..1, |_| 5000 * GB).await;
    let found = round(&city, &profile()).await;
    assert!(found[0].finding.detail.contains("is full"), "{found:?}");
}

/// Changes the PD's line.
fn line(city: &City, link: &str, rate: &str) {
    let act = Act::controller(city.clock.now());
    city.db
        .write::<_, DbError>(|tx| {
            let pd = register::pd(tx, &city.pd)?.unwrap();
            register::put_pd(tx, &act, &Pd { link: link.into(), rate: rate.into(), ..pd })
        })
        .unwrap();
}

fn of_pd(city: &City) -> BandwidthEntry {
    let now = city.clock.now();
    let found = city.db.read(|tx| lines(tx, &profile(), Some(&city.pd), now)).unwrap();
    assert_eq!(found.len(), 1, "one PD sees its own line");
    found.into_iter().next().unwrap()
}

/// What a day's runs sent, as if receipts of that day had said so.
fn moved(city: &City, day: i64, bytes: u64) {
    let day = Day::of(START.plus_seconds(day * DAY_S), profile().zone()).to_string();
    let bytes = i64::try_from(bytes).unwrap();
    let values = (city.repository.as_bytes(), city.pusat.id.as_bytes(), day, bytes);
    city.db
        .write::<_, DbError>(|tx| {
            tx.execute("INSERT INTO moved_days VALUES (?1, ?2, ?3, ?4, 1)", values)?;
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_line_that_does_not_carry_the_daily_need_raises_an_alarm_until_it_does() {
    let city = City::new();
    (0..28).for_each(|day| moved(&city, day, 2 * GB));
    days_on(&city, 28);
    let unknown = of_pd(&city);
    assert_eq!((unknown.daily_bytes, unknown.is_assumed), (2 * GB, false));
    assert_eq!((unknown.fit, unknown.days.len()), (None, 28));
    assert_eq!(round(&city, &profile()).await, []);

    // 1 Mbit/s has 10.8 GB a day, 128 kbit/s 1.3824 GB.
    line(&city, "1 Mbit/s", "");
    assert_eq!(of_pd(&city).fit.unwrap().use_permille, 185);
    assert_eq!(round(&city, &profile()).await, []);
    line(&city, "1 Mbit/s", "128 kbit/s");
    assert_eq!(of_pd(&city).fit.unwrap().missing_bytes, 2 * GB - 1_382_400_000);
    let alarm = round(&city, &profile()).await.remove(0);
    assert_eq!((alarm.kind.as_str(), alarm.finding.pd), ("bandwidth", Some(city.pd)));
    line(&city, "1 Mbit/s", "256 kbit/s");
    assert_eq!(round(&city, &profile()).await, []);
}

#[tokio::test]
async fn what_came_to_a_site_is_counted_once_on_the_day_of_its_receipt() {
    let city = City::new();
    let object = |sequence, previous, partial| {
        let mut manifest = city.manifest(sequence, previous, START);
        manifest.statistics.new_stored_bytes = 5 * GB;
        manifest.partial = partial;
        let object = sign(&manifest, &city.agent_key);
        (ManifestId::from_bytes(object_id(&object)), object)
    };
    let (first, partial) = object(1, ManifestId::ZERO, true);
    let (_, whole) = object(2, first, false);
    for manifest in [&partial, &whole] {
        city.pusat.take(&city, manifest, START);
        city.drc.take(&city, manifest, START.plus_seconds(DAY_S));
    }
    days_on(&city, 2);
    city.poll_both().await;
    city.poll_both().await;
    let today = Day::of(START, profile().zone());
    let found = city.db.read(|tx| rows::moved(tx, None, today)).unwrap();
    let moved = |site, day| MovedDay { day, site, bytes: 5 * GB, snapshots: 1 };
    let expected = [moved(city.drc.id, today.plus_days(1)), moved(city.pusat.id, today)];
    assert_eq!(
        found,
        expected.map(|one| (city.pd, one)),
        "a partial snapshot's bytes are the whole one's"
    );
    // What agents send comes to the Pusat Data; the DRC's line carries its copy.
    assert_eq!(of_pd(&city).days, [moved(city.pusat.id, today)]);
}
