//! Whether a plan is one that a city can rely on: draft → not verified → verified, and back.
//!
//! Invariants: only a run that succeeded, of exactly this revision and of the things as they are now, verifies a plan, and
//! only while none after it has not succeeded; every change of the plan or of what it is about undoes that; a verification
//! lasts as long as the city's profile says, and no longer. A talk at a table verifies nothing but a plan for talks.

use serde::Serialize;

use super::plan::{DatasetPart, DrillKind, DrillPlan, DrillStep, ServicePart, Targets};
use super::run::DrillMode;
use super::verdict::Verdict;
use super::word::spelled;
use crate::{
    DatasetId, DocumentHash, DrillRunId, PdId, RepositoryId, ServerId, ServiceId, SiteId, Timestamp,
};

spelled! {
    /// How far a plan has come.
    PlanState {
        /// It is still being written.
        Draft = "draft", "konsep", "draft";
        /// No run has shown that it works as it stands.
        NotVerified = "not_verified", "belum terverifikasi", "not verified";
        /// A run has shown that it works as it stands.
        Verified = "verified", "terverifikasi", "verified";
    }
}

spelled! {
    /// Why a plan is not verified.
    NotVerifiedWhy {
        /// It was never run with success.
        Never = "never", "belum pernah berhasil dijalankan", "never run with success";
        /// It was run since, and did not succeed.
        LastRun = "last_run", "uji terakhir tidak berhasil sepenuhnya", "the last run did not succeed";
        /// It was changed since.
        PlanChanged = "plan_changed", "rencana berubah sejak uji terakhir", "the plan has changed since";
        /// A dataset, a server or a service that it is about was changed since.
        SubjectChanged = "subject_changed", "dataset, server atau layanan berubah sejak uji terakhir", "a dataset, server or service has changed since";
        /// It is too long ago.
        Expired = "expired", "uji terakhir sudah terlalu lama", "the last run is too long ago";
    }
}

/// What of a dataset a plan depends on. Owner, classification, retention and the like are not among it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DatasetFacts {
    /// Its id.
    pub id: DatasetId,
    /// Whose it is.
    pub pd: PdId,
    /// What it is made of.
    pub kind: String,
    /// The server it lies on.
    pub server: Option<ServerId>,
    /// The repository its snapshots lie in.
    pub repository: Option<RepositoryId>,
    /// The paths it consists of.
    pub paths: Vec<String>,
    /// What of them is left out.
    pub exclude: Vec<String>,
}

/// What of a server a plan depends on. Rack, pool and agent are not among it: an agent that enrols again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServerFacts {
    /// Its id.
    pub id: ServerId,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// The site it stands at.
    pub site: Option<SiteId>,
}

/// What of a service a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServiceFacts {
    /// Its id.
    pub id: ServiceId,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// The server that takes over.
    pub standby: Option<ServerId>,
}

/// The rows of the register that a plan is about, as far as it depends on them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Subjects {
    /// Its datasets.
    pub datasets: Vec<DatasetFacts>,
    /// The servers of its datasets, its runner, its standbys and those that it lists.
    pub servers: Vec<ServerFacts>,
    /// Its services.
    pub services: Vec<ServiceFacts>,
}

impl Subjects {
    /// In one order, whatever the order in which they were read.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.datasets.sort_unstable();
        self.servers.sort_unstable();
        self.services.sort_unstable();
        self.servers.dedup();
        self
    }
}

/// What of a plan is carried out, as it is hashed: two plans of one essence are one revision. Names and telephone numbers of
/// people, the place where they meet, and numbers of letters are not in it; their roles are.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Essence<'a> {
    kind: DrillKind,
    scenario: &'a str,
    targets: &'a Targets,
    runner: Option<ServerId>,
    isolates: Option<SiteId>,
    roles: Vec<&'a str>,
    datasets: Vec<(&'a str, DatasetId)>,
    services: &'a [ServicePart],
    servers: &'a [ServerId],
    steps: &'a [DrillStep],
}

/// The essence of a plan.
#[must_use]
pub fn essence(plan: &DrillPlan) -> Essence<'_> {
    let mut roles: Vec<&str> = plan.participants.iter().map(|one| one.role.as_str()).collect();
    roles.sort_unstable();
    roles.dedup();
    let dataset = |one: &'_ DatasetPart| one.dataset;
    Essence {
        kind: plan.kind,
        scenario: &plan.scenario,
        targets: &plan.targets,
        runner: plan.runner,
        isolates: plan.isolates,
        roles,
        datasets: plan.datasets.iter().map(|one| (one.key.as_str(), dataset(one))).collect(),
        services: &plan.services,
        servers: &plan.servers,
        steps: &plan.steps,
    }
}

/// What a plan and its things were, or are, as hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of [`essence`].
    pub plan: DocumentHash,
    /// Of [`Subjects`].
    pub subjects: DocumentHash,
}

/// A run that is over, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastRun {
    /// Its id.
    pub run: DrillRunId,
    /// How it was run.
    pub mode: DrillMode,
    /// What it was a run of.
    pub of: Fingerprint,
    /// When it ended.
    pub ended: Timestamp,
    /// What it showed.
    pub verdict: Verdict,
}

/// What is said of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanStanding {
    /// How far it has come.
    pub state: PlanState,
    /// Why it is not verified.
    pub why: Option<NotVerifiedWhy>,
    /// The run that verifies it, or did last.
    pub run: Option<DrillRunId>,
    /// Until when.
    pub until: Option<Timestamp>,
}

impl PastRun {
    /// Whether it was run in the way that a plan of that kind is for: what is carried out is not talked through, nor the
    /// other way round.
    #[must_use]
    pub fn verifies_if_good(&self, kind: DrillKind) -> bool {
        (self.mode == DrillMode::Tabletop) == (kind == DrillKind::Tabletop)
    }

    /// Whether it can verify a plan of that kind.
    #[must_use]
    pub fn verifies(&self, kind: DrillKind) -> bool {
        self.verifies_if_good(kind) && self.verdict == Verdict::Succeeded
    }
}

/// How far a plan has come at `now`. `lasts` says until when a run that ended then speaks for its plan.
#[must_use]
pub fn standing(
    plan: &DrillPlan,
    is: Fingerprint,
    runs: &[PastRun],
    now: Timestamp,
    lasts: impl Fn(Timestamp) -> Timestamp,
) -> PlanStanding {
    let newest = runs.iter().filter(|run| run.verifies(plan.kind)).max_by_key(|run| run.ended);
    // One that ended in the same second came after it, as far as anybody can say.
    let failed = |good: &PastRun| {
        let others = runs.iter().filter(|run| run.verdict != Verdict::Succeeded);
        others.filter(|run| run.verifies_if_good(plan.kind)).any(|run| run.ended >= good.ended)
    };
    let until = newest.map(|run| lasts(run.ended));
    let why = match (newest, until) {
        (None, _) | (_, None) => Some(NotVerifiedWhy::Never),
        // Whoever ran it since knows better.
        (Some(run), _) if failed(run) => Some(NotVerifiedWhy::LastRun),
        (Some(run), _) if run.of.plan != is.plan => Some(NotVerifiedWhy::PlanChanged),
        (Some(run), _) if run.of.subjects != is.subjects => Some(NotVerifiedWhy::SubjectChanged),
        (_, Some(until)) if until < now => Some(NotVerifiedWhy::Expired),
        _ => None,
    };
    let state = match why {
        _ if plan.draft => PlanState::Draft,
        Some(_) => PlanState::NotVerified,
        None => PlanState::Verified,
    };
    PlanStanding { state, why, run: newest.map(|run| run.run), until }
}
