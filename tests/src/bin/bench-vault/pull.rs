//! The pull over a long line: `lumbung-vault pull` at one site, the other one behind a relay.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lumbung_tests::process::output;
use lumbung_tests::relay::{Line, Relay};
use serde_json::Value;

use crate::Arguments;
use crate::bed::{Agent, City, Owner, Site};
use crate::scrub::fill;
use lumbung_tests::figures::{Report, Target, Watch, children_cpu_s, float};

/// From one site to the other.
const DELAY: Duration = Duration::from_millis(15);
/// What a run takes at the full cap, at least.
const SECONDS: u64 = 16;

pub(crate) async fn measure(arguments: &Arguments, dir: &Path, report: &mut Report) -> Result<()> {
    let most = arguments.mbit.iter().max().copied().unwrap_or(1000);
    let mib = |mbit: u64| usize::try_from((mbit * 1_000_000 / 8 * SECONDS) >> 20);
    let city = City::new()?;
    for mbit in arguments.mbit.iter().copied().filter(|mbit| *mbit <= most) {
        println!("\npull of {} MiB, 15 ms each way, {mbit} Mbit/s", mib(mbit)?);
        let dir = dir.join(mbit.to_string());
        let mut centre = Site::create(&city, &dir.join("centre"), "")?;
        let agent = Agent::new();
        let owner = Arc::new(Owner::new(&agent, &[&centre]));
        centre.start()?;
        let (client, bytes) = fill(mib(mbit)?, (&city, &centre), (&owner, &agent)).await?;
        drop(client);
        let line = Line::with_mbit_per_s(mbit, DELAY);
        let (mut speed, mut taker, mut giver) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..arguments.rounds {
            let relay = Relay::start(centre.listen.parse()?, line).await?;
            let source = centre.as_source(&relay.address().to_string());
            let site = dir.join(format!("drc-{round}"));
            let drc = Site::create(&city, &site, &source)?;
            let mut pull = drc.command()?;
            pull.args(["pull", "--json"]);
            let (since, before) = (Instant::now(), children_cpu_s()?);
            let watch = Watch::start(centre.process()?)?;
            let answer = tokio::task::spawn_blocking(move || output(&mut pull)).await??;
            let wall = since.elapsed().as_secs_f64();
            let answer: Value = serde_json::from_str(&answer)?;
            ensure!(answer[0]["snapshots"] == 1, "the pull was not whole: {answer}");
            speed.push(float(bytes) * 8.0 / 1e6 / wall);
            taker.push((children_cpu_s()? - before) / (float(bytes) / 1e9));
            giver.push(watch.stop()?.1 / (float(bytes) / 1e9));
            fs::remove_dir_all(&site)?;
        }
        let target = Target::AtLeast(float(mbit) * 0.8);
        report.add(format!("pull, cap {mbit} Mbit/s"), "Mbit/s", speed, target);
        report.add("… CPU of the vault that pulls", "s/GB", taker, Target::None);
        report.add("… CPU of the vault that is pulled from", "s/GB", giver, Target::None);
        centre.stop()?;
        fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
