//! `lumbung-controller succession`, `promote`, `recover`: who acts, and a controller made from its backup.
//!
//! A statement is drawn up here, signed by two officers on their own machines (`lumbung succession sign`), and taken here.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use lumbung_model::{Clock as _, SystemClock, TlsPin};
use lumbung_wire::messages::overview::ControllerState;
use lumbung_wire::messages::succession::{Officer, Seat, Statement, Succession};
use lumbung_wire::succession::{self as wire, Chain, SUCCESSION_MAX_BYTES};
use serde_json::json;

use super::{Cli, answer};
use crate::act::Act;
use crate::config::Config;
use crate::recover::recover;
use crate::state_dir::StateDir;
use crate::succession::{self, names};

#[derive(Debug, Subcommand)]
pub(super) enum SuccessionCommand {
    /// Show who acts, who keeps a copy, whose signatures count, and this controller's own key
    Show,
    /// Draw up a statement for two officers to sign: the first one, or new officers or standbys
    Draft(DraftArgs),
    /// Take a statement that two officers have signed
    Take {
        /// The signed file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct DraftArgs {
    /// File to write
    file: PathBuf,
    /// Where this controller answers, https://host:port; needed in the first statement
    #[arg(long)]
    url: Option<String>,
    /// Somebody whose signature counts from then on, NAME=KEY with the root key of their own bundle (`lumbung key show`); those named take the place of all before
    #[arg(long, value_name = "NAME=KEY", value_parser = officer)]
    officer: Vec<Officer>,
    /// A standby, URL=PIN as `succession show` prints it there; those named take the place of all before
    #[arg(long, value_name = "URL=PIN", value_parser = seat, conflicts_with = "no_standby")]
    standby: Vec<Seat>,
    /// There is no standby any more
    #[arg(long)]
    no_standby: bool,
    /// Number of the letter, or why
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["ask", "take"]))]
pub(super) struct PromoteArgs {
    /// Draw up the statement by which this controller acts, for two officers to sign
    #[arg(long, value_name = "FILE", requires = "reason")]
    ask: Option<PathBuf>,
    /// Take it when they have signed
    #[arg(long, value_name = "FILE")]
    take: Option<PathBuf>,
    /// Where this controller answers, https://host:port, if the newest statement does not name it as a standby
    #[arg(long, conflicts_with = "take")]
    url: Option<String>,
    /// Number of the letter, or why
    #[arg(long, conflicts_with = "take")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// Folder with ca.crt, ca.key, audit.key and policy.key, restored from the controller's dataset
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The restored database [default: controller.db in that folder]
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, &str), String> {
    let (left, right) = text.rsplit_once('=').ok_or("write it as NAME=KEY or URL=PIN")?;
    Ok((left.trim().to_owned(), right.trim()))
}

fn officer(text: &str) -> Result<Officer, String> {
    let (name, key) = pair(text)?;
    Ok(Officer { name, key: key.parse().map_err(|error| format!("{error}"))? })
}

fn seat(text: &str) -> Result<Seat, String> {
    let (url, pin) = pair(text)?;
    Ok(Seat { url, pin: pin.parse().map_err(|error| format!("{error}"))? })
}

/// What this console works on.
struct Console<'a> {
    cli: &'a Cli,
    state: &'a StateDir,
    own: TlsPin,
    ca: String,
    chain: Option<Chain>,
}

impl<'a> Console<'a> {
    fn open(cli: &'a Cli, config: &Config, state: &'a StateDir) -> anyhow::Result<Self> {
        let authority = state.authority()?;
        let own = state.own_pin(&authority, &config.names, SystemClock.now())?;
        let chain = state.open_db()?.read(|tx| succession::chain(tx))?;
        Ok(Self { cli, state, own, ca: authority.fingerprint().to_owned(), chain })
    }

    fn standing(&self) -> ControllerState {
        succession::standing(self.chain.as_ref(), &self.own)
    }

    fn show(&self) -> anyhow::Result<()> {
        let newest = self.chain.as_ref().map(Chain::newest);
        let mut text = format!("own key: {}\nstate: {}\n", self.own, self.standing());
        match newest {
            None => text.push_str(
                "no officers were named: `lumbung-controller succession draft` begins a succession\n",
            ),
            Some(newest) => text.push_str(&lines(newest)),
        }
        let value = json!({ "own_pin": self.own, "state": self.standing(), "newest": newest });
        answer(self.cli, &value, &text)
    }

    /// Writes a statement that follows on the newest, for officers to sign.
    fn draw_up(
        &self,
        file: &Path,
        (controller, standbys): (Seat, Vec<Seat>),
        officers: Vec<Officer>,
        reason: &str,
    ) -> anyhow::Result<()> {
        let statement = Statement {
            epoch: self.chain.as_ref().map_or(0, Chain::epoch) + 1,
            previous: self.chain.as_ref().map(Chain::newest_hash),
            ca: self.ca.clone(),
            controller,
            standbys,
            officers,
            made: SystemClock.now(),
            reason: reason.trim().to_owned(),
        };
        let mut all = self.chain.as_ref().map(Chain::to_message).unwrap_or_default();
        all.statements.push(wire::draft(&statement)?);
        let text = serde_json::to_string_pretty(&all).context("JSON")? + "\n";
        let created = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
        created
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .with_context(|| {
                format!("cannot write {}: name a file that is not there yet", file.display())
            })?;
        let signers =
            self.chain.as_ref().map_or(&statement.officers, |chain| &chain.newest().officers);
        let words = format!(
            "{}{} is to be signed by two of: {}\n  lumbung succession sign {} --key OFFICER.key\n",
            lines(&statement),
            file.display(),
            names(signers).join(", "),
            file.display(),
        );
        answer(self.cli, &json!({ "file": file, "epoch": statement.epoch }), &words)
    }

    fn draft(&self, args: &DraftArgs) -> anyhow::Result<()> {
        if self.standing() != ControllerState::Acting {
            bail!(
                "this controller is {}: draw it up on the one that acts, or use `promote`",
                self.standing()
            );
        }
        let newest = self.chain.as_ref().map(Chain::newest);
        let known = newest.map(|newest| newest.controller.url.clone());
        let url = args.url.clone().or(known).context(
            "--url: say where this controller answers (https://host:port), as agents and vaults reach it",
        )?;
        let officers = match (args.officer.as_slice(), newest) {
            ([], Some(newest)) => newest.officers.clone(),
            (named, _) => named.to_vec(),
        };
        let standbys = match (args.standby.as_slice(), newest) {
            ([], Some(newest)) if !args.no_standby => newest.standbys.clone(),
            (named, _) => named.to_vec(),
        };
        let seats = (Seat { url, pin: self.own }, standbys);
        self.draw_up(&args.file, seats, officers, &args.reason)
    }

    fn ask(&self, file: &Path, url: Option<&str>, reason: &str) -> anyhow::Result<()> {
        let newest = self.chain.as_ref().map(Chain::newest).context(
            "no statement is known here, so nobody can promote: if officers were named since this copy was made, take their newest signed file first (`lumbung-controller succession take FILE`); if none ever were and the old controller is gone for good, `lumbung-controller run` serves this copy",
        )?;
        if self.standing() == ControllerState::Acting {
            bail!("this controller acts already");
        }
        let named = newest.standbys.iter().find(|seat| seat.pin == self.own);
        let url = url.map(str::to_owned).or_else(|| named.map(|seat| seat.url.clone()));
        let url = url.context("--url: say where this controller answers (https://host:port)")?;
        let standbys =
            newest.standbys.iter().filter(|seat| seat.pin != self.own).cloned().collect();
        let seats = (Seat { url, pin: self.own }, standbys);
        self.draw_up(file, seats, newest.officers.clone(), reason)
    }

    /// Takes a signed file; one for a promotion has to name this controller.
    fn take(&self, file: &Path, promotes: bool) -> anyhow::Result<()> {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        if bytes.len() > SUCCESSION_MAX_BYTES {
            bail!("{} is far too long for a succession", file.display());
        }
        let presented: Succession = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} is no succession: take the file that `draft` or `promote --ask` wrote",
                file.display()
            )
        })?;
        let (_, proposed) = wire::proposal(&presented)?;
        if promotes && proposed.controller.pin != self.own {
            bail!(
                "{} names {} and not this controller: draw it up here (`promote --ask`)",
                file.display(),
                proposed.controller.url
            );
        }
        let _held = self.state.lock_copy()?;
        let db = self.state.open_db()?;
        let act = Act::console(SystemClock.now());
        let taken = db.write(|tx| succession::take(tx, &act, &self.ca, &presented))?;
        let Some(chain) = taken else {
            return answer(self.cli, &json!({ "taken": false }), "it was taken before\n");
        };
        let standing = chain.standing(&self.own);
        let next = match standing {
            ControllerState::Acting => {
                "This controller acts. If it is not running: systemctl enable --now lumbung-controller (or lumbung-standby, which goes on as the controller)\n"
            }
            _ => "Another controller acts by this statement; this one stops acting.\n",
        };
        let text = format!("{}{next}", lines(chain.newest()));
        answer(
            self.cli,
            &json!({ "taken": true, "epoch": chain.epoch(), "state": standing }),
            &text,
        )
    }
}

fn lines(statement: &Statement) -> String {
    let mut text = format!(
        "epoch {}, drawn up {}: {}\nacts: {} with the key {}\n",
        statement.epoch,
        statement.made,
        statement.reason,
        statement.controller.url,
        statement.controller.pin
    );
    for seat in &statement.standbys {
        text += &format!("standby: {} with the key {}\n", seat.url, seat.pin);
    }
    for officer in &statement.officers {
        text += &format!("officer: {} with the key {}\n", officer.name, officer.key);
    }
    text
}

pub(super) fn run(
    cli: &Cli,
    config: &Config,
    state: &StateDir,
    command: &SuccessionCommand,
) -> anyhow::Result<()> {
    let console = Console::open(cli, config, state)?;
    match command {
        SuccessionCommand::Show => console.show(),
        SuccessionCommand::Draft(args) => console.draft(args),
        SuccessionCommand::Take { file } => console.take(file, false),
    }
}

pub(super) fn promote(
    cli: &Cli,
    config: &Config,
    state: &StateDir,
    args: &PromoteArgs,
) -> anyhow::Result<()> {
    let console = Console::open(cli, config, state)?;
    match (&args.ask, &args.take) {
        (Some(file), _) => {
            console.ask(file, args.url.as_deref(), args.reason.as_deref().unwrap_or_default())
        }
        (None, Some(file)) => console.take(file, true),
        // The command line's group sees to it that one of them is there.
        (None, None) => Ok(()),
    }
}

pub(super) fn recover_from(
    cli: &Cli,
    config: &Config,
    state: &StateDir,
    args: &RecoverArgs,
) -> anyhow::Result<()> {
    let database = args.database.clone().unwrap_or_else(|| args.from.join("controller.db"));
    let made = recover((&args.from, &database), state, &config.names, &SystemClock)?;
    let next = match made.standing {
        ControllerState::Acting => {
            "No officers were named, so agents and vaults cannot tell this controller from the one of the backup.\n\
             As a standby beside it: have the first statement name it (`succession draft --standby URL=PIN` there), take the\n\
             signed file at both (`succession take`), then `lumbung-controller standby` here.\n\
             In its place: make sure that the old one never starts again, then `lumbung-controller run`. It asks the vaults of the\n\
             register first, and does not act where one of them knows a statement that names another: officers were named since\n\
             this backup then, so take their newest signed file (`succession take`) and promote this one (`promote --ask`).\n"
        }
        _ => {
            "It does not act yet. Where the controller that acts is gone, two officers promote this one:\n\
             \x20 lumbung-controller promote --ask FILE --url https://HOST:PORT --reason LETTER\n\
             As a standby beside it: have it named in a statement (`succession draft --standby URL=PIN` there),\n\
             then `lumbung-controller standby` here.\n"
        }
    };
    let epoch = made.epoch.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
    let text = format!(
        "recovered: CA {}\nepoch: {epoch}\nown key: {}\n{next}The operator's certificate is not in a backup: lumbung-controller operator\n",
        made.ca_fingerprint, made.pin
    );
    let value = json!({
        "ca_fingerprint": made.ca_fingerprint,
        "epoch": made.epoch,
        "own_pin": made.pin,
        "state": made.standing,
    });
    answer(cli, &value, &text)
}
