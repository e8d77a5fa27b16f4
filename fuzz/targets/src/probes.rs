//! What a vantage point reads: orders of a controller that may be in wrong hands, and packets of whoever is probed.

use lumbung_probe::{check_order, is_echo_reply};
use lumbung_wire::messages::uptime::{Probe, VantageOrders};

/// An order that is taken on has its limits, and nothing in it that must not stand in a log.
pub(crate) fn orders(data: &[u8]) {
    let Ok(orders) = serde_json::from_slice::<VantageOrders>(data) else { return };
    for order in &orders.checks {
        if check_order(order).is_err() {
            continue;
        }
        assert!(order.interval_s >= 10 && order.timeout_s < order.interval_s);
        match &order.probe {
            Probe::Http { url, text, .. } => {
                let authority = url.split_once("//").expect("it is whole").1;
                let authority = authority.split(['/', '?', '#', '\\']).next().unwrap_or_default();
                assert!(!authority.contains('@'), "{url:?} carries a user name");
                assert!(url.len() <= 2048 && text.len() <= 200);
            }
            Probe::Tcp { host, .. } | Probe::Icmp { host } => assert!(host.len() <= 254),
            Probe::Dns { server, .. } => assert!(server.len() <= 60),
        }
    }
}

/// The first two bits say how the packet is framed. A reply ends with the token, and is a reply.
pub(crate) fn echo_reply(data: &[u8]) {
    const TOKEN: [u8; 16] = *b"0123456789abcdef";
    let Some((how, packet)) = data.split_first() else { return };
    let (v6, headed) = (how & 1 == 1, how & 2 == 2);
    if is_echo_reply(packet, v6, headed, &TOKEN) {
        let start = packet.len().checked_sub(24).expect("header and token");
        assert_eq!(packet[start], if v6 { 129 } else { 0 });
        assert!(packet.ends_with(&TOKEN) && (headed || start == 0));
    }
}
