//! Websites: one request on a connection of its own.
//!
//! Invariants: redirections are answers and are not followed, so that a target sends a vantage point nowhere; it is
//! the addresses that were checked that are connected to; of a body at most [`BODY_MAX_BYTES`] are read, and only
//! if a text is looked for.

use std::time::Duration;

use reqwest::{Client, Response, Url};
use tokio::time::Instant;

use crate::fail::{self, Fail};
use crate::prober::Prober;
use crate::tls::{self, Expiry};
use crate::{ProbeError, Unmade, check};

/// How much of a body is looked through.
const BODY_MAX_BYTES: usize = 256 << 10;

/// What is expected of a website.
pub(crate) struct Website<'a> {
    pub(crate) url: &'a str,
    pub(crate) status: Option<u16>,
    pub(crate) text: &'a str,
    pub(crate) any_certificate: bool,
}

impl Website<'_> {
    /// How long it took to answer.
    pub(crate) async fn look(
        &self,
        prober: &Prober,
        expiry: &Expiry,
        limit: Duration,
    ) -> Result<Duration, Fail> {
        let url = check::website(self.url).map_err(Unmade::from)?;
        let client = self.client((prober, limit), &url, expiry).await?;
        let begun = Instant::now();
        let response = client.get(url).send().await.map_err(failure)?;
        let latency = begun.elapsed();
        let status = response.status().as_u16();
        match self.status {
            Some(expected) if expected != status => {
                let detail = format!("it answers {status} instead of {expected}");
                return Err(Fail::wrong(latency, detail));
            }
            None if !(200..400).contains(&status) => {
                return Err(Fail::wrong(latency, format!("it answers {status}")));
            }
            _ => {}
        }
        if self.text.is_empty() || contains(response, self.text.as_bytes()).await? {
            return Ok(latency);
        }
        Err(Fail::wrong(latency, "the expected text is not in what it answers"))
    }

    async fn client(
        &self,
        (prober, limit): (&Prober, Duration),
        url: &Url,
        expiry: &Expiry,
    ) -> Result<Client, Fail> {
        let host = url.host_str().ok_or(Unmade::Order(ProbeError::Url))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().ok_or(Unmade::Order(ProbeError::Url))?;
        let addresses = prober.addresses(host, port, limit).await?;
        // Without TLS there is no certificate to judge, and no need of authorities.
        let any = self.any_certificate || url.scheme() == "http";
        let tls = prober.trust().config(any, expiry.clone())?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .resolve_to_addrs(host, &addresses)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("lumbung-probe/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map_err(|error| Unmade::Local(std::io::Error::other(error)).into())
    }
}

/// Whether the text stands in the first part of the body.
async fn contains(mut response: Response, text: &[u8]) -> Result<bool, Fail> {
    let mut read = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failure)? {
        // What was searched is not searched again, but for an occurrence across the border.
        let from = read.len().saturating_sub(text.len());
        let room = BODY_MAX_BYTES - read.len();
        read.extend_from_slice(&piece[..piece.len().min(room)]);
        if read[from..].windows(text.len()).any(|window| window == text) {
            return Ok(true);
        }
        if read.len() == BODY_MAX_BYTES {
            break;
        }
    }
    Ok(false)
}

/// What made a request fail: the innermost cause, since the outer ones only say that it did.
fn failure(error: reqwest::Error) -> Fail {
    let mut cause: &(dyn std::error::Error + 'static) = &error;
    loop {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Fail::silent(tls::plain(tls));
        }
        let io = cause.downcast_ref::<std::io::Error>();
        if let Some(io) = io.filter(|io| io.get_ref().is_none()) {
            return match io.raw_os_error() {
                Some(errno) => Fail::io(std::io::Error::from_raw_os_error(errno)),
                None => Fail::silent(fail::plain(io)),
            };
        }
        // An io::Error that wraps another error names that one's source as its own, and not the error itself.
        let wrapped = io.and_then(std::io::Error::get_ref);
        match wrapped.map(|inner| inner as _).or_else(|| cause.source()) {
            Some(inner) => cause = inner,
            None => return Fail::silent(format!("no HTTP answer: {cause}")),
        }
    }
}
