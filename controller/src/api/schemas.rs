//! JSON Schemas of what the API takes and answers.
//!
//! Invariant: a test validates every body that the API's tests send and receive against these, unknown
//! members included, so that they cannot drift from the messages of `lumbung_wire`.

use lumbung_wire::messages::approvals::ApprovalState;
use lumbung_wire::messages::people::{SessionState, UserRole};
use lumbung_wire::messages::register::{
    Classification, DatasetKind, HeartbeatState, ServerKind, SiteKind, StepState, Urgency,
};
use serde_json::{Map, Value, json};

/// All schemas by name.
pub(super) fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    let groups = [
        problems(),
        enrolment(),
        heartbeats(),
        register_rows(),
        register_inputs(),
        compliance(),
        overview(),
        people(),
        audit(),
        approvals(),
    ];
    for (name, schema) in groups.into_iter().flatten() {
        schemas.insert(name.to_owned(), schema);
    }
    schemas
}

type Group = Vec<(&'static str, Value)>;
type Members = Vec<(&'static str, Value)>;

fn hex(bytes: usize) -> Value {
    json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", bytes * 2) })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn uint() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn int() -> Value {
    json!({ "type": "integer" })
}

fn time() -> Value {
    json!({ "type": "integer", "description": "seconds since 1970 UTC" })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn words<T: ToString>(all: &[T]) -> Value {
    let words: Vec<String> = all.iter().map(ToString::to_string).collect();
    json!({ "type": "string", "enum": words })
}

/// An object: members that are always there, then those that may be absent.
fn object(required: Members, optional: Members) -> Value {
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let members: Map<String, Value> = required
        .into_iter()
        .chain(optional)
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({ "type": "object", "properties": members, "required": names })
}

fn problems() -> Group {
    let members = vec![("type", text()), ("title", text()), ("status", uint()), ("detail", text())];
    vec![("Problem", object(members, vec![]))]
}

fn enrolment() -> Group {
    let site_entry = vec![
        ("site", hex(16)),
        ("name", text()),
        ("kind", words(SiteKind::ALL)),
        ("url", text()),
        ("tls_pin", hex(32)),
        ("receipt_key", hex(32)),
    ];
    let of_agent = vec![
        ("repository", hex(32)),
        ("agent", hex(16)),
        ("agent_key", hex(32)),
        ("domain", hex(16)),
    ];
    let of_site =
        vec![("site", hex(16)), ("receipt_key", hex(32)), ("url", text()), ("tls_pin", hex(32))];
    let request = vec![("token", text()), ("role", words(&["agent", "site"])), ("csr_pem", text())];
    let certificate = || vec![("certificate_pem", text()), ("ca_pems", list(text()))];
    let mut response = certificate();
    response.extend([("sites", list(of("SiteEntry"))), ("datasets", list(of("Dataset")))]);
    vec![
        ("SiteEntry", object(site_entry, vec![])),
        ("EnrollRequest", object(request, of_agent.into_iter().chain(of_site).collect())),
        ("EnrollResponse", object(response, vec![("server", hex(16)), ("site", hex(16))])),
        ("RenewRequest", object(vec![("csr_pem", text())], vec![])),
        ("RenewResponse", object(certificate(), vec![])),
        ("CaInfo", object(vec![("fingerprint", text()), ("ca_pems", list(text()))], vec![])),
        ("ControllerHealth", object(vec![("version", text()), ("now", time())], vec![])),
    ]
}

fn heartbeats() -> Group {
    let counts = [
        "files",
        "directories",
        "others",
        "content_bytes",
        "flagged",
        "new_plain_bytes",
        "new_stored_bytes",
    ];
    let disk = vec![("mount", text()), ("total_bytes", uint()), ("available_bytes", uint())];
    let health = vec![
        ("hostname", text()),
        ("os", text()),
        ("kernel", text()),
        ("uptime_s", uint()),
        ("cpus", uint()),
        ("load", list(number())),
        ("memory_total_bytes", uint()),
        ("memory_available_bytes", uint()),
        ("swap_used_bytes", uint()),
        ("disks", list(of("DiskHealth"))),
    ];
    let phases = ["waiting", "running", "retrying", "disabled"];
    let job = vec![("dataset", hex(16)), ("name", text()), ("state", words(&phases))];
    let report = vec![
        ("id", hex(16)),
        ("kind", words(&["backup", "restore", "verify", "alarm"])),
        ("at", time()),
        ("dataset", hex(16)),
        ("outcome", of("Outcome")),
    ];
    let report_more =
        vec![("manifest", hex(32)), ("statistics", of("Statistics")), ("message", text())];
    let beat = vec![("now", time()), ("version", text()), ("health", of("HostHealth"))];
    vec![
        ("Statistics", object(counts.into_iter().map(|name| (name, uint())).collect(), vec![])),
        ("DiskHealth", object(disk, vec![])),
        ("HostHealth", object(vec![], health)),
        (
            "JobState",
            object(job, vec![("last_ok", time()), ("next_run", time()), ("message", text())]),
        ),
        ("HeartbeatRequest", object(beat, vec![("jobs", list(of("JobState")))])),
        (
            "HeartbeatResponse",
            object(vec![("now", time()), ("sites", list(of("SiteEntry")))], vec![]),
        ),
        ("Outcome", words(&["ok", "warnings", "failed", "interrupted"])),
        ("Report", object(report, report_more)),
        ("ReportsAck", object(vec![("acknowledged", list(hex(16)))], vec![])),
    ]
}

fn place() -> Members {
    vec![("latitude", number()), ("longitude", number())]
}

fn site_keys() -> Members {
    vec![("url", text()), ("receipt_key", hex(32)), ("tls_pin", hex(32))]
}

fn register_rows() -> Group {
    let site = vec![
        ("id", hex(16)),
        ("name", text()),
        ("kind", words(SiteKind::ALL)),
        ("address", text()),
    ];
    let pd = vec![
        ("id", hex(16)),
        ("code", text()),
        ("name", text()),
        ("contact", text()),
        ("mandiri_tik", boolean()),
    ];
    let server = vec![
        ("id", hex(16)),
        ("pd", hex(16)),
        ("name", text()),
        ("kind", words(ServerKind::ALL)),
        ("heartbeat", words(HeartbeatState::ALL)),
    ];
    let mut dataset = vec![("id", hex(16)), ("pd", hex(16)), ("rpo_s", uint())];
    dataset.extend(dataset_words());
    dataset.extend(dataset_texts());
    vec![
        ("Site", object(site, place().into_iter().chain(site_keys()).collect())),
        ("Pd", object(pd, vec![])),
        ("Server", object(server, vec![("agent", hex(16)), ("last_seen", time())])),
        ("Dataset", object(dataset, vec![("server", hex(16)), ("repository", hex(32))])),
    ]
}

fn dataset_words() -> Members {
    vec![
        ("name", text()),
        ("kind", words(DatasetKind::ALL)),
        ("classification", words(Classification::ALL)),
        ("urgency", words(Urgency::ALL)),
    ]
}

fn dataset_texts() -> Members {
    vec![
        ("owner", text()),
        ("retention", text()),
        ("period", text()),
        ("media", text()),
        ("paths", list(text())),
    ]
}

fn register_inputs() -> Group {
    let mut site_more = vec![("id", hex(16)), ("address", text())];
    site_more.extend(place());
    site_more.extend(site_keys());
    let mut dataset = vec![("pd", hex(16))];
    dataset.extend(dataset_words());
    let mut dataset_more =
        vec![("id", hex(16)), ("server", hex(16)), ("rpo_s", uint()), ("repository", hex(32))];
    dataset_more.extend(dataset_texts());
    let server = vec![("pd", hex(16)), ("name", text()), ("kind", words(ServerKind::ALL))];
    let token = vec![("token", text()), ("expires", time()), ("ca_fingerprint", text())];
    let token_more = vec![("server", text()), ("site", text()), ("life_h", uint())];
    vec![
        ("SiteInput", object(vec![("name", text()), ("kind", words(SiteKind::ALL))], site_more)),
        (
            "PdInput",
            object(
                vec![("code", text()), ("name", text())],
                vec![("id", hex(16)), ("contact", text()), ("mandiri_tik", boolean())],
            ),
        ),
        ("ServerInput", object(server, vec![("id", hex(16))])),
        ("DatasetInput", object(dataset, dataset_more)),
        ("ImportRequest", object(vec![("toml", text())], vec![("file", text())])),
        (
            "ImportOutcome",
            object(vec![("created", uint()), ("updated", uint()), ("unchanged", uint())], vec![]),
        ),
        ("TokenRequest", object(vec![("role", words(&["agent", "site"]))], token_more)),
        ("EnrollmentToken", object(token, vec![])),
    ]
}

fn compliance() -> Group {
    let steps = ["backed_up", "at_drc", "verified", "proven"];
    let evidence = vec![("kind", text()), ("id", hex(32))];
    let step = vec![("state", words(StepState::ALL)), ("reason", text())];
    let step_more = vec![("since", time()), ("at", time()), ("evidence", of("Evidence"))];
    let mut row = vec![
        ("pd", hex(16)),
        ("pd_code", text()),
        ("pd_name", text()),
        ("server_name", text()),
        ("heartbeat", words(HeartbeatState::ALL)),
        ("dataset_name", text()),
        ("unauthorized_snapshots", uint()),
        ("belum_mencadangkan", boolean()),
        ("stored_bytes", uint()),
    ];
    row.extend(steps.map(|name| (name, of("Step"))));
    let row_more = vec![
        ("server", hex(16)),
        ("dataset", hex(16)),
        ("urgency", words(Urgency::ALL)),
        ("rpo_s", uint()),
        ("snapshot", hex(32)),
        ("menurut_agen", of("AgentFigures")),
    ];
    let figures = vec![
        ("at", time()),
        ("outcome", of("Outcome")),
        ("statistics", of("Statistics")),
        ("message", text()),
    ];
    let mut table =
        vec![("at", time()), ("rows", list(of("ComplianceRow"))), ("all", of("StepTotals"))];
    table.extend(steps.map(|name| (name, of("StepTotals"))));
    vec![
        ("Evidence", object(evidence, vec![("site", hex(16))])),
        ("Step", object(step, step_more)),
        ("AgentFigures", object(figures, vec![("last_ok", time())])),
        ("ComplianceRow", object(row, row_more)),
        ("StepTotals", object(vec![("datasets", uint()), ("stored_bytes", uint())], vec![])),
        ("ComplianceTable", object(table, vec![])),
    ]
}

fn overview() -> Group {
    let alarm = vec![
        ("sequence", uint()),
        ("kind", text()),
        ("subject", text()),
        ("detail", text()),
        ("raised", time()),
        ("last", time()),
    ];
    let site = vec![
        ("site", hex(16)),
        ("name", text()),
        ("kind", words(SiteKind::ALL)),
        ("enrolled", boolean()),
    ];
    let site_more = vec![
        ("polled", time()),
        ("succeeded", time()),
        ("error", text()),
        ("version", text()),
        ("clock_warning_s", int()),
    ];
    let distance = vec![
        ("from", hex(16)),
        ("to", hex(16)),
        ("km", number()),
        ("min_km", number()),
        ("met", boolean()),
        ("note", text()),
    ];
    let agent = vec![
        ("agent", hex(16)),
        ("server", hex(16)),
        ("heartbeat", words(HeartbeatState::ALL)),
        ("jobs", list(of("JobState"))),
    ];
    let agent_more = vec![
        ("last_seen", time()),
        ("clock_warning_s", int()),
        ("version", text()),
        ("health", of("HostHealth")),
    ];
    let unknown = vec![("dataset", hex(16)), ("name", text()), ("first", time()), ("last", time())];
    let counts = vec![("up", uint()), ("late", uint()), ("down", uint()), ("never", uint())];
    vec![
        (
            "AlarmEntry",
            object(alarm, vec![("pd", hex(16)), ("site", hex(16)), ("cleared", time())]),
        ),
        ("SiteStatus", object(site, site_more)),
        ("SiteDistance", object(distance, vec![])),
        ("AgentStatus", object(agent, agent_more)),
        ("AgentCounts", object(counts, vec![])),
        ("UnregisteredDataset", object(unknown, vec![("repository", hex(32)), ("agent", hex(16))])),
        (
            "UnregisteredRepository",
            object(vec![("repository", hex(32)), ("site", hex(16))], vec![]),
        ),
        ("Overview", object(overview_members(), vec![])),
        ("ProofAccepted", object(vec![("proof", hex(32))], vec![("dataset", hex(16))])),
    ]
}

fn people() -> Group {
    let user = vec![
        ("id", hex(16)),
        ("name", text()),
        ("full_name", text()),
        ("role", words(UserRole::ALL)),
        ("totp", boolean()),
        ("password_is_new", boolean()),
        ("created", time()),
    ];
    let user_more = vec![("pd", hex(16)), ("locked_until", time()), ("disabled", time())];
    let input = vec![
        ("name", text()),
        ("full_name", text()),
        ("role", words(UserRole::ALL)),
        ("password", text()),
    ];
    let caller = vec![
        ("kind", words(&["user", "api_token", "certificate"])),
        ("name", text()),
        ("role", words(UserRole::ALL)),
        ("state", words(SessionState::ALL)),
    ];
    let token = vec![
        ("id", hex(16)),
        ("user", hex(16)),
        ("name", text()),
        ("writes", boolean()),
        ("created", time()),
        ("expires", time()),
    ];
    let login = vec![("name", text()), ("password", text())];
    let confirm = vec![("secret", text()), ("code", text()), ("password", text())];
    let token_input = vec![("name", text()), ("days", uint())];
    vec![
        ("User", object(user, user_more)),
        ("UserInput", object(input, vec![("pd", hex(16))])),
        ("LoginRequest", object(login, vec![("code", text())])),
        ("Caller", object(caller, vec![("pd", hex(16)), ("csrf_token", hex(32))])),
        ("PasswordChange", object(vec![("current", text()), ("new", text())], vec![])),
        ("PasswordReset", object(vec![("password", text())], vec![("without_totp", boolean())])),
        ("TotpSecret", object(vec![("secret", text()), ("url", text())], vec![])),
        ("TotpConfirm", object(confirm, vec![("present_code", text())])),
        ("ApiToken", object(token, vec![("revoked", time())])),
        ("ApiTokenInput", object(token_input, vec![("writes", boolean())])),
        ("NewApiToken", object(vec![("token", of("ApiToken")), ("text", text())], vec![])),
    ]
}

fn approvals() -> Group {
    let wanted = object(
        vec![("action", words(&["change_role", "remove_site"]))],
        vec![("user", hex(16)), ("role", words(UserRole::ALL)), ("pd", hex(16)), ("site", hex(16))],
    );
    let approval = vec![
        ("id", hex(16)),
        ("wanted", of("Wanted")),
        ("words", text()),
        ("reason", text()),
        ("asked_by", text()),
        ("asked", time()),
        ("expires", time()),
        ("state", words(ApprovalState::ALL)),
    ];
    let change = vec![("role", words(UserRole::ALL)), ("reason", text())];
    vec![
        ("Wanted", wanted),
        ("Approval", object(approval, vec![("decided_by", text()), ("decided", time())])),
        ("RoleChange", object(change, vec![("pd", hex(16))])),
        ("Reasoned", object(vec![("reason", text())], vec![])),
    ]
}

fn audit() -> Group {
    let entry = json!({
        "type": "string",
        "description": "The entry as JSON text, as it was hashed: sequence, at, actor, from, action, subject, pd, before, after",
    });
    let hash = json!({
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "SHA-256 of the 32 bytes of `previous` and the UTF-8 bytes of `entry`",
    });
    let head = vec![
        ("sequence", uint()),
        ("hash", hex(32)),
        ("at", time()),
        ("signer", hex(32)),
        ("signature", hex(64)),
    ];
    vec![
        (
            "AuditRecord",
            object(vec![("previous", hex(32)), ("hash", hash), ("entry", entry)], vec![]),
        ),
        ("AuditHead", object(head, vec![])),
    ]
}

fn overview_members() -> Members {
    let mut members = vec![
        ("at", time()),
        ("version", text()),
        ("sites", list(of("SiteStatus"))),
        ("distances", list(of("SiteDistance"))),
        ("agents", of("AgentCounts")),
        ("agent_status", list(of("AgentStatus"))),
        ("pds", uint()),
        ("belum_mencadangkan", uint()),
        ("alarms", uint()),
        ("unregistered_datasets", list(of("UnregisteredDataset"))),
        ("unregistered_repositories", list(of("UnregisteredRepository"))),
    ];
    members.extend(
        ["registered", "backed_up", "at_drc", "verified", "proven"]
            .map(|name| (name, of("StepTotals"))),
    );
    members
}
