//! What texts of the register may hold: names, codes, free text. Nothing that breaks a table or a terminal.

use super::RegisterError;

/// Longest text of one line.
const LINE_MAX_CHARS: usize = 255;
/// Longest text otherwise.
const TEXT_MAX_CHARS: usize = 4096;

pub(super) fn line(field: &'static str, text: &str) -> Result<(), RegisterError> {
    let reason = if text.trim().is_empty() {
        "it may not be empty"
    } else if text.trim() != text {
        "no spaces before or after it"
    } else if text.chars().count() > LINE_MAX_CHARS {
        "at most 255 characters"
    } else if text.chars().any(char::is_control) {
        "no control characters"
    } else {
        return Ok(());
    };
    Err(RegisterError::Text { field, found: text.chars().take(64).collect(), reason })
}

pub(super) fn free_text(field: &'static str, text: &str) -> Result<(), RegisterError> {
    let reason = if text.chars().count() > TEXT_MAX_CHARS {
        "at most 4096 characters"
    } else if text.chars().any(|c| c.is_control() && c != '\n') {
        "no control characters"
    } else {
        return Ok(());
    };
    Err(RegisterError::Text { field, found: text.chars().take(64).collect(), reason })
}

pub(super) fn code(text: &str) -> Result<(), RegisterError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 32 || !text.chars().all(fits) {
        let reason = "1 to 32 letters, digits, '-', '_' or '.', as in DINKES";
        return Err(RegisterError::Text {
            field: "code",
            found: text.chars().take(64).collect(),
            reason,
        });
    }
    Ok(())
}
