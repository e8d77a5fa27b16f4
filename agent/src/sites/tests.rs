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
    let found = targets(&[], &register, &[], None);
    assert_eq!(pins(&found), [[pin(1)], [pin(2)], [pin(3)]]);
}

#[test]
fn the_configured_order_counts() {
    let register = [entry(1, SiteKind::PusatData), entry(2, SiteKind::Drc)];
    let found =
        targets(&[configured(2, None), configured(1, None)], &register, &[], Some(&roster(&[])));
    assert_eq!(found.usable[0].name, "mine 2");
    assert_eq!(pins(&found), [[pin(2)], [pin(1)]]);
}

#[test]
fn the_rosters_key_outranks_the_registers() {
    // A stolen controller names another key for site 1: the roster's counts.
    let register = [entry(1, SiteKind::PusatData), entry(2, SiteKind::Drc)];
    let found = targets(&[], &register, &[], Some(&roster(&[(1, 77)])));
    assert_eq!(pins(&found), [[pin(77)]]);
    assert_eq!(found.left_out.len(), 1);
    assert!(found.left_out[0].contains("add-site"), "{:?}", found.left_out);
}

#[test]
fn an_address_that_nobody_knows_must_show_a_key_of_the_roster() {
    let found = targets(&[configured(5, None)], &[], &[], Some(&roster(&[(1, 11), (2, 12)])));
    assert_eq!(pins(&found), [[pin(11), pin(12)]]);
    let found = targets(&[configured(5, None)], &[entry(1, SiteKind::PusatData)], &[], None);
    assert!(found.usable.is_empty() && found.left_out[0].contains("pin"));
}

#[test]
fn a_pin_in_the_file_outranks_all() {
    let found = targets(
        &[configured(1, Some(pin(99)))],
        &[entry(1, SiteKind::PusatData)],
        &[],
        Some(&roster(&[(1, 77)])),
    );
    assert_eq!(pins(&found), [[pin(99)]]);
}

fn reached(n: u8, url: &str) -> Reached {
    let site = SiteId::from_bytes([n; 16]);
    Reached { site, name: format!("site {n}"), url: url.to_owned() }
}

#[test]
fn where_a_site_of_the_roster_took_a_snapshot_is_tried_whatever_the_register_says() {
    let roster = roster(&[(1, 11), (2, 12)]);
    let before = [reached(1, "https://site1:7444"), reached(3, "https://site3:7444")];
    let urls = |register: &[SiteEntry]| -> Vec<(String, TlsPin)> {
        let found = targets(&[], register, &before, Some(&roster));
        found.usable.into_iter().map(|target| (target.url, target.pins[0])).collect()
    };
    let here = ("https://site1:7444".to_owned(), pin(11));
    assert_eq!(urls(&[entry(1, SiteKind::PusatData)]), std::slice::from_ref(&here), "once");
    // Moved, as the register says; last, where it was.
    let moved = SiteEntry { url: "https://new:7444".into(), ..entry(1, SiteKind::PusatData) };
    assert_eq!(urls(&[moved]), [("https://new:7444".to_owned(), pin(11)), here.clone()]);
    // Other sites only, which no roster lists; and a site that is no longer listed is not kept.
    assert_eq!(urls(&[entry(9, SiteKind::PusatData)]), std::slice::from_ref(&here));
    assert_eq!(urls(&[]), [here]);
    // Without a roster nothing vouches for an address but the register of now.
    assert!(targets(&[], &[], &before, None).usable.is_empty());
    // What the server's own file says stands alone.
    assert_eq!(targets(&[configured(2, None)], &[], &before, Some(&roster)).usable.len(), 1);
}

#[test]
fn of_each_listed_site_the_newest_address_is_kept() {
    let roster = roster(&[(1, 11), (2, 12)]);
    let target = |n: u8, url: &str| Target {
        name: format!("site {n}"),
        url: url.to_owned(),
        pins: vec![pin(n)],
        site: Some(SiteId::from_bytes([n; 16])),
    };
    let first = reached_now(&[], &target(1, "https://a"), &roster).unwrap();
    assert_eq!(first, [reached(1, "https://a")]);
    assert_eq!(reached_now(&first, &target(1, "https://a"), &roster), None);
    let both = reached_now(&first, &target(2, "https://b"), &roster).unwrap();
    assert_eq!(both.len(), 2);
    assert_eq!(reached_now(&both, &target(1, "https://a"), &roster), None, "in any order");
    let moved = reached_now(&both, &target(1, "https://c"), &roster).unwrap();
    assert!(moved.contains(&reached(1, "https://c")) && moved.len() == 2);
    assert_eq!(reached_now(&[], &target(9, "https://x"), &roster), None, "no roster lists it");
    let unlisted = [reached(9, "https://x")];
    assert_eq!(reached_now(&unlisted, &target(1, "https://a"), &roster).unwrap(), first);
    let unknown = Target { site: None, ..target(1, "https://a") };
    assert_eq!(reached_now(&[], &unknown, &roster), None);
}
