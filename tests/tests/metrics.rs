//! Metrics of the real programs, against all that names them: alert rules, dashboards, the operations guide.
//!
//! A metric that a rule, a dashboard or the guide names is exposed, and each that is exposed stands in the guide, in both
//! languages, with its type and its labels. promtool (`cargo xtask test` installs it) checks pages, rules and queries.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::process::{eventually, free_port, output};
use serde_json::Value;
use tempfile::TempDir;

const GUIDES: [&str; 2] = ["docs/operations/en.md", "docs/operations/id.md"];
const RULES: &str = "config/prometheus/lumbung.rules.yml";
const RULES_TESTS: &str = "config/prometheus/lumbung.rules.test.yml";
const DASHBOARDS: [&str; 3] = [
    "config/grafana/lumbung-kota.json",
    "config/grafana/lumbung-vault.json",
    "config/grafana/lumbung-agen.json",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn promtool(arguments: &[&str]) -> Command {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).current_dir(root().join("config/prometheus"));
    promtool
}

/// A page of `/metrics`.
struct Page(String);

impl Page {
    fn of(port: u16) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, page) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(Self(page.to_owned()))
    }

    /// The page on which the series has a value that is wished for.
    fn once(port: u16, series: &str, wished: impl Fn(f64) -> bool) -> Self {
        let page = eventually(series, || {
            let page = Self::of(port)?;
            Ok(if page.value(series).is_some_and(&wished) { Ok(page) } else { Err(page.0) })
        });
        page.unwrap()
    }

    fn value(&self, series: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// The metrics, with their types.
    fn types(&self) -> BTreeMap<String, String> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    }

    /// The names of labels, of the metrics that have values.
    fn labels(&self) -> BTreeMap<String, BTreeSet<String>> {
        let samples = self.0.lines().filter(|line| !line.starts_with('#'));
        let named = samples.map(|line| {
            let (name, labels) =
                line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
            // The name of each stands before `="`, and after a comma but for the first.
            let parts = labels.split("=\"").map(|part| part.rsplit([',', '"']).next().unwrap());
            let mut labels: Vec<String> = parts.map(str::to_owned).collect();
            labels.pop();
            (name.to_owned(), labels.into_iter().collect())
        });
        named.collect()
    }

    fn check(&self) {
        let mut promtool = promtool(&["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is there: `cargo xtask test` installs it");
        promtool.stdin.take().unwrap().write_all(self.0.as_bytes()).unwrap();
        let checked = promtool.wait_with_output().unwrap();
        let said = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}

/// Every name of a metric in a text.
fn named(text: &str) -> BTreeSet<String> {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !part_of_name(c))
        .filter(|word| word.starts_with("lumbung_"))
        .map(str::to_owned)
        .collect()
}

/// The rows of the guide's tables about metrics: name, type, labels.
fn documented(guide: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = read(guide);
    let rows = text.lines().filter(|line| line.starts_with("| `lumbung_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels = cells[4].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    };
    rows.map(row).collect()
}

/// Controller, Pusat Data and the agent of a city in which one PD is backed up, each on a port of its own.
fn pages() -> [Page; 3] {
    let directory = TempDir::with_prefix("lumbung-metrics-").unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("pasien.csv"), "1;Siti\n".repeat(1000)).unwrap();
    let plan = |code, name, paths| PdPlan { code, name, paths };
    let plans = vec![
        plan("DINKES", "Dinas Kesehatan", vec![data]),
        plan("DISHUB", "Dinas Perhubungan", Vec::new()),
    ];
    let mut city = City::found(directory.path(), plans, |_| ()).unwrap();
    let [controller, vault, agent] = [(); 3].map(|()| free_port().unwrap());
    let show = |file: PathBuf, port: u16| {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    };
    show(city.controller.dir().join("controller.toml"), controller);
    show(city.pusat.dir.join("vault.toml"), vault);
    show(city.pds[0].server.join("agent.toml"), agent);
    city.controller.kill().unwrap();
    city.pusat.kill().unwrap();
    city.restart_the_dead().unwrap();
    output(city.pds[0].agent().args(["backup", "data"])).unwrap();
    city.pds[0].start().unwrap();
    let up = "lumbung_pd_agents{pd=\"DINKES\",state=\"up\"}";
    let met = "lumbung_pd_step_datasets{pd=\"DINKES\",step=\"at_drc\",state=\"met\"}";
    let scrubbed = format!(
        "lumbung_vault_repository_scrub_timestamp_seconds{{repository=\"{}\"}}",
        city.pds[0].repository
    );
    let pulled = format!("lumbung_vault_pulled_bytes_total{{site=\"{}\"}}", city.drc.public.site);
    Page::once(controller, up, |agents| agents == 1.0);
    let pages = [
        Page::once(controller, met, |datasets| datasets == 1.0),
        Page::once(vault, &scrubbed, |at| at > 0.0),
        Page::once(agent, "lumbung_agent_controller_contact_timestamp_seconds", |at| at > 0.0),
    ];
    assert!(pages[1].value(&pulled).is_some());
    pages
}

fn check_values([controller, vault, agent]: &[Page; 3]) {
    let version = env!("CARGO_PKG_VERSION");
    for (page, program) in [(controller, "controller"), (vault, "vault"), (agent, "agent")] {
        let info =
            format!("lumbung_build_info{{program=\"lumbung-{program}\",version=\"{version}\"}}");
        assert_eq!(page.value(&info), Some(1.0), "{}", page.0);
        assert!(
            page.value("lumbung_certificate_expiry_timestamp_seconds{certificate=\"own\"}")
                .is_some()
        );
        assert!(!page.0.contains("pasien") && !page.0.contains("/data"), "no path is in it");
    }
    assert_eq!(controller.value("lumbung_pd_datasets{pd=\"DINKES\"}"), Some(1.0));
    assert_eq!(controller.value("lumbung_pd_datasets{pd=\"DISHUB\"}"), Some(0.0));
    assert_eq!(controller.value("lumbung_pd_without_backup{pd=\"DINKES\"}"), Some(0.0));
    assert_eq!(controller.value("lumbung_pd_without_backup{pd=\"DISHUB\"}"), Some(1.0));
    assert!(controller.value("lumbung_controller_heartbeats_total") >= Some(1.0));
    assert!(controller.value("lumbung_controller_reports_total") >= Some(1.0));
    assert!(controller.value("lumbung_pd_stored_bytes{pd=\"DINKES\"}") > Some(0.0));
    assert_eq!(vault.value("lumbung_vault_repositories"), Some(1.0));
    assert!(vault.value("lumbung_vault_requests_total{code=\"200\"}").is_some());
    let last = "lumbung_agent_job_last_success_timestamp_seconds{job_name=\"data\"}";
    assert!(agent.value(last) > Some(0.0));
    let outcome = "lumbung_agent_job_last_outcome{job_name=\"data\",outcome=\"failed\"}";
    assert_eq!(agent.value(outcome), Some(0.0));
}

#[test]
fn what_the_programs_show_is_what_rules_dashboards_and_guides_name() {
    let pages = pages();
    check_values(&pages);
    let (mut types, mut labels) = (BTreeMap::new(), BTreeMap::new());
    for page in &pages {
        page.check();
        types.extend(page.types());
        labels.extend(page.labels());
    }
    for file in GUIDES.into_iter().chain(DASHBOARDS).chain([RULES, RULES_TESTS]) {
        for name in named(&read(file)) {
            assert!(types.contains_key(&name), "{file} names {name}, which no program shows");
        }
    }
    for guide in GUIDES {
        let rows = documented(guide);
        for (name, kind) in &types {
            let Some((documented, of)) = rows.get(name) else {
                panic!("{guide} has no row for {name}")
            };
            assert_eq!(documented, kind, "type of {name} in {guide}");
            if let Some(labels) = labels.get(name) {
                assert_eq!(of, labels, "labels of {name} in {guide}");
            }
        }
    }
}

/// The queries of a dashboard, those of its variables left out.
fn queries(dashboard: &Value) -> Vec<&str> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

#[test]
fn promtool_takes_configuration_rules_and_queries() {
    for arguments in [
        ["check", "rules", "lumbung.rules.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "lumbung.rules.test.yml"],
    ] {
        output(&mut promtool(&arguments)).expect("`cargo xtask test` installs promtool");
    }
    // A query is a rule that records.
    let directory = TempDir::with_prefix("lumbung-queries-").unwrap();
    for file in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(&read(file)).unwrap();
        let mut rules = String::from("groups:\n  - name: queries\n    rules:\n");
        let queries = queries(&dashboard);
        assert!(queries.len() > 10, "{file}");
        for (number, query) in queries.into_iter().enumerate() {
            let query = serde_json::to_string(query).unwrap();
            rules.push_str(&format!("      - record: query{number}\n        expr: {query}\n"));
        }
        let path = directory.path().join("queries.yml");
        fs::write(&path, rules).unwrap();
        output(&mut promtool(&["check", "rules", path.to_str().unwrap()])).unwrap();
    }
}

#[test]
fn every_alert_says_what_to_do_in_two_languages_and_was_tried() {
    let (rules, tests) = (read(RULES), read(RULES_TESTS));
    let alerts: Vec<&str> = rules.split("      - alert: ").skip(1).collect();
    assert!(alerts.len() >= 11, "backup late to replication lag");
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for part in ["severity: ", "ringkasan: ", "tindakan: ", "summary: ", "action: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        let tried =
            |then: &str| tests.contains(&format!("alertname: {name}\n        exp_alerts:{then}"));
        assert!(tried(" []\n"), "{name} has no test in which it is quiet");
        assert!(tried("\n          - exp_labels:\n"), "{name} has no test in which it fires");
    }
}
