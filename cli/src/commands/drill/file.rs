//! A plan's file: TOML in which datasets, services, servers and sites may be named as people call them.
//!
//! Invariants: a name is put in its id's place in the text itself, so that whatever is wrong afterwards is told with the file's own
//! line; without a controller, every name stands for an id that no row has.

use std::path::Path;

use lumbung_model::drill::{DrillPlan, PlanFault, faults};
use lumbung_model::toml_text;
use lumbung_wire::messages::register::{Dataset, Server, Service, Site};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use crate::commands::register::{list_of, the};
use crate::controller::Controller;
use crate::failure::{Code, Failure, Outcome};
use crate::files::read_text;

/// What of a plan's file names rows of the register.
#[derive(Debug, Deserialize)]
struct Names {
    runner: Option<Spanned<String>>,
    isolates: Option<Spanned<String>>,
    #[serde(default)]
    servers: Vec<Spanned<String>>,
    #[serde(default)]
    datasets: Vec<DatasetName>,
    #[serde(default)]
    services: Vec<ServiceName>,
}

#[derive(Debug, Deserialize)]
struct DatasetName {
    dataset: Spanned<String>,
}

#[derive(Debug, Deserialize)]
struct ServiceName {
    service: Spanned<String>,
}

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dataset,
    Service,
    Server,
    Site,
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The plan in a file, its names looked up at the controller.
///
/// # Errors
/// If the file is no plan, or nothing has such a name.
pub(super) fn read(path: &Path, controller: &Controller) -> Outcome<DrillPlan> {
    let text = read_text(path, "the plan")?;
    parse(path, &text, |kind, name| look_up(controller, kind, name))
}

/// The plan in a file, and everything that is wrong with it, as far as the file alone tells.
///
/// # Errors
/// If the file is no plan.
pub(super) fn check(path: &Path) -> Outcome<(DrillPlan, Vec<PlanFault>)> {
    let text = read_text(path, "the plan")?;
    let plan = parse(path, &text, |kind, name| Ok(stand_in(kind, name)))?;
    let found = faults(&plan);
    Ok((plan, found))
}

fn bad(error: &toml_text::TomlError) -> Failure {
    let next = "correct that line; docs/operations shows what a plan may hold";
    Failure::new(Code::BadFile, error.to_string(), next)
}

fn parse(
    path: &Path,
    text: &str,
    mut id: impl FnMut(Kind, &str) -> Outcome<String>,
) -> Outcome<DrillPlan> {
    let file = path.display().to_string();
    let mut replaced = text.to_owned();
    // A file whose names cannot be read is told by what reads all of it.
    if let Ok(names) = toml::from_str::<Names>(text) {
        let mut found = Vec::new();
        found.extend(names.runner.map(|name| (Kind::Server, name)));
        found.extend(names.isolates.map(|name| (Kind::Site, name)));
        found.extend(names.servers.into_iter().map(|name| (Kind::Server, name)));
        found.extend(names.datasets.into_iter().map(|one| (Kind::Dataset, one.dataset)));
        found.extend(names.services.into_iter().map(|one| (Kind::Service, one.service)));
        found.retain(|(_, name)| !is_id(name.get_ref()));
        // From behind, so that what stands before stays where it is.
        found.sort_by_key(|(_, name)| std::cmp::Reverse(name.span().start));
        for (kind, name) in found {
            let known = id(kind, name.get_ref())?;
            replaced.replace_range(name.span(), &format!("\"{known}\""));
        }
    }
    toml_text::parse(&file, &replaced).map_err(|error| bad(&error))
}

/// An id that stands for a name where nobody can be asked: the same for the same name.
fn stand_in(kind: Kind, name: &str) -> String {
    let hash = Sha256::digest(format!("{kind:?} {name}"));
    crate::terminal::hex(&hash[..16])
}

/// The PD and the rest of `PD/NAME`.
fn split(kind: Kind, name: &str) -> Outcome<(&str, &str)> {
    name.split_once('/').filter(|(pd, rest)| !pd.is_empty() && !rest.is_empty()).ok_or_else(|| {
        let message = format!("{name:?} names no {kind:?} of the register");
        let next =
            "write PD/NAME, as in \"RSUD/simrs-db\", or the id; sites are named without a PD";
        Failure::new(Code::BadFile, message.to_lowercase(), next)
    })
}

fn look_up(controller: &Controller, kind: Kind, name: &str) -> Outcome<String> {
    if kind == Kind::Site {
        let sites: Vec<Site> = controller.list("/api/v1/sites")?;
        return the(sites, "site", name, |one| (&one.name, one.id.to_string()))
            .map(|one| one.id.to_string());
    }
    let (pd, name) = split(kind, name)?;
    let id = match kind {
        Kind::Dataset => {
            let all: Vec<Dataset> = list_of(controller, "datasets", Some(pd))?;
            the(all, "dataset", name, |one| (&one.name, one.id.to_string()))?.id.to_string()
        }
        Kind::Service => {
            let all: Vec<Service> = list_of(controller, "services", Some(pd))?;
            the(all, "service", name, |one| (&one.name, one.id.to_string()))?.id.to_string()
        }
        Kind::Server | Kind::Site => {
            let all: Vec<Server> = list_of(controller, "servers", Some(pd))?;
            the(all, "server", name, |one| (&one.name, one.id.to_string()))?.id.to_string()
        }
    };
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"title = "Uji"
kind = "restore"
scenario = "x"
runner = "DISKOMINFO/drc-1"
targets = { rto = "1 h", rpo = "1 h" }
servers = ["RSUD/web", "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"]

[[datasets]]
key = "simrs"
dataset = "RSUD/simrs-db"

[[steps]]
id = "pulihkan"
title = "Pulihkan"
limit = "1 h"
action = { kind = "restore", dataset = "simrs", to = "scratch", place = "uji" }
"#;

    fn parsed(text: &str) -> Outcome<DrillPlan> {
        parse(Path::new("rencana.toml"), text, |kind, name| Ok(stand_in(kind, name)))
    }

    #[test]
    fn names_become_ids_and_ids_stay() {
        let plan = parsed(PLAN).expect("a plan");
        assert!(faults(&plan).is_empty());
        let id = |kind, name: &str| stand_in(kind, name);
        assert_eq!(plan.datasets[0].dataset.to_string(), id(Kind::Dataset, "RSUD/simrs-db"));
        assert_eq!(plan.servers[0].to_string(), id(Kind::Server, "RSUD/web"));
        assert_eq!(plan.servers[1].to_string(), "0a".repeat(16));
        assert_ne!(id(Kind::Server, "RSUD/web"), id(Kind::Service, "RSUD/web"));
        // What the steps call it is its key, and is no name of the register.
        let Some(first) = plan.steps.first() else { panic!("a step") };
        assert!(format!("{:?}", first.action).contains("simrs"));
    }

    #[test]
    fn a_line_is_that_of_the_file() {
        let error = parsed(&PLAN.replace("limit = \"1 h\"", "limt = \"1 h\"")).expect_err("wrong");
        let text = error.text();
        assert!(text.contains("rencana.toml:15"), "{text}");
        assert!(text.contains("did you mean `limit`?"), "{text}");
        assert!(split(Kind::Dataset, "simrs").is_err() && split(Kind::Dataset, "RSUD/").is_err());
    }
}
