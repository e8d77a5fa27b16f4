//! `lumbung media verify` and `show`: what a medium is, holds, and whether it is unharmed. No key is needed.

use std::path::PathBuf;

use clap::Args;
use lumbung_engine::media::{MediumCheck, SnapshotState, verify_medium};
use lumbung_model::{ByteSize, Clock as _, RepositoryId, SystemClock, Timestamp};
use lumbung_pack::{Kind, MediumList, RosterChain, Signed};
use lumbung_store::medium::{KnownList, MediumLists, read_list_file, read_lists};
use lumbung_store::{MediumDir, RepositoryDir};
use serde_json::{Value, json};

use super::{MediumArgs, explain, explain_store, signer_of};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::missing;
use crate::interrupt::on_ctrl_c;
use crate::progress::Meter;
use crate::table::pairs;
use crate::terminal::{Terminal, hex, printable};

/// Arguments of `media verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Only this repository
    #[arg(long, value_name = "HEX")]
    repository: Option<RepositoryId>,
    /// Another medium, for packs that this one leaves out; may be given again
    #[arg(long, value_name = "MEDIUM")]
    with: Vec<PathBuf>,
    /// A list that was kept at home: the medium must go on from it; may be given again
    #[arg(long, value_name = "LIST")]
    against: Vec<PathBuf>,
    /// Also where nobody entitled has signed what it holds
    #[arg(long)]
    unsigned: bool,
}

/// Arguments of `media show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    medium: MediumArgs,
}

/// Runs `lumbung media verify`.
///
/// # Errors
/// If the medium cannot be read at all.
pub(crate) fn verify(args: &VerifyArgs, terminal: &Terminal) -> Outcome<Exit> {
    let path = &args.medium.medium;
    let failed = |e| explain_store(path, e);
    let medium = args.medium.open()?;
    let lists = read_lists(&medium).map_err(failed)?;
    let kept = args.against.iter().map(kept).collect::<Outcome<Vec<_>>>()?;
    let mut findings = lists.findings.clone();
    findings.extend(kept.iter().filter_map(|list| not_gone_on_from(&medium, &lists, list)));
    let there = medium.repositories().map_err(failed)?;
    let mut wanted = there.clone();
    wanted.retain(|id| args.repository.is_none_or(|only| only == *id));
    for brief in &lists.briefs {
        let gone = !there.contains(&brief.repository);
        if gone && args.repository.is_none_or(|only| only == brief.repository) {
            findings.push(format!(
                "repository {} is not on the medium; list {} names it",
                brief.repository, brief.id
            ));
        }
    }
    if wanted.is_empty() {
        let message = format!("{} holds no such repository", path.display());
        return Err(Failure::new(
            Code::NotADepot,
            message,
            "`lumbung media show` lists what it holds",
        ));
    }
    let cancel = on_ctrl_c(terminal.quiet)?;
    let meter = Meter::new(terminal, "verify");
    let mut checks = Vec::new();
    for id in &wanted {
        let others = others(&args.with, id)?;
        let check = verify_medium(&medium, id, &lists, &others, &meter, &cancel);
        let what = format!("repository {id} could not be verified");
        checks.push(check.map_err(|e| explain(&what, path, e)).inspect_err(|_| meter.finish())?);
    }
    meter.finish();
    tell(&medium, &lists, &findings, &checks, terminal)?;
    Ok(exit(&findings, &checks, args.unsigned))
}

fn exit(findings: &[String], checks: &[MediumCheck], unsigned: bool) -> Exit {
    let signed = checks.iter().all(MediumCheck::is_signed);
    let sound = findings.is_empty() && checks.iter().all(MediumCheck::is_sound);
    let authorized =
        checks.iter().flat_map(|check| &check.snapshots).all(|one| one.snapshot.authorized);
    match (sound && (signed || unsigned), signed && authorized) {
        (false, _) => Exit::Error,
        (true, false) => Exit::Warnings,
        (true, true) => Exit::Fine,
    }
}

/// The same repository on the other media.
fn others(paths: &[PathBuf], id: &RepositoryId) -> Outcome<Vec<RepositoryDir>> {
    let mut found = Vec::new();
    for path in paths {
        let failed = |e| explain_store(path, e);
        let medium = MediumDir::open(path).map_err(failed)?;
        if medium.repositories().map_err(failed)?.contains(id) {
            found.push(medium.repository(id).map_err(failed)?);
        }
    }
    Ok(found)
}

fn kept(path: &PathBuf) -> Outcome<Signed<MediumList>> {
    let bytes = std::fs::read(path).map_err(|e| missing(path, "the list", e))?;
    read_list_file(&path.display().to_string(), &bytes).map_err(|e| {
        let message = format!("{} is no list", path.display());
        Failure::new(Code::BadFile, message, "give a file that --keep-list kept").because(e)
    })
}

/// What is wrong if the medium does not go on from a list that was kept elsewhere.
fn not_gone_on_from(
    medium: &MediumDir,
    lists: &MediumLists,
    list: &Signed<MediumList>,
) -> Option<String> {
    if list.body.medium != medium.id() {
        return Some(format!(
            "this is medium {}, and the list at hand is of medium {} ({}): another disk",
            medium.id(),
            list.body.medium,
            list.body.label
        ));
    }
    (!lists.goes_on_from(&list.id)).then(|| {
        format!(
            "the medium does not have list {} (number {}), which was kept elsewhere: it was put back to an older state, or exchanged",
            list.id, list.body.number
        )
    })
}

fn list_value(known: &KnownList, chain: Option<&RosterChain>) -> Value {
    let body = &known.list.body;
    let bases: Vec<_> = body
        .bases
        .iter()
        .map(|base| json!({ "list": base.list, "medium": base.medium, "label": base.label }))
        .collect();
    json!({
        "id": known.list.id,
        "number": body.number,
        "made": body.made,
        "signer": signer_of(known, chain),
        "site": (!body.site.is_zero()).then_some(body.site),
        "origin": body.origin,
        "roster_number": body.roster_number,
        "serial": body.serial,
        "custodian": body.custodian,
        "place": body.place,
        "snapshots": body.snapshots.len(),
        "bytes": body.bytes(),
        "bases": bases,
    })
}

fn medium_value(medium: &MediumDir) -> Value {
    json!({ "id": medium.id(), "label": medium.label() })
}

fn state(one: &SnapshotState) -> (&'static str, Option<String>) {
    match one {
        SnapshotState::Whole => ("whole", None),
        SnapshotState::NeedsOtherMedia { packs } => {
            ("needs-other-media", Some(format!("{packs} packs are on other media")))
        }
        SnapshotState::Damaged { reason } => ("damaged", Some(reason.clone())),
    }
}

fn check_value(check: &MediumCheck) -> Value {
    let snapshots: Vec<_> = check
        .snapshots
        .iter()
        .map(|one| {
            let (state, reason) = state(&one.state);
            let snapshot = &one.snapshot;
            json!({
                "id": snapshot.id, "agent": snapshot.agent, "agent_label": snapshot.agent_label,
                "dataset": snapshot.dataset, "partial": snapshot.partial, "authorized": snapshot.authorized,
                "finished": snapshot.finished, "bytes": one.bytes, "state": state, "reason": reason,
            })
        })
        .collect();
    let missing: Vec<_> = check
        .missing
        .iter()
        .map(|(kind, id)| json!({ "kind": kind.name(), "id": hex(id) }))
        .collect();
    json!({
        "repository": check.repository,
        "sound": check.is_sound(),
        "signed": check.is_signed(),
        "list": check.list.as_ref().map(|list| list_value(list, Some(&check.chain))),
        "snapshots": snapshots,
        "missing": missing,
        "damaged": check.damaged,
        "unlisted": check.unlisted,
        "packs": check.packs,
        "frames": check.frames,
        "bytes": check.bytes,
    })
}

fn tell(
    medium: &MediumDir,
    lists: &MediumLists,
    findings: &[String],
    checks: &[MediumCheck],
    terminal: &Terminal,
) -> Outcome<()> {
    let sound = findings.is_empty() && checks.iter().all(MediumCheck::is_sound);
    let value = json!({
        "path": medium.path(),
        "medium": medium_value(medium),
        "verified": SystemClock.now(),
        "sound": sound,
        "lists": lists.briefs.len(),
        "findings": findings,
        "repositories": checks.iter().map(check_value).collect::<Vec<_>>(),
    });
    terminal.result(&value, || {
        let mut text = head(medium, terminal);
        checks.iter().for_each(|check| text.push_str(&check_text(check, terminal)));
        let word = terminal.pick("Temuan:", "Finding:");
        findings.iter().for_each(|finding| {
            text.push_str(&format!("{word} {}\n", printable(finding.as_bytes())));
        });
        text.push_str(if sound {
            terminal.pick("Utuh.\n", "Sound.\n")
        } else {
            terminal.pick("TIDAK UTUH.\n", "DAMAGED.\n")
        });
        text
    })?;
    if !sound && !terminal.json {
        eprintln!(
            "next: write what is damaged anew from a sound copy: `lumbung media export DEPOT MEDIUM --repair`; a finding about lists means that somebody else wrote to the medium"
        );
    }
    Ok(())
}

fn head(medium: &MediumDir, terminal: &Terminal) -> String {
    pairs(&[
        (terminal.pick("Media", "Medium"), printable(medium.label().as_bytes())),
        (terminal.pick("Nomor media", "Medium id"), medium.id().to_string()),
    ])
}

fn list_text(known: &KnownList, terminal: &Terminal) -> String {
    let body = &known.list.body;
    let or_dash =
        |text: &str| if text.is_empty() { "–".to_owned() } else { printable(text.as_bytes()) };
    let signer = signer_of(known, None);
    let kind = signer["kind"].as_str().unwrap_or_default();
    pairs(&[
        (terminal.pick("Daftar", "List"), format!("{} ({})", known.list.id, body.number)),
        (terminal.pick("Dibuat", "Made"), format!("{}, {kind}", terminal.time(body.made))),
        (terminal.pick("Asal", "Origin"), or_dash(&body.origin)),
        (terminal.pick("Nomor seri", "Serial"), or_dash(&body.serial)),
        (terminal.pick("Pemegang", "Custodian"), or_dash(&body.custodian)),
        (terminal.pick("Tempat", "Place"), or_dash(&body.place)),
    ])
}

fn check_text(check: &MediumCheck, terminal: &Terminal) -> String {
    let mut text =
        format!("\n{} {}\n", terminal.pick("Repositori", "Repository"), check.repository);
    match &check.list {
        Some(known) => text.push_str(&list_text(known, terminal)),
        None => text.push_str(terminal.pick("tanpa daftar\n", "no list\n")),
    }
    if !check.is_signed() {
        text.push_str(
            terminal.pick("BELUM DITANDATANGANI yang berhak\n", "NOT SIGNED by anybody entitled\n"),
        );
    }
    for one in &check.snapshots {
        let (name, reason) = state(&one.state);
        let word = match name {
            "whole" => terminal.pick("utuh", "whole"),
            "damaged" => terminal.pick("RUSAK", "DAMAGED"),
            _ => terminal.pick("perlu media lain", "needs other media"),
        };
        let at: Timestamp = one.snapshot.finished;
        text.push_str(&format!("{} {} {word}", one.snapshot.id.short(), terminal.time(at)));
        text.push_str(&reason.map_or_else(String::new, |reason| format!(": {reason}")));
        text.push('\n');
    }
    for (kind, id) in &check.missing {
        text.push_str(&format!("{} {kind} {}\n", terminal.pick("HILANG", "MISSING"), hex(id)));
    }
    for damaged in &check.damaged {
        text.push_str(&format!(
            "{} {}\n",
            terminal.pick("RUSAK", "DAMAGED"),
            printable(damaged.as_bytes())
        ));
    }
    text.push_str(&format!(
        "{} {}, {} {}\n",
        check.packs,
        terminal.pick("pak", "packs"),
        ByteSize::bytes(check.bytes),
        terminal.pick("dibaca", "read")
    ));
    text
}

/// Runs `lumbung media show`.
///
/// # Errors
/// If the medium cannot be read at all.
pub(crate) fn show(args: &ShowArgs, terminal: &Terminal) -> Outcome<Exit> {
    let failed = |e| explain_store(&args.medium.medium, e);
    let medium = args.medium.open()?;
    let lists = read_lists(&medium).map_err(failed)?;
    let mut shown = Vec::new();
    for id in medium.repositories().map_err(failed)? {
        let directory = medium.repository(&id).map_err(failed)?;
        let chain = chain(&directory, id);
        let known = match &chain {
            Some(chain) => lists.load(&medium, chain).map_err(failed)?,
            None => None,
        };
        shown.push((id, known, chain));
    }
    let repositories: Vec<_> = shown
        .iter()
        .map(|(id, known, chain)| {
            let list = known.as_ref().map(|known| list_value(known, chain.as_ref()));
            json!({ "repository": id, "list": list })
        })
        .collect();
    let value = json!({
        "path": medium.path(), "medium": medium_value(&medium), "lists": lists.briefs.len(),
        "findings": lists.findings, "repositories": repositories,
    });
    terminal.result(&value, || {
        let mut text = head(&medium, terminal);
        for (id, known, _) in &shown {
            text.push_str(&format!("\n{} {id}\n", terminal.pick("Repositori", "Repository")));
            text.push_str(&known.as_ref().map_or_else(
                || terminal.pick("tanpa daftar\n", "no list\n").to_owned(),
                |known| list_text(known, terminal),
            ));
        }
        text
    })?;
    lists.findings.iter().for_each(|finding| terminal.warn(&printable(finding.as_bytes())));
    Ok(if lists.findings.is_empty() { Exit::Fine } else { Exit::Warnings })
}

fn chain(directory: &RepositoryDir, id: RepositoryId) -> Option<RosterChain> {
    let ids = directory.list(Kind::Roster).ok()?;
    let objects = ids.iter().map(|id| directory.get(Kind::Roster, id)).collect::<Result<_, _>>();
    RosterChain::from_objects(id, objects.ok()?).ok()
}
