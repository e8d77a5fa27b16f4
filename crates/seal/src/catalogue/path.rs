//! Paths in the catalogue: relative to the file system's root, as bytes, in path order.

use std::cmp::Ordering;

use lumbung_pack::limits::PATH_MAX_BYTES;

use super::CatalogueError;

/// Path order: component by component, as bytes; a folder's contents follow it directly.
#[must_use]
pub fn path_cmp(left: &[u8], right: &[u8]) -> Ordering {
    // `/` sorts below every other byte.
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    match left.iter().zip(right).find(|(l, r)| l != r) {
        Some((l, r)) => rank(*l).cmp(&rank(*r)),
        None => left.len().cmp(&right.len()),
    }
}

/// Refuses a path that could lead out of a target folder or that has a second spelling. The empty
/// path is the root directory.
///
/// # Errors
/// If the path is absolute, too long, or has a NUL or an empty, `.` or `..` component.
pub fn check_path(path: &[u8]) -> Result<(), CatalogueError> {
    if path.len() > PATH_MAX_BYTES {
        return Err(CatalogueError::path(&path[..64], "it is longer than 65,536 bytes"));
    }
    if path.is_empty() {
        return Ok(());
    }
    if path.contains(&0) {
        return Err(CatalogueError::path(path, "it has a NUL"));
    }
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" => return Err(CatalogueError::path(path, "it has an empty component")),
            b"." | b".." => return Err(CatalogueError::path(path, "it has a component . or ..")),
            _ => {}
        }
    }
    Ok(())
}

/// The folder that a path lies in; none for the root directory.
#[must_use]
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    Some(path.iter().rposition(|byte| *byte == b'/').map_or(&[], |slash| &path[..slash]))
}

/// How many bytes two paths begin with in common.
pub(super) fn shared_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}
