//! Errors as problem documents: one exhaustive match for each kind of error.
//!
//! Invariant: what failed inside stands in the log, never in the answer.

use http::StatusCode;
use lumbung_wire::{FieldError, Problem};

use crate::alerts::desk::AlertError;
use crate::anomalies::AnomalyError;
use crate::approvals::ApprovalError;
use crate::db::DbError;
use crate::deadlines::DepositError;
use crate::drills::DrillError;
use crate::enroll::EnrollError;
use crate::exchange::{Fault, ImportError};
use crate::hosts::HostError;
use crate::issue::IssueError;
use crate::people::PeopleError;
use crate::register::RegisterError;
use crate::reminders::ReminderError;
use crate::retire::RetireError;
use crate::succession::TakeError;
use crate::tokens::TokenError;
use crate::uptime::UptimeError;
use crate::waivers::WaiverError;

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
        let field = error.field();
        let problem = match error {
            RegisterError::Text { .. }
            | RegisterError::Place(_)
            | RegisterError::HalfPlace
            | RegisterError::Rpo(_)
            | RegisterError::Schedule { .. }
            | RegisterError::Rate { .. }
            | RegisterError::Probe { .. }
            | RegisterError::Together { .. }
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
            | RegisterError::ServersInside { .. }
            | RegisterError::Retired { .. }
            | RegisterError::UnderRetired { .. }
            | RegisterError::Foreign { .. }
            | RegisterError::Relation { .. }
            | RegisterError::Inside { .. }
            | RegisterError::Space { .. }
            | RegisterError::Power { .. }
            | RegisterError::PoolFull { .. }
            | RegisterError::Serial { .. }
            | RegisterError::RoomElsewhere(_)
            | RegisterError::OtherSubject(_)
            | RegisterError::EnrolledSite(_) => Problem::conflict(detail),
            RegisterError::Unknown { .. } => Problem::not_found(detail),
            RegisterError::Db(error) => database(&error),
        };
        Self(field.into_iter().fold(problem, Problem::with_field))
    }
}

impl From<UptimeError> for Refused {
    fn from(error: UptimeError) -> Self {
        let (detail, field) = (error.to_string(), error.field());
        let problem = match error {
            UptimeError::Unknown(_) => Problem::not_found(detail),
            UptimeError::Over => Problem::conflict(detail),
            UptimeError::Db(error) => database(&error),
            UptimeError::Subject(_)
            | UptimeError::Text(_)
            | UptimeError::Past
            | UptimeError::Until(_)
            | UptimeError::Schedule(_)
            | UptimeError::Duration
            | UptimeError::Incident => entry("uptime-entry", detail),
        };
        Self(field.into_iter().fold(problem, Problem::with_field))
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
        E::ForeignKey | E::Key(_) | E::Certificate(_) | E::OtherAuthority | E::Make(_) => {
            tracing::error!(%error, "a certificate could not be made");
            Problem::internal("the certificate could not be made; the controller's log says why")
        }
    }
}

fn field_error(fault: Fault) -> FieldError {
    FieldError {
        field: fault.field.unwrap_or_default(),
        detail: fault.detail,
        line: Some(fault.line as u64),
    }
}

impl From<ImportError> for Refused {
    fn from(error: ImportError) -> Self {
        let detail = error.to_string();
        let nothing = || {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "import",
                "Nothing was imported",
                &detail,
            )
        };
        Self(match error {
            ImportError::Refused(faults) => {
                nothing().with_errors(faults.first.into_iter().map(field_error))
            }
            ImportError::Tried(_) => nothing(),
            ImportError::Db(error) => database(&error),
        })
    }
}

impl From<PeopleError> for Refused {
    fn from(error: PeopleError) -> Self {
        use PeopleError as E;
        let detail = error.to_string();
        let entry = |field| {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Problem::new(status, "account-entry", "The entry is refused", &detail).with_field(field)
        };
        let login =
            |slug| Problem::new(StatusCode::UNAUTHORIZED, slug, "The login failed", &detail);
        Self(match error {
            E::Login => login("login"),
            E::CodeNeeded => login("code-needed"),
            E::Name(_) | E::TokenName => entry("name"),
            E::FullName => entry("full_name"),
            E::Weak => entry("password"),
            E::Pd | E::RetiredPd(_) => entry("pd"),
            E::Code => entry("code"),
            E::Secret => entry("secret"),
            E::Days => entry("days"),
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
            )
            .with_field("reason"),
            E::Drill(error) => return error.into(),
            E::People(error) => return error.into(),
            E::Db(error) => database(&error),
        })
    }
}

/// A refusal of an entry that is no row of the register.
fn entry(slug: &str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, "The entry is refused", detail)
}

impl From<AlertError> for Refused {
    fn from(error: AlertError) -> Self {
        use AlertError as E;
        let (detail, field) = (error.to_string(), error.field());
        let problem = match error {
            E::Unknown | E::UnknownTurn => Problem::not_found(detail),
            E::Over | E::Removed | E::NoChannel => Problem::conflict(detail),
            E::Note | E::Recipient(_) | E::Tier | E::Time | E::Address => {
                entry("alert-entry", detail)
            }
            E::Entry(error) => return error.into(),
            E::Db(error) => database(&error),
        };
        Self(field.into_iter().fold(problem, Problem::with_field))
    }
}

impl From<RetireError> for Refused {
    fn from(error: RetireError) -> Self {
        use RetireError as E;
        let (detail, field) = (error.to_string(), error.field());
        let problem = match error {
            E::Reason | E::From => entry("retirement-entry", detail),
            E::Unknown(_) | E::NotRetired => Problem::not_found(detail),
            E::Already(_)
            | E::InUse { .. }
            | E::HasContents { .. }
            | E::HasAccounts { .. }
            | E::UnderRetired { .. } => Problem::conflict(detail),
            E::Entry(error) => return error.into(),
            E::Db(error) => database(&error),
        };
        Self(field.into_iter().fold(problem, Problem::with_field))
    }
}

impl From<HostError> for Refused {
    fn from(error: HostError) -> Self {
        use HostError as E;
        let (detail, field) = (error.to_string(), error.field());
        let problem = match error {
            E::Reason => entry("inventory-entry", detail),
            E::Unknown | E::Untold => Problem::not_found(detail),
            E::Outdated { .. } => Problem::conflict(detail),
            E::Db(error) => database(&error),
        };
        Self(field.into_iter().fold(problem, Problem::with_field))
    }
}

impl From<WaiverError> for Refused {
    fn from(error: WaiverError) -> Self {
        use WaiverError as E;
        let detail = error.to_string();
        Self(match error {
            E::Rule(_) | E::Subject { .. } | E::Reason | E::Letter | E::Expires => {
                entry("waiver-entry", detail)
            }
            E::Unknown => Problem::not_found(detail),
            E::Over | E::Retired(_) => Problem::conflict(detail),
            E::Db(error) => database(&error),
        })
    }
}

impl From<AnomalyError> for Refused {
    fn from(error: AnomalyError) -> Self {
        use AnomalyError as E;
        let detail = error.to_string();
        Self(match error {
            E::Reason => entry("anomaly-entry", detail),
            E::Unknown => Problem::not_found(detail),
            E::Settled(_) | E::Open => Problem::conflict(detail),
            E::Db(error) => database(&error),
        })
    }
}

impl From<ReminderError> for Refused {
    fn from(error: ReminderError) -> Self {
        use ReminderError as E;
        let detail = error.to_string();
        Self(match error {
            E::Text | E::Letter => entry("reminder-entry", detail),
            E::Nothing(_) | E::Retired(_) | E::Back { .. } => Problem::conflict(detail),
            E::Unknown => Problem::not_found(detail),
            E::Db(error) => database(&error),
        })
    }
}

impl From<DepositError> for Refused {
    fn from(error: DepositError) -> Self {
        use DepositError as E;
        let detail = error.to_string();
        let field = error.field();
        let problem = match error {
            E::Unknown => Problem::not_found(detail),
            E::State { .. } | E::OtherDocument { .. } => Problem::conflict(detail),
            E::Reason | E::Empty | E::Size | E::Path | E::TwoSubjects | E::Force => {
                entry("deposit-entry", detail)
            }
            E::Span(_) | E::Far(_) => Problem::bad_request(detail),
            E::Entry(error) => return error.into(),
            E::Db(error) => database(&error),
        };
        Self(field.into_iter().fold(problem, Problem::with_field))
    }
}

impl From<DrillError> for Refused {
    fn from(error: DrillError) -> Self {
        use DrillError as E;
        let (detail, field) = (error.to_string(), error.field());
        let problem = match error {
            E::UnknownPlan | E::UnknownRun => Problem::not_found(detail),
            // All of them: a plan is mended at once.
            E::Faults(faults) => {
                let told = |fault: &lumbung_model::drill::PlanFault| FieldError {
                    field: "plan".to_owned(),
                    detail: fault.to_string(),
                    line: None,
                };
                return Self(entry("drill-plan", detail).with_errors(faults.iter().map(told)));
            }
            E::Probe { .. } => entry("drill-plan", detail),
            E::Mode(_) | E::Reason | E::Outage | E::Text(_) | E::Many(_) | E::Step(_) => {
                entry("drill-entry", detail)
            }
            E::Retired
            | E::Draft
            | E::OtherRevision(_)
            | E::Active(_)
            | E::NoAgent
            | E::SamePerson
            | E::Over
            | E::GoesOn
            | E::Event(_)
            | E::Fork(_)
            | E::OtherStart
            | E::NotATabletop => Problem::conflict(detail),
            E::Entry(error) => return error.into(),
            E::Db(error) => database(&error),
        };
        Self(field.into_iter().fold(problem, Problem::with_field))
    }
}

impl From<TakeError> for Refused {
    fn from(error: TakeError) -> Self {
        let detail = error.to_string();
        Self(match error {
            TakeError::Refused(_) | TakeError::OtherCa => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "succession",
                "The succession is refused",
                detail,
            ),
            TakeError::Fork(_) | TakeError::First => Problem::conflict(detail),
            TakeError::Db(error) => database(&error),
        })
    }
}

impl From<IssueError> for Refused {
    fn from(error: IssueError) -> Self {
        let detail = error.to_string();
        Self(match error {
            IssueError::Lacks { .. } | IssueError::Role(_) => Problem::bad_request(detail),
            IssueError::Unknown { .. } => Problem::not_found(detail),
            IssueError::Ambiguous { .. } | IssueError::Retired { .. } => Problem::conflict(detail),
            IssueError::Token(error) => return error.into(),
            IssueError::Db(error) => database(&error),
        })
    }
}
