//! Rows of people: accounts, sessions, API tokens. Rules are `crate::people`'s.
//!
//! Invariant: neither a cookie's nor a token's text is here, only their SHA-256.

use lumbung_model::{ApiTokenId, PdId, Timestamp, UserId};
use lumbung_wire::messages::people::{ApiToken, User, UserRole};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{DbError, id, maybe_id, signed, word};

/// An account with what is never shown of it.
#[derive(Clone)]
pub struct Account {
    /// What may be shown.
    pub user: User,
    /// The password, as a PHC string.
    pub password: String,
    /// The secret of the second factor.
    pub totp: Option<[u8; 20]>,
    /// The last step of it that was used.
    pub totp_step: Option<u64>,
    /// Failures since the last login, from wherever.
    pub failures: u32,
}

const ACCOUNT: &str =
    "SELECT id, name, full_name, role, pd, password, password_is_new, totp, totp_step, failures,
    locked_until_s, created_s, disabled_s FROM users";

fn account_row(row: &Row<'_>) -> rusqlite::Result<Account> {
    let time = |index| row.get::<_, Option<i64>>(index).map(|time| time.map(Timestamp));
    let totp: Option<[u8; 20]> = maybe_id(row, 7)?;
    Ok(Account {
        user: User {
            id: UserId::from_bytes(id(row, 0)?),
            name: row.get(1)?,
            full_name: row.get(2)?,
            role: word::<UserRole>(row, 3)?,
            pd: maybe_id(row, 4)?.map(PdId::from_bytes),
            totp: totp.is_some(),
            password_is_new: row.get(6)?,
            locked_until: time(10)?,
            created: Timestamp(row.get(11)?),
            disabled: time(12)?,
        },
        password: row.get(5)?,
        totp,
        totp_step: row.get::<_, Option<i64>>(8)?.map(|step| step.max(0).unsigned_abs()),
        failures: row.get(9)?,
    })
}

/// All accounts, by name.
pub fn accounts(db: &Connection) -> Result<Vec<Account>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ACCOUNT} ORDER BY name"))?;
    Ok(statement.query_map([], account_row)?.collect::<Result<_, _>>()?)
}

/// The account of that id.
pub fn account(db: &Connection, user: &UserId) -> Result<Option<Account>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ACCOUNT} WHERE id = ?"))?;
    Ok(statement.query_row([user.as_bytes()], account_row).optional()?)
}

/// The account of that id, unless it is closed.
pub fn open_account(db: &Connection, user: &UserId) -> Result<Option<Account>, DbError> {
    Ok(account(db, user)?.filter(|account| account.user.disabled.is_none()))
}

/// The account of that name.
pub fn account_by_name(db: &Connection, name: &str) -> Result<Option<Account>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ACCOUNT} WHERE name = ?"))?;
    Ok(statement.query_row([name], account_row).optional()?)
}

/// Writes an account: new, or in place of the one with its id.
pub fn put_account(db: &Connection, account: &Account) -> Result<(), DbError> {
    let user = &account.user;
    db.prepare_cached(
        "INSERT INTO users (id, name, full_name, role, pd, password, password_is_new, totp, totp_step, failures,
            locked_until_s, created_s, disabled_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET name = ?2, full_name = ?3, role = ?4, pd = ?5, password = ?6,
            password_is_new = ?7, totp = ?8, totp_step = ?9, failures = ?10, locked_until_s = ?11, disabled_s = ?13",
    )?
    .execute(params![
        user.id.as_bytes(),
        user.name,
        user.full_name,
        user.role.as_str(),
        user.pd.map(|pd| *pd.as_bytes()),
        account.password,
        user.password_is_new,
        account.totp,
        account.totp_step.map(signed),
        account.failures,
        user.locked_until.map(|time| time.0),
        user.created.0,
        user.disabled.map(|time| time.0),
    ])?;
    Ok(())
}

/// What is known of logins to an account from one place.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Failures since the last login from there.
    pub failures: u32,
    /// Until when none is taken from there.
    pub locked_until: Option<Timestamp>,
    /// When a login from there last went well.
    pub known: Option<Timestamp>,
}

/// What is known of logins to the account from there.
pub fn origin(db: &Connection, user: &UserId, origin: &str) -> Result<Origin, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT failures, locked_until_s, known_s FROM login_origins WHERE user = ? AND origin = ?",
    )?;
    let row = statement.query_row(params![user.as_bytes(), origin], |row| {
        let time = |index| row.get::<_, Option<i64>>(index).map(|time| time.map(Timestamp));
        Ok(Origin { failures: row.get(0)?, locked_until: time(1)?, known: time(2)? })
    });
    Ok(row.optional()?.unwrap_or_default())
}

/// Notes it, seen now; what was not seen since `forget` is forgotten.
pub fn put_origin(
    db: &Connection,
    (user, origin): (&UserId, &str),
    row: &Origin,
    (now, forget): (Timestamp, Timestamp),
) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM login_origins WHERE user = ? AND seen_s <= ?")?
        .execute(params![user.as_bytes(), forget.0])?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO login_origins (user, origin, failures, locked_until_s, known_s, seen_s)
         VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        user.as_bytes(),
        origin,
        row.failures,
        row.locked_until.map(|time| time.0),
        row.known.map(|time| time.0),
        now.0,
    ])?;
    Ok(())
}

/// Forgets where an account was logged in to, and where that failed.
pub fn forget_origins(db: &Connection, user: &UserId) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM login_origins WHERE user = ?")?.execute([user.as_bytes()])?;
    Ok(())
}

/// Writes as much as is written of an account's login, where there is no account.
pub fn note_nobody(db: &Connection) -> Result<(), DbError> {
    db.prepare_cached("UPDATE login_of_nobody SET writes = writes + 1")?.execute([])?;
    Ok(())
}

/// A session as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct SessionRow {
    /// Whose it is.
    pub user: UserId,
    /// What requests that change something carry.
    pub csrf: [u8; 32],
    /// When it began.
    pub created: Timestamp,
    /// When it was used last, within a minute.
    pub seen: Timestamp,
}

/// Keeps a new session.
pub fn insert_session(db: &Connection, hash: &[u8; 32], row: &SessionRow) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO sessions (hash, user, csrf, created_s, seen_s) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![hash, row.user.as_bytes(), row.csrf, row.created.0, row.seen.0])?;
    Ok(())
}

/// The session of that hash.
pub fn session(db: &Connection, hash: &[u8; 32]) -> Result<Option<SessionRow>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT user, csrf, created_s, seen_s FROM sessions WHERE hash = ?")?;
    let row = statement.query_row([hash], |row| {
        Ok(SessionRow {
            user: UserId::from_bytes(id(row, 0)?),
            csrf: row.get(1)?,
            created: Timestamp(row.get(2)?),
            seen: Timestamp(row.get(3)?),
        })
    });
    Ok(row.optional()?)
}

/// Notes that the session was used.
pub fn touch_session(db: &Connection, hash: &[u8; 32], now: Timestamp) -> Result<(), DbError> {
    db.prepare_cached("UPDATE sessions SET seen_s = ? WHERE hash = ?")?
        .execute(params![now.0, hash])?;
    Ok(())
}

/// Ends one session.
pub fn end_session(db: &Connection, hash: &[u8; 32]) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM sessions WHERE hash = ?")?.execute([hash])?;
    Ok(())
}

/// Ends every session of an account, but for one.
pub fn end_sessions(db: &Connection, user: &UserId, but: Option<&[u8; 32]>) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM sessions WHERE user = ?1 AND (?2 IS NULL OR hash <> ?2)")?
        .execute(params![user.as_bytes(), but])?;
    Ok(())
}

/// Forgets sessions that began before one time or were not used since another.
pub fn forget_old_sessions(
    db: &Connection,
    began_before: Timestamp,
    unused_since: Timestamp,
) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM sessions WHERE created_s < ? OR seen_s < ?")?
        .execute(params![began_before.0, unused_since.0])?;
    Ok(())
}

const TOKEN: &str =
    "SELECT id, user, name, writes, created_s, expires_s, revoked_s FROM api_tokens";

fn token_row(row: &Row<'_>) -> rusqlite::Result<ApiToken> {
    Ok(ApiToken {
        id: ApiTokenId::from_bytes(id(row, 0)?),
        user: UserId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        writes: row.get(3)?,
        created: Timestamp(row.get(4)?),
        expires: Timestamp(row.get(5)?),
        revoked: row.get::<_, Option<i64>>(6)?.map(Timestamp),
    })
}

/// Keeps a new token.
pub fn insert_token(db: &Connection, hash: &[u8; 32], token: &ApiToken) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO api_tokens (id, hash, user, name, writes, created_s, expires_s)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        token.id.as_bytes(),
        hash,
        token.user.as_bytes(),
        token.name,
        token.writes,
        token.created.0,
        token.expires.0,
    ])?;
    Ok(())
}

/// The token of that hash.
pub fn token_by_hash(db: &Connection, hash: &[u8; 32]) -> Result<Option<ApiToken>, DbError> {
    let mut statement = db.prepare_cached(&format!("{TOKEN} WHERE hash = ?"))?;
    Ok(statement.query_row([hash], token_row).optional()?)
}

/// The tokens of an account, newest first.
pub fn tokens(db: &Connection, user: &UserId) -> Result<Vec<ApiToken>, DbError> {
    let mut statement =
        db.prepare_cached(&format!("{TOKEN} WHERE user = ? ORDER BY created_s DESC, rowid DESC"))?;
    Ok(statement.query_map([user.as_bytes()], token_row)?.collect::<Result<_, _>>()?)
}

/// Takes a token back; one that was taken back stays so from then.
pub fn revoke_token(db: &Connection, token: &ApiTokenId, now: Timestamp) -> Result<(), DbError> {
    db.prepare_cached("UPDATE api_tokens SET revoked_s = ? WHERE id = ? AND revoked_s IS NULL")?
        .execute(params![now.0, token.as_bytes()])?;
    Ok(())
}
