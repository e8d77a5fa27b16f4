//! Who may call what.
//!
//! Invariants: every route states its access; what is not in the table is refused. Agents and sites see nothing of the
//! register but their own answer. People come with an API token, an operator's certificate or a session's cookie, asked
//! for in this order; a cookie changes nothing without the session's CSRF token.

use std::net::IpAddr;

use axum::extract::Request;
use http::{HeaderMap, Method, header};
use lumbung_model::Timestamp;
use lumbung_wire::audit::{Actor, ActorKind};
use lumbung_wire::messages::people::{SessionState, UserRole};
use lumbung_wire::server::RemoteAddr;
use lumbung_wire::{Peer, PeerIdentity, Problem, Role};

use super::AppState;
use super::problems::Refused;
use super::who::Who;
use crate::db::people as rows;
use crate::people::access::{Permission, Principal, Scope};
use crate::people::login;

/// The session's cookie. Its prefix binds it to this host, to TLS and to the whole path (RFC 6265bis).
pub(super) const COOKIE: &str = "__Host-lumbung";
/// Where a session's requests carry its CSRF token.
const CSRF_HEADER: &str = "x-csrf-token";

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a certificate.
    Anyone,
    /// Agents, about themselves.
    Agent,
    /// Sites, about what they see.
    Site,
    /// Whoever has a certificate that it may renew: agents, sites, operators.
    Holder,
    /// Whoever has a certificate of the city's CA.
    Member,
    /// Another controller, about what it may take over.
    Controller,
    /// Whoever has this permission.
    Person(Permission),
    /// Whoever has logged in, however far.
    Own,
}

impl Access {
    /// Whether a certificate alone opens it; of routes for people it never does.
    ///
    /// # Errors
    /// The refusal: 401 without a certificate, 403 with another one.
    pub fn check(self, peer: &Peer) -> Result<(), Problem> {
        let allowed: &[Role] = match self {
            Self::Anyone => return Ok(()),
            Self::Agent => &[Role::Agent],
            Self::Site => &[Role::Site],
            Self::Holder => &[Role::Agent, Role::Site, Role::Operator],
            Self::Member => &[Role::Agent, Role::Site, Role::Operator, Role::Controller],
            Self::Controller => &[Role::Controller],
            Self::Person(_) | Self::Own => &[],
        };
        let role = match peer {
            Peer::Anonymous => {
                return Err(Problem::certificate_needed(
                    "enrol first (agents, sites), or use the operator's certificate",
                ));
            }
            Peer::RootKey(_) => None,
            Peer::Certified(identity) => Some(identity.role),
        };
        match role {
            Some(role) if allowed.contains(&role) => Ok(()),
            _ => Err(not_for(peer)),
        }
    }

    /// For the documentation of the API.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        use Permission as P;
        match self {
            Self::Anyone => "No certificate needed.",
            Self::Agent => "Client certificate of an agent; it speaks for itself only.",
            Self::Site => "Client certificate of a site; it speaks for itself only.",
            Self::Holder => "Client certificate of an agent, a site or an operator.",
            Self::Member => "Client certificate of the city's CA.",
            Self::Controller => {
                "Client certificate of a controller; it is told what is for its key."
            }
            Self::Own => "Whoever has logged in, or has an API token.",
            Self::Person(P::Read) => {
                "Everybody with an account; pd and custodian see their own PD only."
            }
            Self::Person(P::ReadCity | P::ReadAudit) => "Roles admin, operator, auditor.",
            Self::Person(P::WriteRegister | P::AskTwo) => "Roles admin, operator.",
            Self::Person(P::HandInProof | P::Decide) => {
                "Roles admin, operator, and custodian for its own PD."
            }
            Self::Person(P::Deliver | P::LookAfter) => {
                "Roles admin, operator, and pd and custodian for their own PD."
            }
            Self::Person(P::ReadApprovals) => {
                "Roles admin, operator, auditor, and custodian for its own PD."
            }
            Self::Person(P::KeepAccounts) => "Role admin.",
            Self::Person(P::OwnAccount) => "Whoever has an account.",
        }
    }
}

fn not_for(peer: &Peer) -> Problem {
    Problem::forbidden(format!(
        "this is not for {}: use the certificate that it is for",
        peer.role_name()
    ))
}

/// What a request says of its caller.
pub(super) struct Asking {
    method: Method,
    headers: HeaderMap,
    from: Option<IpAddr>,
}

impl Asking {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            headers: request.headers().clone(),
            from: request.extensions().get::<RemoteAddr>().map(|remote| remote.0.ip()),
        }
    }

    fn changes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }
}

/// Fails if a browser says that another page makes this request: certificates are sent along by themselves (Fetch
/// Metadata, `Sec-Fetch-Site`).
///
/// # Errors
/// The refusal.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes) {
        None | Some(b"none" | b"same-origin") => Ok(()),
        Some(_) => Err(forged(
            "another page may not do this: use the command line, or the controller's own pages",
        )),
    }
}

fn forged(detail: &str) -> Problem {
    let title = "The request may come from another page";
    Problem::new(http::StatusCode::FORBIDDEN, "csrf", title, detail)
}

/// Finds out who calls a route for people, and whether it may.
///
/// # Errors
/// The refusal: 401 if it is nobody, 403 if it is somebody else.
pub(super) async fn person(
    app: &AppState,
    peer: &Peer,
    access: Access,
    asking: Asking,
) -> Result<Who, Refused> {
    let now = app.clock.now();
    let who = match bearer(&asking.headers)? {
        Some(token) => of_token(app, now, token).await?,
        None => match peer {
            Peer::Certified(identity) if identity.role == Role::Operator => {
                of_certificate(now, identity)
            }
            Peer::Certified(_) | Peer::RootKey(_) => return Err(not_for(peer).into()),
            Peer::Anonymous => of_cookie(app, now, &asking).await?,
        },
    };
    let who = who.at(asking.from);
    if who.session.is_none() && asking.changes() {
        same_origin(&asking.headers)?;
    }
    if let Access::Person(permission) = access {
        check_state(who.principal.state)?;
        if !who.principal.may(permission) {
            return Err(may_not(&who.principal, permission).into());
        }
    }
    Ok(who)
}

fn may_not(principal: &Principal, permission: Permission) -> Problem {
    let detail = if crate::people::access::may(principal.role, permission) {
        "this token only reads: make one that writes".to_owned()
    } else {
        format!("this is not for the role {}: ask an administrator", principal.role)
    };
    Problem::forbidden(detail)
}

fn check_state(state: SessionState) -> Result<(), Problem> {
    let detail = match state {
        SessionState::Full => return Ok(()),
        SessionState::ChangePassword => {
            "this password was given by somebody else: change it first (POST /api/v1/me/password)"
        }
        SessionState::SetUpTotp => {
            "this role needs a second factor: set it up first (POST /api/v1/me/totp)"
        }
    };
    Err(Problem::forbidden(detail))
}

fn unknown(detail: &str) -> Refused {
    Problem::new(http::StatusCode::UNAUTHORIZED, "login-needed", "Log in first", detail).into()
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    token
        .map(|token| Some(token.trim()))
        .ok_or_else(|| unknown("write `Authorization: Bearer TOKEN`"))
}

async fn of_token(app: &AppState, now: Timestamp, token: &str) -> Result<Who, Refused> {
    let token = token.to_owned();
    let found = app.db.read_async(move |tx| login::by_token(tx, now, &token)).await?;
    let refused = || {
        unknown(
            "this token is not known, has expired, was taken back, or its account is closed: make a new one",
        )
    };
    Ok(Who::new(found.ok_or_else(refused)?, now))
}

/// Whoever holds an operator's certificate is an operator.
fn of_certificate(now: Timestamp, identity: &PeerIdentity) -> Who {
    let actor = Actor {
        kind: ActorKind::Certificate,
        id: identity.serial.clone(),
        name: format!("operator's certificate {:?}", identity.name),
    };
    let principal = Principal {
        actor,
        user: None,
        role: UserRole::Operator,
        scope: Scope::City,
        writes: true,
        state: SessionState::Full,
    };
    Who::new(principal, now)
}

async fn of_cookie(app: &AppState, now: Timestamp, asking: &Asking) -> Result<Who, Refused> {
    let headers = &asking.headers;
    let cookie = cookie(headers).ok_or_else(|| {
        unknown("log in (POST /api/v1/login), or use an API token or the operator's certificate")
    })?;
    let found = app.db.read_async(move |tx| login::by_cookie(tx, now, &cookie)).await?;
    let session = found.ok_or_else(|| unknown("the session has ended: log in again"))?;
    let token = headers.get(CSRF_HEADER).map(http::HeaderValue::as_bytes).unwrap_or_default();
    if asking.changes() && !session.is_its_token(token) {
        let detail =
            "send the session's `csrf_token` in the header x-csrf-token (GET /api/v1/me tells it)";
        return Err(forged(detail).into());
    }
    if session.touch {
        let hash = session.hash;
        app.db.write_async(move |tx| rows::touch_session(tx, &hash, now)).await?;
    }
    let mut who = Who::new(session.principal, now);
    (who.session, who.csrf) = (Some(session.hash), Some(session.csrf));
    Ok(who)
}

/// The session's cookie among those that were sent.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}
