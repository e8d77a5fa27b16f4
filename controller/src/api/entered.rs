//! Rows of the register over HTTP, one by one: entering them, and changing them.
//!
//! Invariants: one row passes the rules that a whole import passes; a change is a JSON Merge Patch (RFC 7396) of what may be
//! entered, so that what it does not name stays (a row has no members within members); it is made of the row that the
//! caller has seen (`If-Match`), which is looked at in the transaction of the change.

use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use lumbung_model::{DatasetId, ServerId, SiteId};
use lumbung_wire::Problem;
use lumbung_wire::messages::register::{
    Dataset, DatasetInput, HeartbeatState, Pd, PdInput, Server, ServerInput, Site, SiteInput,
};
use lumbung_wire::server::read_json;
use rusqlite::{Connection, Transaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::agents::{find_pd, with_heartbeats};
use super::etag::{Expected, row_tag};
use super::extract::Named;
use super::problems::Refused;
use super::register::{Changed, id, unknown};
use super::who::Who;
use super::{AppState, BODY_MAX_BYTES};
use crate::act::Act;
use crate::db::register as rows;
use crate::people::access::Scope;
use crate::profile::Profile;
use crate::register::{self, Change, Mode, RegisterError};

/// A kind of rows that people enter.
pub(super) trait Entered: 'static {
    /// A row of it.
    type Row: Serialize + Send + 'static;
    /// What is entered.
    type Input: DeserializeOwned + Send + 'static;
    /// What people call it.
    const WHAT: &'static str;
    /// Members of a row that nobody enters.
    const OBSERVED: &'static [&'static str] = &[];

    /// The one of that id.
    fn find(db: &Connection, text: &str) -> Result<Option<Self::Row>, Refused>;
    /// Enters one, or changes it.
    fn put(
        db: &Connection,
        act: &Act,
        input: (&Self::Input, Mode),
        profile: &Profile,
    ) -> Result<(Self::Row, Change), RegisterError>;
    /// Takes out of a row what follows from the rest of it, or does not go with what is to be changed.
    ///
    /// # Errors
    /// If something is to be changed that does not change so.
    fn without_derived(_: &mut Map<String, Value>, _: &Map<String, Value>) -> Result<(), Problem> {
        Ok(())
    }
    /// The tag of what is entered in a row.
    fn tag(row: &Self::Row) -> String {
        row_tag(row)
    }
    /// The row as it is answered with.
    fn shown(_: &AppState, row: Self::Row) -> Self::Row {
        row
    }
    /// Wakes whoever works with it.
    fn announce(app: &AppState) {
        app.policies.notify_one();
    }
}

/// The sites.
pub(super) struct Sites;

impl Entered for Sites {
    type Row = Site;
    type Input = SiteInput;
    const WHAT: &'static str = "site";

    fn find(db: &Connection, text: &str) -> Result<Option<Site>, Refused> {
        Ok(rows::site(db, &id::<SiteId>(text, Self::WHAT)?)?)
    }

    fn put(
        db: &Connection,
        act: &Act,
        (input, mode): (&SiteInput, Mode),
        _: &Profile,
    ) -> Result<(Site, Change), RegisterError> {
        register::put_site(db, act, input, mode)
    }
}

/// The PD.
pub(super) struct Pds;

impl Entered for Pds {
    type Row = Pd;
    type Input = PdInput;
    const WHAT: &'static str = "PD";

    fn find(db: &Connection, text: &str) -> Result<Option<Pd>, Refused> {
        find_pd(db, Scope::City, text).map(Some)
    }

    fn put(
        db: &Connection,
        act: &Act,
        (input, mode): (&PdInput, Mode),
        _: &Profile,
    ) -> Result<(Pd, Change), RegisterError> {
        register::put_pd(db, act, input, mode)
    }
}

/// The servers.
pub(super) struct Servers;

impl Servers {
    /// A server as it was entered.
    fn entered(row: &Server) -> Server {
        Server { heartbeat: HeartbeatState::Never, last_seen: None, ..row.clone() }
    }
}

impl Entered for Servers {
    type Row = Server;
    type Input = ServerInput;
    const WHAT: &'static str = "server";
    const OBSERVED: &'static [&'static str] = &["agent", "heartbeat", "last_seen"];

    fn find(db: &Connection, text: &str) -> Result<Option<Server>, Refused> {
        Ok(rows::server(db, &id::<ServerId>(text, Self::WHAT)?)?)
    }

    fn put(
        db: &Connection,
        act: &Act,
        (input, mode): (&ServerInput, Mode),
        profile: &Profile,
    ) -> Result<(Server, Change), RegisterError> {
        let put = register::put_server(db, act, input, mode)?;
        register::fitting(db, profile.today(act.now), put)
    }

    /// Another room may be at another site.
    fn without_derived(
        row: &mut Map<String, Value>,
        patch: &Map<String, Value>,
    ) -> Result<(), Problem> {
        if patch.get("room").is_some_and(|room| !room.is_null()) {
            row.remove("site");
        }
        Ok(())
    }

    /// Its heartbeat changes all the time, and nobody changes that by a request.
    fn tag(row: &Server) -> String {
        row_tag(&Self::entered(row))
    }

    fn shown(app: &AppState, row: Server) -> Server {
        let mut shown = with_heartbeats(app, vec![row.clone()]);
        shown.pop().unwrap_or(row)
    }
}

/// The datasets.
pub(super) struct Datasets;

impl Entered for Datasets {
    type Row = Dataset;
    type Input = DatasetInput;
    const WHAT: &'static str = "dataset";
    const OBSERVED: &'static [&'static str] = &["own_rpo"];

    fn find(db: &Connection, text: &str) -> Result<Option<Dataset>, Refused> {
        Ok(rows::dataset(db, &id::<DatasetId>(text, Self::WHAT)?)?)
    }

    fn put(
        db: &Connection,
        act: &Act,
        (input, mode): (&DatasetInput, Mode),
        profile: &Profile,
    ) -> Result<(Dataset, Change), RegisterError> {
        register::put_dataset(db, act, input, &profile.urgency, mode)
    }

    /// An RPO that is its class's follows the class; a repository is of the PD that it was.
    fn without_derived(
        row: &mut Map<String, Value>,
        patch: &Map<String, Value>,
    ) -> Result<(), Problem> {
        if row.get("own_rpo") != Some(&Value::Bool(true)) {
            row.remove("rpo_s");
        }
        if patch.contains_key("pd") {
            row.remove("repository");
        }
        if patch.get("repository").is_some_and(Value::is_null) {
            let detail = "repository: it stays until another one is named, or the PD changes";
            return Err(Problem::bad_request(detail));
        }
        Ok(())
    }

    fn announce(app: &AppState) {
        app.poll.notify_one();
        app.policies.notify_one();
    }
}

/// Enters a row.
pub(super) async fn create<K: Entered>(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Changed {
    let input: K::Input = read_json(body, BODY_MAX_BYTES).await?;
    let profile = app.profile.clone();
    let put = move |tx: &Transaction<'_>, act: &Act| {
        K::put(tx, act, (&input, Mode::Create), &profile).map(|(row, _)| row)
    };
    let entered = who.change(&app, StatusCode::CREATED, put).await?;
    K::announce(&app);
    Ok(entered)
}

/// Changes a row.
pub(super) async fn change<K: Entered>(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let patch: Map<String, Value> = read_json(body, BODY_MAX_BYTES).await?;
    let seen = seen.required()?;
    let shared = app.clone();
    let put = move |tx: &Transaction<'_>, act: &Act| {
        let row = K::find(tx, &text)?.ok_or_else(|| unknown(K::WHAT))?;
        // What cannot be a row is told first, whatever was seen.
        let input = patched::<K>(&row, &patch)?;
        seen.check_tag(&K::tag(&row))?;
        let (row, _) = K::put(tx, act, (&input, Mode::Upsert), &shared.profile)?;
        Ok::<_, Refused>(K::shown(&shared, row))
    };
    let changed = who.change(&app, StatusCode::OK, put).await?;
    K::announce(&app);
    Ok(changed)
}

/// What would be entered to get the row as it is to be.
fn patched<K: Entered>(row: &K::Row, patch: &Map<String, Value>) -> Result<K::Input, Refused> {
    let Ok(Value::Object(mut entered)) = serde_json::to_value(row) else {
        return Err(Problem::internal("the row could not be read: try again").into());
    };
    if patch.get("id").is_some_and(|id| Some(id) != entered.get("id")) {
        let detail = "id: it stays as it is; what is no more is retired, and another one entered";
        return Err(Problem::bad_request(detail).into());
    }
    K::without_derived(&mut entered, patch)?;
    K::OBSERVED.iter().for_each(|member| drop(entered.remove(*member)));
    for (member, value) in patch {
        match value {
            Value::Null => drop(entered.remove(member)),
            value => drop(entered.insert(member.clone(), value.clone())),
        }
    }
    serde_json::from_value(Value::Object(entered)).map_err(|error| {
        Problem::bad_request(format!("the row would not be what this path takes: {error}")).into()
    })
}
