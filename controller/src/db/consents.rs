//! Consents: what owners opened, to whom and until when, as vaults keep it.
//!
//! Invariants: rows are added, never removed; whether a consent counts is asked of the newest roster and of the revocations
//! that are known; nothing that a grant seals comes here.

use lumbung_model::{ConsentId, DatasetId, ManifestId, PdId, PublicKey, RepositoryId, Timestamp};
use lumbung_pack::{Grant, Proof, Revocation, Signed, StandingApproval};
use lumbung_wire::messages::consents::{Consent, ConsentKind, ConsentState};
use rusqlite::{Connection, params};

use super::evidence::absent;
use super::{DbError, count, id, maybe_id, word};

/// Which of these grants or standing approvals are not kept.
pub fn absent_consents(db: &Connection, ids: Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, DbError> {
    absent(db, "consents", ids)
}

/// Which of these revocations are not kept.
pub fn absent_revocations(db: &Connection, ids: Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, DbError> {
    absent(db, "revocations", ids)
}

/// What a grant and a standing approval say alike.
struct Said<'a> {
    id: &'a [u8; 32],
    kind: ConsentKind,
    repository: &'a RepositoryId,
    consent: &'a ConsentId,
    part: u16,
    grantee: &'a PublicKey,
    words: [&'a str; 3],
    dataset: Option<&'a DatasetId>,
    term: [Timestamp; 3],
    signer: &'a PublicKey,
    snapshots: &'a [ManifestId],
}

fn put(db: &Connection, now: Timestamp, said: &Said<'_>) -> Result<bool, DbError> {
    let ([name, letter, purpose], [issued, from, until]) = (said.words, said.term);
    let inserted = db
        .prepare_cached(
            "INSERT INTO consents (id, kind, repository, consent, part, grantee, name, letter, purpose, dataset,
                issued_s, from_s, until_s, signer, seen_s)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            said.id,
            said.kind.as_str(),
            said.repository.as_bytes(),
            said.consent.as_bytes(),
            said.part,
            said.grantee.as_bytes(),
            name,
            letter,
            purpose,
            said.dataset.map(|dataset| *dataset.as_bytes()),
            issued.0,
            from.0,
            until.0,
            said.signer.as_bytes(),
            now.0,
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let mut statement =
        db.prepare_cached("INSERT INTO consent_snapshots (id, manifest) VALUES (?, ?)")?;
    for snapshot in said.snapshots {
        statement.execute(params![said.id, snapshot.as_bytes()])?;
    }
    Ok(true)
}

/// Keeps what a grant says in the clear; whether it is new.
pub fn put_grant(db: &Connection, now: Timestamp, grant: &Signed<Grant>) -> Result<bool, DbError> {
    let body = &grant.body;
    let said = Said {
        id: grant.id.as_bytes(),
        kind: ConsentKind::Grant,
        repository: &body.repository,
        consent: &body.consent,
        part: body.part,
        grantee: &body.grantee.key,
        words: [&body.name, &body.letter, &body.purpose],
        dataset: None,
        term: [body.issued, body.from, body.until],
        signer: &grant.signer,
        snapshots: &body.snapshots,
    };
    put(db, now, &said)
}

/// Keeps a standing approval; whether it is new.
pub fn put_standing(
    db: &Connection,
    now: Timestamp,
    approval: &Signed<StandingApproval>,
) -> Result<bool, DbError> {
    let body = &approval.body;
    let said = Said {
        id: approval.id.as_bytes(),
        kind: ConsentKind::Standing,
        repository: &body.repository,
        consent: &body.consent,
        part: 1,
        grantee: &body.grantee.key,
        words: [&body.name, &body.letter, &body.purpose],
        dataset: Some(&body.dataset),
        term: [body.issued, body.from, body.until],
        signer: &approval.signer,
        snapshots: &body.base,
    };
    put(db, now, &said)
}

/// Keeps a revocation; whether it is new.
pub fn put_revocation(
    db: &Connection,
    now: Timestamp,
    revocation: &Signed<Revocation>,
) -> Result<bool, DbError> {
    let body = &revocation.body;
    let inserted = db
        .prepare_cached(
            "INSERT INTO revocations (id, repository, consent, signer, revoked_s, reason, seen_s)
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            revocation.id.as_bytes(),
            body.repository.as_bytes(),
            body.consent.as_bytes(),
            revocation.signer.as_bytes(),
            body.revoked.0,
            body.reason,
            now.0,
        ])?;
    Ok(inserted > 0)
}

/// Whether the snapshot of a proof was open to its signer when it was finished, and is now.
pub fn opened_to(db: &Connection, now: Timestamp, proof: &Signed<Proof>) -> Result<bool, DbError> {
    let body = &proof.body;
    let mut statement = db.prepare_cached(
        "SELECT 1 FROM honoured_consents AS c
         LEFT JOIN manifests AS m ON m.id = ?3
         WHERE c.repository = ?1 AND c.grantee = ?2 AND ?4 BETWEEN c.from_s AND c.until_s AND ?5 <= c.until_s
            AND NOT EXISTS (SELECT 1 FROM revocations AS v WHERE v.repository = c.repository AND v.consent = c.consent)
            AND (c.kind = 'standing' AND c.dataset = m.dataset AND m.partial = 0
                AND (SELECT min(t.received_s) FROM counting_receipts AS t WHERE t.manifest = ?3) BETWEEN c.from_s AND c.until_s
                OR EXISTS (SELECT 1 FROM consent_snapshots AS s WHERE s.id = c.id AND s.manifest = ?3))",
    )?;
    let asked = params![
        body.repository.as_bytes(),
        proof.signer.as_bytes(),
        body.manifest.as_bytes(),
        body.finished.0,
        now.0
    ];
    Ok(statement.exists(asked)?)
}

/// Consents, those seen last first: one row each, a standing approval rather than the grants of its base; of one PD, and
/// behind a row, where these are given.
pub fn list(
    db: &Connection,
    pd: Option<PdId>,
    behind: Option<(Timestamp, ConsentId)>,
    (now, limit): (Timestamp, u32),
) -> Result<Vec<Consent>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT c.part, c.consent, c.kind, r.pd, c.repository, c.grantee, c.name, c.letter, c.purpose, c.dataset,
            (SELECT count(*) FROM consent_snapshots AS s WHERE s.id = c.id), c.issued_s, c.from_s, c.until_s, c.signer,
            c.seen_s,
            EXISTS (SELECT 1 FROM roster_roots AS k WHERE k.repository = c.repository AND k.key = c.signer),
            (SELECT min(v.revoked_s) FROM revocations AS v WHERE v.repository = c.repository AND v.consent = c.consent),
            (SELECT v.reason FROM revocations AS v WHERE v.repository = c.repository AND v.consent = c.consent
                ORDER BY v.revoked_s, v.id LIMIT 1)
         FROM consents AS c JOIN repositories AS r ON r.id = c.repository
         WHERE (?1 IS NULL OR r.pd = ?1) AND (?2 IS NULL OR (c.seen_s, c.consent) < (?2, ?4)) AND c.part = 1
            AND (c.kind = 'standing' OR NOT EXISTS (
                SELECT 1 FROM consents AS o
                WHERE o.repository = c.repository AND o.consent = c.consent AND o.kind = 'standing'))
         ORDER BY c.seen_s DESC, c.consent DESC LIMIT ?3",
    )?;
    let asked = params![
        pd.map(|pd| *pd.as_bytes()),
        behind.map(|(seen, _)| seen.0),
        limit,
        behind.map(|(_, consent)| *consent.as_bytes())
    ];
    let rows = statement.query_map(asked, |row| {
        let (from, until) = (Timestamp(row.get(12)?), Timestamp(row.get(13)?));
        let (owners, revoked) = (row.get(16)?, row.get::<_, Option<i64>>(17)?.map(Timestamp));
        let consent = Consent {
            consent: ConsentId::from_bytes(id(row, 1)?),
            kind: word(row, 2)?,
            pd: PdId::from_bytes(id(row, 3)?),
            repository: RepositoryId::from_bytes(id(row, 4)?),
            key: PublicKey::from_bytes(id(row, 5)?),
            name: row.get(6)?,
            letter: row.get(7)?,
            purpose: row.get(8)?,
            dataset: maybe_id(row, 9)?.map(DatasetId::from_bytes),
            snapshots: count(row, 10)?,
            issued: Timestamp(row.get(11)?),
            from,
            until,
            signer: PublicKey::from_bytes(id(row, 14)?),
            seen: Timestamp(row.get(15)?),
            state: state((from, until), owners, revoked, now),
            revoked,
            reason: row.get(18)?,
        };
        Ok(consent)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn state(
    (from, until): (Timestamp, Timestamp),
    owners: bool,
    revoked: Option<Timestamp>,
    now: Timestamp,
) -> ConsentState {
    if !owners {
        ConsentState::NotOwners
    } else if revoked.is_some() {
        ConsentState::Revoked
    } else if now > until {
        ConsentState::Over
    } else if now < from {
        ConsentState::Later
    } else {
        ConsentState::Open
    }
}
