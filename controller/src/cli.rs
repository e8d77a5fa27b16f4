//! The command line of the controller.
//!
//! Exit codes: 0 fine, 1 error, 2 usage. Errors go to stderr with what to do next; `--json` puts the
//! answer on stdout as one JSON document.

mod approvals;
mod audit;
mod people;
mod succession;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use lumbung_model::{Clock, SystemClock};
use lumbung_wire::Role;
use lumbung_wire::messages::overview::{ControllerState, TokenRequest};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::act::Act;
use crate::alerts::watch::WatchConfig;
use crate::config::Config;
use crate::db::audit::{self as audit_rows, Deed};
use crate::policies::{self, Asker, Terms};
use crate::profile::{BUILT_IN, Profile};
use crate::state_dir::StateDir;
use crate::{alerts, api, daemon, exchange, issue, standby, succession as succession_rules};

/// The register, the CA and the compliance table of a city's backups.
#[derive(Debug, Parser)]
#[command(name = "lumbung-controller", version, about, propagate_version = true)]
pub struct Cli {
    /// Configuration file [default: /etc/lumbung/controller.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "LUMBUNG_CONTROLLER_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory, instead of the configured one
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the database, the CA, the controller's own certificate and an operator's
    Init,
    /// Run the controller
    Run(RunArgs),
    /// Keep a fresh copy of the controller that acts, ready to take its place; once promoted, run as the controller
    Standby(RunArgs),
    /// Make a controller from its own restored backup, in an empty data directory
    Recover(succession::RecoverArgs),
    /// Act in the place of a controller that is gone: two officers have to sign
    Promote(succession::PromoteArgs),
    /// Who acts as the controller, and whose signatures say so
    #[command(subcommand)]
    Succession(succession::SuccessionCommand),
    /// Watch the controller of another site, and tell people when it is silent
    Watch {
        /// What to watch, and whom to tell: config/watch.toml is an example
        #[arg(long, value_name = "FILE", default_value = "/etc/lumbung/watch.toml")]
        file: PathBuf,
        /// Only read the file and the secrets that it names, and say what is wrong
        #[arg(long)]
        check: bool,
    },
    /// Make a one-time enrolment token
    Token(TokenArgs),
    /// Import a register in TOML: all of it or none
    Import {
        /// The file
        file: PathBuf,
    },
    /// Make the operator's certificate anew (operator.pem in the data directory)
    Operator {
        /// Whose it is
        #[arg(long, default_value = "operator")]
        name: String,
    },
    /// Accounts of people: the first administrator, and whoever has lost the way in
    #[command(subcommand)]
    User(people::UserCommand),
    /// What waits for a second person; the console is one
    #[command(subcommand)]
    Approval(approvals::ApprovalCommand),
    /// The audit log: who changed what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the OpenAPI document of the API
    Openapi,
    /// Print the manual page
    Man,
    /// About the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// About cities' profiles
    #[command(subcommand)]
    Profile(ProfileCommand),
}

#[derive(Debug, Subcommand)]
enum ProfileCommand {
    /// List the profiles that come with the program
    List,
    /// Read a profile and say what is wrong with it
    Check {
        /// Name or file, if it is not the configured one
        profile: Option<String>,
    },
    /// Print a profile that comes with the program, to be copied and changed
    Show {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read a configuration file and say what is wrong with it
    Check {
        /// The file, if it is not the one of --config
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Address to listen on, instead of the configured one; port 0 takes any
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TokenRole {
    Agent,
    Site,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// What it enrols
    #[arg(long)]
    role: TokenRole,
    /// The server: its id, its name, or PD/name
    #[arg(long, required_if_eq("role", "agent"), conflicts_with = "site")]
    server: Option<String>,
    /// The site: its id or its name
    #[arg(long, required_if_eq("role", "site"))]
    site: Option<String>,
    /// For how many hours it can be used
    #[arg(long, default_value_t = crate::tokens::DEFAULT_LIFE_H)]
    hours: u32,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "lumbung-controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Openapi => return print_json(&api::openapi::document()),
        Command::Man => return man(),
        Command::Config(ConfigCommand::Check { file }) => {
            Profile::load(&Config::load(file.as_deref().or(cli.config.as_deref()))?.profile)?;
            return answer(cli, &json!({ "ok": true }), "the configuration is in order\n");
        }
        Command::Profile(command) => return profile(cli, command),
        Command::Watch { file, check: true } => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            alerts::watch::check(&WatchConfig::load(file)?, &clock)?;
            return answer(cli, &json!({ "ok": true }), "the file is in order\n");
        }
        Command::Watch { file, check: false } => return watch(file),
        _ => {}
    }
    let mut config = Config::load(cli.config.as_deref())?;
    if let Some(dir) = &cli.data_dir {
        config.data_dir = std::path::absolute(dir).context("--data-dir")?;
    }
    let state = StateDir::at(&config.data_dir);
    match &cli.command {
        Command::Init => init(cli, &config, &state),
        Command::Run(args) => serve(cli, config, args, false),
        Command::Standby(args) => serve(cli, config, args, true),
        Command::Recover(args) => succession::recover_from(cli, &config, &state, args),
        Command::Promote(args) => succession::promote(cli, &config, &state, args),
        Command::Succession(command) => succession::run(cli, &config, &state, command),
        Command::Token(args) => token(cli, &state, args),
        Command::Import { file } => import_file(cli, &config, &state, file),
        Command::Operator { name } => {
            let act = Act::console(SystemClock.now());
            let (path, serial) = state.issue_operator(&state.authority()?, name, act.now)?;
            let deed = Deed { action: "operator.issue", kind: "certificate", id: name, pd: None };
            let db = state.open_db()?;
            let after = json!({ "serial": serial });
            db.write(|tx| audit_rows::append(tx, &act, deed, None, Some(after)))?;
            let text = format!("{}\n", path.display());
            answer(cli, &json!({ "operator": path }), &text)
        }
        Command::User(command) => people::run(cli, &state, command),
        Command::Approval(command) => approvals::run(cli, &state, command),
        Command::Audit(command) => audit::run(cli, &state, command),
        Command::Openapi
        | Command::Man
        | Command::Config(_)
        | Command::Profile(_)
        | Command::Watch { .. } => Ok(()),
    }
}

fn profile(cli: &Cli, command: &ProfileCommand) -> anyhow::Result<()> {
    match command {
        ProfileCommand::List => {
            let mut rows = Vec::new();
            let mut text = String::new();
            for (name, _) in BUILT_IN {
                let city = Profile::load(name)?.city;
                text += &format!("{name:16}{:24}{}\n", city.name, city.regulation);
                rows.push(
                    json!({ "profile": name, "city": city.name, "regulation": city.regulation }),
                );
            }
            answer(cli, &rows, &text)
        }
        ProfileCommand::Check { profile } => {
            let named = match profile {
                Some(named) => named.clone(),
                None => Config::load(cli.config.as_deref())?.profile,
            };
            let profile = Profile::load(&named)?;
            let (rules, duties) = (profile.rules.len(), profile.duties.len());
            let text = format!("the profile is in order: {rules} rules, {duties} duties\n");
            answer(cli, &json!({ "ok": true, "rules": rules, "duties": duties }), &text)
        }
        ProfileCommand::Show { name } => {
            let known = BUILT_IN.iter().find(|(known, _)| known == name);
            let (_, text) = known.with_context(|| format!("no profile {name:?} comes with the program: `lumbung-controller profile list` names them"))?;
            answer(cli, &json!({ "profile": name, "toml": text }), text)
        }
    }
}

fn init(cli: &Cli, config: &Config, state: &StateDir) -> anyhow::Result<()> {
    let made = state.init(&config.names, &SystemClock)?;
    let text = format!(
        "CA fingerprint: {}\nCA certificate: {}\noperator's certificate and key: {}\n\
         Put the fingerprint on every enrolment command line. Give operator.pem to the operator, and\n\
         keep a copy of the whole directory {} in a safe place: it is the city's CA.\n\
         Make the first administrator: lumbung-controller user add NAME --full-name TEXT --role admin\n",
        made.ca_fingerprint,
        made.ca.display(),
        made.operator.display(),
        config.data_dir.display(),
    );
    let value =
        json!({ "ca_fingerprint": made.ca_fingerprint, "ca": made.ca, "operator": made.operator });
    answer(cli, &value, &text)
}

fn serve(cli: &Cli, mut config: Config, args: &RunArgs, copies: bool) -> anyhow::Result<()> {
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    let runtime = runtime()?;
    let json = cli.json;
    let say = move |state: ControllerState, address: SocketAddr| {
        let line = match (json, state) {
            (true, _) => json!({ "listening": address, "state": state }).to_string(),
            (false, ControllerState::Acting) => format!("listening on {address}"),
            (false, state) => format!("{state} on {address}"),
        };
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    runtime.block_on(async move {
        let stop = CancellationToken::new();
        let (asked, told) = (daemon::shutdown_signal()?, stop.clone());
        tokio::spawn(async move {
            asked.await;
            told.cancel();
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let state = StateDir::at(&config.data_dir);
        let swept = standby::copy::sweep(&config.data_dir)?;
        if swept > 0 {
            tracing::info!(swept, "copies for a standby that were left unfinished are removed");
        }
        // What a vault showed of who acts, where no statement is known here.
        let mut shown = None;
        // A controller that is superseded waits, and one that is promoted acts: in the same process.
        while !stop.is_cancelled() {
            let own = state.own_pin(&state.authority()?, &config.names, clock.now())?;
            // Closed before anything runs: a copy takes the place of no database that is open.
            let chain = state.open_db()?.read(|tx| succession_rules::chain(tx))?.or(shown.take());
            match chain {
                Some(chain) if chain.standing(&own) != ControllerState::Acting => {
                    let say = |address, state| say(state, address);
                    let (config, stop) = (config.clone(), stop.clone());
                    standby::run(config, clock.clone(), (chain, copies), stop, say).await?;
                }
                None if copies => anyhow::bail!(
                    "no officers are known here, and without their signatures no standby can take over: take the controller's signed first statement here too (`lumbung-controller succession take FILE`)"
                ),
                _ => {
                    let say = |address| say(ControllerState::Acting, address);
                    match daemon::run(config.clone(), clock.clone(), say).await? {
                        daemon::Ended::Stopped => return Ok(()),
                        daemon::Ended::Superseded(by) => shown = by,
                    }
                }
            }
        }
        Ok(())
    })
}

/// The runtime of what runs until it is stopped, with its log on stderr.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal)
        .with_writer(std::io::stderr)
        .init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime")
}

fn watch(file: &Path) -> anyhow::Result<()> {
    let config = WatchConfig::load(file)?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let ready = || {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "watching").and_then(|()| out.flush());
    };
    runtime()?.block_on(async move {
        let ended = daemon::shutdown_signal()?;
        tokio::spawn(async move {
            ended.await;
            stop.send_replace(true);
        });
        alerts::watch::run(config, Arc::new(SystemClock), stopped, ready).await?;
        Ok(())
    })
}

fn token(cli: &Cli, state: &StateDir, args: &TokenArgs) -> anyhow::Result<()> {
    let role = match args.role {
        TokenRole::Agent => Role::Agent,
        TokenRole::Site => Role::Site,
    };
    let request = TokenRequest {
        role,
        server: args.server.clone(),
        site: args.site.clone(),
        life_h: Some(args.hours),
    };
    let db = state.open_db()?;
    let authority = state.authority()?;
    let token = db.write(|tx| {
        issue::token(tx, &Act::console(SystemClock.now()), authority.fingerprint(), &request)
    })?;
    let text = format!(
        "token: {}\nvalid until: {}\nCA fingerprint: {}\n",
        token.token, token.expires, token.ca_fingerprint
    );
    answer(cli, &token, &text)
}

fn import_file(cli: &Cli, config: &Config, state: &StateDir, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read {}: name a register such as config/register.example.toml",
            file.display()
        )
    })?;
    let db = state.open_db()?;
    let name = file.display().to_string();
    let act = Act::console(SystemClock.now());
    let source = exchange::Source::Toml(&text);
    let profile = Profile::load(&config.profile)?;
    let import = |tx: &rusqlite::Transaction<'_>| {
        let outcome = exchange::import(tx, &act, (&name, source), &profile, false)?;
        // The running controller publishes; what asks for less is asked for in the console's name.
        policies::reconcile(tx, Asker { act: &act, user: None }, Terms::of(&profile), None)?;
        Ok::<_, exchange::ImportError>(outcome)
    };
    let outcome = db.write(import)?;
    let words = format!(
        "{} created, {} updated, {} unchanged\n",
        outcome.created, outcome.updated, outcome.unchanged
    );
    answer(cli, &outcome, &words)
}

fn answer(cli: &Cli, value: &impl serde::Serialize, text: &str) -> anyhow::Result<()> {
    if cli.json {
        return print_json(value);
    }
    std::io::stdout().write_all(text.as_bytes()).context("standard output")
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("JSON")?;
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes()).context("standard output")
}

fn man() -> anyhow::Result<()> {
    clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout()).context("standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_needs_what_it_is_for() {
        let parse = |args: &str| Cli::try_parse_from(args.split(' ')).is_ok();
        assert!(parse("x token --role agent --server web-1"));
        assert!(parse("x token --role site --site Pusat"));
        assert!(!parse("x token --role agent"));
        assert!(!parse("x token --role site --server web-1"));
        assert!(!parse("x token --role operator --server web-1"));
    }
}
