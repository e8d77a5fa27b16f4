//! Asks before something that cannot be undone.
//!
//! Invariant: without a person at the terminal, and without `--yes`, nothing is taken for consent.

use std::io::{self, IsTerminal as _, Write as _};

use crate::failure::{Code, Explain as _, Failure, Outcome};
use crate::terminal::Terminal;

/// What the word is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A signature.
    Sign,
    /// Files that are changed where they are.
    Restore,
}

impl Asked {
    const fn question(self, terminal: &Terminal) -> &'static str {
        match self {
            Self::Sign => {
                terminal.pick("Ketik \"ya\" untuk menandatangani: ", "Type \"yes\" to sign: ")
            }
            Self::Restore => {
                terminal.pick("Ketik \"ya\" untuk memulihkan: ", "Type \"yes\" to restore: ")
            }
        }
    }

    const fn declined(self) -> &'static str {
        match self {
            Self::Sign => "it was not confirmed, and nothing was signed",
            Self::Restore => "it was not confirmed, and nothing was changed",
        }
    }
}

/// Shows what is about to be signed and waits for the word; `yes` stands for it.
///
/// # Errors
/// If the answer is another one, or nobody can be asked.
pub(crate) fn confirm(what: &str, yes: bool, terminal: &Terminal) -> Outcome<()> {
    confirm_as(Asked::Sign, what, yes, terminal)
}

/// As [`confirm`], of what is `asked`.
///
/// # Errors
/// If the answer is another one, or nobody can be asked.
pub(crate) fn confirm_as(asked: Asked, what: &str, yes: bool, terminal: &Terminal) -> Outcome<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Code::Usage,
            "this has to be confirmed, and this is no terminal",
            "look at what it is about, then run the command again with --yes",
        ));
    }
    let question = asked.question(terminal);
    // The question belongs to no result.
    eprint!("{what}\n{question}");
    let mut answer = String::new();
    io::stderr().flush().and_then(|()| io::stdin().read_line(&mut answer)).explain(
        Code::Io,
        || "the answer could not be read".to_owned(),
        "run the command again, or with --yes",
    )?;
    if is_consent(&answer) {
        return Ok(());
    }
    let next = "run the command again and type the whole word `ya` or `yes` if it is what you want";
    Err(Failure::new(Code::Declined, asked.declined(), next))
}

/// The whole word, in either language: one letter is typed by accident.
fn is_consent(answer: &str) -> bool {
    ["ya", "yes"].iter().any(|word| answer.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_word_is_consent() {
        assert!(["ya\n", "yes", " YA \r\n"].iter().all(|answer| is_consent(answer)));
        assert!(!["", "\n", "y", "tidak", "yaa", "ya ya"].iter().any(|answer| is_consent(answer)));
    }
}
