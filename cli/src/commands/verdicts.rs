//! `lumbung rules`, `verdicts`, `trend`, `rpo`, `waiver`, `reminder`: what the city asks for, what is said of whom, and what
//! is done about it.

use clap::{Args, Subcommand};
use lumbung_model::{ByteSize, Timestamp};
use lumbung_wire::messages::compliance::{
    AchievedRpo, FollowUpInput, Reminder, ReminderInput, ReminderState, RpoHistory, RuleEntry,
    TrendDay, VerdictEntry, VerdictState, Waiver, WaiverInput,
};

use crate::commands::status::query;
use crate::controller::{Controller, ControllerArgs};
use crate::duration::Seconds;
use crate::failure::{Exit, Outcome};
use crate::moment::{Moment, Rough};
use crate::table::Table;
use crate::terminal::{Terminal, plain};

/// Show what the city's profile asks for, with its articles
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Show who does not meet which rule, and why
#[derive(Debug, Args)]
pub(crate) struct VerdictsArgs {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Only this rule (`lumbung rules` lists them)
    #[arg(long)]
    rule: Option<String>,
    /// met, waived or unmet
    #[arg(long, default_value_t = VerdictState::Unmet)]
    state: VerdictState,
    /// As of this day's end, or this moment: 2026-06-30, or "2026-06-30 08:00"
    #[arg(long, value_name = "DATE")]
    as_of: Option<Moment>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Show day by day how many datasets had come how far
#[derive(Debug, Args)]
pub(crate) struct TrendArgs {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// From this day on, as in 2026-06-01 (default: 90 days back)
    #[arg(long, value_name = "DAY")]
    from: Option<chrono::NaiveDate>,
    /// Until this day, as in 2026-06-30 (default: today)
    #[arg(long, value_name = "DAY")]
    until: Option<chrono::NaiveDate>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Show the RPO that a dataset achieved
#[derive(Debug, Args)]
pub(crate) struct RpoArgs {
    /// The dataset's id (`lumbung dataset list`)
    dataset: String,
    /// Days back
    #[arg(long, default_value_t = 30)]
    days: u32,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Waivers: that a rule is not met, and why that is accepted until then
#[derive(Debug, Subcommand)]
pub(crate) enum WaiverCommand {
    /// List the waivers
    List(OfPd),
    /// Enter a waiver
    Add(WaiverAdd),
    /// Take a waiver back
    Revoke(OneOf),
}

/// A list, of one PD if one is named.
#[derive(Debug, Args)]
pub(crate) struct OfPd {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// One, by its id.
#[derive(Debug, Args)]
pub(crate) struct OneOf {
    /// Its id
    id: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `waiver add`.
#[derive(Debug, Args)]
pub(crate) struct WaiverAdd {
    /// The rule (`lumbung rules` lists them)
    rule: String,
    /// The subject's id (`lumbung verdicts --json` shows it); of rules about the sites, none
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Why
    #[arg(long)]
    reason: String,
    /// Number of the letter that says so
    #[arg(long, default_value = "")]
    letter: String,
    /// Until this day's end, as in 2026-12-31; at most a year ahead
    #[arg(long, value_name = "DATE")]
    expires: Moment,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Numbered reminders (teguran) to PD, and what followed
#[derive(Debug, Subcommand)]
pub(crate) enum ReminderCommand {
    /// List the reminders
    List(OfPd),
    /// Show a reminder with the draft of its letter
    Show(OneOf),
    /// Draft a reminder about everything that a PD does not meet
    Draft(DraftArgs),
    /// Write down what was done about a reminder
    Follow(FollowArgs),
}

/// Arguments of `reminder draft`.
#[derive(Debug, Args)]
pub(crate) struct DraftArgs {
    /// To whom: code or id
    pd: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `reminder follow`.
#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// The reminder's id
    id: String,
    /// What was done
    #[arg(long)]
    note: String,
    /// sent, answered or closed (default: as before)
    #[arg(long)]
    state: Option<ReminderState>,
    /// Number of the letter, with --state sent
    #[arg(long)]
    letter: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

fn article(article: &str, terminal: &Terminal) -> String {
    if article.is_empty() { terminal.pick("usulan", "proposal").to_owned() } else { plain(article) }
}

/// The query of a path, from what is given.
fn asked(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let given: Vec<_> = pairs
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", query(value.as_deref()?))))
        .collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

/// Runs `lumbung rules`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn rules(args: &RulesArgs, terminal: &Terminal) -> Outcome<Exit> {
    let rules: Vec<RuleEntry> = args.controller.connect()?.list("/api/v1/rules")?;
    terminal.result(&rules, || {
        let mut lines = String::new();
        for rule in &rules {
            let asks = terminal.pick(&rule.asks_id, &rule.asks_en);
            lines.push_str(&format!(
                "{} ({}, {})\n  {}\n",
                rule.id,
                rule.force,
                article(&rule.article, terminal),
                plain(asks)
            ));
        }
        lines
    })?;
    Ok(Exit::Fine)
}

/// The verdicts of a PD or of all, in one state.
pub(crate) fn fetch(
    controller: &Controller,
    terminal: &Terminal,
    (pd, rule, state): (Option<&str>, Option<&str>, VerdictState),
    as_of: Option<Timestamp>,
) -> Outcome<Vec<VerdictEntry>> {
    controller.list(&asked(
        "/api/v1/verdicts",
        &[
            ("pd", pd.map(str::to_owned)),
            ("rule", rule.map(str::to_owned)),
            ("state", Some(state.to_string())),
            ("as_of", as_of.map(|at| at.0.to_string())),
            ("lang", Some(terminal.pick("id", "en").to_owned())),
        ],
    ))
}

/// Runs `lumbung verdicts`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn verdicts(args: &VerdictsArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let as_of = args.as_of.map(|moment| moment.end_in(terminal));
    let wanted = (args.pd.as_deref(), args.rule.as_deref(), args.state);
    let entries = fetch(&controller, terminal, wanted, as_of)?;
    terminal.result(&entries, || verdicts_text(&entries, terminal))?;
    Ok(Exit::Fine)
}

fn verdicts_text(entries: &[VerdictEntry], terminal: &Terminal) -> String {
    let mut lines = String::new();
    for group in entries.chunk_by(|one, other| one.rule == other.rule) {
        let first = &group[0];
        lines.push_str(&format!(
            "{} ({}): {}\n",
            first.rule,
            article(&first.article, terminal),
            group.len()
        ));
        let mut table = Table::new()
            .text("PD")
            .text(terminal.pick("Tentang", "About"))
            .text(terminal.pick("Alasan", "Reason"))
            .rigid(terminal.pick("Sejak", "Since"));
        for entry in group {
            let pd = if entry.pd_code.is_empty() { "–" } else { &entry.pd_code };
            table.row([
                plain(pd),
                plain(&entry.name),
                plain(&entry.reason),
                terminal.time(entry.since),
            ]);
        }
        lines.push_str(&table.render());
        lines.push('\n');
    }
    if entries.is_empty() {
        lines.push_str(terminal.pick("tidak ada\n", "none\n"));
    }
    lines
}

/// Runs `lumbung trend`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn trend(args: &TrendArgs, terminal: &Terminal) -> Outcome<Exit> {
    let path = asked(
        "/api/v1/trend",
        &[
            ("pd", args.pd.clone()),
            ("from", args.from.map(|day| day.to_string())),
            ("until", args.until.map(|day| day.to_string())),
        ],
    );
    let days: Vec<TrendDay> = args.controller.connect()?.list(&path)?;
    terminal.result(&days, || {
        let mut table = Table::new()
            .rigid(terminal.pick("Hari", "Day"))
            .number(terminal.pick("Dataset", "Datasets"));
        for name in terminal.pick(
            ["Tercadang", "Di DRC", "Terverifikasi", "Terbukti pulih"],
            ["Backed up", "At DRC", "Verified", "Proven"],
        ) {
            table = table.number(name);
        }
        table = table.number(terminal.pick("Tersimpan", "Stored"));
        for day in &days {
            let steps = [day.backed_up, day.at_drc, day.verified, day.proven];
            let mut cells = vec![plain(&day.day), day.all.datasets.to_string()];
            cells.extend(steps.map(|step| step.datasets.to_string()));
            cells.push(ByteSize::bytes(day.all.stored_bytes).to_string());
            table.row(cells);
        }
        table.render()
    })?;
    Ok(Exit::Fine)
}

/// Runs `lumbung rpo`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn rpo(args: &RpoArgs, terminal: &Terminal) -> Outcome<Exit> {
    let path = format!("/api/v1/datasets/{}/rpo?days={}", query(&args.dataset), args.days);
    let found: RpoHistory = args.controller.connect()?.get(&path)?;
    terminal.result(&found, || {
        let mut table = Table::new()
            .rigid(terminal.pick("Lokasi", "Site"))
            .number(terminal.pick("Cuplikan", "Snapshots"))
            .number(terminal.pick("RPO diminta", "RPO asked"))
            .number(terminal.pick("RPO tercapai", "RPO achieved"))
            .rigid(terminal.pick("Terburuk pada", "Worst at"))
            .number(terminal.pick("Dalam batas", "Within"));
        for row in &found.achieved {
            table.row(achieved(row, found.rpo_s, terminal));
        }
        table.render()
    })?;
    Ok(Exit::Fine)
}

fn achieved(row: &AchievedRpo, rpo_s: u64, terminal: &Terminal) -> [String; 6] {
    let dash = || "–".to_owned();
    [
        row.site_kind.clone(),
        row.snapshots.to_string(),
        Seconds(rpo_s).to_string(),
        row.worst_s.map_or_else(dash, |worst_s| Rough(worst_s).to_string()),
        row.worst_at.map_or_else(dash, |at| terminal.time(at)),
        format!("{:.1} %", f64::from(row.within_millipercent) / 1000.0),
    ]
}

/// Runs `lumbung waiver`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn waiver(command: &WaiverCommand, terminal: &Terminal) -> Outcome<Exit> {
    let one = |waiver: &Waiver| waivers_text(std::slice::from_ref(waiver), terminal);
    match command {
        WaiverCommand::List(args) => {
            let path = asked("/api/v1/waivers", &[("pd", args.pd.clone())]);
            let waivers: Vec<Waiver> = args.controller.connect()?.list(&path)?;
            terminal.result(&waivers, || waivers_text(&waivers, terminal))?;
        }
        WaiverCommand::Add(args) => {
            let input = WaiverInput {
                rule: args.rule.clone(),
                subject: args.subject.clone(),
                reason: args.reason.clone(),
                letter: args.letter.clone(),
                expires: args.expires.end_in(terminal),
            };
            let waiver: Waiver = args.controller.connect()?.post("/api/v1/waivers", &input)?;
            terminal.result(&waiver, || one(&waiver))?;
        }
        WaiverCommand::Revoke(args) => {
            let path = format!("/api/v1/waivers/{}/revoke", query(&args.id));
            let waiver: Waiver = args.controller.connect()?.post(&path, &serde_json::json!({}))?;
            terminal.result(&waiver, || one(&waiver))?;
        }
    }
    Ok(Exit::Fine)
}

fn waivers_text(waivers: &[Waiver], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Aturan", "Rule"))
        .text(terminal.pick("Alasan", "Reason"))
        .text(terminal.pick("Surat", "Letter"))
        .rigid(terminal.pick("Sampai", "Until"))
        .rigid("Id");
    for waiver in waivers {
        let until = match waiver.revoked {
            Some(_) => terminal.pick("dicabut", "revoked").to_owned(),
            None => terminal.time(waiver.expires),
        };
        table.row([
            plain(&waiver.rule),
            plain(&waiver.reason),
            plain(&waiver.letter),
            until,
            waiver.id.to_string(),
        ]);
    }
    table.render()
}

/// Runs `lumbung reminder`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn reminder(command: &ReminderCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        ReminderCommand::List(args) => {
            let path = asked("/api/v1/reminders", &[("pd", args.pd.clone())]);
            let reminders: Vec<Reminder> = args.controller.connect()?.list(&path)?;
            terminal.result(&reminders, || reminders_text(&reminders, terminal))?;
        }
        ReminderCommand::Show(args) => {
            let path = format!("/api/v1/reminders/{}", query(&args.id));
            let reminder: Reminder = args.controller.connect()?.get(&path)?;
            terminal.result(&reminder, || reminder_text(&reminder, terminal))?;
        }
        ReminderCommand::Draft(args) => {
            let input = ReminderInput { pd: args.pd.clone() };
            let reminder: Reminder =
                args.controller.connect()?.post("/api/v1/reminders", &input)?;
            terminal.result(&reminder, || reminder_text(&reminder, terminal))?;
        }
        ReminderCommand::Follow(args) => {
            let input = FollowUpInput {
                note: args.note.clone(),
                state: args.state,
                letter: args.letter.clone(),
            };
            let path = format!("/api/v1/reminders/{}/follow-up", query(&args.id));
            let reminder: Reminder = args.controller.connect()?.post(&path, &input)?;
            let one = std::slice::from_ref(&reminder);
            terminal.result(&reminder, || reminders_text(one, terminal))?;
        }
    }
    Ok(Exit::Fine)
}

const fn state_word(state: ReminderState, terminal: &Terminal) -> &'static str {
    match state {
        ReminderState::Draft => terminal.pick("draf", "draft"),
        ReminderState::Sent => terminal.pick("terkirim", "sent"),
        ReminderState::Answered => terminal.pick("dijawab", "answered"),
        ReminderState::Closed => terminal.pick("selesai", "closed"),
    }
}

fn reminders_text(reminders: &[Reminder], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Nomor", "Number"))
        .text("PD")
        .rigid(terminal.pick("Dibuat", "Drafted"))
        .rigid(terminal.pick("Keadaan", "State"))
        .number(terminal.pick("Hal", "Items"))
        .rigid("Id");
    for reminder in reminders {
        table.row([
            format!("{:03}/{}", reminder.number, reminder.year),
            plain(&reminder.pd_code),
            terminal.time(reminder.made),
            state_word(reminder.state, terminal).to_owned(),
            reminder.items.len().to_string(),
            reminder.id.to_string(),
        ]);
    }
    table.render()
}

fn reminder_text(reminder: &Reminder, terminal: &Terminal) -> String {
    // Line by line: a letter has lines, and nothing else that drives a terminal.
    let mut lines: String = reminder.body.lines().map(|line| plain(line) + "\n").collect();
    for follow_up in &reminder.follow_ups {
        lines.push_str(&format!(
            "\n{} {} ({}): {}\n",
            terminal.time(follow_up.at),
            plain(&follow_up.by),
            state_word(follow_up.state, terminal),
            plain(&follow_up.note)
        ));
    }
    lines.push_str(&format!("\nid: {}\n", reminder.id));
    lines
}
