//! A transaction that is kept open beside a dump: the dump sees exactly what it sees.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdout, Stdio};

use lumbung_engine::Halt;

use super::{PostgresqlCheck, Server};
use crate::child::Running;
use crate::{Check, SourceError};

/// Answers end with this line.
const END: &str = "lumbung: end of answer";
/// A check's answer is a number, a sum, a date.
const VALUE_MAX_BYTES: usize = 64 << 10;

/// An open transaction.
pub(super) struct Session {
    running: Running,
    answers: BufReader<ChildStdout>,
    /// What `pg_dump --snapshot` takes.
    pub(super) snapshot: String,
}

impl Session {
    /// Begins one, and exports its snapshot.
    pub(super) fn begin(server: &Server, database: &str, halt: Halt) -> Result<Self, SourceError> {
        let mut command = server.psql(database);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command, halt)?;
        let Some(stdout) = running.stdout.take() else { return Err(gone("psql")) };
        let mut session =
            Self { running, answers: BufReader::new(stdout), snapshot: String::new() };
        let begin =
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();";
        match session.ask(begin) {
            Ok(snapshot) => session.snapshot = snapshot,
            Err(error) => return Err(session.why(error)),
        }
        Ok(session)
    }

    /// Asks what the owner wants to have asked.
    pub(super) fn check(mut self, check: &PostgresqlCheck) -> Result<(Self, Check), SourceError> {
        let query = check.query.trim().trim_end_matches(';');
        let fail = |why: String| SourceError::Check { name: check.name.clone(), why };
        match self.ask(&format!("{query};")) {
            Ok(value) if value.len() <= VALUE_MAX_BYTES && !value.contains('\n') => {
                let (name, query) = (check.name.clone(), check.query.clone());
                Ok((self, Check { name, query, value }))
            }
            Ok(_) => Err(fail(
                "its answer is not one value: write a query that gives one row with one column"
                    .to_owned(),
            )),
            Err(error) => Err(fail(self.why(error).to_string())),
        }
    }

    fn ask(&mut self, query: &str) -> Result<String, std::io::Error> {
        let Some(stdin) = &mut self.running.stdin else {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        };
        writeln!(stdin, "{query}\n\\echo {END}")?;
        stdin.flush()?;
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.trim_end() == END {
                return Ok(answer.trim_end_matches('\n').to_owned());
            }
            if answer.len() <= VALUE_MAX_BYTES {
                answer.push_str(&line);
            }
        }
    }

    /// What `psql` said, if it ended; or else the error of the pipe.
    fn why(self, error: std::io::Error) -> SourceError {
        match self.running.end() {
            Err(ended) => ended,
            Ok(()) => SourceError::io("asking psql", error),
        }
    }
}

fn gone(program: &str) -> SourceError {
    SourceError::io(format!("asking {program}"), std::io::ErrorKind::BrokenPipe.into())
}
