//! The reconciler over a city whose vaults answer what they are told to.

use lumbung_model::{AgentId, ManifestId, PublicKey, ServerId};
use lumbung_wire::messages::register::{RetiredKind, RetirementInput};

use super::*;
use crate::act::Act;
use crate::db::agents;
use crate::profile::Look;
use crate::report::{self, Language, Past, Terms};
use crate::rules::step_rule;
use crate::testing::{City, START};

const DAY: i64 = 86_400;

fn reconciler(city: &City) -> Reconciler {
    let profile = Arc::new(crate::testing::profile());
    Reconciler::new(city.db.clone(), city.clock.clone(), profile)
}

fn at(seconds: i64) -> Timestamp {
    START.plus_seconds(seconds)
}

/// A snapshot at both sites, shown and listed.
async fn back_up(city: &City, sequence: u64, previous: ManifestId, seconds: i64) -> ManifestId {
    let (id, object) = city.signed_manifest(sequence, previous, at(seconds));
    city.clock.set(at(seconds + 120));
    for site in [&city.pusat, &city.drc] {
        let receipt = site.take(city, &object, at(seconds + 60));
        site.inventory(city, at(seconds + 90), &[(id, receipt)]);
    }
    city.poll_both().await;
    id
}

/// What the four steps said of the dataset, oldest first: the rule, met, from, until.
fn said(city: &City, look: Look) -> Vec<(bool, String, i64, Option<i64>)> {
    let subject = city.dataset.as_bytes().to_vec();
    let mut intervals = city.db.read(|tx| verdicts::history(tx, &subject, 100)).unwrap();
    intervals.retain(|interval| interval.rule == step_rule(look));
    intervals.reverse();
    intervals
        .into_iter()
        .map(|one| {
            let since = |at: Timestamp| at.seconds_since(START);
            (one.met, one.codes, since(one.from), one.until.map(since))
        })
        .collect()
}

fn dump(city: &City) -> String {
    city.db
        .read::<_, DbError>(|tx| {
            let mut all = String::new();
            for table in ["stale", "standings", "verdicts", "compliance_days", "settings"] {
                let mut statement = tx.prepare(&format!("SELECT * FROM {table}"))?;
                let columns = statement.column_count();
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        all += &format!("{:?} ", row.get::<_, rusqlite::types::Value>(column)?);
                    }
                    all += "\n";
                }
            }
            Ok(all)
        })
        .unwrap()
}

#[tokio::test]
async fn a_second_pass_over_the_same_state_changes_nothing() {
    let city = City::new();
    back_up(&city, 1, ManifestId::ZERO, 0).await;
    let reconciler = reconciler(&city);
    reconciler.pass().unwrap();
    let once = dump(&city);
    assert!(once.contains("not-proven"), "{once}");
    reconciler.pass().unwrap();
    assert_eq!(dump(&city), once);
}

#[tokio::test]
async fn what_is_said_changes_when_its_time_has_come_and_when_evidence_comes() {
    let city = City::new();
    let reconciler = reconciler(&city);
    reconciler.pass().unwrap();
    let first = back_up(&city, 1, ManifestId::ZERO, 3600).await;
    let next = reconciler.pass().unwrap().unwrap();
    // Nothing comes; the reconciler is told when to look again, and goes from one such moment to the next.
    assert!(next > at(3720) && next <= at(3600 + DAY + 1), "{next}");
    let mut next = Some(next);
    while let Some(moment) = next.filter(|moment| *moment < at(3 * DAY)) {
        city.clock.set(moment);
        next = reconciler.pass().unwrap();
    }
    back_up(&city, 2, first, 3 * DAY).await;
    reconciler.pass().unwrap();
    let found = said(&city, Look::BackedUp);
    let short: Vec<_> =
        found.iter().map(|(met, codes, from, _)| (*met, codes.as_str(), *from)).collect();
    assert_eq!(
        short,
        [
            (false, "never", 0),
            (true, "", 3720),
            (false, "late", 3600 + DAY + 1),
            (false, "inventory-stale", 3690 + 2 * DAY + 1),
            (true, "", 3 * DAY + 120),
        ]
    );
    // One ends where the next begins.
    assert!(found.windows(2).all(|pair| pair[0].3 == Some(pair[1].2)), "{found:?}");
}

#[tokio::test]
async fn a_table_as_of_a_date_is_what_was_said_then_whatever_came_later() {
    let city = City::new();
    let reconciler = reconciler(&city);
    reconciler.pass().unwrap();
    let first = back_up(&city, 1, ManifestId::ZERO, 3600).await;
    reconciler.pass().unwrap();
    let terms = |now| Terms {
        profile: Arc::new(crate::testing::profile()),
        patience: crate::config::Config::default().heartbeat.patience(),
        now,
        language: Language::English,
    };
    let table = |moment| {
        let past = city.db.read(|tx| report::table_at(tx, &terms(moment), None, moment)).unwrap();
        match past {
            Past::Table(table) => *table,
            Past::Before(begins) => panic!("{begins:?}"),
        }
    };
    let then = (table(at(60)), table(at(3800)));
    assert!(then.0.rows[0].belum_mencadangkan && then.0.backed_up.datasets == 0);
    assert_eq!((then.1.backed_up.datasets, then.1.at_drc.datasets), (1, 1));
    // Time goes by, evidence comes, the dataset is renamed: the past stays.
    back_up(&city, 2, first, 5 * DAY).await;
    city.db
        .write::<_, DbError>(|tx| {
            let mut dataset = city.dataset_row();
            dataset.name = "renamed".into();
            rows::put_dataset(tx, &Act::console(at(5 * DAY)), &dataset)
        })
        .unwrap();
    reconciler.pass().unwrap();
    assert_eq!((table(at(60)), table(at(3800))), then);
    assert_eq!(table(at(5 * DAY + 120)).rows[0].dataset_name, "renamed");
    let before = city.db.read(|tx| report::table_at(tx, &terms(START), None, at(-5))).unwrap();
    assert!(matches!(before, Past::Before(Some(begins)) if begins == START), "{before:?}");
}

#[tokio::test]
async fn what_changed_since_the_last_pass_is_weighed_by_whoever_reads() {
    let city = City::new();
    let reconciler = reconciler(&city);
    reconciler.pass().unwrap();
    back_up(&city, 1, ManifestId::ZERO, 3600).await;
    // No pass since: the table does not wait for one.
    assert_eq!(city.row().backed_up.reason, "");
    let marked = city.db.read(|tx| standings::stale(tx, at(3720))).unwrap();
    assert!(marked.datasets.contains(&city.dataset));
    reconciler.pass().unwrap();
    assert!(city.db.read(|tx| standings::stale(tx, at(3720))).unwrap().is_empty());
    // Its time has come, and nobody passed: still nothing old is shown.
    city.clock.set(at(2 * DAY));
    assert!(city.row().backed_up.reason.starts_with("late since"));
}

#[tokio::test]
async fn every_kind_of_evidence_marks_what_rests_on_it() {
    let city = City::new();
    let reconciler = reconciler(&city);
    let fresh = |what: &str| {
        let now = lumbung_model::Clock::now(&*city.clock);
        let stale = city.db.read(|tx| standings::stale(tx, now)).unwrap();
        assert!(stale.datasets.contains(&city.dataset), "{what} marks nothing");
        reconciler.pass().unwrap();
        assert!(city.db.read(|tx| standings::stale(tx, now)).unwrap().is_empty(), "{what}");
    };
    fresh("a new database");
    let id = back_up(&city, 1, ManifestId::ZERO, 3600).await;
    fresh("manifest, receipt, inventory");
    city.drc.scrub(&city, at(3700), &[id], &[]);
    city.poll_both().await;
    fresh("a scrub");
    let roster = city.next_roster(&city.root, |roster| roster.agents.clear());
    city.pusat.vault.show(lumbung_pack::Kind::Roster, roster);
    city.poll_both().await;
    fresh("a roster");
    assert_eq!(said(&city, Look::BackedUp).last().unwrap().1, "unauthorized");
    let act = Act::console(at(3800));
    let pd = city.db.read(|tx| rows::pd(tx, &city.pd)).unwrap().unwrap();
    city.db.write(|tx| rows::put_pd(tx, &act, &pd)).unwrap();
    fresh("its PD");
    let server = city.db.read(|tx| rows::server(tx, &city.server)).unwrap().unwrap();
    city.db.write(|tx| rows::put_server(tx, &act, &server)).unwrap();
    fresh("its server");
    let site = city.db.read(|tx| rows::site(tx, &city.drc.id)).unwrap().unwrap();
    city.db.write(|tx| rows::put_site(tx, &act, &site)).unwrap();
    fresh("a site");
}

#[tokio::test]
async fn another_profile_is_applied_once_and_ends_what_it_no_longer_asks() {
    let city = City::new();
    let mut reconciler = reconciler(&city);
    let take_over = |profile: &Profile| city.db.write(|tx| super::take_over(tx, profile)).unwrap();
    assert!(take_over(&reconciler.profile) && !take_over(&reconciler.profile));
    reconciler.pass().unwrap();
    let open = |rule: &str| {
        let subject = city.dataset.as_bytes().to_vec();
        let open = city.db.read(|tx| verdicts::open(tx, &subject)).unwrap();
        open.into_iter().any(|interval| interval.rule == rule)
    };
    assert!(open("recovery") && !open("described"));
    reconciler.profile = Arc::new(Profile::load("tanjungbalai").unwrap());
    city.clock.set(at(60));
    assert!(take_over(&reconciler.profile));
    reconciler.pass().unwrap();
    assert!(open("recovery") && open("described") && open("apart-medium"));
    let mut bare = Profile::load("tanjungbalai").unwrap();
    bare.rules.clear();
    bare.digest = "another".into();
    assert!(take_over(&bare));
    reconciler.profile = Arc::new(bare);
    reconciler.pass().unwrap();
    assert!(!open("recovery") && open(&step_rule(Look::BackedUp)));
}

#[tokio::test]
async fn the_totals_of_a_day_stay_when_it_is_over() {
    let city = City::new();
    let reconciler = reconciler(&city);
    reconciler.pass().unwrap();
    let today = reconciler.profile.day(START);
    back_up(&city, 1, ManifestId::ZERO, 600).await;
    reconciler.pass().unwrap();
    city.clock.set(at(DAY + 3600));
    reconciler.pass().unwrap();
    let days = city.db.read(|tx| standings::days(tx, None, (today, today + 1))).unwrap();
    let backed_up: Vec<_> =
        days.iter().map(|(day, totals)| (*day, totals.backed_up.datasets)).collect();
    assert_eq!(backed_up, [(today, 1), (today + 1, 0)]);
}

#[tokio::test]
async fn what_changes_while_the_register_is_judged_is_judged_after_it() {
    let city = City::new();
    let reconciler = reconciler(&city);
    reconciler.pass().unwrap();
    let stale = || city.db.read(|tx| standings::stale(tx, START)).unwrap();
    city.db.write(|tx| standings::mark_register(tx)).unwrap();
    city.db.write(|tx| standings::begin_register(tx)).unwrap();
    assert!(stale().register, "killed here, it is judged again");
    let act = Act::console(START);
    let pd = city.db.read(|tx| rows::pd(tx, &city.pd)).unwrap().unwrap();
    city.db.write(|tx| rows::put_pd(tx, &act, &pd)).unwrap();
    city.db.write(|tx| standings::end_register(tx)).unwrap();
    assert!(stale().register);
    reconciler.pass().unwrap();
    assert!(stale().is_empty());
}

#[tokio::test]
async fn a_server_marks_its_own_datasets_and_those_that_may_lie_on_it() {
    let city = City::new();
    let reconciler = reconciler(&city);
    let act = Act::console(START);
    let mut anywhere = city.db.read(|tx| rows::dataset(tx, &city.dataset)).unwrap().unwrap();
    anywhere.id = DatasetId::from_bytes([7; 16]);
    (anywhere.server, anywhere.name, anywhere.repository) = (None, "anywhere".into(), None);
    let mut other = city.db.read(|tx| rows::server(tx, &city.server)).unwrap().unwrap();
    (other.id, other.name) = (ServerId::from_bytes([8; 16]), "other".into());
    city.db.write(|tx| rows::put_dataset(tx, &act, &anywhere)).unwrap();
    city.db.write(|tx| rows::put_server(tx, &act, &other)).unwrap();
    reconciler.pass().unwrap();
    let marked = |what: &str, expected: &[DatasetId]| {
        let stale = city.db.read(|tx| standings::stale(tx, START)).unwrap();
        assert_eq!(stale.datasets, expected.iter().copied().collect(), "{what}");
        let of_pd = city.db.read(|tx| standings::stale_of(tx, START, &city.pd)).unwrap();
        assert_eq!(of_pd, stale.datasets, "{what}");
        let none = PdId::from_bytes([9; 16]);
        assert!(city.db.read(|tx| standings::stale_of(tx, START, &none)).unwrap().is_empty());
        reconciler.pass().unwrap();
    };
    let row = city.db.read(|tx| agents::agent(tx, &city.agent)).unwrap().unwrap();
    let agent = agents::AgentRow {
        agent: AgentId::from_bytes([5; 16]),
        server: other.id,
        key: PublicKey::from_bytes([5; 32]),
        ..row
    };
    city.db.write(|tx| agents::put_agent(tx, START, &agent)).unwrap();
    marked("an agent of another server", &[anywhere.id]);
    let take_out = |id: &ServerId| {
        let input = RetirementInput {
            kind: RetiredKind::Server,
            id: id.to_string(),
            from: START,
            reason: "x".into(),
            with_contents: false,
        };
        city.db.write(|tx| retire::retire(tx, &act, &input)).unwrap();
    };
    take_out(&other.id);
    marked("it is retired", &[anywhere.id]);
    city.db
        .write(|tx| {
            retire::restore(
                tx,
                (&act, crate::testing::profile().today(START)),
                other.id.as_bytes(),
                "y",
            )
        })
        .unwrap();
    marked("it is back", &[anywhere.id]);
}
