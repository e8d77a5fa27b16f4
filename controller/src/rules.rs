//! Rules applied: what a city's profile says of each dataset, server, service, application, PD, and of its sites.
//!
//! Pure: a function of the register, the evidence and the time. Invariants: a rule that does not apply to a subject says
//! nothing of it; what is not met says why, in both languages, and never only "no"; the four steps of proof are rules of
//! their own (`step:backed_up`, `step:at_drc`, `step:verified`, `step:proven`), whatever the profile asks for.

mod datasets;
mod register;
mod sites;

#[cfg(test)]
mod tests;

use lumbung_model::PdId;
use lumbung_wire::messages::register::{
    Application, Building, ContactPerson, Dataset, Pd, Server, Service, Site, SiteKind,
};

use crate::profile::{Hosting, Look, PdFilter, Profile, Where, Wording};

pub use datasets::{DatasetCase, judge_dataset};
pub use register::judge_register;

/// The name of the rule that one of the four steps is; no rule of a profile has a colon in its name.
#[must_use]
pub fn step_rule(look: Look) -> String {
    format!("step:{}", look.as_str())
}

/// The four steps.
pub const STEPS: [Look; 4] = [Look::BackedUp, Look::AtDrc, Look::Verified, Look::Proven];

/// Whether the rule is one of the four steps.
#[must_use]
pub fn is_step(rule: &str) -> bool {
    rule.contains(':')
}

/// The id of a subject: its 16 bytes; of the city, none.
pub type SubjectId = Vec<u8>;

/// What is said of a subject by a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The rule.
    pub rule: String,
    /// Whether it is met.
    pub met: bool,
    /// Codes of the reasons, separated by commas; empty if it is met.
    pub codes: String,
    /// Why it is not met; empty if it is.
    pub reason: Wording,
}

impl Verdict {
    fn met(rule: &str) -> Self {
        Self { rule: rule.to_owned(), met: true, codes: String::new(), reason: words("", "") }
    }

    fn unmet(rule: &str, code: &str, reason: Wording) -> Self {
        Self { rule: rule.to_owned(), met: false, codes: code.to_owned(), reason }
    }

    fn of(rule: &str, met: bool, code: &str, reason: Wording) -> Self {
        if met { Self::met(rule) } else { Self::unmet(rule, code, reason) }
    }
}

fn words(id: impl Into<String>, en: impl Into<String>) -> Wording {
    Wording { id: id.into(), en: en.into() }
}

/// A subject and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The kind of subject, as in [`crate::profile::Subject`].
    pub kind: &'static str,
    /// Its id.
    pub subject: SubjectId,
    /// Whose it is; none: the city's.
    pub pd: Option<PdId>,
    /// What is said of it.
    pub verdicts: Vec<Verdict>,
}

/// All of the register that rules look at.
#[derive(Debug, Clone, Default)]
pub struct Register {
    /// Sites.
    pub sites: Vec<Site>,
    /// Their buildings.
    pub buildings: Vec<Building>,
    /// PD.
    pub pds: Vec<Pd>,
    /// Servers.
    pub servers: Vec<Server>,
    /// Services.
    pub services: Vec<Service>,
    /// Applications.
    pub applications: Vec<Application>,
    /// Contact persons.
    pub contact_persons: Vec<ContactPerson>,
    /// Datasets of source code, with whether they are backed up.
    pub source_code: Vec<(Dataset, bool)>,
}

/// Whether a rule is about this PD.
fn is_of(applies: &Where, pd: &Pd) -> bool {
    match applies.pd {
        None => true,
        Some(PdFilter::Mandiri) => pd.mandiri_tik,
        Some(PdFilter::NotMandiri) => !pd.mandiri_tik,
        Some(PdFilter::Dinas) => pd.runs_pusat_data,
    }
}

/// Where a server is: in the Pusat Data by its site, or because it is one of the Pusat Data's virtual machines.
fn hosting(server: Option<&Server>, site: Option<SiteKind>) -> Hosting {
    use lumbung_wire::messages::register::ServerKind;
    let is_there = match (server, site) {
        (_, Some(kind)) => kind == SiteKind::PusatData,
        (Some(server), None) => server.kind == ServerKind::Vps,
        (None, None) => false,
    };
    if is_there { Hosting::PusatData } else { Hosting::Elsewhere }
}

/// Everything that is said beside what is said of datasets.
#[must_use]
pub fn judge_all(profile: &Profile, register: &Register) -> Vec<Judged> {
    let mut judged = judge_register(profile, register);
    judged.push(sites::judge(profile, register));
    judged
}
