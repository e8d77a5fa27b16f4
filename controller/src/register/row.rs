//! Rows of the register that can be retired, and what each of them hangs on.
//!
//! Invariant: [`Retirable::parents`] is complete. Whoever retires a row, brings one back or enters one asks nothing else
//! about what lives under what. Sites are not among them: two people take those out. Nor is what a handover of access was
//! about: that access has to be given back outlives the server.

use lumbung_model::PdId;
use lumbung_wire::messages::register::{
    Application, Building, ContactPerson, Dataset, Device, Feed, Handover, Pd, Pool, Rack,
    Reservation, RetiredKind, Room, Server, Service,
};
use serde_json::Value;

use super::Fits;
use crate::db::{DbError, audit};

/// A row that can be retired.
pub trait Retirable: Fits {
    /// What it is.
    fn kind(&self) -> RetiredKind;
    /// Its id.
    fn bytes(&self) -> [u8; 16];
    /// Its id as text.
    fn id(&self) -> String;
    /// Whose it is; none: the city's.
    fn pd(&self) -> Option<PdId>;
    /// What it is called.
    fn name(&self) -> &str;
    /// What it refers to: while it lives, none of these is retired.
    fn parents(&self) -> Vec<[u8; 16]>;
    /// As its versions stand in the history.
    ///
    /// # Errors
    /// If it cannot be written down.
    fn shown(&self) -> Result<Value, DbError>;
}

macro_rules! retirable {
    ($($row:ident { pd: $pd:expr, name: $name:expr, parents: $parents:expr })+) => {$(
        impl Retirable for $row {
            fn kind(&self) -> RetiredKind {
                RetiredKind::$row
            }

            fn bytes(&self) -> [u8; 16] {
                *self.id.as_bytes()
            }

            fn id(&self) -> String {
                self.id.to_string()
            }

            fn pd(&self) -> Option<PdId> {
                let pd: fn(&Self) -> Option<PdId> = $pd;
                pd(self)
            }

            fn name(&self) -> &str {
                let name: fn(&Self) -> &str = $name;
                name(self)
            }

            fn parents(&self) -> Vec<[u8; 16]> {
                let parents: fn(&Self) -> Vec<Option<[u8; 16]>> = $parents;
                parents(self).into_iter().flatten().collect()
            }

            fn shown(&self) -> Result<Value, DbError> {
                audit::shown(self)
            }
        }
    )+};
}

retirable! {
    Pd { pd: |row| Some(row.id), name: |row| &row.code, parents: |_| Vec::new() }
    Server {
        pd: |row| Some(row.pd),
        name: |row| &row.name,
        parents: |row| vec![
            Some(*row.pd.as_bytes()),
            row.room.map(|id| *id.as_bytes()),
            row.pool.map(|id| *id.as_bytes()),
        ]
    }
    Service {
        pd: |row| Some(row.pd),
        name: |row| &row.name,
        parents: |row| vec![Some(*row.pd.as_bytes()), row.standby.map(|id| *id.as_bytes())]
    }
    Application {
        pd: |row| Some(row.pd),
        name: |row| &row.name,
        parents: |row| {
            let servers = row.servers.iter().map(|id| Some(*id.as_bytes()));
            let own = [Some(*row.pd.as_bytes()), row.service.map(|id| *id.as_bytes())];
            own.into_iter().chain(servers).collect()
        }
    }
    ContactPerson {
        pd: |row| Some(row.pd),
        name: |row| &row.name,
        parents: |row| vec![Some(*row.pd.as_bytes()), row.service.map(|id| *id.as_bytes())]
    }
    Dataset {
        pd: |row| Some(row.pd),
        name: |row| &row.name,
        parents: |row| vec![
            Some(*row.pd.as_bytes()),
            row.server.map(|id| *id.as_bytes()),
            row.application.map(|id| *id.as_bytes()),
        ]
    }
    Building { pd: |_| None, name: |row| &row.name, parents: |_| Vec::new() }
    Room {
        pd: |_| None,
        name: |row| &row.name,
        parents: |row| vec![Some(*row.building.as_bytes())]
    }
    Rack { pd: |_| None, name: |row| &row.name, parents: |row| vec![Some(*row.room.as_bytes())] }
    Feed {
        pd: |_| None,
        name: |row| &row.name,
        parents: |row| vec![
            Some(*row.room.as_bytes()),
            row.rack.map(|id| *id.as_bytes()),
            row.partner.map(|id| *id.as_bytes()),
        ]
    }
    Pool { pd: |_| None, name: |row| &row.name, parents: |_| Vec::new() }
    Device {
        pd: |row| Some(row.pd),
        name: |row| &row.name,
        parents: |row| {
            let feeds = row.feeds.iter().map(|id| Some(*id.as_bytes()));
            let (server, rack) = (row.server.map(|id| *id.as_bytes()), row.rack);
            let own = [Some(*row.pd.as_bytes()), server, rack.map(|id| *id.as_bytes())];
            own.into_iter().chain(feeds).collect()
        }
    }
    Reservation {
        pd: |row| Some(row.pd),
        name: |row| &row.name,
        parents: |row| vec![Some(*row.rack.as_bytes()), Some(*row.pd.as_bytes())]
    }
    Handover {
        pd: |row| Some(row.pd),
        name: |row| &row.name,
        parents: |row| vec![Some(*row.pd.as_bytes())]
    }
}
