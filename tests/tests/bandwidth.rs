//! The NOC's caps over the real programs: from the register to what vaults keep to.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use lumbung_model::DatasetId;
use lumbung_tests::city::{City, Pd, PdPlan};
use lumbung_tests::process::{eventually, free_port, output, program};
use serde_json::Value;
use tempfile::TempDir;

/// What cannot be packed: 300,000 bytes.
fn data(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut bytes = vec![0; 300_000];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    fs::write(folder.join("data.bin"), bytes).unwrap();
}

/// A value of a vault's page of metrics.
fn value(port: u16, series: &str) -> anyhow::Result<Option<f64>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(line.map(str::parse).transpose()?)
}

fn wait_for(port: u16, series: &str, wished: impl Fn(f64) -> bool) -> f64 {
    let found = eventually(series, || {
        let found = value(port, series)?;
        Ok(found.filter(|found| wished(*found)).ok_or(format!("{found:?}")))
    });
    found.unwrap()
}

/// Another server of the PD, whose agent writes to the same repository.
struct Second {
    config: std::path::PathBuf,
}

impl Second {
    fn enrol(city: &City, pd: &Pd, dir: &Path) -> Self {
        let (server, folder) = (dir.join("kedua"), dir.join("kedua-data"));
        fs::create_dir_all(&server).unwrap();
        data(&folder);
        let name = "srv-kedua";
        output(city.operator().args(["server", "add", name, "--pd", pd.code, "--kind", "vps"]))
            .unwrap();
        let second = Self { config: server.join("agent.toml") };
        let first = fs::read_to_string(pd.server.join("agent.toml")).unwrap();
        let text = first
            .replace(&pd.server.display().to_string(), &server.display().to_string())
            .replace(&pd.dataset.to_string(), &DatasetId::random().to_string())
            .replace(&pd.paths[0].display().to_string(), &folder.display().to_string());
        fs::write(&second.config, text).unwrap();
        let token = city.controller.token("agent", name).unwrap();
        let mut enroll = second.agent();
        enroll.args(["--json", "enroll", "--controller", &city.controller.url]);
        enroll.args(["--ca-fingerprint", &city.controller.ca_fingerprint, "--token", &token]);
        enroll.args(["--repository", &pd.repository.to_string()]);
        let enrolled: Value = serde_json::from_str(&output(&mut enroll).unwrap()).unwrap();
        let mut add = city.lumbung();
        add.args(["roster", "add-agent"]).arg(pd.custodian.join("rosters"));
        add.arg(enrolled["code"].as_str().unwrap());
        output(add.arg("--key").arg(pd.key()).args(["--label", name])).unwrap();
        for site in [&city.pusat, &city.drc] {
            city.publish(pd, site).unwrap();
        }
        second
    }

    fn agent(&self) -> Command {
        let mut command = Command::new(program("lumbung-agent").unwrap());
        command.arg("--config").arg(&self.config);
        command
    }
}

#[test]
fn a_pds_cap_holds_for_all_of_its_agents_and_a_sites_for_what_it_pulls() {
    let directory = TempDir::with_prefix("lumbung-bandwidth-").unwrap();
    let plan = |code, name| {
        let folder = directory.path().join(format!("data-{code}"));
        data(&folder);
        PdPlan { code, name, paths: vec![folder] }
    };
    let plans = vec![plan("DINKES", "Dinas Kesehatan"), plan("RSUD", "Rumah Sakit")];
    let mut city = City::found(directory.path(), plans, |_| ()).unwrap();
    let [pusat, drc] = [(); 2].map(|()| free_port().unwrap());
    for (file, port) in [(&city.pusat.dir, pusat), (&city.drc.dir, drc)] {
        let file = file.join("vault.toml");
        let text = fs::read_to_string(&file).unwrap();
        // Tables of the file may stand at its end.
        fs::write(&file, format!("{text}\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    }
    city.pusat.kill().unwrap();
    city.drc.kill().unwrap();
    city.restart_the_dead().unwrap();
    let second = Second::enrol(&city, &city.pds[0], directory.path());

    let set = |table: &str, name: &str, field: &str| {
        output(city.operator().args(["register", "set", table, name, field])).unwrap();
    };
    set("pd", "DINKES", "rate=1 Mbit/s");
    set("sites", "DRC", "rate=4 Mbit/s");
    for port in [pusat, drc] {
        wait_for(port, "lumbung_vault_pd_cap_bytes_per_second{pd=\"DINKES\"}", |cap| {
            cap == 125_000.0
        });
    }
    wait_for(drc, "lumbung_vault_pull_cap_bytes_per_second", |cap| cap == 500_000.0);
    assert_eq!(value(pusat, "lumbung_vault_pull_cap_bytes_per_second").unwrap(), None);

    let backup =
        |mut agent: Command| std::thread::spawn(move || output(agent.args(["backup", "data"])));
    let runs = [backup(city.pds[0].agent()), backup(second.agent()), backup(city.pds[1].agent())];
    for run in runs {
        run.join().unwrap().unwrap();
    }
    let of = |what: &str, pd: &str| {
        value(pusat, &format!("lumbung_vault_pd_{what}_total{{pd=\"{pd}\"}}")).unwrap().unwrap()
    };
    // Both agents of the PD; a page is at most 15 s old.
    let series = "lumbung_vault_pd_sent_bytes_total{pd=\"DINKES\"}";
    let sent = wait_for(pusat, series, |bytes| bytes > 600_000.0);
    assert!((300_000.0..600_000.0).contains(&of("sent_bytes", "RSUD")));
    // What is above the burst waits its time at 125,000 bytes a second, whichever agent sends it.
    assert!(of("throttled_seconds", "DINKES") > (sent - 65_536.0) / 125_000.0 * 0.9);
    assert_eq!(of("throttled_seconds", "RSUD"), 0.0);
    wait_for(
        drc,
        &format!("lumbung_vault_pulled_bytes_total{{site=\"{}\"}}", city.pusat.public.site),
        |bytes| bytes > 900_000.0,
    );

    // What the register has by now goes on through a restart of the vault.
    city.controller.stop().unwrap();
    city.pusat.kill().unwrap();
    city.pusat.start().unwrap();
    wait_for(pusat, "lumbung_vault_pd_cap_bytes_per_second{pd=\"DINKES\"}", |cap| cap == 125_000.0);
}
