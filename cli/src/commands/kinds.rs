//! `lumbung building`, `room`, `service`, `application`, `contact`: the rest of the register, entry by entry.
//!
//! People name things; ids are looked up here, so that nobody types one. Changes go through `lumbung register import`.

use clap::{Args, Subcommand};
use lumbung_wire::messages::register::{
    Application, ApplicationInput, Building, BuildingInput, ContactPerson, ContactPersonInput, Pd,
    Room, RoomInput, RoomKind, Server, Service, ServiceInput, Site,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::commands::register::{OfPd, find, find_pd, find_site, list_of};
use crate::commands::register_text::pd_code;
use crate::controller::{Controller, ControllerArgs};
use crate::duration::Seconds;
use crate::failure::{Exit, Outcome};
use crate::table::Table;
use crate::terminal::{Terminal, plain};

/// Buildings of sites
#[derive(Debug, Subcommand)]
pub(crate) enum BuildingCommand {
    /// List the buildings
    List(ControllerArgs),
    /// Enter a building
    Add(BuildingAdd),
}

/// Arguments of `building add`.
#[derive(Debug, Args)]
pub(crate) struct BuildingAdd {
    /// Name
    name: String,
    /// The site it belongs to: name or id
    #[arg(long)]
    site: String,
    /// Street address
    #[arg(long, default_value = "")]
    address: String,
    /// City or regency whose jurisdiction it lies in, as in "Kota Medan"
    #[arg(long, default_value = "")]
    jurisdiction: String,
    /// Where it is written that no disaster and no security risk is to be expected there
    #[arg(long, default_value = "")]
    hazard_assessment: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Rooms of buildings
#[derive(Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// List the rooms
    List(ControllerArgs),
    /// Enter a room
    Add(RoomAdd),
}

/// Arguments of `room add`.
#[derive(Debug, Args)]
pub(crate) struct RoomAdd {
    /// Name
    name: String,
    /// The building it is in: name or id
    #[arg(long)]
    building: String,
    /// data_centre, media_store or other
    #[arg(long, default_value_t = RoomKind::DataCentre)]
    kind: RoomKind,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Services of a PD, with their SLA
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List the services
    List(OfPd),
    /// Enter a service
    Add(ServiceAdd),
}

/// Arguments of `service add`.
#[derive(Debug, Args)]
pub(crate) struct ServiceAdd {
    /// Name
    name: String,
    /// Whose it is: code or id
    #[arg(long)]
    pd: String,
    /// The city cannot do without it: it needs a standby
    #[arg(long)]
    critical: bool,
    /// How much of a month it has to be up, thousandths of a percent: 99500 is 99.5 %
    #[arg(long, value_name = "N")]
    sla_millipercent: Option<u32>,
    /// When it is offered
    #[arg(long, default_value = "")]
    hours: String,
    /// How long it may be down after a failure, for instance 4h
    #[arg(long, value_name = "TIME")]
    rto: Option<Seconds>,
    /// The document that sets the SLA
    #[arg(long, default_value = "")]
    sla_document: String,
    /// The PD's server that takes over: name or id
    #[arg(long)]
    standby: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Applications of a PD
#[derive(Debug, Subcommand)]
pub(crate) enum ApplicationCommand {
    /// List the applications
    List(OfPd),
    /// Enter an application
    Add(ApplicationAdd),
}

/// Arguments of `application add`.
#[derive(Debug, Args)]
pub(crate) struct ApplicationAdd {
    /// Name
    name: String,
    /// Whose it is: code or id
    #[arg(long)]
    pd: String,
    /// The service it is for: name or id
    #[arg(long)]
    service: Option<String>,
    /// What it is made with
    #[arg(long, default_value = "")]
    technology: String,
    /// A server of the PD that it runs on: name or id; may be given again
    #[arg(long)]
    server: Vec<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Contact persons of a PD
#[derive(Debug, Subcommand)]
pub(crate) enum ContactCommand {
    /// List the contact persons
    List(OfPd),
    /// Enter a contact person
    Add(ContactAdd),
}

/// Arguments of `contact add`.
#[derive(Debug, Args)]
pub(crate) struct ContactAdd {
    /// The person's name
    name: String,
    /// Whose it is: code or id
    #[arg(long)]
    pd: String,
    /// The service it is for: name or id (default: all of them)
    #[arg(long)]
    service: Option<String>,
    /// Tier of the service desk: 1 is asked first
    #[arg(long, default_value_t = 1)]
    tier: u8,
    /// Telephone number
    #[arg(long, default_value = "")]
    phone: String,
    /// Electronic mail
    #[arg(long, default_value = "")]
    email: String,
    /// Number of a chat of Telegram, where alerts go
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    telegram: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { plain(text) }
}

/// Sends an entry and shows the row that it became.
fn enter<I: Serialize + Sync, R: Serialize + DeserializeOwned>(
    controller: &Controller,
    path: &str,
    input: &I,
    terminal: &Terminal,
    table: impl FnOnce(&[R]) -> String,
) -> Outcome<Exit> {
    let row: R = controller.post(path, input)?;
    terminal.result(&row, || table(std::slice::from_ref(&row)))?;
    Ok(Exit::Fine)
}

/// Runs `lumbung building`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn building(command: &BuildingCommand, terminal: &Terminal) -> Outcome<Exit> {
    let shown = |rows: &[Building], sites: &[Site]| {
        let mut table = Table::new()
            .text(terminal.pick("Lokasi", "Site"))
            .text(terminal.pick("Gedung", "Building"))
            .text(terminal.pick("Alamat", "Address"))
            .text(terminal.pick("Wilayah", "Jurisdiction"))
            .text(terminal.pick("Kajian risiko", "Risk assessment"));
        for row in rows {
            let site = sites.iter().find(|site| site.id == row.site);
            table.row([
                site.map_or_else(|| row.site.short(), |site| plain(&site.name)),
                plain(&row.name),
                or_dash(&row.address),
                or_dash(&row.jurisdiction),
                or_dash(&row.hazard_assessment),
            ]);
        }
        table.render()
    };
    match command {
        BuildingCommand::List(args) => {
            let controller = args.connect()?;
            let rows: Vec<Building> = controller.list("/api/v1/buildings")?;
            let sites: Vec<Site> = controller.list("/api/v1/sites")?;
            terminal.result(&rows, || shown(&rows, &sites))?;
            Ok(Exit::Fine)
        }
        BuildingCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let site = find_site(&controller, &args.site)?;
            let input = BuildingInput {
                id: None,
                site: site.id,
                name: args.name.clone(),
                address: args.address.clone(),
                jurisdiction: args.jurisdiction.clone(),
                hazard_assessment: args.hazard_assessment.clone(),
            };
            let sites = [site];
            enter(&controller, "/api/v1/buildings", &input, terminal, |rows| shown(rows, &sites))
        }
    }
}

/// Runs `lumbung room`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn room(command: &RoomCommand, terminal: &Terminal) -> Outcome<Exit> {
    let shown = |rows: &[Room], buildings: &[Building]| {
        let mut table = Table::new()
            .text(terminal.pick("Gedung", "Building"))
            .text(terminal.pick("Ruang", "Room"))
            .rigid(terminal.pick("Jenis", "Kind"));
        for row in rows {
            let building = buildings.iter().find(|building| building.id == row.building);
            table.row([
                building.map_or_else(|| row.building.short(), |building| plain(&building.name)),
                plain(&row.name),
                row.kind.to_string(),
            ]);
        }
        table.render()
    };
    match command {
        RoomCommand::List(args) => {
            let controller = args.connect()?;
            let rows: Vec<Room> = controller.list("/api/v1/rooms")?;
            let buildings: Vec<Building> = controller.list("/api/v1/buildings")?;
            terminal.result(&rows, || shown(&rows, &buildings))?;
            Ok(Exit::Fine)
        }
        RoomCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let buildings: Vec<Building> = controller.list("/api/v1/buildings")?;
            let building = find(buildings, "building", &args.building, |one: &Building| {
                (&one.name, one.id.to_string())
            })?;
            let input = RoomInput {
                id: None,
                building: building.id,
                name: args.name.clone(),
                kind: args.kind,
            };
            let around = [building];
            enter(&controller, "/api/v1/rooms", &input, terminal, |rows| shown(rows, &around))
        }
    }
}

/// Thousandths of a percent, as people write them.
fn percent(millipercent: u32) -> String {
    let digits = format!("{}.{:03}", millipercent / 1000, millipercent % 1000);
    format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn services_table(rows: &[Service], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text("PD")
        .text(terminal.pick("Layanan", "Service"))
        .rigid(terminal.pick("Kritis", "Critical"))
        .number("SLA")
        .number("RTO")
        .rigid(terminal.pick("Siaga", "Standby"))
        .text(terminal.pick("Dokumen SLA", "SLA document"));
    for row in rows {
        let yes = |yes: bool| terminal.pick(["tidak", "ya"], ["no", "yes"])[usize::from(yes)];
        table.row([
            pd_code(pds, &row.pd),
            plain(&row.name),
            yes(row.critical).to_owned(),
            row.sla_millipercent.map_or_else(|| "–".to_owned(), percent),
            row.rto_s.map_or_else(|| "–".to_owned(), |rto| Seconds(rto).to_string()),
            yes(row.standby.is_some()).to_owned(),
            or_dash(&row.sla_document),
        ]);
    }
    table.render()
}

/// Runs `lumbung service`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn service(command: &ServiceCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        ServiceCommand::List(args) => {
            let controller = args.controller.connect()?;
            let rows: Vec<Service> = list_of(&controller, "services", args.pd.as_deref())?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&rows, || services_table(&rows, &pds, terminal))?;
            Ok(Exit::Fine)
        }
        ServiceCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let pd = find_pd(&controller, &args.pd)?;
            let standby = args.standby.as_deref().map(|named| server(&controller, &pd, named));
            let input = ServiceInput {
                id: None,
                pd: pd.id,
                name: args.name.clone(),
                critical: args.critical,
                sla_millipercent: args.sla_millipercent,
                hours: args.hours.clone(),
                rto_s: args.rto.map(|rto| rto.0),
                sla_document: args.sla_document.clone(),
                standby: standby.transpose()?.map(|server| server.id),
            };
            let pds = [pd];
            enter(&controller, "/api/v1/services", &input, terminal, |rows| {
                services_table(rows, &pds, terminal)
            })
        }
    }
}

fn server(controller: &Controller, pd: &Pd, named: &str) -> Outcome<Server> {
    let servers: Vec<Server> = list_of(controller, "servers", Some(&pd.code))?;
    find(servers, "server", named, |one: &Server| (&one.name, one.id.to_string()))
}

fn service_of(controller: &Controller, pd: &Pd, named: Option<&str>) -> Outcome<Option<Service>> {
    let Some(named) = named else { return Ok(None) };
    let services: Vec<Service> = list_of(controller, "services", Some(&pd.code))?;
    find(services, "service", named, |one: &Service| (&one.name, one.id.to_string())).map(Some)
}

fn applications_table(rows: &[Application], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text("PD")
        .text(terminal.pick("Aplikasi", "Application"))
        .text(terminal.pick("Teknologi", "Technology"))
        .number(terminal.pick("Peladen", "Servers"))
        .rigid("Id");
    for row in rows {
        table.row([
            pd_code(pds, &row.pd),
            plain(&row.name),
            or_dash(&row.technology),
            row.servers.len().to_string(),
            row.id.to_string(),
        ]);
    }
    table.render()
}

/// Runs `lumbung application`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn application(command: &ApplicationCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        ApplicationCommand::List(args) => {
            let controller = args.controller.connect()?;
            let rows: Vec<Application> = list_of(&controller, "applications", args.pd.as_deref())?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&rows, || applications_table(&rows, &pds, terminal))?;
            Ok(Exit::Fine)
        }
        ApplicationCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let pd = find_pd(&controller, &args.pd)?;
            let servers = args.server.iter().map(|named| server(&controller, &pd, named));
            let input = ApplicationInput {
                id: None,
                pd: pd.id,
                name: args.name.clone(),
                service: service_of(&controller, &pd, args.service.as_deref())?.map(|one| one.id),
                technology: args.technology.clone(),
                servers: servers
                    .map(|server| server.map(|server| server.id))
                    .collect::<Outcome<_>>()?,
            };
            let pds = [pd];
            enter(&controller, "/api/v1/applications", &input, terminal, |rows| {
                applications_table(rows, &pds, terminal)
            })
        }
    }
}

fn contacts_table(rows: &[ContactPerson], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text("PD")
        .number(terminal.pick("Tingkat", "Tier"))
        .text(terminal.pick("Nama", "Name"))
        .rigid(terminal.pick("Telepon", "Telephone"))
        .text(terminal.pick("Surel", "Mail"));
    for row in rows {
        table.row([
            pd_code(pds, &row.pd),
            row.tier.to_string(),
            plain(&row.name),
            or_dash(&row.phone),
            or_dash(&row.email),
        ]);
    }
    table.render()
}

/// Runs `lumbung contact`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn contact(command: &ContactCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        ContactCommand::List(args) => {
            let controller = args.controller.connect()?;
            let rows: Vec<ContactPerson> =
                list_of(&controller, "contact-persons", args.pd.as_deref())?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&rows, || contacts_table(&rows, &pds, terminal))?;
            Ok(Exit::Fine)
        }
        ContactCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let pd = find_pd(&controller, &args.pd)?;
            let input = ContactPersonInput {
                id: None,
                pd: pd.id,
                service: service_of(&controller, &pd, args.service.as_deref())?.map(|one| one.id),
                tier: args.tier,
                name: args.name.clone(),
                phone: args.phone.clone(),
                email: args.email.clone(),
                telegram: args.telegram.clone(),
            };
            let pds = [pd];
            enter(&controller, "/api/v1/contact-persons", &input, terminal, |rows| {
                contacts_table(rows, &pds, terminal)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousandths_of_a_percent_are_shown_without_needless_digits() {
        for (millipercent, shown) in [(99_500, "99.5 %"), (100_000, "100 %"), (99_999, "99.999 %")]
        {
            assert_eq!(percent(millipercent), shown);
        }
    }
}
