//! A large vault: one domain of up to ten million chunks, and a thousand others.
//!
//! The packs' heads are real, their frames are holes in their files: nothing here reads a frame. The index is filled
//! by the vault itself (`reindex`). The sweep finds every frame in use: what takes its time is to find that out.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use lumbung_model::{ManifestId, PackId, SessionId};
use lumbung_pack::Kind;
use lumbung_tests::process::output;
use lumbung_wire::VaultClient;

use crate::Arguments;
use crate::bed::{Agent, City, Owner, Site};
use crate::data::{self, After, Snapshot, hollow_pack, snapshot, write_object};
use lumbung_tests::figures::{Report, Target, Watch, children_cpu_s, float};

/// Frames in a pack, turn by turn: 14 on average.
const FRAMES: [usize; 5] = [12, 13, 14, 15, 16];
/// Openings that are timed.
const OPENINGS: usize = 5;
/// Questions that are timed.
const QUESTIONS: usize = 11;
/// Frames asked for at once.
const ASKED: usize = 10_000;

/// The large domain as it grows.
struct Large {
    owner: Owner,
    agent: Agent,
    session: SessionId,
    packs: Vec<(PackId, usize)>,
    chunks: u64,
    last: After,
}

pub(crate) async fn measure(arguments: &Arguments, dir: &Path, report: &mut Report) -> Result<()> {
    let city = City::new()?;
    let mut site = Site::create(&city, dir, "")?;
    let agent = Agent::new();
    let mut owner = Owner::new(&agent, &[]);
    let beside: Vec<Agent> = if arguments.repositories == 0 {
        (0..arguments.domains).map(|_| Agent::new()).collect()
    } else {
        others(arguments, &site)?;
        Vec::new()
    };
    beside.iter().for_each(|agent| owner.add(agent));
    let repository = site.repository(&owner.repository);
    data::make_repository(&repository, &owner)?;
    for agent in &beside {
        small_domain(&repository, &owner, agent)?;
    }
    let (session, bytes) = data::session(&owner, &agent);
    write_object(&repository, Kind::Session, &bytes)?;
    let mut large =
        Large { owner, agent, session, packs: Vec::new(), chunks: 0, last: data::FIRST };
    for chunks in &arguments.chunks {
        println!(
            "\n{chunks} chunks in one domain, {} other domains in {} repositories",
            arguments.domains,
            arguments.repositories.max(1)
        );
        large.one_size(*chunks, &city, &mut site, report).await?;
    }
    Ok(())
}

/// Other domains, spread over their repositories.
fn others(arguments: &Arguments, site: &Site) -> Result<()> {
    for number in 0..arguments.repositories {
        let count = arguments.domains / arguments.repositories
            + usize::from(number < arguments.domains % arguments.repositories);
        let agents: Vec<Agent> = (0..count.max(1)).map(|_| Agent::new()).collect();
        let mut owner = Owner::new(&agents[0], &[]);
        agents[1..].iter().for_each(|agent| owner.add(agent));
        let repository = site.repository(&owner.repository);
        data::make_repository(&repository, &owner)?;
        for agent in &agents {
            small_domain(&repository, &owner, agent)?;
        }
    }
    Ok(())
}

/// One session, one pack, one snapshot.
fn small_domain(repository: &Path, owner: &Owner, agent: &Agent) -> Result<()> {
    let (session, bytes) = data::session(owner, agent);
    write_object(repository, Kind::Session, &bytes)?;
    let pack = hollow_pack(repository, owner, agent, session, 12)?;
    let made = snapshot((owner, agent), session, data::FIRST, &[pack])?;
    write_usage(repository, &made)?;
    write_object(repository, Kind::Manifest, &made.manifest)
}

fn write_usage(repository: &Path, made: &Snapshot) -> Result<()> {
    made.usage.iter().try_for_each(|(kind, _, bytes)| write_object(repository, *kind, bytes))
}

impl Large {
    async fn one_size(
        &mut self,
        chunks: u64,
        city: &City,
        site: &mut Site,
        report: &mut Report,
    ) -> Result<()> {
        let snapshots = self.grow(chunks, site)?;
        let (since, before) = (Instant::now(), children_cpu_s()?);
        output(site.command()?.arg("reindex"))?;
        let name = |what: &str| format!("{chunks} chunks: {what}");
        report.add(name("reindex"), "s", vec![since.elapsed().as_secs_f64()], Target::None);
        report.add(name("… CPU"), "s", vec![children_cpu_s()? - before], Target::None);
        let (mut opened, mut compared) = (Vec::new(), Vec::new());
        for opening in 0..OPENINGS {
            let since = Instant::now();
            site.start()?;
            opened.push(since.elapsed().as_secs_f64());
            if opening + 1 < OPENINGS {
                site.daemon()?.wait_for("every repository was compared with its files")?;
                compared.push(since.elapsed().as_secs_f64());
                site.stop()?;
            }
        }
        report.add(name("open"), "s", opened, Target::AtMost(2.0));
        // The first commit waits for its repository's comparison, and is timed after it.
        site.daemon()?.wait_for("every repository was compared with its files")?;
        report.add(name("open and compared with every file"), "s", compared, Target::None);
        let client = site.client(city, &self.owner, &self.agent)?;
        self.have(&client, site, chunks, report).await?;
        for (what, made) in &snapshots {
            self.commit(&client, site, (&name(what), made), report).await?;
        }
        site.stop()?;
        let (since, before) = (Instant::now(), children_cpu_s()?);
        output(site.command()?.args(["gc", "--json"]))?;
        let taken = since.elapsed().as_secs_f64();
        report.add(name("sweep (start of the program included)"), "s", vec![taken], Target::None);
        report.add(name("… CPU"), "s", vec![children_cpu_s()? - before], Target::None);
        let size = index_bytes(&site.data())?;
        let each = float(size) / float(self.chunks);
        report.add(name("index"), "bytes a chunk", vec![each], Target::AtMost(100.0));
        Ok(())
    }

    /// Adds packs up to so many chunks, and more for what changes; writes the usage of the snapshots to come.
    fn grow(&mut self, chunks: u64, site: &Site) -> Result<Vec<(&'static str, Snapshot)>> {
        let repository = site.repository(&self.owner.repository);
        while self.chunks < chunks {
            self.add_pack(&repository)?;
        }
        let base = self.packs.len();
        let hundredth = base.div_ceil(100);
        for _ in 0..hundredth {
            self.add_pack(&repository)?;
        }
        let mut snapshots = Vec::new();
        for (what, packs) in [
            ("first commit", base),
            ("commit, nothing changed", base),
            ("commit, 1 pack more", base + 1),
            ("commit, 10 packs more", (base + 10).min(base + hundredth)),
            ("commit, 1 % more", base + hundredth),
        ] {
            let pair = (&self.owner, &self.agent);
            let made = snapshot(pair, self.session, self.last, &self.packs[..packs])?;
            self.last = After { sequence: self.last.sequence + 1, previous: made.id };
            write_usage(&repository, &made)?;
            snapshots.push((what, Snapshot { usage: Vec::new(), ..made }));
        }
        Ok(snapshots)
    }

    fn add_pack(&mut self, repository: &Path) -> Result<()> {
        let frames = FRAMES[self.packs.len() % FRAMES.len()];
        let pack = hollow_pack(repository, &self.owner, &self.agent, self.session, frames)?;
        self.packs.push(pack);
        self.chunks += frames as u64;
        Ok(())
    }

    async fn have(
        &self,
        client: &VaultClient,
        site: &Site,
        chunks: u64,
        report: &mut Report,
    ) -> Result<()> {
        // Spread over all packs: the largest step that leaves enough of them.
        let step = (self.packs.len() / ASKED.div_ceil(FRAMES[0])).max(1);
        let spread: Vec<(PackId, usize)> = self.packs.iter().step_by(step).copied().collect();
        let questions = data::questions(&spread, ASKED);
        let (mut wall, mut cpu) = (Vec::new(), 0.0);
        for _ in 0..QUESTIONS {
            let watch = Watch::start(site.process()?)?;
            let absent = client.have(&self.owner.repository, &questions).await?;
            let (took, used) = watch.stop()?;
            ensure!(absent.is_empty(), "{} packs are absent", absent.len());
            wall.push(took * 1e3);
            cpu += used;
        }
        let what = format!("{chunks} chunks: have, {ASKED} frames in {} packs", questions.len());
        report.add(what, "ms", wall, Target::AtMost(50.0));
        let mean = cpu * 1e3 / QUESTIONS as f64;
        report.add(format!("{chunks} chunks: … CPU, mean"), "ms", vec![mean], Target::None);
        Ok(())
    }

    async fn commit(
        &self,
        client: &VaultClient,
        site: &Site,
        (what, made): (&str, &Snapshot),
        report: &mut Report,
    ) -> Result<()> {
        let id: &ManifestId = &made.id;
        let watch = Watch::start(site.process()?)?;
        client.commit(&self.owner.repository, id, Bytes::from(made.manifest.clone())).await?;
        let (wall, cpu) = watch.stop()?;
        report.add(what, "ms", vec![wall * 1e3], Target::None);
        report.add(format!("{what} … CPU"), "ms", vec![cpu * 1e3], Target::None);
        Ok(())
    }
}

fn index_bytes(data: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("index.sqlite") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
