//! How each tool is asked to do the same things.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Encrypts the peers' repositories and ours.
const PASSPHRASE: &str = "bench";

/// A backup tool.
pub(super) struct Tool {
    /// As in the table.
    pub(super) name: &'static str,
    program: PathBuf,
    version: &'static [&'static str],
    init: fn(&Call<'_>) -> Vec<Command>,
    step: fn(&Call<'_>, &str) -> Option<Command>,
}

/// Where everything is, for one call.
struct Call<'a> {
    program: &'a Path,
    source: &'a Path,
    repository: &'a Path,
    restored: &'a Path,
    work: &'a Path,
}

impl Call<'_> {
    /// The program with a home of its own, so that caches of earlier rounds do not help.
    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        let home = self.work.join("home");
        command.env("HOME", &home).env("XDG_CACHE_HOME", home.join("cache")).current_dir(self.work);
        for name in ["RESTIC_PASSWORD", "RUSTIC_PASSWORD", "BORG_PASSPHRASE", "LUMBUNG_PASSPHRASE"]
        {
            command.env(name, PASSPHRASE);
        }
        command
    }
}

impl Tool {
    pub(super) fn version(&self) -> Result<String> {
        let output = Command::new(&self.program).args(self.version).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    pub(super) fn init(&self, repository: &Path, work: &Path) -> Result<()> {
        let call = Call { program: &self.program, source: work, repository, restored: work, work };
        for mut command in (self.init)(&call) {
            let output = command.output().with_context(|| format!("{command:?}"))?;
            if !output.status.success() {
                bail!("{} init failed: {}", self.name, String::from_utf8_lossy(&output.stderr));
            }
        }
        Ok(())
    }

    pub(super) fn step(
        &self,
        step: &str,
        source: &Path,
        repository: &Path,
        restored: &Path,
        work: &Path,
    ) -> Option<Command> {
        (self.step)(&Call { program: &self.program, source, repository, restored, work }, step)
    }
}

/// Ours, and those peers.
pub(super) fn tools(peers: &[String], ours: &Path) -> Result<Vec<Tool>> {
    let mut tools = vec![lumbung(ours)];
    for peer in peers {
        tools.push(match peer.as_str() {
            "restic" => restic(),
            "rustic" => rustic(),
            "borg" => borg(),
            "bupstash" => bupstash(),
            "tar" => tar(),
            _ => bail!("no peer is called {peer}: restic, rustic, borg, bupstash or tar"),
        });
    }
    Ok(tools)
}

fn lumbung(program: &Path) -> Tool {
    Tool {
        name: "lumbung",
        program: program.to_path_buf(),
        version: &["--version"],
        init: |call| {
            let (mut key, mut init) = (call.command(), call.command());
            key.args(["key", "new", "pd.key"]);
            init.args(["repo", "init"])
                .arg(call.repository)
                .args(["--key", "pd.key", "--agent", "agent.id"]);
            vec![key, init]
        },
        step: |call, step| {
            let mut command = call.command();
            match step {
                "restore" => command
                    .arg("restore")
                    .arg(call.repository)
                    .args(["latest", "--key", "pd.key", "--target"])
                    .arg(call.restored),
                "verify" => command.arg("verify").arg(call.repository),
                _ => command
                    .arg("backup")
                    .arg(call.repository)
                    .args(["--agent", "agent.id"])
                    .arg(call.source),
            };
            Some(command)
        },
    }
}

fn restic() -> Tool {
    Tool {
        name: "restic",
        program: "restic".into(),
        version: &["version"],
        init: |call| {
            let mut init = call.command();
            init.arg("init").arg("--repo").arg(call.repository);
            vec![init]
        },
        step: |call, step| {
            let mut command = call.command();
            command.arg("--repo").arg(call.repository);
            match step {
                "restore" => command.args(["restore", "latest", "--target"]).arg(call.restored),
                "verify" => command.args(["check", "--read-data"]),
                _ => command.arg("backup").arg(call.source),
            };
            Some(command)
        },
    }
}

fn rustic() -> Tool {
    Tool {
        name: "rustic",
        program: "rustic".into(),
        version: &["--version"],
        init: |call| {
            let mut init = call.command();
            init.arg("--repository").arg(call.repository).arg("init");
            vec![init]
        },
        step: |call, step| {
            let mut command = call.command();
            command.arg("--repository").arg(call.repository);
            match step {
                "restore" => command.args(["restore", "latest"]).arg(call.restored),
                "verify" => command.args(["check", "--read-data"]),
                _ => command.arg("backup").arg(call.source),
            };
            Some(command)
        },
    }
}

fn borg() -> Tool {
    Tool {
        name: "borg",
        program: "borg".into(),
        version: &["--version"],
        init: |call| {
            let mut init = call.command();
            init.args(["init", "--encryption", "repokey-blake2"]).arg(call.repository);
            vec![init]
        },
        step: |call, step| {
            let mut command = call.command();
            let archive = |name: &str| format!("{}::{name}", call.repository.display());
            match step {
                "restore" => command.current_dir(call.restored).arg("extract").arg(archive("1")),
                "verify" => command.args(["check", "--verify-data"]).arg(call.repository),
                _ => {
                    let name = match step {
                        "full" => "full",
                        "same" => "same",
                        _ => "1",
                    };
                    command
                        .args(["create", "--compression", "zstd,3"])
                        .arg(archive(name))
                        .arg(call.source)
                }
            };
            Some(command)
        },
    }
}

fn bupstash() -> Tool {
    Tool {
        name: "bupstash",
        program: "bupstash".into(),
        version: &["version"],
        init: |call| {
            let (mut key, mut init) = (call.command(), call.command());
            key.args(["new-key", "-o", "bupstash.key"]);
            init.arg("init").arg("-r").arg(call.repository);
            vec![key, init]
        },
        step: |call, step| {
            let mut command = call.command();
            command.env("BUPSTASH_KEY", "bupstash.key").env("BUPSTASH_REPOSITORY", call.repository);
            match step {
                "restore" => command.args(["restore", "--into"]).arg(call.restored).arg("name=1"),
                "verify" => return None,
                _ => {
                    let name = match step {
                        "full" => "name=full",
                        "same" => "name=same",
                        _ => "name=1",
                    };
                    command.args(["put", "-q", name]).arg(call.source)
                }
            };
            Some(command)
        },
    }
}

/// The floor: no encryption, no deduplication, no verification.
fn tar() -> Tool {
    Tool {
        name: "tar + zstd -3 -T2",
        program: "tar".into(),
        version: &["--version"],
        init: |_| Vec::new(),
        step: |call, step| {
            let mut command = Command::new("sh");
            let (source, file, out) =
                (call.source.display(), call.repository.display(), call.restored.display());
            match step {
                "full" => command.args([
                    "-c",
                    &format!("tar -C '{source}' -cf - . | zstd -q -3 -T2 -o '{file}'"),
                ]),
                "restore" => {
                    command.args(["-c", &format!("zstd -q -dc '{file}' | tar -C '{out}' -xf -")])
                }
                _ => return None,
            };
            Some(command)
        },
    }
}
