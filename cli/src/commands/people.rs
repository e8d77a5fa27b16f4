//! `lumbung login`, `approval`: people at the controller.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lumbung_model::ApprovalId;
use lumbung_wire::messages::approvals::{Approval, ApprovalState};
use lumbung_wire::messages::people::{ApiTokenInput, NewApiToken};

use crate::controller::ControllerArgs;
use crate::failure::{Exit, Outcome};
use crate::files::replace_secret;
use crate::session::{self, SessionArgs};
use crate::table::pairs;
use crate::terminal::Terminal;

/// Log in at the controller once, and keep an API token for the commands that follow
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The account's name
    name: String,
    /// Where the token is kept; name it with --token-file, LUMBUNG_TOKEN_FILE, or `token_file` in client.toml
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The token may change what the account may change; else it only reads
    #[arg(long)]
    writes: bool,
    /// How many days it holds
    #[arg(long, default_value_t = 30)]
    days: u32,
    #[command(flatten)]
    session: SessionArgs,
}

/// What waits for a second person
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// List the requests, newest first
    List {
        #[command(flatten)]
        controller: ControllerArgs,
    },
    /// Approve a request of somebody else, and have it done
    Approve(DecideArgs),
    /// Refuse a request of somebody else
    Refuse(DecideArgs),
}

/// Arguments of `approval approve` and `refuse`.
#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// Its id
    id: ApprovalId,
    /// The account that decides: a person logs in for it, no token does
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    #[command(flatten)]
    session: SessionArgs,
}

/// Runs `lumbung login`.
///
/// # Errors
/// If the controller refuses, or the token cannot be kept.
pub(crate) fn login(args: &LoginArgs, terminal: &Terminal) -> Outcome<Exit> {
    let session = session::open(&args.session, &args.name, terminal)?;
    let input = ApiTokenInput {
        name: format!("lumbung login, {}", crate::machine::host_name()),
        writes: args.writes,
        days: args.days,
    };
    let made: NewApiToken = session.post("/api/v1/me/tokens", &input)?;
    replace_secret(&args.out, "the API token", &format!("{}\n", made.text))?;
    let _ = session.post::<_, serde_json::Value>("/api/v1/logout", &());
    terminal.result(&made.token, || {
        pairs(&[
            (terminal.pick("Token", "Token"), args.out.display().to_string()),
            (terminal.pick("Berlaku sampai", "Holds until"), terminal.time(made.token.expires)),
        ])
    })?;
    Ok(Exit::Fine)
}

/// Runs `lumbung approval`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn approval(command: &ApprovalCommand, terminal: &Terminal) -> Outcome<Exit> {
    let (args, what) = match command {
        ApprovalCommand::List { controller } => {
            let all: Vec<Approval> = controller.connect()?.list("/api/v1/approvals")?;
            terminal.result(&all, || all.iter().map(|one| lines(one, terminal)).collect())?;
            return Ok(Exit::Fine);
        }
        ApprovalCommand::Approve(args) => (args, "approve"),
        ApprovalCommand::Refuse(args) => (args, "refuse"),
    };
    let path = format!("/api/v1/approvals/{}/{what}", args.id);
    let decided: Approval =
        session::during(&args.session, &args.name, terminal, |session| session.post(&path, &()))?;
    terminal.result(&decided, || lines(&decided, terminal))?;
    Ok(Exit::Fine)
}

fn lines(one: &Approval, terminal: &Terminal) -> String {
    let state = match one.state {
        ApprovalState::Open => terminal.pick("menunggu", "waits"),
        ApprovalState::Approved => terminal.pick("disetujui", "approved"),
        ApprovalState::Refused => terminal.pick("ditolak", "refused"),
        ApprovalState::Withdrawn => terminal.pick("ditarik kembali", "withdrawn"),
        ApprovalState::Expired => terminal.pick("kedaluwarsa", "lapsed"),
    };
    let by = one.decided_by.as_ref().map_or_else(String::new, |by| format!(", {by}"));
    let asked = terminal.pick("diminta oleh", "asked by");
    format!(
        "{} {state}{by}\n  {}\n  {asked} {}, {}: {}\n",
        one.id,
        one.words,
        one.asked_by,
        terminal.time(one.asked),
        one.reason
    )
}
