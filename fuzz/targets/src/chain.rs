//! The chain of rosters (`docs/format.md` §5): whoever signs what, the chain grows only by the rules.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use lumbung_model::{
    AgentId, DomainId, PublicKey, RepositoryId, RosterId, Secret, SiteId, Timestamp, TlsPin,
};
use lumbung_pack::{
    AgentStatus, ChunkerParams, Recipient, RootKey, RootRole, Roster, RosterAgent, RosterChain,
    RosterSite, Signed, SigningKey, sign,
};

use crate::structured;

const MAX_STEPS: usize = 6;

static KEYS: LazyLock<[SigningKey; 4]> =
    LazyLock::new(|| [1, 2, 3, 4].map(|seed| SigningKey::from_seed(&Secret::new([seed; 32]))));

fn key(u: &mut Unstructured<'_>) -> Result<&'static SigningKey> {
    u.choose(&KEYS[..])
}

fn root_key(u: &mut Unstructured<'_>) -> Result<RootKey> {
    let role = if u.arbitrary()? { RootRole::Working } else { RootRole::Spare };
    Ok(RootKey { key: key(u)?.public(), role, label: "akar".to_owned() })
}

/// One of very few agents, so that two rosters often list the same one otherwise.
fn agent(u: &mut Unstructured<'_>) -> Result<RosterAgent> {
    let [agent, key, domain] =
        [u.int_in_range(1..=3)?, u.int_in_range(1..=3)?, u.int_in_range(1..=2)?];
    Ok(RosterAgent {
        agent: AgentId::from_bytes([agent; 16]),
        key: PublicKey::from_bytes([key; 32]),
        domain: DomainId::from_bytes([domain; 16]),
        status: if u.arbitrary()? { AgentStatus::Active } else { AgentStatus::Withdrawn },
        label: u.choose(&["srv-1", ""])?.to_string(),
    })
}

fn first(u: &mut Unstructured<'_>) -> Result<Roster> {
    Ok(Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: Timestamp(0),
        chunker: ChunkerParams::default(),
        root_keys: vec![root_key(u)?],
        registrar: if u.arbitrary()? { Some(key(u)?.public()) } else { None },
        recipients: vec![Recipient { key: PublicKey::from_bytes([9; 32]), label: String::new() }],
        agents: Vec::new(),
        sites: Vec::new(),
    })
}

/// A roster that often is the next one, and often is not.
fn next(u: &mut Unstructured<'_>, chain: &RosterChain) -> Result<Roster> {
    let current = chain.current();
    let mut roster = current.body.clone();
    roster.repository = chain.repository();
    roster.number = current.body.number.wrapping_add(1);
    roster.previous = current.id;
    for _ in 0..u.int_in_range(0..=3)? {
        match u.int_in_range(0..=9)? {
            0 => {
                roster.number = roster.number.wrapping_add(u.choose(&[1, u32::MAX, 5])?.to_owned())
            }
            1 => roster.previous = RosterId::from_bytes([u.arbitrary()?; 32]),
            2 => roster.repository = RepositoryId::from_bytes([u.arbitrary()?; 32]),
            3 => roster.root_keys.push(root_key(u)?),
            4 => drop(roster.root_keys.pop()),
            5 => roster.registrar = if u.arbitrary()? { Some(key(u)?.public()) } else { None },
            6 => roster.recipients.push(Recipient {
                key: PublicKey::from_bytes([u.arbitrary()?; 32]),
                label: "penerima".to_owned(),
            }),
            7 => roster.agents.push(agent(u)?),
            8 => drop(roster.agents.pop()),
            _ => roster.sites.push(RosterSite {
                site: SiteId::from_bytes([u.arbitrary()?; 16]),
                receipt_key: PublicKey::from_bytes([5; 32]),
                tls_pin: TlsPin::ZERO,
                label: "DRC".to_owned(),
            }),
        }
    }
    Ok(roster)
}

/// What §5 says of two rosters that follow each other.
fn check_step(repository: RepositoryId, before: &Signed<Roster>, after: &Signed<Roster>) {
    let (old, new) = (&before.body, &after.body);
    assert_eq!(new.number, old.number + 1);
    assert_eq!(new.previous, before.id);
    assert_eq!(new.repository, repository);
    for agent in &new.agents {
        for known in old.agents.iter().filter(|known| known.agent == agent.agent) {
            assert_eq!((known.key, known.domain), (agent.key, agent.domain), "an agent changed");
        }
    }
    if old.root_keys.iter().any(|root| root.key == after.signer) {
        return;
    }
    assert_eq!(old.registrar, Some(after.signer), "a stranger signed");
    assert_eq!(new.root_keys, old.root_keys);
    assert_eq!(new.registrar, old.registrar);
    assert_eq!(new.recipients, old.recipients);
    assert_eq!(new.sites, old.sites);
    assert_eq!(new.chunker, old.chunker);
    assert!(old.agents.iter().all(|agent| new.agents.contains(agent)), "an agent is gone");
}

fn grow(u: &mut Unstructured<'_>) -> Result<()> {
    let roster = first(u)?;
    let signer = key(u)?;
    let begun = RosterChain::begin(&sign(&roster, signer), None);
    let entitled = roster.root_keys.iter().any(|root| root.key == signer.public());
    assert_eq!(begun.is_ok(), entitled, "number 1 is signed by one of its own root keys");
    let Ok(mut chain) = begun else { return Ok(()) };
    for _ in 0..MAX_STEPS {
        let roster = next(u, &chain)?;
        let object = sign(&roster, key(u)?);
        let before = chain.objects().len();
        if chain.push(&object).is_err() {
            assert_eq!(chain.objects().len(), before, "what was refused was kept");
        }
    }
    for pair in chain.all().windows(2) {
        check_step(chain.repository(), &pair[0], &pair[1]);
    }
    check_again(&chain);
    Ok(())
}

/// The order in which rosters come changes nothing, nor does a second time.
fn check_again(chain: &RosterChain) {
    let mut objects = chain.objects().to_vec();
    objects.reverse();
    let mut again =
        RosterChain::from_objects(chain.repository(), objects).expect("the same rosters");
    for object in chain.objects() {
        again.push(object).expect("one that is known changes nothing");
    }
    assert_eq!(again.objects(), chain.objects());
}

pub(crate) fn roster_chain(data: &[u8]) {
    structured::check(data, grow);
}
