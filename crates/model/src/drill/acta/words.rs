//! Days, times and events in words, in both languages.

use chrono::{Datelike as _, Timelike as _};

use super::super::event::{DrillEvent, Happened};
use super::super::word::Language;
use crate::Timestamp;
use crate::schedule::Tz;

const DAYS: [(&str, &str); 7] = [
    ("Senin", "Monday"),
    ("Selasa", "Tuesday"),
    ("Rabu", "Wednesday"),
    ("Kamis", "Thursday"),
    ("Jumat", "Friday"),
    ("Sabtu", "Saturday"),
    ("Minggu", "Sunday"),
];
const MONTHS: [(&str, &str); 12] = [
    ("Januari", "January"),
    ("Februari", "February"),
    ("Maret", "March"),
    ("April", "April"),
    ("Mei", "May"),
    ("Juni", "June"),
    ("Juli", "July"),
    ("Agustus", "August"),
    ("September", "September"),
    ("Oktober", "October"),
    ("November", "November"),
    ("Desember", "December"),
];
const NUMBERS: [&str; 12] = [
    "nol", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan", "sembilan",
    "sepuluh", "sebelas",
];

/// A number below a million in Indonesian words, as days and years stand in a *berita acara*.
pub(super) fn spelled_out(number: u32) -> String {
    let rest = |words: String, rest: u32| {
        if rest == 0 { words } else { format!("{words} {}", spelled_out(rest)) }
    };
    match number {
        0..=11 => NUMBERS[number as usize].to_owned(),
        12..=19 => format!("{} belas", NUMBERS[(number - 10) as usize]),
        20..=99 => rest(format!("{} puluh", NUMBERS[(number / 10) as usize]), number % 10),
        100..=199 => rest("seratus".to_owned(), number % 100),
        200..=999 => rest(format!("{} ratus", NUMBERS[(number / 100) as usize]), number % 100),
        1000..=1999 => rest("seribu".to_owned(), number % 1000),
        _ => rest(format!("{} ribu", spelled_out(number / 1000)), number % 1000),
    }
}

/// Times in one zone and one language.
#[derive(Clone, Copy)]
pub(super) struct Times {
    zone: Tz,
    language: Language,
}

impl Times {
    pub(super) const fn new(zone: Tz, language: Language) -> Self {
        Self { zone, language }
    }

    /// What people call the zone.
    pub(super) fn zone(self) -> &'static str {
        match self.zone {
            Tz::Asia__Jakarta | Tz::Asia__Pontianak => "WIB",
            Tz::Asia__Makassar => "WITA",
            Tz::Asia__Jayapura => "WIT",
            other => other.name(),
        }
    }

    /// Day and time, to the second.
    pub(super) fn moment(self, at: Timestamp) -> String {
        at.to_utc().with_timezone(&self.zone).format("%d-%m-%Y %H:%M:%S").to_string()
    }

    /// The time of the day.
    pub(super) fn clock(self, at: Timestamp) -> String {
        let at = at.to_utc().with_timezone(&self.zone);
        match self.language {
            Language::Indonesian => format!("{:02}.{:02}", at.hour(), at.minute()),
            Language::English => format!("{:02}:{:02}", at.hour(), at.minute()),
        }
    }

    /// The day, as a *berita acara* begins.
    pub(super) fn day(self, at: Timestamp) -> String {
        let at = at.to_utc().with_timezone(&self.zone);
        let day = DAYS[at.weekday().num_days_from_monday() as usize];
        let month = MONTHS[at.month0() as usize];
        let year = u32::try_from(at.year()).unwrap_or(0);
        match self.language {
            Language::Indonesian => format!(
                "{} tanggal {} bulan {} tahun {} ({})",
                day.0,
                spelled_out(at.day()),
                month.0,
                spelled_out(year),
                at.format("%d-%m-%Y")
            ),
            Language::English => format!("{}, {} {} {year}", day.1, at.day(), month.1),
        }
    }

    /// What happened, on one line.
    pub(super) fn event(self, event: &DrillEvent) -> String {
        let (name, said) = self.happened(&event.what);
        let step = event.what.step().map_or_else(String::new, |step| format!(" {step}"));
        let said = said.replace('\n', " ");
        let said = if said.is_empty() { said } else { format!(": {said}") };
        format!("{name}{step}{said}")
    }

    fn happened(self, what: &Happened) -> (&'static str, String) {
        let of = |indonesian, english| self.language.of(indonesian, english);
        let by = |by: &str, note: &str| {
            if note.is_empty() { by.to_owned() } else { format!("{by}: {note}") }
        };
        match what {
            Happened::Started { mode, outage } => {
                let outage = outage.map_or_else(String::new, |at| {
                    format!(", {} {}", of("gangguan sejak", "outage since"), self.moment(at))
                });
                (of("dimulai", "started"), format!("{}{outage}", mode.name(self.language)))
            }
            Happened::StepStarted { .. } => (of("mulai", "begun"), String::new()),
            Happened::StepFinished { outcome, .. } => {
                (of("selesai", "finished"), outcome.note.clone())
            }
            Happened::StepFailed { reason, .. } => (of("gagal", "failed"), reason.clone()),
            Happened::StepConfirmed { by: who, note, .. } => {
                (of("dikonfirmasi", "confirmed"), by(who, note))
            }
            Happened::StepSkipped { by: who, note, .. } => {
                (of("dilewati", "left out"), by(who, note))
            }
            Happened::StepRetried { by, .. } => (of("diulang", "begun again"), by.clone()),
            Happened::Interrupted { reason } => {
                (of("pelaksana terputus", "runner cut short"), reason.clone())
            }
            Happened::Failback { why, by: who } => {
                let why = why.name(self.language);
                let said = if who.is_empty() { why.to_owned() } else { by(why, who) };
                (of("pengembalian dimulai", "putting back begun"), said)
            }
            Happened::UndoStarted { .. } => (of("mengembalikan", "putting back"), String::new()),
            Happened::UndoFinished { .. } => (of("dikembalikan", "put back"), String::new()),
            Happened::UndoFailed { reason, .. } => {
                (of("gagal dikembalikan", "could not be put back"), reason.clone())
            }
            Happened::UndoneByHand { by: who, note, .. } => {
                (of("dikembalikan secara manual", "put back by hand"), by(who, note))
            }
            Happened::Cleaned {} => (of("bersih", "cleaned up"), String::new()),
            Happened::Reconciled { both, missing, note } => {
                let said = format!(
                    "{both} {}, {missing} {}",
                    of("di kedua lokasi", "at both sites"),
                    of("di satu lokasi saja", "at one only")
                );
                (of("direkonsiliasi", "reconciled"), by(&said, note))
            }
            Happened::Finished {} => (of("selesai", "finished"), String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_out_as_people_read_them() {
        for (number, words) in [
            (1, "satu"),
            (11, "sebelas"),
            (17, "tujuh belas"),
            (20, "dua puluh"),
            (31, "tiga puluh satu"),
            (100, "seratus"),
            (1998, "seribu sembilan ratus sembilan puluh delapan"),
            (2026, "dua ribu dua puluh enam"),
            (2100, "dua ribu seratus"),
            (12_345, "dua belas ribu tiga ratus empat puluh lima"),
        ] {
            assert_eq!(spelled_out(number), words);
        }
    }
}
