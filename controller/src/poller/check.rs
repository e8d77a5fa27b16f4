//! What a vault's answer must be before it is evidence.
//!
//! Pure. Invariants: bytes hash to the id that was asked for, the signature verifies, the object is of
//! this repository and of this site, and what a site signs is signed with the key that it enrolled.
//! Whether the roster entitles the signer is asked when the evidence is weighed, of the newest roster.

use lumbung_model::{ManifestId, OrderId, PublicKey, RepositoryId, SiteId, UsageId};
use lumbung_pack::{
    FormatError, Inventory, Kind, Manifest, Object, Order, Proof, Receipt, RosterChain,
    ScrubReport, Signed, Tombstone, UsageList, decode, object_id, open_signed, wrap::was_root_key,
};

/// Why an answer is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is not what was asked for.
    #[error("it answered another {0} than the one asked for")]
    OtherObject(Kind),
    /// It is not well formed, or its signature does not verify.
    #[error("its {kind} is refused: {reason}")]
    Format {
        /// What it should be.
        kind: Kind,
        /// Why it is not.
        reason: FormatError,
    },
    /// It is of another repository.
    #[error("its {0} is of another repository")]
    OtherRepository(Kind),
    /// It is of another site.
    #[error("its {0} is of another site")]
    OtherSite(Kind),
    /// It is signed with a key that the site did not enrol.
    #[error(
        "its {kind} is signed by {signer}, not with the receipt key that it enrolled: forged, or the site was rebuilt"
    )]
    Signer {
        /// What was signed.
        kind: Kind,
        /// By whom.
        signer: PublicKey,
    },
    /// It is signed by nobody who has or had a root key.
    #[error("its {kind} is signed by {signer}, which no roster lists as a root key")]
    NotOwners {
        /// What was signed.
        kind: Kind,
        /// By whom.
        signer: PublicKey,
    },
    /// The receipt is for another snapshot.
    #[error("its receipt is for another snapshot than it says")]
    OtherSnapshot,
    /// The usage list is of another domain.
    #[error("its usage list is of another dedup domain than the snapshot")]
    OtherDomain,
}

/// A site as it enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteKeys {
    /// Its id.
    pub site: SiteId,
    /// The key of what it signs.
    pub receipt_key: PublicKey,
}

fn signed<T: Object>(
    bytes: &[u8],
    id: &[u8; 32],
    repository: &RepositoryId,
) -> Result<Signed<T>, Rejection> {
    if object_id(bytes) != *id {
        return Err(Rejection::OtherObject(T::KIND));
    }
    let object =
        open_signed::<T>(bytes).map_err(|reason| Rejection::Format { kind: T::KIND, reason })?;
    if object.body.repository() != *repository {
        return Err(Rejection::OtherRepository(T::KIND));
    }
    Ok(object)
}

fn by_site<T: Object>(
    object: Signed<T>,
    site: SiteId,
    keys: &SiteKeys,
) -> Result<Signed<T>, Rejection> {
    if site != keys.site {
        return Err(Rejection::OtherSite(T::KIND));
    }
    if object.signer != keys.receipt_key {
        return Err(Rejection::Signer { kind: T::KIND, signer: object.signer });
    }
    Ok(object)
}

/// A manifest of this repository.
///
/// # Errors
/// Why it is none.
pub fn manifest(
    bytes: &[u8],
    id: &ManifestId,
    repository: &RepositoryId,
) -> Result<Signed<Manifest>, Rejection> {
    signed(bytes, id.as_bytes(), repository)
}

/// The site's receipt for this snapshot.
///
/// # Errors
/// Why it is none.
pub fn receipt(
    bytes: &[u8],
    id: &[u8; 32],
    repository: &RepositoryId,
    keys: &SiteKeys,
    manifest: &ManifestId,
) -> Result<Signed<Receipt>, Rejection> {
    let object: Signed<Receipt> = signed(bytes, id, repository)?;
    if object.body.manifest != *manifest {
        return Err(Rejection::OtherSnapshot);
    }
    let site = object.body.site;
    by_site(object, site, keys)
}

/// An inventory of this site.
///
/// # Errors
/// Why it is none.
pub fn inventory(
    bytes: &[u8],
    id: &[u8; 32],
    repository: &RepositoryId,
    keys: &SiteKeys,
) -> Result<Signed<Inventory>, Rejection> {
    let object: Signed<Inventory> = signed(bytes, id, repository)?;
    let site = object.body.site;
    by_site(object, site, keys)
}

/// A scrub report of this site.
///
/// # Errors
/// Why it is none.
pub fn scrub(
    bytes: &[u8],
    id: &[u8; 32],
    repository: &RepositoryId,
    keys: &SiteKeys,
) -> Result<Signed<ScrubReport>, Rejection> {
    let object: Signed<ScrubReport> = signed(bytes, id, repository)?;
    let site = object.body.site;
    by_site(object, site, keys)
}

/// A proof of restore of this repository.
///
/// # Errors
/// Why it is none.
pub fn proof(
    bytes: &[u8],
    id: &[u8; 32],
    repository: &RepositoryId,
) -> Result<Signed<Proof>, Rejection> {
    signed(bytes, id, repository)
}

/// What the owner of this repository signed: a grant, a standing approval, a revocation.
///
/// # Errors
/// Why it is none.
pub fn by_owner<T: Object>(
    bytes: &[u8],
    id: &[u8; 32],
    chain: &RosterChain,
) -> Result<Signed<T>, Rejection> {
    let object: Signed<T> = signed(bytes, id, &chain.repository())?;
    if was_root_key(chain, &object.signer) {
        Ok(object)
    } else {
        Err(Rejection::NotOwners { kind: T::KIND, signer: object.signer })
    }
}

/// A tombstone of this site.
///
/// # Errors
/// Why it is none.
pub fn tombstone(
    bytes: &[u8],
    id: &[u8; 32],
    repository: &RepositoryId,
    keys: &SiteKeys,
) -> Result<Signed<Tombstone>, Rejection> {
    let object: Signed<Tombstone> = signed(bytes, id, repository)?;
    let site = object.body.site;
    by_site(object, site, keys)
}

/// An order about this repository, whoever signed it.
///
/// # Errors
/// Why it is none.
pub fn order(
    bytes: &[u8],
    id: &OrderId,
    repository: &RepositoryId,
) -> Result<Signed<Order>, Rejection> {
    signed(bytes, id.as_bytes(), repository)
}

/// The stored bytes of a snapshot, by the usage list that its manifest names.
///
/// # Errors
/// If it is not that list.
pub fn stored_bytes(
    bytes: &[u8],
    id: &UsageId,
    repository: &RepositoryId,
    domain: &lumbung_model::DomainId,
) -> Result<u64, Rejection> {
    if object_id(bytes) != *id.as_bytes() {
        return Err(Rejection::OtherObject(Kind::Usage));
    }
    let (list, _) = decode::<UsageList>(bytes)
        .map_err(|reason| Rejection::Format { kind: Kind::Usage, reason })?;
    if list.repository != *repository {
        return Err(Rejection::OtherRepository(Kind::Usage));
    }
    if list.domain != *domain {
        return Err(Rejection::OtherDomain);
    }
    Ok(list.segments.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.stored_bytes)))
}
