//! Long lists in pages: `limit`, `after`, and `Link: <…>; rel="next"` (RFC 8288).
//!
//! Invariants: a list has one order, and a page begins behind the row that its cursor names, whether that row is still there
//! or not: what is added or goes meanwhile makes no other row come twice or be left out. A cursor holds what the caller has
//! seen of the last row, and narrows a list that is narrowed to the caller's scope already: it opens nothing.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use lumbung_wire::Problem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// Rows in one answer, if nobody asks for fewer, and at most.
pub(super) const LIMIT_MAX: u32 = 1000;
/// Longest text that is looked for.
pub(super) const TEXT_MAX_CHARS: usize = 100;

/// Which part of a list is asked for.
#[derive(Debug)]
pub(super) struct Paging {
    limit: u32,
    after: Option<String>,
    /// The path and its query, without the cursor.
    target: String,
}

#[derive(Deserialize)]
struct Asked {
    limit: Option<u32>,
    after: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked = Query::<Asked>::from_request_parts(parts, state).await;
        let Query(asked) = asked.map_err(|error| Problem::bad_request(error.body_text()))?;
        let limit = asked.limit.unwrap_or(LIMIT_MAX);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::bad_request(format!("limit: from 1 to {LIMIT_MAX}")));
        }
        let pairs = parts.uri.query().unwrap_or_default().split('&');
        let kept: Vec<&str> =
            pairs.filter(|pair| !pair.is_empty() && !pair.starts_with("after=")).collect();
        let target = format!("{}?{}", parts.uri.path(), kept.join("&"));
        Ok(Self { limit, after: asked.after, target })
    }
}

impl Paging {
    /// Rows to be read behind the cursor: one more than are shown tells whether there is a next page.
    pub(super) fn wanted(&self) -> u32 {
        self.limit + 1
    }

    /// What the cursor holds.
    ///
    /// # Errors
    /// 400 if it is none of this list's.
    pub(super) fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        let Some(text) = &self.after else { return Ok(None) };
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let key = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        key.map(Some).ok_or_else(not_a_cursor)
    }

    /// The cursor as it was written.
    pub(super) fn after_text(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The page of a whole list, which is put in order by `key`.
    ///
    /// # Errors
    /// 400 if the cursor is none of this list's.
    pub(super) fn select<T, K: Ord + Serialize + DeserializeOwned>(
        self,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Result<Page<T>, Problem> {
        if let Some(after) = self.after::<K>()? {
            rows.retain(|row| key(row) > after);
        }
        rows.sort_by_cached_key(&key);
        Ok(self.cut(rows, |row| cursor(&key(row))))
    }

    /// The page of rows that begin behind the cursor.
    pub(super) fn cut<T>(self, mut rows: Vec<T>, cursor: impl Fn(&T) -> String) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more).map(cursor);
        let separator = if self.target.ends_with('?') { "" } else { "&" };
        let next = last.map(|after| format!("{}{separator}after={after}", self.target));
        Page { rows, next }
    }
}

/// A cursor that holds this.
pub(super) fn cursor(key: &impl Serialize) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(key).unwrap_or_default())
}

/// The refusal of a cursor.
pub(super) fn not_a_cursor() -> Problem {
    Problem::bad_request("after: take it from the Link header of the page before")
}

/// A part of a list, and where it goes on.
#[derive(Debug)]
pub(super) struct Page<T> {
    rows: Vec<T>,
    next: Option<String>,
}

impl<T> Page<T> {
    /// The same page with each row made into another.
    pub(super) fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(make).collect(), next: self.next }
    }

    /// The same page with its rows made into others, all at once: as many, in the same order.
    pub(super) fn try_with<U, E>(
        self,
        make: impl FnOnce(Vec<T>) -> Result<Vec<U>, E>,
    ) -> Result<Page<U>, E> {
        Ok(Page { rows: make(self.rows)?, next: self.next })
    }

    /// Its rows, and the header that tells where the next are.
    pub(super) fn split(self) -> (Vec<T>, HeaderMap) {
        let mut headers = HeaderMap::new();
        let link = self.next.map(|next| format!("<{next}>; rel=\"next\""));
        // The path and query of a request that was read: they are fit for a header.
        if let Some(Ok(value)) = link.map(HeaderValue::try_from) {
            headers.insert(header::LINK, value);
        }
        (self.rows, headers)
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let (rows, headers) = self.split();
        (headers, Json(rows)).into_response()
    }
}

/// A text that is looked for: upper or lower case does not matter.
#[derive(Debug)]
pub(super) struct Text(String);

impl Text {
    /// Whether one of these holds it.
    pub(super) fn is_in(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| text.to_lowercase().contains(&self.0))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if (1..=TEXT_MAX_CHARS).contains(&text.chars().count()) {
            return Ok(Self(text.to_lowercase()));
        }
        let wanted = format!("look for 1 to {TEXT_MAX_CHARS} characters");
        Err(serde::de::Error::custom(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(limit: u32, after: Option<String>) -> Paging {
        Paging { limit, after, target: "/x?q=a".to_owned() }
    }

    #[test]
    fn pages_together_are_the_list() {
        let all: Vec<u32> = (0..10).rev().collect();
        for limit in 1..=11 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = paging(limit, after).select(all.clone(), |row| (*row, "x".to_owned()));
                let (rows, headers) = page.unwrap().split();
                seen.extend(rows);
                let Some(link) = headers.get(header::LINK) else { break };
                let link = link.to_str().unwrap();
                let next = link.strip_prefix("</x?q=a&after=").unwrap();
                after = Some(next.strip_suffix(">; rel=\"next\"").unwrap().to_owned());
            }
            assert_eq!(seen, (0..10).collect::<Vec<_>>(), "{limit}");
        }
    }

    #[test]
    fn a_page_goes_on_behind_a_row_that_is_gone() {
        let after = Some(cursor(&4_u32));
        let (rows, _) = paging(2, after).select(vec![1_u32, 3, 5, 7], |row| *row).unwrap().split();
        assert_eq!(rows, [5, 7]);
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        for wrong in ["", "x", "!", cursor(&"text").as_str(), cursor(&(1, 2)).as_str()] {
            let refused = paging(2, Some(wrong.to_owned())).select(vec![1_u32], |row| *row);
            assert!(refused.unwrap_err().detail.starts_with("after:"), "{wrong}");
        }
    }
}
