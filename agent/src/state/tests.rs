use std::os::unix::fs::PermissionsExt;

use super::*;

fn tls() -> TlsFiles {
    TlsFiles {
        certificate_pem: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
            .to_owned(),
        key: KeyPem::new(
            "-----BEGIN PRIVATE KEY-----\nBB==\n-----END PRIVATE KEY-----\n".to_owned(),
        ),
    }
}

fn enrolment(repository: RepositoryId) -> Enrolment {
    Enrolment {
        controller: "https://controller:7443".to_owned(),
        repository,
        server: None,
        ca_pems: vec!["pem".to_owned()],
        sites: Vec::new(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_written_is_read_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let state = StateDir::create(&path).unwrap();
    assert!(state.identity().unwrap().is_none() && state.tls().unwrap().is_none());
    assert!(matches!(state.enrolled(), Err(StateError::NotEnrolled { .. })));
    let repository = RepositoryId::from_bytes([3; 32]);
    let identity = AgentIdentity::generate(repository);
    state.write_identity(&identity).unwrap();
    state.write_tls(&tls()).unwrap();
    state.write_enrolment(&enrolment(repository)).unwrap();
    let (read, read_tls, read_enrolment) = state.enrolled().unwrap();
    assert_eq!((read.agent, read.repository), (identity.agent, repository));
    assert_eq!(read_tls.certificate_pem.trim(), tls().certificate_pem.trim());
    assert_eq!(read_tls.key.expose(), tls().key.expose());
    assert_eq!(read_enrolment.controller, "https://controller:7443");
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        let expected = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&entry.path()), expected, "{:?}", entry.path());
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::create(dir.path()).unwrap();
    state.write_identity(&AgentIdentity::generate(RepositoryId::from_bytes([3; 32]))).unwrap();
    fs::set_permissions(state.identity_file(), fs::Permissions::from_mode(0o640)).unwrap();
    let error = state.identity().err().unwrap();
    assert!(matches!(error, StateError::Exposed { mode: 0o640, .. }), "{error}");
    assert!(error.to_string().contains("chmod 600"));
}

#[test]
fn one_daemon_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::create(dir.path()).unwrap();
    let held = state.lock_daemon().unwrap();
    assert!(held.is_some() && state.lock_daemon().unwrap().is_none());
    drop(held);
    assert!(state.lock_daemon().unwrap().is_some());
}

#[test]
fn damage_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::create(dir.path()).unwrap();
    for (name, text) in [
        ("agent.id", "LUMBUNG"),
        ("tls.pem", "-----BEGIN CERTIFICATE-----"),
        ("enrolment.json", "{"),
    ] {
        replace(&dir.path().join(name), text.as_bytes()).unwrap();
    }
    assert!(matches!(state.identity(), Err(StateError::Damaged { .. })));
    assert!(matches!(state.tls(), Err(StateError::Damaged { .. })));
    assert!(matches!(state.enrolment(), Err(StateError::Damaged { .. })));
}

#[test]
fn an_enrolment_for_another_repository_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::create(dir.path()).unwrap();
    state.write_identity(&AgentIdentity::generate(RepositoryId::from_bytes([3; 32]))).unwrap();
    state.write_tls(&tls()).unwrap();
    state.write_enrolment(&enrolment(RepositoryId::from_bytes([4; 32]))).unwrap();
    assert!(matches!(state.enrolled(), Err(StateError::Damaged { .. })));
}
