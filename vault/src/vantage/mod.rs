//! This site as a vantage point: it looks at what the controller orders and tells what it saw.
//!
//! Invariants: only networks that this site's own file allows are looked at; the controller may be away for days, or be
//! restored from a copy, and still gets everything once; a probe that could not be made is no observation.
//! Only enrolled sites look, and nothing of it can hold up the vault's own work.

mod delivery;
mod journal;
mod orders;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{CheckId, Clock, with_causes};
use lumbung_probe::{Lookout, Prober, Sighting, SteadyClock, Unmade};
use lumbung_wire::messages::uptime::{CheckOrder, VantageOrders};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use self::delivery::{Delivery, DeliveryError};
use self::journal::{Entry, Journal, JournalError};
use self::orders::Accepted;
use crate::Vault;
use crate::state::{State, StateError};

/// How often something is tried again.
const ROUND: Duration = Duration::from_secs(60);
/// At least how often what was seen is delivered: sooner than the word of the most frequent probe ends.
const DELIVERY: Duration = Duration::from_secs(15);
/// What is seen within this time is written together, unless it is news.
const TOGETHER: Duration = Duration::from_secs(1);
/// How often what is too old is let go.
const PRUNING: Duration = Duration::from_secs(3600);
/// Sightings on their way to the journal.
const QUEUE: usize = 1024;
/// Observations that are held in memory while the journal does not take them.
const HELD_MAX: usize = 20_000;

/// The vantage point at work.
struct Vantage {
    vault: Arc<Vault>,
    state: State,
    /// The machine's clock, for certificates.
    wall: Arc<dyn Clock>,
    /// What is seen is dated by it.
    steady: Arc<dyn Clock>,
    journal: Arc<Journal>,
    /// An outcome has changed.
    news: Notify,
    stop: CancellationToken,
}

/// Looks until the end, from the moment on at which the site is enrolled.
pub(crate) async fn run(
    vault: Arc<Vault>,
    state: State,
    wall: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    if !vault.config.vantage.enabled {
        return;
    }
    while !state.is_enrolled() {
        if !pause(ROUND, &stop).await {
            return;
        }
    }
    let Some(journal) = open_journal(&vault, &state, &stop).await else { return };
    let steady = Arc::new(SteadyClock::start(Arc::clone(&wall)));
    let vantage = Vantage { vault, state, wall, steady, journal, news: Notify::new(), stop };
    let (sink, sightings) = mpsc::channel(QUEUE);
    tokio::join!(
        vantage.follow_orders(sink),
        vantage.keep(sightings),
        vantage.deliver(),
        vantage.prune()
    );
}

/// Waits; `false` at the end.
async fn pause(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

async fn open_journal(
    vault: &Vault,
    state: &State,
    stop: &CancellationToken,
) -> Option<Arc<Journal>> {
    loop {
        let path = state.dir().join("vantage.sqlite");
        match tokio::task::spawn_blocking(move || Journal::open(&path)).await {
            Ok(Ok(journal)) => return Some(Arc::new(journal)),
            Ok(Err(error)) => vault.alarm(None, "vantage", with_causes(&error)),
            Err(error) => tracing::error!(%error, "opening the journal ended abnormally"),
        }
        if !pause(ROUND, stop).await {
            return None;
        }
    }
}

impl Vantage {
    /// Asks for orders, and has them looked after. When it ends, so does the looking.
    async fn follow_orders(&self, sink: mpsc::Sender<Sighting>) {
        let reach = self.vault.config.vantage.reach.clone();
        let Ok(prober) = tokio::task::spawn_blocking(move || Prober::new(reach)).await else {
            return;
        };
        let steady = Arc::clone(&self.steady);
        let mut lookout = Lookout::new(prober, steady, sink, self.stop.clone());
        let mut known = orders::load(self.state.dir());
        lookout.watch(self.take_on(known.clone()));
        loop {
            let wait = match self.ask().await {
                Ok(Some(newest)) => {
                    let wait = orders::again(&newest, &self.vault.site());
                    if newest != known {
                        known = newest;
                        self.keep_orders(known.clone()).await;
                        lookout.watch(self.take_on(known.clone()));
                        tracing::info!(checks = lookout.len(), "new orders of what to look at");
                    }
                    wait
                }
                Ok(None) => ROUND,
                Err(error) => {
                    tracing::warn!(
                        checks = lookout.len(),
                        "the controller gives no orders; the last ones stand: {}",
                        with_causes(&error)
                    );
                    ROUND
                }
            };
            if !pause(wait, &self.stop).await {
                return;
            }
        }
    }

    /// The controller's orders; none if nobody was asked, or the end came before the answer.
    async fn ask(&self) -> Result<Option<VantageOrders>, StateError> {
        let Some(controller) = self.state.controller(Arc::clone(&self.wall))? else {
            return Ok(None);
        };
        Ok(self.stop.run_until_cancelled(controller.vantage()).await.transpose()?)
    }

    async fn keep_orders(&self, orders: VantageOrders) {
        let dir = self.state.dir().to_owned();
        match tokio::task::spawn_blocking(move || orders::keep(&dir, &orders)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("orders are not kept: {}", with_causes(&error)),
            Err(error) => tracing::error!(%error, "keeping orders ended abnormally"),
        }
    }

    fn take_on(&self, orders: VantageOrders) -> Vec<CheckOrder> {
        let Accepted { orders, refused, left_out } = orders::accept(orders);
        if left_out > 0 {
            let text = format!(
                "{left_out} checks are not looked at from this site: it takes on {}, each once",
                orders::CHECKS_MAX
            );
            self.vault.alarm(None, "vantage", text);
        }
        for (check, error) in refused.iter().take(1) {
            self.tell_unmade(check, error);
        }
        orders
    }

    fn tell_unmade(&self, check: &CheckId, why: &dyn std::error::Error) {
        let why = with_causes(why);
        let text = format!("check {} is not looked at from this site: {why}", check.short());
        self.vault.alarm(None, "vantage", text);
    }

    /// Writes down what is seen. Ends when nobody looks any more.
    async fn keep(&self, mut sightings: mpsc::Receiver<Sighting>) {
        let journal = Arc::clone(&self.journal);
        let outcomes = tokio::task::spawn_blocking(move || journal.outcomes()).await;
        let mut keeping = Keeping {
            outcomes: outcomes.ok().and_then(Result::ok).unwrap_or_default().into_iter().collect(),
            ..Keeping::default()
        };
        let mut arrived = Vec::new();
        while sightings.recv_many(&mut arrived, QUEUE).await > 0 {
            let mut news = false;
            for sighting in arrived.drain(..) {
                news |= self.sort(&mut keeping, sighting);
            }
            self.write_down(&mut keeping.held).await;
            if news {
                self.news.notify_one();
            } else {
                pause(TOGETHER, &self.stop).await;
            }
        }
    }

    /// Puts one sighting where it belongs; says whether its outcome is another one than before.
    fn sort(&self, keeping: &mut Keeping, sighting: Sighting) -> bool {
        let Sighting { check, at, interval_s, seen } = sighting;
        match seen {
            Ok(seen) => {
                keeping.unmade.remove(&check);
                let news = keeping.outcomes.insert(check, seen.up) != Some(seen.up);
                keeping.held.push(Entry { check, at, interval_s, seen });
                news
            }
            Err(why) => {
                self.note_unmade(keeping, check, &why);
                false
            }
        }
    }

    /// In the log once for each check, in the alarms once for each reason.
    fn note_unmade(&self, keeping: &mut Keeping, check: CheckId, why: &Unmade) {
        if keeping.unmade.insert(check, why.kind()) == Some(why.kind()) {
            return;
        }
        tracing::warn!(%check, "not looked at from this site: {}", with_causes(why));
        if keeping.told.insert(why.kind()) {
            self.tell_unmade(&check, why);
        }
    }

    /// What cannot be written stays for the next time; without end it is not held.
    async fn write_down(&self, held: &mut Vec<Entry>) {
        let (journal, entries) = (Arc::clone(&self.journal), std::mem::take(held));
        if entries.is_empty() {
            return;
        }
        let written = tokio::task::spawn_blocking(move || {
            let result = journal.add(&entries);
            (entries, result)
        });
        match written.await {
            Ok((_, Ok(()))) => {}
            Ok((mut entries, Err(error))) => {
                let lost = entries.len().saturating_sub(HELD_MAX);
                tracing::error!(held = entries.len(), lost, "{}", with_causes(&error));
                entries.drain(..lost);
                *held = entries;
            }
            Err(error) => tracing::error!(%error, "writing down what was seen ended abnormally"),
        }
    }

    /// Delivers at once what is news, and everything each quarter of a minute.
    async fn deliver(&self) {
        let delivery = Delivery {
            journal: Arc::clone(&self.journal),
            site: self.vault.site(),
            clock: Arc::clone(&self.steady),
        };
        loop {
            let sent = self.stop.run_until_cancelled(self.deliver_through(&delivery)).await;
            let failed = match sent {
                None => return,
                Some(Ok(_)) => false,
                Some(Err(error)) => {
                    tracing::warn!("{}; it is kept", with_causes(&error));
                    true
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(if failed { ROUND } else { DELIVERY }) => {}
                // A controller that is away is not asked for each change.
                () = self.news.notified(), if !failed => {}
            }
        }
    }

    async fn deliver_through(&self, delivery: &Delivery) -> Result<usize, DeliverError> {
        match self.state.controller(Arc::clone(&self.wall))? {
            Some(controller) => Ok(delivery.deliver(&controller).await?),
            None => Ok(0),
        }
    }

    async fn prune(&self) {
        loop {
            let (journal, now) = (Arc::clone(&self.journal), self.steady.now());
            let pruned = tokio::task::spawn_blocking(move || journal.prune(now)).await;
            self.tell_pruned(pruned.unwrap_or(Ok(0)));
            if !pause(PRUNING, &self.stop).await {
                return;
            }
        }
    }

    fn tell_pruned(&self, pruned: Result<u64, JournalError>) {
        match pruned {
            Ok(0) => {}
            Ok(lost) => {
                let at = self.vault.now();
                let text = format!(
                    "{at}: {lost} observations were let go that the controller never took: see why it could not be reached"
                );
                self.vault.alarm(None, "vantage", text);
            }
            Err(error) => tracing::error!("{}", with_causes(&error)),
        }
    }
}

/// What is known while writing down.
#[derive(Default)]
struct Keeping {
    held: Vec<Entry>,
    outcomes: HashMap<CheckId, bool>,
    /// Why checks are not looked at.
    unmade: HashMap<CheckId, &'static str>,
    told: HashSet<&'static str>,
}

/// Why nothing was delivered.
#[derive(Debug, thiserror::Error)]
enum DeliverError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}
