//! Random trees and random changes, backed up by the agent, pulled by the DRC and restored from there, equal what was
//! on the server.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::process::{eventually, output};
use lumbung_tests::{evidence, tree};
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// A change to the tree; names are numbers, so that changes meet.
#[derive(Debug, Clone)]
enum Change {
    Write { name: u8, length: u32, seed: u8 },
    Append { name: u8 },
    Sparse { name: u8, at: u32 },
    Folder { name: u8 },
    Symlink { name: u8, to: u8 },
    HardLink { name: u8, to: u8 },
    Rename { name: u8, to: u8 },
    Mode { name: u8, mode: u16 },
    Remove { name: u8 },
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let name = 0_u8..24;
    let change = prop_oneof![
        6 => (name.clone(), 0_u32..3_000_000, any::<u8>()).prop_map(|(name, length, seed)| Change::Write { name, length, seed }),
        2 => name.clone().prop_map(|name| Change::Append { name }),
        1 => (name.clone(), 0_u32..50_000_000).prop_map(|(name, at)| Change::Sparse { name, at }),
        2 => name.clone().prop_map(|name| Change::Folder { name }),
        1 => (name.clone(), name.clone()).prop_map(|(name, to)| Change::Symlink { name, to }),
        1 => (name.clone(), name.clone()).prop_map(|(name, to)| Change::HardLink { name, to }),
        1 => (name.clone(), name.clone()).prop_map(|(name, to)| Change::Rename { name, to }),
        1 => (name.clone(), 0_u16..0o7777).prop_map(|(name, mode)| Change::Mode { name, mode }),
        1 => name.prop_map(|name| Change::Remove { name }),
    ];
    proptest::collection::vec(change, 1..40)
}

/// Where a name stands: some in folders, some not UTF-8.
fn path(top: &Path, name: u8) -> PathBuf {
    let folder = ["", "a", "a/b", "a.b"][usize::from(name) % 4];
    let suffix: &[u8] = if name.is_multiple_of(5) { b"\xff\xfe" } else { b".dat" };
    top.join(folder)
        .join(std::ffi::OsStr::from_bytes(&[format!("n{name}").as_bytes(), suffix].concat()))
}

/// Makes a change as far as the tree allows it: a folder cannot be appended to, what is not there not renamed.
fn apply(top: &Path, change: &Change) {
    let at = |name: &u8| {
        let path = path(top, *name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let _ = match change {
        Change::Write { name, length, seed } => {
            let mut content = vec![0; *length as usize];
            blake3::Hasher::new().update(&[*seed]).finalize_xof().fill(&mut content);
            fs::write(at(name), content)
        }
        Change::Append { name } => File::options()
            .append(true)
            .open(at(name))
            .and_then(|mut file| file.write_all(b"satu baris lagi\n")),
        Change::Sparse { name, at: offset } => File::create(at(name)).and_then(|mut file| {
            file.seek(SeekFrom::Start(u64::from(*offset)))?;
            file.write_all(b"ujung")
        }),
        Change::Folder { name } => fs::create_dir(at(name)),
        Change::Symlink { name, to } => symlink(path(Path::new(".."), *to), at(name)),
        Change::HardLink { name, to } => fs::hard_link(at(to), at(name)),
        Change::Rename { name, to } => fs::rename(at(name), at(to)),
        Change::Mode { name, mode } => {
            fs::set_permissions(at(name), fs::Permissions::from_mode(u32::from(*mode)))
        }
        Change::Remove { name } => {
            fs::remove_file(at(name)).or_else(|_| fs::remove_dir_all(at(name)))
        }
    };
}

struct Bed {
    city: City,
    data: PathBuf,
}

impl Bed {
    fn back_up_and_restore(&self, out: &Path) -> Result<(), TestCaseError> {
        let (city, pd) = (&self.city, &self.city.pds[0]);
        output(pd.agent().arg("backup")).unwrap();
        let manifest = evidence::newest(&city.pusat.repository(&pd.repository)).unwrap().id;
        eventually("the DRC has pulled it", || {
            let listed =
                evidence::inventory(&city.drc.repository(&pd.repository), &city.drc.public.site)?;
            Ok(listed
                .contains(&manifest)
                .then_some(())
                .ok_or_else(|| format!("{} snapshots", listed.len())))
        })
        .unwrap();
        let _ = fs::remove_dir_all(out);
        let mut restore = city.lumbung();
        restore
            .arg("restore")
            .arg(&city.drc.url)
            .arg(manifest.to_string())
            .arg("--key")
            .arg(pd.key());
        output(restore.arg("--target").arg(out)).unwrap();
        let expected = tree::read(&self.data).unwrap();
        let found = tree::read(&out.join(self.data.strip_prefix("/").unwrap())).unwrap();
        let (lines, count) = tree::differences(&expected, &found, 3);
        if count == 0 { Ok(()) } else { Err(TestCaseError::fail(lines.join("\n"))) }
    }
}

#[test]
fn what_is_restored_from_the_drc_is_what_was_on_the_server() {
    let directory = tempfile::TempDir::with_prefix("lumbung-replicated-").unwrap();
    let data = directory.path().join("srv");
    fs::create_dir(&data).unwrap();
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
    let bed = Bed { city: City::found(directory.path(), vec![plan], |_| ()).unwrap(), data };
    let cases = std::env::var("LUMBUNG_TEST_CASES").map_or(8, |cases| cases.parse().unwrap());
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let rounds = proptest::collection::vec(changes(), 1..4);
    runner
        .run(&rounds, |rounds| {
            for entry in fs::read_dir(&bed.data).unwrap() {
                let path = entry.unwrap().path();
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            }
            for changes in &rounds {
                changes.iter().for_each(|change| apply(&bed.data, change));
                bed.back_up_and_restore(&directory.path().join("out"))?;
            }
            Ok(())
        })
        .unwrap();
}
