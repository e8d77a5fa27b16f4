//! Telegram: `sendMessage` of the Bot API (core.telegram.org/bots/api), as plain text.
//!
//! Invariants: no `parse_mode`, so nothing in a text means anything; no preview of what a text names; the token stands in
//! the URL only, and no error tells the URL. The API knows no message by an id of ours, so a possible repeat says so.

use http::StatusCode;
use lumbung_wire::messages::alerts::{ChannelKind, Severity};
use serde::Deserialize;
use serde_json::json;

use super::credential::Credential;
use super::web::{self, Web};
use super::{ChannelError, Outcome, repeat_note};
use crate::alerts::settings;
use crate::db::deliveries::Outgoing;
use crate::report::Language;

/// Longest text, UTF-16 units.
const TEXT_MAX_UNITS: usize = 4096;

pub(super) struct Telegram {
    web: Web,
    token: Credential,
    base_url: String,
    language: Language,
}

/// An answer of the Bot API, as far as it matters.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<u32>,
    migrate_to_chat_id: Option<i64>,
}

impl Telegram {
    pub(super) fn open(
        settings: &settings::Telegram,
        language: Language,
    ) -> Result<Self, ChannelError> {
        let channel = ChannelKind::Telegram;
        let web = Web::open().map_err(|reason| ChannelError::Tls { channel, reason })?;
        let token = settings.token_file.read()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
        if !token.expose().chars().all(fits) {
            return Err(ChannelError::Value(
                "alerts.telegram.token_file holds no token of a bot: it looks like 123456:ABC-DEF",
            ));
        }
        let base_url = settings.base_url.trim_end_matches('/').to_owned();
        Ok(Self { web, token, base_url, language })
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        let Ok(chat) = message.to.to.parse::<i64>() else {
            return Outcome::Never("this is not the number of a chat".to_owned());
        };
        let url = format!("{}/bot{}/sendMessage", self.base_url, self.token.expose());
        let body = json!({
            "chat_id": chat,
            "text": self.text(message),
            "link_preview_options": { "is_disabled": true },
            "disable_notification": message.severity == Severity::Notice,
        });
        let request =
            self.web.post(&url).header("content-type", "application/json").body(body.to_string());
        match web::send(request).await {
            Ok(answer) => outcome(&answer),
            Err(outcome) => outcome,
        }
    }

    fn text(&self, message: &Outgoing) -> String {
        let note = if message.maybe_repeated { repeat_note(self.language) } else { "" };
        fit(&format!("{note}{}\n\n{}", message.subject, message.body))
    }
}

/// The text, cut where Telegram would refuse it.
fn fit(text: &str) -> String {
    if text.encode_utf16().count() <= TEXT_MAX_UNITS {
        return text.to_owned();
    }
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units < TEXT_MAX_UNITS
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

fn outcome(answer: &web::Answer) -> Outcome {
    let said = serde_json::from_slice::<Said>(&answer.body).ok();
    if answer.status.is_success() && said.as_ref().is_some_and(|said| said.ok) {
        return Outcome::Sent;
    }
    let (description, parameters) =
        said.map_or_else(Default::default, |said| (said.description, said.parameters));
    let reason = format!("Telegram answered {}: {}", answer.status, web::short(&description));
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => Outcome::Later(reason, parameters.retry_after),
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => match parameters.migrate_to_chat_id {
            Some(chat) => Outcome::Never(format!("{reason}; the group's chat is {chat} now")),
            None => Outcome::Never(reason),
        },
        _ => Outcome::Later(reason, web::retry_after(&answer.headers)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_telegram_counts() {
        let short = "padi";
        assert_eq!(fit(short), short);
        for long in ["a".repeat(5000), "🌾".repeat(3000), "é".repeat(4097)] {
            let cut = fit(&long);
            assert!(cut.encode_utf16().count() <= TEXT_MAX_UNITS && cut.ends_with('…'));
            assert!(cut.encode_utf16().count() >= TEXT_MAX_UNITS - 2);
        }
    }
}
