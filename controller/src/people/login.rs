//! Who somebody is: logins, sessions, API tokens.
//!
//! Invariants: a failure is counted before the password is looked at and taken back by a success, so that guesses made
//! side by side are all counted; passwords are compared outside of any transaction; a login of no account hashes and
//! writes as much as one of an account.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use lumbung_model::{Secret, Timestamp, UserId};
use lumbung_wire::audit::{Actor, ActorKind};
use lumbung_wire::messages::people::{Caller, LoginRequest, SessionState, User};
use rusqlite::Connection;

use super::access::{self, Principal, Scope};
use super::accounts::{PeopleError, secret_hash, secret_text, token_holds};
use super::{lockout, passwords, totp};
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::people::{self as rows, Account, Origin, SessionRow};
use crate::db::{Db, DbError};

/// A session that is not used for so long ends.
const IDLE_S: i64 = 30 * 60;
/// A session ends after so long however it is used.
const LONGEST_S: i64 = 12 * 3600;
/// How exactly it is noted when a session was used.
const TOUCH_S: i64 = 60;

/// A new session: the cookie's text goes to the browser, once.
pub struct Login {
    /// The cookie.
    pub cookie: String,
    /// Who it is.
    pub caller: Caller,
}

/// Logs somebody in. Blocks for as long as a password takes.
///
/// # Errors
/// [`PeopleError::Login`] whatever was wrong; [`PeopleError::CodeNeeded`] if only the code is missing.
pub fn login(
    db: &Db,
    (now, from): (Timestamp, Option<IpAddr>),
    request: &LoginRequest,
) -> Result<Login, PeopleError> {
    let account = db.write(|tx| {
        let account = rows::account_by_name(tx, &request.name)?;
        begin(tx, now, account, &lockout::origin(from))
    })?;
    let kept = account.as_ref().map(|account| account.password.as_str());
    let right = passwords::is_right(&request.password, kept);
    let Some(account) = account else {
        tracing::warn!(?from, "login of no account, or of one that takes none now");
        db.write::<_, DbError>(|tx| rows::note_nobody(tx))?;
        return Err(PeopleError::Login);
    };
    // A right password without a code is how an app learns to ask for it; it is no failure.
    let code = match (&account.totp, &request.code) {
        (Some(_), None) if right => Err(PeopleError::CodeNeeded),
        (Some(secret), Some(code)) => {
            let step = totp::step_of(secret, code, now, account.totp_step);
            step.map(Some).ok_or(PeopleError::Login)
        }
        (Some(_), None) => Err(PeopleError::Login),
        (None, _) => Ok(None),
    };
    let act = Act { now, actor: actor_of(&account.user), from };
    // Whoever it was that failed: nobody is known, least of all the account's owner.
    let stranger = Act::stranger(now, from);
    db.write(|tx| {
        // Read anew: another login may have used the same code meanwhile.
        let fresh = rows::account(tx, &account.user.id)?.ok_or(PeopleError::Login)?;
        let step = match code {
            Ok(step) if right => step,
            Err(PeopleError::CodeNeeded) => {
                forgive(tx, &act, &fresh)?;
                tell(tx, &stranger, "login.code_needed", &fresh.user)?;
                return Ok(Err(PeopleError::CodeNeeded));
            }
            _ => {
                tell_failure(tx, &stranger, "login.fail", &fresh)?;
                return Ok(Err(PeopleError::Login));
            }
        };
        let changed = fresh.password != account.password
            || fresh.totp != account.totp
            || fresh.user.disabled.is_some();
        if step.is_some() && fresh.totp_step >= step || changed {
            tell_failure(tx, &stranger, "login.fail", &fresh)?;
            return Ok(Err(PeopleError::Login));
        }
        open_session(tx, &act, fresh, step).map(Ok)
    })?
}

/// The account of somebody who has logged in, if the password is its own. Wrong ones count as failed logins do: a stolen
/// session guesses no password. Blocks for as long as a password takes.
///
/// # Errors
/// [`PeopleError::Login`].
pub fn prove(db: &Db, act: &Act, user: &UserId, password: &str) -> Result<Account, PeopleError> {
    let account = db.write::<_, DbError>(|tx| {
        begin(tx, act.now, rows::account(tx, user)?, &lockout::origin(act.from))
    })?;
    let account = account.ok_or(PeopleError::Login)?;
    let right = passwords::is_right(password, Some(&account.password));
    db.write::<_, DbError>(|tx| {
        let Some(fresh) = rows::account(tx, user)? else { return Ok(()) };
        if right {
            forgive(tx, act, &fresh)
        } else {
            tell_failure(tx, act, "password.fail", &fresh)
        }
    })?;
    if right { Ok(account) } else { Err(PeopleError::Login) }
}

/// Ends a session.
///
/// # Errors
/// If the database fails.
pub fn logout(db: &Connection, act: &Act, session: &[u8; 32]) -> Result<(), DbError> {
    let Some(row) = rows::session(db, session)? else { return Ok(()) };
    rows::end_session(db, session)?;
    let account = rows::account(db, &row.user)?;
    account.map_or(Ok(()), |account| tell(db, act, "logout", &account.user))
}

/// Whether a principal is still what it was when its request began: its account open, with the same role and PD, its
/// session or token in force. Asked in the transaction of what it changes.
///
/// # Errors
/// If the database fails.
pub fn is_still(
    db: &Connection,
    now: Timestamp,
    principal: &Principal,
    session: Option<&[u8; 32]>,
) -> Result<bool, DbError> {
    let Some(user) = &principal.user else { return Ok(true) };
    let Some(account) = rows::open_account(db, user)? else { return Ok(false) };
    let same = account.user.role == principal.role && account.user.pd == principal.scope.pd();
    let in_force = match session {
        Some(hash) => rows::session(db, hash)?.is_some(),
        None => rows::tokens(db, user)?
            .iter()
            .any(|token| token.id.to_string() == principal.actor.id && token_holds(token, now)),
    };
    Ok(same && in_force)
}

/// The account, if it takes a login from there now. The failure is counted beforehand.
fn begin(
    db: &Connection,
    now: Timestamp,
    account: Option<Account>,
    from: &str,
) -> Result<Option<Account>, DbError> {
    let Some(mut account) = account.filter(|account| account.user.disabled.is_none()) else {
        rows::note_nobody(db)?;
        return Ok(None);
    };
    let mut origin = rows::origin(db, &account.user.id, from)?;
    let is_known = origin.known.is_some_and(|known| now.seconds_since(known) < lockout::KNOWN_S);
    let everywhere = account.user.locked_until.filter(|_| !is_known);
    if [origin.locked_until, everywhere].into_iter().flatten().any(|until| now < until) {
        rows::note_nobody(db)?;
        return Ok(None);
    }
    let until = |seconds: Option<i64>| seconds.map(|s| now.plus_seconds(s));
    origin.failures = origin.failures.saturating_add(1);
    origin.locked_until = until(lockout::lock_s(origin.failures));
    account.failures = account.failures.saturating_add(1);
    account.user.locked_until = until(lockout::lock_everywhere_s(account.failures));
    put(db, now, &account, (from, &origin))?;
    Ok(Some(account))
}

fn put(
    db: &Connection,
    now: Timestamp,
    account: &Account,
    (from, origin): (&str, &Origin),
) -> Result<(), DbError> {
    rows::put_account(db, account)?;
    let forget = now.plus_seconds(-lockout::KNOWN_S);
    rows::put_origin(db, (&account.user.id, from), origin, (now, forget))
}

/// Takes the failure back that was counted beforehand.
fn forgive(db: &Connection, act: &Act, account: &Account) -> Result<(), DbError> {
    let (mut account, from) = (account.clone(), lockout::origin(act.from));
    let mut origin = rows::origin(db, &account.user.id, &from)?;
    (origin.failures, origin.locked_until) = (origin.failures.saturating_sub(1), None);
    (account.failures, account.user.locked_until) = (account.failures.saturating_sub(1), None);
    put(db, act.now, &account, (&from, &origin))
}

fn tell(db: &Connection, act: &Act, action: &str, user: &User) -> Result<(), DbError> {
    let deed = Deed { action, kind: "user", id: &user.id, pd: user.pd };
    audit::append(db, act, deed, None, None)
}

/// A failure, and until when nothing is taken because of it.
fn tell_failure(
    db: &Connection,
    act: &Act,
    action: &str,
    account: &Account,
) -> Result<(), DbError> {
    let user = &account.user;
    let origin = rows::origin(db, &user.id, &lockout::origin(act.from))?;
    let deed = Deed { action, kind: "user", id: &user.id, pd: user.pd };
    let after = serde_json::json!({
        "failures": origin.failures,
        "locked_until": origin.locked_until,
        "failures_everywhere": account.failures,
        "locked_everywhere_until": user.locked_until,
    });
    audit::append(db, act, deed, None, Some(after))
}

fn open_session(
    db: &Connection,
    act: &Act,
    mut account: Account,
    step: Option<u64>,
) -> Result<Login, PeopleError> {
    (account.failures, account.user.locked_until) = (0, None);
    account.totp_step = step.or(account.totp_step);
    let origin = Origin { known: Some(act.now), ..Origin::default() };
    put(db, act.now, &account, (&lockout::origin(act.from), &origin))?;
    let (began, unused) = (act.now.plus_seconds(-LONGEST_S), act.now.plus_seconds(-IDLE_S));
    rows::forget_old_sessions(db, began, unused)?;
    let cookie = secret_text("");
    let csrf = *Secret::<32>::random().expose();
    let row = SessionRow { user: account.user.id, csrf, created: act.now, seen: act.now };
    rows::insert_session(db, &secret_hash(cookie.as_bytes()), &row)?;
    tell(db, act, "login", &account.user)?;
    let principal = principal(&account.user, ActorKind::User, true);
    Ok(Login { cookie, caller: caller(&principal, Some(&csrf)) })
}

fn actor_of(user: &User) -> Actor {
    Actor { kind: ActorKind::User, id: user.id.to_string(), name: user.name.clone() }
}

fn principal(user: &User, kind: ActorKind, writes: bool) -> Principal {
    let state = if user.password_is_new {
        SessionState::ChangePassword
    } else if access::needs_totp(user.role) && !user.totp {
        SessionState::SetUpTotp
    } else {
        SessionState::Full
    };
    Principal {
        actor: Actor { kind, ..actor_of(user) },
        user: Some(user.id),
        role: user.role,
        scope: user.pd.map_or(Scope::City, Scope::Pd),
        writes,
        state,
    }
}

/// A principal as it is told who it is.
#[must_use]
pub fn caller(principal: &Principal, csrf: Option<&[u8; 32]>) -> Caller {
    Caller {
        kind: principal.actor.kind,
        name: principal.actor.name.clone(),
        role: principal.role,
        pd: principal.scope.pd(),
        state: principal.state,
        csrf_token: csrf.map(|csrf| HEXLOWER.encode(csrf)),
    }
}

/// A session that holds.
pub struct Session {
    /// Who it is.
    pub principal: Principal,
    /// What the cookie is kept as.
    pub hash: [u8; 32],
    /// What requests that change something carry.
    pub csrf: [u8; 32],
    /// Whether it is time to note that it was used.
    pub touch: bool,
}

impl Session {
    /// Whether the header carries this session's CSRF token.
    #[must_use]
    pub fn is_its_token(&self, header: &[u8]) -> bool {
        // Of random values hashes are compared: how long it takes says nothing of them.
        secret_hash(header) == secret_hash(HEXLOWER.encode(&self.csrf).as_bytes())
    }
}

/// The session of a cookie.
///
/// # Errors
/// If the database fails.
pub fn by_cookie(
    db: &Connection,
    now: Timestamp,
    cookie: &str,
) -> Result<Option<Session>, DbError> {
    let hash = secret_hash(cookie.as_bytes());
    let Some(row) = rows::session(db, &hash)? else { return Ok(None) };
    let over = now.seconds_since(row.created) >= LONGEST_S || now.seconds_since(row.seen) >= IDLE_S;
    if over {
        return Ok(None);
    }
    let Some(account) = rows::open_account(db, &row.user)? else { return Ok(None) };
    Ok(Some(Session {
        principal: principal(&account.user, ActorKind::User, true),
        hash,
        csrf: row.csrf,
        touch: now.seconds_since(row.seen) >= TOUCH_S,
    }))
}

/// Whose token this is, if it holds.
///
/// # Errors
/// If the database fails.
pub fn by_token(db: &Connection, now: Timestamp, text: &str) -> Result<Option<Principal>, DbError> {
    let Some(token) = rows::token_by_hash(db, &secret_hash(text.as_bytes()))? else {
        return Ok(None);
    };
    if !token_holds(&token, now) {
        return Ok(None);
    }
    let Some(account) = rows::open_account(db, &token.user)? else { return Ok(None) };
    let mut principal = principal(&account.user, ActorKind::ApiToken, token.writes);
    principal.actor.id = token.id.to_string();
    principal.actor.name = format!("{} ({})", account.user.name, token.name);
    Ok(Some(principal))
}
