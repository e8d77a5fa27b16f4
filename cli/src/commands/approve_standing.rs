//! `lumbung approve standing`: the PD's custodian opens the next snapshots of datasets to a verifier that tests them by itself.
//!
//! Invariants: the grants of the base are at the depot before the approval that names them; each dataset has a consent of its
//! own, so that one can be taken back without the others; nothing is sealed before the custodian has seen it in words.

use std::path::PathBuf;

use clap::Args;
use lumbung_engine::{Consented, Snapshot, open_for_consent};
use lumbung_model::{ConsentId, DatasetId};
use lumbung_pack::grant;
use lumbung_pack::standing::write_approval;
use lumbung_pack::{Grant, GrantRequest, Kind, Signed, StandingApproval, Wanted, object_id, sign};
use lumbung_seal::{KeyBundle, seal_grants};

use super::approve::{DecisionArgs, Term, check_entitled, explain, read};
use super::approve_text::{self as text, Said};
use crate::confirm::confirm;
use crate::depot::{Access, DepotArgs, Opened};
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::files::{create, existing};
use crate::keys::KeyArgs;
use crate::listing;
use crate::opening::APPROVAL_FILE;
use crate::terminal::Terminal;

/// Arguments of `approve standing`.
#[derive(Debug, Args)]
pub(crate) struct StandingArgs {
    /// File from `lumbung approve request --standing`
    request: PathBuf,
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    decision: DecisionArgs,
    /// Write the approvals to this file too, as a record
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Open it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// One dataset's approval, and what its base opens.
pub(super) struct Drafted {
    pub(super) approval: StandingApproval,
    pub(super) base: Option<Based>,
}

/// The dataset's latest snapshot, opened.
pub(super) struct Based {
    pub(super) said: Said,
    consented: Consented,
}

/// Runs `lumbung approve standing`.
///
/// # Errors
/// If the request is another one's, or something of it cannot be opened.
pub(super) fn standing(args: &StandingArgs, terminal: &Terminal) -> Outcome<Exit> {
    let request = read(&args.request)?;
    if let Some(out) = args.out.as_deref().filter(|out| out.exists()) {
        return Err(existing(out, APPROVAL_FILE));
    }
    let datasets = datasets(&request.body)?;
    let (letter, lasting_s) = args.decision.check(&request.body)?;
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::Bundle(&bundle))?;
    check_entitled(&request, &opened, &bundle)?;
    let term = args.decision.term("approval", lasting_s, terminal)?;
    let latest = latest(&opened, &datasets, terminal)?;
    let mut drafted = Vec::new();
    for (dataset, snapshot) in datasets.iter().zip(latest) {
        let approval = draft(&request, letter, (*dataset, snapshot.as_ref()), term);
        let base = snapshot.map(|snapshot| based(&opened, &bundle, snapshot)).transpose()?;
        drafted.push(Drafted { approval, base });
    }
    confirm(&text::standing_words(&drafted, terminal), args.yes, terminal)?;
    deliver(args, &opened, &bundle, &drafted)?;
    terminal.result(&text::standing_json(&drafted, args.out.as_deref()), || {
        text::standing(&drafted, &opened, args.out.as_deref(), terminal)
    })?;
    Ok(Exit::Fine)
}

/// The datasets that a request asks for, each once.
fn datasets(request: &GrantRequest) -> Outcome<Vec<DatasetId>> {
    let mut datasets = Vec::new();
    for wanted in &request.wanted {
        match wanted {
            Wanted::Standing(dataset) if datasets.contains(dataset) => {}
            Wanted::Standing(dataset) => datasets.push(*dataset),
            Wanted::Snapshot(_) | Wanted::Latest(_) => {
                let message = "the request asks for single snapshots";
                let next = "open them with `lumbung approve grant`, or have it drawn up again with --standing";
                return Err(Failure::new(Code::Usage, message, next));
            }
        }
    }
    Ok(datasets)
}

/// The latest snapshot of each dataset; nothing where it has none yet.
fn latest(
    opened: &Opened,
    datasets: &[DatasetId],
    terminal: &Terminal,
) -> Outcome<Vec<Option<Snapshot>>> {
    let list = listing::read(opened)?;
    let of = |dataset: &DatasetId| {
        if list.counted().all(|snapshot| snapshot.dataset != *dataset) {
            return Ok(None);
        }
        list.select("latest", Some(&dataset.to_string()), terminal).map(Some)
    };
    datasets.iter().map(of).collect()
}

fn draft(
    request: &Signed<GrantRequest>,
    letter: &str,
    (dataset, base): (DatasetId, Option<&Snapshot>),
    term: Term,
) -> StandingApproval {
    StandingApproval {
        repository: request.body.repository,
        consent: ConsentId::random(),
        grantee: grant::grantee(request),
        dataset,
        name: request.body.name.clone(),
        letter: letter.to_owned(),
        purpose: request.body.purpose.clone(),
        issued: term.issued,
        from: term.from,
        until: term.until,
        base: base.map(|snapshot| snapshot.id).into_iter().collect(),
    }
}

fn based(opened: &Opened, bundle: &KeyBundle, snapshot: Snapshot) -> Outcome<Based> {
    let depot = opened.depot.as_ref();
    let consented = open_for_consent(depot, &opened.chain, &[snapshot.id], bundle.recovery())
        .map_err(explain)?;
    let said = Said::of(opened, &[snapshot], &consented, bundle.recovery());
    Ok(Based { said, consented })
}

/// The grant of an approval's base: the same consent, for the same time.
fn base_grant(approval: &StandingApproval) -> Grant {
    Grant {
        repository: approval.repository,
        consent: approval.consent,
        part: 1,
        parts: 1,
        grantee: approval.grantee,
        name: approval.name.clone(),
        letter: approval.letter.clone(),
        purpose: approval.purpose.clone(),
        issued: approval.issued,
        from: approval.from,
        until: approval.until,
        snapshots: approval.base.clone(),
        encapsulated: [0; 32],
        sealed: Vec::new(),
    }
}

fn deliver(
    args: &StandingArgs,
    opened: &Opened,
    bundle: &KeyBundle,
    drafted: &[Drafted],
) -> Outcome<()> {
    let mut objects = Vec::new();
    for one in drafted {
        if let Some(base) = &one.base {
            let grants = seal_grants(&base_grant(&one.approval), &base.consented.openings)
                .map_err(|e| {
                    let message = "the base of the approval could not be sealed";
                    let next = "have the request drawn up again";
                    Failure::new(Code::Usage, message, next).because(e)
                })?;
            let signed = grants.iter().map(|grant| (Kind::Grant, sign(grant, bundle.root())));
            objects.extend(signed);
        }
        objects.push((Kind::StandingApproval, sign(&one.approval, bundle.root())));
    }
    if let Some(out) = &args.out {
        let approvals = objects.iter().filter(|(kind, _)| *kind == Kind::StandingApproval);
        let file: String = approvals.map(|(_, object)| write_approval(object)).collect();
        create(out, APPROVAL_FILE, file.as_bytes(), 0o644)?;
    }
    for (kind, object) in &objects {
        opened.depot.put(*kind, &object_id(object), object).explain(
            Code::Depot,
            || format!("the {} could not be stored in {}", kind.name(), opened.name()),
            "look at `lumbung approve list`, then run it again",
        )?;
    }
    Ok(())
}
