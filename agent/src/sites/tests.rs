use lumbung_model::{PublicKey, RepositoryId, RosterId, SiteId, Timestamp};
use lumbung_pack::{ChunkerParams, RosterSite};

use super::*;

fn pin(n: u8) -> TlsPin {
    TlsPin::from_bytes([n; 32])
}

fn entry(n: u8, kind: SiteKind) -> SiteEntry {
    SiteEntry {
        site: SiteId::from_bytes([n; 16]),
        name: format!("site {n}"),
        kind,
        url: format!("https://site{n}:7444"),
        tls_pin: pin(n),
        receipt_key: PublicKey::from_bytes([n; 32]),
    }
}

fn configured(n: u8, pinned: Option<TlsPin>) -> Site {
    Site {
        name: format!("mine {n}"),
        url: format!("https://site{n}:7444").parse().unwrap(),
        pin: pinned,
    }
}

fn roster(sites: &[(u8, u8)]) -> Roster {
    let site = |(site, key): &(u8, u8)| RosterSite {
        site: SiteId::from_bytes([*site; 16]),
        receipt_key: PublicKey::from_bytes([9; 32]),
        tls_pin: pin(*key),
        label: "x".to_owned(),
    };
    Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: Timestamp(0),
        chunker: ChunkerParams::default(),
        root_keys: Vec::new(),
        registrar: None,
        recipients: Vec::new(),
        agents: Vec::new(),
        sites: sites.iter().map(site).collect(),
    }
}

fn pins(targets: &Targets) -> Vec<Vec<TlsPin>> {
    targets.usable.iter().map(|t| t.pins.clone()).collect()
}

#[test]
fn without_configured_sites_the_registers_are_used_pusat_data_first() {
    let register =
        [entry(3, SiteKind::Other), entry(2, SiteKind::Drc), entry(1, SiteKind::PusatData)];
    let found = targets(&[], &register, None);
    assert_eq!(pins(&found), [[pin(1)], [pin(2)], [pin(3)]]);
}

#[test]
fn the_configured_order_counts() {
    let register = [entry(1, SiteKind::PusatData), entry(2, SiteKind::Drc)];
    let found = targets(&[configured(2, None), configured(1, None)], &register, Some(&roster(&[])));
    assert_eq!(found.usable[0].name, "mine 2");
    assert_eq!(pins(&found), [[pin(2)], [pin(1)]]);
}

#[test]
fn the_rosters_key_outranks_the_registers() {
    // A stolen controller names another key for site 1: the roster's counts.
    let register = [entry(1, SiteKind::PusatData), entry(2, SiteKind::Drc)];
    let found = targets(&[], &register, Some(&roster(&[(1, 77)])));
    assert_eq!(pins(&found), [[pin(77)]]);
    assert_eq!(found.left_out.len(), 1);
    assert!(found.left_out[0].contains("add-site"), "{:?}", found.left_out);
}

#[test]
fn an_address_that_nobody_knows_must_show_a_key_of_the_roster() {
    let found = targets(&[configured(5, None)], &[], Some(&roster(&[(1, 11), (2, 12)])));
    assert_eq!(pins(&found), [[pin(11), pin(12)]]);
    let found = targets(&[configured(5, None)], &[entry(1, SiteKind::PusatData)], None);
    assert!(found.usable.is_empty() && found.left_out[0].contains("pin"));
}

#[test]
fn a_pin_in_the_file_outranks_all() {
    let found = targets(
        &[configured(1, Some(pin(99)))],
        &[entry(1, SiteKind::PusatData)],
        Some(&roster(&[(1, 77)])),
    );
    assert_eq!(pins(&found), [[pin(99)]]);
}
