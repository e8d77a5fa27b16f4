//! Words with one spelling everywhere: JSON, TOML, the database, the command line.

/// Makes an enum of words; each has one spelling, and its documentation is its meaning in the API's document.
///
/// The crate that uses it has `serde`, and for its feature `openapi` `utoipa` and this crate's feature of that name.
#[macro_export]
macro_rules! vocabulary {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $item_doc:literal])* $item:ident = $text:literal),+ $(,)? }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[doc = $item_doc])* #[serde(rename = $text)] $item),+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$item),+];

            /// As it stands in JSON, TOML and the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$item => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownWord;
            fn from_str(text: &str) -> Result<Self, $crate::UnknownWord> {
                Self::ALL.iter().copied().find(|item| item.as_str() == text).ok_or_else(|| $crate::UnknownWord {
                    found: text.chars().take(64).collect(),
                    allowed: concat!($($text, " "),+).trim_end(),
                })
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let words = [$(($text, concat!($($item_doc),*))),+];
                $crate::openapi::words(concat!($($doc),*), &words).into()
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

/// A word that is not known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not known here; use one of: {allowed}")]
pub struct UnknownWord {
    /// What was given.
    pub found: String,
    /// What there is, separated by spaces.
    pub allowed: &'static str,
}
