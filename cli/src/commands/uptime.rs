//! `lumbung uptime`, `check`, `incident`, `maintenance`: what is up, how much of the month it was, and what is known of
//! when it was not.

use clap::{Args, Subcommand};
use lumbung_model::{IncidentId, MaintenanceId};
use lumbung_wire::messages::overview::ControllerHealth;
use lumbung_wire::messages::register::{
    Check, CheckInput, INTERVAL_S, Pd, Server, Service, TIMEOUT_S, Target,
};
use lumbung_wire::messages::uptime::{
    CheckState, Incident, IncidentCause, IncidentInput, IncidentNoteInput, Maintenance,
    MaintenanceInput, MaintenanceScope, UpKind, UptimeRow,
};
use serde_json::json;

use crate::commands::register::{OfPd, find_pd, id_in, list_of};
use crate::commands::status::query;
use crate::commands::uptime_text as text;
use crate::controller::{Controller, ControllerArgs};
use crate::duration::Seconds;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::moment::Moment;
use crate::terminal::Terminal;

/// How much of a month or a year services, servers or PD were up, against their SLA
#[derive(Debug, Args)]
pub(crate) struct UptimeArgs {
    /// Only of this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// What is added up: service, server, or pd (all services of each)
    #[arg(long, default_value = "service", value_parser = ["service", "server", "pd"])]
    by: String,
    /// A month, as in 2026-11, or a year, as in 2026 (default: this month)
    #[arg(long, value_name = "PERIOD")]
    period: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Checks: what is looked at from every site
#[derive(Debug, Subcommand)]
pub(crate) enum CheckCommand {
    /// List the checks, how each is now and what each site saw last
    List(OfPd),
    /// Enter a check of a service or of a server
    Add(Box<CheckAdd>),
}

/// Arguments of `check add`.
#[derive(Debug, Args)]
pub(crate) struct CheckAdd {
    /// Name
    name: String,
    /// Where its probes go: https://host/path, http://…, tcp://host:port, icmp://host or dns://server/name
    target: Target,
    /// Whose it is: code or id
    #[arg(long)]
    pd: String,
    /// The service that is down when it is: name or id
    #[arg(long, required_unless_present = "server", conflicts_with = "server")]
    service: Option<String>,
    /// The server that is down when it is: name or id
    #[arg(long)]
    server: Option<String>,
    /// The HTTP status that is expected (default: any of 200 to 399)
    #[arg(long)]
    status: Option<u16>,
    /// Text that the HTTP answer has to contain
    #[arg(long, default_value = "")]
    contains: String,
    /// An address that the DNS answer has to contain
    #[arg(long, default_value = "")]
    address: String,
    /// Take a certificate too that no known authority signed
    #[arg(long)]
    any_certificate: bool,
    /// Time from one probe to the next
    #[arg(long, value_name = "TIME", default_value_t = Seconds(INTERVAL_S as u64))]
    interval: Seconds,
    /// Time after which no answer is none
    #[arg(long, value_name = "TIME", default_value_t = Seconds(TIMEOUT_S as u64))]
    timeout: Seconds,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Incidents: what was down, since when, why
#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// List the incidents, newest first
    List(IncidentList),
    /// Show one, with what people wrote about it
    Show(IncidentOne),
    /// Enter that something was down, which no probe could see
    Add(IncidentAdd),
    /// Write down what is known of one, and its cause
    Note(IncidentNote),
}

/// Arguments of `incident list`.
#[derive(Debug, Args)]
pub(crate) struct IncidentList {
    /// Only of this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Only what goes on
    #[arg(long)]
    open: bool,
    /// Only what lasted beyond this day or moment, for instance 2026-11-01
    #[arg(long, value_name = "WHEN")]
    since: Option<Moment>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `incident show`.
#[derive(Debug, Args)]
pub(crate) struct IncidentOne {
    /// Its id
    id: IncidentId,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `incident add`.
#[derive(Debug, Args)]
pub(crate) struct IncidentAdd {
    /// service or server
    kind: UpKind,
    /// What was down: name or id
    name: String,
    /// Since when, for instance "2026-11-29 08:00"
    #[arg(long, value_name = "WHEN")]
    from: Moment,
    /// Until when
    #[arg(long, value_name = "WHEN")]
    until: Moment,
    /// unknown, power, network, hardware, software, security, provider, human or other
    #[arg(long, default_value_t = IncidentCause::Unknown)]
    cause: IncidentCause,
    /// How it is known
    #[arg(long)]
    note: String,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `incident note`.
#[derive(Debug, Args)]
pub(crate) struct IncidentNote {
    /// Its id
    id: IncidentId,
    /// What is known
    text: String,
    /// What it came from: power, network, hardware, software, security, provider, human or other
    #[arg(long)]
    cause: Option<IncidentCause>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Maintenance windows: downtime that was announced
#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// List the windows that hold or will
    List(MaintenanceList),
    /// Announce one, before it begins
    Add(MaintenanceAdd),
    /// Call one off
    Cancel(MaintenanceOne),
}

/// Arguments of `maintenance list`.
#[derive(Debug, Args)]
pub(crate) struct MaintenanceList {
    /// Only what concerns this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Also what is over or was called off
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `maintenance add`.
#[derive(Debug, Args)]
pub(crate) struct MaintenanceAdd {
    /// city, pd, site, room, rack, server or service
    scope: MaintenanceScope,
    /// Which one: name, code or id (not for the city)
    #[arg(default_value = "")]
    name: String,
    /// From when it holds, for instance "2026-12-05 22:00" (default of a recurring one: now)
    #[arg(long, value_name = "WHEN")]
    from: Option<Moment>,
    /// Until when it holds; of a day, its end
    #[arg(long, value_name = "WHEN")]
    until: Moment,
    /// Why
    #[arg(long)]
    reason: String,
    /// When it comes again in that time, five fields as in crontab(5): "0 22 * * sat"
    #[arg(long, requires = "duration", value_name = "CRON")]
    schedule: Option<String>,
    /// How long each lasts, for instance 4h
    #[arg(long, requires = "schedule", value_name = "TIME")]
    duration: Option<Seconds>,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `maintenance cancel`.
#[derive(Debug, Args)]
pub(crate) struct MaintenanceOne {
    /// Its id
    id: MaintenanceId,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung uptime`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn uptime(args: &UptimeArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let mut path = format!("/api/v1/uptime?by={}", args.by);
    for (name, value) in [("pd", &args.pd), ("period", &args.period)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", query(value));
        }
    }
    let rows: Vec<UptimeRow> = controller.list(&path)?;
    let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
    terminal.result(&rows, || text::uptime(&rows, &pds, terminal))?;
    Ok(Exit::Fine)
}

/// Runs `lumbung check`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn check(command: &CheckCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        CheckCommand::List(args) => {
            let controller = args.controller.connect()?;
            let checks: Vec<Check> = list_of(&controller, "checks", args.pd.as_deref())?;
            let states: Vec<CheckState> = list_of(&controller, "check-states", args.pd.as_deref())?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            let all = json!({ "checks": checks, "states": states });
            terminal.result(&all, || text::checks(&checks, &states, &pds, terminal))?;
            Ok(Exit::Fine)
        }
        CheckCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let row: Check = controller.post("/api/v1/checks", &input(&controller, args)?)?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            let rows = std::slice::from_ref(&row);
            terminal.result(&row, || text::checks(rows, &[], &pds, terminal))?;
            Ok(Exit::Fine)
        }
    }
}

fn input(controller: &Controller, args: &CheckAdd) -> Outcome<CheckInput> {
    let pd = find_pd(controller, &args.pd)?;
    let id = |list, named: &Option<String>| {
        named.as_deref().map(|named| id_in(controller, list, Some(&pd.code), named)).transpose()
    };
    // An id that the controller gave is one.
    let service = id("services", &args.service)?.and_then(|id| id.parse().ok());
    let server = id("servers", &args.server)?.and_then(|id| id.parse().ok());
    let seconds = |given: Seconds| u32::try_from(given.0).unwrap_or(u32::MAX);
    Ok(CheckInput {
        id: None,
        pd: pd.id,
        name: args.name.clone(),
        service,
        server,
        target: args.target.clone(),
        status: args.status,
        contains: args.contains.clone(),
        address: args.address.clone(),
        any_certificate: args.any_certificate,
        interval_s: seconds(args.interval),
        timeout_s: seconds(args.timeout),
        enabled: true,
    })
}

/// Runs `lumbung incident`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn incident(command: &IncidentCommand, terminal: &Terminal) -> Outcome<Exit> {
    let (controller, row): (_, Incident) = match command {
        IncidentCommand::List(args) => return list_incidents(args, terminal),
        IncidentCommand::Show(args) => {
            let controller = args.controller.connect()?;
            let row = controller.get(&format!("/api/v1/incidents/{}", args.id))?;
            (controller, row)
        }
        IncidentCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let list = if args.kind == UpKind::Service { "services" } else { "servers" };
            let input = IncidentInput {
                kind: args.kind,
                subject: id_in(&controller, list, args.pd.as_deref(), &args.name)?,
                from: args.from.start_in(terminal),
                until: args.until.end_in(terminal),
                cause: args.cause,
                note: args.note.clone(),
            };
            let row = controller.post("/api/v1/incidents", &input)?;
            (controller, row)
        }
        IncidentCommand::Note(args) => {
            let controller = args.controller.connect()?;
            let input = IncidentNoteInput { cause: args.cause, note: args.text.clone() };
            let row = controller.post(&format!("/api/v1/incidents/{}/note", args.id), &input)?;
            (controller, row)
        }
    };
    let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
    terminal.result(&row, || text::incident(&row, &pds, terminal))?;
    Ok(Exit::Fine)
}

fn list_incidents(args: &IncidentList, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let mut path = format!("/api/v1/incidents?open={}", args.open);
    if let Some(pd) = &args.pd {
        path += &format!("&pd={}", query(pd));
    }
    if let Some(since) = args.since {
        path += &format!("&since={}", since.start_in(terminal).0);
    }
    let rows: Vec<Incident> = controller.list(&path)?;
    let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
    terminal.result(&rows, || text::incidents(&rows, &pds, terminal))?;
    Ok(Exit::Fine)
}

/// Runs `lumbung maintenance`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn maintenance(command: &MaintenanceCommand, terminal: &Terminal) -> Outcome<Exit> {
    let (controller, rows) = match command {
        MaintenanceCommand::List(args) => {
            let controller = args.controller.connect()?;
            let mut path = format!("/api/v1/maintenance?all={}", args.all);
            if let Some(pd) = &args.pd {
                path += &format!("&pd={}", query(pd));
            }
            let rows: Vec<Maintenance> = controller.list(&path)?;
            (controller, rows)
        }
        MaintenanceCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let input = window(&controller, args, terminal)?;
            let row: Maintenance = controller.post("/api/v1/maintenance", &input)?;
            (controller, vec![row])
        }
        MaintenanceCommand::Cancel(args) => {
            let controller = args.controller.connect()?;
            let path = format!("/api/v1/maintenance/{}/cancel", args.id);
            let row: Maintenance = controller.post(&path, &json!({}))?;
            (controller, vec![row])
        }
    };
    let names = if terminal.json { Names(Vec::new()) } else { Names::read(&controller)? };
    terminal.result(&rows, || text::windows(&rows, &names, terminal))?;
    Ok(Exit::Fine)
}

/// What ids of windows are called.
pub(crate) struct Names(Vec<(String, String)>);

impl Names {
    fn read(controller: &Controller) -> Outcome<Self> {
        let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
        let services: Vec<Service> = controller.list("/api/v1/services")?;
        let servers: Vec<Server> = controller.list("/api/v1/servers")?;
        let pds = pds.into_iter().map(|row| (row.id.to_string(), row.code));
        let services = services.into_iter().map(|row| (row.id.to_string(), row.name));
        let servers = servers.into_iter().map(|row| (row.id.to_string(), row.name));
        Ok(Self(pds.chain(services).chain(servers).collect()))
    }

    /// The name of an id; the id where it has none here.
    pub(crate) fn of<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.iter().find(|(known, _)| known == id).map_or(id, |(_, name)| name)
    }
}

fn window(
    controller: &Controller,
    args: &MaintenanceAdd,
    terminal: &Terminal,
) -> Outcome<MaintenanceInput> {
    let pd = args.pd.as_deref();
    let subject = match args.scope {
        MaintenanceScope::City => args.name.clone(),
        MaintenanceScope::Pd => find_pd(controller, &args.name)?.id.to_string(),
        MaintenanceScope::Site => id_in(controller, "sites", None, &args.name)?,
        MaintenanceScope::Rack => id_in(controller, "racks", None, &args.name)?,
        MaintenanceScope::Room => id_in(controller, "rooms", None, &args.name)?,
        MaintenanceScope::Server => id_in(controller, "servers", pd, &args.name)?,
        MaintenanceScope::Service => id_in(controller, "services", pd, &args.name)?,
    };
    let from = match (args.from, &args.schedule) {
        (Some(from), _) => from.start_in(terminal),
        // By the controller's clock, and not before the request comes there.
        (None, Some(_)) => {
            let health: ControllerHealth = controller.get("/api/v1/health")?;
            health.now.plus_seconds(60)
        }
        (None, None) => {
            let next = "give --from, for instance --from \"2026-12-05 22:00\"";
            return Err(Failure::new(Code::Usage, "from when is said nowhere", next));
        }
    };
    Ok(MaintenanceInput {
        scope: args.scope,
        subject,
        reason: args.reason.clone(),
        from,
        until: args.until.end_in(terminal),
        schedule: args.schedule.clone().unwrap_or_default(),
        duration_s: args.duration.map_or(0, |one| u32::try_from(one.0).unwrap_or(u32::MAX)),
    })
}
