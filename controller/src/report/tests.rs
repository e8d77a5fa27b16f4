//! A part of a table is a part of the table.

use lumbung_model::{Clock, DatasetId, ManifestId, PdId, ServerId};
use lumbung_wire::messages::register::{Dataset, PdKind, ServerKind};

use super::*;
use crate::act::Act;
use crate::config::Config;
use crate::db::standings;
use crate::reconcile::Reconciler;
use crate::testing::{City, START};

fn terms(city: &City) -> Terms {
    Terms {
        profile: Arc::new(crate::testing::profile()),
        patience: Config::default().heartbeat.patience(),
        now: city.clock.now(),
        language: Language::English,
    }
}

fn server(pd: PdId, name: &str) -> Server {
    Server {
        id: ServerId::random(),
        pd,
        name: name.into(),
        kind: ServerKind::Vps,
        site: None,
        room: None,
        pool: None,
        vcpus: None,
        memory_bytes: None,
        disk_bytes: None,
        agent: None,
        heartbeat: HeartbeatState::Never,
        last_seen: None,
    }
}

/// Two more PD, one of them with nothing, and rows of every kind; one dataset is backed up. Tells the PD.
async fn furnished() -> (City, Vec<PdId>) {
    let city = City::new();
    let (id, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    for site in [&city.pusat, &city.drc] {
        let receipt = site.take(&city, &object, START);
        site.inventory(&city, START, &[(id, receipt)]);
    }
    city.poll_both().await;
    let mut pds = vec![city.pd];
    let act = Act::controller(START);
    city.db
        .write::<_, DbError>(|tx| {
            for code in ["ARSIP", "PU"] {
                let (contact, kind) = (String::new(), PdKind::Dinas);
                let id = PdId::random();
                let (code, name) = (code.to_owned(), code.to_owned());
                let before = rows::pd(tx, &city.pd)?.unwrap();
                let pd = Pd { id, code, name, contact, kind, ..before };
                rows::put_pd(tx, &act, &pd)?;
                pds.push(id);
            }
            for pd in [pds[0], pds[2]] {
                let (one, bare) = (server(pd, "app"), server(pd, "zzz"));
                rows::put_server(tx, &act, &one)?;
                rows::put_server(tx, &act, &bare)?;
                for (name, lies_on) in
                    [("a", Some(one.id)), ("b", Some(one.id)), ("a", None), ("B", None)]
                {
                    let (id, name) = (DatasetId::random(), name.to_owned());
                    let server = lies_on;
                    let dataset = Dataset { id, pd, server, name, ..city.dataset_row() };
                    rows::put_dataset(tx, &act, &dataset)?;
                }
            }
            Ok(())
        })
        .unwrap();
    (city, pds)
}

fn reconcile(city: &City) {
    let profile = Arc::new(crate::testing::profile());
    Reconciler::new(city.db.clone(), city.clock.clone(), profile).pass().unwrap();
}

fn whole(city: &City, pd: Option<PdId>) -> ComplianceTable {
    city.db.read(|tx| table(tx, &terms(city), pd)).unwrap()
}

/// Every part is what the whole table has there, and its totals are the whole's.
fn parts_are_parts(city: &City, pd: Option<PdId>, all: &ComplianceTable) {
    let places = all.rows.iter().map(|row| Some(place_of_row(row)));
    let gone = ("DINKES".to_owned(), "app".to_owned(), "aa".to_owned(), None);
    for after in places.chain([None, Some(gone)]) {
        for limit in [1, 2, 3, 1000] {
            let part = Part { after: after.clone(), rows: limit };
            let found = city.db.read(|tx| table_part(tx, &terms(city), pd, &part)).unwrap();
            let is_behind = |row: &&ComplianceRow| Some(place_of_row(row)) > after;
            let rows = all.rows.iter().filter(is_behind).take(limit).cloned().collect();
            assert_eq!(found, ComplianceTable { rows, ..all.clone() }, "{part:?}");
        }
    }
}

#[tokio::test]
async fn parts_and_totals_are_those_of_a_table_that_is_weighed_whole() {
    let (city, pds) = furnished().await;
    let asked: Vec<_> = pds.iter().copied().map(Some).chain([None]).collect();
    let counts = |pd| whole(&city, pd).rows.len();
    assert_eq!(asked.iter().copied().map(counts).collect::<Vec<_>>(), [6, 1, 5, 12]);
    // Everything is marked: the table is weighed here, and not read.
    let anew: Vec<_> = asked.iter().map(|pd| whole(&city, *pd)).collect();
    let in_city = &anew[3];
    assert_eq!((in_city.all.datasets, in_city.backed_up.datasets), (9, 1));
    let all_agree = || {
        for (pd, anew) in asked.iter().zip(&anew) {
            assert_eq!(whole(&city, *pd), *anew, "{pd:?}");
            parts_are_parts(&city, *pd, anew);
        }
    };
    all_agree();
    reconcile(&city);
    assert!(city.db.read(|tx| standings::stale(tx, START)).unwrap().datasets.is_empty());
    all_agree();
    // One PD is marked, and the standings of the others are taken as they are.
    let act = Act::controller(START);
    city.db.write(|tx| rows::put_dataset(tx, &act, &city.dataset_row())).unwrap();
    let stale = city.db.read(|tx| standings::stale(tx, START)).unwrap().datasets;
    assert!(!stale.is_empty() && stale.len() < 9, "{stale:?}");
    all_agree();
}
