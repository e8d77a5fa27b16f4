//! `lumbung key`: the custodian's bundle, from its making to its printout.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lumbung_pack::SiteIdentity;
use lumbung_seal::{AgentIdentity, KdfParams, KeyBundle, KeyBundlePublic, RequesterIdentity};
use serde_json::json;
use zeroize::Zeroizing;

use crate::commands::{escrow, key_inventory, rewrap};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::{create_secret, existing, read_text, replace_secret};
use crate::keys;
use crate::paper;
use crate::passphrase::{self, PassphraseArgs, Which};
use crate::table::pairs;
use crate::terminal::{Terminal, printable, write_out};

/// A passphrase shorter than this is worth a word.
const SHORT_PASSPHRASE_BYTES: usize = 12;

/// Make, show, check and print key bundles
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key bundle; never overwrites a file
    New(NewArgs),
    /// Show the public halves of a key file (bundle, requester, agent or site identity); asks no passphrase
    Show(FileArgs),
    /// Open a key bundle, to see that file and passphrase are right
    Check(OpenArgs),
    /// Change the passphrase of a key bundle
    Passphrase(ChangeArgs),
    /// Make a requester's key: for reading what PDs approve, with no key bundle; never overwrites a file
    Requester(RequesterArgs),
    /// Split a bundle among officers, a page for each, so that any M of them rebuild it
    Split(escrow::SplitArgs),
    /// Rebuild a bundle from shares
    Join(escrow::JoinArgs),
    /// Show that shares rebuild the key, write the key nowhere, and sign a record of it
    Rehearse(escrow::RehearseArgs),
    /// Hand the record of a rehearsal in to the controller
    Report(key_inventory::ReportArgs),
    /// Which PD has a key that was tested, who holds its shares, when the next rehearsal is due
    Inventory(key_inventory::InventoryArgs),
    /// Seal what was backed up before to recipients who came later; repeat it until nothing is left
    Rewrap(rewrap::RewrapArgs),
    /// Put a new bundle in the place of one: roster, old sessions, and the old one goes; safe to repeat
    Rotate(rewrap::RotateArgs),
    /// Print a key bundle: its text and a QR code, still under its passphrase
    Paper(PaperArgs),
}

/// Arguments of `key new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Where to write it
    file: PathBuf,
    /// For people, for instance "Dinas Kesehatan"
    #[arg(long, default_value = "")]
    label: String,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Arguments of `key requester`.
#[derive(Debug, Args)]
pub(crate) struct RequesterArgs {
    /// Where to write it
    file: PathBuf,
    /// Who asks, as custodians read it, for instance "Inspektorat, Budi"
    #[arg(long)]
    name: String,
    /// For a machine that nobody types a passphrase for: the file's mode 0600 is all that protects it
    #[arg(long, conflicts_with = "passphrase_file")]
    machine: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// A key file.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The key file
    file: PathBuf,
}

/// A key file to be opened.
#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// The key file
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Arguments of `key passphrase`.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The key file
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// File with the new passphrase (else LUMBUNG_NEW_PASSPHRASE, LUMBUNG_NEW_PASSPHRASE_FILE, or the terminal)
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

/// Arguments of `key paper`.
#[derive(Debug, Args)]
pub(crate) struct PaperArgs {
    /// The key file
    file: PathBuf,
    /// Leave the QR code away
    #[arg(long)]
    no_qr: bool,
}

/// Runs `lumbung key`.
///
/// # Errors
/// As each command says.
pub(crate) fn run(command: &KeyCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        KeyCommand::New(args) => new(args, terminal),
        KeyCommand::Show(args) => show(args, terminal),
        KeyCommand::Check(args) => check(args, terminal),
        KeyCommand::Passphrase(args) => change(args, terminal),
        KeyCommand::Requester(args) => requester(args, terminal),
        KeyCommand::Split(args) => escrow::split(args, terminal),
        KeyCommand::Join(args) => escrow::join(args, terminal),
        KeyCommand::Rehearse(args) => escrow::rehearse(args, terminal),
        KeyCommand::Report(args) => key_inventory::report(args, terminal),
        KeyCommand::Inventory(args) => key_inventory::inventory(args, terminal),
        KeyCommand::Rewrap(args) => rewrap::rewrap(args, terminal),
        KeyCommand::Rotate(args) => rewrap::rotate(args, terminal),
        KeyCommand::Paper(args) => print(args, terminal),
    }
}

pub(super) fn bundle_json(file: &Path, public: &KeyBundlePublic) -> serde_json::Value {
    json!({
        "file": file,
        "kind": "key-bundle",
        "label": public.label(),
        "root_public": public.root_public(),
        "recovery_public": public.recovery_public(),
    })
}

pub(super) fn bundle_text(terminal: &Terminal, public: &KeyBundlePublic) -> String {
    pairs(&[
        (terminal.pick("Label", "Label"), public.label().to_owned()),
        (
            terminal.pick("Kunci akar (publik)", "Root key (public)"),
            public.root_public().to_string(),
        ),
        (
            terminal.pick("Kunci pemulihan (publik)", "Recovery key (public)"),
            public.recovery_public().to_string(),
        ),
    ])
}

fn check_label(label: &str) -> Outcome<()> {
    if label.len() > lumbung_pack::limits::LABEL_MAX_BYTES {
        let limit = lumbung_pack::limits::LABEL_MAX_BYTES;
        let message = format!("the label has {} bytes; at most {limit} are allowed", label.len());
        return Err(Failure::new(Code::Usage, message, "choose a shorter label"));
    }
    Ok(())
}

pub(super) fn weigh(passphrase: &[u8], terminal: &Terminal) {
    if passphrase.len() < SHORT_PASSPHRASE_BYTES {
        terminal.warn(&format!(
            "the passphrase is shorter than {SHORT_PASSPHRASE_BYTES} characters: whoever finds the file may guess it"
        ));
    }
}

pub(super) fn seal(file: &Path, bundle: &KeyBundle, passphrase: &[u8]) -> Outcome<String> {
    bundle.to_text(passphrase, KdfParams::STANDARD).map_err(|e| keys::explain(file, e))
}

fn new(args: &NewArgs, terminal: &Terminal) -> Outcome<Exit> {
    check_label(&args.label)?;
    if args.file.exists() {
        let message = format!("{} exists already and is not overwritten", args.file.display());
        return Err(Failure::new(
            Code::FileExists,
            message,
            "choose another name, or move the old file away",
        ));
    }
    let passphrase =
        passphrase::chosen(args.passphrase.passphrase_file.as_deref(), Which::Present)?;
    weigh(&passphrase, terminal);
    let text = seal(&args.file, &KeyBundle::generate(&args.label), &passphrase)?;
    create_secret(&args.file, "the key file", &text)?;
    // What is on the disk must open: a bundle that does not would be found out when it is too late.
    let text = read_text(&args.file, "the key file")?;
    KeyBundle::from_text(&text, &passphrase).map_err(|e| keys::explain(&args.file, e))?;
    let public = keys::public_halves(&args.file)?;
    terminal.result(&bundle_json(&args.file, &public), || bundle_text(terminal, &public))?;
    terminal.note("Keep this file and its passphrase apart, and print it: `lumbung key paper`. Without it nothing can be restored.");
    Ok(Exit::Fine)
}

fn requester(args: &RequesterArgs, terminal: &Terminal) -> Outcome<Exit> {
    check_label(&args.name)?;
    if args.name.trim().is_empty() {
        let next = "say who asks: the custodian decides by it";
        return Err(Failure::new(Code::Usage, "the name is empty", next));
    }
    if args.file.exists() {
        return Err(existing(&args.file, "the requester key"));
    }
    let identity = RequesterIdentity::generate(args.name.trim());
    let text = if args.machine {
        identity.to_machine_text()
    } else {
        let passphrase =
            passphrase::chosen(args.passphrase.passphrase_file.as_deref(), Which::Present)?;
        weigh(&passphrase, terminal);
        let sealed = identity.to_text(&passphrase, KdfParams::STANDARD);
        let text = Zeroizing::new(sealed.map_err(|e| keys::explain(&args.file, e))?);
        RequesterIdentity::from_text(&text, &passphrase)
            .map_err(|e| keys::explain(&args.file, e))?;
        text
    };
    create_secret(&args.file, "the requester key", &text)?;
    let text = read_text(&args.file, "the requester key")?;
    show_requester(&args.file, &text, terminal)?;
    terminal.note("It opens nothing by itself: draw up a request with `lumbung approve request`.");
    Ok(Exit::Fine)
}

fn show_requester(file: &Path, text: &str, terminal: &Terminal) -> Outcome<()> {
    let (grantee, name) = RequesterIdentity::public(text).map_err(|e| keys::explain(file, e))?;
    let value = json!({
        "file": file,
        "kind": "requester",
        "name": name,
        "passphrase": RequesterIdentity::is_sealed(text),
        "key": grantee.key,
        "recipient": grantee.recipient,
    });
    terminal.result(&value, || {
        pairs(&[
            (terminal.pick("Nama", "Name"), printable(name.as_bytes())),
            (terminal.pick("Kunci (publik)", "Key (public)"), grantee.key.to_string()),
            (
                terminal.pick("Kunci penerima (publik)", "Recipient key (public)"),
                grantee.recipient.to_string(),
            ),
        ])
    })
}

fn show(args: &FileArgs, terminal: &Terminal) -> Outcome<Exit> {
    let text = read_text(&args.file, "the key file")?;
    let title = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .unwrap_or("");
    match title {
        "LUMBUNG AGENT IDENTITY 1" => {
            let identity =
                AgentIdentity::from_text(&text).map_err(|e| keys::explain(&args.file, e))?;
            show_agent(args, &identity, terminal)?;
        }
        "LUMBUNG REQUESTER KEY 1" | "LUMBUNG MACHINE REQUESTER KEY 1" => {
            show_requester(&args.file, &text, terminal)?;
        }
        "LUMBUNG KEY SHARE 1" => escrow::show_share(&args.file, &text, terminal)?,
        "LUMBUNG KEY REHEARSAL 1" => escrow::show_record(&args.file, &text, terminal)?,
        "LUMBUNG SITE IDENTITY 1" => show_site(args, &text, terminal)?,
        _ => {
            let public =
                KeyBundlePublic::from_text(&text).map_err(|e| keys::explain(&args.file, e))?;
            terminal
                .result(&bundle_json(&args.file, &public), || bundle_text(terminal, &public))?;
        }
    }
    Ok(Exit::Fine)
}

fn show_agent(args: &FileArgs, identity: &AgentIdentity, terminal: &Terminal) -> Outcome<()> {
    let value = json!({
        "file": args.file,
        "kind": "agent-identity",
        "repository": identity.repository,
        "agent": identity.agent,
        "domain": identity.domain,
        "key": identity.key.public(),
        "code": identity.public_code(),
    });
    terminal.result(&value, || {
        pairs(&[
            (terminal.pick("Repositori", "Repository"), identity.repository.to_string()),
            (terminal.pick("Agen", "Agent"), identity.agent.to_string()),
            ("Domain", identity.domain.to_string()),
            (terminal.pick("Kunci (publik)", "Key (public)"), identity.key.public().to_string()),
            (terminal.pick("Kode untuk roster", "Code for the roster"), identity.public_code()),
        ])
    })
}

fn show_site(args: &FileArgs, text: &str, terminal: &Terminal) -> Outcome<()> {
    let identity = SiteIdentity::from_text(text).map_err(|e| {
        let message = format!("{} cannot be used as a key file", args.file.display());
        Failure::new(Code::DamagedKeyFile, message, "restore it from its copy").because(e)
    })?;
    let value = json!({
        "file": args.file,
        "kind": "site-identity",
        "site": identity.site,
        "receipt_key": identity.key.public(),
    });
    terminal.result(&value, || {
        pairs(&[
            (terminal.pick("Lokasi", "Site"), identity.site.to_string()),
            (
                terminal.pick("Kunci tanda terima (publik)", "Receipt key (public)"),
                identity.key.public().to_string(),
            ),
        ])
    })
}

fn check(args: &OpenArgs, terminal: &Terminal) -> Outcome<Exit> {
    keys::open(&args.file, args.passphrase.passphrase_file.as_deref())?;
    let public = keys::public_halves(&args.file)?;
    let mut value = bundle_json(&args.file, &public);
    value["opens"] = json!(true);
    terminal.result(&value, || {
        let opens =
            terminal.pick("Berkas kunci terbuka dan cocok.", "The key file opens and is sound.");
        format!("{opens}\n{}", bundle_text(terminal, &public))
    })?;
    Ok(Exit::Fine)
}

fn change(args: &ChangeArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = keys::open(&args.file, args.passphrase.passphrase_file.as_deref())?;
    let passphrase = passphrase::chosen(args.new_passphrase_file.as_deref(), Which::New)?;
    weigh(&passphrase, terminal);
    let text = seal(&args.file, &bundle, &passphrase)?;
    KeyBundle::from_text(&text, &passphrase).map_err(|e| keys::explain(&args.file, e))?;
    replace_secret(&args.file, "the key file", &text)?;
    let public = keys::public_halves(&args.file)?;
    terminal.result(&bundle_json(&args.file, &public), || {
        terminal
            .pick("Frasa sandi telah diganti.\n", "The passphrase has been changed.\n")
            .to_owned()
    })?;
    terminal.note(
        "Copies and printouts of the old file still open with the old passphrase: replace them.",
    );
    Ok(Exit::Fine)
}

fn print(args: &PaperArgs, terminal: &Terminal) -> Outcome<Exit> {
    let text = read_text(&args.file, "the key file")?;
    let public = KeyBundlePublic::from_text(&text).map_err(|e| keys::explain(&args.file, e))?;
    let qr = if args.no_qr { None } else { Some(paper::code(&text)?) };
    if terminal.json {
        let mut value = bundle_json(&args.file, &public);
        value["text"] = json!(paper::bare(&text));
        terminal.result(&value, String::new)?;
    } else {
        write_out(paper::page(&text, &public, qr.as_ref(), terminal).as_bytes())?;
    }
    Ok(Exit::Fine)
}
