use lumbung_model::{FixedClock, SystemClock, Timestamp};
use lumbung_wire::certs::{Authority, IssueRequest};
use lumbung_wire::identity::CertificateNames;

use super::*;

fn repository() -> RepositoryId {
    RepositoryId::from_bytes([3; 32])
}

fn answer(identity: &AgentIdentity, repository: RepositoryId) -> (EnrollResponse, String) {
    let now = SystemClock.now();
    let (authority, _) = Authority::generate("test CA", now).unwrap();
    let key = certs::generate_key().unwrap();
    let names = CertificateNames::agent(repository, identity.agent, identity.key.public(), None);
    let wanted = IssueRequest { common_name: "x".to_owned(), names, hosts: Vec::new(), now };
    let issued = authority.issue(&certs::csr(&key, "x").unwrap(), &wanted).unwrap();
    let response = EnrollResponse {
        certificate_pem: issued.certificate_pem,
        ca_pems: vec![authority.certificate_pem().to_owned()],
        server: None,
        site: None,
        sites: Vec::new(),
        datasets: Vec::new(),
        policy_key: None,
    };
    (response, authority.fingerprint().to_owned())
}

#[test]
fn the_answer_must_be_from_the_pinned_ca_and_for_this_agent() {
    let identity = AgentIdentity::generate(repository());
    let (right, fingerprint) = answer(&identity, repository());
    check(&identity, &fingerprint, &right).unwrap();
    let (_, other_fingerprint) = answer(&identity, repository());
    assert!(matches!(check(&identity, &other_fingerprint, &right), Err(EnrollError::Answer(_))));
    let (elsewhere, fingerprint) = answer(&identity, RepositoryId::from_bytes([4; 32]));
    assert!(matches!(check(&identity, &fingerprint, &elsewhere), Err(EnrollError::Answer(_))));
    let (foreign, fingerprint) = answer(&AgentIdentity::generate(repository()), repository());
    assert!(matches!(check(&identity, &fingerprint, &foreign), Err(EnrollError::Answer(_))));
}

#[test]
fn an_identity_is_kept_and_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::create(dir.path()).unwrap();
    let first = identity(&state, repository()).unwrap();
    assert_eq!(identity(&state, repository()).unwrap().agent, first.agent);
    let other = identity(&state, RepositoryId::from_bytes([9; 32])).err().unwrap();
    assert!(matches!(other, EnrollError::OtherRepository { agent, .. } if agent == first.agent));
}

#[test]
fn a_controller_that_does_not_answer_leaves_the_identity_for_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::create(dir.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Bound and dropped: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let request = |fingerprint: &str| Request {
        controller: format!("https://127.0.0.1:{port}").parse().unwrap(),
        ca_fingerprint: fingerprint.to_owned(),
        token: "t".to_owned(),
        repository: repository(),
        hostname: "h".to_owned(),
    };
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(Timestamp(1_795_305_600)));
    let error =
        runtime.block_on(enroll(&state, request("sha256:12"), clock.clone())).err().unwrap();
    assert!(error.to_string().contains("sha256:"), "{error}");
    let fingerprint = format!("sha256:{}", "ab".repeat(32));
    let error = runtime.block_on(enroll(&state, request(&fingerprint), clock)).err().unwrap();
    assert!(matches!(error, EnrollError::Client(ClientError::Unreachable { .. })), "{error}");
    assert!(state.identity().unwrap().is_some());
    assert!(matches!(state.enrolled(), Err(StateError::NotEnrolled { .. })));
}

fn dataset() -> Dataset {
    serde_json::from_value(serde_json::json!({
        "id": "00112233445566778899aabbccddeeff", "pd": "00112233445566778899aabbccddeeff", "name": "SIMRS",
        "kind": "files", "classification": "non_public", "urgency": "high", "rpo_s": 86_400, "paths": ["/srv/a"],
    }))
    .unwrap()
}

#[test]
fn the_skeleton_is_a_valid_configuration() {
    let mut enrolled = Enrolled {
        policy_key: None,
        agent: AgentId::from_bytes([1; 16]),
        repository: repository(),
        server: None,
        code: "lumbung-agent:…".to_owned(),
        state: PathBuf::from("/srv/state \"quoted\""),
        sites: Vec::new(),
        datasets: vec![],
    };
    let config = crate::config::Config::parse(Path::new("x"), &enrolled.skeleton()).unwrap();
    assert_eq!(config.state, enrolled.state);
    // Where policies come, what the register names needs no job here; it may have one.
    enrolled.datasets.push(dataset());
    let jobs = |enrolled: &Enrolled| {
        crate::config::Config::parse(Path::new("x"), &enrolled.skeleton()).unwrap().jobs.len()
    };
    assert_eq!(jobs(&enrolled), 1);
    enrolled.policy_key = Some(PublicKey::from_bytes([5; 32]));
    assert_eq!(jobs(&enrolled), 0);
    assert!(enrolled.skeleton().contains("# paths = [\"/srv/a\"]"), "{}", enrolled.skeleton());
    assert!(
        enrolled
            .to_text(Some(Path::new("/etc/lumbung/agent.toml")))
            .contains("roster add-agent DEPOT lumbung-agent:… --key KEY")
    );
}

#[test]
fn rosters_from_a_file_are_checked_as_a_chain_of_this_repository() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::create(dir.path()).unwrap();
    let key = lumbung_pack::SigningKey::generate();
    let roster = lumbung_pack::Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: lumbung_model::RosterId::ZERO,
        created: Timestamp(0),
        chunker: lumbung_pack::ChunkerParams::default(),
        root_keys: vec![lumbung_pack::RootKey {
            key: key.public(),
            role: lumbung_pack::RootRole::Working,
            label: "root".to_owned(),
        }],
        registrar: None,
        recipients: vec![lumbung_pack::Recipient {
            key: lumbung_model::PublicKey::from_bytes([7; 32]),
            label: "recovery".to_owned(),
        }],
        agents: Vec::new(),
        sites: Vec::new(),
    };
    let object = lumbung_pack::sign(&roster, &key);
    let right = RepositoryId::from_bytes(lumbung_pack::object_id(&object));
    let path = dir.path().join("rosters.txt");
    std::fs::write(&path, format!("# Rosters\n{}", armor::encode(ROSTER_TITLE, &object))).unwrap();
    let wrong = take_rosters(&state, repository(), &path);
    assert!(matches!(wrong, Err(EnrollError::Roster(_))), "{wrong:?}");
    take_rosters(&state, right, &path).unwrap();
    let chain = lumbung_engine::load_rosters(&state.engine(), right).unwrap().unwrap();
    assert_eq!(chain.current().body.number, 1);
    std::fs::write(&path, "nothing").unwrap();
    assert!(matches!(take_rosters(&state, right, &path), Err(EnrollError::NoRosters(_))));
}
