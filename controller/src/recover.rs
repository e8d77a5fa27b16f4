//! A controller made from its own backup: database and keys that were restored, put into an empty data directory.
//!
//! Invariants: nothing is written over; nothing is kept before the database was read through and the keys were found to belong to
//! the CA; the TLS key is a new one, so that a recovered controller is never taken for the one that was lost: where officers
//! were named, it acts only once two of them have promoted it.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lumbung_model::Clock;
use lumbung_wire::certs::{Authority, KeyPem};
use lumbung_wire::messages::overview::ControllerState;
use serde_json::json;

use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::{Db, DbError, beside};
use crate::standby::copy::{self, CopyError};
use crate::state_dir::{StateDir, StateError};
use crate::succession;

/// The keys of a controller that are in its backup. `server.key` is not among them.
pub const KEYS: [&str; 4] = ["ca.crt", "ca.key", "audit.key", "policy.key"];
/// Where the database lies while it is looked through.
const IN: &str = "recover.in";

/// Why nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is a controller already.
    #[error("{} has a controller already: name an empty data_dir, nothing is written over", .0.display())]
    Initialised(PathBuf),
    /// Something is not in what was restored.
    #[error(
        "cannot read {path}: restore the controller's whole dataset, {keys} and controller.db, and name its folder with --from",
        path = path.display(), keys = KEYS.join(", ")
    )]
    Missing {
        /// What is not there.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: look at the disk, and at the directory's owner", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database is of another city than the keys.
    #[error("the statements in the database are for another CA than {}: restore both from one snapshot", .0.display())]
    OtherCa(PathBuf),
    /// The database cannot be used.
    #[error("the restored database cannot be used: restore an older snapshot")]
    Database(#[from] CopyError),
    /// The keys cannot be used.
    #[error("the restored keys cannot be used")]
    State(#[from] StateError),
    /// The database failed.
    #[error("the database cannot be opened")]
    Db(#[from] DbError),
}

/// What was recovered.
#[derive(Debug)]
pub struct Recovered {
    /// What it is now: `acting` where no officers were ever named.
    pub standing: ControllerState,
    /// The newest epoch that it knows of.
    pub epoch: Option<u64>,
    /// The pin of its own TLS key.
    pub pin: lumbung_model::TlsPin,
    /// `sha256:…` of the CA.
    pub ca_fingerprint: String,
}

/// Recovers a controller from the folder of its keys and its database.
///
/// # Errors
/// If something is missing, damaged or does not fit together, or there is a controller already.
pub fn recover(
    (keys, database): (&Path, &Path),
    state: &StateDir,
    names: &[String],
    clock: &dyn Clock,
) -> Result<Recovered, RecoverError> {
    let place = state.path();
    if ["ca.crt", "ca.key", "controller.db"].iter().any(|name| place.join(name).exists()) {
        return Err(RecoverError::Initialised(place.to_owned()));
    }
    let mut files = Vec::new();
    for name in KEYS {
        let path = keys.join(name);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| RecoverError::Missing { path, source })?;
        files.push((name, KeyPem::new(text)));
    }
    let [ca, ca_key, ..] = files.as_slice() else {
        return Err(StateError::NotInitialised(keys.to_owned()).into());
    };
    let authority = Authority::open(ca.1.expose(), &ca_key.1).map_err(StateError::from)?;
    let restored = StateDir::at(keys);
    restored.audit_key()?;
    restored.policy_key()?;
    let write = |path: &Path, source| RecoverError::Write { path: path.to_owned(), source };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(place)
        .map_err(|source| write(place, source))?;
    let arrived = place.join(IN);
    bring(database, &arrived)?;
    copy::check(&arrived)?;
    let now = clock.now();
    let chain = {
        let db = Db::open(&arrived)?;
        let chain = db.read(|tx| succession::chain(tx))?;
        if chain.as_ref().is_some_and(|chain| chain.newest().ca != authority.fingerprint()) {
            return Err(RecoverError::OtherCa(keys.join("ca.crt")));
        }
        let deed = Deed {
            action: "controller.recover",
            kind: "controller",
            id: &authority.fingerprint(),
            pd: None,
        };
        let after = json!({ "from": database, "epoch": chain.as_ref().map(|one| one.epoch()) });
        db.write::<_, DbError>(|tx| {
            audit::append(tx, &Act::console(now), deed, None, Some(after))
        })?;
        chain
    };
    std::fs::rename(&arrived, state.database()).map_err(|source| write(&arrived, source))?;
    state.adopt(&files)?;
    let pin = state.own_pin(&authority, names, now)?;
    Ok(Recovered {
        standing: succession::standing(chain.as_ref(), &pin),
        epoch: chain.as_ref().map(|chain| chain.epoch()),
        pin,
        ca_fingerprint: authority.fingerprint().to_owned(),
    })
}

/// Copies a database, with the log beside it if it has one.
fn bring(from: &Path, to: &Path) -> Result<(), RecoverError> {
    let log = |path: &Path| beside(path, "-wal");
    for (from, to, needed) in [(from.to_owned(), to.to_owned(), true), (log(from), log(to), false)]
    {
        let _ = std::fs::remove_file(&to);
        if !needed && !from.exists() {
            continue;
        }
        let missing = |source| RecoverError::Missing { path: from.clone(), source };
        let mut source = std::fs::File::open(&from).map_err(missing)?;
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&to)
            .and_then(|mut file| {
                std::io::copy(&mut source, &mut file)?;
                file.flush()?;
                file.sync_all()
            });
        written.map_err(|source| RecoverError::Write { path: to, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::{FixedClock, Timestamp};

    fn names() -> Vec<String> {
        vec!["127.0.0.1".to_owned()]
    }

    /// A controller that has run: its directory is as a backup has it.
    fn backed_up(dir: &Path, clock: &FixedClock) -> StateDir {
        let state = StateDir::at(dir);
        state.init(&names(), clock).unwrap();
        state.audit_key().unwrap();
        state.policy_key().unwrap();
        state
    }

    #[test]
    fn a_recovered_controller_has_the_ca_and_a_tls_key_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let clock = FixedClock::new(Timestamp(1_800_000_000));
        let old = dir.path().join("old");
        let lost = backed_up(&old, &clock);
        let new = StateDir::at(&dir.path().join("new"));
        let made = recover((&old, &lost.database()), &new, &names(), &clock).unwrap();
        let authority = lost.authority().unwrap();
        assert_eq!(made.ca_fingerprint, authority.fingerprint());
        assert_eq!(new.authority().unwrap().fingerprint(), authority.fingerprint());
        assert_ne!(made.pin, lost.own_pin(&authority, &names(), clock.now()).unwrap());
        assert_eq!(new.policy_key().unwrap().public(), lost.policy_key().unwrap().public());
        assert_eq!((made.standing, made.epoch), (ControllerState::Acting, None));
        let again = recover((&old, &lost.database()), &new, &names(), &clock);
        assert!(matches!(again, Err(RecoverError::Initialised(_))));
    }

    #[test]
    fn what_is_missing_damaged_or_of_another_city_is_refused_and_leaves_no_controller() {
        let dir = tempfile::tempdir().unwrap();
        let clock = FixedClock::new(Timestamp(1_800_000_000));
        let (old, foreign) = (dir.path().join("old"), dir.path().join("foreign"));
        let lost = backed_up(&old, &clock);
        backed_up(&foreign, &clock);
        let new = StateDir::at(&dir.path().join("new"));
        let tried = |keys: &Path, database: &Path| {
            let refused = recover((keys, database), &new, &names(), &clock).unwrap_err();
            assert!(matches!(new.authority(), Err(StateError::NotInitialised(_))));
            refused
        };
        let missing = tried(&old, &old.join("no.db"));
        assert!(matches!(missing, RecoverError::Missing { .. }));
        // Half of a database.
        let half = dir.path().join("half.db");
        let bytes = std::fs::read(lost.database()).unwrap();
        std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(tried(&old, &half), RecoverError::Database(CopyError::Damaged(_))));
        // Of another city's CA only the key.
        std::fs::copy(foreign.join("ca.key"), old.join("ca.key")).unwrap();
        assert!(matches!(tried(&old, &lost.database()), RecoverError::State(_)));
        std::fs::remove_file(old.join("policy.key")).unwrap();
        assert!(matches!(tried(&old, &lost.database()), RecoverError::Missing { .. }));
    }
}
