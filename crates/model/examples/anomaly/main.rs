//! Measures the detector of anomalies over simulated servers, and prints the tables of `docs/anomalies.md`.
//!
//! `cargo run --release -p lumbung-model --example anomaly [servers of each kind] [first seed]`. The floors of the detector were
//! chosen with seeds below 1,000,000; the tables are of seeds from 1,000,000 on.

mod attacks;
mod chance;
mod evaluate;
mod histories;

use attacks::{Attack, Extent, Naming, Pace};
use histories::Normal;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let servers = arguments.next().and_then(Result::ok).unwrap_or(400);
    let first = arguments.next().and_then(Result::ok).unwrap_or(1_000_000);
    let seeds = || first..first + servers;

    println!(
        "| attack | detected | in run (median, 90 %) | files lost by then (median, 90 %) | held snapshot from before it |"
    );
    println!("|---|---|---|---|---|");
    for attack in attacks() {
        let found = evaluate::detections(attack, seeds());
        let percent = |share: Option<f64>| {
            share.map_or("–".to_owned(), |share| format!("{:.1} %", share * 100.0))
        };
        let run = |run: Option<u64>| run.map_or("–".to_owned(), |run| run.to_string());
        println!(
            "| {} | {:.1} % | {}, {} | {}, {} | {} |",
            attack.name(),
            found.rate() * 100.0,
            run(found.delay_runs(50)),
            run(found.delay_runs(90)),
            percent(found.lost(50)),
            percent(found.lost(90)),
            percent(
                (!found.met.is_empty()).then(|| found.held_before as f64 / found.met.len() as f64)
            ),
        );
    }
    println!("\n| normal server | false alarms a server-year | servers with more than three |");
    println!("|---|---|---|");
    for kind in Normal::BASES.into_iter().chain([Normal::Conversion]) {
        let alarms = evaluate::false_alarms(kind, seeds());
        let noisy = alarms.noisy as f64 / alarms.servers as f64;
        println!("| {} | {:.2} | {:.1} % |", kind.name(), alarms.per_year(), noisy * 100.0);
    }
}

/// Every pace with every extent and name, and the one without.
fn attacks() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for pace in [Pace::Fast, Pace::Slow, Pace::Creeping] {
        for extent in [Extent::Whole, Extent::Partial] {
            for naming in [Naming::Kept, Naming::Suffix, Naming::OtherExtension, Naming::Random] {
                attacks.push(Attack { pace, extent, naming });
            }
        }
    }
    attacks.push(Attack { pace: Pace::Wiper, extent: Extent::Whole, naming: Naming::Kept });
    attacks
}
