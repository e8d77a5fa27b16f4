//! `[alerts]` in the controller's configuration: the channels, and who is told what.
//!
//! Invariants: no secret stands in the file, only the name of the file that holds it; without a channel nothing is sent, and
//! with one alone everything else has a default; what is sent leaves the machine by TLS unless it goes to this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lumbung_model::rate::TimeOfDay;
use lumbung_model::schedule::Tz;
use lumbung_wire::messages::alerts::{ChannelKind, Severity};
use serde::Deserialize;

use super::channel::credential::CredentialFile;
use super::route::{self, Audience, Quiet, Route, Rules};
use crate::report::Language;

/// `[alerts]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The language of messages: `id` or `en`.
    pub language: Language,
    /// Seconds for which alarms are gathered before they are told, unless they are critical.
    pub gather_s: u32,
    /// An alarm that comes back within so many seconds never went.
    pub damp_s: u32,
    /// What joins an alert is told after so many seconds at the earliest.
    pub regroup_s: u32,
    /// Hours in which only what is critical is told.
    pub quiet: Quiet,
    /// When the daily digest goes out.
    pub digest_at: DigestTime,
    /// Who gets the daily digest.
    pub digest_to: Vec<Audience>,
    /// How much kinds of alarms matter, where the city thinks otherwise.
    pub severity: BTreeMap<String, Severity>,
    /// Who is told what; what fits none goes the default ways.
    pub route: Vec<Route>,
    /// Recipients who stand in no register.
    pub recipient: Vec<Named>,
    /// Electronic mail.
    pub mail: Option<Mail>,
    /// Telegram.
    pub telegram: Option<Telegram>,
    /// Webhooks.
    pub webhook: Option<Webhook>,
    /// A sign of life for a service outside.
    pub pulse: Option<Pulse>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: Language::default(),
            gather_s: 60,
            damp_s: 600,
            regroup_s: 900,
            quiet: Quiet("22:00".parse().ok().zip("06:00".parse().ok())),
            digest_at: DigestTime("07:00".parse().ok()),
            digest_to: vec![Audience::Dinas],
            severity: BTreeMap::new(),
            route: Vec::new(),
            recipient: Vec::new(),
            mail: None,
            telegram: None,
            webhook: None,
            pulse: None,
        }
    }
}

/// A time of day, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestTime(pub Option<TimeOfDay>);

impl<'de> Deserialize<'de> for DigestTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Self(None));
        }
        text.parse().map(|at| Self(Some(at))).map_err(serde::de::Error::custom)
    }
}

/// `[[alerts.recipient]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// As routes name it: `name:NAME`.
    pub name: String,
    /// Mail address.
    #[serde(default)]
    pub mail: String,
    /// Number of a chat.
    #[serde(default)]
    pub telegram: String,
    /// Where requests go.
    #[serde(default)]
    pub webhook: String,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// TLS after STARTTLS (RFC 3207), or no mail.
    #[default]
    Starttls,
    /// None: only to this machine.
    None,
}

/// `[alerts.mail]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The mail server.
    pub host: String,
    /// Its port; 465 with `tls`, 587 with `starttls`, 25 with `none`.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub security: MailSecurity,
    /// The sender: an address, or `Name <address>`.
    pub from: String,
    /// As whom to log in; nobody if absent.
    #[serde(default)]
    pub user: Option<String>,
    /// The file that holds the password.
    #[serde(default)]
    pub password_file: Option<CredentialFile>,
    /// Authorities that are trusted beside the machine's, PEM.
    #[serde(default)]
    pub ca_file: Option<std::path::PathBuf>,
}

/// `[alerts.telegram]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telegram {
    /// The file that holds the bot's token.
    pub token_file: CredentialFile,
    /// Where the Bot API is: Telegram's own, a local Bot API server, or a proxy.
    #[serde(default = "telegram_api")]
    pub base_url: String,
}

fn telegram_api() -> String {
    "https://api.telegram.org".to_owned()
}

/// `[alerts.webhook]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The file that holds the secret which requests are signed with.
    pub secret_file: CredentialFile,
    /// Hosts that may be told over plain HTTP.
    #[serde(default)]
    pub plain_http: Vec<String>,
}

/// `[alerts.pulse]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pulse {
    /// What is asked for (GET) as long as the controller works.
    pub url: String,
    /// Seconds from one to the next.
    #[serde(default = "pulse_s")]
    pub interval_s: u32,
}

const fn pulse_s() -> u32 {
    60
}

/// Whether a host is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether a URL is one that may be asked: https, or http to this machine or a host that is allowed.
fn fits_url(url: &str, plain: &[String]) -> bool {
    let Ok(parsed) = reqwest::Url::parse(url) else { return false };
    let Some(host) = parsed.host_str() else { return false };
    match parsed.scheme() {
        "https" => true,
        "http" => is_loopback(host) || plain.iter().any(|one| one == host),
        _ => false,
    }
}

impl Settings {
    /// The channels that are set up.
    #[must_use]
    pub fn channels(&self) -> BTreeSet<ChannelKind> {
        [
            (ChannelKind::Mail, self.mail.is_some()),
            (ChannelKind::Telegram, self.telegram.is_some()),
            (ChannelKind::Webhook, self.webhook.is_some()),
        ]
        .into_iter()
        .filter_map(|(channel, there)| there.then_some(channel))
        .collect()
    }

    /// Whether a recipient has an address of a channel that is set up.
    #[must_use]
    pub fn reaches(&self, one: &Named) -> bool {
        let given = [
            (ChannelKind::Mail, &one.mail),
            (ChannelKind::Telegram, &one.telegram),
            (ChannelKind::Webhook, &one.webhook),
        ];
        let channels = self.channels();
        given.iter().any(|(channel, to)| !to.is_empty() && channels.contains(channel))
    }

    /// What decides who is told.
    #[must_use]
    pub fn rules(&self, zone: Tz) -> Rules {
        let mut routes = self.route.clone();
        routes.extend(route::defaults());
        Rules {
            severity: self.severity.clone(),
            routes,
            gather_s: self.gather_s.into(),
            damp_s: self.damp_s.into(),
            regroup_s: self.regroup_s.into(),
            quiet: self.quiet,
            zone,
            digest: self.digest_at.0.map(|at| (at, self.digest_to.clone())),
        }
    }

    /// What makes no sense, as the key and why.
    ///
    /// # Errors
    /// The first such key.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(10..=86_400).contains(&self.damp_s) {
            return Err(("alerts.damp_s", "must be 10 to 86400 seconds"));
        }
        if self.gather_s > 3600 || !(1..=86_400).contains(&self.regroup_s) {
            return Err((
                "alerts.gather_s and regroup_s",
                "must be 0 to 3600 and 1 to 86400 seconds",
            ));
        }
        for route in &self.route {
            self.check_route(route)?;
        }
        self.check_audience(&self.digest_to)?;
        for one in &self.recipient {
            self.check_recipient(one)?;
        }
        self.check_channels()
    }

    fn check_route(&self, route: &Route) -> Result<(), (&'static str, &'static str)> {
        if route.steps.is_empty() || route.steps[0].after_min != 0 {
            return Err((
                "alerts.route",
                "must have steps, and the first of them is due at once (no after_min)",
            ));
        }
        if !(5..=7 * 1440).contains(&route.repeat_min) {
            return Err(("alerts.route.repeat_min", "must be 5 minutes to 7 days (10080)"));
        }
        route.steps.iter().try_for_each(|step| self.check_audience(&step.to))
    }

    fn check_audience(&self, audience: &[Audience]) -> Result<(), (&'static str, &'static str)> {
        let known = |name: &str| self.recipient.iter().any(|one| one.name == name);
        let missing = |one: &Audience| matches!(one, Audience::Named(name) if !known(name));
        if audience.iter().any(missing) {
            return Err(("alerts", "names a recipient (name:…) that no [[alerts.recipient]] has"));
        }
        Ok(())
    }

    fn check_recipient(&self, one: &Named) -> Result<(), (&'static str, &'static str)> {
        use crate::register::text;
        if text::line("name", &one.name).is_err() || text::email(&one.mail).is_err() {
            return Err((
                "alerts.recipient",
                "must have a name on one line, and a mail address as in NAME@HOST",
            ));
        }
        if text::telegram(&one.telegram).is_err() {
            return Err(("alerts.recipient.telegram", "must be the number of a chat"));
        }
        let plain = self.webhook.as_ref().map_or(&[][..], |webhook| &webhook.plain_http);
        if !one.webhook.is_empty() && !fits_url(&one.webhook, plain) {
            return Err((
                "alerts.recipient.webhook",
                "must be https://…, or a host of alerts.webhook.plain_http",
            ));
        }
        if self.recipient.iter().filter(|other| other.name == one.name).count() > 1 {
            return Err(("alerts.recipient.name", "must be another one for each"));
        }
        Ok(())
    }

    fn check_channels(&self) -> Result<(), (&'static str, &'static str)> {
        if let Some(mail) = &self.mail {
            if mail.security == MailSecurity::None && !is_loopback(&mail.host) {
                return Err((
                    "alerts.mail.security",
                    "may be none only where host is this machine",
                ));
            }
            if mail.user.is_some() != mail.password_file.is_some() {
                return Err(("alerts.mail", "must have user and password_file, or neither"));
            }
            if mail.from.parse::<lettre::message::Mailbox>().is_err() {
                return Err(("alerts.mail.from", "must be an address, or Name <address>"));
            }
        }
        if self.telegram.as_ref().is_some_and(|one| !fits_url(&one.base_url, &[])) {
            return Err((
                "alerts.telegram.base_url",
                "must be https://…, or http:// to this machine",
            ));
        }
        if let Some(pulse) = &self.pulse
            && (!fits_url(&pulse.url, &[]) || !(10..=3600).contains(&pulse.interval_s))
        {
            return Err((
                "alerts.pulse",
                "must have an https:// url, and interval_s of 10 to 3600 seconds",
            ));
        }
        Ok(())
    }
}
