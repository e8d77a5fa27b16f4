//! `lumbung order`: what the PD's custodian and the Dinas decide together, drawn up, signed and read.
//!
//! Invariants: whoever signs has seen in words what the signature stands for, or has said `--yes`; a file is never
//! overwritten by a new order, and gets a signature only if all copies in it are of one order that is still valid; ids
//! that are not given in full are looked up, never guessed.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lumbung_model::{DatasetId, HoldId, ManifestId, PublicKey, RepositoryId, Secret, Timestamp};
use lumbung_pack::limits::LABEL_MAX_BYTES;
use lumbung_pack::{Action, Order, Subject, sign as signed};
use lumbung_seal::KeyBundle;

use crate::chain::now;
use crate::confirm::confirm;
use crate::depot::{self, Access, AccessArgs, Opened};
use crate::duration::Seconds;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::{create, existing, replace};
use crate::keys::{self, KeyArgs, OptionalKeyArgs};
use crate::listing;
use crate::order_file::{Covered, Known, OrderFile, covered_by, first_text};
use crate::order_text;
use crate::terminal::Terminal;

/// What people call it.
const FILE: &str = "the order's file";
/// An order that is valid for longer is forgotten before it is carried out.
const LONGEST_S: u64 = 366 * 86_400;

/// Draw up and sign orders: destroy snapshots, release a hold. They take the PD's signature and the Dinas'
#[derive(Debug, Subcommand)]
pub(crate) enum OrderCommand {
    /// Draw up an order and sign its first copy; never overwrites a file
    New(NewArgs),
    /// Show what an order says, then add a copy signed by this key
    Sign(SignArgs),
    /// Show what an order says, who signed it, and what is missing
    Show(ShowArgs),
}

/// Arguments of `order new`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["destroy_snapshot", "destroy_dataset", "destroy_repository", "release"]))]
#[command(group = clap::ArgGroup::new("whose").required(true).multiple(true).args(["depot", "repository"]))]
pub(crate) struct NewArgs {
    /// File to write
    file: PathBuf,
    /// Where to look up what is named below; without it, ids are given in full
    #[arg(long, value_name = "DEPOT")]
    depot: Option<String>,
    /// Which repository; with --depot, where that keeps several
    #[arg(long, value_name = "HEX")]
    repository: Option<RepositoryId>,
    /// Client certificate and key for a vault, PEM (agents and operators; the PD's key bundle needs none)
    #[arg(long, value_name = "FILE", requires = "depot")]
    identity: Option<PathBuf>,
    /// Destroy one snapshot: its id, or with --depot its first digits
    #[arg(long, value_name = "ID")]
    destroy_snapshot: Option<String>,
    /// Destroy all snapshots of a dataset: its id, or with --depot its first digits or its name
    #[arg(long, value_name = "DATASET")]
    destroy_dataset: Option<String>,
    /// Destroy all snapshots of the repository
    #[arg(long)]
    destroy_repository: bool,
    /// Release a hold: its id, from `lumbung-vault hold list`
    #[arg(long, value_name = "HOLD")]
    release: Option<HoldId>,
    /// Number of the letter that decides it
    #[arg(long, value_name = "TEXT")]
    letter: String,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// A site that has not carried it out by then refuses it
    #[arg(long, value_name = "TIME", default_value = "30d")]
    valid_for: Seconds,
    #[command(flatten)]
    key: KeyArgs,
}

/// Where to look up what an order names.
#[derive(Debug, Args)]
struct LookUpArgs {
    /// Depot that has the rosters, to tell whose keys signed, and the snapshots, to list what it destroys
    #[arg(long, value_name = "DEPOT")]
    depot: Option<String>,
    /// Client certificate and key for a vault, PEM (agents and operators; the PD's key bundle needs none)
    #[arg(long, value_name = "FILE", requires = "depot")]
    identity: Option<PathBuf>,
    /// Root key of the Dinas' bundle, to tell its signature
    #[arg(long, value_name = "HEX")]
    dinas_key: Vec<PublicKey>,
}

/// Arguments of `order sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// File from `lumbung order new`; it gets one more copy
    file: PathBuf,
    #[command(flatten)]
    look_up: LookUpArgs,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// Arguments of `order show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// File from `lumbung order new`
    file: PathBuf,
    #[command(flatten)]
    look_up: LookUpArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
}

/// Runs `lumbung order`.
///
/// # Errors
/// As each command says.
pub(crate) fn run(command: &OrderCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        OrderCommand::New(args) => new(args, terminal),
        OrderCommand::Sign(args) => sign(args, terminal),
        OrderCommand::Show(args) => show(args, terminal),
    }
}

fn new(args: &NewArgs, terminal: &Terminal) -> Outcome<Exit> {
    check_text("--letter", &args.letter)?;
    check_text("--reason", &args.reason)?;
    if !(1..=LONGEST_S).contains(&args.valid_for.0) {
        let message = "--valid-for is not between 1s and 366d";
        return Err(Failure::new(
            Code::Usage,
            message,
            "give it as long as it takes to carry it out",
        ));
    }
    // Asking for a passphrase is for nothing where the file cannot be written.
    if args.file.exists() {
        return Err(existing(&args.file, FILE));
    }
    let bundle = args.key.open()?;
    let opened = match &args.depot {
        Some(depot) => {
            let access =
                AccessArgs { repository: args.repository, identity: args.identity.clone() };
            Some(depot::open(depot, &access, Access::Bundle(&bundle))?)
        }
        None => None,
    };
    let issued = now();
    let order = Order {
        repository: repository(args, opened.as_ref())?,
        nonce: *Secret::<16>::random().expose(),
        action: action(args, opened.as_ref(), terminal)?,
        issued,
        valid_until: issued.plus_seconds(i64::try_from(args.valid_for.0).unwrap_or(i64::MAX)),
        letter: args.letter.trim().to_owned(),
        reason: args.reason.trim().to_owned(),
    };
    let known = known(&order, opened, Vec::new(), terminal)?;
    let text = first_text(&signed(&order, bundle.root()));
    create(&args.file, FILE, text.as_bytes(), 0o644)?;
    tell(&args.file, &known, terminal)?;
    Ok(Exit::Fine)
}

/// A text that would be cut in the file is another one than the one that was decided.
fn check_text(option: &str, text: &str) -> Outcome<()> {
    let length = text.trim().len();
    if (1..=LABEL_MAX_BYTES).contains(&length) {
        return Ok(());
    }
    let message = format!("{option} has {length} bytes; 1 to {LABEL_MAX_BYTES} are allowed");
    Err(Failure::new(
        Code::Usage,
        message,
        "say it in other words; the letter itself says the rest",
    ))
}

fn repository(args: &NewArgs, opened: Option<&Opened>) -> Outcome<RepositoryId> {
    let looked_up = opened.map(|opened| opened.chain.repository());
    // The command line's groups see to it that one of them is there.
    looked_up.or(args.repository).ok_or_else(|| {
        Failure::new(Code::Usage, "no repository is named", "give --depot or --repository")
    })
}

fn action(args: &NewArgs, opened: Option<&Opened>, terminal: &Terminal) -> Outcome<Action> {
    let subject = match (&args.release, &args.destroy_snapshot, &args.destroy_dataset) {
        (Some(hold), ..) => return Ok(Action::Release(*hold)),
        (_, Some(named), _) => Subject::Snapshot(snapshot(named, opened, terminal)?),
        (_, _, Some(named)) => Subject::Dataset(dataset(named, opened)?),
        _ => Subject::Repository,
    };
    Ok(Action::Destroy(subject))
}

fn in_full(named: &str, what: &str) -> Failure {
    let message = format!("{named:?} is no whole id of a {what}");
    let next = "give the whole id, as `lumbung snapshots DEPOT --json` prints it, or --depot to look it up";
    Failure::new(Code::Usage, message, next)
}

fn snapshot(named: &str, opened: Option<&Opened>, terminal: &Terminal) -> Outcome<ManifestId> {
    let Some(opened) = opened else {
        return named.parse().map_err(|_| in_full(named, "snapshot"));
    };
    // By tomorrow `latest` is another one: whoever destroys says which.
    if named.starts_with("latest") {
        let message = "what is destroyed is named by its id, not by `latest`";
        return Err(Failure::new(Code::Usage, message, "`lumbung snapshots DEPOT` lists the ids"));
    }
    Ok(listing::read(opened)?.select(named, None, terminal)?.id)
}

fn dataset(named: &str, opened: Option<&Opened>) -> Outcome<DatasetId> {
    let Some(opened) = opened else {
        return named.parse().map_err(|_| in_full(named, "dataset"));
    };
    let list = listing::read(opened)?;
    let meant = list.snapshots.iter().filter(|one| list.is_of(one, named));
    let mut found: Vec<DatasetId> = meant.map(|one| one.dataset).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [one] => Ok(one),
        [] => {
            let message = format!("{} has no snapshot of dataset {named:?}", opened.name());
            let next = "`lumbung snapshots DEPOT --all` lists them with their datasets; without --depot the whole id is taken as it is";
            Err(Failure::new(Code::UnknownSnapshot, message, next))
        }
        _ => {
            let message = format!("{named:?} means {} datasets", found.len());
            Err(Failure::new(Code::AmbiguousSnapshot, message, "give more digits of the id")
                .listing(found.iter().map(ToString::to_string).collect()))
        }
    }
}

/// What a depot tells of an order.
fn known(
    order: &Order,
    opened: Option<Opened>,
    dinas_keys: Vec<PublicKey>,
    terminal: &Terminal,
) -> Outcome<Known> {
    let Some(opened) = opened else { return Ok(Known { dinas_keys, ..Known::default() }) };
    let covered = match order.action {
        Action::Release(_) => None,
        Action::Destroy(_) => {
            let list = listing::read(&opened)?;
            // It may be of those that go.
            list.warn_unreadable(terminal);
            Some(Covered { depot: opened.name(), snapshots: covered_by(order, &list.snapshots) })
        }
    };
    Ok(Known { chain: Some(opened.chain), dinas_keys, covered })
}

impl LookUpArgs {
    fn known(
        &self,
        order: &Order,
        bundle: Option<&KeyBundle>,
        terminal: &Terminal,
    ) -> Outcome<Known> {
        let access =
            AccessArgs { repository: Some(order.repository), identity: self.identity.clone() };
        let opened = match &self.depot {
            Some(depot) => Some(depot::open(depot, &access, Access::of(bundle))?),
            None => None,
        };
        known(order, opened, self.dinas_key.clone(), terminal)
    }
}

fn sign(args: &SignArgs, terminal: &Terminal) -> Outcome<Exit> {
    let file = OrderFile::read(&args.file)?;
    check_valid(&file, now(), terminal)?;
    let key = keys::public_halves(&args.key.key)?.root_public();
    if file.is_signed_by(&key) {
        let message = format!("{} is signed with this key already", args.file.display());
        let next = "the second signature is another party's; `lumbung order show` tells which one is missing";
        return Err(Failure::new(Code::SignedAlready, message, next));
    }
    let bundle = args.key.open()?;
    let known = args.look_up.known(file.order(), Some(&bundle), terminal)?;
    confirm(&order_text::words(file.order(), &known, now(), terminal), args.yes, terminal)?;
    let text = file.with(&signed(file.order(), bundle.root()));
    replace(&args.file, FILE, text.as_bytes(), 0o644)?;
    tell(&args.file, &known, terminal)?;
    Ok(Exit::Fine)
}

fn check_valid(file: &OrderFile, now: Timestamp, terminal: &Terminal) -> Outcome<()> {
    if !order_text::is_over(file.order(), now) {
        return Ok(());
    }
    let until = terminal.time(file.order().valid_until);
    let message = format!("the order in {} was valid until {until}", file.path.display());
    Err(Failure::new(Code::OrderOver, message, "draw up a new one: `lumbung order new`"))
}

fn show(args: &ShowArgs, terminal: &Terminal) -> Outcome<Exit> {
    let file = OrderFile::read(&args.file)?;
    // The passphrase is asked for only where a depot wants to know who asks.
    let bundle = if args.look_up.depot.is_some() { args.key.open()? } else { None };
    let known = args.look_up.known(file.order(), bundle.as_ref(), terminal)?;
    tell(&args.file, &known, terminal)?;
    Ok(Exit::Fine)
}

/// Prints what is in the file now.
fn tell(path: &Path, known: &Known, terminal: &Terminal) -> Outcome<()> {
    let (file, now) = (OrderFile::read(path)?, now());
    terminal.result(&order_text::json(&file, known, now), || {
        order_text::whole(&file, known, now, terminal)
    })
}
