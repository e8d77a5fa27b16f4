//! Ids, hashes and public keys as types: fixed bytes inside, lower-case hex outside.
//!
//! Invariants: one parser, which refuses wrong lengths, upper case and anything that is not hex, so
//! that an id has one spelling and can never carry a path separator.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text does not have the right number of digits.
    #[error("{what} has {expected} hexadecimal digits, this has {found}")]
    Length {
        /// Which kind of id was expected.
        what: &'static str,
        /// Digits that it has.
        expected: usize,
        /// Characters that were given.
        found: usize,
    },
    /// A character is not one of `0-9a-f`.
    #[error("{what} is written with 0-9 and a-f, not with {found:?}")]
    Digit {
        /// Which kind of id was expected.
        what: &'static str,
        /// The character.
        found: char,
    },
}

fn hex_digit(what: &'static str, byte: u8) -> Result<u8, IdError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(IdError::Digit { what, found: char::from(byte) }),
    }
}

/// Parses exactly `N` bytes of lower-case hex.
fn parse_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], IdError> {
    if text.len() != 2 * N {
        return Err(IdError::Length { what, expected: 2 * N, found: text.chars().count() });
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = hex_digit(what, pair[0])? << 4 | hex_digit(what, pair[1])?;
    }
    Ok(out)
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! id {
    ($(#[doc = $doc:literal])* $name:ident, $len:literal, $what:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// All bytes zero: "none" where the format says so.
            pub const ZERO: Self = Self([0; $len]);

            /// Takes the raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Whether every byte is zero.
            #[must_use]
            pub fn is_zero(&self) -> bool {
                self.0 == [0; $len]
            }

            /// The first eight digits, for people; never for look-ups.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_hex::<$len>($what, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::openapi::hex(concat!($($doc),*).trim(), $len).into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

macro_rules! random_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// A new random id.
            ///
            /// # Panics
            /// If the operating system has no random numbers to give.
            #[must_use]
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
                Self(bytes)
            }
        }
    )*};
}

id!(/** A repository: the id of its first roster. */ RepositoryId, 32, "a repository id");
id!(/** A roster. */ RosterId, 32, "a roster id");
id!(/** A session: one run of one agent on one dataset. */ SessionId, 32, "a session id");
id!(/** A pack: the hash of its header and table. */ PackId, 32, "a pack id");
id!(/** A usage segment. */ SegmentId, 32, "a segment id");
id!(/** A usage list. */ UsageId, 32, "a usage list id");
id!(/** A manifest, and so a snapshot. */ ManifestId, 32, "a snapshot id");
id!(/** A site's receipt for a manifest. */ ReceiptId, 32, "a receipt id");
id!(/** A site's inventory. */ InventoryId, 32, "an inventory id");
id!(/** A site's scrub report. */ ScrubId, 32, "a scrub report id");
id!(/** A signed proof of restore. */ ProofId, 32, "a proof id");
id!(/** A signed copy of an order. */ OrderId, 32, "an order id");
id!(/** A site's tombstone of a snapshot. */ TombstoneId, 32, "a tombstone id");
id!(/** A wrap: old sessions' secrets, sealed to a recipient who came later. */ WrapId, 32, "a wrap id");
id!(/** A grant: what the owner opened to somebody, or a part of it. */ GrantId, 32, "a grant id");
id!(/** A revocation of a consent. */ RevocationId, 32, "a revocation id");
id!(/** A standing approval: the owner opens what a dataset's next runs make. */ StandingApprovalId, 32, "a standing approval id");
id!(/** An opening: a session's key, sealed to a verifier. */ OpeningId, 32, "an opening id");
id!(/** A list of what lies on a portable medium. */ MediumListId, 32, "a medium list id");
id!(/** An entry of the controller's audit log, and the chain up to it. */ AuditHash, 32, "an audit hash");
id!(/** A policy: the hash of its signed text. */ PolicyHash, 32, "a policy hash");
id!(/** A statement of who acts as the controller: the hash of its signed text. */ StatementHash, 32, "a statement hash");
id!(/** A chunk: keyed hash of its plaintext. */ ChunkId, 32, "a chunk id");
id!(/** The hash of a stored frame. */ FrameHash, 32, "a frame hash");
id!(/** An Ed25519 or X25519 public key. */ PublicKey, 32, "a public key");
id!(/** SHA-256 of a TLS key's SubjectPublicKeyInfo. */ TlsPin, 32, "a TLS pin");
id!(/** An agent: one installation on one server. */ AgentId, 16, "an agent id");
id!(/** A dedup domain: whose frames may be shared. */ DomainId, 16, "a dedup domain id");
id!(/** A dataset of the register. */ DatasetId, 16, "a dataset id");
id!(/** A site that keeps data: Pusat Data, DRC. */ SiteId, 16, "a site id");
id!(/** A hold at a site. */ HoldId, 16, "a hold id");
id!(/** An owner's consent that somebody opens snapshots: the grants that carry it out bear its number. */ ConsentId, 16, "a consent id");
id!(/** One splitting of a key bundle into shares. */ ShareSetId, 16, "a share set id");
id!(/** A server of the register. */ ServerId, 16, "a server id");
id!(/** A person with an account at the controller. */ UserId, 16, "a user id");
id!(/** A token with which a program speaks for a user. */ ApiTokenId, 16, "an API token id");
id!(/** One run of the controller, from its start to its end. */ InstanceId, 16, "an instance id");
id!(/** Something that a second person has to confirm. */ ApprovalId, 16, "an approval id");
id!(/** A Perangkat Daerah of the register. */ PdId, 16, "a PD id");
id!(/** A portable medium. */ MediumId, 16, "a medium id");
id!(/** A building of a site. */ BuildingId, 16, "a building id");
id!(/** A room of a building. */ RoomId, 16, "a room id");
id!(/** A service of a PD. */ ServiceId, 16, "a service id");
id!(/** An application of a PD. */ ApplicationId, 16, "an application id");
id!(/** A contact person of a PD. */ ContactPersonId, 16, "a contact person id");
id!(/** A waiver of a rule. */ WaiverId, 16, "a waiver id");
id!(/** Suspicious runs of a dataset. */ AnomalyId, 16, "an anomaly id");
id!(/** A reminder to a PD. */ ReminderId, 16, "a reminder id");
id!(/** Something that is owed by date. */ DepositId, 16, "a deposit id");
id!(/** A check: what is probed, and how. */ CheckId, 16, "a check id");
id!(/** A maintenance window. */ MaintenanceId, 16, "a maintenance window id");
id!(/** An incident: something was down. */ IncidentId, 16, "an incident id");
id!(/** A rack of a room. */ RackId, 16, "a rack id");
id!(/** A power feed of a room. */ FeedId, 16, "a power feed id");
id!(/** A device: hardware with a serial number. */ DeviceId, 16, "a device id");
id!(/** A reservation of rack units. */ ReservationId, 16, "a reservation id");
id!(/** A pool of processors, memory and disk that VPS draw on. */ PoolId, 16, "a pool id");
id!(/** A handover of access. */ HandoverId, 16, "a handover id");
id!(/** An entry of the log of a server's care. */ CareId, 16, "a care id");
id!(/** An alert: alarms that are told to people together. */ AlertId, 16, "an alert id");
id!(/** Somebody on call for a while. */ OnCallId, 16, "an on-call id");
id!(/** One message to one channel. */ DeliveryId, 16, "a delivery id");
id!(/** A plan of a drill or of a failover. */ DrillPlanId, 16, "a drill plan id");
id!(/** One run of a drill's plan. */ DrillRunId, 16, "a drill run id");
id!(/** The SHA-256 of a document. */ DocumentHash, 32, "a SHA-256");

random_id!(
    AgentId,
    ConsentId,
    DomainId,
    DatasetId,
    HoldId,
    SiteId,
    ServerId,
    ShareSetId,
    PdId,
    MediumId,
    UserId,
    ApiTokenId,
    ApprovalId,
    InstanceId,
    BuildingId,
    RoomId,
    ServiceId,
    ApplicationId,
    ContactPersonId,
    WaiverId,
    AnomalyId,
    ReminderId,
    DepositId,
    CheckId,
    MaintenanceId,
    IncidentId,
    RackId,
    FeedId,
    DeviceId,
    ReservationId,
    PoolId,
    HandoverId,
    CareId,
    AlertId,
    DeliveryId,
    OnCallId,
    DrillPlanId,
    DrillRunId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = SiteId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string().parse::<SiteId>(), Ok(id));
        assert_eq!(
            "ABABABABABABABABABABABABABABABAB".parse::<SiteId>(),
            Err(IdError::Digit { what: "a site id", found: 'A' })
        );
        assert!(matches!("ab".parse::<SiteId>(), Err(IdError::Length { found: 2, .. })));
        assert!("../../../etc/passwd/../../../etc".parse::<SiteId>().is_err());
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(AgentId::random(), AgentId::random());
    }
}
