//! Values of the configuration file that refuse what cannot work, with what to write instead.

use std::path::PathBuf;
use std::str::FromStr;

use lumbung_model::schedule::parse_zone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A path from the root, without `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsolutePath(pub PathBuf);

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let path = PathBuf::from(&text);
        let back = path.components().any(|part| part == std::path::Component::ParentDir);
        if !path.is_absolute() || back || text.contains('\0') {
            return Err(D::Error::custom(format!(
                "{text:?} is not an absolute path: write it from the root, without \"..\", such as \"/srv/data\""
            )));
        }
        Ok(Self(path))
    }
}

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(pub chrono_tz::Tz);

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_zone(&text).map(Self).map_err(D::Error::custom)
    }
}

/// `https://host:port`, with nothing after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteUrl(String);

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address: write https://, a host and a port, such as \"https://vault.example.go.id:8441\""
)]
pub struct SiteUrlError(String);

impl SiteUrl {
    /// The address, without a final slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SiteUrl {
    type Err = SiteUrlError;

    fn from_str(text: &str) -> Result<Self, SiteUrlError> {
        let error = || SiteUrlError(text.to_owned());
        let base = text.strip_suffix('/').unwrap_or(text);
        let host = base.strip_prefix("https://").ok_or_else(error)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if host.is_empty() || host.starts_with(':') || !host.chars().all(fits) {
            return Err(error());
        }
        Ok(Self(base.to_owned()))
    }
}

impl std::fmt::Display for SiteUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SiteUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
