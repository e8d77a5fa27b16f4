//! Random trees and random changes: what is backed up is what comes back.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::world::{World, noise};

#[derive(Debug, Clone)]
enum Change {
    Write { name: Name, seed: u64, length: usize },
    Append { name: Name, length: usize },
    Sparse { name: Name, size: u64, data: Vec<(u64, usize)> },
    Directory(Name),
    Link { name: Name, target: Vec<u8> },
    HardLink { from: Name, to: Name },
    Remove(Name),
    Rename { from: Name, to: Name },
    Mode { name: Name, mode: u32 },
    Attribute { name: Name, value: Vec<u8> },
    Fifo(Name),
}

/// A path of up to three components out of few names, so that changes meet.
#[derive(Debug, Clone)]
struct Name(Vec<usize>);

const NAMES: [&[u8]; 7] = [b"a", b"b", b"a-", b"\xff\x80", b"...", b"x y", b"Z"];

impl Name {
    fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(self.0.iter().map(|n| std::ffi::OsStr::from_bytes(NAMES[*n])));
        path
    }
}

fn name() -> impl Strategy<Value = Name> {
    prop::collection::vec(0..NAMES.len(), 1..4).prop_map(Name)
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..300_usize, 3 => 1000..40_000_usize, 1 => 1_000_000..1_200_000_usize]
}

fn change() -> impl Strategy<Value = Change> {
    let data = prop::collection::vec((0..2_000_000_u64, 1..20_000_usize), 0..3);
    prop_oneof![
        6 => (name(), any::<u64>(), length()).prop_map(|(name, seed, length)| Change::Write { name, seed: seed % 5, length }),
        2 => (name(), length()).prop_map(|(name, length)| Change::Append { name, length }),
        1 => (name(), 0..3_000_000_u64, data).prop_map(|(name, size, data)| Change::Sparse { name, size, data }),
        2 => name().prop_map(Change::Directory),
        1 => (name(), prop::collection::vec(1..=255_u8, 1..20)).prop_map(|(name, target)| Change::Link { name, target }),
        1 => (name(), name()).prop_map(|(from, to)| Change::HardLink { from, to }),
        2 => name().prop_map(Change::Remove),
        1 => (name(), name()).prop_map(|(from, to)| Change::Rename { from, to }),
        1 => (name(), 0..0o10000_u32).prop_map(|(name, mode)| Change::Mode { name, mode }),
        1 => (name(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(name, value)| Change::Attribute { name, value }),
        1 => name().prop_map(Change::Fifo),
    ]
}

/// Carries a change out as far as the tree lets it: what is impossible changes nothing.
fn apply(root: &Path, change: &Change) {
    let parent = |path: &Path| std::fs::create_dir_all(path.parent().unwrap());
    let plain = |path: &Path| path.symlink_metadata().map_or(true, |meta| meta.is_file());
    let _ = match change {
        Change::Write { name, seed, length } => {
            let path = name.under(root);
            parent(&path).and_then(|()| {
                if plain(&path) { std::fs::write(&path, noise(*seed, *length)) } else { Ok(()) }
            })
        }
        Change::Append { name, length } => {
            let path = name.under(root);
            if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                return;
            }
            std::fs::File::options()
                .append(true)
                .open(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, &noise(9, *length)))
        }
        Change::Sparse { name, size, data } => {
            let path = name.under(root);
            if parent(&path).is_err() || !plain(&path) {
                return;
            }
            std::fs::File::create(&path).and_then(|file| {
                file.set_len(*size)?;
                data.iter().try_for_each(|(offset, length)| {
                    file.write_all_at(&noise(*offset, *length), *offset)
                })
            })
        }
        Change::Directory(name) => std::fs::create_dir_all(name.under(root)),
        Change::Link { name, target } => parent(&name.under(root))
            .and_then(|()| symlink(std::ffi::OsStr::from_bytes(target), name.under(root))),
        Change::HardLink { from, to } => parent(&to.under(root))
            .and_then(|()| std::fs::hard_link(from.under(root), to.under(root))),
        Change::Remove(name) => {
            let path = name.under(root);
            std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path))
        }
        Change::Rename { from, to } => std::fs::rename(from.under(root), to.under(root)),
        Change::Mode { name, mode } => {
            // Root reads it anyway; anybody else would lock themselves out.
            let mode = if rustix::process::geteuid().is_root() { *mode } else { *mode | 0o700 };
            let path = name.under(root);
            if path.is_symlink() {
                return;
            }
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        }
        Change::Attribute { name, value } => {
            let path = name.under(root);
            if path.is_symlink() {
                return;
            }
            rustix::fs::setxattr(&path, c"user.test", value, rustix::fs::XattrFlags::empty())
                .map_err(Into::into)
        }
        Change::Fifo(name) => parent(&name.under(root)).and_then(|()| {
            let kind = rustix::fs::FileType::Fifo;
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, name.under(root), kind, mode, 0)
                .map_err(Into::into)
        }),
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn trees_come_back_as_they_were(
        runs in prop::collection::vec((prop::collection::vec(change(), 1..25), any::<bool>()), 1..4),
    ) {
        let world = World::new();
        for (changes, trust) in runs {
            for change in &changes {
                apply(&world.source(), change);
            }
            let outcome = world.backup();
            prop_assert_eq!(outcome.warnings_total, 0);
            world.check_at(world.depot.clone(), &outcome.manifest);
            // What the kernel's clock cannot tell apart is the racy rule's business, not this test's: changes
            // in the next round come later than this.
            if trust {
                world.trust_cache();
            }
        }
    }
}
