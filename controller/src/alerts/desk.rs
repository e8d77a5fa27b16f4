//! What people do about alerts: look after one, try whether messages arrive. The roster is in [`super::roster`].
//!
//! Invariants: whoever belongs to one PD sees and acknowledges that PD's alerts only; every change is in the audit log.

use lumbung_model::{AlertId, DeliveryId};
use lumbung_wire::messages::alerts::{
    Alert, AlertState, AlertTestInput, Delivery, DeliveryCause, Severity,
};
use rusqlite::Connection;

use super::address::{Recipient, RecipientKey};
use super::keeper;
use super::people::{About, People};
use super::route::Audience;
use super::settings::Settings;
use super::text::Style;
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::deliveries::{self, New};
use crate::db::{DbError, alerts as rows};
use crate::people::access::Scope;
use crate::register::RegisterError;

/// Longest note, characters.
const NOTE_MAX_CHARS: usize = 1000;

/// Why nothing is done.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// No such alert.
    #[error("no alert has this id: the list without an id shows all")]
    Unknown,
    /// It is over.
    #[error("this alert is over: there is nothing to look after any more")]
    Over,
    /// The note is too long.
    #[error("note: up to 1000 characters, without control characters")]
    Note,
    /// Nobody can be reached so.
    #[error(
        "recipient: {0:?} is nobody with an address of a channel that is set up; write the id of a contact person or of a turn on call, the name of an [[alerts.recipient]], on-call or dinas"
    )]
    Recipient(String),
    /// No channel.
    #[error(
        "no channel is set up: write [alerts.mail], [alerts.telegram] or [alerts.webhook] into controller.toml"
    )]
    NoChannel,
    /// No such turn.
    #[error("no turn has this id: the list without an id shows all")]
    UnknownTurn,
    /// The turn was taken back.
    #[error("this turn was taken back already")]
    Removed,
    /// The tier is none of the roster.
    #[error(
        "tier: 2 (the Dinas) or 3 (whoever stands behind it); tier 1 is the PD's contact person"
    )]
    Tier,
    /// The turn's time makes no sense.
    #[error(
        "from and until: a turn ends after it begins and after now, lasts at most 92 days, and begins within two years"
    )]
    Time,
    /// Nobody could reach the person.
    #[error(
        "email: give a mail address, a telephone number or a chat of Telegram, or nobody can be told"
    )]
    Address,
    /// Name or address.
    #[error(transparent)]
    Entry(#[from] RegisterError),
    /// The database failed.
    #[error("alerts could not be read or written")]
    Db(#[from] DbError),
}

impl AlertError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Note => Some("note"),
            Self::Recipient(_) => Some("recipient"),
            Self::Tier => Some("tier"),
            Self::Time => Some("until"),
            Self::Address => Some("email"),
            _ => None,
        }
    }
}

/// An alert, if it may be seen.
///
/// # Errors
/// If it is not there, or another PD's.
pub fn find(db: &Connection, scope: Scope, id: &AlertId) -> Result<Alert, AlertError> {
    let sees = |alert: &Alert| match scope {
        Scope::City => true,
        Scope::Pd(own) => alert.pd == Some(own),
    };
    rows::get(db, id)?.filter(sees).ok_or(AlertError::Unknown)
}

/// Says that somebody looks after an alert: nobody is told again until it gets worse or is over.
///
/// # Errors
/// If it is not there, is over, or the note is too long.
pub fn acknowledge(
    db: &Connection,
    act: &Act,
    scope: Scope,
    id: &AlertId,
    note: &str,
) -> Result<Alert, AlertError> {
    let alert = find(db, scope, id)?;
    if alert.state == AlertState::Over {
        return Err(AlertError::Over);
    }
    let note = note.trim();
    let unfit = |c: char| c.is_control() && c != '\n';
    if note.chars().count() > NOTE_MAX_CHARS || note.chars().any(unfit) {
        return Err(AlertError::Note);
    }
    rows::acknowledge(db, act, &alert, note)?;
    find(db, scope, id)
}

/// Puts a test message for somebody into the outbox, one for each channel that is asked for.
///
/// # Errors
/// If nobody can be reached so.
pub fn test(
    db: &Connection,
    act: &Act,
    settings: &Settings,
    style: Style,
    input: &AlertTestInput,
) -> Result<Vec<Delivery>, AlertError> {
    if settings.channels().is_empty() {
        return Err(AlertError::NoChannel);
    }
    let people = keeper::people(db, settings, act.now)?;
    let mut made = Vec::new();
    for person in named(&people, act, &input.recipient) {
        let wanted = |channel| input.channel.is_none_or(|one| one == channel);
        for address in person.addresses.iter().filter(|one| wanted(one.channel)) {
            let to = Recipient { addresses: vec![address.clone()], ..person.clone() };
            made.extend(put_test(db, act, style, &to)?);
        }
    }
    if made.is_empty() {
        return Err(AlertError::Recipient(input.recipient.chars().take(80).collect()));
    }
    let deed = Deed { action: "alert.test", kind: "recipient", id: &input.recipient, pd: None };
    audit::append(db, act, deed, None, Some(audit::shown(input)?))?;
    let read = |id: &DeliveryId| deliveries::get(db, id).transpose();
    Ok(made.iter().filter_map(read).collect::<Result<_, _>>()?)
}

fn named<'a>(people: &'a People, act: &Act, text: &str) -> Vec<&'a Recipient> {
    let by_id = [
        text.parse().ok().map(RecipientKey::Contact),
        text.parse().ok().map(RecipientKey::OnCall),
        Some(RecipientKey::Named(text.to_owned())),
    ];
    let found = by_id.iter().flatten().find_map(|key| people.get(key));
    let group = match text {
        "on-call" => vec![Audience::OnCall(2)],
        "dinas" => vec![Audience::Dinas],
        _ => Vec::new(),
    };
    let keys = people.resolve(&group, About::default(), act.now);
    let group: Vec<&Recipient> = keys.iter().filter_map(|key| people.get(key)).collect();
    found.map_or(group, |one| vec![one])
}

fn put_test(
    db: &Connection,
    act: &Act,
    style: Style,
    to: &Recipient,
) -> Result<Option<DeliveryId>, DbError> {
    let text = style.test(&to.name, &act.actor.name, act.now);
    let new = New {
        cause: DeliveryCause::Test,
        to,
        severity: Severity::Notice,
        subject: text.subject,
        body: text.body,
        parts: &[],
        described: text.described,
        // Each try is a message of its own.
        occasion: format!("test {}", DeliveryId::random()),
    };
    deliveries::make(db, act.now, &new)
}
