//! `lumbung deposit`, `calendar`: what is owed by date, and what is handed in.
//!
//! Invariant: a document never leaves this machine: its SHA-256, its name and its size do.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lumbung_model::{Day, DepositId, DocumentHash};
use lumbung_wire::messages::approvals::Reasoned;
use lumbung_wire::messages::deposits::{
    Calendar, DeliveryInput, Deposit, DepositAcceptance, DepositForce, DepositInput, DepositState,
};
use lumbung_wire::messages::register::{Application, Service};
use sha2::{Digest as _, Sha256};

use crate::commands::deposits_text as text;
use crate::commands::register::{find, find_pd, list_of};
use crate::commands::status::query;
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::missing;
use crate::terminal::Terminal;

/// What is owed by date: documents, reports, reviews, drills
#[derive(Debug, Subcommand)]
pub(crate) enum DepositCommand {
    /// List what is owed, by date
    List(ListArgs),
    /// Show one, with what was handed in and decided
    Show(OneArgs),
    /// Enter what no duty of the profile asks for
    Add(AddArgs),
    /// Hand a document in: its SHA-256, name and size; the file stays here
    Deliver(DeliverArgs),
    /// Accept what was handed in
    Accept(AcceptArgs),
    /// Give back what was handed in, or open again what was cancelled: it is owed
    Return(ReasonArgs),
    /// Say that it is not owed
    Cancel(ReasonArgs),
}

/// Arguments of `deposit list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Only these: open, due (within 30 days), overdue, delivered, accepted, returned or cancelled; may be
    /// given again
    #[arg(long, value_delimiter = ',')]
    state: Vec<DepositState>,
    /// Only what follows from this duty of the profile
    #[arg(long, value_name = "ID")]
    duty: Option<String>,
    /// Only what is due on this day or later, for instance 2026-08-01
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// Only what is due on this day or earlier
    #[arg(long, value_name = "DAY")]
    until: Option<Day>,
    /// Only what has this text in title, article, application, period, letter or document
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `deposit show`.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// Its id
    id: DepositId,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `deposit add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What is owed, in Indonesian
    title: String,
    /// The last day on which it is in time, for instance 2026-08-31
    #[arg(long, value_name = "DAY")]
    due: Day,
    /// The same in English (default: as in Indonesian)
    #[arg(long, value_name = "TEXT", default_value = "")]
    title_en: String,
    /// Who owes it: code or id (default: the PD that runs the Pusat Data)
    #[arg(long)]
    pd: Option<String>,
    /// The PD's application that it is about: name or id
    #[arg(long, requires = "pd", conflicts_with = "service")]
    application: Option<String>,
    /// The PD's service that it is about: name or id
    #[arg(long, requires = "pd")]
    service: Option<String>,
    /// The article or the letter that asks for it (default: it is a proposal)
    #[arg(long, default_value = "")]
    article: String,
    /// must (wajib), shall (harus), may (dapat) or proposal (default: shall with an article)
    #[arg(long)]
    force: Option<DepositForce>,
    /// What sets the date (default: the date is a proposal)
    #[arg(long, value_name = "TEXT", default_value = "")]
    date_by: String,
    /// The period that it is for, for instance 2026
    #[arg(long, default_value = "")]
    period: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `deposit deliver`.
#[derive(Debug, Args)]
pub(crate) struct DeliverArgs {
    /// Its id
    id: DepositId,
    /// The document
    file: PathBuf,
    /// Number of the letter that it comes with
    #[arg(long, default_value = "")]
    letter: String,
    /// What there is to say about it
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `deposit accept`.
#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// Its id
    id: DepositId,
    /// The document as it arrived: accepted only if it is the one that was handed in (default: not compared)
    file: Option<PathBuf>,
    /// Number of the receipt, or what there is to say
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `deposit return` and `cancel`.
#[derive(Debug, Args)]
pub(crate) struct ReasonArgs {
    /// Its id
    id: DepositId,
    /// Why: the number of a letter, or a sentence
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Show what falls due, day by day
#[derive(Debug, Args)]
pub(crate) struct CalendarArgs {
    /// Only of this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// The first day (default: today)
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// The last day (default: 90 days later)
    #[arg(long, value_name = "DAY")]
    until: Option<Day>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// A path with what is asked for.
fn asking(path: &str, asked: &[(&str, Option<String>)]) -> String {
    let pair = |(name, value): &(&str, Option<String>)| {
        value.as_ref().map(|value| format!("{name}={}", query(value)))
    };
    format!("{path}?{}", asked.iter().filter_map(pair).collect::<Vec<_>>().join("&"))
}

fn day(day: Option<Day>) -> Option<String> {
    day.map(|day| day.to_string())
}

/// Runs `lumbung deposit`.
///
/// # Errors
/// If the controller does not answer or refuses, or a document cannot be read.
pub(crate) fn deposit(command: &DepositCommand, terminal: &Terminal) -> Outcome<Exit> {
    let changed: Deposit = match command {
        DepositCommand::List(args) => return list(args, terminal),
        DepositCommand::Show(args) => {
            args.controller.connect()?.get(&format!("/api/v1/deposits/{}", args.id))?
        }
        DepositCommand::Add(args) => add(args)?,
        DepositCommand::Deliver(args) => {
            let (sha256, bytes) = hash(&args.file)?;
            let input = DeliveryInput {
                document: name(&args.file)?,
                sha256,
                bytes,
                letter: args.letter.clone(),
                note: args.note.clone(),
            };
            change(&args.controller.connect()?, &args.id, "deliver", &input)?
        }
        DepositCommand::Accept(args) => accept(args)?,
        DepositCommand::Return(args) => reasoned(args, "return")?,
        DepositCommand::Cancel(args) => reasoned(args, "cancel")?,
    };
    terminal.result(&changed, || text::one(&changed, terminal))?;
    Ok(Exit::Fine)
}

fn change<I: serde::Serialize + Sync>(
    controller: &Controller,
    id: &DepositId,
    what: &str,
    input: &I,
) -> Outcome<Deposit> {
    controller.post(&format!("/api/v1/deposits/{id}/{what}"), input)
}

fn reasoned(args: &ReasonArgs, what: &str) -> Outcome<Deposit> {
    let input = Reasoned { reason: args.reason.clone() };
    change(&args.controller.connect()?, &args.id, what, &input)
}

fn list(args: &ListArgs, terminal: &Terminal) -> Outcome<Exit> {
    let states: Vec<&str> = args.state.iter().map(|state| state.as_str()).collect();
    let path = asking(
        "/api/v1/deposits",
        &[
            ("pd", args.pd.clone()),
            ("state", (!states.is_empty()).then(|| states.join(","))),
            ("duty", args.duty.clone()),
            ("from", day(args.from)),
            ("until", day(args.until)),
            ("q", args.text.clone()),
        ],
    );
    let all: Vec<Deposit> = args.controller.connect()?.list(&path)?;
    terminal.result(&all, || text::table(&all, terminal))?;
    Ok(Exit::Fine)
}

fn add(args: &AddArgs) -> Outcome<Deposit> {
    let controller = args.controller.connect()?;
    let pd = args.pd.as_deref().map(|named| find_pd(&controller, named)).transpose()?;
    let application = args.application.as_deref().map(|named| {
        let all: Vec<Application> = list_of(&controller, "applications", args.pd.as_deref())?;
        find(all, "application", named, |one| (&one.name, one.id.to_string()))
    });
    let service = args.service.as_deref().map(|named| {
        let all: Vec<Service> = list_of(&controller, "services", args.pd.as_deref())?;
        find(all, "service", named, |one| (&one.name, one.id.to_string()))
    });
    let input = DepositInput {
        title_id: args.title.clone(),
        title_en: args.title_en.clone(),
        due_on: args.due,
        pd: pd.map(|pd| pd.id),
        application: application.transpose()?.map(|one| one.id),
        service: service.transpose()?.map(|one| one.id),
        article: args.article.clone(),
        force: args.force,
        date_by: args.date_by.clone(),
        period: args.period.clone(),
    };
    controller.post("/api/v1/deposits", &input)
}

fn accept(args: &AcceptArgs) -> Outcome<Deposit> {
    let controller = args.controller.connect()?;
    let sha256 = match &args.file {
        Some(file) => hash(file)?.0,
        None => {
            let kept: Deposit = controller.get(&format!("/api/v1/deposits/{}", args.id))?;
            kept.delivery.map(|delivery| delivery.sha256).ok_or_else(|| {
                let next = "`lumbung deposit list --state delivered` shows what waits";
                Failure::new(Code::Controller, "nothing was handed in for it yet", next)
            })?
        }
    };
    let input = DepositAcceptance { sha256, note: args.note.clone() };
    change(&controller, &args.id, "accept", &input)
}

/// The name of a document's file, without its folders.
fn name(file: &Path) -> Outcome<String> {
    let name = file.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        let message = format!("{} has no name that can be written down", file.display());
        Failure::new(
            Code::BadFile,
            message,
            "name a file, and call it by letters that others can read",
        )
    })
}

/// SHA-256 and size, bytes, of a file of any size.
fn hash(file: &Path) -> Outcome<(DocumentHash, u64)> {
    let unread = |error| missing(file, "the document", error);
    let mut source = File::open(file).map_err(unread)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unread(error)),
        }
    }
    Ok((DocumentHash::from_bytes(hash.finalize().into()), bytes))
}

/// Runs `lumbung calendar`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn calendar(args: &CalendarArgs, terminal: &Terminal) -> Outcome<Exit> {
    let asked = [("pd", args.pd.clone()), ("from", day(args.from)), ("until", day(args.until))];
    let calendar: Calendar = args.controller.connect()?.get(&asking("/api/v1/calendar", &asked))?;
    terminal.result(&calendar, || text::calendar(&calendar, terminal))?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_not_in_the_path() {
        assert_eq!(
            asking("/x", &[("a", None), ("q", Some("b c".into())), ("d", Some("e".into()))]),
            "/x?q=b%20c&d=e"
        );
        assert_eq!(asking("/x", &[("a", None)]), "/x?");
    }

    #[test]
    fn a_document_is_known_by_its_bytes() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("diagram.pdf");
        std::fs::write(&file, b"abc").expect("a file");
        let (sha256, bytes) = hash(&file).expect("it is read");
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((sha256.to_string().as_str(), bytes), (expected, 3));
        assert_eq!(name(&file).expect("a name"), "diagram.pdf");
        assert!(hash(&dir.path().join("none")).is_err() && hash(dir.path()).is_err());
        assert!(name(Path::new("/")).is_err());
    }
}
