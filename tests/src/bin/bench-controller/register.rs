//! The register of a large city, as its import takes it: PD, servers, datasets, two sites.

use std::fmt::Write;

use lumbung_model::{DatasetId, ServerId};

/// A server with what it backs up.
pub(crate) struct ServerPlan {
    pub(crate) id: ServerId,
    pub(crate) datasets: Vec<DatasetId>,
}

/// A PD.
pub(crate) struct PdPlan {
    pub(crate) code: String,
    pub(crate) servers: Vec<ServerPlan>,
}

/// The sites, by name.
pub(crate) const SITES: [&str; 2] = ["Pusat Data", "DRC"];

/// The sites as an import.
pub(crate) fn sites_text() -> String {
    let kinds = ["pusat_data", "drc"];
    let place =
        ["latitude = 3.5952\nlongitude = 98.6722", "latitude = 3.3285\nlongitude = 99.1625"];
    let site = |n: usize| {
        format!("[[site]]\nname = \"{}\"\nkind = \"{}\"\n{}\n", SITES[n], kinds[n], place[n])
    };
    [site(0), site(1)].concat()
}

/// So many servers and datasets, spread evenly.
pub(crate) fn plan(pds: usize, servers: usize, datasets: usize) -> Vec<PdPlan> {
    let share = |all: usize, parts: usize, n: usize| all * (n + 1) / parts - all * n / parts;
    let server = |n: usize| ServerPlan {
        id: ServerId::random(),
        datasets: (0..share(datasets, servers, n)).map(|_| DatasetId::random()).collect(),
    };
    let mut next = 0;
    let pd = |n: usize| {
        let first = next;
        next += share(servers, pds, n);
        PdPlan { code: format!("PD-{n:03}"), servers: (first..next).map(server).collect() }
    };
    (0..pds).map(pd).collect()
}

impl PdPlan {
    /// As an import.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "[[pd]]\ncode = \"{0}\"\nname = \"Dinas {0}\"\ncontact = \"Service desk {0}, 061-000000\"\n",
            self.code
        );
        for (n, server) in self.servers.iter().enumerate() {
            let written = writeln!(
                text,
                "[[pd.server]]\nid = \"{}\"\nname = \"srv-{n}\"\nkind = \"vps\"",
                server.id
            );
            written.expect("text grows");
            for (n, dataset) in server.datasets.iter().enumerate() {
                let urgency = ["critical", "high", "normal", "low"][n % 4];
                let kind = ["files", "postgresql", "mysql"][n % 3];
                let written = writeln!(
                    text,
                    "[[pd.server.dataset]]\nid = \"{dataset}\"\nname = \"berkas {n}\"\nkind = \"{kind}\"\n\
                     owner = \"Kepala Seksi Data\"\nclassification = \"non_public\"\nurgency = \"{urgency}\"\n\
                     retention = \"5 tahun\"\nperiod = \"setiap hari\"\nmedia = \"vault\"\npaths = [\"/srv/{n}\"]"
                );
                written.expect("text grows");
            }
        }
        text
    }
}
