//! Arguments of the commands about colocation.

use clap::{Args, Subcommand};
use lumbung_model::{ByteSize, Day};
use lumbung_wire::messages::register::{Condition, DeviceKind, Face};

use crate::commands::register::OfPd;
use crate::controller::ControllerArgs;

/// Racks of rooms, and what stands in them
#[derive(Debug, Subcommand)]
pub(crate) enum RackCommand {
    /// List the racks with their free units, and what their feeds carry
    List(ControllerArgs),
    /// Enter a rack
    Add(RackAdd),
    /// Draw a rack, front and rear, unit by unit
    Show(RackShow),
}

/// Arguments of `rack add`.
#[derive(Debug, Args)]
pub(crate) struct RackAdd {
    /// Name
    pub(super) name: String,
    /// The room it stands in: name or id
    #[arg(long)]
    pub(super) room: String,
    /// Units
    #[arg(long, default_value_t = 42, value_name = "U")]
    pub(super) height_u: u8,
    /// Inches: 10, 19, 21 or 23
    #[arg(long, default_value_t = 19, value_name = "INCHES")]
    pub(super) width_inches: u8,
    /// A note
    #[arg(long, default_value = "")]
    pub(super) note: String,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Arguments of `rack show`.
#[derive(Debug, Args)]
pub(crate) struct RackShow {
    /// Name or id
    pub(super) rack: String,
    /// Draw it with ASCII alone
    #[arg(long)]
    pub(super) ascii: bool,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Power feeds of rooms
#[derive(Debug, Subcommand)]
pub(crate) enum FeedCommand {
    /// List the feeds with what they may carry, and what they carry
    List(ControllerArgs),
    /// Enter a feed
    Add(FeedAdd),
}

/// Arguments of `feed add`.
#[derive(Debug, Args)]
pub(crate) struct FeedAdd {
    /// Name
    pub(super) name: String,
    /// The room it is in: name or id
    #[arg(long)]
    pub(super) room: String,
    /// The rack that it is for: name or id (default: any in the room)
    #[arg(long)]
    pub(super) rack: Option<String>,
    /// Its rating in watts
    #[arg(long, required_unless_present = "volts", conflicts_with_all = ["volts", "amps"])]
    pub(super) watts: Option<u32>,
    /// Or its voltage
    #[arg(long, requires = "amps")]
    pub(super) volts: Option<u32>,
    /// And its current in amperes
    #[arg(long, requires = "volts")]
    pub(super) amps: Option<u32>,
    /// The share of its rating that may be used, percent
    #[arg(long, default_value_t = 80, value_name = "PERCENT")]
    pub(super) share: u8,
    /// The other feed of the pair, entered before: name or id
    #[arg(long)]
    pub(super) partner: Option<String>,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Devices: hardware, with age, warranty and condition
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// List the devices
    List(OfPd),
    /// Enter a device
    Add(Box<DeviceAdd>),
    /// Put a device into a rack, or elsewhere in it
    Place(DevicePlace),
    /// Take a device out of its rack and off its feeds
    TakeOut(DeviceNamed),
}

/// Arguments of `device add`.
#[derive(Debug, Args)]
pub(crate) struct DeviceAdd {
    /// Name
    pub(super) name: String,
    /// Whose it is: code or id
    #[arg(long)]
    pub(super) pd: String,
    /// server, switch, storage, ups, pdu or other
    #[arg(long, default_value_t = DeviceKind::Server)]
    pub(super) kind: DeviceKind,
    /// Maker and model
    #[arg(long, default_value = "")]
    pub(super) model: String,
    /// Serial number
    #[arg(long, default_value = "")]
    pub(super) serial: String,
    /// The day it was bought
    #[arg(long, value_name = "DAY")]
    pub(super) purchased: Option<Day>,
    /// The last day of its warranty
    #[arg(long, value_name = "DAY")]
    pub(super) warranty: Option<Day>,
    /// baik, rusak_ringan or rusak_berat
    #[arg(long, default_value_t = Condition::Baik)]
    pub(super) condition: Condition,
    /// The PD's server that it is: name or id
    #[arg(long)]
    pub(super) server: Option<String>,
    /// The rack it stands in: name or id
    #[arg(long, requires = "unit")]
    pub(super) rack: Option<String>,
    /// The lowest unit that it takes
    #[arg(long, requires = "rack", value_name = "U")]
    pub(super) unit: Option<u8>,
    /// How many units it takes
    #[arg(long, default_value_t = 1, value_name = "U")]
    pub(super) height_u: u8,
    /// front, rear or both
    #[arg(long, default_value_t = Face::Both)]
    pub(super) face: Face,
    /// What it draws in all
    #[arg(long)]
    pub(super) watts: Option<u32>,
    /// A feed it hangs on: name or id; may be given again
    #[arg(long, requires = "watts")]
    pub(super) feed: Vec<String>,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Arguments of `device place`.
#[derive(Debug, Args)]
pub(crate) struct DevicePlace {
    /// Name or id
    pub(super) name: String,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pub(super) pd: Option<String>,
    /// The rack: name or id
    #[arg(long)]
    pub(super) rack: String,
    /// The lowest unit that it takes
    #[arg(long, value_name = "U")]
    pub(super) unit: u8,
    /// How many units it takes
    #[arg(long, default_value_t = 1, value_name = "U")]
    pub(super) height_u: u8,
    /// front, rear or both
    #[arg(long, default_value_t = Face::Both)]
    pub(super) face: Face,
    /// What it draws in all (default: as it was)
    #[arg(long)]
    pub(super) watts: Option<u32>,
    /// A feed it hangs on: name or id; may be given again (default: as it was)
    #[arg(long)]
    pub(super) feed: Vec<String>,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Arguments of `device take-out`.
#[derive(Debug, Args)]
pub(crate) struct DeviceNamed {
    /// Name or id
    pub(super) name: String,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pub(super) pd: Option<String>,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Rack units that are kept for a PD
#[derive(Debug, Subcommand)]
pub(crate) enum ReservationCommand {
    /// List the reservations
    List(OfPd),
    /// Reserve units
    Add(ReservationAdd),
}

/// Arguments of `reservation add`.
#[derive(Debug, Args)]
pub(crate) struct ReservationAdd {
    /// Name
    pub(super) name: String,
    /// For whom: code or id
    #[arg(long)]
    pub(super) pd: String,
    /// The rack: name or id
    #[arg(long)]
    pub(super) rack: String,
    /// The lowest unit
    #[arg(long, value_name = "U")]
    pub(super) unit: u8,
    /// How many units
    #[arg(long, default_value_t = 1, value_name = "U")]
    pub(super) height_u: u8,
    /// front, rear or both
    #[arg(long, default_value_t = Face::Both)]
    pub(super) face: Face,
    /// The last day on which it keeps others out
    #[arg(long, value_name = "DAY")]
    pub(super) until: Day,
    /// Why, and by which letter
    #[arg(long, default_value = "")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Pools that virtual machines draw on
#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// List the pools with what is left of them
    List(ControllerArgs),
    /// Enter a pool
    Add(PoolAdd),
}

/// Arguments of `pool add`.
#[derive(Debug, Args)]
pub(crate) struct PoolAdd {
    /// Name
    pub(super) name: String,
    /// The site it is at: name or id
    #[arg(long)]
    pub(super) site: String,
    /// Processors that it has
    #[arg(long)]
    pub(super) vcpus: u32,
    /// Virtual processors for a hundred that it has: 400 is four for one
    #[arg(long, default_value_t = 100, value_name = "PERCENT")]
    pub(super) overcommit: u32,
    /// Memory, for instance "512 GiB"
    #[arg(long)]
    pub(super) memory: ByteSize,
    /// Disk, for instance "20 TiB"
    #[arg(long)]
    pub(super) disk: ByteSize,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Who was handed access to what: never the secret itself
#[derive(Debug, Subcommand)]
pub(crate) enum HandoverCommand {
    /// List the handovers
    List(OfPd),
    /// Enter a handover
    Add(Box<HandoverAdd>),
    /// Say that access was given back
    Return(HandoverReturn),
}

/// Arguments of `handover add`.
#[derive(Debug, Args)]
pub(crate) struct HandoverAdd {
    /// Name
    pub(super) name: String,
    /// Who hands over: code or id
    #[arg(long)]
    pub(super) pd: String,
    /// The PD's server: name or id
    #[arg(long, required_unless_present_any = ["application", "dataset"])]
    pub(super) server: Option<String>,
    /// Or its application: name or id
    #[arg(long, conflicts_with = "server")]
    pub(super) application: Option<String>,
    /// Or its dataset, as a database is: name or id
    #[arg(long, conflicts_with_all = ["server", "application"])]
    pub(super) dataset: Option<String>,
    /// The person who handed over
    #[arg(long = "from", value_name = "PERSON")]
    pub(super) from_person: String,
    /// The person who took it
    #[arg(long = "to", value_name = "PERSON")]
    pub(super) to_person: String,
    /// The day
    #[arg(long, value_name = "DAY")]
    pub(super) on: Day,
    /// Number of the letter
    #[arg(long, default_value = "")]
    pub(super) letter: String,
    /// Where the secret is kept; never the secret itself
    #[arg(long, default_value = "", value_name = "PLACE")]
    pub(super) secret_kept_at: String,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}

/// Arguments of `handover return`.
#[derive(Debug, Args)]
pub(crate) struct HandoverReturn {
    /// Name or id
    pub(super) name: String,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pub(super) pd: Option<String>,
    /// The day (default: today)
    #[arg(long, value_name = "DAY")]
    pub(super) on: Option<Day>,
    #[command(flatten)]
    pub(super) controller: ControllerArgs,
}
