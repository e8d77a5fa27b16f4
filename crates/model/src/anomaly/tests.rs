//! The cases that the tests are about; rates are measured in `tests/anomaly.rs`.

use proptest::prelude::*;

use super::*;

const DAY_S: i64 = 86_400;

fn data(read: u64, deduplicated: u64, incompressible: u64) -> NewData {
    NewData {
        read_bytes: read,
        deduplicated_bytes: deduplicated,
        incompressible_bytes: incompressible,
    }
}

/// A day of an office: 1 % of 10,000 files change, half of what is new does not compress.
fn office() -> RunFigures {
    RunFigures {
        before_files: 10_000,
        before_bytes: 10_000_000,
        changed_files: 100,
        new_files: 20,
        removed_files: 5,
        removed_bytes: 5000,
        rewritten: data(100_000, 40_000, 30_000),
        added: data(20_000, 1000, 10_000),
        ..RunFigures::default()
    }
}

fn run(day: i64, figures: RunFigures) -> Run {
    Run { at: Timestamp(day * DAY_S), figures, cleared: false }
}

fn offices(days: i64) -> Vec<Run> {
    (0..days).map(|day| run(day, office())).collect()
}

fn suspicion(history: &[Run], now: &Run) -> Suspicion {
    match judge(history, now) {
        Verdict::Suspicious(suspicion) => suspicion,
        other => panic!("{other:?}"),
    }
}

fn with(change: impl FnOnce(&mut RunFigures)) -> RunFigures {
    let mut figures = office();
    change(&mut figures);
    figures
}

#[test]
fn one_figure_alone_is_no_attack() {
    let history = offices(60);
    let video = with(|f| f.added = data(50_000_000, 0, 50_000_000));
    let upgrade = with(|f| {
        f.changed_files = 8000;
        f.rewritten = data(8_000_000, 1_000_000, 1_500_000);
    });
    let owner = with(|f| {
        f.changed_files = 10_000;
        f.rewritten = data(10_000_000, 9_990_000, 9000);
    });
    let moved = with(|f| {
        (f.new_files, f.removed_files, f.removed_bytes) = (6000, 6000, 6_000_000);
        f.added = data(6_000_000, 5_990_000, 10_000);
    });
    for figures in [office(), video, upgrade, owner, moved] {
        assert_eq!(judge(&history, &run(60, figures.clone())), Verdict::Normal, "{figures:?}");
    }
}

#[test]
fn what_was_there_coming_back_as_noise_is_an_attack_whatever_it_is_called() {
    let history = offices(60);
    let noise = data(6_000_000, 0, 5_990_000);
    let in_place = with(|f| (f.changed_files, f.rewritten) = (6000, noise));
    let moved = |renamed| {
        with(|f| {
            (f.new_files, f.removed_files, f.removed_bytes) = (6000, 6000, 6_000_000);
            (f.renamed_files, f.added) = (renamed, noise);
        })
    };
    for figures in [in_place, moved(6000), moved(0)] {
        let found = suspicion(&history, &run(60, figures.clone()));
        assert!(found.reasons[0].limit_ppm.is_some(), "{figures:?}");
        assert!(found.score_pct > 200 && found.since == Timestamp(60 * DAY_S), "{found:?}");
    }
    let gone = with(|f| (f.removed_files, f.removed_bytes) = (9000, 9_000_000));
    let found = suspicion(&history, &run(60, gone));
    assert_eq!(found.reasons[0].signal, Signal::Removed);
}

#[test]
fn a_slow_attack_adds_up_and_its_beginning_is_named() {
    let mut history = offices(60);
    let slow = with(|f| {
        f.changed_files = 300;
        f.rewritten = data(300_000, 20_000, 260_000);
    });
    for day in 60.. {
        assert!(day < 70, "never found");
        let now = run(day, slow.clone());
        match judge(&history, &now) {
            Verdict::Suspicious(found) => {
                assert_eq!(found.since, Timestamp(60 * DAY_S));
                assert!(found.reasons[0].runs > 1, "{found:?}");
                break;
            }
            _ => history.push(now),
        }
    }
}

#[test]
fn what_a_person_cleared_is_usual_from_then_on() {
    let mut history = offices(60);
    let batch = with(|f| (f.changed_files, f.rewritten) = (3000, data(3_000_000, 0, 2_900_000)));
    let mut now = run(60, batch.clone());
    assert!(matches!(judge(&history, &now), Verdict::Suspicious(_)));
    now.cleared = true;
    history.push(now);
    history.extend((61..90).map(|day| run(day, office())));
    assert_eq!(judge(&history, &run(90, batch)), Verdict::Normal);
}

#[test]
fn the_first_run_is_not_judged_and_the_second_is_by_the_floors() {
    assert_eq!(judge(&[], &run(0, RunFigures::default())), Verdict::Unjudged);
    assert_eq!(judge(&[], &run(0, office())), Verdict::Normal);
    let all = with(|f| (f.changed_files, f.rewritten) = (9000, data(9_000_000, 0, 8_900_000)));
    assert!(matches!(judge(&[], &run(1, all)), Verdict::Suspicious(_)));
}

#[test]
fn reasons_are_told_in_both_languages() {
    let reason = Reason {
        signal: Signal::RewrittenFiles,
        observed_ppm: 612_340,
        usual_ppm: 3100,
        limit_ppm: Some(50_000),
        runs: 1,
    };
    assert_eq!(
        reason.indonesian(),
        "berkas lama yang isinya kembali sebagai data acak: 61,2 %, biasanya 0,3 %"
    );
    let several = Reason { runs: 4, ..reason };
    assert_eq!(
        several.english(),
        "files that came back as random data: 61.2 % over 4 runs, usually 0.3 %"
    );
}

#[test]
fn parts_larger_than_their_whole_are_refused() {
    let refused = [
        with(|f| f.changed_files = 10_001),
        with(|f| f.removed_files = 10_001),
        with(|f| f.renamed_files = 6),
        with(|f| f.before_bytes = u64::MAX),
        with(|f| f.rewritten = data(10, 11, 0)),
        with(|f| f.rewritten = data(10, 5, 6)),
        with(|f| f.new_extension = "a\nb".to_owned()),
        with(|f| f.folders = vec![FolderFigures::default(); FOLDERS_MAX + 1]),
        with(|f| {
            f.folders = vec![FolderFigures { path: "x".repeat(1025), ..FolderFigures::default() }];
        }),
        with(|f| {
            f.folders = vec![FolderFigures { changed_files: 101, ..FolderFigures::default() }];
        }),
    ];
    assert_eq!(office().check(), Ok(()));
    for figures in refused {
        assert!(figures.check().is_err(), "{figures:?}");
    }
}

fn any_figures() -> impl Strategy<Value = RunFigures> {
    let any_data = (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(a, b, c)| data(a, b, c));
    (any::<[u64; 7]>(), any_data.clone(), any_data).prop_map(|(n, rewritten, added)| RunFigures {
        before_files: n[0],
        before_bytes: n[1],
        new_files: n[2],
        changed_files: n[3],
        removed_files: n[4],
        removed_bytes: n[5],
        renamed_files: n[6],
        rewritten,
        added,
        ..RunFigures::default()
    })
}

proptest! {
    /// Whatever an agent says, even what no check would let pass.
    #[test]
    fn no_figures_make_the_judgement_overflow(all in prop::collection::vec(any_figures(), 1..60)) {
        let runs: Vec<Run> = (0..).zip(all).map(|(day, figures)| run(day, figures)).collect();
        if let Verdict::Suspicious(found) = judge(&runs[1..], &runs[0]) {
            prop_assert!(!found.reasons.is_empty() && found.score_pct <= 10_000);
        }
    }
}
