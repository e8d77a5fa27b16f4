//! Holds: what this site keeps whatever its retention says.
//!
//! Invariants: anybody who may act at the console places a hold, and the controller may place automatic ones; only an
//! order signed by two releases one. An automatic hold lapses after `AUTOMATIC_S` on the retention clock; asked for again
//! in its second half, another one follows it.

use lumbung_model::{HoldId, Timestamp};
use lumbung_pack::{Hold, Kind, Object as _, Signed, Subject, open_signed, sign};
use lumbung_store::StoreError;

use crate::index::HoldRow;
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// An automatic hold that nobody confirms lasts so long: 30 days.
const AUTOMATIC_S: u64 = 30 * 86_400;
/// Automatic holds that may stand in one repository at once.
const AUTOMATIC_MAX: usize = 1000;

/// A hold that no order has released.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HoldView {
    /// Names it.
    pub hold: HoldId,
    /// What it keeps.
    #[serde(with = "subject_text")]
    pub subject: Subject,
    /// Whether a program placed it.
    pub automatic: bool,
    /// When.
    pub placed: Timestamp,
    /// Who placed it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Seconds until an automatic one lapses; 0: it has lapsed; none: it stands until it is released.
    pub lapses_in_s: Option<u64>,
}

impl HoldView {
    /// Whether it keeps anything now.
    #[must_use]
    pub fn is_effective(&self) -> bool {
        self.lapses_in_s != Some(0)
    }

    pub(super) fn in_words(&self) -> String {
        format!("{}: {}", self.hold, self.reason)
    }
}

/// Subjects as an operator writes them: `snapshot:ID`, `dataset:ID`, `repository`.
pub mod subject_text {
    use lumbung_pack::Subject;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Reads one.
    ///
    /// # Errors
    /// What it should look like.
    pub fn parse(text: &str) -> Result<Subject, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{text:?}: {error}");
        match text.split_once(':') {
            Some(("snapshot", id)) => id.parse().map(Subject::Snapshot).map_err(|e| wrong(&e)),
            Some(("dataset", id)) => id.parse().map(Subject::Dataset).map_err(|e| wrong(&e)),
            None if text == "repository" => Ok(Subject::Repository),
            _ => Err(wrong(&"write snapshot:ID, dataset:ID or repository")),
        }
    }

    /// Writes one.
    #[must_use]
    pub fn write(subject: &Subject) -> String {
        match subject {
            Subject::Snapshot(id) => format!("snapshot:{id}"),
            Subject::Dataset(id) => format!("dataset:{id}"),
            Subject::Repository => "repository".to_owned(),
        }
    }

    pub(super) fn serialize<S: Serializer>(
        subject: &Subject,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&write(subject))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Subject, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Vault {
    /// Places a hold, and signs it.
    ///
    /// # Errors
    /// [`VaultError::Refused`] where too many automatic ones stand already.
    pub fn place_hold(
        &self,
        repository: &Repository,
        subject: Subject,
        automatic: bool,
        (by, reason): (&str, &str),
    ) -> Result<HoldId, VaultError> {
        let gate = repository.gate();
        if automatic {
            let mut standing = self.holds(repository)?;
            standing.retain(|hold| hold.automatic && hold.is_effective());
            // One that lapses soon is followed by another while it still stands, so that nothing goes in between.
            let lasts = |hold: &&HoldView| {
                hold.subject == subject && hold.lapses_in_s > Some(AUTOMATIC_S / 2)
            };
            if let Some(hold) = standing.iter().find(lasts) {
                return Ok(hold.hold);
            }
            if standing.len() >= AUTOMATIC_MAX {
                return Err(VaultError::Refused {
                    kind: Kind::Hold,
                    reason: format!(
                        "{AUTOMATIC_MAX} automatic holds stand in this repository: confirm or wait"
                    ),
                });
            }
        }
        let hold = Hold {
            repository: repository.id,
            site: self.site(),
            hold: HoldId::random(),
            subject,
            automatic,
            placed: self.now(),
            by: by.to_owned(),
            reason: reason.to_owned(),
        };
        let bytes = sign(&hold, &self.identity.key);
        let id = lumbung_pack::object_id(&bytes);
        repository.store.put(Kind::Hold, &id, &bytes)?;
        let row = HoldRow { hold: hold.hold, object: id, placed_s: self.age_s() };
        self.index.write(|tx| row.insert(tx, repository.row))?;
        drop(gate);
        tracing::info!(repository = %repository.id, hold = %hold.hold, %subject, automatic, by, reason, "hold placed");
        Ok(hold.hold)
    }

    /// Holds that no order has released, lapsed ones among them. One whose file was put back is taken up again.
    ///
    /// # Errors
    /// If one cannot be read, whether the index knows it or not: retention then removes nothing.
    pub fn holds(&self, repository: &Repository) -> Result<Vec<HoldView>, VaultError> {
        for id in repository.store.list(Kind::Hold)? {
            self.take_up_hold(repository, id)?;
        }
        let rows = self.index.read(|c| HoldRow::unreleased(c, repository.row))?;
        rows.iter().map(|row| self.view(repository, row)).collect()
    }

    /// One of the holds that no order has released.
    ///
    /// # Errors
    /// [`VaultError::NoHold`], or if it cannot be read.
    pub fn hold(&self, repository: &Repository, hold: &HoldId) -> Result<HoldView, VaultError> {
        let rows = self.index.read(|c| HoldRow::unreleased(c, repository.row))?;
        let row = rows.iter().find(|row| row.hold == *hold).ok_or(VaultError::NoHold(*hold))?;
        self.view(repository, row)
    }

    fn view(&self, repository: &Repository, row: &HoldRow) -> Result<HoldView, VaultError> {
        let hold = open_hold(repository, &row.object)?.body;
        let until_s = row.placed_s.saturating_add(AUTOMATIC_S);
        Ok(HoldView {
            hold: hold.hold,
            subject: hold.subject,
            automatic: hold.automatic,
            placed: hold.placed,
            by: hold.by,
            reason: hold.reason,
            lapses_in_s: hold.automatic.then(|| until_s.saturating_sub(self.age_s())),
        })
    }

    /// Takes up this site's holds that the index does not know.
    pub(crate) fn reconcile_holds(&self, repository: &Repository) -> Result<usize, VaultError> {
        let mut new = 0;
        for id in repository.store.list(Kind::Hold)? {
            match self.take_up_hold(repository, id) {
                Ok(taken) => new += usize::from(taken),
                Err(VaultError::Store(error)) if error.is_of_the_object() => {
                    let next = "nothing is removed here while it is so: put its file back, or place the hold anew \
                                (`lumbung-vault hold add`), delete the file and run `lumbung-vault reindex`";
                    self.alarm(Some(&repository.id), "damaged", format!("{error}; {next}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(new)
    }

    /// Takes up a hold if it is this site's and the index does not know it; says whether it did.
    fn take_up_hold(&self, repository: &Repository, id: [u8; 32]) -> Result<bool, VaultError> {
        if self.index.read(|c| HoldRow::knows(c, repository.row, &id))? {
            return Ok(false);
        }
        let hold = match open_hold(repository, &id) {
            Ok(hold) => hold,
            // Somebody deleted a damaged one, and a store still lists it.
            Err(VaultError::Store(StoreError::NotFound { .. })) => return Ok(false),
            Err(error) => return Err(error),
        };
        if hold.body.site != self.site()
            || hold.signer != self.identity.key.public()
            || hold.body.repository() != repository.id
        {
            return Ok(false);
        }
        let row = HoldRow { hold: hold.body.hold, object: id, placed_s: self.age_s() };
        self.index.write(|tx| row.insert(tx, repository.row))?;
        Ok(true)
    }
}

fn open_hold(repository: &Repository, id: &[u8; 32]) -> Result<Signed<Hold>, VaultError> {
    let bytes = repository.store.get(Kind::Hold, id)?;
    open_signed::<Hold>(&bytes).map_err(VaultError::format(Kind::Hold))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use lumbung_model::{DatasetId, ManifestId};

    use super::*;

    #[test]
    fn a_subject_is_written_as_it_is_read_and_a_view_of_a_hold_goes_through_json() {
        let snapshot = Subject::Snapshot(ManifestId::from_bytes([0xab; 32]));
        let dataset = Subject::Dataset(DatasetId::from_bytes([0xcd; 16]));
        let texts = [
            format!("snapshot:{}", "ab".repeat(32)),
            format!("dataset:{}", "cd".repeat(16)),
            "repository".to_owned(),
        ];
        for (subject, text) in [snapshot, dataset, Subject::Repository].into_iter().zip(texts) {
            assert_eq!(subject_text::write(&subject), text);
            assert_eq!(subject_text::parse(&text).unwrap(), subject);
            let view = HoldView {
                hold: HoldId::from_bytes([7; 16]),
                subject,
                automatic: true,
                placed: Timestamp(1),
                by: "Inspektorat".to_owned(),
                reason: "perkara 12/2026".to_owned(),
                lapses_in_s: Some(9),
            };
            let json = serde_json::to_string(&view).unwrap();
            assert!(json.contains(&text), "{json}");
            assert_eq!(serde_json::from_str::<HoldView>(&json).unwrap(), view);
        }
        for wrong in ["snapshot:", "snapshot:ab", "dataset:xy", "repository:x", "repo", ""] {
            assert!(subject_text::parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
