//! Datasets by name: where no controller gives a dataset its id, the id follows from its name.
//!
//! Invariant: `dataset id = first 16 bytes of derive("lumbung v1 dataset name", domain ‖ name)`, so the
//! same name on the same server is the same dataset, and on another server another one.

use std::path::Path;

use lumbung_model::{DatasetId, DomainId};

/// Fewer digits are taken for a name.
const PREFIX_MIN: usize = 8;

/// The id of the dataset `name` in a dedup domain.
#[must_use]
pub(crate) fn of_name(domain: DomainId, name: &[u8]) -> DatasetId {
    let mut hasher = blake3::Hasher::new_derive_key("lumbung v1 dataset name");
    hasher.update(domain.as_bytes()).update(name);
    let mut id = [0; DatasetId::LEN];
    hasher.finalize_xof().fill(&mut id);
    DatasetId::from_bytes(id)
}

/// The dataset that `--dataset` means when backing up: an id in full, else a name.
#[must_use]
pub(crate) fn given(domain: DomainId, given: &str) -> DatasetId {
    given.parse().unwrap_or_else(|_| of_name(domain, given.as_bytes()))
}

/// The name of the dataset of some paths, without `--dataset`.
#[must_use]
pub(crate) fn name_of_paths(paths: &[impl AsRef<Path>]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut names: Vec<&[u8]> =
        paths.iter().map(|path| path.as_ref().as_os_str().as_bytes()).collect();
    names.sort_unstable();
    names.join(&b'\n')
}

/// Whether `given` (an id, its beginning, or a name) means this dataset; names only where the domain is known.
#[must_use]
pub(crate) fn is_named(given: &str, dataset: DatasetId, domain: Option<DomainId>) -> bool {
    let hex = dataset.to_string();
    hex == given
        || (given.len() >= PREFIX_MIN && hex.starts_with(given))
        || domain.is_some_and(|domain| of_name(domain, given.as_bytes()) == dataset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dataset_of_its_server() {
        let (a, b) = (DomainId::from_bytes([1; 16]), DomainId::from_bytes([2; 16]));
        assert_eq!(of_name(a, b"simrs"), of_name(a, b"simrs"));
        assert_ne!(of_name(a, b"simrs"), of_name(b, b"simrs"));
        assert!(is_named("simrs", of_name(a, b"simrs"), Some(a)));
        assert!(!is_named("simrs", of_name(a, b"simrs"), Some(b)));
        let id = of_name(a, b"simrs").to_string();
        assert!(
            is_named(&id, of_name(a, b"simrs"), None)
                && is_named(&id[..8], of_name(a, b"simrs"), None)
        );
        assert!(!is_named(&id[..7], of_name(a, b"simrs"), Some(a)));
        assert_eq!(given(a, &id), of_name(a, b"simrs"));
    }

    #[test]
    fn the_order_of_paths_does_not_matter() {
        assert_eq!(name_of_paths(&["/srv", "/etc"]), b"/etc\n/srv");
    }
}
