//! Commands that an agent's own file names before and after a backup.

use std::path::Path;
use std::process::Stdio;

use lumbung_engine::Halt;
use lumbung_model::schedule::Period;
use serde::Deserialize;

use crate::SourceError;
use crate::child::{Running, bare};

/// A command and how long it may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// The program, by its absolute path, and its arguments.
    pub run: Vec<String>,
    /// It is ended after this time.
    #[serde(default = "ten_minutes")]
    pub timeout: Period,
}

const fn ten_minutes() -> Period {
    Period::seconds(600)
}

impl Hook {
    /// Runs it to its end.
    ///
    /// # Errors
    /// If it does not end with status 0 in time.
    pub fn run(&self, environment: &[(&str, String)], halt: Halt) -> Result<(), SourceError> {
        let (program, arguments) = self.run.split_first().ok_or(SourceError::NothingThere)?;
        let mut command = bare(Path::new(program));
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        // Nobody reads what it prints: an application that it starts keeps that open.
        command.stdout(Stdio::null());
        Running::start_within(command, halt, Some(self.timeout.to_duration()))?.letting_live().end()
    }
}

#[cfg(test)]
mod tests {
    use lumbung_engine::Cancel;

    use super::*;

    fn hook(script: &str, timeout_s: u32) -> Hook {
        let run = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Hook { run, timeout: Period::seconds(timeout_s) }
    }

    #[test]
    fn a_hook_ends_well_or_says_why_not() {
        let halt = Halt::by(&Cancel::default());
        let environment = [("LUMBUNG_JOB", "simrs".to_owned())];
        hook("test \"$LUMBUNG_JOB\" = simrs", 60).run(&environment, halt.clone()).unwrap();
        let error = hook("echo no room >&2; exit 2", 60).run(&[], halt.clone()).unwrap_err();
        assert_eq!(error.to_string(), "sh ended with exit status: 2: no room");
        // What it starts goes on, and holds nobody up.
        hook("sleep 5 & exit 0", 60).run(&[], halt.clone()).unwrap();
        let error = hook("sleep 1000", 1).run(&[], halt).unwrap_err();
        assert!(matches!(error, SourceError::TooLong { .. }), "{error}");
    }
}
