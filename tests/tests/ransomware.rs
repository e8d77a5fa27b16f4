//! The ransomware exercise in short: what the attacker must not be able to do, and that the city recovers.

use lumbung_tests::ransomware::exercise;
use tempfile::TempDir;

#[test]
fn whoever_has_root_on_a_server_and_at_the_pusat_data_takes_nothing_from_the_drc() {
    let directory = TempDir::with_prefix("lumbung-ransomware-").unwrap();
    let outcome = exercise(directory.path(), 60, &mut |text| eprintln!("{text}")).unwrap();
    let could: Vec<&str> =
        outcome.deeds.iter().filter(|deed| deed.could).map(|deed| deed.what).collect();
    let expected = [
        "encrypt every file of the PD's server",
        "have the encrypted files backed up as well",
        "destroy the Pusat Data's copy",
    ];
    assert_eq!(could, expected, "{:#?}", outcome.deeds);
    assert_eq!(outcome.deeds.len(), 10, "{:#?}", outcome.deeds);
    assert_eq!(outcome.differences, 0);
    // Sixty files, the one that changes daily, and their folder with its parent.
    assert!(outcome.entries >= 62, "{}", outcome.entries);
}
