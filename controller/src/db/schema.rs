//! Migrations: numbered SQL files, compiled in, applied in order, each in a transaction of its own.
//!
//! Invariant: `user_version` is the number of the last one applied. A released file is never edited;
//! `schema.sql` is what they add up to, and a test holds the two against each other.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::DbError;

/// The migrations; number 1 comes first.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_register", include_str!("../../migrations/0001_register.sql")),
    ("0002_evidence", include_str!("../../migrations/0002_evidence.sql")),
    ("0003_removals", include_str!("../../migrations/0003_removals.sql")),
    ("0004_people", include_str!("../../migrations/0004_people.sql")),
    ("0005_approvals", include_str!("../../migrations/0005_approvals.sql")),
    ("0006_register", include_str!("../../migrations/0006_register.sql")),
    ("0007_verdicts", include_str!("../../migrations/0007_verdicts.sql")),
    ("0008_follow_up", include_str!("../../migrations/0008_follow_up.sql")),
    ("0009_idempotency", include_str!("../../migrations/0009_idempotency.sql")),
    ("0010_deposits", include_str!("../../migrations/0010_deposits.sql")),
    ("0011_heartbeats", include_str!("../../migrations/0011_heartbeats.sql")),
    ("0012_policies", include_str!("../../migrations/0012_policies.sql")),
    ("0013_totals", include_str!("../../migrations/0013_totals.sql")),
    ("0014_stale_policies", include_str!("../../migrations/0014_stale_policies.sql")),
    ("0015_retired", include_str!("../../migrations/0015_retired.sql")),
    ("0016_login_origins", include_str!("../../migrations/0016_login_origins.sql")),
    ("0017_retire_all", include_str!("../../migrations/0017_retire_all.sql")),
    ("0018_narrow_marks", include_str!("../../migrations/0018_narrow_marks.sql")),
    ("0019_policy_changes", include_str!("../../migrations/0019_policy_changes.sql")),
    ("0020_standing_totals", include_str!("../../migrations/0020_standing_totals.sql")),
    ("0021_colocation", include_str!("../../migrations/0021_colocation.sql")),
    ("0022_uptime", include_str!("../../migrations/0022_uptime.sql")),
    ("0023_hosts", include_str!("../../migrations/0023_hosts.sql")),
    ("0024_capacity", include_str!("../../migrations/0024_capacity.sql")),
    ("0025_anomalies", include_str!("../../migrations/0025_anomalies.sql")),
    ("0026_alerts", include_str!("../../migrations/0026_alerts.sql")),
    ("0027_device_hosts", include_str!("../../migrations/0027_device_hosts.sql")),
    ("0028_deliveries", include_str!("../../migrations/0028_deliveries.sql")),
    ("0029_site_caps", include_str!("../../migrations/0029_site_caps.sql")),
    ("0030_care", include_str!("../../migrations/0030_care.sql")),
    ("0032_drills", include_str!("../../migrations/0032_drills.sql")),
    ("0034_succession", include_str!("../../migrations/0034_succession.sql")),
    ("0036_consents", include_str!("../../migrations/0036_consents.sql")),
    ("0037_rehearsals", include_str!("../../migrations/0037_rehearsals.sql")),
    ("0038_standby_copies", include_str!("../../migrations/0038_standby_copies.sql")),
];

/// Brings the schema up to date.
///
/// # Errors
/// If the file is newer than this program, or a migration fails.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), DbError> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let applied: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let applied =
            usize::try_from(applied).map_err(|_| DbError::Corrupt { what: "a schema number" })?;
        if applied > MIGRATIONS.len() {
            return Err(DbError::Newer {
                path: path.to_owned(),
                found: applied,
                known: MIGRATIONS.len(),
            });
        }
        let Some((name, sql)) = MIGRATIONS.get(applied) else { return Ok(()) };
        let failed = |source| DbError::Migration { name, source };
        transaction.execute_batch(sql).map_err(failed)?;
        transaction
            .pragma_update(None, "user_version", i64::try_from(applied + 1).unwrap_or(i64::MAX))
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::compliance::{StepTotal, Totals};

    use super::*;
    use crate::db::Db;

    fn dump(db: &Db) -> String {
        db.read::<_, DbError>(|tx| {
            let sql = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type, name";
            let mut statement = tx.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            Ok(rows.map(|row| row.map(|sql| sql + ";\n")).collect::<Result<String, _>>()?)
        })
        .unwrap()
    }

    #[test]
    fn the_schema_is_the_sum_of_the_migrations() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::create(&dir.path().join("c.db")).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.sql");
        if std::env::var_os("LUMBUNG_UPDATE_GOLDEN").is_some() {
            std::fs::write(path, dump(&db)).unwrap();
        }
        assert_eq!(
            dump(&db),
            std::fs::read_to_string(path).unwrap(),
            "run with LUMBUNG_UPDATE_GOLDEN=1 and read the difference"
        );
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.db");
        let before = dump(&Db::create(&path).unwrap());
        assert_eq!(dump(&Db::open(&path).unwrap()), before);
    }

    /// A database as the program of that many migrations left it.
    fn as_of(path: &Path, migrations: usize) -> Connection {
        let connection = Connection::open(path).unwrap();
        for (_, sql) in &MIGRATIONS[..migrations] {
            connection.execute_batch(sql).unwrap();
        }
        connection.pragma_update(None, "user_version", i64::try_from(migrations).unwrap()).unwrap();
        connection
    }

    #[test]
    fn what_was_retired_stays_so_and_still_marks_what_rests_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.db");
        let old = as_of(&path, 16);
        let id = "x'00000000000000000000000000000001'";
        old.execute_batch(&format!(
            "INSERT INTO pds (id, code, name, contact, mandiri_tik) VALUES ({id}, 'A', 'A', '', 0);
             INSERT INTO retired VALUES ({id}, 'dataset', {id}, 'n', 1, 2, 'by', 'why');
             DELETE FROM stale;"
        ))
        .unwrap();
        drop(old);
        let db = Db::open(&path).unwrap();
        let counts = db.write::<(i64, i64), DbError>(|tx| {
            let kept = "SELECT count(*) FROM retired WHERE name = 'n' AND from_s = 1 AND entered_s = 2 AND reason = 'why'";
            let kept = tx.query_row(kept, [], |row| row.get(0))?;
            tx.execute("DELETE FROM retired", [])?;
            let marked = "SELECT count(*) FROM stale WHERE kind = 'dataset'";
            Ok((kept, tx.query_row(marked, [], |row| row.get(0))?))
        });
        assert_eq!(counts.unwrap(), (1, 1));
    }

    #[test]
    fn sums_begin_with_the_standings_that_there_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.db");
        let before = MIGRATIONS.iter().position(|(name, _)| *name == "0020_standing_totals");
        let old = as_of(&path, before.unwrap());
        old.pragma_update(None, "foreign_keys", false).unwrap();
        let pd = "x'00000000000000000000000000000001'";
        for (dataset, bytes, met) in [(1_u8, 5_i64, 0b0101), (2, i64::MAX, 0b1000), (3, 7, 0b0001)]
        {
            let values = rusqlite::params![vec![dataset; 16], bytes, met];
            let sql =
                format!("INSERT INTO standings VALUES (?1, {pd}, 0, NULL, ?2, ?3, 0, '{{}}')");
            old.execute(&sql, values).unwrap();
        }
        drop(old);
        let sums =
            Db::open(&path).unwrap().read(|tx| super::super::standings::sums(tx, None)).unwrap();
        let of = |datasets, bytes| StepTotal { datasets, bytes };
        let most = 1 << 50;
        let totals = Totals {
            registered: of(3, most + 12),
            backed_up: of(2, 12),
            at_drc: StepTotal::default(),
            verified: of(1, 5),
            proven: of(1, most),
        };
        assert_eq!(sums.into_values().map(|sums| sums.totals).collect::<Vec<_>>(), [totals]);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.db");
        drop(Db::create(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
        assert!(matches!(Db::open(&path), Err(DbError::Newer { found: 999, .. })));
    }

    #[test]
    fn a_missing_database_is_not_created_by_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none.db");
        assert!(matches!(Db::open(&path), Err(DbError::Open { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn what_fails_in_the_middle_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::create(&dir.path().join("c.db")).unwrap();
        let failed = db.write::<(), DbError>(|tx| {
            tx.execute(
                "INSERT INTO pds VALUES (x'00000000000000000000000000000001', 'A', 'A', '', 0)",
                [],
            )?;
            Err(DbError::Worker)
        });
        assert!(failed.is_err());
        let rows = db.read::<i64, DbError>(|tx| {
            Ok(tx.query_row("SELECT count(*) FROM pds", [], |r| r.get(0))?)
        });
        assert_eq!(rows.unwrap(), 0);
    }
}
