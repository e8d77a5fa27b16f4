//! `lumbung key rewrap` and `key rotate`: what was backed up before, opened to a recipient who came later; and a whole
//! bundle replaced by another one.
//!
//! Invariants: nothing is taken away before what takes its place is in the depot and opens; every step is repeated without
//! harm, so that a rotation that broke off is finished by the same command; wraps go out signed by a root key of the newest roster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use lumbung_engine::{SessionOpener, read_session, read_wraps};
use lumbung_model::{PublicKey, SessionId};
use lumbung_pack::limits::WRAP_MAX_SESSIONS;
use lumbung_pack::{
    Kind, Recipient, RootKey, RootRole, Roster, Session, SigningKey, Wrap, WrappedSession,
    object_id, sign,
};
use lumbung_seal::{KeyBundle, wrap_session};
use serde_json::json;

use crate::chain::{self, now};
use crate::commands::roster::put;
use crate::confirm::confirm;
use crate::depot::{Access, DepotArgs, Opened};
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::keys::{self, KeyArgs};
use crate::listing;
use crate::terminal::Terminal;

/// Arguments of `key rewrap`.
#[derive(Debug, Args)]
pub(crate) struct RewrapArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// Only to this recipient of the newest roster: a key bundle (its public half is used), or a recovery public key in hex
    #[arg(long, value_name = "FILE|HEX")]
    to: Option<String>,
    /// Say what would be sealed, and seal nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// Arguments of `key rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// The bundle that takes the place (from `lumbung key new`)
    #[arg(long, value_name = "FILE")]
    new: PathBuf,
    /// File with the new bundle's passphrase (else LUMBUNG_NEW_PASSPHRASE, LUMBUNG_NEW_PASSPHRASE_FILE, or the terminal)
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Which root key goes, where it is not this bundle's: the stolen or lost one, if --key is its spare
    #[arg(long, value_name = "HEX", requires = "old_recipient")]
    old_root: Option<PublicKey>,
    /// Which recipient goes, where it is not this bundle's
    #[arg(long, value_name = "HEX", requires = "old_root")]
    old_recipient: Option<PublicKey>,
    /// Rotate without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// What is still closed to a recipient, and what was opened to it.
#[derive(Debug, Default)]
struct Rewrapped {
    /// Sessions sealed again, by recipient.
    sealed: BTreeMap<PublicKey, usize>,
    /// Sessions that the bundle itself does not open.
    closed: BTreeSet<SessionId>,
}

/// Runs `lumbung key rewrap`.
///
/// # Errors
/// If the depot cannot be read or written, or the bundle may not do that.
pub(crate) fn rewrap(args: &RewrapArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::Bundle(&bundle))?;
    let recipients = recipients(args.to.as_deref(), &opened)?;
    let done = seal_again(&opened, &bundle, bundle.root(), &recipients, args.dry_run)?;
    tell(&done, args.dry_run, terminal)?;
    Ok(if done.closed.is_empty() { Exit::Fine } else { Exit::Warnings })
}

/// To whom is sealed again.
fn recipients(to: Option<&str>, opened: &Opened) -> Outcome<Vec<PublicKey>> {
    let listed: Vec<PublicKey> =
        opened.chain.current().body.recipients.iter().map(|recipient| recipient.key).collect();
    let Some(to) = to else { return Ok(listed) };
    let key = match to.parse::<PublicKey>() {
        Ok(key) => key,
        Err(_) => keys::public_halves(Path::new(to))?.recovery_public(),
    };
    if listed.contains(&key) {
        return Ok(vec![key]);
    }
    let message = format!("{key} is no recipient of the newest roster");
    Err(Failure::new(
        Code::NotInRoster,
        message,
        "add it first: `lumbung roster add-recipient DEPOT`",
    ))
}

/// Seals every session that is closed to a recipient to it again.
fn seal_again(
    opened: &Opened,
    from: &KeyBundle,
    signer: &SigningKey,
    recipients: &[PublicKey],
    dry_run: bool,
) -> Outcome<Rewrapped> {
    if !opened.chain.is_root_key(&signer.public()) {
        let message = format!("{} is no root key of the repository", signer.public());
        let next = "use the custodian's bundle: only a root key signs what is sealed again";
        return Err(Failure::new(Code::NotEntitled, message, next));
    }
    let what = || format!("the sessions of {} could not be read", opened.name());
    let next = "run `lumbung verify` here, or do it at another site";
    let depot = opened.depot.as_ref();
    let mut sessions: Vec<(SessionId, Session)> = Vec::new();
    for id in depot.list(Kind::Session).explain(Code::Depot, what, next)? {
        let id = SessionId::from_bytes(id);
        let session = read_session(depot, &id).map_err(|e| listing::explain(&what(), e))?;
        sessions.push((id, session));
    }
    let wraps = read_wraps(depot, &opened.chain).map_err(|e| listing::explain(&what(), e))?;
    let opener = SessionOpener::new(opened.chain.clone(), from.recovery().duplicate());
    let mut done = Rewrapped::default();
    for recipient in recipients {
        let known: BTreeSet<SessionId> = wraps
            .iter()
            .filter(|wrap| wrap.body.recipient == *recipient)
            .flat_map(|wrap| wrap.body.sessions.iter().map(|wrapped| wrapped.session))
            .collect();
        let lacks = |(id, session): &&(SessionId, Session)| {
            !known.contains(id) && session.sealed.iter().all(|to| to.recipient != *recipient)
        };
        let mut wrapped = Vec::new();
        for (id, session) in sessions.iter().filter(lacks) {
            match opener.open_read(depot, id, session) {
                Ok(secrets) => {
                    let repository = opened.chain.repository();
                    wrapped.push(wrap_session(&repository, id, &secrets, recipient).explain(
                        Code::NotEntitled,
                        || format!("nothing can be sealed to {recipient}"),
                        "take that recipient out of the roster",
                    )?);
                }
                Err(lumbung_engine::SnapshotError::Open { .. }) => {
                    done.closed.insert(*id);
                }
                Err(error) => return Err(listing::explain(&what(), error)),
            }
        }
        if !wrapped.is_empty() {
            done.sealed.insert(*recipient, wrapped.len());
            if !dry_run {
                store(opened, signer, *recipient, wrapped)?;
            }
        }
    }
    Ok(done)
}

fn store(
    opened: &Opened,
    signer: &SigningKey,
    recipient: PublicKey,
    mut wrapped: Vec<WrappedSession>,
) -> Outcome<()> {
    wrapped.sort_by_key(|one| one.session);
    for part in wrapped.chunks(WRAP_MAX_SESSIONS) {
        let wrap = Wrap {
            repository: opened.chain.repository(),
            made: now(),
            recipient,
            sessions: part.to_vec(),
        };
        let object = sign(&wrap, signer);
        opened.depot.put(Kind::Wrap, &object_id(&object), &object).explain(
            Code::Depot,
            || format!("what was sealed again could not be stored in {}", opened.name()),
            "do what the reason above says, then run the command again",
        )?;
    }
    Ok(())
}

fn tell(done: &Rewrapped, dry_run: bool, terminal: &Terminal) -> Outcome<()> {
    let sealed = done.sealed.iter();
    let value = json!({
        "dry_run": dry_run,
        "sealed": sealed.map(|(key, count)| json!({ "recipient": key, "sessions": count })).collect::<Vec<_>>(),
        "closed": done.closed,
    });
    terminal.result(&value, || {
        if done.sealed.is_empty() {
            return terminal
                .pick(
                    "Tidak ada yang perlu disegel ulang.\n",
                    "Nothing is left to be sealed again.\n",
                )
                .to_owned();
        }
        let word = match (dry_run, terminal.pick("", "en")) {
            (true, "") => "sesi akan disegel ulang untuk",
            (false, "") => "sesi disegel ulang untuk",
            (true, _) => "sessions would be sealed again to",
            (false, _) => "sessions were sealed again to",
        };
        done.sealed.iter().map(|(key, count)| format!("{count} {word} {key}\n")).collect()
    })?;
    if !done.closed.is_empty() {
        terminal.warn(&format!(
            "{} sessions do not open with this bundle either: use the bundle that they were sealed to",
            done.closed.len()
        ));
    }
    Ok(())
}

/// Runs `lumbung key rotate`.
///
/// # Errors
/// If a step fails; what was done stays, and the same command goes on from there.
pub(crate) fn rotate(args: &RotateArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let new = keys::open_new(&args.new, args.new_passphrase_file.as_deref())?;
    let old_root = args.old_root.unwrap_or_else(|| bundle.root_public());
    let old_recipient = args.old_recipient.unwrap_or_else(|| bundle.recovery_public());
    if new.root_public() == old_root || new.recovery_public() == old_recipient {
        let message = format!("{} is the bundle that shall go", args.new.display());
        return Err(Failure::new(Code::Usage, message, "make a new one: `lumbung key new`"));
    }
    // A rotation that broke off after the old key went is finished with the new one.
    let mut opened = args.depot.open(Access::Bundle(&bundle)).or_else(|error| {
        if error.code() == Code::NotEntitled {
            args.depot.open(Access::Bundle(&new))
        } else {
            Err(error)
        }
    })?;
    confirm(&words(&opened, &new, (old_root, old_recipient), terminal), args.yes, terminal)?;
    let signer = if opened.chain.is_root_key(&bundle.root_public()) { &bundle } else { &new };
    // Agents seal to the new recipient, and no longer to the old one, from this roster on.
    step(&mut opened, signer.root(), |roster| {
        let added = add_root(roster, &new);
        let recipient = Recipient { key: new.recovery_public(), label: new.label().to_owned() };
        let listed = roster.recipients.iter().any(|one| one.key == recipient.key);
        if !listed {
            roster.recipients.push(recipient);
        }
        let before = roster.recipients.len();
        roster.recipients.retain(|one| one.key != old_recipient);
        Ok(added | !listed | (roster.recipients.len() != before))
    })?;
    let to: Vec<PublicKey> = opened.chain.current().body.recipients.iter().map(|r| r.key).collect();
    let mut opened = reopen(&args.depot, &new, opened)?;
    let done = seal_again(&opened, &bundle, new.root(), &to, false)?;
    if done.closed.is_empty() {
        step(&mut opened, new.root(), |roster| {
            let before = roster.root_keys.len();
            roster.root_keys.retain(|one| one.key != old_root);
            Ok(roster.root_keys.len() != before)
        })?;
    }
    told(&done, &opened, old_root, terminal)?;
    Ok(if done.closed.is_empty() { Exit::Fine } else { Exit::Warnings })
}

/// The depot once more, as the new bundle, with the rosters that are there now.
fn reopen(depot: &DepotArgs, new: &KeyBundle, opened: Opened) -> Outcome<Opened> {
    let mut args = depot.clone();
    args.access.repository = Some(opened.chain.repository());
    drop(opened);
    args.open(Access::Bundle(new))
}

fn add_root(roster: &mut Roster, new: &KeyBundle) -> bool {
    if roster.root_keys.iter().any(|one| one.key == new.root_public()) {
        return false;
    }
    let label = new.label().to_owned();
    roster.root_keys.push(RootKey { key: new.root_public(), role: RootRole::Working, label });
    true
}

fn step(
    opened: &mut Opened,
    signer: &SigningKey,
    edit: impl FnOnce(&mut Roster) -> Outcome<bool>,
) -> Outcome<()> {
    if let Some((chain, object)) = chain::extend(&opened.chain, signer, edit)? {
        put(&opened.depot, &object)?;
        opened.chain = chain;
    }
    Ok(())
}

fn words(
    opened: &Opened,
    new: &KeyBundle,
    (old_root, old_recipient): (PublicKey, PublicKey),
    terminal: &Terminal,
) -> String {
    crate::table::pairs(&[
        (terminal.pick("Repositori", "Repository"), opened.chain.repository().to_string()),
        (terminal.pick("Kunci akar baru", "New root key"), new.root_public().to_string()),
        (terminal.pick("Penerima baru", "New recipient"), new.recovery_public().to_string()),
        (terminal.pick("Kunci akar yang keluar", "Root key that goes"), old_root.to_string()),
        (terminal.pick("Penerima yang keluar", "Recipient that goes"), old_recipient.to_string()),
    ])
}

fn told(
    done: &Rewrapped,
    opened: &Opened,
    old_root: PublicKey,
    terminal: &Terminal,
) -> Outcome<()> {
    let gone = !opened.chain.is_root_key(&old_root);
    let value = json!({
        "repository": opened.chain.repository(),
        "roster": opened.chain.current().body.number,
        "sealed": done.sealed.values().sum::<usize>(),
        "closed": done.closed,
        "old_root_gone": gone,
    });
    terminal.result(&value, || {
        let number = opened.chain.current().body.number;
        let word = terminal.pick("Diganti; roster", "Replaced; roster");
        format!("{word} {number}\n")
    })?;
    if gone {
        terminal.note("Publish the rosters where else this repository is kept (`lumbung roster publish FROM TO`); print the new bundle (`lumbung key paper`).\nThe old bundle opens what was backed up until now, as long as a copy of it exists: destroy file and paper.");
    } else {
        terminal.warn(&format!(
            "{} sessions open with neither bundle, so the old root key stays: run `lumbung key rewrap` with the bundle that opens them, then this again",
            done.closed.len()
        ));
    }
    Ok(())
}
