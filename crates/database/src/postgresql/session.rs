//! A transaction that is kept open beside a dump: the dump, and what is asked beside it, see exactly what it sees.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use lumbung_engine::Halt;

use super::Server;
use crate::SourceError;
use crate::child::Running;

/// What is asked is one value, and has an answer in this time: an open quote swallows everything behind it.
const PATIENCE: Duration = Duration::from_secs(600);
/// A check's answer is a number, a sum, a date.
const VALUE_MAX_BYTES: u64 = 64 << 10;

/// An open transaction.
pub(super) struct Session {
    _running: Running,
    /// What `pg_dump --snapshot` takes.
    pub(super) snapshot: String,
}

impl Session {
    /// Begins one, and exports its snapshot.
    pub(super) fn begin(server: &Server, database: &str, halt: Halt) -> Result<Self, SourceError> {
        let mut command = server.psql(database);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command, halt)?;
        let begin =
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();\n";
        let asked =
            running.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(begin.as_bytes()));
        let mut snapshot = String::new();
        let answered = running
            .stdout
            .as_mut()
            .map_or(Ok(0), |stdout| BufReader::new(stdout).read_line(&mut snapshot));
        match asked.and(answered) {
            Ok(read) if read > 0 => {
                Ok(Self { _running: running, snapshot: snapshot.trim_end().to_owned() })
            }
            // It ended, and says why.
            other => {
                running.end()?;
                let error = other.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into());
                Err(SourceError::io("asking psql", error))
            }
        }
    }
}

/// Asks for one value, in a transaction that changes nothing.
///
/// `snapshot`: what another transaction exported. `key`: `psql` is restricted by it, and runs nothing but SQL.
pub(crate) fn value(
    server: &Server,
    database: &str,
    (snapshot, key): (Option<&str>, Option<&str>),
    query: &str,
    halt: &Halt,
) -> Result<String, SourceError> {
    let mut command = server.psql(database);
    command.arg("--file=-").stdin(Stdio::piped());
    let mut running = Running::start_within(command, halt.clone(), Some(PATIENCE))?;
    let restrict = key.map(|key| format!("\\restrict {key}\n")).unwrap_or_default();
    let set = snapshot.map(|id| format!("SET TRANSACTION SNAPSHOT '{id}';\n")).unwrap_or_default();
    let text = format!(
        "{restrict}BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n{set}{}\n;\n",
        query.trim().trim_end_matches(';')
    );
    let asked = running.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    let mut answer = Vec::new();
    let read = running
        .stdout
        .take()
        .map_or(Ok(0), |stdout| stdout.take(VALUE_MAX_BYTES).read_to_end(&mut answer));
    running.end()?;
    asked.and(read).map_err(|error| SourceError::io("asking psql", error))?;
    Ok(String::from_utf8_lossy(&answer).trim_end_matches('\n').to_owned())
}
