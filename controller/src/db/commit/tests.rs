//! What shares a transaction, and what does not share its fate.

use std::sync::mpsc;

use futures_util::future::join_all;

use super::*;

fn new_db() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::create(&dir.path().join("c.db")).unwrap();
    db.write(|tx| Ok::<_, DbError>(tx.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)")?))
        .unwrap();
    (dir, db)
}

fn insert(tx: &Transaction<'_>, n: i64) -> Result<i64, DbError> {
    tx.execute("INSERT INTO t VALUES (?)", [n])?;
    Ok(n)
}

fn numbers(db: &Db) -> Vec<i64> {
    let read = |tx: &Transaction<'_>| {
        let mut statement = tx.prepare("SELECT n FROM t ORDER BY n")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok::<_, DbError>(rows.collect::<Result<_, _>>()?)
    };
    db.read(read).unwrap()
}

/// Holds the writer, so that what comes meanwhile waits together, until the sender is dropped.
fn hold(db: &Db) -> mpsc::Sender<()> {
    let ((release, released), (begun, begins)) = (mpsc::channel::<()>(), mpsc::channel());
    let db = db.clone();
    std::thread::spawn(move || {
        db.write(|_| {
            begun.send(()).unwrap();
            // An error is the sender's end: the signal.
            let _ = released.recv();
            Ok::<_, DbError>(())
        })
    });
    begins.recv().unwrap();
    release
}

type Asking<T> = Box<dyn FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send>;

/// Puts changes into the queue while the writer is held, and lets it go once all of them are there.
async fn together<T: Send + 'static>(db: &Db, changes: Vec<Asking<T>>) -> Vec<Result<T, DbError>> {
    let held = hold(db);
    let all = join_all(changes.into_iter().map(|change| db.write_async(change)));
    // Each future is polled in turn: by then all changes wait.
    let (all, ()) = tokio::join!(all, async { drop(held) });
    all
}

#[tokio::test]
async fn one_that_fails_and_one_that_panics_take_no_other_with_them() {
    let (_dir, db) = new_db();
    let results = together(
        &db,
        vec![
            Box::new(|tx| insert(tx, 1)),
            Box::new(|tx| {
                insert(tx, 2)?;
                insert(tx, 1)
            }),
            Box::new(|tx| {
                insert(tx, 3)?;
                panic!("a bug")
            }),
            Box::new(|tx| insert(tx, 4)),
        ],
    )
    .await;
    assert!(matches!(results[0], Ok(1)) && matches!(results[3], Ok(4)));
    assert!(matches!(results[1], Err(DbError::Sql(_))), "{:?}", results[1]);
    assert!(matches!(results[2], Err(DbError::Worker)));
    assert_eq!(numbers(&db), [1, 4], "nothing of the two is kept");
    db.write_async(|tx| insert(tx, 5)).await.unwrap();
    assert_eq!(numbers(&db), [1, 4, 5]);
}

#[tokio::test]
async fn those_who_wait_share_one_commit_in_their_order() {
    let (_dir, db) = new_db();
    let change = |n: i64| -> Asking<i64> {
        Box::new(move |tx| {
            insert(tx, n)?;
            Ok(tx.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
        })
    };
    let frames = |db: &Db| {
        let wal = db.0.path.with_extension("db-wal");
        std::fs::metadata(wal).unwrap().len()
    };
    let before = frames(&db);
    let seen = together(&db, (0..100).map(change).collect()).await;
    let seen: Vec<i64> = seen.into_iter().map(Result::unwrap).collect();
    assert_eq!(seen, (1..=100).collect::<Vec<_>>(), "each sees those before it");
    // Each commit of its own would append at least the page that it changed.
    let pages = (frames(&db) - before) / 4096;
    assert!(pages < 10, "{pages} pages were written for 100 changes");
}

#[tokio::test]
async fn where_the_commit_fails_nobody_is_told_that_it_was_kept() {
    let (_dir, db) = new_db();
    let deferred = "CREATE TABLE child (n INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)";
    db.write(|tx| Ok::<_, DbError>(tx.execute_batch(deferred)?)).unwrap();
    let results = together(
        &db,
        vec![
            Box::new(|tx| insert(tx, 1)),
            Box::new(|tx| {
                // Checked by the commit only.
                tx.execute("INSERT INTO child VALUES (99)", [])?;
                Ok(2)
            }),
            Box::new(|_| Err(DbError::Corrupt { what: "its own reason" })),
        ],
    )
    .await;
    assert!(matches!(results[0], Err(DbError::Commit(_))), "{:?}", results[0]);
    assert!(matches!(results[1], Err(DbError::Commit(_))), "{:?}", results[1]);
    assert!(matches!(results[2], Err(DbError::Corrupt { .. })), "its own error stays");
    assert!(numbers(&db).is_empty());
    db.write_async(|tx| insert(tx, 1)).await.unwrap();
}
