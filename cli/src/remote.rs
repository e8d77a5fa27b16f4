//! A vault as a depot: who we are, who it is, and which repository is meant.
//!
//! Invariants: nothing that the vault says is used before its TLS key is one that the newest roster
//! lists, and that roster's chain begins at a repository id that we know or at a roster that this very
//! bundle has signed. Until then only public objects travel, and none of ours.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use lumbung_engine::{Depot, HttpDepot};
use lumbung_model::{RepositoryId, SystemClock, TlsPin};
use lumbung_pack::{Kind, RosterChain, RosterSite};
use lumbung_wire::certs::{KeyPem, root_key_identity};
use lumbung_wire::client::{CLOCK_SKEW_WARN_S, ClientError, VaultClient};
use lumbung_wire::tls::{ServerTrust, TlsIdentity, client_config};
use tokio::runtime::{Handle, Runtime};

use crate::chain;
use crate::depot::{Access, AccessArgs, Opened, several};
use crate::failure::{Code, Explain as _, Failure, Outcome};
use crate::files::read_text;

/// The runtime of this process, started when it is first needed.
///
/// # Errors
/// If the operating system gives no threads.
pub(crate) fn runtime() -> Outcome<Handle> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle().clone());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .explain(
            Code::Io,
            || "the network runtime could not start".to_owned(),
            "free memory or threads on this machine, then try again",
        )?;
    Ok(RUNTIME.get_or_init(|| runtime).handle().clone())
}

/// Opens a repository at a vault.
///
/// # Errors
/// If the vault is not the one that the roster names, or does not keep the repository.
pub(crate) fn open(url: &str, args: &AccessArgs, access: Access<'_>) -> Outcome<Opened> {
    let handle = runtime()?;
    let client = client(url, args, access, ServerTrust::AnyKey)?;
    let known = match access {
        Access::Agent(identity) => Some(identity.repository),
        Access::Bundle(_) | Access::Requester(_) | Access::Nobody => args.repository,
    };
    let repository = match known {
        Some(repository) => repository,
        None => handle.block_on(only_repository(url, &client, access))?,
    };
    let chain =
        chain::build(handle.block_on(rosters(url, &client, repository))?, Some(repository), url)?;
    if known.is_none() {
        check_founder(url, &chain, access)?;
    }
    let site = check_pin(url, &chain, client.seen_pin())?.site;
    warn_clock(url, &client);
    Ok(Opened { depot: Arc::new(HttpDepot::new(client, repository, Some(site), handle)), chain })
}

/// A vault whose keys are known from rosters that we have already.
///
/// # Errors
/// If those rosters list no site.
pub(crate) fn connect_known(
    url: &str,
    args: &AccessArgs,
    access: Access<'_>,
    chain: &RosterChain,
) -> Outcome<Arc<dyn Depot>> {
    let pins: Vec<TlsPin> = chain.current().body.sites.iter().map(|site| site.tls_pin).collect();
    if pins.is_empty() {
        return Err(Failure::new(
            Code::ServerNotTrusted,
            format!("the newest roster lists no site, so {url} cannot be recognised"),
            "add the site first: `lumbung roster add-site`",
        ));
    }
    let client = client(url, args, access, ServerTrust::Pins(pins))?;
    let handle = runtime()?;
    // The first call proves the server's key; which site it is follows from that.
    handle.block_on(client.site_info()).map_err(|e| refused(url, e))?;
    let site = check_pin(url, chain, client.seen_pin())?.site;
    warn_clock(url, &client);
    Ok(Arc::new(HttpDepot::new(client, chain.repository(), Some(site), handle)))
}

fn client(
    url: &str,
    args: &AccessArgs,
    access: Access<'_>,
    trust: ServerTrust,
) -> Outcome<VaultClient> {
    let identity = match (&args.identity, access) {
        (Some(path), _) => pem_identity(path)?,
        (None, Access::Bundle(bundle)) => root_key_identity(bundle.root()).explain(
            Code::DamagedKeyFile,
            || "no certificate could be made from the key bundle".to_owned(),
            "check the bundle with `lumbung key check`",
        )?,
        (None, Access::Requester(identity)) => root_key_identity(identity.key()).explain(
            Code::DamagedKeyFile,
            || "no certificate could be made from the requester key".to_owned(),
            "check the key with `lumbung key show`",
        )?,
        (None, Access::Agent(_)) => {
            let message = format!("{url} wants the agent's certificate");
            return Err(Failure::new(
                Code::Usage,
                message,
                "name it with --identity; enrolment made it",
            ));
        }
        (None, Access::Nobody) => {
            let message = format!("{url} wants to know who asks");
            return Err(Failure::new(
                Code::Usage,
                message,
                "give --key (the custodian's bundle) or --identity (a certificate)",
            ));
        }
    };
    let tls = client_config(Some(&identity), trust, Arc::new(SystemClock)).explain(
        Code::Io,
        || "TLS could not be set up".to_owned(),
        "check the certificate that --identity names",
    )?;
    VaultClient::new(url, &tls).map_err(|e| refused(url, e))
}

/// A certificate chain and its key from one PEM file.
///
/// # Errors
/// If it lacks one of them.
pub(crate) fn pem_identity(path: &Path) -> Outcome<TlsIdentity> {
    let text = read_text(path, "the certificate file")?;
    TlsIdentity::from_pem(&text, &KeyPem::new(text.to_string())).explain(
        Code::BadFile,
        || format!("{} is not a certificate with its private key", path.display()),
        "the file must hold both in PEM: `cat certificate.pem key.pem > identity.pem`",
    )
}

/// The repository that the vault lists for this certificate, if it is one.
async fn only_repository(
    url: &str,
    client: &VaultClient,
    access: Access<'_>,
) -> Outcome<RepositoryId> {
    let Access::Bundle(bundle) = access else {
        let next =
            "say which one with --repository: its id is what the rosters are checked against";
        return Err(Failure::new(
            Code::Usage,
            "with a certificate or requester key alone the repository must be named",
            next,
        ));
    };
    let found = client.repositories().await.map_err(|e| refused(url, e))?;
    match found[..] {
        [one] => Ok(one),
        [] => Err(Failure::new(
            Code::NotADepot,
            format!("{url} keeps no repository of the root key {}", bundle.root_public()),
            "check the address and the key file; a new repository is brought there with `lumbung roster publish`",
        )),
        _ => Err(several(url, &found)),
    }
}

async fn rosters(
    url: &str,
    client: &VaultClient,
    repository: RepositoryId,
) -> Outcome<Vec<Vec<u8>>> {
    let mut objects = Vec::new();
    for id in client.list(&repository, Kind::Roster).await.map_err(|e| refused(url, e))? {
        let object =
            client.get(&repository, Kind::Roster, &id).await.map_err(|e| refused(url, e))?;
        objects.push(object.to_vec());
    }
    Ok(objects)
}

/// Where nobody told us the repository's id, its first roster must be this bundle's own work.
fn check_founder(url: &str, chain: &RosterChain, access: Access<'_>) -> Outcome<()> {
    let founder = chain.all().first().map(|first| first.signer);
    match access {
        Access::Bundle(bundle) if founder == Some(bundle.root_public()) => Ok(()),
        _ => Err(Failure::new(
            Code::ServerNotTrusted,
            format!(
                "repository {} at {url} was not founded by this key bundle",
                chain.repository()
            ),
            "if you expect that repository (a spare key, a key added later), name its id with --repository",
        )),
    }
}

fn check_pin<'a>(
    url: &str,
    chain: &'a RosterChain,
    seen: Option<TlsPin>,
) -> Outcome<&'a RosterSite> {
    let sites = &chain.current().body.sites;
    sites.iter().find(|site| Some(site.tls_pin) == seen).ok_or_else(|| {
        let shown = seen.map_or_else(|| "no TLS key".to_owned(), |pin| format!("the TLS key {pin}"));
        let message = format!("{url} shows {shown}, which the newest roster lists for no site");
        let next = "somebody may stand in between; if the site is new or has a new key, add it on a depot you trust: \
                    `lumbung roster add-site`, then `lumbung roster publish`";
        Failure::new(Code::ServerNotTrusted, message, next)
    })
}

fn warn_clock(url: &str, client: &VaultClient) {
    if let Some(skew) = client.clock_skew_s().filter(|skew| skew.abs() >= CLOCK_SKEW_WARN_S) {
        let word = if skew > 0 { "behind" } else { "ahead of" };
        eprintln!(
            "warning: this machine's clock is {} s {word} that of {url}: set it (chrony, NTP)",
            skew.abs()
        );
    }
}

/// Host and port: what an address is about, once its protocol is known.
fn address(url: &str) -> &str {
    url.trim_start_matches("https://").trim_end_matches('/')
}

/// What a vault's or controller's refusal means at the terminal.
#[must_use]
pub(crate) fn refused(url: &str, error: ClientError) -> Failure {
    let (code, next) = match &error {
        ClientError::Unreachable { .. } | ClientError::Stalled { .. } => (
            Code::Depot,
            "check the address, the network and that the server runs; or use another site",
        ),
        ClientError::Pin { .. } | ClientError::Untrusted { .. } => {
            (Code::ServerNotTrusted, "do not go on before you know why")
        }
        ClientError::Identity { .. } => {
            (Code::NotEntitled, "use a valid certificate, or the key bundle")
        }
        ClientError::Refused { problem, .. } if matches!(problem.status, 401 | 403) => {
            (Code::NotEntitled, "use a certificate or key that may do this")
        }
        ClientError::Refused { problem, .. } if problem.status == 404 => {
            (Code::NotADepot, "check the address and the repository id")
        }
        ClientError::Refused { .. } | ClientError::Protocol { .. } => {
            (Code::Depot, "look at the server's log")
        }
        ClientError::Damaged { .. } => (Code::Damaged, "read it at another site"),
        ClientError::Address { .. } => (Code::Usage, "write the address as https://host:port"),
    };
    Failure::new(code, format!("the request to {} ended early", address(url)), next).because(error)
}
