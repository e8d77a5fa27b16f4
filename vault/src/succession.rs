//! Who acts as the controller, as this site knows it (ADR 31).
//!
//! Invariants: once a statement is known, only one that goes on from it and that two officers signed takes its place, through
//! restarts too; the first is taken from the controller that it names, over the key that it names. A controller that the
//! newest statement does not name is refused everything but to learn of it, and so is every one while the file of the statements
//! cannot be used: only where there is none was nobody ever named. What agents and sites do here needs none of it.
//! An enrolment at this machine's own console under another CA ends what is known: with a new CA a city begins anew.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use http::StatusCode;
use lumbung_model::TlsPin;
use lumbung_store::{StoreError, durable};
use lumbung_wire::messages::succession::{Seat, Succession};
use lumbung_wire::succession::{Chain, Relation, SuccessionError};
use lumbung_wire::{Peer, Problem, Role};

/// Name of the file that keeps the statements, and of the one in which those of another CA are put aside.
const FILE: &str = "succession.json";
const ASIDE: &str = "succession.json.old";

/// Why statements are not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuccessionRefused {
    /// They do not hold.
    #[error(transparent)]
    Invalid(#[from] SuccessionError),
    /// They contradict what is known.
    #[error("statement {0} contradicts what this site knows: find out which of the two counts")]
    Fork(u64),
    /// Somebody else brings the first ones.
    #[error(
        "the first statements are taken from the controller that they name, and from nobody else"
    )]
    Stranger,
    /// What is kept cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// They could not be kept.
    #[error("the statements could not be kept")]
    Write(#[from] StoreError),
}

/// What is kept cannot be used, so nobody knows who acts.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{file} cannot be used ({reason}), so no controller is believed here; backups go on. Restore it from a copy, or move it \
     away if the Dinas says who acts (what that one tells first is taken then), and restart the vault",
    file = file.display()
)]
pub struct Unusable {
    file: PathBuf,
    reason: String,
}

/// What this site knows.
pub(crate) struct Keeper {
    file: PathBuf,
    known: RwLock<Result<Option<Chain>, Unusable>>,
    /// Statements are taken one after the other.
    taking: Mutex<()>,
}

/// The statements that are kept in a state directory; none where there is no such file.
pub(crate) fn kept(dir: &Path) -> Result<Option<Chain>, Unusable> {
    let file = dir.join(FILE);
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Unusable { file, reason: error.to_string() }),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| error.to_string())
        .and_then(|all: Succession| Chain::open(&all).map_err(|error| error.to_string()))
        .map(Some)
        .map_err(|reason| Unusable { file, reason })
}

/// The controller that acts, as it was told to this site.
pub(crate) fn acting(dir: &Path) -> Result<Option<Seat>, Unusable> {
    Ok(kept(dir)?.map(|chain| chain.newest().controller.clone()))
}

/// Puts aside what was known, where it is of another CA than the one that this site has just enrolled with.
pub(crate) fn begin_anew(
    dir: &Path,
    known: Option<&Chain>,
    ca_fingerprint: &str,
) -> Result<(), StoreError> {
    if known.is_some_and(|chain| chain.newest().ca != ca_fingerprint) {
        durable::rename_file(&dir.join(FILE), &dir.join(ASIDE))?;
        durable::sync_directory(dir)?;
    }
    Ok(())
}

impl Keeper {
    /// What was known at the last stop.
    pub(crate) fn open(dir: &Path) -> Self {
        let known = kept(dir).inspect_err(|error| tracing::error!("{error}"));
        Self { file: dir.join(FILE), known: RwLock::new(known), taking: Mutex::default() }
    }

    /// Forgets what an enrolment has put aside since.
    fn look_aside(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // A directory that cannot be read says nothing.
        let is_gone = || matches!(self.file.try_exists(), Ok(false));
        if !matches!(*known, Ok(None)) && is_gone() {
            *known = Ok(None);
            tracing::warn!("{} is gone: who acts as the controller is learnt anew", FILE);
        }
    }

    /// As it travels.
    pub(crate) fn message(&self) -> Result<Succession, Unusable> {
        self.look_aside();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let chain = known.as_ref().map_err(Clone::clone)?;
        Ok(chain.as_ref().map(Chain::to_message).unwrap_or_default())
    }

    /// Refuses a controller that does not act, and every one while nobody knows who does.
    pub(crate) fn admit(&self, peer: &Peer) -> Result<(), Problem> {
        let Some(identity) = peer.identity().filter(|one| one.role == Role::Controller) else {
            return Ok(());
        };
        self.look_aside();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let Some(chain) = known.as_ref().map_err(unusable)? else { return Ok(()) };
        let newest = chain.newest();
        if newest.controller.pin == identity.pin {
            return Ok(());
        }
        let detail = format!(
            "this controller does not act: {} does since epoch {} (GET /v1/succession)",
            newest.controller.url, newest.epoch
        );
        let title = "Another controller acts";
        Err(Problem::new(StatusCode::FORBIDDEN, "not-acting", title, detail))
    }

    /// Takes what is newer than what is known. Blocks.
    pub(crate) fn take(&self, from: &TlsPin, told: &Succession) -> Result<(), SuccessionRefused> {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_aside();
        let newer = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let known = known.as_ref().map_err(Clone::clone)?;
            let newer = Chain::open(told)?;
            match known.as_ref().map(|known| newer.relation(known)) {
                None if newer.newest().controller.pin != *from => {
                    return Err(SuccessionRefused::Stranger);
                }
                None | Some(Relation::Newer) => newer,
                Some(Relation::Same | Relation::Older) => return Ok(()),
                Some(Relation::Fork) => return Err(SuccessionRefused::Fork(newer.epoch())),
            }
        };
        let text = serde_json::to_vec(&newer.to_message()).unwrap_or_default();
        durable::replace_file(&self.file, &text, 0o644)?;
        tracing::warn!(
            epoch = newer.epoch(),
            controller = newer.newest().controller.url,
            "another statement of who acts as the controller"
        );
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Ok(Some(newer));
        Ok(())
    }
}

/// What a controller is told while nobody knows who acts.
pub(crate) fn unusable(error: &Unusable) -> Problem {
    let title = "Nobody knows who acts";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "succession-unusable", title, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::Timestamp;
    use lumbung_pack::SigningKey;
    use lumbung_wire::PeerIdentity;
    use lumbung_wire::messages::succession::{Officer, Statement};
    use lumbung_wire::succession::{draft, sign};

    fn pin(number: u8) -> TlsPin {
        TlsPin::from_bytes([number; 32])
    }

    fn controller(number: u8) -> Peer {
        Peer::Certified(PeerIdentity {
            role: Role::Controller,
            repository: None,
            agent: None,
            agent_key: None,
            server: None,
            site: None,
            name: String::new(),
            serial: String::new(),
            pin: pin(number),
            not_after: Timestamp(i64::MAX),
        })
    }

    /// The next statement, by which that one acts.
    fn next(before: &Succession, keys: &[SigningKey; 2], number: u8) -> Succession {
        let chain = Chain::open(before).ok();
        let officer =
            |(name, key): (&str, &SigningKey)| Officer { name: name.into(), key: key.public() };
        let statement = Statement {
            epoch: chain.as_ref().map_or(0, Chain::epoch) + 1,
            previous: chain.as_ref().map(Chain::newest_hash),
            ca: "sha256:a".into(),
            controller: Seat { url: format!("https://c{number}"), pin: pin(number) },
            standbys: Vec::new(),
            officers: ["A", "B"].into_iter().zip(keys).map(officer).collect(),
            made: Timestamp(1),
            reason: "x".into(),
        };
        let mut all = before.clone();
        all.statements.push(draft(&statement).unwrap());
        keys.iter().for_each(|key| drop(sign(&mut all, key).unwrap()));
        all
    }

    #[test]
    fn the_newest_statement_counts_through_a_restart_and_a_lower_one_never_again() {
        let dir = tempfile::tempdir().unwrap();
        let keys = [SigningKey::generate(), SigningKey::generate()];
        let keeper = Keeper::open(dir.path());
        assert!(keeper.admit(&controller(1)).is_ok(), "nobody was named yet");
        let first = next(&Succession::default(), &keys, 1);
        assert!(matches!(keeper.take(&pin(2), &first), Err(SuccessionRefused::Stranger)));
        keeper.take(&pin(1), &first).unwrap();
        assert!(keeper.admit(&controller(1)).is_ok() && keeper.admit(&controller(2)).is_err());
        let second = next(&first, &keys, 2);
        let mut alone = second.clone();
        alone.statements[1].signatures.pop();
        assert!(matches!(keeper.take(&pin(2), &alone), Err(SuccessionRefused::Invalid(_))));
        keeper.take(&pin(2), &second).unwrap();
        for keeper in [keeper, Keeper::open(dir.path())] {
            assert!(keeper.admit(&controller(2)).is_ok() && keeper.admit(&controller(1)).is_err());
            keeper.take(&pin(1), &first).unwrap();
            let fork = next(&first, &keys, 3);
            assert!(matches!(keeper.take(&pin(3), &fork), Err(SuccessionRefused::Fork(2))));
            assert_eq!(keeper.message().unwrap(), second);
        }
        assert_eq!(acting(dir.path()).unwrap().unwrap().pin, pin(2));
    }

    #[test]
    fn an_enrolment_under_a_new_ca_ends_what_was_known_also_while_the_vault_runs() {
        let dir = tempfile::tempdir().unwrap();
        let keys = [SigningKey::generate(), SigningKey::generate()];
        let running = Keeper::open(dir.path());
        let enrolled_with = |ca: &str| {
            let known = kept(dir.path()).unwrap();
            begin_anew(dir.path(), known.as_ref(), ca).unwrap();
        };
        enrolled_with("sha256:a");
        let known = next(&Succession::default(), &keys, 1);
        running.take(&pin(1), &known).unwrap();
        enrolled_with("sha256:a");
        assert!(running.admit(&controller(2)).is_err(), "under the same CA nothing is forgotten");
        enrolled_with("sha256:b");
        assert!(dir.path().join(ASIDE).exists() && acting(dir.path()).unwrap().is_none());
        for keeper in [running, Keeper::open(dir.path())] {
            assert!(keeper.admit(&controller(2)).is_ok());
            assert_eq!(keeper.message().unwrap(), Succession::default());
            // Other officers found a succession; the old one is a contradiction no more.
            let theirs = [SigningKey::generate(), SigningKey::generate()];
            keeper.take(&pin(2), &next(&Succession::default(), &theirs, 2)).unwrap();
            assert!(keeper.admit(&controller(1)).is_err());
            enrolled_with("sha256:b");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let keys = [SigningKey::generate(), SigningKey::generate()];
        let first = next(&Succession::default(), &keys, 1);
        let file = dir.path().join(FILE);
        let mut alone = first.clone();
        alone.statements[0].signatures.pop();
        let damages: [&dyn Fn(); 3] = [
            &|| std::fs::write(&file, b"{").unwrap(),
            &|| std::fs::write(&file, serde_json::to_vec(&alone).unwrap()).unwrap(),
            // Whatever else the operating system says but "not found".
            &|| {
                std::fs::remove_file(&file).unwrap();
                std::fs::create_dir(&file).unwrap();
            },
        ];
        for damage in damages {
            damage();
            let keeper = Keeper::open(dir.path());
            for number in [1, 2] {
                let problem = keeper.admit(&controller(number)).unwrap_err();
                assert_eq!(problem.slug(), "succession-unusable");
                let taken = keeper.take(&pin(number), &next(&Succession::default(), &keys, number));
                assert!(matches!(taken, Err(SuccessionRefused::Unusable(_))), "{taken:?}");
            }
            assert!(keeper.message().is_err());
            let said = acting(dir.path()).unwrap_err().to_string();
            assert!(said.contains("Restore it from a copy"), "{said}");
            // Who is no controller does not need it.
            assert!(keeper.admit(&Peer::Anonymous).is_ok());
        }
        std::fs::remove_dir(&file).unwrap();
        let keeper = Keeper::open(dir.path());
        keeper.take(&pin(1), &first).unwrap();
        assert!(keeper.admit(&controller(1)).is_ok());
    }
}
