//! A drill of a failover between hosts that are really cut off from each other: the Pusat Data with the controller, the DRC with the
//! runner, and three PDs, each a network namespace with an address of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use lumbung_model::{ManifestId, RepositoryId};
use lumbung_pack::Manifest;
use lumbung_tests::city::{City, PdPlan, Site};
use lumbung_tests::evidence;
use lumbung_tests::hosts::{Host, Network};
use lumbung_tests::process::{eventually, output};
use tempfile::TempDir;

use crate::runner::{Bed, Wanted, events, is_done};

const PUSAT: usize = 0;
const DRC: usize = 1;
const PDS: [(usize, &str, &str); 3] =
    [(2, "RSUD", "Rumah Sakit"), (3, "BAPENDA", "Pendapatan"), (4, "DISHUB", "Perhubungan")];
/// Where people reach the service, wherever it runs.
const SERVICE: &str = "10.78.9.9";

const PLAN: &str = r#"
title = "Failover SIMRS"
kind = "failover"
scenario = "Pusat Data padam."
runner = "DISKOMINFO/srv-diskominfo"
isolates = "Pusat Data"
targets = { rto = "15 min", rpo = "6 h" }

[[datasets]]
key = "berkas"
dataset = "RSUD/Data Rumah Sakit"

[[services]]
key = "simrs"
service = "RSUD/SIMRS"

[[steps]]
id = "putus"
title = "Putuskan Pusat Data"
limit = "1 min"
action = { kind = "isolate", hook = "putus" }
undo = { hook = "sambung", limit = "1 min" }

[[steps]]
id = "pulihkan"
title = "Pulihkan berkas di server siaga"
after = ["putus"]
limit = "5 min"
action = { kind = "restore", dataset = "berkas", to = "standby", place = "siaga" }
undo = { hook = "kosongkan", limit = "1 min" }

[[steps]]
id = "jalankan"
title = "Jalankan layanan di DRC"
after = ["pulihkan"]
limit = "1 min"
action = { kind = "hook", hook = "jalankan" }
undo = { hook = "hentikan", limit = "1 min" }

[[steps]]
id = "alih"
title = "Alihkan alamat layanan ke DRC"
after = ["jalankan"]
limit = "1 min"
action = { kind = "switch", hook = "alih" }
undo = { hook = "kembali", limit = "1 min" }

[[steps]]
id = "cek"
title = "Layanan menjawab dari DRC"
after = ["alih"]
limit = "1 min"
action = { kind = "wait", until = { good = { probe = { target = "http://10.78.9.9:8080/pasien.csv", contains = "hasil lab" } } } }

[[steps]]
id = "layanan"
title = "Layanan sehat"
after = ["cek"]
limit = "1 min"
action = { kind = "check", service = "simrs", health = { probe = { target = "http://10.78.9.9:8080/pasien.csv", contains = "hasil lab" } } }

[[steps]]
id = "pakai"
title = "PD bekerja dan mencadangkan selama gangguan"
after = ["layanan"]
limit = "10 min"
action = { kind = "wait", until = { good = { named = "selesai" } } }
"#;

fn sh(name: &str, script: &str) -> String {
    format!("[[hook]]\nname = \"{name}\"\nrun = [\"/bin/sh\", \"-c\", '''{script}''']\n")
}

/// What the runner's file says: how this city cuts off, starts and switches.
fn file(dir: &Path, network: &Network) -> String {
    let space = |host: usize| network.host(host).namespace().unwrap().to_owned();
    let (pusat, drc) = (space(PUSAT), space(DRC));
    let links: Vec<usize> =
        std::iter::once(DRC).chain(PDS.iter().map(|(host, ..)| *host)).collect();
    let cut: String =
        links.iter().map(|to| format!("ip -n {pusat} link set lb0to{to} down\n")).collect();
    let mend: String = links
        .iter()
        .map(|to| {
            let address = network.host(*to).address();
            format!("ip -n {pusat} link set lb0to{to} up\nip -n {pusat} route replace {address} dev lb0to{to} src 10.78.0.1\n")
        })
        .collect();
    let to = |site: usize| -> String {
        let routes = PDS.iter().map(|(host, ..)| {
            format!("ip -n {} route replace {SERVICE} dev lb{host}to{site}\n", space(*host))
        });
        routes.collect()
    };
    let folder = dir.join("siaga");
    // Where the files lie beneath the standby's folder: their own path.
    let data = folder.join(dir.strip_prefix("/").unwrap()).join("srv-RSUD");
    let pid = dir.join("siaga.pid");
    let (folder, data, pid) = (folder.display(), data.display(), pid.display());
    let serve = format!(
        "setsid ip netns exec {drc} python3 -m http.server --bind {SERVICE} --directory {data} 8080 >/dev/null 2>&1 </dev/null & echo $! > {pid}"
    );
    format!("[[place]]\nname = \"siaga\"\ndatasets = [\"DATASET\"]\nfolder = \"{folder}\"\n")
        + &sh("putus", &format!("set -e\n{cut}"))
        + &sh("sambung", &format!("set -e\n{mend}"))
        + &sh("kosongkan", &format!("rm -rf {folder}"))
        + &sh(
            "jalankan",
            &format!("set -e\nip -n {drc} address replace {SERVICE}/32 dev lo\n{serve}"),
        )
        + &sh(
            "hentikan",
            &format!(
                "if test -e {pid}; then kill -- -$(cat {pid}); rm {pid}; fi; ip -n {drc} address delete {SERVICE}/32 dev lo || true"
            ),
        )
        + &sh("alih", &format!("set -e\n{}", to(DRC)))
        + &sh("kembali", &format!("set -e\n{}", to(PUSAT)))
        + &format!(
            "[[check]]\nname = \"selesai\"\nrun = [\"/usr/bin/test\", \"-e\", \"{}\"]\n",
            dir.join("selesai").display()
        )
}

/// The snapshots that a site has of a repository.
fn held(site: &Site, repository: &RepositoryId) -> BTreeSet<ManifestId> {
    let manifests = evidence::objects::<Manifest>(&site.repository(repository)).unwrap();
    manifests.into_iter().map(|one| one.id).collect()
}

/// The service, as somebody at this host sees it.
fn seen(host: &Host) -> bool {
    let mut curl: Command = host.command(Path::new("/usr/bin/python3"));
    let script = format!(
        "import urllib.request; print(urllib.request.urlopen('http://{SERVICE}:8080/pasien.csv', timeout=5).read(200).decode())"
    );
    output(curl.args(["-c", &script])).is_ok_and(|text| text.contains("hasil lab"))
}

#[test]
fn the_pusat_data_is_cut_off_the_drc_takes_over_and_nothing_is_lost() {
    let dir = TempDir::with_prefix("lumbung-failover-").unwrap();
    let addresses = ["10.78.0.1", "10.78.0.2", "10.78.0.11", "10.78.0.12", "10.78.0.13"];
    let network = Network::new(addresses).unwrap();
    network.link(PUSAT, DRC).unwrap();
    for (host, ..) in PDS {
        network.link(PUSAT, host).unwrap();
        network.link(DRC, host).unwrap();
    }
    let mut plans = Vec::new();
    // One server stands in the Pusat Data and writes there all the time; the last one has the runner.
    let others = [(PUSAT, "BKD", "Badan Kepegawaian"), (DRC, "DISKOMINFO", "Diskominfo")];
    for (host, code, name) in PDS.into_iter().chain(others) {
        let data = dir.path().join(format!("srv-{code}"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("pasien.csv"), format!("{code} hasil lab\n").repeat(5000)).unwrap();
        plans.push((PdPlan { code, name, paths: vec![data] }, network.host(host)));
    }
    let sites = [network.host(PUSAT), network.host(DRC)];
    let city = City::found_at(dir.path(), plans, sites, |_| ()).unwrap();
    let mut service = city.operator();
    output(service.args(["service", "add", "SIMRS", "--pd", "RSUD"])).unwrap();
    let wanted = Wanted { databases: &[], file: file(dir.path(), &network) };
    let mut bed = Bed::of(dir, city, &wanted);
    let mut made = [1_usize; 4];
    for pd in 1..4 {
        output(bed.city.pds[pd].agent().args(["backup", "--quiet"])).unwrap();
    }
    // The runner sees what is made meanwhile: the approval is at the DRC, too, where the agents find it.
    bed.approve_standing(&bed.rsud().dataset.to_string());
    output(bed.rsud().agent().args(["backup", "--quiet"])).unwrap();
    made[0] += 1;
    eventually("the approval and what was sealed by it are at the DRC", || {
        let held = held(&bed.city.drc, &bed.rsud().repository).len();
        Ok(if held == made[0] { Ok(()) } else { Err(held.to_string()) })
    })
    .unwrap();
    bed.start();
    let run = bed.begin(PLAN);
    let begun = Instant::now();
    // The controller is cut off with its site: what happens is seen at the DRC.
    let last = network.host(PDS[2].0);
    eventually("the service answers from the DRC", || {
        Ok(if seen(&last) { Ok(()) } else { Err(bed.log()) })
    })
    .unwrap();
    eprintln!(
        "the service answers from the DRC {:?} after the drill was asked for",
        begun.elapsed()
    );
    for round in 0..2 {
        for (pd, made) in made.iter_mut().enumerate() {
            let agent = &bed.city.pds[pd];
            fs::write(
                agent.paths[0].join("baru.csv"),
                format!("selama gangguan {round}\n").repeat(300 + round),
            )
            .unwrap();
            let begun = Instant::now();
            output(agent.agent().args(["backup", "--quiet"])).unwrap();
            *made += 1;
            eprintln!("{}: its backup took {:?}", agent.code, begun.elapsed());
        }
    }
    for (position, (pd, made)) in bed.city.pds.iter().zip(made).enumerate() {
        let (here, there) = (&bed.city.drc, &bed.city.pusat);
        let (here, there) = if position < PDS.len() { (here, there) } else { (there, here) };
        assert_eq!(held(here, &pd.repository).len(), made, "{}", pd.code);
        assert!(held(there, &pd.repository).len() < made, "{}", pd.code);
    }
    fs::write(bed.path("selesai"), "").unwrap();

    let found = bed.over(&run);
    assert_eq!(found["run"]["verdict"], "succeeded", "{found}\n{}", bed.log());
    for step in ["putus", "pulihkan", "jalankan", "alih", "layanan", "pakai"] {
        assert!(is_done(&found, step), "{step}\n{found}");
    }
    assert_eq!(events(&found, "undo_finished").count(), 4, "{found}");
    let reconciled = events(&found, "reconciled").next().unwrap();
    assert_eq!(
        (&reconciled["both"], &reconciled["missing"], &reconciled["note"]),
        (&made[0].into(), &0.into(), &serde_json::Value::Null),
        "{found}"
    );
    eprintln!("figures: {}", found["run"]["figures"]);
    assert!(!seen(&last), "the service is back where it was");
    assert!(!bed.path("siaga").exists() && !bed.path("siaga.pid").exists());
    for (pd, made) in bed.city.pds.iter().zip(made) {
        let both = [&bed.city.pusat, &bed.city.drc].map(|site| held(site, &pd.repository));
        assert_eq!(both[0], both[1], "{}: both sites hold the same", pd.code);
        assert_eq!(both[0].len(), made, "{}: nothing is lost, and nothing there twice", pd.code);
    }
    let acta = bed.acta(&run);
    for part in ["BERITA ACARA", "BERHASIL", "Putuskan Pusat Data", "RTO", "RPO"] {
        assert!(acta.contains(part), "{part}\n{acta}");
    }
}
