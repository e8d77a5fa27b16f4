//! What a restore has to tell: as JSON, in words, and as complaints.

use std::time::Duration;

use lumbung_engine::{CompareReport, RestoreOutcome, Snapshot};
use lumbung_model::{ByteSize, ProofId, Timestamp};
use serde_json::{Value, json};

use crate::chain::now;
use crate::commands::restore::OntoArgs;
use crate::commands::restore_plan;
use crate::entry::absolute;
use crate::failure::Exit;
use crate::progress::per_second;
use crate::table::pairs;
use crate::terminal::{Terminal, printable};

/// Findings shown one by one; the rest is counted.
const SHOWN: usize = 50;

/// What a run has to tell.
pub(super) struct Done {
    pub(super) started: Timestamp,
    pub(super) elapsed: Duration,
    pub(super) outcome: RestoreOutcome,
    pub(super) compared: Option<CompareReport>,
    pub(super) proof: Option<ProofId>,
    /// Manifests that could not be read: one of them may be the newest.
    pub(super) passed_over: usize,
    /// Whether what differs and stays was left by a rule that nobody asked for.
    pub(super) by_default: bool,
}

impl Done {
    pub(super) fn exit(&self) -> Exit {
        let differs = self.compared.as_ref().is_some_and(|report| !report.is_equal());
        let left = self.by_default && self.outcome.counts.kept > 0;
        if self.outcome.failures_total > 0 || differs || left {
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

fn paths_json(paths: &[Vec<u8>]) -> Vec<String> {
    paths.iter().map(|path| String::from_utf8_lossy(&absolute(path)).into_owned()).collect()
}

fn findings_json<'a>(findings: impl Iterator<Item = (&'a [u8], &'a str)>) -> Vec<Value> {
    findings
        .map(|(path, reason)| json!({ "path": String::from_utf8_lossy(&absolute(path)), "reason": reason }))
        .collect()
}

pub(super) fn value(onto: &OntoArgs, snapshot: &Snapshot, done: &Done) -> Value {
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
    json!({
        "snapshot": snapshot.id,
        "authorized": snapshot.authorized,
        "dataset": snapshot.dataset,
        "taken": snapshot.started,
        "target": onto.target(),
        "overwrite": onto.policy().as_str(),
        "counts": restore_plan::counts(&outcome.counts),
        "kept": paths_json(&outcome.kept),
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
    })
}

pub(super) fn text(
    onto: &OntoArgs,
    snapshot: &Snapshot,
    done: &Done,
    terminal: &Terminal,
) -> String {
    let speed = ByteSize::bytes(per_second(done.outcome.bytes, done.elapsed));
    let mut lines = vec![
        (
            terminal.pick("Cuplikan", "Snapshot"),
            format!("{} ({})", snapshot.id, terminal.time(snapshot.finished)),
        ),
        (terminal.pick("Tujuan", "Target"), onto.target().display().to_string()),
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
    lines.extend(restore_plan::lines(&done.outcome.counts, terminal));
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
pub(super) fn complain(onto: &OntoArgs, done: &Done, terminal: &Terminal) {
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
    let kept = outcome.counts.kept;
    if kept > 0 {
        outcome.kept.iter().take(SHOWN).for_each(|path| show(path, "differs and stays"));
        eprintln!(
            "lumbung: {kept} entries are there already, differ from the snapshot and stay as they are (--overwrite {})\nnext: choose --overwrite if-newer, if-changed or always to replace them, or another target",
            onto.policy().as_str()
        );
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
