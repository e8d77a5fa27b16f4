//! `lumbung user`: accounts at the controller, as an administrator keeps them from afar.
//!
//! Invariants: whatever changes an account is done by a person who logs in for it, never by a token; a first password is
//! made here, shown once, and never an argument; another role is asked for and not given: a second person approves it.

use clap::{Args, Subcommand};
use lumbung_model::{Clock as _, PdId, SystemClock};
use lumbung_wire::messages::approvals::{Approval, RoleChange};
use lumbung_wire::messages::people::{PasswordReset, User, UserInput, UserRole, first_password};
use lumbung_wire::messages::register::Pd;
use serde_json::json;

use crate::commands::register::{OfPd, find_pd};
use crate::commands::status::query;
use crate::commands::user_text as text;
use crate::controller::Controller;
use crate::failure::{Exit, Outcome};
use crate::session::{self, SessionArgs};
use crate::terminal::Terminal;

/// Accounts at the controller
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List the accounts
    List(OfPd),
    /// Make an account; its first password is shown once
    Add(AddArgs),
    /// Close an account: its sessions and tokens end
    Disable(NamedArgs),
    /// Open a closed account again
    Enable(NamedArgs),
    /// Give an account a new first password, shown once
    Password(PasswordArgs),
    /// Ask for another role of an account: a second administrator approves it
    Role(RoleArgs),
}

/// The person who logs in for a change.
#[derive(Debug, Args)]
pub(crate) struct AsPerson {
    /// The administrator's account that does it: a person logs in for it, no token does
    #[arg(id = "as", long = "as", value_name = "NAME")]
    name: String,
    #[command(flatten)]
    session: SessionArgs,
}

/// Arguments of `user add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What is typed to log in
    name: String,
    /// As people know the person
    #[arg(long)]
    full_name: String,
    /// pd, custodian or auditor; admin and operator are made at the controller's console
    #[arg(long)]
    role: UserRole,
    /// The PD that the person belongs to: code or id
    #[arg(long)]
    pd: Option<String>,
    #[command(flatten)]
    person: AsPerson,
}

/// Arguments of `user disable` and `user enable`.
#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    person: AsPerson,
}

/// Arguments of `user password`.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Its name
    name: String,
    /// The second factor goes too: the telephone was lost
    #[arg(long)]
    without_totp: bool,
    #[command(flatten)]
    person: AsPerson,
}

/// Arguments of `user role`.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// Its name
    name: String,
    /// admin, operator, pd, custodian or auditor
    role: UserRole,
    /// The PD that it belongs to from then on, of the roles pd and custodian: code or id
    #[arg(long)]
    pd: Option<String>,
    /// Why: the letter's number, or a sentence
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    person: AsPerson,
}

/// Runs `lumbung user`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn run(command: &UserCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        UserCommand::List(args) => list(args, terminal)?,
        UserCommand::Add(args) => add(args, terminal)?,
        UserCommand::Disable(args) => set_open(args, "disable", terminal)?,
        UserCommand::Enable(args) => set_open(args, "enable", terminal)?,
        UserCommand::Password(args) => password(args, terminal)?,
        UserCommand::Role(args) => role(args, terminal)?,
    }
    Ok(Exit::Fine)
}

fn list(args: &OfPd, terminal: &Terminal) -> Outcome<()> {
    let controller = args.controller.connect()?;
    let of = args.pd.as_deref().map(|pd| find_pd(&controller, pd)).transpose()?;
    let mut users: Vec<User> = controller.list("/api/v1/users")?;
    users.retain(|user| of.as_ref().is_none_or(|pd| user.pd == Some(pd.id)));
    let pds = match of {
        Some(pd) => vec![pd],
        None => controller.list("/api/v1/pd")?,
    };
    terminal.result(&users, || text::table(&users, &pds, SystemClock.now(), terminal))
}

fn add(args: &AddArgs, terminal: &Terminal) -> Outcome<()> {
    let first = first_password();
    let made: User = as_person(&args.person, terminal, |session| {
        let input = UserInput {
            name: args.name.clone(),
            full_name: args.full_name.clone(),
            role: args.role,
            pd: pd_id(session, args.pd.as_deref())?,
            password: first.clone(),
        };
        session.post("/api/v1/users", &input)
    })?;
    show_password(&made, &first, terminal)
}

fn set_open(args: &NamedArgs, what: &str, terminal: &Terminal) -> Outcome<()> {
    let path = path_of(&args.name, what);
    let (user, pds) = as_person(&args.person, terminal, |session| {
        let user: User = session.post(&path, &())?;
        let pds: Vec<Pd> = session.list("/api/v1/pd")?;
        Ok((user, pds))
    })?;
    let now = SystemClock.now();
    terminal.result(&user, || text::table(std::slice::from_ref(&user), &pds, now, terminal))
}

fn password(args: &PasswordArgs, terminal: &Terminal) -> Outcome<()> {
    let first = first_password();
    let reset = PasswordReset { password: first.clone(), without_totp: args.without_totp };
    let path = path_of(&args.name, "password");
    let user: User = as_person(&args.person, terminal, |session| session.post(&path, &reset))?;
    show_password(&user, &first, terminal)
}

fn role(args: &RoleArgs, terminal: &Terminal) -> Outcome<()> {
    let path = path_of(&args.name, "role");
    let asked: Approval = as_person(&args.person, terminal, |session| {
        let pd = pd_id(session, args.pd.as_deref())?;
        let change = RoleChange { role: args.role, pd, reason: args.reason.clone() };
        session.post(&path, &change)
    })?;
    terminal.result(&asked, || text::asked(&asked, terminal))
}

fn as_person<T>(
    person: &AsPerson,
    terminal: &Terminal,
    change: impl FnOnce(&Controller) -> Outcome<T>,
) -> Outcome<T> {
    session::during(&person.session, &person.name, terminal, change)
}

fn path_of(name: &str, what: &str) -> String {
    format!("/api/v1/users/{}/{what}", query(name))
}

fn pd_id(session: &Controller, named: Option<&str>) -> Outcome<Option<PdId>> {
    named.map(|named| find_pd(session, named).map(|pd| pd.id)).transpose()
}

fn show_password(user: &User, first: &str, terminal: &Terminal) -> Outcome<()> {
    let shown = json!({ "user": user, "password": first });
    terminal.result(&shown, || text::first_password(user, first, terminal))
}
