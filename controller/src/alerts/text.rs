//! What messages say: what, since when, whose, what to do next. Pure.
//!
//! Invariants: nothing in a message can be clicked, and nothing that an agent or a vault said can look like more than a word
//! of theirs (no control characters, no change of writing direction, no addresses); a text fits every channel; the first
//! line says the worst.

use std::collections::BTreeSet;

use lumbung_model::schedule::Tz;
use lumbung_model::{AlertId, Timestamp};
use lumbung_wire::messages::alerts::{AlertSubject, Severity};

use super::plan::{Alert, Cause};
use super::wording;
use crate::db::alerts::Counts;
use crate::report::Language;

/// Longest text, characters: Telegram takes 4096 UTF-16 units.
pub const BODY_MAX_CHARS: usize = 3500;
/// Alerts that one message describes; the others are counted.
const STORIES_MAX: usize = 10;
/// Alarms that one alert names; the others are counted.
const SUBJECTS_MAX: usize = 5;
/// Longest detail of an alarm, characters.
const DETAIL_MAX_CHARS: usize = 300;

/// How messages are written.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The language.
    pub language: Language,
    /// The zone of times.
    pub zone: Tz,
}

/// One alert in a message.
#[derive(Debug)]
pub struct Story<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// Why it is told.
    pub cause: Cause,
    /// The PD's code.
    pub pd: Option<&'a str>,
    /// The site's name.
    pub site: Option<&'a str>,
    /// What it is about, those that last first.
    pub subjects: &'a [AlertSubject],
}

/// A text with its subject line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The subject line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// The alerts that it says something about; others are only counted.
    pub described: BTreeSet<AlertId>,
}

/// Words of others, made harmless: one line, one direction, no address that a reader's program would make a link of.
#[must_use]
pub fn harmless(text: &str, most: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let plain = |c: char| {
        if c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }
    };
    let line: String = text.chars().map(plain).collect();
    let line = line.replace("://", "[:]//").replace("www.", "www[.]");
    let mut cut: String = line.chars().take(most).collect();
    if line.chars().count() > most {
        cut.push('…');
    }
    cut
}

impl Style {
    fn pick<'a>(&self, indonesian: &'a str, english: &'a str) -> &'a str {
        self.language.choose(indonesian, english)
    }

    fn time(&self, at: Timestamp) -> String {
        at.to_utc().with_timezone(&self.zone).format("%Y-%m-%d %H:%M %Z").to_string()
    }

    fn severity(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Critical => self.language.choose("GENTING", "CRITICAL"),
            Severity::Warning => self.language.choose("PERINGATAN", "WARNING"),
            Severity::Notice => self.language.choose("PEMBERITAHUAN", "NOTICE"),
        }
    }

    fn cause(&self, cause: Cause) -> &'static str {
        match cause {
            Cause::First => "",
            Cause::More => self.language.choose(" (bertambah)", " (more)"),
            Cause::Again => {
                self.language.choose(" (belum ada yang menangani)", " (nobody looks after it)")
            }
            Cause::Over => self.language.choose(" (selesai)", " (over)"),
        }
    }

    fn whose(&self, story: &Story<'_>) -> String {
        match (story.pd, story.site) {
            (Some(pd), _) => harmless(pd, 40),
            (None, Some(site)) => harmless(site, 60),
            (None, None) => self.pick("kota", "the city").to_owned(),
        }
    }

    fn headline(&self, story: &Story<'_>) -> String {
        let title = harmless(wording::title(&story.alert.kind, self.language), 80);
        let severity = self.severity(story.alert.severity);
        let (whose, cause) = (self.whose(story), self.cause(story.cause));
        format!("{severity}: {whose}: {title}{cause}")
    }

    fn story(&self, story: &Story<'_>) -> String {
        let alert = story.alert;
        let mut text = self.headline(story) + "\n";
        text += &format!("{}: {}\n", self.pick("Sejak", "Since"), self.time(alert.opened));
        if let Some(cleared) = alert.cleared.filter(|_| story.cause == Cause::Over) {
            text += &format!("{}: {}\n", self.pick("Berakhir", "Ended"), self.time(cleared));
        }
        if story.cause != Cause::Over {
            let lasting: Vec<_> = story.subjects.iter().filter(|one| one.lasts).collect();
            for one in lasting.iter().take(SUBJECTS_MAX) {
                text += &format!("- {}\n", harmless(&one.detail, DETAIL_MAX_CHARS));
            }
            if lasting.len() > SUBJECTS_MAX {
                let others = lasting.len() - SUBJECTS_MAX;
                text += &format!(
                    "- {} {others} {}\n",
                    self.pick("dan", "and"),
                    self.pick("lagi", "more")
                );
            }
            let next = wording::next(&alert.kind, self.language);
            text += &format!("{}: {next}\n", self.pick("Langkah berikut", "What to do next"));
            let ack = self.pick("Tangani", "Look after it");
            text += &format!("{ack}: lumbung alert ack {}\n", alert.id);
        }
        text
    }

    /// One message about some alerts, the worst first.
    #[must_use]
    pub fn message(&self, stories: &mut [Story<'_>]) -> Text {
        stories
            .sort_by_key(|one| (one.cause == Cause::Over, std::cmp::Reverse(one.alert.severity)));
        let subject = match &*stories {
            [one] => self.headline(one),
            [first, ..] => {
                let others = stories.len() - 1;
                format!("{} (+{others})", self.headline(first))
            }
            [] => String::new(),
        };
        let (mut body, mut described) = (String::new(), BTreeSet::new());
        for (told, story) in stories.iter().enumerate() {
            let text = self.story(story);
            let long = body.chars().count() + text.chars().count() > BODY_MAX_CHARS;
            if told == STORIES_MAX || told > 0 && long {
                let others = stories.len() - told;
                let words = self.pick("hal lain: lumbung alert list", "others: lumbung alert list");
                body += &format!("\n+{others} {words}\n");
                break;
            }
            if told > 0 {
                body.push('\n');
            }
            body += &text;
            described.insert(story.alert.id);
        }
        Text { subject: format!("[Lumbung] {subject}"), body, described }
    }

    /// The daily digest. It comes on good days too: silence would say nothing.
    #[must_use]
    pub fn digest(
        &self,
        city: &str,
        now: Timestamp,
        stories: &mut [Story<'_>],
        counts: Counts,
    ) -> Text {
        stories.sort_by_key(|one| std::cmp::Reverse(one.alert.severity));
        let critical =
            stories.iter().filter(|one| one.alert.severity == Severity::Critical).count();
        let unattended = stories.iter().filter(|one| !one.alert.acknowledged).count();
        let (all, begun, ended) = (stories.len(), counts.begun, counts.ended);
        let subject = match self.language {
            Language::Indonesian => {
                format!("[Lumbung] Ringkasan {city}: {all} masalah, {critical} genting")
            }
            Language::English => {
                format!("[Lumbung] Digest of {city}: {all} problems, {critical} critical")
            }
        };
        let mut body = format!("{}\n", self.time(now));
        body += &match self.language {
            Language::Indonesian => format!(
                "Masalah terbuka: {all} (genting {critical}, belum ditangani {unattended})\n24 jam terakhir: {begun} baru, {ended} selesai, {} pesan gagal\n",
                counts.failed
            ),
            Language::English => format!(
                "Open problems: {all} (critical {critical}, unattended {unattended})\nLast 24 hours: {begun} new, {ended} over, {} messages failed\n",
                counts.failed
            ),
        };
        for (told, story) in stories.iter().enumerate() {
            let line = format!("- {} ({})\n", self.headline(story), self.time(story.alert.opened));
            if body.chars().count() + line.chars().count() > BODY_MAX_CHARS {
                body += &format!("- +{}\n", all - told);
                break;
            }
            body += &line;
        }
        Text { subject, body, described: BTreeSet::new() }
    }

    /// What somebody gets who tries whether messages arrive.
    #[must_use]
    pub fn test(&self, name: &str, by: &str, now: Timestamp) -> Text {
        let (name, by, time) = (harmless(name, 80), harmless(by, 80), self.time(now));
        match self.language {
            Language::Indonesian => Text {
                subject: "[Lumbung] Uji coba pesan".to_owned(),
                body: format!(
                    "Pesan uji untuk {name}, diminta oleh {by} pada {time}. Tidak ada yang perlu dilakukan.\n"
                ),
                described: BTreeSet::new(),
            },
            Language::English => Text {
                subject: "[Lumbung] Test message".to_owned(),
                body: format!(
                    "A test message for {name}, asked for by {by} at {time}. There is nothing to do.\n"
                ),
                described: BTreeSet::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_are_harmless() {
        let hostile = "a\r\nBcc: x@y\u{202e}gro\u{2028}https://evil.example www.evil.example";
        let line = harmless(hostile, 200);
        assert!(!line.chars().any(char::is_control) && !line.contains('\u{202e}'), "{line:?}");
        assert!(!line.contains("://") && !line.contains("www."), "{line:?}");
        assert_eq!(harmless("padi", 2), "pa…");
    }
}
