//! Errors as RFC 9457 problems: one exhaustive table.

use http::StatusCode;
use lumbung_store::StoreError;
use lumbung_wire::Problem;

use crate::VaultError;
use crate::index::IndexError;

/// The answer for an error. What is the vault's own fault is logged, and not told to the caller.
pub(super) fn of(error: &VaultError) -> Problem {
    let text = lumbung_model::with_causes(error);
    match error {
        VaultError::Store(error) => of_store(error, text),
        VaultError::Index(IndexError::Full { .. }) => full(),
        VaultError::Reserve { .. } => Problem::storage_full(text),
        VaultError::Quota { .. } => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "quota", "The quota is used up", text)
        }
        VaultError::NoRepository(_) => Problem::not_found(text),
        VaultError::NotAdmitted(_) | VaultError::Forbidden(_) => Problem::forbidden(text),
        VaultError::Anonymous => Problem::certificate_needed(text),
        VaultError::Expired(_) => Problem::certificate_expired(text),
        VaultError::Roster(
            lumbung_pack::RosterError::Forked(_) | lumbung_pack::RosterError::Number { .. },
        )
        | VaultError::NoSession(_)
        | VaultError::Recipients(_) => Problem::conflict(text),
        VaultError::Incomplete(missing) => Problem::incomplete(missing.as_ref().clone()),
        VaultError::OtherDomain { .. } => Problem::forbidden(text),
        VaultError::Roster(_)
        | VaultError::Format { .. }
        | VaultError::OtherRepository { .. }
        | VaultError::Refused { .. } => Problem::invalid(text),
        // 409 and not 410: the sender has something to decide, not merely to forget.
        VaultError::Removed { .. } | VaultError::Held { .. } => Problem::conflict(text),
        VaultError::NoHold(_) => Problem::not_found(text),
        VaultError::Order(_) | VaultError::OrderAhead { .. } | VaultError::OrderExpired { .. } => {
            Problem::invalid(text)
        }
        VaultError::Unreadable { .. } => internal(&text),
        VaultError::OpenSessions { .. } => Problem::too_many(text),
        VaultError::NotSent { .. } => Problem::method_not_allowed(text),
        VaultError::Stopping => Problem::unavailable(text),
        VaultError::Index(IndexError::Sql { .. })
        | VaultError::Setup(_)
        | VaultError::Inconsistent(_) => internal(&text),
    }
}

fn of_store(error: &StoreError, text: String) -> Problem {
    match error {
        StoreError::NotFound { .. } => Problem::not_found(text),
        StoreError::WrongId { .. } | StoreError::Pack { .. } | StoreError::Frame { .. } => {
            Problem::invalid(text)
        }
        StoreError::Range { .. } => Problem::range(text),
        StoreError::TooLarge { limit, .. } => Problem::too_large(*limit),
        StoreError::NotKept { .. } => Problem::method_not_allowed(text),
        StoreError::Full { .. } => full(),
        StoreError::Stopped { .. } | StoreError::Unsynced { .. } => {
            tracing::error!("{text}");
            Problem::unavailable(
                "the vault's storage failed and its operator must look at it; try another site",
            )
        }
        StoreError::Unavailable { .. } => {
            tracing::error!("{text}");
            Problem::unavailable(
                "the vault's storage does not answer now: try again, or try another site",
            )
        }
        // Nothing that asking again mends: to a reader it is not here, and another site may have it.
        StoreError::Damaged { .. } => {
            tracing::error!("{text}");
            Problem::not_found(text)
        }
        StoreError::NotARepository { .. }
        | StoreError::NotEmpty { .. }
        | StoreError::NotAMedium { .. }
        | StoreError::List { .. }
        | StoreError::Busy { .. }
        | StoreError::Exists { .. }
        | StoreError::Changed { .. }
        | StoreError::Io { .. } => internal(&text),
    }
}

fn full() -> Problem {
    tracing::error!(
        "the storage is full: writes are refused until there is space, reading goes on"
    );
    Problem::storage_full(
        "the vault's storage is full: try again later, its operator has been told",
    )
}

fn internal(text: &str) -> Problem {
    tracing::error!("{text}");
    Problem::internal("the vault could not do it; its log says why")
}
