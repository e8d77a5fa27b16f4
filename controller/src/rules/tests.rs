//! One city of 30 PD, 120 servers and 400 datasets, judged by the profiles of five: what each says is a golden file, and
//! where two of them ask for the same thing they say the same.

use std::collections::BTreeMap;

use lumbung_model::compliance::{
    CopyFacts, DatasetFacts, InventoryFacts, ProofFacts, SiteFacts, SiteKind as Kind,
    SnapshotFacts, evaluate,
};
use lumbung_model::{ManifestId, SiteId, Timestamp};
use lumbung_wire::messages::register::{Dataset, DatasetKind, Server};

use super::*;
use crate::act::Act;
use crate::db::{Db, places, register as rows, services};
use crate::exchange::{self, Source};
use crate::profile::{BUILT_IN, Rule};
use crate::verdicts::article;

const NOW: Timestamp = Timestamp(1_800_000_000);
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
const PUSAT: SiteId = SiteId::from_bytes([1; 16]);
const DRC: SiteId = SiteId::from_bytes([2; 16]);

/// PD of a city: code, name, kind.
const PDS: [(&str, &str, &str); 30] = [
    ("KOMINFO", "Dinas Komunikasi dan Informatika", "dinas"),
    ("DUKCAPIL", "Dinas Kependudukan dan Pencatatan Sipil", "dinas"),
    ("DINKES", "Dinas Kesehatan", "dinas"),
    ("RSUD", "RSUD", "rsud"),
    ("PKM-KOTA", "Puskesmas Kota", "puskesmas"),
    ("PKM-UTARA", "Puskesmas Utara", "puskesmas"),
    ("BAPENDA", "Badan Pendapatan Daerah", "badan"),
    ("BPKAD", "Badan Pengelola Keuangan dan Aset Daerah", "badan"),
    ("BKPSDM", "Badan Kepegawaian dan Pengembangan SDM", "badan"),
    ("DPMPTSP", "Dinas Penanaman Modal dan PTSP", "dinas"),
    ("DISDIK", "Dinas Pendidikan", "dinas"),
    ("DISHUB", "Dinas Perhubungan", "dinas"),
    ("SATPOLPP", "Satuan Polisi Pamong Praja", "other"),
    ("INSPEKTORAT", "Inspektorat", "inspektorat"),
    ("BAPPEDA", "Bappeda", "badan"),
    ("SETDA", "Sekretariat Daerah", "sekretariat"),
    ("SETWAN", "Sekretariat DPRD", "sekretariat"),
    ("DINSOS", "Dinas Sosial", "dinas"),
    ("PUPR", "Dinas Pekerjaan Umum dan Penataan Ruang", "dinas"),
    ("DLH", "Dinas Lingkungan Hidup", "dinas"),
    ("DISPERINDAG", "Dinas Perindustrian dan Perdagangan", "dinas"),
    ("DISPORA", "Dinas Pemuda dan Olahraga", "dinas"),
    ("DISPUSIP", "Dinas Perpustakaan dan Kearsipan", "dinas"),
    ("BPBD", "Badan Penanggulangan Bencana Daerah", "badan"),
    ("KESBANGPOL", "Badan Kesatuan Bangsa dan Politik", "badan"),
    ("KEC-BARAT", "Kecamatan Barat", "kecamatan"),
    ("KEC-TIMUR", "Kecamatan Timur", "kecamatan"),
    ("KEC-UTARA", "Kecamatan Utara", "kecamatan"),
    ("KEC-SELATAN", "Kecamatan Selatan", "kecamatan"),
    ("KEC-TENGAH", "Kecamatan Tengah", "kecamatan"),
];

/// Systems: name, kind of dataset, urgency.
const SYSTEMS: [(&str, &str, &str); 10] = [
    ("SIMRS", "mysql", "critical"),
    ("SIMPEG", "mysql", "high"),
    ("e-office", "mysql", "high"),
    ("e-absensi", "mysql", "normal"),
    ("PBB-BPHTB", "postgresql", "critical"),
    ("GIS", "postgresql", "normal"),
    ("situs WordPress", "files", "normal"),
    ("berkas bersama", "files", "low"),
    ("kode sumber", "source_code", "normal"),
    ("dokumen SPBE", "spbe_documents", "low"),
];

/// The register of the city, as its operators would write it.
fn register_toml() -> String {
    let mut text = format!(
        "[[site]]\nid = \"{PUSAT}\"\nname = \"Pusat Data\"\nkind = \"pusat_data\"\nlatitude = 2.966\nlongitude = 99.801\n\
         receipt_key = \"{}\"\n\
         [[site.building]]\nname = \"Balai Kota\"\naddress = \"Jl. Sudirman 9\"\njurisdiction = \"Kota Tanjungbalai\"\n\
         [[site]]\nid = \"{DRC}\"\nname = \"DRC\"\nkind = \"drc\"\nlatitude = 2.985\nlongitude = 99.615\nreceipt_key = \"{}\"\n\
         [[site.building]]\nname = \"Gedung DRC\"\naddress = \"Jl. Lintas Sumatera, Kisaran\"\n\
         jurisdiction = \"Kabupaten Asahan\"\nhazard_assessment = \"Kajian BPBD 3/2026\"\n",
        "aa".repeat(32),
        "bb".repeat(32)
    );
    let mut dataset = 0;
    for (p, (code, name, kind)) in PDS.iter().enumerate() {
        text += &format!("[[pd]]\ncode = \"{code}\"\nname = \"{name}\"\nkind = \"{kind}\"\n");
        text += if p == 0 { "runs_pusat_data = true\n" } else { "" };
        text += if p % 10 == 3 { "mandiri_tik = true\n" } else { "" };
        if p % 4 != 2 {
            let phone = if p % 8 == 1 { "" } else { "phone = \"+62 623 92001\"\n" };
            text += &format!("[[pd.contact_person]]\nname = \"Narahubung {code}\"\n{phone}");
        }
        let sla = if p % 3 == 0 { "" } else { "sla_millipercent = 99000\n" };
        let critical = p % 5 == 3;
        let standby = if p % 10 == 3 { "standby = \"srv-1\"\n" } else { "" };
        text += &format!(
            "[[pd.service]]\nname = \"Layanan {code}\"\ncritical = {critical}\n{sla}{standby}"
        );
        text += &format!("[[pd.application]]\nname = \"Aplikasi {code}\"\n");
        for s in 0..4 {
            let place = match (p + s) % 3 {
                0 => "kind = \"physical\"\nsite = \"Pusat Data\"\n",
                1 => "kind = \"vps\"\n",
                _ => "kind = \"physical\"\n",
            };
            text += &format!("[[pd.server]]\nname = \"srv-{}\"\n{place}", s + 1);
            // 400 datasets on 120 servers: three each, and one more on every third.
            for _ in 0..if (p * 4 + s) % 3 == 0 { 4 } else { 3 } {
                let (system, kind, urgency) = SYSTEMS[dataset % SYSTEMS.len()];
                text += &format!(
                    "[[pd.server.dataset]]\nname = \"{system} {dataset}\"\nkind = \"{kind}\"\n\
                     classification = \"non_public\"\nurgency = \"{urgency}\"\n"
                );
                if system == "kode sumber" {
                    text += &format!("application = \"Aplikasi {code}\"\n");
                }
                if dataset % 2 == 0 {
                    text += "owner = \"Kepala Bidang\"\ndistribution = \"internal\"\nretention = \"10 tahun\"\n\
                             location = \"/srv\"\nperiod = \"harian\"\nmedia = \"vault\"\n";
                }
                dataset += 1;
            }
        }
    }
    text
}

/// The evidence for the dataset of that number: thirteen kinds of trouble and health, whatever the system.
fn facts(n: usize, dataset: &Dataset) -> DatasetFacts {
    let ago = |seconds: i64| NOW.plus_seconds(-seconds);
    let rpo_s = i64::try_from(dataset.rpo_s).unwrap();
    let inventory = |made| Some(InventoryFacts { number: 3, made, seen: made, chain_valid: true });
    let copy = |site, received| CopyFacts {
        site,
        received,
        listed: true,
        listed_before: false,
        verified: Some(ago(HOUR)),
        damaged: None,
    };
    let started = ago(rpo_s / 2);
    let manifest = ManifestId::from_bytes([u8::try_from(n % 251).unwrap(); 32]);
    let mut facts = DatasetFacts {
        dataset: dataset.id,
        pd: dataset.pd,
        rpo_s,
        has_agent: true,
        sites: vec![
            SiteFacts { site: PUSAT, kind: Kind::Primary, inventory: inventory(ago(HOUR)) },
            SiteFacts { site: DRC, kind: Kind::Drc, inventory: inventory(ago(HOUR)) },
        ],
        snapshots: vec![SnapshotFacts {
            manifest,
            started,
            partial: false,
            authorized: true,
            bytes: 1 << 30,
            copies: vec![copy(PUSAT, ago(rpo_s / 2)), copy(DRC, ago(rpo_s / 2))],
        }],
        proofs: vec![ProofFacts { manifest, finished: ago(30 * DAY), failed: 0 }],
    };
    let snapshot = &mut facts.snapshots[0];
    match (n * 7 + n / 20) % 20 {
        0 => (facts.has_agent, facts.snapshots, facts.proofs) = (false, vec![], vec![]),
        1 => (facts.snapshots, facts.proofs) = (vec![], vec![]),
        2 => snapshot.copies.truncate(1),
        3 => {
            snapshot.started = ago(3 * rpo_s);
            snapshot.copies.iter_mut().for_each(|copy| copy.received = ago(3 * rpo_s));
        }
        4 => facts.sites[1].inventory = inventory(ago(60 * HOUR)),
        5 => snapshot.copies[0].damaged = Some(ago(60)),
        6 => snapshot.authorized = false,
        7 => facts.proofs[0].finished = ago(400 * DAY),
        8 => facts.proofs[0].failed = 3,
        9 => facts.proofs.clear(),
        10 => snapshot.copies.iter_mut().for_each(|copy| copy.verified = None),
        11 => snapshot.copies[1].listed = false,
        12 => {
            // Fresh at the Pusat Data; what the DRC has is of forty days ago.
            let mut old = snapshot.clone();
            snapshot.copies.truncate(1);
            old.manifest = ManifestId::from_bytes([255; 32]);
            old.started = ago(40 * DAY);
            old.copies = vec![copy(DRC, ago(40 * DAY))];
            facts.snapshots.push(old);
        }
        _ => {}
    }
    facts
}

struct FixtureCity {
    register: Register,
    datasets: Vec<(Dataset, DatasetFacts)>,
}

fn city() -> FixtureCity {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::create(&dir.path().join("c.db")).unwrap();
    let (text, profile) = (register_toml(), crate::testing::profile());
    db.write(|tx| {
        let source = ("city", Source::Toml(&text));
        exchange::import(tx, &Act::console(NOW), source, &profile, false)
    })
    .unwrap();
    db.read::<_, crate::db::DbError>(|tx| {
        let mut datasets = rows::datasets(tx, None)?;
        let number = |one: &Dataset| one.name.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        datasets.sort_by_key(number);
        let datasets: Vec<_> = datasets
            .into_iter()
            .enumerate()
            .map(|(n, dataset)| {
                let facts = facts(n, &dataset);
                (dataset, facts)
            })
            .collect();
        let rules = crate::testing::profile().evidence_rules();
        let source_code = datasets
            .iter()
            .filter(|(dataset, _)| dataset.kind == DatasetKind::SourceCode)
            .map(|(dataset, facts)| (dataset.clone(), evaluate(facts, &rules, NOW).backed_up.met))
            .collect();
        let register = Register {
            sites: rows::sites(tx)?,
            buildings: places::buildings(tx)?,
            pds: rows::pds(tx)?,
            servers: rows::servers(tx, None)?,
            services: services::services(tx, None)?,
            applications: services::applications(tx, None)?,
            contact_persons: services::contact_persons(tx, None)?,
            source_code,
        };
        Ok(FixtureCity { register, datasets })
    })
    .unwrap()
}

/// By rule: what is said of whom, by name.
type Said = BTreeMap<String, BTreeMap<String, Verdict>>;

fn judge(city: &FixtureCity, profile: &Profile) -> Said {
    let mut said = Said::new();
    let mut note = |name: &str, verdicts: Vec<Verdict>| {
        for verdict in verdicts {
            let rule = said.entry(verdict.rule.clone()).or_default();
            assert!(rule.insert(name.to_owned(), verdict).is_none(), "{name} twice");
        }
    };
    let register = &city.register;
    let code = |pd| register.pds.iter().find(|one| one.id == pd).unwrap().code.clone();
    for (dataset, facts) in &city.datasets {
        let evidence = profile.evidence_rules();
        let compliance = evaluate(facts, &evidence, NOW);
        let of = |server: &&Server| Some(server.id) == dataset.server;
        let server = register.servers.iter().find(of);
        let site = server.and_then(|server| server.site);
        let case = DatasetCase {
            dataset,
            pd: register.pds.iter().find(|pd| pd.id == dataset.pd).unwrap(),
            server,
            site: register.sites.iter().find(|one| Some(one.id) == site).map(|one| one.kind),
            compliance: &compliance,
            facts,
            evidence,
            now: NOW,
            site_name: &|id| if *id == PUSAT { "Pusat Data".into() } else { "DRC".into() },
        };
        let name = format!("{}/{}", code(dataset.pd), dataset.name);
        note(&name, judge_dataset(profile, &case));
    }
    let mut names: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    names.extend(register.servers.iter().map(|one| (one.id.as_bytes().to_vec(), one.name.clone())));
    names
        .extend(register.services.iter().map(|one| (one.id.as_bytes().to_vec(), one.name.clone())));
    names.extend(
        register.applications.iter().map(|one| (one.id.as_bytes().to_vec(), one.name.clone())),
    );
    for judged in judge_all(profile, register) {
        let name = names.get(&judged.subject).cloned().unwrap_or_default();
        let pd = judged.pd.map(code).unwrap_or_else(|| "kota".to_owned());
        note(format!("{pd}/{name}").trim_end_matches('/'), judged.verdicts);
    }
    said
}

fn report(profile: &Profile, said: &Said) -> String {
    let mut text = format!("{}: {}\n", profile.city.name, profile.city.regulation);
    for rule in &profile.rules {
        let empty = BTreeMap::new();
        let verdicts = said.get(&rule.id).unwrap_or(&empty);
        let met = verdicts.values().filter(|verdict| verdict.met).count();
        let by = match article(profile, rule) {
            by if by.is_empty() => "usulan".to_owned(),
            by => by,
        };
        text += &format!(
            "\n{} ({}, {}): {} asked, {met} met\n",
            rule.id,
            rule.force.as_str(),
            by,
            verdicts.len()
        );
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, verdict) in verdicts.iter().filter(|(_, verdict)| !verdict.met) {
            groups.entry(&verdict.codes).or_default().push(name);
        }
        for (codes, names) in groups {
            text += &format!("  {codes} ({}): {}\n", names.len(), names.join(", "));
        }
    }
    text
}

fn profiles() -> Vec<(&'static str, Profile)> {
    BUILT_IN.iter().map(|(name, _)| (*name, Profile::load(name).unwrap())).collect()
}

#[test]
fn the_city_is_as_large_as_it_should_be() {
    let city = city();
    let register = &city.register;
    assert_eq!((register.pds.len(), register.servers.len(), city.datasets.len()), (30, 120, 400));
}

#[test]
fn what_each_profile_says_of_the_city_is_its_golden_file() {
    let city = city();
    for (name, profile) in profiles() {
        let text = report(&profile, &judge(&city, &profile));
        let path = format!("{}/src/rules/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("LUMBUNG_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(golden == text, "{path}: run with LUMBUNG_UPDATE_GOLDEN=1 and read the difference");
    }
}

/// What a rule asks, beside its article and its words.
fn asked(rule: &Rule) -> String {
    format!("{:?} {:?} {:?} {:?}", rule.look, rule.applies, rule.within_days, rule.min_km)
}

#[test]
fn cities_differ_where_their_articles_do_and_nowhere_else() {
    let city = city();
    let mut seen: BTreeMap<String, (String, BTreeMap<String, Verdict>)> = BTreeMap::new();
    for (name, profile) in profiles() {
        let mut said = judge(&city, &profile);
        for rule in &profile.rules {
            let mut found = said.remove(&rule.id).unwrap_or_default();
            found.values_mut().for_each(|verdict| verdict.rule = String::new());
            // Whose jurisdiction it is, only the city knows.
            let key = match rule.look {
                Look::DrcInJurisdiction => format!("{} {}", asked(rule), profile.city.name),
                _ => asked(rule),
            };
            match seen.get(&key) {
                Some((other, before)) => assert_eq!(&found, before, "{name} {other}: {key}"),
                None => drop(seen.insert(key, (name.to_owned(), found))),
            }
        }
        // Nothing is said that no rule of the profile asks, but for the four steps.
        assert!(said.keys().all(|rule| is_step(rule)), "{:?}", said.keys());
    }
}

#[test]
fn whoever_does_not_meet_a_rule_is_told_why_in_both_languages() {
    let city = city();
    for (_, profile) in profiles() {
        for (rule, verdicts) in judge(&city, &profile) {
            for (name, verdict) in verdicts {
                let said = [&verdict.codes, &verdict.reason.id, &verdict.reason.en];
                let empty = said.iter().all(|text| text.is_empty());
                let full = said.iter().all(|text| !text.is_empty());
                assert!(if verdict.met { empty } else { full }, "{rule} {name}: {verdict:?}");
            }
        }
    }
}

#[test]
fn a_rule_says_nothing_of_whom_it_does_not_apply_to() {
    let city = city();
    let profile = |name: &str| Profile::load(name).unwrap();
    // Tebing Tinggi: what runs in the Pusat Data has its copy in the DRC; the rest is a proposal.
    let said = judge(&city, &profile("tebing-tinggi"));
    let hosted: Vec<_> = said["drc-copy"].keys().collect();
    let local: Vec<_> = said["drc-copy-local"].keys().collect();
    assert_eq!(hosted.len() + local.len(), 400);
    assert!(hosted.iter().all(|name| !local.contains(name)) && !hosted.is_empty());
    // Tanjungbalai: the Dinas's own.
    let said = judge(&city, &profile("tanjungbalai"));
    assert!(said["backup-dinas"].keys().all(|name| name.starts_with("KOMINFO/")));
    assert!(!said["drc-in-jurisdiction"]["kota"].met && said["drc-distance"]["kota"].met);
    // Depok: a PD that runs its own IT need not place its servers in the Pusat Data.
    let said = judge(&city, &profile("depok"));
    let mandiri = |name: &&String| name.starts_with("RSUD/");
    assert_eq!(said["placement"].keys().filter(mandiri).count(), 0);
}

#[test]
fn every_core_obligation_is_served_and_what_serves_it_is_there() {
    let page = include_str!("../../../docs/obligations.md");
    let openapi = include_str!("../../../docs/openapi.json");
    let all = profiles();
    let is_rule = |id: &str| all.iter().any(|(_, one)| one.rules.iter().any(|rule| rule.id == id));
    let is_duty = |id: &str| all.iter().any(|(_, one)| one.duties.iter().any(|duty| duty.id == id));
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| O")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, articles, _, priority, served] = cells[..] else { panic!("{line}") };
        rows += 1;
        assert_eq!(id, format!("O{rows}"));
        assert!(!articles.is_empty() && ["C", "S", "L"].contains(&priority), "{line}");
        let mut served_by = 0;
        for reference in served.split('`').skip(1).step_by(2) {
            let (kind, name) =
                reference.split_once(':').unwrap_or_else(|| panic!("{id}: {reference}"));
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
            let is_there = match kind {
                "rule" => is_rule(name),
                "duty" => is_duty(name),
                "record" => openapi.contains(&format!("\"{name}\"")),
                "document" => std::path::Path::new(root).join(name).is_file(),
                "program" => ["lumbung-agent", "lumbung-vault", "lumbung-controller", "lumbung"]
                    .contains(&name),
                _ => false,
            };
            assert!(is_there, "{id}: {reference} is not there");
            served_by += 1;
        }
        assert!(priority == "L" || served_by > 0, "{id} ({priority}) is served by nothing");
    }
    assert_eq!(rows, 34);
    // Each row that a rule or a duty says it serves is on the page.
    for (name, profile) in &all {
        let named = profile.rules.iter().flat_map(|rule| &rule.obligations);
        for obligation in named.chain(profile.duties.iter().flat_map(|duty| &duty.obligations)) {
            assert!(page.contains(&format!("\n| {obligation} |")), "{name}: {obligation}");
        }
    }
}
