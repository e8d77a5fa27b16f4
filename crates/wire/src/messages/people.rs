//! People with an account at the controller: who they are, what they may do, how they come in.
//!
//! No password, code or token text is ever in an answer, save a new token's, once.

use data_encoding::BASE32_NOPAD;
use lumbung_model::vocabulary;
use lumbung_model::{ApiTokenId, PdId, Secret, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::audit::ActorKind;

vocabulary! {
    /// What a person is to the controller.
    UserRole {
        /// Keeps accounts; may do what an operator may.
        Admin = "admin",
        /// Of the Dinas: keeps the register, sees every PD.
        Operator = "operator",
        /// A PD's contact: sees its own PD.
        Pd = "pd",
        /// A PD's key custodian: sees its own PD, hands in proofs of restore.
        Custodian = "custodian",
        /// Inspektorat, assessor: sees everything, changes nothing.
        Auditor = "auditor",
    }
}

/// A person's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// What is typed to log in.
    pub name: String,
    /// As people know it.
    pub full_name: String,
    /// What the person may do.
    pub role: UserRole,
    /// The PD that the person belongs to: of `pd` and `custodian`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// Whether the second factor is set up.
    pub totp: bool,
    /// Whether the password was given by somebody else, and has to be changed first.
    pub password_is_new: bool,
    /// Until when no login is taken but from addresses that it has logged in from lately, after failures from wherever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Timestamp>,
}

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UserInput {
    /// What is typed to log in: 2 to 32 of a–z, 0–9, `.`, `_`, `-`.
    pub name: String,
    /// As people know it.
    pub full_name: String,
    /// What the person may do.
    pub role: UserRole,
    /// The PD: of `pd` and `custodian`, and of nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The first password; it opens nothing but the change of it.
    pub password: String,
}

/// A login.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The account's name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// The code of the second factor, if it is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

vocabulary! {
    /// What a session is good for.
    SessionState {
        /// Everything that its user may do.
        Full = "full",
        /// Only the change of the password.
        ChangePassword = "change_password",
        /// Only setting up the second factor.
        SetUpTotp = "set_up_totp",
    }
}

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Caller {
    /// As what.
    pub kind: ActorKind,
    /// As people know it.
    pub name: String,
    /// What it may do.
    pub role: UserRole,
    /// The PD that it sees; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// What it is good for now.
    pub state: SessionState,
    /// What goes into the header `x-csrf-token` of every request of this session that changes something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{64}$"))]
    pub csrf_token: Option<String>,
}

/// A change of the own password.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The one that holds now.
    pub current: String,
    /// The new one.
    pub new: String,
}

/// A new password for somebody else's account.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PasswordReset {
    /// The new one; it opens nothing but the change of it.
    pub password: String,
    /// Whether the second factor goes too: the telephone was lost.
    #[serde(default)]
    pub without_totp: bool,
}

/// A new secret of the second factor: it holds from [`TotpConfirm`] on.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TotpSecret {
    /// For typing in: base32.
    pub secret: String,
    /// For a QR code: `otpauth://totp/…`.
    pub url: String,
}

/// Shows that the secret has arrived in an app.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TotpConfirm {
    /// The secret, as it was given.
    pub secret: String,
    /// A code of it.
    pub code: String,
    /// The password: a stolen session alone sets up no second factor.
    pub password: String,
    /// A code of the second factor that holds now, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present_code: Option<String>,
}

/// A token to be made for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiTokenInput {
    /// What it is for.
    pub name: String,
    /// Whether it may change anything; if not, it only reads.
    #[serde(default)]
    pub writes: bool,
    /// How long it holds, 1 to 366 days.
    pub days: u32,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiToken {
    /// Its id.
    pub id: ApiTokenId,
    /// Whose it is.
    pub user: UserId,
    /// What it is for.
    pub name: String,
    /// Whether it may change anything.
    pub writes: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it holds.
    pub expires: Timestamp,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// A new token, shown once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewApiToken {
    /// What is kept of it.
    pub token: ApiToken,
    /// What goes into `Authorization: Bearer …`.
    pub text: String,
}

/// A first password for somebody else's account: 100 random bits in base32, in four groups that can be read out over the
/// telephone. It is changed at the first login.
///
/// # Panics
/// If the operating system has no random numbers to give.
#[must_use]
pub fn first_password() -> String {
    let text = BASE32_NOPAD.encode(Secret::<15>::random().expose()).to_lowercase();
    let groups: Vec<&str> = (0..4).filter_map(|group| text.get(group * 5..group * 5 + 5)).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_passwords_differ_and_are_long_enough() {
        let (one, two) = (first_password(), first_password());
        assert_ne!(one, two);
        assert_eq!(one.len(), 23);
        assert!(one.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
    }
}
