//! `lumbung-controller approval`: what waits for a second person, decided at the console.

use clap::Subcommand;
use lumbung_model::{ApprovalId, Clock as _, SystemClock};
use lumbung_wire::messages::approvals::Approval;

use super::{Cli, answer};
use crate::act::Act;
use crate::approvals;
use crate::people::access::Scope;
use crate::state_dir::StateDir;

/// Requests that are listed.
const LIST_MAX: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum ApprovalCommand {
    /// List the requests, newest first
    List,
    /// Approve a request, and have it done
    Approve {
        /// Its id
        id: ApprovalId,
    },
    /// Refuse a request
    Refuse {
        /// Its id
        id: ApprovalId,
    },
}

pub(super) fn run(cli: &Cli, state: &StateDir, command: &ApprovalCommand) -> anyhow::Result<()> {
    let db = state.open_db()?;
    let act = Act::console(SystemClock.now());
    let decide = |id, approve| db.write(|tx| approvals::decide(tx, &act, None, id, approve));
    let decided = match command {
        ApprovalCommand::List => {
            let all = db.read(|tx| approvals::list(tx, act.now, Scope::City, (None, LIST_MAX)))?;
            return answer(cli, &all, &all.iter().map(lines).collect::<String>());
        }
        ApprovalCommand::Approve { id } => decide(id, true)?,
        ApprovalCommand::Refuse { id } => decide(id, false)?,
    };
    answer(cli, &decided, &lines(&decided))
}

fn lines(one: &Approval) -> String {
    let decided = match (&one.decided_by, one.decided) {
        (Some(by), Some(at)) => format!(" by {by} at {at}"),
        _ => String::new(),
    };
    format!(
        "{} {}{decided}\n    {}\n    asked by {} at {}: {}\n",
        one.id, one.state, one.words, one.asked_by, one.asked, one.reason
    )
}
