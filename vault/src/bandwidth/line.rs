//! One PD's line to this site: whatever its agents send here passes one bucket.
//!
//! Invariants: together the agents of a PD send no more than its cap, but for a burst of a quarter of a second; they take turns,
//! whatever each has under way, so that one of them does not keep the others out. Nothing is refused, and no body is ever
//! slower than [`SLICE_BYTES`] in [`PATIENCE`] (1 KiB/s): else the patience of agents and proxies would end it. Only where more
//! bodies are under way at once than the cap has KiB/s does their sum go beyond it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use lumbung_model::rate::{Rate, RatePlan, TokenBucket};
use lumbung_model::{AgentId, Clock};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// What an agent sends in one turn.
const SLICE_BYTES: u64 = 16 << 10;
/// A slice passes after so long at the latest.
const PATIENCE: Duration = Duration::from_secs(16);
/// Bytes that may pass at once after a pause: what the line has in 1/4 s, within these.
const BURST_PART: u64 = 4;
const BURST_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 20;
/// Bodies of one PD that are read at the same time; the others wait for one of them to end.
const BODIES: usize = 64;
/// Turns of agents that are gone are let go of beyond so many.
const AGENTS: usize = 256;

/// One agent's turns: of what it has under way one body after the other gets a slice.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// The line.
pub(crate) struct Line {
    clock: Arc<dyn Clock>,
    plan: RwLock<RatePlan>,
    begun: Instant,
    /// Who holds it sends; it is fair, so that agents take turns.
    bucket: tokio::sync::Mutex<TokenBucket>,
    agents: Mutex<HashMap<AgentId, Turn>>,
    bodies: Arc<Semaphore>,
    sent_bytes: AtomicU64,
    slowed_ms: AtomicU64,
}

impl Line {
    pub(crate) fn new(plan: RatePlan, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            plan: RwLock::new(plan),
            begun: Instant::now(),
            bucket: tokio::sync::Mutex::new(TokenBucket::new(None, *BURST_BYTES.start())),
            agents: Mutex::default(),
            bodies: Arc::new(Semaphore::new(BODIES)),
            sent_bytes: AtomicU64::new(0),
            slowed_ms: AtomicU64::new(0),
        }
    }

    /// Another cap, from the next slice on.
    pub(crate) fn keep_to(&self, plan: RatePlan) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// The cap at this time of day.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.plan.read().unwrap_or_else(PoisonError::into_inner).rate_at(self.clock.now())
    }

    /// Whether it is capped at any time of day.
    pub(crate) fn is_capped(&self) -> bool {
        !self.plan.read().unwrap_or_else(PoisonError::into_inner).is_unlimited()
    }

    /// A place among the bodies that are read at once.
    pub(crate) async fn place(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.bodies).acquire_owned().await
    }

    /// Bytes that came from the PD's agents since the start.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// How long their bodies waited for the cap since the start, all together.
    pub(crate) fn slowed(&self) -> Duration {
        Duration::from_millis(self.slowed_ms.load(Ordering::Relaxed))
    }

    /// Counts `bytes` that came from an agent.
    pub(crate) fn count(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts `bytes` that came from an agent, and waits until it may send more.
    pub(crate) async fn pass(&self, agent: AgentId, bytes: u64) {
        self.count(bytes);
        if self.rate().is_none() {
            return;
        }
        let begun = Instant::now();
        let mut left = bytes;
        while left > 0 {
            let slice = left.min(SLICE_BYTES);
            left -= slice;
            // One that had to wait so long goes on, its turn or not.
            let _ = timeout(PATIENCE, self.turn(agent, slice)).await;
        }
        let waited_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.slowed_ms.fetch_add(waited_ms, Ordering::Relaxed);
    }

    async fn turn(&self, agent: AgentId, bytes: u64) {
        let own = self.turn_of(agent);
        let _own = own.lock().await;
        let mut bucket = self.bucket.lock().await;
        let now_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let rate = self.rate();
        let burst = rate.map_or(0, |rate| rate.as_bytes_per_second() / BURST_PART);
        bucket.set_burst(burst.clamp(*BURST_BYTES.start(), *BURST_BYTES.end()));
        bucket.set_rate(rate, now_ns);
        // Whoever had the turn before has waited, or passed after its patience: that is no debt of whoever comes next.
        bucket.forgive(now_ns);
        let wait = bucket.take(bytes, now_ns);
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    fn turn_of(&self, agent: AgentId) -> Turn {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if agents.len() > AGENTS {
            agents.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(agents.entry(agent).or_default())
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::rate::{Cap, Window};
    use lumbung_model::schedule::parse_zone;
    use lumbung_model::{FixedClock, Timestamp};
    use tokio::task::JoinSet;

    use super::*;

    /// 2027-01-15 08:00:00 UTC, a Friday.
    const MORNING: Timestamp = Timestamp(1_800_000_000);

    fn plan(rate: &str, windows: &[&str]) -> RatePlan {
        let windows: Vec<Window> = windows.iter().map(|text| text.parse().unwrap()).collect();
        let rate = if rate.is_empty() { Cap(None) } else { Cap(Some(rate.parse().unwrap())) };
        RatePlan::new(parse_zone("UTC").unwrap(), windows, rate)
    }

    fn line(rate: &str, windows: &[&str]) -> (Arc<Line>, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::new(MORNING));
        (Arc::new(Line::new(plan(rate, windows), clock.clone())), clock)
    }

    /// Sends for so long, in pieces of that size, and says how much passed.
    async fn send(line: Arc<Line>, agent: AgentId, piece: u64, seconds: u64) -> u64 {
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut sent = 0;
        while Instant::now() < end {
            line.pass(agent, piece).await;
            sent += piece;
        }
        sent
    }

    async fn all(mut sending: JoinSet<(usize, u64)>) -> Vec<u64> {
        let mut sent = vec![0; sending.len()];
        while let Some(done) = sending.join_next().await {
            let (who, bytes) = done.unwrap();
            sent[who] = bytes;
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn the_sum_of_all_agents_keeps_to_the_cap_and_other_lines_are_not_slowed() {
        let (capped, _) = line("8 Mbit/s", &[]);
        let (free, _) = line("", &[]);
        let mut sending = JoinSet::new();
        for who in 0..5 {
            let line = capped.clone();
            sending.spawn(async move { (who, send(line, AgentId::random(), 100_000, 60).await) });
        }
        let sum: u64 = all(sending).await.iter().sum();
        // A million bytes a second for 60 s, the burst, and what each had in hand when time was over.
        assert!((60_000_000..60_000_000 + 250_000 + 5 * 100_000 + 1).contains(&sum), "{sum}");
        assert_eq!(capped.sent_bytes(), sum);
        assert!(capped.slowed() > Duration::from_secs(4 * 60));
        let before = Instant::now();
        for _ in 0..1000 {
            free.pass(AgentId::random(), 1 << 20).await;
        }
        assert_eq!((before.elapsed(), free.slowed()), (Duration::ZERO, Duration::ZERO));
        assert_eq!(free.sent_bytes(), 1000 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_with_many_bodies_gets_no_more_than_one_with_a_single_one() {
        let (line, _) = line("8 Mbit/s", &[]);
        let (greedy, modest) = (AgentId::random(), AgentId::random());
        let mut sending = JoinSet::new();
        for who in 0..9 {
            let (line, agent) = (line.clone(), if who == 0 { modest } else { greedy });
            sending.spawn(async move { (who, send(line, agent, 64 << 10, 120).await) });
        }
        let sent = all(sending).await;
        let (modest, greedy) = (sent[0], sent[1..].iter().sum::<u64>());
        let part = modest * 100 / (modest + greedy);
        assert!((45..=55).contains(&part), "{part} %");
    }

    #[tokio::test(start_paused = true)]
    async fn no_body_is_slower_than_what_its_sender_bears() {
        let (line, _) = line("64 kbit/s", &[]);
        let mut sending = JoinSet::new();
        for who in 0..40 {
            let line = line.clone();
            sending.spawn(async move {
                let (agent, mut longest) = (AgentId::random(), Duration::ZERO);
                for _ in 0..10 {
                    let before = Instant::now();
                    line.pass(agent, SLICE_BYTES).await;
                    longest = longest.max(before.elapsed());
                }
                (who, u64::try_from(longest.as_millis()).unwrap())
            });
        }
        let longest = all(sending).await.into_iter().max().unwrap();
        assert!(longest <= 16_001, "{longest} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn what_passed_beyond_the_cap_is_no_debt_of_those_who_come_later() {
        let (line, _) = line("64 kbit/s", &[]);
        let mut sending = JoinSet::new();
        for who in 0..40 {
            let line = line.clone();
            sending.spawn(
                async move { (who, send(line, AgentId::random(), SLICE_BYTES, 3600).await) },
            );
        }
        let _ = all(sending).await;
        let before = Instant::now();
        line.pass(AgentId::random(), 800_000).await;
        let took = before.elapsed().as_secs();
        assert!((90..=110).contains(&took), "8 kB/s: {took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn the_cap_of_the_hour_holds_and_a_new_one_at_once() {
        let (line, clock) = line("8 Mbit/s", &["07:30-16:00 mon-fri 800 kbit/s"]);
        let agent = AgentId::random();
        let took = async |bytes| {
            let before = Instant::now();
            line.pass(agent, bytes).await;
            before.elapsed().as_secs_f64()
        };
        let _burst = took(64 << 10).await;
        let by_day = took(1_000_000).await;
        assert!((9.9..10.2).contains(&by_day), "{by_day}");
        clock.set(MORNING.plus_seconds(9 * 3600));
        let by_night = took(10_000_000).await;
        assert!((9.6..10.2).contains(&by_night), "{by_night}");
        line.keep_to(plan("", &[]));
        assert!(took(1 << 30).await < 0.001);
        assert!(!line.is_capped());
    }
}
