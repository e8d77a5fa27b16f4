//! Where a probe goes, as one text that people write.
//!
//! Invariants: it is read as it is written; it never carries a user or a password, since it stands in lists and logs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a probe goes, as one text: `https://host/path`, `tcp://host:port`, `icmp://host`, `dns://server/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A whole URL.
    Http(String),
    /// A port of a host.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A host.
    Icmp(String),
    /// A name, and the server that is asked for it.
    Dns {
        /// Address of the server.
        server: String,
        /// The name.
        name: String,
    },
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "write https://host/path, http://host/path, tcp://host:port, icmp://host or dns://server/name, without a user or a password"
)]
pub struct TargetError;

/// Longest target, bytes.
const TARGET_MAX_BYTES: usize = 1024;

/// A host name or an address; IPv6 addresses stand in brackets.
fn host(text: &str) -> Result<String, TargetError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let is_address = bare.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_name = !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed);
    if is_address {
        Ok(bare.unwrap_or_default().to_owned())
    } else if is_name {
        Ok(text.to_owned())
    } else {
        Err(TargetError)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.len() > TARGET_MAX_BYTES || text.bytes().any(|b| !(0x21..0x7f).contains(&b)) {
            return Err(TargetError);
        }
        let (scheme, rest) = text.split_once("://").ok_or(TargetError)?;
        match scheme {
            "http" | "https" => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let (name, port) = split_port(authority)?;
                if authority.contains('@') || port == Some(0) {
                    return Err(TargetError);
                }
                host(name)?;
                Ok(Self::Http(text.to_owned()))
            }
            "tcp" => match split_port(rest)? {
                (name, Some(port)) if port > 0 => Ok(Self::Tcp { host: host(name)?, port }),
                _ => Err(TargetError),
            },
            "icmp" => host(rest).map(Self::Icmp),
            "dns" => {
                let (server, name) = rest.split_once('/').ok_or(TargetError)?;
                Ok(Self::Dns { server: host(server)?, name: host(name)? })
            }
            _ => Err(TargetError),
        }
    }
}

/// A host and its port, if one is named.
fn split_port(text: &str) -> Result<(&str, Option<u16>), TargetError> {
    match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            port.parse().map(|port| (name, Some(port))).map_err(|_| TargetError)
        }
        _ => Ok((text, None)),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = |host: &str| {
            if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
        };
        match self {
            Self::Http(url) => f.write_str(url),
            Self::Tcp { host, port } => write!(f, "tcp://{}:{port}", bracketed(host)),
            Self::Icmp(host) => write!(f, "icmp://{}", bracketed(host)),
            Self::Dns { server, name } => write!(f, "dns://{}/{name}", bracketed(server)),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format_args!("{text:?}: {error}")))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Target {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some(
                "Where a probe goes: https://host/path, tcp://host:port, icmp://host or dns://server/name.",
            ))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Target {
    fn name() -> std::borrow::Cow<'static, str> {
        "Target".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_written_as_it_is_read() {
        for text in [
            "https://simrs.kota.go.id/health?x=1",
            "http://10.0.0.1:8080/",
            "https://[fd00::1]:8443",
            "tcp://db.rsud:5432",
            "tcp://[fd00::2]:22",
            "icmp://10.1.2.3",
            "icmp://[fd00::3]",
            "dns://10.0.0.53/simpeg.kota.go.id",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "",
            "simrs.kota.go.id",
            "ftp://host/",
            "https://",
            "https://user:secret@host/",
            "https://host:0/",
            "https://host:port/",
            "https://ho st/",
            "tcp://host",
            "tcp://host:0",
            "tcp://host:70000",
            "tcp://[fd00::2:22",
            "icmp://host/path",
            "icmp://",
            "dns://10.0.0.53",
            "dns:///name",
            "dns://10.0.0.53/na me",
            "https://host/\u{7f}",
            "https://hést/",
        ] {
            assert_eq!(text.parse::<Target>(), Err(TargetError), "{text}");
        }
    }
}
