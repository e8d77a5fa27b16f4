//! `lumbung repo` and `lumbung roster`.

use crate::office::Office;

#[test]
fn every_change_is_a_new_roster_and_repeating_it_is_none() {
    let office = Office::equipped();
    office.ok(&["key", "new", "inspektorat.key", "--label", "Inspektorat"]);
    let add = ["roster", "add-recipient", "depot", "inspektorat.key", "--key", "pd.key"];
    let first = office.json(&add);
    assert_eq!(
        (first["changed"].clone(), first["roster"]["number"].clone()),
        (true.into(), 2.into())
    );
    let again = office.json(&add);
    assert_eq!(
        (again["changed"].clone(), again["roster"]["number"].clone()),
        (false.into(), 2.into())
    );
    office.ok(&["roster", "remove-recipient", "depot", "Inspektorat", "--key", "pd.key"]);
    let shown = office.json(&["roster", "show", "depot"]);
    assert_eq!(shown["roster"]["number"], 3);
    assert_eq!(shown["roster"]["recipients"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(3));
}

#[test]
fn the_last_recipient_stays() {
    let office = Office::equipped();
    let (code, error) = office.error(&[
        "roster",
        "remove-recipient",
        "depot",
        "Dinas Kesehatan",
        "--key",
        "pd.key",
    ]);
    assert_eq!(code, "not-entitled");
    assert!(error["message"].as_str().is_some_and(|m| m.contains("only recipient")), "{error}");
}

#[test]
fn agents_are_added_by_code_withdrawn_and_taken_back() {
    let office = Office::equipped();
    office.ok(&["repo", "init", "other", "--key", "pd.key", "--agent", "second.id"]);
    let code =
        office.json(&["key", "show", "second.id"])["code"].as_str().expect("a code").to_owned();
    office.ok(&["roster", "add-agent", "depot", &code, "--label", "srv-2", "--key", "pd.key"]);
    let status = |label: &str| {
        let shown = office.json(&["roster", "show", "depot"]);
        let agents = shown["roster"]["agents"].as_array().expect("agents").clone();
        agents.iter().find(|a| a["label"] == label).map(|a| a["status"].clone()).unwrap_or_default()
    };
    assert_eq!(status("srv-2"), "active");
    office.ok(&["roster", "withdraw-agent", "depot", "srv-2", "--key", "pd.key"]);
    assert_eq!(status("srv-2"), "withdrawn");
    office.ok(&["roster", "add-agent", "depot", "second.id", "--key", "pd.key"]);
    assert_eq!(status("srv-2"), "active");
    assert_eq!(
        office.error(&["roster", "withdraw-agent", "depot", "srv-3", "--key", "pd.key"]).0,
        "not-in-roster"
    );
}

#[test]
fn a_site_is_added_from_what_its_vault_printed() {
    let office = Office::equipped();
    let site = |pin: &str| {
        format!(
            "{{\"site\":\"{}\",\"receipt_key\":\"{}\",\"tls_pin\":\"{}\",\"name\":\"DRC\",\"extra\":1}}",
            "11".repeat(16),
            "22".repeat(32),
            pin.repeat(32)
        )
    };
    office.write("drc.json", site("33").as_bytes());
    office.ok(&["roster", "add-site", "depot", "drc.json", "--key", "pd.key"]);
    office.write("drc.json", site("44").as_bytes());
    let changed = office.json(&["roster", "add-site", "depot", "drc.json", "--key", "pd.key"]);
    let sites = changed["roster"]["sites"].as_array().expect("sites").clone();
    assert_eq!(sites.len(), 1, "a new key replaces the old one: {sites:?}");
    assert_eq!(sites[0]["tls_pin"], "44".repeat(32));
    assert_eq!(sites[0]["label"], "DRC");
    let by_options = [
        "roster",
        "add-site",
        "depot",
        "--site-id",
        &"55".repeat(16),
        "--receipt-key",
        &"66".repeat(32),
        "--tls-pin",
        &"77".repeat(32),
        "--name",
        "Pusat Data",
        "--key",
        "pd.key",
    ];
    assert_eq!(office.json(&by_options)["roster"]["sites"].as_array().map(Vec::len), Some(2));
    office.ok(&["roster", "remove-site", "depot", "DRC", "--key", "pd.key"]);
    assert_eq!(
        office.json(&["roster", "show", "depot"])["roster"]["sites"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_foreign_key_changes_nothing() {
    let office = Office::equipped();
    office.ok(&["key", "new", "thief.key"]);
    let (code, _) =
        office.error(&["roster", "add-recipient", "depot", "thief.key", "--key", "thief.key"]);
    assert_eq!(code, "not-entitled");
    assert_eq!(office.json(&["roster", "show", "depot"])["roster"]["number"], 1);
}

#[test]
fn rosters_travel_by_publish_and_by_file() {
    let office = Office::equipped();
    office.ok(&["key", "new", "inspektorat.key"]);
    office.ok(&["roster", "add-recipient", "depot", "inspektorat.key", "--key", "pd.key"]);
    assert_eq!(office.json(&["roster", "publish", "depot", "copy"])["published"], 2);
    assert_eq!(office.json(&["roster", "publish", "depot", "copy"])["published"], 0);
    office.ok(&["roster", "export", "depot", "rosters.txt"]);
    assert_eq!(office.json(&["roster", "import", "third", "rosters.txt"])["newest"], 2);
    let original = office.json(&["roster", "show", "depot"]);
    for copy in ["copy", "third"] {
        let shown = office.json(&["roster", "show", copy]);
        assert_eq!(
            (&shown["repository"], &shown["roster"]),
            (&original["repository"], &original["roster"])
        );
    }
    // Another repository's rosters do not go there.
    office.ok(&["repo", "init", "other", "--key", "pd.key"]);
    assert_eq!(office.error(&["roster", "publish", "other", "copy"]).0, "other-repository");
    let damaged =
        String::from_utf8(office.read("rosters.txt")).expect("text").replacen("AAAA", "AAAB", 1);
    office.write("rosters.txt", damaged.as_bytes());
    assert_eq!(office.error(&["roster", "import", "fourth", "rosters.txt"]).0, "bad-file");
    assert!(!office.path("fourth").exists());
}

#[test]
fn a_spare_key_signs_rosters_and_opens_snapshots() {
    let office = Office::new();
    office.ok(&["key", "new", "pd.key", "--label", "kerja"]);
    office.ok(&["key", "new", "spare.key", "--label", "kertas"]);
    let init = [
        "repo",
        "init",
        "depot",
        "--key",
        "pd.key",
        "--spare-key",
        "spare.key",
        "--agent",
        "agent.id",
    ];
    let made = office.json(&init);
    assert_eq!(made["roster"]["root_keys"][1]["role"], "spare");
    office.write("data/a", b"isi");
    office.backup("arsip");
    std::fs::remove_file(office.path("pd.key")).expect("the working key is lost");
    office.ok(&["restore", "depot", "latest", "--key", "spare.key", "--target", "out"]);
    let data = office.path("data/a");
    let restored = std::fs::read(format!("{}{}", office.path("out").display(), data.display()));
    assert_eq!(restored.expect("restored"), b"isi");
    office.ok(&["roster", "withdraw-agent", "depot", &agent(&office), "--key", "spare.key"]);
}

fn agent(office: &Office) -> String {
    office.json(&["key", "show", "agent.id"])["agent"].as_str().expect("an id").to_owned()
}

#[test]
fn an_existing_agent_of_another_repository_is_not_taken_over() {
    let office = Office::equipped();
    let before = office.read("agent.id");
    let (code, _) =
        office.error(&["repo", "init", "other", "--key", "pd.key", "--agent", "agent.id"]);
    assert_eq!(code, "other-repository");
    assert_eq!(office.read("agent.id"), before);
    assert!(!office.path("other").exists());
}
