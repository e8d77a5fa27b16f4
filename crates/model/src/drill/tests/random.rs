//! Random plans × random failures × a kill after any event.

use proptest::prelude::*;

use super::*;

/// Choices, one after the other, over and over.
struct Choices(Vec<u8>, usize);

impl Choices {
    fn next(&mut self, of: usize) -> usize {
        self.1 += 1;
        usize::from(self.0[self.1 % self.0.len()]) % of
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.next(many) == 0
    }
}

fn step(index: usize, after: &[usize], kind: u8, go_on: bool) -> DrillStep {
    let name = |text: &str| text.parse().unwrap();
    let hook = || name("hook");
    let action = match kind % 7 {
        0 => DrillAction::Switch { hook: hook() },
        1 => DrillAction::Hook { hook: hook(), changes: true },
        2 => DrillAction::Hook { hook: hook(), changes: false },
        3 => DrillAction::Restore {
            dataset: "d".parse().unwrap(),
            to: PlaceKind::Standby,
            place: name("siaga"),
        },
        4 => DrillAction::Restore {
            dataset: "d".parse().unwrap(),
            to: PlaceKind::Scratch,
            place: name("uji"),
        },
        5 => DrillAction::Confirm { text: "ya?".into(), who: "pemimpin".into() },
        _ => DrillAction::Wait { until: WaitFor::Passed("1 s".parse().unwrap()) },
    };
    let undo = action
        .changes_outside()
        .then(|| Undo { hook: name("balik"), limit: "1 min".parse().unwrap() });
    DrillStep {
        id: id(&format!("s{index}")),
        title: format!("langkah {index}"),
        after: after.iter().map(|one| id(&format!("s{one}"))).collect(),
        limit: "1 min".parse().unwrap(),
        on_failure: if go_on { OnFailure::GoOn } else { OnFailure::Stop },
        action,
        undo,
    }
}

prop_compose! {
    /// A failover plan of up to nine steps without faults.
    fn plans()(
        steps in prop::collection::vec((any::<u8>(), any::<u8>(), any::<bool>()), 1..8),
        cut_at in any::<prop::sample::Index>(),
    ) -> DrillPlan {
        let mut plan = plan();
        let cut_at = cut_at.index(steps.len() + 1);
        let mut made = Vec::new();
        for (index, (mask, kind, go_on)) in steps.into_iter().enumerate() {
            let after: Vec<usize> = (0..index).filter(|one| mask >> (one % 8) & 1 == 1).collect();
            made.push(step(index, &after, kind, go_on));
        }
        let mut cut = step(99, &[], 0, false);
        cut.action = DrillAction::Isolate { hook: "putus".parse().unwrap() };
        made.insert(cut_at, cut);
        made.push(step(98, &[], 3, false));
        plan.steps = made;
        plan.services.clear();
        plan.datasets[0].key = "d".parse().unwrap();
        plan.participants[0].role = "pemimpin".into();
        plan
    }
}

/// What a runner and its people would write down next.
fn answer(run: &Run<'_>, choices: &mut Choices) -> Happened {
    let by = || "Budi".to_owned();
    match run.next() {
        Next::Start => unreachable!("it has begun"),
        Next::Begin(steps) => {
            let step = steps[choices.next(steps.len())].clone();
            let running: Vec<StepId> = running(run);
            if !running.is_empty() && choices.one_in(2) {
                return end(run, &running[choices.next(running.len())], choices);
            }
            if choices.one_in(12) {
                return Happened::StepSkipped { step, by: by(), note: "tidak perlu".into() };
            }
            Happened::StepStarted { step }
        }
        Next::Wait(steps) => end(run, &steps[choices.next(steps.len())], choices),
        Next::Failback(why) => Happened::Failback { why, by: String::new() },
        Next::AskForFailback { failed } => match failed.first() {
            Some(step) if choices.one_in(2) => {
                Happened::StepRetried { step: step.clone(), by: by() }
            }
            Some(_) => Happened::Failback { why: FailbackWhy::Failed, by: by() },
            None => Happened::Failback { why: FailbackWhy::Completed, by: by() },
        },
        Next::Undo(step) => Happened::UndoStarted { step },
        Next::WaitForUndo(step) if choices.one_in(3) => {
            Happened::UndoFailed { step, reason: "gagal".into() }
        }
        Next::WaitForUndo(step) => Happened::UndoFinished { step },
        Next::AskForHands(steps) => {
            Happened::UndoneByHand { step: steps[0].clone(), by: by(), note: "sudah".into() }
        }
        Next::Clean => Happened::Cleaned {},
        Next::Reconcile => Happened::Reconciled { both: 1, missing: 0, note: String::new() },
        Next::Finish => Happened::Finished {},
        Next::Over => unreachable!("it is over"),
    }
}

fn running(run: &Run<'_>) -> Vec<StepId> {
    let running = run.steps().filter(|(_, run)| run.progress == StepProgress::Running);
    running.map(|(step, _)| step.id.clone()).collect()
}

fn end(run: &Run<'_>, step: &StepId, choices: &mut Choices) -> Happened {
    let step = step.clone();
    if choices.one_in(6) {
        return Happened::StepFailed {
            step,
            reason: "gagal".into(),
            outcome: StepOutcome::default(),
        };
    }
    let action = &run.plan().steps[run.plan().position(&step).unwrap()].action;
    let by_hand = matches!(action, DrillAction::Confirm { .. });
    if by_hand || run.mode() == DrillMode::Tabletop {
        return Happened::StepConfirmed { step, by: "Budi".into(), note: String::new() };
    }
    Happened::StepFinished { step, outcome: restored() }
}

/// A run to its end, killed now and then; every kill leaves nothing but the events.
fn carried_out<'p>(plan: &'p DrillPlan, mode: DrillMode, choices: &mut Choices) -> Journal<'p> {
    let mut journal = Journal::begun(plan, mode);
    let mut kills = 0;
    for _ in 0..2000 {
        if journal.run.next() == Next::Over {
            return journal;
        }
        if choices.one_in(5) && kills < 20 {
            kills += 1;
            let again = Run::replay(plan, &journal.events).unwrap();
            assert_eq!(again, journal.run, "the events are all there is");
            if again.was_cut_short() {
                journal.write(1, Happened::Interrupted { reason: "dibunuh".into() });
                continue;
            }
        }
        if choices.one_in(40) && journal.run.failback.is_none() && running(&journal.run).is_empty()
        {
            journal.write(1, Happened::Failback { why: FailbackWhy::Asked, by: "Budi".into() });
            continue;
        }
        let what = answer(&journal.run, choices);
        journal.write(1, what);
    }
    panic!("it does not end: {:#?}", journal.run);
}

/// The steps of the events of one sort, in order.
fn steps_of(events: &[DrillEvent], is_it: impl Fn(&Happened) -> bool) -> Vec<StepId> {
    events
        .iter()
        .filter(|one| is_it(&one.what))
        .filter_map(|one| one.what.step().cloned())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_run_ends_with_everything_put_back_once_and_last_first(
        plan in plans(),
        mode in prop::sample::select(DrillMode::ALL.to_vec()),
        choices in prop::collection::vec(any::<u8>(), 40..120),
    ) {
        prop_assert_eq!(faults(&plan), Vec::new());
        let journal = carried_out(&plan, mode, &mut Choices(choices, 0));

        // Nothing begins before what it depends on is over.
        let mut over: Vec<StepId> = Vec::new();
        for event in &journal.events {
            match &event.what {
                Happened::StepStarted { step } => {
                    let at = plan.position(step).unwrap();
                    for after in &plan.steps[at].after {
                        let isolates = matches!(plan.steps[plan.position(after).unwrap()].action, DrillAction::Isolate { .. });
                        prop_assert!(over.contains(after) || (isolates && mode == DrillMode::Real), "{} before {}", step, after);
                    }
                }
                Happened::StepFinished { step, .. } | Happened::StepFailed { step, .. }
                | Happened::StepConfirmed { step, .. } | Happened::StepSkipped { step, .. } => over.push(step.clone()),
                Happened::Interrupted { .. } => {
                    let until = usize::try_from(event.number).unwrap();
                    let then = Run::replay(&plan, &journal.events[..until]).unwrap();
                    over.extend(then.steps().filter(|(_, run)| run.progress == StepProgress::Failed).map(|(step, _)| step.id.clone()));
                }
                _ => {}
            }
        }

        // Whatever was begun and leaves something was put back once, and in the reverse of the order of its beginning.
        let mut begun = Vec::new();
        for step in steps_of(&journal.events, |what| matches!(what, Happened::StepStarted { .. })) {
            if !begun.contains(&step) && journal.run.undo_of(&step).is_some() && mode != DrillMode::Tabletop {
                begun.push(step);
            }
        }
        begun.reverse();
        let undone = steps_of(&journal.events, |what| {
            matches!(what, Happened::UndoFinished { .. } | Happened::UndoneByHand { .. })
        });
        let mut sorted = undone.clone();
        sorted.sort();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), undone.len(), "once: {:?}", undone);
        let mut wanted = begun.clone();
        wanted.sort();
        prop_assert_eq!(sorted, wanted);
        // By their hooks, what was put back was put back last first.
        let by_hook = steps_of(&journal.events, |what| matches!(what, Happened::UndoFinished { .. }));
        let order: Vec<StepId> = begun.into_iter().filter(|step| by_hook.contains(step)).collect();
        prop_assert_eq!(by_hook, order);

        // Nothing begins once it is being put back.
        let back = journal.events.iter().position(|one| matches!(one.what, Happened::Failback { .. })).unwrap();
        let late = journal.events[back..].iter().any(|one| matches!(one.what, Happened::StepStarted { .. }));
        prop_assert!(!late);

        // A best verdict has nothing against it, and each ground allows what it says.
        let (verdict, grounds) = journal.run.verdict();
        prop_assert_eq!(verdict == Verdict::Succeeded, grounds.is_empty());
        prop_assert!(grounds.iter().all(|ground| ground.allows() <= verdict));
    }

    #[test]
    fn what_is_no_plan_is_told_and_what_has_no_fault_has_an_order(
        edges in prop::collection::vec((0_usize..6, 0_usize..6), 0..9),
    ) {
        let mut plan = plan();
        plan.steps = (0..6).map(|index| step(index, &[], 6, false)).collect();
        for (from, to) in &edges {
            plan.steps[*from].after.push(id(&format!("s{to}")));
        }
        let circular = faults(&plan).iter().any(|one| matches!(one, PlanFault::Cycle(_)));
        // The same by hand: what can begin is taken away until nothing changes.
        let mut left: Vec<usize> = (0..6).collect();
        loop {
            let before = left.len();
            let now = left.clone();
            left.retain(|one| edges.iter().any(|(from, to)| from == one && now.contains(to)));
            if left.len() == before { break; }
        }
        prop_assert_eq!(circular, !left.is_empty());
    }
}
