//! `cargo xtask garage`: the vault's tests over a real Garage cluster of three nodes on loopback, of which one is
//! killed and started again while they run.
//!
//! Garage is built once from crates.io into the user's cache directory; its nodes live in a temporary directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{check, command};

/// The release that this was written with.
const VERSION: &str = "2.5.0";
const NODES: u16 = 3;
const BUCKET: &str = "lumbung";
const REGION: &str = "garage";
/// How long a node stays up, and how long it stays away.
const ROUND: Duration = Duration::from_secs(15);

/// Runs the tests of `vault_s3` over the cluster.
pub(crate) fn test() -> Result<()> {
    let program = install()?;
    let mut cluster = Cluster::start(&program)?;
    let store = cluster.set_up()?;
    let mut tests = command("cargo", &["nextest", "run", "--package", "lumbung-vault"]);
    tests.args(["--test", "vault_s3"]).env("LUMBUNG_TEST_S3", store);
    // They wait for the cluster far more than for a core.
    tests.args(["--test-threads", "4"]);
    // Lives of hundreds of steps, at half a second each over the cluster.
    tests.env("LUMBUNG_TEST_CASES", "2");
    // The nodes come and go in the main thread, which owns them; the tests run beside it.
    let (done, ended) = channel();
    let running = std::thread::spawn(move || {
        let result = check(&mut tests);
        let _ = done.send(());
        result
    });
    let killed = cluster.kill_in_turn(&ended);
    running.join().map_err(|_| anyhow::anyhow!("the tests ended abnormally"))??;
    let kills = killed?;
    ensure!(kills > 0, "the tests were over before a node could be killed");
    cluster.done = true;
    println!("passed, with {kills} nodes killed meanwhile");
    Ok(())
}

/// Measures the vault over the cluster.
pub(crate) fn bench() -> Result<()> {
    let mut cluster = Cluster::start(&install()?)?;
    let store = cluster.set_up()?;
    let arguments = ["--parts", "s3", "--mib", "256", "--connections", "1,4", "--s3", &store];
    crate::bench::vault::run(&arguments.map(str::to_owned))?;
    cluster.done = true;
    Ok(())
}

/// Builds Garage, unless it is there.
fn install() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let root = cache.join("lumbung").join(format!("garage-{VERSION}"));
    let program = root.join("bin/garage");
    if !program.is_file() {
        let root = root.to_str().context("the cache directory's path is not UTF-8")?;
        let version = format!("garage@{VERSION}");
        check(&mut command("cargo", &["install", "--locked", "--root", root, &version]))?;
    }
    Ok(program)
}

struct Cluster {
    program: PathBuf,
    dir: PathBuf,
    nodes: Vec<Option<Child>>,
    first_port: u16,
    /// Nothing went wrong.
    done: bool,
}

/// The first of so many ports in a row that are free. They lie below those that outgoing connections are given: one of
/// these would take the port of a node that is away.
fn free_ports(count: u16) -> Result<u16> {
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    (20_000..30_000)
        .step_by(usize::from(count))
        .find(|first| (*first..first + count).all(is_free))
        .context("no ports are free")
}

impl Cluster {
    fn start(program: &Path) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("lumbung-garage-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let first_port = free_ports(2 * NODES)?;
        let mut cluster =
            Self { program: program.to_owned(), dir, nodes: Vec::new(), first_port, done: false };
        for node in 0..usize::from(NODES) {
            cluster.configure(node)?;
            cluster.nodes.push(None);
            cluster.launch(node)?;
        }
        Ok(cluster)
    }

    fn port(&self, node: usize, which: u16) -> Result<u16> {
        Ok(self.first_port + 2 * u16::try_from(node)? + which)
    }

    /// Where a node answers S3 requests.
    fn s3(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.first_port + 2 * u16::try_from(node).unwrap_or_default() + 1)
    }

    fn config(&self, node: usize) -> PathBuf {
        self.dir.join(format!("node{node}.toml"))
    }

    fn configure(&self, node: usize) -> Result<()> {
        let data = self.dir.join(format!("node{node}"));
        fs::create_dir_all(&data)?;
        let (rpc, s3) = (self.port(node, 0)?, self.port(node, 1)?);
        let secret = "6c".repeat(32);
        let text = format!(
            "metadata_dir = {:?}\ndata_dir = {:?}\ndb_engine = \"sqlite\"\nreplication_factor = 3\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = {secret:?}\n\
             [s3_api]\ns3_region = {REGION:?}\napi_bind_addr = \"127.0.0.1:{s3}\"\n",
            data.join("meta"),
            data.join("data"),
        );
        Ok(fs::write(self.config(node), text)?)
    }

    fn launch(&mut self, node: usize) -> Result<()> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("node{node}.log")))?;
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.config(node))
            .arg("server")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("garage does not start")?;
        self.nodes[node] = Some(child);
        Ok(())
    }

    /// Kills a node and starts it again, one after the other, until the tests have ended. Says how many there were.
    fn kill_in_turn(&mut self, ended: &Receiver<()>) -> Result<usize> {
        let mut kills = 0;
        // Node 0 answers the tests; the others hold its quorum, and one of them is enough for it.
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(ROUND) {
            let victim = 1 + kills % usize::from(NODES - 1);
            self.kill(victim)?;
            kills += 1;
            println!("+ node {victim} was killed ({kills})");
            let over = ended.recv_timeout(ROUND).is_ok();
            self.launch(victim)?;
            if over {
                break;
            }
            // Two nodes of three are a quorum: the next one goes only when this one is back.
            self.wait_until_whole()?;
        }
        Ok(kills)
    }

    fn kill(&mut self, node: usize) -> Result<()> {
        if let Some(mut child) = self.nodes[node].take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// A command of Garage's, asked of a node; nothing if the node says no.
    fn ask(&self, node: usize, arguments: &[&str]) -> Result<Option<String>> {
        let output = Command::new(&self.program)
            .arg("-c")
            .arg(self.config(node))
            .args(arguments)
            .output()?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// As [`Cluster::ask`], repeated until the node is ready to do it.
    fn must(&self, node: usize, arguments: &[&str]) -> Result<String> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(answer) = self.ask(node, arguments)? {
                return Ok(answer);
            }
            if Instant::now() > end {
                bail!("garage {} fails: see {}", arguments.join(" "), self.dir.display());
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Waits until every node sees every other.
    fn wait_until_whole(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(120);
        for node in 0..usize::from(NODES) {
            let whole = |answer: String| answer.contains(&format!("\"connectedNodes\": {NODES},"));
            while !self.ask(node, &["json-api", "GetClusterHealth"])?.is_some_and(whole) {
                if let Some(Some(status)) =
                    self.nodes[node].as_mut().map(Child::try_wait).transpose()?
                {
                    bail!("node {node} ended ({status}): see {}", self.dir.display());
                }
                if Instant::now() > end {
                    bail!("the cluster does not come together again: see {}", self.dir.display());
                }
                std::thread::sleep(Duration::from_millis(300));
            }
        }
        Ok(())
    }

    /// Joins the nodes, lays the cluster out, makes the bucket and a key for it. Gives the store as tests and
    /// benchmarks take it: endpoint, region, bucket, access key, secret key.
    fn set_up(&self) -> Result<String> {
        for node in 0..usize::from(NODES) {
            let id = self.must(node, &["node", "id", "-q"])?;
            let id = id.trim();
            if node > 0 {
                self.must(0, &["node", "connect", id])?;
            }
            let name = id.split('@').next().unwrap_or(id);
            let zone = format!("zone{node}");
            self.must(0, &["layout", "assign", name, "-z", &zone, "-c", "10G"])?;
        }
        self.must(0, &["layout", "apply", "--version", "1"])?;
        self.must(0, &["bucket", "create", BUCKET])?;
        let key = self.must(0, &["key", "create", "tests"])?;
        let field = |name: &str| {
            let line = key.lines().find_map(|line| line.trim().strip_prefix(name));
            line.map(|rest| rest.trim().to_owned())
                .with_context(|| format!("garage's answer has no {name:?}: {key}"))
        };
        let (access, secret) = (field("Key ID:")?, field("Secret key:")?);
        let allow = ["bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", &access];
        self.must(0, &allow)?;
        Ok(format!("http://{},{REGION},{BUCKET},{access},{secret}", self.s3(0)))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            let _ = self.kill(node);
        }
        // What a node said stays if something went wrong.
        if self.done {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
