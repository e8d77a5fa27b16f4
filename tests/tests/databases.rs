//! Databases of real servers, backed up by the real agent while others write, and restored.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::databases::mariadb::Mariadb;
use lumbung_tests::databases::postgresql::Postgresql;
use lumbung_tests::process::{Daemon, any_output, output};
use serde_json::Value;
use tempfile::TempDir;

/// A city with one PD, whose server has databases.
struct Bed {
    city: City,
    dir: TempDir,
    out: TempDir,
}

impl Bed {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("srv");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("file"), "x").unwrap();
        let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data] };
        let city = City::found(dir.path(), vec![plan], |_| ()).unwrap();
        Self { city, dir, out: TempDir::new().unwrap() }
    }

    /// Adds a job to the agent's file.
    fn job(&self, name: &str, source: &str) {
        let mut dataset = [0; 16];
        dataset[..name.len().min(16)].copy_from_slice(&name.as_bytes()[..name.len().min(16)]);
        let dataset: String = dataset.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut text = fs::read_to_string(self.config()).unwrap();
        write!(text, "\n[[job]]\nname = \"{name}\"\ndataset = \"{dataset}\"\n{source}\n").unwrap();
        fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.city.pds[0].server.join("agent.toml")
    }

    /// Runs a job that has to make a snapshot.
    fn backup(&self, job: &str) -> Value {
        let mut backup = self.city.pds[0].agent();
        let printed = output(backup.args(["backup", "--json", "--quiet", job])).unwrap();
        let run: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(run[0]["outcome"], "ok", "{run}");
        run[0].clone()
    }

    /// Runs a job that has to make none; gives what it says.
    fn refused(&self, job: &str) -> String {
        let mut backup = self.city.pds[0].agent();
        let done = any_output(backup.args(["backup", "--json", "--quiet", job])).unwrap();
        let run: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!((done.status.code(), &run[0]["manifest"]), (Some(1), &Value::Null), "{run}");
        run[0]["error"].as_str().unwrap().to_owned()
    }

    /// Restores a snapshot with the owner's key into a folder.
    fn restore(&self, run: &Value, name: &str) -> PathBuf {
        let target = self.out.path().join(name);
        let mut restore = self.city.lumbung();
        restore.args(["restore", &self.city.pusat.url, run["manifest"].as_str().unwrap(), "--key"]);
        restore.arg(self.city.pds[0].key()).arg("--target").arg(&target);
        output(&mut restore).unwrap();
        target
    }
}

impl Bed {
    /// `lumbung database restore` of a snapshot, with the owner's key.
    fn database(&self, run: &Value, arguments: &[&str], to: &[String]) -> Command {
        let mut restore = self.city.lumbung();
        restore.args(["--lang", "en", "--json", "database", "restore", &self.city.pusat.url]);
        restore.arg(run["manifest"].as_str().unwrap()).arg("--key").arg(self.city.pds[0].key());
        restore.args(arguments).args(to);
        restore
    }
}

/// The arguments that lead to a server.
fn to_postgresql(server: &Postgresql) -> Vec<String> {
    let (host, credentials) = (server.socket().display(), server.credentials());
    vec![format!("--host={host}"), format!("--credentials={}", credentials.display())]
}

fn to_mariadb(server: &Mariadb) -> Vec<String> {
    let (host, credentials) = (server.socket(), server.credentials());
    let host = format!("--host={}", host.display());
    vec![host, format!("--credentials={}", credentials.display()), "--user=lumbung".to_owned()]
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&output(command).unwrap()).unwrap()
}

/// What a command says that has to be refused.
fn error(command: &mut Command) -> String {
    let done = any_output(command).unwrap();
    assert!(!done.status.success());
    String::from_utf8(done.stderr).unwrap()
}

fn description(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("source.json")).unwrap()).unwrap()
}

/// Rows of the copy, by table.
fn rows(description: &Value, database: &str) -> Vec<(String, u64)> {
    let databases = description["databases"].as_array().unwrap();
    let of = databases.iter().find(|of| of["name"] == database).unwrap();
    let tables = of["tables"].as_array().unwrap().iter();
    tables
        .map(|table| (table["name"].as_str().unwrap().to_owned(), table["rows"].as_u64().unwrap()))
        .collect()
}

fn percent_sent(run: &Value) -> u64 {
    let size = run["statistics"]["content_bytes"].as_u64().unwrap();
    run["sent_bytes"].as_u64().unwrap() * 100 / size
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

const BALANCES: &str = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), \
     (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)";

fn postgresql_job(server: &Postgresql, more: &str) -> String {
    format!(
        "[job.postgresql]\nhost = {:?}\ncredentials = {:?}\n{more}\n",
        server.socket(),
        server.credentials()
    )
}

/// What belongs to a database and not to its content.
const BELONGINGS: [&str; 5] = [
    "REVOKE ALL ON DATABASE \"sim rs\" FROM PUBLIC",
    "GRANT CONNECT ON DATABASE \"sim rs\" TO pg_monitor WITH GRANT OPTION",
    "ALTER DATABASE \"sim rs\" SET search_path TO \"$user\", \"a\"\"b\", public",
    "ALTER ROLE simrs IN DATABASE \"sim rs\" SET work_mem TO '8MB'",
    "ALTER DATABASE \"sim rs\" CONNECTION LIMIT 90",
];
const BELONGS: &str = "SELECT datconnlimit, (SELECT string_agg(pg_get_userbyid(grantee) || privilege_type || is_grantable, ',' ORDER BY grantee, privilege_type) \
     FROM aclexplode(datacl) WHERE grantee <> datdba), (SELECT string_agg(setconfig::text, ',' ORDER BY setrole = 0) FROM pg_db_role_setting WHERE setdatabase = d.oid) \
     FROM pg_database d WHERE datname = 'sim rs'";

#[test]
fn postgresql_is_backed_up_under_load_and_every_balance_comes_back() {
    let server = Postgresql::start().unwrap();
    server.sql("postgres", "CREATE ROLE simrs LOGIN").unwrap();
    server.sql("postgres", "CREATE DATABASE \"sim rs\" OWNER simrs").unwrap();
    for statement in BELONGINGS {
        server.sql("postgres", statement).unwrap();
    }
    output(server.client("pgbench").args(["-q", "-i", "-s", "4", "--foreign-keys", "sim rs"]))
        .unwrap();
    let bed = Bed::new();
    let checks = "checks = [{ name = \"saldo\", database = \"sim rs\", query = \"SELECT sum(abalance) FROM pgbench_accounts\" }]";
    bed.job("simrs", &postgresql_job(&server, checks));

    let mut bench = server.client("pgbench");
    bench.args(["-n", "-c", "2", "-T", "600", "--progress=1", "sim rs"]);
    let mut load =
        Daemon::start("pgbench", &mut bench, &bed.dir.path().join("pgbench.log")).unwrap();
    load.wait_for("progress: ").unwrap();
    let run = bed.backup("simrs");
    // It was written all the while.
    load.wait_for("progress: ").unwrap();
    load.kill().unwrap();

    let folder = bed.restore(&run, "simrs").join("postgresql");
    let told = description(&folder);
    assert!(told["server_version"].as_str().unwrap().starts_with("15."), "{told}");
    let names: Vec<&str> = told["databases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["postgres", "sim rs"]);
    let again = Postgresql::start().unwrap();
    let to = to_postgresql(&again);
    let wanted = ["--database", "sim rs"];
    let restored = json(&mut bed.database(&run, &["--database", "sim rs", "--roles"], &to));
    assert_eq!((&restored["tables"], &restored["checks"]), (&4.into(), &1.into()), "{restored}");
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'sim rs'";
    assert_eq!(again.sql("postgres", owner).unwrap(), "simrs");
    let belongs = [&server, &again].map(|server| server.sql("postgres", BELONGS).unwrap());
    assert_eq!(belongs[0], belongs[1]);
    assert!(belongs[0].contains("CONNECT") && belongs[0].contains("search_path"), "{belongs:?}");
    assert_eq!(restored["left_out"], serde_json::json!([]), "{restored}");
    let balances = again.sql("sim rs", BALANCES).unwrap();
    let sums: Vec<&str> = balances.split('|').collect();
    assert!(sums.iter().all(|sum| sum == &sums[0]) && sums[0] != "0", "{balances}");
    assert_eq!(told["databases"][1]["checks"][0]["value"], sums[0], "{told}");
    for (table, rows) in rows(&told, "sim rs") {
        let counted = again.sql("sim rs", &format!("SELECT count(*) FROM {table}")).unwrap();
        assert_eq!(counted, rows.to_string(), "{table}");
    }
    output(again.client("pg_amcheck").args([
        "--heapallindexed",
        "--install-missing",
        "-d",
        "sim rs",
    ]))
    .unwrap();

    replaced_only_when_asked_for_twice(&bed, &run, &again, &wanted, &to);

    // Nobody writes any more: what is the same costs next to nothing.
    bed.backup("simrs");
    let same = bed.backup("simrs");
    assert!(percent_sent(&same) < 5, "{same}");
}

fn replaced_only_when_asked_for_twice(
    bed: &Bed,
    run: &Value,
    server: &Postgresql,
    wanted: &[&str; 2],
    to: &[String],
) {
    server.sql("sim rs", "CREATE TABLE newer AS SELECT 1 AS one").unwrap();
    let newer = |database: &str| server.sql(database, "SELECT one FROM newer");
    let with = |more: &[&str]| bed.database(run, &[wanted, more].concat(), to);
    let said = error(&mut with(&[]));
    assert!(said.contains("the server has a database \\\"sim rs\\\""), "{said}");
    for asked in
        [&["--replace"][..], &["--replace", "--yes"], &["--replace", "--yes", "--confirm", "simrs"]]
    {
        let said = error(&mut with(asked));
        assert!(said.contains("declined") || said.contains("usage"), "{asked:?}: {said}");
        assert_eq!(newer("sim rs").unwrap(), "1", "{asked:?}");
    }
    // Somebody is still in it.
    let log = bed.dir.path().join("session.log");
    let mut session = server.client("psql");
    session.args(["-Xqd", "sim rs", "-c", "\\echo in", "-c", "SELECT pg_sleep(600)"]);
    let mut session = Daemon::start("session", &mut session, &log).unwrap();
    session.wait_for("in").unwrap();
    let restored = json(&mut with(&["--replace", "--yes", "--confirm", "sim rs"]));
    let kept = restored["kept_as"].as_str().unwrap();
    assert_eq!(newer(kept).unwrap(), "1");
    assert!(newer("sim rs").is_err());
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'lumbung%'";
    assert_eq!(server.sql("postgres", left).unwrap(), "0");
    let said = error(&mut bed.database(run, &["--database", "simpeg"], to));
    assert!(said.contains("it has postgres, sim rs"), "{said}");
}

#[test]
fn what_hinders_a_dump_is_said_and_makes_no_snapshot() {
    let server = Postgresql::start().unwrap();
    server.sql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 200000) AS n").unwrap();
    let bed = Bed::new();
    let real = server.tools().join("pg_dump");
    let tools = |name: &str, pg_dump: &str| {
        let folder = bed.dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        for tool in ["psql", "pg_dumpall"] {
            std::os::unix::fs::symlink(server.tools().join(tool), folder.join(tool)).unwrap();
        }
        if !pg_dump.is_empty() {
            script(&folder.join("pg_dump"), pg_dump);
        }
        postgresql_job(&server, &format!("tools = {folder:?}"))
    };
    let real = real.display();
    let version = format!("[ \"$1\" = --version ] && exec {real} --version;");
    bed.job("missing", &tools("missing", ""));
    bed.job("old", &tools("old", "echo 'pg_dump (PostgreSQL) 9.6.24'"));
    bed.job("cut", &tools("cut", &format!("{version} {real} \"$@\" | head -c 700000")));
    bed.job(
        "breaks",
        &tools(
            "breaks",
            &format!("{version} {real} \"$@\" | head -c 700000; echo lost the server >&2; exit 1"),
        ),
    );
    let wrong = bed.dir.path().join("wrong");
    lumbung_tests::databases::secret(&wrong, "*:*:*:*:salah\n").unwrap();
    let source = format!("[job.postgresql]\nhost = {:?}\ncredentials = {wrong:?}", server.socket());
    bed.job("wrong", &source);
    let open = bed.dir.path().join("open");
    fs::write(&open, "*:*:*:*:salah\n").unwrap();
    bed.job("open", &format!("[job.postgresql]\ncredentials = {open:?}"));
    bed.job("none", &postgresql_job(&server, "databases = [\"simpeg\"]"));
    let query = "checks = [{ name = \"saldo\", database = \"postgres\", query = \"SELECT sum(x) FROM nothing\" }]";
    bed.job("check", &postgresql_job(&server, query));

    for (job, says) in [
        ("missing", &["pg_dump is not installed: install postgresql-client"][..]),
        ("old", &["9.6.24", "the server 15.", "a tool cannot read a newer server"]),
        ("cut", &["/postgresql/dumps/postgres.sql is not whole", "lacks the closing marker"]),
        (
            "breaks",
            &["/postgresql/dumps/postgres.sql is not whole", "exit status: 1: lost the server"],
        ),
        ("wrong", &["let nobody in", "password authentication failed for user \"lumbung\""]),
        ("open", &["others may read it: chmod 600"]),
        ("none", &["the server has no database \"simpeg\""]),
        ("check", &["check \"saldo\" cannot be made", "relation \"nothing\" does not exist"]),
    ] {
        let error = bed.refused(job);
        for says in says {
            assert!(error.contains(says), "{job}: {error}");
        }
    }
}

#[test]
fn what_hinders_a_dump_of_mariadb_is_said_and_makes_no_snapshot() {
    let server = Mariadb::start().unwrap();
    server.sql("mysql", "CREATE DATABASE simpeg").unwrap();
    server.sql("simpeg", "CREATE TABLE t AS SELECT seq AS n FROM seq_1_to_200000").unwrap();
    let bed = Bed::new();
    let real = |program| output(Command::new("which").arg(program)).unwrap().trim().to_owned();
    let tools = |name: &str, dump: &str| {
        let folder = bed.dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(real("mariadb"), folder.join("mariadb")).unwrap();
        if !dump.is_empty() {
            script(&folder.join("mariadb-dump"), dump);
        }
        mariadb_job(&server, &format!("tools = {folder:?}"))
    };
    let dump = real("mariadb-dump");
    // Within the rows.
    let half = format!(
        "case \"$*\" in *--version*) exec {dump} \"$@\";; esac; {dump} \"$@\" | head -c 300000"
    );
    bed.job("missing", &tools("missing", ""));
    bed.job("old", &tools("old", "echo 'mysqldump  Ver 10.19 Distrib 5.5.68-MariaDB, for Linux'"));
    bed.job("cut", &tools("cut", &half));
    bed.job("breaks", &tools("breaks", &format!("{half}; echo lost the server >&2; exit 2")));
    let wrong = bed.dir.path().join("wrong");
    lumbung_tests::databases::secret(&wrong, "[client]\nuser=lumbung\npassword=salah\n").unwrap();
    let source = format!("[job.mariadb]\nhost = {:?}\ncredentials = {wrong:?}", server.socket());
    bed.job("wrong", &source);
    bed.job("none", &mariadb_job(&server, "databases = [\"simrs\"]"));

    for (job, says) in [
        ("missing", &["mariadb-dump is not installed: install mariadb-client"][..]),
        ("old", &["5.5.68", "the server 10.11", "a tool cannot read a newer server"]),
        ("cut", &["databases.sql is not whole", "lacks the closing marker"]),
        ("breaks", &["databases.sql is not whole", "exit status: 2: ", "lost the server"]),
        ("wrong", &["let nobody in", "Access denied for user 'lumbung'"]),
        ("none", &["the server has no database \"simrs\""]),
    ] {
        let error = bed.refused(job);
        for says in says {
            assert!(error.contains(says), "{job}: {error}");
        }
    }
}

/// A server that archives its log by the agent, and the folder that it goes to.
fn archiving(bed: &Bed) -> (Postgresql, PathBuf) {
    // PostgreSQL's own user has to come there.
    let archive = tempfile::Builder::new().prefix("wal-").tempdir_in("/var/tmp").unwrap().keep();
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o777)).unwrap();
    let agent = archive.join("lumbung-agent");
    fs::copy(lumbung_tests::process::program("lumbung-agent").unwrap(), &agent).unwrap();
    let folder = archive.join("segments");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let command = format!(
        "archive_command={} wal archive %p {} --keep 14d",
        agent.display(),
        folder.display()
    );
    let server =
        Postgresql::start_with(&["archive_mode=on", "wal_level=replica", &command]).unwrap();
    bed.job("base", &postgresql_job(&server, "method = \"physical\""));
    bed.job("log", &format!("paths = [{folder:?}]"));
    (server, archive)
}

/// Waits until the log up to now has been archived.
fn log_is_archived(server: &Postgresql) {
    let segment = server.sql("postgres", "SELECT pg_walfile_name(pg_switch_wal())").unwrap();
    lumbung_tests::process::eventually("the log is archived", || {
        let last = server
            .sql("postgres", "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")?;
        Ok(if last >= segment { Ok(()) } else { Err(last) })
    })
    .unwrap();
}

#[test]
fn a_postgresql_server_comes_back_as_it_was_after_one_transaction() {
    let bed = Bed::new();
    let (server, archive) = archiving(&bed);
    output(server.client("pgbench").args(["-q", "-i", "-s", "2", "postgres"])).unwrap();
    server.sql("postgres", "CREATE TABLE moment (n int)").unwrap();
    let mut bench = server.client("pgbench");
    bench.args(["-n", "-c", "2", "-T", "600", "--progress=1", "postgres"]);
    let mut load =
        Daemon::start("pgbench", &mut bench, &bed.dir.path().join("pgbench.log")).unwrap();
    load.wait_for("progress: ").unwrap();
    let base = bed.backup("base");
    load.wait_for("progress: ").unwrap();
    let mark = |n: u32| {
        let statement = format!("INSERT INTO moment VALUES ({n}) RETURNING pg_current_xact_id()");
        server.sql("postgres", &statement).unwrap()
    };
    let marks: Vec<String> = (1..=9).map(mark).collect();
    load.wait_for("progress: ").unwrap();
    load.kill().unwrap();
    for n in 0..3 {
        server
            .sql("postgres", &format!("CREATE TABLE later{n} (); SELECT pg_switch_wal()"))
            .unwrap();
    }
    // The accident.
    server.sql("postgres", "DROP TABLE pgbench_history, moment").unwrap();
    log_is_archived(&server);
    let log = bed.backup("log");

    let recover = |name: &str, more: &[&str]| {
        let data = archive.join(name);
        let mut recover = bed.city.lumbung();
        recover.args(["--lang", "en", "--json", "database", "recover", &bed.city.pusat.url]);
        recover.arg(base["manifest"].as_str().unwrap()).arg("--key").arg(bed.city.pds[0].key());
        recover.arg("--data").arg(&data).args(more);
        (recover, data)
    };
    let to_log = ["--log", log["manifest"].as_str().unwrap()];
    for (name, how, rows) in [("exact", None, "5"), ("before", Some("--before"), "4")] {
        let point = [&to_log[..], &["--to-transaction", &marks[4]], how.as_slice()].concat();
        let (mut command, data) = recover(name, &point);
        let recovered = json(&mut command);
        assert!(
            recovered["last_segment"].as_str() > recovered["first_segment"].as_str(),
            "{recovered}"
        );
        let again = Postgresql::start_on(&data).unwrap();
        let promoted = "SELECT pg_is_in_recovery()";
        lumbung_tests::process::eventually("the server takes writes", || {
            let recovering = again.sql("postgres", promoted)?;
            Ok(if recovering == "f" { Ok(()) } else { Err(recovering) })
        })
        .unwrap();
        assert_eq!(
            again.sql("postgres", "SELECT count(*), max(n) FROM moment").unwrap(),
            format!("{rows}|{rows}")
        );
        let balances = again.sql("postgres", BALANCES).unwrap();
        let sums: Vec<&str> = balances.split('|').collect();
        assert!(sums.iter().all(|sum| sum == &sums[0]), "{balances}");
        output(again.client("pg_amcheck").args([
            "--heapallindexed",
            "--install-missing",
            "-d",
            "postgres",
        ]))
        .unwrap();
    }
    let (mut again, data) = recover("exact", &to_log);
    let said = error(&mut again);
    assert!(said.contains("is not empty: name a new folder"), "{said}");
    assert!(data.join("PG_VERSION").exists());
    a_gap_in_the_log_is_named(&bed, &archive, &recover);
    fs::remove_dir_all(archive).unwrap();
}

/// Makes the command that brings a server back into a folder of that name.
type Recover<'a> = dyn Fn(&str, &[&str]) -> (Command, PathBuf) + 'a;

fn a_gap_in_the_log_is_named(bed: &Bed, archive: &Path, recover: &Recover<'_>) {
    let mut segments: Vec<PathBuf> = fs::read_dir(archive.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.retain(|path| path.file_name().unwrap().len() == 24);
    segments.sort();
    let missing = &segments[segments.len() - 2];
    fs::remove_file(missing).unwrap();
    let log = bed.backup("log");
    let (mut command, _) = recover("gap", &["--log", log["manifest"].as_str().unwrap()]);
    let said = error(&mut command);
    let named =
        format!("segment {} of the log is missing", missing.file_name().unwrap().to_str().unwrap());
    assert!(said.contains(&named), "{said}");
}

#[test]
fn a_dump_of_a_taken_server_starts_no_program_where_it_is_restored() {
    let bed = Bed::new();
    let sign = bed.dir.path().join("taken");
    let server = Postgresql::start().unwrap();
    let tools = bed.dir.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for tool in ["psql", "pg_dumpall", "pg_basebackup"] {
        std::os::unix::fs::symlink(server.tools().join(tool), tools.join(tool)).unwrap();
    }
    let real = server.tools().join("pg_dump");
    let (real, touch) = (real.display(), format!("\\\\! touch {}", sign.display()));
    let hostile = format!(
        "[ \"$1\" = --version ] && exec {real} --version; {real} \"$@\" | sed 's|^SET row_security.*|&\\n{touch}|'"
    );
    script(&tools.join("pg_dump"), &hostile);
    bed.job("pg", &postgresql_job(&server, &format!("tools = {tools:?}")));
    let run = bed.backup("pg");
    let dump = bed.restore(&run, "pg").join("postgresql/dumps/postgres.sql");
    assert!(fs::read_to_string(dump).unwrap().contains("\\! touch"), "the dump is not hostile");
    let to = to_postgresql(&server);
    let said = error(&mut bed.database(&run, &["--database", "postgres", "--as", "x"], &to));
    assert!(said.contains("backslash commands are restricted"), "{said}");
    assert!(!sign.exists());

    let server = Mariadb::start().unwrap();
    server.sql("mysql", "CREATE DATABASE simpeg; CREATE TABLE simpeg.t (n INT)").unwrap();
    let hostile = format!(
        "[ \"$1\" = --version ] && exec mariadb-dump --version; mariadb-dump \"$@\" | sed 's|^DROP TABLE.*|&\\n{touch}|'"
    );
    script(&tools.join("mariadb-dump"), &hostile);
    std::os::unix::fs::symlink("/usr/bin/mariadb", tools.join("mariadb")).unwrap();
    bed.job("maria", &mariadb_job(&server, &format!("tools = {tools:?}\ngrants = false")));
    let run = bed.backup("maria");
    let to = to_mariadb(&server);
    let said = error(&mut bed.database(&run, &["--database", "simpeg", "--as", "x"], &to));
    assert!(said.contains("Unknown command"), "{said}");
    assert!(!sign.exists());
}

const ACCOUNTS: &str = "CREATE DATABASE simpeg; USE simpeg; \
     CREATE TABLE account (id INT PRIMARY KEY, balance BIGINT NOT NULL, note VARCHAR(80)) ENGINE=InnoDB; \
     INSERT INTO account SELECT seq, 1000, CONCAT('it''s (', seq, '); ', REPEAT('é', 20)) FROM seq_1_to_20000; \
     CREATE TABLE moved (id INT AUTO_INCREMENT PRIMARY KEY, source INT, target INT, amount INT, \
       FOREIGN KEY (source) REFERENCES account (id), FOREIGN KEY (target) REFERENCES account (id)) ENGINE=InnoDB; \
     CREATE TABLE empty (a INT) ENGINE=InnoDB; \
     CREATE TRIGGER one BEFORE INSERT ON moved FOR EACH ROW SET NEW.amount = NEW.amount; \
     CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO SET @x = 1; \
     CREATE VIEW rich AS SELECT * FROM account WHERE balance > 1000";
const MOVE: &str = "CREATE PROCEDURE move_about() BEGIN DECLARE a INT; DECLARE b INT; \
     LOOP SET a = 1 + FLOOR(RAND() * 20000), b = 1 + FLOOR(RAND() * 20000); START TRANSACTION; \
     UPDATE account SET balance = balance - 7 WHERE id = a; UPDATE account SET balance = balance + 7 WHERE id = b; \
     INSERT INTO moved (source, target, amount) VALUES (a, b, 7); COMMIT; END LOOP; END";

fn mariadb_job(server: &Mariadb, more: &str) -> String {
    format!(
        "[job.mariadb]\nhost = {:?}\ncredentials = {:?}\n{more}\n",
        server.socket(),
        server.credentials()
    )
}

#[test]
fn mariadb_is_backed_up_under_load_and_every_balance_comes_back() {
    let server = Mariadb::start().unwrap();
    server.sql("mysql", ACCOUNTS).unwrap();
    let procedure = format!("DELIMITER ;;\n{MOVE};;\nDELIMITER ;\n");
    server.sql("simpeg", &procedure).unwrap();
    server.sql("mysql", "CREATE USER simpeg@localhost IDENTIFIED BY 'x'; GRANT SELECT ON simpeg.* TO simpeg@localhost").unwrap();
    let bed = Bed::new();
    bed.job("simpeg", &mariadb_job(&server, ""));

    let moved =
        || -> u64 { server.sql("simpeg", "SELECT COUNT(*) FROM moved").unwrap().parse().unwrap() };
    let mut writer = server.client("mariadb");
    let log = bed.dir.path().join("writer.log");
    let mut load =
        Daemon::start("writer", writer.args(["simpeg", "-e", "CALL move_about()"]), &log).unwrap();
    lumbung_tests::process::eventually("somebody writes", || {
        Ok(if moved() > 100 { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .unwrap();
    let before = moved();
    let run = bed.backup("simpeg");
    let after = moved();
    assert!(after > before, "nobody wrote");
    // The server would go on with the call of a client that is gone.
    let calls =
        "SELECT id FROM information_schema.processlist WHERE info LIKE 'CALL%' OR db = 'simpeg'";
    for call in server.sql("mysql", calls).unwrap().lines() {
        server.sql("mysql", &format!("KILL {call}")).unwrap();
    }
    load.kill().unwrap();

    let folder = bed.restore(&run, "simpeg").join("mariadb");
    let told = description(&folder);
    assert!(told["server_version"].as_str().unwrap().contains("MariaDB"), "{told}");
    assert!(
        told["log_position"].as_str().unwrap().starts_with("MASTER_LOG_FILE='binlog."),
        "{told}"
    );
    let again = Mariadb::start().unwrap();
    let to = to_mariadb(&again);
    let restored = json(&mut bed.database(&run, &["--database", "simpeg", "--roles"], &to));
    assert_eq!(restored["tables"], 2, "{restored}");
    let sums = again.sql("simpeg", "SELECT COUNT(*), SUM(balance) FROM account").unwrap();
    assert_eq!(sums, "20000\t20000000");
    let wrong = "SELECT COUNT(*) FROM account a WHERE balance != 1000 \
         - 7 * (SELECT COUNT(*) FROM moved WHERE source = a.id) + 7 * (SELECT COUNT(*) FROM moved WHERE target = a.id)";
    again
        .sql("simpeg", "CREATE INDEX s ON moved (source); CREATE INDEX t ON moved (target)")
        .unwrap();
    assert_eq!(again.sql("simpeg", wrong).unwrap(), "0");
    let there: u64 = again.sql("simpeg", "SELECT COUNT(*) FROM moved").unwrap().parse().unwrap();
    assert!((before..=after).contains(&there), "{before} {there} {after}");
    // A table without rows has no statement in the dump.
    assert_eq!(rows(&told, "simpeg"), [("account".to_owned(), 20000), ("moved".to_owned(), there)]);
    for (what, count) in [("ROUTINES", "1"), ("EVENTS", "1"), ("TRIGGERS", "1"), ("VIEWS", "1")] {
        let schema = if what == "TRIGGERS" || what == "VIEWS" { "TABLE_SCHEMA" } else { "SCHEMA" };
        let schema = match what {
            "ROUTINES" => "ROUTINE_SCHEMA",
            "EVENTS" => "EVENT_SCHEMA",
            "TRIGGERS" => "TRIGGER_SCHEMA",
            _ => schema,
        };
        let query =
            format!("SELECT COUNT(*) FROM information_schema.{what} WHERE {schema} = 'simpeg'");
        assert_eq!(again.sql("mysql", &query).unwrap(), count, "{what}");
    }
    let granted = again.sql("mysql", "SHOW GRANTS FOR simpeg@localhost").unwrap();
    assert!(granted.contains("GRANT SELECT ON `simpeg`.*"), "{granted}");
    output(again.client("mariadb-check").args(["--check", "--extended", "simpeg"])).unwrap();

    again.sql("simpeg", "DROP TABLE moved").unwrap();
    let said = error(&mut bed.database(&run, &["--database", "simpeg"], &to));
    assert!(said.contains("the server has a database \\\"simpeg\\\""), "{said}");
    json(&mut bed.database(&run, &["--database", "simpeg", "--as", "uji"], &to));
    json(&mut bed.database(
        &run,
        &["--database", "simpeg", "--replace", "--yes", "--confirm", "simpeg"],
        &to,
    ));
    for database in ["uji", "simpeg"] {
        let count = again
            .sql(database, "SELECT COUNT(*) FROM moved, (SELECT COUNT(*) FROM rich) r")
            .unwrap();
        assert_eq!(count, there.to_string());
    }
    assert_eq!(again.sql("mysql", "SHOW DATABASES LIKE 'lumbung%'").unwrap(), "");

    bed.backup("simpeg");
    let same = bed.backup("simpeg");
    assert!(percent_sent(&same) < 5, "{same}");
}

/// What a table of PostgreSQL may need: a type, a function of a trigger, a sequence, the table that it is a part of.
const REGISTER: &str = "CREATE TYPE kelas AS ENUM ('I', 'II'); \
     CREATE FUNCTION catat() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN\nRETURN NEW;\n-- Name: x; Type: FK CONSTRAINT; y\nEND$$; \
     CREATE TABLE kamar (id serial PRIMARY KEY, kelas kelas NOT NULL DEFAULT 'II'); \
     CREATE TABLE rawat (id int, kamar int NOT NULL REFERENCES kamar, masuk date) PARTITION BY RANGE (masuk); \
     CREATE TABLE \"rawat 2026\" PARTITION OF rawat FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); \
     CREATE UNIQUE INDEX nomor ON \"rawat 2026\" (id); \
     CREATE TRIGGER dicatat BEFORE INSERT ON kamar FOR EACH ROW EXECUTE FUNCTION catat(); \
     CREATE MATERIALIZED VIEW penuh AS SELECT 1 / count(*) AS satu FROM kamar WITH NO DATA; \
     INSERT INTO kamar (kelas) SELECT 'I' FROM generate_series(1, 50); REFRESH MATERIALIZED VIEW penuh; \
     INSERT INTO rawat SELECT n, 1 + n % 50, '2026-02-01' FROM generate_series(1, 3000) n; \
     CREATE SCHEMA arsip; CREATE TABLE arsip.kamar AS SELECT 1 AS id; \
     CREATE TABLE induk (a int); CREATE TABLE anak () INHERITS (induk); INSERT INTO induk VALUES (1); INSERT INTO anak VALUES (2), (3); \
     COMMENT ON CONSTRAINT rawat_kamar_fkey ON rawat IS 'kamar'; SELECT lo_from_bytea(4242, 'x'); \
     GRANT SELECT ON LARGE OBJECT 4242 TO pg_monitor; COMMENT ON LARGE OBJECT 4242 IS 'foto'; \
     CREATE FUNCTION larang() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no DDL'; END$$; \
     CREATE SUBSCRIPTION langganan CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE); \
     CREATE EVENT TRIGGER penjaga ON ddl_command_start EXECUTE FUNCTION larang()";

/// What somebody who took the server lays in the way of whoever restores: names of the server's own, found first from the first row on, that
/// answer with a command of the client.
const TRAP: &str = "CREATE SCHEMA evil; \
     CREATE FUNCTION evil.format(text, regclass, regclass) RETURNS text LANGUAGE sql AS $$SELECT '\\! touch MARK'$$; \
     CREATE FUNCTION evil.format(text, name) RETURNS text LANGUAGE sql AS $$SELECT 'kamar; DROP TABLE rawat'$$; \
     CREATE VIEW evil.pg_inherits AS SELECT 'public.kamar'::regclass AS inhrelid, 'public.kamar'::regclass AS inhparent; \
     CREATE FUNCTION evil.jahat() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN \
     EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = evil, pg_catalog, public', current_database()); RETURN true; END$$; \
     ALTER TABLE kamar ADD CHECK (evil.jahat())";

#[test]
fn one_table_of_postgresql_comes_back_beside_the_one_that_is_there() {
    let server = Postgresql::start().unwrap();
    server.sql("postgres", "CREATE DATABASE simrs").unwrap();
    let bed = Bed::new();
    let mark = bed.dir.path().join("mark");
    let (tables, guard) = REGISTER.split_once("CREATE EVENT TRIGGER").unwrap();
    server.sql("simrs", tables).unwrap();
    server.sql("simrs", &TRAP.replace("MARK", &mark.display().to_string())).unwrap();
    server.sql("simrs", &format!("CREATE EVENT TRIGGER{guard}")).unwrap();
    bed.job("simrs", &postgresql_job(&server, ""));
    let run = bed.backup("simrs");
    server.sql("simrs", "DROP EVENT TRIGGER penjaga").unwrap();
    server
        .sql("simrs", "DELETE FROM rawat WHERE id > 10; DELETE FROM kamar WHERE id > 11")
        .unwrap();
    let to = to_postgresql(&server);
    let table = |table: &str, more: &[&str]| {
        bed.database(&run, &[&["--database", "simrs", "--table", table], more].concat(), &to)
    };
    let restored = json(&mut table("public.\"rawat 2026\"", &[]));
    let place = restored["table"].as_str().unwrap();
    assert!(
        place.starts_with("\"lumbung_restore_") && place.ends_with(".\"rawat 2026\""),
        "{place}"
    );
    assert_eq!((&restored["tables"], &restored["rows"]), (&1.into(), &3000.into()), "{restored}");
    let one = |query: &str| server.sql("simrs", query).unwrap();
    assert_eq!(one(&format!("SELECT count(*), sum(id) FROM {place}")), "3000|4501500");
    assert_eq!(one("SELECT count(*) FROM rawat"), "10", "what is there stays as it is");
    let indexes = format!(
        "SELECT count(*) FROM pg_index WHERE indrelid = '{place}'::regclass AND indisunique"
    );
    assert_eq!(one(&indexes), "1");
    // What was lost is taken from it by SQL.
    one("INSERT INTO kamar SELECT n, 'I' FROM generate_series(12, 50) n");
    one(&format!("INSERT INTO rawat SELECT * FROM {place} r WHERE id > 10"));
    assert_eq!(one("SELECT count(*) FROM rawat"), "3000");

    for (name, rows) in [("public.kamar", 50), ("induk", 1), ("anak", 2)] {
        let restored = json(&mut table(name, &[]));
        assert_eq!(restored["rows"], rows, "{name}: {restored}");
    }
    assert!(!mark.exists(), "a dump has run a program of this machine");
    let said = error(&mut table("kamar", &[]));
    assert!(said.contains("name one of arsip.kamar, public.kamar"), "{said}");
    let said = error(&mut table("pasien", &[]));
    assert!(said.contains("has no table \\\"pasien\\\""), "{said}");
    let said = error(&mut table("public.kamar", &["--as", "simpeg"]));
    assert!(said.contains("no database \\\"simpeg\\\" that the table"), "{said}");
    // What it needs is not in that database: nothing of it stays.
    let said = error(&mut table("public.kamar", &["--as", "postgres"]));
    assert!(said.contains("public.kelas"), "{said}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'lumbung%'";
    assert_eq!(server.sql("postgres", schemas).unwrap(), "0");
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'lumbung%'";
    assert_eq!(one(left), "0");
}

#[test]
fn one_table_of_mariadb_comes_back_in_a_database_of_its_own() {
    let server = Mariadb::start().unwrap();
    server.sql("mysql", ACCOUNTS).unwrap();
    let child = "CREATE TABLE anak (account INT, FOREIGN KEY (account) REFERENCES simpeg.account (id)); INSERT INTO anak VALUES (1)";
    server.sql("simpeg", child).unwrap();
    let bed = Bed::new();
    bed.job("simpeg", &mariadb_job(&server, ""));
    let run = bed.backup("simpeg");
    server.sql("simpeg", "UPDATE account SET balance = 0 WHERE id < 100").unwrap();
    let to = to_mariadb(&server);
    let wanted = ["--database", "simpeg", "--table", "account"];
    let restored = json(&mut bed.database(&run, &wanted, &to));
    let place = restored["table"].as_str().unwrap();
    assert!(place.starts_with("`lumbung_restore_") && place.ends_with(".`account`"), "{place}");
    let database = restored["name"].as_str().unwrap();
    assert_eq!(server.sql(database, "SHOW TABLES").unwrap(), "account");
    let sums = |of: &str| server.sql("mysql", &format!("SELECT SUM(balance) FROM {of}")).unwrap();
    assert_eq!((sums(place).as_str(), sums("simpeg.account").as_str()), ("20000000", "19901000"));
    let mend =
        format!("UPDATE simpeg.account a JOIN {place} b USING (id) SET a.balance = b.balance");
    server.sql("simpeg", &mend).unwrap();
    assert_eq!(sums("simpeg.account"), "20000000");
    // What it refers to is not there, and the live one is another table.
    let restored = json(&mut bed.database(&run, &["--database", "simpeg", "--table", "anak"], &to));
    let place = restored["table"].as_str().unwrap();
    server.sql("mysql", &format!("INSERT INTO {place} VALUES (999999)")).unwrap();
    server.sql("simpeg", "DELETE FROM anak").unwrap();
    server.sql("simpeg", "DELETE FROM account WHERE id = 1").unwrap();
    let said = error(&mut bed.database(&run, &["--database", "simpeg", "--table", "dokter"], &to));
    assert!(said.contains("has no table"), "{said}");
}

#[test]
fn accounts_of_mysql_are_asked_of_the_server_and_come_back() {
    // The answers are MariaDB's, which understands what MySQL 5.7 is asked.
    let server = Mariadb::start_as("5.7.44-log").unwrap();
    server.sql("mysql", "CREATE DATABASE simpeg; CREATE TABLE simpeg.t (a int); INSERT INTO simpeg.t VALUES (1)").unwrap();
    let accounts = "CREATE USER `it``s`@`10.0.%` IDENTIFIED BY 'x'; GRANT SELECT, INSERT ON simpeg.* TO `it``s`@`10.0.%` WITH GRANT OPTION; \
         CREATE USER baca@localhost IDENTIFIED BY 'y'; GRANT SELECT (a) ON simpeg.t TO baca@localhost";
    server.sql("mysql", accounts).unwrap();
    let bed = Bed::new();
    bed.job("simpeg", &mariadb_job(&server, ""));
    let run = bed.backup("simpeg");
    let folder = bed.restore(&run, "simpeg").join("mariadb");
    assert!(description(&folder)["server_version"].as_str().unwrap().starts_with("5.7.44"));
    let again = Mariadb::start().unwrap();
    let to = to_mariadb(&again);
    let restored = json(&mut bed.database(&run, &["--database", "simpeg", "--roles"], &to));
    assert_eq!(restored["left_out"], serde_json::json!([]), "{restored}");
    for account in ["`it``s`@`10.0.%`", "baca@localhost", "lumbung@localhost"] {
        for show in ["GRANTS FOR", "CREATE USER"] {
            let shown =
                |server: &Mariadb| server.sql("mysql", &format!("SHOW {show} {account}")).unwrap();
            assert_eq!(shown(&server), shown(&again));
        }
    }
}

#[test]
fn the_files_of_a_mariadb_server_come_back_whole() {
    let server = Mariadb::start().unwrap();
    server.sql("mysql", ACCOUNTS).unwrap();
    server.sql("simpeg", &format!("DELIMITER ;;\n{MOVE};;\nDELIMITER ;\n")).unwrap();
    let bed = Bed::new();
    bed.job("simpeg", &mariadb_job(&server, "method = \"physical\""));
    let log = bed.dir.path().join("writer.log");
    let mut writer = server.client("mariadb");
    let mut load =
        Daemon::start("writer", writer.args(["simpeg", "-e", "CALL move_about()"]), &log).unwrap();
    let base = bed.backup("simpeg");
    load.kill().unwrap();
    let folder = tempfile::Builder::new().prefix("mariadb-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let mut recover = bed.city.lumbung();
    recover.args(["--lang", "en", "--json", "database", "recover", &bed.city.pusat.url]);
    recover.arg(base["manifest"].as_str().unwrap()).arg("--key").arg(bed.city.pds[0].key());
    recover.arg("--data").arg(&data).args(["--owner", "mysql"]);
    let recovered = json(&mut recover);
    assert!(recovered["last_segment"].as_str().unwrap().contains("binlog."), "{recovered}");
    let again = Mariadb::start_on(&data).unwrap();
    let sums = again.sql("simpeg", "SELECT COUNT(*), SUM(balance) FROM account").unwrap();
    assert_eq!(sums, "20000\t20000000");
    output(again.client("mariadb-check").args(["--check", "--extended", "simpeg"])).unwrap();
}

#[test]
fn a_mariadb_database_comes_back_as_it_was_before_one_transaction() {
    let server = Mariadb::start().unwrap();
    server
        .sql(
            "mysql",
            "CREATE DATABASE simpeg; CREATE TABLE simpeg.moment (n INT PRIMARY KEY) ENGINE=InnoDB",
        )
        .unwrap();
    server
        .sql("mysql", "CREATE DATABASE other; CREATE TABLE other.t (n INT) ENGINE=InnoDB")
        .unwrap();
    let bed = Bed::new();
    bed.job("simpeg", &mariadb_job(&server, "databases = [\"simpeg\"]"));
    let flush = bed.dir.path().join("flush");
    let option_file = server.credentials();
    let socket = server.socket();
    script(
        &flush,
        &format!(
            "exec mariadb --defaults-file={} --socket={} --user=lumbung -e 'FLUSH BINARY LOGS'",
            option_file.display(),
            socket.display()
        ),
    );
    let logs = socket.parent().unwrap().join("data");
    bed.job("log", &format!("paths = [{logs:?}]\nexclude = [\"ib*\", \"aria*\", \"mysql\", \"sys\", \"performance_schema\", \"simpeg\", \"other\"]\nbefore = {{ run = [{flush:?}] }}"));
    let put = |n: u32| {
        server
            .sql(
                "simpeg",
                &format!("INSERT INTO moment VALUES ({n}); INSERT INTO other.t VALUES ({n})"),
            )
            .unwrap()
    };
    put(1);
    let dump = bed.backup("simpeg");
    put(2);
    server.sql("mysql", "FLUSH BINARY LOGS").unwrap();
    put(3);
    let place = server.sql("mysql", "SHOW MASTER STATUS").unwrap();
    let place = place.split('\t').take(2).collect::<Vec<_>>().join(":");
    put(4);
    // The accident.
    server.sql("simpeg", "DELETE FROM moment").unwrap();
    let log = bed.backup("log");

    let again = Mariadb::start().unwrap();
    let to = to_mariadb(&again);
    let wanted = ["--database", "simpeg", "--log", log["manifest"].as_str().unwrap()];
    let until = |name: &str, more: &[&str]| {
        json(&mut bed.database(&dump, &[&wanted[..], &["--as", name], more].concat(), &to));
        again.sql(name, "SELECT GROUP_CONCAT(n ORDER BY n) FROM moment").unwrap()
    };
    assert_eq!(until("before", &["--until-position", &place]), "1,2,3");
    assert_eq!(until("end", &[]), "NULL");
    assert_eq!(until("early", &["--until-time", "2020-01-01T00:00:00Z"]), "1");
    // A statement that reaches into another database ends the replay, and reaches nothing.
    again.sql("mysql", "CREATE DATABASE other; CREATE TABLE other.t (n INT)").unwrap();
    server.sql("mysql", "SET GLOBAL binlog_format = STATEMENT").unwrap();
    server.sql("simpeg", "INSERT INTO other.t VALUES (7)").unwrap();
    let log = bed.backup("log");
    let manifest = log["manifest"].as_str().unwrap();
    let reaching = ["--database", "simpeg", "--as", "z", "--log", manifest];
    let said = error(&mut bed.database(&dump, &reaching, &to));
    assert!(said.contains("reaches beyond the database"), "{said}");
    assert_eq!(again.sql("mysql", "SELECT COUNT(*) FROM other.t").unwrap(), "0");
    let left = "SELECT COUNT(*) FROM user WHERE User LIKE 'lumbung\\_%'";
    assert_eq!(again.sql("mysql", left).unwrap(), "0");
    let said = error(&mut bed.database(
        &dump,
        &[&wanted[..], &["--as", "x", "--until-position", "binlog.999999:4"]].concat(),
        &to,
    ));
    assert!(said.contains("of the log is missing"), "{said}");
    assert_eq!(again.sql("mysql", "SHOW DATABASES LIKE '_'").unwrap(), "");
}

#[test]
fn sqlite_is_copied_while_somebody_writes() {
    let bed = Bed::new();
    let file = bed.dir.path().join("absensi.db");
    let writer = rusqlite::Connection::open(&file).unwrap();
    writer
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE pair (a INTEGER, b BLOB)")
        .unwrap();
    let put = |n: i64| {
        // Two rows or none.
        writer.execute_batch(&format!(
            "BEGIN; INSERT INTO pair VALUES ({n}, randomblob(900)); INSERT INTO pair VALUES (-{n}, randomblob(900)); COMMIT"
        ))
        .unwrap();
    };
    (1..2000).for_each(&put);
    bed.job("absensi", &format!("[job.sqlite]\nfiles = [{file:?}]"));
    let mut backup = bed.city.pds[0].agent();
    let mut running = backup.args(["backup", "--quiet", "absensi"]).spawn().unwrap();
    let mut n = 2000;
    let status = loop {
        put(n);
        n += 1;
        if let Some(status) = running.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success());
    let run = bed.backup("absensi");
    let folder = bed.restore(&run, "absensi").join("sqlite");
    let told = description(&folder);
    let name = file.display().to_string();
    assert_eq!(rows(&told, &name), [("pair".to_owned(), 2 * (n.unsigned_abs() - 1))]);
    let copy = fs::read_dir(folder.join("files")).unwrap().next().unwrap().unwrap().path();
    let copy = rusqlite::Connection::open(copy).unwrap();
    let check: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    let sum: i64 = copy.query_row("SELECT sum(a) FROM pair", [], |row| row.get(0)).unwrap();
    assert_eq!((check.as_str(), sum), ("ok", 0));
    let left = fs::read_dir(bed.city.pds[0].server.join("state")).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("sqlite")));
}

#[test]
fn the_output_of_a_command_counts_if_the_command_ends_well() {
    let bed = Bed::new();
    let export = bed.dir.path().join("export");
    let held = bed.dir.path().join("held");
    script(&export, "seq 1 300000");
    let source = format!(
        "before = {{ run = [\"/usr/bin/touch\", {held:?}] }}\nafter = {{ run = [\"/bin/rm\", {held:?}] }}\n\
         [job.command]\nrun = [{export:?}]\nfile = \"data.txt\""
    );
    bed.job("export", &source);
    let run = bed.backup("export");
    let text =
        fs::read_to_string(bed.restore(&run, "export").join("command/output/data.txt")).unwrap();
    assert_eq!((text.lines().count(), text.lines().last()), (300_000, Some("300000")));
    assert!(!held.exists());
    script(
        &export,
        &format!("[ -e {} ] && seq 1 3000; echo the disk is full >&2; exit 7", held.display()),
    );
    let error = bed.refused("export");
    assert!(error.contains("export ended with exit status: 7: the disk is full"), "{error}");
    assert!(!held.exists(), "what the first hook began has no end");
    assert_eq!(snapshots_of(&bed, "export"), 1);
}

fn snapshots_of(bed: &Bed, label: &str) -> usize {
    let mut list = bed.city.lumbung();
    list.args(["--json", "snapshots", &bed.city.pusat.url, "--key"]).arg(bed.city.pds[0].key());
    let list: Value = serde_json::from_str(&output(&mut list).unwrap()).unwrap();
    let list =
        list.as_array().cloned().unwrap_or_else(|| list["snapshots"].as_array().unwrap().clone());
    list.iter().filter(|one| one["label"] == label).count()
}

#[test]
fn a_run_that_is_stopped_leaves_no_dump_behind() {
    let bed = Bed::new();
    let started = bed.dir.path().join("started");
    let export = bed.dir.path().join("endless");
    script(&export, &format!("echo $$ > {}; while true; do echo more; done", started.display()));
    bed.job("endless", &format!("[job.command]\nrun = [{export:?}]\nfile = \"data\""));
    let mut backup: Command = bed.city.pds[0].agent();
    let log = bed.dir.path().join("backup.log");
    let mut running =
        Daemon::start("backup", backup.args(["backup", "--quiet", "endless"]), &log).unwrap();
    let process = lumbung_tests::process::eventually("the export runs", || {
        let text = fs::read_to_string(&started).unwrap_or_default();
        Ok(text.trim().parse::<u32>().map_err(|error| error.to_string()))
    })
    .unwrap();
    // It ends with another status than 0, in order.
    let _ = running.stop();
    let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    assert_eq!(snapshots_of(&bed, "endless"), 0);
}
