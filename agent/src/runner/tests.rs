//! Runs that are conducted with hands that do what they are told: killed at every event, answered, stopped.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crossbeam_channel::unbounded;
use lumbung_model::drill::{
    DrillPlan, FailbackWhy, Happened, RecoveryPoint, Run, StepId, StepOutcome, StepProgress,
    UndoWork,
};
use lumbung_model::{Clock, DrillRunId, ManifestId, SystemClock, Timestamp};
use lumbung_wire::messages::drills::{DrillAnswer, DrillMode, DrillReply};

use super::conduct::{Compared, Conducted, Failed, Hands, Held, Message, Task, conduct};
use super::journal::{Journals, Kept, Ordered};
use super::programs::pause;

const PLAN: &str = r#"
title = "Failover SIMRS"
kind = "failover"
scenario = "Pusat Data padam."
runner = "00112233445566778899aabbccddeeff"
isolates = "10112233445566778899aabbccddeeff"
targets = { rto = "4 h", rpo = "24 h" }
participants = [{ name = "Ani", role = "pemimpin", organisation = "Diskominfo" }]
datasets = [{ key = "db", dataset = "20112233445566778899aabbccddeeff" }]
services = [{ key = "simrs", service = "30112233445566778899aabbccddeeff" }]

[[steps]]
id = "putus"
title = "Putuskan"
limit = "1 min"
action = { kind = "isolate", hook = "putus" }
undo = { hook = "sambung", limit = "1 min" }

[[steps]]
id = "pulihkan"
title = "Pulihkan"
after = ["putus"]
limit = "1 min"
action = { kind = "restore", dataset = "db", to = "scratch", place = "uji" }

[[steps]]
id = "alih"
title = "Alihkan"
after = ["pulihkan"]
limit = "1 min"
action = { kind = "switch", hook = "alih" }
undo = { hook = "kembali", limit = "1 min" }

[[steps]]
id = "cek"
title = "Cek"
after = ["alih"]
limit = "1 min"
action = { kind = "check", service = "simrs", health = { named = "cek" } }

[[steps]]
id = "dokter"
title = "Dokter membuka rekam medis"
after = ["alih"]
limit = "1 h"
action = { kind = "confirm", text = "Terbuka.", who = "pemimpin" }
"#;

pub(super) fn plan() -> DrillPlan {
    let plan: DrillPlan = toml::from_str(PLAN).unwrap();
    assert_eq!(lumbung_model::drill::faults(&plan), []);
    plan
}

/// What the world looks like: what is switched, restored, cut off.
#[derive(Default)]
struct World {
    changed: BTreeMap<String, bool>,
    proven: usize,
    /// Steps that fail, and how often undoing them fails.
    fails: Vec<&'static str>,
    undo_fails: BTreeMap<&'static str, u32>,
    ended: Vec<String>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<World>>);

impl Scripted {
    fn world<T>(&self, of: impl FnOnce(&mut World) -> T) -> T {
        of(&mut self.0.lock().unwrap())
    }
}

impl Hands for Scripted {
    fn carry_out(&self, task: &Task<'_>) -> Result<StepOutcome, Failed> {
        let id = task.step.id.to_string();
        if id == "dokter" {
            let in_time = pause(&task.purpose.cancel, task.purpose.left());
            return Err(if in_time { "too late" } else { "ended" }.to_owned().into());
        }
        self.world(|world| {
            if task.step.changes_something() || id == "pulihkan" {
                world.changed.insert(id.clone(), true);
            }
            if world.fails.contains(&id.as_str()) {
                return Err(format!("{id} does not work").into());
            }
            let point = (id == "pulihkan").then(|| RecoveryPoint {
                snapshot: ManifestId::from_bytes([1; 32]),
                taken: Timestamp(1),
                site: None,
                entries: 3,
                bytes: 4,
                sha256: None,
            });
            let integrity = point.iter().map(|_| lumbung_model::drill::Integrity {
                kind: lumbung_model::drill::IntegrityKind::Hash,
                subject: "isi".to_owned(),
                expected: "3".to_owned(),
                found: "3".to_owned(),
                good: true,
            });
            let integrity = integrity.collect();
            Ok(StepOutcome { recovery_point: point, integrity, note: String::new() })
        })
    }

    fn put_back(&self, task: &Task<'_>, _work: UndoWork<'_>) -> Result<(), String> {
        let id = task.step.id.as_str();
        self.world(|world| {
            let left = world.undo_fails.iter_mut().find(|(step, left)| **step == id && **left > 0);
            if let Some((_, left)) = left {
                *left -= 1;
                return Err("the switch does not answer".to_owned());
            }
            world.changed.insert(id.to_owned(), false);
            Ok(())
        })
    }

    fn clean(&self, _run: &DrillRunId) -> Result<(), String> {
        Ok(())
    }

    fn reconcile(&self, _task: &Task<'_>) -> Compared {
        Ok(Held { both: 7, missing: 0 })
    }

    fn prove(&self, _task: &Task<'_>, _point: &RecoveryPoint, _times: (Timestamp, Timestamp)) {
        self.world(|world| world.proven += 1);
    }

    fn end_leftovers(&self, _run: &DrillRunId, step: &StepId) {
        self.world(|world| world.ended.push(step.to_string()));
    }
}

struct Bed {
    _folder: tempfile::TempDir,
    journals: Journals,
    ordered: Ordered,
    hands: Scripted,
}

/// What people answer, and when they come to.
struct Wish {
    when: fn(&Run<'_>) -> bool,
    reply: DrillReply,
    step: Option<&'static str>,
}

impl Wish {
    fn answer(&self, number: u64) -> DrillAnswer {
        let step = self.step.map(|step| step.parse().unwrap());
        let (reply, note) = (self.reply, "ya".to_owned());
        DrillAnswer { number, at: Timestamp(0), by: "Ani".to_owned(), reply, step, note }
    }
}

fn progress(run: &Run<'_>, id: &str) -> StepProgress {
    run.steps().find(|(step, _)| step.id.as_str() == id).map(|(_, run)| run.progress).unwrap()
}

impl Bed {
    fn new(mode: DrillMode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::open(folder.path()).unwrap();
        let outage = (mode == DrillMode::Real).then_some(Timestamp(1));
        let ordered = Ordered { run: DrillRunId::random(), mode, outage, plan: plan() };
        drop(journals.begin(&ordered).unwrap());
        Self { _folder: folder, journals, ordered, hands: Scripted::default() }
    }

    fn kept(&self) -> Kept {
        self.journals.read(&self.ordered.run).unwrap().unwrap()
    }

    /// Conducts it while people answer, and stops it after so many more events.
    fn conduct(&self, wishes: &[Wish], events: usize) -> Conducted {
        let kept = self.kept();
        let until = kept.events.len() + events;
        let (outbox, inbox) = unbounded();
        let journal = self.journals.resume(&self.ordered.run).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let told = outbox.clone();
        let fired = Cell::new(0);
        let news = || {
            let now = self.kept();
            if now.events.len() >= until {
                return told.send(Message::Stop).unwrap();
            }
            let run = Run::replay(&now.ordered.plan, &now.events).unwrap();
            // One after the other, and all of them again each time, as the controller gives them.
            if wishes.get(fired.get()).is_some_and(|wish| (wish.when)(&run)) {
                fired.set(fired.get() + 1);
            }
            let answers = (1..).zip(&wishes[..fired.get()]);
            let answers = answers.map(|(number, wish)| wish.answer(number)).collect();
            told.send(Message::Answers(answers)).unwrap();
        };
        // What they answered before the runner was killed, they have answered.
        fired.set(usize::try_from(kept.answered).unwrap());
        news();
        let hands: Arc<dyn Hands> = Arc::new(self.hands.clone());
        conduct(&kept, journal, hands, clock, (outbox, inbox), news).unwrap()
    }

    fn nothing_is_left(&self) {
        self.hands.world(|world| {
            assert!(world.changed.values().all(|changed| !changed), "{:?}", world.changed);
        });
    }

    fn run<T>(&self, of: impl FnOnce(&Run<'_>) -> T) -> T {
        let kept = self.kept();
        of(&Run::replay(&kept.ordered.plan, &kept.events).unwrap())
    }
}

fn confirmed() -> [Wish; 1] {
    let when = |run: &Run<'_>| progress(run, "dokter") == StepProgress::Running;
    [Wish { when, reply: DrillReply::Confirm, step: Some("dokter") }]
}

#[test]
fn a_drill_comes_to_its_end_and_is_put_back() {
    let bed = Bed::new(DrillMode::Drill);
    assert_eq!(bed.conduct(&confirmed(), usize::MAX / 2), Conducted::Over);
    bed.nothing_is_left();
    assert_eq!(bed.hands.world(|world| world.proven), 1);
    assert_eq!(bed.run(|run| run.failback_why()), Some(FailbackWhy::Completed));
    assert!(
        bed.kept()
            .events
            .iter()
            .any(|event| matches!(event.what, Happened::Reconciled { both: 7, missing: 0, .. }))
    );
}

/// Killed after each few events, again and again: it comes to its end, nothing is left, and it says that it was cut short.
#[test]
fn a_runner_that_is_killed_anywhere_goes_on_from_its_journal() {
    for events in 3..14 {
        let bed = Bed::new(DrillMode::Drill);
        let mut starts = 0;
        while bed.conduct(&confirmed(), events) == Conducted::Stopped {
            starts += 1;
            assert!(starts < 60, "{events} events at a time come to no end");
        }
        bed.nothing_is_left();
        assert!(bed.run(|run| run.finished().is_some()));
        let cut = |what: &Happened| matches!(what, Happened::Interrupted { .. });
        let interrupted = bed.kept().events.iter().filter(|event| cut(&event.what)).count();
        let ended = bed.hands.world(|world| world.ended.len());
        assert!(ended >= interrupted, "{ended} {interrupted}");
    }
}

#[test]
fn a_step_that_fails_stops_it_and_everything_is_put_back() {
    let bed = Bed::new(DrillMode::Drill);
    bed.hands.world(|world| world.fails.push("alih"));
    assert_eq!(bed.conduct(&[], usize::MAX / 2), Conducted::Over);
    bed.nothing_is_left();
    assert_eq!(bed.run(|run| run.failback_why()), Some(FailbackWhy::Failed));
    assert_eq!(bed.hands.world(|world| world.proven), 0, "nothing is proven by a run that failed");
}

#[test]
fn whoever_asks_for_it_has_everything_put_back_once_what_runs_has_ended() {
    let bed = Bed::new(DrillMode::Drill);
    // The doctor is being waited for; nothing else would end that within the hour.
    let when = |run: &Run<'_>| progress(run, "dokter") == StepProgress::Running;
    let wishes = [Wish { when, reply: DrillReply::Failback, step: None }];
    assert_eq!(bed.conduct(&wishes, usize::MAX / 2), Conducted::Over);
    bed.nothing_is_left();
    assert_eq!(bed.run(|run| run.failback_why()), Some(FailbackWhy::Asked));
    assert_eq!(bed.kept().answered, 1);
}

#[test]
fn in_earnest_people_say_when_it_goes_back_and_what_is_tried_again() {
    let bed = Bed::new(DrillMode::Real);
    bed.hands.world(|world| world.fails.push("cek"));
    let over = |run: &Run<'_>| {
        progress(run, "cek") == StepProgress::Failed
            && progress(run, "dokter") == StepProgress::Done
    };
    let [confirmed] = confirmed();
    let tried_again = Wish { when: over, reply: DrillReply::Retry, step: Some("cek") };
    let back = Wish { when: over, reply: DrillReply::Failback, step: None };
    assert_eq!(bed.conduct(&[confirmed, tried_again, back], usize::MAX / 2), Conducted::Over);
    bed.nothing_is_left();
    let attempts =
        bed.run(|run| run.steps().map(|(_, run)| run.attempts).max().unwrap_or_default());
    assert_eq!(attempts, 2, "an answer is followed once");
    let cut_off = bed.hands.world(|world| world.changed.contains_key("putus"));
    assert!(!cut_off, "in earnest nothing is cut off");
}

#[test]
fn what_cannot_be_put_back_is_given_to_people() {
    let bed = Bed::new(DrillMode::Drill);
    bed.hands.world(|world| world.undo_fails.insert("putus", 2));
    assert_eq!(bed.conduct(&confirmed(), usize::MAX / 2), Conducted::Over);
    bed.nothing_is_left();
    let failed = |what: &Happened| matches!(what, Happened::UndoFailed { .. });
    assert_eq!(bed.kept().events.iter().filter(|event| failed(&event.what)).count(), 2);
}
