//! The owner's approval, over the real programs: somebody who is no recipient restores what was granted at either site, and
//! gets at nothing else, neither from a vault nor with every file of the Pusat Data at hand.

use std::fs;
use std::path::Path;

use lumbung_model::ManifestId;
use lumbung_pack::grant::read_grants;
use lumbung_pack::{Kind, Manifest, PackTable, Session, open_signed};
use lumbung_seal::{RequesterIdentity, open_grants, open_root_with, open_session};
use lumbung_store::RepositoryDir;
use lumbung_tests::city::{City, PdPlan, Site};
use lumbung_tests::process::{any_output, eventually, output};
use lumbung_tests::{evidence, tree};

use crate::attackers::arrives;

fn write(data: &Path, mark: &str) {
    for number in 0..20_u32 {
        let line = format!("NIK 127100000000{number:04} {mark}\n");
        fs::write(data.join(format!("pasien-{number}.csv")), line.repeat(900)).unwrap();
    }
}

fn backed_up(city: &City) -> ManifestId {
    output(city.pds[0].agent().arg("backup")).unwrap();
    evidence::newest(&city.pusat.repository(&city.pds[0].repository)).unwrap().id
}

/// Draws up a request and has the custodian open it at `site`.
fn approve(city: &City, site: &Site, snapshot: ManifestId, lasting: &str, name: &str) {
    let pd = &city.pds[0];
    let file = |end: &str| city.dir.join(format!("{name}.{end}"));
    let mut request = city.lumbung();
    request.args(["approve", "request"]).arg(file("minta")).arg("--requester-key");
    request.arg(city.dir.join("inspektorat.key")).args(["--purpose", "pemeriksaan"]);
    request.args(["--repository", &pd.repository.to_string(), "--lasting", lasting]);
    output(request.args(["--snapshot", &snapshot.to_string()])).unwrap();
    let mut grant = city.lumbung();
    grant.args(["approve", "grant"]).arg(file("minta")).arg(&site.url).arg("--key").arg(pd.key());
    grant.args(["--letter", "700/12/2026", "--yes", "--out"]).arg(file("izin"));
    output(&mut grant).unwrap();
}

/// Restores with the requester's key: how it ended, and what came out.
fn restore(
    city: &City,
    depot: &str,
    snapshot: &str,
    grant: Option<&Path>,
) -> Result<tree::Tree, String> {
    let target = tempfile::tempdir_in(&city.dir).unwrap();
    let out = target.path().join("out");
    let mut restore = city.lumbung();
    restore.args(["restore", depot, snapshot, "--requester-key"]);
    restore.arg(city.dir.join("inspektorat.key")).arg("--target").arg(&out);
    restore.args(["--repository", &city.pds[0].repository.to_string()]);
    if let Some(grant) = grant {
        restore.arg("--grant").arg(grant);
    }
    let ended = any_output(&mut restore).unwrap();
    if !ended.status.success() {
        return Err(String::from_utf8_lossy(&ended.stderr).into_owned());
    }
    let data = &city.pds[0].paths[0];
    Ok(tree::read(&out.join(data.strip_prefix("/").unwrap())).unwrap())
}

#[test]
fn a_grant_opens_one_snapshot_for_one_requester_for_a_time() {
    let directory = tempfile::TempDir::with_prefix("lumbung-approval-").unwrap();
    let data = directory.path().join("srv");
    fs::create_dir(&data).unwrap();
    write(&data, "hasil laboratorium");
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
    let city = City::found(directory.path(), vec![plan], |_| ()).unwrap();
    let granted = backed_up(&city);
    let original = tree::read(&data).unwrap();
    // The next snapshot shares what did not change.
    fs::write(data.join("pasien-3.csv"), "rahasia baru\n".repeat(4000)).unwrap();
    let other = backed_up(&city);
    assert_ne!(granted, other);
    arrives(&city, other);

    let key = city.dir.join("inspektorat.key");
    let mut requester = city.lumbung();
    requester.args(["key", "requester"]).arg(&key).args(["--name", "Inspektorat", "--machine"]);
    output(&mut requester).unwrap();
    let sites = [&city.pusat, &city.drc];
    for site in sites {
        let refused = restore(&city, &site.url, &granted.to_string(), None).unwrap_err();
        assert!(refused.contains("no grant here is for it"), "{refused}");
    }
    approve(&city, &city.pusat, granted, "7d", "satu");
    let at_drc = city.drc.repository(&city.pds[0].repository).join(Kind::Grant.folder());
    eventually("the DRC has the grant", || {
        let there = fs::read_dir(&at_drc).map(Iterator::count).unwrap_or(0);
        Ok((there > 0).then_some(()).ok_or_else(|| at_drc.display().to_string()))
    })
    .unwrap();

    let izin = city.dir.join("satu.izin");
    for site in sites {
        for grant in [None, Some(izin.as_path())] {
            let found = restore(&city, &site.url, "latest", grant).unwrap();
            let (differences, count) = tree::differences(&original, &found, 10);
            assert_eq!(count, 0, "{differences:?}");
        }
        let refused = restore(&city, &site.url, &other.to_string(), None).unwrap_err();
        assert!(refused.contains("has no snapshot"), "{refused}");
    }
    undecryptable_beyond(&city, &key, &izin, (granted, other));

    expires(&city, other);
}

/// Whoever has every file of the Pusat Data besides the grant opens what was granted, and nothing more of it.
fn undecryptable_beyond(
    city: &City,
    key: &Path,
    grant: &Path,
    (granted, other): (ManifestId, ManifestId),
) {
    let pd = &city.pds[0];
    let files = city.pusat.repository(&pd.repository);
    let depot = RepositoryDir::open(&files).unwrap();
    let identity = RequesterIdentity::from_machine_text(&fs::read_to_string(key).unwrap()).unwrap();
    let grants = read_grants(&fs::read_to_string(grant).unwrap()).unwrap();
    let openings = open_grants(grants.iter().map(|(g, _)| &g.body), identity.recipient()).unwrap();
    let manifest = |id: &ManifestId| {
        let bytes = depot.get(Kind::Manifest, id.as_bytes()).unwrap();
        open_signed::<Manifest>(&bytes).unwrap().body
    };
    let root = openings.root(&granted).unwrap();
    assert!(open_root_with(root, &manifest(&granted)).is_ok());
    assert!(open_root_with(root, &manifest(&other)).is_err());
    assert!(openings.root(&other).is_err(), "its root is closed");
    for session in evidence::objects::<Session>(&files).unwrap() {
        assert!(open_session(&session.body, identity.recipient()).is_err());
    }
    // The packs that only the other snapshot uses are closed, all of them.
    let (mut opened, mut closed) = (0, 0);
    for id in depot.list(Kind::Pack).unwrap() {
        let head = depot.get(Kind::Pack, &id).unwrap();
        let length = PackTable::head_length(&head[..168]).unwrap();
        let table = PackTable::decode(&head[..length]).unwrap();
        match openings.opener(&table) {
            Ok(_) => opened += 1,
            Err(_) => closed += 1,
        }
    }
    assert!(opened >= 2 && closed >= 2, "{opened} opened, {closed} closed");
}

/// A grant for a moment: the vault itself refuses from its end on, and says so.
fn expires(city: &City, snapshot: ManifestId) {
    let key = city.dir.join("sesaat.key");
    let mut requester = city.lumbung();
    requester.args(["key", "requester"]).arg(&key).args(["--name", "Penguji", "--machine"]);
    output(&mut requester).unwrap();
    fs::copy(&key, city.dir.join("inspektorat.key")).unwrap();
    approve(city, &city.pusat, snapshot, "5s", "dua");
    let izin = city.dir.join("dua.izin");
    let refused = eventually("the vault refuses an expired grant", || {
        Ok(restore(city, &city.pusat.url, "latest", Some(&izin))
            .map_or_else(Ok, |_| Err("it is read".to_owned())))
    })
    .unwrap();
    assert!(refused.contains("expired at"), "{refused}");
    let consents = {
        let mut list = city.lumbung();
        list.args(["approve", "list", &city.pusat.url, "--lang", "en", "--key"]);
        output(list.arg(city.pds[0].key())).unwrap()
    };
    assert!(consents.contains("over") && consents.contains("holds"), "{consents}");
}
