//! Why a database, or the output of a command, is not backed up.

use std::path::PathBuf;

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A tool is missing.
    #[error(
        "{tool} is not installed: install {package}, or name its folder with tools = \"/…/bin\""
    )]
    ToolMissing {
        /// The program.
        tool: String,
        /// What brings it.
        package: &'static str,
    },
    /// A tool that is older than its server.
    #[error(
        "{tool} has version {tool_version}, the server {server_version}: a tool cannot read a newer server; install the server's \
         own version and name its folder with tools = \"/…/bin\""
    )]
    ToolTooOld {
        /// The program.
        tool: String,
        /// Its version.
        tool_version: String,
        /// The server's.
        server_version: String,
    },
    /// A tool that says something unexpected of itself.
    #[error("{tool} does not say its version as expected: {said:?}")]
    ToolUnknown {
        /// The program.
        tool: String,
        /// What it said.
        said: String,
    },
    /// The server did not answer, or not to us.
    #[error(
        "{server} let nobody in: {said}; check that it runs, and user and credentials of this job"
    )]
    Refused {
        /// Which server.
        server: String,
        /// What the client said.
        said: String,
    },
    /// The file with the password.
    #[error("the credentials {path} cannot be used: {why}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// A program that did not end well.
    #[error("{program} ended with {status}: {said}")]
    Failed {
        /// The program.
        program: String,
        /// Its status.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// Output without its closing marker.
    #[error(
        "{program} ended well, but its output lacks the closing marker {marker:?}: it is not whole, and not kept"
    )]
    Unfinished {
        /// The program.
        program: String,
        /// What is missing.
        marker: &'static str,
    },
    /// Stopped on request.
    #[error("{program} was stopped because the run was")]
    Halted {
        /// The program.
        program: String,
    },
    /// A program that took too long.
    #[error(
        "{program} took longer than it may, and was ended: raise its timeout, or see what holds it up"
    )]
    TooLong {
        /// The program.
        program: String,
    },
    /// A database that is not there.
    #[error("the server has no database {0:?}: correct databases = […] of this job")]
    NoDatabase(String),
    /// Nothing to back up.
    #[error("the server has no database that could be backed up")]
    NothingThere,
    /// A check that the owner named.
    #[error("check {name:?} cannot be made: {why}")]
    Check {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// SQLite.
    #[error("{path} cannot be copied by SQLite")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Something of this host.
    #[error("{what}")]
    Io {
        /// What was to be done.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl SourceError {
    /// Whether another try may do better without anybody changing something.
    #[must_use]
    pub const fn may_heal(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Unfinished { .. }
            | Self::Halted { .. }
            | Self::TooLong { .. }
            | Self::Sqlite { .. }
            | Self::Io { .. } => true,
            Self::ToolMissing { .. }
            | Self::ToolTooOld { .. }
            | Self::ToolUnknown { .. }
            | Self::Credentials { .. }
            | Self::NoDatabase(_)
            | Self::NothingThere
            | Self::Check { .. } => false,
        }
    }

    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}
