//! Echo requests and replies (RFC 792, RFC 4443) over ping sockets, or raw ones where those are not allowed.
//!
//! Invariants: only a reply that brings back the random token of its request counts. A process that may open neither
//! kind of socket makes no probe: the target is not said to be down.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::Unmade;
use crate::fail::Fail;

/// Bytes before the token: type, code, checksum, identifier, sequence number.
const HEADER_BYTES: usize = 8;
/// What makes a request known again.
type Token = [u8; 16];

/// How packets of a socket look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    v6: bool,
    /// Whether what arrives begins with an IPv4 header.
    headed: bool,
}

/// How long one echo took.
pub(crate) async fn echo(address: IpAddr) -> Result<Duration, Fail> {
    let (socket, kind) = open(address)?;
    let mut token = Token::default();
    getrandom::fill(&mut token).map_err(|error| Unmade::Local(std::io::Error::other(error)))?;
    let begun = Instant::now();
    socket.send(&request(kind.v6, &token)).await.map_err(Fail::io)?;
    let mut packet = [0; 1024];
    loop {
        let length = socket.recv(&mut packet).await.map_err(Fail::io)?;
        if is_echo_reply(&packet[..length], kind.v6, kind.headed, &token) {
            return Ok(begun.elapsed());
        }
    }
}

fn open(address: IpAddr) -> Result<(UdpSocket, Kind), Fail> {
    let v6 = address.is_ipv6();
    let (domain, protocol) =
        if v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    let forbidden = |error: &std::io::Error| {
        matches!(Errno::from_io_error(error), Some(Errno::PERM | Errno::ACCESS))
    };
    let (socket, headed) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(error) if forbidden(&error) => {
            let raw = Socket::new(domain, Type::RAW, Some(protocol));
            (raw.map_err(Unmade::Ping)?, !v6)
        }
        Err(error) => return Err(Unmade::Local(error).into()),
    };
    socket.set_nonblocking(true).map_err(Unmade::Local)?;
    // Connected: what others send does not arrive.
    socket.connect(&SockAddr::from(SocketAddr::new(address, 0))).map_err(Fail::io)?;
    let socket = UdpSocket::from_std(socket.into()).map_err(Unmade::Local)?;
    Ok((socket, Kind { v6, headed }))
}

/// An echo request. The kernel sets the identifier on ping sockets, and the checksum on all but raw IPv4 ones.
fn request(v6: bool, token: &Token) -> Vec<u8> {
    let mut packet = vec![if v6 { 128 } else { 8 }, 0, 0, 0, token[0], token[1], 0, 1];
    packet.extend_from_slice(token);
    let sum = checksum(&packet).to_be_bytes();
    packet[2..4].copy_from_slice(&sum);
    packet
}

/// The internet checksum (RFC 1071).
fn checksum(packet: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in packet.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Whether a packet is the reply to the request with this token; `headed`: it begins with an IPv4 header.
#[must_use]
pub fn is_echo_reply(packet: &[u8], v6: bool, headed: bool, token: &[u8; 16]) -> bool {
    let skipped = match packet.first() {
        Some(first) if headed && first >> 4 == 4 => usize::from(first & 0x0f) * 4,
        Some(_) if !headed => 0,
        _ => return false,
    };
    let Some(message) = packet.get(skipped..) else { return false };
    let is_reply = message.first() == Some(if v6 { &129 } else { &0 });
    is_reply && message.get(1) == Some(&0) && message.get(HEADER_BYTES..) == Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = *b"0123456789abcdef";

    #[test]
    fn a_request_has_the_checksum_of_rfc_1071() {
        // The sum over a packet with its right checksum in it is zero.
        assert_eq!(checksum(&request(false, &TOKEN)), 0);
        assert_eq!(checksum(&request(true, &TOKEN)), 0);
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2,
            "its example"
        );
    }

    #[test]
    fn only_the_own_reply_counts() {
        for v6 in [false, true] {
            let mut reply = request(v6, &TOKEN);
            assert!(!is_echo_reply(&reply, v6, false, &TOKEN), "the request itself, on loopback");
            reply[0] = if v6 { 129 } else { 0 };
            assert!(is_echo_reply(&reply, v6, false, &TOKEN));
            assert!(!is_echo_reply(&reply, !v6, false, &TOKEN));
            assert!(!is_echo_reply(
                &reply,
                v6,
                false,
                b"another request's"[..16].try_into().unwrap()
            ));
            for length in 0..reply.len() {
                assert!(!is_echo_reply(&reply[..length], v6, false, &TOKEN), "{length} bytes");
            }
            reply.push(0);
            assert!(!is_echo_reply(&reply, v6, false, &TOKEN));
        }
    }

    #[test]
    fn a_header_is_as_long_as_it_says() {
        let mut reply = request(false, &TOKEN);
        reply[0] = 0;
        for words in 5..16 {
            let mut packet = vec![0; words * 4];
            packet[0] = 0x40 | u8::try_from(words).unwrap();
            packet.extend_from_slice(&reply);
            assert!(is_echo_reply(&packet, false, true, &TOKEN));
            packet[0] = 0x6f;
            assert!(!is_echo_reply(&packet, false, true, &TOKEN), "no IPv4");
        }
        assert!(!is_echo_reply(&[0x4f], false, true, &TOKEN));
        assert!(!is_echo_reply(&[], false, true, &TOKEN));
    }
}
