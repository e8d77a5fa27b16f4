//! One-time enrolment tokens.
//!
//! Invariants: 160 random bits, shown once, kept as a hash; each is for one role and one subject, is
//! used once, and expires. The judgement is a pure function of the row and of `now`.

use data_encoding::BASE32_NOPAD;
use lumbung_model::{Secret, Timestamp};
use lumbung_wire::Role;
use sha2::{Digest, Sha256};

use crate::db::DbError;
use crate::db::tokens::{TokenRow, TokenSubject};

/// How long a token can be used, unless said otherwise.
pub const DEFAULT_LIFE_H: u32 = 24;
/// Longest life of a token: 30 days.
pub const MAX_LIFE_H: u32 = 720;

const PREFIX: &str = "LBG-";
const RANDOM_BYTES: usize = 20;

/// A token: its text goes to one person, once.
pub struct Token(String);

impl Token {
    /// A new token.
    #[must_use]
    pub fn random() -> Self {
        let bytes = Secret::<RANDOM_BYTES>::random();
        Self(format!("{PREFIX}{}", BASE32_NOPAD.encode(bytes.expose())))
    }

    /// What stands on the command line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is kept.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

/// What is kept of a token's text; case and surrounding space do not matter to whoever types it.
#[must_use]
pub fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.trim().to_ascii_uppercase().as_bytes()).into()
}

/// Why a token does not enrol.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such token.
    #[error(
        "this token is not known here: check it for typing errors, and that this is the right controller"
    )]
    Unknown,
    /// It was used.
    #[error(
        "this token was used at {0}: ask an operator for a new one; if it was not you, tell the Dinas at once"
    )]
    Used(Timestamp),
    /// It has expired.
    #[error(
        "this token expired at {0}: ask an operator for a new one (`lumbung-controller token`)"
    )]
    Expired(Timestamp),
    /// It is for another role.
    #[error("this token enrols {token} and not {asked}: ask an operator for the right one")]
    WrongRole {
        /// What the token is for.
        token: Role,
        /// What was asked for.
        asked: Role,
    },
    /// A life that is too long.
    #[error("a token can live 1 to {MAX_LIFE_H} hours, not {0}")]
    Life(u32),
    /// The database failed.
    #[error("the token could not be read or written")]
    Db(#[from] DbError),
}

/// Whether a token enrols `role` now, and as what.
///
/// # Errors
/// Why it does not.
pub fn judge(
    row: Option<TokenRow>,
    role: Role,
    now: Timestamp,
) -> Result<TokenSubject, TokenError> {
    let row = row.ok_or(TokenError::Unknown)?;
    let token = match row.subject {
        TokenSubject::Agent(_) => Role::Agent,
        TokenSubject::Site(_) => Role::Site,
    };
    // A used token says so even to the wrong role: whoever finds it used must hear of it.
    if let Some(used) = row.used {
        return Err(TokenError::Used(used));
    }
    if now >= row.expires {
        return Err(TokenError::Expired(row.expires));
    }
    if token != role {
        return Err(TokenError::WrongRole { token, asked: role });
    }
    Ok(row.subject)
}

/// When a token made now expires.
///
/// # Errors
/// If it would live too long, or not at all.
pub fn expiry(now: Timestamp, life_h: u32) -> Result<Timestamp, TokenError> {
    if !(1..=MAX_LIFE_H).contains(&life_h) {
        return Err(TokenError::Life(life_h));
    }
    Ok(now.plus_seconds(i64::from(life_h) * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::ServerId;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn row() -> TokenRow {
        let subject = TokenSubject::Agent(ServerId::from_bytes([1; 16]));
        TokenRow { subject, expires: NOW.plus_seconds(1), used: None }
    }

    #[test]
    fn a_token_enrols_once_in_time_for_its_role() {
        assert_eq!(judge(Some(row()), Role::Agent, NOW).unwrap(), row().subject);
        assert!(matches!(judge(None, Role::Agent, NOW), Err(TokenError::Unknown)));
        assert!(matches!(judge(Some(row()), Role::Site, NOW), Err(TokenError::WrongRole { .. })));
        assert!(matches!(
            judge(Some(row()), Role::Operator, NOW),
            Err(TokenError::WrongRole { .. })
        ));
        let late = NOW.plus_seconds(1);
        assert!(matches!(judge(Some(row()), Role::Agent, late), Err(TokenError::Expired(_))));
        let used = TokenRow { used: Some(NOW), ..row() };
        assert!(matches!(judge(Some(used), Role::Agent, NOW), Err(TokenError::Used(_))));
        assert!(matches!(judge(Some(used), Role::Site, late), Err(TokenError::Used(_))));
    }

    #[test]
    fn tokens_differ_and_are_kept_as_hashes() {
        let (a, b) = (Token::random(), Token::random());
        assert_ne!(a.text(), b.text());
        assert_ne!(a.hash(), b.hash());
        assert_eq!(hash(&format!(" {}\n", a.text().to_ascii_lowercase())), a.hash());
        assert!(
            !a.hash().windows(4).any(|part| a
                .text()
                .as_bytes()
                .windows(4)
                .any(|text| text == part))
        );
    }

    #[test]
    fn a_life_is_an_hour_to_a_month() {
        assert_eq!(expiry(NOW, 24).unwrap(), NOW.plus_seconds(86_400));
        assert!(expiry(NOW, 0).is_err());
        assert!(expiry(NOW, MAX_LIFE_H + 1).is_err());
    }
}
