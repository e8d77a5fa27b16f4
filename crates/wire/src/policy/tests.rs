//! What is signed is what is taken; what asks for less is seen.

use lumbung_model::{ServerId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::messages::policy::{Narrowing, PolicyGap, PolicySkip};
use crate::messages::register::DatasetKind;

/// 26 November 2026, a Thursday in the middle of nothing.
const NOW: Timestamp = Timestamp(1_795_651_200);

fn job(number: u8, paths: &[&str]) -> PolicyJob {
    PolicyJob {
        dataset: DatasetId::from_bytes([number; 16]),
        label: format!("data {number}"),
        kind: DatasetKind::Files,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        exclude: Vec::new(),
        schedule: "30 1 * * *".into(),
        timezone: "Asia/Jakarta".into(),
        rpo_s: 86_400,
    }
}

fn content(jobs: Vec<PolicyJob>) -> PolicyContent {
    PolicyContent { jobs, ..PolicyContent::default() }
}

fn policy(content: PolicyContent) -> Policy {
    Policy {
        server: ServerId::from_bytes([1; 16]),
        agent: AgentId::from_bytes([2; 16]),
        version: 7,
        issued: NOW,
        previous: PolicyHash::ZERO,
        content,
    }
}

#[test]
fn what_is_signed_comes_back_and_only_that() {
    let key = SigningKey::generate();
    let mut policy = policy(content(vec![job(1, &["/srv/a"])]));
    policy.content.skipped.push(PolicySkip {
        dataset: DatasetId::from_bytes([9; 16]),
        label: "db".into(),
        gap: PolicyGap::Kind,
    });
    let signed = sign(&policy, &key).unwrap();
    let (opened, mark) = open(&signed, &key.public()).unwrap();
    assert_eq!((opened, mark.version, mark.hash), (policy, 7, hash(&signed.text)));

    let other = SigningKey::generate();
    let is_wrong = |signed: &SignedPolicy, key: &PublicKey| {
        matches!(open(signed, key), Err(PolicyError::Signature(_)))
    };
    assert!(is_wrong(&signed, &other.public()));
    // Its own signature under somebody else's name, and somebody else's under this one's.
    let posing = SignedPolicy { signer: other.public(), ..signed.clone() };
    assert!(is_wrong(&posing, &key.public()) && is_wrong(&posing, &other.public()));
    let changed = SignedPolicy { text: signed.text.replace("/srv/a", "/srv/b"), ..signed.clone() };
    assert!(is_wrong(&changed, &key.public()));
    let cut = SignedPolicy { signature: signed.signature[1..].into(), ..signed.clone() };
    assert!(is_wrong(&cut, &key.public()));
    // Of the same key over the same text, but in another matter.
    let bare = hex(&key.sign(signed.text.as_bytes()));
    assert!(is_wrong(&SignedPolicy { signature: bare, ..signed }, &key.public()));
}

#[test]
fn one_policy_has_one_text() {
    let key = SigningKey::generate();
    let signed = sign(&policy(content(vec![job(1, &["/srv"])])), &key).unwrap();
    let resign = |text: String| {
        let signature = hex(&key.sign(&message(&text)));
        open(&SignedPolicy { text, signer: key.public(), signature }, &key.public())
    };
    assert!(resign(signed.text.clone()).is_ok());
    for text in [
        signed.text.replace("\"version\":7", "\"version\": 7"),
        signed.text.replace("\"version\":7", "\"version\":7,\"hook\":\"/bin/sh\""),
        signed.text.replace("\"kind\":\"files\"", "\"kind\":\"files\",\"command\":\"id\""),
        signed.text.replace("\"kind\":\"files\"", "\"kind\":\"script\""),
        signed.text.replace("\"version\":7", "\"version\":1,\"version\":7"),
        format!("{} ", signed.text),
        String::new(),
    ] {
        assert_ne!(text, signed.text);
        assert_eq!(resign(text.clone()).unwrap_err(), PolicyError::Unreadable, "{text}");
    }
    let long = "x".repeat(POLICY_MAX_BYTES + 1);
    assert_eq!(resign(long).unwrap_err(), PolicyError::TooLong);
}

#[test]
fn what_no_agent_could_use_is_not_signed_and_not_opened() {
    let key = SigningKey::generate();
    type Change = fn(&mut Policy);
    let spoilt: [(&str, Change); 14] = [
        ("its number", |p| p.version = 0),
        ("its number", |p| p.version = VERSION_MAX + 1),
        ("twice", |p| p.content.jobs.push(job(1, &["/other"]))),
        ("more than", |p| p.content.jobs = vec![job(1, &["/x"]); POLICY_MAX_JOBS + 1]),
        ("absolute", |p| p.content.jobs[0].paths[0] = "srv".into()),
        ("absolute", |p| p.content.jobs[0].paths[0] = "/srv/../etc".into()),
        ("absolute", |p| p.content.jobs[0].paths[0] = "/srv\0".into()),
        ("paths", |p| p.content.jobs[0].paths.clear()),
        ("absolute", |p| p.content.jobs[0].paths[0] = format!("/{}", "x".repeat(5000))),
        ("pattern", |p| p.content.jobs[0].exclude.push(String::new())),
        ("minute", |p| p.content.jobs[0].schedule = "60 1 * * *".into()),
        ("time zone", |p| p.content.jobs[0].timezone = "Mars".into()),
        ("RPO", |p| p.content.jobs[0].rpo_s = u64::MAX),
        ("label", |p| p.content.jobs[0].label = "a\nb".into()),
    ];
    for (part, change) in spoilt {
        let mut spoilt = policy(content(vec![job(1, &["/srv"])]));
        change(&mut spoilt);
        let error = sign(&spoilt, &key).unwrap_err();
        assert!(matches!(&error, PolicyError::Value(text) if text.contains(part)), "{error}");
        let text = serde_json::to_string(&spoilt).unwrap();
        let signature = hex(&key.sign(&message(&text)));
        let signed = SignedPolicy { text, signer: key.public(), signature };
        assert_eq!(open(&signed, &key.public()).unwrap_err(), error);
    }
}

#[test]
fn a_confirmation_is_for_one_policy_and_one_agent() {
    let root = SigningKey::generate();
    let (policy, agent) = (PolicyHash::from_bytes([5; 32]), AgentId::from_bytes([6; 16]));
    let confirmation = confirm(policy, agent, &root);
    check_confirmation(&confirmation, &policy, &agent).unwrap();
    let (other, stranger) = (PolicyHash::from_bytes([7; 32]), AgentId::from_bytes([8; 16]));
    assert!(check_confirmation(&confirmation, &other, &agent).is_err());
    assert!(check_confirmation(&confirmation, &policy, &stranger).is_err());
    // Its ids changed to fit, its key changed: the signature no longer does.
    let moved = PolicyConfirmation { policy: other, ..confirmation.clone() };
    assert!(check_confirmation(&moved, &other, &agent).is_err());
    let key = SigningKey::generate().public();
    let posing = PolicyConfirmation { key, ..confirmation };
    assert!(check_confirmation(&posing, &policy, &agent).is_err());
}

#[test]
fn paths_cover_what_lies_below_them() {
    for (above, path) in [
        ("/srv", "/srv"),
        ("/srv", "/srv/a"),
        ("/srv/", "/srv"),
        ("/", "/x"),
        ("//srv/.", "/srv/a"),
    ] {
        assert!(covers(above, path), "{above} {path}");
    }
    for (above, path) in [("/srv/a", "/srv"), ("/srv", "/srvx"), ("/srv/a", "/srv/b"), ("/a", "/")]
    {
        assert!(!covers(above, path), "{above} {path}");
    }
}

fn kinds(old: PolicyJob, new: PolicyJob) -> Vec<&'static str> {
    let found = narrows(&content(vec![old]), &content(vec![new]), NOW);
    let kind = |one: &Narrowing| match one {
        Narrowing::Dataset { .. } => "dataset",
        Narrowing::Path { .. } => "path",
        Narrowing::Exclude { .. } => "exclude",
        Narrowing::Schedule { .. } => "schedule",
        Narrowing::Rpo { .. } => "rpo",
        Narrowing::Rate { .. } => "rate",
    };
    found.iter().map(kind).collect()
}

#[test]
fn each_way_of_asking_for_less_is_named() {
    let old = job(1, &["/srv/a", "/srv/b"]);
    assert_eq!(kinds(old.clone(), old.clone()), Vec::<&str>::new());
    assert_eq!(kinds(old.clone(), job(1, &["/srv"])), Vec::<&str>::new());
    assert_eq!(kinds(old.clone(), job(1, &["/srv/a"])), ["path"]);
    assert_eq!(kinds(old.clone(), job(2, &["/srv"])), ["dataset"]);
    let kind = PolicyJob { kind: DatasetKind::VirtualMachine, ..old.clone() };
    assert_eq!(kinds(old.clone(), kind.clone()), ["dataset"], "what agents leave alone");
    assert_eq!(kinds(kind, old.clone()), Vec::<&str>::new());
    let exclude = PolicyJob { exclude: vec!["*".into()], ..old.clone() };
    assert_eq!(kinds(old.clone(), exclude.clone()), ["exclude"]);
    assert_eq!(kinds(exclude, old.clone()), Vec::<&str>::new());
    let rpo = PolicyJob { rpo_s: 86_401, ..old.clone() };
    assert_eq!(kinds(old.clone(), rpo.clone()), ["rpo"]);
    assert_eq!(kinds(rpo, old), Vec::<&str>::new());
}

fn less(old: &str, new: &str) -> bool {
    let with = |schedule: &str| PolicyJob { schedule: schedule.into(), ..job(1, &["/srv"]) };
    !kinds(with(old), with(new)).is_empty()
}

#[test]
fn a_schedule_that_runs_less_is_seen_however_it_is_written() {
    for (old, new) in [
        ("30 1 * * *", "30 1 * * mon-fri"),
        ("0 * * * *", "30 1 * * *"),
        ("30 1 * * *", "@monthly"),
        ("@weekly", "@monthly"),
        ("@monthly", "@yearly"),
        // As many runs as before and more, all in one night, or all in one month.
        ("30 1 * * *", "*/5 1 1 * *"),
        ("30 1 * * *", "* * * 11,12 *"),
        ("@weekly", "* * * 11,12 *"),
        ("@monthly", "* * * 11,12 *"),
        ("0 0,12 * * *", "0 0,1 * * *"),
        ("* * * 11,12 *", "@hourly"),
        ("@yearly", "0 0 29 2 *"),
    ] {
        assert!(less(old, new), "{old} → {new}");
    }
    for (old, new) in [
        ("30 1 * * *", "30 4 * * *"),
        ("30 1 * * mon-fri", "30 1 * * *"),
        ("@weekly", "30 3 * * wed"),
        ("@weekly", "@daily"),
        ("@monthly", "0 5 15 * *"),
        ("@monthly", "*/15 * * * *"),
        ("@yearly", "0 0 1 6 *"),
        ("0 0,1 * * *", "0 0,12 * * *"),
    ] {
        assert!(!less(old, new), "{old} → {new}");
    }
}

#[test]
fn the_same_schedule_in_another_zone_runs_as_often() {
    let old = job(1, &["/srv"]);
    let moved = PolicyJob { timezone: "WIT".into(), ..old.clone() };
    assert_eq!(kinds(old, moved), Vec::<&str>::new());
}

prop_compose! {
    fn any_job(number: u8)(
        paths in prop::collection::vec("(/[abc]){1,3}", 1..4),
        exclude in prop::collection::vec("[xyz]{1,2}", 0..3),
        hour in 0_u8..24,
        rpo_h in 1_u64..100,
    ) -> PolicyJob {
        PolicyJob { paths, exclude, schedule: format!("0 {hour} * * *"), rpo_s: rpo_h * 3600, ..job(number, &[]) }
    }
}

fn any_content() -> impl Strategy<Value = PolicyContent> {
    (1_u8..4).prop_flat_map(|jobs| (0..jobs).map(any_job).collect::<Vec<_>>()).prop_map(content)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn adding_never_narrows(old in any_content(), more in any_job(9), path in "(/[abc]){1,3}", which in any::<prop::sample::Index>()) {
        prop_assert_eq!(narrows(&old, &old, NOW), vec![]);
        let mut new = old.clone();
        new.jobs.push(more);
        let job = which.get(&old.jobs).dataset;
        let job = new.jobs.iter_mut().find(|one| one.dataset == job).unwrap();
        job.paths.push(path);
        job.exclude.pop();
        job.rpo_s -= 1;
        job.schedule = "0 * * * *".into();
        new.jobs.reverse();
        prop_assert_eq!(narrows(&old, &new, NOW), vec![]);
    }

    #[test]
    fn taking_away_always_narrows(old in any_content(), what in 0..5, which in any::<prop::sample::Index>()) {
        let mut new = old.clone();
        let at = which.index(new.jobs.len());
        let job = &mut new.jobs[at];
        match what {
            0 => drop(new.jobs.remove(at)),
            // Another letter: nothing that is left covers it.
            1 => job.paths = vec!["/d".into()],
            2 => job.exclude.push("new".into()),
            3 => job.rpo_s += 1,
            _ => job.schedule = "0 3 * * 1-6".into(),
        }
        let found = narrows(&old, &new, NOW);
        prop_assert!(!found.is_empty());
        prop_assert!(found.iter().all(|one| one.dataset() == Some(old.jobs[at].dataset)));
    }

    #[test]
    fn what_is_dropped_and_covered_nowhere_is_named(old in any_content(), new in any_content()) {
        let found = narrows(&old, &new, NOW);
        for before in &old.jobs {
            let after = new.jobs.iter().find(|job| job.dataset == before.dataset);
            for path in &before.paths {
                let kept = after.is_some_and(|job| job.paths.iter().any(|of| covers(of, path)));
                let named = found.iter().any(|one| match one {
                    Narrowing::Path { dataset, path: named, .. } => (*dataset, named) == (before.dataset, path),
                    Narrowing::Dataset { dataset, .. } => *dataset == before.dataset,
                    _ => false,
                });
                prop_assert_eq!(kept, !named);
            }
        }
    }
}

fn capped(rate: &str, windows: &[&str]) -> PolicyContent {
    let windows = windows.iter().map(|text| (*text).to_owned()).collect();
    let rates = PolicyRates { rate: rate.into(), windows, timezone: "WIB".into() };
    PolicyContent { rates: Some(rates), ..content(vec![job(1, &["/srv/a"])]) }
}

#[test]
fn a_cap_slows_and_never_stops() {
    let key = SigningKey::generate();
    for (rate, windows) in [("10 Mbit/s", &["07:30-16:00 mon-fri 64 kbit/s"][..]), ("", &[])] {
        let signed = sign(&policy(capped(rate, windows)), &key).unwrap();
        let (opened, _) = open(&signed, &key.public()).unwrap();
        assert_eq!(opened.content, capped(rate, windows));
    }
    for (rate, windows) in [
        ("63 kbit/s", &[][..]),
        ("0 Mbit/s", &[]),
        ("off", &[]),
        ("10 Mbit/s", &["07:30-16:00 1 kbit/s"]),
        ("10 Mbit/s", &["07:30-16:00 off"]),
    ] {
        let refused = sign(&policy(capped(rate, windows)), &key);
        assert!(matches!(refused, Err(PolicyError::Value(_))), "{rate} {windows:?}: {refused:?}");
    }
}

#[test]
fn a_cap_that_goes_below_a_megabit_is_confirmed_by_somebody() {
    let free = content(vec![job(1, &["/srv/a"])]);
    let slow = capped("10 Mbit/s", &["07:30-16:00 900 kbit/s"]);
    let found = narrows(&free, &slow, NOW);
    assert_eq!(found, [Narrowing::Rate { before: "unlimited".into(), after: "900 kbit/s".into() }]);
    assert_eq!(found[0].dataset(), None);
    for (old, new) in [
        (&free, &capped("1 Mbit/s", &[])),
        (&slow, &slow),
        (&slow, &capped("950 kbit/s", &[])),
        (&slow, &free),
        (&PolicyContent::default(), &slow),
    ] {
        assert_eq!(narrows(old, new, NOW), [], "{old:?} {new:?}");
    }
    assert_eq!(narrows(&slow, &capped("800 kbit/s", &[]), NOW).len(), 1);
}

#[test]
fn a_policy_without_caps_is_written_as_before_there_were_any() {
    let text = serde_json::to_string(&content(Vec::new())).unwrap();
    assert_eq!(text, r#"{"jobs":[],"skipped":[]}"#);
}
