//! Policies over the real programs: from the register to a backup with nothing typed on the server, and how less is asked for.

use std::fs;
use std::path::PathBuf;

use lumbung_model::DatasetId;
use lumbung_pack::Manifest;
use lumbung_tests::city::{City, Pd, PdPlan};
use lumbung_tests::evidence;
use lumbung_tests::process::{any_output, eventually, output};
use serde_json::Value;
use tempfile::TempDir;

/// A city with one PD, whose server has two folders, both in the register, and no job in its own file.
pub(crate) struct Bed {
    pub(crate) city: City,
    pub(crate) directory: TempDir,
    pub(crate) folders: [PathBuf; 2],
}

impl Bed {
    pub(crate) fn new() -> Self {
        let directory = TempDir::with_prefix("lumbung-policies-").unwrap();
        let folders = ["berkas", "arsip"].map(|name| {
            let folder = directory.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("data.csv"), name).unwrap();
            folder
        });
        let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: folders.to_vec() };
        let city = City::found(directory.path(), vec![plan], |_| ()).unwrap();
        let bed = Self { city, directory, folders };
        bed.configure("");
        bed
    }

    pub(crate) fn pd(&self) -> &Pd {
        &self.city.pds[0]
    }

    /// The agent's own file: where its state is, and what is given.
    fn configure(&self, more: &str) {
        let state = self.pd().server.join("state");
        let text = format!(
            "[agent]\nstate = \"{}\"\nheartbeat_interval = \"5s\"\n{more}",
            state.display()
        );
        fs::write(self.pd().server.join("agent.toml"), text).unwrap();
    }

    /// Enters the dataset in the register: these folders, these patterns, every minute.
    fn register(&self, folders: &[PathBuf], exclude: &[&str]) {
        self.register_at("* * * * *", folders, exclude);
    }

    /// Enters the dataset in the register.
    pub(crate) fn register_at(&self, schedule: &str, folders: &[PathBuf], exclude: &[&str]) {
        let text = format!(
            "[[pd]]\ncode = \"RSUD\"\nname = \"Rumah Sakit\"\ncontact = \"Service desk\"\n\
             [[pd.server]]\nname = \"srv-rsud\"\nkind = \"physical\"\n\
             [[pd.server.dataset]]\nid = \"{}\"\nname = \"Data Rumah Sakit\"\nkind = \"files\"\n\
             classification = \"non_public\"\nurgency = \"critical\"\nschedule = \"{schedule}\"\n\
             paths = {folders:?}\nexclude = {exclude:?}\n",
            self.pd().dataset
        );
        let file = self.directory.path().join("change.toml");
        fs::write(&file, text).unwrap();
        output(self.city.operator().args(["register", "import"]).arg(&file)).unwrap();
    }

    /// What `lumbung-agent` prints.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Value {
        let text = output(self.pd().agent().arg("--json").args(arguments)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The server's line in the list of policies.
    pub(crate) fn entry(&self) -> Value {
        let list = output(self.city.operator().args(["--json", "policy", "list"])).unwrap();
        serde_json::from_str::<Value>(&list).unwrap()[0].clone()
    }

    /// Waits until the controller has heard that these policies hold and wait.
    pub(crate) fn tells(&self, applied: u64, pending: Option<u64>) {
        eventually(&format!("the agent tells policy {applied} and {pending:?}"), || {
            let entry = self.entry();
            let told = &entry["told"];
            let fits = told["applied"]["version"] == applied
                && told["pending"]["version"].as_u64() == pending;
            Ok(fits.then_some(()).ok_or_else(|| entry.to_string()))
        })
        .unwrap();
    }

    /// Waits until an alarm of this kind lasts, or none does.
    pub(crate) fn alarm(&self, kind: &str, lasts: bool) {
        eventually(&format!("alarm {kind}: {lasts}"), || {
            let status = output(self.city.operator().args(["--json", "status"]))?;
            Ok((status.contains(kind) == lasts).then_some(()).ok_or(status))
        })
        .unwrap();
    }

    /// A second person, at the console, agrees that less is asked for.
    pub(crate) fn approve(&self) {
        let waiting = self.entry()["waiting"].as_str().unwrap().to_owned();
        output(self.city.controller.command().args(["approval", "approve", &waiting])).unwrap();
    }

    /// The paths that the agent's jobs back up.
    pub(crate) fn paths(&self) -> usize {
        let shown = self.agent(&["policy", "show"]);
        shown["content"]["jobs"][0]["paths"].as_array().unwrap().len()
    }
}

fn dataset_of_newest(bed: &Bed) -> Option<DatasetId> {
    let repository = bed.city.pusat.repository(&bed.pd().repository);
    let manifests = evidence::objects::<Manifest>(&repository).unwrap();
    manifests.iter().map(|manifest| manifest.body.dataset).next()
}

#[test]
fn what_only_the_register_names_is_backed_up_and_less_takes_two_people_and_the_server() {
    let mut bed = Bed::new();
    bed.register(&bed.folders.clone(), &[]);
    bed.city.pds[0].start().unwrap();
    // By itself, at its next minute: nobody has typed anything on the server.
    let dataset = bed.pd().dataset;
    eventually("the register's dataset is backed up", || {
        let found = dataset_of_newest(&bed);
        Ok((found == Some(dataset)).then_some(()).ok_or_else(|| format!("{found:?}")))
    })
    .unwrap();
    let first = bed.entry()["published"]["version"].as_u64().unwrap();
    bed.tells(first, None);
    assert_eq!(bed.paths(), 2);

    // Less waits at the controller: the old policy stays published.
    bed.register(&bed.folders[..1], &[]);
    bed.alarm("policy-narrowed", true);
    assert_eq!(bed.entry()["published"]["version"], first);
    bed.approve();
    // Approved there, it waits on the server, and the old one goes on.
    bed.tells(first, Some(first + 1));
    bed.alarm("policy-narrowed", false);
    bed.alarm("policy-pending", true);
    assert_eq!(bed.paths(), 2);
    let difference = output(bed.pd().agent().args(["policy", "diff"])).unwrap();
    assert!(difference.contains(&bed.folders[1].display().to_string()), "{difference}");
    let status = output(bed.pd().agent().arg("status")).unwrap();
    assert!(status.contains("asks for less and WAITS"), "{status}");
    let wrong = any_output(bed.pd().agent().args(["policy", "confirm", "99"])).unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    bed.agent(&["policy", "confirm", &(first + 1).to_string()]);
    bed.tells(first + 1, None);
    bed.alarm("policy-pending", false);
    assert_eq!(bed.paths(), 1);

    // And once by the custodian, from afar. A stranger's key is refused before it gets anywhere.
    bed.register(&bed.folders[..1], &["*.tmp"]);
    bed.approve();
    bed.tells(first + 1, Some(first + 2));
    let stranger = bed.directory.path().join("stranger.key");
    output(bed.city.lumbung().args(["key", "new"]).arg(&stranger)).unwrap();
    let confirm = |key: &PathBuf| {
        let mut confirm = bed.city.operator();
        confirm.args(["--json", "policy", "confirm", "srv-rsud", "--yes", "--key"]).arg(key);
        any_output(&mut confirm).unwrap()
    };
    assert_eq!(confirm(&stranger).status.code(), Some(1));
    let confirmed = confirm(&bed.pd().key());
    assert!(confirmed.status.success(), "{}", String::from_utf8_lossy(&confirmed.stderr));
    bed.tells(first + 2, None);
}

#[test]
fn the_own_file_wins_and_can_keep_the_policy_out() {
    let mut bed = Bed::new();
    bed.city.pds[0].start().unwrap();
    let published = |bed: &Bed| bed.entry()["published"]["version"].as_u64();
    eventually("a policy is published and taken", || {
        let entry = bed.entry();
        let taken = entry["told"]["applied"]["version"].as_u64();
        Ok((taken.is_some() && taken == published(&bed)).then_some(()).ok_or(entry.to_string()))
    })
    .unwrap();
    let names = |bed: &Bed| -> Vec<String> {
        let status = bed.agent(&["status"]);
        let jobs = status["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["name"].as_str().unwrap().to_owned()).collect()
    };
    let of_policy = format!("policy:{}", bed.pd().dataset);
    assert_eq!(names(&bed), [of_policy]);
    // By its label, by hand.
    output(bed.pd().agent().args(["backup", "Data Rumah Sakit"])).unwrap();

    let own = format!(
        "[[job]]\nname = \"own\"\ndataset = \"{}\"\npaths = [\"/etc\"]\nenabled = false\n",
        bed.pd().dataset
    );
    bed.configure(&own);
    assert_eq!(names(&bed), ["own"]);
    let nothing = any_output(bed.pd().agent().arg("backup")).unwrap();
    assert_eq!(nothing.status.code(), Some(1), "enabled = false is the file's last word");
    bed.configure("[policy]\nfollow = false\n");
    assert_eq!(names(&bed), Vec::<String>::new());
    // Kept out, it is not taken either; the controller is told so.
    bed.city.pds[0].restart().unwrap();
    eventually("the agent tells that it does not follow", || {
        let entry = bed.entry();
        Ok((entry["told"]["follows"] == false).then_some(()).ok_or(entry.to_string()))
    })
    .unwrap();
}
