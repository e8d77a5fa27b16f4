//! Errors for people: a message never prints its source, so whoever shows an error adds the causes.

use std::error::Error;

/// An error with everything that caused it, on one line. A cause that a library repeated in its own
/// message is said once.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Wrapped(&'static str, #[source] std::io::Error);

    #[test]
    fn every_cause_is_said_once() {
        let gone = || std::io::Error::other("disk gone");
        assert_eq!(with_causes(&Wrapped("cannot write", gone())), "cannot write: disk gone");
        assert_eq!(
            with_causes(&Wrapped("cannot write (disk gone)", gone())),
            "cannot write (disk gone)"
        );
    }
}
