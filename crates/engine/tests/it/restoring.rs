//! Restoring over what is there: random trees, targets and rules against a model of the rules that knows nothing
//! of plans, descriptors or renames.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use lumbung_engine::{
    Cancel, Counts, Include, NoProgress, OverwritePolicy, RestoreError, RestoreOptions,
    RestoreOutcome, RestoreRequest, SnapshotReader, Step, plan, restore,
};
use proptest::prelude::*;

use crate::world::{World, noise};

/// What a path may be: in the source and in the target alike.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder,
    File { seed: u64, length: usize, time: i64 },
    Link(&'static str),
}

/// Paths as a folder sees them: parents before children.
type Tree = BTreeMap<PathBuf, Node>;

fn node() -> impl Strategy<Value = Node> {
    let file = |(seed, length, time)| Node::File { seed, length, time };
    prop_oneof![
        2 => Just(Node::Folder),
        4 => (0..3_u64, prop_oneof![Just(0), Just(40), Just(9000)], 1000..1004_i64).prop_map(file),
        1 => prop_oneof![Just("a"), Just("/nowhere"), Just("..")].prop_map(Node::Link),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c.d")];
    let path = prop::collection::vec(name, 1..4).prop_map(|parts| parts.iter().collect());
    let nodes = prop::collection::vec((path, node()), 0..14);
    nodes.prop_map(|nodes: Vec<(PathBuf, Node)>| {
        let mut tree = Tree::new();
        for (path, node) in nodes {
            let above: Vec<&Path> =
                path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
            let free = above.iter().all(|a| matches!(tree.get(*a), None | Some(Node::Folder)));
            if free && !tree.contains_key(&path) {
                above.iter().for_each(|above| {
                    tree.insert(above.to_path_buf(), Node::Folder);
                });
                tree.insert(path, node);
            }
        }
        tree
    })
}

/// Every folder has this time: what is in it does not change it in the model.
const FOLDER_TIME: i64 = 500;

fn set_time(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let nofollow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, nofollow).unwrap();
}

fn make(root: &Path, tree: &Tree) {
    std::fs::create_dir_all(root).unwrap();
    for (path, node) in tree {
        let path = root.join(path);
        match node {
            Node::Folder => std::fs::create_dir(&path).unwrap(),
            Node::File { seed, length, .. } => {
                std::fs::write(&path, noise(*seed, *length)).unwrap()
            }
            Node::Link(says) => symlink(says, &path).unwrap(),
        }
    }
    for (path, node) in tree.iter().rev() {
        let time = if let Node::File { time, .. } = node { *time } else { FOLDER_TIME };
        set_time(&root.join(path), time);
    }
    set_time(root, FOLDER_TIME);
}

fn read(root: &Path) -> Tree {
    fn add(root: &Path, folder: &Path, tree: &mut Tree) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let inner = path.strip_prefix(root).unwrap().to_owned();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                tree.insert(inner, Node::Folder);
                add(root, &path, tree);
            } else if meta.is_symlink() {
                let says = std::fs::read_link(&path).unwrap();
                let known = ["a", "/nowhere", ".."].into_iter().find(|k| says == Path::new(k));
                tree.insert(inner, Node::Link(known.unwrap()));
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let seed = (0..3).find(|seed| noise(*seed, bytes.len()) == bytes);
                let (length, time) = (bytes.len(), meta.mtime());
                tree.insert(inner, Node::File { seed: seed.unwrap(), length, time });
            }
        }
    }
    let mut tree = Tree::new();
    add(root, root, &mut tree);
    tree
}

fn time_of(node: &Node) -> i64 {
    if let Node::File { time, .. } = node { *time } else { FOLDER_TIME }
}

/// What size and time cannot tell apart.
fn looks_the_same(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::File { length: l, time: t, .. }, Node::File { length: m, time: u, .. }) => {
            (l, t) == (m, u)
        }
        // An empty file has one content only, whatever its seed.
        (a, b) => a == b,
    }
}

/// The rules in a few lines: what the target holds afterwards, and whether something is in the way.
fn expected(snapshot: &Tree, there: &Tree, rule: OverwritePolicy, delete: bool) -> (Tree, bool) {
    let mut result = there.clone();
    let mut blocked = Vec::<PathBuf>::new();
    let beneath = |tree: &Tree, folder: &Path| -> Vec<PathBuf> {
        tree.keys().filter(|p| p.starts_with(folder) && *p != folder).cloned().collect()
    };
    let mut is_blocked = false;
    for (path, node) in snapshot {
        if blocked.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let Some(present) = result.get(path).cloned() else {
            result.insert(path.clone(), node.clone());
            continue;
        };
        let may = match rule {
            OverwritePolicy::Never => false,
            OverwritePolicy::IfNewer => time_of(node) > time_of(&present),
            OverwritePolicy::IfChanged | OverwritePolicy::Always => true,
        };
        let same = looks_the_same(node, &present);
        match (node, &present) {
            (Node::Folder, Node::Folder) => {}
            _ if same && rule != OverwritePolicy::Always => {}
            (Node::Folder, _) if !may => {
                blocked.push(path.clone());
                is_blocked = true;
            }
            (_, _) if !may => {}
            (_, Node::Folder) => {
                let inside = beneath(&result, path);
                if inside.is_empty() || delete {
                    result.retain(|path, _| !inside.contains(path));
                    result.insert(path.clone(), node.clone());
                } else {
                    is_blocked = true;
                }
            }
            _ => {
                result.insert(path.clone(), node.clone());
            }
        }
    }
    // Nothing is deleted where something could not be restored.
    if delete && !is_blocked {
        // A folder that stays in a file's place stays with all that lies in it.
        let kept = |path: &Path| {
            path.ancestors()
                .skip(1)
                .any(|above| snapshot.get(above).is_some_and(|n| *n != Node::Folder))
        };
        // So does what lies in a folder that the snapshot has as empty.
        let in_empty = |path: &Path| {
            let known =
                |above: &&Path| above.as_os_str().is_empty() || snapshot.contains_key(*above);
            let folder = path.ancestors().skip(1).find(known).unwrap();
            beneath(snapshot, folder).is_empty()
        };
        result.retain(|path, _| snapshot.contains_key(path) || kept(path) || in_empty(path));
    }
    (result, is_blocked)
}

/// Empty files are all alike.
fn plain(tree: &Tree) -> Tree {
    let empty = |node: &Node| match node {
        Node::File { length: 0, time, .. } => Node::File { seed: 0, length: 0, time: *time },
        other => other.clone(),
    };
    tree.iter().map(|(path, node)| (path.clone(), empty(node))).collect()
}

fn request<'a>(
    snapshot: &'a SnapshotReader,
    target: &'a Path,
    options: RestoreOptions,
    cancel: &'a Cancel,
) -> RestoreRequest<'a> {
    RestoreRequest {
        snapshot,
        fallback: None,
        target,
        include: Include::all(),
        options,
        progress: &NoProgress,
        cancel,
    }
}

fn planned(request: &RestoreRequest<'_>) -> (Counts, u64, Vec<(Vec<u8>, Step)>) {
    let mut steps = Vec::new();
    let report = plan::<RestoreError>(request, &mut |planned| {
        steps.push((planned.path.to_vec(), planned.step));
        Ok(())
    });
    let report = report.unwrap();
    (report.counts, report.failures_total, steps)
}

fn run(request: &RestoreRequest<'_>) -> RestoreOutcome {
    restore(request).unwrap()
}

const RULES: [OverwritePolicy; 4] = [
    OverwritePolicy::Never,
    OverwritePolicy::IfNewer,
    OverwritePolicy::IfChanged,
    OverwritePolicy::Always,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_does_what_it_says(
        snapshot in tree(),
        there in tree(),
        rule in (0..4_usize).prop_map(|n| RULES[n]),
        delete in any::<bool>(),
        use_openat2 in any::<bool>(),
    ) {
        let world = World::new();
        make(&world.source(), &snapshot);
        let manifest = world.backup().manifest;
        let reader = world.open(&manifest);
        let target = tempfile::tempdir().unwrap();
        let outside = target.path().join("beside");
        let at = world.restored(target.path());
        make(&at, &there);
        std::fs::write(&outside, "never touched").unwrap();
        let before = read(&at);

        let options = RestoreOptions { overwrite: rule, delete, use_openat2, ..RestoreOptions::default() };
        let cancel = Cancel::default();
        let request = request(&reader, target.path(), options, &cancel);
        let (counts, foreseen, _) = planned(&request);
        prop_assert_eq!(plain(&read(&at)), plain(&before), "a plan changes nothing");

        let outcome = run(&request);
        let (wanted, blocked) = expected(&snapshot, &there, rule, delete);
        prop_assert_eq!(plain(&read(&at)), plain(&wanted), "{:?}", outcome);
        prop_assert_eq!(outcome.failures_total > 0, blocked, "{:?}", outcome);
        prop_assert_eq!(std::fs::read(&outside).unwrap(), b"never touched");
        // What was foreseen is what happened; a comparison ends as one of two.
        prop_assert_eq!(foreseen, outcome.failures_total);
        let done = outcome.counts;
        prop_assert_eq!((counts.created, counts.kept, counts.blocked), (done.created, done.kept, done.blocked));
        prop_assert_eq!(counts.replaced + counts.adjusted + counts.unchanged + counts.compared,
            done.replaced + done.adjusted + done.unchanged);
        if !blocked {
            prop_assert_eq!(counts.deleted, done.deleted);
        }

        // A second run finds nothing to do.
        let again = run(&request).counts;
        prop_assert_eq!((again.created, again.replaced, again.deleted), (0, 0, 0), "{:?}", again);
        prop_assert_eq!(plain(&read(&at)), plain(&wanted));
    }
}

fn folder_of(world: &World) -> (SnapshotReader, tempfile::TempDir, PathBuf) {
    world.write("folder/inner/file", "right");
    world.write("folder/other", "right");
    let reader = world.open(&world.backup().manifest);
    let target = tempfile::tempdir().unwrap();
    let at = world.restored(target.path());
    (reader, target, at)
}

#[test]
fn nothing_is_deleted_through_a_link_or_outside_of_what_is_restored() {
    let world = World::new();
    let (reader, target, at) = folder_of(&world);
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("precious"), "x").unwrap();
    std::fs::create_dir_all(at.join("folder")).unwrap();
    // Superfluous links go; what they lead to stays. A folder of the snapshot that is a link is replaced.
    symlink(outside.path(), at.join("folder/away")).unwrap();
    symlink(outside.path(), at.join("folder/inner")).unwrap();
    std::fs::write(at.join("beside"), "not in the restored folder").unwrap();
    let cancel = Cancel::default();
    let options = RestoreOptions {
        overwrite: OverwritePolicy::IfChanged,
        delete: true,
        ..RestoreOptions::default()
    };
    let part = world.source().join("folder");
    let request = RestoreRequest {
        include: Include::paths([part.to_str().unwrap()]),
        ..request(&reader, target.path(), options, &cancel)
    };
    let outcome = run(&request);
    assert_eq!((outcome.failures_total, outcome.counts.deleted), (0, 1), "{outcome:?}");
    assert_eq!(std::fs::read(outside.path().join("precious")).unwrap(), b"x");
    assert_eq!(std::fs::read(at.join("folder/inner/file")).unwrap(), b"right");
    assert!(!at.join("folder/away").is_symlink());
    assert!(at.join("beside").exists(), "it lies above the restored folder");
    let file = world.source().join("folder/other");
    let request = RestoreRequest { include: Include::paths([file.to_str().unwrap()]), ..request };
    assert!(matches!(restore(&request), Err(RestoreError::DeleteNeedsFolder(_))));
}

#[test]
fn what_is_protected_is_not_deleted_nor_a_folder_above_it() {
    let world = World::new();
    let (reader, target, at) = folder_of(&world);
    std::fs::create_dir_all(at.join("folder/store/deep")).unwrap();
    std::fs::write(at.join("folder/store/deep/key"), "secret").unwrap();
    std::fs::write(at.join("folder/store/junk"), "x").unwrap();
    let cancel = Cancel::default();
    let options = RestoreOptions {
        delete: true,
        protected: vec![at.join("folder/store/deep")],
        ..RestoreOptions::default()
    };
    let outcome = run(&request(&reader, target.path(), options, &cancel));
    assert_eq!(outcome.failures, []);
    assert_eq!(std::fs::read(at.join("folder/store/deep/key")).unwrap(), b"secret");
    assert!(!at.join("folder/store/junk").exists());
}

#[test]
fn a_protected_folder_is_not_swept_whether_the_snapshot_has_it_empty_or_with_content() {
    let world = World::new();
    world.write("folder/other", "right");
    std::fs::create_dir_all(world.source().join("folder/depot")).unwrap();
    world.write("folder/state/once", "x");
    let reader = world.open(&world.backup().manifest);
    let target = tempfile::tempdir().unwrap();
    let at = world.restored(target.path()).join("folder");
    let there = ["depot/packs/pack", "state/key", "state/deep/key", "state/once", "gone"];
    for path in there {
        std::fs::create_dir_all(at.join(path).parent().unwrap()).unwrap();
        std::fs::write(at.join(path), "kept").unwrap();
    }
    symlink("depot", at.join("link")).unwrap();
    let cancel = Cancel::default();
    let options = RestoreOptions {
        delete: true,
        // The depot by a link that leads to it, as people name them.
        protected: vec![at.join("link"), at.join("state")],
        ..RestoreOptions::default()
    };
    let request = request(&reader, target.path(), options, &cancel);
    let (counts, failures, _) = planned(&request);
    assert_eq!((counts.deleted, failures), (1, 0));
    let outcome = run(&request);
    assert_eq!((outcome.counts.deleted, outcome.failures_total), (1, 0), "{outcome:?}");
    for path in &there[..4] {
        assert_eq!(std::fs::read(at.join(path)).unwrap(), b"kept", "{path}");
    }
    assert!(at.join("link").is_symlink());
    assert!(!at.join("gone").exists());
}

#[test]
fn what_lies_in_a_folder_that_the_snapshot_has_as_empty_is_left_and_told() {
    let world = World::new();
    world.write("folder/other", "right");
    std::fs::create_dir_all(world.source().join("folder/mount")).unwrap();
    let reader = world.open(&world.backup().manifest);
    let target = tempfile::tempdir().unwrap();
    let at = world.restored(target.path()).join("folder");
    std::fs::create_dir_all(at.join("mount")).unwrap();
    std::fs::write(at.join("mount/precious"), "kept").unwrap();
    let cancel = Cancel::default();
    let options = RestoreOptions { delete: true, ..RestoreOptions::default() };
    let outcome = run(&request(&reader, target.path(), options, &cancel));
    assert_eq!((outcome.counts.deleted, outcome.failures_total), (0, 0), "{outcome:?}");
    assert_eq!(std::fs::read(at.join("mount/precious")).unwrap(), b"kept");
    assert!(outcome.warnings.iter().any(|told| told.reason.contains("not entered")), "{outcome:?}");
}

#[test]
fn a_folder_in_the_place_of_a_file_is_planned_with_all_that_lies_in_it() {
    let world = World::new();
    let (reader, target, at) = folder_of(&world);
    std::fs::create_dir_all(at.join("folder/other/deep")).unwrap();
    std::fs::write(at.join("folder/other/deep/x"), "x").unwrap();
    let cancel = Cancel::default();
    let options = RestoreOptions {
        overwrite: OverwritePolicy::IfChanged,
        delete: true,
        ..RestoreOptions::default()
    };
    let request = request(&reader, target.path(), options, &cancel);
    let (counts, failures, steps) = planned(&request);
    assert_eq!((counts.deleted, counts.replaced, failures), (3, 1, 0));
    let of = |step| steps.iter().any(|(path, s)| path.ends_with(b"folder/other") && *s == step);
    assert!(of(Step::Delete) && of(Step::Replace), "{steps:?}");
    let done = run(&request);
    assert_eq!((done.counts.deleted, done.counts.replaced), (3, 1), "{done:?}");
    assert_eq!(std::fs::read(at.join("folder/other")).unwrap(), b"right");
}

#[test]
fn a_link_on_the_way_is_neither_followed_nor_replaced() {
    let world = World::new();
    let (reader, target, at) = folder_of(&world);
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    // The folder above the source leads elsewhere here.
    let above = at.parent().unwrap();
    std::fs::remove_dir(above).unwrap();
    symlink(outside.path(), above).unwrap();
    let cancel = Cancel::default();
    for overwrite in RULES {
        let options = RestoreOptions { overwrite, delete: true, ..RestoreOptions::default() };
        let outcome = run(&request(&reader, target.path(), options, &cancel));
        assert!(outcome.failures_total > 0, "{overwrite:?}");
        assert!(above.is_symlink());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_file_in_use_is_replaced_and_its_reader_keeps_the_old_one() {
    use std::io::Read as _;
    let world = World::new();
    let (reader, target, at) = folder_of(&world);
    std::fs::create_dir_all(at.join("folder")).unwrap();
    std::fs::write(at.join("folder/other"), "in use").unwrap();
    std::fs::hard_link(at.join("folder/other"), at.join("second-name")).unwrap();
    let mut open = std::fs::File::open(at.join("folder/other")).unwrap();
    let cancel = Cancel::default();
    let options =
        RestoreOptions { overwrite: OverwritePolicy::Always, ..RestoreOptions::default() };
    assert_eq!(run(&request(&reader, target.path(), options, &cancel)).failures, []);
    let mut old = String::new();
    open.read_to_string(&mut old).unwrap();
    assert_eq!(old, "in use");
    assert_eq!(std::fs::read(at.join("folder/other")).unwrap(), b"right");
    assert_eq!(std::fs::read(at.join("second-name")).unwrap(), b"in use", "no other name changes");
}

#[test]
fn the_content_decides_where_times_lie() {
    let world = World::new();
    world.write("big", noise(1, 300_000));
    world.write("small", "12345");
    let reader = world.open(&world.backup().manifest);
    let target = tempfile::tempdir().unwrap();
    let cancel = Cancel::default();
    let options = |overwrite| RestoreOptions { overwrite, ..RestoreOptions::default() };
    let first = request(&reader, target.path(), options(OverwritePolicy::Never), &cancel);
    run(&first);
    let at = world.restored(target.path());
    for (name, bytes) in [("big", noise(2, 300_000)), ("small", b"1234X".to_vec())] {
        let time = std::fs::metadata(at.join(name)).unwrap().modified().unwrap();
        std::fs::write(at.join(name), bytes).unwrap();
        std::fs::File::options()
            .write(true)
            .open(at.join(name))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    let changed = request(&reader, target.path(), options(OverwritePolicy::IfChanged), &cancel);
    assert_eq!(run(&changed).counts.replaced, 0, "size and time are the same");
    let always = request(&reader, target.path(), options(OverwritePolicy::Always), &cancel);
    let (counts, ..) = planned(&always);
    assert_eq!(counts.compared, 2);
    assert_eq!(run(&always).counts.replaced, 2);
    assert_eq!(run(&always).counts.replaced, 0);
    assert_eq!(world.compare(&reader, target.path()).differences, []);
}
