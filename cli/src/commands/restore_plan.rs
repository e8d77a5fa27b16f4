//! What a restore would do, for people and as JSON: a dry run, and what is shown before somebody agrees to it.

use std::io::{self, BufWriter, Write as _};

use lumbung_engine::{
    Counts, PlanReport, Planned, RestoreError, RestoreRequest, Snapshot, Step, plan,
};
use lumbung_model::ByteSize;
use serde_json::{Value, json};

use crate::commands::restore::explain;
use crate::confirm::{Asked, confirm_as};
use crate::entry::absolute;
use crate::failure::{Failure, Outcome};
use crate::progress::Meter;
use crate::table::pairs;
use crate::terminal::{Terminal, printable, stdout_failure};

/// Steps in a JSON document; the rest is counted.
const IN_JSON: usize = 100_000;
/// Changes that are shown before somebody is asked.
const SHOWN: usize = 30;

enum Stop {
    Plan(RestoreError),
    Told(Failure),
}

impl From<RestoreError> for Stop {
    fn from(error: RestoreError) -> Self {
        Self::Plan(error)
    }
}

fn planned(
    request: &RestoreRequest<'_>,
    meter: &Meter,
    visit: &mut dyn FnMut(Planned<'_>) -> Outcome<()>,
) -> Outcome<PlanReport> {
    let report = plan::<Stop>(request, &mut |planned| visit(planned).map_err(Stop::Told));
    meter.finish();
    report.map_err(|stop| match stop {
        Stop::Plan(error) => explain(request.target, error),
        Stop::Told(failure) => failure,
    })
}

const fn word(step: Step, terminal: &Terminal) -> &'static str {
    match step {
        Step::Create => terminal.pick("buat", "create"),
        Step::Replace => terminal.pick("ganti", "replace"),
        Step::Compare => terminal.pick("bandingkan", "compare"),
        Step::Adjust => terminal.pick("atribut", "adjust"),
        Step::Unchanged => terminal.pick("sama", "unchanged"),
        Step::Keep => terminal.pick("biarkan", "keep"),
        Step::Blocked => terminal.pick("terhalang", "blocked"),
        Step::Skip => terminal.pick("lewati", "skip"),
        Step::Delete => terminal.pick("hapus", "delete"),
    }
}

fn line(planned: &Planned<'_>, terminal: &Terminal) -> String {
    let path = printable(&absolute(planned.path));
    let word = word(planned.step, terminal);
    if planned.entries > 1 {
        let entries = terminal.pick("entri", "entries");
        return format!("{word:<10} {path}/ ({} {entries})", planned.entries);
    }
    format!("{word:<10} {path}")
}

/// The figures as JSON.
#[must_use]
pub(crate) fn counts(counts: &Counts) -> Value {
    json!({
        "created": counts.created,
        "replaced": counts.replaced,
        "compared": counts.compared,
        "adjusted": counts.adjusted,
        "unchanged": counts.unchanged,
        "kept": counts.kept,
        "blocked": counts.blocked,
        "skipped": counts.skipped,
        "deleted": counts.deleted,
        "bytes": counts.bytes,
    })
}

/// The figures for people: those that are not zero.
#[must_use]
pub(crate) fn lines(counts: &Counts, terminal: &Terminal) -> Vec<(&'static str, String)> {
    let of = [
        (Step::Create, counts.created),
        (Step::Replace, counts.replaced),
        (Step::Compare, counts.compared),
        (Step::Adjust, counts.adjusted),
        (Step::Unchanged, counts.unchanged),
        (Step::Keep, counts.kept),
        (Step::Blocked, counts.blocked),
        (Step::Skip, counts.skipped),
        (Step::Delete, counts.deleted),
    ];
    let told = of.into_iter().filter(|(_, count)| *count > 0);
    told.map(|(step, count)| (word(step, terminal), count.to_string())).collect()
}

fn summary(request: &RestoreRequest<'_>, report: &PlanReport, terminal: &Terminal) -> String {
    let mut all = vec![
        (terminal.pick("Tujuan", "Target"), request.target.display().to_string()),
        (terminal.pick("Aturan", "Rule"), request.options.overwrite.as_str().to_owned()),
    ];
    all.extend(lines(&report.counts, terminal));
    let bytes = ByteSize::bytes(report.counts.bytes).to_string();
    all.push((terminal.pick("Ditulis", "To be written"), bytes));
    pairs(&all)
}

/// A dry run: tells of every step.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn tell(
    request: &RestoreRequest<'_>,
    snapshot: &Snapshot,
    meter: &Meter,
    terminal: &Terminal,
) -> Outcome<()> {
    let mut steps = Vec::new();
    let mut total = 0_u64;
    let mut out = BufWriter::new(io::stdout().lock());
    let report = planned(request, meter, &mut |planned| {
        total += 1;
        if !terminal.json {
            return writeln!(out, "{}", line(&planned, terminal)).map_err(|e| stdout_failure(&e));
        }
        if steps.len() < IN_JSON {
            steps.push(json!({
                "path": String::from_utf8_lossy(&absolute(planned.path)),
                "step": planned.step.as_str(),
                "bytes": planned.bytes,
                "entries": planned.entries,
            }));
        }
        Ok(())
    })?;
    out.flush().map_err(|e| stdout_failure(&e))?;
    drop(out);
    let findings = |found: Vec<(&[u8], &str)>| -> Vec<Value> {
        let one = |(path, reason): (&[u8], &str)| json!({ "path": String::from_utf8_lossy(&absolute(path)), "reason": reason });
        found.into_iter().map(one).collect()
    };
    let failures = report.failures.iter().map(|f| (&f.path[..], &f.reason[..])).collect();
    let warnings = report.warnings.iter().map(|w| (&w.path[..], &w.reason[..])).collect();
    let value = json!({
        "dry_run": true,
        "snapshot": snapshot.id,
        "authorized": snapshot.authorized,
        "dataset": snapshot.dataset,
        "target": request.target,
        "overwrite": request.options.overwrite.as_str(),
        "counts": counts(&report.counts),
        "steps": steps,
        "steps_total": total,
        "failures": findings(failures),
        "failures_total": report.failures_total,
        "warnings": findings(warnings),
    });
    terminal.result(&value, || summary(request, &report, terminal))?;
    complain(&report, terminal);
    Ok(())
}

/// What the plan foresees to go wrong, on stderr.
fn complain(report: &PlanReport, terminal: &Terminal) {
    let failures = report.failures.iter().map(|f| (&f.path, &f.reason));
    let warnings = report.warnings.iter().map(|w| (&w.path, &w.reason));
    for (path, reason) in failures.chain(warnings).take(SHOWN) {
        let reason = printable(reason.as_bytes());
        terminal.warn(&format!("{}: {reason}", printable(&absolute(path))));
    }
}

/// Shows what will happen and waits for the word.
///
/// # Errors
/// If it is not given.
pub(crate) fn ask(
    request: &RestoreRequest<'_>,
    meter: &Meter,
    yes: bool,
    terminal: &Terminal,
) -> Outcome<()> {
    let mut shown = Vec::new();
    let mut more = 0_u64;
    let report = planned(request, meter, &mut |planned| {
        // What is only made or only stays harms nobody.
        if !matches!(planned.step, Step::Create | Step::Keep | Step::Skip) {
            if shown.len() < SHOWN { shown.push(line(&planned, terminal)) } else { more += 1 }
        }
        Ok(())
    })?;
    let mut text = summary(request, &report, terminal);
    for line in &shown {
        text.push_str(&format!("  {line}\n"));
    }
    if more > 0 {
        let rest = terminal.pick("lagi; --dry-run menampilkan semua", "more; --dry-run shows all");
        text.push_str(&format!("  … {more} {rest}\n"));
    }
    complain(&report, terminal);
    if yes {
        terminal.note(text.trim_end());
    }
    confirm_as(Asked::Restore, text.trim_end(), yes, terminal)
}
