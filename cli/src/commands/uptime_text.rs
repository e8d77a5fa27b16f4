//! Uptime, checks, incidents and maintenance windows as tables.

use lumbung_model::PdId;
use lumbung_wire::messages::register::{Check, Pd};
use lumbung_wire::messages::uptime::{
    CheckState, Incident, IncidentCause, Maintenance, MaintenanceScope, UpState, UptimeRow,
};

use crate::commands::uptime::Names;
use crate::moment::Rough;
use crate::table::{Table, pairs};
use crate::terminal::{Terminal, plain};

fn code(pds: &[Pd], pd: PdId) -> String {
    pds.iter().find(|row| row.id == pd).map_or_else(|| pd.to_string(), |row| plain(&row.code))
}

/// Ten-thousandths of a percent, as `99.9542 %`.
pub(super) fn share(ten_thousandths: u32) -> String {
    format!("{}.{:04} %", ten_thousandths / 10_000, ten_thousandths % 10_000)
}

fn time(seconds: u64) -> String {
    if seconds == 0 { "–".to_owned() } else { Rough(seconds).to_string() }
}

pub(super) fn uptime(rows: &[UptimeRow], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid("PD")
        .text(terminal.pick("Nama", "Name"))
        .number(terminal.pick("Tersedia", "Available"))
        .number("SLA")
        .rigid(terminal.pick("Tercapai", "Met"))
        .number(terminal.pick("Mati", "Down"))
        .number(terminal.pick("Terencana", "Planned"))
        .number(terminal.pick("Belum pasti", "Unconfirmed"))
        .number(terminal.pick("Tak terpantau", "Unobserved"));
    for row in rows {
        let met = row.met.map(|met| match met {
            true => terminal.pick("ya", "yes"),
            false => terminal.pick("TIDAK", "NO"),
        });
        let sla = row.sla_millipercent.map(|sla| share(sla.saturating_mul(10)));
        table.row([
            code(pds, row.pd),
            plain(&row.name),
            row.availability.map_or_else(|| "–".to_owned(), share),
            sla.unwrap_or_else(|| "–".to_owned()),
            met.unwrap_or("–").to_owned(),
            time(row.down_s),
            time(row.planned_s),
            time(row.unconfirmed_s),
            time(row.unobserved_s),
        ]);
    }
    let period = rows.first().map(|row| format!("{}\n", row.period)).unwrap_or_default();
    if rows.is_empty() {
        let text = terminal.pick(
            "Belum ada yang dipantau pada masa itu: `lumbung check add`.",
            "Nothing was looked at in that time: `lumbung check add`.",
        );
        return format!("{text}\n");
    }
    period + &table.render()
}

const fn state(state: UpState, terminal: &Terminal) -> &'static str {
    match state {
        UpState::Up => terminal.pick("hidup", "up"),
        UpState::Down => terminal.pick("MATI", "DOWN"),
        UpState::Planned => terminal.pick("pemeliharaan", "maintenance"),
        UpState::Unconfirmed => terminal.pick("belum pasti", "unconfirmed"),
        UpState::Unobserved => terminal.pick("tak terpantau", "unobserved"),
    }
}

pub(super) fn checks(
    checks: &[Check],
    states: &[CheckState],
    pds: &[Pd],
    terminal: &Terminal,
) -> String {
    let mut table = Table::new()
        .rigid("PD")
        .text(terminal.pick("Nama", "Name"))
        .text(terminal.pick("Sasaran", "Target"))
        .rigid(terminal.pick("Keadaan", "State"))
        .number("ms")
        .text(terminal.pick("Keterangan", "Detail"));
    for check in checks {
        let found = states.iter().find(|state| state.check == check.id);
        let word = match found {
            _ if !check.enabled => terminal.pick("dimatikan", "disabled"),
            Some(found) => state(found.state, terminal),
            None => terminal.pick("belum dipantau", "not yet seen"),
        };
        let places = found.map(|found| &found.places[..]).unwrap_or_default();
        let latency = places.iter().filter_map(|sight| sight.latency_ms).min();
        let detail = places.iter().find(|sight| !sight.detail.is_empty());
        table.row([
            code(pds, check.pd),
            plain(&check.name),
            plain(&check.target.to_string()),
            word.to_owned(),
            latency.map(|ms| ms.to_string()).unwrap_or_default(),
            detail.map(|sight| plain(&sight.detail)).unwrap_or_default(),
        ]);
    }
    table.render()
}

const fn cause(cause: IncidentCause, terminal: &Terminal) -> &'static str {
    match cause {
        IncidentCause::Unknown => terminal.pick("belum diketahui", "unknown"),
        IncidentCause::Power => terminal.pick("listrik", "power"),
        IncidentCause::Network => terminal.pick("jaringan", "network"),
        IncidentCause::Hardware => terminal.pick("perangkat keras", "hardware"),
        IncidentCause::Software => terminal.pick("perangkat lunak", "software"),
        IncidentCause::Security => terminal.pick("keamanan", "security"),
        IncidentCause::Provider => terminal.pick("penyedia", "provider"),
        IncidentCause::Human => terminal.pick("kesalahan manusia", "human"),
        IncidentCause::Other => terminal.pick("lain", "other"),
    }
}

/// How an incident came here, and how it ended.
fn about(row: &Incident, terminal: &Terminal) -> String {
    let mut words = Vec::new();
    if row.entered {
        words.push(terminal.pick("dicatat", "entered"));
    }
    if row.withdrawn {
        words.push(terminal.pick("ditarik", "withdrawn"));
    }
    if row.flaps > 0 {
        words.push(terminal.pick("naik turun", "flapping"));
    }
    words.join(", ")
}

pub(super) fn incidents(rows: &[Incident], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid("Id")
        .rigid("PD")
        .text(terminal.pick("Apa", "What"))
        .rigid(terminal.pick("Sejak", "Since"))
        .number(terminal.pick("Mati", "Down"))
        .text(terminal.pick("Sebab", "Cause"))
        .text("");
    for row in rows {
        let going_on = row.until.is_none();
        let lasted = time(row.down_s);
        table.row([
            row.id.to_string(),
            code(pds, row.pd),
            plain(&row.name),
            terminal.time(row.from),
            if going_on { terminal.pick("berlangsung", "going on").to_owned() } else { lasted },
            cause(row.cause, terminal).to_owned(),
            about(row, terminal),
        ]);
    }
    table.render()
}

pub(super) fn incident(row: &Incident, pds: &[Pd], terminal: &Terminal) -> String {
    let until = row.until.map_or_else(
        || terminal.pick("berlangsung", "going on").to_owned(),
        |until| terminal.time(until),
    );
    let mut text = pairs(&[
        ("Id", row.id.to_string()),
        ("PD", code(pds, row.pd)),
        (terminal.pick("Apa", "What"), format!("{} {}", row.kind, plain(&row.name))),
        (terminal.pick("Sejak", "Since"), terminal.time(row.from)),
        (terminal.pick("Sampai", "Until"), until),
        (terminal.pick("Mati", "Down"), time(row.down_s)),
        (terminal.pick("Sebab", "Cause"), cause(row.cause, terminal).to_owned()),
        (terminal.pick("Sifat", "Kind"), about(row, terminal)),
    ]);
    for note in &row.notes {
        text +=
            &format!("\n{} · {}\n{}\n", terminal.time(note.at), plain(&note.by), plain(&note.note));
    }
    text
}

pub(super) fn windows(rows: &[Maintenance], names: &Names, terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid("Id")
        .text(terminal.pick("Untuk", "For"))
        .rigid(terminal.pick("Dari", "From"))
        .rigid(terminal.pick("Sampai", "Until"))
        .text(terminal.pick("Berulang", "Recurring"))
        .text(terminal.pick("Alasan", "Reason"));
    for row in rows {
        let what = match row.scope {
            MaintenanceScope::City => terminal.pick("seluruh kota", "the city").to_owned(),
            scope => format!("{scope} {}", plain(names.of(&row.subject))),
        };
        let recurring = if row.schedule.is_empty() {
            "–".to_owned()
        } else {
            format!("{} ({})", plain(&row.schedule), Rough(row.duration_s.into()))
        };
        let until = match row.cancelled {
            Some(_) => terminal.pick("dibatalkan", "called off").to_owned(),
            None => terminal.time(row.until),
        };
        let cells = [what, terminal.time(row.from), until, recurring, plain(&row.reason)];
        table.row([row.id.to_string()].into_iter().chain(cells));
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_four_decimals() {
        for (share_, shown) in [
            (1_000_000, "100.0000 %"),
            (999_954, "99.9954 %"),
            (990_001, "99.0001 %"),
            (5, "0.0005 %"),
        ] {
            assert_eq!(share(share_), shown);
        }
    }
}
