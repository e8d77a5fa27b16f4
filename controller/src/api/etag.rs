//! What an answer may be kept for, and asking for it again only if it has changed (RFC 9110, chapter 13).
//!
//! Invariants: a tag is strong: it is made of the answer's bytes, and of nothing else. No answer is kept by anything on its
//! way or on a browser's disk: nearly all of them tell of people or of what a city has and lacks, and consoles are shared.
//! A program that keeps an answer in its own memory asks with `If-None-Match`.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lumbung_wire::Problem;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Digits of a tag: half of a SHA-256 is more than two answers ever share.
const DIGITS: usize = 32;

/// The tag of these bytes.
fn digits_of(bytes: &[u8]) -> String {
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
    hash[..DIGITS].to_owned()
}

/// The tag of a row: that of what `GET` of it answers with, or of the part of that which people enter.
pub(super) fn row_tag(row: &impl Serialize) -> String {
    digits_of(&serde_json::to_vec(row).unwrap_or_default())
}

/// With an answer that shows more of a row than is entered: the tag of what is entered. The answer's own is made of both,
/// with a point between them, so that a change may be asked for whatever happened to the rest.
#[derive(Debug, Clone)]
pub(super) struct RowTag(pub(super) String);

/// The tags of a header such as `If-Match`; `None`: it is not there.
fn tags(headers: &HeaderMap, name: header::HeaderName) -> Option<Vec<String>> {
    let lines = headers.get_all(name);
    // What cannot be read is some tag, and that of nothing.
    let texts = lines.iter().map(|line| line.to_str().unwrap_or_default());
    let tags: Vec<String> =
        texts.flat_map(|line| line.split(',')).map(|tag| tag.trim().to_owned()).collect();
    (!tags.is_empty()).then_some(tags)
}

/// Puts a tag on what is read, answers 304 to whoever has it already, and lets nothing be kept.
pub(super) async fn conditional(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = tags(request.headers(), header::IF_NONE_MATCH);
    let mut response = next.run(request).await;
    let keep = HeaderValue::from_static("private, no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !reads || response.status() != StatusCode::OK || !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Whole in memory already: handlers serialise their answer before they give it.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Problem::internal("the answer could not be made: try again").into_response();
    };
    let tag = match parts.extensions.get::<RowTag>() {
        Some(RowTag(row)) => format!("\"{row}.{}\"", digits_of(&bytes)),
        None => format!("\"{}\"", digits_of(&bytes)),
    };
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    // Whether what is known is the same is asked weakly (RFC 9110, 13.1.2).
    let is_known = |one: &String| one == "*" || one.trim_start_matches("W/") == tag;
    if known.is_some_and(|known| known.iter().any(is_known)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// What the caller believes to replace: the tags of `If-Match`.
#[derive(Debug, Clone)]
pub(super) struct Expected(Option<Vec<String>>);

impl Expected {
    /// Itself, if the caller says at all what it has seen.
    ///
    /// # Errors
    /// 428 (RFC 6585).
    pub(super) fn required(self) -> Result<Self, Problem> {
        if self.0.is_some() {
            return Ok(self);
        }
        Err(Problem::unconditional(
            "read the row first, and send its `ETag` along as `If-Match`: so nobody undoes what somebody else did meanwhile",
        ))
    }

    /// Fails if the row is no longer what the caller has seen. To be asked in the transaction of the change; `row` is what
    /// `GET` of that one row would answer with now.
    ///
    /// # Errors
    /// 412.
    pub(super) fn check(&self, row: &impl Serialize) -> Result<(), Problem> {
        self.check_tag(&row_tag(row))
    }

    /// As [`Self::check`], of a row with this tag ([`row_tag`]).
    ///
    /// # Errors
    /// 412.
    pub(super) fn check_tag(&self, now: &str) -> Result<(), Problem> {
        let Some(expected) = &self.0 else { return Ok(()) };
        // A weak tag does not match here: what is replaced has to be known to the byte (RFC 9110, 13.1.1).
        let quoted = |one: &str| one.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
        let is_now =
            |tag: &str| tag == now || tag.split_once('.').is_some_and(|(row, _)| row == now);
        if expected.iter().any(|one| one == "*" || quoted(one).is_some_and(|tag| is_now(&tag))) {
            return Ok(());
        }
        Err(Problem::changed(
            "somebody else has changed it since you read it: read it again, then decide anew",
        ))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(tags(&parts.headers, header::IF_MATCH)))
    }
}
