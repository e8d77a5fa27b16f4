//! `lumbung`, the command line: keys, repositories, snapshots and restores straight on a depot, and the
//! register and compliance at the controller.
//!
//! Invariants: stdout carries results only, stderr everything else; each command ends in one of four
//! exit codes; a passphrase or key is never an argument, never printed, and never leaves the machine.
//! A command works on a depot with nothing but the key bundle: no controller, no configuration.

mod args;
mod chain;
mod commands;
mod confirm;
mod controller;
mod dataset;
mod depot;
mod duration;
mod entry;
mod failure;
mod files;
mod interrupt;
mod keys;
mod labels;
mod listing;
mod machine;
mod moment;
mod mount;
mod opening;
mod order_file;
mod order_text;
mod paper;
mod passphrase;
mod progress;
mod remote;
mod roster_edit;
mod roster_text;
mod session;
mod sites;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::failure::{Code, Exit, Outcome};
use crate::terminal::Terminal;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let terminal = cli.global.terminal();
    let exit = match run(&cli.command, &terminal) {
        Ok(exit) => exit,
        Err(failure) if failure.code() == Code::ClosedPipe => Exit::Fine,
        Err(failure) => {
            if terminal.json {
                eprintln!("{}", failure.json());
            } else {
                eprint!("{}", failure.text());
            }
            failure.exit()
        }
    };
    ExitCode::from(exit as u8)
}

fn run(command: &Command, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        Command::Key(command) => commands::key::run(command, terminal),
        Command::Repo(command) => commands::repo::run(command, terminal),
        Command::Roster(command) => commands::roster::run(command, terminal),
        Command::Order(command) => commands::order::run(command, terminal),
        Command::Succession(command) => commands::succession::run(command, terminal),
        Command::Approve(command) => commands::approve::run(command, terminal),
        Command::Backup(args) => commands::backup::run(args, terminal),
        Command::Snapshots(args) => commands::snapshots::run(args, terminal),
        Command::Ls(args) => commands::browse::ls(args, terminal),
        Command::Find(args) => commands::find::run(args, terminal),
        Command::Dump(args) => commands::browse::dump(args, terminal),
        Command::Database(command) => commands::database::run(command, terminal),
        Command::Diff(args) => commands::diff::run(args, terminal),
        Command::Restore(args) => commands::restore::run(args, terminal),
        Command::Mount(args) => mount::run(args, terminal),
        Command::Verify(args) => commands::verify::run(args, terminal),
        Command::Media(command) => commands::media::run(command, terminal),
        Command::Status(args) => commands::status::status(args, terminal),
        Command::Morning(args) => commands::morning::morning(args, terminal),
        Command::Uptime(args) => commands::uptime::uptime(args, terminal),
        Command::Check(command) => commands::uptime::check(command, terminal),
        Command::Incident(command) => commands::uptime::incident(command, terminal),
        Command::Maintenance(command) => commands::uptime::maintenance(command, terminal),
        Command::Capacity(args) => commands::capacity::capacity(args, terminal),
        Command::Bandwidth(args) => commands::capacity::bandwidth(args, terminal),
        Command::Rules(args) => commands::verdicts::rules(args, terminal),
        Command::Verdicts(args) => commands::verdicts::verdicts(args, terminal),
        Command::Trend(args) => commands::verdicts::trend(args, terminal),
        Command::Rpo(args) => commands::verdicts::rpo(args, terminal),
        Command::Waiver(command) => commands::verdicts::waiver(command, terminal),
        Command::Reminder(command) => commands::verdicts::reminder(command, terminal),
        Command::Compliance(args) => commands::status::compliance(args, terminal),
        Command::Pd(command) => commands::register::pd(command, terminal),
        Command::Server(command) => commands::register::server(command, terminal),
        Command::Dataset(command) => commands::register::dataset(command, terminal),
        Command::Site(command) => commands::register::site(command, terminal),
        Command::Token(command) => commands::hand_in::token(command, terminal),
        Command::Register(command) => commands::exchange::register(command, terminal),
        Command::Building(command) => commands::kinds::building(command, terminal),
        Command::Room(command) => commands::kinds::room(command, terminal),
        Command::Service(command) => commands::kinds::service(command, terminal),
        Command::Application(command) => commands::kinds::application(command, terminal),
        Command::Contact(command) => commands::kinds::contact(command, terminal),
        Command::Rack(command) => commands::colocation::rack(command, terminal),
        Command::Feed(command) => commands::colocation::feed(command, terminal),
        Command::Device(command) => commands::colocation::device(command, terminal),
        Command::Reservation(command) => commands::colocation::reservation(command, terminal),
        Command::Pool(command) => commands::colocation::pool(command, terminal),
        Command::Handover(command) => commands::colocation::handover(command, terminal),
        Command::Care(command) => commands::care::care(command, terminal),
        Command::Proof(command) => commands::hand_in::proof(command, terminal),
        Command::Deposit(command) => commands::deposits::deposit(command, terminal),
        Command::Calendar(args) => commands::deposits::calendar(args, terminal),
        Command::Drill(command) => commands::drill::drill(command, terminal),
        Command::Alert(command) => commands::alerts::alert(command, terminal),
        Command::OnCall(command) => commands::alerts::on_call(command, terminal),
        Command::Policy(command) => commands::policy::run(command, terminal),
        Command::Anomaly(command) => commands::anomaly::run(command, terminal),
        Command::Login(args) => commands::people::login(args, terminal),
        Command::User(command) => commands::user::run(command, terminal),
        Command::Approval(command) => commands::people::approval(command, terminal),
        Command::Audit(command) => commands::audit::run(command, terminal),
        Command::Completions(args) => commands::generate::completions(args),
        Command::Man(args) => commands::generate::man(args, terminal),
    }
}
