//! Logins, the own account, and the accounts of others.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use lumbung_model::UserId;
use lumbung_wire::Problem;
use lumbung_wire::messages::overview::ControllerHealth;
use lumbung_wire::messages::people::{
    ApiToken, ApiTokenInput, Caller, LoginRequest, NewApiToken, PasswordChange, PasswordReset,
    TotpConfirm, TotpSecret, User, UserInput,
};
use lumbung_wire::server::{RemoteAddr, read_json};
use serde::de::DeserializeOwned;

use super::AppState;
use super::access::{COOKIE, Who};
use super::extract::Named;
use super::problems::Refused;
use crate::act::Act;
use crate::db::people::{self as rows, Account};
use crate::people::{PeopleError, accounts, login as logins};

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
    body: Body,
) -> Result<Response, Refused> {
    let request: LoginRequest = body_of(body).await?;
    let (now, from) = (app.clock.now(), remote.map(|remote| remote.0.0.ip()));
    let login = blocking(&app, move |app| logins::login(&app.db, (now, from), &request)).await?;
    let cookie = session_cookie(&login.cookie, "");
    Ok(([(header::SET_COOKIE, cookie)], Json(login.caller)).into_response())
}

/// Runs what hashes a password, beside few others.
async fn blocking<T: Send + 'static>(
    app: &AppState,
    run: impl FnOnce(&AppState) -> Result<T, PeopleError> + Send + 'static,
) -> Result<T, Refused> {
    let Ok(_turn) = app.logins.acquire().await else {
        return Err(Problem::internal("the controller is stopping: try again").into());
    };
    let shared = app.clone();
    let done = tokio::task::spawn_blocking(move || run(&shared)).await;
    done.unwrap_or(Err(PeopleError::Db(crate::db::DbError::Worker))).map_err(Refused::from)
}

pub(super) async fn logout(State(app): State<AppState>, who: Who) -> Result<Response, Refused> {
    if let Some(hash) = who.session {
        app.db.write_async(move |tx| rows::end_session(tx, &hash)).await?;
    }
    let health =
        ControllerHealth { version: env!("CARGO_PKG_VERSION").to_owned(), now: who.act.now };
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

fn account(tx: &rusqlite::Connection, user: &UserId) -> Result<Account, PeopleError> {
    rows::account(tx, user)?.ok_or_else(|| PeopleError::Unknown(user.to_string()))
}

pub(super) async fn change_password(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<Json<User>, Refused> {
    let user = own_account(&who)?;
    let change: PasswordChange = body_of(body).await?;
    let run = move |app: &AppState| {
        app.db.write(|tx| {
            let passwords = (change.current.as_str(), change.new.as_str());
            let account = account(tx, &user)?;
            accounts::change_password(tx, &who.act, &account, passwords, who.session.as_ref())
        })
    };
    Ok(Json(blocking(&app, run).await?))
}

pub(super) async fn new_totp(
    State(app): State<AppState>,
    who: Who,
) -> Result<Json<TotpSecret>, Refused> {
    let user = own_account(&who)?;
    let account = app.db.read_async(move |tx| account(tx, &user)).await?;
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
        app.db.write(|tx| {
            let account = account(tx, &user)?;
            accounts::confirm_totp(tx, &who.act, &account, &confirm, who.session.as_ref())
        })
    };
    Ok(Json(blocking(&app, run).await?))
}

pub(super) async fn tokens(
    State(app): State<AppState>,
    who: Who,
) -> Result<Json<Vec<ApiToken>>, Refused> {
    let Some(user) = who.principal.user else { return Ok(Json(Vec::new())) };
    Ok(Json(app.db.read_async(move |tx| rows::tokens(tx, &user)).await?))
}

pub(super) async fn add_token(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<(StatusCode, Json<NewApiToken>), Refused> {
    let user = own_account(&who)?;
    let input: ApiTokenInput = body_of(body).await?;
    let write = move |tx: &rusqlite::Transaction<'_>| {
        accounts::add_token(tx, &who.act, &account(tx, &user)?.user, &input)
    };
    Ok((StatusCode::CREATED, Json(app.db.write_async(write).await?)))
}

pub(super) async fn revoke_token(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<ApiToken>, Refused> {
    let user = own_account(&who)?;
    let write = move |tx: &rusqlite::Transaction<'_>| {
        let token = text.parse().map_err(|_| PeopleError::UnknownToken)?;
        accounts::revoke_token(tx, &who.act, &account(tx, &user)?.user, &token)
    };
    Ok(Json(app.db.write_async(write).await?))
}

pub(super) async fn users(State(app): State<AppState>) -> Result<Json<Vec<User>>, Refused> {
    let all = app.db.read_async(|tx| rows::accounts(tx)).await?;
    Ok(Json(all.into_iter().map(|account| account.user).collect()))
}

pub(super) async fn add_user(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<(StatusCode, Json<User>), Refused> {
    let input: UserInput = body_of(body).await?;
    let run = move |app: &AppState| app.db.write(|tx| accounts::add(tx, &who.act, &input));
    Ok((StatusCode::CREATED, Json(blocking(&app, run).await?)))
}

async fn change_user(
    app: &AppState,
    who: Who,
    name: String,
    change: impl FnOnce(&rusqlite::Connection, &Act, &Account) -> Result<User, PeopleError>
    + Send
    + 'static,
) -> Result<Json<User>, Refused> {
    let run =
        move |app: &AppState| app.db.write(|tx| change(tx, &who.act, &accounts::find(tx, &name)?));
    Ok(Json(blocking(app, run).await?))
}

pub(super) async fn disable_user(
    State(app): State<AppState>,
    who: Who,
    Named(name): Named,
) -> Result<Json<User>, Refused> {
    change_user(&app, who, name, |tx, act, one| accounts::set_disabled(tx, act, one, true)).await
}

pub(super) async fn enable_user(
    State(app): State<AppState>,
    who: Who,
    Named(name): Named,
) -> Result<Json<User>, Refused> {
    change_user(&app, who, name, |tx, act, one| accounts::set_disabled(tx, act, one, false)).await
}

pub(super) async fn reset_password(
    State(app): State<AppState>,
    who: Who,
    Named(name): Named,
    body: Body,
) -> Result<Json<User>, Refused> {
    let reset: PasswordReset = body_of(body).await?;
    change_user(&app, who, name, move |tx, act, one| {
        accounts::reset_password(tx, act, one, &reset.password, reset.without_totp)
    })
    .await
}
