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

impl DepositError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::OtherDocument { .. } => Some("sha256"),
            Self::Reason => Some("reason"),
            Self::Empty | Self::Size => Some("bytes"),
            Self::Path => Some("document"),
            Self::TwoSubjects => Some("service"),
            Self::Force => Some("force"),
            Self::Span(_) | Self::Far(_) => Some("until"),
            Self::Entry(error) => error.field(),
            Self::Unknown | Self::State { .. } | Self::Db(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_begins_with_its_field() {
        let hash = DocumentHash::ZERO;
        for error in [
            DepositError::OtherDocument { kept: hash, given: hash },
            DepositError::Reason,
            DepositError::Empty,
            DepositError::Size,
            DepositError::Path,
            DepositError::TwoSubjects,
            DepositError::Force,
            DepositError::Span(1),
            DepositError::Far(1),
        ] {
            let field = error.field().unwrap();
            assert!(error.to_string().starts_with(&format!("{field}: ")), "{error}");
        }
        let text = RegisterError::Text { field: "title_id", found: String::new(), reason: "x" };
        assert_eq!(DepositError::from(text).field(), Some("title_id"));
        assert_eq!(DepositError::Unknown.field(), None);
    }
}
