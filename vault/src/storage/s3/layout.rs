//! How a pack lies in its object: whole, or without the frames that were dropped (`docs/storage.md`). Pure.
//!
//! A bucket cannot punch holes, so what is left of a pack moves together: header and table, then a presence map
//! (`docs/format.md` §20) that says which frames follow, then these frames. The object so describes itself, and
//! one PUT changes map and frames at once. Offsets outside of here always mean the pack's own table.

use std::ops::Range;

use lumbung_model::PackId;
use lumbung_pack::{Bitmap, PackTable};
use lumbung_store::{decode_presence, encode_presence};

/// Consecutive bytes of the pack.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// Where they are in the pack.
    pack: Range<u64>,
    /// Where they begin in the object; nothing if their frame was dropped.
    stored: Option<u64>,
}

/// The layout of a pack of which frames were dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    runs: Vec<Run>,
    present: Bitmap,
    /// Bytes of the object.
    stored_length: u64,
    /// Bytes of the pack.
    length: u64,
}

pub(super) fn number(frame: usize) -> u32 {
    u32::try_from(frame).unwrap_or(u32::MAX)
}

/// What an object with these frames begins with.
pub(super) fn head(table: &PackTable, present: &Bitmap) -> Vec<u8> {
    let mut head = table.encode();
    if !present.is_full() {
        head.extend(encode_presence(&table.id(), present));
    }
    head
}

impl Layout {
    /// The layout of an object with these frames.
    pub(super) fn new(table: &PackTable, present: Bitmap) -> Self {
        let head = table.frame_range(0).start;
        let mut at = self::head(table, &present).len() as u64;
        let mut runs = vec![Run { pack: 0..head, stored: Some(0) }];
        for frame in 0..table.frames.len() {
            let pack = table.frame_range(frame);
            let stored = present.get(number(frame)).then_some(at);
            at += stored.map_or(0, |_| pack.end - pack.start);
            runs.push(Run { pack, stored });
        }
        Self { runs, present, stored_length: at, length: table.total_length() }
    }

    /// The layout of an object that begins with `bytes`; nothing if it is a whole pack. `bytes` must reach to the
    /// end of the map, see [`Layout::reach`].
    pub(super) fn find(table: &PackTable, bytes: &[u8]) -> Option<Self> {
        let id: PackId = table.id();
        let frames = table.frame_count();
        let from = table.encode().len();
        let to = from + encode_presence(&id, &Bitmap::new(frames)).len();
        let present = decode_presence(&id, frames, bytes.get(from..to)?)?;
        Some(Self::new(table, present))
    }

    /// How many bytes [`Layout::find`] needs.
    pub(super) fn reach(table: &PackTable) -> usize {
        head(table, &table.no_frames()).len()
    }

    /// Whether an object of so many bytes, whose own map cannot be read, has this layout and not a whole pack's.
    pub(super) const fn fits(&self, stored: u64) -> bool {
        stored == self.stored_length && stored != self.length
    }

    pub(super) const fn present(&self) -> &Bitmap {
        &self.present
    }

    /// Bytes of the pack, if the object has all the bytes that it should have.
    pub(super) const fn length(&self, stored: u64) -> u64 {
        if stored == self.stored_length { self.length } else { stored }
    }

    /// Bytes of the pack.
    pub(super) const fn pack_length(&self) -> u64 {
        self.length
    }

    /// Where bytes of the pack are in the object, in order: a range of it, or so many bytes that were dropped.
    pub(super) fn pieces(&self, wanted: &Range<u64>) -> Vec<Result<Range<u64>, u64>> {
        let mut pieces: Vec<Result<Range<u64>, u64>> = Vec::new();
        for run in &self.runs {
            let start = run.pack.start.max(wanted.start);
            let end = run.pack.end.min(wanted.end);
            if start >= end {
                continue;
            }
            let piece = match run.stored {
                Some(stored) => {
                    let from = stored + (start - run.pack.start);
                    Ok(from..from + (end - start))
                }
                None => Err(end - start),
            };
            match (pieces.last_mut(), &piece) {
                (Some(Ok(last)), Ok(next)) if last.end == next.start => last.end = next.end,
                _ => pieces.push(piece),
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(lengths: &[usize]) -> (PackTable, Vec<u8>) {
        lumbung_store::sample::pack([5; 32], lengths, |n| [u8::try_from(n).unwrap(); 32])
    }

    /// Every range of every layout gives the pack's own bytes, and zeros where frames were dropped.
    #[test]
    fn ranges_mean_the_packs_own_offsets() {
        let (table, whole) = pack(&[3, 1, 7, 2]);
        assert_eq!(Layout::find(&table, &whole), None);
        for mask in 0..15_u8 {
            let present = Bitmap::from_bytes(4, &[mask]).unwrap();
            let mut object = head(&table, &present);
            let mut expected = whole.clone();
            for frame in 0..4 {
                let range = table.frame_range(frame);
                let range =
                    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                if present.get(number(frame)) {
                    object.extend(&whole[range]);
                } else {
                    expected[range].fill(0);
                }
            }
            assert!(Layout::reach(&table) <= object.len());
            let layout = Layout::find(&table, &object).unwrap();
            assert_eq!(layout.present(), &present);
            assert_eq!(layout.length(object.len() as u64), whole.len() as u64);
            assert_eq!(layout.length(object.len() as u64 - 1), object.len() as u64 - 1);
            let from = table.encode().len() - 2;
            for start in from..=whole.len() {
                for end in start..=whole.len() {
                    let mut read = Vec::new();
                    for piece in layout.pieces(&(start as u64..end as u64)) {
                        match piece {
                            Ok(range) => read.extend(
                                &object[usize::try_from(range.start).unwrap()
                                    ..usize::try_from(range.end).unwrap()],
                            ),
                            Err(gone) => {
                                read.resize(read.len() + usize::try_from(gone).unwrap(), 0)
                            }
                        }
                    }
                    assert_eq!(read, expected[start..end], "{mask:04b} {start}..{end}");
                }
            }
        }
    }
}
