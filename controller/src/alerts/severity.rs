//! How much each kind of alarm matters, unless the city says otherwise.
//!
//! A kind that is not in the table is a warning: whoever adds one is heard before anybody thinks of this file.

use lumbung_wire::messages::alerts::Severity;

use Severity::{Critical, Notice, Warning};

/// The kinds that are not warnings.
const KINDS: &[(&str, Severity)] = &[
    // Data may be lost, or somebody is at work on it.
    ("anomaly", Critical),
    ("controller-silent", Critical),
    ("down", Critical),
    ("hidden", Critical),
    ("manifest", Critical),
    ("receipt-gap", Critical),
    ("removal", Critical),
    ("roster", Critical),
    // Done on purpose, or to be decided by somebody who is told elsewhere as well.
    ("access-kept", Notice),
    ("asset-age", Notice),
    ("asset-broken", Notice),
    ("asset-warranty", Notice),
    ("hardware", Notice),
    ("reservation-lapses", Notice),
    ("server-place", Notice),
    ("order", Notice),
    ("policy-pending", Notice),
    // Named here because the documentation lists them.
    ("capacity", Warning),
    ("caps", Warning),
    ("care-overdue", Warning),
    ("certificate", Warning),
    ("drill-overdue", Warning),
    ("key-rehearsal", Warning),
    ("standby-behind", Warning),
    ("drill-unfinished", Warning),
    ("restore-test-failed", Critical),
    ("channel", Warning),
    ("inventory", Warning),
    ("policy-narrowed", Warning),
    ("policy-refused", Warning),
    ("refused", Warning),
    ("roster-gap", Warning),
    ("smart", Warning),
    ("unseen", Warning),
    ("vault", Warning),
];

/// How much alarms of this kind matter by default.
#[must_use]
pub fn of(kind: &str) -> Severity {
    KINDS.iter().find(|(known, _)| *known == kind).map_or(Warning, |(_, severity)| *severity)
}
