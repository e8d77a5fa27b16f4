//! What a site has signed, read from its own directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use lumbung_model::ManifestId;
use lumbung_pack::{Inventory, Kind, Manifest, Object, ScrubReport, Signed, open_signed};

/// Every signed object of a kind in a repository's directory.
///
/// # Errors
/// If one cannot be read or its signature does not verify.
pub fn objects<T: Object>(repository: &Path) -> Result<Vec<Signed<T>>> {
    let folder = repository.join(T::KIND.folder());
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut objects = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        objects.push(open_signed(&bytes).with_context(|| path.display().to_string())?);
    }
    Ok(objects)
}

/// The snapshots in a site's newest inventory of a repository.
///
/// # Errors
/// If the inventories cannot be read.
pub fn inventory(repository: &Path, site: &str) -> Result<BTreeSet<ManifestId>> {
    let inventories = objects::<Inventory>(repository)?;
    let own = inventories.into_iter().filter(|inventory| inventory.body.site.to_string() == site);
    let newest = own.max_by_key(|inventory| inventory.body.number);
    Ok(newest
        .into_iter()
        .flat_map(|inventory| inventory.body.entries)
        .map(|entry| entry.manifest)
        .collect())
}

/// The snapshots that a site has read whole.
///
/// # Errors
/// If the scrub reports cannot be read.
pub fn verified(repository: &Path, site: &str) -> Result<BTreeSet<ManifestId>> {
    let reports = objects::<ScrubReport>(repository)?;
    let own = reports.into_iter().filter(|report| report.body.site.to_string() == site);
    Ok(own.flat_map(|report| report.body.verified).collect())
}

/// The newest complete snapshot in a repository's directory.
///
/// # Errors
/// If there is none.
pub fn newest(repository: &Path) -> Result<Signed<Manifest>> {
    let manifests =
        objects::<Manifest>(repository)?.into_iter().filter(|manifest| !manifest.body.partial);
    manifests
        .max_by_key(|manifest| (manifest.body.finished, manifest.body.sequence))
        .with_context(|| format!("{} has no complete snapshot", repository.display()))
}

/// Packs in a repository's directory.
///
/// # Errors
/// If it cannot be read.
pub fn packs(repository: &Path) -> Result<usize> {
    let Ok(folders) = fs::read_dir(repository.join(Kind::Pack.folder())) else { return Ok(0) };
    let mut count = 0;
    for folder in folders {
        for pack in fs::read_dir(folder?.path())? {
            count += usize::from(!pack?.file_name().as_encoded_bytes().starts_with(b"."));
        }
    }
    Ok(count)
}
