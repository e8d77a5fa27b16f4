//! What goes wrong, as the person at the terminal reads it: what happened, why, and what to do next.
//!
//! Invariants: every failure has a stable code (`docs/cli.md`), an exit code follows from the code
//! alone, and `next` says what to do and never repeats what happened.

use std::error::Error;
use std::fmt::Write as _;

use crate::terminal::plain;

/// How a command ended, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All well.
    Fine = 0,
    /// It did not do what was asked.
    Error = 1,
    /// The command line itself is wrong.
    Usage = 2,
    /// It did, and something deserves a look.
    Warnings = 3,
}

impl Exit {
    /// The one of two that says more went wrong.
    #[must_use]
    pub(crate) const fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fine, other) | (Self::Warnings, other @ (Self::Error | Self::Usage)) => other,
            (this, _) => this,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// Stable names of what can go wrong: `error.code` in JSON.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[$doc])* $name),+ }

        impl Code {
            /// Every code, to hold them against the documentation.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),+];

            /// As it stands in JSON.
            #[must_use]
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

codes! {
    /// The command line is wrong in a way that only this program can tell.
    Usage = "usage",
    /// The passphrase does not open the key.
    WrongPassphrase = "wrong-passphrase",
    /// No passphrase was given and nobody can be asked.
    NoPassphrase = "no-passphrase",
    /// A key file is damaged, or is no key file.
    DamagedKeyFile = "damaged-key-file",
    /// A file is not there.
    FileMissing = "file-missing",
    /// A file is there already.
    FileExists = "file-exists",
    /// A file holds something else than expected.
    BadFile = "bad-file",
    /// The operating system refused.
    Io = "io",
    /// There is no repository at that place.
    NotADepot = "not-a-depot",
    /// There is no portable medium at that place.
    NotAMedium = "not-a-medium",
    /// Nobody entitled has signed what a medium holds.
    Unsigned = "unsigned",
    /// Several repositories are there.
    AmbiguousRepository = "ambiguous-repository",
    /// It is not the repository that was expected.
    OtherRepository = "other-repository",
    /// The rosters are not a sound chain.
    BadRoster = "bad-roster",
    /// The key may not do that.
    NotEntitled = "not-entitled",
    /// No such agent, site or recipient in the roster.
    NotInRoster = "not-in-roster",
    /// An order's time is over.
    OrderOver = "order-over",
    /// An order has this key's signature already.
    SignedAlready = "signed-already",
    /// Asked at the terminal, and the answer was another one.
    Declined = "declined",
    /// No snapshot has that id.
    UnknownSnapshot = "unknown-snapshot",
    /// No such consent.
    UnknownConsent = "unknown-consent",
    /// Several snapshots begin like that.
    AmbiguousSnapshot = "ambiguous-snapshot",
    /// Several datasets have a latest snapshot.
    AmbiguousLatest = "ambiguous-latest",
    /// The snapshot has no such path, or it is no file.
    UnknownPath = "unknown-path",
    /// Data is damaged or missing.
    Damaged = "damaged",
    /// The server is not the one that the roster names.
    ServerNotTrusted = "server-not-trusted",
    /// A server or directory could not be read or written.
    Depot = "depot",
    /// The backup did not finish.
    Backup = "backup",
    /// The restore did not finish.
    Restore = "restore",
    /// The controller refused or did not answer.
    Controller = "controller",
    /// It was stopped at the terminal.
    Interrupted = "interrupted",
    /// Whoever reads the output has gone: nothing is printed.
    ClosedPipe = "closed-pipe",
}

/// Something that went wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    next: String,
    details: Vec<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The result of everything in this program.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// What happened, and what to do next.
    #[must_use]
    pub(crate) fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, message: message.into(), next: next.into(), details: Vec::new(), source: None }
    }

    /// Why: printed after what happened.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Lines to choose from, printed between what happened and what to do next.
    #[must_use]
    pub(crate) fn listing(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// Its stable name.
    #[must_use]
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// What the shell gets.
    #[must_use]
    pub(crate) const fn exit(&self) -> Exit {
        match self.code {
            Code::Usage => Exit::Usage,
            _ => Exit::Error,
        }
    }

    /// The chain of reasons, without those that repeat what stands before them.
    fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut source = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = source {
            let text = error.to_string();
            let said =
                causes.iter().any(|cause| cause.contains(&text)) || self.message.contains(&text);
            if !said {
                causes.push(text);
            }
            source = error.source();
        }
        causes
    }

    /// As text for stderr.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = format!("lumbung: {}", self.message);
        for cause in self.causes() {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {}", plain(&cause));
        }
        text.push('\n');
        for line in &self.details {
            let _ = writeln!(text, "  {line}");
        }
        if !self.next.is_empty() {
            let _ = writeln!(text, "next: {}", self.next);
        }
        text
    }

    /// As JSON for stderr.
    #[must_use]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "code": self.code.as_str(),
                "message": self.message,
                "causes": self.causes(),
                "candidates": self.details,
                "next": self.next,
            }
        })
    }
}

/// Gives an error of another crate its place in the conversation.
pub(crate) trait Explain<T> {
    /// Says what was tried and what to do next.
    ///
    /// # Errors
    /// The error, explained.
    fn explain(self, code: Code, what: impl FnOnce() -> String, next: &str) -> Outcome<T>;
}

impl<T, E: Error + Send + Sync + 'static> Explain<T> for Result<T, E> {
    fn explain(self, code: Code, what: impl FnOnce() -> String, next: &str) -> Outcome<T> {
        self.map_err(|error| Failure::new(code, what(), next).because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let io = std::io::Error::other("the disk is on fire");
        let failure =
            Failure::new(Code::Io, "a.key could not be read", "call the fire brigade").because(io);
        assert_eq!(
            failure.text(),
            "lumbung: a.key could not be read: the disk is on fire\nnext: call the fire brigade\n"
        );
        assert_eq!(failure.json()["error"]["code"], "io");
        assert_eq!(failure.exit(), Exit::Error);
        assert_eq!(Failure::new(Code::Usage, "", "").exit(), Exit::Usage);
    }

    #[test]
    fn codes_are_distinct() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_code_is_documented() {
        let document = include_str!("../../docs/cli.md");
        for code in Code::ALL {
            assert!(
                document.contains(&format!("`{}`", code.as_str())),
                "docs/cli.md lacks {}",
                code.as_str()
            );
        }
    }
}
