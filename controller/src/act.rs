//! Who does something, when and from where: what every change of the database is made with.

use std::net::IpAddr;

use lumbung_model::Timestamp;
use lumbung_wire::audit::{Actor, ActorKind};

/// Somebody doing something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When, by the controller's clock.
    pub now: Timestamp,
    /// Who.
    pub actor: Actor,
    /// From which address; none for the console and the controller itself.
    pub from: Option<IpAddr>,
}

impl Act {
    /// Somebody at the controller's own console: whoever may read its keys.
    #[must_use]
    pub fn console(now: Timestamp) -> Self {
        let name = format!("uid {}", rustix::process::getuid().as_raw());
        Self::of(now, ActorKind::Console, String::new(), name)
    }

    /// The controller itself.
    #[must_use]
    pub fn controller(now: Timestamp) -> Self {
        Self::of(now, ActorKind::Controller, String::new(), "controller".to_owned())
    }

    /// Whoever asked and did not say, or prove, who that is.
    #[must_use]
    pub fn stranger(now: Timestamp, from: Option<IpAddr>) -> Self {
        Self { from, ..Self::of(now, ActorKind::Unknown, String::new(), "unknown".to_owned()) }
    }

    /// Somebody else, from nowhere yet.
    #[must_use]
    pub const fn of(now: Timestamp, kind: ActorKind, id: String, name: String) -> Self {
        Self { now, actor: Actor { kind, id, name }, from: None }
    }
}
