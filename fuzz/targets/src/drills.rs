//! Drills: plans that people write, and journals that runners send (`docs/drills.md`).

use std::sync::LazyLock;

use lumbung_model::drill::{DrillEvent, DrillPlan, Run, essence, faults};

/// The annotated example, with ids where people write names of rows.
pub(crate) fn example() -> String {
    let id = "ab".repeat(16);
    let names = [
        "RSUD/simrs-siaga",
        "RSUD/simrs-db",
        "RSUD/SIMRS",
        "Pusat Data",
        "DISKOMINFO/drc-runner-1",
    ];
    let text = include_str!("../../../config/drill.example.toml").to_owned();
    let quoted = |text: &str| format!("\"{text}\"");
    names.into_iter().fold(text, |text, name| text.replace(&quoted(name), &quoted(&id)))
}

static PLAN: LazyLock<DrillPlan> =
    LazyLock::new(|| toml::from_str(&example()).expect("it is an example"));

/// Whatever a plan says, its faults are found, and what is carried out of it does not change by being written down.
pub(crate) fn drill_plan(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(plan) = toml::from_str::<DrillPlan>(text) else { return };
    let found = faults(&plan);
    let written = serde_json::to_string(&plan).expect("a plan is JSON");
    let again: DrillPlan = serde_json::from_str(&written).expect("what was written is read");
    assert_eq!(again, plan);
    assert_eq!(faults(&again).len(), found.len());
    let essence = |plan| serde_json::to_string(&essence(plan)).expect("an essence is JSON");
    assert_eq!(essence(&again), essence(&plan));
}

/// Events of any kind in any order: what is refused changes nothing, and what was taken comes out the same again.
pub(crate) fn drill_events(data: &[u8]) {
    let Ok(events) = serde_json::from_slice::<Vec<DrillEvent>>(data) else { return };
    let mut run = Run::new(&PLAN);
    let mut taken = Vec::new();
    for event in events {
        let before = run.clone();
        match run.apply(&event) {
            Ok(()) => taken.push(event),
            Err(_) => assert_eq!(run, before, "a refused event changed the run"),
        }
    }
    assert_eq!(Run::replay(&PLAN, &taken).as_ref(), Ok(&run));
    let _ = (run.next(), run.figures(), run.verdict());
}
