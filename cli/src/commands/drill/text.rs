//! Plans, runs and the calendar of drills, as text.

use lumbung_model::drill::{
    DrillAction, DrillStep, Health, Run, StepProgress, UndoProgress, WaitFor, lasted,
};
use lumbung_wire::messages::drills::{DrillDue, DrillPlanEntry, DrillRun, DrillRunDetail};

use super::language;
use crate::table::{Table, pairs};
use crate::terminal::{Terminal, plain};

fn owner(code: &str, terminal: &Terminal) -> String {
    if code.is_empty() { terminal.pick("kota", "city").to_owned() } else { plain(code) }
}

/// How far a plan has come.
fn short_state(entry: &DrillPlanEntry, terminal: &Terminal) -> String {
    let retired = terminal.pick("tidak dipakai", "out of use");
    let state = entry.state.name(language(terminal));
    if entry.retired.is_some() { retired.to_owned() } else { state.to_owned() }
}

/// How far a plan has come, and why no further.
fn state(entry: &DrillPlanEntry, terminal: &Terminal) -> String {
    let state = short_state(entry, terminal);
    entry
        .why
        .filter(|_| entry.retired.is_none())
        .map_or_else(|| state.clone(), |why| format!("{state} ({})", why.name(language(terminal))))
}

/// The plans.
pub(super) fn plans(all: &[DrillPlanEntry], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Tenggat", "Due"))
        .rigid(terminal.pick("Keadaan", "State"))
        .text("PD")
        .text(terminal.pick("Rencana", "Plan"))
        .rigid("Id");
    for one in all {
        let late = if one.overdue { "!" } else { "" };
        let due = one.due_on.map_or_else(|| "-".to_owned(), |day| format!("{day}{late}"));
        table.row([
            due,
            short_state(one, terminal),
            owner(&one.pd_code, terminal),
            plain(&one.plan.title),
            one.id.to_string(),
        ]);
    }
    table.render()
}

/// One plan with its steps.
pub(super) fn plan(one: &DrillPlanEntry, terminal: &Terminal) -> String {
    let language = language(terminal);
    let targets = &one.plan.targets;
    let by = match targets.instrument.as_str() {
        "" => terminal.pick("usulan", "a proposal").to_owned(),
        instrument => plain(instrument),
    };
    let mut lines = vec![
        ("Id", one.id.to_string()),
        (terminal.pick("Rencana", "Plan"), plain(&one.plan.title)),
        (terminal.pick("Jenis", "Kind"), one.plan.kind.name(language).to_owned()),
        ("PD", owner(&one.pd_code, terminal)),
        (terminal.pick("Revisi", "Revision"), one.revision.to_string()),
        (terminal.pick("Keadaan", "State"), state(one, terminal)),
        ("RTO, RPO", format!("{}, {} ({by})", targets.rto, targets.rpo)),
        (terminal.pick("Skenario", "Scenario"), plain(&one.plan.scenario)),
    ];
    if let Some(until) = one.verified_until {
        lines.push((terminal.pick("Berlaku sampai", "Verified until"), terminal.time(until)));
    }
    if let Some(day) = one.due_on {
        let late = if one.overdue { terminal.pick(" (terlambat)", " (overdue)") } else { "" };
        lines.push((terminal.pick("Tenggat", "Due"), format!("{day}{late}")));
    }
    if let Some(run) = one.active {
        lines.push((terminal.pick("Sedang berjalan", "Under way"), run.to_string()));
    }
    lines.push((
        terminal.pick("Diubah", "Changed"),
        format!("{}, {}", terminal.time(one.changed), plain(&one.changed_by)),
    ));
    let mut text = pairs(&lines);
    for (number, step) in (1..).zip(&one.plan.steps) {
        let after: Vec<&str> = step.after.iter().map(|id| id.as_str()).collect();
        let after = if after.is_empty() {
            String::new()
        } else {
            format!(" {} {}", terminal.pick("sesudah", "after"), after.join(", "))
        };
        text += &format!("{number:>3}. {}{after}: {}\n", step.id, plain(&step.title));
        text += &format!("     {}\n", action(step, terminal));
    }
    for fault in &one.faults {
        text += &format!("! {}\n", plain(fault));
    }
    text
}

fn health(health: &Health) -> String {
    match health {
        Health::Probe(probe) => plain(&probe.target.to_string()),
        Health::Named(name) => name.to_string(),
    }
}

/// What a step does.
pub(super) fn action(step: &DrillStep, terminal: &Terminal) -> String {
    let pick = |indonesian, english| terminal.pick::<&str>(indonesian, english);
    let what = match &step.action {
        DrillAction::Isolate { hook } => format!("{} {hook}", pick("isolasi:", "isolate:")),
        DrillAction::Restore { dataset, to, place } => format!(
            "{} {dataset} → {} {place}",
            pick("pulihkan", "restore"),
            to.name(language(terminal))
        ),
        DrillAction::Hook { hook, .. } => format!("hook {hook}"),
        DrillAction::Check { health: asked, .. } => {
            format!("{} {}", pick("periksa", "check"), health(asked))
        }
        DrillAction::Switch { hook } => format!("{} {hook}", pick("alihkan:", "switch:")),
        DrillAction::Confirm { .. } => pick("konfirmasi", "confirm by hand").to_owned(),
        DrillAction::Wait { until: WaitFor::Passed(time) } => {
            format!("{} {time}", pick("tunggu", "wait"))
        }
        DrillAction::Wait { until: WaitFor::Good(asked) } => {
            format!("{} {}", pick("tunggu sampai baik:", "wait until good:"), health(asked))
        }
    };
    format!("{what}; {} {}", pick("batas", "limit"), step.limit)
}

/// When the next drills are due.
pub(super) fn calendar(due: &[DrillDue], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Tenggat", "Due"))
        .rigid("")
        .rigid(terminal.pick("Jenis", "Kind"))
        .text("PD")
        .text(terminal.pick("Rencana", "Plan"))
        .rigid(terminal.pick("Terakhir", "Last run"));
    for one in due {
        let never = terminal.pick("belum pernah", "never");
        table.row([
            one.due_on.to_string(),
            if one.overdue {
                terminal.pick("terlambat", "overdue").to_owned()
            } else {
                String::new()
            },
            one.kind.name(language(terminal)).to_owned(),
            owner(&one.pd_code, terminal),
            plain(&one.title),
            one.last.map_or_else(|| never.to_owned(), |at| terminal.time(at)),
        ]);
    }
    let mut text = table.render();
    if due.iter().any(|one| one.instrument.is_empty()) {
        text += terminal.pick(
            "Tenggat adalah usulan: belum ada instrumen hukum yang menetapkannya.\n",
            "The dates are a proposal (usulan): no legal instrument sets them.\n",
        );
    }
    text
}

fn verdict(one: &DrillRun, terminal: &Terminal) -> String {
    match (one.verdict, &one.closed) {
        (_, Some(_)) => terminal.pick("ditutup", "closed").to_owned(),
        (Some(verdict), None) => verdict.name(language(terminal)).to_owned(),
        (None, None) => terminal.pick("berjalan", "under way").to_owned(),
    }
}

/// The runs.
pub(super) fn runs(all: &[DrillRun], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Diminta", "Asked for"))
        .rigid(terminal.pick("Cara", "Mode"))
        .rigid(terminal.pick("Hasil", "Result"))
        .text(terminal.pick("Rencana", "Plan"))
        .rigid("Id");
    for one in all {
        table.row([
            terminal.time(one.created),
            one.mode.as_str().to_owned(),
            verdict(one, terminal),
            plain(&one.title),
            one.id.to_string(),
        ]);
    }
    table.render()
}

/// One run in its figures.
pub(super) fn run(one: &DrillRun, terminal: &Terminal) -> String {
    let language = language(terminal);
    let figure = |seconds: Option<u64>| {
        seconds.map_or_else(|| "-".to_owned(), |seconds| lasted(seconds, language))
    };
    let mut lines = vec![
        ("Id", one.id.to_string()),
        (terminal.pick("Rencana", "Plan"), format!("{}, {}", plain(&one.title), one.revision)),
        (terminal.pick("Cara", "Mode"), one.mode.name(language).to_owned()),
        (
            terminal.pick("Diminta", "Asked for"),
            format!(
                "{}, {}: {}",
                terminal.time(one.created),
                plain(&one.created_by),
                plain(&one.reason)
            ),
        ),
        (terminal.pick("Hasil", "Result"), verdict(one, terminal)),
        ("RTO, RPO", format!("{}, {}", figure(one.figures.rto_s), figure(one.figures.rpo_s))),
    ];
    if let Some(why) = &one.closed {
        lines.push((terminal.pick("Ditutup", "Closed"), plain(why)));
    }
    if !one.waits.is_empty() {
        lines.push((terminal.pick("Menunggu", "Waits for"), plain(&one.waits)));
    }
    pairs(&lines)
}

/// One run with its steps.
pub(super) fn detail(one: &DrillRunDetail, terminal: &Terminal) -> String {
    let language = language(terminal);
    let mut text = run(&one.run, terminal);
    let Ok(replayed) = Run::replay(&one.plan, &one.events) else { return text };
    for (number, (step, now)) in (1..).zip(replayed.steps()) {
        text += &format!(
            "{number:>3}. [{}] {}: {}",
            now.progress.name(language),
            step.id,
            plain(&step.title)
        );
        if now.progress == StepProgress::Failed && !now.note.is_empty() {
            text += &format!("; {}", plain(&now.note));
        }
        if now.undo != UndoProgress::None {
            text += &format!("; {}", now.undo.name(language));
        }
        text.push('\n');
    }
    for answer in &one.answers {
        let step = answer.step.as_ref().map_or_else(String::new, |step| format!(" {step}"));
        text += &format!(
            "  > {} {}: {}{step} {}\n",
            terminal.time(answer.at),
            plain(&answer.by),
            answer.reply,
            plain(&answer.note)
        );
    }
    text
}
