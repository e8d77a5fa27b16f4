//! The owner's approval, over the real programs: somebody who is no recipient restores what was granted at either site, and
//! gets at nothing else, neither from a vault nor with every file of the Pusat Data at hand.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use lumbung_model::{DatasetId, ManifestId};
use lumbung_pack::grant::read_grants;
use lumbung_pack::{Kind, Manifest, PackTable, Proof, Session, SessionOpening, open_signed};
use lumbung_seal::{
    RecoveryKey, RequesterIdentity, open_grants, open_opening, open_root_with, open_session,
};
use lumbung_store::RepositoryDir;
use lumbung_tests::city::{City, PdPlan, Site};
use lumbung_tests::process::{any_output, eventually, output};
use lumbung_tests::{evidence, tree};

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
    let mut options: Vec<&OsStr> = Vec::new();
    if let Some(grant) = grant {
        options.extend([OsStr::new("--grant"), grant.as_os_str()]);
    }
    restore_with(city, depot, snapshot, &options)
}

fn restore_with(
    city: &City,
    depot: &str,
    snapshot: &str,
    options: &[&OsStr],
) -> Result<tree::Tree, String> {
    let target = tempfile::tempdir_in(&city.dir).unwrap();
    let out = target.path().join("out");
    let mut restore = city.lumbung();
    restore.args(["restore", depot, snapshot, "--requester-key"]);
    restore.arg(city.dir.join("inspektorat.key")).arg("--target").arg(&out);
    restore.args(["--repository", &city.pds[0].repository.to_string()]).args(options);
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
    city.arrives(other).unwrap();

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
    // The vault goes by whichever of its clocks is further, which may be a second ahead of the wall clock.
    eventually("the list says that it is over", || {
        let mut list = city.lumbung();
        list.args(["approve", "list", &city.pusat.url, "--lang", "en", "--key"]);
        let consents = output(list.arg(city.pds[0].key()))?;
        let told = consents.contains("over") && consents.contains("holds");
        Ok(told.then_some(()).ok_or(consents))
    })
    .unwrap();
}

/// Has the custodian open the dataset's next snapshots to the requester's key, at `site`.
fn approve_standing(city: &City, site: &Site) -> String {
    let pd = &city.pds[0];
    let minta = city.dir.join("tetap.minta");
    let mut request = city.lumbung();
    request.args(["approve", "request"]).arg(&minta).arg("--requester-key");
    request.arg(city.dir.join("inspektorat.key")).args(["--purpose", "uji pulih terjadwal"]);
    request.args(["--repository", &pd.repository.to_string(), "--lasting", "200d"]);
    output(request.args(["--dataset", &pd.dataset.to_string(), "--standing"])).unwrap();
    let mut grant = city.lumbung();
    grant.args(["approve", "grant"]).arg(&minta).arg(&site.url).arg("--key").arg(pd.key());
    let refused = any_output(grant.args(["--letter", "445/871/2026", "--yes"])).unwrap();
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("approve standing"), "{refused}");
    let mut standing = city.lumbung();
    standing.args(["--json", "approve", "standing"]).arg(&minta).arg(&site.url).arg("--key");
    standing.arg(pd.key()).args(["--letter", "445/871/2026", "--yes", "--out"]);
    let said = output(standing.arg(city.dir.join("tetap.izin"))).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    said["approvals"][0]["consent"].as_str().unwrap().to_owned()
}

fn is_the_tree(city: &City, site: &Site, snapshot: &str) {
    let original = tree::read(&city.pds[0].paths[0]).unwrap();
    let prove = [OsStr::new("--prove")];
    let found = restore_with(city, &site.url, snapshot, &prove).unwrap();
    let (differences, count) = tree::differences(&original, &found, 10);
    assert_eq!(count, 0, "{differences:?}");
}

fn there(city: &City, site: &Site, kind: Kind, name: &str) {
    let folder = site.repository(&city.pds[0].repository).join(kind.folder());
    eventually("it is there", || {
        let names: Vec<String> = fs::read_dir(&folder)
            .map(|entries| {
                entries.flatten().map(|e| e.file_name().into_string().unwrap()).collect()
            })
            .unwrap_or_default();
        let there = names.iter().any(|found| found.starts_with(name) && !found.starts_with('.'));
        Ok(there.then_some(()).ok_or_else(|| format!("{} has {names:?}", folder.display())))
    })
    .unwrap();
}

/// A verifier at the DRC restores and proves each day's snapshot with its key alone; another dataset of the same server, with
/// the same files, stays closed to it.
#[test]
fn a_standing_approval_opens_the_next_days_snapshots_at_the_drc() {
    let directory = tempfile::TempDir::with_prefix("lumbung-standing-").unwrap();
    let data = directory.path().join("srv");
    fs::create_dir(&data).unwrap();
    write(&data, "hasil laboratorium");
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
    let city = City::found(directory.path(), vec![plan], |_| ()).unwrap();
    // A second dataset of the same server and the same files, that stores its own new ones first.
    let apart = directory.path().join("lain");
    fs::create_dir(&apart).unwrap();
    let other = DatasetId::random();
    let config = city.pds[0].server.join("agent.toml");
    let mut text = fs::read_to_string(&config).unwrap();
    text.push_str(&format!(
        "\n[[job]]\nname = \"lain\"\ndataset = \"{other}\"\nlabel = \"lain\"\npaths = [{apart:?}]\n"
    ));
    fs::write(&config, text).unwrap();
    let backup = |job: &str| {
        output(city.pds[0].agent().args(["backup", job])).unwrap();
        evidence::newest(&city.pusat.repository(&city.pds[0].repository)).unwrap()
    };
    let first = backup("data");

    let key = city.dir.join("inspektorat.key");
    let mut requester = city.lumbung();
    requester.args(["key", "requester"]).arg(&key).args(["--name", "Penguji DRC", "--machine"]);
    output(&mut requester).unwrap();
    let consent = approve_standing(&city, &city.pusat);
    city.arrives(first.id).unwrap();
    there(&city, &city.drc, Kind::StandingApproval, "");
    there(&city, &city.drc, Kind::Grant, "");

    // The other dataset is first to store what both get.
    let shared = "catatan bersama\n".repeat(60_000);
    fs::write(apart.join("bersama.txt"), &shared).unwrap();
    let theirs = backup("lain");
    fs::write(data.join("bersama.txt"), &shared).unwrap();
    fs::write(data.join("pasien-3.csv"), "hasil hari kedua\n".repeat(4000)).unwrap();
    let next = backup("data");
    assert_eq!((next.body.dataset, theirs.body.dataset), (city.pds[0].dataset, other));
    assert!(!next.body.sessions.contains(&theirs.body.sessions[0]), "stored anew");
    city.arrives(next.id).unwrap();
    city.arrives(theirs.id).unwrap();
    let latest = format!("latest:{}", city.pds[0].dataset);
    for site in [&city.drc, &city.pusat] {
        is_the_tree(&city, site, &latest);
        is_the_tree(&city, site, &next.id.to_string());
        let refused = restore(&city, &site.url, &theirs.id.to_string(), None).unwrap_err();
        assert!(refused.contains("has no snapshot"), "{refused}");
    }
    proven(&city, next.id);
    closed_to_root(&city, &key);
    revoked(&city, &consent, &backup);
}

/// The verifier's proofs are evidence.
fn proven(city: &City, snapshot: ManifestId) {
    let drc = city.drc.repository(&city.pds[0].repository);
    let proofs = evidence::objects::<Proof>(&drc).unwrap();
    assert!(proofs.iter().any(|proof| proof.body.manifest == snapshot && proof.body.failed == 0));
    eventually("the controller counts it", || {
        let row = city.compliance()?["rows"][0].clone();
        let met = row["proven"]["state"] == "met";
        Ok(met.then_some(()).ok_or_else(|| row["proven"].to_string()))
    })
    .unwrap();
}

/// Root at the vault, with all its files and no key, opens no session; nor does the requester's key more than its own.
fn closed_to_root(city: &City, key: &Path) {
    let files = city.pusat.repository(&city.pds[0].repository);
    let identity = RequesterIdentity::from_machine_text(&fs::read_to_string(key).unwrap()).unwrap();
    let openings = evidence::objects::<SessionOpening>(&files).unwrap();
    assert!(!openings.is_empty());
    for opening in &openings {
        assert!(open_opening(&opening.body, identity.recipient()).is_ok());
        assert!(open_opening(&opening.body, &RecoveryKey::generate()).is_err());
        let mut turned = opening.body.clone();
        let thief = RecoveryKey::generate();
        turned.recipient = thief.public();
        assert!(open_opening(&turned, &thief).is_err());
    }
    for session in evidence::objects::<Session>(&files).unwrap() {
        assert!(open_session(&session.body, identity.recipient()).is_err());
    }
}

/// Taken back: both sites refuse, the agent seals to it no more, and the next snapshot does not open with its key.
fn revoked(city: &City, consent: &str, backup: &dyn Fn(&str) -> lumbung_pack::Signed<Manifest>) {
    let pd = &city.pds[0];
    let list = || {
        let mut list = city.lumbung();
        list.args(["approve", "list", &city.pusat.url, "--lang", "en", "--key"]);
        output(list.arg(pd.key())).unwrap()
    };
    assert!(list().contains("1 + next ones") && list().contains("holds"), "{}", list());
    let mut show = city.lumbung();
    let shown = output(show.args(["--json", "approve", "show"]).arg(city.dir.join("tetap.izin")));
    assert!(shown.unwrap().contains(consent));
    let mut revoke = city.lumbung();
    revoke.args(["approve", "revoke", &city.pusat.url, consent, "--reason", "selesai", "--key"]);
    output(revoke.arg(pd.key())).unwrap();
    there(city, &city.drc, Kind::Revocation, "");
    assert!(list().contains("revoked"), "{}", list());
    let files = city.pusat.repository(&pd.repository);
    let before = evidence::objects::<SessionOpening>(&files).unwrap().len();
    fs::write(pd.paths[0].join("pasien-4.csv"), "rahasia\n".repeat(4000)).unwrap();
    let after = backup("data");
    assert_eq!(evidence::objects::<SessionOpening>(&files).unwrap().len(), before);
    for site in [&city.pusat, &city.drc] {
        let refused = restore(city, &site.url, &after.id.to_string(), None).unwrap_err();
        assert!(refused.contains("revoked"), "{refused}");
    }
}
