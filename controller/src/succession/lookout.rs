//! The controller looks around: whether another one acts by now, and who does not know yet that it does itself.
//!
//! Invariants: it is done before the first request is answered, and again and again; whoever knows an older succession is
//! told the newer one, whoever knows a newer one ends this one's time; nobody who does not answer holds anything up.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{Clock, with_causes};
use lumbung_wire::ControllerClient;
use lumbung_wire::client::{ClientError, Timeouts, VaultClient};
use lumbung_wire::messages::succession::{Seat, Succession};
use lumbung_wire::succession::{Chain, Relation};
use lumbung_wire::tls::{self, ServerTrust, TlsIdentity};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Post, TakeError};
use crate::act::Act;
use crate::db::{Db, DbError, register};
use crate::poller::site::Enrolled;
use crate::turns::Turns;

/// For one that is asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two rounds, at most.
const ROUND: Duration = Duration::from_secs(60);

/// Who looks around.
pub struct Lookout {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The own certificate.
    pub identity: Arc<TlsIdentity>,
    /// What is known.
    pub post: Arc<Post>,
    /// Seconds between two rounds of the poller.
    pub interval_s: u32,
}

/// Somebody who may know more, or less.
#[derive(Clone)]
enum Other {
    Controller(ControllerClient),
    Vault(VaultClient),
}

impl Other {
    async fn succession(&self) -> Result<Succession, ClientError> {
        match self {
            Self::Controller(client) => client.succession().await,
            Self::Vault(client) => client.succession().await,
        }
    }

    async fn tell(&self, succession: &Succession) -> Result<Succession, ClientError> {
        match self {
            Self::Controller(client) => client.tell_succession(succession).await,
            Self::Vault(client) => client.tell_succession(succession).await,
        }
    }
}

impl Lookout {
    /// Looks around until told to stop.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let period = Duration::from_secs(u64::from(self.interval_s)).min(ROUND);
        let turns = Turns::every(period, stop);
        turns.work("who acts as the controller could not be looked at", || self.round()).await;
    }

    /// One look at everybody.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn round(&self) -> Result<(), DbError> {
        self.post.refresh(&self.db).await?;
        let Some(known) = self.post.chain() else { return Ok(()) };
        let sites = self.db.read_async(|tx| register::sites(tx)).await?;
        let mut others: Vec<(String, Other)> = Vec::new();
        for seat in &known.newest().standbys {
            others.extend(self.controller(seat).map(|client| (seat.url.clone(), client)));
        }
        for site in sites.iter().filter_map(Enrolled::of) {
            let client = site.client(&self.identity, self.clock.clone());
            others.extend(client.ok().map(|client| (site.url.clone(), Other::Vault(client))));
        }
        let mut asked = JoinSet::new();
        for (url, other) in others {
            let known = known.clone();
            asked.spawn(async move {
                let found = tokio::time::timeout(PATIENCE, compare(&other, &known)).await;
                (url, found)
            });
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((url, Ok(Ok(Some(newer))))) => self.take(&url, newer).await?,
                Ok((url, Ok(Err(error)))) => {
                    tracing::debug!("{url} does not tell who acts: {}", with_causes(&error));
                }
                Ok((_, Ok(Ok(None)) | Err(_))) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn controller(&self, seat: &Seat) -> Option<Other> {
        let trust = ServerTrust::Pins(vec![seat.pin]);
        let tls = tls::client_config(Some(&self.identity), trust, self.clock.clone()).ok()?;
        let timeouts = Timeouts { connect: PATIENCE, stall: PATIENCE, ..Timeouts::default() };
        ControllerClient::with_timeouts(&seat.url, &tls, timeouts).ok().map(Other::Controller)
    }

    async fn take(&self, url: &str, newer: Succession) -> Result<(), DbError> {
        let act = Act::controller(self.clock.now());
        match self.post.take(&self.db, act, newer).await {
            Ok(()) => Ok(()),
            Err(TakeError::Db(error)) => Err(error),
            Err(error) => {
                tracing::error!("{url} tells of who acts what is not believed: {error}");
                Ok(())
            }
        }
    }
}

/// What the other one knows and we do not; it is told what we know and it does not.
async fn compare(other: &Other, known: &Chain) -> Result<Option<Succession>, ClientError> {
    let theirs = other.succession().await?;
    let relation = Chain::open(&theirs).map(|chain| chain.relation(known));
    if theirs.statements.is_empty() || relation == Ok(Relation::Older) {
        other.tell(&known.to_message()).await?;
        return Ok(None);
    }
    // What does not hold, and what contradicts, is for whoever takes it to refuse.
    Ok((relation != Ok(Relation::Same)).then_some(theirs))
}
