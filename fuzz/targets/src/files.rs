//! Files that people write: the TOML of every program, and the register.
//!
//! An error names a line of the file and is one line itself, whatever stands in the file.

use std::path::Path;
use std::sync::{LazyLock, Mutex};

use lumbung_controller::act::Act;
use lumbung_controller::db::{Db, DbError};
use lumbung_controller::exchange::{Form, ImportError, Source, export, import};
use lumbung_controller::profile::Profile;
use lumbung_model::Timestamp;
use lumbung_wire::messages::register::RegisterTable;

static PROFILE: LazyLock<Profile> =
    LazyLock::new(|| Profile::load("kota").expect("it comes with the program"));

const NOW: Timestamp = Timestamp(1_800_000_000);

fn text(data: &[u8]) -> &str {
    // What is not UTF-8 is refused before any parser: up to there it may still be a file.
    let valid = data.utf8_chunks().next();
    valid.map_or("", |chunk| chunk.valid())
}

fn check_line(text: &str, line: usize) {
    assert!((1..=text.split('\n').count()).contains(&line), "line {line} of a shorter file");
}

pub(crate) fn agent_toml(data: &[u8]) {
    let text = text(data);
    let Ok(config) = lumbung_agent::config::Config::parse(Path::new("agent.toml"), text) else {
        return;
    };
    for job in &config.jobs {
        assert!(!job.paths.is_empty() && job.paths.iter().all(|path| path.is_absolute()));
        assert!(job.retry.attempts > 0);
        assert_eq!(config.job(&job.name).map(|found| found.dataset), Some(job.dataset));
    }
    let _cap = config.rates.rate_at(NOW);
}

pub(crate) fn vault_toml(data: &[u8]) {
    let text = text(data);
    match lumbung_vault::Config::parse(Path::new("vault.toml"), text) {
        Ok(config) => {
            assert!(config.rate_plan().is_some(), "an unknown zone was taken");
            assert!(config.requests > 0 && config.pull_transfers > 0);
        }
        Err(lumbung_vault::ConfigError::Invalid { line, message, .. }) => {
            check_line(text, line);
            assert!(!message.is_empty());
        }
        Err(error) => panic!("{error}: nothing was read from a file"),
    }
}

pub(crate) fn controller_toml(data: &[u8]) {
    use lumbung_controller::config::{Config, ConfigError};
    let text = text(data);
    match Config::from_text(Path::new("controller.toml"), text) {
        Ok(config) => assert!(config.data_dir.is_absolute() && config.max_connections > 0),
        Err(ConfigError::Toml(error)) => check_line(text, error.line),
        Err(_) => {}
    }
}

pub(crate) fn profile_toml(data: &[u8]) {
    use lumbung_controller::profile::ProfileError;
    let text = text(data);
    match Profile::from_text("profile.toml", text) {
        Ok(profile) => {
            assert!(profile.rules.iter().all(|rule| !rule.obligations.is_empty()));
            assert!(profile.urgency.critical.rpo_h <= profile.urgency.low.rpo_h);
        }
        Err(ProfileError::Toml(error)) => check_line(text, error.line),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What rolls an import back once it was looked at.
enum Undo {
    Done,
    Failed,
}

impl From<DbError> for Undo {
    fn from(_: DbError) -> Self {
        Self::Failed
    }
}

/// A register in TOML.
pub(crate) fn register_import(data: &[u8]) {
    enter(Source::Toml(text(data)));
}

/// Rows of a table; the first byte says of which.
pub(crate) fn register_csv(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let table = RegisterTable::ALL[usize::from(*first) % RegisterTable::ALL.len()];
    enter(Source::Csv(table, text(rest)));
}

/// The same file twice changes nothing the second time, and neither does what is exported after it.
fn enter(source: Source<'_>) {
    static DATABASE: LazyLock<Mutex<(tempfile::TempDir, Db)>> = LazyLock::new(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let db = Db::create(&directory.path().join("controller.db")).expect("a new database");
        Mutex::new((directory, db))
    });
    let held = DATABASE.lock().expect("no import panicked before");
    let undone: Result<(), Undo> = held.1.write(|db| {
        let act = Act::controller(NOW);
        let enter = |source| import(db, &act, ("register", source), &PROFILE, false);
        match enter(source) {
            Ok(first) => {
                let entered = first.created + first.updated + first.unchanged;
                let exported = export(db, Form::Toml, None, (NOW, PROFILE.zone()))?;
                for again in [source, Source::Toml(&exported)] {
                    let second = enter(again).expect("what was taken once is taken again");
                    assert_eq!((second.created, second.updated), (0, 0), "something changed");
                    assert!(second.unchanged >= entered);
                }
            }
            Err(ImportError::Db(error)) => panic!("the database failed: {error:?}"),
            Err(ImportError::Tried(_)) => unreachable!("it is not tried"),
            Err(ImportError::Refused(faults)) => {
                let (Source::Toml(text) | Source::Csv(_, text)) = source;
                assert!(faults.count >= faults.first.len() && faults.count > 0);
                for fault in faults.first {
                    check_line(text, fault.line);
                    assert!(!fault.detail.is_empty());
                }
            }
        }
        Err(Undo::Done)
    });
    assert!(matches!(undone, Err(Undo::Done)), "the database failed");
}
