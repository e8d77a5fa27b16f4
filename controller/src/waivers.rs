//! Waivers: that a rule is not met by a subject, and why that is accepted for a while.
//!
//! Invariants: a waiver has a reason and an end, at most a year ahead; it changes no verdict, only how it is shown; what is
//! said of the sites is waived for the city, what is said of a PD's belongs to that PD.

use lumbung_model::{PdId, Timestamp, WaiverId};
use lumbung_wire::messages::compliance::{SubjectKind, Waiver, WaiverInput};
use rusqlite::Connection;

use crate::act::Act;
use crate::db::{DbError, follow_up as rows, register, retired, services};
use crate::profile::Profile;
use crate::register::text::sentence;
use crate::rules::SubjectId;
use crate::verdicts;

/// The longest that a waiver lasts, seconds.
const LONGEST_S: i64 = 366 * 86_400;

/// Why no waiver is entered.
#[derive(Debug, thiserror::Error)]
pub enum WaiverError {
    /// No such rule.
    #[error("there is no rule {0:?}: `GET /api/v1/rules` lists them")]
    Rule(String),
    /// The subject is not there.
    #[error(
        "subject: this rule is about a {kind}, and there is none of this id; leave it out only where a rule is about the city's sites"
    )]
    Subject {
        /// What the rule is about.
        kind: SubjectKind,
    },
    /// No reason.
    #[error("reason: write a sentence, up to 1000 characters")]
    Reason,
    /// The letter's number is none.
    #[error("letter: up to 255 characters on one line")]
    Letter,
    /// It ends too early or too late.
    #[error(
        "expires: from tomorrow on and at most a year ahead; a waiver without an end is a change of the rule"
    )]
    Expires,
    /// No such waiver.
    #[error("there is no such waiver: `GET /api/v1/waivers` lists them")]
    Unknown,
    /// It is over.
    #[error("this waiver is over: it was taken back, or has expired")]
    Over,
    /// The subject is retired.
    #[error("{0:?} is retired, and no rule says anything of it: there is nothing to waive")]
    Retired(String),
    /// The database failed.
    #[error("waivers could not be read or written")]
    Db(#[from] DbError),
}

impl WaiverError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Rule(_) => Some("rule"),
            Self::Subject { .. } | Self::Retired(_) => Some("subject"),
            Self::Reason => Some("reason"),
            Self::Letter => Some("letter"),
            Self::Expires => Some("expires"),
            Self::Unknown | Self::Over | Self::Db(_) => None,
        }
    }
}

/// Enters a waiver.
///
/// # Errors
/// If rule or subject are not there, or it has no reason or no end.
pub fn enter(
    db: &Connection,
    act: &Act,
    profile: &Profile,
    input: &WaiverInput,
) -> Result<Waiver, WaiverError> {
    let rule = profile.rules.iter().find(|rule| rule.id == input.rule);
    let rule = rule.ok_or_else(|| WaiverError::Rule(input.rule.chars().take(64).collect()))?;
    let kind = verdicts::kind(rule.look.subject());
    let (subject, pd) = subject(db, kind, input.subject.as_deref())?;
    if let Ok(id) = <[u8; 16]>::try_from(&*subject)
        && let Some(found) = retired::of(db, &id)?
    {
        return Err(WaiverError::Retired(found.name));
    }
    let reason = sentence(&input.reason).ok_or(WaiverError::Reason)?;
    if input.letter.chars().count() > 255 || input.letter.chars().any(char::is_control) {
        return Err(WaiverError::Letter);
    }
    if input.expires <= act.now || input.expires > act.now.plus_seconds(LONGEST_S) {
        return Err(WaiverError::Expires);
    }
    let waiver = Waiver {
        id: WaiverId::random(),
        rule: rule.id.clone(),
        subject_kind: kind,
        subject: rows::subject_text(&subject),
        pd,
        reason: reason.to_owned(),
        letter: input.letter.trim().to_owned(),
        from: act.now,
        expires: input.expires,
        by: act.actor.name.clone(),
        revoked: None,
    };
    rows::put_waiver(db, act, &waiver, &subject)?;
    Ok(waiver)
}

/// The subject of a rule, and whose it is.
fn subject(
    db: &Connection,
    kind: SubjectKind,
    given: Option<&str>,
) -> Result<(SubjectId, Option<PdId>), WaiverError> {
    let missing = || WaiverError::Subject { kind };
    if kind == SubjectKind::City {
        return if given.is_none() { Ok((SubjectId::new(), None)) } else { Err(missing()) };
    }
    let text = given.ok_or_else(missing)?;
    macro_rules! found {
        ($find:path) => {{
            let id = text.parse().map_err(|_| missing())?;
            let row = $find(db, &id)?.ok_or_else(missing)?;
            (id.as_bytes().to_vec(), Some(row.pd))
        }};
    }
    Ok(match kind {
        SubjectKind::Dataset => found!(register::dataset),
        SubjectKind::Server => found!(register::server),
        SubjectKind::Service => found!(services::service),
        SubjectKind::Application => found!(services::application),
        SubjectKind::Pd | SubjectKind::City => {
            let id: PdId = text.parse().map_err(|_| missing())?;
            register::pd(db, &id)?.ok_or_else(missing)?;
            (id.as_bytes().to_vec(), Some(id))
        }
    })
}

/// Takes a waiver back.
///
/// # Errors
/// If it is not there, or is over.
pub fn revoke(db: &Connection, act: &Act, id: &WaiverId) -> Result<Waiver, WaiverError> {
    let mut waiver = rows::waiver(db, id)?.ok_or(WaiverError::Unknown)?;
    if is_over(&waiver, act.now) {
        return Err(WaiverError::Over);
    }
    rows::revoke_waiver(db, act, &waiver)?;
    waiver.revoked = Some(act.now);
    Ok(waiver)
}

fn is_over(waiver: &Waiver, now: Timestamp) -> bool {
    waiver.revoked.is_some() || waiver.expires <= now
}
