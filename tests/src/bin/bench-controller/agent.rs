//! What a simulated agent says: heartbeats with the health of a host and the state of its jobs, reports of runs.
//!
//! Figures move from one heartbeat to the next as those of a host do, so that no two bodies are the same.

use lumbung_model::{Clock, DatasetId, ManifestId, SystemClock, Timestamp};
use lumbung_pack::Statistics;
use lumbung_wire::messages::{
    DiskHealth, HeartbeatRequest, HostHealth, JobPhase, JobState, Outcome, Report, ReportId,
    ReportKind,
};

/// A simulated agent.
pub(crate) struct Voice {
    number: u64,
    datasets: Vec<DatasetId>,
    started: Timestamp,
    beats: u64,
}

impl Voice {
    pub(crate) fn new(number: u64, datasets: Vec<DatasetId>) -> Self {
        Self { number, datasets, started: SystemClock.now(), beats: 0 }
    }

    /// A figure that wanders between 0 and 1.
    fn wander(&self, salt: u64) -> f64 {
        let step = self.number.wrapping_mul(7919) + self.beats * (13 + salt);
        lumbung_tests::figures::float(step % 1009) / 1009.0
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a made-up size")]
    fn bytes(&self, salt: u64, total: u64) -> u64 {
        (lumbung_tests::figures::float(total) * self.wander(salt)) as u64 & !0xfff
    }

    fn disk(&self, salt: u64, mount: &str, total_bytes: u64) -> DiskHealth {
        let available_bytes = self.bytes(salt, total_bytes);
        DiskHealth { mount: mount.to_owned(), total_bytes, available_bytes }
    }

    /// The next heartbeat.
    pub(crate) fn heartbeat(&mut self) -> HeartbeatRequest {
        self.beats += 1;
        let now = SystemClock.now();
        let load = [1, 2, 3].map(|salt| (self.wander(salt) * 400.0).round() / 100.0);
        let health = HostHealth {
            hostname: format!("srv-{}.kota.go.id", self.number),
            os: "Linux (Debian GNU/Linux 12)".to_owned(),
            kernel: "6.1.0-25-amd64".to_owned(),
            uptime_s: 864_000 + now.seconds_since(self.started).unsigned_abs(),
            cpus: 8,
            load,
            memory_total_bytes: 16 << 30,
            memory_available_bytes: self.bytes(4, 16 << 30),
            swap_used_bytes: self.bytes(5, 1 << 30),
            disks: vec![self.disk(6, "/", 64 << 30), self.disk(7, "/srv", 2 << 40)],
        };
        let job = |(n, dataset): (u64, &DatasetId)| JobState {
            dataset: *dataset,
            name: format!("berkas-{n}"),
            state: if self.beats % 240 == n { JobPhase::Running } else { JobPhase::Waiting },
            last_ok: Some(self.started.plus_seconds(-3600)),
            next_run: Some(self.started.plus_seconds(82_800)),
            message: None,
        };
        let jobs = (0..).zip(&self.datasets).map(job).collect();
        HeartbeatRequest { now, version: "0.1.0".to_owned(), health, jobs, policy: None }
    }

    /// A report of a backup of one of its datasets; none where it has none.
    pub(crate) fn report(&self) -> Option<Report> {
        let turn = usize::try_from(self.beats).ok()? % self.datasets.len().max(1);
        let statistics = Statistics {
            files: 120_000,
            directories: 9_000,
            others: 100,
            content_bytes: 80 << 30,
            flagged: 0,
            new_plain_bytes: self.bytes(8, 1 << 30),
            new_stored_bytes: self.bytes(9, 1 << 28),
        };
        let id = ReportId::random();
        let mut manifest = [0; 32];
        manifest[..16].copy_from_slice(id.as_bytes());
        Some(Report {
            id,
            kind: ReportKind::Backup,
            at: SystemClock.now(),
            dataset: *self.datasets.get(turn)?,
            manifest: Some(ManifestId::from_bytes(manifest)),
            outcome: Outcome::Ok,
            statistics,
            message: String::new(),
            cause: None,
            changes: None,
        })
    }
}
