//! What `docs/anomalies.md` says of the detector, on fewer servers and with a margin. The simulation is that of the example.

#[path = "../examples/anomaly/attacks.rs"]
mod attacks;
#[path = "../examples/anomaly/chance.rs"]
mod chance;
#[path = "../examples/anomaly/evaluate.rs"]
mod evaluate;
#[path = "../examples/anomaly/histories.rs"]
mod histories;

use attacks::{Attack, Extent, Naming, Pace};
use evaluate::{detections, false_alarms};
use histories::Normal;

/// Seeds that neither the floors nor the tables were made with.
const SEEDS: std::ops::Range<u64> = 5_000_000..5_000_090;

fn met(pace: Pace, extent: Extent, naming: Naming) -> evaluate::Detections {
    let attack = Attack { pace, extent, naming };
    let found = detections(attack, SEEDS);
    println!("{}: {} of {}", attack.name(), found.met.len(), found.attacks);
    found
}

#[test]
fn a_fast_attack_is_met_in_its_first_run() {
    for (naming, rate) in [(Naming::Kept, 0.88), (Naming::Suffix, 0.93), (Naming::Random, 0.88)] {
        let found = met(Pace::Fast, Extent::Whole, naming);
        assert!(found.rate() >= rate, "{naming:?}: {}", found.rate());
        assert_eq!(found.delay_runs(90), Some(1), "{naming:?}");
        assert!(found.held_before as f64 >= 0.97 * found.met.len() as f64, "{naming:?}");
    }
    assert!(met(Pace::Fast, Extent::Partial, Naming::Suffix).rate() >= 0.9);
    assert!(met(Pace::Wiper, Extent::Whole, Naming::Kept).rate() >= 0.9);
}

#[test]
fn a_slow_attack_adds_up_before_it_has_taken_much() {
    let renaming = met(Pace::Slow, Extent::Whole, Naming::OtherExtension);
    assert!(renaming.rate() >= 0.88 && renaming.lost(50) < Some(0.1), "{renaming:?}");
    let quiet = met(Pace::Slow, Extent::Whole, Naming::Kept);
    assert!(quiet.rate() >= 0.65 && quiet.lost(50) < Some(0.15), "{quiet:?}");
    assert!(quiet.held_before as f64 >= 0.85 * quiet.met.len() as f64);
    assert!(met(Pace::Creeping, Extent::Whole, Naming::Suffix).rate() >= 0.65);
}

#[test]
fn normal_servers_are_left_alone() {
    for kind in Normal::BASES {
        let alarms = false_alarms(kind, SEEDS.start..SEEDS.start + 45);
        assert!(alarms.per_year() <= 1.2, "{}: {}", kind.name(), alarms.per_year());
        assert!(alarms.noisy as f64 <= 0.1 * alarms.servers as f64, "{}", kind.name());
    }
}
