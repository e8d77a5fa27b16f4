//! With what a command opens snapshots: the custodian's bundle, or a requester's key and what was granted to it, or is opened to
//! it run by run.
//!
//! Invariants: a grant or standing approval counts here only if the depot's newest roster lists its signer as a root key, whatever
//! the depot says of it; an opening only in the name of who signed the snapshot; with either, snapshots that it does not open are not chosen from, and `latest` is the latest of those that it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_engine::{DepotError, Opening, SessionOpener, Snapshot};
use lumbung_model::{DatasetId, ManifestId, PublicKey, SessionId, Timestamp};
use lumbung_pack::grant::{GrantFileError, GrantObject, honoured, read_grants, whole};
use lumbung_pack::{
    Kind, Object, RosterChain, SessionOpening, Signed, SigningKey, StandingApproval, object_id,
    open_signed, standing,
};
use lumbung_seal::{
    KeyBundle, KeyFileError, Openings, RequesterIdentity, RootPlain, open_grants, open_opening,
};

use crate::chain::now;
use crate::depot::{Access, AccessArgs, DepotArgs, Opened};
use crate::failure::{Code, Explain as _, Failure, Outcome};
use crate::files::read_text;
use crate::keys;
use crate::labels::{self, LabelError};
use crate::listing::Listing;
use crate::passphrase::{self, PassphraseArgs};
use crate::terminal::Terminal;

/// What people call it.
pub(crate) const GRANT_FILE: &str = "the grant's file";
/// What people call it.
pub(crate) const APPROVAL_FILE: &str = "the approval's file";
/// Openings read at once: a verifier has one for each run.
const OPENING_READERS: usize = 8;

/// With what snapshots are opened.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OpeningArgs {
    /// Key bundle (from `lumbung key new`)
    #[arg(
        long,
        value_name = "FILE",
        env = "LUMBUNG_KEY",
        required_unless_present = "requester_key"
    )]
    key: Option<PathBuf>,
    /// Requester key (from `lumbung key requester`), to read what was granted to it; goes before --key
    #[arg(long, value_name = "FILE")]
    requester_key: Option<PathBuf>,
    /// The grant (from `lumbung approve grant`); without it, the depot is asked for what was granted and opened to this key
    #[arg(long, value_name = "FILE", requires = "requester_key")]
    grant: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Keys at hand.
pub(crate) enum Opener {
    /// The custodian's, or another recipient's.
    Bundle(KeyBundle),
    /// A requester's, with the grant that was named.
    Requester(RequesterIdentity, Vec<GrantObject>),
}

/// A depot that was opened, and what opens snapshots in it.
pub(crate) struct Unlocked {
    /// Where it is.
    pub(crate) opened: Opened,
    /// What opens them.
    pub(crate) opening: Opening,
    /// What is opened to a requester; nothing where a recovery key is at hand.
    granted: Option<Granted>,
}

/// The snapshots that are opened to a requester.
#[derive(Default)]
struct Granted {
    snapshots: Vec<ManifestId>,
    /// Sessions that their agents opened, with the datasets of the standing approvals.
    sessions: Vec<(SessionId, PublicKey, DatasetId)>,
}

impl Granted {
    fn has(&self, snapshot: &Snapshot) -> bool {
        let run = (snapshot.session, snapshot.signer, snapshot.dataset);
        self.snapshots.contains(&snapshot.id) || self.sessions.contains(&run)
    }
}

impl OpeningArgs {
    /// The file of the key that is used.
    #[must_use]
    pub(crate) fn file(&self) -> &Path {
        self.requester_key.as_deref().or(self.key.as_deref()).unwrap_or_else(|| Path::new(""))
    }

    /// The options that name these keys, for a command line that is shown.
    #[must_use]
    pub(crate) fn options(&self) -> Vec<(&'static str, &Path)> {
        match (&self.requester_key, &self.key) {
            (Some(requester), _) => {
                let grant = self.grant.as_deref().map(|grant| ("--grant", grant));
                std::iter::once(("--requester-key", requester.as_path())).chain(grant).collect()
            }
            (None, Some(key)) => vec![("--key", key.as_path())],
            (None, None) => Vec::new(),
        }
    }

    /// Opens the keys.
    ///
    /// # Errors
    /// If a file is not there, is damaged, or the passphrase is wrong.
    pub(crate) fn open(&self) -> Outcome<Opener> {
        let passphrase_file = self.passphrase.passphrase_file.as_deref();
        match (&self.requester_key, &self.key) {
            (Some(path), _) => {
                // A grant that cannot be used is told before a passphrase is asked for.
                let grants = self.grant.as_deref().map(grants_of_file).transpose()?;
                let identity = open_requester(path, passphrase_file)?;
                Ok(Opener::Requester(identity, grants.unwrap_or_default()))
            }
            (None, Some(key)) => keys::open(key, passphrase_file).map(Opener::Bundle),
            // The command line sees to it that one is there.
            (None, None) => Err(Failure::new(
                Code::Usage,
                "no key is named",
                "give --key (the custodian's bundle) or --requester-key",
            )),
        }
    }
}

impl Opener {
    /// Whose keys these are, at a vault.
    pub(crate) const fn access(&self) -> Access<'_> {
        match self {
            Self::Bundle(bundle) => Access::Bundle(bundle),
            Self::Requester(identity, _) => Access::Requester(identity),
        }
    }

    /// What signs a proof of restore that counts: a root key of the repository, or the key to which snapshots are opened.
    #[must_use]
    pub(crate) fn prover(&self, chain: &RosterChain) -> Option<&SigningKey> {
        match self {
            Self::Bundle(bundle) => chain.is_root_key(&bundle.root_public()).then(|| bundle.root()),
            Self::Requester(identity, _) => Some(identity.key()),
        }
    }

    /// How a depot of these keys is opened: a grant names its repository.
    #[must_use]
    pub(crate) fn access_args(&self, args: &AccessArgs) -> AccessArgs {
        let granted = match self {
            Self::Requester(_, grants) => grants.first().map(|(grant, _)| grant.body.repository),
            Self::Bundle(_) => None,
        };
        AccessArgs { repository: args.repository.or(granted), identity: args.identity.clone() }
    }

    /// Opens the depot, and what is needed to open snapshots in it.
    ///
    /// # Errors
    /// If there is no such repository, or nothing is granted to the requester there.
    pub(crate) fn unlock(&self, depot: &DepotArgs, terminal: &Terminal) -> Outcome<Unlocked> {
        let access = self.access_args(&depot.access);
        let args = DepotArgs { depot: depot.depot.clone(), access };
        self.unlock_opened(args.open(self.access())?, terminal)
    }

    /// As [`Self::unlock`], of a depot that is open.
    ///
    /// # Errors
    /// If nothing is granted to the requester there.
    pub(crate) fn unlock_opened(&self, opened: Opened, terminal: &Terminal) -> Outcome<Unlocked> {
        let (identity, named) = match self {
            Self::Bundle(bundle) => {
                let opening = bundle.recovery().into();
                return Ok(Unlocked { opened, opening, granted: None });
            }
            Self::Requester(identity, named) => (identity, named),
        };
        let found =
            if named.is_empty() { at_depot(&opened, identity, terminal)? } else { Vec::new() };
        let grants = if named.is_empty() { &found } else { named };
        let mut granted = Granted::default();
        for (grant, _) in grants {
            if !honoured(&opened.chain, grant) {
                return Err(not_owners(&opened, grant.signer));
            }
            granted.snapshots.extend(&grant.body.snapshots);
            warn_of_end(("grant", grant.body.consent), grant.body.until, terminal);
        }
        let bodies = grants.iter().map(|(grant, _)| &grant.body);
        let mut openings = open_grants(bodies, identity.recipient()).map_err(|e| {
            let next =
                "use the requester key that the request was made with, or ask for the grant again";
            Failure::new(Code::NotEntitled, "the grant does not open", next).because(e)
        })?;
        if named.is_empty() {
            let sessions = open_sessions(&opened, identity, &mut openings, terminal)?;
            if found.is_empty() && sessions.is_none() {
                return Err(nothing_granted(&opened));
            }
            granted.sessions = sessions.unwrap_or_default();
        }
        Ok(Unlocked { opened, opening: (&Arc::new(openings)).into(), granted: Some(granted) })
    }
}

/// What the sealed root of a snapshot says.
type RootOf<'a> = dyn Fn(&ManifestId) -> Result<RootPlain, LabelError> + 'a;
/// The label of a snapshot, where its sealed root opens.
type LabelOf<'a> = dyn Fn(&ManifestId) -> Option<String> + 'a;

impl Unlocked {
    /// Opens the sealed roots of snapshots. The owner's wraps are read once for all of them.
    #[must_use]
    pub(crate) fn roots(&self) -> Box<RootOf<'_>> {
        let depot = self.opened.depot.as_ref();
        match &self.opening {
            Opening::Granted(openings) => Box::new(move |id| labels::granted(depot, id, openings)),
            Opening::Recovery(key) => {
                let opener = SessionOpener::new(self.opened.chain.clone(), key.duplicate());
                Box::new(move |id| labels::open(depot, id, &opener))
            }
        }
    }

    /// Asks the sealed roots of snapshots for their labels; nothing of one that does not open.
    #[must_use]
    pub(crate) fn labels(&self) -> Box<LabelOf<'_>> {
        let roots = self.roots();
        Box::new(move |id| Some(roots(id).ok()?.label))
    }

    /// The snapshots to choose from.
    ///
    /// # Errors
    /// If the depot does not give them.
    pub(crate) fn list(&self) -> Outcome<Listing<'_>> {
        let mut list = crate::listing::read(&self.opened)?;
        if let Some(granted) = &self.granted {
            list.snapshots.retain(|snapshot| granted.has(snapshot));
        }
        Ok(list)
    }
}

fn not_owners(opened: &Opened, signer: lumbung_model::PublicKey) -> Failure {
    let message = format!(
        "the grant is signed with {signer}, which is no root key of repository {}",
        opened.chain.repository()
    );
    Failure::new(Code::NotEntitled, message, "ask the PD's custodian for a grant")
}

/// The grants to this requester that the depot has, whole ones only.
fn at_depot(
    opened: &Opened,
    identity: &RequesterIdentity,
    terminal: &Terminal,
) -> Outcome<Vec<GrantObject>> {
    let mut consents = std::collections::BTreeMap::<_, Vec<GrantObject>>::new();
    for (grant, bytes) in all_at(opened)? {
        if grant.body.grantee == identity.grantee() && honoured(&opened.chain, &grant) {
            consents.entry(grant.body.consent).or_default().push((grant, bytes));
        }
    }
    let mut found = Vec::new();
    for (consent, mut grants) in consents {
        match whole(&mut grants) {
            Ok(()) => found.extend(grants),
            Err(error) => terminal.warn(&format!("consent {consent} is left out: {error}")),
        }
    }
    Ok(found)
}

fn nothing_granted(opened: &Opened) -> Failure {
    let message = format!("{} has no grant for this requester key", opened.name());
    let next =
        "ask the PD's custodian (`lumbung approve request`), or name the grant's file with --grant";
    Failure::new(Code::NotEntitled, message, next)
}

fn warn_of_end(
    (what, consent): (&str, lumbung_model::ConsentId),
    until: Timestamp,
    terminal: &Terminal,
) {
    if now() > until {
        terminal.warn(&format!(
            "the {what} (consent {consent}) was for reading until {}: vaults refuse it now",
            terminal.time(until)
        ));
    }
}

/// Opens the sessions that agents opened to this requester, by the owner's standing approvals; nothing where there is no
/// approval. An opening that does not open is passed over: the snapshot is then not among those that can be read.
fn open_sessions(
    opened: &Opened,
    identity: &RequesterIdentity,
    openings: &mut Openings,
    terminal: &Terminal,
) -> Outcome<Option<Vec<(SessionId, PublicKey, DatasetId)>>> {
    let mut approvals = standing_at(opened)?;
    approvals.retain(|one| {
        one.body.grantee == identity.grantee() && standing::honoured(&opened.chain, one)
    });
    if approvals.is_empty() {
        return Ok(None);
    }
    for approval in &approvals {
        warn_of_end(("standing approval", approval.body.consent), approval.body.until, terminal);
    }
    let mut sessions = Vec::new();
    for opening in read_openings(opened)? {
        let body = &opening.body;
        let approval = approvals
            .iter()
            .find(|one| one.body.consent == body.consent && body.repository == one.body.repository);
        let Some(approval) = approval else { continue };
        match open_opening(body, identity.recipient()) {
            Ok(key) => {
                openings.add_session(body.session, key);
                sessions.push((body.session, opening.signer, approval.body.dataset));
            }
            Err(error) => terminal.warn(&error.to_string()),
        }
    }
    Ok(Some(sessions))
}

/// The openings that the depot gives, by several readers at once; one that is damaged is passed over.
fn read_openings(opened: &Opened) -> Outcome<Vec<Signed<SessionOpening>>> {
    let what = || format!("the openings in {} could not be read", opened.name());
    let next = "check the address and the key; or read them at another site";
    let depot = opened.depot.as_ref();
    let ids = depot.list(Kind::Opening).explain(Code::Depot, what, next)?;
    let read = |id: &[u8; 32]| match depot.get(Kind::Opening, id) {
        Ok(bytes) if object_id(&bytes) == *id => Ok(open_signed::<SessionOpening>(&bytes).ok()),
        Err(error) if error.is_transient() => Err(error),
        Ok(_) | Err(_) => Ok(None),
    };
    let share = ids.len().div_ceil(OPENING_READERS).max(16);
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = ids
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().map(read).collect::<Result<Vec<_>, _>>()))
            .collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    let mut found = Vec::new();
    for part in parts {
        let part = part.ok_or_else(|| Failure::new(Code::Depot, what(), "run it again"))?;
        found.extend(part.explain(Code::Depot, what, next)?.into_iter().flatten());
    }
    Ok(found)
}

/// All grants that the depot gives, whoever signed them.
///
/// # Errors
/// If it does not answer, or gives something else.
pub(crate) fn all_at(opened: &Opened) -> Outcome<Vec<GrantObject>> {
    signed_at(opened, "grants", opened.depot.list(Kind::Grant))
}

/// The standing approvals that the depot gives, whoever signed them.
///
/// # Errors
/// If it does not answer, or gives something else.
pub(crate) fn standing_at(opened: &Opened) -> Outcome<Vec<Signed<StandingApproval>>> {
    let listed = match opened.depot.list(Kind::StandingApproval) {
        // A site of an older version has no such folder, or shows it to nobody.
        Err(DepotError::Refused { .. } | DepotError::NotFound { .. }) => Ok(Vec::new()),
        listed => listed,
    };
    let found = signed_at(opened, "standing approvals", listed)?;
    Ok(found.into_iter().map(|(approval, _)| approval).collect())
}

/// The objects of a kind that the depot has listed, with their bytes, whoever signed them; `plural` is for messages.
///
/// # Errors
/// If it does not answer, or gives something else.
pub(crate) fn signed_at<T: Object>(
    opened: &Opened,
    plural: &str,
    listed: Result<Vec<[u8; 32]>, DepotError>,
) -> Outcome<Vec<(Signed<T>, Vec<u8>)>> {
    let what = || format!("the {plural} in {} could not be read", opened.name());
    let next = "check the address and the key; or read them at another site";
    let mut found = Vec::new();
    for id in listed.explain(Code::Depot, what, next)? {
        let bytes = opened.depot.get(T::KIND, &id).explain(Code::Depot, what, next)?;
        if object_id(&bytes) != id {
            return Err(Failure::new(Code::Damaged, what(), next));
        }
        found.push((open_signed(&bytes).explain(Code::Damaged, what, next)?, bytes));
    }
    Ok(found)
}

/// Reads a grant's file.
///
/// # Errors
/// If it is not there, is damaged, or incomplete.
pub(crate) fn grants_of_file(path: &Path) -> Outcome<Vec<GrantObject>> {
    let text = crate::files::read_long_text(path, GRANT_FILE)?;
    read_grants(&text).map_err(|e| bad_file(path, GRANT_FILE, e))
}

/// What a file that is no grant or request means.
#[must_use]
pub(crate) fn bad_file(path: &Path, what: &str, error: GrantFileError) -> Failure {
    let message = format!("{} cannot be used as {what}", path.display());
    Failure::new(Code::BadFile, message, "have it sent again").because(error)
}

/// Opens a requester's key, with its passphrase if it has one.
///
/// # Errors
/// If it is not there, is damaged, or the passphrase is wrong.
pub(crate) fn open_requester(
    path: &Path,
    passphrase_file: Option<&Path>,
) -> Outcome<RequesterIdentity> {
    let text = read_text(path, "the requester key")?;
    let explain = |error: KeyFileError| keys::explain(path, error);
    if !RequesterIdentity::is_sealed(&text) {
        return RequesterIdentity::from_machine_text(&text).map_err(explain);
    }
    RequesterIdentity::public(&text).map_err(explain)?;
    let passphrase = passphrase::existing(passphrase_file, path)?;
    RequesterIdentity::from_text(&text, &passphrase).map_err(explain)
}
