//! `lumbung status` and `lumbung compliance`: the morning's questions, answered by the controller.

use clap::Args;
use lumbung_model::{ByteSize, Timestamp};
use lumbung_wire::messages::overview::{AlarmEntry, Overview};
use lumbung_wire::messages::register::{
    ComplianceRow, ComplianceTable, HeartbeatState, Step, StepState, StepTotals,
};

use crate::commands::deposits_text;
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Exit, Outcome};
use crate::moment::Moment;
use crate::table::{Table, pairs};
use crate::terminal::{Lang, Terminal, printable};

/// Show sites, agents, totals and alarms
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Show how far each dataset has come: backed up, at the DRC, verified, proven
#[derive(Debug, Args)]
pub(crate) struct ComplianceArgs {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Only what is not in order
    #[arg(long)]
    problems: bool,
    /// As of this day's end, or this moment: 2026-06-30, or "2026-06-30 08:00"
    #[arg(long, value_name = "DATE")]
    as_of: Option<Moment>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// The word for a step's state.
const fn step_word(state: StepState, lang: Lang) -> &'static str {
    match state {
        StepState::Met => lang.pick("ya", "yes"),
        StepState::Late => lang.pick("terlambat", "late"),
        StepState::Missing => lang.pick("belum", "no"),
        StepState::Unknown => lang.pick("tak pasti", "unsure"),
    }
}

/// The word for how an agent is.
#[must_use]
pub(crate) const fn heartbeat_word(state: HeartbeatState, lang: Lang) -> &'static str {
    match state {
        HeartbeatState::Up => lang.pick("hidup", "up"),
        HeartbeatState::Late => lang.pick("terlambat", "late"),
        HeartbeatState::Down => lang.pick("mati", "down"),
        HeartbeatState::Never => lang.pick("belum ada", "never"),
    }
}

/// A value for a path's query.
#[must_use]
pub(crate) fn query(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// The whole compliance table, page by page; `of` narrows it.
pub(crate) fn table_of(
    controller: &Controller,
    terminal: &Terminal,
    of: &str,
) -> Outcome<ComplianceTable> {
    let lang = terminal.pick("id", "en");
    let (mut table, mut next): (ComplianceTable, _) =
        controller.get_part(&format!("/api/v1/compliance?lang={lang}{of}"))?;
    while let Some(path) = next {
        let (more, after): (ComplianceTable, _) = controller.get_part(&path)?;
        table.rows.extend(more.rows);
        next = after;
    }
    Ok(table)
}

/// Runs `lumbung compliance`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn compliance(args: &ComplianceArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let mut of = args.pd.as_deref().map(|pd| format!("&pd={}", query(pd))).unwrap_or_default();
    if let Some(moment) = args.as_of {
        of += &format!("&as_of={}", moment.end_in(terminal).0);
    }
    let mut table = table_of(&controller, terminal, &of)?;
    if args.problems {
        table.rows.retain(|row| !in_order(row));
    }
    terminal.result(&table, || compliance_text(&table, terminal))?;
    Ok(Exit::Fine)
}

const fn steps(row: &ComplianceRow) -> [&Step; 4] {
    [&row.backed_up, &row.at_drc, &row.verified, &row.proven]
}

fn in_order(row: &ComplianceRow) -> bool {
    !row.belum_mencadangkan && steps(row).iter().all(|step| step.state == StepState::Met)
}

fn step_names(lang: Lang) -> [&'static str; 4] {
    lang.pick(
        ["Tercadang", "Di DRC", "Terverifikasi", "Terbukti pulih"],
        ["Backed up", "At DRC", "Verified", "Proven"],
    )
}

fn compliance_text(table: &ComplianceTable, terminal: &Terminal) -> String {
    let names = step_names(terminal.lang);
    let mut drawn = Table::new()
        .text("PD")
        .text(terminal.pick("Peladen", "Server"))
        .text(terminal.pick("Himpunan data", "Dataset"));
    for name in names {
        drawn = drawn.rigid(name);
    }
    drawn = drawn.number(terminal.pick("Tersimpan", "Stored"));
    for row in &table.rows {
        let [pd, server, dataset] =
            [&row.pd_code, &row.server_name, &row.dataset_name].map(|t| printable(t.as_bytes()));
        let [a, b, c, d] = if row.belum_mencadangkan {
            let words = terminal.pick("belum mencadangkan", "not backing up");
            [words.to_owned(), "–".into(), "–".into(), "–".into()]
        } else {
            steps(row).map(|step| step_word(step.state, terminal.lang).to_owned())
        };
        drawn.row([pd, server, dataset, a, b, c, d, ByteSize::bytes(row.stored_bytes).to_string()]);
    }
    let mut text = drawn.render();
    let totals = [table.backed_up, table.at_drc, table.verified, table.proven];
    text.push_str(&format!("\n{}\n", terminal.time(table.at)));
    text.push_str(&totals_text(&names, &totals, table.all, terminal));
    if !table.overdue.is_empty() {
        text.push_str(&format!("\n{}\n", terminal.pick("Tenggat:", "Deadlines:")));
        text.push_str(&deposits_text::overdue(&table.overdue, terminal));
    }
    let reasons = reasons(table, terminal);
    if !reasons.is_empty() {
        text.push_str(&format!(
            "\n{}\n{reasons}",
            terminal.pick("Perlu perhatian:", "Needs attention:")
        ));
    }
    text
}

fn totals_text(
    names: &[&str; 4],
    totals: &[StepTotals; 4],
    all: StepTotals,
    terminal: &Terminal,
) -> String {
    let lines: Vec<(&str, String)> = names
        .iter()
        .zip(totals)
        .map(|(name, total)| {
            let of = terminal.pick("dari", "of");
            let value = format!(
                "{} {of} {} ({} {of} {})",
                total.datasets,
                all.datasets,
                ByteSize::bytes(total.stored_bytes),
                ByteSize::bytes(all.stored_bytes)
            );
            (*name, value)
        })
        .collect();
    pairs(&lines)
}

/// For each row the first step that is not met, and why.
fn reasons(table: &ComplianceTable, terminal: &Terminal) -> String {
    let names = step_names(terminal.lang);
    let mut text = String::new();
    for row in table.rows.iter().filter(|row| !in_order(row)) {
        let Some((name, step)) =
            names.iter().zip(steps(row)).find(|(_, step)| step.state != StepState::Met)
        else {
            continue;
        };
        let what = [&row.pd_code, &row.server_name, &row.dataset_name]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| printable(part.as_bytes()))
            .collect::<Vec<_>>()
            .join(" / ");
        let since = step
            .since
            .map(|at| format!(" ({} {})", terminal.pick("sejak", "since"), terminal.time(at)));
        let reason = printable(step.reason.as_bytes());
        text.push_str(&format!("  {what}: {name}: {reason}{}\n", since.unwrap_or_default()));
        if row.unauthorized_snapshots > 0 {
            let word = terminal.pick("cuplikan belum disahkan", "snapshots not authorised");
            text.push_str(&format!("  {what}: {} {word}\n", row.unauthorized_snapshots));
        }
    }
    text
}

/// Runs `lumbung status`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn status(args: &StatusArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let overview: Overview = controller.get("/api/v1/status")?;
    let alarms: Vec<AlarmEntry> = controller.list("/api/v1/alarms")?;
    let value = serde_json::json!({ "overview": overview, "alarms": alarms });
    terminal.result(&value, || status_text(&overview, &alarms, terminal))?;
    Ok(Exit::Fine)
}

fn status_text(overview: &Overview, alarms: &[AlarmEntry], terminal: &Terminal) -> String {
    let agents = &overview.agents;
    let word = |state| heartbeat_word(state, terminal.lang);
    let counts = format!(
        "{} {}, {} {}, {} {}, {} {}",
        agents.up,
        word(HeartbeatState::Up),
        agents.late,
        word(HeartbeatState::Late),
        agents.down,
        word(HeartbeatState::Down),
        agents.never,
        word(HeartbeatState::Never)
    );
    let mut text = pairs(&[
        (
            terminal.pick("Pengendali", "Controller"),
            format!("{} ({})", overview.version, terminal.time(overview.at)),
        ),
        (terminal.pick("Agen", "Agents"), counts),
        (
            "PD",
            format!(
                "{}, {} {}",
                overview.pds,
                overview.belum_mencadangkan,
                terminal.pick("belum mencadangkan", "not backing up")
            ),
        ),
        (terminal.pick("Alarm", "Alarms"), overview.alarms.to_string()),
        (
            terminal.pick("Tenggat", "Deadlines"),
            deposits_text::counted(overview.deposits_overdue, overview.deposits_due_soon, terminal),
        ),
    ]);
    let totals = [overview.backed_up, overview.at_drc, overview.verified, overview.proven];
    text.push_str(&totals_text(&step_names(terminal.lang), &totals, overview.registered, terminal));
    if !overview.sites.is_empty() {
        text.push('\n');
        text.push_str(&sites_text(overview, terminal));
    }
    text.push_str(&findings_text(overview, alarms, terminal));
    text
}

/// What somebody should look at, one line each.
fn findings_text(overview: &Overview, alarms: &[AlarmEntry], terminal: &Terminal) -> String {
    let mut text = String::new();
    for alarm in alarms {
        let line = format!("{}: {}", alarm.kind, alarm.detail);
        let since = terminal.pick("sejak", "since");
        text.push_str(&format!(
            "! {} ({since} {})\n",
            printable(line.as_bytes()),
            terminal.time(alarm.raised)
        ));
    }
    for unknown in &overview.unregistered_datasets {
        let word =
            terminal.pick("tidak ada di register: himpunan data", "not in the register: dataset");
        text.push_str(&format!(
            "! {word} {} {}\n",
            unknown.dataset,
            printable(unknown.name.as_bytes())
        ));
    }
    for unknown in &overview.unregistered_repositories {
        let word =
            terminal.pick("tidak ada di register: repositori", "not in the register: repository");
        text.push_str(&format!("! {word} {}\n", unknown.repository));
    }
    text
}

fn sites_text(overview: &Overview, terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Lokasi", "Site"))
        .rigid(terminal.pick("Jenis", "Kind"))
        .rigid(terminal.pick("Jawaban terakhir", "Last answer"))
        .text(terminal.pick("Keadaan", "State"));
    let time = |at: Option<Timestamp>| at.map_or_else(|| "–".to_owned(), |at| terminal.time(at));
    for site in &overview.sites {
        let state = match (&site.error, site.enrolled) {
            (Some(error), _) => printable(error.as_bytes()),
            (None, false) => terminal.pick("belum terdaftar", "not enrolled").to_owned(),
            (None, true) => terminal.pick("baik", "fine").to_owned(),
        };
        table.row([
            printable(site.name.as_bytes()),
            site.kind.to_string(),
            time(site.succeeded),
            state,
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_is_escaped() {
        assert_eq!(query("DINKES&all=1 é"), "DINKES%26all%3D1%20%C3%A9");
    }

    #[test]
    fn the_compliance_table_fits_and_names_who_does_not_back_up() {
        let step = |state: &str| serde_json::json!({ "state": state, "reason": "belum ada tanda terima DRC" });
        let row = |code: &str, never: bool, drc: &str| {
            serde_json::json!({
                "pd": "11".repeat(16), "pd_code": code, "pd_name": "x", "server_name": "srv-yang-namanya-panjang-sekali",
                "heartbeat": "up", "dataset": "22".repeat(16), "dataset_name": "rekam medis elektronik rawat jalan",
                "belum_mencadangkan": never, "backed_up": step("met"), "at_drc": step(drc), "verified": step("met"),
                "proven": step("met"), "stored_bytes": 123_456_789,
            })
        };
        let total = serde_json::json!({ "datasets": 1, "stored_bytes": 5 });
        let table: ComplianceTable = serde_json::from_value(serde_json::json!({
            "at": 1_795_000_000, "rows": [row("DINKES", false, "late"), row("BAPENDA", true, "missing"), row("OK", false, "met")],
            "all": total, "backed_up": total, "at_drc": total, "verified": total, "proven": total,
            "overdue": [{ "pd": "11".repeat(16), "pd_code": "DINKES", "overdue": 2, "due_soon": 1 }],
        }))
        .expect("a table");
        let terminal = |lang| Terminal {
            json: false,
            quiet: false,
            lang,
            zone: Some(chrono_tz::Asia::Jakarta),
        };
        let text = compliance_text(&table, &terminal(Lang::Id));
        let drawn = text.split("\n\n").next().unwrap_or_default();
        assert!(drawn.lines().all(|line| line.chars().count() <= crate::table::WIDTH), "{drawn}");
        assert!(
            drawn.contains("terlambat")
                && drawn.contains("belum mencadangkan")
                && text.contains("WIB"),
            "{text}"
        );
        assert!(
            text.contains("DINKES / srv-yang")
                && text.contains("Di DRC: belum ada tanda terima DRC"),
            "{text}"
        );
        assert!(text.contains("DINKES: 2 terlambat, 1 segera"), "{text}");
        assert!(!text.contains("OK / srv"), "what is in order needs no attention: {text}");
        let text = compliance_text(&table, &terminal(Lang::En));
        assert!(
            text.contains("not backing up") && text.contains("late") && text.contains("At DRC"),
            "{text}"
        );
    }
}
