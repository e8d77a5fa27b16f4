//! `cargo xtask bench database`: a large PostgreSQL database through the real agent to a vault: memory that it adds, time, and what an
//! unchanged dump sends on the next day.

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::databases::postgresql::Postgresql;
use lumbung_tests::figures::{Report, Target, float, status_mib};
use lumbung_tests::process::kill_all;
use serde_json::Value;

/// Between two looks at the agent's memory; its peak is the kernel's own.
const LOOK: Duration = Duration::from_millis(100);

/// What to measure with.
#[derive(Parser)]
#[command(name = "cargo xtask bench database --")]
struct Arguments {
    /// Rows of the large database, in millions; ten of them dump to about a gigabyte
    #[arg(long, default_value_t = 100)]
    million_rows: u64,
}

fn main() -> ExitCode {
    let measured = measure(&Arguments::parse());
    kill_all();
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-database: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One backup.
struct Run {
    seconds: f64,
    peak_mib: f64,
    summary: Value,
}

fn measure(arguments: &Arguments) -> Result<()> {
    let directory = tempfile::TempDir::with_prefix("lumbung-bench-database-")?;
    let data = directory.path().join("srv");
    fs::create_dir(&data)?;
    fs::write(data.join("file"), "x")?;
    let server = Postgresql::start_with(&["max_wal_size=4GB", "autovacuum=off"])?;
    fill(&server, "small", 1_000)?;
    fill(&server, "large", arguments.million_rows * 1_000_000)?;
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data] };
    let city = City::found(directory.path(), vec![plan], |_| ())?;
    let config = city.pds[0].server.join("agent.toml");
    let mut text = fs::read_to_string(&config)?;
    for (number, name) in ["small", "large"].into_iter().enumerate() {
        write!(
            text,
            "\n[[job]]\nname = \"{name}\"\ndataset = \"{number:032x}\"\n[job.postgresql]\nhost = \"{}\"\nuser = \"lumbung\"\n\
             databases = [\"{name}\"]\ncredentials = \"{}\"\ntools = \"{}\"\n",
            server.socket().display(),
            server.credentials().display(),
            server.tools().display()
        )?;
    }
    fs::write(&config, text)?;
    let small = back_up(&city, "small")?;
    let first = back_up(&city, "large")?;
    let again = back_up(&city, "large")?;
    report(&small, &first, &again)
}

/// A table of rows of about 100 bytes that compress as such rows do.
fn fill(server: &Postgresql, name: &str, rows: u64) -> Result<()> {
    server.sql("postgres", &format!("CREATE DATABASE {name}"))?;
    let insert = format!(
        "CREATE UNLOGGED TABLE pasien (id bigint primary key, nik text, lahir date, hasil text);
         INSERT INTO pasien SELECT n, '1271' || lpad((n * 7919 % 1000000000000)::text, 12, '0'),
         date '1950-01-01' + (n % 25000)::int, md5(n::text) || md5((n * 31)::text) FROM generate_series(1::bigint, {rows}) n"
    );
    server.sql(name, &insert).map(drop)
}

fn back_up(city: &City, job: &str) -> Result<Run> {
    let mut command: Command = city.pds[0].agent();
    command.args(["backup", "--json", "--quiet", job]).stdout(Stdio::piped());
    let begun = Instant::now();
    let mut agent = command.spawn().context("the agent does not start")?;
    let peak_mib = peak(&mut agent)?;
    let ended = agent.wait_with_output()?;
    ensure!(ended.status.success(), "the backup of {job} ended with {}", ended.status);
    let summary: Value = serde_json::from_slice(&ended.stdout)?;
    let summary = summary[0].clone();
    println!("{job}: {summary}");
    Ok(Run { seconds: begun.elapsed().as_secs_f64(), peak_mib, summary })
}

/// Waits for a process; the most memory that it had resident, as far as it was seen.
fn peak(process: &mut Child) -> Result<f64> {
    let mut peak: f64 = 0.0;
    while process.try_wait()?.is_none() {
        // It may have ended meanwhile.
        peak = peak.max(status_mib(process.id(), "VmHWM").unwrap_or_default());
        std::thread::sleep(LOOK);
    }
    Ok(peak)
}

fn report(small: &Run, first: &Run, again: &Run) -> Result<()> {
    let number = |value: &Value| value.as_u64().map(float).context("a figure is missing");
    let bytes = number(&first.summary["statistics"]["content_bytes"])?;
    let sent = number(&again.summary["sent_bytes"])? / number(&first.summary["sent_bytes"])?;
    let mut report = Report::default();
    report.add("dump", "GB", vec![bytes / 1e9], Target::None);
    report.add("first backup", "MB/s", vec![bytes / 1e6 / first.seconds], Target::None);
    report.add("unchanged backup", "MB/s", vec![bytes / 1e6 / again.seconds], Target::None);
    report.add("agent beside a small database", "MiB", vec![small.peak_mib], Target::None);
    let added = [first, again].map(|run| run.peak_mib - small.peak_mib);
    report.add("memory that the large one adds", "MiB", added.to_vec(), Target::AtMost(64.0));
    let kept = 100.0 * (1.0 - sent);
    report.add("not sent again when unchanged", "%", vec![kept], Target::AtLeast(95.0));
    report.print();
    Ok(())
}
