//! Accounts and API tokens: made, changed, closed. Each change stands in the audit log.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use lumbung_model::{ApiTokenId, PdId, Secret, Timestamp, UserId};
use lumbung_wire::messages::people::{
    ApiToken, ApiTokenInput, NewApiToken, TotpConfirm, TotpSecret, User, UserInput, UserRole,
};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{access, passwords, totp};
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::people::{self as rows, Account};
use crate::db::{DbError, register, retired};

/// Longest life of an API token, days.
const TOKEN_MAX_DAYS: u32 = 366;
/// Tokens of one account that hold at one time.
const TOKENS_MAX: usize = 20;
const TOKEN_PREFIX: &str = "lbt_";

/// Why something is refused.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The login failed. Why is for nobody to know.
    #[error(
        "name, password or code is wrong, or the account is closed, or locked for a while after several failures: \
         try again in a minute, with a new code; an administrator can give a new password"
    )]
    Login,
    /// The first login of an account with a second factor sent no code.
    #[error("write the code that the app shows for Lumbung (`code`)")]
    CodeNeeded,
    /// A name that no account may have.
    #[error("name {0:?}: write 2 to 32 of a–z, 0–9, '.', '_' and '-', beginning with a letter")]
    Name(String),
    /// A name that people could not read.
    #[error("full_name: write 1 to 200 characters on one line")]
    FullName,
    /// Not over the network.
    #[error(
        "accounts of the role {0} are made, opened and given a new password at the controller's console \
         (`lumbung-controller user`), or get their role by two people (`POST /api/v1/users/NAME/role`)"
    )]
    Console(UserRole),
    /// The name is taken.
    #[error("there is an account {0:?} already: choose another name")]
    Taken(String),
    /// A password that is too easy to guess.
    #[error("password: {rule}", rule = passwords::RULE)]
    Weak,
    /// The role needs a PD, or must not have one.
    #[error(
        "pd: accounts of the roles pd and custodian belong to one PD of the register, others to none"
    )]
    Pd,
    /// The PD is no more.
    #[error("pd: {0} is retired, and nobody works for it: bring it back first")]
    RetiredPd(String),
    /// No such account.
    #[error("there is no account {0:?}: `GET /api/v1/users` lists them")]
    Unknown(String),
    /// The last administrator cannot be closed.
    #[error("this is the last administrator: make another one first")]
    LastAdmin,
    /// The second factor's code does not fit its secret.
    #[error("the code does not fit: check the clock of the telephone, and write the newest code")]
    Code,
    /// No secret of 20 bytes.
    #[error("secret: write it as it was given")]
    Secret,
    /// A life that a token cannot have.
    #[error("days: a token holds 1 to {TOKEN_MAX_DAYS} days")]
    Days,
    /// A name that a token cannot have.
    #[error("name: write 1 to 100 characters that say what the token is for")]
    TokenName,
    /// Too many tokens.
    #[error("this account has {TOKENS_MAX} tokens that hold: take one back first")]
    TooManyTokens,
    /// No such token.
    #[error("this account has no such token: `GET /api/v1/me/tokens` lists them")]
    UnknownToken,
    /// No random numbers.
    #[error("the password could not be kept: the operating system gives no random numbers")]
    Hash,
    /// The database failed.
    #[error("the accounts could not be read or written")]
    Db(#[from] DbError),
}

fn check_name(name: &str) -> Result<(), PeopleError> {
    let plain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let right = (2..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain);
    if right { Ok(()) } else { Err(PeopleError::Name(name.chars().take(64).collect())) }
}

fn is_line(text: &str, longest: usize) -> bool {
    let trimmed = text.trim();
    !trimmed.is_empty()
        && trimmed == text
        && text.chars().count() <= longest
        && !text.chars().any(char::is_control)
}

/// A password as it is kept. Made outside of any transaction: it takes a while.
pub struct Hashed(String);

/// A password that somebody gives to somebody else.
///
/// # Errors
/// [`PeopleError::Weak`].
pub fn first_password(name: &str, password: &str) -> Result<Hashed, PeopleError> {
    if !passwords::is_acceptable(password, name) {
        return Err(PeopleError::Weak);
    }
    passwords::hash(password).map(Hashed).map_err(|_| PeopleError::Hash)
}

/// A password that somebody chooses for the own account.
///
/// # Errors
/// [`PeopleError::Weak`], also if it is the present one.
pub fn new_password(name: &str, current: &str, new: &str) -> Result<Hashed, PeopleError> {
    if current == new { Err(PeopleError::Weak) } else { first_password(name, new) }
}

/// Whoever asks for what takes two people and decides on it is made, let in again and opened again at the console only:
/// else one administrator could be both. A custodian only decides, and not on what those asked for who keep its account
/// (`crate::approvals`).
///
/// # Errors
/// [`PeopleError::Console`].
pub fn is_for_the_console(role: UserRole) -> Result<(), PeopleError> {
    let decides = access::may(role, access::Permission::AskTwo);
    if decides { Err(PeopleError::Console(role)) } else { Ok(()) }
}

/// Writes an account and its entry in the audit log.
fn write(
    db: &Connection,
    act: &Act,
    action: &str,
    before: Option<&Account>,
    after: &Account,
) -> Result<(), DbError> {
    rows::put_account(db, after)?;
    let deed = Deed { action, kind: "user", id: &after.user.id, pd: after.user.pd };
    let before = before.map(|account| audit::shown(&account.user)).transpose()?;
    audit::append(db, act, deed, before, Some(audit::shown(&after.user)?))
}

/// Makes an account.
///
/// # Errors
/// What is wrong with it.
pub fn add(
    db: &Connection,
    act: &Act,
    input: &UserInput,
    password: Hashed,
) -> Result<User, PeopleError> {
    check_name(&input.name)?;
    if !is_line(&input.full_name, 200) {
        return Err(PeopleError::FullName);
    }
    check_pd(db, access::is_of_a_pd(input.role), input.pd)?;
    if rows::account_by_name(db, &input.name)?.is_some() {
        return Err(PeopleError::Taken(input.name.clone()));
    }
    let account = Account {
        user: User {
            id: UserId::random(),
            name: input.name.clone(),
            full_name: input.full_name.clone(),
            role: input.role,
            pd: input.pd,
            totp: false,
            password_is_new: true,
            locked_until: None,
            created: act.now,
            disabled: None,
        },
        password: password.0,
        totp: None,
        totp_step: None,
        failures: 0,
    };
    write(db, act, "user.add", None, &account)?;
    Ok(account.user)
}

fn check_pd(db: &Connection, needed: bool, pd: Option<PdId>) -> Result<(), PeopleError> {
    let known = pd.map(|pd| register::pd(db, &pd)).transpose()?.map(|found| found.is_some());
    match (needed, known) {
        (true, Some(true)) | (false, None) => not_retired(db, pd),
        _ => Err(PeopleError::Pd),
    }
}

fn not_retired(db: &Connection, pd: Option<PdId>) -> Result<(), PeopleError> {
    match pd.map(|pd| retired::of(db, pd.as_bytes())).transpose()?.flatten() {
        Some(found) => Err(PeopleError::RetiredPd(found.name)),
        None => Ok(()),
    }
}

/// The account of that id.
///
/// # Errors
/// [`PeopleError::Unknown`].
pub fn by_id(db: &Connection, user: &UserId) -> Result<Account, PeopleError> {
    rows::account(db, user)?.ok_or_else(|| PeopleError::Unknown(user.to_string()))
}

/// The account that a path or a command names, by id or name.
///
/// # Errors
/// [`PeopleError::Unknown`].
pub fn find(db: &Connection, text: &str) -> Result<Account, PeopleError> {
    let by_id = text.parse().ok().map(|id| rows::account(db, &id)).transpose()?.flatten();
    let found = match by_id {
        Some(account) => Some(account),
        None => rows::account_by_name(db, text)?,
    };
    found.ok_or_else(|| PeopleError::Unknown(text.chars().take(64).collect()))
}

/// Gives an account a new password, which opens nothing but the change of it; the second factor stays, or goes too
/// (`without_totp`: the telephone was lost). Locks and sessions end.
///
/// # Errors
/// If the password is too weak.
pub fn reset_password(
    db: &Connection,
    act: &Act,
    account: &Account,
    password: Hashed,
    without_totp: bool,
) -> Result<User, PeopleError> {
    let mut after = account.clone();
    after.password = password.0;
    after.user.password_is_new = true;
    (after.failures, after.user.locked_until) = (0, None);
    rows::forget_origins(db, &after.user.id)?;
    if without_totp {
        (after.totp, after.totp_step, after.user.totp) = (None, None, false);
    }
    end_access(db, act, &after.user, None)?;
    write(db, act, "user.reset_password", Some(account), &after)?;
    Ok(after.user)
}

/// Closes an account, or opens it again. Its sessions end; its tokens hold no longer while it is closed.
///
/// # Errors
/// [`PeopleError::LastAdmin`], [`PeopleError::RetiredPd`].
pub fn set_disabled(
    db: &Connection,
    act: &Act,
    account: &Account,
    disabled: bool,
) -> Result<User, PeopleError> {
    let mut after = account.clone();
    if after.user.disabled.is_some() == disabled {
        return Ok(after.user);
    }
    if disabled && is_last_admin(db, &account.user)? {
        return Err(PeopleError::LastAdmin);
    }
    if !disabled {
        not_retired(db, after.user.pd)?;
    }
    after.user.disabled = disabled.then_some(act.now);
    end_access(db, act, &after.user, None)?;
    let action = if disabled { "user.disable" } else { "user.enable" };
    write(db, act, action, Some(account), &after)?;
    Ok(after.user)
}

/// Whether an account could have this role.
///
/// # Errors
/// [`PeopleError::Pd`], [`PeopleError::LastAdmin`].
pub fn check_role(
    db: &Connection,
    account: &Account,
    role: UserRole,
    pd: Option<PdId>,
) -> Result<(), PeopleError> {
    check_pd(db, access::is_of_a_pd(role), pd)?;
    if role != UserRole::Admin && is_last_admin(db, &account.user)? {
        return Err(PeopleError::LastAdmin);
    }
    Ok(())
}

/// Gives an account another role; its sessions and tokens end.
///
/// # Errors
/// As [`check_role`].
pub fn change_role(
    db: &Connection,
    act: &Act,
    account: &Account,
    role: UserRole,
    pd: Option<PdId>,
) -> Result<User, PeopleError> {
    check_role(db, account, role, pd)?;
    let mut after = account.clone();
    (after.user.role, after.user.pd) = (role, pd);
    end_access(db, act, &after.user, None)?;
    write(db, act, "user.change_role", Some(account), &after)?;
    Ok(after.user)
}

fn is_last_admin(db: &Connection, user: &User) -> Result<bool, DbError> {
    let is_admin = |user: &User| user.role == UserRole::Admin && user.disabled.is_none();
    if !is_admin(user) {
        return Ok(false);
    }
    let all = rows::accounts(db)?;
    Ok(!all.iter().any(|other| other.user.id != user.id && is_admin(&other.user)))
}

/// Changes the own password, which `login::prove` has seen; other sessions and all tokens end.
///
/// # Errors
/// [`PeopleError::Login`] if it changed meanwhile.
pub fn change_password(
    db: &Connection,
    act: &Act,
    proven: &Account,
    new: Hashed,
    session: Option<&[u8; 32]>,
) -> Result<User, PeopleError> {
    let account = as_proven(db, proven)?;
    let mut after = account.clone();
    after.password = new.0;
    after.user.password_is_new = false;
    end_access(db, act, &after.user, session)?;
    write(db, act, "user.change_password", Some(&account), &after)?;
    Ok(after.user)
}

/// A secret for a second factor; nothing is kept of it before it is confirmed.
#[must_use]
pub fn new_totp(user: &User) -> TotpSecret {
    let secret = BASE32_NOPAD.encode(totp::new_secret().expose());
    TotpSecret { url: totp::url(&user.name, &secret), secret }
}

/// Sets the second factor up, by a password that `login::prove` has seen: from now on each login needs a code. Where there
/// is one already, it takes a code of that too.
///
/// # Errors
/// If secret or code is wrong.
pub fn confirm_totp(
    db: &Connection,
    act: &Act,
    proven: &Account,
    confirm: &TotpConfirm,
    session: Option<&[u8; 32]>,
) -> Result<User, PeopleError> {
    let account = as_proven(db, proven)?;
    if let Some(present) = &account.totp {
        let code = confirm.present_code.as_deref().ok_or(PeopleError::CodeNeeded)?;
        totp::step_of(present, code, act.now, account.totp_step).ok_or(PeopleError::Code)?;
    }
    let secret = BASE32_NOPAD.decode(confirm.secret.trim().as_bytes()).ok();
    let secret: [u8; totp::SECRET_BYTES] =
        secret.and_then(|bytes| bytes.try_into().ok()).ok_or(PeopleError::Secret)?;
    let step = totp::step_of(&secret, &confirm.code, act.now, None).ok_or(PeopleError::Code)?;
    let mut after = account.clone();
    (after.totp, after.totp_step, after.user.totp) = (Some(secret), Some(step), true);
    end_access(db, act, &after.user, session)?;
    write(db, act, "user.set_totp", Some(&account), &after)?;
    Ok(after.user)
}

/// The account as it is now, if its password and second factor are those that were proven.
fn as_proven(db: &Connection, proven: &Account) -> Result<Account, PeopleError> {
    let fresh = rows::open_account(db, &proven.user.id)?.ok_or(PeopleError::Login)?;
    let same = fresh.password == proven.password && fresh.totp == proven.totp;
    if same { Ok(fresh) } else { Err(PeopleError::Login) }
}

/// Sessions and tokens of an account end, but for one session.
fn end_access(
    db: &Connection,
    act: &Act,
    user: &User,
    but: Option<&[u8; 32]>,
) -> Result<(), PeopleError> {
    rows::end_sessions(db, &user.id, but)?;
    for token in rows::tokens(db, &user.id)?.iter().filter(|token| token_holds(token, act.now)) {
        take_back(db, act, user, token)?;
    }
    Ok(())
}

/// What is kept of a token's or a cookie's text.
pub(super) fn secret_hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A text that nobody can guess: 256 random bits.
pub(super) fn secret_text(prefix: &str) -> String {
    format!("{prefix}{}", HEXLOWER.encode(Secret::<32>::random().expose()))
}

/// Makes an API token for an account.
///
/// # Errors
/// If it would live too long, has no name, or is one too many.
pub fn add_token(
    db: &Connection,
    act: &Act,
    user: &User,
    input: &ApiTokenInput,
) -> Result<NewApiToken, PeopleError> {
    if !is_line(&input.name, 100) {
        return Err(PeopleError::TokenName);
    }
    if !(1..=TOKEN_MAX_DAYS).contains(&input.days) {
        return Err(PeopleError::Days);
    }
    let holds = |token: &&ApiToken| token_holds(token, act.now);
    if rows::tokens(db, &user.id)?.iter().filter(holds).count() >= TOKENS_MAX {
        return Err(PeopleError::TooManyTokens);
    }
    let token = ApiToken {
        id: ApiTokenId::random(),
        user: user.id,
        name: input.name.clone(),
        writes: input.writes,
        created: act.now,
        expires: act.now.plus_seconds(i64::from(input.days) * 86_400),
        revoked: None,
    };
    let text = secret_text(TOKEN_PREFIX);
    rows::insert_token(db, &secret_hash(text.as_bytes()), &token)?;
    let deed = Deed { action: "api_token.add", kind: "api_token", id: &token.id, pd: user.pd };
    audit::append(db, act, deed, None, Some(audit::shown(&token)?))?;
    Ok(NewApiToken { token, text })
}

/// Whether a token holds now.
pub(super) fn token_holds(token: &ApiToken, now: Timestamp) -> bool {
    token.revoked.is_none() && now < token.expires
}

/// Takes a token of the account back.
///
/// # Errors
/// [`PeopleError::UnknownToken`].
pub fn revoke_token(
    db: &Connection,
    act: &Act,
    user: &User,
    token: &ApiTokenId,
) -> Result<ApiToken, PeopleError> {
    let mut own = rows::tokens(db, &user.id)?.into_iter();
    let found = own.find(|own| own.id == *token).ok_or(PeopleError::UnknownToken)?;
    if found.revoked.is_some() { Ok(found) } else { Ok(take_back(db, act, user, &found)?) }
}

/// Takes a token back that was not, and tells of it.
fn take_back(
    db: &Connection,
    act: &Act,
    user: &User,
    before: &ApiToken,
) -> Result<ApiToken, DbError> {
    rows::revoke_token(db, &before.id, act.now)?;
    let after = ApiToken { revoked: Some(act.now), ..before.clone() };
    let deed = Deed { action: "api_token.revoke", kind: "api_token", id: &before.id, pd: user.pd };
    audit::append(db, act, deed, Some(audit::shown(before)?), Some(audit::shown(&after)?))?;
    Ok(after)
}
