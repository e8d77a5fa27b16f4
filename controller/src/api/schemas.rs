//! JSON Schemas of what the API takes and answers, from the messages of `lumbung_wire` themselves.
//!
//! Invariants: a message that a route names stands in the list `messages!` once; what it is made of comes along by itself. In
//! answers, what is not optional is always there, and what is absent is absent and never `null`; requests are described
//! as serde takes them. A test validates every body that the API's tests send and receive against these, unknown
//! members included.

use std::collections::{BTreeMap, BTreeSet};

use lumbung_wire::Problem;
use lumbung_wire::audit::{AuditHead, AuditRecord};
use lumbung_wire::messages::alerts::{
    AcknowledgeInput, Alert, AlertDetail, AlertTest, AlertTestInput, OnCall, OnCallInput,
};
use lumbung_wire::messages::anomaly::Anomaly;
use lumbung_wire::messages::approvals::{Approval, Reasoned, RoleChange};
use lumbung_wire::messages::capacity::{BandwidthEntry, CapacityReport};
use lumbung_wire::messages::compliance::{
    FollowUpInput, Reminder, ReminderInput, RpoHistory, RuleEntry, TrendDay, VerdictEntry, Waiver,
    WaiverInput,
};
use lumbung_wire::messages::consents::Consent;
use lumbung_wire::messages::deposits::{
    Calendar, DeliveryInput, Deposit, DepositAcceptance, DepositInput,
};
use lumbung_wire::messages::drills::{
    ActaDocument, DrillAnswerInput, DrillDue, DrillEvent, DrillNotes, DrillOrders, DrillPlanEntry,
    DrillPlanInput, DrillReport, DrillReportAck, DrillRun, DrillRunDetail, DrillStart,
    FailoverRequest,
};
use lumbung_wire::messages::host::{
    HostInventory, InventoryAcceptance, InventoryAck, ServerInventory,
};
use lumbung_wire::messages::keys::{KeyEntry, KeyReportAccepted};
use lumbung_wire::messages::overview::{
    AgentStatus, AlarmEntry, CaInfo, ControllerHealth, ImportRequest, Overview, ProofAccepted,
    TokenRequest,
};
use lumbung_wire::messages::people::{
    ApiToken, ApiTokenInput, Caller, LoginRequest, NewApiToken, PasswordChange, PasswordReset,
    TotpConfirm, TotpSecret, User, UserInput,
};
use lumbung_wire::messages::policy::{
    PolicyConfirmation, PolicyDelivery, PolicyDetail, PolicyEntry,
};
use lumbung_wire::messages::register::{
    Application, ApplicationInput, Building, BuildingInput, Care, CareInput, Check, CheckInput,
    ComplianceTable, ContactPerson, ContactPersonInput, Dataset, DatasetInput, Device, DeviceInput,
    Elevation, EnrollmentToken, Feed, FeedInput, Handover, HandoverInput, HistoryEntry,
    ImportOutcome, Pd, PdInput, Pool, PoolInput, PoolStatus, Rack, RackInput, Reservation,
    ReservationInput, Retirement, RetirementInput, Room, RoomInput, Server, ServerInput, Service,
    ServiceInput, Site, SiteInput,
};
use lumbung_wire::messages::succession::Succession;
use lumbung_wire::messages::uptime::{
    CheckState, Incident, IncidentInput, IncidentNoteInput, Maintenance, MaintenanceInput,
    Observations, ObservationsAck, UptimeRow, VantageOrders,
};
use lumbung_wire::messages::{
    EnrollRequest, EnrollResponse, HeartbeatRequest, HeartbeatResponse, RenewRequest,
    RenewResponse, Report, ReportsAck,
};
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema as _, ToSchema as _};

/// How a change of what is entered as `…Input` is called: `DatasetPatch` is made of `DatasetInput`.
pub(super) const PATCH: &str = "Patch";
const INPUT: &str = "Input";

/// Where the document keeps its schemas.
const PLACE: &str = "#/components/schemas/";

macro_rules! messages {
    ($($message:ty),+ $(,)?) => {
        /// Every message with what it is made of, by name; names repeat.
        fn described() -> Vec<(String, RefOr<Schema>)> {
            let mut found = Vec::new();
            $(
                found.push((<$message>::name().into_owned(), <$message>::schema()));
                <$message>::schemas(&mut found);
            )+
            found
        }
    };
}

messages![
    AcknowledgeInput,
    ActaDocument,
    AgentStatus,
    AlarmEntry,
    Anomaly,
    Alert,
    AlertDetail,
    AlertTest,
    AlertTestInput,
    ApiToken,
    ApiTokenInput,
    Application,
    ApplicationInput,
    Approval,
    AuditHead,
    AuditRecord,
    BandwidthEntry,
    Building,
    BuildingInput,
    CaInfo,
    Calendar,
    Care,
    CareInput,
    Check,
    CheckInput,
    CheckState,
    Caller,
    CapacityReport,
    ComplianceTable,
    Consent,
    ContactPerson,
    ContactPersonInput,
    ControllerHealth,
    Dataset,
    DatasetInput,
    DeliveryInput,
    Deposit,
    DepositAcceptance,
    DepositInput,
    Device,
    DeviceInput,
    DrillAnswerInput,
    DrillDue,
    DrillEvent,
    DrillNotes,
    DrillOrders,
    DrillPlanEntry,
    DrillPlanInput,
    DrillReport,
    DrillReportAck,
    DrillRun,
    DrillRunDetail,
    DrillStart,
    Elevation,
    EnrollRequest,
    EnrollResponse,
    EnrollmentToken,
    FailoverRequest,
    Feed,
    FeedInput,
    FollowUpInput,
    Handover,
    HandoverInput,
    HeartbeatRequest,
    HeartbeatResponse,
    HostInventory,
    HistoryEntry,
    ImportOutcome,
    ImportRequest,
    Incident,
    IncidentInput,
    IncidentNoteInput,
    InventoryAcceptance,
    InventoryAck,
    KeyEntry,
    KeyReportAccepted,
    LoginRequest,
    Maintenance,
    MaintenanceInput,
    NewApiToken,
    Observations,
    ObservationsAck,
    OnCall,
    OnCallInput,
    Overview,
    PasswordChange,
    PasswordReset,
    Pd,
    PdInput,
    PolicyConfirmation,
    PolicyDelivery,
    PolicyDetail,
    PolicyEntry,
    Pool,
    PoolInput,
    PoolStatus,
    Problem,
    ProofAccepted,
    Rack,
    RackInput,
    Reasoned,
    Reminder,
    ReminderInput,
    RenewRequest,
    RenewResponse,
    Report,
    ReportsAck,
    Reservation,
    ReservationInput,
    Retirement,
    RetirementInput,
    RoleChange,
    Room,
    RoomInput,
    RpoHistory,
    RuleEntry,
    Server,
    ServerInput,
    ServerInventory,
    Service,
    ServiceInput,
    Site,
    SiteInput,
    Succession,
    TokenRequest,
    TotpConfirm,
    TotpSecret,
    TrendDay,
    UptimeRow,
    User,
    UserInput,
    VantageOrders,
    VerdictEntry,
    Waiver,
    WaiverInput,
];

/// All schemas by name; `requests` are the names of those that bodies are read as.
pub(super) fn all<'a>(requests: impl Iterator<Item = &'a str>) -> BTreeMap<String, Value> {
    let mut schemas: BTreeMap<String, Value> = described()
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect();
    let requests: Vec<&str> = requests.collect();
    for name in requests.iter().filter_map(|name| name.strip_suffix(PATCH)) {
        if let Some(input) = schemas.get(&format!("{name}{INPUT}")) {
            schemas.insert(format!("{name}{PATCH}"), as_patch(input.clone()));
        }
    }
    let taken = reachable(&schemas, requests.into_iter());
    for (name, schema) in &mut schemas {
        polish(schema);
        if !taken.contains(name) {
            as_answer(schema);
        }
    }
    schemas
}

/// A change of what may be entered: any members but the id, each of which may be taken out.
fn as_patch(mut input: Value) -> Value {
    if let Some(members) = input.as_object_mut() {
        members.remove("required");
        members.insert("description".to_owned(), json!("A JSON Merge Patch (RFC 7396) of a row."));
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            properties.remove("id");
            for member in properties.values_mut() {
                let mut may_be_null = member.clone();
                if !without_null(&mut may_be_null) {
                    *member = json!({ "oneOf": [member.take(), { "type": "null" }] });
                }
            }
        }
    }
    input
}

/// Whatever a request may hold.
fn reachable<'a>(
    schemas: &BTreeMap<String, Value>,
    from: impl Iterator<Item = &'a str>,
) -> BTreeSet<String> {
    let mut left: Vec<String> = from.map(str::to_owned).collect();
    let mut found = BTreeSet::new();
    while let Some(name) = left.pop() {
        if let Some(schema) = schemas.get(&name) {
            let text = schema.to_string();
            let references = text.split(PLACE).skip(1).filter_map(|rest| rest.split('"').next());
            left.extend(references.filter(|name| !found.contains(*name)).map(str::to_owned));
        }
        found.insert(name);
    }
    found
}

/// What the derivation does not know: the range of unsigned integers, and how rustdoc writes links.
fn polish(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // utoipa spells them `u-int32`; the OpenAPI registry of formats says uint32.
            let unsigned = match members.get("format").and_then(Value::as_str) {
                Some("u-int16") => Some(("uint16", u64::from(u16::MAX))),
                Some("u-int32") => Some(("uint32", u64::from(u32::MAX))),
                Some("u-int64") => Some(("uint64", u64::MAX)),
                _ => None,
            };
            if let Some((format, most)) = unsigned {
                members.insert("format".to_owned(), json!(format));
                members.entry("maximum").or_insert_with(|| json!(most));
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`");
            }
            members.values_mut().for_each(polish);
        }
        Value::Array(items) => items.iter_mut().for_each(polish),
        _ => {}
    }
}

/// An answer never says `null`, and leaves out only what may be absent.
fn as_answer(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                let always = properties
                    .iter_mut()
                    .filter_map(|(name, member)| (!without_null(member)).then(|| json!(name)));
                let always: Vec<Value> = always.collect();
                members.insert("required".to_owned(), Value::Array(always));
            }
            members.values_mut().for_each(as_answer);
        }
        Value::Array(items) => items.iter_mut().for_each(as_answer),
        _ => {}
    }
}

/// Takes `null` out of what a member may be; whether it was in there.
fn without_null(member: &mut Value) -> bool {
    let Value::Object(members) = member else { return false };
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
            return true;
        }
    }
    let Some(Value::Array(kinds)) = members.get("oneOf") else { return false };
    let is_null = |kind: &Value| kind["type"] == "null";
    let others: Vec<&Value> = kinds.iter().filter(|kind| !is_null(kind)).collect();
    let (true, [Value::Object(only)]) = (others.len() < kinds.len(), others.as_slice()) else {
        return false;
    };
    let mut plain: Map<String, Value> = only.clone();
    members.remove("oneOf");
    plain.append(members);
    *members = plain;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_messages_have_one_name() {
        let mut seen: BTreeMap<String, Value> = BTreeMap::new();
        for (name, schema) in described() {
            let schema = serde_json::to_value(schema).unwrap();
            if let Some(other) = seen.insert(name.clone(), schema.clone()) {
                assert_eq!(other, schema, "{name}");
            }
        }
    }
}
