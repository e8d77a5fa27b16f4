//! PUT of packs: random frames, several connections, each with its own TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use lumbung_model::{PackId, SessionId};

use crate::Arguments;
use crate::bed::{Agent, City, Owner, Site};
use crate::data::{self, Frames};
use lumbung_tests::figures::{Report, Target, Watch, float};

/// Frames in a pack: as near to 16 MiB as frames of 1 MiB come.
pub(crate) const FRAMES: usize = 15;

type Packs = Vec<(PackId, Vec<Bytes>)>;

/// Bytes of these packs.
pub(crate) fn bytes_of(packs: &Packs) -> u64 {
    packs.iter().flat_map(|(_, pieces)| pieces).map(|piece| piece.len() as u64).sum()
}

/// So many packs for about so many MiB.
pub(crate) fn packs_for(mib: usize) -> usize {
    mib.div_ceil(FRAMES).max(1)
}

pub(crate) async fn measure(arguments: &Arguments, dir: &Path, report: &mut Report) -> Result<()> {
    println!("\nPUT of packs of {FRAMES} MiB over mutual TLS on loopback");
    let city = City::new()?;
    let agent = Agent::new();
    let owner = Arc::new(Owner::new(&agent, &[]));
    let mut site = Site::create(&city, dir, "")?;
    site.start()?;
    let client = site.client(&city, &owner, &agent)?;
    let (session, bytes) = data::session(&owner, &agent);
    data::found(&client, &owner, &bytes).await?;
    let frames = Frames::random(FRAMES);
    let floor = floor(arguments, dir, &frames, (&owner, &agent, session))?;
    report.add("the same bytes written and synced by one thread", "MB/s", floor, Target::None);
    for connections in &arguments.connections {
        let with = (&city, &site, &owner, &agent);
        let pack = || frames.pack(&owner, &agent, session);
        let mut clear = |site: &Site| clear(site, &owner);
        let sent = send_rounds(arguments, *connections, with, &pack, &mut clear).await?;
        let Sent { speed, cpu, .. } = sent;
        report.add(format!("PUT, {connections} connections"), "MB/s", speed, Target::None);
        report.add(format!("… the vault's CPU, {connections}"), "s/GB", cpu, Target::None);
    }
    site.stop()
}

/// What rounds of sending took.
#[derive(Default)]
pub(crate) struct Sent {
    /// MB/s of each.
    pub(crate) speed: Vec<f64>,
    /// The vault's CPU seconds for a GB of each.
    pub(crate) cpu: Vec<f64>,
    /// Every pack that was sent.
    pub(crate) ids: Vec<PackId>,
    /// Bytes of all of them.
    pub(crate) bytes: u64,
}

/// Sends packs over new connections, round after round; `after` each one.
pub(crate) async fn send_rounds(
    arguments: &Arguments,
    connections: usize,
    (city, site, owner, agent): (&City, &Site, &Arc<Owner>, &Agent),
    pack: &(dyn Fn() -> Result<(PackId, Vec<Bytes>)> + Sync),
    after: &mut (dyn FnMut(&Site) -> Result<()> + Send),
) -> Result<Sent> {
    let mut sent = Sent::default();
    for _ in 0..arguments.rounds {
        let made = (0..packs_for(arguments.mib)).map(|_| pack()).collect::<Result<Packs>>()?;
        let total = bytes_of(&made);
        sent.ids.extend(made.iter().map(|(id, _)| *id));
        sent.bytes += total;
        let clients: Result<Vec<_>> =
            (0..connections).map(|_| site.client(city, owner, agent)).collect();
        let watch = Watch::start(site.process()?)?;
        send(clients?, owner, made).await?;
        let (wall, used) = watch.stop()?;
        sent.speed.push(float(total) / 1e6 / wall);
        sent.cpu.push(used / (float(total) / 1e9));
        after(site)?;
    }
    Ok(sent)
}

/// What the disk gives to who only writes and syncs.
fn floor(
    arguments: &Arguments,
    dir: &Path,
    frames: &Frames,
    (owner, agent, session): (&Owner, &Agent, SessionId),
) -> Result<Vec<f64>> {
    let (_, pieces) = frames.pack(owner, agent, session)?;
    let folder = dir.join("floor");
    let mut runs = Vec::new();
    for _ in 0..arguments.rounds {
        std::fs::create_dir(&folder)?;
        let since = Instant::now();
        let mut total = 0;
        for number in 0..packs_for(arguments.mib) {
            let mut file = std::fs::File::create(folder.join(number.to_string()))?;
            for piece in &pieces {
                std::io::Write::write_all(&mut file, piece)?;
                total += piece.len() as u64;
            }
            file.sync_all()?;
        }
        runs.push(float(total) / 1e6 / since.elapsed().as_secs_f64());
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(runs)
}

/// Sends packs over several connections, each taking the next one.
pub(crate) async fn send(
    clients: Vec<lumbung_wire::VaultClient>,
    owner: &Arc<Owner>,
    packs: Packs,
) -> Result<()> {
    let queue = Arc::new(std::sync::Mutex::new(packs));
    let mut senders = tokio::task::JoinSet::new();
    for client in clients {
        let (queue, owner) = (Arc::clone(&queue), Arc::clone(owner));
        senders.spawn(async move {
            loop {
                let next = queue.lock().ok().and_then(|mut queue| queue.pop());
                let Some((id, pieces)) = next else { return Ok(()) };
                client.put_pack(&owner.repository, &id, pieces).await?;
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        let done: Result<(), lumbung_wire::ClientError> = done?;
        done?;
    }
    Ok(())
}

/// Gives the disk its space back. The vault forgets the packs when it is started next.
fn clear(site: &Site, owner: &Owner) -> Result<()> {
    for folder in std::fs::read_dir(site.repository(&owner.repository).join("packs"))? {
        for file in std::fs::read_dir(folder?.path())? {
            std::fs::remove_file(file?.path())?;
        }
    }
    Ok(())
}
