//! Extended attributes (ACLs and capabilities among them), link targets and the extents of sparse files.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Names and values, ascending by name.
pub(crate) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A name list or a value is at most this long in Linux.
const ATTRIBUTE_MAX_BYTES: usize = 64 << 10;
/// A file with more extents than this is kept without its holes.
const MAX_EXTENTS: usize = 1 << 20;

fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODATA)
}

fn grow<T>(mut call: impl FnMut(&mut Vec<u8>) -> Result<T, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = Vec::with_capacity(256);
    match call(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer = Vec::with_capacity(ATTRIBUTE_MAX_BYTES);
            call(&mut buffer).map(|_| buffer)
        }
        other => other.map(|_| buffer),
    }
}

fn collect(
    names: Result<Vec<u8>, Errno>,
    mut value: impl FnMut(&[u8]) -> Result<Vec<u8>, Errno>,
) -> Result<Attributes, Errno> {
    let names = match names {
        Ok(names) => names,
        Err(error) if is_unsupported(error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut attributes = Vec::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        match value(name) {
            Ok(bytes) => attributes.push((name.to_vec(), bytes)),
            // Removed since the list was read, or kept from us by a security module.
            Err(error)
                if is_unsupported(error) || error == Errno::PERM || error == Errno::ACCESS => {}
            Err(error) => return Err(error),
        }
    }
    attributes.sort_unstable();
    Ok(attributes)
}

/// The attributes of an open file.
pub(crate) fn attributes_of(file: impl AsFd) -> Result<Attributes, Errno> {
    let file = file.as_fd();
    let names = {
        let mut buffer = [0_u8; 256];
        match rustix::fs::flistxattr(file, &mut buffer[..]) {
            Ok(0) => return Ok(Vec::new()),
            Ok(length) => Ok(buffer[..length].to_vec()),
            Err(Errno::RANGE) => {
                grow(|buffer| rustix::fs::flistxattr(file, rustix::buffer::spare_capacity(buffer)))
            }
            Err(error) => Err(error),
        }
    };
    collect(names, |name| {
        grow(|buffer| rustix::fs::fgetxattr(file, name, rustix::buffer::spare_capacity(buffer)))
    })
}

/// The attributes of something that cannot be opened for reading: a link, a device, a socket. Named
/// through the directory's descriptor; without `/proc` there are none.
pub(crate) fn attributes_of_link(directory: impl AsFd, name: &[u8]) -> Result<Attributes, Errno> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(if name.is_empty() { b"." } else { name });
    let names = match grow(|buffer| {
        rustix::fs::llistxattr(&path[..], rustix::buffer::spare_capacity(buffer))
    }) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other,
    };
    collect(names, |name| {
        grow(|buffer| {
            rustix::fs::lgetxattr(&path[..], name, rustix::buffer::spare_capacity(buffer))
        })
    })
}

/// What a symbolic link says.
pub(crate) fn read_link(directory: impl AsFd, name: &[u8]) -> Result<Vec<u8>, Errno> {
    rustix::fs::readlinkat(directory, name, Vec::new()).map(std::ffi::CString::into_bytes)
}

/// The extents of an open file that hold data, as (offset, length); none if it has no holes or its file
/// system does not tell.
pub(crate) fn extents_of(file: impl AsFd, size: u64) -> Result<Option<Vec<(u64, u64)>>, Errno> {
    let file = file.as_fd();
    let mut extents = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(position)) {
            Ok(start) => start.min(size),
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error),
        };
        if start >= size {
            break;
        }
        let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
            Ok(end) => end.min(size),
            Err(Errno::NXIO) => size,
            Err(error) => return Err(error),
        };
        if end <= start || extents.len() == MAX_EXTENTS {
            return Ok(None);
        }
        extents.push((start, end - start));
        position = end;
    }
    Ok((extents != [(0, size)]).then_some(extents))
}
