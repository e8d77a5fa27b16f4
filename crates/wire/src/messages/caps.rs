//! The caps that the register gives a site: one for what its vault pulls, one for all agents of a PD together.
//!
//! A cap slows and never stops: none is below [`RATE_MIN`], and there is no "off". Numbered, so that an older list
//! never takes the place of a newer one.

use std::collections::HashSet;

use lumbung_model::rate::RatePlan;
use lumbung_model::{PdId, RepositoryId, SiteId};
use serde::{Deserialize, Serialize};

use super::policy::PolicyRates;
#[cfg(doc)]
use crate::policy::RATE_MIN;
use crate::policy::rate_plan;

/// Most PDs in one list.
pub const CAPS_PDS_MAX: usize = 1000;
/// Most repositories in one list.
pub const CAPS_REPOSITORIES_MAX: usize = 10_000;
/// Longest list as JSON.
pub const CAPS_JSON_MAX_BYTES: usize = 4 << 20;
/// Longest code of a PD.
const CODE_MAX_BYTES: usize = 32;
/// Highest number that a list may have.
pub const VERSION_MAX: u64 = 1 << 62;

/// `PUT /v1/caps`, for the controller; `GET /v1/caps`, for sites, the controller and operators: what the vault keeps to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteCaps {
    /// For which site.
    pub site: SiteId,
    /// Counts the lists of a site, from 1: a later one has a higher number. 0: none has come.
    pub version: u64,
    /// How fast the site may pull; as its own file says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PolicyRates>,
    /// Every PD that has a repository, capped or not: what its agents send is counted.
    pub pds: Vec<PdCaps>,
}

/// One PD of [`SiteCaps`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PdCaps {
    /// The PD.
    pub pd: PdId,
    /// Its code in the register, as figures name it.
    pub code: String,
    /// How fast all of its agents may send, taken together; absent: as fast as they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<PolicyRates>,
    /// Its repositories.
    pub repositories: Vec<RepositoryId>,
}

/// The answer to `PUT /v1/caps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsAnswer {
    /// The number of the list that the vault keeps to now.
    pub version: u64,
    /// Whether that is the list which was sent. If not, a newer one stands.
    pub taken: bool,
}

impl SiteCaps {
    /// A site that was given none.
    #[must_use]
    pub const fn none(site: SiteId) -> Self {
        Self { site, version: 0, pull: None, pds: Vec::new() }
    }

    /// Whether a vault can keep to it.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.version > VERSION_MAX {
            return Err(format!("the number {} is above {VERSION_MAX}", self.version));
        }
        if self.pds.len() > CAPS_PDS_MAX {
            return Err(format!("it has more than {CAPS_PDS_MAX} PDs"));
        }
        plan(self.pull.as_ref()).map_err(|reason| format!("`pull`: {reason}"))?;
        let (mut pds, mut codes, mut repositories) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        for entry in &self.pds {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if entry.code.is_empty()
                || entry.code.len() > CODE_MAX_BYTES
                || !entry.code.chars().all(fits)
            {
                return Err("a PD's code has 1 to 32 letters, digits, '-', '_' or '.'".to_owned());
            }
            if !pds.insert(entry.pd) || !codes.insert(&entry.code) {
                return Err(format!("PD {} stands in it twice", entry.code));
            }
            entry.plan().map_err(|reason| format!("PD {}: {reason}", entry.code))?;
            if let Some(twice) = entry.repositories.iter().find(|one| !repositories.insert(**one)) {
                return Err(format!("repository {twice} stands in it twice"));
            }
        }
        if repositories.len() > CAPS_REPOSITORIES_MAX {
            return Err(format!("it has more than {CAPS_REPOSITORIES_MAX} repositories"));
        }
        Ok(())
    }

    /// The cap of what the site pulls.
    ///
    /// # Errors
    /// As [`rate_plan`].
    pub fn pull_plan(&self) -> Result<RatePlan, String> {
        plan(self.pull.as_ref())
    }
}

impl PdCaps {
    /// The cap of all of its agents together.
    ///
    /// # Errors
    /// As [`rate_plan`].
    pub fn plan(&self) -> Result<RatePlan, String> {
        plan(self.rates.as_ref())
    }
}

fn plan(rates: Option<&PolicyRates>) -> Result<RatePlan, String> {
    rates.map_or_else(|| Ok(RatePlan::unlimited()), rate_plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(rate: &str) -> Option<PolicyRates> {
        Some(PolicyRates { rate: rate.into(), windows: Vec::new(), timezone: "WIB".into() })
    }

    fn pd(code: &str, rate: &str, repositories: Vec<RepositoryId>) -> PdCaps {
        PdCaps { pd: PdId::random(), code: code.into(), rates: rates(rate), repositories }
    }

    #[test]
    fn a_list_is_one_that_a_vault_can_keep_to() {
        let one = RepositoryId::from_bytes([1; 32]);
        let of = |pds: Vec<PdCaps>| SiteCaps { pds, ..SiteCaps::none(SiteId::random()) };
        let good = of(vec![pd("DINKES", "64 kbit/s", vec![one])]);
        assert_eq!(good.check(), Ok(()));
        let refused = |caps: SiteCaps, of: &str| {
            let reason = caps.check().unwrap_err();
            assert!(reason.contains(of), "{reason}");
        };
        refused(of(vec![pd("DINKES", "63 kbit/s", vec![one])]), "64 kbit/s");
        refused(of(vec![pd("DINKES", "off", vec![one])]), "not a rate");
        refused(of(vec![pd("DIN KES", "", Vec::new())]), "code");
        refused(of(vec![pd("A", "", vec![one]), pd("B", "", vec![one])]), "twice");
        refused(of(vec![pd("A", "", vec![one]), pd("A", "", Vec::new())]), "twice");
        refused(SiteCaps { pull: rates("1 kbit/s"), ..good.clone() }, "`pull`");
        refused(SiteCaps { version: u64::MAX, ..good }, "above");
        refused(
            of((0..=CAPS_PDS_MAX).map(|n| pd(&format!("P{n}"), "", Vec::new())).collect()),
            "more than",
        );
    }

    #[test]
    fn what_a_vault_does_not_know_is_refused() {
        let text =
            r#"{"site":"00000000000000000000000000000001","version":1,"pds":[],"hook":"rm"}"#;
        let error = serde_json::from_str::<SiteCaps>(text).unwrap_err();
        assert!(error.to_string().contains("hook"), "{error}");
    }
}
