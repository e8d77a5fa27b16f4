//! What is owed when, by whom; and that records follow, once.

mod days;
mod records;

use lumbung_model::schedule::Tz;
use lumbung_model::{Day, Timestamp};

use crate::profile::Duty;

const ZONE: Tz = Tz::Asia__Jakarta;

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// Noon of a day in Jakarta.
fn noon(text: &str) -> Timestamp {
    day(text).first_second(ZONE).plus_seconds(12 * 3600)
}

/// A duty; `lines` say whose it is and when it is due.
fn duty(id: &str, lines: &str) -> Duty {
    let text = format!(
        "id = '{id}'\nobligations = ['O1']\nforce = 'proposal'\nasks.id = 'Laporan'\nasks.en = 'A report'\n{lines}"
    );
    toml::from_str(&text).unwrap()
}
