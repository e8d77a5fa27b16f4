//! `lumbung restore`: files back from a snapshot, compared and proven if that is wanted.
//!
//! Invariants: nothing is written outside the target; a proof is signed only for a whole snapshot that was
//! compared byte by byte after it was written, and says how many entries failed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use lumbung_engine::{
    CompareReport, Depot, Include, OverwritePolicy, OwnerPolicy, RestoreError, RestoreOptions,
    RestoreOutcome, RestoreRequest, Snapshot, SnapshotReader, compare, restore,
};
use lumbung_model::{ByteSize, ProofId, SiteId, Timestamp};
use lumbung_pack::{Kind, Proof, object_id, sign};
use lumbung_seal::KeyBundle;
use serde_json::{Value, json};

use crate::chain::now;
use crate::commands::browse::{ChosenArgs, inner};
use crate::depot::{self, AccessArgs, DepotArgs, Opened};
use crate::entry::absolute;
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::files::create;
use crate::interrupt::on_ctrl_c;
use crate::listing;
use crate::opening::Opener;
use crate::progress::{Meter, per_second};
use crate::table::pairs;
use crate::terminal::{Terminal, printable};

/// Findings shown one by one; the rest is counted.
const SHOWN: usize = 50;

/// Restore a snapshot, or a part of it, beneath a target
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// latest, latest:DATASET, an id or its beginning
    snapshot: String,
    /// Directory to write beneath, empty or new; paths are kept: /etc comes back as TARGET/etc
    #[arg(long, value_name = "OUT")]
    target: PathBuf,
    /// Only this file or folder; may be given again
    #[arg(long, value_name = "PATH")]
    include: Vec<PathBuf>,
    /// Another depot of the same repository, for what this one has lost or damaged
    #[arg(long, value_name = "DEPOT")]
    fallback: Option<String>,
    /// Write over what is in the target; what the snapshot does not have stays
    #[arg(long)]
    overwrite: bool,
    /// Give everything to the user who restores
    #[arg(long)]
    no_owner: bool,
    /// Read everything back afterwards and compare it with the snapshot
    #[arg(long)]
    verify: bool,
    /// Compare, sign a proof of restore with the root key and store it in the depot
    #[arg(long, conflicts_with_all = ["include", "no_owner"])]
    prove: bool,
    /// Compare, and write the signed proof to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "no_owner"])]
    proof: Option<PathBuf>,
    #[command(flatten)]
    chosen: ChosenArgs,
}

/// What a run has to tell.
struct Done {
    started: Timestamp,
    elapsed: Duration,
    outcome: RestoreOutcome,
    compared: Option<CompareReport>,
    proof: Option<ProofId>,
    /// Manifests that could not be read: one of them may be the newest.
    passed_over: usize,
}

impl Done {
    fn exit(&self) -> Exit {
        let differs = self.compared.as_ref().is_some_and(|report| !report.is_equal());
        if self.outcome.failures_total > 0 || differs {
            Exit::Error
        } else if self.outcome.warnings_total > 0
            || self.outcome.repaired_frames > 0
            || self.passed_over > 0
        {
            Exit::Warnings
        } else {
            Exit::Fine
        }
    }
}

/// Runs `lumbung restore`.
///
/// # Errors
/// If nothing could be restored; entries that failed are in the result.
pub(crate) fn run(args: &RestoreArgs, terminal: &Terminal) -> Outcome<Exit> {
    // Before a passphrase is asked for and data is fetched.
    check_target(&args.target, args.overwrite)?;
    let opener = args.chosen.key.open()?;
    let unlocked = opener.unlock(&args.depot, terminal)?;
    let opened = &unlocked.opened;
    let proving = args.prove || args.proof.is_some();
    if proving && !opener.bundle().is_some_and(|b| opened.chain.is_root_key(&b.root_public())) {
        let message = "this key is no root key of the repository, so its proof would not count";
        return Err(Failure::new(
            Code::NotEntitled,
            message,
            "use the custodian's bundle, or restore with --verify",
        ));
    }
    let fallback = fallback(args, opened, &opener)?;
    let list = unlocked.list()?;
    let snapshot = list.select(&args.snapshot, args.chosen.dataset.as_deref(), terminal)?;
    let reader = SnapshotReader::open_with_fallback(
        Arc::clone(&opened.depot),
        fallback.clone(),
        Some(opened.chain.repository()),
        &snapshot.id,
        &unlocked.opening,
    )
    .map_err(|e| {
        listing::explain(&format!("snapshot {} could not be opened", snapshot.id.short()), e)
    })?;
    let mut done = execute(args, &reader, fallback, proving || args.verify, terminal)?;
    done.passed_over = list.unreadable.len();
    if let (true, Some(report), Some(bundle)) = (proving, &done.compared, opener.bundle()) {
        done.proof = Some(prove(args, opened, bundle, &snapshot, &done, report)?);
    }
    tell(args, &snapshot, &done, terminal)?;
    Ok(done.exit())
}

fn check_target(target: &Path, overwrite: bool) -> Outcome<()> {
    let entries = match std::fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) => {
            let message = format!("{} cannot be used as a target", target.display());
            return Err(Failure::new(
                Code::Io,
                message,
                "name a directory that is empty or does not exist",
            )
            .because(e));
        }
    };
    if entries && !overwrite { Err(not_empty(target)) } else { Ok(()) }
}

fn not_empty(target: &Path) -> Failure {
    let message = format!("the target {} is not empty", target.display());
    let next = "choose a directory that is empty or does not exist, or add --overwrite to write over what is there";
    Failure::new(Code::TargetNotEmpty, message, next)
}

fn fallback(
    args: &RestoreArgs,
    opened: &Opened,
    opener: &Opener,
) -> Outcome<Option<Arc<dyn Depot>>> {
    let Some(named) = &args.fallback else { return Ok(None) };
    let access =
        AccessArgs { repository: Some(opened.chain.repository()), ..args.depot.access.clone() };
    Ok(Some(depot::open(named, &access, opener.access())?.depot))
}

fn execute(
    args: &RestoreArgs,
    reader: &SnapshotReader,
    fallback: Option<Arc<dyn Depot>>,
    comparing: bool,
    terminal: &Terminal,
) -> Outcome<Done> {
    let include = Include::paths(args.include.iter().map(|path| inner(path)));
    let options = RestoreOptions {
        overwrite: if args.overwrite {
            OverwritePolicy::Overwrite
        } else {
            OverwritePolicy::Refuse
        },
        owners: if args.no_owner { OwnerPolicy::Restorer } else { OwnerPolicy::AsBackedUp },
        ..RestoreOptions::default()
    };
    let cancel = on_ctrl_c(terminal.quiet)?;
    let started = now();
    let meter = Meter::new(terminal, "restore");
    let outcome = restore(&RestoreRequest {
        snapshot: reader,
        fallback,
        target: &args.target,
        include: include.clone(),
        options,
        progress: &meter,
        cancel: &cancel,
    });
    meter.finish();
    let elapsed = meter.elapsed();
    let outcome = outcome.map_err(|e| explain(&args.target, e))?;
    let compared = if comparing {
        let meter = Meter::new(terminal, "compare");
        let report = compare(reader, &args.target, &include, &meter, &cancel);
        meter.finish();
        if cancel.is_cancelled() {
            return Err(explain(&args.target, RestoreError::Cancelled));
        }
        Some(report.map_err(|e| listing::explain("what was restored could not be compared", e))?)
    } else {
        None
    };
    Ok(Done { started, elapsed, outcome, compared, proof: None, passed_over: 0 })
}

fn explain(target: &Path, error: RestoreError) -> Failure {
    match error {
        RestoreError::TargetNotEmpty(_) => not_empty(target),
        RestoreError::Snapshot(error) => listing::explain("the restore ended early", error),
        RestoreError::NothingIncluded => Failure::new(
            Code::UnknownPath,
            "nothing in the snapshot matches --include",
            "`lumbung ls DEPOT SNAPSHOT` shows the paths; write them from the top, such as /etc/hosts",
        ),
        RestoreError::Cancelled => Failure::new(
            Code::Interrupted,
            format!("the restore was stopped; {} holds what was written so far", target.display()),
            "run it again with --overwrite, or into a new target",
        ),
        error => Failure::new(
            Code::Restore,
            "the restore ended early",
            "check target and disk, then run it again",
        )
        .because(error),
    }
}

fn prove(
    args: &RestoreArgs,
    opened: &Opened,
    bundle: &KeyBundle,
    snapshot: &Snapshot,
    done: &Done,
    report: &CompareReport,
) -> Outcome<ProofId> {
    let proof = Proof {
        repository: opened.chain.repository(),
        manifest: snapshot.id,
        site: opened.depot.site().unwrap_or(SiteId::ZERO),
        started: done.started,
        finished: now(),
        entries: report.entries,
        bytes: report.bytes,
        failed: done.outcome.failures_total.max(report.differences_total),
    };
    let object = sign(&proof, bundle.root());
    let id = object_id(&object);
    if let Some(file) = &args.proof {
        create(file, "the proof", &object, 0o644)?;
    }
    if args.prove {
        opened.depot.put(Kind::Proof, &id, &object).explain(
            Code::Depot,
            || format!("the proof could not be stored in {}", opened.name()),
            "the restore itself is done; try again with --proof FILE and `lumbung proof submit FILE`",
        )?;
    }
    Ok(ProofId::from_bytes(id))
}

fn findings_json<'a>(findings: impl Iterator<Item = (&'a [u8], &'a str)>) -> Vec<Value> {
    findings
        .map(|(path, reason)| json!({ "path": String::from_utf8_lossy(&absolute(path)), "reason": reason }))
        .collect()
}

fn tell(args: &RestoreArgs, snapshot: &Snapshot, done: &Done, terminal: &Terminal) -> Outcome<()> {
    let outcome = &done.outcome;
    let compared = done.compared.as_ref().map(|report| {
        json!({
            "equal": report.is_equal(),
            "entries": report.entries,
            "bytes": report.bytes,
            "flagged": report.flagged,
            "differences": findings_json(report.differences.iter().map(|d| (d.path.as_slice(), d.what.as_str()))),
            "differences_total": report.differences_total,
        })
    });
    let value = json!({
        "snapshot": snapshot.id,
        "dataset": snapshot.dataset,
        "target": args.target,
        "started": done.started,
        "finished": now(),
        "entries": outcome.entries,
        "bytes": outcome.bytes,
        "failures": findings_json(outcome.failures.iter().map(|f| (f.path.as_slice(), f.reason.as_str()))),
        "failures_total": outcome.failures_total,
        "warnings": findings_json(outcome.warnings.iter().map(|w| (w.path.as_slice(), w.reason.as_str()))),
        "warnings_total": outcome.warnings_total,
        "owner_failures": outcome.owner_failures,
        "repaired_frames": outcome.repaired_frames,
        "compared": compared,
        "proof": done.proof,
        "unreadable_manifests": done.passed_over,
    });
    terminal.result(&value, || text(args, snapshot, done, terminal))?;
    complain(done, terminal);
    Ok(())
}

fn text(args: &RestoreArgs, snapshot: &Snapshot, done: &Done, terminal: &Terminal) -> String {
    let speed = ByteSize::bytes(per_second(done.outcome.bytes, done.elapsed));
    let mut lines = vec![
        (
            terminal.pick("Cuplikan", "Snapshot"),
            format!("{} ({})", snapshot.id, terminal.time(snapshot.finished)),
        ),
        (terminal.pick("Tujuan", "Target"), args.target.display().to_string()),
        (
            terminal.pick("Dipulihkan", "Restored"),
            format!(
                "{} {}, {} ({speed}/s)",
                done.outcome.entries,
                terminal.pick("entri", "entries"),
                ByteSize::bytes(done.outcome.bytes)
            ),
        ),
    ];
    if let Some(report) = &done.compared {
        let verdict = if report.is_equal() {
            terminal.pick("sama", "equal")
        } else {
            terminal.pick("BERBEDA", "DIFFERENT")
        };
        let entries = terminal.pick("entri", "entries");
        lines.push((
            terminal.pick("Dibandingkan", "Compared"),
            format!("{verdict}, {} {entries}", report.entries),
        ));
    }
    if let Some(proof) = &done.proof {
        lines.push((terminal.pick("Bukti pulih", "Proof of restore"), proof.to_string()));
    }
    pairs(&lines)
}

/// Failures, differences and warnings, on stderr.
fn complain(done: &Done, terminal: &Terminal) {
    let show = |path: &[u8], reason: &str| {
        terminal.warn(&format!("{}: {}", printable(&absolute(path)), printable(reason.as_bytes())));
    };
    let outcome = &done.outcome;
    outcome.failures.iter().take(SHOWN).for_each(|f| show(&f.path, &f.reason));
    if let Some(report) = &done.compared {
        report.differences.iter().take(SHOWN).for_each(|d| show(&d.path, &d.what));
    }
    outcome.warnings.iter().take(SHOWN).for_each(|w| show(&w.path, &w.reason));
    if outcome.repaired_frames > 0 {
        let frames = outcome.repaired_frames;
        terminal.warn(&format!(
            "{frames} frames are missing or damaged in the depot itself and came from --fallback"
        ));
    }
    let differences = done.compared.as_ref().map_or(0, |report| report.differences_total);
    if outcome.failures_total > 0 {
        eprintln!(
            "lumbung: {} entries could not be restored as they were\nnext: read them at another site, and run `lumbung verify` on this one",
            outcome.failures_total
        );
    } else if differences > 0 {
        eprintln!(
            "lumbung: {differences} entries differ from the snapshot\nnext: owners need root to be restored (or --no-owner); did something write to the target meanwhile?"
        );
    }
}
