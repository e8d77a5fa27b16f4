//! A custodian's office: a temporary directory in which `lumbung` runs, with a passphrase in the environment.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PASSPHRASE: &str = "sawah padi lumbung panen raya";

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct Office {
    dir: TempDir,
}

impl Office {
    /// An empty office.
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().expect("a temporary directory") }
    }

    /// With a key bundle, a repository, an agent and a folder of files.
    pub(crate) fn equipped() -> Self {
        let office = Self::new();
        office.ok(&["key", "new", "pd.key", "--label", "Dinas Kesehatan"]);
        office.ok(&["repo", "init", "depot", "--key", "pd.key", "--agent", "agent.id"]);
        office.write("data/surat/a.txt", b"surat keputusan\n");
        office.write("data/surat/b.bin", &noise(300_000, 7));
        office.write("data/kosong", b"");
        std::os::unix::fs::symlink("surat/a.txt", office.path("data/pintas")).expect("a link");
        office
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().expect("the directory is there").join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("a file")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumbung"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LUMBUNG_"))
        {
            command.env_remove(name);
        }
        command
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env_remove("XDG_CONFIG_HOME")
            .env("LUMBUNG_PASSPHRASE", PASSPHRASE)
            .env("LUMBUNG_TIME_ZONE", "Asia/Jakarta")
            .args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        ended(&mut self.command(args))
    }

    /// Runs a command that ends well; its stdout.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}\n{}\n{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Runs a command that ends well with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let stdout = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{args:?}: {e}\n{stdout}"))
    }

    /// Runs a command that fails, with `--json`; the error's code, and the whole error.
    pub(crate) fn error(&self, args: &[&str]) -> (String, Value) {
        let ended = self.run(&[args, &["--json"]].concat());
        assert_eq!(ended.stdout, "", "{args:?} printed a result");
        let line =
            ended.stderr.lines().rfind(|line| line.starts_with("{\"error\"")).unwrap_or_default();
        let value: Value = serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("{args:?}: {e}\n{}", ended.stderr));
        let code = value["error"]["code"].as_str().unwrap_or_default().to_owned();
        let expected = if code == "usage" { 2 } else { 1 };
        assert_eq!(ended.code, expected, "{args:?}\n{}", ended.stderr);
        assert_ne!(value["error"]["next"], "", "{args:?} does not say what to do next");
        (code, value["error"].clone())
    }

    /// Backs up `data` as a dataset; the snapshot's id.
    pub(crate) fn backup(&self, dataset: &str) -> String {
        let made =
            self.json(&["backup", "depot", "--agent", "agent.id", "--dataset", dataset, "data"]);
        made["snapshot"].as_str().expect("an id").to_owned()
    }
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the binary runs");
    Ended {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// Every file beneath a folder, relative.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
