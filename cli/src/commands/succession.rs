//! `lumbung succession`: who is to act as the controller, read and signed by officers of the Dinas.
//!
//! Invariants: whoever signs has seen in words what changes, or has said `--yes`; nothing is signed that does not follow on
//! statements which hold, nor by a key that does not count. The controller is not asked: it may be the one that is gone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lumbung_wire::messages::succession::{Officer, Seat, Statement, Succession};
use lumbung_wire::succession::{
    Chain, QUORUM, SUCCESSION_MAX_BYTES, SuccessionError, proposal, sign as signed, signed_by,
};
use serde_json::json;

use crate::confirm::confirm;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::{read_text, replace};
use crate::keys::{self, KeyArgs};
use crate::terminal::{Terminal, plain};

/// What people call it.
const FILE: &str = "the succession's file";

/// Who acts as the controller: officers sign what `lumbung-controller succession draft` or `promote --ask` drew up
#[derive(Debug, Subcommand)]
pub(crate) enum SuccessionCommand {
    /// Show what the statement says, then add this officer's signature
    Sign(SignArgs),
    /// Show what the statement says, what it changes, and who signed it
    Show(ShowArgs),
}

/// Arguments of `succession sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// File from the controller's console
    file: PathBuf,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// Arguments of `succession show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// File from the controller's console
    file: PathBuf,
}

/// Runs `lumbung succession`.
///
/// # Errors
/// As each command says.
pub(crate) fn run(command: &SuccessionCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        SuccessionCommand::Sign(args) => sign(args, terminal),
        SuccessionCommand::Show(args) => {
            tell(&File::read(&args.file)?, terminal)?;
            Ok(Exit::Fine)
        }
    }
}

/// A file that was read: statements that hold, and one that may still lack signatures.
struct File {
    succession: Succession,
    before: Option<Chain>,
    statement: Statement,
    signers: Vec<Officer>,
}

fn refused(path: &Path, error: SuccessionError) -> Failure {
    let message = format!("{} cannot be used", path.display());
    let next = "take the file that `lumbung-controller succession draft` or `promote --ask` wrote, unchanged";
    Failure::new(Code::BadFile, message, next).because(error)
}

impl File {
    fn read(path: &Path) -> Outcome<Self> {
        let text = read_text(path, FILE)?;
        let succession = if text.len() > SUCCESSION_MAX_BYTES {
            Err(SuccessionError::Length(usize::MAX))
        } else {
            serde_json::from_str(&text).map_err(|_| SuccessionError::Unreadable(0))
        };
        Self::of(succession.map_err(|error| refused(path, error))?, path)
    }

    fn of(succession: Succession, path: &Path) -> Outcome<Self> {
        let (before, statement) = proposal(&succession).map_err(|error| refused(path, error))?;
        let signers = signed_by(&succession).map_err(|error| refused(path, error))?;
        Ok(Self { succession, before, statement, signers })
    }

    /// Whose signatures count.
    fn officers(&self) -> &[Officer] {
        self.before.as_ref().map_or(&self.statement.officers, |chain| &chain.newest().officers)
    }
}

fn sign(args: &SignArgs, terminal: &Terminal) -> Outcome<Exit> {
    let mut file = File::read(&args.file)?;
    let key = keys::public_halves(&args.key.key)?.root_public();
    if !file.officers().iter().any(|officer| officer.key == key) {
        let message = format!("{} is none of the officers' keys", args.key.key.display());
        let next = "one of the officers named by the statement before signs; `lumbung succession show` lists them";
        return Err(Failure::new(Code::Usage, message, next));
    }
    if file.signers.iter().any(|officer| officer.key == key) {
        let message = format!("{} is signed with this key already", args.file.display());
        let next = "the second signature is another officer's";
        return Err(Failure::new(Code::SignedAlready, message, next));
    }
    // Seen before the passphrase is asked for.
    confirm(&words(&file, terminal), args.yes, terminal)?;
    let bundle = args.key.open()?;
    signed(&mut file.succession, bundle.root()).map_err(|error| refused(&args.file, error))?;
    let text = serde_json::to_string_pretty(&file.succession).map_err(|error| {
        Failure::new(Code::Io, "the statement could not be written as JSON", "report this")
            .because(error)
    })?;
    replace(&args.file, FILE, (text + "\n").as_bytes(), 0o644)?;
    tell(&File::of(file.succession, &args.file)?, terminal)?;
    Ok(Exit::Fine)
}

fn tell(file: &File, terminal: &Terminal) -> Outcome<()> {
    let names = |officers: &[Officer]| -> Vec<String> {
        officers.iter().map(|officer| officer.name.clone()).collect()
    };
    let value = json!({
        "statement": file.statement,
        "signed_by": names(&file.signers),
        "may_sign": names(file.officers()),
        "complete": file.signers.len() >= QUORUM,
    });
    terminal.result(&value, || words(file, terminal))
}

fn words(file: &File, terminal: &Terminal) -> String {
    let before = file.before.as_ref().map(Chain::newest);
    let new = &file.statement;
    let mut out = String::new();
    let seat = |seat: &Seat| format!("{} ({})", plain(&seat.url), seat.pin);
    let mut line = |id: &str, en: &str, text: String| {
        let _ = writeln!(out, "{:<22}{text}", terminal.pick(id, en).to_owned() + ":");
    };
    line("Masa jabatan", "Epoch", new.epoch.to_string());
    line("Dibuat", "Drawn up", terminal.time(new.made));
    line("Alasan", "Reason", plain(&new.reason));
    if let Some(before) = before.filter(|before| before.controller != new.controller) {
        line("Pengontrol lama", "Controller before", seat(&before.controller));
    }
    line("Pengontrol", "Controller", seat(&new.controller));
    for standby in &new.standbys {
        line("Siaga", "Standby", seat(standby));
    }
    for officer in &new.officers {
        let is_new = before.is_some_and(|before| !before.officers.contains(officer));
        let mark = if is_new { terminal.pick(" (baru)", " (new)") } else { "" };
        line("Pejabat", "Officer", format!("{} {}{mark}", plain(&officer.name), officer.key));
    }
    for officer in before.into_iter().flat_map(|before| &before.officers) {
        if !new.officers.contains(officer) {
            line("Bukan pejabat lagi", "No officer any more", plain(&officer.name));
        }
    }
    for officer in &file.signers {
        line("Ditandatangani", "Signed by", plain(&officer.name));
    }
    let lacking = QUORUM.saturating_sub(file.signers.len());
    if lacking > 0 {
        line("Masih kurang", "Still lacking", lacking.to_string());
    }
    out
}
