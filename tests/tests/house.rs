//! The house: which crate may use which, and who can reach the secret half.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Who may use whom, among the workspace's own crates (normal dependencies). `lumbung-tests`,
/// `lumbung-fuzz-targets` and `xtask` are outside the house and may use anything.
const DIRECTIONS: [(&str, &[&str]); 12] = [
    ("lumbung-model", &[]),
    ("lumbung-pack", &["lumbung-model"]),
    ("lumbung-store", &["lumbung-model", "lumbung-pack"]),
    ("lumbung-seal", &["lumbung-model", "lumbung-pack"]),
    ("lumbung-wire", &["lumbung-model", "lumbung-pack"]),
    (
        "lumbung-engine",
        &["lumbung-model", "lumbung-pack", "lumbung-seal", "lumbung-store", "lumbung-wire"],
    ),
    ("lumbung-database", &["lumbung-model", "lumbung-engine"]),
    ("lumbung-probe", &["lumbung-model", "lumbung-wire"]),
    (
        "lumbung-vault",
        &["lumbung-model", "lumbung-pack", "lumbung-store", "lumbung-wire", "lumbung-probe"],
    ),
    ("lumbung-controller", &["lumbung-model", "lumbung-pack", "lumbung-wire", "lumbung-probe"]),
    (
        "lumbung-agent",
        &[
            "lumbung-model",
            "lumbung-pack",
            "lumbung-probe",
            "lumbung-seal",
            "lumbung-store",
            "lumbung-wire",
            "lumbung-engine",
            "lumbung-database",
        ],
    ),
    (
        "lumbung-cli",
        &[
            "lumbung-model",
            "lumbung-pack",
            "lumbung-seal",
            "lumbung-store",
            "lumbung-wire",
            "lumbung-engine",
            "lumbung-database",
        ],
    ),
];
const OUTSIDE: [&str; 3] = ["lumbung-tests", "lumbung-fuzz-targets", "xtask"];
const SECRET_HALF: [&str; 4] = ["lumbung-seal", "lumbung-engine", "aes-gcm", "hpke"];

fn cargo(arguments: &[&str]) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The workspace's crates with the workspace's crates that they use.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> =
        packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let of = |package: &serde_json::Value| {
        let used = package["dependencies"].as_array().unwrap().iter();
        let used = used.filter(|dependency| dependency["kind"].as_str() != Some("dev"));
        let used = used.map(|dependency| dependency["name"].as_str().unwrap());
        used.filter(|name| names.contains(name)).map(str::to_owned).collect()
    };
    packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap().to_owned(), of(package)))
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = DIRECTIONS.into_iter().collect();
    for (name, used) in dependencies() {
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} has no place in the house: add it to DIRECTIONS"));
        for used in used {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} may not use {used} (docs/architecture.md)"
            );
        }
    }
}

#[test]
fn vault_and_controller_cannot_reach_the_secret_half() {
    for program in ["lumbung-vault", "lumbung-controller"] {
        let tree = cargo(&["tree", "--edges", "normal", "--prefix", "none", "--package", program]);
        let linked: BTreeSet<&str> =
            tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(linked.contains("lumbung-pack"), "cargo tree lists what {program} links");
        for secret in SECRET_HALF {
            assert!(
                !linked.contains(secret),
                "{program} links {secret}: what can decrypt can leak"
            );
        }
    }
}

#[test]
fn only_the_controller_describes_its_messages() {
    let links = |program: &str| {
        let tree = cargo(&["tree", "--edges", "normal", "--prefix", "none", "--package", program]);
        tree.lines().any(|line| line.starts_with("utoipa "))
    };
    for program in ["lumbung-agent", "lumbung-vault", "lumbung-cli"] {
        assert!(!links(program), "{program} turns on the feature openapi: it has no use for it");
    }
    assert!(links("lumbung-controller"));
}
