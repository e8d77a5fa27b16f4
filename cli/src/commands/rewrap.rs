//! `lumbung key rewrap` and `key rotate`: what was backed up before, opened to a recipient who came later; and a whole
//! bundle replaced by another one.
//!
//! Invariants: nothing is taken away before what takes its place is in the depot and opens, but a stolen root key, which goes
//! first; every step is repeated without
//! harm, so that a rotation that broke off is finished by the same command; wraps go out signed by a root key of the newest roster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use lumbung_engine::{
    Depot, SessionOpener, SnapshotError, Wraps, authorized_manifests, read_session, read_wraps,
    session_fits,
};
use lumbung_model::{PublicKey, SessionId};
use lumbung_pack::limits::WRAP_MAX_SESSIONS;
use lumbung_pack::wrap::was_root_key;
use lumbung_pack::{
    Kind, Manifest, Recipient, RootKey, RootRole, Roster, Session, SigningKey, Wrap,
    WrappedSession, object_id, sign,
};
use lumbung_seal::{KeyBundle, OpenedSession, SealError, wrap_session};
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
    /// The bundle that took the place of --key and signs, where a rotation took the root key of --key out of the roster
    #[arg(long, value_name = "FILE")]
    new: Option<PathBuf>,
    /// File with the new bundle's passphrase (else LUMBUNG_NEW_PASSPHRASE, LUMBUNG_NEW_PASSPHRASE_FILE, or the terminal)
    #[arg(long, value_name = "FILE", requires = "new")]
    new_passphrase_file: Option<PathBuf>,
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
    /// Sessions of snapshots that are sealed to others than the bundle.
    closed: BTreeSet<SessionId>,
    /// Sessions that are damaged, or closed and of no snapshot; and why.
    unread: BTreeMap<SessionId, String>,
}

impl Rewrapped {
    /// Leaves out a session that cannot be read or opened; gives back what ends it all: a depot that does not answer.
    fn unread(&mut self, id: SessionId, error: SnapshotError) -> Result<(), SnapshotError> {
        match error {
            SnapshotError::Depot(error) if error.is_transient() => Err(error.into()),
            error => {
                self.unread.insert(id, lumbung_model::with_causes(&error));
                Ok(())
            }
        }
    }

    fn exit(&self) -> Exit {
        if self.closed.is_empty() && self.unread.is_empty() { Exit::Fine } else { Exit::Warnings }
    }

    fn warn_unread(&self, terminal: &Terminal) {
        for (id, reason) in &self.unread {
            terminal.warn(&format!("session {id} was left out: {reason}"));
        }
    }
}

/// Runs `lumbung key rewrap`.
///
/// # Errors
/// If the depot cannot be read or written, or the bundle may not do that.
pub(crate) fn rewrap(args: &RewrapArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let new = match &args.new {
        Some(new) => Some(keys::open_new(new, args.new_passphrase_file.as_deref())?),
        None => None,
    };
    let signer = new.as_ref().unwrap_or(&bundle);
    let opened = args.depot.open(Access::Bundle(signer))?;
    let recipients = recipients(args.to.as_deref(), &opened)?;
    let (from, dry_run) = (&bundle, args.dry_run);
    let again = Again { from, signer: signer.root(), new: new.as_ref(), leaving: None, dry_run };
    let done = seal_again(&opened, &again, &recipients)?;
    tell(&done, dry_run, terminal)?;
    Ok(done.exit())
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

/// Who opens, who signs, and whose wraps count.
struct Again<'a> {
    /// Opens what was sealed before.
    from: &'a KeyBundle,
    signer: &'a SigningKey,
    /// The bundle that takes the place, where it is at hand: what it opens is held against what `from` opens.
    new: Option<&'a KeyBundle>,
    /// The root key that goes: what it signed does not count as done.
    leaving: Option<PublicKey>,
    dry_run: bool,
}

/// The sessions of a depot, and what tells whether secrets are theirs.
struct Sessions<'a> {
    depot: &'a dyn Depot,
    manifests: Vec<Manifest>,
    /// The manifests that name a session.
    named: BTreeMap<SessionId, Vec<usize>>,
}

impl<'a> Sessions<'a> {
    fn read(opened: &'a Opened) -> Result<Self, SnapshotError> {
        let depot = opened.depot.as_ref();
        let (manifests, _) = authorized_manifests(depot, &opened.chain)?;
        let mut named: BTreeMap<SessionId, Vec<usize>> = BTreeMap::new();
        for (place, manifest) in manifests.iter().enumerate() {
            for session in &manifest.sessions {
                named.entry(*session).or_default().push(place);
            }
        }
        Ok(Self { depot, manifests, named })
    }

    fn is_named(&self, id: &SessionId) -> bool {
        self.named.contains_key(id)
    }

    /// All that may be the session's secrets.
    fn open(
        &self,
        opener: &SessionOpener,
        (id, session): (&SessionId, &Session),
    ) -> Result<Vec<OpenedSession>, SnapshotError> {
        let places = self.named.get(id).into_iter().flatten();
        let manifests: Vec<&Manifest> =
            places.filter_map(|place| self.manifests.get(*place)).collect();
        let fits = |opened: &OpenedSession| {
            // Of a session that no snapshot names nothing can be told, and nothing is lost.
            manifests.is_empty() || session_fits(self.depot, id, &manifests, opened)
        };
        opener.open_read((self.depot, None), id, session, &fits)
    }
}

/// Seals every session that is closed to a recipient to it again.
fn seal_again(opened: &Opened, again: &Again<'_>, recipients: &[PublicKey]) -> Outcome<Rewrapped> {
    if !opened.chain.is_root_key(&again.signer.public()) {
        let message = format!("{} is no root key of the repository", again.signer.public());
        let next = "use the custodian's bundle: only a root key signs what is sealed again; after a rotation, with the old bundle as --key and the new one as --new";
        return Err(Failure::new(Code::NotEntitled, message, next));
    }
    let what = || format!("the sessions of {} could not be read", opened.name());
    let next = "run `lumbung verify` here, or do it at another site";
    let depot = opened.depot.as_ref();
    let sessions = Sessions::read(opened).map_err(|e| listing::explain(&what(), e))?;
    let read = read_wraps(depot, &opened.chain).map_err(|e| listing::explain(&what(), e))?;
    let known = known(opened, &read, again.leaving);
    let opener = SessionOpener::new(opened.chain.clone(), again.from.recovery().duplicate());
    let check = again.new.map(|new| {
        let reader = SessionOpener::new(opened.chain.clone(), new.recovery().duplicate());
        (new.recovery_public(), reader)
    });
    let mut done = Rewrapped::default();
    let mut wrapped: BTreeMap<PublicKey, Vec<WrappedSession>> = BTreeMap::new();
    for id in depot.list(Kind::Session).explain(Code::Depot, what, next)? {
        let id = SessionId::from_bytes(id);
        let session = match read_session(depot, &id) {
            Ok(session) => session,
            Err(error) => {
                done.unread(id, error).map_err(|e| listing::explain(&what(), e))?;
                continue;
            }
        };
        let is_sealed = |to: &PublicKey| session.sealed.iter().any(|s| s.recipient == *to);
        let one = (&id, &session);
        let mut lacking = Vec::new();
        for recipient in recipients.iter().filter(|recipient| !is_sealed(recipient)) {
            let fine = known.contains(&(*recipient, id))
                && match &check {
                    Some((key, reader)) if key == recipient => {
                        agree(&sessions, one, reader, &opener)
                    }
                    _ => true,
                };
            if !fine {
                lacking.push(*recipient);
            }
        }
        if lacking.is_empty() {
            continue;
        }
        let secrets = match sessions.open(&opener, one) {
            Ok(secrets) => secrets.into_iter().next(),
            Err(SnapshotError::Open { source: SealError::NotRecipient(_), .. })
                if sessions.is_named(&id) =>
            {
                done.closed.insert(id);
                continue;
            }
            Err(error) => {
                done.unread(id, error).map_err(|e| listing::explain(&what(), e))?;
                continue;
            }
        };
        let Some(secrets) = secrets else { continue };
        for recipient in lacking {
            let sealed = wrap_session(&opened.chain.repository(), &id, &secrets, &recipient);
            wrapped.entry(recipient).or_default().push(sealed.explain(
                Code::NotEntitled,
                || format!("nothing can be sealed to {recipient}"),
                "take that recipient out of the roster",
            )?);
        }
    }
    for (recipient, wrapped) in wrapped {
        done.sealed.insert(recipient, wrapped.len());
        if !again.dry_run {
            store(opened, again.signer, recipient, wrapped)?;
        }
    }
    Ok(done)
}

/// What counts as sealed again: what a root key of the newest roster signed, but for the one that goes.
fn known(
    opened: &Opened,
    read: &Wraps,
    leaving: Option<PublicKey>,
) -> BTreeSet<(PublicKey, SessionId)> {
    let counts = |key: &PublicKey| opened.chain.is_root_key(key) && Some(*key) != leaving;
    let wraps = read.wraps.iter().filter(|wrap| counts(&wrap.signer));
    wraps
        .flat_map(|wrap| {
            wrap.body.sessions.iter().map(|wrapped| (wrap.body.recipient, wrapped.session))
        })
        .collect()
}

/// Whether the new bundle opens a session to what the old one opens, or opens it where the old one does not.
fn agree(
    sessions: &Sessions<'_>,
    one: (&SessionId, &Session),
    new: &SessionOpener,
    old: &SessionOpener,
) -> bool {
    match (sessions.open(new, one), sessions.open(old, one)) {
        (Err(_), _) => false,
        (Ok(_), Err(_)) => true,
        (Ok(new), Ok(old)) => old.first().is_none_or(|old| new.iter().any(|new| new.is_same(old))),
    }
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
        "unread": done.unread,
    });
    terminal.result(&value, || {
        if done.sealed.is_empty() && !(done.closed.is_empty() && done.unread.is_empty()) {
            return terminal
                .pick(
                    "Tidak ada yang dapat disegel ulang dengan berkas kunci ini, tetapi tidak semuanya terbuka.\n",
                    "Nothing can be sealed again with this bundle, and not everything is open.\n",
                )
                .to_owned();
        }
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
    done.warn_unread(terminal);
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
    check_old(&opened, args)?;
    confirm(&words(&opened, &new, (old_root, old_recipient), terminal), args.yes, terminal)?;
    let signer = if opened.chain.is_root_key(&bundle.root_public()) { &bundle } else { &new };
    // Somebody else has it: from this roster on it signs nothing. The new one signs what is sealed again.
    let stolen = old_root != bundle.root_public();
    // Agents seal to the new recipient, and no longer to the old one, from this roster on.
    step(&mut opened, signer.root(), |roster| {
        let added = add_root(roster, &new);
        let recipient = Recipient { key: new.recovery_public(), label: new.label().to_owned() };
        let listed = roster.recipients.iter().any(|one| one.key == recipient.key);
        if !listed {
            roster.recipients.push(recipient);
        }
        let before = (roster.recipients.len(), roster.root_keys.len());
        roster.recipients.retain(|one| one.key != old_recipient);
        roster.root_keys.retain(|one| !stolen || one.key != old_root);
        Ok(added | !listed | ((roster.recipients.len(), roster.root_keys.len()) != before))
    })?;
    let to: Vec<PublicKey> = opened.chain.current().body.recipients.iter().map(|r| r.key).collect();
    let mut opened = reopen(&args.depot, &new, opened)?;
    let again = Again {
        from: &bundle,
        signer: new.root(),
        new: Some(&new),
        leaving: Some(old_root),
        dry_run: false,
    };
    let done = seal_again(&opened, &again, &to)?;
    if done.closed.is_empty() {
        step(&mut opened, new.root(), |roster| {
            let before = roster.root_keys.len();
            roster.root_keys.retain(|one| one.key != old_root);
            Ok(roster.root_keys.len() != before)
        })?;
    }
    told(&done, &opened, (old_root, old_recipient), terminal)?;
    Ok(done.exit())
}

/// Refuses keys that never stood in the repository's rosters: mistyped, they would take nothing away.
fn check_old(opened: &Opened, args: &RotateArgs) -> Outcome<()> {
    let refused = |what: &str, key: PublicKey| {
        let message =
            format!("{key} was never a {what} of repository {}", opened.chain.repository());
        let next = "`lumbung roster show DEPOT` lists the keys; copy both from there";
        Err(Failure::new(Code::NotInRoster, message, next))
    };
    if let Some(root) = args.old_root
        && !was_root_key(&opened.chain, &root)
    {
        return refused("root key", root);
    }
    let mut recipients = opened.chain.all().iter().flat_map(|roster| &roster.body.recipients);
    if let Some(recipient) = args.old_recipient
        && !recipients.any(|listed| listed.key == recipient)
    {
        return refused("recipient", recipient);
    }
    Ok(())
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
    (old_root, old_recipient): (PublicKey, PublicKey),
    terminal: &Terminal,
) -> Outcome<()> {
    let roster = &opened.chain.current().body;
    let gone = !opened.chain.is_root_key(&old_root);
    let value = json!({
        "repository": opened.chain.repository(),
        "roster": roster.number,
        "sealed": done.sealed.values().sum::<usize>(),
        "closed": done.closed,
        "unread": done.unread,
        "old_root_gone": gone,
        "old_recipient_gone": roster.recipients.iter().all(|one| one.key != old_recipient),
    });
    terminal.result(&value, || {
        let word = terminal.pick("Diganti; roster", "Replaced; roster");
        format!("{word} {}\n", roster.number)
    })?;
    if gone {
        terminal.note(terminal.pick(
            "Bawa roster ke tempat lain yang menyimpan repositori ini (`lumbung roster export DARI BERKAS --key BARU`, lalu `lumbung roster import KE BERKAS --key LAMA`; dengan berkas kunci cadangan: `lumbung roster publish DARI KE`), kemudian jalankan `lumbung key rewrap KE --key LAMA --new BARU` di sana; penggantian hanya sekali, di satu lokasi. Cetak berkas kunci baru (`lumbung key paper`).\nSimpan berkas kunci lama dan kertasnya sampai `lumbung key rewrap --dry-run` di setiap lokasi dan media menyatakan tidak ada lagi yang perlu disegel ulang: sesi yang hanya ada di sana tidak terbuka dengan yang lain. Setelah itu musnahkan.",
            "Bring the rosters to where else this repository is kept (`lumbung roster export FROM FILE --key NEW`, `lumbung roster import TO FILE --key OLD`; with the spare bundle: `lumbung roster publish FROM TO`), then run `lumbung key rewrap TO --key OLD --new NEW` there; rotate once only, at one site. Print the new bundle (`lumbung key paper`).\nKeep the old bundle and its paper until `lumbung key rewrap --dry-run` says at every site and medium that nothing is left: sessions that are only there open with nothing else. Then destroy both.",
        ));
    }
    if !done.closed.is_empty() {
        let (count, stays) =
            (done.closed.len(), if gone { "" } else { ", so the old root key stays" });
        terminal.warn(&format!(
            "{count} sessions open with neither bundle{stays}: run `lumbung key rewrap` with the bundle that opens them, then this again"
        ));
    }
    done.warn_unread(terminal);
    Ok(())
}
