//! Which addresses a vantage point may look at.
//!
//! Invariants: a machine's own addresses, its link, multicast and the like are looked at only where an allowed network
//! names them: `0.0.0.0/0` does not. A name counts by the addresses it has, and it is those that are connected to.

use std::net::IpAddr;

use ipnet::IpNet;

/// A network that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no network: write it like \"10.20.0.0/16\" or \"fd00:10::/32\"")]
pub struct ReachError {
    text: String,
}

/// What a wide network does not include: loopback, this network, link-local (among it the metadata services of clouds),
/// multicast, reserved, and IPv4 written as IPv6 by translators (RFC 6890).
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "::/8",
    "64:ff9b::/32",
    "2002::/16",
    "fe80::/10",
    "ff00::/8",
];
/// RFC 1918 and RFC 4193.
const PRIVATE: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// The networks that may be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    allow: Vec<IpNet>,
    special: Vec<IpNet>,
}

impl Reach {
    /// These networks only.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow, special: known(SPECIAL) }
    }

    /// Reads networks in CIDR notation.
    ///
    /// # Errors
    /// If one is none.
    pub fn parse<T: AsRef<str>>(networks: &[T]) -> Result<Self, ReachError> {
        let read = |text: &T| {
            text.as_ref().parse().map_err(|_| ReachError { text: text.as_ref().to_owned() })
        };
        Ok(Self::new(networks.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// The private networks: what a data centre has inside.
    #[must_use]
    pub fn private() -> Self {
        Self::new(known(PRIVATE))
    }

    /// Every address that is not special.
    #[must_use]
    pub fn everywhere() -> Self {
        Self::new(known(&["0.0.0.0/0", "::/0"]))
    }

    /// The networks, as they were given.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.allow
    }

    /// Whether this address may be looked at.
    #[must_use]
    pub fn includes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let special = self.special.iter().find(|network| network.contains(&address));
        self.allow.iter().any(|network| {
            network.contains(&address) && special.is_none_or(|special| special.contains(network))
        })
    }
}

/// The networks that stand in this file.
fn known(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(reach: &Reach, address: &str) -> bool {
        reach.includes(address.parse().unwrap())
    }

    #[test]
    fn the_files_own_networks_are_networks() {
        assert_eq!(known(SPECIAL).len(), SPECIAL.len());
        assert_eq!(known(PRIVATE).len(), PRIVATE.len());
        assert_eq!(Reach::everywhere().networks().len(), 2);
    }

    #[test]
    fn private_networks_are_not_the_world() {
        let reach = Reach::private();
        for inside in ["10.1.2.3", "172.31.255.1", "192.168.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(may(&reach, inside), "{inside}");
        }
        for outside in
            ["172.32.0.1", "8.8.8.8", "2001:db8::1", "127.0.0.1", "169.254.169.254", "::1"]
        {
            assert!(!may(&reach, outside), "{outside}");
        }
    }

    #[test]
    fn what_is_special_is_named_or_not_looked_at() {
        let everywhere = Reach::everywhere();
        assert!(may(&everywhere, "8.8.8.8") && may(&everywhere, "2001:db8::1"));
        for special in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!may(&everywhere, special), "{special}");
        }
        let named = Reach::parse(&["127.0.0.0/8", "::1/128"]).unwrap();
        assert!(may(&named, "127.0.0.1") && may(&named, "::1") && !may(&named, "::2"));
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        let error = Reach::parse(&["10.0.0.0/8", "10.0.0.0/33"]).unwrap_err();
        assert!(error.to_string().starts_with("\"10.0.0.0/33\" is no network"), "{error}");
        assert!(Reach::parse(&["10.0.0.1"]).is_err());
    }
}
