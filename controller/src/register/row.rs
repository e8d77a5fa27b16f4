//! Rows of the register that can be retired, and what each of them hangs on.
//!
//! Invariant: [`Retirable::parents`] is complete. Whoever retires a row, brings one back or enters one asks nothing else
//! about what lives under what. Sites are not among them: two people take those out.

use lumbung_model::PdId;
use lumbung_wire::messages::register::{
    Application, Building, ContactPerson, Dataset, Pd, RetiredKind, Room, Server, Service,
};
use serde_json::Value;

use crate::db::{DbError, audit};

/// A row that can be retired.
pub trait Retirable {
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
        parents: |row| vec![Some(*row.pd.as_bytes()), row.room.map(|id| *id.as_bytes())]
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
}
