//! What the agent's own file wants to have run before and after a backup.
//!
//! Invariants: without a good end of the first one there is no backup; once it was begun the second one runs, however the backup went,
//! also when the run was stopped: what the first one put on hold has to be let go again.

use lumbung_engine::{Cancel, Halt};
use lumbung_model::with_causes;

use super::{Note, RunError};
use crate::config::Job;

/// Runs a backup between its hooks.
pub(super) fn around<T>(
    job: &Job,
    cancel: &Cancel,
    notes: &mut Vec<Note>,
    backup: impl FnOnce(&mut Vec<Note>) -> Result<T, RunError>,
) -> Result<T, RunError> {
    let result = match before(job, cancel) {
        Ok(()) => backup(notes),
        Err(error) => Err(error),
    };
    after(job, result.is_ok(), notes);
    result
}

fn environment(job: &Job) -> Vec<(&'static str, String)> {
    vec![("LUMBUNG_JOB", job.name.clone()), ("LUMBUNG_DATASET", job.dataset.to_string())]
}

fn before(job: &Job, cancel: &Cancel) -> Result<(), RunError> {
    let Some(hook) = &job.before else { return Ok(()) };
    hook.run(&environment(job), Halt::by(cancel)).map_err(RunError::Before)
}

fn after(job: &Job, is_fine: bool, notes: &mut Vec<Note>) {
    let Some(hook) = &job.after else { return };
    let mut environment = environment(job);
    let outcome = if is_fine { "ok" } else { "failed" };
    environment.push(("LUMBUNG_OUTCOME", outcome.to_owned()));
    // A run that was stopped does not stop this one: its own time limit does.
    if let Err(error) = hook.run(&environment, Halt::by(&Cancel::default())) {
        notes.push(Note::After(with_causes(&error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn job(before: &str, after: &str) -> Job {
        let text = format!(
            "[[job]]\nname = \"db\"\ndataset = \"00112233445566778899aabbccddeeff\"\npaths = [\"/srv\"]\n\
             before = {{ run = [\"/bin/sh\", \"-c\", \"{before}\"] }}\nafter = {{ run = [\"/bin/sh\", \"-c\", \"{after}\"] }}\n"
        );
        Config::parse(std::path::Path::new("x"), &text).unwrap().jobs.remove(0)
    }

    #[test]
    fn the_second_hook_runs_however_the_backup_went() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let after = format!("echo $LUMBUNG_JOB $LUMBUNG_OUTCOME >> {}", told.display());
        let mut notes = Vec::new();
        let cancel = Cancel::default();
        let fine: Result<(), _> = around(&job("true", &after), &cancel, &mut notes, |_| Ok(()));
        fine.unwrap();
        let busy: Result<(), _> = around(&job("true", &after), &cancel, &mut notes, |_| {
            cancel.cancel();
            Err(RunError::Busy)
        });
        assert!(matches!(busy, Err(RunError::Busy)));
        assert_eq!(std::fs::read_to_string(&told).unwrap(), "db ok\ndb failed\n");
        assert_eq!(notes, []);
    }

    #[test]
    fn without_the_first_hook_there_is_no_backup() {
        let mut notes = Vec::new();
        let job = job("exit 3", "exit 4");
        let failed: Result<(), _> =
            around(&job, &Cancel::default(), &mut notes, |_| panic!("backed up all the same"));
        assert!(matches!(failed, Err(RunError::Before(_))));
        let said =
            "the hook after the backup failed: sh ended with exit status: 4: it said nothing";
        assert_eq!(notes.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
    }
}
