//! What is wrong with a plan: everything at once, each in its own words, naming the steps.
//!
//! Invariant: a plan without faults can be carried out in the order in which it is written, and put back from every point.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::plan::{DrillAction, DrillKind, DrillPlan, DrillStep, Health, HealthProbe, WaitFor};
use super::word::{PartKey, StepId};
use crate::Target;

/// Most steps of a plan.
pub const STEPS_MAX: usize = 200;
/// Most participants, datasets, services or servers of a plan.
pub const PARTS_MAX: usize = 200;
/// Longest title, name or the like, characters.
pub const LINE_MAX_CHARS: usize = 200;
/// Longest scenario or note, characters.
pub const TEXT_MAX_CHARS: usize = 4000;
/// Longest limit of a step, seconds: a week.
pub const LIMIT_MAX_S: u32 = 7 * 86_400;

/// One thing that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// A text is missing, too long, or no text.
    #[error("{place}: write up to {max} characters, without control characters")]
    Text {
        /// Where it stands.
        place: String,
        /// How long it may be.
        max: usize,
    },
    /// Too many of something.
    #[error("there are {found} {what}, and a plan has at most {max}: split it")]
    Many {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// It has no step.
    #[error("there is no step: write at least one [[steps]]")]
    NoStep,
    /// Two steps have one id.
    #[error("two steps have the id {0}: give each its own")]
    DuplicateStep(StepId),
    /// A step waits for one that is not there.
    #[error("step {step} waits for {after}, which is no step of this plan{}", meant(.nearest))]
    UnknownDependency {
        /// The step.
        step: StepId,
        /// What it waits for.
        after: StepId,
        /// What was probably meant.
        nearest: Option<StepId>,
    },
    /// Steps wait for each other.
    #[error("these steps wait for each other and could never begin: {}", chain(.0))]
    Cycle(Vec<StepId>),
    /// A step waits for one that is written after it.
    #[error(
        "step {step} waits for {after}, which is written after it: move {after} up, plans are read from top to bottom"
    )]
    LaterStep {
        /// The step.
        step: StepId,
        /// What it waits for.
        after: StepId,
    },
    /// Two parts have one key.
    #[error("the key {0} is given twice: the steps could not tell which is meant")]
    DuplicateKey(PartKey),
    /// A thing is listed twice.
    #[error("{what} {id} is listed twice: once is enough")]
    ListedTwice {
        /// What it is.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A step names a part that is not listed.
    #[error("step {step} names the {what} {key}, which the plan does not list under [[{what}s]]")]
    UnknownPart {
        /// The step.
        step: StepId,
        /// What it is.
        what: &'static str,
        /// What it names.
        key: PartKey,
    },
    /// A dataset is listed, and never restored.
    #[error(
        "no step restores the dataset {0}: its RPO could not be measured; add a step, or take it off the list"
    )]
    NeverRestored(PartKey),
    /// A service is listed, and never checked.
    #[error(
        "no step checks the service {0}: its RTO could not be measured; add a step, or take it off the list"
    )]
    NeverChecked(PartKey),
    /// There is nothing that could be measured.
    #[error(
        "the plan lists no dataset and no service: there is nothing whose recovery it could measure"
    )]
    NothingMeasured,
    /// What changes something has no undo.
    #[error(
        "step {0} changes something outside the scratch place and has no [steps.undo]: name the hook that puts it back"
    )]
    NoUndo(StepId),
    /// What changes nothing has one.
    #[error("step {0} changes nothing outside the scratch place: take its [steps.undo] away")]
    NeedlessUndo(StepId),
    /// A limit that is none.
    #[error("step {0}: a limit is from 1 s to 7 d")]
    Limit(StepId),
    /// It waits longer than it may.
    #[error("step {0} waits longer than its own limit: give it a longer one")]
    WaitsTooLong(StepId),
    /// Whoever has to confirm takes no part.
    #[error("step {step}: no participant has the role {who:?}; the roles are: {roles}")]
    UnknownRole {
        /// The step.
        step: StepId,
        /// The role.
        who: String,
        /// Those that there are.
        roles: String,
    },
    /// A probe asks what its target cannot answer.
    #[error("step {step}: `{field}` {reason}")]
    Probe {
        /// The step.
        step: StepId,
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A failover cuts nothing off.
    #[error(
        "a failover plan cuts one site off: name it (`isolates`), and write one step of kind isolate"
    )]
    NoIsolation,
    /// Two steps cut off.
    #[error("steps {0} and {1} both isolate: one is enough")]
    TwoIsolations(StepId, StepId),
    /// It cuts off without being a failover.
    #[error(
        "only a failover plan isolates a site, this is one of kind {0}: take `isolates` and the isolate steps away"
    )]
    NeedlessIsolation(DrillKind),
    /// Nobody carries it out.
    #[error("`runner`: name the server whose agent carries the plan out")]
    NoRunner,
    /// It cannot be run without people.
    #[error(
        "`schedule`: only a restore that changes nothing outside a scratch place and asks nobody is run by itself; take it away, or the steps that do{}",
        named(.0)
    )]
    NotByItself(Vec<StepId>),
    /// A target that is none.
    #[error("targets: RTO and RPO are longer than 0 s")]
    Target,
}

fn meant(nearest: &Option<StepId>) -> String {
    nearest.as_ref().map_or_else(String::new, |id| format!("; did you mean {id}?"))
}

fn named(steps: &[StepId]) -> String {
    let names = steps.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ");
    if names.is_empty() { String::new() } else { format!(": {names}") }
}

fn chain(steps: &[StepId]) -> String {
    let around = steps.iter().chain(steps.first());
    around.map(StepId::as_str).collect::<Vec<_>>().join(" → ")
}

/// Everything that is wrong with a plan; a draft's faults too.
#[must_use]
pub fn faults(plan: &DrillPlan) -> Vec<PlanFault> {
    let mut found = Vec::new();
    texts(plan, &mut found);
    numbers(plan, &mut found);
    parts(plan, &mut found);
    order(plan, &mut found);
    for step in &plan.steps {
        one_step(plan, step, &mut found);
    }
    isolation(plan, &mut found);
    measured(plan, &mut found);
    unattended(plan, &mut found);
    found
}

/// What is run by itself needs nobody, and disturbs nobody.
fn unattended(plan: &DrillPlan, found: &mut Vec<PlanFault>) {
    let needs = |step: &&DrillStep| {
        step.changes_something() || matches!(step.action, DrillAction::Confirm { .. })
    };
    let needing = plan.steps.iter().filter(needs).map(|step| step.id.clone());
    let needing: Vec<StepId> = needing.collect();
    if plan.schedule.is_some() && (plan.kind != DrillKind::Restore || !needing.is_empty()) {
        found.push(PlanFault::NotByItself(needing));
    }
}

/// What no text of people holds: it would disturb a terminal or a page, or make a line read as another one.
fn disturbs(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// Whether a text of people is one: neither too long nor full of what would disturb a terminal or a page.
#[must_use]
pub fn is_text(text: &str, max: usize) -> bool {
    text.chars().count() <= max && !text.chars().any(|c| disturbs(c) && c != '\n')
}

/// Any text as one line that [`is_text`] takes: cut, and with spaces in the place of what would disturb.
#[must_use]
pub fn as_line(text: &str, max: usize) -> String {
    text.chars().map(|c| if disturbs(c) { ' ' } else { c }).take(max).collect()
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && is_text(text, LINE_MAX_CHARS) && !text.contains('\n')
}

fn texts(plan: &DrillPlan, found: &mut Vec<PlanFault>) {
    let mut line = |place: String, text: &str, may_be_empty: bool| {
        if !(is_line(text) || (may_be_empty && text.is_empty())) {
            found.push(PlanFault::Text { place, max: LINE_MAX_CHARS });
        }
    };
    line("title".into(), &plan.title, false);
    line("place".into(), &plan.place, true);
    line("targets.instrument".into(), &plan.targets.instrument, true);
    for (number, one) in (1..).zip(&plan.participants) {
        line(format!("participant {number}: name"), &one.name, false);
        line(format!("participant {number}: role"), &one.role, false);
        line(format!("participant {number}: organisation"), &one.organisation, false);
        line(format!("participant {number}: contact"), &one.contact, true);
    }
    for part in &plan.datasets {
        line(format!("dataset {}: approval", part.key), &part.approval, true);
    }
    for step in &plan.steps {
        line(format!("step {}: title", step.id), &step.title, false);
    }
    if plan.scenario.trim().is_empty() || !is_text(&plan.scenario, TEXT_MAX_CHARS) {
        found.push(PlanFault::Text { place: "scenario".into(), max: TEXT_MAX_CHARS });
    }
}

fn numbers(plan: &DrillPlan, found: &mut Vec<PlanFault>) {
    let many = [
        ("steps", plan.steps.len(), STEPS_MAX),
        ("participants", plan.participants.len(), PARTS_MAX),
        ("datasets", plan.datasets.len(), PARTS_MAX),
        ("services", plan.services.len(), PARTS_MAX),
        ("servers", plan.servers.len(), PARTS_MAX),
    ];
    let many = many.into_iter().filter(|(_, found, max)| found > max);
    found.extend(many.map(|(what, found, max)| PlanFault::Many { what, found, max }));
    if plan.targets.rto.as_seconds() == 0 || plan.targets.rpo.as_seconds() == 0 {
        found.push(PlanFault::Target);
    }
    if plan.steps.is_empty() {
        found.push(PlanFault::NoStep);
    }
}

fn parts(plan: &DrillPlan, found: &mut Vec<PlanFault>) {
    let keys = plan.datasets.iter().map(|one| &one.key);
    let mut seen = HashSet::new();
    for key in keys.chain(plan.services.iter().map(|one| &one.key)) {
        if !seen.insert(key) {
            found.push(PlanFault::DuplicateKey(key.clone()));
        }
    }
    let datasets = plan.datasets.iter().map(|one| ("dataset", one.dataset.to_string()));
    let services = plan.services.iter().map(|one| ("service", one.service.to_string()));
    let servers = plan.servers.iter().map(|one| ("server", one.to_string()));
    let mut seen = HashSet::new();
    for one in datasets.chain(services).chain(servers) {
        if !seen.insert(one.clone()) {
            found.push(PlanFault::ListedTwice { what: one.0, id: one.1 });
        }
    }
}

/// Dependencies: known, written before, and never in a circle.
fn order(plan: &DrillPlan, found: &mut Vec<PlanFault>) {
    let mut at: HashMap<&StepId, usize> = HashMap::new();
    for (index, step) in plan.steps.iter().enumerate() {
        if at.insert(&step.id, index).is_some() {
            found.push(PlanFault::DuplicateStep(step.id.clone()));
        }
    }
    for step in &plan.steps {
        for after in step.after.iter().filter(|after| !at.contains_key(after)) {
            let names = plan.steps.iter().map(|one| one.id.as_str());
            let nearest = crate::toml_text::nearest(after.as_str(), names);
            let nearest = nearest.and_then(|name| name.parse().ok());
            let (step, after) = (step.id.clone(), after.clone());
            found.push(PlanFault::UnknownDependency { step, after, nearest });
        }
    }
    let cycles = cycles(plan, &at);
    let circular: HashSet<&StepId> = cycles.iter().flatten().collect();
    for (index, step) in plan.steps.iter().enumerate() {
        for after in &step.after {
            let is_later = at.get(after).is_some_and(|before| *before > index);
            // Within a circle one of them always is.
            if is_later && !(circular.contains(&step.id) && circular.contains(after)) {
                let (step, after) = (step.id.clone(), after.clone());
                found.push(PlanFault::LaterStep { step, after });
            }
        }
    }
    found.extend(cycles.into_iter().map(PlanFault::Cycle));
}

/// Circles of dependencies, none of which shares a step with another.
fn cycles(plan: &DrillPlan, at: &HashMap<&StepId, usize>) -> Vec<Vec<StepId>> {
    let after = |index: usize| plan.steps[index].after.iter().filter_map(|id| at.get(id).copied());
    // Whatever can be begun is taken away, again and again; what is left waits for a circle.
    let mut left: BTreeSet<usize> = at.values().copied().collect();
    let prune = |left: &mut BTreeSet<usize>| loop {
        let free: Vec<usize> = left
            .iter()
            .copied()
            .filter(|step| !after(*step).any(|one| left.contains(&one)))
            .collect();
        if free.is_empty() {
            return;
        }
        free.iter().for_each(|step| {
            left.remove(step);
        });
    };
    prune(&mut left);
    let mut cycles = Vec::new();
    while let Some(first) = left.first().copied() {
        let mut path = vec![first];
        let cycle = loop {
            let last = path[path.len() - 1];
            // Every step that is left waits for another that is left.
            let Some(next) = after(last).find(|one| left.contains(one)) else { return cycles };
            match path.iter().position(|step| *step == next) {
                Some(begin) => break path.split_off(begin),
                None => path.push(next),
            }
        };
        cycle.iter().for_each(|step| {
            left.remove(step);
        });
        cycles.push(cycle.into_iter().map(|step| plan.steps[step].id.clone()).collect());
        prune(&mut left);
    }
    cycles
}

fn one_step(plan: &DrillPlan, step: &DrillStep, found: &mut Vec<PlanFault>) {
    let limits = [Some(step.limit), step.undo.as_ref().map(|undo| undo.limit)];
    if limits.iter().flatten().any(|limit| !(1..=LIMIT_MAX_S).contains(&limit.as_seconds())) {
        found.push(PlanFault::Limit(step.id.clone()));
    }
    // Nothing of a tabletop is carried out, so nothing of it is put back.
    let is_done = plan.kind != DrillKind::Tabletop;
    match (step.action.changes_outside(), &step.undo) {
        (true, None) if is_done => found.push(PlanFault::NoUndo(step.id.clone())),
        (false, Some(_)) => found.push(PlanFault::NeedlessUndo(step.id.clone())),
        _ => {}
    }
    match &step.action {
        DrillAction::Restore { dataset, .. } if plan.dataset(dataset).is_none() => {
            found.push(unknown(step, "dataset", dataset));
        }
        DrillAction::Check { service, health } => {
            let known = |key: &&PartKey| plan.services.iter().any(|one| one.key == **key);
            if let Some(key) = service.as_ref().filter(|key| !known(key)) {
                found.push(unknown(step, "service", key));
            }
            probed(step, health, found);
        }
        DrillAction::Confirm { text, who } => confirmed(plan, step, (text, who), found),
        DrillAction::Wait { until: WaitFor::Passed(time) } if *time > step.limit => {
            found.push(PlanFault::WaitsTooLong(step.id.clone()));
        }
        DrillAction::Wait { until: WaitFor::Good(health) } => probed(step, health, found),
        _ => {}
    }
}

fn unknown(step: &DrillStep, what: &'static str, key: &PartKey) -> PlanFault {
    PlanFault::UnknownPart { step: step.id.clone(), what, key: key.clone() }
}

fn confirmed(
    plan: &DrillPlan,
    step: &DrillStep,
    (text, who): (&str, &str),
    found: &mut Vec<PlanFault>,
) {
    if text.trim().is_empty() || !is_text(text, TEXT_MAX_CHARS) {
        let place = format!("step {}: text", step.id);
        found.push(PlanFault::Text { place, max: TEXT_MAX_CHARS });
    }
    if !plan.participants.iter().any(|one| one.role == who) {
        let roles: BTreeSet<&str> = plan.participants.iter().map(|one| one.role.as_str()).collect();
        let roles = roles.into_iter().collect::<Vec<_>>().join(", ");
        let who = who.chars().take(LINE_MAX_CHARS).collect();
        found.push(PlanFault::UnknownRole { step: step.id.clone(), who, roles });
    }
}

fn probed(step: &DrillStep, health: &Health, found: &mut Vec<PlanFault>) {
    let Health::Probe(probe) = health else { return };
    let HealthProbe { target, status, contains, address, any_certificate } = probe;
    let http = matches!(target, Target::Http(_));
    let dns = matches!(target, Target::Dns { .. });
    let only_http = "belongs to an HTTP target: leave it out";
    let wrong = [
        ("status", status.is_some() && !http, only_http),
        ("contains", !contains.is_empty() && !http, only_http),
        ("any_certificate", *any_certificate && !http, only_http),
        ("address", !address.is_empty() && !dns, "belongs to a DNS target: leave it out"),
        (
            "address",
            !address.is_empty() && address.parse::<std::net::IpAddr>().is_err(),
            "is an IPv4 or IPv6 address, as in 10.1.2.3",
        ),
        ("status", status.is_some_and(|one| !(100..=599).contains(&one)), "is from 100 to 599"),
        ("contains", !is_text(contains, LINE_MAX_CHARS), "has up to 200 characters on one line"),
    ];
    found.extend(
        wrong
            .into_iter()
            .filter(|(_, is_wrong, _)| *is_wrong)
            .map(|(field, _, reason)| PlanFault::Probe { step: step.id.clone(), field, reason }),
    );
}

fn isolation(plan: &DrillPlan, found: &mut Vec<PlanFault>) {
    let isolates = |step: &&DrillStep| matches!(step.action, DrillAction::Isolate { .. });
    let steps: Vec<&DrillStep> = plan.steps.iter().filter(isolates).collect();
    if plan.kind == DrillKind::Failover {
        if plan.isolates.is_none() || steps.is_empty() {
            found.push(PlanFault::NoIsolation);
        }
        for pair in steps.windows(2) {
            found.push(PlanFault::TwoIsolations(pair[0].id.clone(), pair[1].id.clone()));
        }
    } else if plan.isolates.is_some() || !steps.is_empty() {
        found.push(PlanFault::NeedlessIsolation(plan.kind));
    }
}

/// What is not talked about only has somebody who does it, and something that can be measured.
fn measured(plan: &DrillPlan, found: &mut Vec<PlanFault>) {
    if plan.kind == DrillKind::Tabletop {
        return;
    }
    if plan.runner.is_none() {
        found.push(PlanFault::NoRunner);
    }
    if plan.datasets.is_empty() && plan.services.is_empty() {
        found.push(PlanFault::NothingMeasured);
    }
    let restores = |key: &PartKey| {
        plan.steps.iter().any(
            |step| matches!(&step.action, DrillAction::Restore { dataset, .. } if dataset == key),
        )
    };
    let checks = |key: &PartKey| {
        plan.steps.iter().any(|step| {
            matches!(&step.action, DrillAction::Check { service: Some(service), .. } if service == key)
        })
    };
    let unrestored = plan.datasets.iter().filter(|one| !restores(&one.key));
    found.extend(unrestored.map(|one| PlanFault::NeverRestored(one.key.clone())));
    let unchecked = plan.services.iter().filter(|one| !checks(&one.key));
    found.extend(unchecked.map(|one| PlanFault::NeverChecked(one.key.clone())));
}
