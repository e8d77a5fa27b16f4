//! Uploaders: sealed packs out to the depot, each noted in the journal once it is acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use lumbung_pack::PackTable;

use super::BackupError;
use super::buffers::PackBuffers;
use super::known::Known;
use super::retry::Retry;
use super::sealing::SealedPack;
use super::stop::{Stop, Stopped};
use crate::state::{Journal, Record};
use crate::{Depot, Progress, Throttle};

/// What uploaders need.
pub(super) struct Uploading<'a> {
    pub(super) depot: &'a dyn Depot,
    pub(super) known: &'a Known,
    pub(super) journal: &'a Mutex<Journal>,
    pub(super) retry: Retry<'a>,
    pub(super) throttle: &'a dyn Throttle,
    pub(super) progress: &'a dyn Progress,
    pub(super) stop: &'a Stop,
    pub(super) buffers: &'a PackBuffers,
    pub(super) plain_bytes: &'a AtomicU64,
    pub(super) stored_bytes: &'a AtomicU64,
}

impl Uploading<'_> {
    /// An uploader: until there are no more packs. Tells `acknowledged` after each.
    pub(super) fn work(
        &self,
        packs: &Receiver<SealedPack>,
        acknowledged: &Sender<u64>,
    ) -> Result<(), Stopped> {
        for pack in packs {
            self.stop.check()?;
            let stored = self.upload(pack).map_err(|e| self.stop.fail(e))?;
            let _ = acknowledged.send(stored);
        }
        Ok(())
    }

    fn upload(&self, pack: SealedPack) -> Result<u64, BackupError> {
        let table = PackTable::new(pack.header, pack.frames)?;
        let head = Bytes::from(table.encode());
        let id = PackTable::id_of_head(&head);
        let stored: u64 = pack.stored.iter().map(|frame| frame.len() as u64).sum();
        self.throttle.take(table.total_length());
        self.retry.call(|| self.depot.put_pack(&id, &head, &pack.stored))?;
        drop(pack.stored);
        self.buffers.give(pack.body);
        let record = Record::Pack(head.to_vec());
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).append(&[record])?;
        self.known.finish_pack(pack.number, id, &table);
        self.plain_bytes.fetch_add(pack.plain_bytes, Ordering::Relaxed);
        self.stored_bytes.fetch_add(stored, Ordering::Relaxed);
        self.progress.new_bytes(stored);
        Ok(stored)
    }
}
