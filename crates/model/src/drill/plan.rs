//! A plan: what is carried out in a drill or a failover, in which order, and how it is put back.
//!
//! Invariants: a plan names hooks, checks and places by the names of the runner's own file, and carries no command line;
//! a real failover is the plan of a drill with its isolation off, so nothing in it says which of the two it will be.

use serde::{Deserialize, Serialize};

use super::word::{PartKey, RunnerName, StepId, spelled};
use crate::schedule::{Expression, Period};
use crate::{DatasetId, ServerId, ServiceId, SiteId, Target};

spelled! {
    /// What a plan is for.
    DrillKind {
        /// Data is restored and checked.
        Restore = "restore", "pemulihan", "restore";
        /// Services are run from their standby while a site is cut off.
        Failover = "failover", "failover", "failover";
        /// It is talked through: nothing is carried out.
        Tabletop = "tabletop", "simulasi meja", "tabletop";
    }
}

spelled! {
    /// What becomes of the run when a step fails.
    OnFailure {
        /// Nothing more is started, and what was changed is put back.
        Stop = "stop", "berhenti", "stop";
        /// The run goes on without it.
        GoOn = "go_on", "lanjut", "go on";
    }
}

spelled! {
    /// What sort of place data is restored to.
    PlaceKind {
        /// A locked-down place of the runner that is wiped afterwards.
        Scratch = "scratch", "tempat uji", "scratch";
        /// The standby that services are to run from.
        Standby = "standby", "siaga", "standby";
    }
}

/// A plan of a drill or of a failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrillPlan {
    /// What it is called.
    pub title: String,
    /// What it is for.
    pub kind: DrillKind,
    /// Whether it is still being written: a draft may lack things, and is never run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
    /// What has happened, in the story of the drill.
    pub scenario: String,
    /// Where people meet for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// How fast, and with how little loss.
    pub targets: Targets,
    /// When it is run by itself, in the city's time zone, as in crontab(5): of a restore that changes nothing outside a scratch
    /// place and asks nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub schedule: Option<Expression>,
    /// The server whose agent carries it out; none: of a tabletop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<ServerId>,
    /// The site that is cut off in a drill of a failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolates: Option<SiteId>,
    /// Who takes part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<Participant>,
    /// The datasets that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<DatasetPart>,
    /// The services that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServicePart>,
    /// Servers that it is about besides: what takes over, what hooks change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerId>,
    /// What is carried out, each step after those that it depends on.
    pub steps: Vec<DrillStep>,
}

/// The targets of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// From the outage until the last service is good again.
    pub rto: Period,
    /// How old the recovery point may be at the outage, of every dataset.
    pub rpo: Period,
    /// The legal instrument that sets them; empty: they are a proposal (*usulan*).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instrument: String,
}

/// Somebody who takes part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// Name, with title.
    pub name: String,
    /// What they do in it, as steps that are confirmed by hand name it.
    pub role: String,
    /// Whose they are.
    pub organisation: String,
    /// Where they are reached; a change of it is no change of the plan.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
}

/// A dataset that a plan is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DatasetPart {
    /// What the steps call it.
    pub key: PartKey,
    /// The dataset.
    pub dataset: DatasetId,
    /// The number of the owner's approval; empty: there is none, and the *berita acara* says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub approval: String,
}

/// A service that a plan is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServicePart {
    /// What the steps call it.
    pub key: PartKey,
    /// The service.
    pub service: ServiceId,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrillStep {
    /// Its id within the plan.
    pub id: StepId,
    /// What is done, for people.
    pub title: String,
    /// The steps that have to be over first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<StepId>,
    /// After how long it has failed.
    pub limit: Period,
    /// What becomes of the run when it fails.
    #[serde(default = "stop")]
    pub on_failure: OnFailure,
    /// What is done.
    pub action: DrillAction,
    /// How it is put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
}

const fn stop() -> OnFailure {
    OnFailure::Stop
}

const fn yes() -> bool {
    true
}

impl DrillStep {
    /// Whether it changes something outside the scratch place: a site, a name, a standby, or what a hook changes.
    #[must_use]
    pub const fn changes_something(&self) -> bool {
        let by_kind = matches!(
            self.action,
            DrillAction::Isolate { .. }
                | DrillAction::Switch { .. }
                | DrillAction::Hook { changes: true, .. }
        );
        by_kind || self.undo.is_some()
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DrillAction {
    /// Cuts off the site that the plan isolates. With it the outage of a drill begins; in a real failover it is left out.
    Isolate {
        /// The hook that does it.
        hook: RunnerName,
    },
    /// Restores a dataset's newest usable snapshot.
    Restore {
        /// The dataset's key.
        dataset: PartKey,
        /// What sort of place it is restored to.
        to: PlaceKind,
        /// That place, as the runner's own file knows it.
        place: RunnerName,
    },
    /// Runs a hook.
    Hook {
        /// The hook.
        hook: RunnerName,
        /// Whether it changes anything outside the scratch place: then it needs an undo.
        #[serde(default = "yes")]
        changes: bool,
    },
    /// Asks whether something is good.
    Check {
        /// The key of the service that is good when it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<PartKey>,
        /// What is asked.
        health: Health,
    },
    /// Switches a name or an address over to the standby.
    Switch {
        /// The hook that does it.
        hook: RunnerName,
    },
    /// Somebody says that it is so.
    Confirm {
        /// What is to be confirmed.
        text: String,
        /// By whom: the role of a participant.
        who: String,
    },
    /// Waits.
    Wait {
        /// For what.
        until: WaitFor,
    },
}

/// How one knows that something is good: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Health {
    /// A probe.
    Probe(HealthProbe),
    /// A check that the runner's own file knows by this name.
    Named(RunnerName),
}

/// A probe from the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HealthProbe {
    /// Where it goes.
    pub target: Target,
    /// The HTTP status that is expected; none: any of 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Text that an HTTP answer has to contain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contains: String,
    /// An address that a DNS answer has to contain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Whether a certificate that no known authority signed is taken too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_certificate: bool,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WaitFor {
    /// That time has passed.
    Passed(Period),
    /// That a check is good; the step's limit says for how long it is asked.
    Good(Health),
}

/// How a step is put back. It may be run after a step that was cut short, and more than once: its hook has to bear both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// The hook that does it.
    pub hook: RunnerName,
    /// After how long it has failed.
    pub limit: Period,
}

impl DrillAction {
    /// Whether it may leave something changed outside the scratch place.
    #[must_use]
    pub const fn changes_outside(&self) -> bool {
        match self {
            Self::Isolate { .. } | Self::Switch { .. } => true,
            Self::Hook { changes, .. } => *changes,
            Self::Restore { to, .. } => matches!(to, PlaceKind::Standby),
            Self::Check { .. } | Self::Confirm { .. } | Self::Wait { .. } => false,
        }
    }

    /// Whether it can simply be begun again after it was cut short. A hook cannot: nobody knows how far it came.
    #[must_use]
    pub const fn is_repeatable(&self) -> bool {
        matches!(
            self,
            Self::Restore { .. } | Self::Check { .. } | Self::Confirm { .. } | Self::Wait { .. }
        )
    }
}

impl DrillPlan {
    /// Where the step of that id stands.
    #[must_use]
    pub fn position(&self, step: &StepId) -> Option<usize> {
        self.steps.iter().position(|one| one.id == *step)
    }

    /// The dataset of that key.
    #[must_use]
    pub fn dataset(&self, key: &PartKey) -> Option<&DatasetPart> {
        self.datasets.iter().find(|one| one.key == *key)
    }
}
