//! `lumbung media export`: plan, check the space, copy, sign the list.

use std::path::{Path, PathBuf};

use clap::Args;
use lumbung_engine::media::{
    ExportOutcome, ExportPlan, ExportRequest, MediaError, MediumFacts, PlanRequest, export, plan,
};
use lumbung_engine::{Cancel, list_snapshots, select_snapshot};
use lumbung_model::{ByteSize, Clock as _, ManifestId, RepositoryId, SiteId, SystemClock};
use lumbung_pack::{
    Kind, ListSigner, MediumList, RosterChain, Signed, SigningKey, SiteIdentity, list_signer,
};
use lumbung_seal::{AgentIdentity, KeyBundle};
use lumbung_store::medium::{MediumLists, Space, read_list_file, read_lists};
use lumbung_store::{MediumDir, RepositoryDir};
use serde_json::{Value, json};

use super::{explain, explain_store, left_out};
use crate::depot::{Access, AccessArgs, Opened, is_remote, open, repositories_at};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::{create, missing, read_text};
use crate::interrupt::on_ctrl_c;
use crate::keys::{self, OptionalKeyArgs};
use crate::progress::Meter;
use crate::table::pairs;
use crate::terminal::Terminal;
use crate::{listing, machine};

/// Arguments of `media export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// What to copy: directory of a repository or of a vault, or https://host:port of a vault
    depot: String,
    /// Directory of the medium: one that is a medium already, or an empty or new folder of the disk
    medium: PathBuf,
    #[command(flatten)]
    access: AccessArgs,
    /// Every repository of a vault's data directory
    #[arg(long, conflicts_with = "repository")]
    all: bool,
    #[command(flatten)]
    key: OptionalKeyArgs,
    /// Sign the list as the site whose copy this is: the vault's key file, site.key in its state directory
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    site_key: Option<PathBuf>,
    /// Sign the list as an agent of the roster: its identity
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "site_key"])]
    agent: Option<PathBuf>,
    /// Only these snapshots: `latest`, `latest:DATASET`, or an id or its first digits; may be given again
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Vec<String>,
    /// Leave out what this list of an earlier medium names (see --keep-list); may be given again
    #[arg(long, value_name = "LIST")]
    since: Vec<PathBuf>,
    /// Say what would be copied and what space it needs, and copy nothing
    #[arg(long)]
    dry_run: bool,
    /// Where not everything fits, bring as much as does
    #[arg(long)]
    fill: bool,
    /// Read what is on the medium and write what is damaged anew
    #[arg(long)]
    repair: bool,
    /// Keep a copy of each new list in this directory, for --since and `media verify --against`
    #[arg(long, value_name = "DIR")]
    keep_list: Option<PathBuf>,
    /// What is written on the medium (default: the folder's name)
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// The medium's serial number
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    serial: String,
    /// Who keeps the medium
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    custodian: String,
    /// Where it is kept
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    place: String,
}

/// Whose word the list is.
enum Signer {
    Root(KeyBundle),
    Site(SiteIdentity),
    Agent(AgentIdentity),
}

impl Signer {
    fn of(args: &ExportArgs) -> Outcome<Option<Self>> {
        if let Some(path) = &args.site_key {
            let text = read_text(path, "the site's key file")?;
            let identity = SiteIdentity::from_text(&text).map_err(|e| {
                let next = "it is the file site.key in the vault's state directory";
                Failure::new(
                    Code::DamagedKeyFile,
                    format!("{} is no site's key", path.display()),
                    next,
                )
                .because(e)
            })?;
            return Ok(Some(Self::Site(identity)));
        }
        if let Some(path) = &args.agent {
            return Ok(Some(Self::Agent(keys::agent(path)?)));
        }
        Ok(args.key.open()?.map(Self::Root))
    }

    const fn key(&self) -> &SigningKey {
        match self {
            Self::Root(bundle) => bundle.root(),
            Self::Site(identity) => &identity.key,
            Self::Agent(identity) => &identity.key,
        }
    }

    const fn access(signer: Option<&Self>) -> Access<'_> {
        match signer {
            Some(Self::Root(bundle)) => Access::Bundle(bundle),
            Some(Self::Agent(identity)) => Access::Agent(identity),
            Some(Self::Site(_)) | None => Access::Nobody,
        }
    }

    const fn site(&self) -> Option<SiteId> {
        match self {
            Self::Site(identity) => Some(identity.site),
            Self::Root(_) | Self::Agent(_) => None,
        }
    }

    /// Whether the newest roster lets this key vouch for a list.
    fn check(&self, chain: &RosterChain) -> Outcome<()> {
        let key = self.key().public();
        let roster = &chain.current().body;
        let listed = match self {
            Self::Root(_) => chain.is_root_key(&key),
            Self::Site(identity) => roster
                .sites
                .iter()
                .any(|site| site.site == identity.site && site.receipt_key == key),
            Self::Agent(_) => chain
                .agent_by_key(&key)
                .is_some_and(|agent| agent.status == lumbung_pack::AgentStatus::Active),
        };
        if listed {
            return Ok(());
        }
        let message = format!(
            "the newest roster of repository {} does not list this key",
            chain.repository()
        );
        let next = "sign with the owner's bundle, a listed site's key or a listed agent's identity";
        Err(Failure::new(Code::NotEntitled, message, next))
    }
}

/// Runs `lumbung media export`.
///
/// # Errors
/// If nothing could be copied, or only a part without --fill.
pub(crate) fn run(args: &ExportArgs, terminal: &Terminal) -> Outcome<Exit> {
    let signer = Signer::of(args)?;
    if signer.is_none() && !args.dry_run {
        let next = "name the owner's bundle (--key), the vault's key (--site-key) or an agent's identity (--agent)";
        return Err(Failure::new(Code::Usage, "nobody signs what the medium will hold", next));
    }
    let lists = since(&args.since)?;
    let cancel = on_ctrl_c(terminal.quiet)?;
    let mut done = Vec::new();
    for repository in repositories(args)? {
        let access = AccessArgs { repository, identity: args.access.identity.clone() };
        let opened = open(&args.depot, &access, Signer::access(signer.as_ref()))?;
        done.push(one(args, &opened, signer.as_ref(), &lists, &cancel, terminal)?);
    }
    tell(args, &done, terminal)
}

/// Which repositories are meant; `None` leaves it to the depot.
fn repositories(args: &ExportArgs) -> Outcome<Vec<Option<RepositoryId>>> {
    if !args.all {
        return Ok(vec![args.access.repository]);
    }
    if is_remote(&args.depot) {
        let next = "run it at the vault, on its data directory; over the network name one with --repository";
        return Err(Failure::new(Code::Usage, "--all works on a directory", next));
    }
    Ok(repositories_at(Path::new(&args.depot))?.into_iter().map(Some).collect())
}

fn since(paths: &[PathBuf]) -> Outcome<Vec<Signed<MediumList>>> {
    paths
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).map_err(|e| missing(path, "the list", e))?;
            read_list_file(&path.display().to_string(), &bytes).map_err(|e| {
                let next =
                    "give a file that --keep-list kept, or one from the folder `lists` of a medium";
                Failure::new(Code::BadFile, format!("{} is no list", path.display()), next)
                    .because(e)
            })
        })
        .collect()
}

/// One repository that was exported, or would be.
struct Done {
    repository: RepositoryId,
    medium: Option<(lumbung_model::MediumId, String)>,
    plan: ExportPlan,
    free: u64,
    outcome: Option<ExportOutcome>,
    kept: Option<PathBuf>,
}

/// The medium as it is now, if it is one.
struct Target {
    medium: Option<MediumDir>,
    directory: Option<RepositoryDir>,
    lists: MediumLists,
    space: Space,
}

fn target(args: &ExportArgs, repository: &RepositoryId) -> Outcome<Target> {
    let path = &args.medium;
    let failed = |e| explain_store(path, e);
    let medium = if args.dry_run && !MediumDir::is_at(path) {
        None
    } else if args.dry_run {
        Some(MediumDir::open(path).map_err(failed)?)
    } else {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let label = args.label.clone().or(name).unwrap_or_default();
        let mut medium = MediumDir::create(path, &label).map_err(failed)?;
        medium.lock().map_err(failed)?;
        Some(medium)
    };
    let directory = match &medium {
        Some(medium) if medium.repository_path(repository).join("rosters").is_dir() => {
            Some(medium.repository(repository).map_err(failed)?)
        }
        _ => None,
    };
    let lists = match &medium {
        Some(medium) => read_lists(medium).map_err(failed)?,
        None => MediumLists::default(),
    };
    let here = path.ancestors().find(|part| part.is_dir()).unwrap_or(Path::new("."));
    let space = Space::of(here).map_err(failed)?;
    Ok(Target { medium, directory, lists, space })
}

/// The rosters of both sides: one chain, or somebody altered one of them.
fn chains(source: &RosterChain, target: &Target, path: &Path) -> Outcome<RosterChain> {
    let mut objects = source.objects().to_vec();
    if let Some(directory) = &target.directory {
        for id in directory.list(Kind::Roster).map_err(|e| explain_store(path, e))? {
            let object = directory.get(Kind::Roster, &id).map_err(|e| explain_store(path, e))?;
            if !objects.contains(&object) {
                objects.push(object);
            }
        }
    }
    RosterChain::from_objects(source.repository(), objects)
        .map_err(|e| explain("the rosters do not fit", path, e.into()))
}

fn one(
    args: &ExportArgs,
    opened: &Opened,
    signer: Option<&Signer>,
    since: &[Signed<MediumList>],
    cancel: &Cancel,
    terminal: &Terminal,
) -> Outcome<Done> {
    let path = &args.medium;
    let repository = opened.chain.repository();
    let what = format!("repository {repository} was not exported");
    if let Some(signer) = signer {
        signer.check(&opened.chain)?;
    }
    let target = target(args, &repository)?;
    target.lists.findings.iter().for_each(|finding| terminal.warn(finding));
    let chain = chains(&opened.chain, &target, path)?;
    let before = match &target.medium {
        Some(medium) => target.lists.load(medium, &chain).map_err(|e| explain_store(path, e))?,
        None => None,
    };
    let before = before.filter(|known| known.signer.is_some()).map(|known| known.list.body);
    let bases = bases(since, &chain, signer)?;
    let only = only(args, opened)?;
    let meter = Meter::new(terminal, "plan");
    let planned = plan(&PlanRequest {
        source: opened.depot.as_ref(),
        chain: &chain,
        target: target.directory.as_ref(),
        before: before.as_ref(),
        bases: &bases,
        only: only.as_deref(),
        repair: args.repair,
        space: target.space,
        progress: &meter,
        cancel,
    });
    meter.finish();
    let plan = planned.map_err(|e| explain(&what, path, e))?;
    let free = target.space.free;
    let named = target.medium.as_ref().map(|medium| (medium.id(), medium.label().to_owned()));
    let mut done = Done { repository, medium: named, plan, free, outcome: None, kept: None };
    let (false, Some(medium), Some(signer)) = (args.dry_run, &target.medium, signer) else {
        return Ok(done);
    };
    let meter = Meter::new(terminal, "export");
    let exported = export(&ExportRequest {
        plan: &done.plan,
        source: opened.depot.as_ref(),
        chain: &chain,
        medium,
        before: before.as_ref(),
        bases: &bases,
        next: target.lists.next(),
        facts: facts(args, opened, signer),
        signer: signer.key(),
        fill: args.fill,
        now: SystemClock.now(),
        progress: &meter,
        cancel,
    });
    meter.finish();
    let outcome = exported.map_err(|e| explain(&what, path, e))?;
    done.kept = keep(args, &outcome)?;
    done.outcome = Some(outcome);
    Ok(done)
}

fn facts(args: &ExportArgs, opened: &Opened, signer: &Signer) -> MediumFacts {
    let origin = if is_remote(&args.depot) {
        opened.name()
    } else {
        format!("{}:{}", machine::host_name(), opened.name())
    };
    MediumFacts {
        serial: args.serial.clone(),
        custodian: args.custodian.clone(),
        place: args.place.clone(),
        origin,
        site: signer.site().or_else(|| opened.depot.site()),
    }
}

/// The lists of this repository to go on from: a list that anybody could have made would leave out anything.
fn bases(
    since: &[Signed<MediumList>],
    chain: &RosterChain,
    signer: Option<&Signer>,
) -> Outcome<Vec<Signed<MediumList>>> {
    let of_this = since.iter().filter(|list| list.body.repository == chain.repository());
    of_this
        .map(|list| {
            let own = signer.is_some_and(|signer| signer.key().public() == list.signer);
            match list_signer(chain, list) {
                Some(ListSigner::Root | ListSigner::Site(_)) => Ok(list.clone()),
                Some(ListSigner::Agent(_)) if own => Ok(list.clone()),
                _ => {
                    let reason = format!("{} may not vouch for it", list.signer);
                    let error = MediaError::Base { list: list.id, reason };
                    Err(explain("nothing was exported", Path::new(""), error))
                }
            }
        })
        .collect()
}

fn only(args: &ExportArgs, opened: &Opened) -> Outcome<Option<Vec<ManifestId>>> {
    if args.snapshot.is_empty() {
        return Ok(None);
    }
    let (snapshots, _) = list_snapshots(opened.depot.as_ref(), Some(opened.chain.repository()))
        .map_err(|e| listing::explain("the snapshots could not be listed", e))?;
    let chosen = args.snapshot.iter().map(|wanted| {
        let found = select_snapshot(&snapshots, wanted);
        found.map(|one| one.id).map_err(|e| listing::explain("nothing was exported", e))
    });
    chosen.collect::<Outcome<Vec<_>>>().map(Some)
}

/// Keeps a copy of the list at home.
fn keep(args: &ExportArgs, outcome: &ExportOutcome) -> Outcome<Option<PathBuf>> {
    let Some(folder) = &args.keep_list else { return Ok(None) };
    std::fs::create_dir_all(folder).map_err(|e| missing(folder, "the folder of lists", e))?;
    let body = &outcome.body;
    // The list's id too: a copy of a disk goes on with the same numbers.
    let name = format!("{}-{}-{}.list", body.medium.short(), body.number, outcome.list.short());
    let path = folder.join(name);
    // Two copies of a disk that came to the same list within one second.
    if std::fs::read(&path).is_ok_and(|bytes| bytes == outcome.list_bytes) {
        return Ok(Some(path));
    }
    create(&path, "the list", &outcome.list_bytes, 0o644)?;
    Ok(Some(path))
}

fn value(done: &Done) -> Value {
    let plan = &done.plan;
    let outcome = done.outcome.as_ref();
    let mut missed = left_out(&plan.left_out);
    missed.extend(outcome.map(|outcome| left_out(&outcome.left_out)).unwrap_or_default());
    let remaining = outcome.map(|outcome| outcome.remaining).unwrap_or_default();
    json!({
        "repository": done.repository,
        "needed": { "snapshots": plan.snapshots, "objects": plan.objects, "bytes": plan.bytes, "space": plan.space_needed },
        "free": done.free,
        "lost": plan.lost,
        "list": outcome.map(|outcome| json!({
            "id": outcome.list,
            "number": outcome.body.number,
            "made": outcome.body.made,
            "snapshots": outcome.body.snapshots.len(),
            "bytes": outcome.body.bytes(),
            "file": done.kept,
        })),
        "copied": outcome.map(|outcome| json!({ "objects": outcome.objects, "bytes": outcome.bytes })),
        "remaining": { "snapshots": remaining.snapshots, "bytes": remaining.bytes },
        "left_out": missed,
    })
}

fn tell(args: &ExportArgs, done: &[Done], terminal: &Terminal) -> Outcome<Exit> {
    let medium = done.iter().find_map(|one| one.medium.clone());
    let value = json!({
        "path": args.medium,
        "medium": medium.map(|(id, label)| json!({ "id": id, "label": label })),
        "dry_run": args.dry_run,
        "repositories": done.iter().map(value).collect::<Vec<_>>(),
    });
    terminal.result(&value, || done.iter().map(|one| text(one, terminal)).collect())?;
    let mut exit = Exit::Fine;
    for one in done {
        let missed = one.outcome.iter().flat_map(|outcome| &outcome.left_out);
        for missed in one.plan.left_out.iter().chain(missed) {
            exit = Exit::Warnings;
            let name = missed.snapshot.map_or_else(String::new, |id| format!("{id}: "));
            terminal.warn(&format!("{name}{}", missed.reason));
        }
        let remaining = one.outcome.as_ref().map(|outcome| outcome.remaining).unwrap_or_default();
        if remaining.snapshots > 0 {
            exit = Exit::Warnings;
            terminal.warn(&format!(
                "{} snapshots, {}, did not fit: go on with the next disk and --since the list of this one",
                remaining.snapshots,
                ByteSize::bytes(remaining.bytes)
            ));
        }
    }
    Ok(exit)
}

fn text(done: &Done, terminal: &Terminal) -> String {
    let plan = &done.plan;
    let mut lines = vec![
        (terminal.pick("Repositori", "Repository"), done.repository.to_string()),
        (
            terminal.pick("Perlu", "Needed"),
            format!(
                "{} {}, {} ({} {})",
                plan.snapshots,
                terminal.pick("cuplikan baru", "new snapshots"),
                ByteSize::bytes(plan.space_needed),
                ByteSize::bytes(done.free),
                terminal.pick("kosong", "free")
            ),
        ),
    ];
    if let Some(outcome) = &done.outcome {
        lines.push((
            terminal.pick("Disalin", "Copied"),
            format!(
                "{} {}, {}",
                outcome.objects,
                terminal.pick("objek", "objects"),
                ByteSize::bytes(outcome.bytes)
            ),
        ));
        lines.push((
            terminal.pick("Daftar", "List"),
            format!("{} ({})", outcome.list, outcome.body.number),
        ));
        lines.push((
            terminal.pick("Isi media", "On the medium"),
            format!(
                "{} {}, {}",
                outcome.body.snapshots.len(),
                terminal.pick("cuplikan", "snapshots"),
                ByteSize::bytes(outcome.body.bytes())
            ),
        ));
    }
    pairs(&lines)
}
