//! Completions and man pages.

use crate::office::Office;

#[test]
fn completions_know_the_commands() {
    let office = Office::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = office.ok(&["completions", shell]);
        assert!(script.contains("snapshots") && script.contains("add-recipient"), "{shell}");
    }
}

#[test]
fn every_command_has_its_man_page() {
    let office = Office::new();
    let made = office.json(&["man", "--dir", "man"]);
    let pages: Vec<&str> =
        made["pages"].as_array().expect("pages").iter().filter_map(|p| p.as_str()).collect();
    for page in [
        "lumbung.1",
        "lumbung-backup.1",
        "lumbung-roster-add-agent.1",
        "lumbung-key-paper.1",
        "lumbung-order-sign.1",
        "lumbung-deposit-deliver.1",
        "lumbung-calendar.1",
        "lumbung-drill-plan-check.1",
        "lumbung-capacity.1",
    ] {
        assert!(pages.contains(&page), "{page} is not among {pages:?}");
    }
    assert!(office.ok(&["man"]).contains(".TH lumbung"));
}
