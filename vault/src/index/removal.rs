//! What retention needs to know: holds, leases, tombstones, and the age of snapshots.

use lumbung_model::{
    DatasetId, DomainId, HoldId, ManifestId, ReceiptId, SessionId, SiteId, Timestamp, TombstoneId,
};
use lumbung_pack::Subject;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{from_sql, join, split, to_sql};

/// A lease that nobody used for so long has lapsed: 14 days.
const SILENT_S: u64 = 14 * 86_400;
/// No lease lasts longer: 90 days.
const LONGEST_S: u64 = 90 * 86_400;
/// A lease's last use is written down this often.
const SEEN_STEP_S: u64 = 3600;

/// A snapshot that this site removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TombstoneRow {
    pub(crate) manifest: ManifestId,
    pub(crate) tombstone: TombstoneId,
    pub(crate) receipt: ReceiptId,
    /// An order destroyed it.
    pub(crate) ordered: bool,
    pub(crate) removed: Timestamp,
}

impl TombstoneRow {
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT INTO tombstones (repo, manifest, tombstone, receipt, ordered, removed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (repo, manifest) DO UPDATE SET ordered = MAX(ordered, excluded.ordered)",
        )?
        .execute(params![
            repo,
            self.manifest.as_bytes(),
            self.tombstone.as_bytes(),
            self.receipt.as_bytes(),
            self.ordered,
            self.removed.0
        ])
        .map(|_| ())
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            manifest: ManifestId::from_bytes(row.get(0)?),
            tombstone: TombstoneId::from_bytes(row.get(1)?),
            receipt: ReceiptId::from_bytes(row.get(2)?),
            ordered: row.get(3)?,
            removed: Timestamp(row.get(4)?),
        })
    }

    pub(crate) fn find(
        connection: &Connection,
        repo: i64,
        manifest: &ManifestId,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT manifest, tombstone, receipt, ordered, removed FROM tombstones WHERE repo = ?1 AND manifest = ?2",
            )?
            .query_row(params![repo, manifest.as_bytes()], Self::read)
            .optional()
    }

    /// All of a repository.
    pub(crate) fn all(connection: &Connection, repo: i64) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(
                "SELECT manifest, tombstone, receipt, ordered, removed FROM tombstones WHERE repo = ?1 ORDER BY manifest",
            )?
            .query_map([repo], Self::read)?
            .collect()
    }

    /// Forgets it: the snapshot may come again.
    pub(crate) fn forget(
        tx: &Connection,
        repo: i64,
        manifest: &ManifestId,
    ) -> rusqlite::Result<()> {
        tx.prepare_cached("DELETE FROM tombstones WHERE repo = ?1 AND manifest = ?2")?
            .execute(params![repo, manifest.as_bytes()])
            .map(|_| ())
    }
}

/// Where a hold's object is, and since when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HoldRow {
    pub(crate) hold: HoldId,
    pub(crate) object: [u8; 32],
    pub(crate) placed_s: u64,
}

impl HoldRow {
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO holds (repo, hold, object, placed_s) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![repo, self.hold.as_bytes(), self.object, to_sql(self.placed_s)])
        .map(|_| ())
    }

    /// Whether the index knows a hold's object.
    pub(crate) fn knows(
        connection: &Connection,
        repo: i64,
        object: &[u8; 32],
    ) -> rusqlite::Result<bool> {
        connection
            .prepare_cached("SELECT 1 FROM holds WHERE repo = ?1 AND object = ?2")?
            .exists(params![repo, object])
    }

    /// All that no order has released.
    pub(crate) fn unreleased(connection: &Connection, repo: i64) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(
                "SELECT hold, object, placed_s FROM holds WHERE repo = ?1
                 AND hold NOT IN (SELECT hold FROM released WHERE repo = ?1) ORDER BY placed_s, hold",
            )?
            .query_map([repo], |row| {
                Ok(Self {
                    hold: HoldId::from_bytes(row.get(0)?),
                    object: row.get(1)?,
                    placed_s: from_sql(row.get(2)?),
                })
            })?
            .collect()
    }
}

/// Remembers that an order released a hold.
pub(crate) fn release(tx: &Connection, repo: i64, hold: &HoldId) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO released (repo, hold) VALUES (?1, ?2)")?
        .execute(params![repo, hold.as_bytes()])
        .map(|_| ())
}

/// Whether an order released a hold.
pub(crate) fn is_released(
    connection: &Connection,
    repo: i64,
    hold: &HoldId,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM released WHERE repo = ?1 AND hold = ?2")?
        .exists(params![repo, hold.as_bytes()])
}

/// Remembers what an order destroys.
pub(crate) fn destroy(
    tx: &Connection,
    repo: i64,
    subject: &Subject,
    issued: Timestamp,
) -> rusqlite::Result<()> {
    let subject = match subject {
        Subject::Snapshot(manifest) => manifest.as_bytes().as_slice(),
        Subject::Dataset(dataset) => dataset.as_bytes(),
        Subject::Repository => &[],
    };
    tx.prepare_cached(
        "INSERT INTO destroyed (repo, subject, issued) VALUES (?1, ?2, ?3)
         ON CONFLICT (repo, subject) DO UPDATE SET issued = MAX(issued, excluded.issued)",
    )?
    .execute(params![repo, subject, issued.0])
    .map(|_| ())
}

/// Whether this site removed a snapshot, or an order that names it came first.
pub(crate) fn is_gone(
    connection: &Connection,
    repo: i64,
    manifest: &ManifestId,
) -> rusqlite::Result<bool> {
    let ordered = connection
        .prepare_cached("SELECT 1 FROM destroyed WHERE repo = ?1 AND subject = ?2")?
        .exists(params![repo, manifest.as_bytes()])?;
    Ok(ordered || TombstoneRow::find(connection, repo, manifest)?.is_some())
}

/// Whether an order destroys a snapshot of this dataset that was first received at that time.
pub(crate) fn is_destroyed(
    connection: &Connection,
    repo: i64,
    (manifest, dataset): (&ManifestId, &DatasetId),
    received: Timestamp,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM destroyed WHERE repo = ?1
             AND (subject = ?2 OR (subject IN (?3, x'') AND issued >= ?4))",
        )?
        .exists(params![repo, manifest.as_bytes(), dataset.as_bytes(), received.0])
}

/// A session under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) session: SessionId,
    pub(crate) domain: DomainId,
    pub(crate) opened_s: u64,
    pub(crate) bases: Vec<ManifestId>,
}

impl Lease {
    /// Takes it up, with the newest snapshots of its domain as bases; one that is there stays as it is.
    pub(crate) fn open(
        tx: &Connection,
        repo: i64,
        session: &SessionId,
        domain: &DomainId,
        now_s: u64,
    ) -> rusqlite::Result<()> {
        let bases: Vec<[u8; 32]> = tx
            .prepare_cached(
                "SELECT manifest FROM manifests AS m WHERE repo = ?1 AND domain = ?2 AND NOT EXISTS (
                     SELECT 1 FROM manifests AS n WHERE n.repo = m.repo AND n.agent = m.agent AND n.dataset = m.dataset
                     AND n.partial = 0 AND (n.epoch, n.sequence) > (m.epoch, m.sequence)) ORDER BY manifest",
            )?
            .query_map(params![repo, domain.as_bytes()], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        tx.prepare_cached(
            "INSERT OR IGNORE INTO leases (repo, session, domain, opened_s, seen_s, bases) VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
        )?
        .execute(params![repo, session.as_bytes(), domain.as_bytes(), to_sql(now_s), join(bases)])
        .map(|_| ())
    }

    /// Something came for the session.
    pub(crate) fn touch(
        tx: &Connection,
        repo: i64,
        session: &SessionId,
        now_s: u64,
    ) -> rusqlite::Result<()> {
        let due_s = to_sql(now_s.saturating_sub(SEEN_STEP_S));
        tx.prepare_cached(
            "UPDATE leases SET seen_s = ?3 WHERE repo = ?1 AND session = ?2 AND seen_s < ?4",
        )?
        .execute(params![repo, session.as_bytes(), to_sql(now_s), due_s])
        .map(|_| ())
    }

    /// Something came that a session of this domain will name.
    pub(crate) fn touch_domain(
        tx: &Connection,
        repo: i64,
        domain: &DomainId,
        now_s: u64,
    ) -> rusqlite::Result<()> {
        let due_s = to_sql(now_s.saturating_sub(SEEN_STEP_S));
        tx.prepare_cached(
            "UPDATE leases SET seen_s = ?3 WHERE repo = ?1 AND domain = ?2 AND seen_s < ?4",
        )?
        .execute(params![repo, domain.as_bytes(), to_sql(now_s), due_s])
        .map(|_| ())
    }

    /// All that have not lapsed.
    pub(crate) fn running(
        connection: &Connection,
        repo: i64,
        now_s: u64,
    ) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(
                "SELECT session, domain, opened_s, bases FROM leases
                 WHERE repo = ?1 AND seen_s > ?2 AND opened_s > ?3 ORDER BY session",
            )?
            .query_map(params![repo, before(now_s, SILENT_S), before(now_s, LONGEST_S)], |row| {
                let bases: Vec<u8> = row.get(3)?;
                Ok(Self {
                    session: SessionId::from_bytes(row.get(0)?),
                    domain: DomainId::from_bytes(row.get(1)?),
                    opened_s: from_sql(row.get(2)?),
                    bases: split(&bases).map(ManifestId::from_bytes).collect(),
                })
            })?
            .collect()
    }
}

/// `span_s` before `now_s`, below zero where the clock is younger than that.
fn before(now_s: u64, span_s: u64) -> i64 {
    to_sql(now_s).saturating_sub(to_sql(span_s))
}

/// Ends the leases of sessions whose run has ended.
pub(crate) fn end_leases(
    tx: &Connection,
    repo: i64,
    sessions: &[SessionId],
) -> rusqlite::Result<()> {
    let mut delete = tx.prepare_cached("DELETE FROM leases WHERE repo = ?1 AND session = ?2")?;
    for session in sessions {
        delete.execute(params![repo, session.as_bytes()])?;
    }
    Ok(())
}

/// Remembers the receipt of another site that came with a manifest; the first one stays.
pub(crate) fn add_foreign_receipt(
    tx: &Connection,
    repo: i64,
    manifest: &ManifestId,
    site: &SiteId,
    receipt: &ReceiptId,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO foreign_receipts (repo, manifest, site, receipt) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![repo, manifest.as_bytes(), site.as_bytes(), receipt.as_bytes()])
    .map(|_| ())
}

/// The receipt of another site that is kept for a manifest.
pub(crate) fn foreign_receipt(
    connection: &Connection,
    repo: i64,
    manifest: &ManifestId,
    site: &SiteId,
) -> rusqlite::Result<Option<ReceiptId>> {
    connection
        .prepare_cached(
            "SELECT receipt FROM foreign_receipts WHERE repo = ?1 AND manifest = ?2 AND site = ?3",
        )?
        .query_row(params![repo, manifest.as_bytes(), site.as_bytes()], |row| row.get(0))
        .optional()
        .map(|found| found.map(ReceiptId::from_bytes))
}

/// All receipts of other sites that are kept.
pub(crate) fn foreign_receipts(
    connection: &Connection,
    repo: i64,
) -> rusqlite::Result<Vec<[u8; 32]>> {
    connection
        .prepare_cached("SELECT receipt FROM foreign_receipts WHERE repo = ?1")?
        .query_map([repo], |row| row.get(0))?
        .collect()
}

/// The receipts of other sites that are kept for a manifest.
pub(crate) fn receipts_of(
    connection: &Connection,
    repo: i64,
    manifest: &ManifestId,
) -> rusqlite::Result<Vec<[u8; 32]>> {
    connection
        .prepare_cached("SELECT receipt FROM foreign_receipts WHERE repo = ?1 AND manifest = ?2")?
        .query_map(params![repo, manifest.as_bytes()], |row| row.get(0))?
        .collect()
}

/// Remembers since when a snapshot has no place; nothing: it has one.
pub(crate) fn displace(
    tx: &Connection,
    repo: i64,
    manifest: &ManifestId,
    since_s: Option<u64>,
) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE manifests SET displaced_s = ?3 WHERE repo = ?1 AND manifest = ?2")?
        .execute(params![repo, manifest.as_bytes(), since_s.map(to_sql)])
        .map(|_| ())
}

/// Forgets a manifest that was removed.
pub(crate) fn forget_manifest(
    tx: &Connection,
    repo: i64,
    manifest: &ManifestId,
) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM manifests WHERE repo = ?1 AND manifest = ?2")?
        .execute(params![repo, manifest.as_bytes()])
        .map(|_| ())
}

/// The latest time of the retention clock that the index knows: a clock that was lost goes on from there.
pub(crate) fn greatest_age(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row(
            "SELECT MAX(COALESCE((SELECT MAX(MAX(came_s, COALESCE(displaced_s, 0))) FROM manifests), 0),
                        COALESCE((SELECT MAX(seen_s) FROM leases), 0), COALESCE((SELECT MAX(placed_s) FROM holds), 0))",
            [],
            |row| row.get(0),
        )
        .map(from_sql)
}
