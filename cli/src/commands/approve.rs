//! `lumbung approve`: somebody asks to read snapshots, the PD's custodian opens exactly those, for a time. Those of runs to
//! come: `approve_standing.rs`.
//!
//! Invariants: nothing is sealed before the custodian has seen in words what it opens and to whom, or has said `--yes`;
//! a request without a letter gets none by itself; what goes out is signed by a root key of the newest roster; ids in
//! requests are whole, since whoever asks cannot look them up.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lumbung_engine::{ApprovalError, Snapshot, open_for_consent};
use lumbung_model::{ConsentId, DatasetId, ManifestId, RepositoryId, Timestamp};
use lumbung_pack::grant::{self, longest, read_request, write_grants, write_request};
use lumbung_pack::limits::{GRANT_MAX_DAYS, LABEL_MAX_BYTES};
use lumbung_pack::standing::read_approval;
use lumbung_pack::{Grant, GrantRequest, Kind, Revocation, Signed, Wanted, object_id, sign};
use lumbung_seal::{KeyBundle, seal_grants};
use lumbung_wire::messages::consents::Consent as Registered;
use serde_json::json;

use super::approve_standing::{StandingArgs, standing};
use super::approve_text::{self as text, Consent, Said, State};
use super::register::find_pd;
use crate::chain::now;
use crate::confirm::confirm;
use crate::controller::ControllerArgs;
use crate::depot::{Access, DepotArgs, Opened};
use crate::duration::Seconds;
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::files::{create, existing};
use crate::keys::{KeyArgs, OptionalKeyArgs};
use crate::listing;
use crate::moment::Moment;
use crate::opening::{
    GRANT_FILE, all_at, bad_file, grants_of_file, open_requester, signed_at, standing_at,
};
use crate::passphrase::PassphraseArgs;
use crate::terminal::Terminal;

/// What people call it.
const REQUEST_FILE: &str = "the request's file";
const LONGEST_S: u64 = GRANT_MAX_DAYS as u64 * 86_400;

/// Ask for snapshots of a PD, and open them for whoever asks: scope, letter and time are the custodian's decision
#[derive(Debug, Subcommand)]
pub(crate) enum ApproveCommand {
    /// Draw up a request to a PD's custodian; never overwrites a file
    Request(RequestArgs),
    /// Show what a request opens, then open it: the grant goes to the depot, and to a file if one is named
    Grant(GrantArgs),
    /// Show what a request for the next snapshots of datasets opens, then open them: agents seal to whoever asked, until it ends
    Standing(StandingArgs),
    /// List what was opened in a depot, to whom, for how long
    List(ListArgs),
    /// Show what a request's or a grant's file says
    Show(ShowArgs),
    /// What PDs opened, as the controller's register has it from their vaults
    Register(RegisterArgs),
    /// Take a consent back: vaults refuse it from when they hear of it; what was opened stays opened
    Revoke(RevokeArgs),
}

/// Arguments of `approve request`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["snapshot", "dataset"]))]
pub(crate) struct RequestArgs {
    /// File to write
    file: PathBuf,
    /// The PD's repository
    #[arg(long, value_name = "HEX")]
    repository: RepositoryId,
    /// A snapshot, by its whole id; may be given again
    #[arg(long, value_name = "HEX")]
    snapshot: Vec<ManifestId>,
    /// The latest snapshot of a dataset when the custodian decides, by the dataset's whole id; may be given again
    #[arg(long, value_name = "HEX")]
    dataset: Vec<DatasetId>,
    /// With --dataset: also the snapshots of its next runs, to test them by itself
    #[arg(long, conflicts_with = "snapshot", requires = "dataset")]
    standing: bool,
    /// What for, in words
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// Number of the letter on which the request rests
    #[arg(long, value_name = "TEXT", default_value = "")]
    letter: String,
    /// For how long, from the custodian's decision
    #[arg(long, value_name = "TIME", default_value = "7d")]
    lasting: Seconds,
    /// Requester key (from `lumbung key requester`)
    #[arg(long, value_name = "FILE")]
    requester_key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Arguments of `approve grant`.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// File from `lumbung approve request`
    request: PathBuf,
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    decision: DecisionArgs,
    /// Write the grant to this file too, to be sent to whoever asked
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Do not hand the grant to the depot: whoever asked gets at the data another way
    #[arg(long, requires = "out")]
    not_to_depot: bool,
    /// Open it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// What the custodian decides of a request: on which letter, from when, for how long.
#[derive(Debug, Args)]
pub(super) struct DecisionArgs {
    /// Number of the letter that decides it (default: the request's)
    #[arg(long, value_name = "TEXT")]
    letter: Option<String>,
    /// Vaults let it be read from then on, a day or "2026-11-30 08:00" (default: now)
    #[arg(long, value_name = "WHEN")]
    from: Option<Moment>,
    /// For how long (default: as the request asks)
    #[arg(long, value_name = "TIME")]
    lasting: Option<Seconds>,
}

/// When something is made, from when and until when it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) issued: Timestamp,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl DecisionArgs {
    /// The letter that decides it, and for how many seconds.
    ///
    /// # Errors
    /// If there is none, or one of the two is too long.
    pub(super) fn check<'a>(&'a self, request: &'a GrantRequest) -> Outcome<(&'a str, u64)> {
        let letter = self.letter.as_deref().unwrap_or(&request.letter).trim();
        if letter.is_empty() {
            let next = "name the letter that decides it with --letter";
            return Err(Failure::new(Code::Usage, "the request names no letter", next));
        }
        check_text("--letter", letter, 1)?;
        let asked = Seconds(u64::from(request.lasting_s));
        Ok((letter, check_lasting(self.lasting.unwrap_or(asked))?))
    }

    /// The term of something that lasts so long, from this moment or a later one; `what` is for messages.
    ///
    /// # Errors
    /// If it would end too late.
    pub(super) fn term(&self, what: &str, lasting_s: u64, terminal: &Terminal) -> Outcome<Term> {
        let issued = now();
        let from = self.from.map_or(issued, |from| from.start_in(terminal)).max(issued);
        let until = from.plus_seconds(i64::try_from(lasting_s).unwrap_or(i64::MAX));
        if until > longest(issued) {
            let message = format!("the {what} would end more than {GRANT_MAX_DAYS} days from now");
            let next = "give a shorter --lasting or an earlier --from";
            return Err(Failure::new(Code::Usage, message, next));
        }
        Ok(Term { issued, from, until })
    }
}

/// Arguments of `approve list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
}

/// Arguments of `approve register`.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `approve show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// File from `lumbung approve request`, `grant` or `standing`
    file: PathBuf,
}

/// Arguments of `approve revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// Which consent, from `lumbung approve list`
    consent: ConsentId,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    key: KeyArgs,
}

/// Runs `lumbung approve`.
///
/// # Errors
/// As each command says.
pub(crate) fn run(command: &ApproveCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        ApproveCommand::Request(args) => request(args, terminal),
        ApproveCommand::Grant(args) => open(args, terminal),
        ApproveCommand::Standing(args) => standing(args, terminal),
        ApproveCommand::List(args) => list(args, terminal),
        ApproveCommand::Register(args) => register(args, terminal),
        ApproveCommand::Show(args) => show(args, terminal),
        ApproveCommand::Revoke(args) => revoke(args, terminal),
    }
}

/// A text that would be cut is another one than the one that was decided.
fn check_text(option: &str, text: &str, least: usize) -> Outcome<()> {
    let length = text.trim().len();
    if (least..=LABEL_MAX_BYTES).contains(&length) {
        return Ok(());
    }
    let message = format!("{option} has {length} bytes; {least} to {LABEL_MAX_BYTES} are allowed");
    let next = "say it in other words; the letter itself says the rest";
    Err(Failure::new(Code::Usage, message, next))
}

fn check_lasting(lasting: Seconds) -> Outcome<u64> {
    if (1..=LONGEST_S).contains(&lasting.0) {
        return Ok(lasting.0);
    }
    let message = format!("--lasting is not between 1s and {GRANT_MAX_DAYS}d");
    Err(Failure::new(Code::Usage, message, "give it as long as the reading takes"))
}

fn request(args: &RequestArgs, terminal: &Terminal) -> Outcome<Exit> {
    check_text("--purpose", &args.purpose, 1)?;
    check_text("--letter", &args.letter, 0)?;
    let lasting_s = check_lasting(args.lasting)?;
    if args.file.exists() {
        return Err(existing(&args.file, REQUEST_FILE));
    }
    let identity = open_requester(&args.requester_key, args.passphrase.passphrase_file.as_deref())?;
    let snapshots = args.snapshot.iter().map(|id| Wanted::Snapshot(*id));
    let of = if args.standing { Wanted::Standing } else { Wanted::Latest };
    let request = GrantRequest {
        repository: args.repository,
        recipient: identity.grantee().recipient,
        name: identity.name().to_owned(),
        letter: args.letter.trim().to_owned(),
        purpose: args.purpose.trim().to_owned(),
        drawn_up: now(),
        lasting_s: u32::try_from(lasting_s).unwrap_or(u32::MAX),
        wanted: snapshots.chain(args.dataset.iter().map(|id| of(*id))).collect(),
    };
    let object = sign(&request, identity.key());
    let head = "# `lumbung approve show FILE` tells what this says.\n";
    let file = format!("{head}{}", write_request(&object));
    create(&args.file, REQUEST_FILE, file.as_bytes(), 0o644)?;
    let request = read(&args.file)?;
    terminal
        .result(&text::request_json(&args.file, &request), || text::request(&request, terminal))?;
    Ok(Exit::Fine)
}

pub(super) fn read(path: &Path) -> Outcome<Signed<GrantRequest>> {
    let text = crate::files::read_text(path, REQUEST_FILE)?;
    read_request(&text).map_err(|e| bad_file(path, REQUEST_FILE, e))
}

fn open(args: &GrantArgs, terminal: &Terminal) -> Outcome<Exit> {
    let request = read(&args.request)?;
    if let Some(out) = args.out.as_deref().filter(|out| out.exists()) {
        return Err(existing(out, GRANT_FILE));
    }
    let (letter, lasting_s) = args.decision.check(&request.body)?;
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::Bundle(&bundle))?;
    check_entitled(&request, &opened, &bundle)?;
    let snapshots = chosen(&request.body, &opened, terminal)?;
    let term = args.decision.term("consent", lasting_s, terminal)?;
    let grant = draft(&request, letter, &snapshots, term);
    let ids: Vec<ManifestId> = grant.snapshots.clone();
    let consented = open_for_consent(opened.depot.as_ref(), &opened.chain, &ids, bundle.recovery())
        .map_err(explain)?;
    let said = Said::of(&opened, &snapshots, &consented, bundle.recovery());
    confirm(&text::words(&grant, &said, terminal), args.yes, terminal)?;
    let grants = seal_grants(&grant, &consented.openings).map_err(|e| {
        Failure::new(
            Code::Usage,
            "the grant could not be sealed",
            "open fewer snapshots at once, or ask for another request",
        )
        .because(e)
    })?;
    let objects: Vec<Vec<u8>> = grants.iter().map(|grant| sign(grant, bundle.root())).collect();
    deliver(args, &opened, &objects)?;
    let value = text::granted_json(&grant, &said, objects.len(), args.out.as_deref());
    terminal.result(&value, || text::granted(&grant, &said, &opened, args, terminal))?;
    Ok(Exit::Fine)
}

impl GrantArgs {
    /// Where the grant went, besides the depot.
    pub(super) fn out(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// Whether the depot has it.
    pub(super) const fn to_depot(&self) -> bool {
        !self.not_to_depot
    }
}

pub(super) fn check_entitled(
    request: &Signed<GrantRequest>,
    opened: &Opened,
    bundle: &KeyBundle,
) -> Outcome<()> {
    let (asked, here) = (request.body.repository, opened.chain.repository());
    if asked != here {
        let message = format!("the request is for repository {asked}; {} is {here}", opened.name());
        return Err(Failure::new(
            Code::OtherRepository,
            message,
            "name the depot of that repository",
        ));
    }
    if !opened.chain.is_root_key(&bundle.root_public()) {
        let message = format!("this key bundle is no root key of repository {here}");
        return Err(Failure::new(
            Code::NotEntitled,
            message,
            "only the PD's custodian opens its snapshots",
        ));
    }
    Ok(())
}

/// The snapshots that a request asks for, each once.
fn chosen(request: &GrantRequest, opened: &Opened, terminal: &Terminal) -> Outcome<Vec<Snapshot>> {
    let list = listing::read(opened)?;
    let mut found = Vec::new();
    for wanted in &request.wanted {
        let snapshot = match wanted {
            Wanted::Snapshot(id) => list.select(&id.to_string(), None, terminal)?,
            Wanted::Latest(dataset) => {
                list.select("latest", Some(&dataset.to_string()), terminal)?
            }
            Wanted::Standing(_) => {
                let message = "the request asks for the snapshots of runs to come";
                let next = "open them with `lumbung approve standing`";
                return Err(Failure::new(Code::Usage, message, next));
            }
        };
        if !found.iter().any(|known: &Snapshot| known.id == snapshot.id) {
            found.push(snapshot);
        }
    }
    Ok(found)
}

fn draft(
    request: &Signed<GrantRequest>,
    letter: &str,
    snapshots: &[Snapshot],
    Term { issued, from, until }: Term,
) -> Grant {
    let mut ids: Vec<ManifestId> = snapshots.iter().map(|snapshot| snapshot.id).collect();
    ids.sort_unstable();
    Grant {
        repository: request.body.repository,
        consent: ConsentId::random(),
        part: 1,
        parts: 1,
        grantee: grant::grantee(request),
        name: request.body.name.clone(),
        letter: letter.to_owned(),
        purpose: request.body.purpose.clone(),
        issued,
        from,
        until,
        snapshots: ids,
        encapsulated: [0; 32],
        sealed: Vec::new(),
    }
}

pub(super) fn explain(error: ApprovalError) -> Failure {
    match error {
        ApprovalError::Snapshot { snapshot, source } => listing::explain(
            &format!("what snapshot {snapshot} takes could not be opened"),
            *source,
        ),
        error => Failure::new(
            Code::NotEntitled,
            "the snapshots cannot be opened to anybody",
            "`lumbung snapshots DEPOT --all` shows which ones are vouched for",
        )
        .because(error),
    }
}

fn deliver(args: &GrantArgs, opened: &Opened, objects: &[Vec<u8>]) -> Outcome<()> {
    // The file first: what is in the depot counts already.
    if let Some(out) = &args.out {
        let file = write_grants(objects.iter().map(Vec::as_slice));
        create(out, GRANT_FILE, file.as_bytes(), 0o644)?;
    }
    if args.not_to_depot {
        return Ok(());
    }
    for object in objects {
        opened.depot.put(Kind::Grant, &object_id(object), object).explain(
            Code::Depot,
            || format!("the grant could not be stored in {}", opened.name()),
            "run it again; with --out and --not-to-depot it goes to a file alone",
        )?;
    }
    Ok(())
}

fn list(args: &ListArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::of(bundle.as_ref()))?;
    let revoked = revocations(&opened)?;
    let (standing, grants) = (standing_at(&opened)?, all_at(&opened)?);
    // A standing approval before its base's grants: what stands for a consent is what opens the most.
    let all = standing.iter().map(Consent::Standing);
    let mut consents: Vec<Consent<'_>> = Vec::new();
    for one in all.chain(grants.iter().map(|(grant, _)| Consent::Grant(grant))) {
        if consents.iter().all(|known| known.id() != one.id()) {
            consents.push(one);
        }
    }
    consents.sort_by_key(|consent| (consent.issued(), consent.id()));
    let judged: Vec<(Consent<'_>, State)> = consents
        .into_iter()
        .map(|consent| (consent, State::of(&consent, &opened.chain, &revoked, now())))
        .collect();
    terminal.result(&text::list_json(&judged), || text::list(&judged, terminal))?;
    Ok(Exit::Fine)
}

fn register(args: &RegisterArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let pd = args.pd.as_deref().map(|pd| find_pd(&controller, pd)).transpose()?;
    let only = pd.map_or_else(String::new, |pd| format!("?pd={}", pd.id));
    let all: Vec<Registered> = controller.list(&format!("/api/v1/consents{only}"))?;
    terminal.result(&all, || text::registered(&all, terminal))?;
    Ok(Exit::Fine)
}

/// What the depot says was revoked, by whoever has or had a root key.
fn revocations(opened: &Opened) -> Outcome<Vec<Signed<Revocation>>> {
    let listed = opened.depot.list(Kind::Revocation);
    let mut found: Vec<Signed<Revocation>> =
        signed_at(opened, "revocations", listed)?.into_iter().map(|(signed, _)| signed).collect();
    found.retain(|signed| {
        let mut roots = opened.chain.all().iter().flat_map(|roster| &roster.body.root_keys);
        roots.any(|root| root.key == signed.signer)
    });
    Ok(found)
}

fn show(args: &ShowArgs, terminal: &Terminal) -> Outcome<Exit> {
    let file = crate::files::read_long_text(&args.file, "the file")?;
    if let Ok(request) = read_request(&file) {
        terminal.result(&text::request_json(&args.file, &request), || {
            text::request(&request, terminal)
        })?;
        return Ok(Exit::Fine);
    }
    if let Ok(approval) = read_approval(&file) {
        let value = text::approval_json(Some(&args.file), &approval);
        terminal.result(&value, || text::approval(&approval, terminal))?;
        return Ok(Exit::Fine);
    }
    drop(file);
    let grants = grants_of_file(&args.file)?;
    let Some((first, _)) = grants.first() else {
        return Err(Failure::new(Code::BadFile, "the file is empty", "have it sent again"));
    };
    terminal.result(&text::grant_json(&args.file, first), || text::grant(first, terminal))?;
    Ok(Exit::Fine)
}

fn revoke(args: &RevokeArgs, terminal: &Terminal) -> Outcome<Exit> {
    check_text("--reason", &args.reason, 1)?;
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::Bundle(&bundle))?;
    if !opened.chain.is_root_key(&bundle.root_public()) {
        let message = "this key bundle is no root key of the repository";
        return Err(Failure::new(Code::NotEntitled, message, "use the custodian's bundle"));
    }
    let granted = all_at(&opened)?.iter().any(|(grant, _)| grant.body.consent == args.consent);
    if !granted && standing_at(&opened)?.iter().all(|one| one.body.consent != args.consent) {
        let message = format!("{} has no consent {}", opened.name(), args.consent);
        let next = "`lumbung approve list DEPOT` lists them; a grant that is in a file alone cannot be taken back";
        return Err(Failure::new(Code::UnknownConsent, message, next));
    }
    let revocation = Revocation {
        repository: opened.chain.repository(),
        consent: args.consent,
        revoked: now(),
        reason: args.reason.trim().to_owned(),
    };
    let object = sign(&revocation, bundle.root());
    opened.depot.put(Kind::Revocation, &object_id(&object), &object).explain(
        Code::Depot,
        || format!("the revocation could not be stored in {}", opened.name()),
        "try again, or at another site",
    )?;
    let value = json!({ "consent": args.consent, "revoked": revocation.revoked, "reason": revocation.reason });
    terminal.result(&value, || {
        terminal
            .pick(
                "Dicabut. Lokasi ini menolaknya mulai sekarang, lokasi lain setelah menarik pencabutan ini;\n\
                 agen berhenti menyegel untuknya pada pencadangan berikutnya.\n\
                 Yang sudah dibuka tetap terbuka.\n",
                "Revoked. This site refuses it from now on, other sites once they have pulled this;\n\
                 agents stop sealing to it with their next backup.\n\
                 What was opened stays opened.\n",
            )
            .to_owned()
    })?;
    Ok(Exit::Fine)
}
