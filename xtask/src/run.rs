//! Running other programs, with their output shown as it comes.

use std::collections::VecDeque;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

/// The project's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the project's root")
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command that runs in the project's root.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // What cargo says of this program to this program: build scripts that watch these variables (ring's) would run again,
    // and everything above them be built again, whenever cargo is called from here and by hand in turn.
    let of_this =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| of_this(name)) {
        command.env_remove(name);
    }
    command
}

/// Runs a command; a failure is an error that names it.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ");
    println!("+ {shown}");
    let status = command.status().with_context(|| format!("{shown} does not start"))?;
    if !status.success() {
        bail!("{shown} failed: {status}");
    }
    Ok(())
}

/// Does some work on every item, `jobs` at once (as many as there are processors if not given); results come as they end. A
/// failure ends its own job, and all of it once the others are through.
pub(crate) fn side_by_side<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    jobs: Option<usize>,
    work: impl Fn(I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let jobs = jobs.map_or_else(std::thread::available_parallelism, |jobs| {
        Ok(NonZero::new(jobs).unwrap_or(NonZero::<usize>::MIN))
    })?;
    let queue = Mutex::new(items.into_iter().collect::<VecDeque<I>>());
    let done = Mutex::new(Vec::new());
    let next = || queue.lock().expect("no job panicked").pop_front();
    let run = || -> Result<()> {
        while let Some(item) = next() {
            let result = work(item)?;
            done.lock().expect("no job panicked").push(result);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs.get()).map(|_| scope.spawn(run)).collect();
        jobs.into_iter().try_for_each(|job| job.join().expect("a job does not panic"))
    })?;
    Ok(done.into_inner().expect("no job panicked"))
}

/// Whether a program can be started.
pub(crate) fn is_there(program: &str, argument: &str) -> bool {
    succeeds(Command::new(program).arg(argument))
}

/// Whether a command starts and ends well; what it says is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The programs that are installed on servers.
const PROGRAMS: [&str; 4] = ["lumbung-agent", "lumbung-vault", "lumbung-controller", "lumbung-cli"];

/// Builds the four programs and the test bed's own, in release.
pub(crate) fn build_release() -> Result<()> {
    let mut build =
        command("cargo", &["build", "--release", "--package", "lumbung-tests", "--bins"]);
    for program in PROGRAMS {
        build.args(["--package", program]);
    }
    check(&mut build)
}

/// Runs the demo on release builds.
pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    build_release()?;
    let demo = target_dir().join("release/demo");
    check(Command::new(demo).args(arguments.iter().filter(|argument| *argument != "--")))
}
