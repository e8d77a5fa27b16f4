//! `lumbung restore`: files back from a snapshot, elsewhere or in place, compared and proven if that is wanted.
//!
//! Invariants: nothing is written outside the target; nothing that is there is replaced or removed unless
//! `--overwrite` or `--delete` says so, and in place nothing at all before somebody has agreed to it; a proof is
//! signed only for a whole snapshot that was compared byte by byte after it was written, and says how many
//! entries failed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use lumbung_engine::{
    Cancel, CompareReport, Depot, Include, OverwritePolicy, OwnerPolicy, Progress, RestoreError,
    RestoreOptions, RestoreRequest, Snapshot, SnapshotReader, compare, is_live_root, restore,
};
use lumbung_model::{ProofId, SiteId};
use lumbung_pack::{Kind, Proof, SigningKey, object_id, sign};
use serde_json::Value;

use crate::chain::now;
use crate::commands::browse::{ChosenArgs, inner};
use crate::commands::restore_plan;
use crate::commands::restore_text::{Done, complain, text, value};
use crate::depot::{self, AccessArgs, DepotArgs, Opened};
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::files::create;
use crate::interrupt::on_ctrl_c;
use crate::listing;
use crate::opening::{Opener, Unlocked};
use crate::progress::Meter;
use crate::terminal::Terminal;

/// What Lumbung's own programs keep on a machine: `--delete` leaves it, wherever it lies.
const OWN_DIRECTORIES: [&str; 5] = [
    "/etc/lumbung",
    "/var/lib/lumbung-agent",
    "/var/lib/lumbung-vault",
    "/var/lib/lumbung-controller",
    "/var/lib/lumbung-watch",
];

/// Where an agent is told what to do, unless its unit says otherwise.
const AGENT_CONFIG: &str = "/etc/lumbung/agent.toml";

/// Where an agent's configuration says that its state lies. What cannot be read says nothing: the usual place is
/// protected anyway.
fn agent_state(config: &str) -> Option<PathBuf> {
    let config: toml::Table = toml::from_str(config).ok()?;
    Some(PathBuf::from(config.get("agent")?.get("state")?.as_str()?))
}

/// Restore a snapshot, or a part of it, beneath a target or in place
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// latest, latest:DATASET, an id or its beginning
    snapshot: String,
    /// Only this file or folder; may be given again
    #[arg(long, value_name = "PATH")]
    include: Vec<PathBuf>,
    #[command(flatten)]
    onto: OntoArgs,
    /// Read everything back afterwards and compare it with the snapshot
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,
    /// Compare, sign a proof of restore (with the root key, or the requester key to which it is opened) and store it in the depot
    #[arg(long, conflicts_with_all = ["include", "no_owner", "dry_run"])]
    prove: bool,
    /// Compare, and write the signed proof to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "no_owner", "dry_run"])]
    proof: Option<PathBuf>,
    #[command(flatten)]
    chosen: ChosenArgs,
}

/// Where to, and over what.
#[derive(Debug, Args)]
pub(crate) struct OntoArgs {
    /// Directory to write beneath; paths are kept: /etc comes back as OUT/etc
    #[arg(
        long,
        value_name = "OUT",
        required_unless_present = "in_place",
        conflicts_with = "in_place"
    )]
    pub(crate) target: Option<PathBuf>,
    /// To the original paths; shows what will happen, and asks
    #[arg(long)]
    pub(crate) in_place: bool,
    /// What becomes of what is there already (default: never)
    #[arg(long, value_name = "RULE", value_enum)]
    pub(crate) overwrite: Option<OverwriteRule>,
    /// Remove what is in the restored folders and not in the snapshot; shows it, and asks
    #[arg(long)]
    pub(crate) delete: bool,
    /// Only tell what would happen
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Another depot of the same repository, for what this one has lost or damaged
    #[arg(long, value_name = "DEPOT")]
    pub(crate) fallback: Option<String>,
    /// Give everything to the user who restores
    #[arg(long)]
    pub(crate) no_owner: bool,
}

/// What becomes of what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OverwriteRule {
    /// It stays
    Never,
    /// What was modified before the snapshot's is replaced
    IfNewer,
    /// What has another type, size or modification time is replaced; attributes become the snapshot's
    IfChanged,
    /// As if-changed, and files of the same size are compared byte by byte
    Always,
}

impl OverwriteRule {
    const fn policy(self) -> OverwritePolicy {
        match self {
            Self::Never => OverwritePolicy::Never,
            Self::IfNewer => OverwritePolicy::IfNewer,
            Self::IfChanged => OverwritePolicy::IfChanged,
            Self::Always => OverwritePolicy::Always,
        }
    }
}

impl OntoArgs {
    /// Where everything is written beneath.
    #[must_use]
    pub(crate) fn target(&self) -> &Path {
        self.target.as_deref().unwrap_or_else(|| Path::new("/"))
    }

    /// The rule, said or not.
    #[must_use]
    pub(crate) fn policy(&self) -> OverwritePolicy {
        self.overwrite.map_or_else(OverwritePolicy::default, OverwriteRule::policy)
    }

    /// Whether somebody has to agree first.
    fn asks(&self) -> bool {
        !self.dry_run && (self.in_place || self.delete || is_live_root(self.target()))
    }

    fn options<'d>(
        &self,
        depots: impl Iterator<Item = &'d dyn Depot>,
        key: &Path,
    ) -> RestoreOptions {
        let mut protected: Vec<PathBuf> = OWN_DIRECTORIES.map(PathBuf::from).to_vec();
        let config = std::fs::read_to_string(AGENT_CONFIG).ok();
        protected.extend(config.as_deref().and_then(agent_state));
        protected.extend(depots.filter_map(Depot::local_path));
        protected.push(key.to_owned());
        RestoreOptions {
            overwrite: self.policy(),
            delete: self.delete,
            protected,
            owners: if self.no_owner { OwnerPolicy::Restorer } else { OwnerPolicy::AsBackedUp },
            ..RestoreOptions::default()
        }
    }
}

/// Runs `lumbung restore`.
///
/// # Errors
/// If nothing could be restored; entries that failed are in the result.
pub(crate) fn run(args: &RestoreArgs, terminal: &Terminal) -> Outcome<Exit> {
    let opener = args.chosen.key.open()?;
    let unlocked = opener.unlock(&args.depot, terminal)?;
    let opened = &unlocked.opened;
    let proving = args.prove || args.proof.is_some();
    let prover = opener.prover(&opened.chain);
    if proving && prover.is_none() {
        let message = "this key is no root key of the repository, so its proof would not count";
        let next = "use the custodian's bundle, a requester key to which the snapshot is opened, or restore with --verify";
        return Err(Failure::new(Code::NotEntitled, message, next));
    }
    let list = unlocked.list()?;
    let snapshot = list.select(&args.snapshot, args.chosen.dataset.as_deref(), terminal)?;
    let part = Part {
        unlocked: &unlocked,
        opener: &opener,
        access: &args.depot.access,
        key: args.chosen.key.file(),
        snapshot: &snapshot,
        include: Include::paths(args.include.iter().map(|path| inner(path))),
        compared: proving || args.verify,
    };
    let Some(mut done) = part.restore(&args.onto, terminal)? else { return Ok(Exit::Fine) };
    done.passed_over = list.unreadable.len();
    if let (true, Some(report), Some(prover)) = (proving, &done.compared, prover) {
        done.proof = Some(prove(args, opened, prover, &snapshot, &done, report)?);
    }
    tell(&args.onto, &snapshot, &done, terminal)?;
    Ok(done.exit())
}

/// A part of a snapshot that is to be restored.
pub(crate) struct Part<'a> {
    pub(crate) unlocked: &'a Unlocked,
    pub(crate) opener: &'a Opener,
    pub(crate) access: &'a AccessArgs,
    /// The key's file, which nothing may delete.
    pub(crate) key: &'a Path,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) include: Include,
    pub(crate) compared: bool,
}

impl Part<'_> {
    /// Restores it, complains of what went wrong, and tells of it: as JSON, and in words.
    ///
    /// # Errors
    /// If nothing could be restored.
    pub(crate) fn run(
        &self,
        onto: &OntoArgs,
        terminal: &Terminal,
    ) -> Outcome<(Value, String, Exit)> {
        let Some(done) = self.restore(onto, terminal)? else {
            return Ok((Value::Null, String::new(), Exit::Fine));
        };
        complain(onto, &done, terminal);
        let value = value(onto, self.snapshot, &done);
        Ok((value, text(onto, self.snapshot, &done, terminal), done.exit()))
    }

    /// Nothing comes back of a dry run.
    fn restore(&self, onto: &OntoArgs, terminal: &Terminal) -> Outcome<Option<Done>> {
        let opened = &self.unlocked.opened;
        if !self.snapshot.authorized {
            terminal.warn(&format!(
                "snapshot {} is not authorised (belum disahkan): the newest roster does not vouch for who made it; look at what it holds before you use it",
                self.snapshot.id.short()
            ));
        }
        let fallback = fallback(onto, self)?;
        let reader = SnapshotReader::open_cached(
            Arc::clone(&opened.depot),
            fallback.clone(),
            Some(opened.chain.repository()),
            &self.snapshot.id,
            &self.unlocked.opening,
            depot::head_cache(opened.depot.as_ref()),
        )
        .map_err(|e| {
            let what = format!("snapshot {} could not be opened", self.snapshot.id.short());
            listing::explain(&what, e)
        })?;
        let cancel = on_ctrl_c(terminal.quiet)?;
        let depots = [Some(opened.depot.as_ref()), fallback.as_deref()];
        let options = onto.options(depots.into_iter().flatten(), self.key);
        let run = Run { part: self, onto, reader: &reader, fallback, options, cancel: &cancel };
        if onto.dry_run {
            let meter = Meter::new(terminal, "plan");
            restore_plan::tell(&run.request(&meter), self.snapshot, &meter, terminal)?;
            return Ok(None);
        }
        if onto.asks() {
            let meter = Meter::new(terminal, "plan");
            restore_plan::ask(&run.request(&meter), &meter, onto.yes, terminal)?;
        }
        let started = now();
        let meter = Meter::new(terminal, "restore");
        let outcome = restore(&run.request(&meter));
        meter.finish();
        let elapsed = meter.elapsed();
        let outcome = outcome.map_err(|e| explain(onto.target(), e))?;
        let compared = if self.compared {
            Some(self.compare(onto, &reader, &cancel, terminal)?)
        } else {
            None
        };
        let by_default = onto.overwrite.is_none();
        let (proof, passed_over) = (None, 0);
        Ok(Some(Done { started, elapsed, outcome, compared, proof, passed_over, by_default }))
    }

    fn compare(
        &self,
        onto: &OntoArgs,
        reader: &SnapshotReader,
        cancel: &Cancel,
        terminal: &Terminal,
    ) -> Outcome<CompareReport> {
        let meter = Meter::new(terminal, "compare");
        let report = compare(reader, onto.target(), &self.include, &meter, cancel);
        meter.finish();
        if cancel.is_cancelled() {
            return Err(explain(onto.target(), RestoreError::Cancelled));
        }
        report.map_err(|e| listing::explain("what was restored could not be compared", e))
    }
}

/// What plan and restore are asked alike.
struct Run<'a> {
    part: &'a Part<'a>,
    onto: &'a OntoArgs,
    reader: &'a SnapshotReader,
    fallback: Option<Arc<dyn Depot>>,
    options: RestoreOptions,
    cancel: &'a Cancel,
}

impl Run<'_> {
    fn request<'r>(&'r self, progress: &'r dyn Progress) -> RestoreRequest<'r> {
        RestoreRequest {
            snapshot: self.reader,
            fallback: self.fallback.clone(),
            target: self.onto.target(),
            include: self.part.include.clone(),
            options: self.options.clone(),
            progress,
            cancel: self.cancel,
        }
    }
}

fn fallback(onto: &OntoArgs, part: &Part<'_>) -> Outcome<Option<Arc<dyn Depot>>> {
    let Some(named) = &onto.fallback else { return Ok(None) };
    let repository = Some(part.unlocked.opened.chain.repository());
    let access = AccessArgs { repository, ..part.access.clone() };
    Ok(Some(depot::open(named, &access, part.opener.access())?.depot))
}

/// What the engine's refusal means at the terminal.
#[must_use]
pub(crate) fn explain(target: &Path, error: RestoreError) -> Failure {
    match error {
        RestoreError::DeleteNeedsFolder(path) => Failure::new(
            Code::Usage,
            format!("--delete is about folders, and /{path} is none in the snapshot"),
            "name the folder with --include, or leave --delete out",
        ),
        RestoreError::Snapshot(error) => listing::explain("the restore ended early", error),
        RestoreError::NothingIncluded => Failure::new(
            Code::UnknownPath,
            "nothing in the snapshot matches --include",
            "`lumbung ls DEPOT SNAPSHOT` shows the paths; write them from the top, such as /etc/hosts",
        ),
        RestoreError::Cancelled => Failure::new(
            Code::Interrupted,
            format!("the restore was stopped; {} holds what was written so far", target.display()),
            "run the same command again: what is whole stays, the rest is restored",
        ),
        error => Failure::new(
            Code::Restore,
            "the restore ended early",
            "check target and disk, then run the same command again: what is whole stays",
        )
        .because(error),
    }
}

fn prove(
    args: &RestoreArgs,
    opened: &Opened,
    prover: &SigningKey,
    snapshot: &Snapshot,
    done: &Done,
    report: &CompareReport,
) -> Outcome<ProofId> {
    let proof = Proof {
        repository: opened.chain.repository(),
        manifest: snapshot.id,
        site: opened.depot.site().unwrap_or(SiteId::ZERO),
        started: done.started,
        finished: now(),
        entries: report.entries,
        bytes: report.bytes,
        failed: done.outcome.failures_total.max(report.differences_total),
    };
    let object = sign(&proof, prover);
    let id = object_id(&object);
    if let Some(file) = &args.proof {
        create(file, "the proof", &object, 0o644)?;
    }
    if args.prove {
        opened.depot.put(Kind::Proof, &id, &object).explain(
            Code::Depot,
            || format!("the proof could not be stored in {}", opened.name()),
            "the restore itself is done; try again with --proof FILE and `lumbung proof submit FILE`",
        )?;
    }
    Ok(ProofId::from_bytes(id))
}

fn tell(onto: &OntoArgs, snapshot: &Snapshot, done: &Done, terminal: &Terminal) -> Outcome<()> {
    terminal.result(&value(onto, snapshot, done), || text(onto, snapshot, done, terminal))?;
    complain(onto, done, terminal);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_own_words_say_where_its_state_is() {
        let config = "[agent]\nstate = \"/data/agent\"\n[[site]]\nurl = \"x\"\n";
        assert_eq!(agent_state(config), Some(PathBuf::from("/data/agent")));
        assert_eq!(agent_state("[agent]\n"), None);
        assert_eq!(agent_state("no toml"), None);
    }

    #[test]
    fn the_root_by_any_name_asks_as_in_place_does() {
        let onto = |target: &str| OntoArgs {
            target: Some(PathBuf::from(target)),
            in_place: false,
            overwrite: None,
            delete: false,
            dry_run: false,
            yes: false,
            fallback: None,
            no_owner: false,
        };
        for root in ["/", "//", "/tmp/..", "/proc/self/root"] {
            assert!(onto(root).asks(), "{root}");
        }
        assert!(!onto("/tmp").asks());
        assert!(!onto("/not/there").asks());
    }
}
