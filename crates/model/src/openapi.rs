//! Schemas of texts that are not derived: ids and words.
//!
//! Invariant: a schema allows what the parser takes, and nothing else.

use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

/// `bytes` bytes as lower-case hex.
#[must_use]
pub fn hex(description: &str, bytes: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(format!("^[0-9a-f]{{{}}}$", bytes * 2)))
}

/// A day of the calendar.
#[must_use]
pub fn day(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
}

/// One of these words; each with what it means.
#[must_use]
pub fn words(description: &str, words: &[(&str, &str)]) -> ObjectBuilder {
    let meanings: String =
        words.iter().map(|(word, meaning)| format!("\n- `{word}`: {}", meaning.trim())).collect();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!("{}\n{meanings}", description.trim())))
        .enum_values(Some(words.iter().map(|(word, _)| *word)))
}
