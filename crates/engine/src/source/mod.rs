//! Reading the live file system: what is there, with every attribute, without following a link.
//!
//! Everything is opened relative to its directory's descriptor with `O_NOFOLLOW`, so that a tree that
//! changes underneath can at worst make an entry fail, never lead the walk elsewhere.

mod attributes;
mod directory;
mod names;
mod stat;
mod walk;

pub(crate) use attributes::{attributes_of, attributes_of_link, extents_of, read_link};
pub(crate) use directory::Listing;
pub(crate) use names::Names;
pub(crate) use stat::{FileKind, Stat, errno_of, wait_for_next_tick};
pub(crate) use walk::{Sources, Visit, VisitKind, Walk, WalkOptions, open_directory, sources};
