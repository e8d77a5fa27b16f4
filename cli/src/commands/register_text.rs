//! The register as tables.

use lumbung_model::{PdId, ServerId};
use lumbung_wire::messages::overview::Overview;
use lumbung_wire::messages::register::{Dataset, Pd, Server, Site};

use crate::commands::status::heartbeat_word;
use crate::duration::Seconds;
use crate::table::Table;
use crate::terminal::{Terminal, plain};

/// What people call a PD.
pub(super) fn pd_code(pds: &[Pd], id: &PdId) -> String {
    pds.iter().find(|pd| pd.id == *id).map_or_else(|| id.short(), |pd| plain(&pd.code))
}

fn server_name(servers: &[Server], id: Option<ServerId>) -> String {
    let Some(id) = id else { return "–".to_owned() };
    servers
        .iter()
        .find(|server| server.id == id)
        .map_or_else(|| id.short(), |server| plain(&server.name))
}

/// PD with name and contact.
#[must_use]
pub(crate) fn pds(pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Kode", "Code"))
        .text(terminal.pick("Nama", "Name"))
        .text(terminal.pick("Narahubung", "Contact"))
        .rigid(terminal.pick("Mandiri TIK", "Own IT"));
    for pd in pds {
        let own =
            if pd.mandiri_tik { terminal.pick("ya", "yes") } else { terminal.pick("tidak", "no") };
        table.row([plain(&pd.code), plain(&pd.name), plain(&pd.contact), own.to_owned()]);
    }
    table.render()
}

/// Servers with their agents.
#[must_use]
pub(crate) fn servers(servers: &[Server], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text("PD")
        .text(terminal.pick("Peladen", "Server"))
        .rigid(terminal.pick("Jenis", "Kind"))
        .rigid(terminal.pick("Agen", "Agent"))
        .rigid(terminal.pick("Terakhir terdengar", "Last heard of"))
        .rigid("Id");
    for server in servers {
        table.row([
            pd_code(pds, &server.pd),
            plain(&server.name),
            server.kind.to_string(),
            heartbeat_word(server.heartbeat, terminal.lang).to_owned(),
            server.last_seen.map_or_else(|| "–".to_owned(), |at| terminal.time(at)),
            server.id.short(),
        ]);
    }
    table.render()
}

/// Datasets with what is asked of them.
#[must_use]
pub(crate) fn datasets(
    datasets: &[Dataset],
    pds: &[Pd],
    servers: &[Server],
    terminal: &Terminal,
) -> String {
    let mut table = Table::new()
        .text("PD")
        .text(terminal.pick("Peladen", "Server"))
        .text(terminal.pick("Himpunan data", "Dataset"))
        .rigid(terminal.pick("Jenis", "Kind"))
        .rigid(terminal.pick("Urgensi", "Urgency"))
        .number("RPO")
        .rigid("Id");
    for dataset in datasets {
        table.row([
            pd_code(pds, &dataset.pd),
            server_name(servers, dataset.server),
            plain(&dataset.name),
            dataset.kind.to_string(),
            dataset.urgency.to_string(),
            Seconds(dataset.rpo_s).to_string(),
            dataset.id.to_string(),
        ]);
    }
    table.render()
}

/// Sites with their addresses.
#[must_use]
pub(crate) fn sites(sites: &[Site], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Lokasi", "Site"))
        .rigid(terminal.pick("Jenis", "Kind"))
        .text(terminal.pick("Alamat vault", "Vault"))
        .rigid(terminal.pick("Terdaftar", "Enrolled"))
        .rigid("Id");
    for site in sites {
        let enrolled = site.receipt_key.is_some() && site.tls_pin.is_some();
        table.row([
            plain(&site.name),
            site.kind.to_string(),
            plain(site.url.as_deref().unwrap_or("–")),
            if enrolled { terminal.pick("ya", "yes") } else { terminal.pick("belum", "no") }
                .to_owned(),
            site.id.to_string(),
        ]);
    }
    table.render()
}

/// How far the sites are apart.
#[must_use]
pub(crate) fn distances(overview: &Overview, terminal: &Terminal) -> String {
    if overview.distances.is_empty() {
        let none = terminal.pick(
            "Jarak belum dapat dihitung: isi koordinat kedua lokasi.\n",
            "No distance is known: enter the coordinates of both sites.\n",
        );
        return none.to_owned();
    }
    let name = |id| {
        overview
            .sites
            .iter()
            .find(|site| site.site == id)
            .map_or_else(|| id.short(), |site| plain(&site.name))
    };
    let mut table = Table::new()
        .text(terminal.pick("Dari", "From"))
        .text(terminal.pick("Ke", "To"))
        .number("km")
        .number(terminal.pick("Minimum", "Minimum"))
        .rigid(terminal.pick("Terpenuhi", "Met"))
        .text(terminal.pick("Dasar", "Basis"));
    for distance in &overview.distances {
        table.row([
            name(distance.from),
            name(distance.to),
            format!("{:.1}", distance.km),
            format!("{:.0}", distance.min_km),
            if distance.met { terminal.pick("ya", "yes") } else { terminal.pick("TIDAK", "NO") }
                .to_owned(),
            plain(&distance.note),
        ]);
    }
    table.render()
}
