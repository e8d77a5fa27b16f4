//! One file that is made while it is read: a file system of a single file, spoken to the kernel by its FUSE protocol.
//!
//! The file's bytes depend on their offset and nothing else, no two megabytes of them are alike, and none of them
//! takes room anywhere. Answers what a walk and a reader ask; everything else "is not implemented", which the
//! kernel turns into the same for its caller. Mounting needs root.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::corpora::Numbers;

/// The file's name.
pub(super) const NAME: &str = "stream.sql";

const ROOT: u64 = 1;
const FILE: u64 = 2;
/// Read at once by the kernel.
const MAX_READ: u32 = 1 << 20;
const HEADER_BYTES: usize = 40;
/// Large enough for any request: nothing is ever written to this file system.
const REQUEST_BYTES: usize = 64 << 10;

const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// The file system, mounted; dropping it takes it away.
pub(super) struct Stream {
    directory: PathBuf,
    server: Option<JoinHandle<std::io::Result<()>>>,
}

impl Stream {
    /// Mounts a file of `length` bytes in `directory`.
    pub(super) fn mount(directory: &Path, length: u64) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .context("/dev/fuse cannot be opened: this benchmark needs root and FUSE")?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,max_read={MAX_READ}",
            device.as_raw_fd()
        );
        let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::RDONLY;
        let options = std::ffi::CString::new(options)?;
        mount("lumbung-bench", directory, "fuse", flags, options.as_c_str())
            .with_context(|| format!("{} cannot be mounted: run as root", directory.display()))?;
        let server = std::thread::spawn(move || serve(&device, length));
        Ok(Self { directory: directory.to_owned(), server: Some(server) })
    }

    /// Takes it away, and tells whether it was served to the end.
    pub(super) fn unmount(mut self) -> Result<()> {
        unmount(&self.directory, UnmountFlags::empty())?;
        match self.server.take().map(JoinHandle::join) {
            Some(Ok(served)) => Ok(served?),
            _ => bail!("the stream's server stopped unexpectedly"),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.server.is_some() {
            // Somebody may still have the file open; it goes with him.
            let _ = unmount(&self.directory, UnmountFlags::DETACH);
        }
    }
}

/// Integers of a message, one after the other.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn attributes(self, node: u64, length: u64) -> Self {
        let directory = node == ROOT;
        let (size, mode, links) =
            if directory { (0, 0o040_755, 2) } else { (length, 0o100_644, 1) };
        // Long ago: nothing has to be read again because it might be changing.
        let (time, blocks) = (1_700_000_000, size.div_ceil(512));
        let sized = self.u64(node).u64(size).u64(blocks).u64(time).u64(time).u64(time);
        sized.u32(0).u32(0).u32(0).u32(mode).u32(links).u32(0).u32(0).u32(0).u32(4096).u32(0)
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..offset + 4)
        .map_or(0, |b| u32::from_ne_bytes(b.try_into().expect("four bytes")))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..offset + 8)
        .map_or(0, |b| u64::from_ne_bytes(b.try_into().expect("eight bytes")))
}

/// Answers until the file system is unmounted.
fn serve(mut device: &File, length: u64) -> std::io::Result<()> {
    const ENODEV: i32 = 19;
    let mut request = vec![0; REQUEST_BYTES];
    let mut content = vec![0; MAX_READ as usize];
    loop {
        let read = match device.read(&mut request) {
            Ok(read) => read,
            Err(error) if error.raw_os_error() == Some(ENODEV) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let request = &request[..read];
        let (code, unique, node) = (u32_at(request, 4), u64_at(request, 8), u64_at(request, 16));
        let body = request.get(HEADER_BYTES..).unwrap_or_default();
        // FORGET, INTERRUPT and BATCH_FORGET have no answer.
        if matches!(code, 2 | 36 | 42) {
            continue;
        }
        let mut part: &[u8] = &[];
        let answer = if code == 15 {
            let (offset, wanted) = (u64_at(body, 8), u32_at(body, 16).min(MAX_READ));
            let there = length.saturating_sub(offset).min(u64::from(wanted));
            let there = usize::try_from(there).unwrap_or(0);
            fill(offset, &mut content[..there]);
            part = &content[..there];
            Ok(Message::default())
        } else {
            answer(code, node, body, length)
        };
        let (error, message) = match answer {
            Ok(message) => (0, message.0),
            Err(errno) => (-errno, Vec::new()),
        };
        let mut out = Vec::with_capacity(16 + message.len() + part.len());
        let total = 16 + message.len() + part.len();
        out.extend_from_slice(&u32::try_from(total).unwrap_or(u32::MAX).to_ne_bytes());
        out.extend_from_slice(&error.to_ne_bytes());
        out.extend_from_slice(&unique.to_ne_bytes());
        out.extend_from_slice(&message);
        out.extend_from_slice(part);
        match device.write_all(&out) {
            // Whoever asked was killed meanwhile.
            Err(error) if error.raw_os_error() == Some(ENOENT) => {}
            other => other?,
        }
    }
}

/// Everything but reading the file.
fn answer(code: u32, node: u64, body: &[u8], length: u64) -> Result<Message, i32> {
    let empty = Message::default();
    Ok(match code {
        // INIT: version 7.31, asynchronous reads, many pages at once.
        26 => {
            const ASYNC_READ: u32 = 1;
            const MAX_PAGES: u32 = 1 << 22;
            let flags = u32_at(body, 12) & (ASYNC_READ | MAX_PAGES);
            let versions = empty.u32(7).u32(31).u32(u32_at(body, 8)).u32(flags);
            let limits = versions.u32((16 << 16) | 16).u32(4096).u32(1).u32(MAX_READ / 4096);
            (0..8).fold(limits, |message, _| message.u32(0))
        }
        // LOOKUP
        1 if node == ROOT && body.strip_suffix(b"\0") == Some(NAME.as_bytes()) => {
            let found = empty.u64(FILE).u64(0).u64(60).u64(60).u32(0).u32(0);
            found.attributes(FILE, length)
        }
        1 => return Err(ENOENT),
        // GETATTR
        3 => empty.u64(60).u32(0).u32(0).attributes(node, length),
        // OPEN and OPENDIR
        14 | 27 => empty.u64(0).u32(0).u32(0),
        // READDIR
        28 if u64_at(body, 8) == 0 => {
            let name = u32::try_from(NAME.len()).unwrap_or(0);
            let mut entry = empty.u64(FILE).u64(1).u32(name).u32(8);
            entry.0.extend_from_slice(NAME.as_bytes());
            entry.0.resize(entry.0.len().next_multiple_of(8), 0);
            entry
        }
        // The end of READDIR; RELEASE, FLUSH, RELEASEDIR, DESTROY.
        28 | 18 | 25 | 29 | 38 => empty,
        _ => return Err(ENOSYS),
    })
}

/// Bytes of a line. Its number, half of it counted and half of it mixed, makes it different from every other.
const LINE: &[u8; 64] = b"(0000000000000000,'Dinas Kependudukan','Kota Medan','aktif',1),\n";

/// The file's bytes at `offset`.
fn fill(offset: u64, bytes: &mut [u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let width = LINE.len();
    let mut number = offset / width as u64;
    let mut skip = usize::try_from(offset % width as u64).unwrap_or(0);
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut line = *LINE;
        let value = number << 32 | Numbers(number).next() >> 32;
        for (place, byte) in
            line[1..17].iter_mut().zip((0..16).rev().map(|n| value >> (4 * n) & 15))
        {
            *place = HEX[usize::try_from(byte).unwrap_or(0)];
        }
        let length = (width - skip).min(rest.len());
        let (now, later) = rest.split_at_mut(length);
        now.copy_from_slice(&line[skip..skip + length]);
        (rest, skip, number) = (later, 0, number + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_depend_on_their_offset_only() {
        let mut whole = vec![0; 10_000];
        fill(0, &mut whole);
        for (from, to) in [(0, 1), (1, 64), (63, 65), (100, 9_999), (4096, 8192)] {
            let mut part = vec![0; to - from];
            fill(from as u64, &mut part);
            assert_eq!(part, whole[from..to]);
        }
        let lines: std::collections::HashSet<&[u8]> = whole.chunks_exact(64).collect();
        assert_eq!(lines.len(), 156);
    }
}
