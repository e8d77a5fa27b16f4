//! Manifests with this site's receipts, alarms, and the cursors of the pull.

use lumbung_model::{
    AgentId, DatasetId, DomainId, ManifestId, PublicKey, ReceiptId, RepositoryId, SiteId, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{from_sql, to_sql};

/// What the index knows of a manifest and of this site's receipt for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestRow {
    pub(crate) manifest: ManifestId,
    pub(crate) agent: AgentId,
    pub(crate) dataset: DatasetId,
    pub(crate) domain: DomainId,
    pub(crate) epoch: u32,
    pub(crate) sequence: u64,
    pub(crate) signer: PublicKey,
    /// Number of the receipt.
    pub(crate) arrival: u64,
    pub(crate) receipt: ReceiptId,
    pub(crate) received: Timestamp,
    pub(crate) locked_until: Timestamp,
    pub(crate) pulled_from: Option<SiteId>,
    pub(crate) bytes: u64,
    pub(crate) partial: bool,
    /// The earliest receipt that came with it.
    pub(crate) dated: Timestamp,
    /// The retention clock when it came, in seconds.
    pub(crate) came_s: u64,
    /// The retention clock when it was first found without a place.
    pub(crate) displaced_s: Option<u64>,
}

const COLUMNS: &str = "manifest, agent, dataset, domain, epoch, sequence, signer, arrival, receipt, received, \
                       locked_until, pulled_from, bytes, partial, dated, came_s, displaced_s";

impl ManifestRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let pulled_from: Option<[u8; 16]> = row.get(11)?;
        Ok(Self {
            manifest: ManifestId::from_bytes(row.get(0)?),
            agent: AgentId::from_bytes(row.get(1)?),
            dataset: DatasetId::from_bytes(row.get(2)?),
            domain: DomainId::from_bytes(row.get(3)?),
            epoch: row.get(4)?,
            sequence: from_sql(row.get(5)?),
            signer: PublicKey::from_bytes(row.get(6)?),
            arrival: from_sql(row.get(7)?),
            receipt: ReceiptId::from_bytes(row.get(8)?),
            received: Timestamp(row.get(9)?),
            locked_until: Timestamp(row.get(10)?),
            pulled_from: pulled_from.map(SiteId::from_bytes),
            bytes: from_sql(row.get(12)?),
            partial: row.get(13)?,
            dated: Timestamp(row.get(14)?),
            came_s: from_sql(row.get(15)?),
            displaced_s: row.get::<_, Option<i64>>(16)?.map(from_sql),
        })
    }

    /// Takes it up; a row that is there stays as it is.
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(&format!(
            "INSERT INTO manifests (repo, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT (repo, manifest) DO NOTHING"
        ))?
        .execute(params![
            repo,
            self.manifest.as_bytes(),
            self.agent.as_bytes(),
            self.dataset.as_bytes(),
            self.domain.as_bytes(),
            self.epoch,
            to_sql(self.sequence),
            self.signer.as_bytes(),
            to_sql(self.arrival),
            self.receipt.as_bytes(),
            self.received.0,
            self.locked_until.0,
            self.pulled_from.map(|site| *site.as_bytes()),
            to_sql(self.bytes),
            self.partial,
            self.dated.0,
            to_sql(self.came_s),
            self.displaced_s.map(to_sql)
        ])
        .map(|_| ())
    }

    pub(crate) fn find(
        connection: &Connection,
        repo: i64,
        manifest: &ManifestId,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM manifests WHERE repo = ?1 AND manifest = ?2"
            ))?
            .query_row(params![repo, manifest.as_bytes()], Self::read)
            .optional()
    }

    /// The manifest that holds this place in its agent's chain, if there is one.
    pub(crate) fn at(
        connection: &Connection,
        repo: i64,
        (agent, dataset): (&AgentId, &DatasetId),
        (epoch, sequence): (u32, u64),
    ) -> rusqlite::Result<Option<ManifestId>> {
        connection
            .prepare_cached(
                "SELECT manifest FROM manifests WHERE repo = ?1 AND agent = ?2 AND dataset = ?3 AND epoch = ?4
                 AND sequence = ?5 ORDER BY arrival LIMIT 1",
            )?
            .query_row(params![repo, agent.as_bytes(), dataset.as_bytes(), epoch, to_sql(sequence)], |row| row.get(0))
            .optional()
            .map(|found| found.map(ManifestId::from_bytes))
    }

    /// Manifests in the order in which they came, after an arrival; of one domain if it is given.
    pub(crate) fn after(
        connection: &Connection,
        repo: i64,
        arrival: u64,
        limit: u32,
        domain: Option<&DomainId>,
    ) -> rusqlite::Result<Vec<Self>> {
        let arrival = to_sql(arrival);
        match domain {
            None => connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM manifests WHERE repo = ?1 AND arrival > ?2 ORDER BY arrival LIMIT ?3"
                ))?
                .query_map(params![repo, arrival, limit], Self::read)?
                .collect(),
            Some(domain) => connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM manifests WHERE repo = ?1 AND domain = ?4 AND arrival > ?2
                     ORDER BY arrival LIMIT ?3"
                ))?
                .query_map(params![repo, arrival, limit, domain.as_bytes()], Self::read)?
                .collect(),
        }
    }

    /// Every manifest with its receipt, ascending by manifest.
    pub(crate) fn receipts(
        connection: &Connection,
        repo: i64,
    ) -> rusqlite::Result<Vec<(ManifestId, ReceiptId)>> {
        connection
            .prepare_cached(
                "SELECT manifest, receipt FROM manifests WHERE repo = ?1 ORDER BY manifest",
            )?
            .query_map([repo], |row| {
                Ok((ManifestId::from_bytes(row.get(0)?), ReceiptId::from_bytes(row.get(1)?)))
            })?
            .collect()
    }
}

/// The highest number that this site gave to a receipt of a repository; 0 if none.
pub(crate) fn receipts_given(connection: &Connection, repo: i64) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT receipts FROM repositories WHERE id = ?1")?
        .query_row([repo], |row| row.get(0))
        .map(from_sql)
}

/// Remembers that this number was given; never lowers it.
pub(crate) fn receipt_given(tx: &Connection, repo: i64, number: u64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE repositories SET receipts = MAX(receipts, ?2) WHERE id = ?1")?
        .execute(params![repo, to_sql(number)])
        .map(|_| ())
}

/// Remembers a receipt of this site whose manifest is not here.
pub(crate) fn add_orphan(
    tx: &Connection,
    repo: i64,
    manifest: &ManifestId,
    receipt: &ReceiptId,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO orphan_receipts (repo, manifest, receipt) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![repo, manifest.as_bytes(), receipt.as_bytes()])
    .map(|_| ())
}

/// The receipt that this site gave for a manifest that it lost.
pub(crate) fn orphan(
    connection: &Connection,
    repo: i64,
    manifest: &ManifestId,
) -> rusqlite::Result<Option<ReceiptId>> {
    connection
        .prepare_cached("SELECT receipt FROM orphan_receipts WHERE repo = ?1 AND manifest = ?2")?
        .query_row(params![repo, manifest.as_bytes()], |row| row.get(0))
        .optional()
        .map(|found| found.map(ReceiptId::from_bytes))
}

/// Alarms of one kind about one repository that are kept.
const ALARMS_KEPT: u32 = 1000;

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmRow {
    /// When it was seen first.
    pub at: Timestamp,
    /// Where.
    pub repository: Option<RepositoryId>,
    /// What, in one word.
    pub kind: String,
    /// The rest.
    pub detail: String,
}

impl AlarmRow {
    /// Records it, once; says whether it is new.
    pub(crate) fn insert(&self, tx: &Connection) -> rusqlite::Result<bool> {
        // Not null, since two nulls are distinct to UNIQUE.
        let repository = self.repository.map_or([0; 32], |id| *id.as_bytes());
        tx.prepare_cached(
            "INSERT OR IGNORE INTO alarms (at, repository, kind, detail) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![self.at.0, repository, self.kind, self.detail])
        .and_then(|rows| {
            if rows > 0 {
                Self::bound(tx, &repository, &self.kind)?;
            }
            Ok(rows > 0)
        })
    }

    /// Drops the oldest alarms of one kind in one place beyond [`ALARMS_KEPT`]: who can cause alarms without
    /// end fills no disk with them, and drives out nobody else's.
    fn bound(tx: &Connection, repository: &[u8; 32], kind: &str) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "DELETE FROM alarms WHERE id IN (SELECT id FROM alarms WHERE repository = ?1 AND kind = ?2
             ORDER BY id DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute(params![repository, kind, ALARMS_KEPT])
        .map(|_| ())
    }

    /// The newest ones, newest first.
    pub(crate) fn newest(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached("SELECT at, repository, kind, detail FROM alarms ORDER BY at DESC, id DESC LIMIT ?1")?
            .query_map([limit], |row| {
                let repository = RepositoryId::from_bytes(row.get(1)?);
                Ok(Self {
                    at: Timestamp(row.get(0)?),
                    repository: (!repository.is_zero()).then_some(repository),
                    kind: row.get(2)?,
                    detail: row.get(3)?,
                })
            })?
            .collect()
    }
}

/// Where the pull from a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The source's arrival counter of the last manifest taken.
    pub(crate) arrival: u64,
    /// That manifest: if the source's counter now names another, it was rebuilt and the pull starts over.
    pub(crate) manifest: ManifestId,
}

impl Cursor {
    pub(crate) fn load(
        connection: &Connection,
        repo: i64,
        source: &SiteId,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT arrival, manifest FROM cursors WHERE repo = ?1 AND source = ?2",
            )?
            .query_row(params![repo, source.as_bytes()], |row| {
                Ok(Self {
                    arrival: from_sql(row.get(0)?),
                    manifest: ManifestId::from_bytes(row.get(1)?),
                })
            })
            .optional()
    }

    /// Forgets all cursors of a repository: the next pull looks at everything again.
    pub(crate) fn forget(tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached("DELETE FROM cursors WHERE repo = ?1")?.execute([repo]).map(|_| ())
    }

    pub(crate) fn save(&self, tx: &Connection, repo: i64, source: &SiteId) -> rusqlite::Result<()> {
        tx.prepare_cached("INSERT OR REPLACE INTO cursors (repo, source, arrival, manifest) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![repo, source.as_bytes(), to_sql(self.arrival), self.manifest.as_bytes()])
            .map(|_| ())
    }
}
