//! The profiles that come with the program, and what a profile may not say.

use super::*;

const KOTA: &str = include_str!("../../../config/profiles/kota.toml");

#[test]
fn every_profile_that_comes_along_is_in_order_and_is_called_as_its_city() {
    for (name, text) in BUILT_IN {
        let profile = Profile::from_text(name, text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(profile.city.code, *name);
    }
}

#[test]
fn a_contradiction_is_told_with_its_rule() {
    let rule = |lines: &str| {
        format!(
            "{KOTA}\n[[rule]]\nid = 'x'\nobligations = ['O1']\nasks = {{ id = 'a', en = 'b' }}\n{lines}\n"
        )
    };
    let proposal = "force = 'proposal'\n";
    let cases = [
        (KOTA.replace("code = \"kota\"", "code = \"Kota X\""), "city.code"),
        (KOTA.replace("rpo_h = 6", "rpo_h = 60"), "upside down"),
        (KOTA.replace("\"WIB\"", "\"Asia/Medan\""), "\"Asia/Medan\" is not a time zone"),
        (
            KOTA.replace("schedule = \"30 1 * * *\"", "schedule = \"61 1 * * *\""),
            "urgency.high.schedule",
        ),
        (
            KOTA.replace("inventory_max_age_h = 48", "inventory_max_age_h = 72"),
            "inventory_max_age_h",
        ),
        (KOTA.replace("id = \"drc-copy\"", "id = \"backup\""), "stands twice"),
        (rule("force = 'must'\nlook = 'backed_up'"), "a proposal has no article"),
        (rule(&format!("{proposal}look = 'drc_distance'")), "min_km"),
        (rule(&format!("{proposal}look = 'backed_up'\nmin_km = 3.0")), "drc_distance only"),
        (rule(&format!("{proposal}look = 'backed_up'\nwithin_days = 3")), "means nothing"),
        (rule(&format!("{proposal}look = 'apart_medium'")), "within_days is missing"),
        (rule(&format!("{proposal}look = 'has_sla'\nwhere.urgency = ['low']")), "for datasets"),
        (rule(&format!("{proposal}look = 'backed_up'\nwhere.critical = true")), "for services"),
        (rule(&format!("{proposal}look = 'drc_exists'\nwhere.pd = 'dinas'")), "city's sites"),
        (rule(&format!("{proposal}look = 'backd_up'")), "did you mean `backed_up`"),
    ];
    for (text, part) in cases {
        let error = Profile::from_text("x.toml", &text).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("x.toml"), "{part}: {error}");
    }
}

#[test]
fn a_profile_is_named_or_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.toml");
    std::fs::write(&file, KOTA.replace("\"kota\"", "\"own\"")).unwrap();
    assert_eq!(Profile::load(file.to_str().unwrap()).unwrap().city.code, "own");
    let error = Profile::load("atlantis").unwrap_err().to_string();
    assert!(error.contains("atlantis") && error.contains("kota"), "{error}");
    assert!(matches!(Profile::load("no/such.toml"), Err(ProfileError::Read { .. })));
}

#[test]
fn a_city_has_its_time_zone_and_wib_if_it_says_none() {
    let zone = |text: &str| Profile::from_text("x.toml", text).unwrap().zone().name();
    assert_eq!(zone(KOTA), "Asia/Jakarta");
    assert_eq!(zone(&KOTA.replace("timezone = \"WIB\"\n", "")), "Asia/Jakarta");
    assert_eq!(zone(&KOTA.replace("\"WIB\"", "\"WITA\"")), "Asia/Makassar");
}
