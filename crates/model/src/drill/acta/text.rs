//! The *berita acara* as plain text, in Indonesian and in English.
//!
//! Invariants: every chapter stands there, and says so when it has nothing to tell; no line is longer than a page is wide
//! unless one word is; nothing that came from elsewhere begins a line of its own.

mod outcome;

use super::super::run::DrillMode;
use super::super::verdict::lasted;
use super::super::word::Language;
use super::words::Times;
use super::{Acta, ActaDataset, ActaStep};
use crate::DocumentHash;
use crate::schedule::{Tz, parse_zone};

/// Characters on a line.
const WIDTH: usize = 100;

/// A page that is being written.
struct Page<'a> {
    acta: &'a Acta,
    language: Language,
    times: Times,
    chapter: u32,
    text: String,
}

impl Acta {
    /// As plain text. `sha256` is of its data, as the annex says.
    #[must_use]
    pub fn text(&self, language: Language, sha256: &DocumentHash) -> String {
        let zone = parse_zone(&self.time_zone).unwrap_or(Tz::UTC);
        let times = Times::new(zone, language);
        let mut page = Page { acta: self, language, times, chapter: 0, text: String::new() };
        page.head();
        page.plan();
        page.parts();
        page.people();
        page.recovery_points();
        page.steps();
        page.figures();
        page.integrity();
        page.failback();
        page.verdict();
        page.corrections();
        page.signatures();
        page.annex(sha256);
        page.text
    }
}

impl Page<'_> {
    fn of<'t>(&self, indonesian: &'t str, english: &'t str) -> &'t str {
        self.language.of(indonesian, english)
    }

    /// What stands behind the name of somebody whom the runner alone vouches for: it writes the journal, and could
    /// write any name into it. At a tabletop people write it.
    fn as_the_runner_says(&self) -> &'static str {
        match self.acta.mode {
            DrillMode::Tabletop => "",
            DrillMode::Drill | DrillMode::Real => {
                self.language.of(" (menurut pelaksana)", " (as the runner says)")
            }
        }
    }

    /// A paragraph: `first` in front of its first line, as many spaces in front of the others.
    fn paragraph(&mut self, first: &str, text: &str) {
        let indent = " ".repeat(first.chars().count());
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in text.split_whitespace() {
            let longer = line.chars().count() + 1 + word.chars().count() > WIDTH;
            if longer && !is_empty {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                line.clone_from(&indent);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn chapter(&mut self, indonesian: &str, english: &str) {
        self.chapter += 1;
        let title = format!("{}. {}", self.chapter, self.of(indonesian, english));
        self.blank();
        self.paragraph("", &title);
    }

    fn row(&mut self, name: &str, value: &str) {
        let value = if value.is_empty() { "-" } else { value };
        self.paragraph(&format!("   {name:<20} : "), value);
    }

    fn item(&mut self, text: &str) {
        self.paragraph("   - ", text);
    }

    fn nothing(&mut self, indonesian: &str, english: &str) {
        let text = self.of(indonesian, english).to_owned();
        self.paragraph("   ", &text);
    }

    fn what(&self) -> String {
        let kind = self.acta.plan.kind.name(self.language);
        match (self.acta.mode, self.language) {
            (DrillMode::Drill, Language::Indonesian) => format!("uji coba {kind}"),
            (DrillMode::Drill, Language::English) => format!("{kind} drill"),
            (DrillMode::Real, Language::Indonesian) => format!("{kind} pada kejadian nyata"),
            (DrillMode::Real, Language::English) => format!("{kind} in earnest"),
            (DrillMode::Tabletop, Language::Indonesian) => "simulasi meja".to_owned(),
            (DrillMode::Tabletop, Language::English) => "tabletop exercise".to_owned(),
        }
    }

    fn head(&mut self) {
        let (acta, times) = (self.acta, self.times);
        if !acta.city.is_empty() {
            let city = format!("{} {}", self.of("Pemerintah", "Government of"), acta.city);
            self.paragraph("", &city.to_uppercase());
            self.paragraph("", &acta.dinas.to_uppercase());
            self.blank();
        }
        let what = self.what();
        let title = match self.language {
            Language::Indonesian => format!("Berita acara {what}"),
            Language::English => format!("Record (berita acara) of the {what}"),
        };
        self.paragraph("", &title.to_uppercase());
        let number = match acta.number.as_str() {
            "" => self.of("(belum diberi nomor)", "(not numbered yet)"),
            number => number,
        };
        let number = format!("{}: {number}", self.of("Nomor", "Number"));
        self.paragraph("", &number);
        self.blank();
        let Some(started) = acta.started else {
            return self.nothing("Belum dimulai.", "It has not begun.");
        };
        let day = times.day(started);
        let place = match acta.place.as_str() {
            "" => self.of("(tempat tidak dicatat)", "(place not recorded)"),
            place => place,
        };
        let (from, zone) = (times.clock(started), times.zone());
        let until = match (acta.ended, self.language) {
            (Some(ended), _) => times.moment(ended),
            (None, Language::Indonesian) => "(belum selesai)".to_owned(),
            (None, Language::English) => "(not over yet)".to_owned(),
        };
        let text = match self.language {
            Language::Indonesian => format!(
                "Pada hari ini {day}, mulai pukul {from} {zone} sampai dengan {until}, bertempat di {place}, telah \
                 dilaksanakan {what} dengan keterangan sebagai berikut. Semua waktu dalam {zone}."
            ),
            Language::English => format!(
                "On {day}, from {from} {zone} until {until}, at {place}, the {what} described below was held. All times \
                 are in {zone}."
            ),
        };
        self.paragraph("", &text);
    }

    fn plan(&mut self) {
        let acta = self.acta;
        self.chapter("RENCANA DAN SKENARIO", "PLAN AND SCENARIO");
        self.row(self.of("Rencana", "Plan"), &acta.plan.title);
        let revision =
            format!("{}, {} {}", acta.plan.id, self.of("revisi", "revision"), acta.plan.revision);
        self.row(self.of("Nomor rencana", "Plan id"), &revision);
        self.row(self.of("SHA-256 rencana", "SHA-256 of the plan"), &acta.plan.sha256.to_string());
        self.row(self.of("Pelaksanaan", "Run"), &acta.run.to_string());
        self.row(self.of("Cara", "Mode"), acta.mode.name(self.language));
        // In earnest and at a table nothing is cut off.
        if acta.mode == DrillMode::Drill && !acta.isolates.is_empty() {
            self.row(self.of("Lokasi diisolasi", "Site isolated"), &acta.isolates);
        }
        if !acta.runner.is_empty() {
            self.row(self.of("Server pelaksana", "Runner"), &acta.runner);
        }
        self.row(self.of("Skenario", "Scenario"), &acta.scenario);
    }

    fn parts(&mut self) {
        let acta = self.acta;
        self.chapter("DATASET DAN LAYANAN", "DATASETS AND SERVICES");
        for one in &acta.datasets {
            let approval = match one.approval.as_str() {
                "" => self
                    .of(
                        "nomor persetujuan pemilik tidak dicatat",
                        "no number of the owner's approval is recorded",
                    )
                    .to_owned(),
                number => format!("{} {number}", self.of("persetujuan nomor", "approval number")),
            };
            let text = format!(
                "{} {} ({}), {} {}; {approval}",
                self.of("dataset", "dataset"),
                one.name,
                one.key,
                self.of("pemilik", "owner"),
                or_dash(&one.pd)
            );
            self.item(&text);
        }
        for one in &acta.services {
            let text = format!(
                "{} {} ({}), {}; {} {}",
                self.of("layanan", "service"),
                one.name,
                one.key,
                or_dash(&one.pd),
                self.of("server siaga", "standby"),
                or_dash(&one.standby)
            );
            self.item(&text);
        }
        if acta.datasets.is_empty() && acta.services.is_empty() {
            self.nothing("Tidak ada yang didaftarkan.", "None is listed.");
        }
    }

    fn people(&mut self) {
        self.chapter("PESERTA", "PARTICIPANTS");
        for one in &self.acta.participants {
            self.item(&format!("{}, {} ({})", one.name, one.role, one.organisation));
        }
        if self.acta.participants.is_empty() {
            self.nothing("Tidak ada yang dicatat.", "None is recorded.");
        }
    }

    fn recovery_points(&mut self) {
        self.chapter("TITIK PEMULIHAN", "RECOVERY POINTS");
        let datasets: Vec<&ActaDataset> = self.acta.datasets.iter().collect();
        for one in &datasets {
            let Some(point) = &one.recovery_point else {
                let text = self.of("tidak dipulihkan", "not restored");
                self.item(&format!("{}: {text}", one.key));
                continue;
            };
            let age = one.age_s.map_or_else(
                || self.of("tidak diukur", "not measured").to_owned(),
                |age| lasted(age, self.language),
            );
            let mut text = format!(
                "{}: {} {}, {} {}, {} {age}; {} {}, {} {}",
                one.key,
                self.of("cadangan", "snapshot"),
                point.snapshot,
                self.of("data per", "data as of"),
                self.times.moment(point.taken),
                self.of("umur", "age"),
                point.entries,
                self.of("entri", "entries"),
                point.bytes,
                self.of("byte", "bytes"),
            );
            if let Some(hash) = &point.sha256 {
                text += &format!("; SHA-256 {hash}");
            }
            self.item(&text);
        }
        if datasets.is_empty() {
            self.nothing("Tidak ada dataset.", "There is no dataset.");
        }
    }

    fn steps(&mut self) {
        self.chapter("PELAKSANAAN LANGKAH", "STEPS");
        for (number, step) in (1..).zip(&self.acta.steps) {
            let text = self.step(step);
            self.paragraph(&format!("   {number:>3}. "), &text);
        }
    }

    fn step(&self, step: &ActaStep) -> String {
        let mut text =
            format!("[{}] {}: {}", step.progress.name(self.language), step.id, step.title);
        match (step.started, step.ended) {
            (Some(from), Some(until)) => {
                text += &format!("; {} - {}", self.times.moment(from), self.times.moment(until));
            }
            (Some(from), None) => {
                text += &format!("; {} {}", self.of("mulai", "begun"), self.times.moment(from));
            }
            _ => {}
        }
        if let Some(took) = step.lasted_s {
            let limit = lasted(step.limit_s.into(), self.language);
            text += &format!(
                " ({}, {} {limit})",
                lasted(took, self.language),
                self.of("batas", "limit")
            );
        }
        if step.attempts > 1 {
            text += &format!("; {} {}", step.attempts, self.of("kali dicoba", "attempts"));
        }
        if !step.by.is_empty() {
            let says = self.as_the_runner_says();
            text += &format!("; {} {}{says}", self.of("oleh", "by"), step.by);
        }
        if !step.note.is_empty() {
            text += &format!("; {}", step.note);
        }
        text
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
