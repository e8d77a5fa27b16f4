//! After any changes, looking at the servers that are due leaves what looking at all of them would.

use std::collections::BTreeMap;

use lumbung_model::{RepositoryId, Timestamp};
use lumbung_wire::messages::register::DatasetKind;
use rusqlite::Transaction;

use super::*;
use crate::testing::Dice;

const SEEDS: u64 = 6;
const STEPS: usize = 60;
const DAY_S: i64 = 86_400;

/// A city of a few servers, of which not all have an agent.
struct Town {
    bed: Bed,
    servers: Vec<ServerId>,
    agents: Vec<AgentRow>,
    datasets: Vec<DatasetId>,
    repositories: Vec<RepositoryId>,
    now: Timestamp,
}

impl Town {
    fn new() -> Self {
        let bed = Bed::new();
        let other = RepositoryId::from_bytes([8; 32]);
        let repositories = vec![bed.city.repository, other];
        let mut town = Self {
            servers: vec![bed.city.server],
            agents: vec![bed.city.agent_row()],
            datasets: vec![bed.city.dataset],
            bed,
            repositories,
            now: START,
        };
        town.write(|tx, act, town| register::bind_repository(tx, act, &other, &town.bed.city.pd));
        for name in ["a", "b", "c"] {
            let id = ServerId::random();
            let enter = |tx: &Transaction<'_>, act: &Act, town: &Self| {
                let mut server = register::server(tx, &town.servers[0])?.unwrap();
                (server.id, server.name) = (id, name.to_owned());
                register::put_server(tx, act, &server)
            };
            town.write(enter);
            town.servers.push(id);
        }
        town
    }

    fn write(&self, change: impl FnOnce(&Transaction<'_>, &Act, &Self) -> Result<(), DbError>) {
        let act = Act::controller(self.now);
        self.bed.city.db.write(|tx| change(tx, &act, self)).unwrap();
    }

    /// One change of anything that policies follow from.
    fn change(&mut self, dice: &mut Dice) {
        match dice.below(10) {
            0 => self.enter_dataset(dice),
            1..=3 => self.change_dataset(dice),
            4 => self.rename(dice),
            5 => self.enrol(dice),
            6 => self.move_agent(dice),
            7 => self.tell(dice),
            8 => self.decide(dice),
            _ => self.now = self.now.plus_seconds(DAY_S * i64::try_from(dice.below(5)).unwrap()),
        }
        self.now = self.now.plus_seconds(1);
    }

    fn enter_dataset(&mut self, dice: &mut Dice) {
        let mut dataset = self.bed.city.dataset_row();
        dataset.id = DatasetId::random();
        dataset.name = format!("d{}", self.datasets.len());
        dataset.server = Some(dice.pick(&self.servers));
        dataset.paths = vec!["/srv/a".into()];
        self.datasets.push(dataset.id);
        self.write(|tx, act, _| register::put_dataset(tx, act, &dataset));
    }

    fn change_dataset(&self, dice: &mut Dice) {
        let id = dice.pick(&self.datasets);
        self.write(|tx, act, town| {
            let mut dataset = register::dataset(tx, &id)?.unwrap();
            match dice.below(7) {
                0 => dataset.paths = vec!["/srv/a".into(), "/srv/b".into()],
                1 => dataset.paths = dice.pick(&[vec!["/srv/b".into()], Vec::new()]),
                2 => dataset.exclude = dice.pick(&[Vec::new(), vec!["*.tmp".into()]]),
                3 => dataset.rpo_s = dice.pick(&[3600, 7200, 86_400]),
                4 => dataset.kind = dice.pick(&[DatasetKind::Files, DatasetKind::Postgresql]),
                5 => dataset.repository = dice.pick(&[None, Some(town.repositories[1])]),
                _ => {
                    let server = dice.pick(&town.servers);
                    dataset.server = dice.pick(&[None, Some(server)]);
                }
            }
            register::put_dataset(tx, act, &dataset)
        });
    }

    fn rename(&self, dice: &mut Dice) {
        let (id, name) = (dice.pick(&self.servers), format!("s{}", dice.below(1 << 30)));
        self.write(|tx, act, _| {
            let mut server = register::server(tx, &id)?.unwrap();
            server.name = name;
            register::put_server(tx, act, &server)
        });
    }

    fn enrol(&mut self, dice: &mut Dice) {
        let row = AgentRow {
            agent: AgentId::random(),
            server: dice.pick(&self.servers),
            repository: dice.pick(&self.repositories),
            key: SigningKey::generate().public(),
            ..self.bed.city.agent_row()
        };
        self.agents.push(row);
        self.write(|tx, act, _| agents::put_agent(tx, act.now, &row));
    }

    fn move_agent(&self, dice: &mut Dice) {
        let row = AgentRow { server: dice.pick(&self.servers), ..dice.pick(&self.agents) };
        self.write(|tx, act, _| agents::put_agent(tx, act.now, &row));
    }

    fn tell(&self, dice: &mut Dice) {
        let agent = dice.pick(&self.agents).agent;
        let version = u64::try_from(dice.below(30)).unwrap() + 1;
        let mark = PolicyMark { version, hash: PolicyHash::from_bytes([7; 32]) };
        let told = PolicyTold {
            follows: true,
            applied: dice.pick(&[None, Some(mark)]),
            pending: dice.pick(&[None, Some(mark)]),
            refused: dice.pick(&[String::new(), "a wrong key".into()]),
        };
        self.write(|tx, _, _| rows::put_told(tx, &agent, &told));
    }

    fn decide(&self, dice: &mut Dice) {
        let act = Act::console(self.now);
        let approve = dice.below(2) == 0;
        let decide = |tx: &Transaction<'_>| {
            for server in rows::proposed(tx)? {
                let id = rows::proposal(tx, &server)?.unwrap().approval;
                // One that was decided before, or lapsed, is refused: that is as well.
                let _ = approvals::decide(tx, &act, None, &id, approve);
            }
            Ok::<_, DbError>(())
        };
        self.bed.city.db.write(decide).unwrap();
    }

    fn pass(&self, key: Option<&SigningKey>) {
        let terms = Terms::of(&self.bed.profile);
        self.write(|tx, act, _| reconcile(tx, Asker { act, user: None }, terms, key));
    }

    /// What there is of policies, requests about them and alarms.
    fn shown(&self) -> BTreeMap<&'static str, Vec<String>> {
        let queries = [
            ("policies", "SELECT hex(hash) FROM policies ORDER BY hash"),
            (
                "proposals",
                "SELECT hex(server || hash || approval) FROM policy_proposals ORDER BY 1",
            ),
            ("requests", "SELECT hex(id) || state FROM approvals ORDER BY 1"),
            (
                "alarms",
                "SELECT sequence || kind || subject || detail FROM alarms WHERE cleared_s IS NULL ORDER BY 1",
            ),
            ("deeds", "SELECT count(*) || '' FROM audit"),
        ];
        let read = |tx: &Transaction<'_>| {
            let mut shown: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
            for (name, sql) in queries {
                let mut statement = tx.prepare(sql)?;
                let rows = statement.query_map([], |row| row.get(0))?;
                shown.insert(name, rows.collect::<Result<_, _>>()?);
            }
            Ok::<_, DbError>(shown)
        };
        self.bed.city.db.read(read).unwrap()
    }
}

#[test]
fn what_is_due_is_all_that_a_whole_pass_would_change() {
    let (mut published, mut alarmed, mut asked) = (0, 0, 0);
    for seed in 0..SEEDS {
        let (mut dice, mut town) = (Dice(seed), Town::new());
        for step in 0..STEPS {
            for _ in 0..=dice.below(2) {
                town.change(&mut dice);
            }
            if dice.below(3) == 0 {
                // Somebody who changes the register, and has no key.
                town.pass(None);
            }
            town.pass(Some(&town.bed.key));
            let marked = town.bed.city.db.read(|tx| rows::marked(tx)).unwrap();
            assert!(marked.is_empty(), "seed {seed}, step {step}");
            let due = town.shown();
            town.write(|tx, _, _| rows::mark_all(tx));
            town.pass(Some(&town.bed.key));
            assert_eq!(due, town.shown(), "seed {seed}, step {step}");
            alarmed += due["alarms"].len();
            asked += due["proposals"].len();
        }
        published += town.shown()["policies"].len();
    }
    assert!(published > 50 && alarmed > 50 && asked > 50, "{published} {alarmed} {asked}");
}

#[test]
fn a_mark_stands_until_somebody_with_the_key_has_looked() {
    let town = Town::new();
    let marked = || town.bed.city.db.read(|tx| rows::marked(tx)).unwrap();
    assert_eq!(marked(), [town.bed.city.server], "an agent and its dataset were entered");
    town.pass(None);
    assert_eq!(marked(), [town.bed.city.server], "nobody has published");
    town.pass(Some(&town.bed.key));
    assert!(marked().is_empty() && town.bed.version() == 1);
    // What is taken back leaves no mark, what is kept leaves one: they are of one transaction.
    let mut dataset = town.bed.city.dataset_row();
    dataset.paths = vec!["/srv/a".into(), "/srv/b".into(), "/srv/c".into()];
    let act = Act::controller(START);
    let failed = town.bed.city.db.write(|tx| {
        register::put_dataset(tx, &act, &dataset)?;
        Err::<(), _>(DbError::Corrupt { what: "nothing" })
    });
    assert!(failed.is_err() && marked().is_empty());
    town.write(|tx, act, _| register::put_dataset(tx, act, &dataset));
    assert_eq!(marked(), [town.bed.city.server]);
    let reopened = town.bed.city.reopened();
    assert_eq!(reopened.read(|tx| rows::marked(tx)).unwrap(), marked(), "it outlasts the program");
    town.pass(Some(&town.bed.key));
    assert_eq!(town.bed.version(), 2);
}

#[test]
fn an_agent_that_is_only_heard_of_marks_nothing() {
    let town = Town::new();
    town.pass(Some(&town.bed.key));
    town.write(|tx, act, town| {
        let agent = town.bed.city.agent;
        tx.execute(
            "UPDATE agents SET last_seen_s = ?, agent_clock_s = ? WHERE id = ?",
            rusqlite::params![act.now.0, act.now.0, agent.as_bytes()],
        )?;
        Ok(())
    });
    assert!(town.bed.city.db.read(|tx| due(tx)).unwrap().is_empty());
}

#[test]
fn another_profile_shows_after_the_whole_pass() {
    let mut town = Town::new();
    town.pass(Some(&town.bed.key));
    town.bed.profile.urgency.high.schedule = "*/15 * * * *".into();
    town.pass(Some(&town.bed.key));
    assert_eq!(town.bed.version(), 1, "no server is due");
    town.write(|tx, _, _| rows::mark_all(tx));
    town.pass(Some(&town.bed.key));
    assert_eq!(town.bed.version(), 2);
}
