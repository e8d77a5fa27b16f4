//! A roster as a person reads it.

use lumbung_pack::{AgentStatus, RootRole, Roster, RosterChain};

use crate::table::{Table, pairs};
use crate::terminal::{Terminal, plain};

/// The newest roster: keys, recipients, agents, sites.
#[must_use]
pub(crate) fn roster(chain: &RosterChain, terminal: &Terminal) -> String {
    let roster = &chain.current().body;
    let mut text = pairs(&[
        (terminal.pick("Repositori", "Repository"), chain.repository().to_string()),
        ("Roster", format!("{} ({})", roster.number, terminal.time(roster.created))),
        ("Registrar", roster.registrar.map_or("–".into(), |key| key.to_string())),
    ]);
    let tables = [
        keys(roster, terminal),
        recipients(roster, terminal),
        agents(roster, terminal),
        sites(roster, terminal),
    ];
    for table in tables.iter().filter(|table| !table.is_empty()) {
        text.push('\n');
        text.push_str(&table.render());
    }
    text
}

fn keys(roster: &Roster, terminal: &Terminal) -> Table {
    let mut table = Table::new()
        .rigid(terminal.pick("Kunci akar", "Root key"))
        .rigid(terminal.pick("Peran", "Role"))
        .text("Label");
    for key in &roster.root_keys {
        let role = match key.role {
            RootRole::Working => terminal.pick("kerja", "working"),
            RootRole::Spare => terminal.pick("cadangan", "spare"),
        };
        table.row([key.key.to_string(), role.to_owned(), plain(&key.label)]);
    }
    table
}

fn recipients(roster: &Roster, terminal: &Terminal) -> Table {
    let mut table = Table::new()
        .rigid(terminal.pick("Penerima (dapat membaca)", "Recipient (can read)"))
        .text("Label");
    for recipient in &roster.recipients {
        table.row([recipient.key.to_string(), plain(&recipient.label)]);
    }
    table
}

fn agents(roster: &Roster, terminal: &Terminal) -> Table {
    let mut table = Table::new()
        .rigid(terminal.pick("Agen", "Agent"))
        .rigid("Domain")
        .rigid("Status")
        .text("Label");
    for agent in &roster.agents {
        let status = match agent.status {
            AgentStatus::Active => terminal.pick("aktif", "active"),
            AgentStatus::Withdrawn => terminal.pick("ditarik", "withdrawn"),
        };
        table.row([
            agent.agent.to_string(),
            agent.domain.short(),
            status.to_owned(),
            plain(&agent.label),
        ]);
    }
    table
}

fn sites(roster: &Roster, terminal: &Terminal) -> Table {
    let mut table = Table::new()
        .rigid(terminal.pick("Lokasi", "Site"))
        .rigid("TLS")
        .rigid(terminal.pick("Kunci tanda terima", "Receipt key"))
        .text("Label");
    for site in &roster.sites {
        table.row([
            site.site.to_string(),
            site.tls_pin.short(),
            site.receipt_key.short(),
            plain(&site.label),
        ]);
    }
    table
}
