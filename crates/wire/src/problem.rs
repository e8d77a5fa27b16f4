//! Refusals as RFC 9457 documents: a stable `type`, and a `detail` that tells what to do next.
//!
//! A slug is part of the API: clients and runbooks may look at it, so it never changes its meaning.
//! `detail` is for people and may. Nothing secret and no path of the server stands in either.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use lumbung_pack::Missing;
use serde::{Deserialize, Serialize};

/// Before every slug in `type`.
const TYPE_PREFIX: &str = "urn:lumbung:problem:";
/// The media type of RFC 9457.
const CONTENT_TYPE: &str = "application/problem+json";

/// Longest text of a server's document that is kept.
const FOREIGN_TEXT_MAX_CHARS: usize = 2000;
/// Most fields that one document tells of.
const FIELD_ERRORS_MAX: usize = 100;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The field, as it is called in the request; empty if it is about the whole entry.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub detail: String,
    /// Its line in a file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:lumbung:problem:<slug>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do next.
    #[serde(default)]
    pub detail: String,
    // Nullable: in a schema this is how an answer's member may be absent.
    /// What is wrong with which field, where that is known; `detail` says the same for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(nullable))]
    pub errors: Vec<FieldError>,
    /// What a commit lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // A vault's: the controller takes no snapshots.
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub missing: Option<Box<Missing>>,
}

impl FieldError {
    fn printable(&self) -> Self {
        let (field, detail) = (printable(&self.field), printable(&self.detail));
        Self { field, detail, line: self.line }
    }
}

impl Problem {
    /// A problem of the type `slug`.
    #[must_use]
    pub fn new(status: StatusCode, slug: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            missing: None,
        }
    }

    /// With what is wrong with which fields; the first hundred of them.
    #[must_use]
    pub fn with_errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        self.errors = errors.into_iter().take(FIELD_ERRORS_MAX).collect();
        self
    }

    /// With the one field that `detail` is about.
    #[must_use]
    pub fn with_field(self, field: &str) -> Self {
        let (field, detail) = (field.to_owned(), self.detail.clone());
        self.with_errors([FieldError { field, detail, line: None }])
    }

    /// With what a commit lacks.
    #[must_use]
    pub fn with_missing(mut self, missing: Missing) -> Self {
        self.missing = Some(Box::new(missing));
        self
    }

    /// The last part of `type`; the whole of a foreign one.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.kind.strip_prefix(TYPE_PREFIX).unwrap_or(&self.kind)
    }

    /// The status, 500 if it is none.
    #[must_use]
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// 400: the request itself is wrong.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request cannot be understood",
            detail,
        )
    }

    /// 401: a client certificate is needed.
    #[must_use]
    pub fn certificate_needed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "certificate-needed",
            "A client certificate is needed",
            detail,
        )
    }

    /// 403: this certificate does not entitle to that.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "The certificate does not entitle to this",
            detail,
        )
    }

    /// 403: the certificate has expired and this is more than its grace allows.
    #[must_use]
    pub fn certificate_expired(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "certificate-expired",
            "The client certificate has expired",
            detail,
        )
    }

    /// 404: not here, or not for this caller.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "It is not here", detail)
    }

    /// 405: the path exists and does not take this method.
    #[must_use]
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "This method is not available here",
            detail,
        )
    }

    /// 409: it contradicts what is here.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "It contradicts what is here", detail)
    }

    /// 409: the manifest needs what this site does not have.
    #[must_use]
    pub fn incomplete(missing: Missing) -> Self {
        let frames: u64 = missing.packs.iter().map(|pack| u64::from(pack.used.count_ones())).sum();
        let detail = format!(
            "{} sessions, {} segments, {frames} frames in {} packs are not here{}; send them, then the manifest again",
            missing.sessions.len(),
            missing.segments.len(),
            missing.packs.len(),
            if missing.usage { " and neither is the usage list" } else { "" },
        );
        Self::new(
            StatusCode::CONFLICT,
            "incomplete",
            "The snapshot is not complete at this site",
            detail,
        )
        .with_missing(missing)
    }

    /// 408: the body came too slowly.
    #[must_use]
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "The request took too long to arrive",
            detail,
        )
    }

    /// 412: it is no longer what the caller has seen.
    #[must_use]
    pub fn changed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "changed", "It was changed meanwhile", detail)
    }

    /// 428: it has to say what it has seen (RFC 6585).
    #[must_use]
    pub fn unconditional(detail: impl Into<String>) -> Self {
        let title = "The request has to be conditional";
        Self::new(StatusCode::PRECONDITION_REQUIRED, "unconditional", title, detail)
    }

    /// 413: longer than this request may be.
    #[must_use]
    pub fn too_large(limit_bytes: u64) -> Self {
        let detail = format!(
            "the body is longer than the {limit_bytes} bytes that are taken here; send it in smaller parts"
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too long", detail)
    }

    /// 416: outside the object.
    #[must_use]
    pub fn range(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range",
            "The range lies outside the object",
            detail,
        )
    }

    /// 422: well formed and wrong: a hash, a signature, an entitlement inside an object.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The object is not valid", detail)
    }

    /// 429: too often.
    #[must_use]
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail)
    }

    /// 500: the server's fault; the log there knows more.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server could not do it",
            detail,
        )
    }

    /// 503: for now.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The server cannot do it just now",
            detail,
        )
    }

    /// 507: no room left.
    #[must_use]
    pub fn storage_full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage-full", "The storage is full", detail)
    }

    /// A server's document, with its texts made fit to be shown.
    pub(crate) fn from_server(document: Self) -> Self {
        Self {
            kind: printable(&document.kind),
            title: printable(&document.title),
            detail: printable(&document.detail),
            errors: document
                .errors
                .iter()
                .take(FIELD_ERRORS_MAX)
                .map(FieldError::printable)
                .collect(),
            ..document
        }
    }

    /// A problem for an answer that carried none: a proxy's, or a foreign server's.
    pub(crate) fn from_status(status: StatusCode, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
        let title = status.canonical_reason().unwrap_or("refused");
        Self {
            kind: "about:blank".to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: printable(&text),
            errors: Vec::new(),
            missing: None,
        }
    }
}

/// Text of a stranger, fit for a terminal and a log: no control characters, and not without end.
fn printable(text: &str) -> String {
    let text: String = text
        .chars()
        .take(FOREIGN_TEXT_MAX_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.trim().to_owned()
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what: Cow<'_, str> = if self.detail.is_empty() {
            Cow::Borrowed("")
        } else {
            Cow::Owned(format!(": {}", self.detail))
        };
        write!(f, "{} ({}){what}", self.title, self.status)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A document of strings and numbers always serialises.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))];
        (self.status_code(), kind, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_the_document_of_rfc_9457() {
        let response = Problem::storage_full("free space or raise the quota").into_response();
        assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        let json =
            serde_json::to_value(Problem::storage_full("free space or raise the quota")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:lumbung:problem:storage-full",
                "title": "The storage is full",
                "status": 507,
                "detail": "free space or raise the quota",
            })
        );
    }

    #[test]
    fn foreign_answers_become_problems_without_control_characters() {
        let problem = Problem::from_status(StatusCode::BAD_GATEWAY, b"<html>\x1b[31mno\r\n");
        assert_eq!(problem.slug(), "about:blank");
        assert!(!problem.to_string().chars().any(char::is_control), "{problem}");
        let hostile = Problem::conflict(format!("\x1b]0;title\x07{}", "x".repeat(100_000)));
        let errors =
            vec![FieldError { field: "\x1b[0m".into(), detail: "\x07".into(), line: None }; 1000];
        let shown = Problem::from_server(Problem { errors, ..hostile });
        assert_eq!((shown.errors.len(), shown.errors[0].field.as_str()), (100, "[0m"));
        assert!(!shown.to_string().chars().any(char::is_control), "{shown}");
        assert!(shown.detail.len() <= FOREIGN_TEXT_MAX_CHARS);
    }
}
