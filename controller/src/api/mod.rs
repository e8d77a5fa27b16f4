//! The JSON API under `/api/v1`.
//!
//! Invariants: each module of handlers lists its routes, and [`routes`], which puts them together, is the only
//! list: router, access control, OpenAPI document and the test of authorization all come from it. A request is checked against its route's
//! access before its handler sees it. Handlers hold no SQL. There is no way to make an agent do anything: a
//! runner of drills asks for its orders, which name nothing but what its own file knows.

pub mod access;
mod agents;
mod alerts;
mod anomalies;
mod approvals;
mod audit;
mod capacity;
mod compliance;
mod consents;
mod deposits;
mod drills;
mod elevation;
mod entered;
mod etag;
mod exchange;
mod extract;
mod follow_up;
mod gate;
mod history;
mod hosts;
mod idempotency;
mod keys;
mod kinds;
pub mod openapi;
mod paging;
mod parameters;
mod people;
mod policies;
mod problems;
mod register;
mod retire;
mod route;
mod schemas;
mod succession;
mod uptime;
mod verdicts;
mod who;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use lumbung_model::{Clock, InstanceId, Timestamp};
use lumbung_pack::SigningKey;
use lumbung_wire::Problem;
use lumbung_wire::certs::Authority;
use lumbung_wire::messages::overview::ControllerHealth;
use tokio::sync::{Notify, Semaphore};

use crate::alerts as alerts_at_work;
use crate::config::Config;
use crate::db::Db;
use crate::heartbeats::Sites;
use crate::policies::Offers;
use crate::profile::Profile;
use crate::refusals::Refusals;
use crate::succession::Post;
use gate::Gate;
pub use idempotency::{AtWork, Keys};
pub use route::{Route, Routes};

/// Passwords that are looked at at one time, of strangers and of people who have logged in.
const HASHES_AT_ONCE: usize = 2;
/// Logins that wait for their turn; more are told to come again.
const LOGINS_WAITING: usize = 64;

/// Turns at what hashes passwords: each takes memory and a processor for a moment. Whoever has logged in never waits
/// behind strangers.
#[derive(Debug)]
pub struct Hashing {
    strangers: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    people: Arc<Semaphore>,
}

impl Default for Hashing {
    fn default() -> Self {
        let of = |turns| Arc::new(Semaphore::new(turns));
        Self {
            strangers: of(HASHES_AT_ONCE),
            queue: of(LOGINS_WAITING),
            people: of(HASHES_AT_ONCE),
        }
    }
}
/// Longest JSON body.
pub const BODY_MAX_BYTES: usize = 4 << 20;

/// What handlers work with.
pub struct Shared {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The CA.
    pub authority: Authority,
    /// The configuration.
    pub config: Config,
    /// The city's profile.
    pub profile: Arc<Profile>,
    /// Asks the poller for a round.
    pub poll: Arc<Notify>,
    /// Asks for a round over what is held for anomalies.
    pub anomalies: Arc<Notify>,
    /// Asks for a round over what is owed by date.
    pub deadlines: Arc<Notify>,
    /// The time as uptime has it: it does not jump.
    pub steady: Arc<dyn Clock>,
    /// Asks for uptime to be reckoned now.
    pub uptime: Arc<Notify>,
    /// Signs how far the audit log goes.
    pub audit_key: SigningKey,
    /// Signs policies.
    pub policy_key: SigningKey,
    /// Asks for policies to be brought up to date.
    pub policies: Arc<Notify>,
    /// Turns at what hashes passwords.
    pub hashing: Hashing,
    /// Requests with an idempotency key that are at work.
    pub at_work: AtWork,
    /// The sites that heartbeats are answered with.
    pub sites: Sites,
    /// The policies that heartbeats are answered with.
    pub offers: Offers,
    /// This run of the controller, as agents are told.
    pub instance: InstanceId,
    /// Refused enrolments, for the audit log.
    pub refusals: Refusals,
    /// Alerts at work.
    pub alerts: alerts_at_work::AtWork,
    /// Who acts.
    pub post: Arc<Post>,
}

impl Shared {
    /// What it tells of itself at `now`.
    fn health(&self, now: Timestamp) -> ControllerHealth {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        ControllerHealth {
            version,
            now,
            alerts: Some(*self.alerts.done.borrow()),
            state: Some(self.post.standing()),
            epoch: self.post.epoch(),
            copied: None,
        }
    }
}

/// [`Shared`], as handlers get it.
pub type AppState = Arc<Shared>;

/// Every route with its handler.
pub fn routes() -> Routes {
    [
        agents::routes(),
        register::routes(),
        kinds::routes(),
        elevation::routes(),
        history::routes(),
        exchange::routes(),
        compliance::routes(),
        verdicts::routes(),
        follow_up::routes(),
        anomalies::routes(),
        consents::routes(),
        keys::routes(),
        people::routes(),
        audit::routes(),
        approvals::routes(),
        deposits::routes(),
        drills::routes(),
        policies::routes(),
        retire::routes(),
        uptime::routes(),
        hosts::routes(),
        capacity::routes(),
        alerts::routes(),
        succession::routes(),
    ]
    .concat()
}

/// The API as a router.
pub fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for (route, handler) in routes() {
        router = router.route(route.path, handler);
    }
    router
        .fallback(async || {
            Problem::not_found(
                "there is nothing at this path; docs/openapi.json lists all there is",
            )
        })
        .method_not_allowed_fallback(async || {
            Problem::method_not_allowed("docs/openapi.json lists what each path takes")
        })
        .route_layer(middleware::from_fn_with_state(Gate::new(state.clone()), gate::pass))
        .layer(middleware::from_fn(etag::conditional))
        .with_state(state)
}
