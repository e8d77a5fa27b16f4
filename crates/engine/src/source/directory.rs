//! The names in a directory, sorted as bytes, in one block of memory: a million names stay small.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::RawDir;
use rustix::io::Errno;

const BUFFER_BYTES: usize = 32 << 10;

/// Names of a directory in ascending order, without `.` and `..`.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    bytes: Vec<u8>,
    names: Vec<(u32, u16)>,
}

impl Listing {
    /// Reads a directory that was just opened.
    pub(crate) fn read(directory: impl AsFd) -> Result<Self, Errno> {
        let mut listing = Self::default();
        let mut buffer = vec![MaybeUninit::<u8>::uninit(); BUFFER_BYTES];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                listing.push(name)?;
            }
        }
        listing.sort();
        Ok(listing)
    }

    /// A listing of given names.
    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Errno> {
        let mut listing = Self::default();
        names.into_iter().try_for_each(|name| listing.push(name))?;
        listing.sort();
        Ok(listing)
    }

    fn push(&mut self, name: &[u8]) -> Result<(), Errno> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| Errno::NOMEM)?;
        let length = u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        self.bytes.extend_from_slice(name);
        self.names.push((start, length));
        Ok(())
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.names.sort_unstable_by(|a, b| slice(bytes, *a).cmp(slice(bytes, *b)));
    }

    /// How many names.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Name number `i`.
    pub(crate) fn get(&self, i: usize) -> Option<&[u8]> {
        self.names.get(i).map(|place| slice(&self.bytes, *place))
    }
}

fn slice(bytes: &[u8], (start, length): (u32, u16)) -> &[u8] {
    &bytes[start as usize..start as usize + usize::from(length)]
}
