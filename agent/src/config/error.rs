//! What is wrong in a configuration file: file, line, key, and the nearest key that exists.

use std::fmt;
use std::path::{Path, PathBuf};

use lumbung_model::toml_text::{line_at, nearest};

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: check that it exists and that this user may read it, or name another with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No configuration file is that large.
    #[error("{} has {size} bytes: that is not a configuration file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// A line of it is wrong.
    #[error("{}, line {line}{}: {message}", path.display(), ShownKey(key.as_deref()))]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: Option<String>,
        /// What is wrong, and what to write.
        message: String,
    },
}

struct ShownKey<'a>(Option<&'a str>);

impl fmt::Display for ShownKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |key| write!(f, ", {key}"))
    }
}

impl ConfigError {
    /// An error at a byte of the text.
    pub(crate) fn at(
        path: &Path,
        text: &str,
        offset: usize,
        key: Option<&str>,
        message: String,
    ) -> Self {
        let line = line_at(text, offset);
        Self::Line { path: path.to_owned(), line, key: key.map(str::to_owned), message }
    }

    /// The parser's error, with a suggestion where a key is unknown.
    pub(crate) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message();
        if let Some(rest) = message.strip_prefix("unknown field ") {
            let mut names = rest.split('`').skip(1).step_by(2);
            let unknown = names.next().unwrap_or_default();
            let known: Vec<&str> = names.collect();
            return Self::at(path, text, offset, Some(unknown), unknown_key(unknown, &known));
        }
        let key = key_of_line(text, offset);
        Self::at(path, text, offset, key, message.trim_end().to_owned())
    }
}

fn unknown_key(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known.iter().copied()) {
        Some(key) => format!("unknown key; did you mean \"{key}\"?"),
        None => format!("unknown key; here can stand: {}", known.join(", ")),
    }
}

/// The key of the line on which `offset` lies, if that line has one before it.
fn key_of_line(text: &str, offset: usize) -> Option<&str> {
    let offset = (0..=offset.min(text.len())).rev().find(|i| text.is_char_boundary(*i))?;
    let start = text[..offset].rfind('\n').map_or(0, |i| i + 1);
    let line = text[start..].lines().next()?;
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.\"".contains(c);
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}
