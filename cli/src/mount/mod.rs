//! `lumbung mount`: the snapshots of a repository as a read-only file system, until it is unmounted.
//!
//! Invariants: nothing can be written; without `--allow-other` only who mounts sees anything; what cannot be read
//! is an error of that file and told on stderr; nothing is left mounted when the program ends by Ctrl-C, by
//! SIGTERM or by `umount`.

mod answers;
mod attributes;
mod filesystem;
mod shelf;

use std::path::{Path, PathBuf};

use clap::Args;
use fuser::{Config, MountOption, Session, SessionACL};
use rustix::mount::UnmountFlags;
use serde_json::json;

use crate::commands::browse::ChosenArgs;
use crate::depot::DepotArgs;
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::opening::Unlocked;
use crate::remote::runtime;
use crate::terminal::Terminal;
use filesystem::Snapshots;
use shelf::{Labelled, Shelf};

/// Threads that answer the kernel.
const THREADS: usize = 4;

/// Look into all snapshots as a read-only file system; ends when it is unmounted, or with Ctrl-C
#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// An empty directory: DATASET/TIME/… and DATASET/latest appear in it
    mountpoint: PathBuf,
    /// Other users see it too, each what owner and mode allow
    #[arg(long)]
    allow_other: bool,
    #[command(flatten)]
    chosen: ChosenArgs,
}

/// Runs `lumbung mount`.
///
/// # Errors
/// If there is nothing to mount, or it cannot be mounted there.
pub(crate) fn run(args: &MountArgs, terminal: &Terminal) -> Outcome<Exit> {
    check(&args.mountpoint)?;
    let unlocked = args.chosen.key.open()?.unlock(&args.depot, terminal)?;
    let shelf = shelf(&unlocked, args.chosen.dataset.as_deref(), terminal)?;
    if shelf.datasets.is_empty() {
        let next = "`lumbung snapshots DEPOT --all` lists every one, also partial ones and those that no roster vouches for";
        return Err(Failure::new(Code::UnknownSnapshot, "there is no snapshot to mount", next));
    }
    let (datasets, snapshots) = (shelf.datasets.len(), shelf.snapshots.len());
    let session = Session::new(
        Snapshots::new(shelf, unlocked, *terminal),
        &args.mountpoint,
        &config(args.allow_other),
    )
    .explain(
        Code::Io,
        || format!("{} could not be mounted", args.mountpoint.display()),
        MOUNT_NEXT,
    )?;
    unmount_on_signals(&args.mountpoint, terminal)?;
    let value = json!({
        "mountpoint": args.mountpoint,
        "datasets": datasets,
        "snapshots": snapshots,
    });
    terminal.result(&value, || {
        let (mounted, end) = terminal.pick(
            ("terpasang; lepaskan dengan", "atau Ctrl-C"),
            ("mounted; take it away with", "or Ctrl-C"),
        );
        format!("{0}: {mounted} `umount {0}` {end}\n", args.mountpoint.display())
    })?;
    session.run().explain(
        Code::Io,
        || format!("{} ended early", args.mountpoint.display()),
        "unmount what is left of it (umount), and mount it again",
    )?;
    Ok(Exit::Fine)
}

/// The snapshots that are shown, with their names.
fn shelf(unlocked: &Unlocked, dataset: Option<&str>, terminal: &Terminal) -> Outcome<Shelf> {
    let list = unlocked.list()?;
    list.warn_unreadable(terminal);
    let wanted = list.counted().filter(|s| dataset.is_none_or(|named| list.is_of(s, named)));
    let label_of = unlocked.labels();
    let labelled = wanted.map(|snapshot| {
        // The newest of each dataset names it; one that does not open shows when it is entered.
        Labelled { snapshot: snapshot.clone(), label: label_of(&snapshot.id) }
    });
    Ok(Shelf::new(labelled.collect(), &|at| terminal.stamp(at)))
}

const MOUNT_NEXT: &str = "the kernel needs /dev/fuse (`modprobe fuse`); without root, the package fuse3; --allow-other without root, `user_allow_other` in /etc/fuse.conf";

fn check(mountpoint: &Path) -> Outcome<()> {
    let failed = |message: String| {
        Failure::new(Code::Io, message, "name an empty directory; `mkdir` makes one")
    };
    let mut entries = std::fs::read_dir(mountpoint)
        .map_err(|e| failed(format!("{} cannot be used", mountpoint.display())).because(e))?;
    if entries.next().is_some() {
        return Err(failed(format!("{} is not empty", mountpoint.display())));
    }
    Ok(())
}

fn config(allow_other: bool) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("lumbung".to_owned()),
        MountOption::Subtype("lumbung".to_owned()),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
    ];
    if allow_other {
        // Without it everybody would read what only the backed-up owner may.
        config.mount_options.push(MountOption::DefaultPermissions);
        config.acl = SessionACL::All;
    }
    config.n_threads = Some(THREADS);
    config
}

/// The first signal takes the mount away (whoever has a file open there keeps it until it is closed), the second one
/// ends the program.
fn unmount_on_signals(mountpoint: &Path, terminal: &Terminal) -> Outcome<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mountpoint = mountpoint.canonicalize().unwrap_or_else(|_| mountpoint.to_owned());
    let quiet = terminal.quiet;
    let runtime = runtime()?;
    let listen = || {
        let _entered = runtime.enter();
        Ok::<_, std::io::Error>((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    };
    let (mut interrupt, mut terminate) = listen().explain(
        Code::Io,
        || "signals cannot be waited for".to_owned(),
        "try again; report this if it repeats",
    )?;
    runtime.spawn(async move {
        for asked in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked == 1 {
                std::process::exit(1);
            }
            if let Err(error) = unmount(&mountpoint) {
                eprintln!("lumbung: {} could not be unmounted: {error}", mountpoint.display());
            } else if !quiet {
                eprintln!("lumbung: unmounted; this ends once no file there is open any more");
            }
        }
    });
    Ok(())
}

fn unmount(mountpoint: &Path) -> std::io::Result<()> {
    match rustix::mount::unmount(mountpoint, UnmountFlags::DETACH) {
        Err(rustix::io::Errno::PERM) => {
            // Who is not root mounted it with this program, and unmounts it with it.
            let status = std::process::Command::new("fusermount3")
                .args(["-u", "-z", "--"])
                .arg(mountpoint)
                .status()?;
            let failed = || std::io::Error::other(format!("fusermount3 ended with {status}"));
            status.success().then_some(()).ok_or_else(failed)
        }
        other => other.map_err(Into::into),
    }
}
