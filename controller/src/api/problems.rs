//! Errors as problem documents: one exhaustive match for each kind of error.
//!
//! Invariant: what failed inside stands in the log, never in the answer.

use http::StatusCode;
use lumbung_wire::Problem;

use crate::approvals::ApprovalError;
use crate::db::DbError;
use crate::enroll::EnrollError;
use crate::exchange::ImportError;
use crate::issue::IssueError;
use crate::people::PeopleError;
use crate::register::RegisterError;
use crate::tokens::TokenError;

/// The database's failures are the server's, whatever they are.
pub(super) fn database(error: &DbError) -> Problem {
    tracing::error!("the database failed: {}", lumbung_model::with_causes(error));
    Problem::internal(
        "the database failed; the controller's log says why. Nothing was changed: try again",
    )
}

/// A problem that a handler answers with.
pub(super) struct Refused(pub(super) Problem);

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<DbError> for Refused {
    fn from(error: DbError) -> Self {
        Self(database(&error))
    }
}

impl From<RegisterError> for Refused {
    fn from(error: RegisterError) -> Self {
        let detail = error.to_string();
        Self(match error {
            RegisterError::Text { .. }
            | RegisterError::Place(_)
            | RegisterError::HalfPlace
            | RegisterError::Rpo(_)
            | RegisterError::Schedule { .. }
            | RegisterError::Number { .. } => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "register-entry",
                "The entry is refused",
                detail,
            ),
            RegisterError::Taken { .. }
            | RegisterError::OtherId { .. }
            | RegisterError::ForeignServer(_)
            | RegisterError::ForeignRepository { .. }
            | RegisterError::RemovedSite(_)
            | RegisterError::Moves(_)
            | RegisterError::Foreign { .. }
            | RegisterError::RoomElsewhere(_)
            | RegisterError::EnrolledSite(_) => Problem::conflict(detail),
            RegisterError::Unknown { .. } => Problem::not_found(detail),
            RegisterError::Db(error) => database(&error),
        })
    }
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        let forbidden =
            |slug, title, detail| Problem::new(StatusCode::FORBIDDEN, slug, title, detail);
        let detail = error.to_string();
        Self(match error {
            TokenError::Unknown => forbidden("token-unknown", "The token is not known", detail),
            TokenError::Used(_) => forbidden("token-used", "The token was used", detail),
            TokenError::Expired(_) => forbidden("token-expired", "The token has expired", detail),
            TokenError::WrongRole { .. } => {
                forbidden("token-role", "The token is for another role", detail)
            }
            TokenError::Life(_) => Problem::bad_request(detail),
            TokenError::Db(error) => database(&error),
        })
    }
}

impl From<EnrollError> for Refused {
    fn from(error: EnrollError) -> Self {
        let detail = error.to_string();
        Self(match error {
            EnrollError::Token(error) => return error.into(),
            EnrollError::Register(error) => return error.into(),
            EnrollError::Lacks { .. } => Problem::bad_request(detail),
            EnrollError::AgentDiffers { .. } | EnrollError::SiteDiffers { .. } => {
                Problem::conflict(detail)
            }
            EnrollError::Pin => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "tls-pin",
                "The TLS key is another one",
                detail,
            ),
            EnrollError::Certificate(error) => certificate(&error),
            EnrollError::Db(error) => database(&error),
        })
    }
}

fn certificate(error: &lumbung_wire::certs::CertError) -> Problem {
    use lumbung_wire::certs::CertError as E;
    match error {
        E::Request(_) | E::RequestTooLong | E::KeyKind | E::Names(_) | E::Host(_) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "certificate-request",
            "The certificate request is refused",
            error.to_string(),
        ),
        E::ForeignKey | E::Key(_) | E::Certificate(_) | E::Make(_) => {
            tracing::error!(%error, "a certificate could not be made");
            Problem::internal("the certificate could not be made; the controller's log says why")
        }
    }
}

impl From<ImportError> for Refused {
    fn from(error: ImportError) -> Self {
        let detail = error.to_string();
        Self(match error {
            ImportError::Refused(_) | ImportError::Tried(_) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "import",
                "Nothing was imported",
                detail,
            ),
            ImportError::Db(error) => database(&error),
        })
    }
}

impl From<PeopleError> for Refused {
    fn from(error: PeopleError) -> Self {
        use PeopleError as E;
        let detail = error.to_string();
        let entry = |detail| {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Problem::new(status, "account-entry", "The entry is refused", detail)
        };
        let login =
            |slug| Problem::new(StatusCode::UNAUTHORIZED, slug, "The login failed", &detail);
        Self(match error {
            E::Login => login("login"),
            E::CodeNeeded => login("code-needed"),
            E::Name(_)
            | E::FullName
            | E::Weak
            | E::Pd
            | E::Code
            | E::Secret
            | E::Days
            | E::TokenName => entry(detail),
            E::Console(_) => Problem::forbidden(detail),
            E::Taken(_) | E::LastAdmin | E::TooManyTokens => Problem::conflict(detail),
            E::Unknown(_) | E::UnknownToken => Problem::not_found(detail),
            E::Hash => Problem::internal(detail),
            E::Db(error) => database(&error),
        })
    }
}

impl From<ApprovalError> for Refused {
    fn from(error: ApprovalError) -> Self {
        use ApprovalError as E;
        let detail = error.to_string();
        Self(match error {
            E::Unknown | E::UnknownSite => Problem::not_found(detail),
            E::Over(_) | E::Outdated => Problem::conflict(detail),
            E::SamePerson | E::Nobody | E::NotFor(_) | E::NotYours => Problem::forbidden(detail),
            E::Reason => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "approval-entry",
                "The request is refused",
                detail,
            ),
            E::People(error) => return error.into(),
            E::Db(error) => database(&error),
        })
    }
}

impl From<IssueError> for Refused {
    fn from(error: IssueError) -> Self {
        let detail = error.to_string();
        Self(match error {
            IssueError::Lacks { .. } | IssueError::Role(_) => Problem::bad_request(detail),
            IssueError::Unknown { .. } => Problem::not_found(detail),
            IssueError::Ambiguous { .. } => Problem::conflict(detail),
            IssueError::Token(error) => return error.into(),
            IssueError::Db(error) => database(&error),
        })
    }
}
