//! `lumbung-controller audit`: the log read from the database, checked and written out.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use lumbung_model::{Clock as _, SystemClock};
use lumbung_wire::audit::{AuditHead, AuditRecord, Verifier};
use serde_json::json;

use super::{Cli, answer};
use crate::act::Act;
use crate::db::{Db, audit as rows};
use crate::keys;
use crate::state_dir::StateDir;

/// Records read at one time.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check that nothing in the log was changed, left out or put in
    Verify,
    /// Write the log out: one record a line, the signed head last; `lumbung audit verify` checks it anywhere
    Export {
        /// The file; it must not exist yet
        file: PathBuf,
    },
}

pub(super) fn run(cli: &Cli, state: &StateDir, command: &AuditCommand) -> anyhow::Result<()> {
    let db = state.open_db()?;
    let key = state.audit_key()?;
    keys::note(&db, &Act::console(SystemClock.now()), &key, &state.policy_key()?)?;
    match command {
        AuditCommand::Verify => {
            let verifier = each(&db, |_| Ok(()))?;
            let (entries, hash) = verifier.end();
            let text = format!(
                "{entries} entries, one unbroken chain; the last one's hash is\n{hash}\n\
                 Whoever writes this number and hash down now can show later that nothing before was changed.\n"
            );
            answer(cli, &json!({ "entries": entries, "hash": hash, "key": key.public() }), &text)
        }
        AuditCommand::Export { file } => {
            let out = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
            let out = out.with_context(|| {
                format!("cannot make {}: name a file that does not exist yet", file.display())
            })?;
            let mut out = BufWriter::new(out);
            let verifier = each(&db, |record| {
                serde_json::to_writer(&mut out, record)?;
                Ok(out.write_all(b"\n")?)
            })?;
            let (entries, hash) = verifier.end();
            let head = AuditHead::sign(entries, hash, SystemClock.now(), &key);
            serde_json::to_writer(&mut out, &head)?;
            out.write_all(b"\n")?;
            out.into_inner().context("the export could not be written")?.sync_all()?;
            let text = format!(
                "{entries} entries in {}\nkey of the head: {}\n",
                file.display(),
                key.public()
            );
            answer(cli, &json!({ "entries": entries, "hash": hash, "key": key.public() }), &text)
        }
    }
}

/// Every record of one consistent state, checked.
fn each(
    db: &Db,
    mut take: impl FnMut(&AuditRecord) -> anyhow::Result<()>,
) -> anyhow::Result<Verifier> {
    db.read(|tx| {
        let mut verifier = Verifier::default();
        loop {
            let page = rows::records(tx, verifier.end().0, PAGE)?;
            if page.is_empty() {
                return Ok(verifier);
            }
            for record in &page {
                if let Err(error) = verifier.take(record) {
                    bail!(
                        "{error}. Keep this database as it is, tell the Inspektorat, and hold older exports against it"
                    );
                }
                take(record)?;
            }
        }
    })
}
