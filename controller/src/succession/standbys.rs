//! How fresh the standbys' copies are: kept, and told when one has fallen behind.
//!
//! Invariants: a standby says itself of when its copy is, over the key that the newest statement names; one that never said so counts
//! from that statement. Silence is no freshness: what it said last gets older.

use lumbung_model::{Timestamp, TlsPin};
use lumbung_wire::messages::succession::Seat;
use lumbung_wire::succession::Chain;
use rusqlite::Connection;

use crate::db::alarms::{self, Finding};
use crate::db::{Db, DbError, succession as rows};

/// The kind of alarms that is raised here.
const ALARMS: [&str; 1] = ["standby-behind"];
/// A copy that is older is worth an alarm, s: a standby fetches one every five minutes, unless its city says otherwise.
const BEHIND_S: i64 = 3600;

/// How far two answers about one copy lie apart at most, s: it is told as an age.
const SAME_S: i64 = 5;

/// A standby, and of when its copy is.
pub struct Fresh {
    /// The standby.
    pub seat: Seat,
    /// Of when its copy is, if it ever said so.
    pub copied: Option<Timestamp>,
}

/// The standbys of the newest statement.
///
/// # Errors
/// If the database fails.
pub fn standbys(db: &Connection, chain: Option<&Chain>) -> Result<Vec<Fresh>, DbError> {
    let seats = chain.iter().flat_map(|chain| chain.newest().standbys.clone());
    seats.map(|seat| Ok(Fresh { copied: rows::copied(db, &seat.pin)?, seat })).collect()
}

/// Keeps what standbys say, and makes the open alarms be what is found now.
///
/// # Errors
/// If the database fails.
pub(super) async fn keep(
    db: &Db,
    now: Timestamp,
    chain: Option<Chain>,
    told: Vec<(TlsPin, Timestamp)>,
) -> Result<(), DbError> {
    // Nobody has a copy of what is yet to come.
    let told: Vec<_> = told.into_iter().map(|(pin, copied)| (pin, copied.min(now))).collect();
    let known = told.clone();
    let news = db.read_async(move |tx| {
        let mut news = Vec::new();
        for (pin, copied) in known {
            let known = rows::copied(tx, &pin)?;
            if known.is_none_or(|known| copied.seconds_since(known).abs() > SAME_S) {
                news.push((pin, copied));
            }
        }
        Ok::<_, DbError>(news)
    });
    let news = news.await?;
    if !news.is_empty() {
        let note = move |tx: &rusqlite::Transaction<'_>| {
            news.iter().try_for_each(|(pin, copied)| rows::note_copied(tx, pin, *copied))
        };
        db.write_async(note).await?;
    }
    alarms::keep(db, now, ALARMS, move |tx| Ok([behind(tx, now, chain.as_ref())?])).await
}

fn behind(db: &Connection, now: Timestamp, chain: Option<&Chain>) -> Result<Vec<Finding>, DbError> {
    let Some(known) = chain else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for Fresh { seat, copied } in standbys(db, chain)? {
        if now.seconds_since(copied.unwrap_or(known.newest().made)) < BEHIND_S {
            continue;
        }
        let url = seat.url;
        let detail = copied.map_or_else(
            || format!("{url} is named as a standby and never said that it has a copy: see that it runs"),
            |copied| format!("{url} said that it has a copy of {copied}, and of none since: look at its log"),
        );
        let subject = seat.pin.to_string();
        found.push(Finding { subject, pd: None, site: None, service: None, detail });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::succession::tests::{next, seat};
    use lumbung_wire::messages::succession::Succession;

    const NAMED: Timestamp = Timestamp(1_800_000_000);

    #[tokio::test]
    async fn a_standby_that_falls_behind_is_told_until_it_has_a_copy_again() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::create(&dir.path().join("c.db")).unwrap();
        let named = next(&Succession::default(), "sha256:00", (seat(1), seat(2)));
        let chain = Chain::open(&named).unwrap();
        let after = |seconds: i64| Timestamp(NAMED.0 + seconds);
        let alarms = async |at: Timestamp, told: Option<Timestamp>| {
            let told = told.map(|copied| (seat(2).pin, copied)).into_iter().collect();
            keep(&db, at, Some(chain.clone()), told).await.unwrap();
            let wanted = alarms::Wanted { kind: Some(ALARMS[0].to_owned()), ..Default::default() };
            let open = db.read::<_, DbError>(|tx| alarms::list(tx, None, &wanted, 9)).unwrap();
            open.into_iter().map(|row| row.finding.detail).collect::<Vec<_>>()
        };
        assert!(alarms(NAMED, None).await.is_empty());
        let [never] = &alarms(after(BEHIND_S), None).await[..] else { panic!() };
        assert!(never.contains("c2.example:7443 is named"), "{never}");
        assert!(alarms(after(BEHIND_S + 60), Some(after(BEHIND_S))).await.is_empty());
        assert!(alarms(after(2 * BEHIND_S - 1), None).await.is_empty(), "silence is no alarm yet");
        let [behind] = &alarms(after(2 * BEHIND_S), None).await[..] else { panic!() };
        assert!(behind.contains(&format!("a copy of {},", after(BEHIND_S))), "{behind}");
        // A clock that is ahead does not make a copy fresh for ever.
        assert!(alarms(after(2 * BEHIND_S + 1), Some(after(99 * BEHIND_S))).await.is_empty());
        assert_eq!(alarms(after(3 * BEHIND_S + 1), None).await.len(), 1);
        // Nobody is named any more.
        keep(&db, after(4 * BEHIND_S), None, Vec::new()).await.unwrap();
        let open = db.read::<_, DbError>(|tx| alarms::subjects(tx, ALARMS[0])).unwrap();
        assert!(open.is_empty());
    }
}
