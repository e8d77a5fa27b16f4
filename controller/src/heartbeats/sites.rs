//! The sites that a heartbeat is answered with, read again only when the database has changed.

use std::sync::{Arc, Mutex, PoisonError};

use lumbung_wire::messages::SiteEntry;

use crate::db::{Db, DbError};
use crate::enroll;

/// The sites as of a version of the database.
#[derive(Debug, Default)]
pub struct Sites(Mutex<Option<(i64, Arc<[SiteEntry]>)>>);

impl Sites {
    /// The sites as the register has them now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn now(&self, db: &Db) -> Result<Arc<[SiteEntry]>, DbError> {
        // Asked before the sites are read: what is written meanwhile is seen the next time.
        let version = db.version()?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, sites)) = known.filter(|(known, _)| *known == version) {
            return Ok(sites);
        }
        let sites: Arc<[SiteEntry]> = db.read_async(|tx| enroll::site_entries(tx)).await?.into();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, sites.clone()));
        Ok(sites)
    }
}
