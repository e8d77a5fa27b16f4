//! A vault, as agents, other vaults, the controller and key custodians use it.
//!
//! Invariants: an object is returned only if its bytes have its id, a frame only if it matches its
//! table, a receipt only if it is signed and for the manifest that was sent. Who signed it is the
//! caller's to judge, by the roster. The vault's lists and its word on frames are claims.

use std::ops::Range;

use bytes::Bytes;
use http::{Method, StatusCode};
use lumbung_model::{HoldId, ManifestId, PackId, RepositoryId, TlsPin};
use lumbung_pack::limits::{OBJECT_MAX_BYTES, PACK_FIXED_BYTES, PACK_MAX_BYTES};
use lumbung_pack::{Kind, PackTable, PackUse, Receipt, Signed, object_id, open_signed};

use super::ClientError;
use super::transport::{Call, Timeouts, Transport};
use crate::messages::caps::{CAPS_JSON_MAX_BYTES, CapsAnswer, SiteCaps};
use crate::messages::succession::Succession;
use crate::messages::{
    HAVE_MAX_PACKS, HaveAnswer, HaveRequest, HoldAnswer, HoldRequest, IdList, MANIFESTS_PAGE_MAX,
    ManifestSummary, SiteInfo, VaultAlarms, VaultCapacity,
};
use crate::succession::SUCCESSION_MAX_BYTES;
use crate::tls::ClientTls;

/// Longest list or JSON answer: a million ids and more.
const LIST_MAX_BYTES: usize = 128 << 20;
/// What is asked for first of a pack: header, and the table of 800 frames.
const HEAD_GUESS_BYTES: u64 = 64 << 10;

/// What became of a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is new there, and durable.
    Created,
    /// It was there already.
    AlreadyThere,
}

/// A vault's answer to a manifest.
#[derive(Debug)]
pub struct CommitAnswer {
    /// The receipt, its signature verified; the caller checks that the signer is the site's key.
    pub receipt: Signed<Receipt>,
    /// The receipt as it is stored.
    pub bytes: Bytes,
    /// Whether the manifest is new there.
    pub outcome: PutOutcome,
}

/// A vault. Clones share their connections.
#[derive(Clone)]
pub struct VaultClient {
    transport: Transport,
}

impl VaultClient {
    /// The vault at `url` (`https://host:port`). Connects when the first request is made.
    pub fn new(url: &str, tls: &ClientTls) -> Result<Self, ClientError> {
        Self::with_timeouts(url, tls, Timeouts::default())
    }

    /// [`Self::new`] with other time-outs.
    pub fn with_timeouts(
        url: &str,
        tls: &ClientTls,
        timeouts: Timeouts,
    ) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(url, tls, timeouts)? })
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn server(&self) -> &str {
        self.transport.server()
    }

    /// The TLS key that the vault proved to hold; `None` before the first connection.
    #[must_use]
    pub fn seen_pin(&self) -> Option<TlsPin> {
        self.transport.seen_pin()
    }

    /// By how many seconds the vault's clock is ahead of ours, as of its last answer.
    #[must_use]
    pub fn clock_skew_s(&self) -> Option<i64> {
        self.transport.clock_skew_s()
    }

    /// `GET /v1/site`.
    pub async fn site_info(&self) -> Result<SiteInfo, ClientError> {
        self.transport.read_json(self.transport.get("/v1/site".to_owned()), 64 << 10).await
    }

    /// `GET /v1/alarms`, for sites, the controller and operators.
    pub async fn alarms(&self) -> Result<VaultAlarms, ClientError> {
        self.transport.read_json(self.transport.get("/v1/alarms".to_owned()), 8 << 20).await
    }

    /// `GET /v1/capacity`, for sites, the controller and operators.
    pub async fn capacity(&self) -> Result<VaultCapacity, ClientError> {
        self.transport.read_json(self.transport.get("/v1/capacity".to_owned()), 64 << 10).await
    }

    /// `GET /v1/caps`, for sites, the controller and operators: the caps that the vault keeps to.
    pub async fn caps(&self) -> Result<SiteCaps, ClientError> {
        self.transport
            .read_json(self.transport.get("/v1/caps".to_owned()), CAPS_JSON_MAX_BYTES)
            .await
    }

    /// Gives the vault its caps, for the controller. A list that is older than what it has changes nothing.
    pub async fn put_caps(&self, caps: &SiteCaps) -> Result<CapsAnswer, ClientError> {
        let call = self.transport.json(Method::PUT, "/v1/caps".to_owned(), caps)?;
        self.transport.read_json(call, 64 << 10).await
    }

    /// `GET /v1/succession`: who acts as the controller, as the vault knows it; hostile until
    /// [`crate::succession::Chain::open`] has verified it.
    pub async fn succession(&self) -> Result<Succession, ClientError> {
        let call = self.transport.get("/v1/succession".to_owned());
        self.transport.read_json(call, SUCCESSION_MAX_BYTES).await
    }

    /// Tells who acts; what the vault knows then comes back.
    pub async fn tell_succession(&self, known: &Succession) -> Result<Succession, ClientError> {
        let call = self.transport.json(Method::PUT, "/v1/succession".to_owned(), known)?;
        self.transport.read_json(call, SUCCESSION_MAX_BYTES).await
    }

    /// The repositories that this certificate may see.
    pub async fn repositories(&self) -> Result<Vec<RepositoryId>, ClientError> {
        let call = self.transport.get("/v1/repositories".to_owned());
        let list: IdList = self.transport.read_json(call, LIST_MAX_BYTES).await?;
        self.parse_ids(list.ids)
    }

    /// The ids of all objects of a kind. For manifests, see [`Self::manifests`].
    pub async fn list(
        &self,
        repository: &RepositoryId,
        kind: Kind,
    ) -> Result<Vec<[u8; 32]>, ClientError> {
        if kind == Kind::Manifest {
            let all = self.all_manifests(repository).await?;
            return Ok(all.iter().map(|summary| *summary.manifest.as_bytes()).collect());
        }
        let call = self.transport.get(folder(repository, kind));
        let list: IdList = self.transport.read_json(call, LIST_MAX_BYTES).await?;
        let ids: Vec<PackId> = self.parse_ids(list.ids)?;
        Ok(ids.iter().map(|id| *id.as_bytes()).collect())
    }

    fn parse_ids<T: std::str::FromStr>(&self, texts: Vec<String>) -> Result<Vec<T>, ClientError> {
        let parsed: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
        parsed.map_err(|_| self.transport.protocol("a list holds something that is not an id"))
    }

    /// One page of the manifests that arrived after number `after` (0 for the first page), in the order of their arrival.
    pub async fn manifests(
        &self,
        repository: &RepositoryId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<ManifestSummary>, ClientError> {
        let path = format!("{}?after={after}&limit={limit}", folder(repository, Kind::Manifest));
        let page: Vec<ManifestSummary> =
            self.transport.read_json(self.transport.get(path), LIST_MAX_BYTES).await?;
        let ascending = page.iter().map(|one| one.arrival).is_sorted_by(|a, b| a < b);
        if !ascending || page.first().is_some_and(|first| first.arrival <= after) {
            return Err(self
                .transport
                .protocol("the list of manifests is not in the order of arrival"));
        }
        Ok(page)
    }

    /// All manifests, page after page.
    pub async fn all_manifests(
        &self,
        repository: &RepositoryId,
    ) -> Result<Vec<ManifestSummary>, ClientError> {
        let mut all: Vec<ManifestSummary> = Vec::new();
        loop {
            let after = all.last().map_or(0, |last| last.arrival);
            let page = self.manifests(repository, after, MANIFESTS_PAGE_MAX).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// An object other than a pack, checked against its id.
    pub async fn get(
        &self,
        repository: &RepositoryId,
        kind: Kind,
        id: &[u8; 32],
    ) -> Result<Bytes, ClientError> {
        let answer = self.transport.send(self.transport.get(object(repository, kind, id))).await?;
        let bytes = self.transport.body(answer, OBJECT_MAX_BYTES).await?;
        if object_id(&bytes) != *id {
            return Err(self.damaged(kind, id));
        }
        Ok(bytes)
    }

    fn damaged(&self, kind: Kind, id: &[u8; 32]) -> ClientError {
        ClientError::Damaged {
            server: self.server().to_owned(),
            kind,
            id: PackId::from_bytes(*id).to_string(),
        }
    }

    /// Stores an object other than a pack or a manifest.
    pub async fn put(
        &self,
        repository: &RepositoryId,
        kind: Kind,
        id: &[u8; 32],
        bytes: Bytes,
    ) -> Result<PutOutcome, ClientError> {
        self.put_pieces(object(repository, kind, id), vec![bytes]).await
    }

    /// Stores a pack: header and table, then the frames, in as many pieces as there are.
    pub async fn put_pack(
        &self,
        repository: &RepositoryId,
        pack: &PackId,
        pieces: Vec<Bytes>,
    ) -> Result<PutOutcome, ClientError> {
        self.put_pieces(object(repository, Kind::Pack, pack.as_bytes()), pieces).await
    }

    async fn put_pieces(
        &self,
        path: String,
        pieces: Vec<Bytes>,
    ) -> Result<PutOutcome, ClientError> {
        let answer = self.transport.send(self.transport.put(path, pieces)).await?;
        let outcome = outcome(answer.status);
        // Read to its end, so that the connection can be used again.
        self.transport.body(answer, 64 << 10).await?;
        Ok(outcome)
    }

    /// The header and table of a pack, checked against its id.
    pub async fn pack_head(
        &self,
        repository: &RepositoryId,
        pack: &PackId,
    ) -> Result<PackTable, ClientError> {
        let damaged = || self.damaged(Kind::Pack, pack.as_bytes());
        let mut head = self.read_up_to(repository, pack, 0..HEAD_GUESS_BYTES).await?;
        let fixed = head.get(..PACK_FIXED_BYTES).ok_or_else(damaged)?;
        let length = PackTable::head_length(fixed).map_err(|_| damaged())?;
        if head.len() < length {
            head = self.read_pack(repository, pack, 0..length as u64).await?;
        }
        PackTable::open(pack, &head[..length]).map_err(|_| damaged())
    }

    /// Exactly these bytes of a pack. They are checked against nothing: see [`Self::read_frames`].
    pub async fn read_pack(
        &self,
        repository: &RepositoryId,
        pack: &PackId,
        range: Range<u64>,
    ) -> Result<Bytes, ClientError> {
        let wanted = range.end.saturating_sub(range.start);
        let bytes = self.read_up_to(repository, pack, range).await?;
        if bytes.len() as u64 != wanted {
            return Err(self.damaged(Kind::Pack, pack.as_bytes()));
        }
        Ok(bytes)
    }

    /// These bytes of a pack, or fewer where it ends before.
    async fn read_up_to(
        &self,
        repository: &RepositoryId,
        pack: &PackId,
        range: Range<u64>,
    ) -> Result<Bytes, ClientError> {
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let path = object(repository, Kind::Pack, pack.as_bytes());
        let call = Call {
            range: Some(format!("bytes={}-{}", range.start, range.end - 1)),
            ..self.transport.get(path)
        };
        let answer = self.transport.send(call).await?;
        if answer.status != StatusCode::PARTIAL_CONTENT {
            return Err(self.transport.protocol("it does not honour ranges"));
        }
        self.transport.body(answer, wanted.min(PACK_MAX_BYTES)).await
    }

    /// Consecutive frames of a pack, each checked against the table.
    pub async fn read_frames(
        &self,
        repository: &RepositoryId,
        pack: &PackId,
        table: &PackTable,
        frames: Range<usize>,
    ) -> Result<Vec<Bytes>, ClientError> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        let start = table.frame_range(frames.start).start;
        let end = table.frame_range(frames.end - 1).end;
        let mut bytes = self.read_pack(repository, pack, start..end).await?;
        frames
            .map(|i| {
                let frame = bytes.split_to(table.frames[i].stored_length as usize);
                match table.verify_frame(i, &frame) {
                    Ok(()) => Ok(frame),
                    Err(_) => Err(self.damaged(Kind::Pack, pack.as_bytes())),
                }
            })
            .collect()
    }

    /// Which of these frames are not there. The vault's word: enough to send them, never to trust them.
    pub async fn have(
        &self,
        repository: &RepositoryId,
        wanted: &[PackUse],
    ) -> Result<Vec<PackUse>, ClientError> {
        let mut absent = Vec::new();
        for packs in wanted.chunks(HAVE_MAX_PACKS) {
            let path = format!("/v1/repositories/{repository}/have");
            let call =
                self.transport.json(Method::POST, path, &HaveRequest { packs: packs.to_vec() })?;
            let call = Call { slowable: true, ..call };
            let answer: HaveAnswer = self.transport.read_json(call, LIST_MAX_BYTES).await?;
            if !answer.absent.iter().all(|claim| packs.iter().any(|asked| within(claim, asked))) {
                return Err(self
                    .transport
                    .protocol("it answered about frames that were not asked for"));
            }
            absent.extend(answer.absent);
        }
        Ok(absent)
    }

    /// Has the site keep something whatever its retention says, for 30 days; asked again, the hold that stands. For the
    /// controller and operators.
    pub async fn hold(
        &self,
        repository: &RepositoryId,
        request: &HoldRequest,
    ) -> Result<HoldId, ClientError> {
        let path = format!("/v1/repositories/{repository}/hold");
        let call = self.transport.json(Method::POST, path, request)?;
        let answer: HoldAnswer = self.transport.read_json(call, 64 << 10).await?;
        Ok(answer.hold)
    }

    /// Publishes a manifest: the commit. A refusal tells in `missing` what to send first.
    pub async fn commit(
        &self,
        repository: &RepositoryId,
        manifest: &ManifestId,
        bytes: Bytes,
    ) -> Result<CommitAnswer, ClientError> {
        let path = object(repository, Kind::Manifest, manifest.as_bytes());
        let call = Call {
            patience: self.transport.timeouts.commit,
            ..self.transport.put(path, vec![bytes])
        };
        let answer = self.transport.send(call).await?;
        let outcome = outcome(answer.status);
        let bytes = self.transport.body(answer, OBJECT_MAX_BYTES).await?;
        let receipt: Signed<Receipt> = open_signed(&bytes).map_err(|error| {
            self.transport.protocol(format!("its receipt is not valid: {error}"))
        })?;
        if receipt.body.repository != *repository || receipt.body.manifest != *manifest {
            return Err(self.transport.protocol("its receipt is for another snapshot"));
        }
        Ok(CommitAnswer { receipt, bytes, outcome })
    }
}

fn folder(repository: &RepositoryId, kind: Kind) -> String {
    format!("/v1/repositories/{repository}/{}", kind.folder())
}

fn object(repository: &RepositoryId, kind: Kind, id: &[u8; 32]) -> String {
    format!("{}/{}", folder(repository, kind), PackId::from_bytes(*id))
}

fn outcome(status: StatusCode) -> PutOutcome {
    if status == StatusCode::CREATED { PutOutcome::Created } else { PutOutcome::AlreadyThere }
}

/// Whether `claim` names only frames that were `asked` for.
fn within(claim: &PackUse, asked: &PackUse) -> bool {
    claim.pack == asked.pack
        && claim.used.bits() == asked.used.bits()
        && claim.used.iter_ones().all(|i| asked.used.get(i))
}
