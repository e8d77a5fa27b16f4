//! The scrub beside `b3sum`, over the same files. The scrub reads from the medium, whatever the operating system keeps of a
//! file in memory: so does `b3sum` in the figure that it is held against.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use lumbung_tests::process::output;

use crate::Arguments;
use crate::bed::{Agent, City, Owner, Site};
use crate::data::{self, Frames};
use crate::put::{FRAMES, bytes_of, packs_for, send};
use lumbung_tests::figures::{Report, Target, children_cpu_s, float, median};

pub(crate) async fn measure(arguments: &Arguments, dir: &Path, report: &mut Report) -> Result<()> {
    println!("\nscrub of {} MiB", arguments.mib);
    let city = City::new()?;
    let agent = Agent::new();
    let owner = Arc::new(Owner::new(&agent, &[]));
    let mut site = Site::create(&city, dir, "")?;
    site.start()?;
    let (client, total) = fill(arguments.mib, (&city, &site), (&owner, &agent)).await?;
    drop(client);
    site.stop()?;
    let packs = site.repository(&owner.repository).join("packs");
    let mut b3sum = Command::new("sh");
    b3sum.arg("-c").arg(format!("exec b3sum --no-names {}/*/*", packs.display()));
    let nothing = || Ok(());
    let (warm, warm_cpu) = timed(arguments.rounds, total, nothing, || b3sum_runs(&mut b3sum))?;
    let forget = || forget(&packs);
    let (floor, floor_cpu) = timed(arguments.rounds, total, forget, || b3sum_runs(&mut b3sum))?;
    let (speed, cpu) = timed(arguments.rounds, total, nothing, || {
        output(site.command()?.args(["scrub", "--json"])).map(|_| ())
    })?;
    let least = median(&floor) * 0.6;
    report.add("b3sum, every core, from memory", "MB/s", warm, Target::None);
    report.add("… its CPU", "s/GB", warm_cpu, Target::None);
    report.add("b3sum, every core, from the medium", "MB/s", floor, Target::None);
    report.add("… its CPU", "s/GB", floor_cpu, Target::None);
    report.add("scrub (start of the program included)", "MB/s", speed, Target::AtLeast(least));
    report.add("… its CPU", "s/GB", cpu, Target::None);
    Ok(())
}

/// Has the operating system forget what it keeps of these files.
fn forget(packs: &Path) -> Result<()> {
    rustix::fs::sync();
    for folder in fs::read_dir(packs)? {
        for file in fs::read_dir(folder?.path())? {
            let file = fs::File::open(file?.path())?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

fn b3sum_runs(b3sum: &mut Command) -> Result<()> {
    output(b3sum).map(|_| ())
}

/// Puts about so many MiB of packs in a vault, and a snapshot that uses them. Gives the bytes of the packs.
pub(crate) async fn fill(
    mib: usize,
    (city, site): (&City, &Site),
    (owner, agent): (&Arc<Owner>, &Agent),
) -> Result<(lumbung_wire::VaultClient, u64)> {
    let client = site.client(city, owner, agent)?;
    let (session, bytes) = data::session(owner, agent);
    data::found(&client, owner, &bytes).await?;
    let frames = Frames::random(FRAMES);
    let packs: Result<Vec<_>> =
        (0..packs_for(mib)).map(|_| frames.pack(owner, agent, session)).collect();
    let packs = packs?;
    let (total, used) =
        (bytes_of(&packs), packs.iter().map(|(id, _)| (*id, FRAMES)).collect::<Vec<_>>());
    send(vec![client.clone(), client.clone(), client.clone()], owner, packs).await?;
    let made = data::snapshot((owner, agent), session, data::FIRST, &used)?;
    data::publish(&client, owner, &made).await?;
    Ok((client, total))
}

/// Speed and CPU of a program that goes over so many bytes.
fn timed(
    rounds: usize,
    bytes: u64,
    before_each: impl Fn() -> Result<()>,
    mut run: impl FnMut() -> Result<()>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut speed, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        before_each()?;
        let (since, before) = (Instant::now(), children_cpu_s()?);
        run()?;
        speed.push(float(bytes) / 1e6 / since.elapsed().as_secs_f64());
        cpu.push((children_cpu_s()? - before) / (float(bytes) / 1e9));
    }
    Ok((speed, cpu))
}
