//! `lumbung-controller watch`: tells people when the controller of another site is silent.
//!
//! A controller that is gone tells nobody, so another machine, at the DRC, asks it for its health and tells by channels of
//! its own. Invariants: it needs nothing of the controller but its address and its CA; what it tells stands in its own
//! outbox, with repeats, escalation and the message that it is over, as at the controller. A controller that answers and
//! does not look after alerts counts as silent. It begins only if everybody whom it is to tell can be reached, and what its
//! file asks for and it does not do is refused, not passed over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::toml_text::{self, TomlError};
use lumbung_model::{Clock, Timestamp};
use lumbung_wire::client::{ClientError, ControllerClient};
use lumbung_wire::messages::overview::{ControllerHealth, ControllerState};
use lumbung_wire::tls::{self, ServerTrust, TlsError};
use rusqlite::Transaction;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::AtWork;
use super::channel::{ChannelError, Channels, Web};
use super::keeper::Keeper;
use super::outbox::Outbox;
use super::pulse::{Pulse, STALE_S};
use super::route::{Audience, Grouping, Route, Step};
use super::settings::{DigestTime, Named, Settings};
use crate::db::alarms::{self, Finding};
use crate::db::{Db, DbError};
use crate::profile::{Profile, ProfileError};
use crate::turns::Turns;

/// The kind of its one alarm.
pub const SILENT_ALARM: &str = "controller-silent";
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file of `watch`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchConfig {
    /// Its own database of messages.
    pub data_dir: PathBuf,
    /// The controller, as in `https://controller:7443`.
    pub url: String,
    /// Fingerprint of its CA, `sha256:<hex>`.
    pub ca_fingerprint: String,
    /// Seconds from one question to the next.
    #[serde(default = "interval_s")]
    pub interval_s: u32,
    /// Seconds without an answer that mean that it is silent.
    #[serde(default = "silent_s")]
    pub silent_s: u32,
    /// Who is told: recipients of this file.
    pub to: Vec<Audience>,
    /// Minutes after which they are told again.
    #[serde(default = "repeat_min")]
    pub repeat_min: u32,
    /// The city, for its time zone.
    #[serde(default = "profile")]
    pub profile: String,
    /// Channels and recipients.
    pub alerts: Settings,
}

const fn interval_s() -> u32 {
    30
}

const fn silent_s() -> u32 {
    180
}

const fn repeat_min() -> u32 {
    30
}

fn profile() -> String {
    "kota".to_owned()
}

/// Why it does not watch.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The file cannot be read.
    #[error("cannot read {path}: name the file with --file", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what is expected.
    #[error("{0}")]
    Toml(TomlError),
    /// A value that makes no sense.
    #[error("{path}: {field} {reason}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The directory cannot be made.
    #[error("cannot create {path}: check its parent's owner and mode", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The profile cannot be used.
    #[error("the city's profile cannot be used")]
    Profile(#[from] ProfileError),
    /// The database cannot be used.
    #[error("the database of messages cannot be used")]
    Db(#[from] DbError),
    /// A channel cannot be set up.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The sign of life cannot be given.
    #[error("TLS of [alerts.pulse] cannot be set up: {0}")]
    Web(String),
    /// The address is none.
    #[error("the controller's address cannot be used")]
    Address(#[from] ClientError),
}

impl WatchConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read, or says what makes no sense.
    pub fn load(path: &Path) -> Result<Self, WatchError> {
        let failed = |source| WatchError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let read: Result<Self, _> = toml_text::parse(&path.to_string_lossy(), &text);
        let config = read.map_err(WatchError::Toml)?;
        config.check().map_err(|(field, reason)| WatchError::Value {
            path: path.to_owned(),
            field,
            reason,
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !self.data_dir.is_absolute() {
            return Err(("data_dir", "must be an absolute path"));
        }
        if !(1..=3600).contains(&self.interval_s) || self.silent_s < self.interval_s {
            return Err((
                "interval_s and silent_s",
                "must be 1 to 3600 seconds, and not less than that",
            ));
        }
        let named = |one: &Audience| matches!(one, Audience::Named(_));
        if self.to.is_empty() || !self.to.iter().all(named) {
            return Err((
                "to",
                "must name recipients of this file, as in [\"name:noc\"]: there is no register here",
            ));
        }
        if !self.alerts.route.is_empty() {
            return Err((
                "alerts.route",
                "is for controller.toml: there is one alarm here, `to` says who is told of it and repeat_min how often",
            ));
        }
        if self.alerts.channels().is_empty() {
            return Err((
                "alerts",
                "must set up a channel: [alerts.mail], [alerts.telegram] or [alerts.webhook]",
            ));
        }
        self.settings().check()?;
        let meant = |one: &&Named| self.to.contains(&Audience::Named(one.name.clone()));
        if !self.alerts.recipient.iter().filter(meant).all(|one| self.alerts.reaches(one)) {
            return Err((
                "to",
                "names a recipient whom no channel of this file reaches: give it a mail, telegram or webhook of one that is set up",
            ));
        }
        Ok(())
    }

    /// The settings, with the one route of the one alarm.
    fn settings(&self) -> Settings {
        let mut settings = self.alerts.clone();
        let route = Route {
            kind: vec![SILENT_ALARM.to_owned()],
            severity: Vec::new(),
            pd: Vec::new(),
            site: Vec::new(),
            steps: vec![Step { after_min: 0, to: self.to.clone() }],
            repeat_min: self.repeat_min,
            group: Grouping::Kind,
            quiet: None,
        };
        settings.route.push(route);
        settings.digest_at = DigestTime(None);
        settings
    }
}

/// Whether an answer is one of a controller that works.
fn is_at_work(health: &ControllerHealth) -> bool {
    let acts = health.state.is_none_or(|state| state == ControllerState::Acting);
    acts && health.alerts.is_none_or(|last| health.now.seconds_since(last) <= STALE_S)
}

/// Whoever watches.
struct Watch {
    config: WatchConfig,
    db: Db,
    clock: Arc<dyn Clock>,
    controller: ControllerClient,
}

impl Watch {
    async fn ask(&self) -> Result<(), String> {
        let asked = self.controller.get::<ControllerHealth>("/api/v1/health");
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(health)) if is_at_work(&health) => Ok(()),
            Ok(Ok(_)) => {
                Err("it answers, but does not act as the controller, or does not look after alerts"
                    .to_owned())
            }
            Ok(Err(error)) => Err(lumbung_model::with_causes(&error)),
            Err(_) => Err("no answer within 10 s".to_owned()),
        }
    }

    async fn run(self, stop: watch::Receiver<bool>) {
        let mut turns = Turns::every(Duration::from_secs(self.config.interval_s.into()), stop);
        let mut heard = self.clock.now();
        while turns.next().await {
            let answer = self.ask().await;
            let now = self.clock.now();
            if answer.is_ok() {
                heard = now;
            }
            if let Err(error) = self.settle(now, heard, answer.err()).await {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "what the controller answers cannot be written");
            }
        }
    }

    /// Raises the alarm once it has been silent for too long; clears it when it answers.
    async fn settle(
        &self,
        now: Timestamp,
        heard: Timestamp,
        error: Option<String>,
    ) -> Result<(), DbError> {
        let url = self.config.url.clone();
        let silent = now.seconds_since(heard) >= i64::from(self.config.silent_s);
        if error.is_some() && !silent {
            return Ok(());
        }
        let finding = error.map(|error| Finding {
            subject: url.clone(),
            pd: None,
            site: None,
            service: None,
            detail: format!("the controller is silent since {heard}: {error}"),
        });
        let write = move |tx: &Transaction<'_>| {
            // Of whatever address: one that was corrected is not silent for ever.
            let found: Vec<Finding> = finding.into_iter().collect();
            alarms::reconcile(tx, now, SILENT_ALARM, "", &found)
        };
        self.db.write_async(write).await
    }
}

/// What the file names, opened.
struct Opened {
    profile: Profile,
    settings: Settings,
    channels: Channels,
    controller: ControllerClient,
    web: Web,
}

impl Opened {
    fn of(config: &WatchConfig, clock: &Arc<dyn Clock>) -> Result<Self, WatchError> {
        let settings = config.settings();
        let trust = ServerTrust::CaFingerprint(config.ca_fingerprint.clone());
        let tls = tls::client_config(None, trust, clock.clone())?;
        Ok(Self {
            profile: Profile::load(&config.profile)?,
            channels: Channels::open(&settings)?,
            controller: ControllerClient::new(&config.url, &tls)?,
            web: Web::open().map_err(WatchError::Web)?,
            settings,
        })
    }
}

/// Opens what the file names, secrets included, and does nothing with it.
///
/// # Errors
/// Whatever would keep it from watching.
pub fn check(config: &WatchConfig, clock: &Arc<dyn Clock>) -> Result<(), WatchError> {
    Opened::of(config, clock).map(drop)
}

/// Watches until told to stop. `ready` is called once everything is open.
///
/// # Errors
/// If something that it needs cannot be opened.
pub async fn run(
    config: WatchConfig,
    clock: Arc<dyn Clock>,
    mut stop: watch::Receiver<bool>,
    ready: impl FnOnce(),
) -> Result<(), WatchError> {
    let Opened { profile, settings, channels, controller, web } = Opened::of(&config, &clock)?;
    let path = config.data_dir.clone();
    std::fs::create_dir_all(&path).map_err(|source| WatchError::Directory { path, source })?;
    let db = Db::create(&config.data_dir.join("watch.db"))?;
    let AtWork { bell, done } = AtWork::begin(clock.now());
    let mut tasks = JoinSet::new();
    if let Some(settings) = settings.pulse.clone() {
        let (db, clock, done) = (db.clone(), clock.clone(), done.subscribe());
        tasks.spawn(Pulse { db, clock, done, settings, web }.run(stop.clone()));
    }
    let keeper = Keeper {
        db: db.clone(),
        clock: clock.clone(),
        profile: Arc::new(profile),
        settings: Arc::new(settings),
        bell: bell.clone(),
        done,
    };
    tasks.spawn(keeper.run(stop.clone()));
    let (outbox_db, channels) = (db.clone(), Arc::new(channels));
    tasks.spawn(Outbox { db: outbox_db, clock: clock.clone(), channels, bell }.run(stop.clone()));
    tasks.spawn(Watch { config, db, clock, controller }.run(stop.clone()));
    ready();
    let _ = stop.wait_for(|stopped| *stopped).await;
    tasks.join_all().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotated_example_is_valid() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/watch.toml");
        let config = WatchConfig::load(Path::new(path)).unwrap();
        let defaults = (interval_s(), silent_s(), repeat_min(), profile());
        let said = (config.interval_s, config.silent_s, config.repeat_min, config.profile.clone());
        assert_eq!(said, defaults);
        assert!(config.settings().channels().len() == 1);
    }

    #[test]
    fn what_would_reach_nobody_or_do_nothing_is_refused() {
        let text = include_str!("../../../config/watch.toml");
        let read = |text: &str| {
            let config: WatchConfig = toml::from_str(text).unwrap();
            config.check().map_err(|(field, reason)| format!("{field} {reason}"))
        };
        assert_eq!(read(text), Ok(()));
        let telegram = text.replace("mail = \"noc@example.go.id\"", "telegram = \"5\"");
        assert!(telegram != text);
        assert!(read(&telegram).unwrap_err().contains("no channel of this file reaches"));
        let unknown = text.replace("name:noc", "name:nok");
        assert!(read(&unknown).unwrap_err().contains("no [[alerts.recipient]] has"));
        let route =
            format!("{text}[[alerts.route]]\nrepeat_min = 60\nsteps = [{{ to = ['name:noc'] }}]\n");
        assert!(read(&route).unwrap_err().contains("controller.toml"));
    }

    #[test]
    fn a_controller_that_does_not_look_after_alerts_is_no_controller_at_work() {
        let health = |alerts: Option<i64>| ControllerHealth {
            version: "0.1.0".into(),
            now: Timestamp(10_000),
            alerts: alerts.map(Timestamp),
            state: None,
            epoch: None,
            copied: None,
        };
        assert!(is_at_work(&health(None)) && is_at_work(&health(Some(9_990))));
        assert!(!is_at_work(&health(Some(9_000))));
        let of = |state| ControllerHealth { state: Some(state), ..health(Some(9_990)) };
        assert!(is_at_work(&of(ControllerState::Acting)));
        assert!(!is_at_work(&of(ControllerState::Superseded)));
    }
}
