//! Holds the numbers of `docs/format.md` against the code's.

use lumbung_pack::{Kind, limits};

const PAGE: &str = include_str!("../../../docs/format.md");

/// The cells of every table row of the page.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    PAGE.lines().filter(|line| line.starts_with("| ")).map(|line| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
    })
}

#[test]
fn the_kinds_are_those_of_the_page() {
    let mut documented: Vec<(u8, String, String)> = rows()
        .filter(|cells| cells.len() == 4)
        .filter_map(|cells| {
            Some((cells[0].parse().ok()?, cells[1].to_owned(), cells[2].to_owned()))
        })
        .filter(|(_, name, _)| !name.chars().all(|c| c.is_ascii_digit()))
        .collect();
    documented.sort();
    let mut coded: Vec<(u8, String, String)> = Kind::ALL
        .iter()
        .map(|kind| {
            let folder = if kind.folder().is_empty() { "–" } else { kind.folder() };
            (kind.code(), kind.name().to_owned(), folder.to_owned())
        })
        .collect();
    coded.sort();
    assert_eq!(documented, coded);
}

#[test]
fn the_limits_are_those_of_the_page() {
    let limits = [
        ("CHUNK_MIN", limits::CHUNK_MIN),
        ("CHUNK_AVG", limits::CHUNK_AVG),
        ("CHUNK_MAX", limits::CHUNK_MAX),
        ("PACK_TARGET", limits::PACK_TARGET),
        ("PACK_MAX_FRAMES", limits::PACK_MAX_FRAMES),
        ("PACK_MAX_BYTES", limits::PACK_MAX_BYTES),
        ("OBJECT_MAX_BYTES", limits::OBJECT_MAX_BYTES),
        ("MEDIUM_LIST_MAX_BYTES", limits::MEDIUM_LIST_MAX_BYTES),
        ("PATH_MAX_BYTES", limits::PATH_MAX_BYTES),
        ("ENTRY_MAX_BYTES", limits::ENTRY_MAX_BYTES),
        ("LABEL_MAX_BYTES", limits::LABEL_MAX_BYTES),
        ("WRAP_MAX_SESSIONS", limits::WRAP_MAX_SESSIONS),
        ("GRANT_MAX_SNAPSHOTS", limits::GRANT_MAX_SNAPSHOTS),
        ("GRANT_MAX_PARTS", limits::GRANT_MAX_PARTS),
        ("GRANT_SEALED_MAX_BYTES", limits::GRANT_SEALED_MAX_BYTES),
        ("GRANT_MAX_DAYS", limits::GRANT_MAX_DAYS),
    ];
    for (name, value) in limits {
        let row = rows().find(|cells| cells[0] == name);
        let row = row.unwrap_or_else(|| panic!("{name} does not stand in docs/format.md"));
        assert_eq!(row[1].parse(), Ok(value), "{name}");
    }
    let documented = rows().filter(|cells| {
        cells[0].len() > 6 && cells[0].chars().all(|c| c == '_' || c.is_ascii_uppercase())
    });
    assert_eq!(
        documented.count(),
        limits.len(),
        "a limit stands on the page that this test does not know"
    );
}
