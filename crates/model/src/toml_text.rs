//! Reading TOML that people wrote: an error names file, line and field, and what was probably meant.

use std::path::PathBuf;

/// What is wrong with a TOML text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}", file = file.display())]
pub struct TomlError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what was probably meant.
    pub message: String,
}

/// Parses `text`, which stands in `file`.
///
/// # Errors
/// If it is no TOML, lacks a field, or has one that is unknown.
pub fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        TomlError {
            file: file.into(),
            line: line_at(text, offset),
            message: explain(error.message()),
        }
    })
}

/// The line, from 1, of a byte of the text.
#[must_use]
pub fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// Where the lines of a text begin: for texts of which many lines are asked for.
pub struct Lines(Vec<usize>);

impl Lines {
    /// The lines of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(at, _)| at + 1).collect())
    }

    /// The line, from 1, of a byte of the text: as [`line_at`].
    #[must_use]
    pub fn at(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|start| *start <= offset)
    }
}

/// serde's message in one line, with the nearest of the names that it expected.
#[must_use]
pub fn explain(message: &str) -> String {
    let message = message.trim().replace('\n', " ");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let found = quoted.next().filter(|_| unknown);
    match found.and_then(|found| nearest(found, quoted)) {
        Some(name) => {
            // The list of everything that may stand there only helps where nothing is near.
            let what = message.split(", expected").next().unwrap_or(&message);
            format!("{what}; did you mean `{name}`?")
        }
        None => message,
    }
}

/// The name nearest to what was written, if one is near enough to be meant.
pub fn nearest<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&found, &name.to_lowercase());
    let (distance, name) =
        names.map(|name| (distance(name), name)).min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + found.chars().count() / 3).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Sample {
        listen: String,
        data_dir: String,
    }

    #[test]
    fn lines_are_told_alike_one_by_one_and_from_a_list() {
        for text in ["", "a", "\n", "a\nb\n\nc", "\n\nä\n"] {
            let lines = Lines::of(text);
            for offset in 0..=text.len() + 1 {
                assert_eq!(lines.at(offset), line_at(text, offset), "{text:?} at {offset}");
            }
        }
    }

    #[test]
    fn an_unknown_key_has_its_line_and_the_nearest_name() {
        let error = parse::<Sample>("c.toml", "data_dir = 'x'\n\nlisen = 'y'\n").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.to_string().starts_with("c.toml:3: unknown field `lisen`"), "{error}");
        assert!(error.to_string().ends_with("did you mean `listen`?"), "{error}");
        let error = parse::<Sample>("c.toml", "zzzzzz = 1\n").unwrap_err();
        assert!(!error.to_string().contains("did you mean"), "{error}");
    }

    #[test]
    fn a_missing_key_and_broken_toml_are_told() {
        assert!(
            parse::<Sample>("c.toml", "listen = 'y'\n").unwrap_err().message.contains("data_dir")
        );
        let error = parse::<Sample>("c.toml", "listen = 'y'\ndata_dir = \n").unwrap_err();
        assert_eq!(error.line, 2);
        let error = parse::<Sample>("c.toml", "listen = 'y'\ndata_dir = 3\n").unwrap_err();
        assert_eq!(error.line, 2);
    }

    #[test]
    fn the_nearest_name_is_one_that_may_be_meant() {
        let names = || ["pusat_data", "drc", "other"].into_iter();
        assert_eq!(nearest("pusat-data", names()), Some("pusat_data"));
        assert_eq!(nearest("DRC", names()), Some("drc"));
        assert_eq!(nearest("kitten", names()), None);
    }
}
