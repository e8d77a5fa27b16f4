//! How long an account takes no login after failures, and from where. Pure.
//!
//! Invariants: what fails at one address locks no other one, until [`EVERYWHERE`] failures in a row from wherever (NIST
//! SP 800-63B, 5.2.2: no more than 100), after which there is one try an hour for all; who has logged in from an address
//! lately goes on from there whatever happens elsewhere.

use std::net::{IpAddr, Ipv6Addr};

/// So many failures cost nothing: people mistype.
const FREE: u32 = 4;
/// The first lock.
const FIRST_S: i64 = 60;
/// The longest: whoever guesses gets a try an hour, and nobody is locked out for good by a stranger.
const LONGEST_S: i64 = 3600;
/// So many failures in a row, from wherever, lock the account for all addresses that it does not know.
const EVERYWHERE: u32 = 100;
/// An address is known for so long after a login from there.
pub(super) const KNOWN_S: i64 = 30 * 86_400;

/// How many seconds an account takes nothing from one address after this many failures there.
pub(super) fn lock_s(failures: u32) -> Option<i64> {
    let beyond = failures.checked_sub(FREE + 1)?;
    Some(FIRST_S.saturating_mul(1 << beyond.min(10)).min(LONGEST_S))
}

/// How many seconds it takes nothing from addresses that it does not know, after this many failures in all.
pub(super) fn lock_everywhere_s(failures: u32) -> Option<i64> {
    (failures >= EVERYWHERE).then_some(LONGEST_S)
}

/// Where a login comes from, as far as locks tell places apart: an IPv4 address, or the /64 network of an IPv6 address,
/// since whoever has one of its addresses has them all.
pub(super) fn origin(from: Option<IpAddr>) -> String {
    match from.map(|from| from.to_canonical()) {
        None => String::new(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_double_up_to_an_hour() {
        let locks: Vec<_> = (3..13).map(lock_s).collect();
        let s = Some;
        assert_eq!(
            locks,
            [None, None, s(60), s(120), s(240), s(480), s(960), s(1920), s(3600), s(3600)]
        );
        assert_eq!(lock_s(u32::MAX), Some(3600));
    }

    #[test]
    fn an_ipv6_network_is_one_place_and_a_mapped_address_is_the_ipv4_one() {
        let of = |text: &str| origin(Some(text.parse().unwrap()));
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(origin(None), "");
    }
}
