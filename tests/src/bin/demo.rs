//! `cargo demo`: the whole mission on one machine, over the real programs.
//!
//! Two sites, a controller and two agents run as separate processes; a third PD has no agent. What the demo says
//! was seen by code that is not Lumbung's: restored trees are read and compared with the sources directly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use lumbung_model::{Clock, SystemClock};
use lumbung_tests::city::{City, PASSPHRASE, Pd, PdPlan};
use lumbung_tests::process::{eventually, kill_all, output};
use lumbung_tests::{evidence, tree};

/// Bytes that are new in the last backup: enough to be killed in the middle of.
const NEW_BYTES: usize = 512 << 20;

/// Shows Lumbung's main job end to end: backup, replication, proof, disaster, recovery.
#[derive(Parser)]
#[command(name = "cargo demo --")]
struct Arguments {
    /// What the first PD backs up; it is only read [default: /usr/share/doc]
    paths: Vec<PathBuf>,
    /// Leave everything running, and print the addresses
    #[arg(long)]
    keep: bool,
}

/// Tells what happens, with the time since the start.
struct Story(Instant);

impl Story {
    fn chapter(&self, title: &str) {
        println!("\n[{:5.1} s] {title}", self.0.elapsed().as_secs_f64());
    }

    fn line(&self, text: &str) {
        println!("[{:5.1} s]   {text}", self.0.elapsed().as_secs_f64());
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match demo(&arguments) {
        Ok(last) => {
            println!("\ndemo: ok {last}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\ndemo: failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(arguments: &Arguments) -> Result<String> {
    let story = Story(Instant::now());
    let directory = tempfile::Builder::new().prefix("lumbung-demo-").tempdir()?;
    // Dropping the city stops its programs; the directory is removed after them.
    let dir = if arguments.keep { directory.keep() } else { directory.path().to_path_buf() };
    clean_up_on_signal((!arguments.keep).then(|| dir.clone()))?;
    story.chapter("A city is founded");
    let mut city = City::found(&dir, plans(&arguments.paths, &dir)?, |step| story.line(step))?;
    let drc_km = output(city.operator().args(["site", "distance"]))?;
    story.line(drc_km.trim().lines().last().unwrap_or_default());

    back_up(&mut city, &story)?;
    wait_for_proof(&city, &story)?;
    show_compliance(&city)?;
    let disaster = disaster(&mut city, &story)?;
    let last = recover(&mut city, &disaster, &story)?;
    if arguments.keep {
        keep_running(&city)?;
    }
    Ok(last)
}

/// Ctrl-C or SIGTERM: stops what was started and removes the directory, then ends.
fn clean_up_on_signal(directory: Option<PathBuf>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return std::future::pending().await;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        kill_all();
        if let Some(directory) = directory {
            // What cannot be removed is in the temporary directory all the same.
            let _ = fs::remove_dir_all(directory);
        }
        std::process::exit(130);
    });
    Ok(())
}

/// Two PD with real data, and one that does not back up.
fn plans(paths: &[PathBuf], dir: &Path) -> Result<Vec<PdPlan>> {
    let documents =
        if paths.is_empty() { vec![PathBuf::from("/usr/share/doc")] } else { paths.to_vec() };
    let documents = documents.iter().map(|path| {
        path.canonicalize().with_context(|| format!("{} cannot be backed up", path.display()))
    });
    let mut documents: Vec<PathBuf> = documents.collect::<Result<_>>()?;
    let scans = dir.join("srv/rsud/pindaian");
    fs::create_dir_all(&scans)?;
    documents.push(scans);
    let database = dir.join("srv/bapenda");
    fs::create_dir_all(&database)?;
    write_database(&database.join("pbb.sqlite"))?;
    Ok(vec![
        PdPlan { code: "RSUD", name: "Rumah Sakit Umum Daerah", paths: documents },
        PdPlan { code: "BAPENDA", name: "Badan Pendapatan Daerah", paths: vec![database] },
        PdPlan { code: "DISHUB", name: "Dinas Perhubungan", paths: Vec::new() },
    ])
}

/// A database of land tax, freshly written.
fn write_database(path: &Path) -> Result<()> {
    let mut database = rusqlite::Connection::open(path)?;
    let write = database.transaction()?;
    write.execute_batch("CREATE TABLE pbb (nop TEXT PRIMARY KEY, wajib_pajak TEXT, luas_m2 INTEGER, terutang_rp INTEGER)")?;
    {
        let mut insert = write.prepare("INSERT INTO pbb VALUES (?1, ?2, ?3, ?4)")?;
        for i in 0..200_000_i64 {
            let nop = format!("12.71.{:03}.{:03}.{:06}", i % 21, i % 151, i);
            insert.execute((
                nop,
                format!("Wajib pajak {i}"),
                40 + i * 7919 % 900,
                i * 104_729 % 9_000_000,
            ))?;
        }
    }
    write.commit()?;
    Ok(())
}

fn back_up(city: &mut City, story: &Story) -> Result<()> {
    story.chapter("PD servers back up, encrypted, to the Pusat Data");
    for pd in &mut city.pds {
        pd.start()?;
        story.line(&format!(
            "{} ({})",
            pd.code,
            pd.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        ));
        run(pd.agent().arg("backup"), &[0, 3])?;
    }
    Ok(())
}

/// Runs a program with its output shown; any of these exit codes is fine.
fn run(command: &mut Command, fine: &[i32]) -> Result<()> {
    let status = command.stdin(Stdio::null()).status()?;
    if !status.code().is_some_and(|code| fine.contains(&code)) {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn wait_for_proof(city: &City, story: &Story) -> Result<()> {
    story.chapter("The DRC pulls; both sites read everything back and sign that it is whole");
    for pd in &city.pds {
        let manifest = evidence::newest(&city.pusat.repository(&pd.repository))?.id;
        for site in [&city.pusat, &city.drc] {
            eventually(&format!("a scrub of {} at {}", pd.code, site.name), || {
                let verified =
                    evidence::verified(&site.repository(&pd.repository), &site.public.site)?;
                Ok(verified
                    .contains(&manifest)
                    .then_some(())
                    .ok_or_else(|| format!("{verified:?}")))
            })?;
            story.line(&format!(
                "{}: snapshot {} is whole at {}",
                pd.code,
                manifest.short(),
                site.name
            ));
        }
    }
    story.line("the custodians restore it at the DRC, compare, and sign the proof");
    for pd in &city.pds {
        restore(city, pd, &city.dir.join("proof").join(pd.code), &["--prove"])?;
    }
    eventually("the controller has seen all of it", || {
        let table = city.compliance()?;
        let proven = table["proven"]["datasets"].as_u64();
        Ok((proven == Some(city.pds.len() as u64)).then_some(()).ok_or_else(|| table.to_string()))
    })
}

fn show_compliance(city: &City) -> Result<()> {
    println!();
    run(city.operator().arg("compliance"), &[0])
}

/// `lumbung restore` from the DRC with nothing but the key bundle.
fn restore(city: &City, pd: &Pd, target: &Path, options: &[&str]) -> Result<()> {
    fs::create_dir_all(target)?;
    let mut restore = city.lumbung();
    restore.args(["--json", "restore", &city.drc.url, "latest", "--target"]).arg(target);
    output(restore.arg("--key").arg(pd.key()).args(options)).map(|_| ())
}

struct Disaster {
    at: Instant,
    at_s: i64,
}

fn disaster(city: &mut City, story: &Story) -> Result<Disaster> {
    story.chapter("One more backup; in the middle of it the Pusat Data dies");
    let scans = city.dir.join("srv/rsud/pindaian");
    write_scans(&scans)?;
    let (pd, repository) = (&city.pds[0], city.pusat.repository(&city.pds[0].repository));
    let packs_before = evidence::packs(&repository)?;
    let mut backup = pd.agent().arg("backup").stdin(Stdio::null()).spawn()?;
    eventually("the backup is under way", || {
        if let Some(status) = backup.try_wait()? {
            bail!("the backup ended with {status} before it could be cut off");
        }
        let packs = evidence::packs(&repository)?;
        Ok((packs >= packs_before + 4).then_some(()).ok_or_else(|| format!("{packs} packs")))
    })?;
    city.pusat.kill()?;
    city.controller.kill()?;
    let disaster = Disaster { at: Instant::now(), at_s: SystemClock.now().0 };
    story.line(
        "SIGKILL: vault of the Pusat Data and controller are gone; the agent goes on at the DRC",
    );
    let status = backup.wait()?;
    ensure!(
        matches!(status.code(), Some(0 | 3)),
        "the backup ended with {status}, the DRC did not take over"
    );
    let (pusat, drc) =
        (evidence::newest(&repository)?, evidence::newest(&city.drc.repository(&pd.repository))?);
    ensure!(pusat.id != drc.id, "the snapshot was finished at the Pusat Data, not at the DRC");
    story.line(&format!("snapshot {} was finished at the DRC", drc.id.short()));
    Ok(disaster)
}

/// Scanned documents: bytes that do not compress, in files of a few megabytes.
fn write_scans(directory: &Path) -> Result<()> {
    let mut page = vec![0; 4 << 20];
    for number in 0..NEW_BYTES / page.len() {
        getrandom::fill(&mut page)
            .map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        fs::write(directory.join(format!("berkas-{number:04}.jp2")), &page)?;
    }
    Ok(())
}

fn recover(city: &mut City, disaster: &Disaster, story: &Story) -> Result<String> {
    story.chapter("Everything comes back from the DRC with nothing but the key bundles");
    let mut lost_s = 0;
    for pd in &city.pds {
        restore(city, pd, &city.dir.join("restored").join(pd.code), &[])?;
        let snapshot = evidence::newest(&city.drc.repository(&pd.repository))?;
        lost_s = lost_s.max(disaster.at_s.saturating_sub(snapshot.body.started.0));
    }
    let rto = disaster.at.elapsed();
    let (entries, bytes) = compare(city, story)?;
    story.line(&format!(
        "RTO {:.1} s (from the disaster until all of it was restored)",
        rto.as_secs_f64()
    ));
    story.line(&format!(
        "RPO {lost_s} s (age of the oldest restored state at the moment of the disaster)"
    ));
    come_back(city, story)?;
    story.chapter("The next morning, at the Dinas");
    show_compliance(city)?;
    println!();
    run(city.operator().args(["--lang", "en", "morning"]), &[0])?;
    Ok(format!(
        "{entries} entries and {} restored from the DRC, every byte and attribute compared; RTO {:.1} s, RPO {lost_s} s; {:.0} s in all",
        lumbung_model::ByteSize::bytes(bytes),
        rto.as_secs_f64(),
        story.0.elapsed().as_secs_f64()
    ))
}

fn compare(city: &City, story: &Story) -> Result<(usize, u64)> {
    let mut total = (0, 0);
    for pd in &city.pds {
        for source in &pd.paths {
            let restored = city.dir.join("restored").join(pd.code).join(source.strip_prefix("/")?);
            let expected = tree::read(source)?;
            let (lines, count) = tree::differences(&expected, &tree::read(&restored)?, 5);
            ensure!(
                count == 0,
                "{count} differences in what {} restored:\n{}",
                pd.code,
                lines.join("\n")
            );
            let (entries, bytes) = tree::extent(&expected);
            story.line(&format!(
                "{}: {} — {entries} entries, every byte and attribute equal",
                pd.code,
                source.display()
            ));
            total = (total.0 + entries, total.1 + bytes);
        }
    }
    Ok(total)
}

fn come_back(city: &mut City, story: &Story) -> Result<()> {
    story.chapter("The Pusat Data comes back and pulls what it missed");
    city.pusat.start()?;
    city.controller.start()?;
    for pd in &city.pds {
        eventually(&format!("the inventories of {} agree", pd.code), || {
            let of = |site: &lumbung_tests::city::Site| {
                evidence::inventory(&site.repository(&pd.repository), &site.public.site)
            };
            let (pusat, drc) = (of(&city.pusat)?, of(&city.drc)?);
            let newest = evidence::newest(&city.drc.repository(&pd.repository))?.id;
            let agree = pusat == drc && pusat.contains(&newest);
            Ok(agree.then_some(()).ok_or_else(|| format!("{pusat:?} {drc:?}")))
        })?;
        story.line(&format!("{}: both inventories list the same snapshots", pd.code));
    }
    eventually("the controller sees both sites again", || {
        let table = city.compliance()?;
        let at_drc = table["at_drc"]["datasets"].as_u64();
        Ok((at_drc == Some(city.pds.len() as u64)).then_some(()).ok_or_else(|| table.to_string()))
    })
}

/// Waits until the user presses Enter; the programs are stopped then.
fn keep_running(city: &City) -> Result<()> {
    println!("\nEverything runs on, in {}:", city.dir.display());
    println!("  controller  {}", city.controller.url);
    println!("  Pusat Data  {}", city.pusat.url);
    println!("  DRC         {}", city.drc.url);
    println!("  export LUMBUNG_CONTROLLER={}", city.controller.url);
    println!("  export LUMBUNG_IDENTITY={}", city.controller.operator().display());
    println!("  export LUMBUNG_CA_FINGERPRINT={}", city.controller.ca_fingerprint);
    println!("  key bundles  {}/*/custodian/pd.key, passphrase: {PASSPHRASE}", city.dir.display());
    println!("Press Enter to stop them.");
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line)? == 0 {
        // Nobody is there to press it: run until a signal comes.
        loop {
            std::thread::park_timeout(Duration::from_secs(3600));
        }
    }
    Ok(())
}
