//! A small city in a directory: controller, Pusat Data, DRC, and PD with their servers and custodians.
//!
//! Everything is done as its people would do it, through the programs' command lines and configuration files:
//! the Dinas makes the CA and the register, each site enrols, each custodian makes a key and signs rosters, each server
//! enrols with a one-time token.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use lumbung_model::{DatasetId, ManifestId, RepositoryId};
use lumbung_pack::Kind;
use serde::Deserialize;
use serde_json::Value;

use crate::hosts::Host;
use crate::process::{Daemon, eventually, free_port, output, program};

/// The passphrase of every key bundle in the bed.
pub const PASSPHRASE: &str = "padi menguning di lumbung kota";

/// What a vault prints of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct SitePublic {
    /// The site.
    pub site: String,
    /// The pin of its TLS key.
    pub tls_pin: String,
}

/// A vault.
pub struct Site {
    /// As in the register.
    pub name: &'static str,
    /// Its own directory: configuration, data, log.
    pub dir: PathBuf,
    /// Where it answers.
    pub url: String,
    /// What `init` printed.
    pub public: SitePublic,
    host: Host,
    listen: String,
    daemon: Option<Daemon>,
}

impl Site {
    fn create(dir: &Path, name: &'static str, host: Host) -> Result<Self> {
        let dir = dir.join(name);
        fs::create_dir_all(&dir)?;
        let listen = format!("{}:{}", host.address(), free_port()?);
        let mut site = Self {
            name,
            url: format!("https://{listen}"),
            public: SitePublic { site: String::new(), tls_pin: String::new() },
            dir,
            host,
            listen,
            daemon: None,
        };
        site.configure(&[])?;
        let init = output(site.command().args(["init", "--json"]))?;
        fs::write(site.init_file(), &init)?;
        site.public = serde_json::from_str(&init)?;
        Ok(site)
    }

    /// Writes its configuration: it pulls from, and repairs from, the sources.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn configure(&self, sources: &[&Self]) -> Result<()> {
        let mut text = format!(
            "data = \"{}\"\nlisten = \"{}\"\nurl = \"{}\"\nlock = \"30d\"\ninventory_delay = \"1s\"\n\
             scrub_interval = \"10s\"\npull_interval = \"1s\"\nreserve = \"1 MiB\"\n",
            self.data().display(),
            self.listen,
            self.url
        );
        for source in sources {
            let SitePublic { site, tls_pin } = &source.public;
            text.push_str(&format!(
                "\n[[source]]\nsite = \"{site}\"\nurl = \"{}\"\npin = \"{tls_pin}\"\n",
                source.url
            ));
        }
        fs::write(self.dir.join("vault.toml"), text)?;
        Ok(())
    }

    /// Where the repositories are.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The directory of one repository: a depot like any other.
    #[must_use]
    pub fn repository(&self, id: &RepositoryId) -> PathBuf {
        self.data().join("repositories").join(id.to_string())
    }

    /// Writes the vault's certificate with its key to a file, as whoever has taken the machine over has them.
    ///
    /// # Errors
    /// If they cannot be read, or the file not be written.
    pub fn steal_identity(&self, file: &Path) -> Result<()> {
        let state = self.data().join("state");
        let read = |name: &str| fs::read_to_string(state.join(name));
        Ok(fs::write(file, read("tls.pem")? + &read("tls.key")?)?)
    }

    /// The file with what `init` printed.
    #[must_use]
    pub fn init_file(&self) -> PathBuf {
        self.dir.join("site.json")
    }

    /// `lumbung-vault` with this site's configuration.
    ///
    /// # Panics
    /// If it was not built.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = self.host.command(&program("lumbung-vault").expect("built"));
        command.arg("--config").arg(self.dir.join("vault.toml"));
        command
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(&mut self) -> Result<()> {
        let mut daemon =
            Daemon::start(self.name, self.command().arg("run"), &self.dir.join("log"))?;
        daemon.wait_for("the vault is ready")?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::id)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.kill())
    }
}

/// The controller.
pub struct Controller {
    dir: PathBuf,
    /// Where it answers.
    pub url: String,
    /// `sha256:…` of its CA.
    pub ca_fingerprint: String,
    host: Host,
    listen: String,
    daemon: Option<Daemon>,
}

impl Controller {
    /// Makes a controller, which is not started, in a directory of its own below `dir`.
    ///
    /// # Errors
    /// If it refuses.
    pub fn create(dir: &Path) -> Result<Self> {
        Self::create_on(dir, Host::loopback())
    }

    fn create_on(dir: &Path, host: Host) -> Result<Self> {
        let mut controller = Self::prepare(&dir.join("controller"), host)?;
        let init: Value =
            serde_json::from_str(&output(controller.command().args(["--json", "init"]))?)?;
        controller.ca_fingerprint = text_of(&init, "ca_fingerprint")?;
        Ok(controller)
    }

    /// A second controller's place, on this machine and with the CA of the first one: its configuration, and nothing else yet.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn place_beside(&self, dir: &Path) -> Result<Self> {
        let ca_fingerprint = self.ca_fingerprint.clone();
        Ok(Self { ca_fingerprint, ..Self::prepare(dir, Host::loopback())? })
    }

    fn prepare(dir: &Path, host: Host) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let address = host.address();
        let listen = format!("{address}:{}", free_port()?);
        let text = format!(
            "data_dir = \"{}\"\nlisten = \"{listen}\"\nnames = [\"{address}\"]\nprofile = \"medan\"\n\n[heartbeat]\ninterval_s = 5\n\n[poll]\ninterval_s = 1\n\n[standby]\ninterval_s = 1\n",
            dir.join("data").display()
        );
        fs::write(dir.join("controller.toml"), text)?;
        let (url, dir) = (format!("https://{listen}"), dir.to_path_buf());
        Ok(Self { dir, url, ca_fingerprint: String::new(), host, listen, daemon: None })
    }

    /// A controller with a register and without any city around it.
    ///
    /// # Errors
    /// If it does not start, or the register is refused.
    pub fn alone(dir: &Path, register: &Path) -> Result<Self> {
        let mut controller = Self::create(dir)?;
        output(controller.command().arg("import").arg(register))?;
        controller.start()?;
        Ok(controller)
    }

    /// As [`Self::alone`], with a register of this text.
    ///
    /// # Errors
    /// If it does not start, or the register is refused.
    pub fn with_register(dir: &Path, register: &str) -> Result<Self> {
        let file = dir.join("register.toml");
        fs::write(&file, register)?;
        Self::alone(dir, &file)
    }

    /// `lumbung` of an operator who knows this controller, with a home of its own.
    ///
    /// # Panics
    /// If it was not built.
    #[must_use]
    pub fn lumbung(&self, home: &Path) -> Command {
        let mut command = self.host.command(&program("lumbung").expect("built"));
        command.env("HOME", home).env_remove("XDG_CONFIG_HOME");
        self.operate(&mut command);
        command
    }

    /// Lets `lumbung` know this controller, as an operator.
    fn operate(&self, command: &mut Command) {
        command.env("LUMBUNG_CONTROLLER", &self.url);
        command.env("LUMBUNG_IDENTITY", self.operator());
        command.env("LUMBUNG_CA_FINGERPRINT", &self.ca_fingerprint);
    }

    /// Where it runs.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// What its daemon has written.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("log"))?)
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its data directory: database, CA, keys.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The operator's certificate and key.
    #[must_use]
    pub fn operator(&self) -> PathBuf {
        self.data().join("operator.pem")
    }

    /// `lumbung-controller` with its configuration.
    ///
    /// # Panics
    /// If it was not built.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = self.host.command(&program("lumbung-controller").expect("built"));
        command.arg("--config").arg(self.dir.join("controller.toml"));
        command
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(&mut self) -> Result<()> {
        self.start_as("run", "listening")
    }

    /// Starts it with this command, and waits until it says that it is in this state: `listening`, `standby`, …
    ///
    /// # Errors
    /// If it does not.
    pub fn start_as(&mut self, command: &str, state: &str) -> Result<()> {
        let mut run = self.command();
        self.daemon = Some(Daemon::start("controller", run.arg(command), &self.dir.join("log"))?);
        self.becomes(state)
    }

    /// Waits until it says that it is in this state.
    ///
    /// # Errors
    /// If it does not, or does not run.
    pub fn becomes(&mut self, state: &str) -> Result<()> {
        let daemon = self.daemon.as_mut().context("the controller does not run")?;
        daemon.wait_for(&format!("{state} on {}", self.listen)).map(|_| ())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.kill())
    }

    /// SIGTERM, and waits until it has ended in order.
    ///
    /// # Errors
    /// If it cannot be sent, or the controller ends otherwise.
    pub fn stop(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.stop())
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data().join("controller.db")
    }

    /// A one-time token for an `agent` or a `site`, by the name of its server or its own.
    ///
    /// # Errors
    /// If the register does not know it.
    pub fn token(&self, role: &str, of: &str) -> Result<String> {
        let flag = format!("--{}", if role == "agent" { "server" } else { "site" });
        let token = output(self.command().args(["--json", "token", "--role", role, &flag, of]))?;
        text_of(&serde_json::from_str(&token)?, "token")
    }
}

/// What a PD backs up.
pub struct PdPlan {
    /// Its code in the register.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What its server backs up; a PD without any has no agent.
    pub paths: Vec<PathBuf>,
}

/// A PD with a server, an agent and a custodian.
pub struct Pd {
    /// Its code.
    pub code: &'static str,
    /// Its repository.
    pub repository: RepositoryId,
    /// Its dataset.
    pub dataset: DatasetId,
    /// What the dataset holds.
    pub paths: Vec<PathBuf>,
    /// The server's directory: configuration and state of the agent.
    pub server: PathBuf,
    /// The custodian's directory: the key bundle and the depot in which rosters are made.
    pub custodian: PathBuf,
    host: Host,
    daemon: Option<Daemon>,
}

impl Pd {
    /// The key bundle.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.custodian.join("pd.key")
    }

    /// `lumbung-agent` with this server's configuration.
    ///
    /// # Panics
    /// If it was not built.
    #[must_use]
    pub fn agent(&self) -> Command {
        let mut command = self.host.command(&program("lumbung-agent").expect("built"));
        command.arg("--config").arg(self.server.join("agent.toml"));
        command
    }

    /// Starts the daemon.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&mut self) -> Result<()> {
        let mut daemon =
            Daemon::start(self.code, self.agent().arg("run"), &self.server.join("log"))?;
        daemon.wait_for("of repository")?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Stops the daemon in order and starts it again.
    ///
    /// # Errors
    /// If it does not end in order, or does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// Stops the daemon in order, if it runs.
    ///
    /// # Errors
    /// If it does not end in order.
    pub fn stop(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.stop())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::id)
    }

    fn configure(&self, sites: &[&Site]) -> Result<()> {
        let mut text = format!(
            "[agent]\nstate = \"{}\"\nheartbeat_interval = \"5s\"\n",
            self.server.join("state").display()
        );
        for site in sites {
            text.push_str(&format!(
                "\n[[site]]\nname = \"{}\"\nurl = \"{}\"\n",
                site.name, site.url
            ));
        }
        text.push_str(&format!(
            "\n[[job]]\nname = \"data\"\ndataset = \"{}\"\nlabel = \"{}\"\npaths = {:?}\n",
            self.dataset, self.code, self.paths
        ));
        fs::write(self.server.join("agent.toml"), text)?;
        Ok(())
    }
}

/// The city.
pub struct City {
    /// Where all of it is.
    pub dir: PathBuf,
    /// The controller.
    pub controller: Controller,
    /// The Pusat Data.
    pub pusat: Site,
    /// The DRC.
    pub drc: Site,
    /// The PD that have an agent.
    pub pds: Vec<Pd>,
}

fn text_of(value: &Value, key: &str) -> Result<String> {
    let text = value.get(key).and_then(Value::as_str);
    Ok(text.with_context(|| format!("{value} has no {key}"))?.to_owned())
}

impl City {
    /// Waits until the DRC has a snapshot of the first PD.
    ///
    /// # Errors
    /// If it does not come.
    pub fn arrives(&self, snapshot: ManifestId) -> Result<()> {
        let there = self.drc.repository(&self.pds[0].repository);
        let file = there.join(Kind::Manifest.folder()).join(snapshot.to_string());
        eventually("the DRC has the snapshot", || {
            Ok(file.exists().then_some(()).ok_or_else(|| file.display().to_string()))
        })
    }

    /// Builds and starts a city; `step` hears what is being done.
    ///
    /// # Errors
    /// If any of its people is refused something.
    pub fn found(dir: &Path, plans: Vec<PdPlan>, step: impl FnMut(&str)) -> Result<Self> {
        Self::found_on(dir, plans, [Host::loopback(), Host::loopback()], step)
    }

    /// As [`Self::found`], with the Pusat Data and the controller on one host and the DRC on another.
    ///
    /// # Errors
    /// If any of its people is refused something.
    pub fn found_on(
        dir: &Path,
        plans: Vec<PdPlan>,
        sites: [Host; 2],
        step: impl FnMut(&str),
    ) -> Result<Self> {
        let plans = plans.into_iter().map(|plan| (plan, Host::loopback())).collect();
        Self::found_at(dir, plans, sites, step)
    }

    /// As [`Self::found_on`], with each PD's server on a host of its own.
    ///
    /// # Errors
    /// If any of its people is refused something.
    pub fn found_at(
        dir: &Path,
        plans: Vec<(PdPlan, Host)>,
        [here, there]: [Host; 2],
        mut step: impl FnMut(&str),
    ) -> Result<Self> {
        let (plans, hosts): (Vec<PdPlan>, Vec<Host>) = plans.into_iter().unzip();
        step("the Dinas makes the CA, the register and two sites");
        let mut controller = Controller::create_on(dir, here.clone())?;
        let mut pusat = Site::create(dir, "Pusat Data", here)?;
        let mut drc = Site::create(dir, "DRC", there)?;
        let datasets: Vec<DatasetId> = plans.iter().map(|_| DatasetId::random()).collect();
        let register = dir.join("register.toml");
        fs::write(&register, register_text(&plans, &datasets))?;
        output(controller.command().arg("import").arg(&register))?;
        controller.start()?;
        for site in [&pusat, &drc] {
            let token = controller.token("site", site.name)?;
            let mut enroll = site.command();
            enroll.args([
                "enroll",
                "--controller",
                &controller.url,
                "--ca-fingerprint",
                &controller.ca_fingerprint,
            ]);
            output(enroll.args(["--token", &token]))?;
        }
        pusat.configure(&[&drc])?;
        drc.configure(&[&pusat])?;
        pusat.start()?;
        drc.start()?;
        let mut city = Self { dir: dir.to_path_buf(), controller, pusat, drc, pds: Vec::new() };
        let admitted = plans.into_iter().zip(datasets).zip(hosts);
        for ((plan, dataset), host) in admitted.filter(|((plan, _), _)| !plan.paths.is_empty()) {
            step(&format!("{}: the custodian makes a key, the server enrols", plan.name));
            let pd = city.admit(plan, dataset, host)?;
            city.pds.push(pd);
        }
        Ok(city)
    }

    /// A PD joins: key ceremony, enrolment, roster.
    fn admit(&self, plan: PdPlan, dataset: DatasetId, host: Host) -> Result<Pd> {
        let (server, custodian) =
            (self.dir.join(plan.code).join("server"), self.dir.join(plan.code).join("custodian"));
        fs::create_dir_all(&server)?;
        fs::create_dir_all(&custodian)?;
        let key = custodian.join("pd.key");
        let depot = custodian.join("rosters");
        output(self.lumbung().args(["key", "new", "--label", plan.code]).arg(&key))?;
        let mut init = self.lumbung();
        init.args(["--json", "repo", "init"]).arg(&depot).arg("--key").arg(&key);
        for site in [&self.pusat, &self.drc] {
            init.arg("--site").arg(site.init_file());
        }
        let made: Value = serde_json::from_str(&output(&mut init)?)?;
        let repository: RepositoryId = text_of(&made, "repository")?.parse()?;
        let pd = Pd {
            code: plan.code,
            repository,
            dataset,
            paths: plan.paths,
            server,
            custodian,
            host,
            daemon: None,
        };
        pd.configure(&[&self.pusat, &self.drc])?;
        self.enroll(&pd)?;
        for site in [&self.pusat, &self.drc] {
            output(site.command().arg("admit").arg(repository.to_string()))?;
            self.publish(&pd, site)?;
        }
        Ok(pd)
    }

    fn enroll(&self, pd: &Pd) -> Result<()> {
        let token = self.controller.token("agent", &format!("srv-{}", pd.code.to_lowercase()))?;
        let mut enroll = pd.agent();
        enroll.args(["--json", "enroll", "--controller", &self.controller.url]);
        enroll.args(["--ca-fingerprint", &self.controller.ca_fingerprint, "--token", &token]);
        enroll.args(["--repository", &pd.repository.to_string()]);
        let enrolled: Value = serde_json::from_str(&output(&mut enroll)?)?;
        let code = text_of(&enrolled, "code")?;
        let mut add = self.lumbung();
        add.args(["roster", "add-agent"]).arg(pd.custodian.join("rosters")).arg(&code);
        output(add.arg("--key").arg(pd.key()).args(["--label", pd.code]))?;
        Ok(())
    }

    /// The custodian brings the rosters to a site.
    ///
    /// # Errors
    /// If the site refuses them.
    pub fn publish(&self, pd: &Pd, site: &Site) -> Result<()> {
        let mut publish = self.lumbung();
        publish.args(["roster", "publish"]).arg(pd.custodian.join("rosters")).arg(&site.url);
        output(publish.arg("--key").arg(pd.key()))?;
        Ok(())
    }

    /// `lumbung` on a custodian's or operator's machine: with the passphrase, and a home of its own.
    ///
    /// # Panics
    /// If it was not built.
    #[must_use]
    pub fn lumbung(&self) -> Command {
        // Whoever works with it sits beside the controller.
        let mut command = self.controller.host.command(&program("lumbung").expect("built"));
        command
            .env("LUMBUNG_PASSPHRASE", PASSPHRASE)
            .env("HOME", &self.dir)
            .env_remove("XDG_CONFIG_HOME");
        command
    }

    /// `lumbung` of an operator: it knows the controller.
    #[must_use]
    pub fn operator(&self) -> Command {
        let mut command = self.lumbung();
        self.controller.operate(&mut command);
        command
    }

    /// Starts again what was killed.
    ///
    /// # Errors
    /// If something does not start.
    pub fn restart_the_dead(&mut self) -> Result<()> {
        if self.controller.daemon.is_none() {
            self.controller.start()?;
        }
        for site in [&mut self.pusat, &mut self.drc] {
            if site.daemon.is_none() {
                site.start()?;
            }
        }
        Ok(())
    }

    /// Lets days pass on every machine: what runs is killed, and started again with clocks that are ahead.
    ///
    /// # Errors
    /// If something does not start.
    pub fn pass_days(&mut self, days: u32) -> Result<()> {
        self.controller.kill()?;
        self.controller.host.clocks.pass_days(days);
        for site in [&mut self.pusat, &mut self.drc] {
            site.kill()?;
            site.host.clocks.pass_days(days);
        }
        self.restart_the_dead()?;
        for pd in &mut self.pds {
            pd.host.clocks.pass_days(days);
            if let Some(mut daemon) = pd.daemon.take() {
                daemon.kill()?;
                pd.start()?;
            }
        }
        Ok(())
    }

    /// The compliance table.
    ///
    /// # Errors
    /// If the controller does not answer.
    pub fn compliance(&self) -> Result<Value> {
        Ok(serde_json::from_str(&output(self.operator().args(["--json", "compliance"]))?)?)
    }
}

fn register_text(plans: &[PdPlan], datasets: &[DatasetId]) -> String {
    let mut text = String::from(
        "[[site]]\nname = \"Pusat Data\"\nkind = \"pusat_data\"\nlatitude = 3.5952\nlongitude = 98.6722\n\
         address = \"Medan\"\n\n\
         [[site]]\nname = \"DRC\"\nkind = \"drc\"\nlatitude = 2.9595\nlongitude = 99.0687\naddress = \"Pematangsiantar\"\n",
    );
    for (plan, dataset) in plans.iter().zip(datasets) {
        let PdPlan { code, name, paths } = plan;
        text.push_str(&format!(
            "\n[[pd]]\ncode = \"{code}\"\nname = \"{name}\"\ncontact = \"Service desk {name}\"\n"
        ));
        if paths.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "\n[[pd.server]]\nname = \"srv-{}\"\nkind = \"physical\"\n\n[[pd.server.dataset]]\nid = \"{dataset}\"\n\
             name = \"Data {name}\"\nkind = \"files\"\nowner = \"Kepala {name}\"\nclassification = \"non_public\"\n\
             urgency = \"critical\"\nretention = \"5 tahun\"\nperiod = \"setiap 6 jam\"\nmedia = \"Pusat Data dan DRC\"\n\
             paths = {paths:?}\n",
            code.to_lowercase()
        ));
    }
    text
}
