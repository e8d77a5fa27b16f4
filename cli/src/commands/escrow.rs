//! `lumbung key split`, `join` and `rehearse`: a bundle among officers, and back.
//!
//! Invariants: a page is written only once its text has been read back as the share that it is for; a bundle that was
//! rebuilt is checked against the public keys in every share before it is used or written; a rehearsal writes no key.

use std::path::{Path, PathBuf};

use clap::Args;
use lumbung_pack::rehearsal::{read_rehearsal, write_rehearsal};
use lumbung_pack::{Rehearsal, sign};
use lumbung_seal::{KeyBundle, KeyShare, ShareError, join_shares, split_bundle};
use serde_json::{Value, json};

use super::key::{bundle_json, bundle_text, seal, weigh};
use crate::chain::now;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::{create, create_secret, existing, read_text};
use crate::keys::{self, KeyArgs};
use crate::paper;
use crate::passphrase::{self, PassphraseArgs, Which};
use crate::table::pairs;
use crate::terminal::{Terminal, printable};

/// Arguments of `key split`.
#[derive(Debug, Args)]
pub(crate) struct SplitArgs {
    /// How many of them rebuild the key
    #[arg(long, value_name = "M")]
    threshold: usize,
    /// Who keeps a share, by name and office; once for each of them
    #[arg(long, value_name = "NAME", required = true)]
    holder: Vec<String>,
    /// New directory for the pages, one a share: print each, hand it over, and delete the directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
}

/// Arguments of `key join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Shares, typed or scanned into a file each
    #[arg(required = true, value_name = "SHARE")]
    shares: Vec<PathBuf>,
    /// Where to write the bundle
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Arguments of `key rehearse`.
#[derive(Debug, Args)]
pub(crate) struct RehearseArgs {
    /// Shares, typed or scanned into a file each
    #[arg(required = true, value_name = "SHARE")]
    shares: Vec<PathBuf>,
    /// Where to write the signed record
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    /// Who led it, and where
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

/// Runs `lumbung key split`.
///
/// # Errors
/// If the numbers make no sense, or the pages cannot be written.
pub(crate) fn split(args: &SplitArgs, terminal: &Terminal) -> Outcome<Exit> {
    if args.dir.exists() {
        return Err(existing(&args.dir, "the directory"));
    }
    let long = args.holder.iter().find(|holder| {
        holder.trim().is_empty() || holder.len() > lumbung_pack::limits::LABEL_MAX_BYTES
    });
    if let Some(holder) = long {
        let message = format!("{holder:?} is no name of 1 to 255 bytes");
        return Err(Failure::new(Code::Usage, message, "write name and office"));
    }
    let bundle = args.key.open()?;
    let shares = split_bundle(&bundle, args.threshold, &args.holder, now()).map_err(explain)?;
    let pages: Vec<(u8, String)> =
        shares.iter().map(|share| page(share, terminal)).collect::<Outcome<_>>()?;
    join_shares(&shares).map_err(explain)?;
    std::fs::create_dir_all(&args.dir).map_err(|e| {
        let message = format!("{} could not be made", args.dir.display());
        Failure::new(Code::Io, message, "name another directory").because(e)
    })?;
    for (number, page) in &pages {
        create_secret(&args.dir.join(format!("share-{number}.txt")), "the share", page)?;
    }
    let Some(first) = shares.first() else { return Ok(Exit::Fine) };
    let mut value = set_json(first);
    value["dir"] = json!(args.dir);
    value["holders"] = json!(args.holder);
    terminal.result(&value, || set_text(first, terminal))?;
    terminal.note("Print each page (lp share-1.txt), hand each to its holder in an envelope, and delete the directory. Then rehearse: `lumbung key rehearse`.");
    Ok(Exit::Fine)
}

/// A share's page, its text read back first.
fn page(share: &KeyShare, terminal: &Terminal) -> Outcome<(u8, String)> {
    let text = share.to_text();
    let read = KeyShare::from_text(&text).map_err(|e| {
        Failure::new(
            Code::DamagedKeyFile,
            "a share did not read back",
            "try again, and do not trust this machine",
        )
        .because(e)
    })?;
    if read.of() != share.of() || read.number() != share.number() {
        let next = "do not trust this machine";
        return Err(Failure::new(Code::DamagedKeyFile, "a share read back as another one", next));
    }
    let title = terminal.pick("LUMBUNG: bagian kunci", "LUMBUNG: key share");
    let how = terminal.pick(
        "Simpan dalam amplop bersegel, terpisah dari bagian lain. Jangan difoto, jangan disalin.",
        "Keep it in a sealed envelope, apart from the other shares. No photographs, no copies.",
    );
    let head = format!("{title}\n\n{}\n{how}\n", share_text(share, terminal));
    Ok((share.number(), paper::share_page(&head, &text, &paper::code(&text)?)))
}

fn share_text(share: &KeyShare, terminal: &Terminal) -> String {
    let of = share.of();
    let number = format!("{} / {}", share.number(), of.shares);
    let needed = match terminal.lang {
        crate::terminal::Lang::Id => format!("{} bagian membangun kunci kembali", of.threshold),
        crate::terminal::Lang::En => format!("{} shares rebuild the key", of.threshold),
    };
    pairs(&[
        (terminal.pick("Pemilik", "Owner"), printable(of.label.as_bytes())),
        (terminal.pick("Pemegang", "Holder"), printable(share.holder().as_bytes())),
        (terminal.pick("Bagian", "Share"), format!("{number}; {needed}")),
        (terminal.pick("Set", "Set"), of.set.to_string()),
        (terminal.pick("Dibuat", "Made"), terminal.time(of.made)),
        (terminal.pick("Kunci akar (publik)", "Root key (public)"), of.root.to_string()),
    ])
}

fn set_json(share: &KeyShare) -> Value {
    let of = share.of();
    json!({
        "set": of.set,
        "threshold": of.threshold,
        "shares": of.shares,
        "made": of.made,
        "label": of.label,
        "root_public": of.root,
        "recovery_public": of.recovery,
    })
}

fn set_text(share: &KeyShare, terminal: &Terminal) -> String {
    let of = share.of();
    pairs(&[
        (terminal.pick("Set", "Set"), of.set.to_string()),
        (
            terminal.pick("Bagian", "Shares"),
            format!("{} {} {}", of.threshold, terminal.pick("dari", "of"), of.shares),
        ),
    ])
}

/// What `key show` says of a share: all but the share.
///
/// # Errors
/// If it is damaged.
pub(super) fn show_share(file: &Path, text: &str, terminal: &Terminal) -> Outcome<()> {
    let share = KeyShare::from_text(text).map_err(|e| keys::explain(file, e))?;
    let mut value = set_json(&share);
    value["kind"] = json!("key-share");
    value["file"] = json!(file);
    value["number"] = json!(share.number());
    value["holder"] = json!(share.holder());
    terminal.result(&value, || share_text(&share, terminal))
}

fn explain(error: ShareError) -> Failure {
    let (code, next) = match &error {
        ShareError::Numbers { .. } => {
            (Code::Usage, "for instance --threshold 2 with three --holder")
        }
        ShareError::TooFew { .. } => (Code::NotEntitled, "bring in another holder's share"),
        _ => (Code::BadFile, "`lumbung key show SHARE` tells set, number and holder of each"),
    };
    Failure::new(code, "the shares cannot be used", next).because(error)
}

fn read(paths: &[PathBuf]) -> Outcome<Vec<KeyShare>> {
    let one = |path: &PathBuf| {
        let text = read_text(path, "the share")?;
        // A page is taken as it was printed: what stands before the share and its code are no part of it.
        let bare = of_page(&text);
        KeyShare::from_text(bare).map_err(|e| keys::explain(path, e))
    };
    paths.iter().map(one).collect()
}

/// The share's own lines of a page, or the text as it is.
fn of_page(text: &str) -> &str {
    const TITLE: &str = "LUMBUNG KEY SHARE 1";
    let Some(block) = lumbung_pack::armor::blocks(TITLE, text).first().copied() else {
        return text;
    };
    let mut end = 0;
    for line in block.split_inclusive('\n') {
        let content = line.trim();
        let is_share = content == TITLE
            || content.starts_with('#')
            || content.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if !is_share || (content.is_empty() && end > TITLE.len() + 1) {
            break;
        }
        end += line.len();
    }
    &block[..end]
}

/// Runs `lumbung key join`.
///
/// # Errors
/// If the shares do not rebuild the key, or the bundle cannot be written.
pub(crate) fn join(args: &JoinArgs, terminal: &Terminal) -> Outcome<Exit> {
    if args.out.exists() {
        return Err(existing(&args.out, "the key file"));
    }
    let bundle = join_shares(&read(&args.shares)?).map_err(explain)?;
    let passphrase =
        passphrase::chosen(args.passphrase.passphrase_file.as_deref(), Which::Present)?;
    weigh(&passphrase, terminal);
    create_secret(&args.out, "the key file", &seal(&args.out, &bundle, &passphrase)?)?;
    let text = read_text(&args.out, "the key file")?;
    KeyBundle::from_text(&text, &passphrase).map_err(|e| keys::explain(&args.out, e))?;
    let public = keys::public_halves(&args.out)?;
    terminal.result(&bundle_json(&args.out, &public), || bundle_text(terminal, &public))?;
    terminal.note("The shares have been in one place: rotate the bundle (`lumbung key rotate`) and split the new one.");
    Ok(Exit::Fine)
}

/// Runs `lumbung key rehearse`.
///
/// # Errors
/// If the shares do not rebuild the key, or the record cannot be written.
pub(crate) fn rehearse(args: &RehearseArgs, terminal: &Terminal) -> Outcome<Exit> {
    if args.record.exists() {
        return Err(existing(&args.record, "the record"));
    }
    let shares = read(&args.shares)?;
    let bundle = join_shares(&shares).map_err(explain)?;
    let Some(first) = shares.first() else { return Ok(Exit::Fine) };
    let mut present: Vec<(u8, String)> =
        shares.iter().map(|share| (share.number(), share.holder().to_owned())).collect();
    present.sort();
    let of = first.of();
    let record = Rehearsal {
        set: of.set,
        threshold: of.threshold,
        shares: of.shares,
        recovery: bundle.recovery_public(),
        at: now(),
        present,
        note: args.note.trim().to_owned(),
    };
    let text = write_rehearsal(&sign(&record, bundle.root()));
    drop(bundle);
    create(&args.record, "the record", text.as_bytes(), 0o644)?;
    show_record(&args.record, &text, terminal)?;
    terminal.note("The key was rebuilt in memory and is gone. Delete the files with the shares; seal new envelopes.");
    Ok(Exit::Fine)
}

/// What a record says.
///
/// # Errors
/// If it is damaged, or its signature does not verify.
pub(super) fn show_record(file: &Path, text: &str, terminal: &Terminal) -> Outcome<()> {
    let record = read_rehearsal(text).map_err(|e| {
        let message = format!("{} is no record of a rehearsal", file.display());
        Failure::new(Code::BadFile, message, "have it sent again").because(e)
    })?;
    let body = &record.body;
    let value = json!({
        "kind": "rehearsal",
        "file": file,
        "set": body.set,
        "threshold": body.threshold,
        "shares": body.shares,
        "root_public": record.signer,
        "recovery_public": body.recovery,
        "at": body.at,
        "present": body.present.iter().map(|(n, holder)| json!({ "number": n, "holder": holder })).collect::<Vec<_>>(),
        "note": body.note,
    });
    let holders: Vec<String> = body
        .present
        .iter()
        .map(|(number, holder)| format!("{number} {}", printable(holder.as_bytes())))
        .collect();
    terminal.result(&value, || {
        pairs(&[
            (terminal.pick("Geladi kunci", "Key rehearsal"), terminal.time(body.at)),
            (terminal.pick("Set", "Set"), body.set.to_string()),
            (
                terminal.pick("Bagian", "Shares"),
                format!("{} {} {}", body.threshold, terminal.pick("dari", "of"), body.shares),
            ),
            (terminal.pick("Hadir", "Present"), holders.join(", ")),
            (terminal.pick("Kunci akar (publik)", "Root key (public)"), record.signer.to_string()),
            (terminal.pick("Catatan", "Note"), printable(body.note.as_bytes())),
        ])
    })
}
