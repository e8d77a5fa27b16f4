//! Operators who read while agents report: how long each kind of page takes.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use lumbung_tests::figures::float;
use tokio::time::{Instant, interval};

use crate::Arguments;
use crate::city::City;

/// A kind of page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// The city's overview.
    Status,
    /// The four steps of proof of one PD, each PD in turn.
    Compliance,
    /// The datasets of one PD, each PD in turn.
    Datasets,
}

impl Page {
    /// Its path; `{pd}` is a PD's code.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Status => "/api/v1/status",
            Self::Compliance => "/api/v1/compliance?pd={pd}",
            Self::Datasets => "/api/v1/datasets?pd={pd}",
        }
    }
}

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
    let long = Duration::from_secs(seconds);
    let readers = arguments.pages.iter().map(|page| read_kind(arguments, city, *page, long));
    futures_util::future::try_join_all(readers).await
}

async fn read_kind(
    arguments: &Arguments,
    city: &City,
    page: Page,
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
        let bytes = link.get(&page.path().replace("{pd}", code), PATIENCE).await?;
        taken.seconds.push(began.elapsed().as_secs_f64());
        taken.bytes = bytes.len() as u64;
    }
    Ok(taken)
}
