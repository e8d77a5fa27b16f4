//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use lumbung_model::schedule::Period;
use lumbung_model::{Clock, PublicKey, RepositoryId, SystemClock, Timestamp};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, DEFAULT_CONFIG, SiteUrl};
use crate::output::{Exit, print};
use crate::policy::{self, Ledger};
use crate::runner::config::RunnerFile;
use crate::state::StateDir;
use crate::{daemon, enroll, run, runner, status, wal};

/// Backs up this server: encrypted here, kept at the sites of the city.
#[derive(Debug, Parser)]
#[command(name = "lumbung-agent", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 error, 2 wrong usage, 3 finished with warnings.";

#[derive(Debug, Args)]
struct Common {
    /// The agent's configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG, global = true)]
    config: PathBuf,
    /// The state directory, whatever the configuration says
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Log more; twice for everything (RUST_LOG overrides)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make this server known to the controller, and its keys to the custodian
    Enroll(EnrollArgs),
    /// Run as a daemon: jobs by schedule, heartbeats, reports
    Run,
    /// Run jobs once, now; all that are enabled if none is named
    Backup {
        /// Names of jobs in the configuration
        #[arg(value_name = "JOB")]
        jobs: Vec<String>,
        /// Show no progress
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show jobs, their last and next runs, and what waits for the controller
    Status,
    /// The policy that the register gives this server
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Look at a configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// The log of a PostgreSQL server on this host, for restores to a point in time
    Wal {
        #[command(subcommand)]
        command: WalCommand,
    },
    /// Carry out drills and failovers on this host, as the controller's plans and the runner's own file say
    Runner {
        #[command(subcommand)]
        command: RunnerCommand,
    },
    /// Work of the runner in its scratch places
    #[command(hide = true)]
    Scratch {
        #[command(subcommand)]
        command: ScratchCommand,
    },
    /// Print the manual page
    Man {
        /// Write the pages of all commands into this directory instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct EnrollArgs {
    /// The controller's address, such as `https://lumbung.example.go.id:7443`
    #[arg(long, value_name = "URL")]
    controller: SiteUrl,
    /// The fingerprint of the controller's CA, as the controller printed it
    #[arg(long, value_name = "sha256:…")]
    ca_fingerprint: String,
    /// The one-time token
    #[arg(long, env = "LUMBUNG_TOKEN", hide_env_values = true)]
    token: String,
    /// The repository, as the custodian of the PD gave it
    #[arg(long, value_name = "ID")]
    repository: RepositoryId,
    /// The repository's rosters from `lumbung roster export`: the sites' keys are then known from the beginning
    #[arg(long, value_name = "FILE")]
    roster: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Show what it asks for, and what of it is not done
    Show,
    /// Show how the one that waits asks for less
    Diff,
    /// Take the one that waits although it asks for less
    Confirm {
        /// Its number, as `policy diff` shows it
        version: u64,
    },
    /// Believe another key that signs policies: only if the Dinas says that it changed
    Trust {
        /// The key, as the Dinas gave it
        key: PublicKey,
    },
}

#[derive(Debug, Subcommand)]
enum RunnerCommand {
    /// Run as a daemon
    Run {
        /// The runner's own file: hooks, checks and places
        #[arg(long, value_name = "FILE", default_value = runner::config::DEFAULT_FILE)]
        file: PathBuf,
    },
    /// Check the runner's own file
    Check {
        /// The file
        #[arg(default_value = runner::config::DEFAULT_FILE)]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ScratchCommand {
    /// Make the place and hold it until standard input ends
    Hold {
        /// How much it may hold in memory, bytes
        #[arg(long, default_value_t = 0)]
        memory: u64,
        /// The folder that it lies in
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Become a program without rights of root
    Run {
        /// The user
        #[arg(long)]
        user: String,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum WalCommand {
    /// Keep a finished segment: archive_command = 'lumbung-agent wal archive %p FOLDER'
    Archive {
        /// The segment, as PostgreSQL names it (%p)
        file: PathBuf,
        /// Where it is kept; a job of its own backs this folder up
        folder: PathBuf,
        /// Take segments away that are older: longer than the time between two base backups
        #[arg(long, value_name = "TIME")]
        keep: Option<Period>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check a file; says what is wrong, or when each job runs next
    Check {
        /// The file
        file: PathBuf,
    },
}

/// Everything: parses, runs, prints; the exit code is documented in `--help`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    init_log(cli.common.verbose, matches!(cli.command, Command::Run | Command::Runner { .. }));
    match dispatch(cli) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            eprintln!("lumbung-agent: {}", lumbung_model::with_causes(error.as_ref()));
            ExitCode::from(Exit::Failed.code())
        }
    }
}

fn init_log(verbose: u8, daemon: bool) {
    let level = match (verbose, daemon) {
        (0, false) => "warn",
        (0, true) => "info,hyper=warn,rustls=warn,reqwest=warn",
        (1, _) => "info,lumbung=debug",
        _ => "trace",
    };
    // Targets and levels, without the patterns of an `EnvFilter`: those bring an engine for regular expressions, and
    // an agent sleeps in little memory.
    let wanted = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = wanted.unwrap_or_else(|| level.parse().expect("the levels above are valid"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    // A log that was set up already (by a test) stays.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Cli { command, common } = cli;
    match command {
        Command::Enroll(args) => enroll_command(&common, args, clock),
        Command::Run => {
            let loader = Loader::new(&common);
            runtime()?.block_on(daemon::run(&loader, clock))?;
            Ok(Exit::Fine)
        }
        Command::Backup { jobs, quiet } => {
            let config = with_policy(load(&common)?)?;
            let selected = select(&config, &jobs)?;
            let runtime = runtime()?;
            let options = run::ByHand { json: common.json, quiet };
            Ok(run::by_hand(&runtime, &config, &selected, &options, clock)?)
        }
        Command::Status => {
            let config = load(&common)?;
            let status = status::collect(&config, clock.now())?;
            print(common.json, &status, |s| s.to_text(config.zone))?;
            Ok(Exit::Fine)
        }
        Command::Policy { command } => policy_command(&common, &command, clock.now()),
        Command::Config { command: ConfigCommand::Check { file } } => {
            let config = Config::load(&file)?;
            let checked = status::check(&config, clock.now());
            print(common.json, &checked, |c| c.to_text(&file, config.zone))?;
            Ok(Exit::Fine)
        }
        Command::Wal { command: WalCommand::Archive { file, folder, keep } } => {
            let archived = wal::archive(&file, &folder, keep, clock.now())?;
            if archived.removed > 0 {
                tracing::info!("{} old segments removed", archived.removed);
            }
            Ok(Exit::Fine)
        }
        Command::Runner { command: RunnerCommand::Run { file } } => {
            let (config, file) = (load(&common)?, RunnerFile::load(&file)?);
            runtime()?.block_on(runner::run(&config, file, clock))?;
            Ok(Exit::Fine)
        }
        Command::Runner { command: RunnerCommand::Check { file } } => {
            let checked = RunnerFile::load(&file)?;
            let numbers = [
                (checked.datasets.len(), "datasets"),
                (checked.places.len(), "places"),
                (checked.hooks.len(), "hooks"),
                (checked.checks.len(), "checks"),
            ];
            let numbers = numbers.map(|(number, what)| format!("{number} {what}")).join(", ");
            print(common.json, &numbers, |numbers| {
                format!("{} is sound: {numbers}\n", file.display())
            })?;
            Ok(Exit::Fine)
        }
        Command::Scratch { command: ScratchCommand::Hold { memory, folder } } => {
            runner::confined::hold(memory, folder.as_deref())?;
            Ok(Exit::Fine)
        }
        Command::Scratch { command: ScratchCommand::Run { user, program } } => {
            runner::confined::run(&user, &program)?;
            Ok(Exit::Fine)
        }
        Command::Man { dir: None } => {
            clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout().lock())?;
            Ok(Exit::Fine)
        }
        Command::Man { dir: Some(dir) } => {
            clap_mangen::generate_to(Cli::command(), &dir)
                .with_context(|| format!("the manual cannot be written to {}", dir.display()))?;
            Ok(Exit::Fine)
        }
    }
}

fn policy_command(
    common: &Common,
    command: &PolicyCommand,
    now: Timestamp,
) -> anyhow::Result<Exit> {
    let config = load(common)?;
    let state = StateDir::create(&config.state)?;
    match command {
        PolicyCommand::Show | PolicyCommand::Diff => {
            let (identity, ..) = state.enrolled()?;
            let ledger = Ledger::load(&state, identity.agent)?;
            let shown = policy::commands::Shown::of(&config, &ledger, now);
            let is_diff = matches!(command, PolicyCommand::Diff);
            let text = |shown: &policy::commands::Shown| {
                if is_diff { shown.difference() } else { shown.to_text(config.zone) }
            };
            print(common.json, &shown, text)?;
        }
        PolicyCommand::Confirm { version } => {
            let taken = policy::commands::confirm(&state, *version)?;
            let text = format!(
                "policy {} is taken; a running daemon goes by it within half a minute\n",
                taken.version
            );
            print(common.json, &taken, |_| text)?;
        }
        PolicyCommand::Trust { key } => {
            policy::commands::trust(&state, *key)?;
            print(common.json, key, |key| format!("policies signed with {key} are believed\n"))?;
        }
    }
    Ok(Exit::Fine)
}

fn enroll_command(
    common: &Common,
    args: EnrollArgs,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Exit> {
    // A first enrolment comes before the configuration is written.
    let written = common.config.exists();
    let config =
        if written { Config::load(&common.config)? } else { Config::parse(&common.config, "")? };
    let state = std::path::absolute(common.state.as_ref().unwrap_or(&config.state))?;
    let state = StateDir::create(&state)?;
    if let Some(path) = &args.roster {
        enroll::take_rosters(&state, args.repository, path)?;
    }
    let request = enroll::Request {
        controller: args.controller,
        ca_fingerprint: args.ca_fingerprint,
        token: args.token,
        repository: args.repository,
        hostname: config.hostname.clone().unwrap_or_else(crate::health::host_name),
    };
    let done = runtime()?.block_on(enroll::enroll(&state, request, clock))?;
    print(common.json, &done, |done| done.to_text((!written).then_some(common.config.as_path())))?;
    Ok(Exit::Fine)
}

/// Reads the configuration again and again the same way: at the start, and on SIGHUP.
pub struct Loader {
    file: PathBuf,
    state: Option<PathBuf>,
}

impl Loader {
    fn new(common: &Common) -> Self {
        Self { file: common.config.clone(), state: common.state.clone() }
    }

    /// The configuration as the file has it now.
    ///
    /// # Errors
    /// If it cannot be read or is wrong.
    pub fn load(&self) -> Result<Config, crate::config::ConfigError> {
        // A server whose policy says everything needs no file.
        let none = self.file == Path::new(DEFAULT_CONFIG) && !self.file.exists();
        let mut config =
            if none { Config::parse(&self.file, "")? } else { Config::load(&self.file)? };
        if let Some(state) = &self.state {
            config.state.clone_from(state);
        }
        Ok(config)
    }

    /// The file, for messages.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

fn load(common: &Common) -> anyhow::Result<Config> {
    Ok(Loader::new(common).load()?)
}

/// The file's configuration with the jobs of the policy that is kept.
fn with_policy(file: Config) -> anyhow::Result<Config> {
    let state = StateDir::create(&file.state)?;
    let (identity, ..) = state.enrolled()?;
    let ledger = Ledger::load(&state, identity.agent).unwrap_or_else(|error| {
        eprintln!("warning: {}", lumbung_model::with_causes(&error));
        Ledger::default()
    });
    let policy = ledger.accepted.as_ref().map(|accepted| &accepted.policy);
    Ok(policy::effective(&file, policy).config)
}

/// The jobs named, or all that are enabled.
fn select<'a>(config: &'a Config, names: &[String]) -> anyhow::Result<Vec<&'a crate::config::Job>> {
    let selected = if names.is_empty() {
        config.jobs.iter().filter(|job| job.enabled).collect::<Vec<_>>()
    } else {
        let find = |name: &String| {
            let known: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
            let by_label = || config.jobs.iter().find(|job| job.label == *name);
            config.job(name).or_else(by_label).with_context(|| {
                format!("no job is called {name:?}; there are: {}", known.join(", "))
            })
        };
        names.iter().map(find).collect::<Result<_, _>>()?
    };
    anyhow::ensure!(
        !selected.is_empty(),
        "there is no job: neither the configuration nor the policy has one (add a [[job]], as config/agent.toml shows, or a dataset to the register)"
    );
    Ok(selected)
}

/// One thread: the agent sleeps most of the day, and the engine has threads of its own.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(8).build().context("the runtime cannot start")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn unknown_jobs_are_named_with_those_that_exist() {
        let text = "[[job]]\nname = \"files\"\ndataset = \"00112233445566778899aabbccddeeff\"\npaths = [\"/srv\"]\nenabled = false\n";
        let config = Config::parse(Path::new("agent.toml"), text).unwrap();
        assert_eq!(select(&config, &["files".to_owned()]).unwrap().len(), 1);
        let error = select(&config, &["fils".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"fils\"") && error.contains("there are: files"), "{error}");
        assert!(select(&config, &[]).is_err(), "a job that is off runs only when named");
    }
}
