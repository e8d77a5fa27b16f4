//! Datasets, and which PD a repository belongs to.

use lumbung_model::{DatasetId, PdId, RepositoryId};
use lumbung_wire::messages::register::{Dataset, DatasetInput, Urgency};
use rusqlite::Connection;

use super::text::{free_text, line, paths, schedule};
use super::{Change, Mode, RegisterError, by_id, enter_live, known, settle};
use crate::act::Act;
use crate::db::{register as rows, services};
use crate::profile::UrgencyClasses;

fn check_dataset(db: &Connection, input: &DatasetInput) -> Result<(), RegisterError> {
    line("name", &input.name)?;
    for (field, text) in [
        ("owner", &input.owner),
        ("distribution", &input.distribution),
        ("location", &input.location),
        ("retention", &input.retention),
        ("period", &input.period),
        ("media", &input.media),
    ] {
        free_text(field, text)?;
    }
    paths("paths", &input.paths)?;
    paths("exclude", &input.exclude)?;
    input.schedule.as_deref().map(schedule).transpose()?;
    if let Some(rpo_s) = input.rpo_s.filter(|rpo_s| !(60..=31_622_400).contains(rpo_s)) {
        return Err(RegisterError::Rpo(rpo_s));
    }
    known("PD", &input.pd, |id| rows::pd(db, id))?;
    if let Some(id) = &input.server
        && known("server", id, |id| rows::server(db, id))?.pd != input.pd
    {
        return Err(RegisterError::ForeignServer(*id));
    }
    if let Some(id) = &input.application
        && known("application", id, |id| services::application(db, id))?.pd != input.pd
    {
        return Err(RegisterError::Foreign { field: "application", id: id.to_string() });
    }
    Ok(())
}

/// The RPO of a class of urgency, seconds.
fn rpo_s(classes: &UrgencyClasses, urgency: Urgency) -> u64 {
    u64::from(classes.of(urgency).rpo_h) * 3600
}

/// Gives every dataset that has no RPO of its own that of its class: after the profile changed.
///
/// # Errors
/// If the database fails.
pub fn apply_classes(
    db: &Connection,
    act: &Act,
    classes: &UrgencyClasses,
) -> Result<u64, RegisterError> {
    let mut changed = 0;
    for mut dataset in rows::datasets(db, None)? {
        let rpo_s = rpo_s(classes, dataset.urgency);
        if !dataset.own_rpo && dataset.rpo_s != rpo_s {
            dataset.rpo_s = rpo_s;
            rows::put_dataset(db, act, &dataset)?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// Notes that a repository belongs to a PD.
///
/// # Errors
/// If it belongs to another one.
pub fn bind_repository(
    db: &Connection,
    act: &Act,
    repository: RepositoryId,
    pd: PdId,
) -> Result<(), RegisterError> {
    match rows::repository_pd(db, &repository)? {
        Some(owner) if owner != pd => {
            Err(RegisterError::ForeignRepository { repository, pd: owner })
        }
        Some(_) => Ok(()),
        None => Ok(rows::bind_repository(db, act, &repository, &pd)?),
    }
}

/// Enters a dataset.
///
/// # Errors
/// If a rule forbids it.
pub fn put_dataset(
    db: &Connection,
    act: &Act,
    input: &DatasetInput,
    classes: &UrgencyClasses,
    mode: Mode,
) -> Result<(Dataset, Change), RegisterError> {
    check_dataset(db, input)?;
    let same_id = by_id(input.id, |id| rows::dataset(db, id))?;
    let by_name = rows::dataset_by_name(db, &input.pd, input.server.as_ref(), &input.name)?;
    let found = settle(("dataset", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    if let Some(repository) = input.repository {
        bind_repository(db, act, repository, input.pd)?;
    }
    let dataset = Dataset {
        id: found.as_ref().map(|dataset| dataset.id).or(input.id).unwrap_or_else(DatasetId::random),
        pd: input.pd,
        server: input.server,
        name: input.name.clone(),
        kind: input.kind,
        application: input.application,
        owner: input.owner.clone(),
        classification: input.classification,
        distribution: input.distribution.clone(),
        location: input.location.clone(),
        urgency: input.urgency,
        rpo_s: input.rpo_s.unwrap_or_else(|| rpo_s(classes, input.urgency)),
        own_rpo: input.rpo_s.is_some(),
        schedule: input.schedule.clone(),
        retention: input.retention.clone(),
        period: input.period.clone(),
        media: input.media.clone(),
        repository: input.repository.or_else(|| {
            // The repository is of the PD that it was.
            let same = found.as_ref().filter(|found| found.pd == input.pd);
            same.and_then(|dataset| dataset.repository)
        }),
        paths: input.paths.clone(),
        exclude: input.exclude.clone(),
    };
    enter_live(db, found.as_ref(), dataset, |row| rows::put_dataset(db, act, row))
}
