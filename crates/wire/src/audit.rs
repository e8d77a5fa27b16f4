//! The audit log of the controller as it travels: entries chained by SHA-256, and a signed head.
//!
//! A record is a text, the entry as JSON, and two hashes: `hash = SHA-256(previous || entry)`, where `previous` is the
//! 32 bytes of the record before (zeros before the first). Whoever holds an export can check it with any SHA-256; the
//! text is kept and sent as it was first written, so that no later version of a program changes what was hashed.
//! Invariant: whatever is changed, left out, put in or put in another order breaks the chain at that place; whatever
//! is cut off at the end is missing against a signed head.

use std::net::IpAddr;

use lumbung_model::{AuditHash, PdId, PublicKey, Timestamp};
use lumbung_pack::{SigningKey, verify_signature};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// As what.
    pub kind: ActorKind,
    /// Its id or certificate's serial number; empty for whoever has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// As people know it.
    pub name: String,
}

/// As what somebody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person who logged in.
    User,
    /// A program with a user's API token.
    ApiToken,
    /// The holder of an operator's certificate.
    Certificate,
    /// An agent.
    Agent,
    /// A vault.
    Site,
    /// Somebody at the controller's own console.
    Console,
    /// The controller itself.
    Controller,
    /// Nobody who is known: a login that failed.
    Unknown,
}

impl ActorKind {
    /// As it stands in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ApiToken => "api_token",
            Self::Certificate => "certificate",
            Self::Agent => "agent",
            Self::Site => "site",
            Self::Console => "console",
            Self::Controller => "controller",
            Self::Unknown => "unknown",
        }
    }
}

/// What it was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The kind of thing: `dataset`, `user`, …
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// From 1, without a gap.
    pub sequence: u64,
    /// When, by the controller's clock.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// From which address; none for the console and the controller itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// What was done, as in `dataset.put`.
    pub action: String,
    /// To what.
    pub subject: Subject,
    /// Whose it is, if it is one PD's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// What was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// What is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
}

/// One entry with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// Hash of the record before; zeros before the first.
    pub previous: AuditHash,
    /// SHA-256 of `previous`'s 32 bytes and of the entry's text.
    pub hash: AuditHash,
    /// The entry, [`AuditEntry`] as JSON text.
    pub entry: String,
}

/// How far the log goes, signed by the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditHead {
    /// The last entry's number; 0 while there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: AuditHash,
    /// When this was signed.
    pub at: Timestamp,
    /// The controller's key for it.
    pub signer: PublicKey,
    /// Ed25519 over [`AuditHead::message`], hex.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{128}$"))]
    pub signature: String,
}

/// Why a log cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The text was changed.
    #[error("entry {0} does not match its hash: it was changed")]
    Changed(u64),
    /// The chain does not hold.
    #[error(
        "entry {0} does not follow the one before it: something was left out, put in, or put in another order"
    )]
    Broken(u64),
    /// The text is no entry.
    #[error("the text of entry {0} is no entry: it was changed, or written by a newer version")]
    Unreadable(u64),
    /// The head names more than there is.
    #[error("the signed head names entry {head}, the log ends at {end}: its end was cut off")]
    Cut {
        /// The head's number.
        head: u64,
        /// The last entry's.
        end: u64,
    },
    /// The head is of another log.
    #[error(
        "the signed head names another entry {0} than this log has: it is of another log, or this one was changed"
    )]
    OtherHead(u64),
    /// The signature is wrong.
    #[error("the head's signature is wrong, or made with another key than {0}")]
    Signature(PublicKey),
}

impl AuditRecord {
    /// The record that follows `previous` with this text.
    #[must_use]
    pub fn after(previous: AuditHash, entry: String) -> Self {
        let hash = chain_hash(&previous, &entry);
        Self { previous, hash, entry }
    }
}

fn chain_hash(previous: &AuditHash, entry: &str) -> AuditHash {
    let hash = Sha256::new().chain_update(previous.as_bytes()).chain_update(entry.as_bytes());
    AuditHash::from_bytes(hash.finalize().into())
}

/// Checks a log from its first record on.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// Number and hash of the last record that was taken.
    end: (u64, AuditHash),
}

impl Default for Verifier {
    fn default() -> Self {
        Self { end: (0, AuditHash::ZERO) }
    }
}

impl Verifier {
    /// Takes the next record, and gives its entry.
    ///
    /// # Errors
    /// [`AuditError::Changed`], [`AuditError::Broken`], [`AuditError::Unreadable`].
    pub fn take(&mut self, record: &AuditRecord) -> Result<AuditEntry, AuditError> {
        let number = self.end.0 + 1;
        if chain_hash(&record.previous, &record.entry) != record.hash {
            return Err(AuditError::Changed(number));
        }
        if record.previous != self.end.1 {
            return Err(AuditError::Broken(number));
        }
        let entry: AuditEntry =
            serde_json::from_str(&record.entry).map_err(|_| AuditError::Unreadable(number))?;
        if entry.sequence != number {
            return Err(AuditError::Broken(number));
        }
        self.end = (number, record.hash);
        Ok(entry)
    }

    /// Number and hash of the last record that was taken; 0 and zeros before the first.
    #[must_use]
    pub const fn end(&self) -> (u64, AuditHash) {
        self.end
    }

    /// Whether what was taken goes as far as the head says, and the head is signed with `key`.
    ///
    /// # Errors
    /// [`AuditError::Signature`], [`AuditError::Cut`], [`AuditError::OtherHead`].
    pub fn finish(&self, head: &AuditHead, key: &PublicKey) -> Result<(), AuditError> {
        head.check(key)?;
        let (end, hash) = self.end;
        if head.sequence > end {
            return Err(AuditError::Cut { head: head.sequence, end });
        }
        if head.sequence < end || head.hash != hash {
            return Err(AuditError::OtherHead(head.sequence));
        }
        Ok(())
    }
}

impl AuditHead {
    /// The bytes that are signed: a fixed text, the number (u64 little-endian), the hash, the time (i64 little-endian).
    #[must_use]
    pub fn message(sequence: u64, hash: &AuditHash, at: Timestamp) -> Vec<u8> {
        let mut message = b"lumbung audit head 1\0".to_vec();
        message.extend(sequence.to_le_bytes());
        message.extend(hash.as_bytes());
        message.extend(at.0.to_le_bytes());
        message
    }

    /// Signs how far the log goes.
    #[must_use]
    pub fn sign(sequence: u64, hash: AuditHash, at: Timestamp, key: &SigningKey) -> Self {
        let signature = key.sign(&Self::message(sequence, &hash, at));
        let signature = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { sequence, hash, at, signer: key.public(), signature }
    }

    /// Whether it is signed with `key`.
    ///
    /// # Errors
    /// [`AuditError::Signature`].
    pub fn check(&self, key: &PublicKey) -> Result<(), AuditError> {
        let wrong = || AuditError::Signature(*key);
        if self.signer != *key {
            return Err(wrong());
        }
        let signature = signature_bytes(&self.signature).ok_or_else(wrong)?;
        let message = Self::message(self.sequence, &self.hash, self.at);
        verify_signature(key, &message, &signature).map_err(|_| wrong())
    }
}

/// 64 bytes from 128 hex digits.
pub(crate) fn signature_bytes(text: &str) -> Option<[u8; 64]> {
    let (left, right) = text.split_at_checked(64)?;
    let (left, right): (PublicKey, PublicKey) = (left.parse().ok()?, right.parse().ok()?);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(left.as_bytes());
    bytes[32..].copy_from_slice(right.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: u64) -> Vec<AuditRecord> {
        let mut previous = AuditHash::ZERO;
        let mut log = Vec::new();
        for sequence in 1..=entries {
            let entry = AuditEntry {
                sequence,
                at: Timestamp(1_800_000_000),
                actor: Actor { kind: ActorKind::Console, id: String::new(), name: "uid 0".into() },
                from: None,
                action: "pd.put".into(),
                subject: Subject { kind: "pd".into(), id: format!("{sequence}") },
                pd: None,
                before: None,
                after: Some(serde_json::json!({ "code": sequence })),
            };
            let record = AuditRecord::after(previous, serde_json::to_string(&entry).unwrap());
            previous = record.hash;
            log.push(record);
        }
        log
    }

    fn verify(log: &[AuditRecord]) -> Result<(u64, AuditHash), AuditError> {
        let mut verifier = Verifier::default();
        log.iter().try_for_each(|record| verifier.take(record).map(|_| ()))?;
        Ok(verifier.end())
    }

    #[test]
    fn a_log_is_whole_or_says_where_it_is_not() {
        let good = log(5);
        assert_eq!(verify(&good).unwrap(), (5, good[4].hash));
        let mut changed = good.clone();
        changed[2].entry = changed[2].entry.replace("pd.put", "pd.get");
        assert_eq!(verify(&changed), Err(AuditError::Changed(3)));
        // Whoever hashes the changed text anew breaks the link of the next one.
        changed[2] = AuditRecord::after(changed[2].previous, changed[2].entry.clone());
        assert_eq!(verify(&changed), Err(AuditError::Broken(4)));
        let mut without = good.clone();
        without.remove(1);
        assert_eq!(verify(&without), Err(AuditError::Broken(2)));
        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert_eq!(verify(&swapped), Err(AuditError::Broken(2)));
        let mut twice = good.clone();
        twice.insert(1, good[0].clone());
        assert_eq!(verify(&twice), Err(AuditError::Broken(2)));
        let foreign = AuditRecord::after(good[4].hash, "{}".into());
        assert_eq!(verify(&[&good[..], &[foreign]].concat()), Err(AuditError::Unreadable(6)));
        // A number that is given twice is no next entry, however well it is chained.
        let again = AuditRecord::after(good[4].hash, good[4].entry.clone());
        assert_eq!(verify(&[&good[..], &[again]].concat()), Err(AuditError::Broken(6)));
    }

    #[test]
    fn a_head_shows_what_was_cut_off() {
        let key = SigningKey::generate();
        let good = log(5);
        let head = AuditHead::sign(5, good[4].hash, Timestamp(1), &key);
        let finish = |log: &[AuditRecord], head: &AuditHead, key: &PublicKey| {
            let mut verifier = Verifier::default();
            log.iter().for_each(|record| drop(verifier.take(record).unwrap()));
            verifier.finish(head, key)
        };
        assert_eq!(finish(&good, &head, &key.public()), Ok(()));
        let cut = finish(&good[..4], &head, &key.public());
        assert_eq!(cut, Err(AuditError::Cut { head: 5, end: 4 }));
        let older = AuditHead::sign(4, good[3].hash, Timestamp(1), &key);
        assert_eq!(finish(&good, &older, &key.public()), Err(AuditError::OtherHead(4)));
        let other = AuditHead::sign(5, good[3].hash, Timestamp(1), &key);
        assert_eq!(finish(&good, &other, &key.public()), Err(AuditError::OtherHead(5)));
        let stranger = SigningKey::generate().public();
        assert_eq!(finish(&good, &head, &stranger), Err(AuditError::Signature(stranger)));
        for spoilt in ["", "00", &"zz".repeat(64), &"00".repeat(64), &"é".repeat(64)] {
            let head = AuditHead { signature: spoilt.to_owned(), ..head.clone() };
            let refused = finish(&good, &head, &key.public());
            assert_eq!(refused, Err(AuditError::Signature(key.public())));
        }
        let moved = AuditHead { at: Timestamp(2), ..head };
        assert!(finish(&good, &moved, &key.public()).is_err());
    }

    #[test]
    fn the_rule_is_sha_256_of_the_hash_before_and_the_text() {
        // (printf '%064d' 0 | xxd -r -p; printf '{}') | sha256sum
        let record = AuditRecord::after(AuditHash::ZERO, "{}".into());
        assert_eq!(
            record.hash.to_string(),
            "fb1634c4e6cd4b1f1afe3ce2d6ef080f7ac5d1f357d723ad4dfca782733b62db"
        );
    }
}
