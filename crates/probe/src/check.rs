//! Whether a check is one that can be made: asked when it is entered, and again by whoever carries it out.
//!
//! Invariants: no URL carries a password, so none can get into a detail, a list or a log; names are names, and never
//! the old spellings of addresses (`127.1`) that resolvers understand.

use std::net::{IpAddr, SocketAddr};

use lumbung_wire::messages::uptime::{CheckOrder, Probe};
use reqwest::Url;

/// Longest text that a body can be asked for, bytes.
pub const TEXT_MAX_BYTES: usize = 200;
/// Longest URL, bytes.
const URL_MAX_BYTES: usize = 2048;
/// Longest host name, bytes (RFC 1035).
const NAME_MAX_BYTES: usize = 253;

/// Why a check cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The address of a website is none.
    #[error("`url`: write it whole, http://… or https://…, at most {URL_MAX_BYTES} bytes")]
    Url,
    /// It carries a password.
    #[error(
        "`url`: user name and password do not belong here, they would stand in lists: leave them out"
    )]
    UserInfo,
    /// No such status.
    #[error("`status`: {0} is no HTTP status; they go from 100 to 599")]
    Status(u16),
    /// The text is too long.
    #[error("`text`: at most {TEXT_MAX_BYTES} bytes, and no control characters")]
    Text,
    /// A host that is none.
    #[error("`{field}`: {given:?} is neither a host name nor an address")]
    Host {
        /// Where it stands.
        field: &'static str,
        /// What was given, shortened.
        given: String,
    },
    /// A port that is none.
    #[error("`port`: it goes from 1 to 65535")]
    Port,
    /// A name server that is not an address.
    #[error("`server`: the address of a name server, such as 10.20.0.53 or [fd00::53]:53")]
    Server,
    /// An address that is none.
    #[error("`address`: an IPv4 or IPv6 address, or nothing")]
    Address,
    /// How often.
    #[error("`interval_s`: from 10 to 3600 seconds")]
    Interval,
    /// How long.
    #[error("`timeout_s`: from 1 to 60 seconds, and less than the interval")]
    Timeout,
}

/// Whether this can be asked of a target.
///
/// # Errors
/// Naming the field that is wrong.
pub fn check(probe: &Probe) -> Result<(), ProbeError> {
    match probe {
        Probe::Http { url, status, text, .. } => {
            website(url)?;
            if let Some(status) = status.filter(|status| !(100..=599).contains(status)) {
                return Err(ProbeError::Status(status));
            }
            let bad = text.len() > TEXT_MAX_BYTES || text.chars().any(char::is_control);
            if bad { Err(ProbeError::Text) } else { Ok(()) }
        }
        Probe::Tcp { port: 0, .. } => Err(ProbeError::Port),
        Probe::Tcp { host, .. } | Probe::Icmp { host } => known_host("host", host),
        Probe::Dns { server, name, address } => {
            name_server(server)?;
            if !is_name(name) {
                return Err(host_error("name", name));
            }
            let fine = address.is_empty() || address.parse::<IpAddr>().is_ok();
            if fine { Ok(()) } else { Err(ProbeError::Address) }
        }
    }
}

/// [`check`], and whether it can be asked so often.
///
/// # Errors
/// Naming the field that is wrong.
pub fn check_order(order: &CheckOrder) -> Result<(), ProbeError> {
    if !(10..=3600).contains(&order.interval_s) {
        return Err(ProbeError::Interval);
    }
    if !(1..=60).contains(&order.timeout_s) || order.timeout_s >= order.interval_s {
        return Err(ProbeError::Timeout);
    }
    check(&order.probe)
}

/// A website's address, parsed.
pub(crate) fn website(text: &str) -> Result<Url, ProbeError> {
    if text.len() > URL_MAX_BYTES || text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(ProbeError::Url);
    }
    let url = Url::parse(text).map_err(|_| ProbeError::Url)?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(ProbeError::Url);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ProbeError::UserInfo);
    }
    let host = url.host_str().ok_or(ProbeError::Url)?;
    // The parser writes IPv6 in brackets.
    known_host("url", host.trim_start_matches('[').trim_end_matches(']'))?;
    if url.port() == Some(0) { Err(ProbeError::Port) } else { Ok(url) }
}

/// Where a name server answers: an address, with or without a port.
pub(crate) fn name_server(text: &str) -> Result<SocketAddr, ProbeError> {
    let known = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    let at = known.or_else(|_| text.parse()).map_err(|_| ProbeError::Server)?;
    if at.port() == 0 { Err(ProbeError::Server) } else { Ok(at) }
}

fn known_host(field: &'static str, host: &str) -> Result<(), ProbeError> {
    let fine = host.parse::<IpAddr>().is_ok() || is_name(host);
    if fine { Ok(()) } else { Err(host_error(field, host)) }
}

fn host_error(field: &'static str, given: &str) -> ProbeError {
    ProbeError::Host { field, given: given.chars().take(80).collect() }
}

/// A host name (RFC 1123, and `_` as in service names): its last label is not a number.
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or(text);
    // 0x7f is a number to resolvers as well.
    let number = last.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        && (last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x"));
    text.len() <= NAME_MAX_BYTES && text.split('.').all(label) && !number
}

#[cfg(test)]
mod tests {
    use lumbung_model::CheckId;

    use super::*;

    fn http(url: &str) -> Probe {
        Probe::Http { url: url.into(), status: None, text: String::new(), any_certificate: false }
    }

    fn dns(server: &str, name: &str, address: &str) -> Probe {
        Probe::Dns { server: server.into(), name: name.into(), address: address.into() }
    }

    #[test]
    fn what_can_be_asked_is_taken() {
        for probe in [
            http("https://www.pemkomedan.example.go.id/sehat?x=1"),
            http("http://10.1.2.3:8080"),
            http("https://[fd00::1]:8443/"),
            Probe::Tcp { host: "db_1.dinkes.local".into(), port: 5432 },
            Probe::Icmp { host: "fd00::1".into() },
            Probe::Icmp { host: "10.0.0.1".into() },
            dns("10.0.0.53", "www.example.go.id.", ""),
            dns("[fd00::53]:5353", "_dmarc.example.go.id", "10.0.0.1"),
        ] {
            assert_eq!(check(&probe), Ok(()), "{probe:?}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_its_field() {
        let icmp = |host: &str| Probe::Icmp { host: host.into() };
        let long = format!("http://example.go.id/{}", "x".repeat(URL_MAX_BYTES));
        for (probe, field) in [
            (http("ftp://example.go.id/"), "`url`"),
            (http("example.go.id"), "`url`"),
            (http("https://"), "`url`"),
            (http("https://a b/"), "`url`"),
            (http("https://example.go.id/\r\nHost: x"), "`url`"),
            (http("https://user:secret@example.go.id/"), "`url`"),
            (http("https://user@example.go.id/"), "`url`"),
            (http(&long), "`url`"),
            (http("https://example.go.id:0/"), "`port`"),
            (Probe::Tcp { host: "a".into(), port: 0 }, "`port`"),
            (icmp(""), "`host`"),
            (icmp("127.1"), "`host`"),
            (icmp("0x7f000001"), "`host`"),
            (icmp("2130706433"), "`host`"),
            (icmp("fe80::1%eth0"), "`host`"),
            (icmp("-c.example"), "`host`"),
            (icmp("a..b"), "`host`"),
            (icmp(&"a.".repeat(200)), "`host`"),
            (dns("ns.example", "a.b", ""), "`server`"),
            (dns("10.0.0.53:0", "a.b", ""), "`server`"),
            (dns("10.0.0.53", "a b", ""), "`name`"),
            (dns("10.0.0.53", "a.b", "nowhere"), "`address`"),
        ] {
            let error = check(&probe).unwrap_err().to_string();
            assert!(error.starts_with(field), "{probe:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let with = |status, text: String| Probe::Http {
            url: "http://a.b/".into(),
            status,
            text,
            any_certificate: false,
        };
        assert_eq!(check(&with(Some(600), String::new())), Err(ProbeError::Status(600)));
        assert_eq!(check(&with(Some(599), "x".repeat(200))), Ok(()));
        assert_eq!(check(&with(None, "x".repeat(201))), Err(ProbeError::Text));
    }

    #[test]
    fn an_order_has_its_limits() {
        let order = |interval_s, timeout_s| CheckOrder {
            check: CheckId::ZERO,
            probe: Probe::Icmp { host: "10.0.0.1".into() },
            interval_s,
            timeout_s,
        };
        for (interval_s, timeout_s) in [(10, 1), (10, 9), (61, 60), (3600, 60)] {
            assert_eq!(check_order(&order(interval_s, timeout_s)), Ok(()));
        }
        for interval_s in [0, 9, 3601] {
            assert_eq!(check_order(&order(interval_s, 1)), Err(ProbeError::Interval));
        }
        for (interval_s, timeout_s) in [(10, 0), (10, 10), (3600, 61)] {
            assert_eq!(check_order(&order(interval_s, timeout_s)), Err(ProbeError::Timeout));
        }
    }
}
