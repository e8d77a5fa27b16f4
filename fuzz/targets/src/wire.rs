//! What comes over the network beside objects: JSON both ways, certificates and requests for them, paths and ranges.

use std::sync::LazyLock;

use data_encoding::BASE64;
use lumbung_model::{AgentId, ManifestId, PackId, RepositoryId, SiteId, Timestamp};
use lumbung_pack::Kind;
use lumbung_wire::certs::{self, Authority, IssueRequest};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::overview::{
    AlarmEntry, CaInfo, ControllerHealth, ImportRequest, TokenRequest,
};
use lumbung_wire::messages::register::{
    ComplianceTable, DatasetInput, EnrollmentToken, PdInput, ServerInput,
};
use lumbung_wire::messages::{
    EnrollRequest, EnrollResponse, HaveAnswer, HaveRequest, HeartbeatRequest, HeartbeatResponse,
    IdList, ManifestSummary, RenewRequest, RenewResponse, Report, ReportsAck, SiteInfo,
    VaultAlarms,
};
use lumbung_wire::{Problem, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message that can be read is written, and read again as the same.
fn message<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(json: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(json) else { return };
    let written = serde_json::to_vec(&message).expect("a message is JSON");
    let again: T = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, message);
}

/// As [`message`], for what holds fractions, whose last digit JSON does not keep.
fn message_with_fractions<T: Serialize + DeserializeOwned>(json: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(json) else { return };
    let written = serde_json::to_vec(&message).expect("a message is JSON");
    serde_json::from_slice::<T>(&written).expect("what was written is read");
}

macro_rules! messages {
    ($data:ident, $($check:ident::<$message:ty>),* $(,)?) => {{
        let checks: &[fn(&[u8])] = &[$($check::<$message>),*];
        let Some((which, json)) = $data.split_first() else { return };
        if let Some(check) = checks.get(usize::from(*which)) {
            check(json);
        }
    }};
}

/// The first byte says which request the rest is.
pub(crate) fn requests(data: &[u8]) {
    messages!(
        data,
        message::<EnrollRequest>,
        message::<RenewRequest>,
        message_with_fractions::<HeartbeatRequest>,
        message::<Vec<Report>>,
        message::<HaveRequest>,
        message::<TokenRequest>,
        message::<ImportRequest>,
        message::<PdInput>,
        message::<ServerInput>,
        message::<DatasetInput>,
        message_with_fractions::<lumbung_wire::messages::register::SiteInput>,
    );
}

/// The first byte says which answer the rest is: a client reads what a hostile server wrote.
pub(crate) fn answers(data: &[u8]) {
    messages!(
        data,
        message::<EnrollResponse>,
        message::<RenewResponse>,
        message::<HeartbeatResponse>,
        message::<ReportsAck>,
        message::<SiteInfo>,
        message::<IdList>,
        message::<Vec<ManifestSummary>>,
        message::<HaveAnswer>,
        message::<VaultAlarms>,
        message::<Problem>,
        message::<CaInfo>,
        message::<ControllerHealth>,
        message::<Vec<AlarmEntry>>,
        message::<EnrollmentToken>,
        message::<ComplianceTable>,
        message_with_fractions::<lumbung_wire::messages::overview::Overview>,
    );
}

/// SAN URIs, one a line.
pub(crate) fn certificate_names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(names) = CertificateNames::from_uris(text.lines()) else { return };
    let uris = names.to_uris();
    assert_eq!(CertificateNames::from_uris(uris.iter().map(String::as_str)).as_ref(), Ok(&names));
    assert_eq!(
        names.clone().complete().as_ref(),
        Ok(&names),
        "an identity lacks what its role needs"
    );
    let ours: std::collections::BTreeSet<&str> =
        text.lines().filter(|line| line.starts_with("lumbung:")).collect();
    assert_eq!(ours, uris.iter().map(String::as_str).collect(), "a name was half understood");
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

pub(crate) fn certificate(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        drop(certs::facts(text));
    }
    if let Ok(facts) = certs::facts(&pem("CERTIFICATE", data)) {
        assert_eq!(certs::pin_of_certificate(data), Some(facts.pin));
        if let Some(names) = facts.names {
            assert_eq!(names.clone().complete(), Ok(names));
        }
    }
}

/// A request signed by whoever: what the CA says of it is the CA's own words.
pub(crate) fn certificate_request(data: &[u8]) {
    static AUTHORITY: LazyLock<Authority> =
        LazyLock::new(|| Authority::generate("CA", Timestamp(1_800_000_000)).expect("a new CA").0);
    let wanted = IssueRequest {
        common_name: "srv-1".to_owned(),
        names: CertificateNames::of_role(Role::Operator),
        hosts: Vec::new(),
        now: Timestamp(1_800_000_000),
    };
    if let Ok(text) = std::str::from_utf8(data) {
        drop(AUTHORITY.issue(text, &wanted));
    }
    if let Ok(issued) = AUTHORITY.issue(&pem("CERTIFICATE REQUEST", data), &wanted) {
        let facts = certs::facts(&issued.certificate_pem).expect("a certificate of ours is read");
        assert_eq!(facts.names, Some(wanted.names), "a request's words got into a certificate");
        assert_eq!(facts.serial, issued.serial);
    }
}

/// A length, then a `Range` header.
pub(crate) fn range(data: &[u8]) {
    let Some((length, text)) = data.split_first_chunk::<8>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let length = u64::from_le_bytes(*length);
    let Some(range) = lumbung_vault::http::parse_range(text, length) else { return };
    assert!(range.start < range.end && range.end <= length, "{range:?} of {length}");
    let exact = format!("bytes={}-{}", range.start, range.end - 1);
    assert_eq!(lumbung_vault::http::parse_range(&exact, length), Some(range));
}

/// The parts of a path: an id has one spelling, and none of them leads anywhere else.
pub(crate) fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for part in text.split('/') {
        let shown = [
            part.parse::<RepositoryId>().map(|id| id.to_string()),
            part.parse::<PackId>().map(|id| id.to_string()),
            part.parse::<ManifestId>().map(|id| id.to_string()),
            part.parse::<AgentId>().map(|id| id.to_string()),
            part.parse::<SiteId>().map(|id| id.to_string()),
        ];
        for shown in shown.into_iter().flatten() {
            assert_eq!(shown, part);
            assert!(part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        if let Some(kind) = Kind::from_folder(part) {
            assert!(!part.is_empty() && kind.folder() == part);
        }
    }
}
