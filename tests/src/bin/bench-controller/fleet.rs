//! All agents at once: first a storm of connections, then heartbeats spread over the interval.
//!
//! Invariant: a report that was not acknowledged is sent again, as an agent does; what fails is counted, never left out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumbung_wire::messages::{Report, ReportsAck};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Arguments;
use crate::agent::Voice;
use crate::city::City;
use crate::link::{Line, Link};

/// How long an agent waits before it tries again, at least; as long again by its number.
const RETRY: Duration = Duration::from_millis(500);

/// What all agents count together.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicU64,
    pub(crate) heartbeats: AtomicU64,
    pub(crate) reports: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Agents that have connected, been heard and reported once.
    pub(crate) settled: AtomicU64,
    settled_one: Notify,
    reasons: Mutex<BTreeMap<String, u64>>,
}

impl Counts {
    fn failed(&self, error: &anyhow::Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let reason: String = format!("{error:#}").chars().take(160).collect();
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        // Messages that carry ids are all different: what is beyond is counted together.
        let key = if reasons.len() < 20 || reasons.contains_key(&reason) {
            reason
        } else {
            "others".to_owned()
        };
        *reasons.entry(key).or_default() += 1;
    }

    /// Why requests and connections failed, and how often.
    pub(crate) fn reasons(&self) -> BTreeMap<String, u64> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The agents, running.
pub(crate) struct Fleet {
    pub(crate) counts: Arc<Counts>,
    stop: watch::Sender<bool>,
    agents: JoinSet<()>,
}

impl Fleet {
    /// Lets every agent connect now.
    pub(crate) fn storm(arguments: &Arguments, city: &City, lines: &[Line]) -> Self {
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = watch::channel(false);
        let mut agents = JoinSet::new();
        let interval = Duration::from_secs(arguments.interval_s.into());
        let began = Instant::now();
        let all = u32::try_from(lines.len()).unwrap_or(u32::MAX).max(1);
        for ((number, line), enrolled) in (0..).zip(lines).zip(&city.agents) {
            let rhythm = Rhythm { first: began + interval + interval / all * number, interval };
            let run = Run {
                line: line.clone(),
                voice: Voice::new(number.into(), enrolled.datasets.clone()),
                link: None,
                waiting: None,
                number,
                report_every: arguments.report_every.max(1),
                counts: counts.clone(),
            };
            agents.spawn(run.until(rhythm, stopped.clone()));
        }
        Self { counts, stop, agents }
    }

    /// Waits until every agent was heard and has reported.
    pub(crate) async fn settled(&self) -> Result<()> {
        let all = self.agents.len() as u64;
        let settled = async {
            while self.counts.settled.load(Ordering::Acquire) < all {
                self.counts.settled_one.notified().await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(600), settled).await;
        done.with_context(|| format!("not all agents got through: {:?}", self.counts.reasons()))
    }

    /// Lets all of them go.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(ended) = self.agents.join_next().await {
            ended.context("an agent's task ended abnormally")?;
        }
        Ok(())
    }
}

/// When an agent is heard.
#[derive(Clone, Copy)]
struct Rhythm {
    first: Instant,
    interval: Duration,
}

/// One agent.
struct Run {
    line: Line,
    voice: Voice,
    link: Option<Link>,
    /// The report that was not acknowledged yet.
    waiting: Option<Report>,
    number: u32,
    report_every: u32,
    counts: Arc<Counts>,
}

impl Run {
    async fn until(mut self, rhythm: Rhythm, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            () = self.live(rhythm) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }

    async fn live(&mut self, rhythm: Rhythm) {
        self.waiting = self.voice.report();
        self.speak().await;
        self.counts.settled.fetch_add(1, Ordering::Release);
        self.counts.settled_one.notify_one();
        let mut due = rhythm.first;
        for beat in 1_u32.. {
            sleep_until(due).await;
            if beat % self.report_every == self.number % self.report_every {
                self.waiting = self.voice.report();
            }
            self.speak().await;
            // What was missed meanwhile is not made up for.
            while due <= Instant::now() {
                due += rhythm.interval;
            }
        }
    }

    /// A heartbeat and the report that waits, tried until they are through.
    async fn speak(&mut self) {
        while let Err(error) = self.try_to_speak().await {
            self.counts.failed(&error);
            self.link = None;
            sleep(RETRY + RETRY * (self.number % 64) / 64).await;
        }
    }

    async fn try_to_speak(&mut self) -> Result<()> {
        if self.link.is_none() {
            self.link = Some(self.line.open().await?);
            self.counts.connections.fetch_add(1, Ordering::Relaxed);
        }
        let link = self.link.as_mut().context("no connection")?;
        link.post("/api/v1/heartbeat", serde_json::to_vec(&self.voice.heartbeat())?).await?;
        self.counts.heartbeats.fetch_add(1, Ordering::Relaxed);
        if let Some(report) = &self.waiting {
            let answer = link.post("/api/v1/reports", serde_json::to_vec(&[report])?).await?;
            let ack: ReportsAck = serde_json::from_slice(&answer)?;
            ensure!(ack.acknowledged == [report.id], "the report was not acknowledged");
            self.waiting = None;
            self.counts.reports.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
