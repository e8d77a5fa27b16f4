//! `lumbung token`, `proof`: what is handed out, and handed in.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lumbung_wire::Role;
use lumbung_wire::messages::overview::{ProofAccepted, TokenRequest};
use lumbung_wire::messages::register::EnrollmentToken;

use crate::controller::ControllerArgs;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::read_bytes;
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
    let ProofCommand::Submit(args) = command;
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
