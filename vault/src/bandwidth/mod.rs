//! The caps that the register gives this site, and what keeps to them: the lines of the PDs whose agents send here, and the
//! speed of the pull (ADR 24).
//!
//! Invariants: a list is checked here whatever the controller checked, and is kept before it is answered for, so that it
//! holds through a restart and without a controller; an older list never takes the place of a newer one. It slows, and
//! stops nothing; what the site's own file says is never lifted.

mod body;
mod line;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use axum::body::Body;
use lumbung_model::rate::{Rate, RatePlan};
use lumbung_model::{AgentId, Clock, PdId, RepositoryId, SiteId};
use lumbung_store::{StoreError, durable};
use lumbung_wire::messages::caps::{CapsAnswer, SiteCaps};

pub(crate) use line::Line;

/// Name of the file that keeps the list.
const FILE: &str = "caps.json";

/// What this site keeps to.
pub(crate) struct Bandwidth {
    file: PathBuf,
    clock: Arc<dyn Clock>,
    in_force: RwLock<InForce>,
    /// Lists are taken one after the other.
    taking: Mutex<()>,
}

struct InForce {
    caps: SiteCaps,
    pull: RatePlan,
    lines: BTreeMap<PdId, Arc<Line>>,
    of: HashMap<RepositoryId, Arc<Line>>,
}

/// What one PD's line comes to, for figures.
pub(crate) struct LineFigures {
    pub(crate) code: String,
    pub(crate) sent_bytes: u64,
    pub(crate) slowed_s: f64,
    pub(crate) rate: Option<Rate>,
}

impl Bandwidth {
    /// What stood at the last stop. A list that cannot be read is none: the controller gives it again.
    pub(crate) fn open(dir: &Path, site: SiteId, clock: Arc<dyn Clock>) -> Self {
        let file = dir.join(FILE);
        let none = || SiteCaps::none(site);
        let caps = match std::fs::read(&file) {
            Ok(bytes) => read(&bytes, site).unwrap_or_else(|reason| {
                tracing::warn!(file = %file.display(), reason, "the caps that were kept here cannot be used: until the controller gives them again there are none");
                none()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => none(),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the caps that were kept here cannot be read: until the controller gives them again there are none");
                none()
            }
        };
        let in_force = RwLock::new(InForce::new(caps, &BTreeMap::new(), &clock));
        Self { file, clock, in_force, taking: Mutex::default() }
    }

    fn in_force(&self) -> RwLockReadGuard<'_, InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list in force.
    pub(crate) fn caps(&self) -> SiteCaps {
        self.in_force().caps.clone()
    }

    /// Takes a list that [`SiteCaps::check`] has let through, if it is newer than the one in force. Blocks.
    ///
    /// # Errors
    /// If it cannot be kept; then the one before stays in force.
    pub(crate) fn take(&self, caps: SiteCaps) -> Result<CapsAnswer, StoreError> {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = {
            let before = self.in_force();
            let version = before.caps.version;
            if caps.version <= version {
                return Ok(CapsAnswer { version, taken: caps == before.caps });
            }
            before.lines.clone()
        };
        let bytes = serde_json::to_vec(&caps).unwrap_or_default();
        durable::replace_file(&self.file, &bytes, 0o640)?;
        let answer = CapsAnswer { version: caps.version, taken: true };
        let next = InForce::new(caps, &lines, &self.clock);
        tracing::info!(
            version = answer.version,
            capped = next.lines.values().filter(|line| line.is_capped()).count(),
            pull = %next.pull.lowest().map_or_else(|| "as the file says".to_owned(), |rate| rate.to_string()),
            "the register's caps are in force"
        );
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(answer)
    }

    /// The line of the PD that owns the repository.
    pub(crate) fn line_of(&self, repository: &RepositoryId) -> Option<Arc<Line>> {
        self.in_force().of.get(repository).cloned()
    }

    /// The register's cap of the pull, now.
    pub(crate) fn pull_rate(&self) -> Option<Rate> {
        self.in_force().pull.rate_at(self.clock.now())
    }

    /// What each line comes to.
    pub(crate) fn figures(&self) -> Vec<LineFigures> {
        let in_force = self.in_force();
        let of = |pd: &PdId| in_force.lines.get(pd);
        let entries = in_force.caps.pds.iter().filter_map(|entry| Some((entry, of(&entry.pd)?)));
        entries
            .map(|(entry, line)| LineFigures {
                code: entry.code.clone(),
                sent_bytes: line.sent_bytes(),
                slowed_s: line.slowed().as_secs_f64(),
                rate: line.rate(),
            })
            .collect()
    }
}

impl InForce {
    /// Lines that there were go on with what they have counted and what they owe.
    fn new(caps: SiteCaps, before: &BTreeMap<PdId, Arc<Line>>, clock: &Arc<dyn Clock>) -> Self {
        // A list is checked before it comes here: what could not be read would be no cap.
        let unlimited = |_| RatePlan::unlimited();
        let (mut lines, mut of) = (BTreeMap::new(), HashMap::new());
        for entry in &caps.pds {
            let plan = entry.plan().unwrap_or_else(unlimited);
            let line = match before.get(&entry.pd) {
                Some(line) => {
                    line.keep_to(plan);
                    Arc::clone(line)
                }
                None => Arc::new(Line::new(plan, Arc::clone(clock))),
            };
            of.extend(entry.repositories.iter().map(|id| (*id, Arc::clone(&line))));
            lines.insert(entry.pd, line);
        }
        // What a PD that is gone from the list has under way is not slowed any more.
        for (pd, line) in before {
            if !lines.contains_key(pd) {
                line.keep_to(RatePlan::unlimited());
            }
        }
        let pull = caps.pull_plan().unwrap_or_else(unlimited);
        Self { caps, pull, lines, of }
    }
}

fn read(bytes: &[u8], site: SiteId) -> Result<SiteCaps, String> {
    let caps: SiteCaps = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    caps.check()?;
    if caps.site != site {
        return Err(format!("they are of site {}", caps.site));
    }
    Ok(caps)
}

/// The body of a request, read no faster than the line of its sender's PD allows if that was capped when it began, else only
/// counted; as it is where there is no line.
pub(crate) fn slowed(
    body: Body,
    line: Option<Arc<Line>>,
    agent: Option<AgentId>,
    slow: bool,
) -> Body {
    match (line, agent) {
        (Some(line), Some(agent)) => Body::new(body::SlowedBody::new(body, line, agent, slow)),
        _ => body,
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::FixedClock;
    use lumbung_model::Timestamp;
    use lumbung_wire::messages::caps::PdCaps;
    use lumbung_wire::messages::policy::PolicyRates;

    use super::*;

    fn rates(rate: &str) -> Option<PolicyRates> {
        Some(PolicyRates { rate: rate.into(), windows: Vec::new(), timezone: "WIB".into() })
    }

    fn caps(site: SiteId, version: u64, pds: &[(PdId, &str)]) -> SiteCaps {
        let pds = pds.iter().enumerate().map(|(n, (pd, rate))| PdCaps {
            pd: *pd,
            code: format!("PD{n}"),
            rates: rates(rate),
            repositories: vec![RepositoryId::from_bytes([u8::try_from(n).unwrap(); 32])],
        });
        SiteCaps { site, version, pull: rates("1 Mbit/s"), pds: pds.collect() }
    }

    #[test]
    fn the_newest_list_stands_through_a_restart_and_an_older_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(Timestamp(1_800_000_000)));
        let (site, pd) = (SiteId::random(), PdId::random());
        let open = || Bandwidth::open(dir.path(), site, clock.clone());
        let vault = open();
        assert_eq!((vault.caps(), vault.pull_rate()), (SiteCaps::none(site), None));
        let newest = caps(site, 7, &[(pd, "2 Mbit/s")]);
        let answer = |version, taken| CapsAnswer { version, taken };
        assert_eq!(vault.take(newest.clone()).unwrap(), answer(7, true));
        assert_eq!(vault.take(newest.clone()).unwrap(), answer(7, true), "asked again");
        let other = caps(site, 7, &[(pd, "3 Mbit/s")]);
        assert_eq!(vault.take(other).unwrap(), answer(7, false), "another of the same number");
        assert_eq!(vault.take(caps(site, 6, &[])).unwrap(), answer(7, false), "an older one");
        for vault in [&vault, &open()] {
            assert_eq!(vault.caps(), newest);
            let line = vault.line_of(&RepositoryId::from_bytes([0; 32])).unwrap();
            assert_eq!(line.rate().unwrap().to_string(), "2 Mbit/s");
            assert_eq!(vault.pull_rate().unwrap().to_string(), "1 Mbit/s");
            assert!(vault.line_of(&RepositoryId::from_bytes([1; 32])).is_none());
        }
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(open().caps().version, 0, "what cannot be read is asked for again");
    }

    #[test]
    fn a_line_goes_on_with_what_it_counted_and_one_that_is_gone_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(Timestamp(1_800_000_000)));
        let (site, a, b) = (SiteId::random(), PdId::random(), PdId::random());
        let vault = Bandwidth::open(dir.path(), site, clock);
        vault.take(caps(site, 1, &[(a, "2 Mbit/s"), (b, "2 Mbit/s")])).unwrap();
        let [first, second] =
            [0, 1].map(|n| vault.line_of(&RepositoryId::from_bytes([n; 32])).unwrap());
        vault.take(caps(site, 2, &[(a, "3 Mbit/s")])).unwrap();
        let now = vault.line_of(&RepositoryId::from_bytes([0; 32])).unwrap();
        assert!(Arc::ptr_eq(&first, &now));
        assert_eq!(now.rate().unwrap().to_string(), "3 Mbit/s");
        assert!(!second.is_capped());
        assert_eq!(
            vault.figures().iter().map(|line| line.code.as_str()).collect::<Vec<_>>(),
            ["PD0"]
        );
    }
}
