//! `Idempotency-Key`: a change that is asked for twice is made once (draft-ietf-httpapi-idempotency-key-header).
//!
//! Invariants: an answer is kept in the transaction of the change that it tells of, so there is never one without the
//! other, whenever the controller stops. What was refused changed nothing, and is not kept. Nothing is kept of a request
//! or an answer that carries a secret: not even a hash, since passwords can be guessed from one. Of one caller's key, one
//! request is at work at a time. See docs/adr/0017.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use lumbung_model::Timestamp;
use lumbung_wire::Problem;
use rusqlite::Connection;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::problems::Refused;
use crate::db::idempotency::{self as rows, Kept};
use crate::people::access::Principal;

/// The header.
pub(super) const HEADER: &str = "idempotency-key";
/// How long an answer is kept, seconds: a day, in which whoever lost it has asked again.
const LIFE_S: i64 = 86_400;
/// Most answers that are kept for one caller.
const ANSWERS_MAX: u64 = 10_000;
/// Most bytes of answers that are kept for one caller.
const ANSWERS_MAX_BYTES: u64 = 32 << 20;
/// Longest key.
const KEY_MAX_CHARS: usize = 255;

/// What a route does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// It makes a change once.
    Kept,
    /// It refuses one: a secret is in the request or in the answer, of which nothing is kept.
    Refused,
    /// It takes no notice: there is nothing that would be done twice.
    Needless,
}

/// Requests with a key that are at work now, by caller and key.
#[derive(Debug, Clone, Default)]
pub struct AtWork(Arc<Mutex<HashSet<(String, String)>>>);

impl AtWork {
    fn begin(&self, caller: &str, key: &str) -> Option<Turn> {
        let named = (caller.to_owned(), key.to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(named.clone()).then(|| Turn { at_work: self.clone(), named })
    }
}

/// One of [`AtWork`], until it is dropped.
#[derive(Debug)]
struct Turn {
    at_work: AtWork,
    named: (String, String),
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.at_work.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.named);
    }
}

/// The key of a request, and which request it is. Whoever works on the request holds it, not whoever waits for the answer:
/// a caller that hangs up and comes again does not overtake itself.
#[derive(Debug)]
pub(super) struct Keyed {
    caller: String,
    key: String,
    request: [u8; 32],
    looked_at: Arc<AtomicBool>,
    _turn: Turn,
}

impl Keyed {
    /// Takes a request with this key to work.
    ///
    /// # Errors
    /// 409 if one with this key is at work.
    pub(super) fn begin(
        at_work: &AtWork,
        principal: &Principal,
        key: String,
        request: [u8; 32],
    ) -> Result<Self, Problem> {
        let caller = caller(principal);
        let turn = at_work.begin(&caller, &key).ok_or_else(|| {
            problem(
                StatusCode::CONFLICT,
                "idempotency-at-work",
                "a request with this key is still at work: wait a moment, then send it again",
            )
        })?;
        Ok(Self { caller, key, request, looked_at: Arc::default(), _turn: turn })
    }

    /// Leaves the key to another request: this one keeps nothing.
    pub(super) fn leave(&self) {
        self.looked_at.store(true, Ordering::Relaxed);
    }

    /// Becomes true once the change has asked [`Self::earlier`], or has left the key.
    pub(super) fn looked_at(&self) -> Arc<AtomicBool> {
        self.looked_at.clone()
    }

    /// The answer that was given to this request before, if there was one.
    ///
    /// # Errors
    /// 422 if the key was another request's, 429 if the caller has too many.
    pub(super) fn earlier(
        &self,
        db: &Connection,
        now: Timestamp,
    ) -> Result<Option<Answer>, Refused> {
        self.looked_at.store(true, Ordering::Relaxed);
        let found = rows::find(db, &self.caller, &self.key)?;
        match found.filter(|kept| now.seconds_since(kept.at) < LIFE_S) {
            Some(kept) if kept.request == self.request => {
                let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
                Ok(Some(Answer { status, body: kept.answer, again: true }))
            }
            Some(_) => Err(problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-reused",
                "this key was sent with another request: take a new key for a new request",
            )
            .into()),
            None => self.room(db, now).map(|()| None),
        }
    }

    /// Fails if more answers are kept for this caller than there is room for.
    fn room(&self, db: &Connection, now: Timestamp) -> Result<(), Refused> {
        rows::prune(db, now.plus_seconds(1 - LIFE_S))?;
        let (answers, bytes) = rows::usage(db, &self.caller)?;
        if answers < ANSWERS_MAX && bytes < ANSWERS_MAX_BYTES {
            return Ok(());
        }
        let detail = format!(
            "{answers} requests with a key in one day are as many as are remembered: import many rows at once, or send no key"
        );
        Err(problem(StatusCode::TOO_MANY_REQUESTS, "idempotency-full", detail).into())
    }

    /// Keeps the answer, in the transaction of its change.
    pub(super) fn keep(
        &self,
        db: &Connection,
        now: Timestamp,
        answer: &Answer,
    ) -> Result<(), Refused> {
        let (status, body) = (answer.status.as_u16(), answer.body.clone());
        let kept = Kept { request: self.request, at: now, status, answer: body };
        Ok(rows::keep(db, &self.caller, &self.key, &kept)?)
    }
}

/// As whom somebody asks. A person of another role or PD is not shown what the former one was.
fn caller(principal: &Principal) -> String {
    let (actor, pd) = (&principal.actor, principal.scope.pd());
    let pd = pd.map_or_else(String::new, |pd| pd.to_string());
    format!("{}:{}:{}:{pd}", actor.kind.as_str(), actor.id, principal.role)
}

fn problem(status: StatusCode, slug: &str, detail: impl Into<String>) -> Problem {
    Problem::new(status, slug, "The idempotency key cannot be used", detail)
}

/// The refusal of a key where nothing may be kept.
pub(super) fn refused() -> Problem {
    problem(
        StatusCode::BAD_REQUEST,
        "idempotency-secret",
        "a secret is in this request or its answer, and nothing of it is kept: send it without Idempotency-Key, and look whether it was done before you send it again",
    )
}

/// The key of a request: a string of RFC 8941 as the draft has it, or the bare characters that many clients send.
///
/// # Errors
/// 400 if it is neither, or there are two.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let key = text.and_then(|text| match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').and_then(unescaped),
        None => Some(text.to_owned()),
    });
    let fits = |key: &String| {
        (1..=KEY_MAX_CHARS).contains(&key.len()) && key.bytes().all(|b| (0x20..0x7f).contains(&b))
    };
    key.filter(fits).map(Some).ok_or_else(|| {
        let detail = format!(
            "Idempotency-Key: one string of 1 to {KEY_MAX_CHARS} ASCII characters, such as a random UUID"
        );
        problem(StatusCode::BAD_REQUEST, "idempotency-key", detail)
    })
}

/// What stands between the quotation marks of RFC 8941.
fn unescaped(text: &str) -> Option<String> {
    let mut characters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = characters.next() {
        match c {
            '\\' => plain.push(characters.next().filter(|c| matches!(c, '"' | '\\'))?),
            '"' => return None,
            c => plain.push(c),
        }
    }
    Some(plain)
}

/// Which request it is: SHA-256 over everything that decides what is done.
pub(super) fn request_of(parts: &http::request::Parts, body: &[u8]) -> [u8; 32] {
    let of = |name: HeaderName| parts.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let all: [&[u8]; 5] = [
        parts.method.as_str().as_bytes(),
        target.as_bytes(),
        of(header::CONTENT_TYPE),
        of(header::IF_MATCH),
        body,
    ];
    let mut hash = Sha256::new();
    for part in all {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What a change answers with.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    again: bool,
}

impl Answer {
    /// A row as JSON.
    pub(super) fn of(status: StatusCode, row: &impl Serialize) -> Result<Self, Refused> {
        let failed = |_| Problem::internal("the answer could not be written; nothing was changed");
        let body = serde_json::to_vec(row).map_err(failed)?;
        Ok(Self { status, body, again: false })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (self.status, kind, self.body).into_response();
        if self.again {
            let name = HeaderName::from_static("idempotency-replayed");
            response.headers_mut().insert(name, HeaderValue::from_static("true"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&str]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        key_of(&headers)
    }

    #[test]
    fn a_key_is_a_quoted_string_or_bare_characters() {
        assert_eq!(key(&[]), Ok(None));
        for (text, expected) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            (r#""8e03""#, "8e03"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
        ] {
            assert_eq!(key(&[text]), Ok(Some(expected.to_owned())));
        }
        let long = "x".repeat(256);
        for wrong in ["", r#""""#, r#"""#, r#""a"b""#, r#""a\n""#, r#""a\""#, "é", long.as_str()] {
            assert_eq!(key(&[wrong]).unwrap_err().slug(), "idempotency-key", "{wrong}");
        }
        assert!(key(&["a", "a"]).is_err());
    }

    #[test]
    fn one_request_of_a_key_is_at_work_until_it_is_dropped() {
        let all = AtWork::default();
        let first = all.begin("a", "1").unwrap();
        assert!(all.begin("a", "1").is_none());
        assert!(all.begin("b", "1").is_some());
        drop(first);
        assert!(all.begin("a", "1").is_some());
    }
}
