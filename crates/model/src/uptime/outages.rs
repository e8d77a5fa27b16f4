//! Outages, as people count them: one that ends and begins again at once is one.

use super::judged::Judged;
use super::timeline::Timeline;
use crate::Timestamp;

/// Something was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Since when.
    pub from: Timestamp,
    /// Until when; none while it may go on: it is down, or was a moment ago.
    pub until: Option<Timestamp>,
    /// How long of that it was down, seconds.
    pub down_s: i64,
    /// How often it came back and went down again.
    pub flaps: u32,
}

/// The outages of a timeline that ends at `now`: one that begins again within `settle_s` of its end is the same one.
/// Planned downtime is none, and what nobody observed neither ends an outage nor makes one.
#[must_use]
pub fn outages(line: &Timeline<Judged>, settle_s: i64, now: Timestamp) -> Vec<Outage> {
    let mut found: Vec<Outage> = Vec::new();
    // How long it has been known to be well since the last outage.
    let mut well_s = 0;
    for span in line.spans() {
        match span.state {
            Judged::Down => {
                match found.last_mut() {
                    Some(last) if well_s < settle_s => {
                        last.flaps += u32::from(well_s > 0);
                        last.until = Some(span.until);
                        last.down_s += span.seconds();
                    }
                    _ => found.push(Outage {
                        from: span.from,
                        until: Some(span.until),
                        down_s: span.seconds(),
                        flaps: 0,
                    }),
                }
                well_s = 0;
            }
            Judged::Up | Judged::Planned => well_s += span.seconds(),
            Judged::Unobserved | Judged::Unconfirmed => {}
        }
    }
    // What is not looked at any more is over with the last that was seen.
    let reaches_now = line.spans().last().is_some_and(|span| span.until >= now);
    if let Some(last) = found.last_mut()
        && reaches_now
        && (well_s < settle_s || last.until.is_some_and(|until| until >= now))
    {
        last.until = None;
    }
    found
}
