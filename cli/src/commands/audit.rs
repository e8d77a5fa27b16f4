//! `lumbung audit`: the controller's log, checked away from the controller.
//!
//! Invariant: nothing that the log or its head says is believed because it says so: the chain is hashed anew, and the
//! head's key is held against the one that the operator names.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lumbung_model::{AuditHash, PublicKey, Timestamp};
use lumbung_wire::audit::{AuditEntry, AuditError, AuditHead, AuditRecord, Verifier};
use serde::Serialize;

use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::table::pairs;
use crate::terminal::Terminal;

/// Longest line of an export, bytes.
const LINE_MAX_BYTES: u64 = 16 << 20;

/// The controller's audit log
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that nothing in the log was changed, left out, put in or cut off
    Verify(VerifyArgs),
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// An export (`lumbung-controller audit export FILE`); without one, the log is read from the controller
    file: Option<PathBuf>,
    /// The key that signs heads, as `lumbung-controller audit export` printed it
    #[arg(long, value_name = "HEX")]
    key: Option<PublicKey>,
    /// What was written down earlier: the number of an entry and its hash
    #[arg(long, value_name = "NUMBER:HASH", value_parser = seen)]
    seen: Vec<(u64, AuditHash)>,
    #[command(flatten)]
    controller: ControllerArgs,
}

fn seen(text: &str) -> Result<(u64, AuditHash), String> {
    let wrong = || "write the entry's number, a colon and its hash of 64 digits".to_owned();
    let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
    let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    Ok((number, hash.parse().map_err(|_| wrong())?))
}

/// What was found.
#[derive(Serialize)]
struct Checked {
    entries: u64,
    hash: AuditHash,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Timestamp>,
    /// When the head was signed: what was done later is not in this log.
    signed: Timestamp,
    key: PublicKey,
    /// Whether that key was named on the command line.
    key_named: bool,
    seen: usize,
}

/// Runs `lumbung audit`.
///
/// # Errors
/// If the log cannot be read, or cannot be believed.
pub(crate) fn run(command: &AuditCommand, terminal: &Terminal) -> Outcome<Exit> {
    let AuditCommand::Verify(args) = command;
    let mut check = Check { args, verifier: Verifier::default(), times: None };
    let head = match &args.file {
        Some(file) => check.file(file)?,
        None => check.controller(&args.controller.connect()?)?,
    };
    let checked = check.finish(&head)?;
    terminal.result(&checked, || text(&checked, terminal))?;
    if !checked.key_named {
        terminal.warn(terminal.pick(
            "kunci kepala log tidak dibandingkan dengan apa pun: sebutkan --key",
            "the head's key was held against nothing: name it with --key",
        ));
        return Ok(Exit::Warnings);
    }
    Ok(Exit::Fine)
}

fn text(checked: &Checked, terminal: &Terminal) -> String {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "–".to_owned(), |at| terminal.time(at));
    pairs(&[
        (terminal.pick("Entri", "Entries"), checked.entries.to_string()),
        (terminal.pick("Pertama", "First"), time(checked.first)),
        (terminal.pick("Terakhir", "Last"), time(checked.last)),
        (terminal.pick("Ditandatangani", "Signed"), terminal.time(checked.signed)),
        (terminal.pick("Hash terakhir", "Last hash"), checked.hash.to_string()),
        (terminal.pick("Kunci", "Key"), checked.key.to_string()),
    ])
}

/// One check.
struct Check<'a> {
    args: &'a VerifyArgs,
    verifier: Verifier,
    /// Of the first entry and the last.
    times: Option<(Timestamp, Timestamp)>,
}

impl Check<'_> {
    fn take(&mut self, record: &AuditRecord) -> Outcome<()> {
        let entry: AuditEntry = self.verifier.take(record).map_err(broken)?;
        self.times = Some((self.times.map_or(entry.at, |(first, _)| first), entry.at));
        let differs =
            self.args.seen.iter().any(|(n, hash)| *n == entry.sequence && *hash != record.hash);
        if differs {
            return Err(Failure::new(
                Code::Damaged,
                format!("entry {} has another hash than was written down", entry.sequence),
                "the log was written anew since then: keep it as it is and tell the Inspektorat",
            ));
        }
        Ok(())
    }

    /// Reads an export: records, then the head.
    fn file(&mut self, path: &Path) -> Outcome<AuditHead> {
        let io = |error| {
            let message = format!("{} cannot be read", path.display());
            let next = "name the file that `lumbung-controller audit export` wrote";
            Failure::new(Code::FileMissing, message, next).because(error)
        };
        let mut reader = BufReader::new(File::open(path).map_err(io)?);
        let mut line = String::new();
        let mut number = 0_u64;
        loop {
            number += 1;
            line.clear();
            let read = reader.by_ref().take(LINE_MAX_BYTES).read_line(&mut line).map_err(io)?;
            if let Ok(record) = serde_json::from_str::<AuditRecord>(&line) {
                self.take(&record)?;
            } else if let Ok(head) = serde_json::from_str::<AuditHead>(&line) {
                return Self::nothing_follows(&mut reader, path, number).map(|()| head);
            } else {
                let message = match read {
                    0 => format!("{} ends without its signed head", path.display()),
                    _ => format!("{}, line {number}: neither a record nor a head", path.display()),
                };
                let next = "its end was cut off, or it is no export: have it written again";
                return Err(Failure::new(Code::Damaged, message, next));
            }
        }
    }

    /// An export ends with its head.
    fn nothing_follows(reader: &mut impl std::io::Read, path: &Path, line: u64) -> Outcome<()> {
        let mut more = Vec::new();
        let read = reader.take(1).read_to_end(&mut more);
        if matches!(read, Ok(0)) {
            return Ok(());
        }
        let message = format!("{}: something follows the head in line {line}", path.display());
        Err(Failure::new(
            Code::Damaged,
            message,
            "it is no export as it was written: ask for it again",
        ))
    }

    /// Reads the log from the controller; its head first, so that what is added meanwhile is left out.
    fn controller(&mut self, controller: &Controller) -> Outcome<AuditHead> {
        let head: AuditHead = controller.get("/api/v1/audit/head")?;
        while self.verifier.end().0 < head.sequence {
            let after = self.verifier.end().0;
            let limit = (head.sequence - after).min(1000);
            let path = format!("/api/v1/audit?after={after}&limit={limit}");
            let (page, _): (Vec<AuditRecord>, _) = controller.get_part(&path)?;
            if page.is_empty() {
                break;
            }
            page.iter().try_for_each(|record| self.take(record))?;
        }
        Ok(head)
    }

    fn finish(self, head: &AuditHead) -> Outcome<Checked> {
        let key = self.args.key.unwrap_or(head.signer);
        self.verifier.finish(head, &key).map_err(broken)?;
        let (entries, hash) = self.verifier.end();
        if let Some((number, _)) = self.args.seen.iter().find(|(number, _)| *number > entries) {
            return Err(broken(AuditError::Cut { head: *number, end: entries }));
        }
        Ok(Checked {
            entries,
            hash,
            first: self.times.map(|(first, _)| first),
            last: self.times.map(|(_, last)| last),
            signed: head.at,
            key,
            key_named: self.args.key.is_some(),
            seen: self.args.seen.len(),
        })
    }
}

fn broken(error: AuditError) -> Failure {
    Failure::new(
        Code::Damaged,
        "the audit log cannot be believed",
        "keep it as it is, tell the Inspektorat, and hold older exports against it",
    )
    .because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_a_number_and_a_hash() {
        let hash = "ab".repeat(32);
        assert_eq!(seen(&format!("7:{hash}")).unwrap(), (7, hash.parse().unwrap()));
        for wrong in ["7", "7:ab", &format!("x:{hash}"), &format!("0:{hash}"), &hash] {
            assert!(seen(wrong).is_err(), "{wrong}");
        }
    }
}
