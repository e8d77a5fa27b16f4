//! What is published, what waits, and in whose name.

mod random;

use lumbung_model::{AgentId, DatasetId, Timestamp};
use lumbung_wire::messages::policy::PolicyGap;
use lumbung_wire::messages::register::{Dataset, DatasetKind};

use super::*;
use crate::db::agents::AgentRow;
use crate::testing::{City, START, profile};

struct Bed {
    city: City,
    key: SigningKey,
    profile: Profile,
}

impl Bed {
    /// A city whose one dataset has paths.
    fn new() -> Self {
        let bed = Self { city: City::new(), key: SigningKey::generate(), profile: profile() };
        bed.change(|dataset| dataset.paths = vec!["/srv/a".into(), "/srv/b".into()]);
        bed
    }

    /// Changes the dataset, without the policy's being looked at.
    fn change(&self, change: impl FnOnce(&mut Dataset)) {
        let put = |tx: &rusqlite::Transaction<'_>| {
            let mut dataset = register::dataset(tx, &self.city.dataset)?.unwrap();
            change(&mut dataset);
            register::put_dataset(tx, &Act::controller(START), &dataset)
        };
        self.city.db.write::<_, DbError>(put).unwrap();
    }

    fn pass_at(&self, now: Timestamp) {
        let act = Act::controller(now);
        let asker = Asker { act: &act, user: None };
        let terms = Terms::of(&self.profile);
        self.city.db.write(|tx| reconcile(tx, asker, terms, Some(&self.key))).unwrap();
    }

    fn pass(&self) {
        self.pass_at(START);
    }

    fn newest(&self) -> Option<PolicyRow> {
        self.city.db.read(|tx| rows::newest(tx, &self.city.server)).unwrap()
    }

    fn version(&self) -> u64 {
        self.newest().map_or(0, |row| row.policy.version)
    }

    fn proposal(&self) -> Option<Proposal> {
        self.city.db.read(|tx| rows::proposal(tx, &self.city.server)).unwrap()
    }

    fn request(&self) -> ApprovalRow {
        let id = self.proposal().unwrap().approval;
        self.city.db.read(|tx| approval_rows::approval(tx, &id)).unwrap().unwrap()
    }

    fn decide(&self, approve: bool) {
        let act = Act::console(START);
        let id = self.proposal().unwrap().approval;
        let decide =
            |tx: &rusqlite::Transaction<'_>| approvals::decide(tx, &act, None, &id, approve);
        self.city.db.write(decide).unwrap();
    }

    fn tells(&self, told: &PolicyTold) {
        self.city.db.write(|tx| rows::put_told(tx, &self.city.agent, told)).unwrap();
    }
}

#[test]
fn what_the_register_asks_is_published_once_signed_and_chained() {
    let bed = Bed::new();
    bed.pass();
    let first = bed.newest().unwrap();
    let (policy, mark) = policy::open(&first.signed, &bed.key.public()).unwrap();
    assert_eq!((&policy, mark), (&first.policy, first.mark()));
    assert_eq!((policy.version, policy.agent), (1, bed.city.agent));
    let job = &policy.content.jobs[0];
    assert_eq!((job.label.as_str(), job.paths.len()), ("SIMRS", 2));
    assert_eq!(job.schedule, bed.profile.urgency.high.schedule, "that of its class");
    bed.pass();
    assert_eq!(bed.version(), 1, "the same content");

    bed.change(|dataset| dataset.schedule = Some("*/30 * * * *".into()));
    bed.pass();
    let second = bed.newest().unwrap();
    assert_eq!((second.policy.version, second.policy.previous), (2, first.hash));
    let history = bed.city.db.read(|tx| rows::history(tx, &bed.city.server)).unwrap();
    assert_eq!(history, [second.mark(), first.mark()]);
    assert!(bed.city.alarms().is_empty() && bed.proposal().is_none());
}

#[test]
fn what_an_agent_cannot_back_up_is_named_with_the_reason() {
    let bed = Bed::new();
    let add = |name: &str, change: &dyn Fn(&mut Dataset)| {
        let mut dataset = bed.city.dataset_row();
        (dataset.id, dataset.name) = (DatasetId::random(), name.into());
        dataset.paths = vec!["/srv/x".into()];
        change(&mut dataset);
        let act = Act::controller(START);
        bed.city.db.write(|tx| register::put_dataset(tx, &act, &dataset)).unwrap();
    };
    add("database", &|dataset| dataset.kind = DatasetKind::Postgresql);
    add("relative", &|dataset| dataset.paths = vec!["srv/x".into()]);
    add("back", &|dataset| dataset.paths = vec!["/srv/../etc".into()]);
    add("nowhere", &|dataset| dataset.paths.clear());
    let elsewhere = lumbung_model::RepositoryId::from_bytes([8; 32]);
    let (act, pd) = (Act::controller(START), bed.city.pd);
    bed.city.db.write(|tx| register::bind_repository(tx, &act, &elsewhere, &pd)).unwrap();
    add("elsewhere", &|dataset| dataset.repository = Some(elsewhere));
    add("code", &|dataset| dataset.kind = DatasetKind::SourceCode);
    add("no server", &|dataset| dataset.server = None);
    add(&"ž".repeat(255), &|_| ());
    bed.pass();
    let content = bed.newest().unwrap().policy.content;
    let gap = |label: &str| content.skipped.iter().find(|skip| skip.label == label).unwrap().gap;
    assert_eq!(gap("database"), PolicyGap::Kind);
    assert_eq!((gap("relative"), gap("back")), (PolicyGap::Entry, PolicyGap::Entry));
    assert_eq!((gap("nowhere"), gap("elsewhere")), (PolicyGap::NoPaths, PolicyGap::Repository));
    let mut labels: Vec<&str> = content.jobs.iter().map(|job| job.label.as_str()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["SIMRS", "code", "ž".repeat(127).as_str()]);
    assert_eq!(content.skipped.len(), 5);
}

#[test]
fn less_waits_for_a_second_person_and_raises_an_alarm() {
    let bed = Bed::new();
    bed.pass();
    bed.change(|dataset| dataset.paths = vec!["/srv/a".into()]);
    bed.pass();
    let asked = bed.request();
    assert_eq!((bed.version(), asked.state), (1, ApprovalState::Open));
    assert_eq!((asked.asked_user, asked.asked_by.as_str()), (None, "controller"));
    assert_eq!(bed.city.alarms(), ["policy-narrowed"]);
    bed.pass();
    assert_eq!(bed.request().id, asked.id, "it is asked for once");
    bed.decide(true);
    assert_eq!(bed.version(), 1, "whoever approves has no key");
    bed.pass();
    assert_eq!(bed.version(), 2);
    assert_eq!(bed.newest().unwrap().policy.content.jobs[0].paths, ["/srv/a"]);
    assert!(bed.city.alarms().is_empty() && bed.proposal().is_none());
}

#[test]
fn a_refusal_keeps_the_old_policy_and_says_so() {
    let bed = Bed::new();
    bed.pass();
    bed.change(|dataset| dataset.exclude = vec!["*".into()]);
    bed.pass();
    bed.decide(false);
    bed.pass();
    bed.pass();
    assert_eq!((bed.version(), bed.request().state), (1, ApprovalState::Refused));
    let alarms =
        bed.city.db.read(|tx| alarms::list(tx, None, &alarms::Wanted::default(), 9)).unwrap();
    assert!(alarms[0].finding.detail.contains("was refused"), "{}", alarms[0].finding.detail);
    // Corrected, it is settled; asked for again, it is asked again.
    bed.change(|dataset| dataset.exclude.clear());
    bed.pass();
    assert!(bed.city.alarms().is_empty() && bed.proposal().is_none());
    bed.change(|dataset| dataset.exclude = vec!["*".into()]);
    bed.pass();
    assert_eq!((bed.version(), bed.request().state), (1, ApprovalState::Open));
}

#[test]
fn a_request_that_lapsed_is_opened_again_in_the_same_name() {
    let bed = Bed::new();
    bed.pass();
    bed.change(|dataset| dataset.rpo_s *= 2);
    let siti = Act::of(START, lumbung_wire::audit::ActorKind::User, "x".into(), "siti".into());
    let terms = Terms::of(&bed.profile);
    let asker = Asker { act: &siti, user: None };
    bed.city.db.write(|tx| reconcile(tx, asker, terms, None)).unwrap();
    let first = bed.request();
    assert_eq!(first.asked_by, "siti");
    bed.pass_at(START.plus_seconds(8 * 86_400));
    let second = bed.request();
    assert_ne!(first.id, second.id);
    assert_eq!((second.asked_by.as_str(), second.state), ("siti", ApprovalState::Open));
}

#[test]
fn an_approval_is_for_what_was_shown() {
    let bed = Bed::new();
    bed.pass();
    bed.change(|dataset| dataset.paths = vec!["/srv/a".into()]);
    bed.pass();
    let shown = bed.request();
    bed.decide(true);
    // Between approval and publication the register asks for still less.
    bed.change(|dataset| dataset.exclude = vec!["*".into()]);
    bed.pass();
    assert_eq!((bed.version(), bed.request().state), (1, ApprovalState::Open));
    assert_ne!(bed.request().id, shown.id);
}

#[test]
fn a_rebuilt_server_gets_the_policy_under_a_new_number_even_while_something_waits() {
    let bed = Bed::new();
    bed.pass();
    bed.change(|dataset| dataset.paths = vec!["/srv/a".into()]);
    let rebuilt = AgentRow {
        agent: AgentId::random(),
        key: SigningKey::generate().public(),
        ..bed.city.agent_row()
    };
    let later = START.plus_seconds(60);
    bed.city.db.write(|tx| agents::put_agent(tx, later, &rebuilt)).unwrap();
    bed.pass();
    let newest = bed.newest().unwrap().policy;
    assert_eq!((newest.version, newest.agent), (2, rebuilt.agent));
    assert_eq!(newest.content.jobs[0].paths.len(), 2, "the old content: the new one waits");
    let of_old = bed.city.db.read(|tx| rows::newest_of_agent(tx, &bed.city.agent)).unwrap();
    assert_eq!(of_old, None, "the agent before gets nothing that is for another one");
}

#[test]
fn a_controller_from_an_older_copy_numbers_beyond_what_its_agents_know() {
    let bed = Bed::new();
    bed.pass();
    let lost = PolicyMark { version: 5, hash: PolicyHash::from_bytes([7; 32]) };
    let told = PolicyTold { follows: true, applied: Some(lost), ..PolicyTold::default() };
    bed.tells(&told);
    bed.pass();
    assert_eq!(bed.version(), 6);
    bed.pass();
    assert_eq!(bed.version(), 6);
    // The same number for two contents: what one agent has can be no other's.
    let other = PolicyMark { version: 6, hash: PolicyHash::from_bytes([9; 32]) };
    bed.tells(&PolicyTold { pending: Some(other), ..told.clone() });
    bed.pass();
    assert_eq!(bed.version(), 7);
    // Nonsense does not use the numbers up.
    let nonsense = PolicyMark { version: policy::VERSION_MAX, hash: other.hash };
    bed.tells(&PolicyTold { pending: None, applied: Some(nonsense), ..told });
    bed.pass();
    assert_eq!(bed.version(), 7);
}

#[test]
fn what_agents_do_not_take_is_an_alarm() {
    let bed = Bed::new();
    bed.pass();
    let mark = bed.newest().unwrap().mark();
    let told = PolicyTold { follows: true, applied: Some(mark), ..PolicyTold::default() };
    bed.tells(&PolicyTold { pending: Some(mark), refused: "a wrong key".into(), ..told.clone() });
    bed.pass();
    assert_eq!(bed.city.alarms(), ["policy-pending", "policy-refused"]);
    bed.tells(&told);
    bed.pass();
    assert!(bed.city.alarms().is_empty());
}

#[test]
fn a_server_without_datasets_has_no_policy_and_one_that_lost_them_asks_for_less() {
    let bed = Bed::new();
    bed.change(|dataset| dataset.server = None);
    bed.pass();
    assert_eq!(bed.newest(), None);
    bed.change(|dataset| dataset.server = Some(bed.city.server));
    bed.pass();
    bed.change(|dataset| dataset.server = None);
    bed.pass();
    assert_eq!((bed.version(), bed.city.alarms()), (1, vec!["policy-narrowed".to_owned()]));
}
