//! The rounds: storm, steady state, steady state with readers; what the controller's process took in each.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lumbung_tests::figures::{Report, Target, Watch, float, status_mib};

use crate::Arguments;
use crate::city::City;
use crate::fleet::Fleet;
use crate::link::Line;
use crate::pages::{self, Taken};

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Of every round, one figure a line of the table.
#[derive(Default)]
struct Runs {
    storm_s: Vec<f64>,
    storm_cpu_s: Vec<f64>,
    storm_rss_mib: Vec<f64>,
    storm_failures: Vec<f64>,
    beats_per_s: Vec<f64>,
    cpu_percent: Vec<f64>,
    cpu_us_per_beat: Vec<f64>,
    rss_mib: Vec<f64>,
    read_cpu_percent: Vec<f64>,
    read_rss_mib: Vec<f64>,
    /// By kind of page: p50 and p99.
    pages_ms: Vec<(Vec<f64>, Vec<f64>)>,
}

pub(crate) async fn measure(arguments: &Arguments, program: &Path, dir: &Path) -> Result<()> {
    let mut city = City::open(arguments, program, dir).await?;
    let lines = city.lines()?;
    let mut runs = Runs::default();
    for round in 1..=arguments.rounds {
        println!("round {round}");
        city.start()?;
        let fleet = storm(arguments, &city, &lines, &mut runs).await?;
        // The first heartbeats of the storm are over once each agent was heard in its own time.
        tokio::time::sleep(Duration::from_secs(arguments.interval_s.into()) * 2).await;
        steady(arguments, &city, &fleet, &mut runs).await?;
        reading(arguments, &city, &mut runs).await?;
        let failures = fleet.counts.failures.load(Ordering::Relaxed);
        if failures > 0 {
            println!("  failures: {failures}, {:?}", fleet.counts.reasons());
        }
        fleet.stop().await?;
        city.stop()?;
    }
    runs.print(arguments);
    Ok(())
}

/// All agents connect, are heard and report.
async fn storm(
    arguments: &Arguments,
    city: &City,
    lines: &[Line],
    runs: &mut Runs,
) -> Result<Fleet> {
    let watch = Watch::start(city.process()?)?;
    let fleet = Fleet::storm(arguments, city, lines);
    fleet.settled().await?;
    let (wall, cpu) = watch.stop()?;
    let failures = fleet.counts.failures.load(Ordering::Relaxed);
    println!(
        "  storm: {wall:.2} s until all have reported, {cpu:.2} CPU s, {:.0} MiB at most, {failures} attempts failed",
        status_mib(city.process()?, "VmHWM")?
    );
    runs.storm_s.push(wall);
    runs.storm_cpu_s.push(cpu);
    runs.storm_rss_mib.push(status_mib(city.process()?, "VmHWM")?);
    runs.storm_failures.push(float(failures));
    Ok(fleet)
}

/// The largest resident memory while `work` goes on.
async fn peak_mib<T>(process: u32, work: impl Future<Output = T>) -> Result<(T, f64)> {
    tokio::pin!(work);
    let mut peak = status_mib(process, "VmRSS")?;
    loop {
        if let Ok(done) = tokio::time::timeout(LOOK, &mut work).await {
            return Ok((done, peak.max(status_mib(process, "VmRSS")?)));
        }
        peak = peak.max(status_mib(process, "VmRSS")?);
    }
}

/// Heartbeats and reports, nothing else.
async fn steady(arguments: &Arguments, city: &City, fleet: &Fleet, runs: &mut Runs) -> Result<()> {
    let process = city.process()?;
    let beats = || fleet.counts.heartbeats.load(Ordering::Relaxed);
    let (before, watch) = (beats(), Watch::start(process)?);
    let long = Duration::from_secs(arguments.seconds);
    let ((), rss) = peak_mib(process, tokio::time::sleep(long)).await?;
    let (wall, cpu) = watch.stop()?;
    let beats = float(beats() - before);
    ensure!(beats > 0.0, "no agent was heard: {:?}", fleet.counts.reasons());
    println!(
        "  steady: {:.0} heartbeats/s, {:.1} % of a core, {:.0} µs CPU a heartbeat, {rss:.0} MiB",
        beats / wall,
        100.0 * cpu / wall,
        1e6 * cpu / beats
    );
    runs.beats_per_s.push(beats / wall);
    runs.cpu_percent.push(100.0 * cpu / wall);
    runs.cpu_us_per_beat.push(1e6 * cpu / beats);
    runs.rss_mib.push(rss);
    Ok(())
}

/// The same with readers.
async fn reading(arguments: &Arguments, city: &City, runs: &mut Runs) -> Result<()> {
    let process = city.process()?;
    let (began, watch) = (Instant::now(), Watch::start(process)?);
    let reads = pages::read(arguments, city, arguments.seconds);
    let (pages, rss) = peak_mib(process, reads).await?;
    let (_, cpu) = watch.stop()?;
    let percent = 100.0 * cpu / began.elapsed().as_secs_f64();
    println!("  with readers: {percent:.1} % of a core, {rss:.0} MiB");
    runs.read_cpu_percent.push(percent);
    runs.read_rss_mib.push(rss);
    runs.pages_ms.resize_with(arguments.pages.len(), Default::default);
    for ((page, taken), (p50, p99)) in arguments.pages.iter().zip(pages?).zip(&mut runs.pages_ms) {
        let Taken { seconds, bytes } = &taken;
        println!(
            "  {}: {} reads, p50 {:.0} ms, p99 {:.0} ms, {bytes} bytes",
            page.path(),
            seconds.len(),
            taken.quantile_ms(0.5),
            taken.quantile_ms(0.99)
        );
        p50.push(taken.quantile_ms(0.5));
        p99.push(taken.quantile_ms(0.99));
    }
    Ok(())
}

impl Runs {
    fn print(self, arguments: &Arguments) {
        println!(
            "\n{} agents, one heartbeat in {} s each, {} datasets",
            arguments.agents, arguments.interval_s, arguments.datasets
        );
        let mut report = Report::default();
        let mut add = |what: &str, unit, runs, target| report.add(what, unit, runs, target);
        add("storm: until all have reported", "s", self.storm_s, Target::None);
        add("storm: CPU", "s", self.storm_cpu_s, Target::None);
        add("storm: peak RSS", "MiB", self.storm_rss_mib, Target::None);
        add("storm: attempts that failed", "", self.storm_failures, Target::None);
        add("steady: heartbeats", "/s", self.beats_per_s, Target::None);
        add("steady: CPU", "% of a core", self.cpu_percent, Target::AtMost(50.0));
        add("steady: CPU a heartbeat", "µs", self.cpu_us_per_beat, Target::None);
        add("steady: RSS", "MiB", self.rss_mib, Target::AtMost(256.0));
        add("with readers: CPU", "% of a core", self.read_cpu_percent, Target::None);
        add("with readers: RSS", "MiB", self.read_rss_mib, Target::None);
        for (page, (p50, p99)) in arguments.pages.iter().zip(self.pages_ms) {
            let kind = page.path();
            add(&format!("{kind}: p50"), "ms", p50, Target::None);
            add(&format!("{kind}: p99"), "ms", p99, Target::AtMost(100.0));
        }
        report.print();
    }
}
