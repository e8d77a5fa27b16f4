//! The channels: mail, Telegram, webhooks.
//!
//! Invariants: a channel says of each message whether it was taken, never will be, was not taken yet, or whether nobody
//! answered, in which case it may have arrived; only the last makes a message that is marked as a possible repeat. What a
//! channel says of a failure holds no secret and no address of a request.

pub mod credential;
mod mail;
mod refusal;
mod telegram;
mod web;
mod webhook;

use std::time::Duration;

use lumbung_model::Timestamp;
use lumbung_wire::messages::alerts::ChannelKind;

use super::settings::Settings;
use crate::db::deliveries::Outgoing;
use crate::report::Language;
use credential::CredentialError;
pub use web::Web;
pub use webhook::{SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};

/// How long an answer over HTTP is waited for. Mail has times of its own.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The channel has taken it.
    Sent,
    /// The channel will never take it.
    Never(String),
    /// It was refused for good, and not for the recipient's sake: again later, since somebody mends it.
    Refused(String),
    /// It was not taken: again later, at the earliest after so many seconds.
    Later(String, Option<u32>),
    /// Nobody answered: it may have been taken.
    Unanswered(String),
}

/// Why the channels cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A credential cannot be read.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// TLS cannot be set up.
    #[error("TLS of the channel {channel} cannot be set up: {reason}")]
    Tls {
        /// Which one.
        channel: ChannelKind,
        /// Why.
        reason: String,
    },
    /// A token or sender that cannot be one.
    #[error("{0}")]
    Value(&'static str),
}

/// The channels that are set up.
pub struct Channels {
    mail: Option<mail::Mail>,
    telegram: Option<telegram::Telegram>,
    webhook: Option<webhook::Webhook>,
}

impl Channels {
    /// Opens what the configuration names; nothing is sent.
    ///
    /// # Errors
    /// If a credential or a certificate cannot be read.
    pub fn open(settings: &Settings) -> Result<Self, ChannelError> {
        let language = settings.language;
        let mail = settings.mail.as_ref().map(mail::Mail::open).transpose()?;
        let telegram =
            settings.telegram.as_ref().map(|one| telegram::Telegram::open(one, language));
        let webhook = settings.webhook.as_ref().map(webhook::Webhook::open);
        Ok(Self { mail, telegram: telegram.transpose()?, webhook: webhook.transpose()? })
    }

    /// Sends one message.
    pub async fn send(&self, message: &Outgoing, now: Timestamp) -> Outcome {
        let missing = || Outcome::Never("this channel is set up no more".to_owned());
        match message.to.channel {
            ChannelKind::Mail => match &self.mail {
                Some(mail) => mail.send(message).await,
                None => missing(),
            },
            ChannelKind::Telegram => match &self.telegram {
                Some(telegram) => telegram.send(message).await,
                None => missing(),
            },
            ChannelKind::Webhook => match &self.webhook {
                Some(webhook) => webhook.send(message, now).await,
                None => missing(),
            },
        }
    }
}

/// What stands before a message that may have arrived already, where receivers cannot tell.
fn repeat_note(language: Language) -> &'static str {
    language.choose(
        "(Pesan ini mungkin sudah terkirim sebelumnya.)\n",
        "(This message may have arrived before.)\n",
    )
}
