//! Whom a message goes to: recipients with their addresses, in the order in which they are tried.

use std::fmt;
use std::str::FromStr;

use lumbung_model::{ContactPersonId, OnCallId, PdId};
use lumbung_wire::messages::alerts::ChannelKind;

/// Who is told, by something that stays: two people never share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecipientKey {
    /// A contact person of the register.
    Contact(ContactPersonId),
    /// Somebody on the on-call roster.
    OnCall(OnCallId),
    /// A `[[alerts.recipient]]` of the configuration.
    Named(String),
}

/// A text that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no recipient")]
pub struct NotAKey(String);

impl fmt::Display for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contact(id) => write!(f, "contact:{id}"),
            Self::OnCall(id) => write!(f, "on-call:{id}"),
            Self::Named(name) => write!(f, "name:{name}"),
        }
    }
}

impl FromStr for RecipientKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let wrong = || NotAKey(text.chars().take(64).collect());
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "contact" => rest.parse().map(Self::Contact).map_err(|_| wrong()),
            "on-call" => rest.parse().map(Self::OnCall).map_err(|_| wrong()),
            "name" => Ok(Self::Named(rest.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Address {
    /// By what.
    pub channel: ChannelKind,
    /// A mail address, the number of a chat, a URL.
    pub to: String,
}

impl Address {
    /// Whether both lead to one place. Mail addresses that differ in capitals do: RFC 5321 §2.4 leaves it to the receiving
    /// host, and none that people are reached at tells them apart.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |one: &str, other: &str| match self.channel {
            ChannelKind::Mail => one.eq_ignore_ascii_case(other),
            ChannelKind::Telegram | ChannelKind::Webhook => one == other,
        };
        self.channel == other.channel && same(&self.to, &other.to)
    }
}

/// Somebody who can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Who.
    pub key: RecipientKey,
    /// For people.
    pub name: String,
    /// The PD whose contact person it is: it sees nothing of another.
    pub pd: Option<PdId>,
    /// Where, the first one first; the others are tried when it fails.
    pub addresses: Vec<Address>,
}
