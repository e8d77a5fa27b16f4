//! Webhooks: a signed JSON document by POST.
//!
//! The signature is HMAC-SHA-256 (RFC 2104) with the shared secret over the decimal time in `Lumbung-Timestamp`, a full stop
//! and the body; receivers refuse what is old, and drop an id that they have seen. Only 410 means never.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use lumbung_model::Timestamp;
use lumbung_wire::messages::alerts::ChannelKind;
use serde_json::json;
use sha2::Sha256;

use super::credential::Credential;
use super::web::{self, Web};
use super::{ChannelError, Outcome};
use crate::alerts::settings;
use crate::db::deliveries::Outgoing;

/// When it was sent, seconds since 1970 UTC.
pub const TIMESTAMP_HEADER: &str = "lumbung-timestamp";
/// The signature, as in `v1=<hex>`.
pub const SIGNATURE_HEADER: &str = "lumbung-signature";
/// The version of the document.
const VERSION: u32 = 1;

/// The signature of a body that is sent at a time.
#[must_use]
pub fn signature(secret: &str, at: Timestamp, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.update(format!("{}.", at.0).as_bytes());
    mac.update(body);
    format!("v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

pub(super) struct Webhook {
    web: Web,
    secret: Credential,
}

impl Webhook {
    pub(super) fn open(settings: &settings::Webhook) -> Result<Self, ChannelError> {
        let channel = ChannelKind::Webhook;
        let web = Web::open().map_err(|reason| ChannelError::Tls { channel, reason })?;
        Ok(Self { web, secret: settings.secret_file.read()? })
    }

    pub(super) async fn send(&self, message: &Outgoing, now: Timestamp) -> Outcome {
        let body = document(message).to_string().into_bytes();
        let request = self
            .web
            .post(&message.to.to)
            .header("content-type", "application/json")
            .header("idempotency-key", message.id.to_string())
            .header(TIMESTAMP_HEADER, now.0.to_string())
            .header(SIGNATURE_HEADER, signature(self.secret.expose(), now, &body))
            .body(body);
        match web::send(request).await {
            Ok(answer) => outcome(&answer),
            Err(outcome) => outcome,
        }
    }
}

fn outcome(answer: &web::Answer) -> Outcome {
    let status = answer.status;
    if status.is_success() {
        return Outcome::Sent;
    }
    let said = web::short(&String::from_utf8_lossy(&answer.body));
    let reason = format!("it answered {status}: {said}");
    if status == StatusCode::GONE {
        return Outcome::Never(reason);
    }
    Outcome::Later(reason, web::retry_after(&answer.headers))
}

/// What is sent; `docs/api.md` describes it.
fn document(message: &Outgoing) -> serde_json::Value {
    let alerts: Vec<_> = message
        .alerts
        .iter()
        .map(|(alert, cause)| json!({ "id": alert, "cause": cause }))
        .collect();
    json!({
        "version": VERSION,
        "id": message.id,
        "cause": message.cause,
        "severity": message.severity,
        "made": message.made,
        "recipient": message.recipient,
        "subject": message.subject,
        "text": message.body,
        "alerts": alerts,
        "attempt": message.attempts,
        "maybe_repeated": message.maybe_repeated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_says() {
        // printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac rahasia
        let found = signature("rahasia", Timestamp(1_800_000_000), br#"{"a":1}"#);
        assert_eq!(found, "v1=98459674fb3310ca03ca82d2a87415a1fd8f64a7885c6bf0f6f64698c0acf9de");
    }
}
