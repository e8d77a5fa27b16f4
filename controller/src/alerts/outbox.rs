//! The outbox at work: sends what is due, and writes down what became of it.
//!
//! Invariants: a message is marked before it is handed to its channel and its end is written after, so whatever a stop
//! leaves under way is sent again, under the same id, and nothing else is; nothing more is sent while an end cannot be
//! written. Two messages to one address are never under way together, and not closer than the channel likes. What was not
//! taken is tried again for three days; after a quarter of an hour, tried or not, and at once where the channel refuses, the
//! recipient's next address is tried too: a channel that hangs keeps nobody from hearing by another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::schedule::{Backoff, Period, seed};
use lumbung_model::{Clock, Timestamp};
use lumbung_wire::messages::alerts::ChannelKind;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::channel::{Channels, Outcome};
use crate::db::deliveries::{self, Outgoing};
use crate::db::{Db, DbError};
use crate::turns::Turns;

/// Messages of one channel under way together.
const AT_ONCE: usize = 8;
/// After so long without an answer the next address is tried too, s.
const FALL_OVER_S: i64 = 900;
/// After so long nothing is tried any more, s: three days.
const GIVE_UP_S: i64 = 3 * 86_400;
/// The longest pause: somebody sets the clock.
const LONGEST_PAUSE_S: i64 = 60;
/// The pause after something was begun: there may be more.
const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// After an error of the database it is tried again so much later.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How long what is under way is waited for at a stop: less than what systemd gives a controller.
const AT_STOP: Duration = Duration::from_secs(30);
/// The longest wait that a channel may ask for, s: six hours.
const ASKED_MAX_S: u32 = 21_600;
/// Between two tries.
fn backoff() -> Backoff {
    Backoff { attempts: u32::MAX, first: Period::seconds(15), cap: Period::seconds(900) }
}

/// What the outbox works with.
#[derive(Clone)]
pub struct Outbox {
    /// Where messages are.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// By what they are sent.
    pub channels: Arc<Channels>,
    /// Rung when there is something new.
    pub bell: watch::Sender<()>,
}

/// What is written of a message after a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was taken.
    Sent,
    /// It never will be.
    Failed(String),
    /// It is tried again.
    Again {
        /// When.
        next: Timestamp,
        /// Why.
        error: String,
        /// Whether it may have arrived.
        unanswered: bool,
        /// Whether the next address is tried too.
        fall_over: bool,
    },
}

/// What becomes of a message.
#[must_use]
pub fn fate(message: &Outgoing, outcome: Outcome, now: Timestamp) -> Fate {
    let refused = matches!(outcome, Outcome::Refused(_));
    let (error, after_s, unanswered) = match outcome {
        Outcome::Sent => return Fate::Sent,
        Outcome::Never(error) => return Fate::Failed(error),
        Outcome::Refused(error) => (error, None, false),
        Outcome::Later(error, after_s) => (error, after_s, false),
        Outcome::Unanswered(error) => (error, None, true),
    };
    let age_s = now.seconds_since(message.made);
    if age_s >= GIVE_UP_S {
        return Fate::Failed(format!("given up after three days: {error}"));
    }
    let wait = backoff().wait_after(message.attempts, seed(&[message.id.as_bytes()]));
    let asked_s = after_s.unwrap_or(0).min(ASKED_MAX_S);
    let wait_s = wait.map_or(900, Period::as_seconds).max(asked_s);
    let next = now.plus_seconds(wait_s.into());
    let overdue = now.seconds_since(message.waits) >= FALL_OVER_S;
    Fate::Again { next, error, unanswered, fall_over: refused || overdue }
}

/// How long an address rests after a message: Telegram takes one a second in a chat, twenty a minute in a group.
fn rest(message: &Outgoing, outcome: &Outcome) -> Duration {
    match (message.to.channel, outcome) {
        (_, Outcome::Later(_, Some(after_s))) => {
            Duration::from_secs((*after_s).min(ASKED_MAX_S).into())
        }
        (ChannelKind::Telegram, _) if message.to.to.starts_with('-') => Duration::from_secs(3),
        (ChannelKind::Telegram, _) => Duration::from_secs(1),
        (ChannelKind::Mail | ChannelKind::Webhook, _) => Duration::ZERO,
    }
}

impl Outbox {
    /// Sends until told to stop; what is under way then is waited for.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let mut turns = Turns::every(AFTER_ERROR, stop.clone());
        while turns.next().await {
            if self.recover().await {
                return self.send(stop).await;
            }
        }
    }

    async fn send(self, stop: watch::Receiver<bool>) {
        let mut channels = JoinSet::new();
        for channel in ChannelKind::ALL {
            channels.spawn(Lane::new(self.clone(), *channel).run(stop.clone()));
        }
        channels.join_all().await;
    }

    /// Takes up what was under way when the program stopped; whether that could be written.
    async fn recover(&self) -> bool {
        let now = self.clock.now();
        match self.db.write_async(move |tx| deliveries::recover(tx, now)).await {
            Ok(0) => true,
            Ok(unknown) => {
                tracing::warn!(
                    unknown,
                    "messages may have arrived before the stop: they are sent again"
                );
                true
            }
            Err(error) => {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "the outbox cannot be read: nothing is sent before it can");
                false
            }
        }
    }
}

/// One channel at work.
struct Lane {
    outbox: Outbox,
    channel: ChannelKind,
    under_way: JoinSet<(Outgoing, Outcome)>,
    busy: BTreeSet<String>,
    resting: BTreeMap<String, Instant>,
    /// Since when it works: what waited while the program did not run was not kept waiting by the channel.
    begun: Timestamp,
}

impl Lane {
    fn new(outbox: Outbox, channel: ChannelKind) -> Self {
        Self {
            begun: outbox.clock.now(),
            outbox,
            channel,
            under_way: JoinSet::new(),
            busy: BTreeSet::new(),
            resting: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut bell = self.outbox.bell.subscribe();
        loop {
            let pause = match self.begin().await {
                Ok(pause) => pause,
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(error, channel = %self.channel, "the outbox cannot be read");
                    AFTER_ERROR
                }
            };
            let done = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => break,
                Some(done) = self.under_way.join_next() => Some(done),
                // The bell's end is the daemon's.
                rung = bell.changed() => if rung.is_err() { break } else { None },
                () = tokio::time::sleep(pause) => None,
            };
            if let Some(done) = done {
                self.end(done).await;
            }
        }
        if tokio::time::timeout(AT_STOP, self.finish()).await.is_err() {
            tracing::warn!(channel = %self.channel, "messages without an answer yet may have arrived: they are sent again at the next start");
        }
    }

    /// Waits for what is under way.
    async fn finish(&mut self) {
        while let Some(done) = self.under_way.join_next().await {
            self.end(done).await;
        }
    }

    /// Goes on to the next address with what waits for too long, whether it has had its turn or not.
    async fn go_around(&self, now: Timestamp) -> Result<(), DbError> {
        let (channel, late) = (self.channel, now.plus_seconds(-FALL_OVER_S));
        if self.begun > late {
            return Ok(());
        }
        let find = move |tx: &rusqlite::Transaction<'_>| deliveries::overdue(tx, channel, late);
        if self.outbox.db.read_async(find).await?.is_empty() {
            return Ok(());
        }
        let fall_over = move |tx: &rusqlite::Transaction<'_>| {
            let overdue = deliveries::overdue(tx, channel, late)?;
            overdue.iter().try_for_each(|id| deliveries::fall_over(tx, now, id).map(drop))
        };
        self.outbox.db.write_async(fall_over).await?;
        self.outbox.bell.send_replace(());
        Ok(())
    }

    /// Begins what is due; how long there is nothing to do then.
    async fn begin(&mut self) -> Result<Duration, DbError> {
        let instant = Instant::now();
        self.resting.retain(|_, until| *until > instant);
        let (now, channel) = (self.outbox.clock.now(), self.channel);
        self.go_around(now).await?;
        let due = self.outbox.db.read_async(move |tx| deliveries::next_due(tx, channel)).await?;
        let Some(due) = due else { return Ok(seconds(LONGEST_PAUSE_S)) };
        let room = AT_ONCE.saturating_sub(self.under_way.len());
        if due > now {
            return Ok(seconds(due.seconds_since(now).clamp(1, LONGEST_PAUSE_S)));
        }
        if room == 0 {
            return Ok(seconds(LONGEST_PAUSE_S));
        }
        let avoid: BTreeSet<String> =
            self.busy.iter().chain(self.resting.keys()).cloned().collect();
        let claim =
            move |tx: &rusqlite::Transaction<'_>| deliveries::claim(tx, now, channel, &avoid, room);
        let claimed = self.outbox.db.write_async(claim).await?;
        if claimed.is_empty() {
            // What is due waits for an address: until it is free, which wakes us, or has rested.
            let rested = self.resting.values().min().map(|until| until.duration_since(instant));
            return Ok(rested.unwrap_or_else(|| seconds(LONGEST_PAUSE_S)));
        }
        for message in claimed {
            self.busy.insert(message.to.to.clone());
            let outbox = self.outbox.clone();
            self.under_way.spawn(async move {
                let sent = message.clone();
                let sending =
                    tokio::spawn(
                        async move { outbox.channels.send(&sent, outbox.clock.now()).await },
                    );
                let failed = |_| Outcome::Unanswered("the channel failed: see the log".to_owned());
                (message, sending.await.unwrap_or_else(failed))
            });
        }
        Ok(SHORT_PAUSE)
    }

    /// Writes down what became of a message. A channel that panicked leaves it as a stop would.
    async fn end(&mut self, done: Result<(Outgoing, Outcome), tokio::task::JoinError>) {
        let Ok((message, outcome)) = done else {
            tracing::error!(channel = %self.channel, "a channel failed: its message is sent again at the next start");
            return;
        };
        let rest = rest(&message, &outcome);
        self.write(&message, outcome).await;
        self.busy.remove(&message.to.to);
        if !rest.is_zero() {
            self.resting.insert(message.to.to, Instant::now() + rest);
        }
    }

    async fn write(&self, message: &Outgoing, outcome: Outcome) {
        let now = self.outbox.clock.now();
        let (id, channel) = (message.id, self.channel);
        let fate = fate(message, outcome, now);
        if let Fate::Failed(error) | Fate::Again { error, .. } = &fate {
            tracing::warn!(delivery = %id, %channel, recipient = message.recipient, error, "a message was not taken");
        }
        loop {
            let fate = fate.clone();
            let write = move |tx: &rusqlite::Transaction<'_>| record(tx, now, &id, &fate);
            match self.outbox.db.write_async(write).await {
                Ok(()) => break,
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(error, delivery = %id, "what became of a message cannot be written");
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        }
        // Another channel may have got something to do.
        self.outbox.bell.send_replace(());
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

/// Writes a fate.
///
/// # Errors
/// If the database fails.
pub fn record(
    db: &rusqlite::Connection,
    now: Timestamp,
    id: &lumbung_model::DeliveryId,
    fate: &Fate,
) -> Result<(), DbError> {
    match fate {
        Fate::Sent => deliveries::sent(db, now, id),
        Fate::Failed(error) => {
            deliveries::failed(db, now, id, error)?;
            deliveries::fall_over(db, now, id).map(drop)
        }
        Fate::Again { next, error, unanswered, fall_over } => {
            // A newer one that has taken its place meanwhile goes to the other addresses by itself.
            if deliveries::again(db, now, id, (*next, error, *unanswered))? && *fall_over {
                deliveries::fall_over(db, now, id)?;
            }
            Ok(())
        }
    }
}
