//! The register over HTTP, the kinds that all work alike: buildings, rooms, services, applications, contact persons.
//!
//! Invariant: whoever belongs to one PD gets the same answer about another PD's rows as about rows that are not there.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use lumbung_model::PdId;
use lumbung_wire::messages::register::{
    Application, ApplicationInput, Building, BuildingInput, ContactPerson, ContactPersonInput,
    Room, RoomInput, Service, ServiceInput,
};
use lumbung_wire::server::read_json;
use rusqlite::{Connection, Transaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::agents::narrowed;
use super::extract::{Asked, Named};
use super::paging::{Paging, Text};
use super::problems::Refused;
use super::register::{Changed, Listed, id, unknown};
use super::who::Who;
use super::{AppState, BODY_MAX_BYTES};
use crate::act::Act;
use crate::db::{DbError, places, services};
use crate::register::{self, Change, Mode, RegisterError};

/// Which rows are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
    q: Option<Text>,
}

/// A kind of rows.
pub(super) trait Kind: 'static {
    /// A row of it.
    type Row: Serialize + Send + 'static;
    /// What is entered.
    type Input: DeserializeOwned + Send + 'static;
    /// What people call it.
    const WHAT: &'static str;

    /// All, or those of a PD.
    fn list(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Self::Row>, DbError>;
    /// The one of that id.
    fn find(db: &Connection, text: &str) -> Result<Option<Self::Row>, Refused>;
    /// Its id.
    fn id(row: &Self::Row) -> String;
    /// What it is called: lists are in this order.
    fn name(row: &Self::Row) -> &str;
    /// What goes before the name in the order of lists.
    fn rank(_: &Self::Row) -> u8 {
        0
    }
    /// Whose it is; none: the city's.
    fn pd(row: &Self::Row) -> Option<PdId>;
    /// Enters one.
    fn put(
        db: &Connection,
        act: &Act,
        input: &Self::Input,
    ) -> Result<(Self::Row, Change), RegisterError>;
}

macro_rules! kinds {
    ($($kind:ident { $row:ty, $input:ty, $what:literal, $list:expr, $find:path, $put:path, $pd:expr $(, $rank:expr)? }),+ $(,)?) => {$(
        pub(super) struct $kind;

        impl Kind for $kind {
            type Row = $row;
            type Input = $input;
            const WHAT: &'static str = $what;

            fn list(db: &Connection, pd: Option<&PdId>) -> Result<Vec<$row>, DbError> {
                $list(db, pd)
            }

            fn find(db: &Connection, text: &str) -> Result<Option<$row>, Refused> {
                Ok($find(db, &id(text, $what)?)?)
            }

            fn id(row: &$row) -> String {
                row.id.to_string()
            }

            fn name(row: &$row) -> &str {
                &row.name
            }

            $(fn rank(row: &$row) -> u8 {
                $rank(row)
            })?

            fn pd(row: &$row) -> Option<PdId> {
                $pd(row)
            }

            fn put(db: &Connection, act: &Act, input: &$input) -> Result<($row, Change), RegisterError> {
                $put(db, act, input, Mode::Create)
            }
        }
    )+};
}

kinds! {
    Buildings {
        Building, BuildingInput, "building", |db, _| places::buildings(db), places::building,
        register::put_building, |_: &Building| None
    },
    Rooms {
        Room, RoomInput, "room", |db, _| places::rooms(db), places::room,
        register::put_room, |_: &Room| None
    },
    Services {
        Service, ServiceInput, "service", services::services, services::service,
        register::put_service, |row: &Service| Some(row.pd)
    },
    Applications {
        Application, ApplicationInput, "application", services::applications, services::application,
        register::put_application, |row: &Application| Some(row.pd)
    },
    ContactPersons {
        ContactPerson, ContactPersonInput, "contact person", services::contact_persons,
        services::contact_person, register::put_contact_person, |row: &ContactPerson| Some(row.pd),
        |row: &ContactPerson| row.tier
    },
}

pub(super) async fn list<K: Kind>(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Listed<K::Row> {
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let mut rows = K::list(tx, pd.as_ref())?;
        rows.retain(|row| asked.q.as_ref().is_none_or(|text| text.is_in(&[K::name(row)])));
        Ok::<_, Refused>(rows)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |row: &K::Row| (K::rank(row), K::name(row).to_owned(), K::id(row)))?)
}

pub(super) async fn one<K: Kind>(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<K::Row>, Refused> {
    let found = app.db.read_async(move |tx| K::find(tx, &text)).await?;
    let found = found.filter(|row| K::pd(row).is_none_or(|pd| who.scope().sees(pd)));
    found.map(Json).ok_or_else(|| unknown(K::WHAT))
}

pub(super) async fn create<K: Kind>(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: K::Input = read_json(body, BODY_MAX_BYTES).await?;
    let put = move |tx: &Transaction<'_>, act: &Act| K::put(tx, act, &input).map(|(row, _)| row);
    who.change(&app, StatusCode::CREATED, put).await
}
