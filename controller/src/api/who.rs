//! Whoever calls a route for people, and the only way by which it changes anything.
//!
//! Invariants: a change asks in its own transaction whether the caller is still what it was when its request began, which
//! may be a while ago; so nobody changes anything after its account, its token or its session has ended. Handlers never
//! get at the [`Act`] otherwise. A change that is asked for with an idempotency key is made once.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use lumbung_model::{Timestamp, UserId};
use lumbung_wire::Problem;
use rusqlite::Transaction;
use serde::Serialize;

use super::AppState;
use super::idempotency::{Answer, Keyed};
use super::problems::Refused;
use crate::act::Act;
use crate::db::people::Account;
use crate::db::{Db, DbError};
use crate::people::access::{Principal, Scope};
use crate::people::{PeopleError, login};

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) principal: Principal,
    act: Act,
    /// The session, if it came with one.
    pub(super) session: Option<[u8; 32]>,
    /// Its CSRF token.
    pub(super) csrf: Option<[u8; 32]>,
    /// The request's idempotency key.
    keyed: Option<Arc<Keyed>>,
}

impl Who {
    /// A caller without a session.
    pub(super) fn new(principal: Principal, now: Timestamp) -> Self {
        let act = Act { now, actor: principal.actor.clone(), from: None };
        Self { principal, act, session: None, csrf: None, keyed: None }
    }

    /// From which address it comes.
    pub(super) fn at(mut self, from: Option<IpAddr>) -> Self {
        self.act.from = from;
        self
    }

    /// With the idempotency key that it sent.
    pub(super) fn keyed(self, keyed: Keyed) -> Self {
        Self { keyed: Some(Arc::new(keyed)), ..self }
    }

    /// How much of the city it sees.
    pub(super) fn scope(&self) -> Scope {
        self.principal.scope
    }

    /// When its request began.
    pub(super) fn now(&self) -> Timestamp {
        self.act.now
    }

    /// Fails unless the caller is still what it was.
    fn still(&self, tx: &Transaction<'_>) -> Result<(), PeopleError> {
        let (principal, session) = (&self.principal, self.session.as_ref());
        let still = login::is_still(tx, self.act.now, principal, session)?;
        if still { Ok(()) } else { Err(PeopleError::Login) }
    }

    /// Makes a change that carries a secret: no idempotency key comes here. Blocks.
    ///
    /// # Errors
    /// What `run` returns, that the caller is no longer what it was, or that the database failed.
    pub(super) fn write<T, E: From<DbError> + From<PeopleError>>(
        &self,
        db: &Db,
        run: impl FnOnce(&Transaction<'_>, &Act) -> Result<T, E>,
    ) -> Result<T, E> {
        db.write(|tx| {
            self.still(tx)?;
            run(tx, &self.act)
        })
    }

    /// Makes a change once, and answers with what `run` returns.
    ///
    /// # Errors
    /// What `run` returns, that the caller is no longer what it was, what the idempotency key is refused for, or that the
    /// database failed.
    pub(super) async fn change<T: Serialize, E: Into<Refused>>(
        self,
        app: &AppState,
        status: StatusCode,
        run: impl FnOnce(&Transaction<'_>, &Act) -> Result<T, E> + Send + 'static,
    ) -> Result<Answer, Refused> {
        let write = move |tx: &Transaction<'_>| {
            self.still(tx)?;
            let (now, keyed) = (self.act.now, self.keyed.as_deref());
            if let Some(earlier) = keyed.map(|keyed| keyed.earlier(tx, now)).transpose()?.flatten()
            {
                return Ok(earlier);
            }
            let answer = Answer::of(status, &run(tx, &self.act).map_err(Into::into)?)?;
            keyed.map(|keyed| keyed.keep(tx, now, &answer)).transpose()?;
            Ok(answer)
        };
        app.db.write_async(write).await
    }

    /// Tries a change, tells what would come of it, and takes it back. Nothing of it is kept, and its key stays free.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub(super) async fn try_out<T: Serialize, E: Into<Refused>>(
        self,
        app: &AppState,
        run: impl FnOnce(&Transaction<'_>, &Act) -> Result<T, E> + Send + 'static,
    ) -> Result<Answer, Refused> {
        let run = move |tx: &Transaction<'_>| {
            self.still(tx)?;
            self.keyed.iter().for_each(|keyed| keyed.leave());
            let answer = Answer::of(StatusCode::OK, &run(tx, &self.act).map_err(Into::into)?)?;
            Err::<std::convert::Infallible, _>(Tried::Done(answer))
        };
        match app.db.write_async(run).await {
            Ok(never) => match never {},
            Err(Tried::Done(answer)) => Ok(answer),
            Err(Tried::Refused(refused)) => Err(refused),
        }
    }

    /// The account, if the password is its own; a failure is counted. Blocks.
    ///
    /// # Errors
    /// [`PeopleError::Login`], or that the database failed.
    pub(super) fn prove(
        &self,
        db: &Db,
        user: &UserId,
        password: &str,
    ) -> Result<Account, PeopleError> {
        login::prove(db, &self.act, user, password)
    }
}

/// How a change ends that is taken back whatever comes of it.
enum Tried {
    Done(Answer),
    Refused(Refused),
}

impl<E: Into<Refused>> From<E> for Tried {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only a route that says it is for people has a caller.
        let who = parts.extensions.remove::<Self>();
        who.ok_or_else(|| Problem::internal("this route names no caller: tell the developers"))
    }
}
