//! What texts of the register may hold: names, codes, free text. Nothing that breaks a table or a terminal.

use lumbung_model::rate::Rate;
use lumbung_wire::messages::policy::PolicyRates;
use lumbung_wire::policy::rate_plan;

use super::RegisterError;

/// Longest text of one line.
const LINE_MAX_CHARS: usize = 255;
/// Longest text otherwise.
const TEXT_MAX_CHARS: usize = 4096;

pub(crate) fn line(field: &'static str, text: &str) -> Result<(), RegisterError> {
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

pub(crate) fn free_text(field: &'static str, text: &str) -> Result<(), RegisterError> {
    let reason = if text.chars().count() > TEXT_MAX_CHARS {
        "at most 4096 characters"
    } else if text.chars().any(|c| c.is_control() && c != '\n') {
        "no control characters"
    } else if !text.is_empty() && text.trim().is_empty() {
        "leave it empty, or write something"
    } else {
        return Ok(());
    };
    Err(RegisterError::Text { field, found: text.chars().take(64).collect(), reason })
}

/// What somebody wrote to say why, trimmed; none if it says nothing, is longer than 1000 characters or has control characters.
pub(crate) fn sentence(text: &str) -> Option<&str> {
    let text = text.trim();
    let unprintable = |c: char| c.is_control() && c != '\n';
    let fits = !text.is_empty() && text.chars().count() <= 1000 && !text.chars().any(unprintable);
    fits.then_some(text)
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

/// Most paths, and most patterns, of one dataset.
const PATHS_MAX: usize = 1000;

/// Paths or patterns, one each: no line breaks, since one cell of a table holds them line by line.
pub(super) fn paths(field: &'static str, paths: &[String]) -> Result<(), RegisterError> {
    if paths.len() > PATHS_MAX {
        let (found, reason) = (paths.len() as u64, "at most 1000 entries");
        return Err(RegisterError::Number { field, found, reason });
    }
    for path in paths {
        free_text(field, path)?;
        let reason = if path.trim().is_empty() {
            "it may not be empty"
        } else if path.contains('\n') {
            "no line breaks: write each as an entry of its own"
        } else {
            continue;
        };
        return Err(RegisterError::Text { field, found: path.chars().take(64).collect(), reason });
    }
    Ok(())
}

/// A schedule as crontab(5) writes it.
pub(super) fn schedule(text: &str) -> Result<(), RegisterError> {
    let Err(error) = text.parse::<lumbung_model::schedule::Expression>() else { return Ok(()) };
    Err(RegisterError::Schedule {
        found: text.chars().take(64).collect(),
        reason: error.to_string(),
    })
}

/// Speed of a line, the cap on it, and windows of that cap, as policies have them.
pub(super) fn bandwidth(link: &str, rate: &str, windows: &[String]) -> Result<(), RegisterError> {
    let refused = |field, found: &str, reason| {
        let found = found.chars().take(64).collect();
        RegisterError::Rate { field, found, reason }
    };
    if !link.is_empty() {
        link.parse::<Rate>().map_err(|error| refused("link", link, error.to_string()))?;
    }
    let rates = |rate: &str, windows: &[String]| {
        let timezone = "UTC".to_owned();
        rate_plan(&PolicyRates { rate: rate.to_owned(), windows: windows.to_vec(), timezone })
    };
    rates(rate, &[]).map_err(|reason| refused("rate", rate, reason))?;
    rates("", windows).map(drop).map_err(|reason| refused("windows", &windows.join("; "), reason))
}

pub(crate) fn phone(text: &str) -> Result<(), RegisterError> {
    let fits = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ' ' | '(' | ')' | '.');
    if text.len() <= 40 && text.chars().all(fits) {
        return Ok(());
    }
    let reason = "digits, spaces, '+', '-', '(' and ')', as in +62 61 4512345";
    Err(RegisterError::Text { field: "phone", found: text.chars().take(64).collect(), reason })
}

/// The number of a chat as Telegram gives it; that of a group begins with a minus.
pub(crate) fn telegram(text: &str) -> Result<(), RegisterError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if text.is_empty()
        || (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Ok(());
    }
    let reason = "the number of the chat, as in 123456789 or -1001234567890; the bot tells it";
    Err(RegisterError::Text { field: "telegram", found: text.chars().take(64).collect(), reason })
}

/// An address that a message can be sent to: one '@', no spaces. Whether it exists, only a message tells.
pub(crate) fn email(text: &str) -> Result<(), RegisterError> {
    let halves = text.split_once('@');
    let fits = |half: &str| {
        !half.is_empty() && !half.chars().any(|c| c.is_control() || c.is_whitespace() || c == '@')
    };
    if text.is_empty()
        || text.len() <= 254 && halves.is_some_and(|(name, host)| fits(name) && fits(host))
    {
        return Ok(());
    }
    let reason = "write NAME@HOST, as in pusatdata@example.go.id";
    Err(RegisterError::Text { field: "email", found: text.chars().take(64).collect(), reason })
}
