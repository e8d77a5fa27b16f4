//! A controller that says what it likes, and what the agent makes of it.

use std::collections::HashSet;
use std::path::Path;

use lumbung_model::{DatasetId, Timestamp};
use lumbung_pack::SigningKey;
use lumbung_wire::messages::ReportKind;
use lumbung_wire::messages::policy::{
    PolicyConfirmation, PolicyContent, PolicyDelivery, PolicyGap, PolicyJob, PolicyRates,
    PolicySkip,
};
use lumbung_wire::messages::register::DatasetKind;

use super::*;
use crate::config::Config;

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

/// An agent's state, the controller's key, the PD's root key.
struct Bed {
    _dir: tempfile::TempDir,
    state: StateDir,
    key: SigningKey,
    root: SigningKey,
    own: HashSet<DatasetId>,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(dir.path()).unwrap();
        let (key, root) = (SigningKey::generate(), SigningKey::generate());
        Self { _dir: dir, state, key, root, own: HashSet::new() }
    }

    fn whose() -> Whose {
        let (agent, server) = (AgentId::from_bytes([1; 16]), ServerId::from_bytes([2; 16]));
        Whose { agent, server: Some(server) }
    }

    fn policy(version: u64, jobs: Vec<PolicyJob>) -> Policy {
        Policy {
            server: ServerId::from_bytes([2; 16]),
            agent: AgentId::from_bytes([1; 16]),
            version,
            issued: NOW,
            previous: PolicyHash::ZERO,
            content: PolicyContent { jobs, ..PolicyContent::default() },
        }
    }

    fn delivery(&self, policy: &Policy) -> PolicyDelivery {
        PolicyDelivery { policy: wire::sign(policy, &self.key).unwrap(), confirmation: None }
    }

    fn ledger(&self) -> Ledger {
        Ledger::load(&self.state, Self::whose().agent).unwrap()
    }

    /// As `receive`, with a roster that lists `root`.
    fn receive(&self, delivery: &PolicyDelivery) -> Verdict {
        let root = self.root.public();
        Ledger::change(&self.state, Self::whose().agent, |ledger| {
            let is_root_key = |key: &PublicKey| *key == root;
            let asked =
                Asked { whose: Self::whose(), own: &self.own, is_root_key: &is_root_key, now: NOW };
            let verdict = judge(ledger, delivery, &asked);
            super::receive::keep(ledger, verdict.clone(), NOW);
            Ok::<_, KeptError>(verdict)
        })
        .unwrap()
    }

    fn send(&self, version: u64, jobs: Vec<PolicyJob>) -> Verdict {
        self.receive(&self.delivery(&Self::policy(version, jobs)))
    }

    /// Numbers of the policies that hold and wait.
    fn versions(&self) -> (u64, u64) {
        let ledger = self.ledger();
        let version = |one: &Option<Opened>| one.as_ref().map_or(0, |one| one.mark.version);
        (version(&ledger.accepted), version(&ledger.pending))
    }
}

fn refused(verdict: &Verdict, part: &str) {
    match verdict {
        Verdict::Refuse(refusal) => assert!(refusal.reason.contains(part), "{refusal:?}"),
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn the_first_key_is_kept_and_no_other_believed_until_somebody_here_says_so() {
    let mut bed = Bed::new();
    assert!(matches!(bed.send(3, vec![job(1, &["/srv/a"])]), Verdict::Take(_)));
    assert_eq!(bed.ledger().key, Some(bed.key.public()));
    let other = SigningKey::generate();
    let first = std::mem::replace(&mut bed.key, other);
    let wider = vec![job(1, &["/srv"])];
    refused(&bed.send(9, wider.clone()), "instead of");
    assert_eq!(bed.versions(), (3, 0));
    // The key counts from now on, its numbers from the beginning; what it narrows waits all the same.
    let key = bed.key.public();
    let trust = |ledger: &mut Ledger| {
        ledger.trust(key);
        Ok::<_, KeptError>(())
    };
    Ledger::change(&bed.state, Bed::whose().agent, trust).unwrap();
    assert!(matches!(bed.send(1, vec![]), Verdict::Wait(..)));
    assert!(matches!(bed.send(2, wider.clone()), Verdict::Take(_)));
    bed.key = first;
    refused(&bed.send(10, wider), "instead of");
}

#[test]
fn a_pinned_key_is_the_only_one_from_the_beginning() {
    let bed = Bed::new();
    pin(&bed.state, Bed::whose().agent, SigningKey::generate().public()).unwrap();
    refused(&bed.send(1, vec![job(1, &["/srv"])]), "policy trust");
    assert_eq!(bed.versions(), (0, 0));
}

#[test]
fn old_numbers_other_agents_and_spoilt_texts_are_refused() {
    let bed = Bed::new();
    let old = bed.delivery(&Bed::policy(1, vec![job(1, &["/srv/a"])]));
    bed.receive(&old);
    bed.send(5, vec![job(1, &["/srv"])]);
    assert_eq!(bed.receive(&old), bed.receive(&old));
    refused(&bed.receive(&old), "policy 1 came after policy 5");
    refused(&bed.send(5, vec![job(1, &["/"])]), "two of one number");
    refused(&bed.send(4, vec![job(1, &["/"])]), "came after");
    assert_eq!(bed.send(5, vec![job(1, &["/srv"])]), Verdict::Known);

    let foreign = Policy { agent: AgentId::from_bytes([9; 16]), ..Bed::policy(6, vec![]) };
    refused(&bed.receive(&bed.delivery(&foreign)), "another agent");
    let elsewhere = Policy { server: ServerId::from_bytes([9; 16]), ..Bed::policy(6, vec![]) };
    refused(&bed.receive(&bed.delivery(&elsewhere)), "another agent or server");
    let mut spoilt = bed.delivery(&Bed::policy(6, vec![job(1, &["/srv"])]));
    spoilt.policy.text = spoilt.policy.text.replace("/srv", "/etc");
    refused(&bed.receive(&spoilt), "signature");
    assert_eq!(bed.versions(), (5, 0));
    assert!(bed.ledger().told(true, &[]).refused.contains("signature"));
    bed.send(7, vec![job(1, &["/srv"]), job(2, &["/x"])]);
    assert_eq!(bed.ledger().refused, None, "a good one settles it");
}

#[test]
fn what_asks_for_less_waits_until_it_is_confirmed_here() {
    let bed = Bed::new();
    bed.send(1, vec![job(1, &["/srv/a", "/srv/b"])]);
    assert!(matches!(bed.send(2, vec![job(1, &["/srv/a"])]), Verdict::Wait(..)));
    assert_eq!(bed.send(2, vec![job(1, &["/srv/a"])]), Verdict::Known);
    assert_eq!(bed.versions(), (1, 2));
    // A number that was seen is not given twice, be it one that waits.
    refused(&bed.send(2, vec![job(1, &["/srv"])]), "two of one number");
    let confirm =
        |version| Ledger::change(&bed.state, Bed::whose().agent, |ledger| ledger.confirm(version));
    assert!(confirm(1).is_err() && confirm(3).is_err());
    assert_eq!(bed.versions(), (1, 2));
    confirm(2).unwrap();
    assert_eq!(bed.versions(), (2, 0));
    assert!(confirm(2).is_err());
}

#[test]
fn a_later_policy_that_asks_for_no_less_takes_the_place_of_one_that_waits() {
    let bed = Bed::new();
    bed.send(1, vec![job(1, &["/srv/a"])]);
    bed.send(2, vec![]);
    assert!(matches!(bed.send(3, vec![]), Verdict::Wait(..)));
    assert_eq!(bed.versions(), (1, 3));
    assert!(matches!(bed.send(4, vec![job(1, &["/srv"])]), Verdict::Take(_)));
    assert_eq!(bed.versions(), (4, 0));
}

#[test]
fn the_custodians_word_is_taken_for_this_policy_and_with_the_rosters_key() {
    let bed = Bed::new();
    bed.send(1, vec![job(1, &["/srv/a", "/srv/b"])]);
    let less = bed.delivery(&Bed::policy(2, vec![job(1, &["/srv/a"])]));
    bed.receive(&less);
    let hash = wire::hash(&less.policy.text);
    let agent = Bed::whose().agent;
    let with = |word: PolicyConfirmation| PolicyDelivery {
        confirmation: Some(word),
        policy: less.policy.clone(),
    };
    for wrong in [
        wire::confirm(hash, agent, &SigningKey::generate()),
        wire::confirm(hash, agent, &bed.key),
        wire::confirm(PolicyHash::ZERO, agent, &bed.root),
        wire::confirm(hash, AgentId::from_bytes([9; 16]), &bed.root),
    ] {
        assert_eq!(bed.receive(&with(wrong)), Verdict::Known);
        assert_eq!(bed.versions(), (1, 2));
    }
    assert!(matches!(bed.receive(&with(wire::confirm(hash, agent, &bed.root))), Verdict::Take(_)));
    assert_eq!(bed.versions(), (2, 0));
}

#[test]
fn less_of_what_the_own_file_names_is_the_pds_business() {
    let mut bed = Bed::new();
    bed.own.insert(DatasetId::from_bytes([1; 16]));
    bed.send(1, vec![job(1, &["/srv/a"]), job(2, &["/srv/b"])]);
    assert!(matches!(bed.send(2, vec![job(2, &["/srv/b"])]), Verdict::Take(_)));
    assert!(matches!(bed.send(3, vec![]), Verdict::Wait(_, less) if less.len() == 1));
}

#[test]
fn what_is_kept_is_verified_whenever_it_is_read() {
    let bed = Bed::new();
    bed.send(1, vec![job(1, &["/srv/a"])]);
    assert!(Ledger::load(&bed.state, AgentId::from_bytes([7; 16])).is_err(), "of another agent");
    let text = bed.state.policy().unwrap().unwrap().to_string();
    for spoilt in [text.replace("/srv/a", "/srv/b"), text[..text.len() - 2].to_owned()] {
        bed.state.write_policy(spoilt.as_bytes()).unwrap();
        let error = Ledger::load(&bed.state, Bed::whose().agent).unwrap_err().to_string();
        assert!(error.contains("policy.json"), "{error}");
    }
}

#[test]
fn alarms_name_what_waits_once() {
    let bed = Bed::new();
    let repository = lumbung_model::RepositoryId::from_bytes([3; 32]);
    let receive = |version, jobs| {
        let delivery = bed.delivery(&Bed::policy(version, jobs));
        receive(&bed.state, (Bed::whose(), repository), &delivery, &bed.own, NOW).unwrap()
    };
    let first = receive(1, vec![job(1, &["/srv/a"]), job(2, &["/srv/b"])]);
    assert!(first.changed && first.alarms.is_empty());
    let less = receive(2, vec![]);
    assert_eq!(less.alarms.len(), 2);
    assert!(less.alarms.iter().all(|alarm| alarm.kind == ReportKind::Alarm));
    assert!(less.alarms[0].message.contains("data 1: no longer backed up"));
    let again = receive(2, vec![]);
    assert!(!again.changed && again.alarms.is_empty());
    let replayed = receive(1, vec![job(1, &["/srv/a"])]);
    assert!(replayed.changed && replayed.alarms[0].message.contains("refused"));
    assert!(!receive(1, vec![job(1, &["/srv/a"])]).changed, "it is told once");
}

fn config(text: &str) -> Config {
    Config::parse(Path::new("agent.toml"), text).unwrap()
}

fn own_job(number: u8, more: &str) -> String {
    let dataset = DatasetId::from_bytes([number; 16]);
    format!("[[job]]\nname = \"own\"\ndataset = \"{dataset}\"\npaths = [\"/own\"]\n{more}\n")
}

#[test]
fn the_own_file_stands_alone_for_what_it_names() {
    let mut policy = Bed::policy(1, vec![job(1, &["/srv/a"]), job(2, &["/srv/b"])]);
    let names = |text: &str, policy: &Policy| -> Vec<String> {
        effective(&config(text), Some(policy)).config.jobs.into_iter().map(|job| job.name).collect()
    };
    let from_policy = |number: u8| format!("policy:{}", DatasetId::from_bytes([number; 16]));
    assert_eq!(names("", &policy), [from_policy(1), from_policy(2)]);
    assert_eq!(names(&own_job(1, ""), &policy), ["own".to_owned(), from_policy(2)]);
    let off = effective(&config(&own_job(1, "enabled = false")), Some(&policy));
    assert!(!off.config.jobs[0].enabled);
    assert!(off.notes[0].note.contains("own file") && !off.notes[0].is_fault);
    assert_eq!(names("[policy]\nfollow = false\n", &policy), Vec::<String>::new());
    assert_eq!(effective(&config(""), None).config.jobs.len(), 0);

    // What cannot be used is left out, and takes nothing with it.
    policy.content.jobs[0].exclude.push("[open".into());
    policy.content.jobs.push(PolicyJob { kind: DatasetKind::Mysql, ..job(3, &["/db"]) });
    let (dataset, label) = (DatasetId::from_bytes([4; 16]), "db".to_owned());
    policy.content.skipped.push(PolicySkip { dataset, label, gap: PolicyGap::Kind });
    let together = effective(&config(""), Some(&policy));
    assert_eq!(together.config.jobs.len(), 1);
    let faults: Vec<bool> = together.notes.iter().map(|note| note.is_fault).collect();
    assert_eq!(faults, [true, true, false]);
    let told = Ledger::default().told(true, &together.notes).refused;
    assert!(told.contains("[open") && told.contains("mysql") && !told.contains("db"), "{told}");
}

#[test]
fn starts_are_put_off_less_where_runs_are_close() {
    let jitter = |schedule: &str| {
        let policy =
            Bed::policy(1, vec![PolicyJob { schedule: schedule.into(), ..job(1, &["/x"]) }]);
        effective(&config(""), Some(&policy)).config.jobs[0].jitter.as_seconds()
    };
    assert_eq!((jitter("30 1 * * *"), jitter("@hourly"), jitter("* * * * *")), (1800, 900, 15));
}

#[test]
fn of_the_files_caps_and_the_policys_the_lower_one_applies() {
    let file = "[agent]\nstate = \"/s\"\nrate = \"8 Mbit/s\"\ntimezone = \"UTC\"\n";
    let mut config = Config::parse(Path::new("agent.toml"), file).unwrap();
    let mut policy = Bed::policy(1, vec![job(1, &["/srv/a"])]);
    let rate = |config: &Config, rate: &str, policy: &mut Policy| {
        policy.content.rates =
            Some(PolicyRates { rate: rate.into(), windows: Vec::new(), timezone: "WIB".into() });
        effective(config, Some(policy)).config.rates.rate_at(NOW).map(|one| one.to_string())
    };
    assert_eq!(rate(&config, "2 Mbit/s", &mut policy).as_deref(), Some("2 Mbit/s"));
    assert_eq!(rate(&config, "20 Mbit/s", &mut policy).as_deref(), Some("8 Mbit/s"));
    config.follow_policy = false;
    assert_eq!(rate(&config, "2 Mbit/s", &mut policy).as_deref(), Some("8 Mbit/s"));
}

#[test]
fn a_cap_that_nearly_stops_backups_waits() {
    let bed = Bed::new();
    let capped = |version, rate: &str| {
        let mut policy = Bed::policy(version, vec![job(1, &["/srv/a"])]);
        let (windows, timezone) = (Vec::new(), "WIB".into());
        policy.content.rates = Some(PolicyRates { rate: rate.into(), windows, timezone });
        policy
    };
    let taken = bed.receive(&bed.delivery(&Bed::policy(1, vec![job(1, &["/srv/a"])])));
    assert!(matches!(taken, Verdict::Take(_)));
    assert!(matches!(bed.receive(&bed.delivery(&capped(2, "2 Mbit/s"))), Verdict::Take(_)));
    let Verdict::Wait(_, narrowings) = bed.receive(&bed.delivery(&capped(3, "500 kbit/s"))) else {
        panic!("it was not asked for");
    };
    assert_eq!(narrowings.len(), 1, "{narrowings:?}");
    assert_eq!(bed.versions(), (2, 3), "the faster one goes on");
}
