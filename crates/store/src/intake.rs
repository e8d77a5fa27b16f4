//! Checks a pack while it arrives: head first, then every frame against the head's table. Pure.
//!
//! Invariants: holds at most one head or one frame in memory; a length is checked against the format's
//! limits before memory is taken for it; [`PackChecker::finish`] says yes only if every byte was
//! covered by the pack's id and nothing followed.

use lumbung_model::PackId;
use lumbung_pack::limits::{FRAME_ENTRY_BYTES, PACK_FIXED_BYTES, PACK_MAX_BYTES, PACK_MAX_FRAMES};
use lumbung_pack::{FormatError, PackTable};

/// Why bytes are not the pack they are called.
#[derive(Debug, thiserror::Error)]
pub enum PackFault {
    /// The header or table breaks the format.
    #[error("its header or table breaks the format")]
    Head(#[source] FormatError),
    /// The table is longer than any pack's.
    #[error("its table would have {found} bytes; {limit} are allowed")]
    Table {
        /// Bytes of header and table.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Header and table hash to something else.
    #[error("its header and table have the id {found}")]
    Id {
        /// What they hash to.
        found: PackId,
    },
    /// The pack is longer than any may be.
    #[error("it would have {found} bytes; {limit} are allowed")]
    Size {
        /// Bytes of the whole pack.
        found: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A frame does not match the table.
    #[error("frame {frame} does not match the table")]
    Frame {
        /// Number of the frame.
        frame: usize,
        /// What does not match.
        #[source]
        source: FormatError,
    },
    /// The bytes ended too early.
    #[error("it ends after {found} bytes, before its last frame does")]
    Truncated {
        /// Bytes that came.
        found: u64,
    },
    /// Something follows the last frame.
    #[error("bytes follow its last frame")]
    Trailing,
}

/// Takes a pack's bytes in pieces of any size and checks them as they come.
#[derive(Debug)]
pub struct PackChecker {
    id: PackId,
    /// The head, or the frame, that is not complete yet.
    partial: Vec<u8>,
    /// How many bytes `partial` needs.
    needed: usize,
    table: Option<PackTable>,
    frame: usize,
    seen: u64,
}

impl PackChecker {
    /// Expects the pack with this id.
    #[must_use]
    pub const fn new(id: PackId) -> Self {
        Self { id, partial: Vec::new(), needed: PACK_FIXED_BYTES, table: None, frame: 0, seen: 0 }
    }

    /// The table, once the head has arrived and matched the id.
    #[must_use]
    pub const fn table(&self) -> Option<&PackTable> {
        self.table.as_ref()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What does not match. Nothing after that can make it a pack.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), PackFault> {
        while !bytes.is_empty() {
            if self.table.as_ref().is_some_and(|table| self.frame == table.frames.len()) {
                return Err(PackFault::Trailing);
            }
            let take = bytes.len().min(self.needed - self.partial.len());
            let (now, later) = bytes.split_at(take);
            self.partial.extend_from_slice(now);
            self.seen += take as u64;
            bytes = later;
            if self.partial.len() == self.needed {
                self.complete()?;
            }
        }
        Ok(())
    }

    /// A head or a frame is complete.
    fn complete(&mut self) -> Result<(), PackFault> {
        if let Some(table) = &self.table {
            let frame = self.frame;
            table
                .verify_frame(frame, &self.partial)
                .map_err(|source| PackFault::Frame { frame, source })?;
            self.frame += 1;
            self.expect_frame();
            return Ok(());
        }
        if self.needed == PACK_FIXED_BYTES {
            let head = PackTable::head_length(&self.partial).map_err(PackFault::Head)?;
            let limit = PACK_FIXED_BYTES + FRAME_ENTRY_BYTES * PACK_MAX_FRAMES;
            if head > limit {
                return Err(PackFault::Table { found: head, limit });
            }
            if head > PACK_FIXED_BYTES {
                self.needed = head;
                return Ok(());
            }
        }
        self.complete_head()
    }

    fn complete_head(&mut self) -> Result<(), PackFault> {
        // The id first: it costs one hash, and what does not match it is not worth decoding.
        let found = PackId::from_bytes(lumbung_pack::object_id(&self.partial));
        if found != self.id {
            return Err(PackFault::Id { found });
        }
        let table = PackTable::decode(&self.partial).map_err(PackFault::Head)?;
        if table.total_length() > PACK_MAX_BYTES as u64 {
            return Err(PackFault::Size {
                found: table.total_length(),
                limit: PACK_MAX_BYTES as u64,
            });
        }
        self.table = Some(table);
        self.expect_frame();
        Ok(())
    }

    fn expect_frame(&mut self) {
        self.partial.clear();
        let entry = self.table.as_ref().and_then(|table| table.frames.get(self.frame));
        self.needed = entry.map_or(0, |entry| entry.stored_length as usize);
    }

    /// The table, if the whole pack has arrived and every frame matched.
    ///
    /// # Errors
    /// [`PackFault::Truncated`] if not.
    pub fn finish(self) -> Result<PackTable, PackFault> {
        match self.table {
            Some(table) if self.frame == table.frames.len() => Ok(table),
            _ => Err(PackFault::Truncated { found: self.seen }),
        }
    }
}
