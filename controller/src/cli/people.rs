//! `lumbung-controller user`: accounts, at the controller's own console.
//!
//! The first password is made here and shown once; it opens nothing but the change of it.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use lumbung_model::{Clock as _, SystemClock};
use lumbung_wire::messages::people::{User, UserInput, UserRole, first_password};
use serde_json::json;

use super::{Cli, answer};
use crate::act::Act;
use crate::db::{people as rows, register};
use crate::people::accounts;
use crate::state_dir::StateDir;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make an account; its first password is shown once
    Add(AddArgs),
    /// List the accounts
    List,
    /// Give an account a new first password, shown once
    Password {
        /// Its name
        name: String,
        /// The second factor goes too: the telephone was lost
        #[arg(long)]
        without_totp: bool,
    },
    /// Close an account: its sessions and tokens end
    Disable {
        /// Its name
        name: String,
    },
    /// Open a closed account again
    Enable {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleArg {
    /// Keeps accounts; may do what an operator may
    Admin,
    /// Of the Dinas: keeps the register, sees every PD
    Operator,
    /// A PD's contact: sees its own PD
    Pd,
    /// A PD's key custodian: sees its own PD, hands in proofs
    Custodian,
    /// Inspektorat, assessor: sees everything, changes nothing
    Auditor,
}

impl From<RoleArg> for UserRole {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::Operator => Self::Operator,
            RoleArg::Pd => Self::Pd,
            RoleArg::Custodian => Self::Custodian,
            RoleArg::Auditor => Self::Auditor,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// What is typed to log in
    name: String,
    /// As people know the person
    #[arg(long)]
    full_name: String,
    /// What the person may do
    #[arg(long)]
    role: RoleArg,
    /// Code of the PD that the person belongs to
    #[arg(long, value_name = "CODE")]
    pd: Option<String>,
}

pub(super) fn run(cli: &Cli, state: &StateDir, command: &UserCommand) -> anyhow::Result<()> {
    let db = state.open_db()?;
    let act = Act::console(SystemClock.now());
    match command {
        UserCommand::Add(args) => {
            let password = first_password();
            let hashed = accounts::first_password(&args.name, &password)?;
            let user = db.write(|tx| {
                let pd = args.pd.as_deref().map(|code| {
                    let found = register::pd_by_code(tx, code)?;
                    found.with_context(|| format!("no PD has the code {code:?}: import it first"))
                });
                let input = UserInput {
                    name: args.name.clone(),
                    full_name: args.full_name.clone(),
                    role: args.role.into(),
                    pd: pd.transpose()?.map(|pd| pd.id),
                    password: password.clone(),
                };
                anyhow::Ok(accounts::add(tx, &act, &input, hashed)?)
            })?;
            show_password(cli, &user, &password)
        }
        UserCommand::List => {
            let all = db.read(|tx| rows::accounts(tx))?;
            let users: Vec<User> = all.into_iter().map(|account| account.user).collect();
            answer(cli, &users, &users.iter().map(line).collect::<String>())
        }
        UserCommand::Password { name, without_totp } => {
            let password = first_password();
            let hashed = accounts::first_password(name, &password)?;
            let user = db.write(|tx| {
                let account = accounts::find(tx, name)?;
                accounts::reset_password(tx, &act, &account, hashed, *without_totp)
            })?;
            show_password(cli, &user, &password)
        }
        UserCommand::Disable { name } => {
            let user =
                db.write(|tx| accounts::set_disabled(tx, &act, &accounts::find(tx, name)?, true))?;
            answer(cli, &user, &line(&user))
        }
        UserCommand::Enable { name } => {
            let user =
                db.write(|tx| accounts::set_disabled(tx, &act, &accounts::find(tx, name)?, false))?;
            answer(cli, &user, &line(&user))
        }
    }
}

fn show_password(cli: &Cli, user: &User, password: &str) -> anyhow::Result<()> {
    let text = format!(
        "{} ({}): first password {password}\n\
         It is shown once, and opens nothing but the change of it at the next login.\n",
        user.name, user.role
    );
    answer(cli, &json!({ "user": user, "password": password }), &text)
}

fn line(user: &User) -> String {
    let state = match (&user.disabled, user.password_is_new, user.totp) {
        (Some(since), ..) => format!("closed since {since}"),
        (None, true, _) => "waits for its first login".to_owned(),
        (None, false, true) => "second factor".to_owned(),
        (None, false, false) => "password only".to_owned(),
    };
    format!("{:<20} {:<10} {:<28} {state}\n", user.name, user.role.as_str(), user.full_name)
}
