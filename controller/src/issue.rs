//! Issuing enrolment tokens: for a server or a site that the register knows.

use lumbung_wire::Role;
use lumbung_wire::messages::overview::TokenRequest;
use lumbung_wire::messages::register::EnrollmentToken;
use rusqlite::Connection;

use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::tokens::{TokenRow, TokenSubject};
use crate::db::{DbError, register as rows, retired, tokens as token_rows};
use crate::tokens::{self, Token, TokenError};

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The request does not say for what.
    #[error("a token for {role} needs --{needs}: name what it enrols")]
    Lacks {
        /// The role.
        role: Role,
        /// What names it.
        needs: &'static str,
    },
    /// Operators and controllers do not enrol.
    #[error(
        "tokens enrol agents and sites, not {0}; `lumbung-controller init` makes the operator's certificate"
    )]
    Role(Role),
    /// Nothing has this name.
    #[error("no {what} is called {name:?}: enter it first, or look at the list of {what}s")]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// What was given.
        name: String,
    },
    /// Several have this name.
    #[error("several servers are called {name:?}: write one of {candidates}")]
    Ambiguous {
        /// What was given.
        name: String,
        /// What to write instead.
        candidates: String,
    },
    /// The server is no more.
    #[error(
        "the server {name} is retired: bring it back first (`lumbung register restore {name}`)"
    )]
    Retired {
        /// Its name.
        name: String,
    },
    /// A rule of tokens.
    #[error("{0}")]
    Token(TokenError),
    /// The database failed.
    #[error("the token could not be kept")]
    Db(#[from] DbError),
}

/// A new token, kept within the caller's transaction.
///
/// # Errors
/// If the request names nothing that can enrol.
pub fn token(
    db: &Connection,
    act: &Act,
    ca_fingerprint: &str,
    request: &TokenRequest,
) -> Result<EnrollmentToken, IssueError> {
    let subject = match (request.role, &request.server, &request.site) {
        (Role::Agent, Some(server), None) => in_use(db, agent_subject(db, server)?)?,
        (Role::Site, None, Some(site)) => site_subject(db, site)?,
        (Role::Agent, ..) => return Err(IssueError::Lacks { role: Role::Agent, needs: "server" }),
        (Role::Site, ..) => return Err(IssueError::Lacks { role: Role::Site, needs: "site" }),
        (role @ (Role::Controller | Role::Operator), ..) => return Err(IssueError::Role(role)),
    };
    let life_h = request.life_h.unwrap_or(tokens::DEFAULT_LIFE_H);
    let expires = tokens::expiry(act.now, life_h).map_err(IssueError::Token)?;
    let token = Token::random();
    token_rows::insert(db, act.now, &token.hash(), &TokenRow { subject, expires, used: None })?;
    let (kind, id) = match &subject {
        TokenSubject::Agent(server) => ("server", server.to_string()),
        TokenSubject::Site(site) => ("site", site.to_string()),
    };
    let deed = Deed { action: "enrolment_token.issue", kind, id: &id, pd: None };
    audit::append(db, act, deed, None, Some(serde_json::json!({ "expires": expires })))?;
    Ok(EnrollmentToken {
        token: token.text().to_owned(),
        expires,
        ca_fingerprint: ca_fingerprint.to_owned(),
    })
}

/// A subject that is not retired.
fn in_use(db: &Connection, subject: TokenSubject) -> Result<TokenSubject, IssueError> {
    let TokenSubject::Agent(server) = &subject else { return Ok(subject) };
    match retired::of(db, server.as_bytes())? {
        Some(found) => Err(IssueError::Retired { name: found.name }),
        None => Ok(subject),
    }
}

fn agent_subject(db: &Connection, text: &str) -> Result<TokenSubject, IssueError> {
    let unknown = || IssueError::Unknown { what: "server", name: text.to_owned() };
    if let Ok(id) = text.parse() {
        return rows::server(db, &id)?
            .map(|server| TokenSubject::Agent(server.id))
            .ok_or_else(unknown);
    }
    let pds = rows::pds_ever(db)?;
    let code_of =
        |id| pds.iter().find(|pd| pd.id == id).map_or_else(String::new, |pd| pd.code.clone());
    let mut found = rows::servers_by_name(db, text)?;
    if let Some((code, name)) = text.split_once('/').filter(|_| found.is_empty()) {
        found = rows::servers_by_name(db, name)?;
        found.retain(|server| code_of(server.pd) == code);
    }
    match found.as_slice() {
        [] => Err(unknown()),
        [one] => Ok(TokenSubject::Agent(one.id)),
        several => {
            let candidates: Vec<_> =
                several.iter().map(|one| format!("{}/{}", code_of(one.pd), one.name)).collect();
            Err(IssueError::Ambiguous { name: text.to_owned(), candidates: candidates.join(", ") })
        }
    }
}

fn site_subject(db: &Connection, text: &str) -> Result<TokenSubject, IssueError> {
    let by_id = text.parse().ok().map(|id| rows::site(db, &id)).transpose()?.flatten();
    let found = match by_id {
        Some(site) => Some(site),
        None => rows::site_by_name(db, text)?,
    };
    let unknown = || IssueError::Unknown { what: "site", name: text.to_owned() };
    found.map(|site| TokenSubject::Site(site.id)).ok_or_else(unknown)
}
