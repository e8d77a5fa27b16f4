//! `lumbung pd`, `server`, `dataset`, `site`: the register, entry by entry.
//!
//! People name PD by code and servers by name; ids are looked up here, so that nobody types one.

use clap::{Args, Subcommand};
use lumbung_model::{ByteSize, PoolId, RepositoryId};
use lumbung_wire::messages::overview::Overview;
use lumbung_wire::messages::register::{
    Application, Classification, Dataset, DatasetInput, DatasetKind, Pd, PdInput, PdKind,
    PoolStatus, Server, ServerInput, ServerKind, Site, SiteInput, SiteKind, Urgency,
};
use serde_json::json;

use crate::commands::host;
use crate::commands::register_text as text;
use crate::commands::status::query;
use crate::controller::{Controller, ControllerArgs};
use crate::duration::Seconds;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::terminal::Terminal;

/// Perangkat Daerah of the register
#[derive(Debug, Subcommand)]
pub(crate) enum PdCommand {
    /// List the PD
    List(ControllerArgs),
    /// Enter a PD
    Add(PdAdd),
    /// Show a PD with its servers and datasets
    Show(PdShow),
}

/// Arguments of `pd add`.
#[derive(Debug, Args)]
pub(crate) struct PdAdd {
    /// Short code, for instance DINKES
    code: String,
    /// Full name
    #[arg(long)]
    name: String,
    /// dinas, badan, sekretariat, inspektorat, rsud, puskesmas, kecamatan or other
    #[arg(long, default_value_t = PdKind::Other)]
    kind: PdKind,
    /// A note on whom to call; `lumbung contact add` enters persons
    #[arg(long, default_value = "")]
    contact: String,
    /// It runs its own IT (mandiri TIK)
    #[arg(long)]
    mandiri_tik: bool,
    /// It is the one that runs the Pusat Data
    #[arg(long)]
    runs_pusat_data: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `pd show`.
#[derive(Debug, Args)]
pub(crate) struct PdShow {
    /// Code or id
    pd: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Servers of the register
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// List the servers
    List(OfPd),
    /// Enter a server
    Add(ServerAdd),
    /// Show a server with what its agent sees of its host
    Show(host::ShowArgs),
    /// Accept that a server's host is as its agent sees it
    Accept(host::AcceptArgs),
}

/// A list, of one PD if one is named.
#[derive(Debug, Args)]
pub(crate) struct OfPd {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pub(crate) pd: Option<String>,
    #[command(flatten)]
    pub(crate) controller: ControllerArgs,
}

/// Arguments of `server add`.
#[derive(Debug, Args)]
pub(crate) struct ServerAdd {
    /// Name
    name: String,
    /// Whose it is: code or id
    #[arg(long)]
    pd: String,
    /// physical, vps, virtual or other
    #[arg(long, default_value_t = ServerKind::Physical)]
    kind: ServerKind,
    /// The site it stands at: name or id (default: with the PD itself)
    #[arg(long)]
    site: Option<String>,
    /// The pool that a virtual machine draws on: name or id
    #[arg(long, requires_all = ["vcpus", "memory", "disk"])]
    pool: Option<String>,
    /// Virtual processors of the pool
    #[arg(long, requires = "pool")]
    vcpus: Option<u32>,
    /// Memory of the pool, for instance "16 GiB"
    #[arg(long, requires = "pool")]
    memory: Option<ByteSize>,
    /// Disk of the pool, for instance "200 GiB"
    #[arg(long, requires = "pool")]
    disk: Option<ByteSize>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Datasets of the register
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// List the datasets
    List(OfPd),
    /// Enter a dataset
    Add(Box<DatasetAdd>),
}

/// Arguments of `dataset add`.
#[derive(Debug, Args)]
pub(crate) struct DatasetAdd {
    /// Name
    name: String,
    /// Whose it is: code or id
    #[arg(long)]
    pd: String,
    /// The server it lies on: name or id
    #[arg(long)]
    server: Option<String>,
    /// files, postgresql, mysql, sqlite, sqlserver, oracle, virtual_machine or other
    #[arg(long, default_value_t = DatasetKind::Files)]
    kind: DatasetKind,
    /// The application it belongs to: name or id
    #[arg(long)]
    application: Option<String>,
    /// Who answers for it
    #[arg(long, default_value = "")]
    owner: String,
    /// To whom it is given
    #[arg(long, default_value = "")]
    distribution: String,
    /// Where it is stored
    #[arg(long, default_value = "")]
    location: String,
    /// public or non_public
    #[arg(long, default_value_t = Classification::NonPublic)]
    classification: Classification,
    /// critical, high, normal or low
    #[arg(long, default_value_t = Urgency::Normal)]
    urgency: Urgency,
    /// Longest time between two backups, for instance 24h or 7d (default: by urgency)
    #[arg(long, value_name = "TIME")]
    rpo: Option<Seconds>,
    /// When it is backed up: five fields as in crontab(5) (default: by urgency)
    #[arg(long, value_name = "CRON")]
    schedule: Option<String>,
    /// How long copies are kept
    #[arg(long, default_value = "")]
    retention: String,
    /// How often it is backed up
    #[arg(long, default_value = "")]
    period: String,
    /// On what it is kept
    #[arg(long, default_value = "")]
    media: String,
    /// The repository its snapshots lie in
    #[arg(long, value_name = "HEX")]
    repository: Option<RepositoryId>,
    /// A path it consists of; may be given again
    #[arg(long)]
    path: Vec<String>,
    /// What of them is left out; may be given again
    #[arg(long)]
    exclude: Vec<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Sites of the register
#[derive(Debug, Subcommand)]
pub(crate) enum SiteCommand {
    /// List the sites
    List(ControllerArgs),
    /// Enter a site
    Add(SiteAdd),
    /// Show how far the sites are apart, and what is asked for
    Distance(ControllerArgs),
}

/// Arguments of `site add`.
#[derive(Debug, Args)]
pub(crate) struct SiteAdd {
    /// Name
    name: String,
    /// pusat_data, drc or other
    #[arg(long)]
    kind: SiteKind,
    /// Degrees north (negative: south)
    #[arg(long, allow_negative_numbers = true, requires = "longitude")]
    latitude: Option<f64>,
    /// Degrees east
    #[arg(long, allow_negative_numbers = true, requires = "latitude")]
    longitude: Option<f64>,
    /// Street address
    #[arg(long, default_value = "")]
    address: String,
    /// Where its vault answers, https://…
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// The one PD of a code or id.
pub(crate) fn find_pd(controller: &Controller, named: &str) -> Outcome<Pd> {
    // The path takes a code too; a slash in it would be another path.
    controller.get(&format!("/api/v1/pd/{}", query(named)))
}

pub(crate) fn list_of<T: serde::de::DeserializeOwned>(
    controller: &Controller,
    what: &str,
    pd: Option<&str>,
) -> Outcome<Vec<T>> {
    let of = pd.map(|pd| format!("?pd={}", query(pd))).unwrap_or_default();
    controller.list(&format!("/api/v1/{what}{of}"))
}

/// Runs `lumbung pd`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn pd(command: &PdCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        PdCommand::List(args) => {
            let pds: Vec<Pd> = args.connect()?.list("/api/v1/pd")?;
            terminal.result(&pds, || text::pds(&pds, terminal))?;
        }
        PdCommand::Add(args) => {
            let input = PdInput {
                id: None,
                code: args.code.clone(),
                name: args.name.clone(),
                kind: args.kind,
                contact: args.contact.clone(),
                mandiri_tik: args.mandiri_tik,
                runs_pusat_data: args.runs_pusat_data,
                link: String::new(),
                rate: String::new(),
                windows: Vec::new(),
            };
            let pd: Pd = args.controller.connect()?.post("/api/v1/pd", &input)?;
            terminal.result(&pd, || text::pds(std::slice::from_ref(&pd), terminal))?;
        }
        PdCommand::Show(args) => {
            let controller = args.controller.connect()?;
            let pd = find_pd(&controller, &args.pd)?;
            let servers: Vec<Server> = list_of(&controller, "servers", Some(&args.pd))?;
            let datasets: Vec<Dataset> = list_of(&controller, "datasets", Some(&args.pd))?;
            let value = json!({ "pd": pd, "servers": servers, "datasets": datasets });
            terminal.result(&value, || {
                let pds = text::pds(std::slice::from_ref(&pd), terminal);
                let servers_text = text::servers(&servers, std::slice::from_ref(&pd), terminal);
                let datasets_text =
                    text::datasets(&datasets, std::slice::from_ref(&pd), &servers, terminal);
                format!("{pds}\n{servers_text}\n{datasets_text}")
            })?;
        }
    }
    Ok(Exit::Fine)
}

/// Runs `lumbung server`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn server(command: &ServerCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        ServerCommand::List(args) => {
            let controller = args.controller.connect()?;
            let servers: Vec<Server> = list_of(&controller, "servers", args.pd.as_deref())?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&servers, || text::servers(&servers, &pds, terminal))?;
        }
        ServerCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let pd = find_pd(&controller, &args.pd)?;
            let site = args.site.as_deref().map(|named| find_site(&controller, named));
            let input = ServerInput {
                id: None,
                pd: pd.id,
                name: args.name.clone(),
                kind: args.kind,
                site: site.transpose()?.map(|site| site.id),
                room: None,
                pool: args.pool.as_deref().map(|named| pool(&controller, named)).transpose()?,
                vcpus: args.vcpus,
                memory_bytes: args.memory.map(ByteSize::as_u64),
                disk_bytes: args.disk.map(ByteSize::as_u64),
            };
            let server: Server = controller.post("/api/v1/servers", &input)?;
            terminal.result(&server, || {
                text::servers(std::slice::from_ref(&server), &[pd], terminal)
            })?;
            terminal.note(&format!("Next: lumbung token new --server {}", args.name));
        }
        ServerCommand::Show(args) => host::show(args, terminal)?,
        ServerCommand::Accept(args) => host::accept(args, terminal)?,
    }
    Ok(Exit::Fine)
}

/// Runs `lumbung dataset`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn dataset(command: &DatasetCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        DatasetCommand::List(args) => {
            let controller = args.controller.connect()?;
            let datasets: Vec<Dataset> = list_of(&controller, "datasets", args.pd.as_deref())?;
            let servers: Vec<Server> = list_of(&controller, "servers", args.pd.as_deref())?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&datasets, || text::datasets(&datasets, &pds, &servers, terminal))?;
        }
        DatasetCommand::Add(args) => add_dataset(args, terminal)?,
    }
    Ok(Exit::Fine)
}

fn pool(controller: &Controller, named: &str) -> Outcome<PoolId> {
    let pools: Vec<PoolStatus> = controller.list("/api/v1/pools")?;
    Ok(the(pools, "pool", named, |one| (&one.name, one.id.to_string()))?.id)
}

fn add_dataset(args: &DatasetAdd, terminal: &Terminal) -> Outcome<()> {
    let controller = args.controller.connect()?;
    let pd = find_pd(&controller, &args.pd)?;
    let servers: Vec<Server> = list_of(&controller, "servers", Some(&args.pd))?;
    let server = args
        .server
        .as_deref()
        .map(|named| find(servers.clone(), "server", named, |one| (&one.name, one.id.to_string())));
    let server = server.transpose()?;
    let application = args.application.as_deref().map(|named| {
        let all: Vec<Application> = list_of(&controller, "applications", Some(&args.pd))?;
        find(all, "application", named, |one| (&one.name, one.id.to_string()))
    });
    let input = DatasetInput {
        id: None,
        pd: pd.id,
        server: server.map(|server| server.id),
        name: args.name.clone(),
        kind: args.kind,
        application: application.transpose()?.map(|application| application.id),
        owner: args.owner.clone(),
        classification: args.classification,
        distribution: args.distribution.clone(),
        location: args.location.clone(),
        urgency: args.urgency,
        rpo_s: args.rpo.map(|rpo| rpo.0),
        schedule: args.schedule.clone(),
        retention: args.retention.clone(),
        period: args.period.clone(),
        media: args.media.clone(),
        repository: args.repository,
        paths: args.path.clone(),
        exclude: args.exclude.clone(),
    };
    let dataset: Dataset = controller.post("/api/v1/datasets", &input)?;
    terminal.result(&dataset, || {
        text::datasets(std::slice::from_ref(&dataset), &[pd], &servers, terminal)
    })
}

/// The one row of a name or id.
pub(crate) fn find<T>(
    rows: Vec<T>,
    what: &str,
    named: &str,
    called: impl Fn(&T) -> (&str, String),
) -> Outcome<T> {
    let names: Vec<String> = rows.iter().map(|row| called(row).0.to_owned()).collect();
    let fits = |row: &T| called(row).0 == named || called(row).1 == named;
    rows.into_iter().find(fits).ok_or_else(|| {
        let message = format!("there is no {what} {named:?}");
        let next = format!("enter it first with `lumbung {what} add`, or name one of these");
        Failure::new(Code::Controller, message, next).listing(names)
    })
}

/// The one row of that name or id; what several have is not guessed.
///
/// # Errors
/// If there is none, or several have the name.
pub(crate) fn one<T>(
    rows: Vec<T>,
    named: &str,
    called: impl Fn(&T) -> (&str, String),
) -> Outcome<T> {
    the(rows, "row", named, called)
}

/// As [`one`], of rows that people call `what`.
///
/// # Errors
/// If there is none, or several have the name.
pub(crate) fn the<T>(
    rows: Vec<T>,
    what: &str,
    named: &str,
    called: impl Fn(&T) -> (&str, String),
) -> Outcome<T> {
    let ids: Vec<String> =
        rows.iter().map(&called).filter(|(name, _)| *name == named).map(|(_, id)| id).collect();
    if ids.len() > 1 {
        let message = format!("{} rows are called {named:?}", ids.len());
        let next = "give its id, or say which one is meant: its kind, or the PD with --pd";
        return Err(Failure::new(Code::Usage, message, next).listing(ids));
    }
    find(rows, what, named, called)
}

/// The id of the row of that name or id in a list of the controller's.
///
/// # Errors
/// If there is none, or several have the name.
pub(crate) fn id_in(
    controller: &Controller,
    list: &str,
    pd: Option<&str>,
    named: &str,
) -> Outcome<String> {
    let rows: Vec<Named> = list_of(controller, list, pd)?;
    Ok(one(rows, named, |row| (&row.name, row.id.clone()))?.id)
}

/// What a row of any list is called.
#[derive(serde::Deserialize)]
struct Named {
    id: String,
    name: String,
}

/// The site of a name or id.
pub(crate) fn find_site(controller: &Controller, named: &str) -> Outcome<Site> {
    let sites = controller.list("/api/v1/sites")?;
    find(sites, "site", named, |site: &Site| (&site.name, site.id.to_string()))
}

/// Runs `lumbung site`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn site(command: &SiteCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        SiteCommand::List(args) => {
            let sites: Vec<Site> = args.connect()?.list("/api/v1/sites")?;
            terminal.result(&sites, || text::sites(&sites, terminal))?;
        }
        SiteCommand::Add(args) => {
            let input = SiteInput {
                id: None,
                name: args.name.clone(),
                kind: args.kind,
                latitude: args.latitude,
                longitude: args.longitude,
                address: args.address.clone(),
                url: args.url.clone(),
                receipt_key: None,
                tls_pin: None,
                link: String::new(),
                rate: String::new(),
                windows: Vec::new(),
            };
            let site: Site = args.controller.connect()?.post("/api/v1/sites", &input)?;
            terminal.result(&site, || text::sites(std::slice::from_ref(&site), terminal))?;
            terminal.note(&format!("Next: lumbung token new --site {:?}", args.name));
        }
        SiteCommand::Distance(args) => {
            let overview: Overview = args.connect()?.get("/api/v1/status")?;
            terminal.result(&overview.distances, || text::distances(&overview, terminal))?;
        }
    }
    Ok(Exit::Fine)
}
