//! Reminders (*teguran*): the numbered draft of a letter to a PD about what it does not meet, and what followed.
//!
//! Invariants: a draft names what an article asks for and is neither met nor waived, and nothing else; proposals are no
//! ground for a letter; its text stays as it was drafted, whatever changes later; its state only goes on.

use chrono::Datelike as _;
use lumbung_model::{ReminderId, Timestamp};
use lumbung_wire::messages::compliance::{
    FollowUpInput, Reminder, ReminderItem, ReminderState, VerdictEntry, VerdictState,
};
use lumbung_wire::messages::register::Pd;
use rusqlite::Connection;

use crate::act::Act;
use crate::db::{DbError, follow_up as rows, retired};
use crate::profile::{Force, Profile};
use crate::report::Language;
use crate::verdicts::{self, Wanted};

/// Subjects of one rule that a letter names; it counts the others.
const NAMED: usize = 20;

/// Why nothing is drafted or written down.
#[derive(Debug, thiserror::Error)]
pub enum ReminderError {
    /// Everything is met.
    #[error(
        "{0} meets everything that an article asks for, or it is waived: there is nothing to remind it of"
    )]
    Nothing(String),
    /// The PD is no more.
    #[error("{0} is retired: there is nobody to remind, unless it is brought back")]
    Retired(String),
    /// No such reminder.
    #[error("there is no such reminder: `GET /api/v1/reminders` lists them")]
    Unknown,
    /// No text.
    #[error("note: write what was done, up to 2000 characters")]
    Text,
    /// It cannot go back.
    #[error(
        "state: a reminder that is {from} cannot become {to}; it goes draft, sent, answered, closed"
    )]
    Back {
        /// How far it has come.
        from: ReminderState,
        /// What was asked for.
        to: ReminderState,
    },
    /// The letter's number is missing, or is none.
    #[error(
        "letter: with state \"sent\", and only then, give the number of the letter, up to 255 characters"
    )]
    Letter,
    /// The database failed.
    #[error("reminders could not be read or written")]
    Db(#[from] DbError),
}

impl ReminderError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Text => Some("note"),
            Self::Back { .. } => Some("state"),
            Self::Letter => Some("letter"),
            Self::Nothing(_) | Self::Retired(_) | Self::Unknown | Self::Db(_) => None,
        }
    }
}

/// Drafts a reminder to a PD.
///
/// # Errors
/// If there is nothing to remind it of.
pub fn draft(
    db: &Connection,
    act: &Act,
    profile: &Profile,
    pd: &Pd,
) -> Result<Reminder, ReminderError> {
    if retired::of(db, pd.id.as_bytes())?.is_some() {
        return Err(ReminderError::Retired(pd.code.clone()));
    }
    let wanted = Wanted { pd: Some(pd.id), state: Some(VerdictState::Unmet), ..Wanted::default() };
    let mut unmet = verdicts::list(db, profile, &wanted, (act.now, Language::Indonesian))?;
    let binds = [Force::Must.as_str(), Force::Shall.as_str()];
    unmet.retain(|entry| binds.contains(&entry.force.as_str()));
    if unmet.is_empty() {
        return Err(ReminderError::Nothing(pd.code.clone()));
    }
    let year = local(profile, act.now).year();
    let number = rows::next_number(db, year)?;
    let reminder = Reminder {
        id: ReminderId::random(),
        number,
        year,
        pd: pd.id,
        pd_code: pd.code.clone(),
        made: act.now,
        by: act.actor.name.clone(),
        state: ReminderState::Draft,
        letter: String::new(),
        body: letter(profile, pd, (number, year, act.now), &unmet),
        items: unmet.iter().map(item).collect(),
        follow_ups: Vec::new(),
    };
    rows::put_reminder(db, act, &reminder)?;
    Ok(reminder)
}

fn item(entry: &VerdictEntry) -> ReminderItem {
    ReminderItem {
        rule: entry.rule.clone(),
        article: entry.article.clone(),
        name: entry.name.clone(),
        reason: entry.reason.clone(),
        since: entry.since,
    }
}

fn local(profile: &Profile, at: Timestamp) -> chrono::DateTime<chrono_tz::Tz> {
    at.to_utc().with_timezone(&profile.zone())
}

/// The letter's text: who, to whom, by which article, what. The signature is the head of the Dinas's.
fn letter(
    profile: &Profile,
    pd: &Pd,
    (number, year, at): (u32, i32, Timestamp),
    unmet: &[VerdictEntry],
) -> String {
    let words = &profile.vocabulary;
    let date = local(profile, at);
    let mut text = format!(
        "DRAF TEGURAN\nNomor draf : {number:03}/{year}\nTanggal    : {}\nDari       : {}\nKepada     : Kepala {}\n\
         Hal        : Kewajiban pencadangan dan tata kelola data\n\n\
         Berdasarkan {}, per {} {} hal-hal berikut belum dipenuhi {}:\n",
        day(&date),
        words.dinas,
        pd.name,
        profile.city.regulation_title,
        day(&date),
        date.format("%H.%M %Z"),
        pd.name,
    );
    let mut rest = unmet;
    let mut index = 0;
    while let Some(first) = rest.first() {
        let length = rest.iter().take_while(|entry| entry.rule == first.rule).count();
        let (group, others) = rest.split_at(length);
        index += 1;
        text += &format!("\n{index}. {} ({})\n", first.asks, first.article);
        for entry in group.iter().take(NAMED) {
            let since = day(&local(profile, entry.since));
            text += &format!("   - {}: {} (sejak {since})\n", entry.name, entry.reason);
        }
        if length > NAMED {
            text += &format!("   - dan {} lainnya\n", length - NAMED);
        }
        rest = others;
    }
    text += &format!(
        "\nMohon ditindaklanjuti dan dilaporkan kepada {} paling lambat 14 hari kalender sejak surat ini diterima \
         (jangka waktu: usulan).\n",
        words.dinas_short
    );
    text
}

/// A date as letters write it.
fn day(at: &chrono::DateTime<chrono_tz::Tz>) -> String {
    const MONTHS: [&str; 12] = [
        "Januari",
        "Februari",
        "Maret",
        "April",
        "Mei",
        "Juni",
        "Juli",
        "Agustus",
        "September",
        "Oktober",
        "November",
        "Desember",
    ];
    format!("{} {} {}", at.day(), MONTHS[at.month0() as usize], at.year())
}

/// Writes down what was done about a reminder.
///
/// # Errors
/// If it is not there, or goes back.
pub fn follow(
    db: &Connection,
    act: &Act,
    id: &ReminderId,
    input: &FollowUpInput,
) -> Result<Reminder, ReminderError> {
    let reminder = rows::reminder(db, id)?.ok_or(ReminderError::Unknown)?;
    let text = input.note.trim();
    let unprintable = |c: char| c.is_control() && c != '\n';
    if text.is_empty() || text.chars().count() > 2000 || text.chars().any(unprintable) {
        return Err(ReminderError::Text);
    }
    let to = input.state.unwrap_or(reminder.state);
    if to < reminder.state {
        return Err(ReminderError::Back { from: reminder.state, to });
    }
    let sends = reminder.state == ReminderState::Draft && to == ReminderState::Sent;
    let letter = match (&input.letter, sends) {
        (Some(letter), true) if is_line(letter) => letter.trim(),
        (None, false) => &reminder.letter,
        _ => return Err(ReminderError::Letter),
    };
    rows::follow(db, act, &reminder, (text, to, letter))?;
    rows::reminder(db, id)?.ok_or(ReminderError::Unknown)
}

fn is_line(text: &str) -> bool {
    let length = text.trim().chars().count();
    (1..=255).contains(&length) && !text.chars().any(char::is_control)
}
