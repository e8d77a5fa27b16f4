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
use crate::index::load_state;
use crate::repository::Repository;
use crate::storage::PackRead;
use crate::tenancy::{Caller, Reading, unlisted_key};
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
    let from = (&repository.id(), sender.agent());
    let (upload, body) = app.take_in(&caller, from, body).await?;
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
    (id, frames): (PackId, Option<Bitmap>),
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let gone = if frames.is_some() {
        "no grant here opens these bytes to you, or they were dropped here"
    } else {
        "these bytes were dropped here: no snapshot at this site uses them any more"
    };
    let (pack, holes) =
        app.run(move |vault| open(vault, &repository, &id, frames.as_ref())).await?;
    let length = pack.length();
    let wanted = headers.get(header::RANGE).map(|value| value.to_str().unwrap_or("?"));
    let (range, code) = match wanted {
        // A whole pack with holes is none.
        None if !holes.is_empty() => {
            return Err(Problem::not_found(
                "frames of this pack were dropped here, or are not opened to you: ask for those that you need",
            ));
        }
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
    let range = before_holes(range, &holes).ok_or_else(|| Problem::not_found(gone))?;
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

/// The part of a range that is there: up to the first hole; nothing if it begins in one. An answer may be shorter than what
/// was asked for (RFC 9110 §15.3.7).
fn before_holes(range: Range<u64>, holes: &[Range<u64>]) -> Option<Range<u64>> {
    let hole = holes.iter().find(|hole| hole.start < range.end && range.start < hole.end);
    match hole {
        None => Some(range),
        Some(hole) if hole.start <= range.start => None,
        Some(hole) => Some(range.start..hole.start),
    }
}

/// A pack, and where frames were dropped from it or are none of the `granted` ones, ascending.
#[expect(clippy::type_complexity, reason = "a pair that one caller takes apart")]
fn open(
    vault: &Vault,
    repository: &Repository,
    id: &PackId,
    granted: Option<&Bitmap>,
) -> Result<(Box<dyn PackRead>, Vec<Range<u64>>), VaultError> {
    let pack = repository.store.open_pack(id)?;
    let state = vault.index.read(|c| load_state(c, repository.row, id))?;
    if state.is_none() && granted.is_none() {
        return Ok((pack, Vec::new()));
    }
    let table = pack.head()?;
    let mut closed = state.map_or_else(|| table.no_frames(), |state| state.frames.absent);
    if let Some(granted) = granted {
        // A segment that says something else of the pack than its table opens nothing of it.
        let agrees = granted.bits() == table.frame_count();
        let opened = if agrees { granted.clone() } else { table.no_frames() };
        closed = closed.or(&table.all_frames().minus(&opened));
    }
    let holes = closed.iter_ones().map(|i| table.frame_range(i as usize));
    Ok((pack, holes.collect()))
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
    let reading = app
        .run(move |vault| {
            let repository = visible(vault, &caller, &id)?;
            of_a_writer(caller.reading(&repository.chain(), Kind::Pack)?)
        })
        .await?;
    let (_upload, body) = app.take_in(&caller, (&id, reading.agent()), body).await?;
    let request: HaveRequest = read_json(body, VAULT_JSON_MAX_BYTES).await?;
    if request.packs.len() > HAVE_MAX_PACKS {
        return Err(Problem::bad_request(format!(
            "at most {HAVE_MAX_PACKS} packs can be asked for at once"
        )));
    }
    let absent = app.run(move |vault| absent(vault, &caller, &id, request.packs)).await?;
    Ok(Json(HaveAnswer { absent }))
}

/// What is here is the business of who writes: a grantee reads what its grants name.
fn of_a_writer(reading: Reading) -> Result<Reading, VaultError> {
    match reading {
        Reading::All | Reading::DomainOf(_) => Ok(reading),
        Reading::GrantedTo(_) => Err(unlisted_key()),
    }
}

/// Which of these frames are not here, or not for this caller.
fn absent(
    vault: &Vault,
    caller: &Caller,
    id: &RepositoryId,
    packs: Vec<PackUse>,
) -> Result<Vec<PackUse>, VaultError> {
    let repository = visible(vault, caller, id)?;
    let domain = match of_a_writer(caller.reading(&repository.chain(), Kind::Pack)?)? {
        Reading::DomainOf(agent) => Some(repository.domain_of(&vault.index, &agent)?),
        Reading::All | Reading::GrantedTo(_) => None,
    };
    vault.missing(&repository, domain, packs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_before_a_hole_and_none_begins_in_one() {
        let holes = [10..20, 20..30, 50..60];
        assert_eq!(before_holes(0..10, &holes), Some(0..10));
        assert_eq!(before_holes(0..100, &holes), Some(0..10));
        assert_eq!(before_holes(30..55, &holes), Some(30..50));
        assert_eq!(before_holes(60..61, &holes), Some(60..61));
        assert_eq!((before_holes(15..40, &holes), before_holes(10..11, &holes)), (None, None));
        assert_eq!(before_holes(0..5, &[]), Some(0..5));
    }

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
