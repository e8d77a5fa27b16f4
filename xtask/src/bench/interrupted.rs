//! A first backup that is killed, by SIGKILL, at several moments: what the next run reads and sends again.
//!
//! Read again is what both runs read beyond what there is; sent again is what both runs sent beyond what one run
//! sends. Both are also told in packs, since no more than the last two may be done again: a pack of what was sent, and
//! as much content as goes into one on the average.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::tools::{Tool, tools};
use super::{bytes_below, check_quiet, files_below, in_scratch, mb, print_machine};
use crate::run::{build_release, target_dir};

/// What to measure with.
#[derive(Args)]
pub(crate) struct Options {
    /// The data; it is copied, and only the copy is read.
    #[arg(long)]
    corpus: PathBuf,
    /// How many kills, spread over the time that a whole run takes.
    #[arg(long, default_value_t = 8)]
    kills: u32,
    /// Where the copy and repositories go.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// Length at which the engine closes a pack.
const PACK_BYTES: u64 = 6 << 20;

struct Bed<'a> {
    ours: &'a Tool,
    source: &'a Path,
    work: PathBuf,
}

impl Bed<'_> {
    fn new<'a>(ours: &'a Tool, source: &'a Path, work: PathBuf) -> Result<Bed<'a>> {
        fs::create_dir_all(work.join("home"))?;
        let bed = Bed { ours, source, work };
        ours.init(&bed.repository(), &bed.work)?;
        Ok(bed)
    }

    fn repository(&self) -> PathBuf {
        self.work.join("repository")
    }

    fn backup(&self) -> Result<Command> {
        let step = self.ours.step("full", self.source, &self.repository(), &self.work, &self.work);
        let mut backup = step.context("ours makes backups")?;
        backup.arg("--json").stdin(Stdio::null()).stderr(Stdio::null());
        Ok(backup)
    }

    /// Runs to the end; bytes read and bytes sent.
    fn whole(&self) -> Result<(u64, u64)> {
        let output = self.backup()?.output()?;
        if !output.status.success() {
            bail!("the backup failed: {}", output.status);
        }
        let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let figure =
            |name: &str| told[name].as_u64().with_context(|| format!("no {name} in {told}"));
        Ok((figure("read_bytes")?, figure("sent_bytes")?))
    }

    /// Kills a run after a while; what it had read until then, and what lies in packs.
    fn killed(&self, after: Duration) -> Result<(u64, u64)> {
        let mut child = self.backup()?.stdout(Stdio::null()).spawn()?;
        std::thread::sleep(after);
        let io = fs::read_to_string(format!("/proc/{}/io", child.id()))?;
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok());
        let read = read.context("the kernel does not count what a process reads")?;
        child.kill()?;
        child.wait()?;
        let mut packs = Vec::new();
        files_below(&self.repository().join("packs"), &mut packs)?;
        // What never got its name counts for nothing.
        let named = packs.iter().filter(|pack| !is_unfinished(pack));
        let kept: Result<u64> = named.map(|pack| Ok(pack.metadata()?.len())).sum();
        Ok((read, kept?))
    }
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
}

pub(super) fn interrupted(options: &Options) -> Result<()> {
    build_release()?;
    in_scratch(&options.scratch, |work| {
        print_machine()?;
        let tools = tools(&[], &target_dir().join("release/lumbung"))?;
        let ours = &tools[0];
        let source = work.join("source");
        check_quiet(Command::new("cp").arg("-a").arg(&options.corpus).arg(&source))?;
        std::thread::sleep(Duration::from_secs(3));
        let begun = Instant::now();
        let (read, sent) = Bed::new(ours, &source, work.join("whole"))?.whole()?;
        let whole = begun.elapsed();
        println!(
            "whole: {:.0} MB in files, {:.1} MB read, {:.1} MB sent, {:.2} s; two packs are {:.1} MB",
            mb(bytes_below(&source)?),
            mb(read),
            mb(sent),
            whole.as_secs_f64(),
            mb(2 * PACK_BYTES)
        );
        println!(
            "\n| killed after s | read MB | in packs MB | then read MB | sent MB | read again MB | packs | \
             sent again MB | packs |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        let content = mb(PACK_BYTES) * mb(read) / mb(sent);
        for kill in 1..=options.kills {
            let bed = Bed::new(ours, &source, work.join(format!("kill-{kill}")))?;
            let after = whole * kill / (options.kills + 1);
            let (first_read, kept) = bed.killed(after)?;
            let (then_read, then_sent) = bed.whole()?;
            let read_again = mb((first_read + then_read).saturating_sub(read));
            let sent_again = mb((kept + then_sent).saturating_sub(sent));
            println!(
                "| {:.2} | {:.1} | {:.1} | {:.1} | {:.1} | {read_again:.1} | {:.2} | {sent_again:.1} | {:.2} |",
                after.as_secs_f64(),
                mb(first_read),
                mb(kept),
                mb(then_read),
                mb(then_sent),
                read_again / content,
                sent_again / mb(PACK_BYTES),
            );
            fs::remove_dir_all(&bed.work)?;
        }
        Ok(())
    })
}
