//! The dumps, as they are made.

use lumbung_engine::Halt;

use super::copy::Rows;
use super::session::{self, Session};
use super::{PostgresqlCheck, Server};
use crate::child::Running;
use crate::description::Description;
use crate::source::{Inspect, Origin, Part, Tail};
use crate::{Check, SourceError};

/// A dump that waits for a lock longer than this gives up: somebody else's forgotten transaction.
const LOCK_WAIT: &str = "--lock-wait-timeout=600s";

/// One database.
pub(super) struct DatabaseDump {
    pub(super) server: Server,
    pub(super) database: String,
    pub(super) checks: Vec<PostgresqlCheck>,
}

impl Part for DatabaseDump {
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError> {
        let mut command = self.server.client(&self.server.pg_dump, &self.database);
        command.args(["--format=plain", LOCK_WAIT]);
        let mut answers = Vec::new();
        let mut session = None;
        if !self.checks.is_empty() {
            let open = Session::begin(&self.server, &self.database, halt.clone())?;
            for check in &self.checks {
                answers.push(self.ask(check, &open, &halt)?);
            }
            command.arg(format!("--snapshot={}", open.snapshot));
            session = Some(open);
        }
        let running = Running::start(command, halt)?;
        let database = self.database.clone();
        let dumped = Dumped {
            database,
            answers,
            rows: Rows::default(),
            tail: Tail::default(),
            _session: session,
        };
        Ok((Origin::Program(running), Box::new(dumped)))
    }

    fn database(&self) -> Option<&str> {
        Some(&self.database)
    }
}

impl DatabaseDump {
    /// Asks what the owner wants to have asked, in the transaction of the dump.
    fn ask(
        &self,
        check: &PostgresqlCheck,
        session: &Session,
        halt: &Halt,
    ) -> Result<Check, SourceError> {
        let fail = |why: String| SourceError::Check { name: check.name.clone(), why };
        let seen = (Some(session.snapshot.as_str()), None);
        let value = session::value(&self.server, &self.database, seen, &check.query, halt)
            .map_err(|error| fail(error.to_string()))?;
        if value.contains('\n') {
            let why =
                "its answer is not one value: write a query that gives one row with one column";
            return Err(fail(why.to_owned()));
        }
        Ok(Check { name: check.name.clone(), query: check.query.clone(), value })
    }
}

struct Dumped {
    database: String,
    answers: Vec<Check>,
    rows: Rows,
    tail: Tail,
    /// Its transaction has to outlast the dump.
    _session: Option<Session>,
}

impl Inspect for Dumped {
    fn see(&mut self, bytes: &[u8]) {
        self.rows.see(bytes);
        self.tail.see(bytes);
    }

    fn end(self: Box<Self>, _: &str, description: &mut Description) -> Result<(), SourceError> {
        self.tail.check("pg_dump", "-- PostgreSQL database dump complete")?;
        if let Some(database) = description.database(&self.database) {
            database.tables = self.rows.tables();
            database.checks = self.answers;
        }
        Ok(())
    }
}

/// Roles, their passwords and memberships, and tablespaces.
pub(super) struct GlobalsDump {
    pub(super) server: Server,
    pub(super) passwords: bool,
}

impl Part for GlobalsDump {
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError> {
        let mut command = self.server.client(&self.server.pg_dumpall, "postgres");
        command.arg("--globals-only");
        if !self.passwords {
            command.arg("--no-role-passwords");
        }
        Ok((Origin::Program(Running::start(command, halt)?), Box::new(Globals::default())))
    }
}

#[derive(Default)]
struct Globals(Tail);

impl Inspect for Globals {
    fn see(&mut self, bytes: &[u8]) {
        self.0.see(bytes);
    }

    fn end(self: Box<Self>, _: &str, _: &mut Description) -> Result<(), SourceError> {
        self.0.check("pg_dumpall", "-- PostgreSQL database cluster dump complete")
    }
}
