//! `cargo xtask drill ransomware`: the exercise, told as it happens, and what the attacker could and could not do.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use lumbung_tests::process::kill_all;
use lumbung_tests::ransomware::{Outcome, exercise};

/// An attacker has root on a PD's server and on the Pusat Data's machine; the city recovers from the DRC.
#[derive(Parser)]
#[command(name = "cargo xtask drill ransomware")]
struct Arguments {
    /// How many files the PD has
    #[arg(long, default_value_t = 2000)]
    files: u32,
}

fn main() -> ExitCode {
    let told = held(&Arguments::parse());
    kill_all();
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nransomware: failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn held(arguments: &Arguments) -> Result<()> {
    let directory = tempfile::TempDir::with_prefix("lumbung-ransomware-")?;
    let begun = std::time::Instant::now();
    let mut story = |text: &str| println!("[{:5.1} s] {text}", begun.elapsed().as_secs_f64());
    let Outcome { deeds, entries, bytes, differences, recovery, lost } =
        exercise(directory.path(), arguments.files, &mut story)?;
    for could in [true, false] {
        println!("\nThe attacker could{}:", if could { "" } else { " not" });
        for deed in deeds.iter().filter(|deed| deed.could == could) {
            println!("  {}: {}", deed.what, deed.seen);
        }
    }
    ensure!(differences == 0, "{differences} entries differ from what there was before the attack");
    println!(
        "\nransomware: ok {entries} entries and {} MB restored from the DRC and compared, all as before the attack; {:.1} s from the alarm; lost: what was written in the {:.1} s before it",
        bytes / 1_000_000,
        recovery.as_secs_f64(),
        lost.as_secs_f64()
    );
    Ok(())
}
