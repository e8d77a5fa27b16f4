//! `through_vault SOURCE DIRECTORY IDLE_S`: one backup by an agent to a vault over loopback, for `cargo xtask bench
//! through`. Prints what it took as JSON.
//!
//! The city is founded as in the tests; before the measurement everything is stopped that is neither the agent nor
//! its vault.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lumbung_tests::city::{City, PdPlan};
use serde_json::json;

/// CPU seconds and peak resident KiB of a process.
fn figures(id: u32) -> Result<(f64, u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).context("no CPU time");
    let hertz = 100.0;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        let number = found.and_then(|rest| rest.split_whitespace().next()).map(str::parse);
        number.and_then(Result::ok).with_context(|| format!("no {name}"))
    };
    Ok(((ticks(11)? + ticks(12)?) / hertz, line("VmHWM:")?, line("VmRSS:")?))
}

fn timed(command: &Command, figures: &Path) -> Result<(f64, f64, u64)> {
    let mut timed = Command::new("/usr/bin/time");
    timed.arg("-o").arg(figures).args(["-f", "%U %S %M"]);
    timed.arg(command.get_program()).args(command.get_args());
    let begun = Instant::now();
    let output = timed.output()?;
    let wall_s = begun.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("the backup failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(figures)?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let [user_s, system_s, _] = numbers[..] else { bail!("GNU time wrote {text:?}") };
    let rss = text.split_whitespace().last().and_then(|n| n.parse().ok()).context("no RSS")?;
    Ok((wall_s, user_s + system_s, rss))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(source), Some(directory), Some(idle)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        bail!("usage: through_vault SOURCE DIRECTORY IDLE_S");
    };
    let idle: u64 = idle.to_str().context("a number of seconds")?.parse()?;
    fs::create_dir_all(&directory)?;
    let plan = PdPlan { code: "DISDUKCAPIL", name: "Dinas Kependudukan", paths: vec![source] };
    let mut city = City::found(&directory, vec![plan], |_| {})?;
    city.drc.kill()?;
    city.controller.kill()?;
    let vault = city.pusat.id().context("the vault runs")?;
    let (before, ..) = figures(vault)?;
    let mut backup = city.pds[0].agent();
    backup.args(["backup", "--quiet"]);
    let (wall_s, agent_cpu_s, agent_kib) = timed(&backup, &directory.join("time"))?;
    let (after, vault_kib, _) = figures(vault)?;
    let mut told = json!({
        "wall_s": wall_s, "agent_cpu_s": agent_cpu_s, "agent_peak_kib": agent_kib,
        "vault_cpu_s": after - before, "vault_peak_kib": vault_kib,
    });
    if idle > 0 {
        // The controller answers, as on a normal day.
        city.controller.start()?;
        city.pds[0].start()?;
        let agent = city.pds[0].id().context("the agent runs")?;
        std::thread::sleep(Duration::from_secs(5));
        let (begun, ..) = figures(agent)?;
        std::thread::sleep(Duration::from_secs(idle));
        let (ended, peak, now) = figures(agent)?;
        #[expect(clippy::cast_precision_loss, reason = "a number of seconds")]
        let percent = 100.0 * (ended - begun) / idle as f64;
        told["idle_kib"] = now.into();
        told["idle_peak_kib"] = peak.into();
        told["idle_cpu_percent"] = percent.into();
    }
    println!("{told}");
    Ok(())
}
