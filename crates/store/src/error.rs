//! What can go wrong with a repository in a directory. Each error names the object or path it is about.

use std::io;
use std::path::{Path, PathBuf};

use lumbung_pack::{FormatError, Kind};
use rustix::io::Errno;

use crate::PackFault;

/// Why an object could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is not here.
    #[error("{} {} is not here", kind.name(), hex(id))]
    NotFound {
        /// Kind of the object.
        kind: Kind,
        /// Its id.
        id: [u8; 32],
    },
    /// The object's bytes do not match its name.
    #[error("{} {} is damaged: {reason}; run a scrub, or fetch it from another site", kind.name(), hex(id))]
    Damaged {
        /// Kind of the object.
        kind: Kind,
        /// Its id.
        id: [u8; 32],
        /// What does not match.
        reason: String,
    },
    /// What was handed over does not match the id it was to be kept under.
    #[error("these bytes are not {} {}: they hash to {}", kind.name(), hex(id), hex(found))]
    WrongId {
        /// Kind of the object.
        kind: Kind,
        /// The id that was named.
        id: [u8; 32],
        /// The id that the bytes have.
        found: [u8; 32],
    },
    /// A pack that does not match its name, its table or its limits.
    #[error("pack {} is refused: {fault}", hex(id))]
    Pack {
        /// The id that was named.
        id: [u8; 32],
        /// What does not match.
        #[source]
        fault: PackFault,
    },
    /// A frame that does not match its pack's table.
    #[error("frame {frame} of pack {} does not match the pack's table", hex(id))]
    Frame {
        /// The pack.
        id: [u8; 32],
        /// Number of the frame.
        frame: usize,
        /// What does not match.
        #[source]
        source: FormatError,
    },
    /// Somebody else changed a pack while frames for it were on their way.
    #[error("pack {} was changed by somebody else meanwhile: send the frames again", hex(id))]
    Changed {
        /// The pack.
        id: [u8; 32],
    },
    /// Bytes were asked for that the pack does not have.
    #[error("pack {} has {length} bytes; {offset} and {wanted} more were asked for", hex(id))]
    Range {
        /// The pack.
        id: [u8; 32],
        /// Its length.
        length: u64,
        /// Where the range begins.
        offset: u64,
        /// How long it is.
        wanted: u64,
    },
    /// An object longer than the format allows.
    #[error("a {} has at most {limit} bytes, this has {found}", kind.name())]
    TooLarge {
        /// Kind of the object.
        kind: Kind,
        /// Bytes allowed.
        limit: u64,
        /// Bytes found.
        found: u64,
    },
    /// This kind of object is not kept in a repository.
    #[error("a {} is not kept in a repository by this version", kind.name())]
    NotKept {
        /// The kind.
        kind: Kind,
    },
    /// The file system or its quota is full.
    #[error("no space left at {}: free some, or add storage; nothing was torn and reading goes on", path.display())]
    Full {
        /// Where.
        path: PathBuf,
    },
    /// The directory holds no repository.
    #[error("{} holds no repository (it has no folder `rosters`)", path.display())]
    NotARepository {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is no portable medium.
    #[error("{} is no medium: {reason}", path.display())]
    NotAMedium {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A list of a medium does not decode or verify.
    #[error("{what} is damaged or forged")]
    List {
        /// Which.
        what: String,
        /// What is wrong.
        #[source]
        source: lumbung_pack::FormatError,
    },
    /// Another program writes to the medium.
    #[error("another export or import works on {}: wait until it has finished", path.display())]
    Busy {
        /// The medium.
        path: PathBuf,
    },
    /// A repository is to be made where something else lies.
    #[error("{} holds {found:?}, which is not part of a repository: choose an empty directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// A name that does not belong there.
        found: String,
    },
    /// A file that must be new exists.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A directory could not be synced: what its names say may not be on the disk.
    #[error("{} could not be synced: check the disk, then restart; nothing more is written until then", path.display())]
    Unsynced {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Nothing more is written.
    #[error("writing to {} stopped: {reason}", path.display())]
    Stopped {
        /// The repository, or where it lies.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A storage behind a network does not do it now.
    #[error("{} is not available", path.display())]
    Unavailable {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Anything else the operating system refuses.
    #[error("{} could not be {action}", path.display())]
    Io {
        /// What was tried: "read", "written" …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full { path: path.to_owned() },
            _ => Self::Io { action, path: path.to_owned(), source },
        }
    }

    /// Whether the disk cannot read a sector of it: what it held is lost, and asking again does not help.
    #[must_use]
    pub fn is_bad_sector(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.raw_os_error() == Some(Errno::IO.raw_os_error()))
    }

    /// Whether the storage itself fails: nothing is said about the object, and the next one would fail as well.
    #[must_use]
    pub const fn is_of_the_storage(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::Stopped { .. }
                | Self::Unsynced { .. }
                | Self::Unavailable { .. }
        )
    }

    /// Whether this object, and perhaps no other, cannot be had: it is damaged, or the medium or the system does not give it.
    #[must_use]
    pub fn is_of_the_object(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::TooLarge { .. } => true,
            Self::Io { source, .. } => {
                self.is_bad_sector() || source.kind() == std::io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }

    /// Whether the object is simply not here.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Lower-case hex of an id.
pub(crate) fn hex(id: &[u8; 32]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(64);
    for byte in id {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text
}
