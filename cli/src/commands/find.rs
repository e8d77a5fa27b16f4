//! `lumbung find`: every version of what is looked for, over all snapshots and sites; restored at once if that is
//! wanted.
//!
//! Invariants: a version is told once, with the snapshots and sites that have it; a snapshot that no roster vouches
//! for (belum disahkan) is searched only if that is asked for, and marked; a snapshot that one site cannot open is
//! searched, and restored from, at another; what could not be searched is named, and makes the exit code say so.

use std::path::PathBuf;

use clap::Args;
use lumbung_engine::{Excludes, Include, Query, Search, Snapshot, TypeFilter, Version};
use lumbung_model::{ByteSize, ManifestId};
use serde_json::json;

use crate::commands::browse::{ChosenArgs, open_reader};
use crate::commands::find_text;
use crate::commands::restore::{OntoArgs, OverwriteRule, Part};
use crate::depot::{self, AccessArgs, DepotArgs};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::listing::{self, Listing};
use crate::moment::Moment;
use crate::opening::{Opener, Unlocked};
use crate::terminal::Terminal;

/// Find the versions of files by name, date, size and type, in all snapshots and at several sites
#[derive(Debug, Args)]
pub(crate) struct FindArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// Pattern: *.pdf, surat/2026-*, /srv/**/data?.db
    pattern: String,
    /// Another depot of the same repository to search as well; may be given again
    #[arg(long, value_name = "DEPOT")]
    site: Vec<String>,
    /// latest, latest:DATASET, an id or its beginning; or all
    #[arg(long, default_value = "all")]
    snapshot: String,
    /// Modified on this day or later: 2026-06-30, or "2026-06-30 08:00"
    #[arg(long, value_name = "WHEN")]
    since: Option<Moment>,
    /// Modified on this day or earlier
    #[arg(long, value_name = "WHEN")]
    until: Option<Moment>,
    /// Only snapshots that finished on this day or later
    #[arg(long, value_name = "WHEN")]
    snapshots_since: Option<Moment>,
    /// Also in snapshots that are not authorised (belum disahkan): anybody may have made them
    #[arg(long)]
    all: bool,
    /// Of at least this size, for instance 10MiB
    #[arg(long, value_name = "SIZE")]
    min_size: Option<ByteSize>,
    /// Of at most this size
    #[arg(long, value_name = "SIZE")]
    max_size: Option<ByteSize>,
    /// Of this type
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kind: Option<KindArg>,
    /// Versions to keep; the rest is counted
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: usize,
    #[command(flatten)]
    back: BackArgs,
    #[command(flatten)]
    chosen: ChosenArgs,
}

/// Restoring what was found.
#[derive(Debug, Args)]
struct BackArgs {
    /// Restore what was found: the only version, or as --newest or --pick say
    #[arg(long, requires = "target")]
    restore: bool,
    /// Directory to restore beneath
    #[arg(long, value_name = "OUT", requires = "restore")]
    target: Option<PathBuf>,
    /// The newest version of each path
    #[arg(long, requires = "restore", conflicts_with = "pick")]
    newest: bool,
    /// The version with this number in the list
    #[arg(long, value_name = "N", requires = "restore")]
    pick: Option<usize>,
    /// What becomes of what is there already (default: never)
    #[arg(long, value_name = "RULE", value_enum, requires = "restore")]
    overwrite: Option<OverwriteRule>,
    /// Give everything to the user who restores
    #[arg(long, requires = "restore")]
    no_owner: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KindArg {
    /// A file
    File,
    /// A folder
    Directory,
    /// A symbolic link
    Symlink,
    /// A pipe, a socket or a device
    Special,
}

impl KindArg {
    const fn filter(self) -> TypeFilter {
        match self {
            Self::File => TypeFilter::File,
            Self::Directory => TypeFilter::Directory,
            Self::Symlink => TypeFilter::Symlink,
            Self::Special => TypeFilter::Special,
        }
    }
}

/// A snapshot, and the depots that keep it.
struct Placed {
    snapshot: Snapshot,
    sites: Vec<usize>,
}

/// Runs `lumbung find`.
///
/// # Errors
/// If no snapshot can be searched; or what was found cannot be restored.
pub(crate) fn run(args: &FindArgs, terminal: &Terminal) -> Outcome<Exit> {
    let query = query(args, terminal)?;
    let opener = args.chosen.key.open()?;
    let first = opener.unlock(&args.depot, terminal)?;
    let repository = Some(first.opened.chain.repository());
    let access = AccessArgs { repository, ..args.depot.access.clone() };
    let mut sites = vec![first];
    for site in &args.site {
        let opened = depot::open(site, &access, opener.access())?;
        sites.push(opener.unlock_opened(opened, terminal)?);
    }
    let (placed, mut whole) = snapshots(args, &sites, terminal)?;
    let mut search = Search::new(query);
    for placed in &placed {
        whole &= search_one(&mut search, placed, &sites, terminal);
    }
    let (versions, left_out) = search.finish();
    let found = Found { versions, left_out, sites, placed };
    if args.back.restore {
        return restore(args, &found, &opener, terminal);
    }
    found.tell(args, terminal)?;
    Ok(if whole { Exit::Fine } else { Exit::Warnings })
}

fn query(args: &FindArgs, terminal: &Terminal) -> Outcome<Query> {
    let pattern = Excludes::new([args.pattern.as_bytes()]).map_err(|e| {
        let next = "write a pattern such as '*.pdf' or '/srv/**/data?.db'";
        Failure::new(Code::Usage, format!("{:?} is no pattern", args.pattern), next).because(e)
    })?;
    Ok(Query {
        pattern,
        since: args.since.map(|at| at.start_in(terminal)),
        until: args.until.map(|at| at.end_in(terminal)),
        min_bytes: args.min_size.map(ByteSize::as_u64),
        max_bytes: args.max_size.map(ByteSize::as_u64),
        kind: args.kind.map(KindArg::filter),
        limit: args.limit,
    })
}

/// The snapshots that are meant, the newest first, and whether every manifest could be read.
fn snapshots(
    args: &FindArgs,
    sites: &[Unlocked],
    terminal: &Terminal,
) -> Outcome<(Vec<Placed>, bool)> {
    let dataset = args.chosen.dataset.as_deref();
    let since = args.snapshots_since.map(|at| at.start_in(terminal));
    let mut placed: Vec<Placed> = Vec::new();
    let mut whole = true;
    for (number, site) in sites.iter().enumerate() {
        let list = site.list()?;
        list.warn_unreadable(terminal);
        whole &= list.unreadable.is_empty();
        for snapshot in meant(args, &list, dataset, terminal)? {
            if since.is_some_and(|since| snapshot.finished < since) {
                continue;
            }
            match placed.iter_mut().find(|known| known.snapshot.id == snapshot.id) {
                Some(known) => {
                    // Where the rosters differ, the doubt counts.
                    known.snapshot.authorized &= snapshot.authorized;
                    known.sites.push(number);
                }
                None => placed.push(Placed { snapshot, sites: vec![number] }),
            }
        }
    }
    // Of one second, the agent's own numbers tell.
    placed.sort_by_key(|Placed { snapshot: s, .. }| {
        std::cmp::Reverse((s.finished, s.epoch, s.sequence, s.id))
    });
    Ok((placed, whole))
}

fn meant(
    args: &FindArgs,
    list: &Listing<'_>,
    dataset: Option<&str>,
    terminal: &Terminal,
) -> Outcome<Vec<Snapshot>> {
    if args.snapshot != "all" {
        return Ok(vec![list.select(&args.snapshot, dataset, terminal)?]);
    }
    let wanted = |s: &&Snapshot| !s.partial && dataset.is_none_or(|named| list.is_of(s, named));
    let (counted, others): (Vec<_>, Vec<_>) =
        list.snapshots.iter().filter(wanted).cloned().partition(|s| s.authorized);
    if args.all {
        return Ok([counted, others].concat());
    }
    if !others.is_empty() {
        let hidden = terminal.pick(
            "cuplikan belum disahkan, tidak dicari (--all)",
            "snapshots are not authorised and not searched (--all)",
        );
        terminal.note(&format!("{} {hidden}", others.len()));
    }
    Ok(counted)
}

/// Searches a snapshot at the first site that can open it; whether one could.
fn search_one(
    search: &mut Search,
    placed: &Placed,
    sites: &[Unlocked],
    terminal: &Terminal,
) -> bool {
    let short = placed.snapshot.id.short();
    for site in &placed.sites {
        let searched = open_reader(&sites[*site], &placed.snapshot).and_then(|reader| {
            let what = format!("snapshot {short} could not be searched");
            search.add(&reader, &placed.sites).map_err(|e| listing::explain(&what, e))
        });
        match searched {
            Ok(()) => return true,
            Err(failure) => terminal.warn(failure.text().trim_end()),
        }
    }
    false
}

/// What was found, where.
pub(super) struct Found {
    pub(super) versions: Vec<Version>,
    pub(super) left_out: u64,
    pub(super) sites: Vec<Unlocked>,
    placed: Vec<Placed>,
}

impl Found {
    fn tell(&self, args: &FindArgs, terminal: &Terminal) -> Outcome<()> {
        let command = |version: &Version| {
            find_text::command(&args.depot.depot, &args.chosen.key.options(), version)
        };
        find_text::tell(self, &command, terminal)
    }

    /// Whether the newest rosters vouch for a snapshot.
    pub(super) fn is_authorized(&self, id: &ManifestId) -> bool {
        self.placed.iter().any(|placed| placed.snapshot.id == *id && placed.snapshot.authorized)
    }

    /// The snapshot, the first site that can open it, and another one that keeps it.
    fn placed(
        &self,
        id: &ManifestId,
        terminal: &Terminal,
    ) -> Outcome<Option<(&Snapshot, usize, Option<usize>)>> {
        let Some(placed) = self.placed.iter().find(|placed| placed.snapshot.id == *id) else {
            return Ok(None);
        };
        let mut failed = None;
        for number in &placed.sites {
            match open_reader(&self.sites[*number], &placed.snapshot) {
                Ok(_) => {
                    let other = placed.sites.iter().find(|other| *other != number).copied();
                    return Ok(Some((&placed.snapshot, *number, other)));
                }
                Err(failure) => {
                    if let Some(before) = failed.replace(failure) {
                        terminal.warn(before.text().trim_end());
                    }
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// The versions to restore.
    fn chosen(&self, args: &BackArgs) -> Outcome<Vec<&Version>> {
        if self.versions.is_empty() {
            let next = "search without dates and sizes, or with a wider pattern";
            return Err(Failure::new(Code::UnknownPath, "nothing was found to restore", next));
        }
        if let Some(number) = args.pick {
            let picked = number.checked_sub(1).and_then(|index| self.versions.get(index));
            return picked.map(|version| vec![version]).ok_or_else(|| {
                let message = format!("there is no version {number}: 1 to {}", self.versions.len());
                Failure::new(Code::Usage, message, "run it without --restore to see the numbers")
            });
        }
        let mut newest: Vec<&Version> = Vec::new();
        for version in &self.versions {
            // The newest of each path comes first.
            if newest.last().is_none_or(|last| last.entry.path != version.entry.path) {
                newest.push(version);
            }
        }
        if args.newest || self.versions.len() == 1 {
            return Ok(newest);
        }
        let message = format!("{} versions were found", self.versions.len());
        let next = "add --newest for the newest of each path, or --pick N for one; without --restore they are listed with their numbers";
        Err(Failure::new(Code::Usage, message, next))
    }
}

/// Restores the versions that were chosen, snapshot by snapshot.
fn restore(args: &FindArgs, found: &Found, opener: &Opener, terminal: &Terminal) -> Outcome<Exit> {
    let mut parts: Vec<(ManifestId, Vec<Vec<u8>>)> = Vec::new();
    for version in found.chosen(&args.back)? {
        let path = version.entry.path.clone();
        match parts.iter_mut().find(|(snapshot, _)| *snapshot == version.last.0) {
            Some((_, paths)) => paths.push(path),
            None => parts.push((version.last.0, vec![path])),
        }
    }
    let named = |number: usize| match number.checked_sub(1) {
        None => Some(args.depot.depot.clone()),
        Some(more) => args.site.get(more).cloned(),
    };
    let onto = |other: Option<usize>| OntoArgs {
        target: args.back.target.clone(),
        in_place: false,
        overwrite: args.back.overwrite,
        delete: false,
        dry_run: false,
        yes: false,
        fallback: other.and_then(named),
        no_owner: args.back.no_owner,
    };
    let mut exit = Exit::Fine;
    let (mut values, mut texts) = (Vec::new(), String::new());
    for (id, paths) in &parts {
        let Some((snapshot, site, other)) = found.placed(id, terminal)? else { continue };
        let part = Part {
            unlocked: &found.sites[site],
            opener,
            access: &args.depot.access,
            key: args.chosen.key.file(),
            snapshot,
            include: Include::paths(paths),
            compared: false,
        };
        let (value, text, ended) = part.run(&onto(other), terminal)?;
        values.push(value);
        texts.push_str(&text);
        exit = exit.worse(ended);
    }
    terminal.result(&json!({ "restored": values }), || texts)?;
    Ok(exit)
}
