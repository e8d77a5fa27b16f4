//! Key bundles and agent identities, from their files.
//!
//! Invariant: a bundle is opened only where its secret halves are needed; everything else works with
//! the public halves, for which no passphrase is asked.

use std::path::{Path, PathBuf};

use lumbung_pack::RosterChain;
use lumbung_seal::{AgentIdentity, KeyBundle, KeyBundlePublic, KeyFileError};

use crate::failure::{Code, Failure, Outcome};
use crate::files::read_text;
use crate::passphrase::{self, PassphraseArgs};

/// The key bundle that a command needs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeyArgs {
    /// Key bundle (from `lumbung key new`)
    #[arg(long, value_name = "FILE", env = "LUMBUNG_KEY")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

/// The key bundle that a command can use.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OptionalKeyArgs {
    /// Key bundle (from `lumbung key new`)
    #[arg(long, value_name = "FILE", env = "LUMBUNG_KEY")]
    pub(crate) key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

impl KeyArgs {
    /// Opens the bundle.
    ///
    /// # Errors
    /// If it is not there, is damaged, or the passphrase is wrong.
    pub(crate) fn open(&self) -> Outcome<KeyBundle> {
        open(&self.key, self.passphrase.passphrase_file.as_deref())
    }
}

impl OptionalKeyArgs {
    /// Opens the bundle, if one was named.
    ///
    /// # Errors
    /// If it is not there, is damaged, or the passphrase is wrong.
    pub(crate) fn open(&self) -> Outcome<Option<KeyBundle>> {
        let passphrase_file = self.passphrase.passphrase_file.as_deref();
        self.key.as_deref().map(|key| open(key, passphrase_file)).transpose()
    }
}

/// Opens a bundle with its passphrase. A damaged file is told before a passphrase is asked for.
///
/// # Errors
/// If it is not there, is damaged, or the passphrase is wrong.
pub(crate) fn open(path: &Path, passphrase_file: Option<&Path>) -> Outcome<KeyBundle> {
    let text = read_text(path, "the key file")?;
    KeyBundlePublic::from_text(&text).map_err(|e| explain(path, e))?;
    let passphrase = passphrase::existing(passphrase_file, path)?;
    KeyBundle::from_text(&text, &passphrase).map_err(|e| explain(path, e))
}

/// Opens the bundle that takes another one's place, with the passphrase that is called the new one.
///
/// # Errors
/// If it is not there, is damaged, or the passphrase is wrong.
pub(crate) fn open_new(path: &Path, passphrase_file: Option<&Path>) -> Outcome<KeyBundle> {
    let text = read_text(path, "the key file")?;
    KeyBundlePublic::from_text(&text).map_err(|e| explain(path, e))?;
    let passphrase = passphrase::existing_new(passphrase_file, path)?;
    KeyBundle::from_text(&text, &passphrase).map_err(|e| explain(path, e))
}

/// Reads the public halves of a bundle.
///
/// # Errors
/// If it is not there or is damaged.
pub(crate) fn public_halves(path: &Path) -> Outcome<KeyBundlePublic> {
    let text = read_text(path, "the key file")?;
    KeyBundlePublic::from_text(&text).map_err(|e| explain(path, e))
}

/// Reads an agent's identity.
///
/// # Errors
/// If it is not there or is damaged.
pub(crate) fn agent(path: &Path) -> Outcome<AgentIdentity> {
    let text = read_text(path, "the agent identity")?;
    AgentIdentity::from_text(&text).map_err(|e| explain(path, e))
}

/// Refuses an agent that was made for another repository.
///
/// # Errors
/// If the repositories differ.
pub(crate) fn check_agent(
    path: &Path,
    identity: &AgentIdentity,
    chain: &RosterChain,
    depot: &str,
) -> Outcome<()> {
    if identity.repository == chain.repository() {
        return Ok(());
    }
    let message = format!(
        "{} was made for repository {}, and {depot} is repository {}",
        path.display(),
        identity.repository,
        chain.repository()
    );
    Err(Failure::new(
        Code::OtherRepository,
        message,
        "name the depot that this agent belongs to, or this depot's agent file",
    ))
}

/// What a key file's error means to its owner.
#[must_use]
pub(crate) fn explain(path: &Path, error: KeyFileError) -> Failure {
    if matches!(error, KeyFileError::WrongPassphrase) {
        return Failure::new(
            Code::WrongPassphrase,
            format!("the passphrase does not open {}", path.display()),
            "try again (Caps Lock, keyboard layout); the file itself is undamaged",
        );
    }
    Failure::new(
        Code::DamagedKeyFile,
        format!("{} cannot be used as a key file", path.display()),
        "restore it from its copy or from the printout of `lumbung key paper`",
    )
    .because(error)
}
