//! What a runner's steps do: with its own file's hooks, checks and places.
//!
//! Invariants: what the file does not know is not done, and says so; a restore that differs from what was backed up has failed; a
//! scratch place is there from the first restore to it until it is put back, and no longer than the runner.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lumbung_model::drill::{
    DatasetPart, DrillAction, Health, HealthProbe, Integrity, IntegrityKind, PlaceKind,
    RecoveryPoint, RunnerName, StepOutcome, UndoWork, WaitFor,
};
use lumbung_model::schedule::Period;
use lumbung_model::{CheckId, DrillRunId, RepositoryId, SiteId, Timestamp, with_causes};
use lumbung_probe::Prober;
use lumbung_wire::messages::uptime::{CheckOrder, Probe};

use super::config::{DatasetEntry, HookEntry, RunnerFile};
use super::lumbung::{Databases, FilesRestored, Inside, Lumbung};
use super::programs::{ended_well, pause, told};
use super::scratch::{self, INSIDE, Scratch};
use super::servers;
use crate::runner::conduct::{Compared, Failed, Hands, Held, Task};

/// How long one probe waits for an answer, at most.
const PROBE_S: u32 = 30;
/// Between two looks at something that is waited for.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Between two looks at what both sites hold.
const COMPARE_AGAIN: Duration = Duration::from_secs(10);

/// The places that are there, and whose data each has.
type Places = HashMap<(DrillRunId, RunnerName), (RepositoryId, Arc<Scratch>)>;

/// The hands of this host.
pub struct Host {
    file: Arc<RunnerFile>,
    prober: Prober,
    runtime: tokio::runtime::Handle,
    /// This program: it is started again in scratch places.
    agent: PathBuf,
    places: Mutex<Places>,
}

impl Host {
    /// The hands that the runner's file describes. Probes are made on `runtime`.
    #[must_use]
    pub fn new(file: Arc<RunnerFile>, agent: PathBuf, runtime: tokio::runtime::Handle) -> Self {
        let prober = Prober::new(file.runner.allow.clone());
        Self { file, prober, runtime, agent, places: Mutex::default() }
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `lumbung` for this step, on this host.
    fn lumbung<'a>(&'a self, task: &Task<'a>) -> Lumbung<'a> {
        Lumbung { file: &self.file, purpose: task.purpose, inside: Inside::Host }
    }

    fn hook(&self, name: &RunnerName) -> Result<&HookEntry, String> {
        let unknown = || format!("the runner's file has no [[hook]] named {name}: add it there");
        self.file.hook(name).ok_or_else(unknown)
    }

    fn run_hook(&self, task: &Task<'_>, name: &RunnerName) -> Result<(), String> {
        let hook = self.hook(name)?;
        let mut command = task.purpose.program(&hook.run);
        // Nobody reads what it prints: an application that it starts keeps that open.
        command.stdout(std::process::Stdio::null());
        let ended = task.purpose.hear_letting_live(command).map_err(|e| with_causes(&e))?;
        ended_well(name.as_str(), &ended)
    }

    /// The scratch place of that name for this run; it is made if it is not there. Data of several PD is not opened in one: what
    /// comes with the one could read the other.
    fn scratch(
        &self,
        task: &Task<'_>,
        (name, of): (&RunnerName, &DatasetEntry),
    ) -> Result<Arc<Scratch>, String> {
        let mut places = self.places();
        let (key, repository) = ((task.purpose.run, name.clone()), of.repository);
        if let Some((whose, place)) = places.get(&key) {
            if *whose != repository {
                return Err(format!(
                    "{name} has data of another PD already: let the plan name another place for {}",
                    of.dataset
                ));
            }
            return Ok(Arc::clone(place));
        }
        let place = self.file.scratch(name).ok_or_else(|| unknown_place(name, "scratch"))?;
        let place = Scratch::open(place, (&task.purpose.run, name), &self.agent);
        let place = Arc::new(place.map_err(|error| with_causes(&error))?);
        places.insert(key, (repository, Arc::clone(&place)));
        Ok(place)
    }

    fn restore(
        &self,
        task: &Task<'_>,
        part: &DatasetPart,
        (to, place): (PlaceKind, &RunnerName),
    ) -> Result<StepOutcome, Failed> {
        let of = self.file.dataset(&part.dataset).ok_or_else(|| {
            format!(
                "the runner's file has no [[dataset]] {} ({}): add it there with its repository",
                part.dataset, part.key
            )
        })?;
        match to {
            PlaceKind::Scratch => self.restore_to_scratch(task, (part, of), place),
            PlaceKind::Standby => self.restore_to_standby(task, of, place),
        }
    }

    fn restore_to_scratch(
        &self,
        task: &Task<'_>,
        (part, of): (&DatasetPart, &DatasetEntry),
        name: &RunnerName,
    ) -> Result<StepOutcome, Failed> {
        let place = self.scratch(task, (name, of))?;
        let tools = self.file.scratch(name).and_then(|of| of.postgresql.as_ref());
        let tools = tools.map(|tools| tools.0.as_path());
        self.fill_scratch(task, (part, of), (&place, tools)).map_err(|failed| {
            let reason = if_full(name, failed.reason);
            Failed { reason, ..failed }
        })
    }

    fn fill_scratch(
        &self,
        task: &Task<'_>,
        (part, of): (&DatasetPart, &DatasetEntry),
        (place, tools): (&Scratch, Option<&Path>),
    ) -> Result<StepOutcome, Failed> {
        let folder = format!("{INSIDE}/{}", part.key);
        let made = task.purpose.hear(marked(task, place.making_top(&folder)));
        ended_well("the dataset's folder", &made.map_err(|error| with_causes(&error))?)?;
        let lumbung = Lumbung { inside: Inside::Scratch(place), ..self.lumbung(task) };
        let found = lumbung.databases(of).map_err(|error| with_causes(&error))?;
        let server = format!("{folder}/server");
        let (databases, site) = match found {
            Some((databases, site)) if is_base(&databases) => {
                let made = (&databases, site);
                return recover_server(&lumbung, place, (of, made), (&server, tools));
            }
            Some(found) if is_dump(&found.0) => found,
            _ => {
                let restored = lumbung.restore_files(of, Path::new(&folder));
                return restored_files(restored.map_err(|error| with_causes(&error))?);
            }
        };
        let kind = databases.description.kind;
        let server = servers::start(place, task.purpose, kind, (&server, tools))?;
        restore_databases(&lumbung, of, (&databases, site), &server.options, false)
    }

    fn restore_to_standby(
        &self,
        task: &Task<'_>,
        of: &DatasetEntry,
        name: &RunnerName,
    ) -> Result<StepOutcome, Failed> {
        let unknown = || unknown_place(name, "folder or server");
        let place = self.file.place(name).ok_or_else(unknown)?;
        if !place.datasets.contains(&of.dataset) {
            let why = format!(
                "place {name} takes other datasets: if it is to take {}, add it to its `datasets`",
                of.dataset
            );
            return Err(why.into());
        }
        let lumbung = self.lumbung(task);
        match (&place.folder, &place.server) {
            (Some(folder), _) => {
                let restored = lumbung.restore_files(of, &folder.0);
                restored_files(restored.map_err(|error| with_causes(&error))?)
            }
            (None, Some(server)) => {
                let found = lumbung.databases(of).map_err(|error| with_causes(&error))?;
                let (databases, site) = found.filter(|(one, _)| is_dump(one)).ok_or_else(|| {
                    format!(
                        "{name} is a database server, and the snapshot holds no dump of databases"
                    )
                })?;
                let mut names = databases.description.databases.iter().map(|one| &one.name);
                if let Some(name) = names.find(|name| !server.databases.contains(*name)) {
                    let why = format!(
                        "the snapshot has a database {name:?}, which must not be replaced there: add it to the place's `databases` if it may"
                    );
                    return Err(why.into());
                }
                restore_databases(&lumbung, of, (&databases, site), &server.options(), true)
            }
            (None, None) => Err(unknown().into()),
        }
    }

    fn check(&self, task: &Task<'_>, health: &Health) -> Result<String, String> {
        match health {
            Health::Probe(probe) => self.probe(probe, task.purpose.limit),
            Health::Named(name) => self.named_check(task, name),
        }
    }

    fn probe(&self, probe: &HealthProbe, limit: Period) -> Result<String, String> {
        let timeout_s = limit.as_seconds().clamp(1, PROBE_S);
        let probe = Probe::from(probe);
        let order = CheckOrder { check: CheckId::random(), probe, interval_s: 3600, timeout_s };
        let seen = self.runtime.block_on(self.prober.look(&order)).map_err(|e| with_causes(&e))?;
        match seen.latency_ms {
            _ if !seen.up => Err(seen.detail),
            Some(latency) => Ok(format!("{latency} ms")),
            None => Ok(String::new()),
        }
    }

    fn named_check(&self, task: &Task<'_>, name: &RunnerName) -> Result<String, String> {
        let unknown = || format!("the runner's file has no [[check]] named {name}: add it there");
        let check = self.file.check(name).ok_or_else(unknown)?;
        let command = match &check.place {
            None => task.purpose.program(&check.run),
            Some(place) => {
                let key = (task.purpose.run, place.clone());
                let there = self.places().get(&key).map(|(_, place)| Arc::clone(place));
                let there = there.ok_or_else(|| {
                    format!("nothing was restored to {place}, or the runner was started anew and it is gone")
                })?;
                let mut command = there.confined(check.run.first().map_or("", String::as_str));
                command.args(&check.run[1..]).env("LUMBUNG_PLACE", INSIDE);
                marked(task, command)
            }
        };
        let ended = task.purpose.hear(command).map_err(|error| with_causes(&error))?;
        ended_well(name.as_str(), &ended)?;
        Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned())
    }

    fn wait(&self, task: &Task<'_>, until: &WaitFor) -> Result<String, String> {
        let cancel = &task.purpose.cancel;
        match until {
            WaitFor::Passed(period) => {
                if pause(cancel, period.to_duration()) {
                    Ok(String::new())
                } else {
                    Err(stopped())
                }
            }
            WaitFor::Good(health) => loop {
                let why = match self.check(task, health) {
                    Ok(said) => return Ok(said),
                    Err(why) => why,
                };
                if task.purpose.left().is_zero() {
                    return Err(format!("it was not good in time: {why}"));
                }
                if !pause(cancel, LOOK_AGAIN) {
                    return Err(stopped());
                }
            },
        }
    }
}

fn stopped() -> String {
    "it was ended, since everything is put back".to_owned()
}

fn marked(task: &Task<'_>, mut command: std::process::Command) -> std::process::Command {
    task.purpose.marked(&mut command);
    command
}

fn unknown_place(name: &RunnerName, kind: &str) -> String {
    format!("the runner's file has no [[place]] named {name} with {kind}: add it there")
}

fn is_dump(databases: &Databases) -> bool {
    use lumbung_database::Kind;
    matches!(databases.description.kind, Kind::PostgresqlDump | Kind::MariadbDump)
}

fn is_base(databases: &Databases) -> bool {
    use lumbung_database::Kind;
    matches!(databases.description.kind, Kind::PostgresqlBase | Kind::MariadbBase)
}

/// A whole server back in the place, and started: it has to replay its log and have as many databases as were backed up.
fn recover_server(
    lumbung: &Lumbung<'_>,
    place: &Scratch,
    (of, (databases, site)): (&DatasetEntry, (&Databases, Option<SiteId>)),
    (folder, tools): (&str, Option<&Path>),
) -> Result<StepOutcome, Failed> {
    servers::make_folder(place, lumbung.purpose, folder)?;
    let data = format!("{folder}/data");
    let recovered = lumbung.recover_server((of, &databases.snapshot), &data, place.user());
    recovered.map_err(|error| with_causes(&error))?;
    let description = &databases.description;
    let of_kind = (description.kind, description.server_version.as_str());
    let found = servers::start_recovered(place, lumbung.purpose, of_kind, (folder, tools))?;
    let expected = description.databases.len();
    let point = Some(point_of(databases, site));
    let integrity = vec![Integrity {
        kind: IntegrityKind::Other,
        subject: told(&description.server_version),
        expected: format!("{expected} basis data"),
        found: format!("{found} basis data"),
        good: found == expected,
    }];
    let outcome = StepOutcome { recovery_point: point, integrity, note: String::new() };
    if found == expected {
        return Ok(outcome);
    }
    let reason = format!("the server has {found} databases, and {expected} were backed up");
    Err(Failed { reason, outcome: Box::new(outcome) })
}

fn point_of(databases: &Databases, site: Option<SiteId>) -> RecoveryPoint {
    let description = &databases.description;
    RecoveryPoint {
        snapshot: databases.snapshot,
        taken: description.started,
        site,
        entries: u64::try_from(description.made.len()).unwrap_or(u64::MAX),
        bytes: description.made.iter().map(|made| made.bytes).sum(),
        sha256: None,
    }
}

/// Says what to do where a place has no room: programs of every kind pass on the kernel's own words for that.
fn if_full(name: &RunnerName, reason: String) -> String {
    if !reason.contains("No space left on device") {
        return reason;
    }
    told(&format!(
        "scratch place {name} is full: give it more `memory` in the runner's file, or a `folder` with room: {reason}"
    ))
}

fn restored_files(
    (restored, site): (FilesRestored, Option<SiteId>),
) -> Result<StepOutcome, Failed> {
    let FilesRestored { snapshot, taken, entries, bytes, .. } = restored;
    let compared = restored.compared.as_ref();
    let equal = compared.is_some_and(|compared| compared.equal) && restored.failures_total == 0;
    let mut integrity = vec![Integrity {
        kind: IntegrityKind::Hash,
        subject: "isi dan atribut".to_owned(),
        expected: format!("{entries} entri"),
        found: found(&restored),
        good: equal,
    }];
    let differences = compared.map_or(&[][..], |compared| &compared.differences);
    for finding in restored.failures.iter().chain(differences).take(20) {
        let (subject, found) = (told(&finding.path), told(&finding.reason));
        let kind = IntegrityKind::Hash;
        integrity.push(Integrity {
            kind,
            subject,
            expected: "sama".to_owned(),
            found,
            good: false,
        });
    }
    let point = RecoveryPoint { snapshot, taken, site, entries, bytes, sha256: None };
    let outcome = StepOutcome { recovery_point: Some(point), integrity, note: String::new() };
    if equal {
        return Ok(outcome);
    }
    let first = restored.failures.iter().chain(differences).next();
    let first = first.map_or_else(String::new, |one| format!(": {}: {}", one.path, one.reason));
    let reason =
        told(&format!("it is not restored whole, or differs from what was backed up{first}"));
    Err(Failed { reason, outcome: Box::new(outcome) })
}

fn found(restored: &FilesRestored) -> String {
    let compared = restored.compared.as_ref();
    let entries = compared.map_or(0, |compared| compared.entries);
    let different = compared.map_or(0, |compared| compared.differences_total);
    match (restored.failures_total, different) {
        (0, 0) => format!("{entries} entri sama"),
        (failed, different) => {
            format!("{entries} entri dibandingkan, {different} berbeda, {failed} gagal dipulihkan")
        }
    }
}

fn restore_databases(
    lumbung: &Lumbung<'_>,
    of: &DatasetEntry,
    (databases, site): (&Databases, Option<SiteId>),
    server: &[String],
    replace: bool,
) -> Result<StepOutcome, Failed> {
    let description = &databases.description;
    let point = point_of(databases, site);
    let mut outcome =
        StepOutcome { recovery_point: Some(point), integrity: Vec::new(), note: String::new() };
    if description.databases.is_empty() {
        return Err("the snapshot has no database: nothing was restored".to_owned().into());
    }
    for database in &description.databases {
        let restored =
            lumbung.restore_database((of, &databases.snapshot), &database.name, server, replace);
        let rows: u64 = database.tables.iter().map(|table| table.rows).sum();
        let tables = database.tables.len();
        let mut one = Integrity {
            kind: IntegrityKind::Rows,
            subject: told(&database.name),
            expected: format!("{rows} baris dalam {tables} tabel"),
            found: String::new(),
            good: true,
        };
        match restored {
            Ok(restored) => {
                one.found = format!("{} baris dalam {} tabel", restored.rows, restored.tables);
                one.good = restored.rows == rows;
                outcome.integrity.push(one);
                outcome.integrity.extend((restored.checks > 0).then(|| Integrity {
                    kind: IntegrityKind::Other,
                    subject: told(&database.name),
                    expected: format!("{} pertanyaan pemilik", database.checks.len()),
                    found: format!("{} cocok", restored.checks),
                    good: true,
                }));
            }
            Err(error) => {
                let reason = told(&with_causes(&error));
                (one.found, one.good) = (reason.clone(), false);
                outcome.integrity.push(one);
                return Err(Failed { reason, outcome: Box::new(outcome) });
            }
        }
    }
    Ok(outcome)
}

impl Hands for Host {
    fn carry_out(&self, task: &Task<'_>) -> Result<StepOutcome, Failed> {
        let note = |note: String| StepOutcome { note: said(&note), ..StepOutcome::default() };
        match &task.step.action {
            DrillAction::Isolate { hook }
            | DrillAction::Hook { hook, .. }
            | DrillAction::Switch { hook } => {
                self.run_hook(task, hook)?;
                Ok(StepOutcome::default())
            }
            DrillAction::Restore { dataset, to, place } => {
                let part = task
                    .plan
                    .dataset(dataset)
                    .ok_or_else(|| format!("the plan has no dataset {dataset}"))?;
                self.restore(task, part, (*to, place))
            }
            DrillAction::Check { health, .. } => {
                let said = self.check(task, health)?;
                let mut outcome = note(said);
                if let Health::Named(name) = health {
                    outcome.integrity.push(smoke_test(name));
                }
                Ok(outcome)
            }
            DrillAction::Wait { until } => Ok(note(self.wait(task, until)?)),
            // People end it; what is awaited here is that nobody does.
            DrillAction::Confirm { .. } => {
                let in_time = pause(&task.purpose.cancel, task.purpose.left());
                Err(if in_time { "nobody confirmed it in time".to_owned() } else { stopped() }
                    .into())
            }
        }
    }

    fn put_back(&self, task: &Task<'_>, work: UndoWork<'_>) -> Result<(), String> {
        match work {
            UndoWork::Hook(undo) => self.run_hook(task, &undo.hook),
            UndoWork::Wipe(name) => {
                let place = self.places().remove(&(task.purpose.run, name.clone()));
                place.map_or(Ok(()), |(_, place)| close(place))
            }
        }
    }

    fn clean(&self, run: &DrillRunId) -> Result<(), String> {
        let mut places = self.places();
        let of_run: Vec<_> = places.keys().filter(|(of, _)| of == run).cloned().collect();
        let left: Vec<_> = of_run.iter().filter_map(|key| places.remove(key)).collect();
        drop(places);
        left.into_iter().try_for_each(|(_, place)| close(place))?;
        // Another run's place may lie there.
        self.wipe(|of| of != run)
    }

    fn reconcile(&self, task: &Task<'_>) -> Compared {
        let begun = std::time::Instant::now();
        loop {
            let asked = task.purpose.anew(task.purpose.limit);
            let compared = self.compare(&Task { purpose: &asked, ..*task });
            let equal = compared.as_ref().is_ok_and(|held| held.missing == 0);
            let over = begun.elapsed() >= self.file.runner.reconcile.to_duration();
            if equal || over || !pause(&task.purpose.cancel, COMPARE_AGAIN) {
                return compared;
            }
        }
    }

    fn prove(&self, task: &Task<'_>, point: &RecoveryPoint, times: (Timestamp, Timestamp)) {
        let DrillAction::Restore { dataset, .. } = &task.step.action else { return };
        let part = task.plan.dataset(dataset);
        let Some(of) = part.and_then(|part| self.file.dataset(&part.dataset)) else { return };
        if let Err(error) = self.lumbung(task).prove(of, point, times) {
            tracing::warn!("the restore of {dataset} is not proven: {}", with_causes(&error));
        }
    }

    fn end_leftovers(&self, run: &DrillRunId, step: &lumbung_model::drill::StepId) {
        super::programs::end_leftovers(run, step);
    }
}

impl Host {
    /// Wipes what runs have left in scratch folders: all but those that go on.
    ///
    /// # Errors
    /// What could not be wiped; the rest is.
    pub fn wipe(&self, goes_on: impl Fn(&DrillRunId) -> bool) -> Result<(), String> {
        let scratches = self.file.places.iter().filter_map(|one| one.scratch.as_ref());
        let wiped = scratches.filter_map(|one| one.folder.as_ref()).map(|folder| {
            scratch::wipe_leftovers(&folder.0, &goes_on).map_err(|error| with_causes(&error))
        });
        wiped.collect::<Vec<_>>().into_iter().collect()
    }

    /// Takes all places away: the runner ends.
    pub fn close(&self) {
        for (_, (_, place)) in self.places().drain() {
            if let Err(error) = close(place) {
                tracing::error!("{error}");
            }
        }
    }

    /// Compares what the first two depots show of the plan's datasets.
    fn compare(&self, task: &Task<'_>) -> Compared {
        let [one, other, ..] = self.file.depots.as_slice() else {
            return Err(
                "the runner's file names only one depot: nothing could be compared".to_owned()
            );
        };
        let lumbung = self.lumbung(task);
        let mut held = Held::default();
        for part in &task.plan.datasets {
            let of = self.file.dataset(&part.dataset);
            let of = of.ok_or_else(|| format!("{}: not in the runner's file", part.key))?;
            let list = |depot| {
                let listed = lumbung.snapshots(of, depot);
                listed.map_err(|error| format!("{}: {}", part.key, with_causes(&error)))
            };
            let (first, second) = (list(one)?, list(other)?);
            let common = first.iter().filter(|id| second.contains(id)).count();
            let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
            held.both += count(common);
            held.missing += count(first.len() + second.len() - 2 * common);
        }
        Ok(held)
    }
}

fn smoke_test(name: &RunnerName) -> Integrity {
    Integrity {
        kind: IntegrityKind::SmokeTest,
        subject: name.to_string(),
        expected: "berhasil".to_owned(),
        found: "berhasil".to_owned(),
        good: true,
    }
}

/// What a check said, if it said anything.
fn said(text: &str) -> String {
    if text.trim().is_empty() { String::new() } else { told(text) }
}

/// Takes a place away, once nobody works in it any more.
fn close(place: Arc<Scratch>) -> Result<(), String> {
    match Arc::try_unwrap(place) {
        Ok(place) => place.close().map_err(|error| with_causes(&error)),
        // Whoever still has it lets it go when it has ended, and the place with it.
        Err(_) => Ok(()),
    }
}
