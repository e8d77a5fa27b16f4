//! `lumbung morning`: the operator's questions of every morning, answered on one screen.
//!
//! Who missed a backup, since when, why; what has not reached the DRC; what was never proven; what is down, and the month
//! against its SLA; what is silent; what is wrong; what falls due; when storage is full. Invariants: every section tells how
//! many, names the first, and says which command shows all; what is in order takes one line.

use clap::Args;
use lumbung_model::ByteSize;
use lumbung_wire::messages::capacity::CapacityReport;
use lumbung_wire::messages::compliance::{VerdictEntry, VerdictState};
use lumbung_wire::messages::deposits::Deposit;
use lumbung_wire::messages::overview::{AlarmEntry, Overview};
use lumbung_wire::messages::register::{
    ComplianceRow, ComplianceTable, HeartbeatState, Step, StepState,
};
use lumbung_wire::messages::uptime::{Incident, UptimeRow};

use crate::commands::capacity;
use crate::commands::deposits_text;
use crate::commands::status::{query, table_of};
use crate::commands::uptime_text::share;
use crate::commands::verdicts;
use crate::controller::ControllerArgs;
use crate::failure::{Exit, Outcome};
use crate::table::WIDTH;
use crate::terminal::{Terminal, printable};

/// Lines that a section names.
const NAMED: usize = 5;

/// Answer the questions of the morning on one screen
#[derive(Debug, Args)]
pub(crate) struct MorningArgs {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// What the screen is made of.
struct Morning {
    table: ComplianceTable,
    /// Of the city only.
    overview: Option<Overview>,
    alarms: Vec<AlarmEntry>,
    unmet: Vec<VerdictEntry>,
    /// What is owed by date, overdue or due soon.
    due: Vec<Deposit>,
    /// Of the city only.
    capacity: Option<CapacityReport>,
    /// What is down now.
    down: Vec<Incident>,
    /// How much of this month each service was up.
    month: Vec<UptimeRow>,
}

/// Runs `lumbung morning`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn morning(args: &MorningArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let of = args.pd.as_deref().map(|pd| format!("&pd={}", query(pd))).unwrap_or_default();
    let wanted = (args.pd.as_deref(), None, VerdictState::Unmet);
    let morning = Morning {
        table: table_of(&controller, terminal, &of)?,
        overview: if args.pd.is_none() { controller.get("/api/v1/status").ok() } else { None },
        alarms: controller.list(&format!("/api/v1/alarms?{}", of.trim_start_matches('&')))?,
        unmet: verdicts::fetch(&controller, terminal, wanted, None)?,
        due: controller.list(&format!("/api/v1/deposits?state=overdue,due{of}"))?,
        capacity: if args.pd.is_none() { controller.get("/api/v1/capacity").ok() } else { None },
        down: controller.list(&format!("/api/v1/incidents?open=true{of}"))?,
        month: controller.list(&format!("/api/v1/uptime?by=service{of}"))?,
    };
    let value = serde_json::json!({
        "compliance": morning.table,
        "status": morning.overview,
        "alarms": morning.alarms,
        "unmet": morning.unmet,
        "due": morning.due,
        "capacity": morning.capacity,
        "down": morning.down,
        "month": morning.month,
    });
    terminal.result(&value, || screen(&morning, terminal))?;
    Ok(Exit::Fine)
}

/// A section: what it asks, how many, the first of them, and which command shows all.
struct Section {
    asks: &'static str,
    lines: Vec<String>,
    all: &'static str,
}

fn screen(morning: &Morning, terminal: &Terminal) -> String {
    let mut text = totals(morning, terminal);
    for section in sections(morning, terminal) {
        text.push('\n');
        if section.lines.is_empty() {
            text.push_str(&format!("[ok] {}\n", section.asks));
            continue;
        }
        text.push_str(&format!("[{:>2}] {}\n", section.lines.len(), section.asks));
        for line in section.lines.iter().take(NAMED) {
            text.push_str(&format!("     {}\n", cut(line)));
        }
        if section.lines.len() > NAMED {
            let more = section.lines.len() - NAMED;
            let words = terminal.pick("lainnya", "more");
            text.push_str(&format!("     + {more} {words}: {}\n", section.all));
        }
    }
    text
}

fn cut(line: &str) -> String {
    let room = WIDTH - 5;
    if line.chars().count() <= room {
        return line.to_owned();
    }
    line.chars().take(room - 1).chain(['…']).collect()
}

fn totals(morning: &Morning, terminal: &Terminal) -> String {
    let table = &morning.table;
    let version = morning.overview.as_ref().map(|one| format!(" · {}", one.version));
    let mut text =
        format!("Lumbung · {}{}\n", terminal.time(table.at), version.unwrap_or_default());
    let names = terminal.pick(
        ["tercadang", "di DRC", "terverifikasi", "terbukti pulih"],
        ["backed up", "at the DRC", "verified", "proven"],
    );
    for (name, step) in
        names.into_iter().zip([table.backed_up, table.at_drc, table.verified, table.proven])
    {
        let all = table.all.datasets;
        let share = (step.datasets * 100).checked_div(all).unwrap_or(0);
        text.push_str(&format!(
            "  {name:<15}{:>6} {} {all:<6}{share:>4} %  {} {} {}\n",
            step.datasets,
            terminal.pick("dari", "of"),
            ByteSize::bytes(step.stored_bytes),
            terminal.pick("dari", "of"),
            ByteSize::bytes(table.all.stored_bytes),
        ));
    }
    text
}

fn sections(morning: &Morning, terminal: &Terminal) -> Vec<Section> {
    let rows = || morning.table.rows.iter();
    let missed = |row: &&ComplianceRow| row.backed_up.state != StepState::Met;
    let behind = |row: &&ComplianceRow| !missed(row) && row.at_drc.state != StepState::Met;
    let unproven =
        |row: &&ComplianceRow| !row.belum_mencadangkan && row.proven.state != StepState::Met;
    let line = |row: &ComplianceRow, step: &Step| about(row, step, terminal);
    vec![
        Section {
            asks: terminal.pick(
                "Siapa yang tidak tercadang, sejak kapan, mengapa?",
                "Who missed a backup, since when, why?",
            ),
            lines: rows().filter(missed).map(|row| line(row, &row.backed_up)).collect(),
            all: "lumbung compliance --problems",
        },
        Section {
            asks: terminal.pick("Apa yang belum sampai di DRC?", "What has not reached the DRC?"),
            lines: rows().filter(behind).map(|row| line(row, &row.at_drc)).collect(),
            all: "lumbung compliance --problems",
        },
        Section {
            asks: terminal.pick(
                "Apa yang tidak (lagi) terbukti pulih?",
                "What is not, or no longer, proven restorable?",
            ),
            lines: rows().filter(unproven).map(|row| line(row, &row.proven)).collect(),
            all: "lumbung compliance --problems",
        },
        Section {
            asks: terminal.pick(
                "Apa yang mati, dan bulan ini terhadap SLA?",
                "What is down, and the month against its SLA?",
            ),
            lines: down(morning, terminal),
            all: "lumbung incident list --open, lumbung uptime",
        },
        Section {
            asks: terminal
                .pick("Agen dan lokasi mana yang diam?", "Which agents and sites are silent?"),
            lines: silent(morning, terminal),
            all: "lumbung server list, lumbung status",
        },
        Section {
            asks: terminal.pick("Apa yang tidak wajar?", "What is abnormal?"),
            lines: morning.alarms.iter().map(|alarm| of_alarm(alarm, terminal)).collect(),
            all: "lumbung status",
        },
        Section {
            asks: terminal.pick(
                "Aturan mana yang tidak dipenuhi, menurut pasal?",
                "Which rules of an article are not met?",
            ),
            lines: by_rule(&morning.unmet),
            all: "lumbung verdicts",
        },
        Section {
            asks: terminal.pick("Apa yang jatuh tempo?", "What falls due?"),
            lines: morning.due.iter().map(|one| deposits_text::line(one, terminal)).collect(),
            all: "lumbung deposit list --state overdue,due",
        },
        Section {
            asks: terminal.pick(
                "Kapan penyimpanan penuh (yang dekat)?",
                "When is storage full (what is near)?",
            ),
            lines: filling(morning, terminal),
            all: "lumbung capacity",
        },
    ]
}

/// What is full soon, as the city counts it.
fn filling(morning: &Morning, terminal: &Terminal) -> Vec<String> {
    let near = morning.capacity.iter().flat_map(|report| &report.entries);
    near.filter(|entry| entry.alarm)
        .map(|entry| {
            let name = printable(entry.name.as_bytes());
            format!("{} {name}: {}", entry.kind, capacity::when_full(entry, terminal))
        })
        .collect()
}

fn about(row: &ComplianceRow, step: &Step, terminal: &Terminal) -> String {
    let parts = [&row.pd_code, &row.server_name, &row.dataset_name];
    let what: Vec<_> = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| printable(part.as_bytes()))
        .collect();
    let cause = row
        .cause
        .as_ref()
        .map(|cause| format!(" · {}", printable(cause.as_bytes())))
        .unwrap_or_default();
    let since = step
        .since
        .map(|at| format!(" ({} {})", terminal.pick("sejak", "since"), terminal.time(at)))
        .unwrap_or_default();
    format!("{}: {}{cause}{since}", what.join("/"), printable(step.reason.as_bytes()))
}

fn down(morning: &Morning, terminal: &Terminal) -> Vec<String> {
    let since = terminal.pick("mati sejak", "down since");
    let incidents = morning.down.iter().filter(|incident| !incident.withdrawn);
    let mut lines: Vec<String> = incidents
        .map(|one| {
            let name = printable(one.name.as_bytes());
            format!("{} {name}: {since} {}", one.kind, terminal.time(one.from))
        })
        .collect();
    let of = terminal.pick("dari", "of");
    for row in morning.month.iter().filter(|row| row.met == Some(false)) {
        let (Some(share_), Some(sla)) = (row.availability, row.sla_millipercent) else { continue };
        let name = printable(row.name.as_bytes());
        lines.push(format!("{name}: {} {of} {}", share(share_), share(sla.saturating_mul(10))));
    }
    lines
}

fn silent(morning: &Morning, terminal: &Terminal) -> Vec<String> {
    let mut lines = Vec::new();
    for site in morning.overview.iter().flat_map(|overview| &overview.sites) {
        if let Some(error) = &site.error {
            lines.push(printable(format!("{}: {error}", site.name).as_bytes()));
        }
    }
    let mut named = std::collections::HashSet::new();
    for row in &morning.table.rows {
        let quiet = matches!(row.heartbeat, HeartbeatState::Down | HeartbeatState::Late);
        if quiet && row.server.is_some_and(|server| named.insert(server)) {
            let word = crate::commands::status::heartbeat_word(row.heartbeat, terminal.lang);
            lines
                .push(printable(format!("{}/{}: {word}", row.pd_code, row.server_name).as_bytes()));
        }
    }
    lines
}

fn of_alarm(alarm: &AlarmEntry, terminal: &Terminal) -> String {
    let since = terminal.pick("sejak", "since");
    let text = format!("{}: {}", alarm.kind, alarm.detail);
    format!("{} ({since} {})", printable(text.as_bytes()), terminal.time(alarm.raised))
}

/// By rule of an article: how many do not meet it. Proposals are none.
fn by_rule(unmet: &[VerdictEntry]) -> Vec<String> {
    let bound = unmet.iter().filter(|entry| !entry.article.is_empty()).collect::<Vec<_>>();
    bound
        .chunk_by(|one, other| one.rule == other.rule)
        .map(|group| {
            let first = group[0];
            let text =
                format!("{} × {} ({}): {}", group.len(), first.rule, first.article, first.asks);
            printable(text.as_bytes())
        })
        .collect()
}
