//! What is owed by date, as text.

use lumbung_wire::messages::deposits::{
    Calendar, CalendarEntry, DeadlineCounts, Deposit, DepositForce, DepositState,
};

use crate::table::{Table, pairs};
use crate::terminal::{Lang, Terminal, plain};

/// The word for how far something has come.
const fn state_word(state: DepositState, lang: Lang) -> &'static str {
    match state {
        DepositState::Open => lang.pick("terbuka", "open"),
        DepositState::Due => lang.pick("segera", "due soon"),
        DepositState::Overdue => lang.pick("terlambat", "overdue"),
        DepositState::Delivered => lang.pick("diserahkan", "delivered"),
        DepositState::Accepted => lang.pick("diterima", "accepted"),
        DepositState::Returned => lang.pick("dikembalikan", "returned"),
        DepositState::Cancelled => lang.pick("dibatalkan", "cancelled"),
    }
}

const fn force_word(force: DepositForce, lang: Lang) -> &'static str {
    match force {
        DepositForce::Must => lang.pick("wajib", "must"),
        DepositForce::Shall => lang.pick("harus", "shall"),
        DepositForce::May => lang.pick("dapat", "may"),
        DepositForce::Proposal => lang.pick("usulan", "proposal"),
    }
}

/// Who owes it, as people know them.
fn owner(code: &str, terminal: &Terminal) -> String {
    if code.is_empty() { terminal.pick("kota", "city").to_owned() } else { plain(code) }
}

/// Period, subject and title in one line.
fn what(period: Option<&str>, subject: &str, titles: (&str, &str), terminal: &Terminal) -> String {
    let period = period.map_or_else(String::new, |period| format!("{period} "));
    let subject = if subject.is_empty() { String::new() } else { format!("{subject}: ") };
    plain(&format!("{period}{subject}{}", terminal.pick(titles.0, titles.1)))
}

/// A list.
pub(super) fn table(all: &[Deposit], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Tenggat", "Due"))
        .rigid(terminal.pick("Keadaan", "State"))
        .text("PD")
        .text(terminal.pick("Yang harus diserahkan", "What is owed"))
        .rigid("Id");
    for one in all {
        let titles = (one.title_id.as_str(), one.title_en.as_str());
        table.row([
            one.due_on.to_string(),
            state_word(one.state, terminal.lang).to_owned(),
            owner(&one.pd_code, terminal),
            what(one.period.as_deref(), &one.subject, titles, terminal),
            one.id.to_string(),
        ]);
    }
    table.render()
}

/// One in one line.
pub(super) fn line(one: &Deposit, terminal: &Terminal) -> String {
    let titles = (one.title_id.as_str(), one.title_en.as_str());
    let what = what(one.period.as_deref(), &one.subject, titles, terminal);
    let (state, owner) = (state_word(one.state, terminal.lang), owner(&one.pd_code, terminal));
    format!("{} {state} · {owner}: {what}", one.due_on)
}

/// One with all there is to it.
pub(super) fn one(one: &Deposit, terminal: &Terminal) -> String {
    let proposed = terminal.pick("usulan", "a proposal");
    let or_proposed = |text: &str| if text.is_empty() { proposed.to_owned() } else { plain(text) };
    let force = force_word(one.force, terminal.lang);
    let article = match one.article.as_str() {
        "" => force.to_owned(),
        article => format!("{} ({force})", plain(article)),
    };
    let titles = (one.title_id.as_str(), one.title_en.as_str());
    let mut lines = vec![
        ("Id", one.id.to_string()),
        (
            terminal.pick("Yang harus diserahkan", "What is owed"),
            what(one.period.as_deref(), &one.subject, titles, terminal),
        ),
        (terminal.pick("Oleh", "By"), owner(&one.pd_code, terminal)),
        (terminal.pick("Dasar", "Article"), article),
        (
            terminal.pick("Tenggat", "Due"),
            format!("{} ({})", one.due_on, or_proposed(&one.date_by)),
        ),
        (terminal.pick("Keadaan", "State"), state_word(one.state, terminal.lang).to_owned()),
    ];
    if let Some(delivery) = &one.delivery {
        let who = format!("{}, {}", plain(&delivery.by), terminal.time(delivery.at));
        let document = format!("{} ({} B)", plain(&delivery.document), delivery.bytes);
        lines.push((terminal.pick("Diserahkan", "Delivered"), who));
        lines.push((terminal.pick("Dokumen", "Document"), document));
        lines.push(("SHA-256", delivery.sha256.to_string()));
        for (name, text) in [
            (terminal.pick("Nomor surat", "Letter"), &delivery.letter),
            (terminal.pick("Catatan", "Note"), &delivery.note),
        ] {
            if !text.is_empty() {
                lines.push((name, plain(text)));
            }
        }
    }
    if let Some(decision) = &one.decision {
        let who = format!("{}, {}", plain(&decision.by), terminal.time(decision.at));
        lines.push((terminal.pick("Keputusan", "Decision"), who));
        if !decision.reason.is_empty() {
            lines.push((terminal.pick("Alasan", "Reason"), plain(&decision.reason)));
        }
    }
    pairs(&lines)
}

/// The calendar.
pub(super) fn calendar(calendar: &Calendar, terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Tenggat", "Due"))
        .rigid(terminal.pick("Keadaan", "State"))
        .text("PD")
        .text(terminal.pick("Yang harus diserahkan", "What is owed"));
    let state = |entry: &CalendarEntry| match entry.state {
        Some(state) => state_word(state, terminal.lang),
        None => terminal.pick("belum mulai", "not begun"),
    };
    for day in &calendar.days {
        for entry in &day.entries {
            let titles = (entry.title_id.as_str(), entry.title_en.as_str());
            table.row([
                day.day.to_string(),
                state(entry).to_owned(),
                owner(&entry.pd_code, terminal),
                what(entry.period.as_deref(), &entry.subject, titles, terminal),
            ]);
        }
    }
    let span = format!("{} – {}, {}", calendar.from, calendar.until, plain(&calendar.time_zone));
    if table.is_empty() {
        let nothing = terminal.pick("tidak ada yang jatuh tempo", "nothing falls due");
        return format!("{nothing}: {span}\n");
    }
    format!("{}\n{span}\n", table.render())
}

/// Who is late, one line each.
pub(super) fn overdue(counts: &[DeadlineCounts], terminal: &Terminal) -> String {
    let line = |one: &DeadlineCounts| {
        let owner = owner(&one.pd_code, terminal);
        format!("  {owner}: {}\n", counted(one.overdue, one.due_soon, terminal))
    };
    counts.iter().map(line).collect()
}

/// How much is late, and how much is due soon.
pub(super) fn counted(overdue: u64, due_soon: u64, terminal: &Terminal) -> String {
    let (late, soon) = (DepositState::Overdue, DepositState::Due);
    let word = |state| state_word(state, terminal.lang);
    format!("{overdue} {}, {due_soon} {}", word(late), word(soon))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const fn terminal(lang: Lang) -> Terminal {
        Terminal { json: false, quiet: false, lang, zone: Some(chrono_tz::Asia::Jakarta) }
    }

    fn deposit(state: &str) -> Deposit {
        let value = json!({
            "id": "11".repeat(16), "title_id": "Dokumentasi teknis aplikasi, termasuk Kode Sumber, diserahkan",
            "title_en": "The technical documents of the application are handed in", "article": "Pasal 31 ayat (5)",
            "force": "must", "pd_code": "DINKES-DENGAN-KODE-YANG-PANJANG", "subject": "SIMRS \u{1b}[2J",
            "period": "2026-07/2026-09", "due": 1_806_512_399, "due_on": "2027-03-31", "created": 1_800_000_000,
            "state": state,
            "delivery": {
                "at": 1_800_000_000, "by": "siti", "document": "kode.zip", "sha256": "22".repeat(32), "bytes": 5,
            },
            "decision": { "at": 1_800_000_000, "by": "budi", "reason": "tidak lengkap" },
        });
        serde_json::from_value(value).expect("a deposit")
    }

    #[test]
    fn a_list_fits_in_either_language_and_keeps_its_ids() {
        let all: Vec<_> = DepositState::ALL.iter().map(|state| deposit(state.as_str())).collect();
        for (lang, word) in [(Lang::Id, "dikembalikan"), (Lang::En, "due soon")] {
            let text = table(&all, &terminal(lang));
            assert!(text.lines().all(|line| line.chars().count() <= crate::table::WIDTH), "{text}");
            assert_eq!(text.matches(&"11".repeat(16)).count(), all.len());
            assert!(text.contains(word) && !text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn one_says_what_was_handed_in_and_what_is_a_proposal() {
        let text = one(&deposit("returned"), &terminal(Lang::Id));
        for part in
            ["Pasal 31 ayat (5) (wajib)", "2027-03-31 (usulan)", "kode.zip", "tidak lengkap", "WIB"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains(&"22".repeat(32)));
        let line = line(&deposit("overdue"), &terminal(Lang::En));
        let expected =
            "2027-03-31 overdue · DINKES-DENGAN-KODE-YANG-PANJANG: 2026-07/2026-09 SIMRS ";
        assert!(line.starts_with(expected) && !line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn the_calendar_fits_and_tells_what_has_not_begun() {
        let entry = |state: Option<&str>| {
            let mut entry = json!({
                "kind": if state.is_some() { "deposit" } else { "planned" },
                "title_id": "Uji coba rencana pemulihan bencana yang panjang sekali judulnya sehingga dipotong",
                "title_en": "A drill",
            });
            if let Some(state) = state {
                entry["state"] = json!(state);
            }
            entry
        };
        let days =
            json!([{ "day": "2027-12-31", "entries": [entry(Some("overdue")), entry(None)] }]);
        let value = json!({ "from": "2027-01-01", "until": "2027-12-31", "time_zone": "Asia/Jakarta", "days": days });
        let mut made: Calendar = serde_json::from_value(value).expect("a calendar");
        let text = calendar(&made, &terminal(Lang::Id));
        assert!(text.lines().all(|line| line.chars().count() <= crate::table::WIDTH), "{text}");
        assert!(
            text.contains("belum mulai") && text.contains("terlambat") && text.contains("kota"),
            "{text}"
        );
        made.days.clear();
        assert!(calendar(&made, &terminal(Lang::En)).starts_with("nothing falls due: 2027-01-01"));
    }
}
