//! One-time tokens, certificates issued.
//!
//! Invariant: a token's text is never stored, only its SHA-256; it is marked used in the transaction
//! that enters what it enrolled.

use lumbung_model::{AgentId, ServerId, SiteId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{DbError, id, maybe_id};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSubject {
    /// The agent of this server.
    Agent(ServerId),
    /// This site.
    Site(SiteId),
}

/// A token as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRow {
    /// What it is for.
    pub subject: TokenSubject,
    /// Until when it can be used.
    pub expires: Timestamp,
    /// When it was used.
    pub used: Option<Timestamp>,
}

/// Keeps a new token.
pub fn insert(
    db: &Connection,
    now: Timestamp,
    hash: &[u8; 32],
    token: &TokenRow,
) -> Result<(), DbError> {
    let (role, server, site) = match &token.subject {
        TokenSubject::Agent(server) => ("agent", Some(server.as_bytes()), None),
        TokenSubject::Site(site) => ("site", None, Some(site.as_bytes())),
    };
    db.prepare_cached(
        "INSERT INTO tokens (hash, role, server, site, created_s, expires_s) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![hash, role, server, site, now.0, token.expires.0])?;
    Ok(())
}

/// The token of that hash.
pub fn find(db: &Connection, hash: &[u8; 32]) -> Result<Option<TokenRow>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT server, site, expires_s, used_s FROM tokens WHERE hash = ?")?;
    let row = statement
        .query_row([hash], |row| {
            let subject = match maybe_id(row, 0)? {
                Some(server) => TokenSubject::Agent(ServerId::from_bytes(server)),
                None => TokenSubject::Site(SiteId::from_bytes(id(row, 1)?)),
            };
            let expires = Timestamp(row.get(2)?);
            Ok(TokenRow { subject, expires, used: row.get::<_, Option<i64>>(3)?.map(Timestamp) })
        })
        .optional()?;
    Ok(row)
}

/// Marks it used.
pub fn mark_used(db: &Connection, now: Timestamp, hash: &[u8; 32]) -> Result<(), DbError> {
    db.execute("UPDATE tokens SET used_s = ? WHERE hash = ?", params![now.0, hash])?;
    Ok(())
}

/// A certificate that was issued.
pub struct CertificateRow<'a> {
    /// Its serial number, hex.
    pub serial: &'a str,
    /// The role it names.
    pub role: &'a str,
    /// The agent it names.
    pub agent: Option<AgentId>,
    /// The site it names.
    pub site: Option<SiteId>,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// The certificate.
    pub pem: &'a str,
}

/// Keeps a certificate that was issued.
pub fn record_certificate(
    db: &Connection,
    now: Timestamp,
    row: &CertificateRow<'_>,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO certificates (serial, role, agent, site, issued_s, not_after_s, pem)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.serial,
        row.role,
        row.agent.map(|agent| *agent.as_bytes()),
        row.site.map(|site| *site.as_bytes()),
        now.0,
        row.not_after.0,
        row.pem,
    ])?;
    Ok(())
}
