//! Alerts: what people are told about alarms, and the roster of who is on call.
//!
//! Alarms that belong together are one alert. It is told by steps (the PD's contact first, then the Dinas), until somebody
//! says that it is looked after, or it is over.

use lumbung_model::vocabulary;
use lumbung_model::{AlertId, DeliveryId, OnCallId, PdId, ServiceId, SiteId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary!(
    /// How much an alarm matters.
    Severity {
        /// To be known; nobody need do anything today.
        Notice = "notice",
        /// Something is wrong, and is to be put right.
        Warning = "warning",
        /// Data or services are in danger now: it is told in quiet hours too.
        Critical = "critical",
    }
);

vocabulary!(
    /// How far an alert has come.
    AlertState {
        /// Nobody has said that it is looked after.
        Open = "open",
        /// Somebody looks after it.
        Acknowledged = "acknowledged",
        /// What it was about is over.
        Over = "over",
    }
);

vocabulary!(
    /// By what people are told.
    ChannelKind {
        /// Electronic mail (SMTP).
        Mail = "mail",
        /// A chat of Telegram, by its Bot API.
        Telegram = "telegram",
        /// An HTTP request with a signature.
        Webhook = "webhook",
    }
);

vocabulary!(
    /// How far a message has come.
    DeliveryState {
        /// It waits for its time, or to be tried again.
        Waiting = "waiting",
        /// It is under way.
        Trying = "trying",
        /// It was under way when the controller stopped, or nobody answered: it may have arrived, and is sent again.
        Unknown = "unknown",
        /// The channel has taken it.
        Sent = "sent",
        /// The channel will never take it.
        Failed = "failed",
        /// It was not sent any more: a newer message to the same address tells all that it told.
        Superseded = "superseded",
    }
);

vocabulary!(
    /// Why a message was made.
    DeliveryCause {
        /// Something is wrong.
        Alert = "alert",
        /// The daily digest.
        Digest = "digest",
        /// Somebody tries whether messages arrive.
        Test = "test",
    }
);

/// That somebody looks after an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Acknowledgement {
    /// Since when.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What there is to say.
    #[serde(default)]
    pub note: String,
}

/// An element of `GET /api/v1/alerts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// The kind of its alarms; of several kinds, the first one's.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// How far it has come.
    pub state: AlertState,
    /// Whose data it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The site it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// The service it is about; absent if it is about none, or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// Since when.
    pub opened: Timestamp,
    /// When its last alarm was over; absent while one lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared: Option<Timestamp>,
    /// When it was over for good; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// Who looks after it, if anybody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// Steps of its route that were taken: from the second on it was escalated.
    pub steps: u32,
    /// How many things it has been about.
    pub subjects: u64,
}

/// Something that an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertSubject {
    /// The alarm's kind.
    pub kind: String,
    /// The alarm's subject.
    pub subject: String,
    /// For people; empty if the alarm is over.
    #[serde(default)]
    pub detail: String,
    /// Since when it belongs to the alert.
    pub joined: Timestamp,
    /// Whether its alarm lasts.
    pub lasts: bool,
}

/// One message to one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Its id: receivers know by it a message that comes twice.
    pub id: DeliveryId,
    /// Why it was made.
    pub cause: DeliveryCause,
    /// For whom.
    pub recipient: String,
    /// By what.
    pub channel: ChannelKind,
    /// How far it has come.
    pub state: DeliveryState,
    /// Its subject line; empty for whoever may not see all that it tells of.
    pub subject: String,
    /// When it was made.
    pub made: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; absent once it is sent, has failed or was superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// When the channel took it, refused it for good, or a newer message took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What went wrong last.
    #[serde(default)]
    pub error: String,
    /// Whether it may have arrived twice.
    #[serde(default)]
    pub maybe_repeated: bool,
}

/// `GET /api/v1/alerts/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertDetail {
    /// The alert.
    pub alert: Alert,
    /// What it is about, at most 1000.
    pub subjects: Vec<AlertSubject>,
    /// Who was told, oldest first, at most 1000.
    pub deliveries: Vec<Delivery>,
}

/// `POST /api/v1/alerts/{id}/acknowledge`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeInput {
    /// What is done about it: up to 1000 characters.
    #[serde(default)]
    pub note: String,
}

/// `POST /api/v1/alerts/test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AlertTestInput {
    /// Whom: the id of a contact person or of somebody on call, a name of `[[alerts.recipient]]`, `on-call` or `dinas`.
    pub recipient: String,
    /// By what; every address of theirs if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelKind>,
}

/// The messages of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertTest {
    /// What was put into the outbox.
    pub deliveries: Vec<Delivery>,
}

/// Somebody who is on call for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OnCall {
    /// Its id.
    pub id: OnCallId,
    /// Tier of the service desk: 2 is the Dinas, 3 whoever stands behind it.
    pub tier: u8,
    /// The person's name.
    pub name: String,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Telephone number.
    #[serde(default)]
    pub phone: String,
    /// Electronic mail.
    #[serde(default)]
    pub email: String,
    /// Number of a chat of Telegram.
    #[serde(default)]
    pub telegram: String,
    /// When it was taken back; absent if it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// Somebody to be put on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OnCallInput {
    /// Tier of the service desk, 2 or 3.
    pub tier: u8,
    /// The person's name.
    pub name: String,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends: at most 92 days later.
    pub until: Timestamp,
    /// Telephone number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phone: String,
    /// Electronic mail.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Number of a chat of Telegram.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub telegram: String,
}
