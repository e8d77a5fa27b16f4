//! The table `[metrics]` in the daemons' configuration files.

use std::net::SocketAddr;

use serde::Deserialize;

/// Where a daemon shows its figures. Loopback, unless the file allows others on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Settings {
    listen: SocketAddr,
}

impl Settings {
    /// The address to answer at.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    listen: SocketAddr,
    #[serde(default)]
    allow_remote: bool,
}

/// The address can be reached from elsewhere, and nobody said that it may.
#[derive(Debug, thiserror::Error)]
#[error(
    "metrics at {0} could be read by other machines, without TLS or password: write listen = \"127.0.0.1:{port}\", or, where a \
     firewall lets only Prometheus through, allow_remote = true beside it",
    port = .0.port()
)]
struct Remote(SocketAddr);

impl TryFrom<Table> for Settings {
    type Error = Remote;

    fn try_from(table: Table) -> Result<Self, Remote> {
        if table.allow_remote || table.listen.ip().to_canonical().is_loopback() {
            Ok(Self { listen: table.listen })
        } else {
            Err(Remote(table.listen))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(listen: &str, allow_remote: bool) -> Result<Settings, String> {
        let table = Table { listen: listen.parse().unwrap(), allow_remote };
        Settings::try_from(table).map_err(|error| error.to_string())
    }

    #[test]
    fn only_loopback_needs_no_permission() {
        for loopback in ["127.0.0.1:9741", "127.1.2.3:1", "[::1]:9741", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(read(loopback, false).unwrap().listen().to_string(), loopback);
        }
        for remote in ["0.0.0.0:9741", "[::]:9741", "10.0.0.5:9741", "[::ffff:10.0.0.5]:9741"] {
            let error = read(remote, false).unwrap_err();
            assert!(error.contains("allow_remote = true"), "{error}");
            assert!(error.contains("127.0.0.1:9741"), "{error}");
            assert_eq!(read(remote, true).unwrap().listen().to_string(), remote);
        }
    }
}
