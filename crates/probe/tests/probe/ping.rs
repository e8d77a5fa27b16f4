//! Echoes in a network namespace of their own, with what a process may have to send them: ping sockets, raw sockets, neither.

use std::process::Command;

use lumbung_probe::{Prober, Reach, Unmade};
use lumbung_wire::messages::uptime::{CheckOrder, Probe};

use crate::{here, order};

/// Tells the inner half what it may use.
const MAY: &str = "LUMBUNG_TEST_MAY_PING";

/// Runs [`inside`] in namespaces where this process is root, after these commands.
fn run(may: &str, prepare: &str, wrapper: &str) {
    let program = std::env::current_exe().unwrap();
    let script = format!(
        "set -e; ip link set lo up; ip addr add 10.88.0.1/32 dev lo; ip route add 10.88.1.0/24 dev lo; \
         {prepare}; exec {wrapper} {program:?} --exact ping::inside --ignored --nocapture"
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", &script])
        .env(MAY, may)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{may}: {text}{errors}");
}

#[test]
fn ping_sockets_are_used_where_they_are_allowed() {
    let allow = "echo '0 0' > /proc/sys/net/ipv4/ping_group_range";
    run("socket", allow, "setpriv --bounding-set=-all --inh-caps=-all");
}

#[test]
fn raw_sockets_are_used_where_ping_sockets_are_not_allowed() {
    // A new network namespace allows them to nobody.
    run("raw", "true", "");
}

#[test]
fn a_process_that_may_not_ping_says_so() {
    run("neither", "true", "setpriv --bounding-set=-all --inh-caps=-all");
}

#[tokio::test]
#[ignore = "the tests above run it, in a network namespace"]
async fn inside() {
    let reach = Reach::new([here().networks(), Reach::private().networks()].concat());
    let prober = Prober::with_authorities(reach, Vec::new());
    let look = async |host: &str| {
        let probe = Probe::Icmp { host: host.into() };
        prober.look(&CheckOrder { timeout_s: 2, ..order(probe) }).await
    };
    if std::env::var(MAY).unwrap() == "neither" {
        let refused = look("127.0.0.1").await;
        assert!(matches!(refused, Err(Unmade::Ping(_))), "{refused:?}");
        return;
    }
    for host in ["127.0.0.1", "::1", "localhost", "10.88.0.1"] {
        let seen = look(host).await.unwrap();
        assert!(seen.up && seen.latency_ms.is_some(), "{host}: {seen:?}");
    }
    // A machine that is not there: what is sent to it comes back on loopback, is nobody's, and is dropped.
    let seen = look("10.88.1.2").await.unwrap();
    assert_eq!((seen.up, seen.detail.as_str()), (false, "no answer within 2 s"));
    let seen = look("10.99.0.1").await.unwrap();
    assert_eq!((seen.up, seen.detail.as_str()), (false, "its network cannot be reached"));
}
