//! The roster chain and the commit check, against those who would bend them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use lumbung_model::{
    AgentId, ChunkId, DatasetId, DomainId, FrameHash, ManifestId, MediumId, MediumListId, PackId,
    PublicKey, RepositoryId, RosterId, SegmentId, SessionId, SiteId, Timestamp, TlsPin, UsageId,
};
use lumbung_pack::{
    AgentStatus, Alarm, Bitmap, ChunkerParams, Content, Encoding, FrameEntry, Holdings, ListSigner,
    Manifest, MediumList, PackFacts, PackHeader, PackTable, PackUse, Provenance, Recipient,
    Refusal, RootKey, RootRole, Roster, RosterAgent, RosterChain, RosterError, RosterSite,
    SealedKey, Segment, SegmentRef, Session, SessionFacts, Signed, SigningKey, Statistics,
    UsageBuilder, UsageList, check_manifest, check_session, decode, encode, list_signer, object_id,
    open_signed, sign,
};

const RECIPIENT: PublicKey = PublicKey::from_bytes([40; 32]);
const DATASET: DatasetId = DatasetId::from_bytes([4; 16]);

/// A repository with one agent, and every key that signs in it.
struct World {
    root: SigningKey,
    registrar: SigningKey,
    agent_key: SigningKey,
    agent: AgentId,
    domain: DomainId,
    chain: RosterChain,
}

fn recipient(key: PublicKey) -> Recipient {
    Recipient { key, label: "penjaga kunci".into() }
}

fn roster_agent(agent: AgentId, key: &SigningKey, domain: DomainId) -> RosterAgent {
    RosterAgent {
        agent,
        key: key.public(),
        domain,
        status: AgentStatus::Active,
        label: "srv".into(),
    }
}

fn world() -> World {
    let (root, registrar, agent_key) =
        (SigningKey::generate(), SigningKey::generate(), SigningKey::generate());
    let (agent, domain) = (AgentId::random(), DomainId::random());
    let first = Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: Timestamp(100),
        chunker: ChunkerParams::default(),
        root_keys: vec![RootKey {
            key: root.public(),
            role: RootRole::Working,
            label: String::new(),
        }],
        registrar: Some(registrar.public()),
        recipients: vec![recipient(RECIPIENT)],
        agents: vec![roster_agent(agent, &agent_key, domain)],
        sites: vec![],
    };
    let chain = RosterChain::begin(&sign(&first, &root), None).unwrap();
    World { root, registrar, agent_key, agent, domain, chain }
}

impl World {
    /// The roster that may come next, changed.
    fn next(&self, change: impl FnOnce(&mut Roster)) -> Roster {
        let current = self.chain.current();
        let mut next = current.body.clone();
        next.repository = self.chain.repository();
        next.number += 1;
        next.previous = current.id;
        change(&mut next);
        next
    }

    fn push(&self, roster: &Roster, key: &SigningKey) -> Result<(), RosterError> {
        self.chain.clone().push(&sign(roster, key))
    }
}

#[test]
fn only_those_entitled_continue_the_chain() {
    let world = world();
    let thief = SigningKey::generate();
    assert_eq!(world.push(&world.next(|_| ()), &world.root), Ok(()));
    let refused = world.push(&world.next(|_| ()), &thief);
    assert_eq!(refused, Err(RosterError::Signer { number: 2, signer: thief.public() }));
    let own_keys = world.next(|next| next.root_keys[0].key = thief.public());
    assert!(world.push(&own_keys, &thief).is_err(), "a roster does not authorise its own signer");
    let broken = world.next(|next| next.previous = RosterId::from_bytes([1; 32]));
    assert_eq!(world.push(&broken, &world.root), Err(RosterError::Broken(2)));
    let skipped = world.next(|next| next.number = 3);
    assert_eq!(
        world.push(&skipped, &world.root),
        Err(RosterError::Number { current: 1, found: 3 })
    );
    let elsewhere = world.next(|next| next.repository = RepositoryId::from_bytes([1; 32]));
    assert!(matches!(
        world.push(&elsewhere, &world.root),
        Err(RosterError::OtherRepository { .. })
    ));
}

#[test]
fn a_mediums_list_is_signed_by_owner_site_or_agent_of_its_time() {
    let mut world = world();
    let (site_key, thief) = (SigningKey::generate(), SigningKey::generate());
    let site = SiteId::from_bytes([7; 16]);
    let listed = RosterSite {
        site,
        receipt_key: site_key.public(),
        tls_pin: TlsPin::from_bytes([1; 32]),
        label: "Pusat Data".into(),
    };
    let second = sign(&world.next(|next| next.sites.push(listed.clone())), &world.root);
    world.chain.push(&second).unwrap();
    let list = |world: &World, site: SiteId, key: &SigningKey| {
        let list = MediumList {
            repository: world.chain.repository(),
            medium: MediumId::from_bytes([1; 16]),
            number: 1,
            previous: MediumListId::ZERO,
            made: Timestamp(1),
            site,
            origin: String::new(),
            label: String::new(),
            serial: String::new(),
            custodian: String::new(),
            place: String::new(),
            roster_number: 2,
            bases: vec![],
            snapshots: vec![],
            objects: vec![],
        };
        open_signed::<MediumList>(&sign(&list, key)).unwrap()
    };
    let signer = |world: &World, site: SiteId, key: &SigningKey| {
        list_signer(&world.chain, &list(world, site, key))
    };
    assert_eq!(signer(&world, site, &world.root), Some(ListSigner::Root));
    assert_eq!(signer(&world, site, &site_key), Some(ListSigner::Site(site)));
    assert_eq!(signer(&world, SiteId::ZERO, &site_key), None, "a site vouches for its own copy");
    assert_eq!(signer(&world, site, &world.agent_key), Some(ListSigner::Agent(world.agent)));
    assert_eq!(signer(&world, site, &world.registrar), None);
    assert_eq!(signer(&world, site, &thief), None);
    // Years later: the site is gone and the agent withdrawn. What was right when it was made stays right.
    let third = world.next(|next| {
        next.sites.clear();
        next.agents[0].status = AgentStatus::Withdrawn;
    });
    world.chain.push(&sign(&third, &world.root)).unwrap();
    assert_eq!(signer(&world, site, &site_key), Some(ListSigner::Site(site)));
    assert_eq!(signer(&world, site, &world.agent_key), Some(ListSigner::Agent(world.agent)));
}

#[test]
fn a_registrar_adds_agents_and_nothing_else() {
    let world = world();
    let added = roster_agent(AgentId::random(), &SigningKey::generate(), DomainId::random());
    let adds = world.next(|next| next.agents.push(added.clone()));
    assert_eq!(world.push(&adds, &world.registrar), Ok(()));
    let changes: [fn(&mut Roster); 5] = [
        |next| next.recipients.push(recipient(PublicKey::from_bytes([41; 32]))),
        |next| next.agents.clear(),
        |next| next.agents[0].status = AgentStatus::Withdrawn,
        |next| next.registrar = None,
        |next| next.chunker.max -= 1,
    ];
    for change in changes {
        let next = world.next(change);
        assert_eq!(world.push(&next, &world.registrar), Err(RosterError::Registrar(2)));
        assert_eq!(world.push(&next, &world.root), Ok(()), "the root key may");
    }
}

#[test]
fn a_chain_neither_forks_nor_goes_back() {
    let mut world = world();
    let second = sign(&world.next(|next| next.created = Timestamp(200)), &world.root);
    let other = sign(&world.next(|next| next.created = Timestamp(300)), &world.root);
    let first = world.chain.objects()[0].clone();
    world.chain.push(&second).unwrap();
    assert_eq!(world.chain.push(&second), Ok(()), "what is known changes nothing");
    assert_eq!(world.chain.push(&first), Ok(()));
    assert_eq!(world.chain.push(&other), Err(RosterError::Forked(2)));
    assert_eq!(world.chain.current().body.number, 2);
    let repository = world.chain.repository();
    let rebuilt = RosterChain::from_objects(repository, vec![second.clone(), first]).unwrap();
    assert_eq!(rebuilt.current().id, world.chain.current().id);
    assert!(matches!(RosterChain::from_objects(repository, vec![]), Err(RosterError::Missing(_))));
    assert!(RosterChain::from_objects(repository, vec![second]).is_err(), "without its beginning");
}

#[test]
fn a_first_roster_is_signed_by_its_own_root_key() {
    let mut first = world().chain.current().body.clone();
    let thief = SigningKey::generate();
    let forged = sign(&first, &thief);
    assert_eq!(RosterChain::begin(&forged, None).err(), Some(RosterError::FirstSigner));
    first.root_keys[0].key = thief.public();
    let own = sign(&first, &thief);
    let expected = RepositoryId::from_bytes([1; 32]);
    assert!(matches!(
        RosterChain::begin(&own, Some(expected)),
        Err(RosterError::OtherRepository { .. })
    ));
}

#[test]
fn an_agent_keeps_its_domain() {
    let world = world();
    let moved = world.next(|next| next.agents[0].domain = DomainId::random());
    assert!(matches!(world.push(&moved, &world.root), Err(RosterError::Domain { number: 2, .. })));
}

/// A site in memory.
struct Site {
    chain: RosterChain,
    sessions: BTreeMap<SessionId, SessionFacts>,
    usages: BTreeMap<UsageId, Vec<u8>>,
    segments: BTreeMap<SegmentId, Vec<u8>>,
    verified: BTreeMap<SegmentId, Vec<SessionId>>,
    packs: BTreeMap<PackId, PackFacts>,
    manifests: BTreeMap<(u32, u64), ManifestId>,
    certified: Option<PublicKey>,
}

impl Holdings for Site {
    type Error = std::convert::Infallible;

    fn chain(&self) -> &RosterChain {
        &self.chain
    }
    fn session(&self, id: &SessionId) -> Result<Option<SessionFacts>, Self::Error> {
        Ok(self.sessions.get(id).cloned())
    }
    fn usage(&self, id: &UsageId) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.usages.get(id).cloned())
    }
    fn segment(&self, id: &SegmentId) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.segments.get(id).cloned())
    }
    fn verified_segment(&self, id: &SegmentId) -> Result<Option<Vec<SessionId>>, Self::Error> {
        Ok(self.verified.get(id).cloned())
    }
    fn pack(&self, id: &PackId) -> Result<Option<PackFacts>, Self::Error> {
        Ok(self.packs.get(id).cloned())
    }
    fn agent_key(&self, _: &AgentId) -> Option<PublicKey> {
        self.certified
    }
    fn manifest_at(
        &self,
        _: &AgentId,
        _: &DatasetId,
        epoch: u32,
        sequence: u64,
    ) -> Result<Option<ManifestId>, Self::Error> {
        Ok(self.manifests.get(&(epoch, sequence)).copied())
    }
    fn has_manifest(&self, id: &ManifestId) -> Result<bool, Self::Error> {
        Ok(self.manifests.values().any(|known| known == id))
    }
}

fn session_of(world: &World, recipients: &[PublicKey]) -> Session {
    let seal =
        |key: &PublicKey| SealedKey { recipient: *key, encapsulated: [1; 32], ciphertext: [2; 80] };
    Session {
        repository: world.chain.repository(),
        agent: world.agent,
        domain: world.domain,
        dataset: DATASET,
        started: Timestamp(150),
        roster_number: 1,
        sealed: recipients.iter().map(seal).collect(),
    }
}

/// A site that holds one pack of two frames, and a manifest that uses the second.
fn prepared(world: &World) -> (Site, Manifest, PackId) {
    let bytes = sign(&session_of(world, &[RECIPIENT]), &world.agent_key);
    let session = open_signed::<Session>(&bytes).unwrap();
    let frame = |i| FrameEntry {
        chunk: ChunkId::from_bytes([i; 32]),
        stored_hash: FrameHash::from_bytes([i; 32]),
        plain_length: 10,
        stored_length: 26,
        encoding: Encoding::Raw,
    };
    let header = PackHeader {
        repository: world.chain.repository(),
        domain: world.domain,
        session: session.id,
        salt: [0; 32],
        commitment: [0; 32],
        content: Content::Data,
    };
    let pack = PackTable::new(header, vec![frame(1), frame(2)]).unwrap().id();
    let mut builder = UsageBuilder::new(world.chain.repository(), world.domain);
    builder.add(pack, 2, 1, 26);
    let built = builder.build();
    let manifest = Manifest {
        repository: world.chain.repository(),
        agent: world.agent,
        dataset: DATASET,
        domain: world.domain,
        partial: false,
        epoch: 1,
        sequence: 1,
        previous: ManifestId::ZERO,
        started: Timestamp(150),
        finished: Timestamp(160),
        roster_number: 1,
        statistics: Statistics::default(),
        usage: built.usage_id,
        sessions: vec![session.id],
        root_salt: [0; 32],
        sealed_root: vec![],
    };
    let facts = PackFacts { domain: world.domain, session: session.id, frames: 2, bad: vec![0] };
    let site = Site {
        chain: world.chain.clone(),
        sessions: [(session.id, SessionFacts::from(&session.body))].into(),
        usages: [(built.usage_id, built.usage)].into(),
        segments: built.segments.into_iter().collect(),
        verified: BTreeMap::new(),
        packs: [(pack, facts)].into(),
        manifests: BTreeMap::new(),
        certified: None,
    };
    (site, manifest, pack)
}

fn signed(manifest: &Manifest, key: &SigningKey) -> Signed<Manifest> {
    open_signed(&sign(manifest, key)).unwrap()
}

fn admit(
    site: &Site,
    manifest: &Manifest,
    key: &SigningKey,
) -> Result<lumbung_pack::Admission, Refusal<std::convert::Infallible>> {
    check_manifest(site, &signed(manifest, key), Provenance::Agent)
}

#[test]
fn a_manifest_counts_by_its_agents_key_and_domain_together() {
    let world = world();
    let (_, manifest, _) = prepared(&world);
    let elsewhere = Manifest { domain: DomainId::random(), ..manifest.clone() };
    let (own, other) = (&world.agent_key, &SigningKey::generate());
    let counts = |manifest, key| world.chain.authorizes(&signed(manifest, key));
    assert!(counts(&manifest, own));
    assert!(!counts(&manifest, other) && !counts(&elsewhere, own) && !counts(&elsewhere, other));
}

#[test]
fn a_chain_gives_its_rosters_and_the_sites_of_the_newest() {
    let site = |n| RosterSite {
        site: SiteId::from_bytes([n; 16]),
        receipt_key: PublicKey::from_bytes([n; 32]),
        tls_pin: TlsPin::from_bytes([n; 32]),
        label: String::new(),
    };
    let mut world = world();
    let next = world.next(|roster| roster.sites = vec![site(1), site(2)]);
    world.chain.push(&sign(&next, &world.root)).unwrap();
    let numbers: Vec<u32> = world.chain.all().iter().map(|roster| roster.body.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(world.chain.site(&site(2).site), Some(&site(2)));
    assert_eq!(world.chain.site(&SiteId::from_bytes([3; 16])), None);
}

#[test]
fn a_whole_snapshot_is_admitted_and_its_segments_remembered() {
    let world = world();
    let (site, manifest, _) = prepared(&world);
    let admission = admit(&site, &manifest, &world.agent_key).unwrap();
    assert!(admission.authorized);
    assert_eq!(admission.alarms, vec![]);
    assert_eq!(admission.newly_verified.len(), 1);
    assert_eq!(admission.newly_verified[0].1, manifest.sessions);
}

#[test]
fn a_verified_segment_is_not_read_again() {
    let world = world();
    let (mut site, manifest, _) = prepared(&world);
    let verified = admit(&site, &manifest, &world.agent_key).unwrap().newly_verified;
    site.segments.clear();
    site.packs.clear();
    site.verified = verified.into_iter().collect();
    assert_eq!(admit(&site, &manifest, &world.agent_key).unwrap().newly_verified, vec![]);
    site.verified.values_mut().for_each(|sessions| sessions.push(SessionId::ZERO));
    let refused = admit(&site, &manifest, &world.agent_key);
    assert!(matches!(refused, Err(Refusal::Incomplete(_))), "its sessions are not all named");
}

#[test]
fn everything_that_is_missing_is_listed() {
    let world = world();
    let (mut site, manifest, pack) = prepared(&world);
    site.packs.get_mut(&pack).unwrap().bad = vec![1];
    let Err(Refusal::Incomplete(missing)) = admit(&site, &manifest, &world.agent_key) else {
        panic!()
    };
    let mut second = Bitmap::new(2);
    second.set(1);
    assert_eq!(missing.packs, vec![PackUse { pack, used: second }]);
    site.packs.clear();
    site.sessions.clear();
    let Err(Refusal::Incomplete(missing)) = admit(&site, &manifest, &world.agent_key) else {
        panic!()
    };
    assert_eq!((missing.packs.len(), missing.sessions.clone()), (1, manifest.sessions.clone()));
    site.segments.clear();
    let Err(Refusal::Incomplete(missing)) = admit(&site, &manifest, &world.agent_key) else {
        panic!()
    };
    assert_eq!(missing.segments.len(), 1);
    site.usages.clear();
    let Err(Refusal::Incomplete(missing)) = admit(&site, &manifest, &world.agent_key) else {
        panic!()
    };
    assert!(missing.usage);
}

#[test]
fn forged_and_foreign_manifests_are_refused() {
    let world = world();
    let (mut site, manifest, pack) = prepared(&world);
    let thief = SigningKey::generate();
    assert!(matches!(admit(&site, &manifest, &thief), Err(Refusal::Signer { .. })));
    site.certified = Some(thief.public());
    let refused = admit(&site, &manifest, &thief);
    assert!(
        matches!(refused, Err(Refusal::Signer { .. })),
        "a certificate does not outweigh the roster"
    );
    let other = Manifest { repository: RepositoryId::from_bytes([1; 32]), ..manifest.clone() };
    assert!(matches!(admit(&site, &other, &world.agent_key), Err(Refusal::OtherRepository)));
    let other = Manifest { domain: DomainId::random(), ..manifest.clone() };
    assert!(matches!(admit(&site, &other, &world.agent_key), Err(Refusal::Domain { .. })));
    site.packs.get_mut(&pack).unwrap().session = SessionId::from_bytes([9; 32]);
    assert!(matches!(
        admit(&site, &manifest, &world.agent_key),
        Err(Refusal::UnnamedSession { .. })
    ));
    site.packs.get_mut(&pack).unwrap().frames = 3;
    assert!(matches!(admit(&site, &manifest, &world.agent_key), Err(Refusal::Frames { .. })));
    site.packs.get_mut(&pack).unwrap().domain = DomainId::random();
    assert!(matches!(admit(&site, &manifest, &world.agent_key), Err(Refusal::Domain { .. })));
}

#[test]
fn an_unlisted_agent_is_kept_but_not_authorised() {
    let world = world();
    let (mut site, manifest, _) = prepared(&world);
    let key = SigningKey::generate();
    let manifest = Manifest { agent: AgentId::random(), ..manifest };
    assert!(matches!(admit(&site, &manifest, &key), Err(Refusal::Signer { .. })), "no certificate");
    site.certified = Some(key.public());
    assert!(!admit(&site, &manifest, &key).unwrap().authorized);
    site.certified = Some(world.agent_key.public());
    let stolen = admit(&site, &manifest, &world.agent_key);
    assert!(
        matches!(stolen, Err(Refusal::Signer { .. })),
        "a listed key speaks for its own agent only"
    );
}

#[test]
fn forks_and_gaps_raise_alarms() {
    let world = world();
    let (mut site, manifest, _) = prepared(&world);
    let other = ManifestId::from_bytes([1; 32]);
    site.manifests.insert((1, 1), other);
    assert_eq!(
        admit(&site, &manifest, &world.agent_key).unwrap().alarms,
        vec![Alarm::Fork { other }]
    );
    let previous = ManifestId::from_bytes([2; 32]);
    let later = Manifest { sequence: 2, previous, ..manifest.clone() };
    assert_eq!(
        admit(&site, &later, &world.agent_key).unwrap().alarms,
        vec![Alarm::Gap { previous }]
    );
    let unnamed = Manifest { sequence: 2, ..manifest.clone() };
    let gap = Alarm::Gap { previous: ManifestId::ZERO };
    assert_eq!(admit(&site, &unnamed, &world.agent_key).unwrap().alarms, vec![gap]);
    let later = Manifest { sequence: 2, previous: other, ..manifest };
    assert_eq!(admit(&site, &later, &world.agent_key).unwrap().alarms, vec![]);
}

fn take(
    chain: &RosterChain,
    session: &Session,
    key: &SigningKey,
    provenance: Provenance,
) -> Result<(), Refusal<()>> {
    let signed = open_signed::<Session>(&sign(session, key)).unwrap();
    check_session::<()>(chain, &signed, None, provenance).map(|_| ())
}

#[test]
fn a_session_is_sealed_to_exactly_the_recipients() {
    let mut world = world();
    let thief = PublicKey::from_bytes([66; 32]);
    let good = session_of(&world, &[RECIPIENT]);
    assert!(take(&world.chain, &good, &world.agent_key, Provenance::Agent).is_ok());
    for wrong in [&[RECIPIENT, thief][..], &[thief]] {
        let session = session_of(&world, wrong);
        let refused = take(&world.chain, &session, &world.agent_key, Provenance::Agent);
        assert!(matches!(refused, Err(Refusal::Recipients { newest: 1 })));
    }
    let next = sign(&world.next(|next| next.recipients.push(recipient(thief))), &world.root);
    world.chain.push(&next).unwrap();
    let old = take(&world.chain, &good, &world.agent_key, Provenance::Agent);
    assert!(matches!(old, Err(Refusal::Recipients { newest: 2 })), "an agent seals to the newest");
    assert!(
        take(&world.chain, &good, &world.agent_key, Provenance::Pulled).is_ok(),
        "history stays right"
    );
}

#[test]
fn a_withdrawn_agent_adds_nothing_but_its_history_stays() {
    let mut world = world();
    let (mut site, manifest, _) = prepared(&world);
    let next = world.next(|next| next.agents[0].status = AgentStatus::Withdrawn);
    world.chain.push(&sign(&next, &world.root)).unwrap();
    site.chain = world.chain.clone();
    assert!(matches!(admit(&site, &manifest, &world.agent_key), Err(Refusal::Withdrawn(_))));
    let pulled = check_manifest(&site, &signed(&manifest, &world.agent_key), Provenance::Pulled);
    assert!(pulled.unwrap().authorized);
}

/// The usage list of a manifest and its segment, changed, put back under their new ids.
fn with_usage(
    (mut site, mut manifest): (Site, Manifest),
    change: impl FnOnce(&mut SegmentRef, &mut Segment),
) -> (Site, Manifest) {
    let (mut list, _) = decode::<UsageList>(&site.usages[&manifest.usage]).unwrap();
    let (mut segment, _) = decode::<Segment>(&site.segments[&list.segments[0].segment]).unwrap();
    change(&mut list.segments[0], &mut segment);
    let bytes = encode(&segment);
    list.segments[0].segment = SegmentId::from_bytes(object_id(&bytes));
    site.segments.insert(list.segments[0].segment, bytes);
    let bytes = encode(&list);
    manifest.usage = UsageId::from_bytes(object_id(&bytes));
    site.usages.insert(manifest.usage, bytes);
    (site, manifest)
}

#[test]
fn a_usage_list_says_of_its_segments_what_they_are() {
    let world = world();
    let refused = |change: fn(&mut SegmentRef, &mut Segment)| {
        let (site, manifest, _) = prepared(&world);
        let (site, manifest) = with_usage((site, manifest), change);
        matches!(admit(&site, &manifest, &world.agent_key), Err(Refusal::Segment(_)))
    };
    assert!(!refused(|_, _| {}), "nothing was changed");
    assert!(refused(|named, _| named.packs += 1));
    assert!(refused(|named, _| named.frames += 1));
    assert!(refused(|named, _| named.first = PackId::ZERO));
    assert!(refused(|named, _| named.last = PackId::from_bytes([255; 32])));
    assert!(refused(|_, segment| segment.repository = RepositoryId::from_bytes([1; 32])));
    let (site, manifest, _) = prepared(&world);
    let foreign = with_usage((site, manifest), |_, segment| segment.domain = DomainId::random());
    let foreign = admit(&foreign.0, &foreign.1, &world.agent_key);
    assert!(matches!(foreign, Err(Refusal::Domain { .. })));
}

#[test]
fn only_the_session_that_sealed_the_root_must_open_to_the_recipients() {
    let world = world();
    let (mut site, mut manifest, _) = prepared(&world);
    // One of an earlier run, when the recipients were others, whose packs are still used.
    let earlier = SessionId::from_bytes([255; 32]);
    let facts = SessionFacts {
        recipients: vec![PublicKey::from_bytes([66; 32])],
        ..site.sessions[&manifest.sessions[0]].clone()
    };
    site.sessions.insert(earlier, facts);
    manifest.sessions.push(earlier);
    admit(&site, &manifest, &world.agent_key).unwrap();
    manifest.sessions.reverse();
    let refused = admit(&site, &manifest, &world.agent_key);
    assert!(matches!(refused, Err(Refusal::Recipients { newest: 1 })));
}
