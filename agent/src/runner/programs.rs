//! Programs that a runner starts: hooks, checks, `lumbung` itself.
//!
//! Invariants: each has a bare environment and the mark of its step, by which a runner that was killed finds what it left behind;
//! none gets an argument from a plan. What a program prints is another's text: it is cut and cleaned before it is written down.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lumbung_database::{Ended, Running, SourceError, bare};
use lumbung_engine::{Cancel, Halt, Waited};
use lumbung_model::DrillRunId;
use lumbung_model::drill::{DrillMode, StepId, TEXT_MAX_CHARS, as_line};
use lumbung_model::schedule::Period;
use rustix::process::{Pid, Signal, kill_process};

const RUN: &str = "LUMBUNG_DRILL_RUN";
const STEP: &str = "LUMBUNG_DRILL_STEP";
const MODE: &str = "LUMBUNG_DRILL_MODE";

/// What a program is run for, and for how long.
#[derive(Debug, Clone)]
pub struct Purpose {
    /// The run.
    pub run: DrillRunId,
    /// How it is run.
    pub mode: DrillMode,
    /// The step.
    pub step: StepId,
    /// After how long it has failed.
    pub limit: Period,
    /// When it was begun.
    begun: Instant,
    /// Tells it that it is not wanted any more.
    pub cancel: Cancel,
}

impl Purpose {
    /// A step of a run that begins now, and has failed after `limit`.
    #[must_use]
    pub fn new((run, mode): (DrillRunId, DrillMode), step: &StepId, limit: Period) -> Self {
        let (begun, cancel) = (Instant::now(), Cancel::default());
        Self { run, mode, step: step.clone(), limit, begun, cancel }
    }

    /// The mark of this step.
    fn mark(&self) -> String {
        mark(&self.run, &self.step)
    }

    /// Gives a command the step's mark.
    pub fn marked(&self, command: &mut Command) {
        command.env(RUN, self.run.to_string()).env(MODE, self.mode.as_str());
        command.env(STEP, self.mark());
    }

    /// A program of the runner's own file.
    #[must_use]
    pub fn program(&self, run: &[String]) -> Command {
        let (program, arguments) =
            run.split_first().map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
        let mut command = bare(Path::new(program));
        command.args(arguments);
        self.marked(&mut command);
        command
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// If it cannot be started, was stopped, or took longer than the step may.
    pub fn hear(&self, command: Command) -> Result<Ended, SourceError> {
        self.start(command)?.hear()
    }

    /// Runs a command to its end; what it has started goes on.
    ///
    /// # Errors
    /// As [`Self::hear`].
    pub fn hear_letting_live(&self, command: Command) -> Result<Ended, SourceError> {
        self.start(command)?.letting_live().hear()
    }

    fn start(&self, command: Command) -> Result<Running, SourceError> {
        Running::start_within(command, Halt::by(&self.cancel), Some(self.left()))
    }

    /// The same from now on, with a limit of its own; whoever stops one stops both.
    #[must_use]
    pub fn anew(&self, limit: Period) -> Self {
        Self { limit, begun: Instant::now(), ..self.clone() }
    }

    /// How long it may still take.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.limit.to_duration().saturating_sub(self.begun.elapsed())
    }
}

/// Waits for so long; whether nobody stopped it.
#[must_use]
pub fn pause(cancel: &Cancel, time: Duration) -> bool {
    let (_held, never) = crossbeam_channel::bounded(0);
    Halt::by(cancel).wait(&never, Some(time)) != Waited::Unwanted
}

fn mark(run: &DrillRunId, step: &StepId) -> String {
    format!("{run}/{step}")
}

/// Ends what carries the mark of a step: its runner was killed and could not.
pub fn end_leftovers(run: &DrillRunId, step: &StepId) {
    let wanted = format!("{STEP}={}", mark(run, step)).into_bytes();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for entry in processes.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(id) = id.and_then(Pid::from_raw) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|one| one == wanted) {
            tracing::warn!("ending process {id:?}, which step {step} of run {run} left behind");
            // It may have ended by itself.
            let _ = kill_process(id, Signal::KILL);
        }
    }
}

/// A text of a program, or of an error, as a journal takes it: bounded, without control characters.
#[must_use]
pub fn told(text: &str) -> String {
    let line = as_line(text, TEXT_MAX_CHARS);
    if line.trim().is_empty() { "(no reason was given)".to_owned() } else { line }
}

/// What came of a program that should have ended well.
///
/// # Errors
/// If it did not: with its status and the last of what it said.
pub fn ended_well(name: &str, ended: &Ended) -> Result<(), String> {
    if ended.status.success() {
        return Ok(());
    }
    let said = if ended.said.is_empty() { "it said nothing" } else { &ended.said };
    Err(format!("{name} ended with {}: {said}", ended.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(limit_s: u32) -> Purpose {
        let run = (DrillRunId::random(), DrillMode::Drill);
        Purpose::new(run, &"hook".parse().unwrap(), Period::seconds(limit_s))
    }

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_program_knows_what_it_is_run_for() {
        let purpose = purpose(60);
        let script = "echo $LUMBUNG_DRILL_RUN $LUMBUNG_DRILL_STEP $LUMBUNG_DRILL_MODE";
        let ended = purpose.hear(purpose.program(&shell(script))).unwrap();
        let expected = format!("{0} {0}/hook drill\n", purpose.run);
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), expected);
        let ended = purpose.hear(purpose.program(&shell("echo no >&2; exit 4"))).unwrap();
        let error = ended_well("switch", &ended).unwrap_err();
        assert_eq!(error, "switch ended with exit status: 4: no");
    }

    #[test]
    fn what_a_killed_runner_left_behind_is_found_by_its_mark() {
        let (one, other) = (purpose(60), purpose(60));
        let start = |of: &Purpose| {
            let mut command = of.program(&shell("sleep 1000 & wait"));
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        let (mut left, mut kept) = (start(&one), start(&other));
        end_leftovers(&one.run, &one.step);
        let status = left.wait().unwrap();
        assert!(!status.success(), "{status}");
        assert!(kept.try_wait().unwrap().is_none(), "another run's process goes on");
        end_leftovers(&other.run, &other.step);
        kept.wait().unwrap();
    }

    #[test]
    fn texts_of_programs_are_cleaned() {
        assert_eq!(told("a\nb\u{1b}[31m\u{202e}c"), "a b [31m c");
        assert_eq!(told(" \n"), "(no reason was given)");
        assert_eq!(told(&"é".repeat(9000)).chars().count(), TEXT_MAX_CHARS);
    }
}
