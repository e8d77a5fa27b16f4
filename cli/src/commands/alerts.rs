//! `lumbung alert`, `on-call`: what people were told, who looks after it, who is on call.

use clap::{Args, Subcommand};
use lumbung_model::{AlertId, OnCallId, Timestamp};
use lumbung_wire::messages::alerts::{
    AcknowledgeInput, Alert, AlertDetail, AlertState, AlertTest, AlertTestInput, ChannelKind,
    Delivery, DeliveryState, OnCall, OnCallInput, Severity,
};
use lumbung_wire::messages::register::Pd;

use crate::commands::register_text::pd_code;
use crate::commands::status::query;
use crate::controller::ControllerArgs;
use crate::failure::{Exit, Outcome};
use crate::moment::Moment;
use crate::table::{Table, pairs};
use crate::terminal::{Lang, Terminal, plain};

/// Alerts: what people are told about what is wrong
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List the alerts that are not over
    List(ListArgs),
    /// Show one, with what it is about and who was told
    Show(OneArgs),
    /// Look after one: nobody is told again until it gets worse or is over
    Ack(AckArgs),
    /// Send somebody a test message
    Test(TestArgs),
}

/// Arguments of `alert list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Only these: open, acknowledged or over
    #[arg(long)]
    state: Option<AlertState>,
    /// Also those that are over
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `alert show`.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// Its id
    id: AlertId,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `alert ack`.
#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    /// Its id
    id: AlertId,
    /// What is done about it
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `alert test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Whom: the id of a contact person or of a turn on call, the name of a recipient, on-call or dinas
    recipient: String,
    /// By what: mail, telegram or webhook (default: every address of theirs)
    #[arg(long)]
    channel: Option<ChannelKind>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// The roster of who is on call
#[derive(Debug, Subcommand)]
pub(crate) enum OnCallCommand {
    /// List who is on call now and later
    List(TurnsArgs),
    /// Put somebody on call
    Add(TurnArgs),
    /// Take a turn back
    Remove(RemoveArgs),
}

/// Arguments of `on-call list`.
#[derive(Debug, Args)]
pub(crate) struct TurnsArgs {
    /// Also what is over or was taken back
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// A moment with its time of day: a day alone does not say when a turn begins.
fn with_time(text: &str) -> Result<Moment, String> {
    let wrong = || format!("{text:?} names no time: write it as in \"2026-06-30 08:00\"");
    let timed = text.contains(':').then(|| text.parse().ok()).flatten();
    timed.ok_or_else(wrong)
}

/// Arguments of `on-call add`.
#[derive(Debug, Args)]
pub(crate) struct TurnArgs {
    /// The person's name
    name: String,
    /// When it begins: "2026-06-30 08:00"
    #[arg(long, value_name = "TIME", value_parser = with_time)]
    from: Moment,
    /// When it ends, at most 92 days later
    #[arg(long, value_name = "TIME", value_parser = with_time)]
    until: Moment,
    /// Tier of the service desk: 2 is the Dinas, 3 whoever stands behind it
    #[arg(long, default_value_t = 2)]
    tier: u8,
    /// Telephone number
    #[arg(long, default_value = "")]
    phone: String,
    /// Electronic mail
    #[arg(long, default_value = "")]
    email: String,
    /// Number of a chat of Telegram
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    telegram: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `on-call remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Its id
    id: OnCallId,
    #[command(flatten)]
    controller: ControllerArgs,
}

const fn severity_word(severity: Severity, lang: Lang) -> &'static str {
    match severity {
        Severity::Critical => lang.pick("genting", "critical"),
        Severity::Warning => lang.pick("peringatan", "warning"),
        Severity::Notice => lang.pick("pemberitahuan", "notice"),
    }
}

const fn state_word(state: AlertState, lang: Lang) -> &'static str {
    match state {
        AlertState::Open => lang.pick("terbuka", "open"),
        AlertState::Acknowledged => lang.pick("ditangani", "looked after"),
        AlertState::Over => lang.pick("selesai", "over"),
    }
}

const fn delivery_word(state: DeliveryState, lang: Lang) -> &'static str {
    match state {
        DeliveryState::Waiting => lang.pick("menunggu", "waiting"),
        DeliveryState::Trying => lang.pick("dikirim", "under way"),
        DeliveryState::Unknown => lang.pick("tak terjawab", "unanswered"),
        DeliveryState::Sent => lang.pick("terkirim", "sent"),
        DeliveryState::Failed => lang.pick("gagal", "failed"),
        DeliveryState::Superseded => lang.pick("digantikan", "superseded"),
    }
}

fn whose(alert: &Alert, pds: &[Pd], terminal: &Terminal) -> String {
    match alert.pd {
        Some(pd) => pd_code(pds, &pd),
        None => terminal.pick("kota", "city").to_owned(),
    }
}

fn table(alerts: &[Alert], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Sejak", "Since"))
        .rigid(terminal.pick("Tingkat", "Severity"))
        .rigid(terminal.pick("Keadaan", "State"))
        .text("PD")
        .text(terminal.pick("Jenis", "Kind"))
        .rigid("Id");
    for alert in alerts {
        table.row([
            terminal.time(alert.opened),
            severity_word(alert.severity, terminal.lang).to_owned(),
            state_word(alert.state, terminal.lang).to_owned(),
            whose(alert, pds, terminal),
            plain(&alert.kind),
            alert.id.to_string(),
        ]);
    }
    table.render()
}

fn deliveries_table(deliveries: &[Delivery], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Dibuat", "Made"))
        .rigid(terminal.pick("Saluran", "Channel"))
        .rigid(terminal.pick("Keadaan", "State"))
        .number(terminal.pick("Kali", "Tries"))
        .text(terminal.pick("Kepada", "To"))
        .text(terminal.pick("Galat", "Error"));
    for one in deliveries {
        table.row([
            terminal.time(one.made),
            one.channel.to_string(),
            delivery_word(one.state, terminal.lang).to_owned(),
            one.attempts.to_string(),
            plain(&one.recipient),
            plain(&one.error),
        ]);
    }
    table.render()
}

fn detail(detail: &AlertDetail, pds: &[Pd], terminal: &Terminal) -> String {
    let alert = &detail.alert;
    let by = alert.acknowledged.as_ref().map_or_else(
        || "–".to_owned(),
        |one| plain(&format!("{} ({}) {}", one.by, terminal.time(one.at), one.note)),
    );
    let ended = alert.closed.or(alert.cleared);
    let mut text = pairs(&[
        ("Id", alert.id.to_string()),
        (terminal.pick("Jenis", "Kind"), plain(&alert.kind)),
        (
            terminal.pick("Tingkat", "Severity"),
            severity_word(alert.severity, terminal.lang).to_owned(),
        ),
        (terminal.pick("Keadaan", "State"), state_word(alert.state, terminal.lang).to_owned()),
        ("PD", whose(alert, pds, terminal)),
        (terminal.pick("Sejak", "Since"), terminal.time(alert.opened)),
        (
            terminal.pick("Berakhir", "Ended"),
            ended.map_or_else(|| "–".to_owned(), |at| terminal.time(at)),
        ),
        (terminal.pick("Ditangani", "Looked after"), by),
    ]);
    for subject in &detail.subjects {
        let over = terminal.pick("(selesai)", "(over)");
        let said = if subject.lasts { subject.detail.as_str() } else { over };
        text +=
            &format!("- {}: {} {}\n", plain(&subject.kind), plain(&subject.subject), plain(said));
    }
    if !detail.deliveries.is_empty() {
        text.push('\n');
        text += &deliveries_table(&detail.deliveries, terminal);
    }
    text
}

fn list(args: &ListArgs, terminal: &Terminal) -> Outcome<Exit> {
    let mut path = format!("/api/v1/alerts?all={}", args.all);
    if let Some(pd) = &args.pd {
        path += &format!("&pd={}", query(pd));
    }
    if let Some(state) = args.state {
        path += &format!("&state={state}");
    }
    let controller = args.controller.connect()?;
    let alerts: Vec<Alert> = controller.list(&path)?;
    let pds: Vec<Pd> = if terminal.json { Vec::new() } else { controller.list("/api/v1/pd")? };
    terminal.result(&alerts, || table(&alerts, &pds, terminal))?;
    Ok(Exit::Fine)
}

/// Runs `lumbung alert`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn alert(command: &AlertCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        AlertCommand::List(args) => return list(args, terminal),
        AlertCommand::Show(args) => {
            let controller = args.controller.connect()?;
            let found: AlertDetail = controller.get(&format!("/api/v1/alerts/{}", args.id))?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&found, || detail(&found, &pds, terminal))?;
        }
        AlertCommand::Ack(args) => {
            let controller = args.controller.connect()?;
            let input = AcknowledgeInput { note: args.note.clone() };
            let path = format!("/api/v1/alerts/{}/acknowledge", args.id);
            let alert: Alert = controller.post(&path, &input)?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&alert, || table(std::slice::from_ref(&alert), &pds, terminal))?;
        }
        AlertCommand::Test(args) => {
            let input = AlertTestInput { recipient: args.recipient.clone(), channel: args.channel };
            let made: AlertTest = args.controller.connect()?.post("/api/v1/alerts/test", &input)?;
            terminal.result(&made, || deliveries_table(&made.deliveries, terminal))?;
        }
    }
    Ok(Exit::Fine)
}

fn turns_table(turns: &[OnCall], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Dari", "From"))
        .rigid(terminal.pick("Sampai", "Until"))
        .number(terminal.pick("Tingkat", "Tier"))
        .text(terminal.pick("Nama", "Name"))
        .rigid("Id");
    for turn in turns {
        let removed = terminal.pick(" (dicabut)", " (taken back)");
        let removed = if turn.removed.is_some() { removed } else { "" };
        table.row([
            terminal.time(turn.from),
            terminal.time(turn.until),
            turn.tier.to_string(),
            plain(&turn.name) + removed,
            turn.id.to_string(),
        ]);
    }
    table.render()
}

/// Runs `lumbung on-call`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn on_call(command: &OnCallCommand, terminal: &Terminal) -> Outcome<Exit> {
    let turn: OnCall = match command {
        OnCallCommand::List(args) => {
            let path = format!("/api/v1/on-call?all={}", args.all);
            let turns: Vec<OnCall> = args.controller.connect()?.list(&path)?;
            terminal.result(&turns, || turns_table(&turns, terminal))?;
            return Ok(Exit::Fine);
        }
        OnCallCommand::Add(args) => {
            let at = |moment: Moment| -> Timestamp { moment.end_in(terminal) };
            let input = OnCallInput {
                tier: args.tier,
                name: args.name.clone(),
                from: at(args.from),
                until: at(args.until),
                phone: args.phone.clone(),
                email: args.email.clone(),
                telegram: args.telegram.clone(),
            };
            args.controller.connect()?.post("/api/v1/on-call", &input)?
        }
        OnCallCommand::Remove(args) => {
            let path = format!("/api/v1/on-call/{}/remove", args.id);
            args.controller.connect()?.post(&path, &serde_json::json!({}))?
        }
    };
    terminal.result(&turn, || turns_table(std::slice::from_ref(&turn), terminal))?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_begins_at_a_time_of_day() {
        assert!(with_time("2026-06-30 08:00").is_ok());
        for bad in ["2026-06-30", "08:00", "tomorrow"] {
            assert!(with_time(bad).unwrap_err().contains("08:00"), "{bad}");
        }
    }
}
