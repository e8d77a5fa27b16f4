//! Packs of a repository in a bucket: received into memory while they are checked, then written by one PUT; read
//! by ranges. How a pack lies in its object is `layout`'s.
//!
//! One PUT and not a multipart upload: a pack has at most 32 MiB, so one request is enough and half the requests
//! of a multipart upload, is atomic and conditional everywhere, and leaves no parts behind that somebody would
//! have to sweep. The price is one pack of memory for each pack that is on its way in; `requests` bounds them.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lumbung_model::PackId;
use lumbung_pack::limits::{FRAME_ENTRY_BYTES, PACK_FIXED_BYTES, PACK_MAX_BYTES, PACK_MAX_FRAMES};
use lumbung_pack::{Bitmap, Kind, PackTable};
use lumbung_store::{PackChecker, PutOutcome, StoreError};

use super::bucket::{Fault, When};
use super::layout::{self, Layout, number};
use super::objects::Objects;
use crate::storage::{PackRead, PackSink, PartialPackSink};

/// Bytes that come with opening a pack: header and table of nearly every one.
const FIRST_READ: u64 = 64 << 10;
/// Bytes that are fetched at once where one reads on.
const READ_ON: u64 = 4 << 20;

/// The longest header and table.
const HEAD_MAX: usize = PACK_FIXED_BYTES + FRAME_ENTRY_BYTES * PACK_MAX_FRAMES;

/// A pack on its way in.
pub(super) struct Sink {
    objects: Objects,
    id: PackId,
    checker: PackChecker,
    bytes: Vec<u8>,
}

impl Sink {
    pub(super) const fn new(objects: Objects, id: &PackId) -> Self {
        Self { objects, id: *id, checker: PackChecker::new(*id), bytes: Vec::new() }
    }

    fn finish_as(self, when: When) -> Result<PutOutcome, StoreError> {
        let id = *self.id.as_bytes();
        self.checker.finish().map_err(|fault| StoreError::Pack { id, fault })?;
        let bytes = Bytes::from(self.bytes);
        let outcome = self.objects.write(Kind::Pack, &id, bytes, when)?;
        if outcome == PutOutcome::Created {
            // All of it is here now.
            self.objects.forget_presence(&self.id)?;
        }
        Ok(outcome)
    }
}

impl PackSink for Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let id = *self.id.as_bytes();
        let knew = self.checker.table().is_some();
        self.checker.push(bytes).map_err(|fault| StoreError::Pack { id, fault })?;
        if let Some(table) = self.checker.table().filter(|_| !knew) {
            // The checker has held the table against the limits.
            let length = usize::try_from(table.total_length()).unwrap_or(PACK_MAX_BYTES);
            self.bytes.reserve_exact(length.saturating_sub(self.bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn table(&self) -> Option<&PackTable> {
        self.checker.table()
    }

    fn finish(self: Box<Self>) -> Result<PutOutcome, StoreError> {
        self.finish_as(When::New)
    }

    fn finish_over(self: Box<Self>) -> Result<PutOutcome, StoreError> {
        self.finish_as(When::Always)
    }
}

/// Bytes that were fetched last.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let from = index(range.start.checked_sub(self.start)?);
        let to = index(range.end.checked_sub(self.start)?);
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

/// What is known of the object behind an open pack.
struct State {
    /// The object's tag: another one means other bytes, and perhaps another layout.
    tag: String,
    /// Bytes of the object.
    stored: u64,
    layout: Option<Arc<Layout>>,
    /// Whether the layout was looked for: its own head, where it is damaged, does not say where its map is.
    settled: bool,
    window: Window,
}

impl State {
    /// Whether the object has all bytes of a range of the pack, or they were dropped.
    fn has(&self, range: &Range<u64>) -> bool {
        let Some(layout) = &self.layout else { return range.end <= self.stored };
        range.end <= layout.pack_length()
            && layout.pieces(range).iter().flatten().all(|stored| stored.end <= self.stored)
    }
}

/// Why bytes of the object are not at hand.
enum Unread {
    /// The object was written anew since it was opened.
    Changed,
    Failed(StoreError),
}

/// A pack that is open for reading.
pub(super) struct Pack {
    objects: Objects,
    id: PackId,
    state: Mutex<State>,
}

impl Pack {
    pub(super) fn open(objects: Objects, id: &PackId) -> Result<Self, StoreError> {
        let state = Mutex::new(begin(&objects, id)?);
        Ok(Self { objects, id: *id, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tag of the object as it was opened.
    fn tag(&self) -> String {
        self.state().tag.clone()
    }

    fn layout(&self) -> Option<Arc<Layout>> {
        self.state().layout.clone()
    }

    /// Finds the layout of an object whose own head is damaged.
    fn settle(&self, table: &PackTable) -> Result<(), StoreError> {
        let (mut bytes, stored) = {
            let state = self.state();
            if state.settled {
                return Ok(());
            }
            let known =
                if state.window.start == 0 { state.window.bytes.clone() } else { Bytes::new() };
            (known, state.stored)
        };
        let reach = Layout::reach(table) as u64;
        if (bytes.len() as u64) < reach.min(stored) {
            bytes = self.stored(0..reach.min(stored)).map_err(|unread| match unread {
                Unread::Failed(error) => error,
                Unread::Changed => StoreError::Changed { id: *self.id.as_bytes() },
            })?;
        }
        let layout = find_layout(&self.objects, table, &bytes, stored)?;
        let mut state = self.state();
        state.layout = layout;
        state.settled = true;
        Ok(())
    }

    /// Whether it is known where each frame lies: an object that has neither a map nor a whole pack's length may be a
    /// whole pack that was cut short as well as one without some frames.
    fn lies_clear(&self, table: &PackTable) -> bool {
        let state = self.state();
        state.layout.is_some() || state.stored == table.total_length()
    }

    /// Which frames the object has.
    fn present(&self, table: &PackTable) -> Bitmap {
        self.layout().map_or_else(|| table.all_frames(), |layout| layout.present().clone())
    }

    /// As [`Pack::present`], where the object's own head may be damaged.
    pub(super) fn present_settled(&self, table: &PackTable) -> Result<Bitmap, StoreError> {
        self.settle(table)?;
        Ok(self.present(table))
    }

    /// Frames of which there are no bytes, among those that should be here: by its map, or by who counts on them.
    fn lost(&self, table: &PackTable, counted: &Bitmap) -> Result<Bitmap, StoreError> {
        let present = self.present_settled(table)?;
        let mut lost = counted.minus(&present);
        let state = self.state();
        for frame in present.iter_ones() {
            if !state.has(&table.frame_range(frame as usize)) {
                lost.set(frame);
            }
        }
        drop(state);
        Ok(lost)
    }

    fn range_error(&self, offset: u64, wanted: u64) -> StoreError {
        StoreError::Range { id: *self.id.as_bytes(), length: self.length(), offset, wanted }
    }

    /// Bytes at the pack's own offsets; zeros where a frame was dropped.
    fn bytes(&self, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let wanted = length as u64;
        let end = offset.checked_add(wanted).filter(|_| length <= PACK_MAX_BYTES);
        let end = end.ok_or_else(|| self.range_error(offset, wanted))?;
        // A repair or a sweep may come in between; several of them during one read do not.
        for _ in 0..4 {
            match self.try_bytes(offset..end) {
                Ok(bytes) => return Ok(bytes),
                Err(Unread::Failed(error)) => return Err(error),
                Err(Unread::Changed) => {
                    let state = begin(&self.objects, &self.id)?;
                    *self.state() = state;
                }
            }
        }
        Err(StoreError::Changed { id: *self.id.as_bytes() })
    }

    fn try_bytes(&self, range: Range<u64>) -> Result<Bytes, Unread> {
        if !self.state().has(&range) {
            return Err(Unread::Failed(self.range_error(range.start, range.end - range.start)));
        }
        let Some(layout) = self.layout() else { return self.stored(range) };
        let mut all = Vec::with_capacity(index(range.end - range.start));
        for piece in layout.pieces(&range) {
            match piece {
                Ok(stored) => all.extend_from_slice(&self.stored(stored)?),
                Err(dropped) => all.resize(all.len() + index(dropped), 0),
            }
        }
        Ok(all.into())
    }

    /// Bytes of the object.
    fn stored(&self, range: Range<u64>) -> Result<Bytes, Unread> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (tag, fetch) = {
            let state = self.state();
            if let Some(bytes) = state.window.get(&range) {
                return Ok(bytes);
            }
            let reads_on = (state.window.start..=state.window.end()).contains(&range.start);
            let on = if reads_on { range.start + READ_ON } else { range.end };
            (state.tag.clone(), range.start..on.min(state.stored).max(range.end))
        };
        let start = fetch.start;
        let (bucket, key, id) = self.target();
        let read = self.objects.shared.wait(async move {
            let failed = |fault| bucket.failed_for(Kind::Pack, &id, 0, fault);
            let same = |meta: &object_store::ObjectMeta| meta.e_tag.as_deref() == Some(&*tag);
            match bucket.range(&key, fetch).await {
                Ok((bytes, meta)) => Ok(same(&meta).then_some(bytes)),
                // A range that the object no longer has is refused, as is much else.
                Err(Fault::Other(error)) => match bucket.head(&key).await {
                    Ok(meta) if !same(&meta) => Ok(None),
                    _ => Err(failed(Fault::Other(error))),
                },
                Err(fault) => Err(failed(fault)),
            }
        });
        let bytes = read.map_err(Unread::Failed)?.ok_or(Unread::Changed)?;
        let window = Window { start, bytes };
        let asked = window.get(&range).ok_or_else(|| {
            Unread::Failed(self.range_error(range.start, range.end - range.start))
        })?;
        self.state().window = window;
        Ok(asked)
    }

    fn target(&self) -> (super::bucket::Bucket, object_store::path::Path, [u8; 32]) {
        let key = self.objects.key(Kind::Pack, self.id.as_bytes());
        (self.objects.bucket(), key, *self.id.as_bytes())
    }
}

/// Looks at the object: its first bytes, its tag, its layout.
fn begin(objects: &Objects, id: &PackId) -> Result<State, StoreError> {
    let (bytes, meta) = first_bytes(objects, id, FIRST_READ)?;
    let mut state = State {
        tag: meta.e_tag.unwrap_or_default(),
        stored: meta.size,
        layout: None,
        settled: false,
        window: Window { start: 0, bytes },
    };
    let head = |bytes: &[u8]| {
        let fixed = bytes.get(..PACK_FIXED_BYTES)?;
        PackTable::head_length(fixed).ok().filter(|length| *length <= HEAD_MAX)
    };
    let Some(length) = head(&state.window.bytes) else { return Ok(state) };
    // A mark that was lost shows by the length, so that most packs cost one request and no look for a map.
    let whole = lumbung_store::decode_head(id.as_bytes(), &state.window.bytes)
        .is_ok_and(|table| table.total_length() == state.stored);
    if whole && !objects.may_lack_frames(id)? {
        state.settled = true;
        return Ok(state);
    }
    // The map has a bit for each frame; a table has many bytes for each.
    let reach = 2 * length as u64;
    if reach > FIRST_READ && state.stored > FIRST_READ {
        let (bytes, meta) = first_bytes(objects, id, reach)?;
        state.tag = meta.e_tag.unwrap_or_default();
        state.stored = meta.size;
        state.window = Window { start: 0, bytes };
    }
    if let Ok(table) = lumbung_store::decode_head(id.as_bytes(), &state.window.bytes) {
        debug_assert!(Layout::reach(&table) as u64 <= reach.max(FIRST_READ));
        state.layout = find_layout(objects, &table, &state.window.bytes, state.stored)?;
        state.settled = true;
    }
    Ok(state)
}

/// The layout of an object that begins with `bytes`: what its own map says, or else its mark, if the object is as long
/// as that means. Nothing if it is a whole pack, or nobody can say.
fn find_layout(
    objects: &Objects,
    table: &PackTable,
    bytes: &[u8],
    stored: u64,
) -> Result<Option<Arc<Layout>>, StoreError> {
    let id = table.id();
    if let Some(layout) = Layout::find(table, bytes) {
        objects.note_mark(&id)?;
        return Ok(Some(Arc::new(layout)));
    }
    if stored == table.total_length() || !objects.may_lack_frames(&id)? {
        return Ok(None);
    }
    let layout = objects.read_mark(&id, table)?.map(|present| Layout::new(table, present));
    Ok(layout.filter(|layout| layout.fits(stored)).map(Arc::new))
}

fn first_bytes(
    objects: &Objects,
    id: &PackId,
    length: u64,
) -> Result<(Bytes, object_store::ObjectMeta), StoreError> {
    let (bucket, key, id) =
        (objects.bucket(), objects.key(Kind::Pack, id.as_bytes()), *id.as_bytes());
    objects.shared.wait(async move {
        let failed = |fault| bucket.failed_for(Kind::Pack, &id, 0, fault);
        match bucket.range(&key, 0..length).await {
            Ok(found) => Ok(found),
            Err(Fault::Other(error)) => {
                // An empty object has no range at all.
                let meta = bucket.head(&key).await.map_err(failed)?;
                if meta.size == 0 {
                    Ok((Bytes::new(), meta))
                } else {
                    Err(failed(Fault::Other(error)))
                }
            }
            Err(fault) => Err(failed(fault)),
        }
    })
}

impl PackRead for Pack {
    fn length(&self) -> u64 {
        let state = self.state();
        state.layout.as_ref().map_or(state.stored, |layout| layout.length(state.stored))
    }

    fn take_table(&self, table: &PackTable) -> Result<(), StoreError> {
        self.settle(table)
    }

    fn read_range(&self, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.bytes(offset, length).map(Vec::from)
    }

    fn head(&self) -> Result<PackTable, StoreError> {
        let short = |error| match error {
            StoreError::Range { .. } => {
                damaged(&self.id, "it is shorter than its header and table".into())
            }
            other => other,
        };
        let fixed = self.bytes(0, PACK_FIXED_BYTES).map_err(short)?;
        let length =
            PackTable::head_length(&fixed).map_err(|e| damaged(&self.id, e.to_string()))?;
        if length > HEAD_MAX {
            return Err(damaged(&self.id, "its table is longer than any pack's".into()));
        }
        let head = self.bytes(0, length).map_err(short)?;
        lumbung_store::decode_head(self.id.as_bytes(), &head)
    }

    fn read_frame(&self, table: &PackTable, frame: usize) -> Result<Vec<u8>, StoreError> {
        self.settle(table)?;
        let range = table.frame_range(frame);
        let bytes = self.bytes(range.start, index(range.end - range.start))?;
        verify(&self.id, table, frame, &bytes)?;
        Ok(bytes.into())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        bytes.copy_from_slice(&self.bytes(offset, bytes.len())?);
        Ok(())
    }

    fn read_bytes(&self) -> usize {
        index(READ_ON)
    }
}

fn verify(id: &PackId, table: &PackTable, frame: usize, bytes: &[u8]) -> Result<(), StoreError> {
    let id = *id.as_bytes();
    table.verify_frame(frame, bytes).map_err(|source| StoreError::Frame { id, frame, source })
}

pub(super) fn damaged(id: &PackId, reason: String) -> StoreError {
    StoreError::Damaged { kind: Kind::Pack, id: *id.as_bytes(), reason }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// The object of a pack with these frames, each from `frame`.
fn build(
    table: &PackTable,
    present: &Bitmap,
    mut frame: impl FnMut(usize) -> Result<Bytes, StoreError>,
) -> Result<Bytes, StoreError> {
    let mut object = layout::head(table, present);
    let frames: u64 =
        present.iter_ones().map(|n| u64::from(table.frames[n as usize].stored_length)).sum();
    object.reserve_exact(index(frames));
    for number in present.iter_ones() {
        object.extend_from_slice(&frame(number as usize)?);
    }
    Ok(object.into())
}

/// Reads a pack, puts the good frames in, and writes it over the old one.
pub(super) fn repair(
    objects: &Objects,
    id: &PackId,
    table: &PackTable,
    good: &[(usize, &[u8])],
) -> Result<(), StoreError> {
    lumbung_store::check_frames(id, table, good)?;
    let old = Pack::open(objects.clone(), id)?;
    let mut present = old.present_settled(table)?;
    if !old.lies_clear(table) && good.len() < table.frames.len() && !any_in_place(&old, table) {
        return Err(unclear(id));
    }
    good.iter().for_each(|(frame, _)| present.set(number(*frame)));
    let object = build(table, &present, |frame| {
        if let Some((_, bytes)) = good.iter().find(|(number, _)| *number == frame) {
            return Ok(Bytes::copy_from_slice(bytes));
        }
        // A frame that stays bad keeps the bytes it has: a later repair may come by another way.
        let range = table.frame_range(frame);
        let length = index(range.end - range.start);
        match old.bytes(range.start, length) {
            Err(StoreError::Range { .. }) => Ok(vec![0; length].into()),
            other => other,
        }
    })?;
    drop(old);
    objects.replace(id, object, &present)
}

/// Whether some frame lies where it does in a whole pack.
fn any_in_place(pack: &Pack, table: &PackTable) -> bool {
    (0..table.frames.len()).any(|frame| pack.read_frame(table, frame).is_ok())
}

fn unclear(id: &PackId) -> StoreError {
    damaged(
        id,
        "its length is not a whole pack's, and what says which frames are left in it is lost"
            .into(),
    )
}

/// Writes a pack anew without the frames in `dropped`.
pub(super) fn drop_frames(
    objects: &Objects,
    id: &PackId,
    table: &PackTable,
    dropped: &Bitmap,
) -> Result<(), StoreError> {
    let old = Pack::open(objects.clone(), id)?;
    let before = old.present_settled(table)?;
    if !old.lies_clear(table) {
        return Err(unclear(id));
    }
    let left = before.minus(dropped);
    if left == before {
        return Ok(());
    }
    let object = build(table, &left, |frame| {
        let range = table.frame_range(frame);
        old.bytes(range.start, index(range.end - range.start))
    })?;
    drop(old);
    objects.replace(id, object, &left)
}

/// Some frames of a pack on their way in.
pub(super) struct PartialSink {
    objects: Objects,
    id: PackId,
    table: PackTable,
    came: Bitmap,
    frames: Vec<(usize, Bytes)>,
    /// The tag of the pack that was here when this began.
    before: Option<String>,
}

impl PartialSink {
    pub(super) fn new(
        objects: Objects,
        id: &PackId,
        table: &PackTable,
    ) -> Result<Self, StoreError> {
        if table.id() != *id {
            return Err(damaged(id, "the table belongs to another pack".into()));
        }
        let before = match Pack::open(objects.clone(), id) {
            Ok(pack) => Some(pack.tag()),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let (table, came) = (table.clone(), table.no_frames());
        Ok(Self { objects, id: *id, table, came, frames: Vec::new(), before })
    }

    /// The pack that is here, if it is still the one that was.
    fn old(&self) -> Result<Option<Pack>, StoreError> {
        let old = match Pack::open(self.objects.clone(), &self.id) {
            Ok(pack) => Some(pack),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if old.as_ref().map(Pack::tag) != self.before {
            return Err(StoreError::Changed { id: *self.id.as_bytes() });
        }
        if let Some(old) = &old {
            old.settle(&self.table)?;
            let clear = old.lies_clear(&self.table) || self.came.is_full();
            if !clear && !any_in_place(old, &self.table) {
                return Err(unclear(&self.id));
            }
        }
        Ok(old)
    }
}

impl PartialPackSink for PartialSink {
    fn write_frame(&mut self, frame: usize, bytes: &[u8]) -> Result<(), StoreError> {
        verify(&self.id, &self.table, frame, bytes)?;
        if self.frames.last().is_some_and(|(last, _)| *last >= frame) {
            let source = lumbung_pack::FormatError::Frame(frame);
            return Err(StoreError::Frame { id: *self.id.as_bytes(), frame, source });
        }
        self.came.set(number(frame));
        self.frames.push((frame, Bytes::copy_from_slice(bytes)));
        Ok(())
    }

    fn lost(&self, counted: &Bitmap) -> Result<Bitmap, StoreError> {
        self.old()?.map_or_else(|| Ok(counted.clone()), |old| old.lost(&self.table, counted))
    }

    fn finish(self: Box<Self>, lost: &Bitmap) -> Result<Bitmap, StoreError> {
        let old = self.old()?;
        let Self { objects, id, table, came, frames, .. } = *self;
        let here = match &old {
            Some(old) => old.present_settled(&table)?,
            None => table.no_frames(),
        };
        let present = here.or(&came).or(lost);
        let object = build(&table, &present, |frame| {
            if let Ok(at) = frames.binary_search_by_key(&frame, |(number, _)| *number) {
                return Ok(frames[at].1.clone());
            }
            let range = table.frame_range(frame);
            let length = index(range.end - range.start);
            match old.as_ref().map(|old| old.bytes(range.start, length)) {
                // Damage stays damage: the vault knows these frames as bad.
                None | Some(Err(StoreError::Range { .. })) => Ok(vec![0; length].into()),
                Some(read) => read,
            }
        })?;
        drop((old, frames));
        objects.replace(&id, object, &present)?;
        Ok(present)
    }
}
