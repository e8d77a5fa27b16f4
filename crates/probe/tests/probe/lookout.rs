//! Many checks at their times, by a clock that the test moves.

use std::collections::HashMap;
use std::sync::Arc;

use lumbung_model::{CheckId, Clock, Timestamp};
use lumbung_probe::{Lookout, Prober, Reach, Sighting, Unmade};
use lumbung_wire::messages::uptime::{CheckOrder, Probe};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::here;

const START: i64 = 1_800_000_000;

/// Follows tokio's clock.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp(START).plus_seconds(i64::try_from(self.0.elapsed().as_secs()).unwrap())
    }
}

fn lookout(reach: Reach) -> (Lookout, mpsc::Receiver<Sighting>, CancellationToken) {
    let (sink, seen) = mpsc::channel(100);
    let stop = CancellationToken::new();
    let prober = Prober::with_authorities(reach, Vec::new());
    let clock = Arc::new(Virtual(Instant::now()));
    (Lookout::new(prober, clock, sink, stop.clone()), seen, stop)
}

/// Out of reach: seen at once, without a packet.
fn quick(id: u8, interval_s: u32) -> CheckOrder {
    let probe = Probe::Tcp { host: "10.0.0.1".into(), port: 80 };
    CheckOrder { check: CheckId::from_bytes([id; 16]), probe, interval_s, timeout_s: 5 }
}

async fn times(seen: &mut mpsc::Receiver<Sighting>, count: usize) -> HashMap<CheckId, Vec<i64>> {
    let mut all: HashMap<CheckId, Vec<i64>> = HashMap::new();
    for _ in 0..count {
        let sighting = seen.recv().await.unwrap();
        all.entry(sighting.check).or_default().push(sighting.at.0);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn every_check_is_looked_at_at_its_interval_and_phase() {
    let (mut lookout, mut seen, _stop) = lookout(here());
    lookout.watch((1..=20).map(|id| quick(id, 60)).collect());
    assert_eq!(lookout.len(), 20);
    // The first within ten seconds, then one at each phase.
    let all = times(&mut seen, 100).await;
    assert_eq!(all.len(), 20);
    for (check, at) in all {
        let phase = i64::from(u32::from_be_bytes(check.as_bytes()[..4].try_into().unwrap())) % 60;
        assert!(at[0] <= START + 10, "{at:?}");
        assert!(at[1..].iter().all(|at| at % 60 == phase), "{at:?}, phase {phase}");
        assert!(at[1..].windows(2).all(|pair| pair[1] - pair[0] == 60), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_target_delays_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let probe = Probe::Http { url, status: None, text: String::new(), any_certificate: false };
    let slow = CheckOrder { probe, timeout_s: 9, ..quick(1, 10) };
    let (mut lookout, mut seen, _stop) = lookout(here());
    lookout.watch(vec![slow, quick(2, 10)]);
    let all = times(&mut seen, 40).await;
    let [slow, other] = [1, 2].map(|id| &all[&CheckId::from_bytes([id; 16])]);
    assert!(slow.len() >= 18 && other.len() >= 18, "{slow:?} {other:?}");
    assert!(other.windows(2).all(|pair| pair[1] - pair[0] == 10), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn orders_that_stay_are_not_disturbed() {
    let (mut lookout, mut seen, _stop) = lookout(here());
    lookout.watch(vec![quick(1, 3600), quick(2, 3600)]);
    times(&mut seen, 2).await;
    let again = Instant::now();
    lookout.watch(vec![quick(1, 3600), quick(3, 3600)]);
    let first = seen.recv().await.unwrap();
    assert_eq!(first.check, CheckId::from_bytes([3; 16]), "1 was looked at just now, 2 is gone");
    assert!(again.elapsed().as_secs() <= 10);
    lookout.watch(vec![quick(1, 1800)]);
    let changed = seen.recv().await.unwrap();
    assert_eq!((changed.check, changed.interval_s), (CheckId::from_bytes([1; 16]), 1800));
    assert!(again.elapsed().as_secs() <= 20, "an order that changed begins anew");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_made_is_told_as_that() {
    let (mut lookout, mut seen, _stop) = lookout(Reach::private());
    lookout.watch(vec![CheckOrder { interval_s: 1, ..quick(1, 10) }]);
    assert!(matches!(seen.recv().await.unwrap().seen, Err(Unmade::Order(_))));
    lookout.watch(vec![CheckOrder {
        probe: Probe::Icmp { host: "169.254.169.254".into() },
        ..quick(1, 10)
    }]);
    assert!(matches!(seen.recv().await.unwrap().seen, Err(Unmade::Elsewhere { .. })));
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_told_to_in_the_middle_of_a_probe() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let probe = Probe::Http { url, status: None, text: String::new(), any_certificate: false };
    let (mut lookout, mut seen, stop) = lookout(here());
    lookout.watch(vec![CheckOrder { probe, timeout_s: 59, ..quick(0, 3600) }]);
    let connected = silent.accept().await.unwrap();
    let told = Instant::now();
    stop.cancel();
    drop(lookout);
    assert!(seen.recv().await.is_none(), "nothing was seen, and nobody looks any more");
    assert_eq!(told.elapsed().as_secs(), 0);
    drop(connected);
}
