//! The register over HTTP, the kinds that all work alike: buildings, rooms, racks, feeds, pools, services, applications,
//! contact persons, devices, reservations, handovers, the care of servers.
//!
//! Invariant: whoever belongs to one PD gets the same answer about another PD's rows as about rows that are not there.

use axum::Json;
use axum::extract::State;
use axum::routing::{MethodRouter, get, post};
use http::Method;
use lumbung_model::PdId;
use lumbung_wire::messages::register::{
    Application, ApplicationInput, Building, BuildingInput, Care, CareInput, Check, CheckInput,
    ContactPerson, ContactPersonInput, Device, DeviceInput, Feed, FeedInput, Handover,
    HandoverInput, Pool, PoolInput, PoolStatus, Rack, RackInput, Reservation, ReservationInput,
    Room, RoomInput, Service, ServiceInput,
};
use rusqlite::Connection;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::entered::{self, Entered};
use super::extract::{Asked, Named};
use super::paging::{Paging, Text};
use super::problems::Refused;
use super::register::{Listed, id, unknown};
use super::route::{Route, Routes, change, route};
use super::who::Who;
use crate::act::Act;
use crate::db::{DbError, care, checks, colocation, placement, places, pools, services};
use crate::people::access::Permission;
use crate::profile::Profile;
use crate::register::{self, Change, Mode, RegisterError};

/// The four routes of a kind of rows.
fn kind<K: Kind>(
    read: Permission,
    (list, one): (&'static str, &'static str),
    (listed, row, input, patch): (&'static str, &'static str, &'static str, &'static str),
) -> [(Route, MethodRouter<AppState>); 4] {
    let (read, write) = (Access::Person(read), Access::Person(Permission::WriteRegister));
    let query: &[&str] = match read {
        Access::Person(Permission::Read) => &["pd", "q", "limit", "after"],
        _ => &["q", "limit", "after"],
    };
    let all = route(Method::GET, list, read, "The rows of this table", (None, listed));
    let found = route(Method::GET, one, read, "One row of this table", (None, row));
    let new = route(Method::POST, list, write, "Enter a row", (Some(input), row));
    [
        (Route { query, ..all }, get(self::list::<K>)),
        (found, get(self::one::<K>)),
        (new, post(entered::create::<K>)),
        change::<K>(one, (patch, row)),
    ]
}

pub(super) fn routes() -> Routes {
    use Permission::{Read, ReadCity};
    let mut table = Vec::new();
    table.extend(kind::<Buildings>(
        ReadCity,
        ("/api/v1/buildings", "/api/v1/buildings/{id}"),
        ("[Building]", "Building", "BuildingInput", "BuildingPatch"),
    ));
    table.extend(kind::<Rooms>(
        ReadCity,
        ("/api/v1/rooms", "/api/v1/rooms/{id}"),
        ("[Room]", "Room", "RoomInput", "RoomPatch"),
    ));
    table.extend(kind::<Services>(
        Read,
        ("/api/v1/services", "/api/v1/services/{id}"),
        ("[Service]", "Service", "ServiceInput", "ServicePatch"),
    ));
    table.extend(kind::<Applications>(
        Read,
        ("/api/v1/applications", "/api/v1/applications/{id}"),
        ("[Application]", "Application", "ApplicationInput", "ApplicationPatch"),
    ));
    table.extend(kind::<Checks>(
        Read,
        ("/api/v1/checks", "/api/v1/checks/{id}"),
        ("[Check]", "Check", "CheckInput", "CheckPatch"),
    ));
    table.extend(kind::<ContactPersons>(
        Read,
        ("/api/v1/contact-persons", "/api/v1/contact-persons/{id}"),
        ("[ContactPerson]", "ContactPerson", "ContactPersonInput", "ContactPersonPatch"),
    ));
    table.extend(colocated());
    table
}

/// What stands where, and who looked after it: racks, feeds and pools are the city's, what is in them a PD's.
fn colocated() -> Routes {
    use Permission::{Read, ReadCity};
    let mut table = Vec::new();
    table.extend(kind::<Racks>(
        ReadCity,
        ("/api/v1/racks", "/api/v1/racks/{id}"),
        ("[Rack]", "Rack", "RackInput", "RackPatch"),
    ));
    table.extend(kind::<Feeds>(
        ReadCity,
        ("/api/v1/feeds", "/api/v1/feeds/{id}"),
        ("[Feed]", "Feed", "FeedInput", "FeedPatch"),
    ));
    let [(all, _), others @ ..] = kind::<Pools>(
        ReadCity,
        ("/api/v1/pools", "/api/v1/pools/{id}"),
        ("[PoolStatus]", "Pool", "PoolInput", "PoolPatch"),
    );
    let summary = "The pools, with what is used of them and what is left";
    table.push((Route { summary, ..all }, get(pool_list)));
    table.extend(others);
    table.extend(kind::<Devices>(
        Read,
        ("/api/v1/devices", "/api/v1/devices/{id}"),
        ("[Device]", "Device", "DeviceInput", "DevicePatch"),
    ));
    table.extend(kind::<Reservations>(
        Read,
        ("/api/v1/reservations", "/api/v1/reservations/{id}"),
        ("[Reservation]", "Reservation", "ReservationInput", "ReservationPatch"),
    ));
    table.extend(kind::<Handovers>(
        Read,
        ("/api/v1/handovers", "/api/v1/handovers/{id}"),
        ("[Handover]", "Handover", "HandoverInput", "HandoverPatch"),
    ));
    table.extend(kind::<Cares>(
        Read,
        ("/api/v1/care", "/api/v1/care/{id}"),
        ("[Care]", "Care", "CareInput", "CarePatch"),
    ));
    table
}

/// Which rows are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
    q: Option<Text>,
}

/// A kind of rows, with its list.
pub(super) trait Kind: Entered {
    /// All, or those of a PD.
    fn list(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Self::Row>, DbError>;
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
}

macro_rules! kinds {
    ($($kind:ident { $row:ty, $input:ty, $what:literal, $list:expr, $find:path, $put:path, $pd:expr $(, $rank:expr)? }),+ $(,)?) => {$(
        pub(super) struct $kind;

        impl Entered for $kind {
            type Row = $row;
            type Input = $input;
            const WHAT: &'static str = $what;

            fn find(db: &Connection, text: &str) -> Result<Option<$row>, Refused> {
                Ok($find(db, &id(text, $what)?)?)
            }

            fn put(
                db: &Connection,
                act: &Act,
                (input, mode): (&$input, Mode),
                profile: &Profile,
            ) -> Result<($row, Change), RegisterError> {
                let put = $put(db, act, input, mode)?;
                register::fitting(db, profile.today(act.now), put)
            }
        }

        impl Kind for $kind {
            fn list(db: &Connection, pd: Option<&PdId>) -> Result<Vec<$row>, DbError> {
                $list(db, pd)
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
    Checks {
        Check, CheckInput, "check", checks::checks, checks::check,
        register::put_check, |row: &Check| Some(row.pd)
    },
    ContactPersons {
        ContactPerson, ContactPersonInput, "contact person", services::contact_persons,
        services::contact_person, register::put_contact_person, |row: &ContactPerson| Some(row.pd),
        |row: &ContactPerson| row.tier
    },
    Racks {
        Rack, RackInput, "rack", |db, _| colocation::racks(db), colocation::rack,
        register::put_rack, |_: &Rack| None
    },
    Feeds {
        Feed, FeedInput, "feed", |db, _| colocation::feeds(db), colocation::feed,
        register::put_feed, |_: &Feed| None
    },
    Pools {
        Pool, PoolInput, "pool", |db, _| pools::pools(db), pools::pool,
        register::put_pool, |_: &Pool| None
    },
    Devices {
        Device, DeviceInput, "device", colocation::devices, colocation::device,
        register::put_device, |row: &Device| Some(row.pd)
    },
    Reservations {
        Reservation, ReservationInput, "reservation", colocation::reservations,
        colocation::reservation, register::put_reservation, |row: &Reservation| Some(row.pd)
    },
    Handovers {
        Handover, HandoverInput, "handover", pools::handovers, pools::handover,
        register::put_handover, |row: &Handover| Some(row.pd)
    },
    Cares {
        Care, CareInput, "care", care::care, care::one_care,
        register::put_care, |row: &Care| Some(row.pd)
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

/// The pools with what is left of them.
pub(super) async fn pool_list(
    State(app): State<AppState>,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Listed<PoolStatus> {
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let mut rows = pools::pools(tx)?;
        rows.retain(|row| asked.q.as_ref().is_none_or(|text| text.is_in(&[&row.name])));
        let status = |row: Pool| {
            let drawn = placement::from_pool(tx, &row.id, None)?;
            Ok(PoolStatus::new(row, drawn))
        };
        rows.into_iter().map(status).collect::<Result<Vec<_>, DbError>>()
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |row: &PoolStatus| (row.name.clone(), row.id))?)
}
