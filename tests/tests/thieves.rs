//! Those who steal a part of the city and try the rest with it: each tries with the project's own code.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lumbung_model::{
    AgentId, Clock, DatasetId, DomainId, ManifestId, RepositoryId, Secret, SystemClock,
};
use lumbung_pack::{
    Content, Kind, Manifest, Object, PackTable, RosterChain, SealedKey, Session, SigningKey,
    Statistics, UsageBuilder, armor, object_id, sign,
};
use lumbung_seal::{RecoveryKey, open_session};
use lumbung_tests::alone::Alone;
use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::process::{any_output, eventually, output};
use lumbung_tests::{evidence, tree};
use lumbung_wire::certs::{Authority, IssueRequest, KeyPem};
use lumbung_wire::client::ClientError;
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::tls::{ServerTrust, TlsIdentity, client_config};
use lumbung_wire::{VaultClient, client};

const MARK: &[u8] = b"NIK 1271000000000001 hasil laboratorium";

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Everything that the agent keeps: its files, what is in them once decompressed, its identity once decoded.
fn loot(alone: &Alone) -> Vec<Vec<u8>> {
    let state = tree::files(&alone.path().join("agent.id.state")).unwrap();
    assert!(!state.is_empty(), "the agent keeps its state beside its identity");
    let mut loot: Vec<Vec<u8>> = state.iter().map(|path| fs::read(path).unwrap()).collect();
    let identity = fs::read_to_string(alone.agent()).unwrap();
    loot.push(armor::decode("LUMBUNG AGENT IDENTITY 1", &identity).unwrap().to_vec());
    let unpacked: Vec<Vec<u8>> =
        loot.iter().filter_map(|bytes| zstd::decode_all(&bytes[..]).ok()).collect();
    loot.extend(unpacked);
    loot
}

#[test]
fn a_stolen_agent_opens_nothing_of_earlier_sessions() {
    let alone = Alone::new().unwrap();
    fs::write(alone.source().join("pasien.csv"), MARK.repeat(500)).unwrap();
    alone.backup().unwrap();
    let loot = loot(&alone);
    let seeds: HashSet<[u8; 32]> = loot
        .iter()
        .flat_map(|bytes| bytes.windows(32))
        .map(|window| window.try_into().unwrap())
        .collect();
    assert!(loot.iter().all(|bytes| !contains(bytes, MARK)), "contents lie in the agent's files");
    let sessions = evidence::objects::<Session>(&alone.depot()).unwrap();
    let heads: Vec<PackTable> =
        tree::files(&alone.depot().join("packs")).unwrap().iter().map(|path| head(path)).collect();
    assert!(heads.iter().any(|head| head.header.content == Content::Data) && !sessions.is_empty());
    for seed in &seeds {
        let key = RecoveryKey::from_seed(Secret::new(*seed));
        assert!(
            sessions.iter().all(|session| open_session(&session.body, &key).is_err()),
            "a session opened"
        );
        // As a session key: it would give the commitment that stands in a pack's header.
        let opens =
            heads.iter().any(|head| commitment(seed, &head.header.salt) == head.header.commitment);
        assert!(!opens, "a pack key opened");
    }
    // The same attack with the right key succeeds: it is the key that is missing, not the method.
    let bundle = lumbung_seal::KeyBundle::from_text(
        &fs::read_to_string(alone.key()).unwrap(),
        lumbung_tests::alone::PASSPHRASE.as_bytes(),
    );
    let opened = open_session(&sessions[0].body, bundle.unwrap().recovery());
    assert!(opened.is_ok());
}

fn head(path: &Path) -> PackTable {
    let bytes = fs::read(path).unwrap();
    let length = PackTable::head_length(&bytes[..168]).unwrap();
    PackTable::decode(&bytes[..length]).unwrap()
}

/// `docs/format.md` §6, from a supposed session key.
fn commitment(session_key: &[u8; 32], salt: &[u8; 32]) -> [u8; 32] {
    let pack_key = blake3::derive_key("lumbung v1 pack key", &[&session_key[..], salt].concat());
    blake3::derive_key("lumbung v1 pack commitment", &pack_key)
}

/// A city with one PD that has backed up, and everything replicated and verified.
fn city(directory: &Path) -> City {
    let data = directory.join("srv");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("pasien.csv"), MARK.repeat(500)).unwrap();
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data] };
    let city = City::found(directory, vec![plan], |_| ()).unwrap();
    output(city.pds[0].agent().arg("backup")).unwrap();
    eventually("it is compliant", || {
        let table = city.compliance()?;
        Ok((table["verified"]["datasets"] == 1 && table["at_drc"]["datasets"] == 1)
            .then_some(())
            .ok_or_else(|| table.to_string()))
    })
    .unwrap();
    city
}

/// Somebody who holds the CA's key, and makes a certificate that names the victim's repository.
struct CaThief {
    key: SigningKey,
    agent: AgentId,
    certificate: String,
    tls_key: KeyPem,
}

impl CaThief {
    fn new(city: &City, agent: AgentId) -> Self {
        let data = city.controller.dir().join("data");
        let read = |name: &str| fs::read_to_string(data.join(name)).unwrap();
        let authority = Authority::open(&read("ca.crt"), &KeyPem::new(read("ca.key"))).unwrap();
        let key = SigningKey::generate();
        let wanted = IssueRequest {
            common_name: "pencuri".to_owned(),
            names: CertificateNames::agent(city.pds[0].repository, agent, key.public(), None),
            hosts: vec![],
            now: SystemClock.now(),
        };
        let (issued, tls_key) = authority.issue_with_key(&wanted).unwrap();
        Self { key, agent, certificate: issued.certificate_pem, tls_key }
    }

    fn client(&self, url: &str) -> VaultClient {
        let identity = TlsIdentity::from_pem(&self.certificate, &self.tls_key).unwrap();
        let tls =
            client_config(Some(&identity), ServerTrust::AnyKey, Arc::new(SystemClock)).unwrap();
        VaultClient::new(url, &tls).unwrap()
    }

    /// A session and a manifest of its own, of an empty dataset under the victim's dataset id.
    fn forge(
        &self,
        chain: &RosterChain,
        dataset: DatasetId,
        domain: DomainId,
    ) -> [(Kind, Vec<u8>); 3] {
        let repository = chain.repository();
        let roster = &chain.current().body;
        let seal = |key| SealedKey { recipient: key, encapsulated: [1; 32], ciphertext: [2; 80] };
        let now = SystemClock.now();
        let session = Session {
            repository,
            agent: self.agent,
            domain,
            dataset,
            started: now,
            roster_number: roster.number,
            sealed: roster.recipients.iter().map(|recipient| seal(recipient.key)).collect(),
        };
        let session = sign(&session, &self.key);
        let built = UsageBuilder::new(repository, domain).build();
        let manifest = Manifest {
            repository,
            agent: self.agent,
            dataset,
            domain,
            partial: false,
            epoch: 9,
            sequence: 900,
            previous: ManifestId::ZERO,
            started: now,
            finished: now.plus_seconds(60),
            roster_number: roster.number,
            statistics: Statistics { files: 1_000_000, ..Statistics::default() },
            usage: built.usage_id,
            sessions: vec![Session::id_from(object_id(&session))],
            root_salt: [3; 32],
            sealed_root: vec![4; 64],
        };
        [
            (Kind::Session, session),
            (Kind::Usage, built.usage),
            (Kind::Manifest, sign(&manifest, &self.key)),
        ]
    }
}

async fn send(
    client: &VaultClient,
    repository: &RepositoryId,
    kind: Kind,
    bytes: &[u8],
) -> Result<(), ClientError> {
    let id = object_id(bytes);
    if kind == Kind::Manifest {
        return client
            .commit(repository, &ManifestId::from_bytes(id), bytes.to_vec().into())
            .await
            .map(|_| ());
    }
    client.put(repository, kind, &id, bytes.to_vec().into()).await.map(|_| ())
}

fn refused(result: Result<(), ClientError>) -> u16 {
    match result {
        Err(client::ClientError::Refused { problem, .. }) => problem.status,
        other => panic!("it was not refused: {other:?}"),
    }
}

fn rosters(repository: &Path, id: RepositoryId) -> RosterChain {
    let objects = tree::files(&repository.join("rosters"))
        .unwrap()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    RosterChain::from_objects(id, objects).unwrap()
}

#[test]
fn a_stolen_controller_forges_no_reader_and_no_snapshot() {
    let directory = tempfile::TempDir::with_prefix("lumbung-thieves-").unwrap();
    let city = city(directory.path());
    let (repository, dataset) = (city.pds[0].repository, city.pds[0].dataset);
    let kept = city.pusat.repository(&repository);
    let chain = rosters(&kept, repository);
    let victim = chain.current().body.agents[0].clone();
    let genuine = evidence::newest(&kept).unwrap().id;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let thief = CaThief::new(&city, AgentId::random());
        let vault = thief.client(&city.pusat.url);
        // A reader of its own, by a roster.
        let mut roster = chain.current().body.clone();
        roster.repository = repository;
        roster.number += 1;
        roster.previous = chain.current().id;
        roster.recipients[0].key = RecoveryKey::generate().public();
        let forged = sign(&roster, &thief.key);
        assert!(refused(send(&vault, &repository, Kind::Roster, &forged).await) >= 400);
        // The victim's name with another key.
        let posing = CaThief::new(&city, victim.agent);
        let client = posing.client(&city.pusat.url);
        for (kind, object) in posing.forge(&chain, dataset, victim.domain) {
            if kind != Kind::Usage {
                assert!(refused(send(&client, &repository, kind, &object).await) >= 400, "{kind}");
            }
        }
        // A name of its own: it may be kept, as *belum disahkan*.
        for (kind, object) in thief.forge(&chain, dataset, DomainId::random()) {
            let _ = send(&vault, &repository, kind, &object).await;
        }
    });
    assert_eq!(rosters(&kept, repository).current().id, chain.current().id);
    delete_everything(&city, &kept);
    let target = directory.path().join("out");
    let mut restore = city.lumbung();
    restore
        .args(["--json", "restore", &city.pusat.url, "latest", "--key"])
        .arg(city.pds[0].key())
        .arg("--target")
        .arg(&target);
    let restored = output(&mut restore).unwrap();
    assert!(restored.contains(&genuine.to_string()), "latest is another snapshot: {restored}");
    let row = city.compliance().unwrap()["rows"][0].to_string();
    assert!(row.contains(&genuine.to_string()) || row.contains("met"), "{row}");
}

/// Tries to delete every object over HTTP with a certificate of each role that the CA can make.
fn delete_everything(city: &City, kept: &Path) {
    let data = city.controller.dir().join("data");
    let thief = CaThief::new(city, AgentId::random());
    let stolen = city.dir.join("stolen.pem");
    fs::write(&stolen, format!("{}{}", thief.certificate, thief.tls_key.expose())).unwrap();
    let before = tree::files(kept).unwrap().len();
    for identity in [stolen, data.join("operator.pem")] {
        for kind in Kind::REPOSITORY {
            let Some(object) = tree::files(&kept.join(kind.folder())).unwrap().pop() else {
                continue;
            };
            let id = object.file_name().unwrap().to_str().unwrap().to_owned();
            let url = format!(
                "{}/v1/repositories/{}/{}/{id}",
                city.pusat.url,
                city.pds[0].repository,
                kind.folder()
            );
            let mut curl = Command::new("curl");
            curl.args(["-sk", "-X", "DELETE", "-o", "/dev/null", "-w", "%{http_code}", "--cert"])
                .arg(&identity);
            let answered = any_output(curl.arg(&url)).unwrap();
            let status: u16 = String::from_utf8_lossy(&answered.stdout).parse().unwrap();
            assert!((400..500).contains(&status), "DELETE {kind} answered {status}");
        }
    }
    assert_eq!(tree::files(kept).unwrap().len(), before);
}

#[test]
fn a_vault_that_hides_a_snapshot_is_found_out() {
    let directory = tempfile::TempDir::with_prefix("lumbung-hides-").unwrap();
    let mut city = city(directory.path());
    let repository = city.pds[0].repository;
    // Nobody from whom it could honestly get the snapshot back.
    city.drc.kill().unwrap();
    city.pusat.kill().unwrap();
    let kept = city.pusat.repository(&repository);
    for folder in [Kind::Manifest, Kind::Receipt] {
        fs::remove_dir_all(kept.join(folder.folder())).unwrap();
        fs::create_dir(kept.join(folder.folder())).unwrap();
    }
    output(city.pusat.command().arg("reindex")).unwrap();
    city.pusat.start().unwrap();
    output(city.pusat.command().arg("inventory")).unwrap();
    eventually("the controller misses it", || {
        let table = city.compliance()?;
        Ok((table["backed_up"]["datasets"] == 0).then_some(()).ok_or_else(|| table.to_string()))
    })
    .unwrap();
    let status = output(city.operator().args(["--json", "status"])).unwrap();
    let snapshot = evidence::newest(&city.drc.repository(&repository)).unwrap().id;
    assert!(
        status.contains(&snapshot.to_string()),
        "no alarm names the snapshot that disappeared: {status}"
    );
}

#[test]
fn a_flipped_bit_heals_from_the_other_site() {
    let directory = tempfile::TempDir::with_prefix("lumbung-heals-").unwrap();
    let city = city(directory.path());
    let kept = city.drc.repository(&city.pds[0].repository);
    let packs = tree::files(&kept.join("packs")).unwrap();
    let whole: Vec<Vec<u8>> = packs.iter().map(|path| fs::read(path).unwrap()).collect();
    for (path, bytes) in packs.iter().zip(&whole) {
        let mut damaged = bytes.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 4;
        fs::write(path, damaged).unwrap();
    }
    output(city.drc.command().arg("scrub")).unwrap();
    for (path, bytes) in packs.iter().zip(&whole) {
        assert_eq!(&fs::read(path).unwrap(), bytes, "{} did not heal", path.display());
    }
}
