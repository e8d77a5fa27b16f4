//! Packs over HTTP: streamed in with every frame checked as it arrives, streamed out by range.

use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};
use lumbung_model::{PackId, RepositoryId};
use lumbung_pack::{Bitmap, Kind, PackUse};
use lumbung_store::PutOutcome;
use lumbung_wire::messages::{HAVE_MAX_PACKS, HaveAnswer, HaveRequest, VAULT_JSON_MAX_BYTES};
use lumbung_wire::server::{body_problem, read_json};
use lumbung_wire::{Peer, Problem};
use tokio::sync::mpsc;

use super::objects::status;
use super::{App, parse_repository, problem, stopping, visible};
use crate::index::{PackRow, bad_frames};
use crate::repository::Repository;
use crate::storage::PackRead;
use crate::tenancy::{Caller, Reading};
use crate::{Sender, Vault, VaultError};

/// Bytes read from a pack at once.
const PIECE: u64 = 1 << 20;
/// Pieces of a body that wait for the disk.
const QUEUED: usize = 8;

pub(super) async fn put(
    app: &App,
    repository: Arc<Repository>,
    id: PackId,
    (caller, sender): (Caller, Sender),
    body: Body,
) -> Result<Response, Problem> {
    let upload = app.uploads.begin(&caller).await?;
    let (queue, mut queued) = mpsc::channel::<Bytes>(QUEUED);
    let vault = Arc::clone(&app.vault);
    let writing = tokio::task::spawn_blocking(move || -> Result<PutOutcome, VaultError> {
        let _upload = upload;
        let mut intake = vault.receive_pack(&repository, id, sender)?;
        while let Some(piece) = queued.blocking_recv() {
            intake.write(&piece)?;
        }
        // A body that broke off ends here as well, and is found to be too short.
        intake.finish()
    });
    let mut pieces = body.into_data_stream();
    let mut broken = None;
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => {
                // The writer has refused: no more is needed to say why.
                if queue.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(body_problem(&error));
                break;
            }
        }
    }
    drop(queue);
    let written = writing.await.map_err(|_| stopping())?;
    match (written, broken) {
        (Ok(outcome), _) => Ok(status(outcome).into_response()),
        (Err(_), Some(broken)) => Err(broken),
        (Err(error), None) => Err(problem::of(&error)),
    }
}

pub(super) async fn get(
    app: &App,
    repository: Arc<Repository>,
    id: PackId,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let pack = app.run(move |_| Ok(repository.store.open_pack(&id)?)).await?;
    let length = pack.length();
    let wanted = headers.get(header::RANGE).map(|value| value.to_str().unwrap_or("?"));
    let (range, code) = match wanted {
        None => (0..length, StatusCode::OK),
        Some(text) => {
            let range = parse_range(text, length).ok_or_else(|| {
                Problem::range(format!(
                    "the pack has {length} bytes; one range such as bytes=0-1023 can be asked for"
                ))
            })?;
            (range, StatusCode::PARTIAL_CONTENT)
        }
    };
    let mut response = Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, range.end - range.start);
    if code == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        response = response.header(header::CONTENT_RANGE, text);
    }
    response
        .body(stream_pack(pack, range))
        .map_err(|_| Problem::internal("the answer could not be built"))
}

/// One range of RFC 9110 §14: `bytes=a-b`, `bytes=a-`, `bytes=-n`. What it gives lies within `length` and is not empty.
#[must_use]
pub fn parse_range(text: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        length.saturating_sub(suffix)..length
    } else {
        let first: u64 = first.parse().ok()?;
        let last = if last.is_empty() {
            length
        } else {
            last.parse::<u64>().ok()?.saturating_add(1).min(length)
        };
        first..last
    };
    (range.start < range.end).then_some(range)
}

fn stream_pack(pack: Box<dyn PackRead>, range: Range<u64>) -> Body {
    let pack: Arc<dyn PackRead> = pack.into();
    let pieces = stream::try_unfold(range.start, move |at| {
        let (pack, end) = (Arc::clone(&pack), range.end);
        async move {
            if at == end {
                return Ok(None);
            }
            let length = PIECE.min(end - at);
            let read = tokio::task::spawn_blocking(move || {
                pack.read_range(at, usize::try_from(length).unwrap_or(usize::MAX))
            });
            match read.await {
                Ok(Ok(bytes)) => Ok(Some((Bytes::from(bytes), at + length))),
                Ok(Err(error)) => Err(std::io::Error::other(error)),
                Err(error) => Err(std::io::Error::other(error)),
            }
        }
    });
    Body::from_stream(pieces)
}

pub(super) async fn have(
    State(app): State<App>,
    peer: Peer,
    Path(repository): Path<String>,
    body: Body,
) -> Result<Json<HaveAnswer>, Problem> {
    let caller = app.caller(&peer)?;
    let id = parse_repository(&repository)?;
    // Who may not ask does not get to send: a slow body takes a place.
    app.run(move |vault| {
        let repository = visible(vault, &caller, &id)?;
        caller.reading(&repository.chain(), Kind::Pack)
    })
    .await?;
    let _upload = app.uploads.begin(&caller).await?;
    let request: HaveRequest = read_json(body, VAULT_JSON_MAX_BYTES).await?;
    if request.packs.len() > HAVE_MAX_PACKS {
        return Err(Problem::bad_request(format!(
            "at most {HAVE_MAX_PACKS} packs can be asked for at once"
        )));
    }
    let absent = app.run(move |vault| absent(vault, &caller, &id, request.packs)).await?;
    Ok(Json(HaveAnswer { absent }))
}

/// Which of these frames are not here, or not for this caller.
fn absent(
    vault: &Vault,
    caller: &Caller,
    id: &RepositoryId,
    packs: Vec<PackUse>,
) -> Result<Vec<PackUse>, VaultError> {
    let repository = visible(vault, caller, id)?;
    let domain = match caller.reading(&repository.chain(), Kind::Pack)? {
        Reading::All => None,
        Reading::DomainOf(agent) => Some(repository.domain_of(&vault.index, &agent)?),
    };
    let mut absent = Vec::new();
    for asked in packs {
        let (row, bad) = vault.index.read(|c| {
            Ok((
                PackRow::find(c, repository.row, &asked.pack)?,
                bad_frames(c, repository.row, &asked.pack)?,
            ))
        })?;
        let here = row.filter(|row| domain.is_none_or(|domain| domain == Some(row.domain)));
        let whole = match &here {
            Some(row) if row.frames == asked.used.bits() => {
                repository.store.pack_len(&asked.pack).is_ok_and(|length| length == row.bytes)
            }
            _ => false,
        };
        if !whole {
            absent.push(asked);
            continue;
        }
        let mut lost = Bitmap::new(asked.used.bits());
        bad.iter().filter(|frame| asked.used.get(**frame)).for_each(|frame| lost.set(*frame));
        if lost.count_ones() > 0 {
            absent.push(PackUse { pack: asked.pack, used: lost });
        }
    }
    Ok(absent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        assert_eq!(parse_range("bytes=0-9", 100), Some(0..10));
        assert_eq!(parse_range("bytes=90-200", 100), Some(90..100));
        assert_eq!(parse_range("bytes=90-", 100), Some(90..100));
        assert_eq!(parse_range("bytes=-10", 100), Some(90..100));
        assert_eq!(parse_range("bytes=-0", 100), None);
        for bad in [
            "bytes=100-",
            "bytes=5-4",
            "bytes=a-b",
            "lines=1-2",
            "bytes=1-2,4-5",
            "bytes=-",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse_range(bad, 100), None, "{bad}");
        }
    }
}
