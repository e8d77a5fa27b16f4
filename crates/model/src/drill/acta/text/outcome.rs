//! What came of a run: figures, comparisons, failback, verdict, corrections, signatures, the log.

use super::super::ActaUndo;
use super::{Page, or_dash};
use crate::DocumentHash;
use crate::drill::{DrillMode, StepProgress, UndoProgress, Verdict, lasted};

impl Page<'_> {
    pub(super) fn figures(&mut self) {
        let acta = self.acta;
        self.chapter("RTO DAN RPO", "RTO AND RPO");
        if acta.mode == DrillMode::Tabletop {
            return self.nothing(
                "Tidak diukur: pada simulasi meja tidak ada yang dijalankan.",
                "Not measured: nothing is carried out in a tabletop.",
            );
        }
        let outage = acta.figures.outage.map(|at| self.times.moment(at)).unwrap_or_default();
        self.row(self.of("Gangguan sejak", "Outage since"), &outage);
        for (name, target, actual) in [
            ("RTO", acta.targets.rto, acta.figures.rto_s),
            ("RPO", acta.targets.rpo, acta.figures.rpo_s),
        ] {
            let target_s = u64::from(target.as_seconds());
            let (measured, met) = match actual {
                Some(actual) if actual <= target_s => {
                    (lasted(actual, self.language), self.of("tercapai", "met"))
                }
                Some(actual) => {
                    (lasted(actual, self.language), self.of("tidak tercapai", "missed"))
                }
                None => ("-".to_owned(), self.of("tidak terukur", "not measured")),
            };
            let text = format!(
                "target {}; {} {measured}; {met}",
                lasted(target_s, self.language),
                self.of("hasil", "actual")
            );
            self.row(name, &text);
        }
        let by = match acta.targets.instrument.as_str() {
            "" => self.of(
                "usulan: belum ditetapkan dengan instrumen hukum",
                "a proposal (usulan): no legal instrument sets them",
            ),
            instrument => instrument,
        };
        self.row(self.of("Dasar target", "Targets set by"), by);
    }

    pub(super) fn integrity(&mut self) {
        self.chapter("PEMERIKSAAN INTEGRITAS", "INTEGRITY CHECKS");
        for one in &self.acta.integrity {
            let good = if one.good {
                self.of("sesuai", "as expected")
            } else {
                self.of("BERBEDA", "DIFFERENT")
            };
            let text = format!(
                "{} {} ({}): {} {}, {} {}; {good}",
                one.kind.name(self.language),
                one.subject,
                one.step,
                self.of("diharapkan", "expected"),
                or_dash(&one.expected),
                self.of("ditemukan", "found"),
                or_dash(&one.found)
            );
            self.item(&text);
        }
        if self.acta.integrity.is_empty() {
            self.nothing("Tidak ada yang dicatat.", "None is recorded.");
        }
    }

    pub(super) fn failback(&mut self) {
        let failback = &self.acta.failback;
        self.chapter("PENGEMBALIAN (FAILBACK) DAN PEMBERSIHAN", "FAILBACK AND CLEAN-UP");
        match (failback.began, failback.why) {
            (Some(began), Some(why)) => {
                let by = if failback.by.is_empty() {
                    String::new()
                } else {
                    format!(", {}{}", failback.by, self.as_the_runner_says())
                };
                let text =
                    format!("{} ({}{by})", self.times.moment(began), why.name(self.language));
                self.row(self.of("Dimulai", "Begun"), &text);
            }
            _ => self.nothing("Belum dimulai.", "It has not begun."),
        }
        for one in &failback.undone {
            let text = self.undo(one);
            self.item(&text);
        }
        if let Some(at) = failback.cleaned {
            let took = self.acta.figures.failback_s.map(|took| lasted(took, self.language));
            let text = format!("{} ({})", self.times.moment(at), took.unwrap_or_default());
            self.row(self.of("Bersih", "Nothing left"), &text);
        } else if !failback.undone.is_empty() {
            self.nothing(
                "BELUM BERSIH: masih ada yang harus dikembalikan.",
                "NOT CLEAN: something has still to be put back.",
            );
        }
        if let Some(at) = failback.reconciled {
            let mut text = format!(
                "{}: {} {}, {} {}",
                self.times.moment(at),
                failback.both,
                self.of("cadangan di kedua lokasi", "snapshots at both sites"),
                failback.missing,
                self.of("di satu lokasi saja", "at one only")
            );
            if !failback.note.is_empty() {
                text += &format!("; {}", failback.note);
            }
            self.row(self.of("Rekonsiliasi", "Reconciled"), &text);
        }
    }

    fn undo(&self, one: &ActaUndo) -> String {
        let mut text = format!("[{}] {}", one.progress.name(self.language), one.step);
        if let (Some(from), Some(until)) = (one.started, one.ended) {
            text += &format!("; {} - {}", self.times.moment(from), self.times.moment(until));
        }
        if one.attempts > 1 {
            text += &format!("; {} {}", one.attempts, self.of("kali dicoba", "attempts"));
        }
        if !one.note.is_empty() {
            text += &format!("; {}", one.note);
        }
        if one.progress == UndoProgress::ByHand {
            text += self.as_the_runner_says();
        }
        text
    }

    pub(super) fn verdict(&mut self) {
        let acta = self.acta;
        self.chapter("KESIMPULAN", "VERDICT");
        let verdict = acta.verdict.name(self.language).to_uppercase();
        self.row(self.of("Hasil", "Result"), &verdict);
        for ground in &acta.grounds {
            self.item(&ground.words(self.language));
        }
        if acta.verdict == Verdict::Succeeded {
            let met = acta.steps.iter().filter(|step| step.progress == StepProgress::Done).count();
            let text = format!(
                "{met} {}",
                self.of("langkah berhasil, tanpa catatan", "steps done, nothing amiss")
            );
            self.item(&text);
        }
        for one in &acta.interruptions {
            let text = format!(
                "{} {}: {}",
                self.of(
                    "pelaksana terputus dan dilanjutkan",
                    "the runner was cut short and went on,"
                ),
                self.times.moment(one.at),
                one.reason
            );
            self.item(&text);
        }
    }

    pub(super) fn corrections(&mut self) {
        self.chapter("TINDAK LANJUT", "CORRECTIONS");
        for one in &self.acta.corrections {
            let text = format!(
                "{}; {} {}, {} {}",
                one.what,
                self.of("penanggung jawab", "in charge"),
                one.by,
                self.of("paling lambat", "until"),
                one.until
            );
            self.item(&text);
        }
        if self.acta.corrections.is_empty() {
            self.nothing("Tidak ada yang dicatat.", "None is recorded.");
        }
    }

    pub(super) fn signatures(&mut self) {
        self.chapter("TANDA TANGAN", "SIGNATURES");
        let roles = [self.of("Dinas", "Dinas"), "PD", self.of("Saksi", "Witness")];
        // Where nobody is named, there is a line to write on.
        let named: Vec<(&str, &str, &str)> = if self.acta.signatories.is_empty() {
            roles.iter().map(|role| (*role, "", "")).collect()
        } else {
            let all = self.acta.signatories.iter();
            all.map(|one| (one.role.as_str(), one.name.as_str(), one.nip.as_str())).collect()
        };
        for (role, name, nip) in named {
            self.blank();
            self.paragraph("   ", role);
            self.text.push_str("\n\n");
            let line = "_".repeat(40);
            self.paragraph("   ", if name.is_empty() { &line } else { name });
            let nip = if nip.is_empty() {
                "NIP ____________________".to_owned()
            } else {
                format!("NIP {nip}")
            };
            self.paragraph("   ", &nip);
        }
    }

    pub(super) fn annex(&mut self, sha256: &DocumentHash) {
        self.blank();
        let title = self.of("LAMPIRAN: CATATAN KEJADIAN", "ANNEX: LOG").to_owned();
        self.paragraph("", &title);
        for event in &self.acta.log {
            let text = self.times.event(event);
            let first = format!("{:>5}  {}  ", event.number, self.times.moment(event.at));
            self.paragraph(&first, &text);
        }
        self.blank();
        let text = format!(
            "{}: {sha256}",
            self.of("SHA-256 data berita acara (JSON)", "SHA-256 of this record's data (JSON)")
        );
        self.paragraph("", &text);
    }
}
