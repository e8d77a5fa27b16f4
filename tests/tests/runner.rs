//! The runner over the real programs: data is opened in a locked-down place, databases are started there and counted, and whatever is
//! killed, nothing is left behind.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_tests::city::{City, Pd, PdPlan};
use lumbung_tests::databases::mariadb::Mariadb;
use lumbung_tests::databases::postgresql::Postgresql;
use lumbung_tests::databases::secret;
use lumbung_tests::people::Admin;
use lumbung_tests::process::{Daemon, any_output, eventually, output, program};
use serde_json::Value;
use tempfile::TempDir;

/// A city whose Dinas has a runner at the DRC, and a hospital whose data it may open.
pub(crate) struct Bed {
    pub(crate) city: City,
    dir: TempDir,
    runner: Option<Daemon>,
}

/// What the hospital backs up, and what the runner's own file adds.
pub(crate) struct Wanted<'a> {
    /// Further datasets of the hospital: name, kind in the register, source in the agent's file.
    pub(crate) databases: &'a [(&'a str, &'a str, String)],
    /// Places, hooks and checks.
    pub(crate) file: String,
}

impl Bed {
    pub(crate) fn new(wanted: &Wanted<'_>) -> Self {
        let dir = TempDir::with_prefix("lumbung-runner-").unwrap();
        let plan = |code, name| {
            let data = dir.path().join(format!("srv-{code}"));
            fs::create_dir(&data).unwrap();
            fs::write(data.join("pasien.csv"), "NIK 1271000000000001 hasil lab\n".repeat(9000))
                .unwrap();
            PdPlan { code, name, paths: vec![data] }
        };
        let plans = vec![plan("RSUD", "Rumah Sakit"), plan("DISKOMINFO", "Diskominfo")];
        let city = City::found(dir.path(), plans, |_| ()).unwrap();
        Self::of(dir, city, wanted)
    }

    /// In a city that is there: its first PD is the hospital, its last one has the runner.
    pub(crate) fn of(dir: TempDir, city: City, wanted: &Wanted<'_>) -> Self {
        let bed = Self { city, dir, runner: None };
        bed.account();
        let mut requester = bed.city.lumbung();
        requester.args(["key", "requester"]).arg(bed.path("runner.key"));
        output(requester.args(["--name", "Penguji DRC", "--machine"])).unwrap();
        let mut datasets = vec![bed.rsud().dataset.to_string()];
        for (name, kind, source) in wanted.databases {
            datasets.push(bed.database(name, kind, source));
        }
        output(bed.rsud().agent().args(["backup", "--quiet"])).unwrap();
        for dataset in &datasets {
            bed.approve(dataset);
        }
        bed.write_file(&datasets, &wanted.file);
        bed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn rsud(&self) -> &Pd {
        &self.city.pds[0]
    }

    /// A second person, who starts what others have planned.
    fn account(&self) {
        let sari = Admin::new(&self.city.controller, "sari").unwrap();
        secret(&self.path("sari.token"), &sari.token).unwrap();
    }

    /// `lumbung` of somebody who knows only where the controller is.
    fn known(&self) -> Command {
        let mut command = self.city.lumbung();
        command.env("LUMBUNG_CONTROLLER", &self.city.controller.url);
        command.env("LUMBUNG_CA_FINGERPRINT", &self.city.controller.ca_fingerprint);
        command.env_remove("LUMBUNG_PASSPHRASE");
        command
    }

    fn sari(&self) -> Command {
        let mut command = self.known();
        command.env("LUMBUNG_TOKEN_FILE", self.path("sari.token"));
        command
    }

    /// Registers a dataset of databases and has the hospital's agent back it up; its id.
    fn database(&self, name: &str, kind: &str, source: &str) -> String {
        let mut add = self.city.operator();
        add.args(["--json", "dataset", "add", name, "--pd", "RSUD", "--server", "srv-rsud"]);
        add.args(["--kind", kind, "--repository", &self.rsud().repository.to_string()]);
        let added: Value = serde_json::from_str(&output(&mut add).unwrap()).unwrap();
        let id = added["id"].as_str().unwrap().to_owned();
        let config = self.rsud().server.join("agent.toml");
        let mut text = fs::read_to_string(&config).unwrap();
        write!(text, "\n[[job]]\nname = \"{name}\"\ndataset = \"{id}\"\n{source}\n").unwrap();
        fs::write(&config, text).unwrap();
        id
    }

    /// The custodian opens the latest snapshot of a dataset for the runner.
    fn approve(&self, dataset: &str) {
        let file = |end: &str| self.path(&format!("{dataset}.{end}"));
        let mut request = self.city.lumbung();
        request.args(["approve", "request"]).arg(file("minta")).arg("--requester-key");
        request.arg(self.path("runner.key")).args(["--purpose", "uji pulih", "--lasting", "7d"]);
        request.args(["--repository", &self.rsud().repository.to_string(), "--dataset", dataset]);
        output(&mut request).unwrap();
        let mut grant = self.city.lumbung();
        grant.args(["approve", "grant"]).arg(file("minta")).arg(&self.city.pusat.url);
        grant.arg("--key").arg(self.rsud().key()).args(["--letter", "700/12/2026", "--yes"]);
        output(&mut grant).unwrap();
    }

    /// The custodian opens what the next runs of a dataset make, too.
    pub(crate) fn approve_standing(&self, dataset: &str) {
        let file = self.path("tetap.minta");
        let mut request = self.city.lumbung();
        request.args(["approve", "request"]).arg(&file).arg("--requester-key");
        request.arg(self.path("runner.key")).args(["--purpose", "uji pulih", "--lasting", "90d"]);
        request.args(["--repository", &self.rsud().repository.to_string()]);
        output(request.args(["--dataset", dataset, "--standing"])).unwrap();
        let mut standing = self.city.lumbung();
        standing.args(["approve", "standing"]).arg(&file).arg(&self.city.pusat.url);
        standing.arg("--key").arg(self.rsud().key()).args(["--letter", "700/13/2026", "--yes"]);
        output(&mut standing).unwrap();
    }

    fn write_file(&self, datasets: &[String], more: &str) {
        let mut text = format!(
            "[runner]\nstate = \"{}\"\nlumbung = \"{}\"\nkey = \"{}\"\ninterval = \"1 s\"\nreconcile = \"2 min\"\nallow = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n",
            self.path("runner").display(),
            program("lumbung").unwrap().display(),
            self.path("runner.key").display(),
        );
        // What was granted at the Pusat Data comes to the DRC by the ordinary pull.
        for site in [&self.city.pusat, &self.city.drc] {
            write!(text, "[[depot]]\ndepot = \"{}\"\nsite = \"{}\"\n", site.url, site.public.site)
                .unwrap();
        }
        for dataset in datasets {
            let repository = self.rsud().repository;
            write!(text, "[[dataset]]\ndataset = \"{dataset}\"\nrepository = \"{repository}\"\n")
                .unwrap();
        }
        let more = more.replace("DATASET", &datasets[0]);
        fs::write(self.path("runner.toml"), text + &more).unwrap();
    }

    fn runner(&self) -> Command {
        let mut command = self.city.pds.last().unwrap().agent();
        command.args(["runner", "run", "--file"]).arg(self.path("runner.toml"));
        command
    }

    pub(crate) fn start(&mut self) {
        let mut daemon =
            Daemon::start("runner", &mut self.runner(), &self.path("runner.log")).unwrap();
        daemon.wait_for("the runner is ready").unwrap();
        self.runner = Some(daemon);
    }

    pub(crate) fn kill(&mut self) {
        self.runner.take().unwrap().kill().unwrap();
    }

    /// As `systemctl stop` does it.
    fn stop(&mut self) {
        self.runner.take().unwrap().stop().unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("runner.log")).unwrap_or_default()
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut command = self.city.operator();
        serde_json::from_str(&output(command.args(["--json", "drill"]).args(words)).unwrap())
            .unwrap()
    }

    /// Enters a plan and has it started; the run's id.
    pub(crate) fn begin(&self, plan: &str) -> String {
        let file = self.path("plan.toml");
        fs::write(&file, plan).unwrap();
        let mut add = self.city.operator();
        output(add.args(["drill", "plan", "add"]).arg(&file)).unwrap();
        let title = plan.lines().find_map(|line| line.strip_prefix("title = ")).unwrap();
        self.begin_again(title.trim_matches('"'))
    }

    /// Has a plan that was entered started; the run's id.
    fn begin_again(&self, title: &str) -> String {
        let mut start = self.sari();
        start.args(["--json", "drill", "start", title, "--reason", "uji"]);
        let run: Value = serde_json::from_str(&output(&mut start).unwrap()).unwrap();
        run["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a run is as wanted.
    pub(crate) fn until(&self, run: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let found = self.json(&["run", "show", run]);
            Ok(if is(&found) { Ok(found) } else { Err(format!("{found}\n{}", self.log())) })
        })
        .unwrap()
    }

    pub(crate) fn over(&self, run: &str) -> Value {
        self.until(run, "the run is over", |found| !found["run"]["finished"].is_null())
    }

    pub(crate) fn acta(&self, run: &str) -> String {
        output(self.city.operator().args(["drill", "acta", run])).unwrap()
    }
}

/// The events of a kind.
pub(crate) fn events<'a>(run: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let events = run["events"].as_array().unwrap().iter();
    events.map(|event| &event["what"]).filter(move |what| what["event"] == kind)
}

pub(crate) fn is_done(run: &Value, step: &str) -> bool {
    events(run, "step_finished").any(|what| what["step"] == step)
}

/// Whether a process that was told of this folder still runs.
fn lives(mark: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let own = std::process::id().to_string();
    processes.filter(|entry| entry.file_name() != own.as_str()).any(|entry| {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let text = [read("cmdline"), read("environ")].concat();
        String::from_utf8_lossy(&text).contains(mark)
    })
}

const HEAD: &str = r#"
kind = "restore"
scenario = "Berkas hilang."
runner = "DISKOMINFO/srv-diskominfo"
targets = { rto = "4 h", rpo = "24 h" }
"#;

fn restores(title: &str, datasets: &[(&str, &str)], checks: &[&str]) -> String {
    let mut text = format!("title = \"{title}\"{HEAD}");
    for (key, name) in datasets {
        write!(text, "[[datasets]]\nkey = \"{key}\"\ndataset = \"RSUD/{name}\"\n").unwrap();
    }
    for (key, _) in datasets {
        write!(
            text,
            "[[steps]]\nid = \"pulih-{key}\"\ntitle = \"Pulihkan {key}\"\nlimit = \"5 min\"\n\
             action = {{ kind = \"restore\", dataset = \"{key}\", to = \"scratch\", place = \"uji\" }}\n"
        )
        .unwrap();
    }
    let after: Vec<String> = datasets.iter().map(|(key, _)| format!("pulih-{key}")).collect();
    for check in checks {
        write!(
            text,
            "[[steps]]\nid = \"{check}\"\ntitle = \"Cek {check}\"\nafter = {after:?}\nlimit = \"2 min\"\n\
             action = {{ kind = \"check\", health = {{ named = \"{check}\" }} }}\n"
        )
        .unwrap();
    }
    text
}

/// A check of the shell, within the scratch place.
fn check(name: &str, script: &str) -> String {
    format!(
        "[[check]]\nname = \"{name}\"\nplace = \"uji\"\nrun = [\"/bin/sh\", \"-c\", '''{script}''']\n"
    )
}

fn scratch(of: &str) -> String {
    format!("[[place]]\nname = \"uji\"\nscratch = {{ {of} }}\n")
}

#[test]
fn data_is_opened_in_a_place_without_network_and_rights_and_is_gone_afterwards() {
    let folder = TempDir::with_prefix("lumbung-uji-").unwrap();
    let file = scratch(&format!("folder = \"{}\"", folder.path().display()))
        + &check(
            "isi",
            "set -e; cd $LUMBUNG_PLACE/berkas; test $(find . -name pasien.csv | xargs cat | wc -l) = 9000; echo 9000 baris",
        )
        + &check(
            "terkunci",
            "set -e; test $(id -u) != 0; test $(tail -n +3 /proc/net/dev | cut -d: -f1) = lo; test -z \"$(ls /run)\"; test ! -e /var/lib; test ! -e /home; ! test -w /usr; ! touch /etc/x 2>/dev/null; ! cat /proc/1/environ 2>/dev/null; grep -q '^CapBnd:[[:space:]]*0*$' /proc/self/status; test $(ls -d /proc/[0-9]* | wc -l) -lt 12",
        );
    let mut bed = Bed::new(&Wanted { databases: &[], file });
    bed.start();
    let run =
        bed.begin(&restores("Uji pulih", &[("berkas", "Data Rumah Sakit")], &["isi", "terkunci"]));
    let found = bed.over(&run);
    assert_eq!(found["run"]["verdict"], "succeeded", "{found}\n{}", bed.log());
    let restored =
        events(&found, "step_finished").find(|what| what["step"] == "pulih-berkas").unwrap();
    let integrity = &restored["outcome"]["integrity"][0];
    assert_eq!((&integrity["kind"], &integrity["good"]), (&"hash".into(), &true.into()), "{found}");
    assert!(restored["outcome"]["recovery_point"]["entries"].as_u64().unwrap() >= 2, "{found}");
    let said = events(&found, "step_finished").find(|what| what["step"] == "isi").unwrap();
    assert_eq!(said["outcome"]["note"], "9000 baris");
    let acta = bed.acta(&run);
    for part in ["BERITA ACARA", "BERHASIL", "isi dan atribut", "uji fungsi aplikasi"] {
        assert!(acta.contains(part), "{part}\n{acta}");
    }
    assert_eq!(bed.json(&["plan", "list"])[0]["state"], "verified");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the place is wiped");
    assert!(!lives(&run), "nothing of the run goes on");
    // Root finds it on the servers that it is of, and nowhere else: no vault, journal, log or cache has it.
    let own: BTreeSet<PathBuf> =
        bed.city.pds.iter().map(|pd| pd.paths[0].join("pasien.csv")).collect();
    assert_eq!(plain(bed.dir.path()), own, "opened data is left");
}

/// Files beneath a folder that have a patient's number in plain text.
fn plain(folder: &Path) -> BTreeSet<PathBuf> {
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "--text", "--fixed-strings"]);
    let found = any_output(grep.arg("NIK 1271000000000001").arg(folder)).unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

#[test]
fn a_restore_test_runs_by_itself_on_what_nobody_has_opened_by_hand_and_proves_it() {
    let file = scratch("memory = \"256 MiB\"")
        + &check("isi", "grep -q 'sesudah izin' $LUMBUNG_PLACE/berkas/*/*/*/baru.csv");
    let mut bed = Bed::new(&Wanted { databases: &[], file });
    let dataset = bed.rsud().dataset.to_string();
    bed.approve_standing(&dataset);
    // The next day's backup: its agent seals it to the runner too.
    fs::write(bed.rsud().paths[0].join("baru.csv"), "sesudah izin\n").unwrap();
    output(bed.rsud().agent().args(["backup", "--quiet"])).unwrap();
    bed.start();
    let plan = restores("Uji malam", &[("berkas", "Data Rumah Sakit")], &["isi"]);
    let plan =
        plan.replace("kind = \"restore\"\n", "kind = \"restore\"\nschedule = \"* * * * *\"\n");
    let file = bed.path("plan.toml");
    fs::write(&file, plan).unwrap();
    output(bed.city.operator().args(["drill", "plan", "add"]).arg(&file)).unwrap();
    let run = eventually("the controller starts it and the runner carries it out", || {
        let found = bed.json(&["run", "list"]);
        let over = !found[0]["finished"].is_null();
        Ok(if over { Ok(found[0].clone()) } else { Err(format!("{found}\n{}", bed.log())) })
    })
    .unwrap();
    let log = bed.log();
    assert_eq!(
        (&run["verdict"], &run["created_by"]),
        (&"succeeded".into(), &"controller".into()),
        "{run}\n{log}"
    );
    eventually("it counts as proven", || {
        let table = bed.city.compliance()?;
        let proven = table["proven"]["datasets"] == 1;
        Ok(if proven { Ok(()) } else { Err(format!("{table}\n{}", bed.log())) })
    })
    .unwrap();
}

#[test]
fn a_runner_that_is_killed_or_stopped_leaves_no_data_and_goes_on_from_its_journal() {
    let marker = "uji-mati-";
    let folder = TempDir::with_prefix(marker).unwrap();
    let scratched = |of: &str| {
        let wait = "echo $$ > $LUMBUNG_PLACE/berkas/mulai; exec sleep 1000";
        scratch(of) + &check("lama", wait)
    };
    let in_folder = format!("folder = \"{}\"", folder.path().display());
    let left = || fs::read_dir(folder.path()).unwrap().count();
    // In memory: gone with the runner. In a folder: gone when it starts again, or when it is stopped in order.
    for (of, in_order) in
        [("memory = \"64 MiB\"", false), (in_folder.as_str(), false), (in_folder.as_str(), true)]
    {
        let mut bed = Bed::new(&Wanted { databases: &[], file: scratched(of) });
        bed.start();
        let run = bed.begin(&restores("Uji mati", &[("berkas", "Data Rumah Sakit")], &["lama"]));
        bed.until(&run, "the check is under way", |found| {
            events(found, "step_started").any(|what| what["step"] == "lama")
        });
        eventually("the check sleeps in the place", || {
            Ok(if lives("sleep\u{0}1000") { Ok(()) } else { Err(bed.log()) })
        })
        .unwrap();
        if in_order {
            bed.stop();
            assert_eq!(left(), 0, "the place is wiped with its runner");
        } else {
            bed.kill();
        }
        eventually("everything in the place has ended with the runner", || {
            Ok(if lives(&run) { Err("it goes on".to_owned()) } else { Ok(()) })
        })
        .unwrap();
        bed.start();
        assert_eq!(left(), 0, "the place is wiped when the runner starts");
        let found = bed.over(&run);
        assert_eq!(events(&found, "interrupted").count(), 1, "{found}");
        let failed = events(&found, "step_failed").find(|what| what["step"] == "lama").unwrap();
        assert!(
            failed["reason"].as_str().unwrap().contains("started anew and it is gone"),
            "{found}"
        );
        assert_eq!(found["run"]["verdict"], "failed");
        assert!(bed.acta(&run).contains("pelaksana berhenti saat menjalankan: lama"));
    }
}

#[test]
fn databases_are_started_in_the_place_and_counted() {
    let (postgresql, mariadb) = (Postgresql::start().unwrap(), Mariadb::start().unwrap());
    postgresql.sql("postgres", "CREATE DATABASE simpeg").unwrap();
    postgresql
        .sql("simpeg", "CREATE TABLE pegawai (nip text primary key, gaji int); INSERT INTO pegawai SELECT n::text, n FROM generate_series(1, 5000) n")
        .unwrap();
    mariadb.sql("", "CREATE DATABASE simrs").unwrap();
    mariadb
        .sql("simrs", "CREATE TABLE pasien (id int primary key, nama text); INSERT INTO pasien SELECT seq, 'x' FROM seq_1_to_3000")
        .unwrap();
    let of_postgresql = format!(
        "[job.postgresql]\nhost = \"{}\"\nuser = \"lumbung\"\ndatabases = [\"simpeg\"]\ncredentials = \"{}\"\ntools = \"{}\"\nchecks = [{{ name = \"gaji\", database = \"simpeg\", query = \"SELECT sum(gaji) FROM pegawai\" }}]",
        postgresql.socket().display(),
        postgresql.credentials().display(),
        postgresql.tools().display()
    );
    let of_mariadb = format!(
        "[job.mariadb]\nhost = \"{}\"\nuser = \"lumbung\"\ndatabases = [\"simrs\"]\ncredentials = \"{}\"",
        mariadb.socket().display(),
        mariadb.credentials().display()
    );
    let whole = [&of_postgresql, &of_mariadb].map(|of| {
        let lines =
            of.lines().filter(|line| !line.starts_with("databases") && !line.starts_with("checks"));
        lines.collect::<Vec<_>>().join("\n") + "\nmethod = \"physical\"\n"
    });
    let [whole_postgresql, whole_mariadb] = whole;
    let file = scratch("memory = \"2 GiB\"")
        + &check(
            "simpeg",
            "psql --no-psqlrc -h $LUMBUNG_PLACE/simpeg/server -U postgres -d simpeg -Atc 'SELECT sum(gaji) FROM pegawai'",
        )
        + &check(
            "simrs",
            "mariadb --no-defaults --socket=$LUMBUNG_PLACE/simrs/server/socket -N -e 'SELECT count(*) FROM simrs.pasien'",
        );
    let databases = [
        ("simpeg", "postgresql", of_postgresql),
        ("simrs", "mysql", of_mariadb),
        ("server-pg", "postgresql", whole_postgresql),
        ("server-maria", "mysql", whole_mariadb),
    ];
    let mut bed = Bed::new(&Wanted { databases: &databases, file });
    drop((postgresql, mariadb));
    bed.start();
    let run = bed.begin(&restores(
        "Uji basis data",
        &[("simpeg", "simpeg"), ("simrs", "simrs")],
        &["simpeg", "simrs"],
    ));
    let found = bed.over(&run);
    assert_eq!(found["run"]["verdict"], "succeeded", "{found}\n{}", bed.log());
    let note = |step: &str| {
        let of = events(&found, "step_finished").find(|what| what["step"] == step).unwrap();
        of["outcome"]["note"].as_str().unwrap().to_owned()
    };
    assert_eq!((note("simpeg"), note("simrs")), ("12502500".to_owned(), "3000".to_owned()));
    let acta = bed.acta(&run);
    for part in ["5000 baris dalam 1 tabel", "3000 baris dalam 1 tabel", "1 pertanyaan pemilik"] {
        assert!(acta.contains(part), "{part}\n{acta}");
    }
    assert!(!lives(&run), "no server goes on");

    // Whole servers, from their files: each replays its log and has its databases.
    let ask = "psql --no-psqlrc -h $LUMBUNG_PLACE/server-pg/server -U postgres -d simpeg -Atc 'SELECT count(*) FROM pegawai'";
    let text = fs::read_to_string(bed.path("runner.toml")).unwrap();
    bed.kill();
    fs::write(bed.path("runner.toml"), text + &check("pegawai", ask)).unwrap();
    bed.start();
    let both = [("server-pg", "server-pg"), ("server-maria", "server-maria")];
    let run = bed.begin(&restores("Uji server", &both, &["pegawai"]));
    let found = bed.over(&run);
    assert_eq!(found["run"]["verdict"], "succeeded", "{found}\n{}", bed.log());
    assert!(bed.acta(&run).contains("basis data"), "{}", bed.acta(&run));
}

#[test]
fn what_cannot_be_done_fails_with_its_own_reason() {
    let file = scratch("memory = \"64 KiB\"");
    let mut bed = Bed::new(&Wanted { databases: &[], file });
    let reason = |bed: &Bed, run: &str| {
        let found = bed.over(run);
        assert_eq!(found["run"]["verdict"], "failed", "{found}");
        let reason = events(&found, "step_failed").next().unwrap()["reason"].as_str().unwrap();
        reason.to_owned()
    };
    bed.start();
    let berkas = [("berkas", "Data Rumah Sakit")];
    let run = bed.begin(&restores("Penuh", &berkas, &[]));
    let full = reason(&bed, &run);
    assert!(full.contains("scratch place uji is full: give it more `memory`"), "{full}");
    let run = bed.begin(
        &restores("Tidak dikenal", &berkas, &[]).replace("place = \"uji\"", "place = \"lain\""),
    );
    assert!(reason(&bed, &run).contains("no [[place]] named lain with scratch: add it there"));
    // Another dataset than those of its file, and one that nobody has granted.
    let of_diskominfo = restores("Bukan haknya", &[("berkas", "Data Diskominfo")], &[]);
    let run =
        bed.begin(&of_diskominfo.replace("RSUD/Data Diskominfo", "DISKOMINFO/Data Diskominfo"));
    assert!(reason(&bed, &run).contains("no [[dataset]]"));
    let key = bed.path("lain.key");
    let mut requester = bed.city.lumbung();
    output(requester.args(["key", "requester", "--name", "Lain", "--machine"]).arg(&key)).unwrap();
    bed.kill();
    fs::copy(&key, bed.path("runner.key")).unwrap();
    bed.start();
    let run = bed.begin(&restores("Tanpa izin", &berkas, &[]));
    let refused = reason(&bed, &run);
    assert!(refused.contains("grant"), "{refused}");
    bed.kill();
    let text = fs::read_to_string(bed.path("runner.toml")).unwrap();
    fs::write(bed.path("runner.toml"), text.replace("[[place]]", "[[plce]]")).unwrap();
    let said = any_output(&mut bed.runner()).unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("line") && said.contains("place"), "{said}");
    assert!(Path::new(&bed.path("runner.toml")).exists());
}

const SWITCHES: &str = r#"
title = "Alih layanan"
kind = "failover"
scenario = "Pusat Data padam."
runner = "DISKOMINFO/srv-diskominfo"
isolates = "Pusat Data"
targets = { rto = "4 h", rpo = "24 h" }

[[datasets]]
key = "berkas"
dataset = "RSUD/Data Rumah Sakit"

[[steps]]
id = "putus"
title = "Putuskan"
limit = "1 min"
action = { kind = "isolate", hook = "putus" }
undo = { hook = "sambung", limit = "1 min" }

[[steps]]
id = "pulih"
title = "Pulihkan"
after = ["putus"]
limit = "2 min"
action = { kind = "restore", dataset = "berkas", to = "scratch", place = "uji" }

[[steps]]
id = "jalankan"
title = "Jalankan"
after = ["pulih"]
limit = "1 min"
action = { kind = "hook", hook = "jalankan" }
undo = { hook = "hentikan", limit = "1 min" }

[[steps]]
id = "alih"
title = "Alihkan"
after = ["jalankan"]
limit = "1 min"
action = { kind = "switch", hook = "alih" }
undo = { hook = "kembali", limit = "1 min" }

[[steps]]
id = "cek"
title = "Cek"
after = ["alih"]
limit = "1 min"
action = { kind = "check", health = { named = "cek" } }

[[steps]]
id = "isi"
title = "Cek isi"
after = ["alih"]
limit = "1 min"
action = { kind = "check", health = { named = "isi" } }
"#;

/// A city with a plan that cuts off, starts and switches, each by a file of the world; a gate holds each of its programs up.
struct Switching {
    bed: Bed,
    world: TempDir,
    scratch: TempDir,
}

impl Switching {
    /// A program that tells that it was begun, waits at its gate, and then does something.
    fn gated(world: &Path, name: &str, does: &str) -> String {
        let world = world.display();
        format!(
            "cd {world}; touch di-{name}; while test -e gerbang-{name}; do sleep 0.05; done; {does}"
        )
    }

    fn new() -> Self {
        let world = TempDir::with_prefix("lumbung-dunia-").unwrap();
        let scratched = TempDir::with_prefix("lumbung-uji-").unwrap();
        let hook = |name: &str, does: &str| {
            let script = Self::gated(world.path(), name, does);
            format!("[[hook]]\nname = \"{name}\"\nrun = [\"/bin/sh\", \"-c\", \"{script}\"]\n")
        };
        let file = scratch(&format!("folder = \"{}\"", scratched.path().display()))
            + &hook("putus", "touch terputus")
            + &hook("sambung", "rm -f terputus")
            + &hook("jalankan", "touch berjalan")
            + &hook("hentikan", "rm -f berjalan")
            + &hook("alih", "touch beralih")
            + &hook("kembali", "rm -f beralih")
            + &check("isi", "test -s $LUMBUNG_PLACE/berkas/*/*/*/pasien.csv")
            + &format!(
                "[[check]]\nname = \"cek\"\nrun = [\"/bin/sh\", \"-c\", \"{}\"]\n",
                Self::gated(world.path(), "cek", "test -e beralih")
            );
        let mut bed = Bed::new(&Wanted { databases: &[], file });
        bed.start();
        Self { bed, world, scratch: scratched }
    }

    fn is_there(&self, name: &str) -> bool {
        self.world.path().join(name).exists()
    }

    fn clear(&self) {
        for entry in fs::read_dir(self.world.path()).unwrap().flatten() {
            fs::remove_file(entry.path()).unwrap();
        }
    }

    /// Nothing is cut off, runs or is switched, no data lies around, nothing of the run goes on.
    fn is_as_it_was(&self, run: &str) {
        for name in ["terputus", "berjalan", "beralih"] {
            assert!(!self.is_there(name), "{name}\n{}", self.bed.log());
        }
        assert_eq!(fs::read_dir(self.scratch.path()).unwrap().count(), 0, "{}", self.bed.log());
        assert!(!lives(run), "{}", self.bed.log());
    }
}

#[test]
fn a_runner_that_is_killed_at_any_step_leaves_nothing_half_switched() {
    let mut all = Switching::new();
    let mut run = String::new();
    for at in ["putus", "jalankan", "alih", "cek", "kembali", "hentikan", "sambung"] {
        all.clear();
        fs::write(all.world.path().join(format!("gerbang-{at}")), "").unwrap();
        run = if run.is_empty() {
            all.bed.begin(SWITCHES)
        } else {
            all.bed.begin_again("Alih layanan")
        };
        eventually(&format!("{at} is under way"), || {
            Ok(if all.is_there(&format!("di-{at}")) { Ok(()) } else { Err(all.bed.log()) })
        })
        .unwrap();
        all.bed.kill();
        fs::remove_file(all.world.path().join(format!("gerbang-{at}"))).unwrap();
        all.bed.start();
        let found = all.bed.over(&run);
        all.is_as_it_was(&run);
        assert_eq!(events(&found, "interrupted").count(), 1, "{at}: {found}");
        // A hook that was cut short has failed; a check is begun again, and what is put back is put back once more.
        if ["putus", "jalankan", "alih"].contains(&at) {
            assert_eq!(found["run"]["verdict"], "failed", "{at}: {found}");
        }
        let acta = all.bed.acta(&run);
        assert!(acta.contains("pelaksana berhenti saat menjalankan"), "{acta}");
    }
}

#[test]
fn a_place_that_dies_under_a_run_fails_its_checks_and_the_run_is_put_back() {
    let all = Switching::new();
    fs::write(all.world.path().join("gerbang-alih"), "").unwrap();
    let run = all.bed.begin(SWITCHES);
    eventually("the switch is under way", || {
        Ok(if all.is_there("di-alih") { Ok(()) } else { Err(all.bed.log()) })
    })
    .unwrap();
    // Somebody kills the first process of the namespaces: with it the place is gone.
    let holders = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&*all.scratch.path().to_string_lossy()) && !line.contains("unshare")
    });
    for holder in holders {
        output(Command::new("kill").arg("-9").arg(holder.file_name())).unwrap();
    }
    fs::remove_file(all.world.path().join("gerbang-alih")).unwrap();
    let found = all.bed.over(&run);
    assert!(events(&found, "step_failed").any(|what| what["step"] == "isi"), "{found}");
    assert_eq!(found["run"]["verdict"], "failed");
    all.is_as_it_was(&run);
}

#[test]
fn a_run_goes_on_without_the_controller_and_says_what_else_was_killed() {
    let mut all = Switching::new();
    let gate = |name: &str| all.world.path().join(format!("gerbang-{name}"));
    fs::write(gate("alih"), "").unwrap();
    let run = all.bed.begin(SWITCHES);
    eventually("the switch is under way", || {
        Ok(if all.is_there("di-alih") { Ok(()) } else { Err(all.bed.log()) })
    })
    .unwrap();
    all.bed.city.controller.kill().unwrap();
    fs::remove_file(gate("alih")).unwrap();
    eventually("everything is put back while nobody is told", || {
        let over = all.is_there("di-sambung") && !all.is_there("terputus");
        Ok(if over { Ok(()) } else { Err(all.bed.log()) })
    })
    .unwrap();
    all.bed.city.controller.start().unwrap();
    let found = all.bed.over(&run);
    assert_eq!(found["run"]["verdict"], "succeeded", "{found}");
    assert_eq!(events(&found, "interrupted").count(), 0, "{found}");
    all.is_as_it_was(&run);

    // A hook that somebody kills has failed, and with it the run.
    all.clear();
    fs::write(gate("jalankan"), "").unwrap();
    let run = all.bed.begin_again("Alih layanan");
    eventually("the start is under way", || {
        Ok(if all.is_there("di-jalankan") { Ok(()) } else { Err(all.bed.log()) })
    })
    .unwrap();
    let mark = format!("LUMBUNG_DRILL_STEP={run}/jalankan");
    for process in marked(&mark) {
        output(Command::new("kill").arg("-9").arg(process)).unwrap();
    }
    fs::remove_file(gate("jalankan")).unwrap();
    let found = all.bed.over(&run);
    let failed = events(&found, "step_failed").find(|what| what["step"] == "jalankan").unwrap();
    assert!(failed["reason"].as_str().unwrap().contains("signal: 9"), "{failed}");
    assert_eq!(found["run"]["verdict"], "failed", "{found}");
    all.is_as_it_was(&run);
}

/// The processes that have this in their environment.
fn marked(mark: &str) -> Vec<std::ffi::OsString> {
    let has = |entry: &fs::DirEntry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
    };
    fs::read_dir("/proc").unwrap().flatten().filter(has).map(|entry| entry.file_name()).collect()
}
