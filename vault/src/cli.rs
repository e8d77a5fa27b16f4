//! The command line of the vault: what an operator does at its own console.
//!
//! Exit codes: 0 fine, 1 error, 2 usage, 3 finished and something is bad (a scrub, a pull).

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use lumbung_model::{Clock, ManifestId, RepositoryId, SystemClock};
use lumbung_wire::metrics::Endpoint;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::console::{self, Answer, Command as Ask, Line};
use crate::daemon::Daemon;
use crate::pull::Sources;
use crate::state::State;
use crate::{Config, Vault};

/// Keeps what agents send: immutable, verified, and without any key to read it.
#[derive(Debug, Parser)]
#[command(name = "lumbung-vault", version, max_term_width = 110)]
pub struct Cli {
    /// The configuration file.
    #[arg(
        long,
        short,
        global = true,
        env = "LUMBUNG_VAULT_CONFIG",
        default_value = "/etc/lumbung/vault.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make this site's identity, TLS key and certificate; print what others need to know of it. Harmless to repeat.
    Init {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Get a certificate from the controller and enter this site in its register.
    Enroll {
        /// The controller, `https://host:port`.
        #[arg(long)]
        controller: String,
        /// `sha256:…` of its CA, as the controller printed it.
        #[arg(long)]
        ca_fingerprint: String,
        /// The one-time token.
        #[arg(long, env = "LUMBUNG_TOKEN", hide_env_values = true)]
        token: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Serve.
    Run,
    /// Build the index anew from the files. The vault must not be running.
    Reindex,
    /// Read every frame once and repair what is bad from another site; in the running vault, if there is one.
    Scrub {
        /// Only this repository.
        #[arg(long)]
        repository: Option<RepositoryId>,
        /// Go on with the pass that was stopped, rather than read everything again.
        #[arg(long = "continue")]
        resume: bool,
        /// Only look: repair nothing and sign nothing.
        #[arg(long, conflicts_with = "resume")]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let the owner of a repository create it here with the key bundle alone.
    Admit {
        /// The repository.
        repository: RepositoryId,
    },
    /// Sign an inventory of every repository now.
    Inventory {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch what is new at the sources now.
    Pull {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take in a portable medium: a first copy by disk. What comes is checked like what is pulled.
    ImportMedia {
        /// Where the medium is mounted.
        dir: PathBuf,
        /// Also where nobody entitled has signed what it holds.
        #[arg(long)]
        unsigned: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove what `retention` lets go; hourly by itself in a running vault.
    Retain {
        /// Only this repository.
        #[arg(long)]
        repository: Option<RepositoryId>,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give back the space of frames that no snapshot uses any more.
    Gc {
        /// Only this repository.
        #[arg(long)]
        repository: Option<RepositoryId>,
        /// Only say what this round would give back.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say why a snapshot is kept, or when and why it went.
    Why {
        /// The snapshot.
        snapshot: ManifestId,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// About holds: what is kept whatever `retention` says.
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Carry out an order that the owner and the Dinas have signed: release a hold, or destroy.
    Order {
        /// The order's file, from `lumbung order`.
        file: PathBuf,
        /// Only check it and say what it would do.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let what expired here come again from the other sites.
    Refill {
        /// The repository.
        repository: RepositoryId,
        /// Only this snapshot.
        #[arg(long)]
        snapshot: Option<ManifestId>,
        /// Only say how many may come.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what is kept here, and the alarms.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// About the S3 store that keeps the objects.
    #[command(subcommand)]
    Storage(StorageCommand),
    /// About the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the manual page.
    Man,
}

#[derive(Debug, Subcommand)]
enum HoldCommand {
    /// Place a hold. Only an order with two signatures releases it.
    Add {
        /// The repository.
        repository: RepositoryId,
        /// What it keeps: `snapshot:ID`, `dataset:ID` or `repository`.
        subject: String,
        /// Who decides it.
        #[arg(long)]
        by: String,
        /// Why, for instance the number of a case.
        #[arg(long)]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the holds that stand.
    List {
        /// Only this repository.
        #[arg(long)]
        repository: Option<RepositoryId>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl HoldCommand {
    fn ask(self) -> (Ask, bool) {
        match self {
            Self::Add { repository, subject, by, reason, json } => {
                (Ask::Hold { repository, subject, by, reason }, json)
            }
            Self::List { repository, json } => (Ask::Holds { repository }, json),
        }
    }
}

#[derive(Debug, Subcommand)]
enum StorageCommand {
    /// Connect to the store and show which vault writes there.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make this vault the writer, in the place of one that is gone for good. Watches first whether that one still runs.
    Take,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read a configuration file and say what is wrong with it.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Errors of the libraries are chained; each says its part once.
            eprintln!("lumbung-vault: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = || Config::load(&self.config);
        match self.command {
            Command::Man => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Self::command()).render(&mut page)?;
                std::io::stdout().write_all(&page)?;
            }
            Command::Config(ConfigCommand::Check { file }) => {
                Config::load(&file)?;
                println!("{} is in order", file.display());
            }
            Command::Init { json } => init(&config()?, json)?,
            Command::Enroll { controller, ca_fingerprint, token, json } => {
                enroll(&config()?, (&controller, &ca_fingerprint, &token), json)?;
            }
            Command::Run => run(config()?)?,
            Command::Reindex => reindex(config()?)?,
            Command::Admit { repository } => {
                crate::admit(&config()?.data, &repository)?;
                println!("repository {repository} may be created here with its key bundle");
            }
            Command::Scrub { repository, resume, dry_run, json } => {
                return ask(config()?, Ask::Scrub { repository, resume, dry_run }, json);
            }
            Command::Inventory { json } => return ask(config()?, Ask::Inventory, json),
            Command::Pull { json } => return ask(config()?, Ask::Pull, json),
            Command::ImportMedia { dir, unsigned, json } => {
                // The running vault has another working directory.
                let path = std::fs::canonicalize(&dir)
                    .with_context(|| format!("{} cannot be read", dir.display()))?;
                return ask(config()?, Ask::ImportMedia { path, unsigned }, json);
            }
            Command::Retain { repository, dry_run, json } => {
                return ask(config()?, Ask::Retain { repository, dry_run }, json);
            }
            Command::Gc { repository, dry_run, json } => {
                return ask(config()?, Ask::Sweep { repository, dry_run }, json);
            }
            Command::Why { snapshot, json } => return ask(config()?, Ask::Why { snapshot }, json),
            Command::Hold(command) => {
                let (command, json) = command.ask();
                return ask(config()?, command, json);
            }
            Command::Order { file, dry_run, json } => {
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("{} cannot be read", file.display()))?;
                return ask(config()?, Ask::CarryOut { text, dry_run }, json);
            }
            Command::Refill { repository, snapshot, dry_run, json } => {
                let command = Ask::Refill { repository, snapshot, dry_run };
                return ask(config()?, command, json);
            }
            Command::Storage(StorageCommand::Show { json }) => show_storage(&config()?, json)?,
            Command::Storage(StorageCommand::Take) => take_storage(&config()?)?,
            Command::Status { json } => show_status(&config()?, json)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_json<T: serde::Serialize>(value: &T) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn init(config: &Config, json: bool) -> anyhow::Result<()> {
    let public = State::at(config.state()).init()?;
    if json {
        return print_json(&public);
    }
    println!("site         {}", public.site);
    println!("receipt key  {}", public.receipt_key);
    println!("TLS pin      {}", public.tls_pin);
    println!(
        "keys are in  {} (back them up: receipts can only be signed with them)",
        public.state.display()
    );
    Ok(())
}

fn enroll(config: &Config, controller: (&str, &str, &str), json: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.url.is_some(),
        "set `url` in the configuration first: agents and the other site are told it"
    );
    let state = State::at(config.state());
    state.init()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let answer = runtime()?.block_on(state.enroll(controller, config.url.as_deref(), clock))?;
    if json {
        return print_json(&serde_json::json!({ "site": state.public()?, "sites": answer.sites }));
    }
    println!("enrolled; start (or restart) the vault with `lumbung-vault run`");
    for site in answer.sites.iter().filter(|site| Some(site.site) != answer.site) {
        println!(
            "\nto pull from {}:\n[[source]]\nsite = \"{}\"\nurl = \"{}\"\npin = \"{}\"",
            site.name, site.site, site.url, site.tls_pin
        );
    }
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")
}

fn log_as_json() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LUMBUNG_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Lines go to standard error, where the journal and container runtimes take them.
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

fn run(config: Config) -> anyhow::Result<()> {
    log_as_json();
    let state = State::at(config.state());
    state.init()?;
    runtime()?.block_on(async move {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!("cannot listen at {}: is another program there?", config.listen)
        })?;
        let endpoint = Endpoint::bind(config.metrics).await?;
        let (vault, sources) = open(config, &state, &clock).await?;
        let tls = state.server_tls(Arc::clone(&clock))?;
        let daemon = Daemon::new(vault, sources, stop).with_metrics(endpoint);
        daemon.run(listener, tls, state, clock).await;
        tracing::info!("the vault has stopped");
        Ok(())
    })
}

async fn open(
    config: Config,
    state: &State,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Arc<Vault>, Arc<Sources>)> {
    let sources = Arc::new(Sources::connect(&config, &state.tls_identity()?, clock)?);
    let (identity, clock) = (state.identity()?, Arc::clone(clock));
    let vault = tokio::task::spawn_blocking(move || Vault::open(config, identity, clock)).await??;
    Ok((Arc::new(vault), sources))
}

fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests under way are finished");
        stop.cancel();
    });
    Ok(())
}

fn reindex(config: Config) -> anyhow::Result<()> {
    crate::forget_index(&config.data)?;
    let identity = State::at(config.state()).identity()?;
    let vault = Vault::open(config, identity, Arc::new(SystemClock))?;
    vault.reconcile()?;
    println!("{} repositories indexed from their files", vault.repositories().len());
    Ok(())
}

/// Has the running vault do it; without one, does it here.
fn ask(config: Config, command: Ask, json: bool) -> anyhow::Result<ExitCode> {
    let state = State::at(config.state());
    let answer = match console::ask(&state, &command).context("the running vault broke off")? {
        Some(answer) => answer,
        None => runtime()?.block_on(async {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let (vault, sources) = open(config, &state, &clock).await?;
            // What is asked is answered from the files as they are.
            let opened = Arc::clone(&vault);
            tokio::task::spawn_blocking(move || opened.reconcile()).await??;
            anyhow::Ok(console::perform(command, &vault, &sources, &CancellationToken::new()).await)
        })?,
    };
    let lines = match answer {
        Answer::Done(lines) => lines,
        Answer::Failed(reason) => anyhow::bail!(reason),
    };
    if json {
        print_json(&lines)?;
    } else {
        lines.iter().for_each(print_line);
    }
    Ok(if lines.iter().any(is_bad) { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

const fn is_bad(line: &Line) -> bool {
    match line {
        Line::Scrub { bad, objects_bad, damaged, .. } => {
            *bad > 0 || *objects_bad > 0 || *damaged > 0
        }
        Line::Pull { failures, .. } | Line::Media { failures, .. } => *failures > 0,
        Line::Inventory { .. }
        | Line::Retain { .. }
        | Line::Sweep { .. }
        | Line::Why { .. }
        | Line::Hold { .. }
        | Line::Order(_)
        | Line::Refill { .. } => false,
    }
}

fn print_line(line: &Line) {
    match line {
        Line::Scrub {
            repository,
            report,
            frames,
            bytes,
            repaired,
            bad,
            objects_repaired,
            objects_bad,
            verified,
            damaged,
        } => println!(
            "{repository}: {frames} frames, {} read; repaired {repaired} frames and {objects_repaired} objects; \
             bad {bad} frames and {objects_bad} objects; {verified} snapshots verified, {damaged} damaged; {}",
            lumbung_model::ByteSize::bytes(*bytes),
            report.map_or_else(
                || "nothing changed, nothing signed".to_owned(),
                |n| format!("report {n} signed")
            )
        ),
        Line::Inventory { repository, inventory } => match inventory {
            Some(id) => println!("{repository}: inventory {id}"),
            None => println!("{repository}: nothing new"),
        },
        Line::Pull { snapshots, packs, failures } => {
            println!(
                "{snapshots} snapshots and {packs} packs are new here; {failures} things were left out"
            );
        }
        Line::Media { repository, snapshots, packs, bytes, failures, reasons } => {
            println!(
                "{repository}: {snapshots} snapshots and {packs} packs ({}) are new here; {failures} things were left out",
                lumbung_model::ByteSize::bytes(*bytes)
            );
            reasons.iter().for_each(|reason| println!("  {reason}"));
        }
        Line::Retain { repository, placed, waiting, expired } => {
            println!(
                "{repository}: {placed} snapshots have a place, {waiting} stay for a while, {} go",
                expired.len()
            );
            expired.iter().for_each(|manifest| println!("  {manifest}"));
        }
        Line::Sweep { repository, swept } => println!(
            "{repository}: {} packs; unused frames: {} wait, {} are condemned, {} given back ({}); {} packs and {} objects \
             removed",
            swept.packs,
            swept.waiting,
            swept.condemned,
            swept.dropped,
            lumbung_model::ByteSize::bytes(swept.dropped_bytes),
            swept.packs_removed,
            swept.objects_removed
        ),
        Line::Why { repository, reasons } => {
            println!("{repository}:");
            reasons.iter().for_each(|reason| println!("  {reason}"));
        }
        Line::Hold { repository, hold } => println!(
            "{repository}: hold {} keeps {} since {}, by {}: {}{}",
            hold.hold,
            crate::retention::subject_text::write(&hold.subject),
            hold.placed,
            hold.by,
            hold.reason,
            match hold.lapses_in_s {
                None => String::new(),
                Some(0) => " (lapsed)".to_owned(),
                Some(left_s) => format!(" (automatic, lapses in {} d)", left_s.div_ceil(86_400)),
            }
        ),
        Line::Order(done) => {
            let would = if done.dry_run { "would be " } else { "" };
            let released =
                if done.released { format!(", hold {would}released") } else { String::new() };
            println!(
                "{}: {} (letter {}): {} snapshots {would}destroyed{released}",
                done.repository,
                done.action,
                done.letter,
                done.destroyed.len(),
            );
            if done.remembered {
                println!("  what it names and is not here yet will not be taken");
            }
            done.destroyed.iter().for_each(|manifest| println!("  {manifest}"));
        }
        Line::Refill { repository, snapshots } => {
            println!("{repository}: {snapshots} snapshots may come again");
        }
    }
}

fn show_storage(config: &Config, json: bool) -> anyhow::Result<()> {
    let site = State::at(config.state()).identity()?.site;
    let holder = crate::storage_holder(config, site, Arc::new(SystemClock))?;
    if json {
        return print_json(&holder);
    }
    match holder {
        Some(holder) => println!(
            "written by the vault of site {} at {}, lease confirmed at {}{}",
            holder.site,
            holder.host,
            holder.renewed,
            if holder.site == site { " (this site)" } else { "" }
        ),
        None => println!("the store answers, and no vault writes there"),
    }
    Ok(())
}

fn take_storage(config: &Config) -> anyhow::Result<()> {
    let site = State::at(config.state()).identity()?.site;
    println!("watching whether another vault still confirms its lease …");
    match crate::take_storage(config, site, Arc::new(SystemClock))? {
        Some(before) => println!(
            "this vault writes there now, in the place of the one of site {} at {}: never start that one on its old data again",
            before.site, before.host
        ),
        None => println!("this vault writes there"),
    }
    Ok(())
}

fn show_status(config: &Config, json: bool) -> anyhow::Result<()> {
    let status = crate::status::status(config)?;
    if json {
        return print_json(&status);
    }
    match &status.site {
        Some(site) => println!(
            "site {} at {}, {}",
            site.site,
            status.listen,
            if status.running { "running" } else { "not running" }
        ),
        None => println!("not initialised: run `lumbung-vault init`"),
    }
    println!("{} free", lumbung_model::ByteSize::bytes(status.free_bytes));
    for (id, repository) in &status.repositories {
        let time = |at: Option<lumbung_model::Timestamp>| {
            at.map_or_else(|| "never".to_owned(), |at| at.to_string())
        };
        println!(
            "{id}: {} snapshots, {} packs ({}), last received {}, inventory {}, scrub {}, bad frames {}",
            repository.snapshots,
            repository.packs,
            lumbung_model::ByteSize::bytes(repository.pack_bytes),
            time(repository.last_received),
            time(repository.inventory.map(|(_, at)| at)),
            time(repository.scrub.map(|(_, at)| at)),
            repository.bad_frames
        );
        if let Some(scrub) = &repository.scrubbing {
            println!(
                "  scrub begun {}: {} of {} packs, {} read",
                scrub.started,
                scrub.packs,
                scrub.of_packs,
                lumbung_model::ByteSize::bytes(scrub.bytes)
            );
        }
    }
    for alarm in &status.alarms {
        println!("alarm {} {} {}", alarm.at, alarm.kind, alarm.detail);
    }
    Ok(())
}

/// The manual page, for packaging.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
