//! The upper two levels of a mount: datasets by their labels, and in each its snapshots by their times.
//!
//! Invariant: every name is a single component, names of one folder differ, and the same repository always gives the
//! same names.

use std::collections::BTreeMap;

use lumbung_engine::Snapshot;
use lumbung_model::{DatasetId, Timestamp};

/// The name that leads to the newest snapshot of a dataset.
pub(super) const LATEST: &str = "latest";

/// A snapshot with the label in its sealed root, if that opened.
pub(super) struct Labelled {
    pub(super) snapshot: Snapshot,
    pub(super) label: Option<String>,
}

/// A folder of snapshots.
pub(super) struct Dataset {
    pub(super) name: String,
    /// Names and numbers of its snapshots, by time; the last one is the newest.
    pub(super) snapshots: Vec<(String, usize)>,
}

/// All of them.
pub(super) struct Shelf {
    pub(super) datasets: Vec<Dataset>,
    pub(super) snapshots: Vec<Snapshot>,
}

impl Shelf {
    /// Arranges snapshots; `stamp` names a moment.
    pub(super) fn new(labelled: Vec<Labelled>, stamp: &dyn Fn(Timestamp) -> String) -> Self {
        let mut by_dataset: BTreeMap<DatasetId, Vec<Labelled>> = BTreeMap::new();
        for one in labelled {
            by_dataset.entry(one.snapshot.dataset).or_default().push(one);
        }
        let (mut datasets, mut snapshots): (Vec<Dataset>, Vec<Snapshot>) = (Vec::new(), Vec::new());
        for (id, mut all) in by_dataset {
            all.sort_by_key(|Labelled { snapshot: s, .. }| (s.finished, s.epoch, s.sequence, s.id));
            let label = all.iter().rev().find_map(|one| one.label.as_deref());
            let short = &id.to_string()[..8];
            let wanted = component(label.unwrap_or_default()).unwrap_or_else(|| short.to_owned());
            let taken = datasets.iter().any(|known| known.name == wanted);
            let name = if taken { format!("{wanted} ({short})") } else { wanted };
            let mut dataset = Dataset { name, snapshots: Vec::new() };
            for one in all {
                let wanted = stamp(one.snapshot.finished);
                let taken = dataset.snapshots.iter().any(|(known, _)| *known == wanted);
                let short = one.snapshot.id.short();
                let name = if taken { format!("{wanted}_{short}") } else { wanted };
                dataset.snapshots.push((name, snapshots.len()));
                snapshots.push(one.snapshot);
            }
            datasets.push(dataset);
        }
        Self { datasets, snapshots }
    }
}

/// A label as the name of a folder: nothing if nothing of it can be one.
fn component(label: &str) -> Option<String> {
    let name: String =
        label.chars().map(|c| if c == '/' || c.is_control() { '-' } else { c }).collect();
    let mut end = name.len().min(200);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let name = name[..end].trim();
    (!name.is_empty() && name != "." && name != "..").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::{AgentId, ManifestId, PublicKey, SessionId};

    fn snapshot(n: u8, dataset: u8, finished: i64, label: Option<&str>) -> Labelled {
        let snapshot = Snapshot {
            id: ManifestId::from_bytes([n; 32]),
            agent: AgentId::from_bytes([1; 16]),
            agent_label: None,
            dataset: DatasetId::from_bytes([dataset; 16]),
            partial: false,
            authorized: true,
            epoch: 1,
            sequence: 1,
            previous: ManifestId::ZERO,
            started: Timestamp(0),
            finished: Timestamp(finished),
            statistics: lumbung_pack::Statistics::default(),
            signer: PublicKey::ZERO,
            session: SessionId::ZERO,
        };
        Labelled { snapshot, label: label.map(str::to_owned) }
    }

    #[test]
    fn every_name_is_one_component_and_its_own() {
        let shelf = Shelf::new(
            vec![
                snapshot(3, 1, 20, Some("arsip")),
                snapshot(1, 1, 10, Some("old label")),
                snapshot(2, 1, 20, Some("arsip")),
                snapshot(4, 2, 5, Some("arsip")),
                snapshot(5, 3, 5, Some("../a/b")),
                snapshot(6, 4, 5, Some("..")),
                snapshot(7, 5, 5, None),
            ],
            &|at| at.0.to_string(),
        );
        let names: Vec<&str> = shelf.datasets.iter().map(|dataset| &dataset.name[..]).collect();
        assert_eq!(names, ["arsip", "arsip (02020202)", "..-a-b", "04040404", "05050505"]);
        let first: Vec<&str> =
            shelf.datasets[0].snapshots.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(first[..2], ["10", "20"]);
        assert!(first[2].starts_with("20_0303"), "{first:?}");
        let newest = shelf.datasets[0].snapshots.last().map(|(_, n)| shelf.snapshots[*n].id);
        assert_eq!(newest, Some(ManifestId::from_bytes([3; 32])));
    }
}
