//! How a probe under way ends without the answer that was wished for.
//!
//! Invariant: what the vantage point's own machine lacks never counts against the target.

use std::time::Duration;

use rustix::io::Errno;

use crate::Unmade;

/// The end of a probe that did not go well.
#[derive(Debug)]
pub(crate) enum Fail {
    /// The target is down.
    Down {
        /// Until it answered, if it did.
        latency: Option<Duration>,
        detail: String,
    },
    /// The probe was not made.
    Unmade(Unmade),
}

impl Fail {
    /// Nothing that could be called an answer.
    pub(crate) fn silent(detail: impl Into<String>) -> Self {
        Self::Down { latency: None, detail: detail.into() }
    }

    /// An answer, and the wrong one.
    pub(crate) fn wrong(latency: Duration, detail: impl Into<String>) -> Self {
        Self::Down { latency: Some(latency), detail: detail.into() }
    }

    /// What the operating system said of a connection.
    pub(crate) fn io(error: std::io::Error) -> Self {
        if is_local(&error) {
            Self::Unmade(Unmade::Local(error))
        } else {
            Self::silent(plain(&error))
        }
    }
}

impl From<Unmade> for Fail {
    fn from(unmade: Unmade) -> Self {
        Self::Unmade(unmade)
    }
}

/// Whether it is this machine that lacks something: files, memory, ports, the right to send.
pub(crate) fn is_local(error: &std::io::Error) -> bool {
    let local = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::AFNOSUPPORT,
        Errno::PERM,
        Errno::ACCESS,
    ];
    Errno::from_io_error(error).is_some_and(|errno| local.contains(&errno))
}

/// In words that need no knowledge of errno.
pub(crate) fn plain(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "the connection is refused: nothing listens there".to_owned()
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            "the connection is broken off".to_owned()
        }
        ErrorKind::UnexpectedEof => "the connection ends before the answer".to_owned(),
        ErrorKind::HostUnreachable => "the host cannot be reached".to_owned(),
        ErrorKind::NetworkUnreachable => "its network cannot be reached".to_owned(),
        ErrorKind::TimedOut => "the connection is not answered".to_owned(),
        _ => error.to_string(),
    }
}
