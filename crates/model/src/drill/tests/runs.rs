use super::*;

#[test]
fn a_good_drill_measures_what_it_was_held_for() {
    let plan = plan();
    let journal = good(&plan);
    let figures = journal.run.figures();
    // The outage began when the drill began to cut the site off.
    assert_eq!(figures.outage, Some(NINE.plus_seconds(5)));
    assert_eq!(figures.rto_s, Some(20 + 1 + 300 + 10 + 1200 + 1 + 9 + 45));
    assert_eq!(figures.rpo_s, Some(5 * 3600 + 5));
    assert_eq!(figures.failback_s, Some(8 + 30 + 15 + 1));
    assert_eq!(journal.run.verdict(), (Verdict::Succeeded, Vec::new()));
    assert_eq!(journal.run.next(), Next::Over);
    assert_eq!(Run::replay(&plan, &journal.events).unwrap(), journal.run);
}

#[test]
fn independent_steps_begin_at_once_and_nothing_before_what_it_depends_on() {
    let plan = plan();
    let mut journal = Journal::new(&plan);
    assert_eq!(journal.run.next(), Next::Start);
    journal.write(0, Happened::Started { mode: DrillMode::Drill, outage: None });
    assert_eq!(journal.run.next(), Next::Begin(vec![id("putus")]));
    assert_eq!(
        journal.try_write(0, Happened::StepStarted { step: id("pulihkan") }),
        Err(Refusal::TooEarly(id("pulihkan")))
    );
    journal.start(0, "putus");
    assert_eq!(journal.run.next(), Next::Wait(vec![id("putus")]));
    journal.finish(1, "putus");
    journal.start(0, "pulihkan");
    journal.write(1, Happened::StepFinished { step: id("pulihkan"), outcome: restored() });
    journal.start(0, "alih-dns");
    journal.finish(0, "alih-dns");
    assert_eq!(journal.run.next(), Next::Begin(vec![id("cek-simrs"), id("dokter")]));
    journal.start(0, "dokter");
    assert_eq!(journal.run.next(), Next::Begin(vec![id("cek-simrs")]));
}

#[test]
fn a_drill_that_fails_is_put_back_last_first() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    journal.start(0, "putus");
    journal.finish(1, "putus");
    journal.start(0, "pulihkan");
    journal.fail(60, "pulihkan", "tempat siaga penuh");
    assert_eq!(journal.run.next(), Next::Failback(FailbackWhy::Failed));
    assert_eq!(
        journal.try_write(0, Happened::StepStarted { step: id("alih-dns") }),
        Err(Refusal::Stopped(id("alih-dns")))
    );
    journal.write(0, Happened::Failback { why: FailbackWhy::Failed, by: String::new() });
    assert_eq!(journal.run.next(), Next::Undo(id("pulihkan")));
    assert_eq!(
        journal.try_write(0, Happened::UndoStarted { step: id("putus") }),
        Err(Refusal::NotLast(id("putus")))
    );
    journal.undo(1, "pulihkan");
    assert_eq!(journal.try_write(0, Happened::Cleaned {}), Err(Refusal::NotCleaned));
    journal.undo(1, "putus");
    journal.write(0, Happened::Cleaned {});
    assert_eq!(journal.try_write(0, Happened::Finished {}), Err(Refusal::NotReconciled));
    assert_eq!(journal.run.next(), Next::Reconcile);
    journal.write(0, Happened::Reconciled { both: 3, missing: 0, note: String::new() });
    journal.write(0, Happened::Finished {});
    let (verdict, grounds) = journal.run.verdict();
    assert_eq!(verdict, Verdict::Failed);
    assert_eq!(
        grounds,
        [
            Ground::Stopped { step: id("pulihkan") },
            Ground::ServiceDown { service: "simrs".parse().unwrap() },
            Ground::NotRestored { dataset: "simrs-db".parse().unwrap() },
        ]
    );
    assert_eq!(journal.run.figures().rto_s, None);
}

#[test]
fn a_switch_that_was_cut_short_failed_and_is_put_back() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    journal.start(0, "putus");
    journal.finish(0, "putus");
    journal.start(0, "pulihkan");
    journal.write(0, Happened::StepFinished { step: id("pulihkan"), outcome: restored() });
    journal.start(0, "alih-dns");
    assert!(journal.run.was_cut_short());
    journal.write(0, Happened::Interrupted { reason: "listrik padam".into() });
    assert!(!journal.run.was_cut_short());
    assert_eq!(journal.run.next(), Next::Failback(FailbackWhy::Failed));
    journal.write(0, Happened::Failback { why: FailbackWhy::Failed, by: String::new() });
    journal.write(0, Happened::UndoStarted { step: id("alih-dns") });
    // Also putting back may be cut short, and is begun again.
    journal.write(0, Happened::Interrupted { reason: "listrik padam".into() });
    assert_eq!(journal.run.next(), Next::Undo(id("alih-dns")));
}

#[test]
fn what_is_cut_short_every_time_fails_in_the_end_and_people_are_asked_again() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    journal.start(0, "putus");
    journal.finish(0, "putus");
    for _ in 0..ATTEMPTS_MAX {
        assert_eq!(journal.run.next(), Next::Begin(vec![id("pulihkan")]));
        journal.start(0, "pulihkan");
        journal.write(0, Happened::Interrupted { reason: "mati".into() });
    }
    assert_eq!(journal.run.next(), Next::Failback(FailbackWhy::Failed));
    let mut journal = carried_through(&plan);
    journal.run = Run::replay(&plan, &journal.events[..journal.events.len() - 1]).unwrap();
    for _ in 0..=ATTEMPTS_MAX {
        journal.write(0, Happened::Interrupted { reason: "mati".into() });
        assert_eq!(journal.run.next(), Next::Begin(vec![id("dokter")]));
        journal.start(0, "dokter");
    }
}

#[test]
fn a_journal_has_an_end() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    for _ in 0..INTERRUPTIONS_MAX {
        journal.write(0, Happened::Interrupted { reason: "mati".into() });
    }
    let again = Happened::Interrupted { reason: "mati".into() };
    assert_eq!(journal.try_write(0, again), Err(Refusal::TooMany));
    journal.start(0, "putus");

    let mut journal = Journal::begun(&plan, DrillMode::Real);
    let tried = |number: u64| match number % 3 {
        2 => Happened::StepStarted { step: id("pulihkan") },
        0 => Happened::StepFailed {
            step: id("pulihkan"),
            reason: "rusak".into(),
            outcome: StepOutcome::default(),
        },
        _ => Happened::StepRetried { step: id("pulihkan"), by: "Budi".into() },
    };
    for number in 2..=RUN_EVENTS_MAX {
        journal.write(0, tried(number));
    }
    assert_eq!(journal.try_write(0, tried(RUN_EVENTS_MAX + 1)), Err(Refusal::TooMany));

    let mut journal = good(&plan);
    journal.run = Run::replay(&plan, &journal.events[..journal.events.len() - 1]).unwrap();
    let again = Happened::Reconciled { both: 1, missing: 0, note: String::new() };
    assert_eq!(journal.try_write(0, again), Err(Refusal::ReconciledAlready));
}

#[test]
fn what_cannot_be_put_back_waits_for_somebody() {
    let plan = plan();
    let mut journal = carried_through(&plan);
    journal.write(0, Happened::Failback { why: FailbackWhy::Completed, by: String::new() });
    let reason = || "server DNS tidak menjawab".to_owned();
    for _ in 0..UNDO_ATTEMPTS_MAX {
        assert_eq!(journal.run.next(), Next::Undo(id("alih-dns")));
        journal.write(0, Happened::UndoStarted { step: id("alih-dns") });
        assert_eq!(journal.run.next(), Next::WaitForUndo(id("alih-dns")));
        journal.write(0, Happened::UndoFailed { step: id("alih-dns"), reason: reason() });
    }
    // The others are put back all the same.
    journal.undo(0, "pulihkan");
    journal.undo(0, "putus");
    assert_eq!(journal.run.next(), Next::AskForHands(vec![id("alih-dns")]));
    assert_eq!(journal.try_write(0, Happened::Cleaned {}), Err(Refusal::NotCleaned));
    let (by, note) = ("Budi".to_owned(), "zona dikembalikan dengan tangan".to_owned());
    journal.write(0, Happened::UndoneByHand { step: id("alih-dns"), by, note });
    journal.write(0, Happened::Cleaned {});
    journal.write(0, Happened::Reconciled { both: 3, missing: 2, note: String::new() });
    journal.write(0, Happened::Finished {});
    let grounds = [Ground::NotPutBack { step: id("alih-dns") }, Ground::SitesDiffer { missing: 2 }];
    assert_eq!(journal.run.verdict(), (Verdict::Partly, grounds.to_vec()));
}

#[test]
fn a_real_failover_cuts_nothing_off_and_goes_back_when_people_say_so() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Real);
    assert_eq!(journal.run.next(), Next::Begin(vec![id("pulihkan")]), "it is cut off already");
    journal.start(0, "pulihkan");
    journal.fail(10, "pulihkan", "kunci belum ada");
    assert_eq!(journal.run.next(), Next::AskForFailback { failed: vec![id("pulihkan")] });
    let failed = Happened::Failback { why: FailbackWhy::Failed, by: String::new() };
    assert_eq!(journal.try_write(0, failed), Err(Refusal::Nobody));
    journal.write(0, Happened::StepRetried { step: id("pulihkan"), by: "Budi".into() });
    journal.start(0, "pulihkan");
    journal.write(0, Happened::StepFinished { step: id("pulihkan"), outcome: restored() });
    journal.start(0, "alih-dns");
    journal.finish(0, "alih-dns");
    journal.start(0, "cek-simrs");
    journal.finish(20, "cek-simrs");
    let (by, note) = ("Budi".to_owned(), "tidak ada dokter".to_owned());
    journal.write(0, Happened::StepSkipped { step: id("dokter"), by, note });
    assert_eq!(journal.run.next(), Next::AskForFailback { failed: Vec::new() });
    // RTO counts from the outage that was declared, RPO likewise.
    assert_eq!(journal.run.figures().rto_s, Some(600 + 10 + 20));
    assert_eq!(journal.run.figures().rpo_s, Some(5 * 3600 - 600));
    journal.write(86_400, Happened::Failback { why: FailbackWhy::Completed, by: "Sekda".into() });
    journal.undo(0, "alih-dns");
    journal.undo(0, "pulihkan");
    journal.write(0, Happened::Cleaned {});
    assert_eq!(journal.run.next(), Next::Reconcile);
    assert_eq!(journal.run.verdict().1, [Ground::StepSkipped { step: id("dokter") }]);
}

#[test]
fn a_tabletop_is_talked_through_and_leaves_nothing() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Tabletop);
    for step in ["putus", "pulihkan", "alih-dns", "cek-simrs", "dokter"] {
        journal.start(30, step);
        let finished = Happened::StepFinished { step: id(step), outcome: restored() };
        assert_eq!(journal.try_write(0, finished), Err(Refusal::ByHand(id(step))));
        let by = "Budi".to_owned();
        journal.write(60, Happened::StepConfirmed { step: id(step), by, note: String::new() });
    }
    journal.write(0, Happened::Failback { why: FailbackWhy::Completed, by: String::new() });
    assert_eq!(journal.run.next(), Next::Clean);
    journal.write(0, Happened::Cleaned {});
    journal.write(0, Happened::Finished {});
    assert_eq!(journal.run.verdict(), (Verdict::Succeeded, Vec::new()));
    assert_eq!(journal.run.figures().rto_s, None);
    assert_eq!(journal.run.figures().rpo_s, None);
}

#[test]
fn at_a_table_one_goes_on_talking_about_what_did_not_work() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Tabletop);
    journal.start(0, "putus");
    journal.fail(0, "putus", "tidak ada yang tahu caranya");
    assert_eq!(journal.run.next(), Next::Begin(vec![id("pulihkan")]));
    assert_eq!(journal.run.verdict().1[1], Ground::StepFailed { step: id("putus") });
}

#[test]
fn a_missed_target_makes_it_partly() {
    let plan = changed("rto = \"1 h\", rpo = \"6 h\"", "rto = \"10 min\", rpo = \"1 h\"");
    let (verdict, grounds) = good(&plan).run.verdict();
    assert_eq!(verdict, Verdict::Partly);
    let words: Vec<String> = grounds.iter().map(|one| one.words(Language::Indonesian)).collect();
    assert_eq!(
        words,
        [
            "RTO tidak tercapai: 26 menit 26 detik, target 10 menit",
            "RPO simrs-db tidak tercapai: 5 jam 5 detik, target 1 jam",
        ]
    );
}

#[test]
fn hostile_events_are_refused_and_change_nothing() {
    let plan = plan();
    let mut journal = carried_through(&plan);
    let before = journal.run.clone();
    let event = |number, what| DrillEvent { number, at: NINE, what };
    let next = before.next_number();
    for (event, refusal) in [
        (
            event(next + 1, Happened::Cleaned {}),
            Refusal::Number { expected: next, found: next + 1 },
        ),
        (event(1, Happened::Cleaned {}), Refusal::Number { expected: next, found: 1 }),
        (
            event(next, Happened::Started { mode: DrillMode::Drill, outage: None }),
            Refusal::StartedAlready,
        ),
        (event(next, Happened::StepStarted { step: id("lain") }), Refusal::UnknownStep(id("lain"))),
        (event(next, Happened::Interrupted { reason: "\u{1b}[2J".into() }), Refusal::Text),
        (event(next, Happened::Interrupted { reason: "x".repeat(4001) }), Refusal::Text),
        (event(next, Happened::Finished {}), Refusal::NotCleaned),
        (
            event(next, Happened::UndoStarted { step: id("putus") }),
            Refusal::NotPutBack(id("putus")),
        ),
        (
            event(next, Happened::Failback { why: FailbackWhy::Failed, by: String::new() }),
            Refusal::NotSo(FailbackWhy::Failed),
        ),
        (
            event(next, Happened::StepRetried { step: id("putus"), by: "x".into() }),
            Refusal::NotRetried(id("putus")),
        ),
    ] {
        assert_eq!(journal.run.apply(&event), Err(refusal));
        assert_eq!(journal.run, before);
    }
    let mut early = Journal::new(&plan);
    assert_eq!(early.try_write(0, Happened::Cleaned {}), Err(Refusal::NotStarted));
    let real = Happened::Started { mode: DrillMode::Real, outage: None };
    assert_eq!(early.try_write(0, real), Err(Refusal::NotReal));
}

#[test]
fn a_restore_names_its_snapshot_and_a_comparison_that_differs_has_failed() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    journal.start(0, "putus");
    journal.finish(0, "putus");
    journal.start(0, "pulihkan");
    let finished = |outcome| Happened::StepFinished { step: id("pulihkan"), outcome };
    assert_eq!(
        journal.try_write(0, finished(StepOutcome::default())),
        Err(Refusal::NoRecoveryPoint(id("pulihkan")))
    );
    let mut differs = restored();
    differs.integrity[1].good = false;
    assert_eq!(journal.try_write(0, finished(differs)), Err(Refusal::Differs(id("pulihkan"))));
}

#[test]
fn a_runner_whose_clock_is_behind_begins_all_the_same() {
    let plan = plan();
    let mut journal = Journal::new(&plan);
    let outage = Some(NINE.plus_seconds(300));
    journal.write(0, Happened::Started { mode: DrillMode::Real, outage });
    journal.start(0, "pulihkan");
    journal.write(60, Happened::StepFinished { step: id("pulihkan"), outcome: restored() });
    journal.start(0, "alih-dns");
    journal.finish(0, "alih-dns");
    journal.start(0, "cek-simrs");
    journal.finish(0, "cek-simrs");
    // No time is negative.
    assert_eq!(journal.run.figures().rto_s, Some(0));
}

#[test]
fn a_clock_that_was_put_back_takes_no_time_away() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    journal.start(100, "putus");
    journal.finish(-3600, "putus");
    let run = journal.run.steps().next().unwrap().1.clone();
    assert_eq!(run.ended, run.started);
}
