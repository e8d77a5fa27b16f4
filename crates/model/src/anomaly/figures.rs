//! What an agent counts in one run of one dataset, and the check of what an agent says it counted.
//!
//! The figures compare a walk with the cache of the last finished run. Whoever holds the agent can send any figures: what was
//! checked has bounded sizes, and parts that are no larger than their whole.

use serde::{Deserialize, Serialize};

/// Folders that are named, at most.
pub const FOLDERS_MAX: usize = 8;
/// Longest path of a folder, bytes.
pub const PATH_MAX_BYTES: usize = 1024;
/// Most files and bytes that are believed: no sum of a few of them overflows.
const COUNT_MAX: u64 = 1 << 56;

/// Bytes of content that were read, and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewData {
    /// What was read.
    pub read_bytes: u64,
    /// Of that, what was stored already.
    pub deduplicated_bytes: u64,
    /// Of the rest, what did not compress. A frame that shrank to half or less counts nothing, one that did not shrink counts
    /// whole, in between in proportion.
    pub incompressible_bytes: u64,
}

impl NewData {
    /// What was not stored already.
    #[must_use]
    pub const fn fresh_bytes(&self) -> u64 {
        self.read_bytes.saturating_sub(self.deduplicated_bytes)
    }
}

/// What happened directly in one folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FolderFigures {
    /// Its path.
    pub path: String,
    /// Files that changed.
    pub changed_files: u64,
    /// Files that were not there before.
    pub new_files: u64,
    /// Files that are gone.
    pub removed_files: u64,
    /// Files that took a new extension.
    pub renamed_files: u64,
}

impl FolderFigures {
    /// By what folders are ranked: how many files were changed or taken away.
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.changed_files.saturating_add(self.removed_files)
    }
}

/// What an agent counts in one backup run of one dataset, against the last finished run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RunFigures {
    /// Files of the run before.
    pub before_files: u64,
    /// Their bytes.
    pub before_bytes: u64,
    /// Files that were not there before, renamed ones among them.
    pub new_files: u64,
    /// Files that were there and changed.
    pub changed_files: u64,
    /// Files that are gone, renamed ones among them.
    pub removed_files: u64,
    /// Bytes of those that are gone.
    pub removed_bytes: u64,
    /// Files gone in whose folder a new one has the same name and a further extension, or the same stem with another.
    pub renamed_files: u64,
    /// Of files that were there before, under this name or with one more extension.
    pub rewritten: NewData,
    /// Of files that were not there before.
    pub added: NewData,
    /// What new frames take, stored.
    pub stored_bytes: u64,
    /// The extension that most renamed files took, without its dot; empty if no file was renamed, or it is no short plain text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub new_extension: String,
    /// The folders in which most was changed or taken away, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderFigures>,
}

/// Why figures are not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FiguresError {
    /// More than there can be.
    #[error(
        "`changes.{0}` is larger than what it is a part of, or than there can be: update the agent"
    )]
    TooLarge(&'static str),
    /// Too many folders.
    #[error("`changes.folders` names more than {FOLDERS_MAX} folders: update the agent")]
    Folders,
    /// A text that is too long or not plain.
    #[error("`changes.{0}` is too long or has control characters in it: update the agent")]
    Text(&'static str),
}

/// Longest extension that is told, bytes.
pub(crate) const EXTENSION_MAX_BYTES: usize = 32;

impl RunFigures {
    /// Whether an extension may be told: short plain text.
    #[must_use]
    pub fn tells_extension(text: &str) -> bool {
        text.len() <= EXTENSION_MAX_BYTES && !text.chars().any(char::is_control)
    }

    /// Checks what came from outside.
    ///
    /// # Errors
    /// If a part is larger than its whole, or a text or the list of folders too long.
    pub fn check(&self) -> Result<(), FiguresError> {
        let counts = [
            ("before_files", self.before_files, COUNT_MAX),
            ("before_bytes", self.before_bytes, COUNT_MAX),
            ("new_files", self.new_files, COUNT_MAX),
            ("changed_files", self.changed_files, self.before_files),
            ("removed_files", self.removed_files, self.before_files),
            ("removed_bytes", self.removed_bytes, self.before_bytes),
            ("renamed_files", self.renamed_files, self.new_files.min(self.removed_files)),
            ("stored_bytes", self.stored_bytes, COUNT_MAX),
        ];
        check_counts(&counts)?;
        check_data(
            [
                "rewritten.read_bytes",
                "rewritten.deduplicated_bytes",
                "rewritten.incompressible_bytes",
            ],
            &self.rewritten,
        )?;
        check_data(
            ["added.read_bytes", "added.deduplicated_bytes", "added.incompressible_bytes"],
            &self.added,
        )?;
        if !Self::tells_extension(&self.new_extension) {
            return Err(FiguresError::Text("new_extension"));
        }
        if self.folders.len() > FOLDERS_MAX {
            return Err(FiguresError::Folders);
        }
        self.folders.iter().try_for_each(|folder| self.check_folder(folder))
    }

    fn check_folder(&self, folder: &FolderFigures) -> Result<(), FiguresError> {
        if folder.path.len() > PATH_MAX_BYTES || folder.path.chars().any(char::is_control) {
            return Err(FiguresError::Text("folders.path"));
        }
        check_counts(&[
            ("folders.changed_files", folder.changed_files, self.changed_files),
            ("folders.new_files", folder.new_files, self.new_files),
            ("folders.removed_files", folder.removed_files, self.removed_files),
            ("folders.renamed_files", folder.renamed_files, self.renamed_files),
        ])
    }
}

fn check_counts(counts: &[(&'static str, u64, u64)]) -> Result<(), FiguresError> {
    match counts.iter().find(|(_, count, most)| count > most) {
        Some((field, ..)) => Err(FiguresError::TooLarge(field)),
        None => Ok(()),
    }
}

fn check_data(fields: [&'static str; 3], data: &NewData) -> Result<(), FiguresError> {
    let [read, deduplicated, incompressible] = fields;
    check_counts(&[
        (read, data.read_bytes, COUNT_MAX),
        (deduplicated, data.deduplicated_bytes, data.read_bytes),
        (incompressible, data.incompressible_bytes, data.fresh_bytes()),
    ])
}
