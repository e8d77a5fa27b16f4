//! Why something that is owed is not changed.

use lumbung_model::DocumentHash;
use lumbung_wire::messages::deposits::DepositState;

use crate::db::DbError;
use crate::register::RegisterError;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DepositError {
    /// There is none of that id, or it is another PD's.
    #[error("there is no deposit of this id: `GET /api/v1/deposits` lists them")]
    Unknown,
    /// It has come too far, or not far enough.
    #[error("this deposit is {state}: {next}")]
    State {
        /// How far it has come.
        state: DepositState,
        /// What to do.
        next: &'static str,
    },
    /// Another document was looked at.
    #[error(
        "sha256: {kept} was delivered, not {given}: look at the document that was delivered, or return the deposit with the reason"
    )]
    OtherDocument {
        /// What was delivered.
        kept: DocumentHash,
        /// What was looked at.
        given: DocumentHash,
    },
    /// A text that may not stand there, or something that is not in the register.
    #[error("{0}")]
    Entry(#[from] RegisterError),
    /// No reason was given.
    #[error("reason: write the number of a letter or a sentence")]
    Reason,
    /// An empty document.
    #[error("bytes: the document is empty: deliver the file that has its content")]
    Empty,
    /// A size that no file has.
    #[error("bytes: write the size of the file")]
    Size,
    /// A file's path instead of its name.
    #[error("document: write the name of the file, without the folders it lies in")]
    Path,
    /// Two subjects.
    #[error("service: name an application or a service, not both")]
    TwoSubjects,
    /// Force and article contradict each other.
    #[error(
        "force: what has an article is must, shall or may; without an article it is a proposal"
    )]
    Force,
    /// A span of the calendar that is too long, or ends before it begins.
    #[error("until: name a day from `from` up to {0} days later")]
    Span(u32),
    /// Days that nobody can foresee.
    #[error("until: what falls due is known up to {0} days from today: name an earlier day")]
    Far(u32),
    /// The database failed.
    #[error("the deposits could not be read or written")]
    Db(#[from] DbError),
}
