//! Names that a plan gives to its parts, and by which it calls what the runner's own file knows.
//!
//! Invariant: one alphabet, without spaces, slashes, dots and quotes, so that a name is never a path, an option or a piece of a
//! command line, whatever it is put into.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, bytes.
pub const WORD_MAX_BYTES: usize = 40;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no {1}: write a-z, 0-9 and '-', up to {WORD_MAX_BYTES} of them, a letter or a digit first"
)]
pub struct WordError(String, &'static str);

fn check(text: &str, what: &'static str) -> Result<(), WordError> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fine = (1..=WORD_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| letter(byte) || byte == b'-')
        && text.bytes().next().is_some_and(letter);
    if fine { Ok(()) } else { Err(WordError(text.chars().take(WORD_MAX_BYTES).collect(), what)) }
}

macro_rules! word {
    ($(#[doc = $doc:literal])* $name:ident, $what:literal) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// As it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WordError;
            fn from_str(text: &str) -> Result<Self, WordError> {
                check(text, $what).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .description(Some(concat!($($doc),*).trim()))
                    .pattern(Some("^[a-z0-9][a-z0-9-]{0,39}$"))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

word!(/** A step, within its plan. */ StepId, "step id");
word!(/** A dataset or a service, as the steps of a plan call it. */ PartKey, "key");
word!(/** A hook, a check or a place, as the runner's own file knows it: never a command line. */ RunnerName, "name in the runner's file");

/// A [`vocabulary`](crate::vocabulary!), and how its words are read out in both languages.
macro_rules! spelled {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $item_doc:literal])* $item:ident = $text:literal, $id:literal, $en:literal;)+ }) => {
        $crate::vocabulary! {
            $(#[doc = $doc])*
            $name { $($(#[doc = $item_doc])* $item = $text),+ }
        }

        impl $name {
            /// As it is read out.
            #[must_use]
            pub const fn name(self, language: $crate::drill::Language) -> &'static str {
                match (self, language) {
                    $((Self::$item, $crate::drill::Language::Indonesian) => $id,
                      (Self::$item, $crate::drill::Language::English) => $en),+
                }
            }
        }
    };
}

pub(super) use spelled;

/// In which language something is read out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Bahasa Indonesia, the interface's own.
    #[default]
    Indonesian,
    /// English, by switch.
    English,
}

impl Language {
    /// One of two texts.
    #[must_use]
    pub const fn of<'a>(self, indonesian: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Indonesian => indonesian,
            Self::English => english,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path_or_an_option() {
        for good in ["a", "alih-dns", "0-uji", &"x".repeat(40)] {
            assert_eq!(good.parse::<RunnerName>().unwrap().as_str(), good);
        }
        for bad in
            ["", "-rf", "a b", "../x", "a/b", "Alih", "a;b", "a'b", "é", "a_b", &"x".repeat(41)]
        {
            let error = bad.parse::<RunnerName>().unwrap_err().to_string();
            assert!(error.contains("is no name in the runner's file: write a-z"), "{error}");
        }
    }
}
