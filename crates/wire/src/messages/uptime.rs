//! Uptime: what is probed, from where, and what was seen, between the controller and the vaults that look from their own
//! sites; and what follows from it, for people: states, incidents, maintenance, availability.
//!
//! A vantage point looks by itself and keeps what it saw until the controller has acknowledged it durably, so that a
//! controller that was down for a day learns of that day. What it saw is stamped with its own clock.

use lumbung_model::drill::HealthProbe;
use lumbung_model::vocabulary;
use lumbung_model::{CheckId, IncidentId, MaintenanceId, PdId, SiteId, Target, Timestamp};
use serde::{Deserialize, Serialize};

/// Most observations in one [`Observations`].
pub const OBSERVATIONS_MAX: usize = 2000;
/// Longest [`Observation::detail`], bytes.
pub const DETAIL_MAX_BYTES: usize = 255;

/// What is asked of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// An HTTP or HTTPS answer.
    Http {
        /// `http://…` or `https://…`.
        url: String,
        /// The status that is expected; none: any of 200 to 399.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Text that the first 256 KiB of the body have to contain; empty: anything.
        #[serde(default)]
        text: String,
        /// Whether a certificate that no known authority signed is taken too; its expiry is told all the same.
        #[serde(default)]
        any_certificate: bool,
    },
    /// A TCP connection.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port, 1 to 65535.
        port: u16,
    },
    /// An echo reply (RFC 792, RFC 4443).
    Icmp {
        /// Host name or address.
        host: String,
    },
    /// An answer of a DNS server (RFC 1035).
    Dns {
        /// Address of the server that is asked.
        server: String,
        /// The name that is asked for: its addresses.
        name: String,
        /// An address that has to be among the answers; empty: any.
        #[serde(default)]
        address: String,
    },
}

impl From<&HealthProbe> for Probe {
    fn from(probe: &HealthProbe) -> Self {
        match probe.target.clone() {
            Target::Http(url) => Self::Http {
                url,
                status: probe.status,
                text: probe.contains.clone(),
                any_certificate: probe.any_certificate,
            },
            Target::Tcp { host, port } => Self::Tcp { host, port },
            Target::Icmp(host) => Self::Icmp { host },
            Target::Dns { server, name } => {
                Self::Dns { server, name, address: probe.address.clone() }
            }
        }
    }
}

/// A check as a vantage point needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckOrder {
    /// The check.
    pub check: CheckId,
    /// What is asked.
    pub probe: Probe,
    /// Seconds from one probe to the next, 10 to 3600.
    pub interval_s: u32,
    /// Seconds after which no answer is none, 1 to 60, less than the interval.
    pub timeout_s: u32,
}

/// `GET /api/v1/vantage`, from a site: what it has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VantageOrders {
    /// The checks.
    pub checks: Vec<CheckOrder>,
    /// Seconds until it should ask again.
    pub again_s: u32,
}

/// What one probe saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Counts what this vantage point saw, from 1; never the same number twice.
    pub number: u64,
    /// Of which check.
    pub check: CheckId,
    /// When the probe began, by the vantage point's clock.
    pub at: Timestamp,
    /// Seconds from one probe to the next, as the check said then: how long this stands for.
    pub interval_s: u32,
    /// Whether the target answered as expected.
    pub up: bool,
    /// Milliseconds until the answer; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// When the target's certificate expires, if it showed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Timestamp>,
    /// What was wrong, for people; empty if nothing was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// `POST /api/v1/observations`, from a site: at most [`OBSERVATIONS_MAX`], by number, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Observations {
    /// The vantage point's clock.
    pub now: Timestamp,
    /// What it saw.
    pub observations: Vec<Observation>,
}

/// The answer to [`Observations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObservationsAck {
    /// Observations up to this number are durable, or of no use, and need not be sent again.
    pub through: u64,
    /// Of which site they were taken to be.
    pub site: SiteId,
}

vocabulary! {
    /// What is said of a check or of a subject now.
    UpState {
        /// It is up.
        Up = "up",
        /// It is down.
        Down = "down",
        /// It is down within a maintenance window.
        Planned = "planned",
        /// One place saw it down; the others, which should look too, did not.
        Unconfirmed = "unconfirmed",
        /// Nobody looks.
        Unobserved = "unobserved",
    }
}

vocabulary! {
    /// What can be up or down.
    UpKind {
        /// A service.
        Service = "service",
        /// A server.
        Server = "server",
    }
}

/// What one place saw of a check last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sight {
    /// The place.
    pub site: SiteId,
    /// When, by its clock; none: it was told to look and has not told anything yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether the target answered as expected.
    pub up: bool,
    /// Milliseconds until the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// When the target's certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Timestamp>,
    /// What was wrong.
    #[serde(default)]
    pub detail: String,
}

/// How a check is now: `GET /api/v1/check-states`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckState {
    /// The check.
    pub check: CheckId,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub state: UpState,
    /// What each place saw last.
    pub places: Vec<Sight>,
}

/// The availability of a subject over a time: `GET /api/v1/uptime`. The five figures add up to the subject's life in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UptimeRow {
    /// `service`, `server` or `pd`: all of its services together.
    pub kind: String,
    /// The subject's id.
    pub id: String,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// The month, `2026-11`, or the year.
    pub period: String,
    /// Seconds up.
    pub up_s: u64,
    /// Seconds down outside maintenance windows.
    pub down_s: u64,
    /// Seconds down within maintenance windows.
    pub planned_s: u64,
    /// Seconds in which one place saw it down and the others, which should have looked, did not.
    pub unconfirmed_s: u64,
    /// Seconds in which nobody looked.
    pub unobserved_s: u64,
    /// Of the time in which it was known to be up or down, outside planned downtime: how much it was up, in
    /// ten-thousandths of a percent, cut and not rounded: 999954 is 99.9954 %. None: there was no such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<u32>,
    /// The same if it was down whenever that is unconfirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_worst: Option<u32>,
    /// What its SLA asks for, in thousandths of a percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla_millipercent: Option<u32>,
    /// Whether it is met so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

vocabulary! {
    /// What an incident came from.
    IncidentCause {
        /// Not known yet.
        Unknown = "unknown",
        /// Electricity.
        Power = "power",
        /// A network or a link.
        Network = "network",
        /// Hardware.
        Hardware = "hardware",
        /// Software or its configuration.
        Software = "software",
        /// An attack.
        Security = "security",
        /// Somebody else's service.
        Provider = "provider",
        /// Somebody's mistake.
        Human = "human",
        /// Something else.
        Other = "other",
    }
}

/// Something was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What kind of thing was down.
    pub kind: UpKind,
    /// The id of what was down.
    pub subject: String,
    /// What it is called.
    pub name: String,
    /// Whose it is.
    pub pd: PdId,
    /// Since when.
    pub from: Timestamp,
    /// Until when; none while it goes on, or has ended a moment ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How long of that it was down, seconds.
    pub down_s: u64,
    /// How often it came back and went down again.
    pub flaps: u32,
    /// Whether somebody entered it; else probes saw it.
    pub entered: bool,
    /// Whether what was told later says that there was none.
    pub withdrawn: bool,
    /// What it came from.
    pub cause: IncidentCause,
    /// What people wrote about it, in order.
    #[serde(default)]
    pub notes: Vec<IncidentNote>,
}

/// What somebody wrote about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentNote {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub note: String,
}

/// `POST /api/v1/incidents`: something was down that no probe could see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct IncidentInput {
    /// What kind of thing was down.
    pub kind: UpKind,
    /// The id of what was down.
    pub subject: String,
    /// Since when.
    pub from: Timestamp,
    /// Until when: not in the future.
    pub until: Timestamp,
    /// What it came from.
    pub cause: IncidentCause,
    /// How it is known.
    pub note: String,
}

/// `POST /api/v1/incidents/{id}/note`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct IncidentNoteInput {
    /// What it came from, if that is known now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<IncidentCause>,
    /// What is to be written down.
    pub note: String,
}

vocabulary! {
    /// What a maintenance window is for.
    MaintenanceScope {
        /// Everything.
        City = "city",
        /// A PD's services and servers.
        Pd = "pd",
        /// What stands at a site.
        Site = "site",
        /// What stands in a room.
        Room = "room",
        /// What stands in a rack.
        Rack = "rack",
        /// A server.
        Server = "server",
        /// A service.
        Service = "service",
    }
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Maintenance {
    /// Its id.
    pub id: MaintenanceId,
    /// What it is for.
    pub scope: MaintenanceScope,
    /// The id of that; empty for the city.
    #[serde(default)]
    pub subject: String,
    /// Whose that is, if it is one PD's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// Why.
    pub reason: String,
    /// From when it holds.
    pub from: Timestamp,
    /// Until before when it holds.
    pub until: Timestamp,
    /// When it comes in that time, as crontab(5) has it, in the city's zone; empty: all of that time is the window.
    #[serde(default)]
    pub schedule: String,
    /// How long each lasts, seconds; 0 if it does not come again.
    #[serde(default)]
    pub duration_s: u32,
    /// Who entered it.
    pub by: String,
    /// When it was entered: what was before is not planned by it.
    pub entered: Timestamp,
    /// When it was called off: it holds no more from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Timestamp>,
}

/// `POST /api/v1/maintenance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MaintenanceInput {
    /// What it is for.
    pub scope: MaintenanceScope,
    /// The id of that; empty for the city.
    #[serde(default)]
    pub subject: String,
    /// Why.
    pub reason: String,
    /// From when it holds: not before now, since what nobody announced was not planned.
    pub from: Timestamp,
    /// Until before when it holds.
    pub until: Timestamp,
    /// When it comes in that time, as crontab(5) has it, in the city's zone; empty: all of that time is the window.
    #[serde(default)]
    pub schedule: String,
    /// How long each lasts, seconds, 60 to 604800; 0 if it does not come again.
    #[serde(default)]
    pub duration_s: u32,
}
