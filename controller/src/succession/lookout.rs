//! The controller looks around: whether another one acts by now, and who does not know yet that it does itself.
//!
//! Invariants: it is done before the first request is answered, and again and again; whoever knows an older succession is
//! told the newer one, whoever knows a newer one ends this one's time; nobody who does not answer holds anything up. One that
//! knows no statement asks the vaults all the same: it may be a copy from before the first. Standbys are asked how fresh
//! their copies are as well.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{Clock, Timestamp, TlsPin, with_causes};
use lumbung_wire::ControllerClient;
use lumbung_wire::client::{ClientError, Timeouts, VaultClient};
use lumbung_wire::messages::overview::ControllerHealth;
use lumbung_wire::messages::succession::{Seat, Succession};
use lumbung_wire::succession::{Chain, Relation};
use lumbung_wire::tls::{self, ServerTrust, TlsIdentity};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Post, TakeError, standbys};
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
    Standby(TlsPin, ControllerClient),
    Vault(VaultClient),
}

impl Other {
    async fn succession(&self) -> Result<Succession, ClientError> {
        match self {
            Self::Standby(_, client) => client.succession().await,
            Self::Vault(client) => client.succession().await,
        }
    }

    /// Of when a standby's copy is, as it says itself.
    async fn copied(&self, now: Timestamp) -> Option<(TlsPin, Timestamp)> {
        let Self::Standby(pin, client) = self else { return None };
        let health: ControllerHealth = client.get("/api/v1/health").await.ok()?;
        // Its clock may be another: how old the copy is counts.
        let old_s = health.now.seconds_since(health.copied?).max(0);
        Some((*pin, Timestamp(now.0.saturating_sub(old_s))))
    }

    async fn tell(&self, succession: &Succession) -> Result<Succession, ClientError> {
        match self {
            Self::Standby(_, client) => client.tell_succession(succession).await,
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
        let known = self.post.chain();
        let sites = self.db.read_async(|tx| register::sites(tx)).await?;
        let mut others: Vec<(String, Other)> = Vec::new();
        for seat in known.iter().flat_map(|known| &known.newest().standbys) {
            others.extend(self.controller(seat).map(|client| (seat.url.clone(), client)));
        }
        for site in sites.iter().filter_map(Enrolled::of) {
            let client = site.client(&self.identity, self.clock.clone());
            others.extend(client.ok().map(|client| (site.url.clone(), Other::Vault(client))));
        }
        let mut asked = JoinSet::new();
        for (url, other) in others {
            let (known, now) = (known.clone(), self.clock.now());
            asked.spawn(async move {
                let found = tokio::time::timeout(PATIENCE, compare(&other, known.as_ref())).await;
                let copied = tokio::time::timeout(PATIENCE, other.copied(now)).await;
                (url, found, copied.ok().flatten())
            });
        }
        let mut told = Vec::new();
        while let Some(answer) = asked.join_next().await {
            let Ok((url, found, copied)) = answer else { continue };
            told.extend(copied);
            match found {
                Ok(Ok(Some(newer))) => self.take(&url, newer).await?,
                Ok(Err(error)) => {
                    tracing::debug!("{url} does not tell who acts: {}", with_causes(&error));
                }
                Ok(Ok(None)) | Err(_) => {}
            }
        }
        standbys::keep(&self.db, self.clock.now(), self.post.chain(), told).await
    }

    fn controller(&self, seat: &Seat) -> Option<Other> {
        let trust = ServerTrust::Pins(vec![seat.pin]);
        let tls = tls::client_config(Some(&self.identity), trust, self.clock.clone()).ok()?;
        let timeouts = Timeouts { connect: PATIENCE, stall: PATIENCE, ..Timeouts::default() };
        ControllerClient::with_timeouts(&seat.url, &tls, timeouts)
            .ok()
            .map(|client| Other::Standby(seat.pin, client))
    }

    async fn take(&self, url: &str, newer: Succession) -> Result<(), DbError> {
        if self.post.chain().is_none() {
            self.post.shown(url, newer).await;
            return Ok(());
        }
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
async fn compare(other: &Other, known: Option<&Chain>) -> Result<Option<Succession>, ClientError> {
    let theirs = other.succession().await?;
    let Some(known) = known else {
        return Ok((!theirs.statements.is_empty()).then_some(theirs));
    };
    let relation = known.met(&theirs);
    if relation == Relation::Older {
        other.tell(&known.to_message()).await?;
        return Ok(None);
    }
    // What does not hold, and what contradicts, is for whoever takes it to refuse.
    Ok((relation != Relation::Same).then_some(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_dir::StateDir;
    use crate::succession::tests::{next, seat};
    use axum::{Json, Router, routing::get};
    use lumbung_model::{FixedClock, SiteId};
    use lumbung_pack::SigningKey;
    use lumbung_wire::messages::overview::ControllerState;
    use lumbung_wire::messages::register::{Site, SiteKind};
    use lumbung_wire::tls::ClientAccess;
    use lumbung_wire::{certs, server};

    /// A vault that shows these statements to whoever asks.
    async fn vault(shows: Succession, ca_pem: &str, clock: Arc<dyn Clock>) -> Site {
        let id = SiteId::from_bytes([6; 16]);
        let key = certs::generate_key().unwrap();
        let certificate = certs::self_signed_site_certificate(&key, id).unwrap();
        let identity = TlsIdentity::from_pem(&certificate, &key).unwrap();
        let access = ClientAccess { anonymous: true, self_signed: true };
        let tls = tls::server_config(&identity, &[ca_pem.to_owned()], access, clock).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/succession", get(async move || Json(shows)));
        tokio::spawn(server::serve(listener, tls, router, std::future::pending()));
        Site {
            id,
            name: "DRC".to_owned(),
            kind: SiteKind::Drc,
            latitude: None,
            longitude: None,
            address: String::new(),
            url: Some(url),
            receipt_key: Some(SigningKey::generate().public()),
            tls_pin: Some(identity.pin().unwrap()),
            link: String::new(),
            rate: String::new(),
            windows: Vec::new(),
        }
    }

    #[tokio::test]
    async fn one_that_knows_no_statement_does_not_act_beside_one_that_a_vault_knows() {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(Timestamp(1_800_000_000)));
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let names = ["127.0.0.1".to_owned()];
        state.init(&names, &*clock).unwrap();
        let authority = state.authority().unwrap();
        let identity = Arc::new(state.server_identity(&authority, &names, clock.now()).unwrap());
        let own = Seat { pin: identity.pin().unwrap(), ..seat(1) };
        let db = state.open_db().unwrap();
        let nothing = Succession::default();
        let of = |ca: &str, acts: Seat| next(&nothing, ca, (acts, seat(9)));
        let mut alone = of(authority.fingerprint(), seat(2));
        alone.statements[0].signatures.pop();
        let act = Act::controller(clock.now());
        for (shows, acts) in [
            (nothing.clone(), true),
            (of("sha256:another city", seat(2)), true),
            (alone, true),
            (of(authority.fingerprint(), own), true),
            (of(authority.fingerprint(), seat(2)), false),
        ] {
            let site = vault(shows.clone(), authority.certificate_pem(), clock.clone()).await;
            db.write(|tx| register::put_site(tx, &act, &site)).unwrap();
            let post = Post::open(&db, identity.pin().unwrap(), authority.fingerprint()).unwrap();
            let lookout = Lookout {
                db: db.clone(),
                clock: clock.clone(),
                identity: identity.clone(),
                post: Arc::new(post),
                interval_s: 60,
            };
            lookout.round().await.unwrap();
            let (standing, shown) = (lookout.post.standing(), lookout.post.displaced());
            assert_eq!(standing == ControllerState::Acting, acts, "{shows:?}");
            assert_eq!(shown.map(|chain| chain.to_message()), (!acts).then_some(shows));
            // The first statement is taken at the console only.
            assert_eq!(lookout.post.chain(), None);
            if !acts {
                lookout.post.lost().await;
            }
        }
    }
}
