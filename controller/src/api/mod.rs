//! The JSON API under `/api/v1`.
//!
//! Invariants: the table in [`routes`] is the only list of routes: router, access control, OpenAPI
//! document and the test of authorization all come from it. A request is checked against its route's
//! access before its handler sees it. Handlers hold no SQL. There is no way to make an agent do anything.

pub mod access;
mod agents;
mod approvals;
mod audit;
mod compliance;
mod deposits;
mod entered;
mod etag;
mod exchange;
mod extract;
mod follow_up;
mod gate;
mod idempotency;
mod kinds;
pub mod openapi;
mod paging;
mod parameters;
mod people;
mod policies;
mod problems;
mod register;
mod retire;
mod schemas;
mod verdicts;
mod who;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, get, patch, post};
use http::Method;
use lumbung_model::{Clock, InstanceId};
use lumbung_pack::SigningKey;
use lumbung_wire::Problem;
use lumbung_wire::certs::Authority;
use tokio::sync::{Notify, Semaphore};

use crate::config::Config;
use crate::db::Db;
use crate::heartbeats::Sites;
use crate::people::access::Permission;
use crate::policies::Offers;
use crate::profile::Profile;
use crate::refusals::Refusals;
use access::Access;
use gate::Gate;
pub use idempotency::{AtWork, Keys};

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

/// What is asked of a list without filters.
const PAGED: &[&str] = &["limit", "after"];

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
    /// Asks for a round over what is owed by date.
    pub deadlines: Arc<Notify>,
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
}

/// [`Shared`], as handlers get it.
pub type AppState = Arc<Shared>;

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, as axum and OpenAPI write it.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What it does.
    pub summary: &'static str,
    /// The schema of the request's body, by name; none if it takes none.
    pub request: Option<&'static str>,
    /// The schema of the answer, by name; `[X]` is an array.
    pub response: &'static str,
    /// Query parameters.
    pub query: &'static [&'static str],
    /// What it does with an idempotency key.
    pub keys: Keys,
    /// Whether it takes `If-Match`: it changes a row that the caller has seen.
    pub replaces: bool,
}

fn route(
    method: Method,
    path: &'static str,
    access: Access,
    summary: &'static str,
    (request, response): (Option<&'static str>, &'static str),
) -> Route {
    let by_people = matches!(access, Access::Person(_) | Access::Own);
    let keys = if by_people && method == Method::POST { Keys::Kept } else { Keys::Needless };
    Route { method, path, access, summary, request, response, query: &[], keys, replaces: false }
}

/// A route whose request or answer carries a secret.
fn secret(route: Route) -> Route {
    Route { keys: Keys::Refused, ..route }
}

/// A list that is read in pages.
fn paged(route: Route) -> Route {
    Route { query: PAGED, ..route }
}

/// A route that changes a row which can be read before.
fn replacing(route: Route) -> Route {
    Route { replaces: true, ..route }
}

/// The route that changes one row of a kind.
fn change<K: entered::Entered>(
    path: &'static str,
    (request, row): (&'static str, &'static str),
) -> (Route, MethodRouter<AppState>) {
    let access = Access::Person(Permission::WriteRegister);
    let summary = "Change a row: what is named is set, null takes it out, what is not named stays";
    let route = replacing(route(Method::PATCH, path, access, summary, (Some(request), row)));
    (route, patch(entered::change::<K>))
}

/// A route that does nothing twice by itself.
fn repeatable(route: Route) -> Route {
    Route { keys: Keys::Needless, ..route }
}

/// Every route with its handler.
pub fn routes() -> Vec<(Route, MethodRouter<AppState>)> {
    let mut table = agent_routes();
    table.extend(register_routes());
    table.extend(kind_routes());
    table.extend(overview_routes());
    table.extend(verdict_routes());
    table.extend(people_routes());
    table.extend(approval_routes());
    table.extend(deposit_routes());
    table.extend(policy_routes());
    table.extend(retirement_routes());
    table
}

fn retirement_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Permission::{Read, WriteRegister};
    let path = "/api/v1/retirements";
    let write = |path, summary, schemas| {
        route(Method::POST, path, Access::Person(WriteRegister), summary, schemas)
    };
    let summary = "What is retired of the register, from when and why";
    let list = route(Method::GET, path, Access::Person(Read), summary, (None, "[Retirement]"));
    let summary = "Retire a row of the register, which stays for every question about the past";
    let schemas = (Some("RetirementInput"), "[Retirement]");
    let back = write(
        "/api/v1/retirements/{id}/restore",
        "Bring a retired row back",
        (Some("Reasoned"), "Retirement"),
    );
    vec![
        (Route { query: &["pd", "limit", "after"], ..list }, get(retire::list)),
        (write(path, summary, schemas), post(retire::retire)),
        (back, post(retire::restore)),
    ]
}

fn agent_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Access::{Agent, Anyone, Holder};
    vec![
        (
            route(
                Method::GET,
                "/api/v1/health",
                Anyone,
                "Whether the controller answers",
                (None, "ControllerHealth"),
            ),
            get(agents::health),
        ),
        (
            route(
                Method::GET,
                "/api/v1/ca",
                Anyone,
                "The CA and its fingerprint",
                (None, "CaInfo"),
            ),
            get(agents::ca),
        ),
        (
            route(
                Method::POST,
                "/api/v1/enroll",
                Anyone,
                "Enrol an agent or a site with a one-time token",
                (Some("EnrollRequest"), "EnrollResponse"),
            ),
            post(agents::enroll),
        ),
        (
            route(
                Method::POST,
                "/api/v1/renew",
                Holder,
                "A new certificate for the same identity",
                (Some("RenewRequest"), "RenewResponse"),
            ),
            post(agents::renew),
        ),
        (
            route(
                Method::POST,
                "/api/v1/heartbeat",
                Agent,
                "A sign of life with the host's health",
                (Some("HeartbeatRequest"), "HeartbeatResponse"),
            ),
            post(agents::heartbeat),
        ),
        (
            route(
                Method::POST,
                "/api/v1/reports",
                Agent,
                "Reports of runs; acknowledged once durable, idempotent by id",
                (Some("[Report]"), "ReportsAck"),
            ),
            post(agents::reports),
        ),
        (
            route(
                Method::GET,
                "/api/v1/policy",
                Agent,
                "The newest policy of the agent that asks, signed",
                (None, "PolicyDelivery"),
            ),
            get(policies::own),
        ),
    ]
}

fn policy_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Permission::{HandInProof, Read};
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let confirm = route(
        Method::POST,
        "/api/v1/policies/{id}/confirm",
        Access::Person(HandInProof),
        "A custodian's signed word that the server may take its newest policy although it asks for less",
        (Some("PolicyConfirmation"), "PolicyDetail"),
    );
    vec![
        (
            read(
                "/api/v1/policies",
                "What each server's agent is asked to back up",
                "[PolicyEntry]",
                &["pd", "limit", "after"],
            ),
            get(policies::list),
        ),
        (
            read(
                "/api/v1/policies/{id}",
                "A server's policy, what waits, and all that were published",
                "PolicyDetail",
                &[],
            ),
            get(policies::one),
        ),
        (confirm, post(policies::confirm)),
    ]
}

fn register_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Permission::{Read, ReadCity, WriteRegister};
    let list = |path, summary, schema| {
        route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let create = |path, summary, schemas: (&'static str, &'static str)| {
        let access = Access::Person(WriteRegister);
        route(Method::POST, path, access, summary, (Some(schemas.0), schemas.1))
    };
    let mut table = vec![
        (list("/api/v1/sites", "The sites", "[Site]"), get(register::sites)),
        (list("/api/v1/sites/{id}", "One site", "Site"), get(register::site)),
        (
            create("/api/v1/sites", "Enter a site", ("SiteInput", "Site")),
            post(entered::create::<entered::Sites>),
        ),
        (list("/api/v1/pd", "The PD", "[Pd]"), get(register::pds)),
        (list("/api/v1/pd/{id}", "One PD, by id or code", "Pd"), get(register::pd)),
        (
            create("/api/v1/pd", "Enter a PD", ("PdInput", "Pd")),
            post(entered::create::<entered::Pds>),
        ),
        (
            list("/api/v1/servers", "The servers with their agents", "[Server]"),
            get(register::servers),
        ),
        (list("/api/v1/servers/{id}", "One server", "Server"), get(register::server)),
        (
            create("/api/v1/servers", "Enter a server", ("ServerInput", "Server")),
            post(entered::create::<entered::Servers>),
        ),
        (list("/api/v1/datasets", "The datasets", "[Dataset]"), get(register::datasets)),
        (list("/api/v1/datasets/{id}", "One dataset", "Dataset"), get(register::dataset)),
        (
            create("/api/v1/datasets", "Enter a dataset", ("DatasetInput", "Dataset")),
            post(entered::create::<entered::Datasets>),
        ),
        (
            secret(create(
                "/api/v1/tokens",
                "A one-time enrolment token, shown once",
                ("TokenRequest", "EnrollmentToken"),
            )),
            post(register::token),
        ),
    ];
    table.push(change::<entered::Sites>("/api/v1/sites/{id}", ("SitePatch", "Site")));
    table.push(change::<entered::Pds>("/api/v1/pd/{id}", ("PdPatch", "Pd")));
    table.push(change::<entered::Servers>("/api/v1/servers/{id}", ("ServerPatch", "Server")));
    table.push(change::<entered::Datasets>("/api/v1/datasets/{id}", ("DatasetPatch", "Dataset")));
    for (route, _) in &mut table {
        if route.method == Method::GET {
            route.query = match route.path {
                "/api/v1/servers" => &["pd", "kind", "heartbeat", "q", "limit", "after"],
                "/api/v1/datasets" => &["pd", "server", "kind", "urgency", "q", "limit", "after"],
                "/api/v1/sites" | "/api/v1/pd" => PAGED,
                _ => &[],
            };
        }
        // Where the copies lie is the city's, not one PD's.
        if route.path.starts_with("/api/v1/sites") && route.method == Method::GET {
            route.access = Access::Person(ReadCity);
        }
    }
    table
}

/// The four routes of a kind of rows.
fn kind<K: kinds::Kind>(
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
        (Route { query, ..all }, get(kinds::list::<K>)),
        (found, get(kinds::one::<K>)),
        (new, post(entered::create::<K>)),
        change::<K>(one, (patch, row)),
    ]
}

fn kind_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Permission::{Read, ReadCity, WriteRegister};
    let write = Access::Person(WriteRegister);
    let summary = "Import a register as TOML, or one table of it as CSV: all of it or none";
    let schemas = (Some("ImportRequest"), "ImportOutcome");
    let import = Route {
        query: &["table", "dry_run"],
        ..route(Method::POST, "/api/v1/import", write, summary, schemas)
    };
    let summary = "The register as TOML, or one table of it as CSV";
    let export = Route {
        query: &["table", "pd"],
        ..route(Method::GET, "/api/v1/export", Access::Person(Read), summary, (None, "text"))
    };
    let mut table = vec![(import, post(exchange::import)), (export, get(exchange::export))];
    table.extend(kind::<kinds::Buildings>(
        ReadCity,
        ("/api/v1/buildings", "/api/v1/buildings/{id}"),
        ("[Building]", "Building", "BuildingInput", "BuildingPatch"),
    ));
    table.extend(kind::<kinds::Rooms>(
        ReadCity,
        ("/api/v1/rooms", "/api/v1/rooms/{id}"),
        ("[Room]", "Room", "RoomInput", "RoomPatch"),
    ));
    table.extend(kind::<kinds::Services>(
        Read,
        ("/api/v1/services", "/api/v1/services/{id}"),
        ("[Service]", "Service", "ServiceInput", "ServicePatch"),
    ));
    table.extend(kind::<kinds::Applications>(
        Read,
        ("/api/v1/applications", "/api/v1/applications/{id}"),
        ("[Application]", "Application", "ApplicationInput", "ApplicationPatch"),
    ));
    table.extend(kind::<kinds::ContactPersons>(
        Read,
        ("/api/v1/contact-persons", "/api/v1/contact-persons/{id}"),
        ("[ContactPerson]", "ContactPerson", "ContactPersonInput", "ContactPersonPatch"),
    ));
    table
}

fn overview_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Permission::{HandInProof, Read, ReadCity, WriteRegister};
    let read = |permission, path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(permission), summary, (None, schema))
    };
    vec![
        (
            read(
                Read,
                "/api/v1/compliance",
                "The four steps of proof, by dataset",
                "ComplianceTable",
                &[
                    "pd",
                    "lang",
                    "as_of",
                    "urgency",
                    "backed_up",
                    "at_drc",
                    "verified",
                    "proven",
                    "late",
                    "limit",
                    "after",
                ],
            ),
            get(compliance::table),
        ),
        (
            read(ReadCity, "/api/v1/status", "Sites, agents, totals, findings", "Overview", &[]),
            get(compliance::overview),
        ),
        (
            read(
                ReadCity,
                "/api/v1/agents",
                "How each agent is, and what it told last of its host and jobs",
                "[AgentStatus]",
                &["limit", "after"],
            ),
            get(compliance::agents),
        ),
        (
            read(
                Read,
                "/api/v1/alarms",
                "What is wrong; with all=true, also what was",
                "[AlarmEntry]",
                &["all", "kind", "pd", "site", "limit", "after"],
            ),
            get(compliance::alarms),
        ),
        (
            route(
                Method::POST,
                "/api/v1/proofs",
                Access::Person(HandInProof),
                "A signed proof of restore, verified before it is kept",
                (Some("octets"), "ProofAccepted"),
            ),
            post(compliance::proof),
        ),
        (
            repeatable(route(
                Method::POST,
                "/api/v1/poll",
                Access::Person(WriteRegister),
                "Ask the vaults now instead of at the next interval",
                (None, "ControllerHealth"),
            )),
            post(compliance::poll),
        ),
    ]
}

fn verdict_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Permission::{Read, WriteRegister};
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let write = |path, summary, schemas| {
        route(Method::POST, path, Access::Person(WriteRegister), summary, schemas)
    };
    vec![
        (
            read("/api/v1/rules", "The rules of the city's profile", "[RuleEntry]", PAGED),
            get(verdicts::rules),
        ),
        (
            read(
                "/api/v1/verdicts",
                "What is said of whom by the profile's rules, now or as of a moment",
                "[VerdictEntry]",
                &["pd", "rule", "state", "as_of", "lang", "limit", "after"],
            ),
            get(verdicts::list),
        ),
        (
            read(
                "/api/v1/trend",
                "How many datasets and bytes had come how far, day by day",
                "[TrendDay]",
                &["pd", "from", "until", "limit", "after"],
            ),
            get(verdicts::trend),
        ),
        (
            read(
                "/api/v1/datasets/{id}/rpo",
                "The RPO that a dataset achieved over the last days",
                "RpoHistory",
                &["days"],
            ),
            get(verdicts::rpo),
        ),
        (
            read("/api/v1/waivers", "The waivers", "[Waiver]", &["pd", "limit", "after"]),
            get(follow_up::waivers),
        ),
        (
            write("/api/v1/waivers", "Enter a waiver", (Some("WaiverInput"), "Waiver")),
            post(follow_up::add_waiver),
        ),
        (
            write("/api/v1/waivers/{id}/revoke", "Take a waiver back", (None, "Waiver")),
            post(follow_up::revoke_waiver),
        ),
        (
            read(
                "/api/v1/reminders",
                "The reminders, by year and number",
                "[Reminder]",
                &["pd", "limit", "after"],
            ),
            get(follow_up::reminders),
        ),
        (read("/api/v1/reminders/{id}", "One reminder", "Reminder", &[]), get(follow_up::reminder)),
        (
            write(
                "/api/v1/reminders",
                "Draft a numbered reminder to a PD",
                (Some("ReminderInput"), "Reminder"),
            ),
            post(follow_up::draft),
        ),
        (
            write(
                "/api/v1/reminders/{id}/follow-up",
                "Write down what was done about a reminder",
                (Some("FollowUpInput"), "Reminder"),
            ),
            post(follow_up::follow),
        ),
    ]
}

fn people_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Access::{Anyone, Own, Person};
    use Permission::{KeepAccounts, OwnAccount, ReadAudit};
    let get_ =
        |path, access, summary, schema| route(Method::GET, path, access, summary, (None, schema));
    let post_ = |path, access, summary, schemas: (Option<&'static str>, &'static str)| {
        route(Method::POST, path, access, summary, schemas)
    };
    let audit = Route {
        query: PAGED,
        ..get_("/api/v1/audit", Person(ReadAudit), "The audit log, in its order", "[AuditRecord]")
    };
    vec![
        (
            secret(post_(
                "/api/v1/login",
                Anyone,
                "Log in: the answer sets the session's cookie",
                (Some("LoginRequest"), "Caller"),
            )),
            post(people::login),
        ),
        (
            repeatable(post_(
                "/api/v1/logout",
                Own,
                "End this session",
                (None, "ControllerHealth"),
            )),
            post(people::logout),
        ),
        (get_("/api/v1/me", Own, "Who the caller is", "Caller"), get(people::me)),
        (
            secret(post_(
                "/api/v1/me/password",
                Own,
                "Change the own password",
                (Some("PasswordChange"), "User"),
            )),
            post(people::change_password),
        ),
        (
            secret(post_(
                "/api/v1/me/totp",
                Own,
                "A secret for a second factor; it holds once it is confirmed",
                (None, "TotpSecret"),
            )),
            post(people::new_totp),
        ),
        (
            secret(post_(
                "/api/v1/me/totp/confirm",
                Own,
                "Set the second factor up",
                (Some("TotpConfirm"), "User"),
            )),
            post(people::confirm_totp),
        ),
        (
            paged(get_("/api/v1/me/tokens", Own, "The own API tokens", "[ApiToken]")),
            get(people::tokens),
        ),
        (
            secret(post_(
                "/api/v1/me/tokens",
                Person(OwnAccount),
                "An API token, shown once",
                (Some("ApiTokenInput"), "NewApiToken"),
            )),
            post(people::add_token),
        ),
        (
            post_(
                "/api/v1/me/tokens/{id}/revoke",
                Person(OwnAccount),
                "Take an API token back",
                (None, "ApiToken"),
            ),
            post(people::revoke_token),
        ),
        (
            paged(get_("/api/v1/users", Person(KeepAccounts), "The accounts", "[User]")),
            get(people::users),
        ),
        (
            get_("/api/v1/users/{id}", Person(KeepAccounts), "One account, by id or name", "User"),
            get(people::user),
        ),
        (
            secret(post_(
                "/api/v1/users",
                Person(KeepAccounts),
                "Make an account",
                (Some("UserInput"), "User"),
            )),
            post(people::add_user),
        ),
        (
            replacing(post_(
                "/api/v1/users/{id}/disable",
                Person(KeepAccounts),
                "Close an account",
                (None, "User"),
            )),
            post(people::disable_user),
        ),
        (
            replacing(post_(
                "/api/v1/users/{id}/enable",
                Person(KeepAccounts),
                "Open a closed account again",
                (None, "User"),
            )),
            post(people::enable_user),
        ),
        (
            secret(post_(
                "/api/v1/users/{id}/password",
                Person(KeepAccounts),
                "Give an account a new password, which has to be changed at the next login",
                (Some("PasswordReset"), "User"),
            )),
            post(people::reset_password),
        ),
        (audit, get(audit::records)),
        (
            get_(
                "/api/v1/audit/head",
                Person(ReadAudit),
                "How far the audit log goes, signed",
                "AuditHead",
            ),
            get(audit::head),
        ),
    ]
}

fn approval_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Access::Person;
    use Permission::{AskTwo, Decide, KeepAccounts, ReadApprovals};
    let post_ = |path, permission, summary, request| {
        route(Method::POST, path, Person(permission), summary, (request, "Approval"))
    };
    vec![
        (
            paged(route(
                Method::GET,
                "/api/v1/approvals",
                Person(ReadApprovals),
                "What waits for a second person, and what became of it; newest first",
                (None, "[Approval]"),
            )),
            get(approvals::list),
        ),
        (
            replacing(post_(
                "/api/v1/users/{id}/role",
                KeepAccounts,
                "Ask for another role of an account; a second administrator approves it",
                Some("RoleChange"),
            )),
            post(approvals::ask_for_role),
        ),
        (
            replacing(post_(
                "/api/v1/sites/{id}/remove",
                AskTwo,
                "Ask for a site to be taken out of the register; a second person approves it",
                Some("Reasoned"),
            )),
            post(approvals::ask_for_removal),
        ),
        (
            post_(
                "/api/v1/approvals/{id}/approve",
                Decide,
                "Approve a request of somebody else, and have it done",
                None,
            ),
            post(approvals::approve),
        ),
        (
            post_(
                "/api/v1/approvals/{id}/refuse",
                Decide,
                "Refuse a request of somebody else",
                None,
            ),
            post(approvals::refuse),
        ),
        (
            post_("/api/v1/approvals/{id}/withdraw", Decide, "Take the own request back", None),
            post(approvals::withdraw),
        ),
    ]
}

fn deposit_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Access::Person;
    use Permission::{Deliver, Read, WriteRegister};
    let post_ = |path, permission, summary, request| {
        route(Method::POST, path, Person(permission), summary, (Some(request), "Deposit"))
    };
    let get_ =
        |path, summary, schema| route(Method::GET, path, Person(Read), summary, (None, schema));
    let list = Route {
        query: &["pd", "state", "duty", "from", "until", "q", "limit", "after"],
        ..get_("/api/v1/deposits", "What is owed by date, and what was handed in", "[Deposit]")
    };
    let calendar = Route {
        query: &["pd", "from", "until"],
        ..get_("/api/v1/calendar", "What falls due, day by day", "Calendar")
    };
    let one = get_("/api/v1/deposits/{id}", "One of what is owed", "Deposit");
    let summary = "Enter what no duty of the profile asks for";
    let new = post_("/api/v1/deposits", WriteRegister, summary, "DepositInput");
    let summary = "Hand a document in: its SHA-256, name and size";
    let deliver = post_("/api/v1/deposits/{id}/deliver", Deliver, summary, "DeliveryInput");
    let summary = "Accept what was handed in";
    let accept = post_("/api/v1/deposits/{id}/accept", WriteRegister, summary, "DepositAcceptance");
    let summary = "Give back what was handed in, or open again what was cancelled: it is owed";
    let give_back = post_("/api/v1/deposits/{id}/return", WriteRegister, summary, "Reasoned");
    let summary = "Say that it is not owed";
    let cancel = post_("/api/v1/deposits/{id}/cancel", WriteRegister, summary, "Reasoned");
    vec![
        (list, get(deposits::list)),
        (one, get(deposits::one)),
        (new, post(deposits::create)),
        (replacing(deliver), post(deposits::deliver)),
        (replacing(accept), post(deposits::accept)),
        (replacing(give_back), post(deposits::give_back)),
        (replacing(cancel), post(deposits::cancel)),
        (calendar, get(deposits::calendar)),
    ]
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
