//! What a run came to, in words and figures.

use lumbung_engine::BackupOutcome;
use lumbung_model::{ByteSize, DatasetId, ManifestId, ReceiptId, SiteId, Timestamp, with_causes};
use lumbung_wire::messages::{Outcome, Statistics};
use serde::Serialize;

use super::Finished;
use crate::config::Job;

/// Warnings that are named in a report; the rest are counted.
const NAMED: usize = 5;
/// A message longer than this is of no use to anybody.
const MESSAGE_MAX_CHARS: usize = 2000;

/// A run, as `--json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// The job.
    pub job: String,
    /// Its dataset.
    pub dataset: DatasetId,
    /// `ok`, `warnings`, `failed`, `interrupted`; `busy` if another run holds the state.
    pub outcome: &'static str,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// The snapshot.
    pub manifest: Option<ManifestId>,
    /// Where it is.
    pub site: Option<String>,
    /// That site's receipt.
    pub receipt: Option<ReceiptSummary>,
    /// Whether the newest roster lists this agent; if not, the snapshot is *belum disahkan*.
    pub authorized: Option<bool>,
    /// Counts and sizes.
    pub statistics: Statistics,
    /// Bytes of content that were read.
    pub read_bytes: u64,
    /// Stored bytes that were sent.
    pub sent_bytes: u64,
    /// What did not go as it should; at most 1,000.
    pub warnings: Vec<String>,
    /// How many warnings there were.
    pub warnings_total: u64,
    /// What else there is to say: sites that were left out, a clock that is wrong.
    pub notes: Vec<String>,
    /// Why there is no snapshot.
    pub error: Option<String>,
}

/// A receipt, as `--json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptSummary {
    /// The receipt.
    pub id: ReceiptId,
    /// Who signed it.
    pub site: SiteId,
    /// When it was received, by the site's clock.
    pub received: Timestamp,
    /// Until when the site keeps it in any case.
    pub locked_until: Timestamp,
}

impl RunSummary {
    /// The summary of a run.
    #[must_use]
    pub fn new(job: &Job, finished: &Finished) -> Self {
        let outcome = finished.result.as_ref().ok();
        Self {
            job: job.name.clone(),
            dataset: job.dataset,
            outcome: finished.ending.map_or("busy", |ending| outcome_word(ending.outcome())),
            started: finished.started,
            finished: finished.ended,
            manifest: outcome.map(|o| o.manifest),
            site: outcome.map(|o| o.depot.clone()),
            receipt: outcome.and_then(receipt),
            authorized: outcome.map(|o| o.authorized),
            statistics: outcome.map(|o| statistics(&o.statistics)).unwrap_or_default(),
            read_bytes: outcome.map_or(0, |o| o.read_bytes),
            sent_bytes: outcome.map_or(0, |o| o.sent_bytes),
            warnings: outcome.map(warning_lines).unwrap_or_default(),
            warnings_total: outcome.map_or(0, |o| o.warnings_total),
            notes: finished.notes.iter().map(ToString::to_string).collect(),
            error: finished.result.as_ref().err().map(|error| with_causes(error)),
        }
    }

    /// A few lines for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Some(manifest) = self.manifest else {
            let mut out = format!(
                "{}: {}: {}\n",
                self.job,
                self.outcome,
                self.error.as_deref().unwrap_or_default()
            );
            self.notes.iter().for_each(|note| out.push_str(&format!("  {note}\n")));
            return out;
        };
        let size = |bytes| ByteSize::bytes(bytes).to_string();
        let s = &self.statistics;
        let mut out = format!(
            "{}: snapshot {manifest}\n  {} files, {} directories, {}; read {}, sent {} in {} s\n  {}\n",
            self.job,
            s.files,
            s.directories,
            size(s.content_bytes),
            size(self.read_bytes),
            size(self.sent_bytes),
            self.finished.seconds_since(self.started).max(0),
            self.where_it_is(),
        );
        if self.authorized == Some(false) {
            out.push_str(UNAUTHORIZED);
        }
        for warning in self.notes.iter().chain(&self.warnings) {
            out.push_str(&format!("  warning: {warning}\n"));
        }
        let shown = u64::try_from(self.warnings.len()).unwrap_or(u64::MAX);
        if self.warnings_total > shown {
            out.push_str(&format!("  … and {} warnings more\n", self.warnings_total - shown));
        }
        out
    }

    fn where_it_is(&self) -> String {
        let site = self.site.as_deref().unwrap_or_default();
        match &self.receipt {
            Some(receipt) => {
                format!("at {site}, receipt {}, locked until {}", receipt.id, receipt.locked_until)
            }
            None => format!("at {site}, which gave no receipt"),
        }
    }
}

const UNAUTHORIZED: &str = "  warning: the newest roster does not list this agent (belum disahkan): the snapshot is kept, but does not count; \
                            have the custodian add it (lumbung roster add-agent)\n";

fn receipt(outcome: &BackupOutcome) -> Option<ReceiptSummary> {
    let receipt = outcome.receipt.as_ref()?;
    let id = ReceiptId::from_bytes(lumbung_pack::object_id(outcome.receipt_object.as_deref()?));
    Some(ReceiptSummary {
        id,
        site: receipt.site,
        received: receipt.received,
        locked_until: receipt.locked_until,
    })
}

const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Warnings => "warnings",
        Outcome::Failed => "failed",
        Outcome::Interrupted => "interrupted",
    }
}

/// The warnings of a run, one a line.
#[must_use]
pub fn warning_lines(outcome: &BackupOutcome) -> Vec<String> {
    outcome.warnings.iter().map(ToString::to_string).collect()
}

/// The manifest's statistics as messages have them.
pub(super) const fn statistics(s: &lumbung_pack::Statistics) -> Statistics {
    Statistics {
        files: s.files,
        directories: s.directories,
        others: s.others,
        content_bytes: s.content_bytes,
        flagged: s.flagged,
        new_plain_bytes: s.new_plain_bytes,
        new_stored_bytes: s.new_stored_bytes,
    }
}

/// What the controller and `status` say of a run; empty if there is nothing to say.
pub(super) fn message(finished: &Finished) -> String {
    let mut parts = Vec::new();
    match &finished.result {
        Err(error) => parts.push(with_causes(error)),
        Ok(outcome) => {
            if !outcome.authorized {
                parts.push("no roster lists this agent yet (belum disahkan)".to_owned());
            }
            if outcome.depot_index > 0 {
                parts.push(format!(
                    "written to {}: the site before it did not answer",
                    outcome.depot
                ));
            }
            if outcome.warnings_total > 0 {
                let named: Vec<String> = warning_lines(outcome).into_iter().take(NAMED).collect();
                parts.push(format!("{} warnings: {}", outcome.warnings_total, named.join("; ")));
            }
        }
    }
    parts.extend(finished.notes.iter().map(ToString::to_string));
    parts.join("; ").chars().take(MESSAGE_MAX_CHARS).collect()
}
