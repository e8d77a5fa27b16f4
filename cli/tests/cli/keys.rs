//! `lumbung key`.

use std::os::unix::fs::PermissionsExt as _;

use crate::office::{Office, PASSPHRASE, ended};

#[test]
fn a_key_is_made_shown_checked_and_changed() {
    let office = Office::new();
    let made = office.json(&["key", "new", "pd.key", "--label", "Bapenda"]);
    let shown = office.json(&["key", "show", "pd.key"]);
    assert_eq!(made, shown);
    assert_eq!(shown["label"], "Bapenda");
    let mode = std::fs::metadata(office.path("pd.key")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(office.json(&["key", "check", "pd.key"])["opens"], true);

    let mut change = office.command(&["key", "passphrase", "pd.key"]);
    assert_eq!(ended(change.env("LUMBUNG_NEW_PASSPHRASE", "yang baru dan panjang")).code, 0);
    assert_eq!(office.error(&["key", "check", "pd.key"]).0, "wrong-passphrase");
    let mut check = office.command(&["key", "check", "pd.key"]);
    assert_eq!(ended(check.env("LUMBUNG_PASSPHRASE", "yang baru dan panjang")).code, 0);
    assert_eq!(office.json(&["key", "show", "pd.key"]), shown, "the keys stay the same");
    assert!(!office.path("pd.key.new").exists());
}

#[test]
fn a_passphrase_comes_from_a_file_without_its_line_break() {
    let office = Office::new();
    office.write("secret", format!("{PASSPHRASE}\n").as_bytes());
    office.ok(&["key", "new", "pd.key"]);
    let mut check = office.command(&["key", "check", "pd.key", "--passphrase-file", "secret"]);
    assert_eq!(ended(check.env_remove("LUMBUNG_PASSPHRASE")).code, 0);
    let mut check = office.command(&["key", "check", "pd.key"]);
    check.env_remove("LUMBUNG_PASSPHRASE").env("LUMBUNG_PASSPHRASE_FILE", "secret");
    assert_eq!(ended(&mut check).code, 0);
}

#[test]
fn without_terminal_and_passphrase_it_says_where_to_put_one() {
    let office = Office::new();
    office.ok(&["key", "new", "pd.key"]);
    let ended = ended(office.command(&["key", "check", "pd.key"]).env_remove("LUMBUNG_PASSPHRASE"));
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("--passphrase-file") && ended.stderr.contains("LUMBUNG_PASSPHRASE"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_empty_passphrase_is_refused() {
    let office = Office::new();
    let ended = ended(office.command(&["key", "new", "pd.key"]).env("LUMBUNG_PASSPHRASE", ""));
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("empty"), "{}", ended.stderr);
    assert!(!office.path("pd.key").exists());
}

#[test]
fn the_printout_is_a_key_file() {
    let office = Office::new();
    office.ok(&["key", "new", "pd.key", "--label", "RSUD"]);
    let page = office.ok(&["key", "paper", "pd.key"]);
    assert!(page.contains('▀') && page.contains("RSUD"), "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
    // Typed in again, from the title to the code.
    let start = page.find("LUMBUNG KEY BUNDLE 1").expect("the title");
    let text: String = page[start..]
        .lines()
        .take_while(|line| !line.is_empty())
        .flat_map(|line| [line, "\n"])
        .collect();
    office.write("typed.key", text.as_bytes());
    let shown = office.json(&["key", "show", "typed.key"]);
    assert_eq!(shown["root_public"], office.json(&["key", "show", "pd.key"])["root_public"]);
    office.ok(&["key", "check", "typed.key"]);
}

#[test]
fn an_agents_file_shows_its_code_and_no_secret() {
    let office = Office::equipped();
    let shown = office.json(&["key", "show", "agent.id"]);
    assert_eq!(shown["kind"], "agent-identity");
    let code = shown["code"].as_str().expect("a code");
    assert!(code.starts_with("lumbung-agent:"), "{code}");
    let listed = office.json(&["roster", "show", "depot"]);
    assert_eq!(listed["roster"]["agents"][0]["key"], shown["key"]);
    let mode = std::fs::metadata(office.path("agent.id")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
