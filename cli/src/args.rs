//! The command line: one enum of commands, and what all of them understand.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    alerts, anomaly, approve, audit, backup, browse, capacity, care, colocation, database,
    deposits, diff, drill, exchange, find, generate, hand_in, key, kinds, media, morning, order,
    people, policy, register, repo, restore, roster, snapshots, status, succession, uptime, user,
    verdicts, verify,
};
use crate::mount;
use crate::terminal::{Lang, Terminal};

const AFTER: &str = "\
DEPOT is the directory of a repository, the data directory of a vault, or https://host:port of a vault.
SNAPSHOT is `latest`, `latest:DATASET`, or an id or its first digits (at least four).

Exit codes: 0 fine, 1 error, 2 usage, 3 finished with warnings.

A first repository, alone on one machine:
  lumbung key new pd.key
  lumbung repo init /srv/backup --key pd.key --agent agent.id
  lumbung backup /srv/backup --agent agent.id /etc /home
  lumbung restore /srv/backup latest --key pd.key --target /tmp/out
  lumbung verify /srv/backup";

/// Backups that a city can rely on: keys, repositories, snapshots, restores, compliance
#[derive(Debug, Parser)]
#[command(name = "lumbung", version, after_help = AFTER, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// One JSON document on stdout; errors as JSON on stderr
    #[arg(long, global = true)]
    json: bool,
    /// Language of headings and states
    #[arg(
        long,
        global = true,
        value_enum,
        env = "LUMBUNG_LANG",
        default_value = "id",
        hide_env = true
    )]
    lang: Lang,
    /// Time zone of the times shown, for instance Asia/Makassar (default: this machine's)
    #[arg(long, global = true, value_name = "ZONE", env = "LUMBUNG_TIME_ZONE", hide_env = true)]
    time_zone: Option<chrono_tz::Tz>,
    /// No progress and no hints, errors and warnings only
    #[arg(long, short, global = true)]
    quiet: bool,
}

impl Global {
    /// How this run talks.
    #[must_use]
    pub(crate) const fn terminal(&self) -> Terminal {
        Terminal { json: self.json, quiet: self.quiet, lang: self.lang, zone: self.time_zone }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Key(key::KeyCommand),
    #[command(subcommand)]
    Repo(repo::RepoCommand),
    #[command(subcommand)]
    Roster(roster::RosterCommand),
    #[command(subcommand)]
    Order(order::OrderCommand),
    #[command(subcommand)]
    Succession(succession::SuccessionCommand),
    #[command(subcommand)]
    Approve(approve::ApproveCommand),
    Backup(backup::BackupArgs),
    Snapshots(snapshots::SnapshotsArgs),
    Ls(browse::LsArgs),
    Find(find::FindArgs),
    Dump(browse::DumpArgs),
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    Diff(diff::DiffArgs),
    Restore(restore::RestoreArgs),
    Mount(mount::MountArgs),
    Verify(verify::VerifyArgs),
    #[command(subcommand)]
    Media(media::MediaCommand),
    Status(status::StatusArgs),
    Compliance(status::ComplianceArgs),
    Morning(morning::MorningArgs),
    Uptime(uptime::UptimeArgs),
    #[command(subcommand)]
    Check(uptime::CheckCommand),
    #[command(subcommand)]
    Incident(uptime::IncidentCommand),
    #[command(subcommand)]
    Maintenance(uptime::MaintenanceCommand),
    Capacity(capacity::CapacityArgs),
    Bandwidth(capacity::BandwidthArgs),
    Rules(verdicts::RulesArgs),
    Verdicts(verdicts::VerdictsArgs),
    Trend(verdicts::TrendArgs),
    Rpo(verdicts::RpoArgs),
    #[command(subcommand)]
    Waiver(verdicts::WaiverCommand),
    #[command(subcommand)]
    Reminder(verdicts::ReminderCommand),
    #[command(subcommand)]
    Pd(register::PdCommand),
    #[command(subcommand)]
    Server(register::ServerCommand),
    #[command(subcommand)]
    Dataset(register::DatasetCommand),
    #[command(subcommand)]
    Site(register::SiteCommand),
    #[command(subcommand)]
    Building(kinds::BuildingCommand),
    #[command(subcommand)]
    Room(kinds::RoomCommand),
    #[command(subcommand)]
    Service(kinds::ServiceCommand),
    #[command(subcommand)]
    Application(kinds::ApplicationCommand),
    #[command(subcommand)]
    Contact(kinds::ContactCommand),
    #[command(subcommand)]
    Rack(colocation::RackCommand),
    #[command(subcommand)]
    Feed(colocation::FeedCommand),
    #[command(subcommand)]
    Device(colocation::DeviceCommand),
    #[command(subcommand)]
    Reservation(colocation::ReservationCommand),
    #[command(subcommand)]
    Pool(colocation::PoolCommand),
    #[command(subcommand)]
    Handover(colocation::HandoverCommand),
    #[command(subcommand)]
    Care(care::CareCommand),
    #[command(subcommand)]
    Token(hand_in::TokenCommand),
    #[command(subcommand)]
    Register(exchange::RegisterCommand),
    #[command(subcommand)]
    Proof(hand_in::ProofCommand),
    #[command(subcommand)]
    Deposit(deposits::DepositCommand),
    Calendar(deposits::CalendarArgs),
    #[command(subcommand)]
    Drill(drill::DrillCommand),
    #[command(subcommand)]
    Alert(alerts::AlertCommand),
    #[command(subcommand)]
    OnCall(alerts::OnCallCommand),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Anomaly(anomaly::AnomalyCommand),
    Login(people::LoginArgs),
    #[command(subcommand)]
    User(user::UserCommand),
    #[command(subcommand)]
    Approval(people::ApprovalCommand),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}
