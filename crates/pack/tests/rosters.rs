//! What a roster may say, to the last value that is allowed and the first that is not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lumbung_model::{
    AgentId, DomainId, PublicKey, RepositoryId, RosterId, SiteId, Timestamp, TlsPin,
};
use lumbung_pack::limits::{CHUNK_MAX, MAX_ROOT_KEYS};
use lumbung_pack::{
    AgentStatus, ChunkerParams, Recipient, RootKey, RootRole, Roster, RosterAgent, RosterSite,
    SigningKey, open_signed, sign,
};

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

/// Number 1, with two of everything.
fn roster() -> Roster {
    let root = |n| RootKey { key: key(n), role: RootRole::Working, label: String::new() };
    let recipient = |n| Recipient { key: key(n), label: String::new() };
    let agent = |n| RosterAgent {
        agent: AgentId::from_bytes([n; 16]),
        key: key(n),
        domain: DomainId::from_bytes([n; 16]),
        status: AgentStatus::Active,
        label: String::new(),
    };
    let site = |n| RosterSite {
        site: SiteId::from_bytes([n; 16]),
        receipt_key: key(n),
        tls_pin: TlsPin::from_bytes([n; 32]),
        label: String::new(),
    };
    Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: Timestamp(0),
        chunker: ChunkerParams::default(),
        root_keys: vec![root(1), root(2)],
        registrar: None,
        recipients: vec![recipient(1), recipient(2)],
        agents: vec![agent(1), agent(2)],
        sites: vec![site(1), site(2)],
    }
}

fn is_taken(roster: &Roster) -> bool {
    open_signed::<Roster>(&sign(roster, &SigningKey::generate())).is_ok()
}

#[test]
fn chunk_sizes_have_bounds() {
    let most = u32::try_from(CHUNK_MAX).unwrap();
    let taken =
        |min, avg, max| is_taken(&Roster { chunker: ChunkerParams { min, avg, max }, ..roster() });
    for (min, avg, max) in [(64, 1024, 1025), (1023, 1024, most), (64, most / 2, most)] {
        assert!(taken(min, avg, max), "{min} {avg} {max}");
    }
    for (min, avg, max) in [
        (63, 1024, 2048),
        (1024, 1024, 2048),
        (64, 1024, 1024),
        (64, 512, 2048),
        (64, 1536, 2048),
        (64, 1024, most + 1),
    ] {
        assert!(!taken(min, avg, max), "{min} {avg} {max}");
    }
}

#[test]
fn there_is_a_root_key_and_no_more_than_a_roster_may_list() {
    let of = |count: u8| {
        let root = |n| RootKey { key: key(n), role: RootRole::Working, label: String::new() };
        is_taken(&Roster { root_keys: (1..=count).map(root).collect(), ..roster() })
    };
    let most = u8::try_from(MAX_ROOT_KEYS).unwrap();
    assert_eq!([0, 1, most, most + 1, most + 2].map(of), [false, true, true, false, false]);
}

#[test]
fn only_the_first_roster_names_no_repository_and_no_predecessor() {
    let (id, previous) = (RepositoryId::from_bytes([7; 32]), RosterId::from_bytes([8; 32]));
    let taken = |number, repository, previous| {
        is_taken(&Roster { number, repository, previous, ..roster() })
    };
    assert!(taken(1, RepositoryId::ZERO, RosterId::ZERO));
    assert!(!taken(1, id, RosterId::ZERO) && !taken(1, RepositoryId::ZERO, previous));
    assert!(taken(2, id, previous) && taken(u32::MAX, id, previous));
    assert!(!taken(2, RepositoryId::ZERO, previous) && !taken(2, id, RosterId::ZERO));
    assert!(!taken(0, id, previous) && !taken(0, RepositoryId::ZERO, RosterId::ZERO));
}

#[test]
fn nobody_is_listed_twice() {
    assert!(is_taken(&roster()));
    let twice: [fn(&mut Roster); 5] = [
        |roster| roster.root_keys[1].key = roster.root_keys[0].key,
        |roster| roster.recipients[1].key = roster.recipients[0].key,
        |roster| roster.agents[1].agent = roster.agents[0].agent,
        |roster| roster.agents[1].key = roster.agents[0].key,
        |roster| roster.sites[1].site = roster.sites[0].site,
    ];
    for (which, change) in twice.into_iter().enumerate() {
        let mut roster = roster();
        change(&mut roster);
        assert!(!is_taken(&roster), "list {which}");
    }
    // Agents may share a domain, sites a key.
    let mut roster = roster();
    roster.agents[1].domain = roster.agents[0].domain;
    roster.sites[1].receipt_key = roster.sites[0].receipt_key;
    assert!(is_taken(&roster));
}
