//! Statements at the controller: what is taken, from whom, and what it ends.

use lumbung_model::{Clock as _, FixedClock, Secret, Timestamp};
use lumbung_pack::SigningKey;
use lumbung_wire::audit::ActorKind;
use lumbung_wire::messages::succession::{Seat, Statement};
use lumbung_wire::succession as wire;

use super::*;
use crate::standby::copy::{self, CopyError};
use crate::state_dir::StateDir;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([number; 32]))
}

pub(crate) fn seat(number: u8) -> Seat {
    Seat { url: format!("https://c{number}.example:7443"), pin: TlsPin::from_bytes([number; 32]) }
}

/// The next statement, signed by two: `controller` acts, `standby` keeps a copy.
pub(crate) fn next(
    before: &Succession,
    ca: &str,
    (controller, standby): (Seat, Seat),
) -> Succession {
    let chain = (!before.statements.is_empty()).then(|| Chain::open(before).unwrap());
    let officer = |number| Officer { name: format!("Pejabat {number}"), key: key(number).public() };
    let statement = Statement {
        epoch: chain.as_ref().map_or(0, Chain::epoch) + 1,
        previous: chain.as_ref().map(Chain::newest_hash),
        ca: ca.to_owned(),
        controller,
        standbys: vec![standby],
        officers: [101, 102, 103].map(officer).to_vec(),
        made: NOW,
        reason: "Surat 1".into(),
    };
    let mut all = before.clone();
    all.statements.push(wire::draft(&statement).unwrap());
    for number in [101, 103] {
        wire::sign(&mut all, &key(number)).unwrap();
    }
    all
}

fn db() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::create(&dir.path().join("c.db")).unwrap();
    (dir, db)
}

fn console() -> Act {
    Act::of(NOW, ActorKind::Console, String::new(), "uid 0".into())
}

#[test]
fn the_first_statement_comes_from_the_console_and_the_rest_from_anybody() {
    let (_dir, db) = db();
    let first = next(&Succession::default(), "sha256:a", (seat(1), seat(2)));
    let taken = |act: &Act, all: &Succession| db.write(|tx| take(tx, act, "sha256:a", all));
    let network = Act::stranger(NOW, None);
    assert!(matches!(taken(&network, &first), Err(TakeError::First)));
    assert_eq!(taken(&console(), &first).unwrap().unwrap().epoch(), 1);
    assert_eq!(taken(&console(), &first).unwrap(), None, "it is known");
    let second = next(&first, "sha256:a", (seat(2), seat(3)));
    assert_eq!(taken(&network, &second).unwrap().unwrap().epoch(), 2);
    assert_eq!(taken(&network, &first).unwrap(), None, "a lower epoch changes nothing");
    assert_eq!(db.read(|tx| chain(tx)).unwrap().unwrap().to_message(), second);
    let entry = db.read(|tx| audit::last_of(tx, "succession", "2")).unwrap().unwrap();
    let after = entry.after.unwrap();
    assert_eq!(after["signed_by"], json!(["Pejabat 101", "Pejabat 103"]));
    assert_eq!(after["statement"]["controller"]["url"], json!(seat(2).url));
}

#[test]
fn contradictions_other_cities_and_one_officer_alone_are_refused() {
    let (_dir, db) = db();
    let first = next(&Succession::default(), "sha256:a", (seat(1), seat(2)));
    let taken = |ca: &str, all: &Succession| db.write(|tx| take(tx, &console(), ca, all));
    assert!(matches!(taken("sha256:b", &first), Err(TakeError::OtherCa)));
    taken("sha256:a", &first).unwrap();
    let second = next(&first, "sha256:a", (seat(2), seat(3)));
    let mut alone = second.clone();
    alone.statements[1].signatures.pop();
    assert!(matches!(taken("sha256:a", &alone), Err(TakeError::Refused(_))));
    taken("sha256:a", &second).unwrap();
    let other = next(&first, "sha256:a", (seat(4), seat(3)));
    assert!(matches!(taken("sha256:a", &other), Err(TakeError::Fork(2))));
    let elsewhere = next(&Succession::default(), "sha256:a", (seat(7), seat(8)));
    assert!(matches!(taken("sha256:a", &elsewhere), Err(TakeError::Fork(1))));
    assert_eq!(db.read(|tx| chain(tx)).unwrap().unwrap().to_message(), second);
}

#[tokio::test]
async fn a_post_ends_with_the_statement_that_names_another() {
    let (_dir, db) = db();
    let post = Post::open(&db, seat(1).pin, "sha256:a").unwrap();
    assert_eq!((post.standing(), post.epoch()), (ControllerState::Acting, None));
    let first = next(&Succession::default(), "sha256:a", (seat(1), seat(2)));
    // The console's word, in another process.
    db.write(|tx| take(tx, &console(), "sha256:a", &first)).unwrap();
    post.refresh(&db).await.unwrap();
    assert_eq!((post.standing(), post.epoch()), (ControllerState::Acting, Some(1)));
    let second = next(&first, "sha256:a", (seat(2), seat(3)));
    let ((), taken) = tokio::join!(post.lost(), post.take(&db, Act::stranger(NOW, None), second));
    taken.unwrap();
    assert_eq!(post.standing(), ControllerState::Superseded);
}

/// A standby's directory, and a copy on its way to it.
#[test]
fn a_copy_takes_the_place_only_of_what_knows_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let clock = FixedClock::new(NOW);
    let names = ["127.0.0.1".to_owned()];
    let open = |name: &str| {
        let state = StateDir::at(&dir.path().join(name));
        state.init(&names, &clock).unwrap();
        state
    };
    let (acting, standby) = (open("acting"), open("standby"));
    let first = next(&Succession::default(), "sha256:a", (seat(1), seat(2)));
    let second = next(&first, "sha256:a", (seat(2), seat(3)));
    let taken = |state: &StateDir, all: &Succession| {
        let db = state.open_db().unwrap();
        db.write(|tx| take(tx, &console(), "sha256:a", all)).unwrap();
    };
    let arrives = |change: &dyn Fn(&mut Vec<u8>)| {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        copy::make(acting.path()).unwrap().read_to_end(&mut bytes).unwrap();
        change(&mut bytes);
        std::fs::write(standby.path().join("copy.in"), bytes).unwrap();
        copy::settle(&standby, clock.now())
    };
    // A controller without officers has no standby.
    assert!(matches!(arrives(&|_| ()), Err(CopyError::Damaged(_))));
    taken(&acting, &first);
    assert_eq!(arrives(&|_| ()).unwrap().to_message(), first);
    assert_eq!(standby.copied(), Some(NOW));
    // Half of it, and bits of it.
    assert!(matches!(arrives(&|bytes| bytes.truncate(8192)), Err(CopyError::Damaged(_))));
    let bent = arrives(&|bytes| bytes[4096..8192].fill(0xa5));
    assert!(matches!(bent, Err(CopyError::Damaged(_))), "{bent:?}");
    // It was promoted meanwhile: no copy takes that back.
    taken(&standby, &second);
    assert!(matches!(arrives(&|_| ()), Err(CopyError::Older)));
    let kept = standby.open_db().unwrap().read(|tx| chain(tx)).unwrap().unwrap();
    assert_eq!(kept.to_message(), second);
    // Nothing lies about but the one that was refused last.
    let left: Vec<_> = std::fs::read_dir(acting.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("copy"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_is_known_never_goes_back() {
    let (_dir, db) = db();
    let first = next(&Succession::default(), "sha256:a", (seat(1), seat(2)));
    let second = next(&first, "sha256:a", (seat(2), seat(3)));
    db.write(|tx| take(tx, &console(), "sha256:a", &first)).unwrap();
    let post = Post::open(&db, seat(1).pin, "sha256:a").unwrap();
    // Read before the second was taken, noted after it.
    let read = db.read(|tx| chain(tx)).unwrap();
    post.take(&db, Act::stranger(NOW, None), second).await.unwrap();
    post.note(read);
    assert_eq!((post.standing(), post.epoch()), (ControllerState::Superseded, Some(2)));
    post.note(None);
    assert_eq!(post.epoch(), Some(2));
}

#[tokio::test]
async fn what_is_older_or_contradicts_is_refused_before_a_signature_is_looked_at() {
    let (_dir, db) = db();
    let unsigned = |mut all: Succession| {
        all.statements.iter_mut().for_each(|one| one.signatures.clear());
        all
    };
    let first = next(&Succession::default(), "sha256:a", (seat(1), seat(2)));
    let second = next(&first, "sha256:a", (seat(1), seat(3)));
    let post = Post::open(&db, seat(1).pin, "sha256:a").unwrap();
    let hands_in = async |all: Succession| post.take(&db, Act::stranger(NOW, None), all).await;
    assert!(matches!(hands_in(unsigned(first.clone())).await, Err(TakeError::First)));
    db.write(|tx| take(tx, &console(), "sha256:a", &first)).unwrap();
    db.write(|tx| take(tx, &console(), "sha256:a", &second)).unwrap();
    post.refresh(&db).await.unwrap();
    for known in [&first, &second] {
        hands_in(unsigned(known.clone())).await.unwrap();
    }
    let fork = next(&first, "sha256:a", (seat(4), seat(3)));
    assert!(matches!(hands_in(unsigned(fork)).await, Err(TakeError::Fork(2))));
    // What claims to be newer is looked at, and what it begins with is known here: it keeps its signatures.
    let third = next(&second, "sha256:a", (seat(2), seat(3)));
    assert!(matches!(hands_in(unsigned(third.clone())).await, Err(TakeError::Refused(_))));
    let mut late = unsigned(second.clone());
    late.statements.push(third.statements[2].clone());
    hands_in(late).await.unwrap();
    assert_eq!(db.read(|tx| chain(tx)).unwrap().unwrap().to_message(), third);
}

#[test]
fn what_was_verified_is_kept_only_where_it_still_goes_on() {
    let (_dir, db) = db();
    let first = next(&Succession::default(), "sha256:a", (seat(1), seat(2)));
    db.write(|tx| take(tx, &console(), "sha256:a", &first)).unwrap();
    let known = db.read(|tx| chain(tx)).unwrap();
    let network = Act::stranger(NOW, None);
    let verified =
        |all: &Succession| verify(known.as_ref(), &network, "sha256:a", all).unwrap().unwrap();
    let one = verified(&next(&first, "sha256:a", (seat(2), seat(3))));
    let other = verified(&next(&first, "sha256:a", (seat(4), seat(3))));
    let kept = |chain: &Chain| db.write(|tx| keep(tx, &network, chain));
    assert!(kept(&one).unwrap() && !kept(&one).unwrap());
    assert!(matches!(kept(&other), Err(TakeError::Fork(2))));
    assert_eq!(db.read(|tx| chain(tx)).unwrap(), Some(one));
}
