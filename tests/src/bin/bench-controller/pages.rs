//! Operators who read while agents report: how long each kind of page takes.

use std::time::Duration;

use anyhow::Result;
use lumbung_tests::figures::float;
use tokio::time::{Instant, interval};

use crate::Arguments;
use crate::city::City;

/// The kinds of pages; `{pd}` is one PD after the other.
pub(crate) const KINDS: [&str; 3] =
    ["/api/v1/status", "/api/v1/compliance?pd={pd}", "/api/v1/datasets?pd={pd}"];
/// How long a page may take before it counts as a failure.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the reads of one kind took.
#[derive(Default)]
pub(crate) struct Taken {
    /// Seconds of each.
    pub(crate) seconds: Vec<f64>,
    /// Bytes of the last page.
    pub(crate) bytes: u64,
}

impl Taken {
    /// The quantile, in milliseconds: of few reads the slowest.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index between 0 and the length"
    )]
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (float(sorted.len() as u64) * quantile).ceil() as usize;
        sorted.get(rank.max(1) - 1).map_or(f64::NAN, |seconds| seconds * 1e3)
    }
}

/// Reads every kind of page for so long, each kind over a connection of its own, and gives what each took.
pub(crate) async fn read(arguments: &Arguments, city: &City, seconds: u64) -> Result<Vec<Taken>> {
    let readers = KINDS.map(|kind| read_kind(arguments, city, kind, Duration::from_secs(seconds)));
    futures_util::future::try_join_all(readers).await
}

async fn read_kind(
    arguments: &Arguments,
    city: &City,
    kind: &str,
    long: Duration,
) -> Result<Taken> {
    let mut link = city.operator()?.open().await?;
    let mut taken = Taken::default();
    let mut rhythm = interval(Duration::from_millis(arguments.read_every_ms.max(1)));
    rhythm.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let until = Instant::now() + long;
    for code in city.codes.iter().cycle() {
        rhythm.tick().await;
        if Instant::now() >= until {
            break;
        }
        let began = Instant::now();
        let page = link.get(&kind.replace("{pd}", code), PATIENCE).await?;
        taken.seconds.push(began.elapsed().as_secs_f64());
        taken.bytes = page.len() as u64;
    }
    Ok(taken)
}
