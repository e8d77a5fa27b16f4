//! A city's profile: its words, its rules with their articles, and the numbers that no article fixes.
//!
//! The cities' regulations contradict each other, so what a city asks for stands in `config/profiles/<city>.toml` and
//! never in code. Invariants: a rule says what it looks at, its threshold, its article and its wording in both
//! languages; what names no article is a proposal (*usulan*) and so is every number without a legal instrument; a
//! profile that contradicts itself is refused with its line or its rule.

mod check;
mod rule;
mod words;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use lumbung_model::drill::DrillKind;
use lumbung_model::schedule::{Tz, parse_zone};
use lumbung_model::toml_text::{self, TomlError};
use lumbung_model::{Day, Timestamp};
use lumbung_wire::messages::register::Urgency;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

pub use rule::{Duty, DutyOf, Force, Hosting, Look, PdFilter, Rule, Subject, Where};
pub use words::{Vocabulary, Wording};

/// The profiles that come with the program: their codes, and their texts.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("kota", include_str!("../../config/profiles/kota.toml")),
    ("depok", include_str!("../../config/profiles/depok.toml")),
    ("medan", include_str!("../../config/profiles/medan.toml")),
    ("palembang", include_str!("../../config/profiles/palembang.toml")),
    ("tanjungbalai", include_str!("../../config/profiles/tanjungbalai.toml")),
    ("tebing-tinggi", include_str!("../../config/profiles/tebing-tinggi.toml")),
];

/// A city's profile.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The city, and the regulation that the profile follows.
    pub city: City,
    /// What the city calls things.
    pub vocabulary: Vocabulary,
    /// What follows from how urgent data is.
    pub urgency: UrgencyClasses,
    /// How long evidence lasts.
    pub evidence: Evidence,
    /// How early the city plans.
    #[serde(default)]
    pub capacity: Capacity,
    /// When a device needs somebody.
    #[serde(default)]
    pub assets: Assets,
    /// How often recovery is rehearsed.
    #[serde(default)]
    pub drills: Drills,
    /// How often a key is rebuilt from its shares.
    #[serde(default)]
    pub keys: Keys,
    /// What is asked for.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
    /// What is owed by date.
    #[serde(default, rename = "duty")]
    pub duties: Vec<Duty>,
    /// SHA-256 of its text, hex.
    #[serde(skip)]
    pub digest: String,
}

/// `[city]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Short code, as in `medan`.
    pub code: String,
    /// Name with its kind, as in `Kota Medan`: a building in its jurisdiction says the same.
    pub name: String,
    /// The regulation, as it is cited; empty: the profile follows none.
    #[serde(default)]
    pub regulation: String,
    /// Its full title.
    #[serde(default)]
    pub regulation_title: String,
    /// The zone of its days, months and schedules: WIB, WITA, WIT or an IANA name.
    #[serde(default = "wib")]
    pub timezone: String,
}

fn wib() -> String {
    "WIB".to_owned()
}

/// `[urgency]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrgencyClasses {
    /// Services stop without it.
    pub critical: UrgencyClass,
    /// Needed within the day.
    pub high: UrgencyClass,
    /// Ordinary.
    pub normal: UrgencyClass,
    /// Archive.
    pub low: UrgencyClass,
}

/// What one class of urgency yields, where a dataset does not say its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrgencyClass {
    /// When it is backed up: five fields as in crontab(5).
    pub schedule: String,
    /// Longest time between two backups, hours.
    pub rpo_h: u32,
    /// How long copies are kept, in words for the register.
    pub retention: String,
    /// On what it is kept.
    pub media: String,
    /// The legal instrument that sets these; empty: they are a proposal.
    #[serde(default)]
    pub instrument: String,
}

/// `[evidence]`: no article says how long evidence lasts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// An inventory older than this proves nothing, hours.
    pub inventory_max_age_h: u32,
    /// A verified snapshot speaks for its dataset this long, days.
    pub verification_days: u32,
    /// A proof of restore lasts this long, days.
    pub proof_days: u32,
    /// The legal instrument that sets these; empty: they are a proposal.
    #[serde(default)]
    pub instrument: String,
}

/// `[capacity]`: how early what is used up has to be known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// There is an alarm when a limit is expected to be reached within so many months.
    pub lead_months: u32,
    /// What changes on a day, in thousandths of everything, as long as nothing was measured.
    pub daily_change_permille: u32,
    /// The legal instrument that sets `lead_months`; empty: it is a proposal.
    pub instrument: String,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { lead_months: 24, daily_change_permille: 20, instrument: String::new() }
    }
}

/// `[assets]`: no article says when a device is old; what is not set is a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Assets {
    /// A device of so many years is old.
    pub max_age_years: u32,
    /// A warranty that ends is told so many days before.
    pub warranty_days: u32,
    /// A reservation that lapses is told so many days before.
    pub reservation_days: u32,
    /// The legal instrument that sets these; empty: they are a proposal.
    pub instrument: String,
}

impl Default for Assets {
    fn default() -> Self {
        let instrument = String::new();
        Self { max_age_years: 5, warranty_days: 90, reservation_days: 30, instrument }
    }
}

/// `[drills]`: no article says how often; what is not set is a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drills {
    /// A restore is rehearsed every so many months, and a run speaks for its plan as long.
    pub restore_months: u32,
    /// A failover likewise.
    pub failover_months: u32,
    /// A tabletop likewise.
    pub tabletop_months: u32,
    /// A new plan is run within so many days.
    pub first_days: u32,
    /// The legal instrument that sets these; empty: they are a proposal.
    pub instrument: String,
}

impl Default for Drills {
    fn default() -> Self {
        let (restore_months, failover_months, tabletop_months) = (6, 12, 12);
        let instrument = String::new();
        Self { restore_months, failover_months, tabletop_months, first_days: 90, instrument }
    }
}

/// `[keys]`: no article says how often; what is not set is a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The officers rebuild a PD's key from its shares every so many days.
    pub rehearsal_days: u32,
    /// The legal instrument that sets it; empty: it is a proposal.
    pub instrument: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self { rehearsal_days: 365, instrument: String::new() }
    }
}

impl Drills {
    /// How long a run of a plan of that kind speaks for it, months.
    #[must_use]
    pub const fn months(&self, kind: DrillKind) -> u32 {
        match kind {
            DrillKind::Restore => self.restore_months,
            DrillKind::Failover => self.failover_months,
            DrillKind::Tabletop => self.tabletop_months,
        }
    }
}

impl UrgencyClasses {
    /// The class of an urgency.
    #[must_use]
    pub const fn of(&self, urgency: Urgency) -> &UrgencyClass {
        match urgency {
            Urgency::Critical => &self.critical,
            Urgency::High => &self.high,
            Urgency::Normal => &self.normal,
            Urgency::Low => &self.low,
        }
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is none of that name.
    #[error("there is no profile {0:?}: name one of {known}, or a file that ends in .toml", known = names())]
    Unknown(String),
    /// The file cannot be read.
    #[error("cannot read the profile {path}")]
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
    /// It contradicts itself.
    #[error("{file}: {place} {reason}")]
    Value {
        /// The file.
        file: String,
        /// The key, or the rule.
        place: String,
        /// What is wrong, and what to write.
        reason: String,
    },
}

fn names() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl Profile {
    /// The profile of that name, or of that file.
    ///
    /// # Errors
    /// If there is none, or it contradicts itself.
    pub fn load(named: &str) -> Result<Self, ProfileError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == named) {
            return Self::from_text(name, text);
        }
        let path = Path::new(named);
        if path.extension().is_none_or(|extension| extension != "toml") {
            return Err(ProfileError::Unknown(named.to_owned()));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| ProfileError::Read { path: path.to_owned(), source })?;
        Self::from_text(named, &text)
    }

    /// Reads the text of `file`.
    ///
    /// # Errors
    /// If it contradicts itself.
    pub fn from_text(file: &str, text: &str) -> Result<Self, ProfileError> {
        let mut profile: Self = toml_text::parse(file, text).map_err(ProfileError::Toml)?;
        check::check(file, &profile)?;
        profile.digest = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        Ok(profile)
    }

    /// How long evidence lasts, as the rules that it is.
    #[must_use]
    pub fn evidence_rules(&self) -> lumbung_model::compliance::Rules {
        lumbung_model::compliance::Rules {
            inventory_max_age_s: i64::from(self.evidence.inventory_max_age_h) * 3600,
            verification_interval_s: i64::from(self.evidence.verification_days) * 86_400,
            proof_interval_s: i64::from(self.evidence.proof_days) * 86_400,
        }
    }

    /// The RPO of a class of urgency, seconds.
    #[must_use]
    pub fn rpo_s(&self, urgency: Urgency) -> u64 {
        u64::from(self.urgency.of(urgency).rpo_h) * 3600
    }

    /// The city's time zone.
    #[must_use]
    pub fn zone(&self) -> Tz {
        // It was checked when the profile was read.
        parse_zone(&self.city.timezone).unwrap_or(Tz::Asia__Jakarta)
    }

    /// The day of the city's calendar.
    #[must_use]
    pub fn today(&self, at: Timestamp) -> Day {
        Day::of(at, self.zone())
    }

    /// The day of the city's calendar, days since 1970-01-01.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> i64 {
        let local = at.to_utc().with_timezone(&self.zone()).date_naive();
        i64::from(local.to_epoch_days())
    }

    /// The limits of age that rules set beside those of `[evidence]`, seconds.
    #[must_use]
    pub fn spans_s(&self) -> Vec<i64> {
        let days = self.rules.iter().filter_map(|rule| rule.within_days);
        days.map(|days| i64::from(days) * 86_400).collect()
    }
}
