//! When background work is done: at once, every so often, and when somebody asks for it.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The turns of one loop. Turns that were missed are not made up for.
pub struct Turns {
    due: Interval,
    signal: Arc<Notify>,
    stop: watch::Receiver<bool>,
}

impl Turns {
    /// A turn at once and then in each such period, until told to stop.
    ///
    /// # Panics
    /// If the period is zero.
    #[must_use]
    pub fn every(period: Duration, stop: watch::Receiver<bool>) -> Self {
        Self::every_or_when(period, Arc::new(Notify::new()), stop)
    }

    /// As [`Self::every`], and when it is asked for.
    ///
    /// # Panics
    /// If the period is zero.
    #[must_use]
    pub fn every_or_when(
        period: Duration,
        signal: Arc<Notify>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let mut due = interval(period);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { due, signal, stop }
    }

    /// Waits for the next one; false: it is time to stop.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.stop.wait_for(|stopped| *stopped) => false,
            _ = self.due.tick() => true,
            () = self.signal.notified() => true,
        }
    }

    /// Does a round at each turn, and logs one that fails: `what` could not be done. One that is under way at the end is cut off.
    pub async fn work<E: Error, F: Future<Output = Result<(), E>>>(
        mut self,
        what: &'static str,
        round: impl Fn() -> F,
    ) {
        while self.next().await {
            if let Some(Err(error)) = self.unless_stopped(round()).await {
                tracing::error!(error = lumbung_model::with_causes(&error), "{what}");
            }
        }
    }

    /// What the work comes to; none if it was cut off, since it is time to stop.
    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            _ = self.stop.wait_for(|stopped| *stopped) => None,
            done = work => Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_comes_at_once_in_time_and_when_asked_for_until_the_end() {
        let (stop, stopped) = watch::channel(false);
        let signal = Arc::new(Notify::new());
        let mut turns = Turns::every_or_when(Duration::from_secs(60), signal.clone(), stopped);
        let begun = tokio::time::Instant::now();
        assert!(turns.next().await && turns.next().await);
        assert_eq!(begun.elapsed(), Duration::from_secs(60));
        signal.notify_one();
        assert!(turns.next().await);
        assert_eq!(begun.elapsed(), Duration::from_secs(60));
        assert_eq!(turns.unless_stopped(async { 7 }).await, Some(7));
        stop.send_replace(true);
        assert_eq!(turns.unless_stopped(std::future::pending::<()>()).await, None);
        assert!(!turns.next().await);
    }
}
