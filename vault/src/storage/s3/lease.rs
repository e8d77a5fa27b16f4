//! One writer a prefix: the lease `<prefix>/writer`, who holds it, and until when this vault may write.
//!
//! Invariants:
//! - A lease of another owner is never taken because of its age; only the operator's console command takes it, and
//!   only after it was seen to stand still for longer than its holder may write without confirming it.
//! - A vault writes only until `valid` after the *start* of the last request that confirmed its lease, by a clock
//!   that counts time in suspension. Once it has seen another's lease it never writes again.
//! - Where the store has conditional writes, of two vaults that reach for the lease one gets it. Where it has none,
//!   whoever takes a lease that was not its own waits `valid` and reads it again before the first write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lumbung_model::{Clock, Secret, SiteId, Timestamp};
use lumbung_store::StoreError;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Fault, When};
use crate::storage::SetupError;

/// Bytes of a lease at most.
const LIMIT: u64 = 4096;

/// What the object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which data directory holds it: random, kept there.
    pub owner: String,
    /// Which run of that vault: random.
    run: String,
    /// Its site.
    pub site: SiteId,
    /// The machine, as it calls itself.
    pub host: String,
    /// How often this run has confirmed it.
    beat: u64,
    /// When it was confirmed last, by the holder's clock. For people: nothing is decided by it.
    pub renewed: Timestamp,
    /// How long its holder may write without confirming it.
    pub valid_s: u32,
}

/// Who wants to write here.
#[derive(Clone)]
pub(super) struct Applicant {
    pub(super) owner: String,
    pub(super) site: SiteId,
    pub(super) host: String,
    pub(super) valid: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// A random id for an owner or a run.
pub(super) fn random_id() -> String {
    Secret::<16>::random().expose().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since the machine started, those in suspension too.
fn boot_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

#[derive(Debug, Clone)]
enum Right {
    /// Until this boot time, if nothing confirms it before.
    Until(Duration),
    /// For good.
    Lost(String),
}

/// This vault's lease.
pub(super) struct Lease {
    bucket: Bucket,
    key: Path,
    /// Whether the store has conditional writes.
    conditional: bool,
    applicant: Applicant,
    run: String,
    right: Mutex<Right>,
}

/// What was read.
type Found = Option<(Holder, String)>;

async fn read(bucket: &Bucket, key: &Path) -> Result<Found, Fault> {
    match bucket.get(key, LIMIT).await {
        Ok((bytes, meta)) => {
            let holder = serde_json::from_slice(&bytes).unwrap_or_else(|_| unreadable());
            Ok(Some((holder, meta.e_tag.unwrap_or_default())))
        }
        Err(Fault::Missing) => Ok(None),
        Err(Fault::TooLarge(_)) => Ok(Some((unreadable(), String::new()))),
        Err(fault) => Err(fault),
    }
}

/// Something lies there that is no lease: whoever wrote it, it was not this vault.
fn unreadable() -> Holder {
    Holder {
        owner: "unreadable".to_owned(),
        run: String::new(),
        site: SiteId::ZERO,
        host: "(the lease cannot be read)".to_owned(),
        beat: 0,
        renewed: Timestamp(0),
        valid_s: 300,
    }
}

impl Lease {
    pub(super) fn new(bucket: Bucket, conditional: bool, applicant: Applicant) -> Self {
        let key = bucket.key("writer");
        let right = Mutex::new(Right::Until(Duration::ZERO));
        Self { bucket, key, conditional, applicant, run: random_id(), right }
    }

    fn mine(&self, beat: u64) -> Bytes {
        let mine = Holder {
            owner: self.applicant.owner.clone(),
            run: self.run.clone(),
            site: self.applicant.site,
            host: self.applicant.host.clone(),
            beat,
            renewed: self.applicant.clock.now(),
            valid_s: u32::try_from(self.applicant.valid.as_secs()).unwrap_or(u32::MAX),
        };
        serde_json::to_vec(&mine).unwrap_or_default().into()
    }

    fn held_by(&self, holder: Holder) -> SetupError {
        SetupError::Held { place: self.bucket.place(), holder: Box::new(holder) }
    }

    fn failed(&self, fault: Fault) -> SetupError {
        SetupError::Store(self.bucket.failed(fault))
    }

    /// Who holds it.
    pub(super) async fn holder(&self) -> Result<Option<Holder>, SetupError> {
        let found = read(&self.bucket, &self.key).await.map_err(|fault| self.failed(fault))?;
        Ok(found.map(|(holder, _)| holder))
    }

    /// Takes the lease if it is free or this data directory's own.
    pub(super) async fn acquire(&self) -> Result<(), SetupError> {
        let found = read(&self.bucket, &self.key).await.map_err(|fault| self.failed(fault))?;
        match found {
            None => self.write(When::New, true).await,
            Some((holder, tag)) if holder.owner == self.applicant.owner => {
                self.write(When::Unchanged(tag), false).await
            }
            Some((holder, _)) => Err(self.held_by(holder)),
        }
    }

    /// Takes another's lease, if it stands still for longer than its holder may write without confirming it.
    pub(super) async fn take(&self) -> Result<Option<Holder>, SetupError> {
        let found = read(&self.bucket, &self.key).await.map_err(|fault| self.failed(fault))?;
        let (before, when) = match found {
            Some((holder, _)) if holder.owner == self.applicant.owner => return Ok(None),
            None => (None, When::New),
            Some((holder, tag)) => {
                let valid = Duration::from_secs(u64::from(holder.valid_s));
                // Half as long again: the other machine's seconds may be a little longer.
                tokio::time::sleep(valid + valid / 2 + Duration::from_secs(1)).await;
                let again = read(&self.bucket, &self.key).await;
                match again.map_err(|fault| self.failed(fault))? {
                    Some((same, _)) if same == holder => (Some(holder), When::Unchanged(tag)),
                    Some((other, _)) => {
                        return Err(SetupError::Alive {
                            place: self.bucket.place(),
                            holder: Box::new(other),
                        });
                    }
                    None => (Some(holder), When::New),
                }
            }
        };
        self.write(when, true).await?;
        Ok(before)
    }

    /// Writes the lease. `foreign`: it was not this data directory's before.
    async fn write(&self, when: When, foreign: bool) -> Result<(), SetupError> {
        let started = boot_time();
        let when = if self.conditional { when } else { When::Always };
        match self.bucket.put(&self.key, self.mine(0), when).await {
            Ok(_) => {}
            // It may be this very request, whose first answer was lost.
            Err(Fault::Condition) if self.conditional => {}
            Err(fault) => return Err(self.failed(fault)),
        }
        if foreign && !self.conditional {
            tracing::info!(
                seconds = self.applicant.valid.as_secs(),
                "the store has no conditional writes: waiting to see whether another vault takes this prefix"
            );
            tokio::time::sleep(self.applicant.valid).await;
        }
        let confirmed = if foreign && !self.conditional { boot_time() } else { started };
        match read(&self.bucket, &self.key).await.map_err(|fault| self.failed(fault))? {
            Some((holder, _)) if holder.run == self.run => {
                self.confirm(confirmed);
                Ok(())
            }
            Some((holder, _)) => Err(self.held_by(holder)),
            None => Err(self.failed(Fault::Missing)),
        }
    }

    fn confirm(&self, since: Duration) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if let Right::Until(until) = &mut *right {
            *until = since + self.applicant.valid;
        }
    }

    fn lose(&self, reason: String) {
        tracing::error!(place = %self.bucket.place().display(), reason, "this vault stops writing");
        *self.right.lock().unwrap_or_else(PoisonError::into_inner) = Right::Lost(reason);
    }

    /// Confirms the lease again and again. Ends when it is lost.
    pub(super) async fn keep(self: Arc<Self>) {
        let every = self.applicant.valid / 3;
        let mut beat = 0;
        loop {
            tokio::time::sleep(every).await;
            beat += 1;
            // A request that hangs must not use up the time in which a second one would get through.
            match tokio::time::timeout(every, self.renew(beat)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return,
                Ok(Err(fault)) => tracing::warn!(
                    "the lease could not be confirmed: {}",
                    lumbung_model::with_causes(&self.bucket.failed(fault))
                ),
                Err(_) => tracing::warn!("the lease could not be confirmed in time"),
            }
        }
    }

    /// Confirms the lease once; says whether it is still this vault's.
    async fn renew(&self, beat: u64) -> Result<bool, Fault> {
        let started = boot_time();
        let Some(tag) = self.still_mine().await? else { return Ok(false) };
        let when = if self.conditional { When::Unchanged(tag) } else { When::Always };
        match self.bucket.put(&self.key, self.mine(beat), when).await {
            Ok(_) => {}
            Err(Fault::Condition) => {
                // Either another was faster, or it is this very request, whose first answer was lost.
                if self.still_mine().await?.is_none() {
                    return Ok(false);
                }
            }
            Err(fault) => return Err(fault),
        }
        self.confirm(started);
        Ok(true)
    }

    /// Reads the lease; gives its tag if this run holds it, and loses the right if not.
    async fn still_mine(&self) -> Result<Option<String>, Fault> {
        match read(&self.bucket, &self.key).await? {
            Some((holder, tag)) if holder.run == self.run => Ok(Some(tag)),
            Some((holder, _)) => {
                self.lose(format!(
                    "the vault of site {} at {} took it over; if that is right, stop this one",
                    holder.site, holder.host
                ));
                Ok(None)
            }
            None => {
                self.lose("its lease (`writer`) was removed; restart to take it again".to_owned());
                Ok(None)
            }
        }
    }

    /// Fails unless this vault may write now.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let path = self.bucket.place();
        match right {
            Right::Lost(reason) => Err(StoreError::Stopped { path, reason }),
            Right::Until(until) if boot_time() < until => Ok(()),
            Right::Until(_) => Err(StoreError::Unavailable {
                path,
                source: std::io::Error::other(
                    "the lease could not be confirmed for too long; writing goes on when it is",
                ),
            }),
        }
    }

    /// As [`Lease::check`], but asks the store: before something is removed.
    pub(super) async fn check_now(&self) -> Result<(), StoreError> {
        self.check()?;
        self.still_mine().await.map_err(|fault| self.bucket.failed(fault))?;
        self.check()
    }
}
