//! Hosts on this machine: loopback, or network namespaces with links between them that can be cut.
//!
//! Invariants: namespaces are named after this process, so that runs do not meet, and are taken away when they go out of
//! scope, with every link of theirs; nothing of the machine's own network is touched. Needs root and iproute2.

use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::clocks::Clocks;
use crate::process::output;

/// Where a program runs.
#[derive(Debug, Clone)]
pub struct Host {
    namespace: Option<String>,
    address: IpAddr,
    /// What its programs see of the time.
    pub clocks: Clocks,
}

impl Host {
    /// This machine, by its loopback address.
    #[must_use]
    pub fn loopback() -> Self {
        Self { namespace: None, address: IpAddr::from([127, 0, 0, 1]), clocks: Clocks::default() }
    }

    /// The network namespace that it is; none: this machine itself.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Does something in this process as if on this host: in a thread that has entered its network.
    ///
    /// # Errors
    /// If the network cannot be entered, or what is done fails.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let Some(namespace) = &self.namespace else { return work() };
        let file = std::fs::File::open(format!("/run/netns/{namespace}"))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            thread.join().unwrap_or_else(|_| anyhow::bail!("it panicked on {namespace}"))
        })
    }

    /// The address at which others reach it.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// A program on this host.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let own = self.clocks.command(program);
        let Some(namespace) = &self.namespace else { return own };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(own.get_program()).args(own.get_args());
        command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }
}

/// Network namespaces, each a host with an address of its own.
pub struct Network {
    hosts: Vec<Host>,
}

impl Network {
    /// Hosts with these addresses, without links.
    ///
    /// # Errors
    /// If `ip` refuses: it needs root.
    pub fn new<const N: usize>(addresses: [&str; N]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut network = Self { hosts: Vec::new() };
        for address in addresses {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let namespace = format!("lb{}-{count}", std::process::id());
            ip(&["netns", "add", &namespace])?;
            let clocks = Clocks::default();
            let host = Host { namespace: Some(namespace), address: address.parse()?, clocks };
            network.hosts.push(host);
            let host = network.hosts.len() - 1;
            network.within(host, &["link", "set", "lo", "up"])?;
            network.within(host, &["address", "add", &format!("{address}/32"), "dev", "lo"])?;
        }
        Ok(network)
    }

    /// One of the hosts.
    #[must_use]
    pub fn host(&self, index: usize) -> Host {
        self.hosts[index].clone()
    }

    fn within(&self, host: usize, arguments: &[&str]) -> Result<()> {
        let namespace = self.hosts[host].namespace.as_deref().unwrap_or_default();
        ip(&[&["-n", namespace], arguments].concat())
    }

    /// A cable between two hosts, each of which knows the way to the other's address by it.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn link(&self, one: usize, other: usize) -> Result<()> {
        let ends = [end(one, other), end(other, one)];
        let namespace = |host: usize| self.hosts[host].namespace.clone().unwrap_or_default();
        ip(&[
            "link",
            "add",
            &ends[0],
            "netns",
            &namespace(one),
            "type",
            "veth",
            "peer",
            "name",
            &ends[1],
            "netns",
            &namespace(other),
        ])?;
        for (host, end) in [(one, &ends[0]), (other, &ends[1])] {
            self.within(host, &["link", "set", end, "up"])?;
        }
        self.join(one, other)?;
        self.join(other, one)
    }

    fn join(&self, host: usize, other: usize) -> Result<()> {
        let (own, there) =
            (self.hosts[host].address.to_string(), self.hosts[other].address.to_string());
        let end = end(host, other);
        self.within(host, &["route", "replace", &there, "dev", &end, "src", &own])
    }

    /// Cuts the cable, at the first one's end.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn cut(&self, one: usize, other: usize) -> Result<()> {
        self.within(one, &["link", "set", &end(one, other), "down"])
    }

    /// Mends the cable that was cut.
    ///
    /// # Errors
    /// If `ip` refuses.
    pub fn mend(&self, one: usize, other: usize) -> Result<()> {
        self.within(one, &["link", "set", &end(one, other), "up"])?;
        // The route went with the link.
        self.join(one, other)
    }
}

/// The cable's end at a host. Names of links have at most 15 bytes.
fn end(at: usize, to: usize) -> String {
    format!("lb{at}to{to}")
}

fn ip(arguments: &[&str]) -> Result<()> {
    output(Command::new("ip").args(arguments)).map(drop)
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().filter_map(|host| host.namespace.as_deref()) {
            // What was not made is not there to be taken away.
            let _ = ip(&["netns", "delete", namespace]);
        }
    }
}
