//! Logins, the own account, and the accounts of others.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lumbung_model::UserId;
use lumbung_wire::Problem;
use lumbung_wire::messages::people::{
    ApiToken, ApiTokenInput, Caller, LoginRequest, PasswordChange, PasswordReset, TotpConfirm,
    TotpSecret, User, UserInput,
};
use lumbung_wire::server::{RemoteAddr, read_json};
use rusqlite::Transaction;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AppState;
use super::access::Access;
use super::access::{COOKIE, same_origin};
use super::etag::Expected;
use super::extract::Named;
use super::idempotency::Answer;
use super::paging::{Page, Paging};
use super::problems::Refused;
use super::route::{Routes, paged, repeatable, replacing, route, secret};
use super::who::Who;
use crate::act::Act;
use crate::db::people as rows;
use crate::people::access::Permission;
use crate::people::{PeopleError, accounts, login as logins};

pub(super) fn routes() -> Routes {
    use Access::{Anyone, Own, Person};
    use Permission::{KeepAccounts, OwnAccount};
    let get_ =
        |path, access, summary, schema| route(Method::GET, path, access, summary, (None, schema));
    let post_ = |path, access, summary, schemas: (Option<&'static str>, &'static str)| {
        route(Method::POST, path, access, summary, schemas)
    };
    vec![
        (
            secret(post_(
                "/api/v1/login",
                Anyone,
                "Log in: the answer sets the session's cookie",
                (Some("LoginRequest"), "Caller"),
            )),
            post(login),
        ),
        (
            repeatable(post_(
                "/api/v1/logout",
                Own,
                "End this session",
                (None, "ControllerHealth"),
            )),
            post(logout),
        ),
        (get_("/api/v1/me", Own, "Who the caller is", "Caller"), get(me)),
        (
            secret(post_(
                "/api/v1/me/password",
                Own,
                "Change the own password",
                (Some("PasswordChange"), "User"),
            )),
            post(change_password),
        ),
        (
            secret(post_(
                "/api/v1/me/totp",
                Own,
                "A secret for a second factor; it holds once it is confirmed",
                (None, "TotpSecret"),
            )),
            post(new_totp),
        ),
        (
            secret(post_(
                "/api/v1/me/totp/confirm",
                Own,
                "Set the second factor up",
                (Some("TotpConfirm"), "User"),
            )),
            post(confirm_totp),
        ),
        (paged(get_("/api/v1/me/tokens", Own, "The own API tokens", "[ApiToken]")), get(tokens)),
        (
            secret(post_(
                "/api/v1/me/tokens",
                Person(OwnAccount),
                "An API token, shown once",
                (Some("ApiTokenInput"), "NewApiToken"),
            )),
            post(add_token),
        ),
        (
            post_(
                "/api/v1/me/tokens/{id}/revoke",
                Person(OwnAccount),
                "Take an API token back",
                (None, "ApiToken"),
            ),
            post(revoke_token),
        ),
        (paged(get_("/api/v1/users", Person(KeepAccounts), "The accounts", "[User]")), get(users)),
        (
            get_("/api/v1/users/{id}", Person(KeepAccounts), "One account, by id or name", "User"),
            get(user),
        ),
        (
            secret(post_(
                "/api/v1/users",
                Person(KeepAccounts),
                "Make an account",
                (Some("UserInput"), "User"),
            )),
            post(add_user),
        ),
        (
            replacing(post_(
                "/api/v1/users/{id}/disable",
                Person(KeepAccounts),
                "Close an account",
                (None, "User"),
            )),
            post(disable_user),
        ),
        (
            replacing(post_(
                "/api/v1/users/{id}/enable",
                Person(KeepAccounts),
                "Open a closed account again",
                (None, "User"),
            )),
            post(enable_user),
        ),
        (
            secret(post_(
                "/api/v1/users/{id}/password",
                Person(KeepAccounts),
                "Give an account a new password, which has to be changed at the next login",
                (Some("PasswordReset"), "User"),
            )),
            post(reset_password),
        ),
    ]
}

/// Longest body of a request about people.
const BODY_MAX_BYTES: usize = 16 << 10;

async fn body_of<T: DeserializeOwned>(body: Body) -> Result<T, Refused> {
    Ok(read_json(body, BODY_MAX_BYTES).await?)
}

fn session_cookie(value: &str, more: &str) -> HeaderValue {
    let text = format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{more}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

pub(super) async fn login(
    State(app): State<AppState>,
    remote: Option<axum::Extension<RemoteAddr>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    same_origin(&headers)?;
    let request: LoginRequest = body_of(body).await?;
    let (now, from) = (app.clock.now(), remote.map(|remote| remote.0.0.ip()));
    let turn = strangers_turn(&app).await?;
    let run = move |app: &AppState| logins::login(&app.db, (now, from), &request);
    let login = blocking(&app, turn, run).await?;
    let cookie = session_cookie(&login.cookie, "");
    Ok(([(header::SET_COOKIE, cookie)], Json(login.caller)).into_response())
}

/// Runs what hashes a password, beside few others. The turn ends with the work, not with the request: whoever hangs up
/// makes no room for another.
async fn blocking<T: Send + 'static>(
    app: &AppState,
    turn: OwnedSemaphorePermit,
    run: impl FnOnce(&AppState) -> Result<T, PeopleError> + Send + 'static,
) -> Result<T, Refused> {
    let shared = app.clone();
    let done = tokio::task::spawn_blocking(move || {
        let done = run(&shared);
        drop(turn);
        done
    });
    done.await.unwrap_or(Err(PeopleError::Db(crate::db::DbError::Worker))).map_err(Refused::from)
}

/// A turn for whoever has logged in.
async fn turn(app: &AppState) -> Result<OwnedSemaphorePermit, Refused> {
    turn_of(&app.hashing.people).await
}

async fn turn_of(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refused> {
    let stopping = |_| Problem::internal("the controller is stopping: try again").into();
    turns.clone().acquire_owned().await.map_err(stopping)
}

/// A turn for a stranger, if the queue is not too long.
async fn strangers_turn(app: &AppState) -> Result<OwnedSemaphorePermit, Refused> {
    let Ok(_waiting) = app.hashing.queue.clone().try_acquire_owned() else {
        return Err(Problem::too_many("too many logins at one time: try again in a minute").into());
    };
    turn_of(&app.hashing.strangers).await
}

pub(super) async fn logout(State(app): State<AppState>, who: Who) -> Result<Response, Refused> {
    let health = app.health(who.now());
    if let Some(hash) = who.session {
        let end = move |tx: &Transaction<'_>, act: &Act| logins::logout(tx, act, &hash);
        who.change(&app, StatusCode::OK, end).await?;
    }
    let cookie = session_cookie("", "; Max-Age=0");
    Ok(([(header::SET_COOKIE, cookie)], Json(health)).into_response())
}

pub(super) async fn me(who: Who) -> Json<Caller> {
    Json(logins::caller(&who.principal, who.csrf.as_ref()))
}

/// The caller's account. Tokens and certificates keep no passwords.
fn own_account(who: &Who) -> Result<UserId, Refused> {
    let user = who.principal.user.filter(|_| who.session.is_some());
    user.ok_or_else(|| {
        Problem::forbidden("log in with name and password for this (POST /api/v1/login)").into()
    })
}

pub(super) async fn change_password(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<Json<User>, Refused> {
    let user = own_account(&who)?;
    let change: PasswordChange = body_of(body).await?;
    let run = move |app: &AppState| {
        let account = who.prove(&app.db, &user, &change.current)?;
        let new = accounts::new_password(&account.user.name, &change.current, &change.new)?;
        who.write(&app.db, |tx, act| {
            accounts::change_password(tx, act, &account, new, who.session.as_ref())
        })
    };
    Ok(Json(blocking(&app, turn(&app).await?, run).await?))
}

pub(super) async fn new_totp(
    State(app): State<AppState>,
    who: Who,
) -> Result<Json<TotpSecret>, Refused> {
    let user = own_account(&who)?;
    let account = app.db.read_async(move |tx| accounts::by_id(tx, &user)).await?;
    Ok(Json(accounts::new_totp(&account.user)))
}

pub(super) async fn confirm_totp(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<Json<User>, Refused> {
    let user = own_account(&who)?;
    let confirm: TotpConfirm = body_of(body).await?;
    let run = move |app: &AppState| {
        let account = who.prove(&app.db, &user, &confirm.password)?;
        who.write(&app.db, |tx, act| {
            accounts::confirm_totp(tx, act, &account, &confirm, who.session.as_ref())
        })
    };
    Ok(Json(blocking(&app, turn(&app).await?, run).await?))
}

pub(super) async fn tokens(
    State(app): State<AppState>,
    who: Who,
    paging: Paging,
) -> Result<Page<ApiToken>, Refused> {
    let tokens = match who.principal.user {
        Some(user) => app.db.read_async(move |tx| rows::tokens(tx, &user)).await?,
        None => Vec::new(),
    };
    Ok(paging.select(tokens, |token| (Reverse(token.created), token.id))?)
}

pub(super) async fn add_token(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<Answer, Refused> {
    let user = own_account(&who)?;
    let input: ApiTokenInput = body_of(body).await?;
    let add = move |tx: &Transaction<'_>, act: &Act| {
        accounts::add_token(tx, act, &accounts::by_id(tx, &user)?.user, &input)
    };
    who.change(&app, StatusCode::CREATED, add).await
}

pub(super) async fn revoke_token(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Answer, Refused> {
    let user = own_account(&who)?;
    let revoke = move |tx: &Transaction<'_>, act: &Act| {
        let token = text.parse().map_err(|_| PeopleError::UnknownToken)?;
        accounts::revoke_token(tx, act, &accounts::by_id(tx, &user)?.user, &token)
    };
    who.change(&app, StatusCode::OK, revoke).await
}

pub(super) async fn users(
    State(app): State<AppState>,
    paging: Paging,
) -> Result<Page<User>, Refused> {
    let all = app.db.read_async(|tx| rows::accounts(tx)).await?;
    let users = all.into_iter().map(|account| account.user).collect();
    Ok(paging.select(users, |user: &User| (user.name.clone(), user.id))?)
}

pub(super) async fn user(
    State(app): State<AppState>,
    Named(name): Named,
) -> Result<Json<User>, Refused> {
    Ok(Json(app.db.read_async(move |tx| accounts::find(tx, &name)).await?.user))
}

/// Accounts of others are kept by a person who has logged in, not by a program with a token: what was stolen from a script
/// does not grow.
fn logged_in(who: &Who) -> Result<(), Refused> {
    own_account(who).map(|_| ())
}

pub(super) async fn add_user(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<(StatusCode, Json<User>), Refused> {
    logged_in(&who)?;
    let input: UserInput = body_of(body).await?;
    let run = move |app: &AppState| {
        accounts::is_for_the_console(input.role)?;
        let password = accounts::first_password(&input.name, &input.password)?;
        who.write(&app.db, |tx, act| accounts::add(tx, act, &input, password))
    };
    Ok((StatusCode::CREATED, Json(blocking(&app, turn(&app).await?, run).await?)))
}

async fn set_disabled(
    app: &AppState,
    who: Who,
    (name, seen): (String, Expected),
    disabled: bool,
) -> Result<Answer, Refused> {
    logged_in(&who)?;
    let set = move |tx: &Transaction<'_>, act: &Act| {
        let account = accounts::find(tx, &name)?;
        seen.check(&account.user)?;
        if !disabled {
            accounts::is_for_the_console(account.user.role)?;
        }
        Ok::<_, Refused>(accounts::set_disabled(tx, act, &account, disabled)?)
    };
    who.change(app, StatusCode::OK, set).await
}

pub(super) async fn disable_user(
    State(app): State<AppState>,
    who: Who,
    Named(name): Named,
    seen: Expected,
) -> Result<Answer, Refused> {
    set_disabled(&app, who, (name, seen), true).await
}

pub(super) async fn enable_user(
    State(app): State<AppState>,
    who: Who,
    Named(name): Named,
    seen: Expected,
) -> Result<Answer, Refused> {
    set_disabled(&app, who, (name, seen), false).await
}

pub(super) async fn reset_password(
    State(app): State<AppState>,
    who: Who,
    Named(name): Named,
    body: Body,
) -> Result<Json<User>, Refused> {
    logged_in(&who)?;
    let reset: PasswordReset = body_of(body).await?;
    let run = move |app: &AppState| {
        let account = app.db.read(|tx| accounts::find(tx, &name))?;
        let password = accounts::first_password(&account.user.name, &reset.password)?;
        who.write(&app.db, |tx, act| {
            let account = accounts::find(tx, &name)?;
            accounts::is_for_the_console(account.user.role)?;
            accounts::reset_password(tx, act, &account, password, reset.without_totp)
        })
    };
    Ok(Json(blocking(&app, turn(&app).await?, run).await?))
}
