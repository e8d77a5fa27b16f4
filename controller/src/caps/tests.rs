//! What sites are given, under which number, and what is said where they do not keep to it.

use std::sync::Arc;

use lumbung_model::{Clock as _, SiteId};
use lumbung_pack::SigningKey;
use lumbung_wire::messages::register::{Dataset, Pd};
use lumbung_wire::tls::TlsIdentity;

use super::*;
use crate::act::Act;
use crate::approvals;
use crate::db::caps as caps_rows;
use crate::policies::{self, Asker};
use crate::testing::{City, START, profile};

/// A keeper that asks nobody.
fn keeper(city: &City) -> Keeper {
    let wanted = lumbung_wire::certs::IssueRequest {
        common_name: "controller".into(),
        names: lumbung_wire::identity::CertificateNames::of_role(lumbung_wire::Role::Controller),
        hosts: Vec::new(),
        now: START,
    };
    let ca = lumbung_wire::certs::Authority::generate("test", START).unwrap().0;
    let (issued, key) = ca.issue_with_key(&wanted).unwrap();
    Keeper {
        db: city.db.clone(),
        clock: city.clock.clone(),
        identity: Arc::new(TlsIdentity::from_pem(&issued.certificate_pem, &key).unwrap()),
        profile: Arc::new(profile()),
        interval_s: 60,
    }
}

fn change_pd(city: &City, change: impl FnOnce(&mut Pd)) {
    let act = Act::controller(city.clock.now());
    city.db
        .write::<_, DbError>(|tx| {
            let mut pd = register::pd(tx, &city.pd)?.unwrap();
            change(&mut pd);
            register::put_pd(tx, &act, &pd)
        })
        .unwrap();
}

/// Policies follow the register.
fn pass(city: &City, key: &SigningKey) {
    let (act, profile) = (Act::controller(START), profile());
    let asker = Asker { act: &act, user: None };
    let terms = Terms::of(&profile);
    city.db.write(|tx| policies::reconcile(tx, asker, terms, Some(key))).unwrap();
}

/// The lists that are due, by site.
async fn due(keeper: &Keeper) -> BTreeMap<SiteId, SiteCaps> {
    let due = keeper.write_down().await.unwrap();
    due.into_iter().map(|(site, caps)| (site.keys.site, caps)).collect()
}

/// As if each site had said that it keeps to what it was given.
async fn taken(keeper: &Keeper) -> BTreeMap<SiteId, SiteCaps> {
    let due = due(keeper).await;
    for caps in due.values() {
        let now = keeper.clock.now();
        keeper.db.write(|tx| caps_rows::tried(tx, now, (&caps.site, caps.version), None)).unwrap();
    }
    due
}

fn rate_of(caps: &SiteCaps) -> Option<&str> {
    caps.pds[0].rates.as_ref().map(|rates| rates.rate.as_str())
}

#[tokio::test]
async fn every_site_is_given_what_the_register_says_and_a_change_has_a_number_of_its_own() {
    let (city, key) = (City::new(), SigningKey::generate());
    let keeper = keeper(&city);
    pass(&city, &key);
    let first = taken(&keeper).await;
    assert_eq!(first.len(), 2);
    for caps in first.values() {
        assert_eq!((caps.version, &caps.pull, rate_of(caps)), (1, &None, None));
        assert_eq!((caps.pds[0].pd, &caps.pds[0].repositories), (city.pd, &vec![city.repository]));
        assert_eq!(caps.check(), Ok(()));
    }
    assert!(due(&keeper).await.is_empty(), "nothing changed");

    change_pd(&city, |pd| pd.windows = vec!["07:30-16:00 mon-fri 2 Mbit/s".into()]);
    pass(&city, &key);
    let second = taken(&keeper).await;
    assert_eq!(second.len(), 2);
    assert!(second.values().all(|caps| caps.version == 2
        && caps.pds[0].rates.as_ref().unwrap().timezone == profile().city.timezone));

    let act = Act::controller(START);
    city.db
        .write::<_, DbError>(|tx| {
            let site = register::site(tx, &city.drc.id)?.unwrap();
            register::put_site(tx, &act, &Site { rate: "20 Mbit/s".into(), ..site })
        })
        .unwrap();
    let third = taken(&keeper).await;
    assert_eq!(third.keys().collect::<Vec<_>>(), [&city.drc.id], "the other site's is the same");
    assert_eq!(third[&city.drc.id].pull.as_ref().unwrap().rate, "20 Mbit/s");

    city.clock.set(START.plus_seconds(3600));
    let again = taken(&keeper).await;
    assert_eq!(again.values().map(|caps| caps.version).collect::<BTreeSet<_>>(), [2, 3].into());
}

#[tokio::test]
async fn a_low_cap_waits_for_the_second_person_that_its_agents_wait_for() {
    let (city, key) = (City::new(), SigningKey::generate());
    let keeper = keeper(&city);
    let pass = || pass(&city, &key);
    city.db
        .write::<_, DbError>(|tx| {
            let dataset = register::dataset(tx, &city.dataset)?.unwrap();
            let dataset = Dataset { paths: vec!["/srv".into()], ..dataset };
            register::put_dataset(tx, &Act::controller(START), &dataset)
        })
        .unwrap();
    change_pd(&city, |pd| pd.rate = "2 Mbit/s".into());
    pass();
    let rate = async || {
        let given = taken(&keeper).await;
        given.values().map(|caps| rate_of(caps).unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(rate().await, ["2 Mbit/s".to_owned()].into());

    change_pd(&city, |pd| pd.rate = "64 kbit/s".into());
    assert!(due(&keeper).await.is_empty(), "nobody has looked yet at what it does to its agents");
    pass();
    assert!(due(&keeper).await.is_empty(), "the cap that vaults have goes on");

    let proposal = city.db.read(|tx| rows::proposal(tx, &city.server)).unwrap().unwrap();
    let decide = |tx: &rusqlite::Transaction<'_>| {
        approvals::decide(tx, &Act::console(START), None, &proposal.approval, true)
    };
    city.db.write(decide).unwrap();
    pass();
    assert_eq!(rate().await, ["64 kbit/s".to_owned()].into());
}

#[tokio::test]
async fn a_site_that_does_not_keep_to_its_caps_is_an_alarm_once_it_is_late() {
    let (city, key) = (City::new(), SigningKey::generate());
    let keeper = keeper(&city);
    change_pd(&city, |pd| pd.rate = "2 Mbit/s".into());
    pass(&city, &key);
    let fail = async || {
        for caps in due(&keeper).await.values() {
            let (now, of) = (city.clock.now(), (&caps.site, caps.version));
            city.db.write(|tx| caps_rows::tried(tx, now, of, Some("no such path"))).unwrap();
        }
        keeper.settle_alarms().await.unwrap();
        city.alarms().iter().filter(|kind| *kind == "caps").count()
    };
    assert_eq!(fail().await, 0, "it has time to come up");
    city.clock.set(START.plus_seconds(1800));
    assert_eq!(fail().await, 2);
    change_pd(&city, |pd| pd.rate = "3 Mbit/s".into());
    pass(&city, &key);
    assert_eq!(fail().await, 2, "another list makes it no less late");
    change_pd(&city, |pd| pd.rate = "4 Mbit/s".into());
    pass(&city, &key);
    taken(&keeper).await;
    keeper.settle_alarms().await.unwrap();
    assert!(!city.alarms().contains(&"caps".to_owned()));
}
