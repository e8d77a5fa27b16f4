//! One probe: of whatever kind, within its time.
//!
//! Invariants: only addresses within reach are spoken to, and names are looked up once, so that the address that was
//! checked is the one that is used. Every probe has connections of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lumbung_wire::messages::uptime::{CheckOrder, Probe};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::fail::Fail;
use crate::http::Website;
use crate::tls::{Expiry, Trust};
use crate::{Reach, Seen, Unmade, check, check_order, dns, icmp};

/// Names that are looked up at once: each takes a thread until the machine's resolver gives up.
const LOOKUPS_MAX: usize = 64;

/// Who makes probes.
#[derive(Debug)]
pub struct Prober {
    reach: Reach,
    trust: Trust,
    lookups: Arc<Semaphore>,
}

impl Prober {
    /// A prober that looks within `reach` and judges certificates by the machine's authorities. Reads their files.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        Self::with(reach, Trust::of_machine())
    }

    /// A prober that judges certificates by these authorities.
    #[must_use]
    pub fn with_authorities(reach: Reach, authorities: Vec<CertificateDer<'static>>) -> Self {
        Self::with(reach, Trust::of(authorities))
    }

    fn with(reach: Reach, trust: Trust) -> Self {
        Self { reach, trust, lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }

    pub(crate) const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Looks once. Takes no longer than the order's time-out.
    ///
    /// # Errors
    /// If the probe could not be made; that says nothing about the target.
    pub async fn look(&self, order: &CheckOrder) -> Result<Seen, Unmade> {
        check_order(order)?;
        let limit = Duration::from_secs(order.timeout_s.into());
        let expiry = Expiry::default();
        let seen = match timeout(limit, self.ask(&order.probe, &expiry, limit)).await {
            Ok(Ok(latency)) => Seen::up(latency),
            Ok(Err(Fail::Down { latency, detail })) => Seen::down(latency, &detail),
            Ok(Err(Fail::Unmade(unmade))) => return Err(unmade),
            Err(_) => Seen::down(None, &format!("no answer within {} s", order.timeout_s)),
        };
        Ok(Seen { certificate_expires: expiry.get(), ..seen })
    }

    async fn ask(&self, probe: &Probe, expiry: &Expiry, limit: Duration) -> Result<Duration, Fail> {
        match probe {
            Probe::Http { url, status, text, any_certificate } => {
                let any_certificate = *any_certificate;
                let website = Website { url, status: *status, text, any_certificate };
                website.look(self, expiry, limit).await
            }
            Probe::Tcp { host, port } => {
                let addresses = self.addresses(host, *port, limit).await?;
                let begun = Instant::now();
                TcpStream::connect(&addresses[..]).await.map_err(Fail::io)?;
                Ok(begun.elapsed())
            }
            Probe::Icmp { host } => {
                let addresses = self.addresses(host, 0, limit).await?;
                let first = addresses.first().ok_or_else(|| Fail::silent("it has no address"))?;
                icmp::echo(first.ip()).await
            }
            Probe::Dns { server, name, address } => {
                let server = check::name_server(server).map_err(Unmade::from)?;
                self.within_reach(&server.ip().to_string(), &[server])?;
                dns::look(server, name, address.parse().ok()).await
            }
        }
    }

    /// Where a host is: its addresses within reach, at least one.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, Fail> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.look_up(host, port, limit).await?,
        };
        Ok(self.within_reach(host, &found)?)
    }

    fn within_reach(&self, host: &str, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Unmade> {
        let inside = found.iter().copied().filter(|at| self.reach.includes(at.ip()));
        let inside: Vec<SocketAddr> = inside.collect();
        match found.first() {
            Some(first) if inside.is_empty() => {
                Err(Unmade::Elsewhere { host: host.to_owned(), address: first.ip() })
            }
            _ => Ok(inside),
        }
    }

    async fn look_up(
        &self,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, Fail> {
        let turn = timeout(limit / 2, Arc::clone(&self.lookups).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Unmade::Lookups.into()) };
        let name = host.to_owned();
        // A task of its own: a look-up that nobody waits for any more holds its turn until it ends.
        let lookup = tokio::spawn(async move {
            let _turn = turn;
            tokio::net::lookup_host((name, port)).await.map(Iterator::collect::<Vec<_>>)
        });
        match lookup.await {
            Ok(Ok(found)) if !found.is_empty() => Ok(found),
            Ok(Err(error)) if crate::fail::is_local(&error) => Err(Unmade::Local(error).into()),
            Ok(_) => Err(Fail::silent("the name has no address: does its name server answer?")),
            Err(error) => Err(Unmade::Local(std::io::Error::other(error)).into()),
        }
    }
}
