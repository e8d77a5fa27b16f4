//! `lumbung token`, `proof`: what is handed out, and handed in; and proofs of whoever has restored and compared by other means.

use std::path::PathBuf;

use chrono::{DateTime, FixedOffset};
use clap::{Args, Subcommand};
use lumbung_model::{ManifestId, ProofId, SiteId, Timestamp};
use lumbung_pack::{Kind, Proof, object_id, sign};
use lumbung_wire::Role;
use lumbung_wire::messages::overview::{ProofAccepted, TokenRequest};
use lumbung_wire::messages::register::EnrollmentToken;

use crate::controller::ControllerArgs;
use crate::depot::DepotArgs;
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::files::read_bytes;
use crate::opening::OpeningArgs;
use crate::table::pairs;
use crate::terminal::Terminal;

/// One-time tokens for enrolment
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for a server's agent or a site's vault; it is shown once
    New(TokenNew),
}

/// Arguments of `token new`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("for").required(true).args(["server", "site"]))]
pub(crate) struct TokenNew {
    /// For the agent of this server: name, PD/name or id
    #[arg(long)]
    server: Option<String>,
    /// For the vault of this site: name or id
    #[arg(long)]
    site: Option<String>,
    /// How long it can be used
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    life_h: u32,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Proofs of restore
#[derive(Debug, Subcommand)]
pub(crate) enum ProofCommand {
    /// Hand in a proof that `lumbung restore --proof FILE` wrote
    Submit(SubmitArgs),
    /// Sign that a snapshot was restored, compared and tried elsewhere, and store the proof in its depot
    Sign(SignArgs),
}

/// Arguments of `proof sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// Its id
    snapshot: ManifestId,
    #[command(flatten)]
    key: OpeningArgs,
    /// Entries that were restored and compared
    #[arg(long)]
    entries: u64,
    /// Bytes of their contents
    #[arg(long)]
    bytes: u64,
    /// Entries that failed
    #[arg(long, default_value_t = 0)]
    failed: u64,
    /// When the restore began, for instance 2026-11-30T02:00:00Z
    #[arg(long, value_name = "TIME")]
    started: DateTime<FixedOffset>,
    /// When it had been compared
    #[arg(long, value_name = "TIME")]
    finished: DateTime<FixedOffset>,
}

/// Arguments of `proof submit`.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The proof's file
    file: PathBuf,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung token`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn token(command: &TokenCommand, terminal: &Terminal) -> Outcome<Exit> {
    let TokenCommand::New(args) = command;
    let request = TokenRequest {
        role: if args.site.is_some() { Role::Site } else { Role::Agent },
        server: args.server.clone(),
        site: args.site.clone(),
        life_h: Some(args.life_h),
    };
    let token: EnrollmentToken = args.controller.connect()?.post("/api/v1/tokens", &request)?;
    terminal.result(&token, || {
        pairs(&[
            ("Token", token.token.clone()),
            (terminal.pick("Berlaku sampai", "Valid until"), terminal.time(token.expires)),
            (terminal.pick("Sidik jari CA", "CA fingerprint"), token.ca_fingerprint.clone()),
        ])
    })?;
    Ok(Exit::Fine)
}

/// Runs `lumbung proof`.
///
/// # Errors
/// If it is no proof, or the controller does not take it.
pub(crate) fn proof(command: &ProofCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        ProofCommand::Submit(args) => submit(args, terminal),
        ProofCommand::Sign(args) => sign_proof(args, terminal),
    }
}

fn sign_proof(args: &SignArgs, terminal: &Terminal) -> Outcome<Exit> {
    let opener = args.key.open()?;
    let unlocked = opener.unlock(&args.depot, terminal)?;
    let opened = &unlocked.opened;
    let Some(prover) = opener.prover(&opened.chain) else {
        let message = "this key is no root key of the repository, so its proof would not count";
        let next = "use the custodian's bundle, or a requester key to which the snapshot is opened";
        return Err(Failure::new(Code::NotEntitled, message, next));
    };
    // What is proven is a snapshot that this key opens.
    let snapshot = unlocked.list()?.select(&args.snapshot.to_string(), None, terminal)?;
    let at = |time: &DateTime<FixedOffset>| Timestamp(time.timestamp());
    let proof = Proof {
        repository: opened.chain.repository(),
        manifest: snapshot.id,
        site: opened.depot.site().unwrap_or(SiteId::ZERO),
        started: at(&args.started),
        finished: at(&args.finished),
        entries: args.entries,
        bytes: args.bytes,
        failed: args.failed,
    };
    let object = sign(&proof, prover);
    let id = object_id(&object);
    let what = || format!("the proof could not be stored in {}", opened.name());
    let next = "check the depot, and that the snapshot is opened to this key still; then try again";
    opened.depot.put(Kind::Proof, &id, &object).explain(Code::Depot, what, next)?;
    let id = ProofId::from_bytes(id);
    terminal.result(&serde_json::json!({ "proof": id, "snapshot": snapshot.id }), || {
        pairs(&[(terminal.pick("Bukti pulih", "Proof of restore"), id.to_string())])
    })?;
    Ok(Exit::Fine)
}

fn submit(args: &SubmitArgs, terminal: &Terminal) -> Outcome<Exit> {
    let object = read_bytes(&args.file, "the proof")?;
    lumbung_pack::open_signed::<lumbung_pack::Proof>(&object).map_err(|e| {
        let message = format!("{} is no proof of restore", args.file.display());
        Failure::new(
            Code::BadFile,
            message,
            "name the file that `lumbung restore --proof FILE` wrote",
        )
        .because(e)
    })?;
    let accepted: ProofAccepted =
        args.controller.connect()?.post_bytes("/api/v1/proofs", object)?;
    terminal.result(&accepted, || {
        let dataset =
            accepted.dataset.map_or_else(|| "–".to_owned(), |dataset| dataset.to_string());
        pairs(&[
            (terminal.pick("Bukti pulih", "Proof of restore"), accepted.proof.clone()),
            (terminal.pick("Himpunan data", "Dataset"), dataset),
        ])
    })?;
    Ok(Exit::Fine)
}
