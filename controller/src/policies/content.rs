//! What the register asks of one server. Pure.
//!
//! Invariant: whatever stands among the jobs, an agent could use (`lumbung_wire::policy::check_job`); every other dataset of
//! the server is named with the reason.

use lumbung_model::RepositoryId;
use lumbung_wire::messages::policy::{
    PolicyContent, PolicyGap, PolicyJob, PolicyRates, PolicySkip,
};
use lumbung_wire::messages::register::{Dataset, Pd};
use lumbung_wire::policy::{LABEL_MAX_BYTES, check_job, lies_in_folders, rate_plan};

use super::Terms;

/// The caps of a PD's agents, of each and of all together; none: as their own files say.
#[must_use]
pub(crate) fn rates(pd: &Pd, terms: Terms<'_>) -> Option<PolicyRates> {
    let Pd { rate, windows, .. } = pd;
    let timezone = terms.timezone.to_owned();
    let rates = PolicyRates { rate: rate.clone(), windows: windows.clone(), timezone };
    let is_capped = rate_plan(&rates).is_ok_and(|plan| !plan.is_unlimited());
    is_capped.then_some(rates)
}

/// What the datasets of one server come to, for an agent that writes to `repository`.
#[must_use]
pub(super) fn of(
    datasets: &[Dataset],
    repository: RepositoryId,
    terms: Terms<'_>,
) -> PolicyContent {
    let mut content = PolicyContent::default();
    for dataset in datasets {
        match job(dataset, repository, terms) {
            Ok(job) => content.jobs.push(job),
            Err(gap) => content.skipped.push(PolicySkip {
                dataset: dataset.id,
                label: label(&dataset.name),
                gap,
            }),
        }
    }
    // The order of names would make a renamed dataset look like many changes.
    content.jobs.sort_by_key(|job| job.dataset);
    content.skipped.sort_by_key(|skip| skip.dataset);
    content
}

fn job(
    dataset: &Dataset,
    repository: RepositoryId,
    terms: Terms<'_>,
) -> Result<PolicyJob, PolicyGap> {
    if !lies_in_folders(dataset.kind) {
        return Err(PolicyGap::Kind);
    }
    if dataset.repository.is_some_and(|of| of != repository) {
        return Err(PolicyGap::Repository);
    }
    if dataset.paths.is_empty() {
        return Err(PolicyGap::NoPaths);
    }
    let of_its_class = || terms.classes.of(dataset.urgency).schedule.clone();
    let job = PolicyJob {
        dataset: dataset.id,
        label: label(&dataset.name),
        kind: dataset.kind,
        paths: dataset.paths.clone(),
        exclude: dataset.exclude.clone(),
        schedule: dataset.schedule.clone().unwrap_or_else(of_its_class),
        timezone: terms.timezone.to_owned(),
        rpo_s: dataset.rpo_s,
    };
    check_job(&job).map(|()| job).map_err(|_| PolicyGap::Entry)
}

/// A name in the bytes that a manifest has for it.
fn label(name: &str) -> String {
    let end = name.floor_char_boundary(LABEL_MAX_BYTES);
    name[..end].to_owned()
}
