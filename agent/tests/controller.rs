//! The real program against a controller that plays its part: enrolment, heartbeats, reports,
//! renewal, a wrong clock, a controller that was restored from an older copy, signals.

#![allow(clippy::unwrap_used, reason = "what cannot be set up has failed the test")]

mod fake;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use fake::{Event, Fake, FakeOptions};
use lumbung_model::{Timestamp, TlsPin};
use lumbung_pack::SigningKey;
use lumbung_wire::messages::succession::{Officer, Seat, Statement, Succession};
use lumbung_wire::succession::{Chain, draft, sign};
use serde_json::Value;

const DATASET: &str = "00112233445566778899aabbccddeeff";

struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    /// A host whose only site does not answer.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Self { dir };
        let nobody =
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "[agent]\nstate = {:?}\nheartbeat_interval = \"5 s\"\nhostname = \"pd-dinkes\"\n\
             [[site]]\nname = \"gone\"\nurl = \"https://127.0.0.1:{nobody}\"\npin = \"{}\"\n\
             [[job]]\nname = \"files\"\ndataset = \"{DATASET}\"\npaths = [{:?}]\n",
            host.path("state"),
            "ab".repeat(32),
            host.path("data"),
        );
        std::fs::create_dir(host.path("data")).unwrap();
        std::fs::write(host.path("agent.toml"), text).unwrap();
        host
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumbung-agent"));
        command.args(args).arg("--config").arg(self.path("agent.toml")).env_remove("RUST_LOG");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn enroll(&self, fake: &Fake, token: &str, fingerprint: &str) -> Output {
        let url = fake.url();
        let repository = "3".repeat(64);
        self.run(&[
            "enroll",
            "--controller",
            &url,
            "--ca-fingerprint",
            fingerprint,
            "--token",
            token,
            "--repository",
            &repository,
            "--json",
        ])
    }

    fn daemon(&self) -> Daemon {
        Daemon(Some(self.command(&["run"]).stderr(Stdio::null()).spawn().unwrap()))
    }

    fn status(&self) -> Value {
        let out = self.run(&["status", "--json"]);
        assert!(out.status.success(), "{}", stderr(&out));
        serde_json::from_slice(&out.stdout).unwrap()
    }
}

/// The daemon, killed if the test fails before it was stopped.
struct Daemon(Option<Child>);

impl Daemon {
    fn reload(&self) {
        let pid = rustix::process::Pid::from_child(self.0.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// SIGTERM; the exit code.
    fn stop(mut self) -> Option<i32> {
        let mut child = self.0.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn enrolled(options: FakeOptions) -> (Fake, Host) {
    let fake = Fake::start(options);
    let host = Host::new();
    let out = host.enroll(&fake, "right", &fake.fingerprint);
    assert!(out.status.success(), "{}", stderr(&out));
    (fake, host)
}

fn report_ids(event: &Event) -> Option<Vec<String>> {
    match event {
        Event::Reports(ids) => Some(ids.clone()),
        _ => None,
    }
}

#[test]
fn enrolment_prints_the_code_and_keeps_the_identity() {
    let (fake, host) = enrolled(FakeOptions::default());
    let first: Value =
        serde_json::from_slice(&host.enroll(&fake, "right", &fake.fingerprint).stdout).unwrap();
    let again: Value =
        serde_json::from_slice(&host.enroll(&fake, "right", &fake.fingerprint).stdout).unwrap();
    assert_eq!(first["agent"], again["agent"], "the identity that is there is kept");
    let code = first["code"].as_str().unwrap();
    assert!(
        code.starts_with(&format!("lumbung-agent:{}:", first["agent"].as_str().unwrap())),
        "{code}"
    );
    let status = host.status();
    assert_eq!((&status["code"], &status["daemon"]), (&first["code"], &Value::Bool(false)));
    assert_eq!(status["jobs"][0]["last_ok"], Value::Null);
    let other = host.run(&[
        "enroll",
        "--controller",
        &fake.url(),
        "--ca-fingerprint",
        &fake.fingerprint,
        "--token",
        "right",
        "--repository",
        &"4".repeat(64),
    ]);
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("already belongs to agent"), "{}", stderr(&other));
}

#[test]
fn a_wrong_fingerprint_or_token_enrols_nobody() {
    let fake = Fake::start(FakeOptions::default());
    let host = Host::new();
    let out = host.enroll(&fake, "right", &format!("sha256:{}", "00".repeat(32)));
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("fingerprint"), "{}", stderr(&out));
    let out = host.enroll(&fake, "old", &fake.fingerprint);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("the token has expired"), "{}", stderr(&out));
    let out = host.run(&["status"]);
    assert!(stderr(&out).contains("lumbung-agent enroll"), "{}", stderr(&out));
}

#[test]
fn a_run_that_fails_is_told_at_once_and_ends_with_1() {
    let (fake, host) = enrolled(FakeOptions::default());
    let out = host.run(&["backup", "files", "--json", "--quiet"]);
    assert_eq!(out.status.code(), Some(1), "{}", stderr(&out));
    let runs: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(runs[0]["outcome"], "failed");
    assert!(runs[0]["error"].as_str().unwrap().contains("127.0.0.1"), "{runs}");
    let ids = fake.wait(report_ids);
    assert_eq!(ids.len(), 1);
    let status = host.status();
    assert_eq!(
        (&status["spool"]["waiting"], &status["spool"]["kept"]),
        (&Value::from(0), &Value::from(1))
    );
    assert_eq!(status["jobs"][0]["outcome"], "failed");
}

#[test]
fn a_run_beside_another_one_says_so_and_leaves_no_trace() {
    let (_fake, host) = enrolled(FakeOptions::default());
    // The engine's lock, as a run of the daemon holds it.
    let lock = std::fs::File::create(host.path("state/engine/lock")).unwrap();
    lock.lock().unwrap();
    let out = host.run(&["backup", "--quiet"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        stderr(&out).contains("files: busy: another backup of this agent is running"),
        "{}",
        stderr(&out)
    );
    let status = host.status();
    assert_eq!(
        (&status["spool"]["waiting"], &status["jobs"][0]["outcome"]),
        (&Value::from(0), &Value::Null)
    );
}

#[test]
fn reports_wait_while_there_is_no_controller() {
    let (fake, host) = enrolled(FakeOptions::default());
    drop(fake);
    let out = host.run(&["backup", "--quiet"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(host.status()["spool"]["waiting"], 1);
}

#[test]
fn a_controller_restored_from_an_older_copy_is_told_again() {
    let (fake, host) = enrolled(FakeOptions::default());
    host.run(&["backup", "--quiet"]);
    let first = fake.wait(report_ids);
    // All of it is acknowledged; a daemon that starts tells it once more.
    let daemon = host.daemon();
    let again = fake.wait(report_ids);
    assert_eq!(first, again);
    assert_eq!(daemon.stop(), Some(0));
}

/// How often a daemon that has one report tells it between its first and its third heartbeat.
fn told_in_two_intervals(options: FakeOptions) -> usize {
    let (fake, host) = enrolled(options);
    host.run(&["backup", "--quiet"]);
    fake.wait(report_ids);
    let daemon = host.daemon();
    let (mut beats, mut told) = (0, 0);
    while beats < 3 {
        let beat = fake.wait(|event| match event {
            Event::Heartbeat(_) => Some(true),
            _ => report_ids(event).map(|_| false),
        });
        (beats, told) = if beat { (beats + 1, told) } else { (beats, told + 1) };
    }
    assert_eq!(daemon.stop(), Some(0));
    told
}

#[test]
fn a_controller_that_was_started_anew_is_told_again_although_nobody_missed_it() {
    assert_eq!(told_in_two_intervals(FakeOptions::default()), 1);
    let restarts = FakeOptions { restarts: true, ..FakeOptions::default() };
    assert_eq!(told_in_two_intervals(restarts), 2);
}

#[test]
fn one_report_that_is_refused_holds_up_no_other() {
    let (fake, host) = enrolled(FakeOptions { refuse_together: true, ..FakeOptions::default() });
    for _ in 0..3 {
        host.run(&["backup", "--quiet"]);
    }
    let mut by_hand: Vec<String> = (0..3).flat_map(|_| fake.wait(report_ids)).collect();
    // The daemon tells all of them once more: together first, which is refused.
    let daemon = host.daemon();
    let mut again: Vec<String> = (0..3).flat_map(|_| fake.wait(report_ids)).collect();
    by_hand.sort();
    again.sort();
    assert_eq!(by_hand, again);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(host.status()["spool"]["waiting"], 0);
}

#[test]
fn the_daemon_beats_reloads_and_stops() {
    let (fake, host) = enrolled(FakeOptions::default());
    let daemon = host.daemon();
    let beat = |event: &Event| match event {
        Event::Heartbeat(beat) => Some(beat.clone()),
        _ => None,
    };
    let first = fake.wait(beat);
    assert_eq!(
        (first["health"]["hostname"].as_str(), first["jobs"][0]["name"].as_str()),
        (Some("pd-dinkes"), Some("files"))
    );
    assert!(first["health"]["memory_total_bytes"].as_u64().unwrap() > 0);
    assert_eq!(host.status()["daemon"], true);
    let second = host.run(&["run"]);
    assert!(stderr(&second).contains("another lumbung-agent runs"), "{}", stderr(&second));
    // A configuration that is wrong leaves the old one in force, a right one is taken over.
    let text = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    let hup = || {
        let pid = rustix::process::Pid::from_child(daemon.0.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    std::fs::write(host.path("agent.toml"), text.replace("[[job]]", "[[jub]]")).unwrap();
    hup();
    assert_eq!(fake.wait(beat)["jobs"][0]["name"], "files");
    std::fs::write(host.path("agent.toml"), text.replace("\"files\"", "\"renamed\"")).unwrap();
    hup();
    fake.wait(|event| beat(event).filter(|beat| beat["jobs"][0]["name"] == "renamed"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn an_old_certificate_is_renewed() {
    let (fake, host) = enrolled(FakeOptions { issued_days_ago: 95, ..FakeOptions::default() });
    let before = host.status()["certificate_until"].as_i64().unwrap();
    let tls = |host: &Host| std::fs::read_to_string(host.path("state/tls.pem")).unwrap();
    let old = tls(&host);
    let daemon = host.daemon();
    fake.wait(|event| matches!(event, Event::Renewed).then_some(()));
    // The next sign of life comes over the new certificate.
    fake.wait(|event| matches!(event, Event::Heartbeat(_)).then_some(()));
    assert_eq!(daemon.stop(), Some(0));
    assert_ne!(old, tls(&host));
    assert!(host.status()["certificate_until"].as_i64().unwrap() > before + 80 * 86_400);
}

#[test]
fn a_clock_that_is_hours_off_is_a_warning_and_no_more() {
    let (fake, host) = enrolled(FakeOptions { clock_ahead_s: 3 * 3600, ..FakeOptions::default() });
    let daemon = host.daemon();
    fake.wait(|event| matches!(event, Event::Heartbeat(_)).then_some(()));
    fake.wait(|event| matches!(event, Event::Heartbeat(_)).then_some(()));
    assert_eq!(daemon.stop(), Some(0));
    let out = host.run(&["status"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        text.contains("warning: this host's clock is") && text.contains("min behind"),
        "{text}"
    );
}

#[test]
fn usage_and_configuration_errors_have_their_own_codes() {
    let host = Host::new();
    assert_eq!(host.run(&["frobnicate"]).status.code(), Some(2));
    let out = host.run(&["backup"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("lumbung-agent enroll"), "{}", stderr(&out));
    let bad = host.path("bad.toml");
    std::fs::write(&bad, "[agent]\n\nzone = \"WIB\"\n").unwrap();
    let out = host.run(&["config", "check", bad.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("bad.toml, line 3, zone: unknown key"), "{}", stderr(&out));
    let good = host.path("agent.toml");
    let out = host.run(&["config", "check", good.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&out.stdout).contains("files: by hand only"));
    assert!(Path::new(&good).exists());
    let man = host.run(&["man"]);
    assert!(String::from_utf8_lossy(&man.stdout).contains(".TH lumbung-agent"));
}

fn inventory(event: &Event) -> Option<Value> {
    match event {
        Event::Inventory(seen) => Some(seen.clone()),
        _ => None,
    }
}

fn heartbeat(event: &Event) -> Option<()> {
    matches!(event, Event::Heartbeat(_)).then_some(())
}

#[test]
fn the_host_is_told_after_the_start_and_when_a_disk_gets_worse() {
    let (fake, host) = enrolled(FakeOptions::default());
    let smartctl = host.path("smartctl");
    std::fs::write(&smartctl, "#!/bin/sh\nexec /bin/cat \"$0.json\"\n").unwrap();
    std::fs::set_permissions(&smartctl, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let says = |fixture: &str| {
        let fixture = format!("tests/fixtures/smart/{fixture}.json");
        std::fs::copy(fixture, host.path("smartctl.json")).unwrap();
    };
    says("ata-hdd");
    let mut text = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    text.push_str(&format!("[inventory]\nsmartctl = {smartctl:?}\n"));
    std::fs::write(host.path("agent.toml"), text).unwrap();
    assert_eq!(host.status()["inventory"]["told"], Value::Null);
    let daemon = host.daemon();
    let first = fake.wait(inventory);
    assert!(first["memory_bytes"].as_u64().unwrap() > 0, "{first}");
    let disks = first["disks"].as_array().unwrap().clone();
    for disk in &disks {
        assert_eq!(disk["smart_state"], "read", "{disk}");
        assert_eq!(disk["smart"]["reallocated_sectors"], 304, "{disk}");
    }
    // Nothing new is no news: what comes next is the worse disk.
    fake.wait(heartbeat);
    let status = host.status();
    assert!(status["inventory"]["told"].is_i64(), "{status}");
    assert_eq!(status["inventory"]["smartctl"], smartctl.to_str().unwrap());
    if !disks.is_empty() {
        says("ata-failing");
        daemon.reload();
        let second = fake.wait(inventory);
        assert_eq!(second["disks"][0]["smart"]["pending_sectors"], 8, "{second}");
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_controller_that_knows_nothing_of_hosts_is_told_once_and_heard_all_the_same() {
    let (fake, host) = enrolled(FakeOptions { is_old: true, ..FakeOptions::default() });
    let daemon = host.daemon();
    fake.wait(inventory);
    let next = fake.wait(|event| match event {
        Event::Inventory(_) => Some(false),
        Event::Heartbeat(_) => Some(true),
        _ => None,
    });
    assert!(next, "told again");
    assert_eq!(host.status()["inventory"]["told"], Value::Null);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn who_does_not_want_to_tells_nothing_of_the_host() {
    let (fake, host) = enrolled(FakeOptions::default());
    let mut text = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    text.push_str("[inventory]\nsend = false\n");
    std::fs::write(host.path("agent.toml"), text).unwrap();
    let daemon = host.daemon();
    for _ in 0..3 {
        let told = fake.wait(|event| match event {
            Event::Inventory(_) => Some(true),
            Event::Heartbeat(_) => Some(false),
            _ => None,
        });
        assert!(!told);
    }
    let out = host.run(&["status"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("is not told of this host's hardware"), "{text}");
    assert_eq!(daemon.stop(), Some(0));
}

/// The statement after these, by which whoever holds that key acts; signed by two.
fn stated(before: &Succession, keys: &[SigningKey; 2], fake: &Fake, pin: TlsPin) -> Succession {
    let chain = Chain::open(before).ok();
    let officer =
        |(name, key): (&str, &SigningKey)| Officer { name: name.into(), key: key.public() };
    let statement = Statement {
        epoch: chain.as_ref().map_or(0, Chain::epoch) + 1,
        previous: chain.as_ref().map(Chain::newest_hash),
        ca: fake.fingerprint.clone(),
        controller: Seat { url: fake.url(), pin },
        standbys: Vec::new(),
        officers: ["Sekdis", "Kabid"].into_iter().zip(keys).map(officer).collect(),
        made: Timestamp(1),
        reason: "SK 1".into(),
    };
    let mut all = before.clone();
    all.statements.push(draft(&statement).unwrap());
    keys.iter().for_each(|key| drop(sign(&mut all, key).unwrap()));
    all
}

/// The host's agent knows these statements; in which file.
fn knows(host: &Host, known: &Succession) -> std::path::PathBuf {
    let file = host.path("state").join("succession.json");
    std::fs::write(&file, serde_json::to_vec(known).unwrap()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    file
}

#[test]
fn an_enrolment_under_a_new_ca_ends_what_was_known_also_while_the_daemon_runs() {
    let (lost, host) = enrolled(FakeOptions::default());
    let officers = [SigningKey::generate(), SigningKey::generate()];
    let gone = TlsPin::from_bytes([7; 32]);
    let file = knows(&host, &stated(&Succession::default(), &officers, &lost, gone));
    let daemon = host.daemon();
    lost.wait(|event| matches!(event, Event::AskedWhoActs(_)).then_some(()));
    // Under the same CA nothing is forgotten.
    let out = host.enroll(&lost, "right", &lost.fingerprint);
    assert!(out.status.success() && file.exists(), "{}", stderr(&out));
    let anew = Fake::start(FakeOptions::default());
    let out = host.enroll(&anew, "old", &anew.fingerprint);
    assert!(!out.status.success() && file.exists(), "{}", stderr(&out));
    let out = host.enroll(&anew, "right", &anew.fingerprint);
    assert!(out.status.success() && !file.exists(), "{}", stderr(&out));
    assert!(host.path("state").join("succession.json.old").exists());
    anew.wait(|event| matches!(event, Event::Heartbeat(_)).then_some(()));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn whoever_has_the_ca_and_the_controllers_address_is_told_nothing_without_two_officers() {
    let (fake, host) = enrolled(FakeOptions::default());
    let officers = [SigningKey::generate(), SigningKey::generate()];
    let theirs = [SigningKey::generate(), SigningKey::generate()];
    let genuine = TlsPin::from_bytes([7; 32]);
    let known = stated(&Succession::default(), &officers, &fake, genuine);
    let file = knows(&host, &known);
    let mut forged = known.clone();
    forged
        .statements
        .push(stated(&Succession::default(), &theirs, &fake, fake.pin).statements[0].clone());
    let daemon = host.daemon();
    let refused = |what: &str, said: &Succession| {
        fake.says(said);
        fake.wait(|event| match event {
            Event::AskedWhoActs(answered) => (answered == said).then_some(()),
            Event::ToldWhoActs(_) => None,
            other => panic!("{what}: the agent said {other:?}"),
        });
    };
    refused("no statement", &Succession::default());
    refused("the agent's own", &known);
    refused("officers of its own", &stated(&Succession::default(), &theirs, &fake, fake.pin));
    refused("its own officers' word behind the true ones'", &forged);
    refused("and no statement again", &Succession::default());
    let promoted = stated(&known, &officers, &fake, fake.pin);
    fake.says(&promoted);
    fake.wait(|event| matches!(event, Event::Heartbeat(_)).then_some(()));
    assert_eq!(daemon.stop(), Some(0));

    // Started anew, it tells one that knows less, and nothing else.
    let higher = stated(&promoted, &officers, &fake, genuine);
    std::fs::write(&file, serde_json::to_vec(&higher).unwrap()).unwrap();
    let daemon = host.daemon();
    let told = fake.wait(|event| match event {
        Event::AskedWhoActs(_) => None,
        Event::ToldWhoActs(told) => Some(told.clone()),
        // The last words of the one before.
        Event::Heartbeat(_) | Event::Reports(_) | Event::Inventory(_) | Event::Renewed => None,
    });
    assert_eq!(told, higher);
    drop(daemon);
}
