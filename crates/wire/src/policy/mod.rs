//! Policies signed and verified, and a custodian's confirmation of one.
//!
//! Invariants: the text is signed and hashed as it stands, after a fixed text that no other signature of Lumbung begins
//! with; only the canonical text of a policy is taken, so that one policy has one hash. What [`open`] returns is
//! bounded and usable: absolute paths, schedules and zones that can be read, each dataset once.

mod narrow;

#[cfg(test)]
mod tests;

pub use narrow::{Comparison, RATE_CONFIRMED, covers, lies_in_folders, narrows};

use std::collections::HashSet;

use lumbung_model::rate::{Cap, Rate, RatePlan, Window};
use lumbung_model::schedule::{Expression, Schedule, parse_zone};
use lumbung_model::{AgentId, DatasetId, PolicyHash, PublicKey};
use lumbung_pack::{SigningKey, verify_signature};
use sha2::{Digest, Sha256};

use crate::audit::signature_bytes;
use crate::messages::policy::{
    Policy, PolicyConfirmation, PolicyContent, PolicyJob, PolicyMark, PolicyRates, SignedPolicy,
};

/// Longest text of a policy, bytes.
pub const POLICY_MAX_BYTES: usize = 1 << 20;
/// Datasets in a policy, at most.
pub const POLICY_MAX_JOBS: usize = 1000;
/// Paths, and patterns, of one dataset, at most.
const ENTRIES_MAX: usize = 1000;
/// Longest path or pattern, bytes: `PATH_MAX` of Linux.
const ENTRY_MAX_BYTES: usize = 4096;
/// Longest label, bytes: the longest that a manifest carries.
pub const LABEL_MAX_BYTES: usize = lumbung_pack::limits::LABEL_MAX_BYTES;
/// Longest schedule, bytes.
const SCHEDULE_MAX_BYTES: usize = 255;
/// Highest number of a policy: JSON keeps integers exactly up to here.
pub const VERSION_MAX: u64 = (1 << 53) - 1;
/// Longest time between two backups, seconds: as long as the register allows.
const RPO_MAX_S: u64 = 31_622_400;

/// Windows of a cap, at most.
pub const WINDOWS_MAX: usize = 50;
/// Below this no agent follows a cap: 64 kbit/s, of which a day has 691 MB.
pub const RATE_MIN: Rate = match Rate::bytes_per_second(8_000) {
    Some(rate) => rate,
    None => unreachable!(),
};

const POLICY: &[u8] = b"lumbung policy 1\0";
const CONTENT: &[u8] = b"lumbung policy content 1\0";
const CONFIRMATION: &[u8] = b"lumbung policy confirmation 1\0";

/// Why a policy is not believed, or not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The signature is wrong.
    #[error("the policy's signature is wrong, or made with another key than {0}")]
    Signature(PublicKey),
    /// No policy has such a text.
    #[error("the policy's text is longer than {POLICY_MAX_BYTES} bytes")]
    TooLong,
    /// The text is no policy.
    #[error(
        "the policy's text is none that this version knows: update lumbung-agent, or ask the Dinas"
    )]
    Unreadable,
    /// A part of it makes no sense.
    #[error("the policy says what makes no sense: {0}")]
    Value(String),
    /// The confirmation is not one.
    #[error("the confirmation is of another policy or agent, or its signature is wrong")]
    Confirmation,
}

fn message(text: &str) -> Vec<u8> {
    [POLICY, text.as_bytes()].concat()
}

/// The hash of a policy's text: by this it is confirmed.
#[must_use]
pub fn hash(text: &str) -> PolicyHash {
    PolicyHash::from_bytes(Sha256::digest(message(text)).into())
}

/// The hash of what a policy asks for, whatever its number.
#[must_use]
pub fn content_hash(content: &PolicyContent) -> PolicyHash {
    // What holds ids, numbers and texts only is always written.
    let text = serde_json::to_vec(content).unwrap_or_default();
    PolicyHash::from_bytes(Sha256::digest([CONTENT, &text].concat()).into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs a policy.
///
/// # Errors
/// If no agent would take it.
pub fn sign(policy: &Policy, key: &SigningKey) -> Result<SignedPolicy, PolicyError> {
    check(policy)?;
    let text = serde_json::to_string(policy).map_err(|_| PolicyError::Unreadable)?;
    if text.len() > POLICY_MAX_BYTES {
        return Err(PolicyError::TooLong);
    }
    let signature = hex(&key.sign(&message(&text)));
    Ok(SignedPolicy { text, signer: key.public(), signature })
}

/// The policy in a signed text, with its number and hash, if `key` signed it.
///
/// # Errors
/// If it is not believed, or could not be used.
pub fn open(signed: &SignedPolicy, key: &PublicKey) -> Result<(Policy, PolicyMark), PolicyError> {
    let wrong = || PolicyError::Signature(*key);
    if signed.text.len() > POLICY_MAX_BYTES {
        return Err(PolicyError::TooLong);
    }
    if signed.signer != *key {
        return Err(wrong());
    }
    let signature = signature_bytes(&signed.signature).ok_or_else(wrong)?;
    verify_signature(key, &message(&signed.text), &signature).map_err(|_| wrong())?;
    let policy: Policy = serde_json::from_str(&signed.text).map_err(|_| PolicyError::Unreadable)?;
    // A member twice, another order, other spaces: the same policy under another hash.
    if serde_json::to_string(&policy).ok().as_ref() != Some(&signed.text) {
        return Err(PolicyError::Unreadable);
    }
    check(&policy)?;
    let mark = PolicyMark { version: policy.version, hash: hash(&signed.text) };
    Ok((policy, mark))
}

fn check(policy: &Policy) -> Result<(), PolicyError> {
    let value = |reason: String| Err(PolicyError::Value(reason));
    if !(1..=VERSION_MAX).contains(&policy.version) {
        return value(format!("its number is {}", policy.version));
    }
    let PolicyContent { jobs, skipped, rates } = &policy.content;
    if let Some(rates) = rates {
        rate_plan(rates).map_err(|reason| PolicyError::Value(format!("its rates: {reason}")))?;
    }
    if jobs.len().max(skipped.len()) > POLICY_MAX_JOBS {
        return value(format!("it has more than {POLICY_MAX_JOBS} datasets"));
    }
    let mut seen: HashSet<DatasetId> = HashSet::new();
    let all = jobs.iter().map(|job| job.dataset).chain(skipped.iter().map(|skip| skip.dataset));
    if let Some(twice) = all.into_iter().find(|dataset| !seen.insert(*dataset)) {
        return value(format!("dataset {twice} stands in it twice"));
    }
    for skip in skipped {
        check_label(&skip.label).map_err(PolicyError::Value)?;
    }
    let wrong = |job: &PolicyJob, reason| format!("dataset {}: {reason}", job.dataset);
    jobs.iter()
        .try_for_each(|job| check_job(job).map_err(|reason| PolicyError::Value(wrong(job, reason))))
}

fn check_label(label: &str) -> Result<(), String> {
    if label.is_empty() || label.len() > LABEL_MAX_BYTES || label.chars().any(char::is_control) {
        return Err(format!("a label has 1 to {LABEL_MAX_BYTES} bytes and no control characters"));
    }
    Ok(())
}

/// Whether an agent could use the job; its patterns are looked at by the agent alone.
///
/// # Errors
/// What cannot be used, in words.
pub fn check_job(job: &PolicyJob) -> Result<(), String> {
    check_label(&job.label)?;
    if job.paths.is_empty() || job.paths.len() > ENTRIES_MAX || job.exclude.len() > ENTRIES_MAX {
        return Err(format!("it has 1 to {ENTRIES_MAX} paths, and as many patterns at most"));
    }
    for path in &job.paths {
        let back = path.split('/').any(|part| part == "..");
        if !path.starts_with('/') || back || !is_entry(path) {
            return Err(format!("{path:?} is not an absolute path without '..'"));
        }
    }
    if let Some(pattern) = job.exclude.iter().find(|pattern| !is_entry(pattern)) {
        return Err(format!("{pattern:?} is no pattern"));
    }
    if !(1..=RPO_MAX_S).contains(&job.rpo_s) {
        return Err(format!("an RPO of {} s", job.rpo_s));
    }
    schedule(job).map(|_| ())
}

fn is_entry(text: &str) -> bool {
    !text.is_empty() && text.len() <= ENTRY_MAX_BYTES && !text.chars().any(char::is_control)
}

/// The job's schedule in its zone.
///
/// # Errors
/// What cannot be read, in words.
pub fn schedule(job: &PolicyJob) -> Result<Schedule, String> {
    if job.schedule.len() > SCHEDULE_MAX_BYTES || job.timezone.len() > SCHEDULE_MAX_BYTES {
        return Err(format!("a schedule or zone is longer than {SCHEDULE_MAX_BYTES} bytes"));
    }
    let zone = parse_zone(&job.timezone).map_err(|error| error.to_string())?;
    let expression: Expression = job.schedule.parse().map_err(|error| format!("{error}"))?;
    Ok(Schedule::new(expression, zone))
}

/// The caps of a policy.
///
/// # Errors
/// What cannot be read or is too low, in words.
pub fn rate_plan(rates: &PolicyRates) -> Result<RatePlan, String> {
    let PolicyRates { rate, windows, timezone } = rates;
    let lengths = windows.iter().chain([rate, timezone]).map(String::len);
    if windows.len() > WINDOWS_MAX || lengths.max() > Some(SCHEDULE_MAX_BYTES) {
        return Err(format!("at most {WINDOWS_MAX} windows of {SCHEDULE_MAX_BYTES} bytes"));
    }
    let zone = parse_zone(timezone).map_err(|error| error.to_string())?;
    let windows: Result<Vec<Window>, _> =
        windows.iter().map(|window| window.parse::<Window>()).collect();
    let windows = windows.map_err(|error| error.to_string())?;
    let otherwise = match rate.as_str() {
        "" | "unlimited" => Cap(None),
        rate => Cap(Some(rate.parse::<Rate>().map_err(|error| error.to_string())?)),
    };
    let plan = RatePlan::new(zone, windows, otherwise);
    match plan.lowest() {
        Some(lowest) if lowest < RATE_MIN => Err(format!(
            "{lowest} is less than {RATE_MIN}: a cap slows backups, and never stops them"
        )),
        _ => Ok(plan),
    }
}

fn confirmation_message(policy: &PolicyHash, agent: &AgentId) -> Vec<u8> {
    [CONFIRMATION, policy.as_bytes(), agent.as_bytes()].concat()
}

/// Confirms a policy in the PD's name.
#[must_use]
pub fn confirm(policy: PolicyHash, agent: AgentId, root: &SigningKey) -> PolicyConfirmation {
    let signature = hex(&root.sign(&confirmation_message(&policy, &agent)));
    PolicyConfirmation { policy, agent, key: root.public(), signature }
}

/// Whether this confirms that policy for that agent. Whether its key is the PD's, the newest roster says.
///
/// # Errors
/// [`PolicyError::Confirmation`].
pub fn check_confirmation(
    confirmation: &PolicyConfirmation,
    policy: &PolicyHash,
    agent: &AgentId,
) -> Result<(), PolicyError> {
    let wrong = || PolicyError::Confirmation;
    if confirmation.policy != *policy || confirmation.agent != *agent {
        return Err(wrong());
    }
    let signature = signature_bytes(&confirmation.signature).ok_or_else(wrong)?;
    let message = confirmation_message(policy, agent);
    verify_signature(&confirmation.key, &message, &signature).map_err(|_| wrong())
}
