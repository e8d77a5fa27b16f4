//! A real vault on loopback that keeps the repository: what it holds is beneath the root of a play, its keys are not.

use std::path::Path;
use std::sync::Arc;

use lumbung_engine::{Depot, HttpDepot};
use lumbung_model::{Clock as _, RepositoryId, SystemClock};
use lumbung_pack::{RosterSite, object_id};
use lumbung_store::{RepositoryDir, durable};
use lumbung_vault::state::{SitePublic, State};
use lumbung_vault::{Config, Founder, Vault, http};
use lumbung_wire::certs::{Authority, IssueRequest, KeyPem, csr};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::tls::{TlsIdentity, client_config};
use lumbung_wire::{ServerTrust, VaultClient};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Keeper, Opened, scratch};
use crate::world::World;

/// A site: its keys, and the CA of its city.
pub(super) struct Served {
    keys: TempDir,
    ca: Authority,
    public: SitePublic,
    runtime: Runtime,
}

impl Served {
    pub(super) fn new() -> Self {
        let keys = scratch();
        let now = SystemClock.now();
        let ca = Authority::generate("test CA", now).unwrap().0;
        let public = State::at(keys.path().to_owned()).init().unwrap();
        let key = KeyPem::new(std::fs::read_to_string(keys.path().join("tls.key")).unwrap());
        let wanted = IssueRequest {
            common_name: "site".into(),
            names: CertificateNames::site(public.site),
            hosts: vec!["127.0.0.1".into()],
            now,
        };
        let issued = ca.issue(&csr(&key, "site").unwrap(), &wanted).unwrap();
        std::fs::write(keys.path().join("tls.pem"), issued.certificate_pem).unwrap();
        std::fs::write(keys.path().join("ca.pem"), ca.certificate_pem()).unwrap();
        Self { keys, ca, public, runtime: Runtime::new().unwrap() }
    }

    /// How a roster lists the site.
    pub(super) fn listed(&self) -> RosterSite {
        RosterSite {
            site: self.public.site,
            receipt_key: self.public.receipt_key,
            tls_pin: self.public.tls_pin,
            label: "site".into(),
        }
    }

    fn state(&self) -> State {
        State::at(self.keys.path().to_owned())
    }

    fn vault(&self, root: &Path) -> Result<Vault, String> {
        let data = root.join(self.folder());
        durable::make_directories(&data, 0o700).unwrap();
        let file = tempfile::NamedTempFile::new_in(self.keys.path()).unwrap();
        let text = format!("data = {data:?}\nlisten = \"127.0.0.1:0\"\nreserve = \"0\"\n");
        std::fs::write(file.path(), text).unwrap();
        let config = Config::load(file.path()).unwrap();
        let identity = self.state().identity().unwrap();
        let vault = Vault::open(config, identity, Arc::new(SystemClock));
        let vault = vault.map_err(|e| format!("the vault does not open: {e:?}"))?;
        vault.reconcile().map_err(|e| format!("the vault does not start: {e:?}"))?;
        Ok(vault)
    }

    /// The vault as the world's agent reaches it.
    fn client(&self, world: &World, url: &str) -> VaultClient {
        let identity = &world.identity;
        let wanted = IssueRequest {
            common_name: "agent".into(),
            names: CertificateNames::agent(
                world.repository,
                identity.agent,
                identity.key.public(),
                None,
            ),
            hosts: Vec::new(),
            now: SystemClock.now(),
        };
        let (issued, key) = self.ca.issue_with_key(&wanted).unwrap();
        let own = TlsIdentity::from_pem(&issued.certificate_pem, &key).unwrap();
        let trust = ServerTrust::Pins(vec![self.public.tls_pin]);
        VaultClient::new(url, &client_config(Some(&own), trust, Arc::new(SystemClock)).unwrap())
            .unwrap()
    }
}

impl Keeper for Served {
    fn folder(&self) -> &'static str {
        "vault"
    }

    fn found(&self, world: &World, root: &Path) {
        let id = object_id(&world.roster);
        let vault = self.vault(root).unwrap();
        vault.put_roster(&world.repository, &id, &world.roster, Founder::Entitled).unwrap();
    }

    fn open(&self, world: &World, root: &Path) -> Result<Box<dyn Opened>, String> {
        let vault = Arc::new(self.vault(root)?);
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let tls = self.state().server_tls(Arc::new(SystemClock)).unwrap();
        let router = http::router(Arc::clone(&vault));
        let server = self.runtime.spawn(lumbung_wire::serve(listener, tls, router, async {
            let _ = stopped.await;
        }));
        let runtime = self.runtime.handle().clone();
        let depot = HttpDepot::new(
            self.client(world, &url),
            world.repository,
            Some(self.public.site),
            runtime.clone(),
        );
        let directory = root.join(self.folder()).join("repositories");
        let directory = directory.join(world.repository.to_string());
        Ok(Box::new(Serving {
            directory: RepositoryDir::open(directory).map_err(|e| e.to_string())?,
            repository: world.repository,
            vault,
            depot,
            stop: Some((stop, server)),
            runtime,
        }))
    }
}

struct Serving {
    directory: RepositoryDir,
    repository: RepositoryId,
    vault: Arc<Vault>,
    depot: HttpDepot,
    stop: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    runtime: tokio::runtime::Handle,
}

impl Opened for Serving {
    fn depot(&self) -> Arc<dyn Depot> {
        Arc::new(self.depot.clone())
    }

    fn directory(&self) -> RepositoryDir {
        self.directory.clone()
    }

    /// Alarms, and snapshots that the scrub would not call verified.
    fn complaint(&self) -> Option<String> {
        let alarms = self.vault.alarms(10).unwrap();
        if !alarms.is_empty() {
            return Some(format!("alarms: {alarms:?}"));
        }
        let repository = self.vault.repository(&self.repository).unwrap();
        let scrubbed = self
            .vault
            .scrub(&repository, &lumbung_vault::scrub::NoCopies, &lumbung_vault::scrub::FullSpeed)
            .unwrap();
        let report = &scrubbed.report;
        (report.bad > 0 || !report.damaged.is_empty()).then(|| format!("{report:?}"))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some((stop, server)) = self.stop.take() {
            let _ = stop.send(());
            let _ = self.runtime.block_on(server);
        }
    }
}
