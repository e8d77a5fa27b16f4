//! Where a passphrase comes from: a file, the environment, or the terminal without echo.
//!
//! Invariants: a passphrase is never an argument (other users read command lines) and is zeroized when
//! dropped; a file's last line break does not belong to it; an empty one is refused.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::{Code, Failure, Outcome};
use crate::files::missing;

/// Longer than anybody types; guards against naming the wrong file.
const MAX_BYTES: u64 = 4096;

/// Options that say where the passphrase is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PassphraseArgs {
    /// File whose content is the passphrase (else LUMBUNG_PASSPHRASE, LUMBUNG_PASSPHRASE_FILE, or the terminal)
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Which passphrase is meant, for prompts and environment names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that opens the key.
    Present,
    /// The one that will open it from now on.
    New,
    /// An account's at the controller: never a key's, which no server may see.
    Account,
    /// An account's from now on.
    NewAccount,
}

impl Which {
    const fn variable(self) -> &'static str {
        match self {
            Self::Present => "LUMBUNG_PASSPHRASE",
            Self::New => "LUMBUNG_NEW_PASSPHRASE",
            Self::Account => "LUMBUNG_PASSWORD",
            Self::NewAccount => "LUMBUNG_NEW_PASSWORD",
        }
    }
}

/// Gets the passphrase of an existing key.
///
/// # Errors
/// If there is none and nobody can be asked.
pub(crate) fn existing(file: Option<&Path>, key_file: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    if let Some(found) = given(file, Which::Present)? {
        return Ok(found);
    }
    ask(&format!("Passphrase of {}: ", key_file.display()), Which::Present)
}

/// Gets the passphrase of the key that takes another one's place.
///
/// # Errors
/// If there is none and nobody can be asked.
pub(crate) fn existing_new(file: Option<&Path>, key_file: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    if let Some(found) = given(file, Which::New)? {
        return Ok(found);
    }
    ask(&format!("Passphrase of {}: ", key_file.display()), Which::New)
}

/// Gets the password of an account at the controller.
///
/// # Errors
/// If there is none and nobody can be asked.
pub(crate) fn of_account(file: Option<&Path>, name: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    if let Some(found) = given(file, Which::Account)? {
        return Ok(found);
    }
    ask(&format!("Password of {name}: "), Which::Account)
}

/// Gets a passphrase for a key that is being written: asked twice on a terminal.
///
/// # Errors
/// If there is none, the two differ, or it is empty.
pub(crate) fn chosen(file: Option<&Path>, which: Which) -> Outcome<Zeroizing<Vec<u8>>> {
    if let Some(found) = given(file, which)? {
        return Ok(found);
    }
    let first = ask("New passphrase: ", which)?;
    let second = ask("The same again: ", which)?;
    if *first != *second {
        let next = "run the command again and type the same passphrase twice";
        return Err(Failure::new(Code::NoPassphrase, "the two passphrases differ", next));
    }
    Ok(first)
}

fn given(file: Option<&Path>, which: Which) -> Outcome<Option<Zeroizing<Vec<u8>>>> {
    if let Some(path) = file {
        return read(path).map(Some);
    }
    if let Some(value) = std::env::var_os(which.variable()) {
        use std::os::unix::ffi::OsStringExt as _;
        return checked(Zeroizing::new(value.into_vec()), which.variable()).map(Some);
    }
    match std::env::var_os(format!("{}_FILE", which.variable())) {
        Some(path) => read(Path::new(&path)).map(Some),
        None => Ok(None),
    }
}

fn read(path: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| missing(path, "the passphrase file", e))?;
    if bytes.len() as u64 > MAX_BYTES {
        let message =
            format!("{} has more than {MAX_BYTES} bytes: it is no passphrase", path.display());
        return Err(Failure::new(
            Code::BadFile,
            message,
            "name the file that holds the passphrase alone",
        ));
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    checked(bytes, &path.display().to_string())
}

fn ask(prompt: &str, which: Which) -> Outcome<Zeroizing<Vec<u8>>> {
    if !io::stdin().is_terminal() {
        let next = format!("give --passphrase-file, or set {0} or {0}_FILE", which.variable());
        return Err(Failure::new(
            Code::NoPassphrase,
            "a passphrase is needed and this is no terminal",
            next,
        ));
    }
    let typed = rpassword::prompt_password(prompt).map_err(|e| {
        Failure::new(
            Code::NoPassphrase,
            "the passphrase could not be read from the terminal",
            "try again",
        )
        .because(e)
    })?;
    checked(Zeroizing::new(typed.into_bytes()), "what was typed")
}

fn checked(passphrase: Zeroizing<Vec<u8>>, from: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    if passphrase.is_empty() {
        let next = "choose five or more random words and keep them apart from the key file";
        return Err(Failure::new(
            Code::NoPassphrase,
            format!("the passphrase is empty ({from})"),
            next,
        ));
    }
    Ok(passphrase)
}
