//! Plans of drills, checked without a controller.

use crate::office::Office;

const EXAMPLE: &str = include_str!("../../../config/drill.example.toml");

#[test]
fn the_example_has_no_fault() {
    let office = Office::new();
    office.write("rencana.toml", EXAMPLE.as_bytes());
    let checked = office.json(&["drill", "plan", "check", "rencana.toml"]);
    assert_eq!(checked["faults"], serde_json::json!([]));
    assert_eq!(checked["steps"], 6);
    assert!(
        office.ok(&["drill", "plan", "check", "rencana.toml"]).contains("Tidak ada yang salah")
    );
}

#[test]
fn everything_that_is_wrong_is_told_with_the_steps() {
    let office = Office::new();
    let circular = EXAMPLE
        .replace(
            "limit = \"2 min\"\naction = { kind = \"isolate\"",
            "limit = \"2 min\"\nafter = [\"alih-dns\"]\naction = { kind = \"isolate\"",
        )
        .replace("who = \"pemilik data\"", "who = \"direktur\"");
    office.write("rencana.toml", circular.as_bytes());
    let ended = office.run(&["drill", "plan", "check", "rencana.toml"]);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    let told: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(told.len(), 2, "{}", ended.stdout);
    assert!(
        ended.stdout.contains("could never begin: putus → alih-dns → pulihkan → putus"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("no participant has the role \"direktur\""), "{}", ended.stdout);

    // What is no plan at all is told with its line.
    office.write(
        "rencana.toml",
        EXAMPLE.replace("kind = \"switch\"", "kind = \"switsh\"").as_bytes(),
    );
    let ended = office.run(&["drill", "plan", "check", "rencana.toml"]);
    let line =
        1 + EXAMPLE.lines().position(|line| line.contains("kind = \"switch\"")).expect("the line");
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains(&format!("rencana.toml:{line}")), "{line}: {}", ended.stderr);
    assert!(ended.stderr.contains("did you mean `switch`?"), "{}", ended.stderr);
    office.write(
        "rencana.toml",
        EXAMPLE.replace("\"dns-ke-drc\"", "\"/bin/sh -c reboot\"").as_bytes(),
    );
    let ended = office.run(&["drill", "plan", "check", "rencana.toml"]);
    assert!(ended.stderr.contains("is no name in the runner's file"), "{}", ended.stderr);
}
