//! An order as a person reads it before signing, and as JSON.

use lumbung_model::Timestamp;
use lumbung_pack::{Action, Order, Subject};
use serde_json::{Value, json};

use crate::order_file::{Known, Missing, OrderFile, Role};
use crate::table::{Table, pairs};
use crate::terminal::{Terminal, printable};

/// Snapshots of which a line is printed.
const LINES: usize = 20;

/// What it tells a site to do, who signed, what is missing.
#[must_use]
pub(crate) fn whole(
    file: &OrderFile,
    known: &Known,
    now: Timestamp,
    terminal: &Terminal,
) -> String {
    let signers: Vec<_> = file.copies().iter().map(|copy| copy.signer).collect();
    let mut table = Table::new()
        .rigid(terminal.pick("Ditandatangani oleh kunci", "Signed by key"))
        .text(terminal.pick("Peran", "Role"));
    for key in &signers {
        let role = match known.role(key) {
            Some(Role::Owner) => terminal.pick("PD (kunci akar)", "PD (root key)"),
            Some(Role::Dinas) => "Dinas",
            None => terminal.pick("tidak diketahui di sini", "not known here"),
        };
        table.row([key.to_string(), role.to_owned()]);
    }
    let mut text = words(file.order(), known, now, terminal);
    text.push('\n');
    text.push_str(&table.render());
    text.push('\n');
    text.push_str(&standing(&known.missing(&signers), terminal));
    text
}

/// What it tells a site to do: all that a signature stands for.
#[must_use]
pub(crate) fn words(order: &Order, known: &Known, now: Timestamp, terminal: &Terminal) -> String {
    let over = if is_over(order, now) { terminal.pick(" (sudah lewat)", " (over)") } else { "" };
    let mut text = pairs(&[
        (terminal.pick("Perintah", "Order"), action(&order.action, terminal)),
        (terminal.pick("Repositori", "Repository"), order.repository.to_string()),
        (terminal.pick("Surat", "Letter"), printable(order.letter.as_bytes())),
        (terminal.pick("Alasan", "Reason"), printable(order.reason.as_bytes())),
        (terminal.pick("Dibuat", "Drawn up"), terminal.time(order.issued)),
        (
            terminal.pick("Berlaku sampai", "Valid until"),
            format!("{}{over}", terminal.time(order.valid_until)),
        ),
    ]);
    text.push_str(&covered(known, terminal));
    if matches!(order.action, Action::Destroy(_)) {
        text.push_str(terminal.pick(
            "Yang dimusnahkan tidak dapat dikembalikan oleh siapa pun.\n",
            "What is destroyed cannot be brought back by anybody.\n",
        ));
    }
    text
}

/// Whether a site refuses it as too old.
#[must_use]
pub(crate) fn is_over(order: &Order, now: Timestamp) -> bool {
    now > order.valid_until
}

fn action(action: &Action, terminal: &Terminal) -> String {
    let (what, id) = match action {
        Action::Release(hold) => {
            (terminal.pick("lepaskan penahanan", "release hold"), hold.to_string())
        }
        Action::Destroy(Subject::Snapshot(id)) => {
            (terminal.pick("musnahkan cuplikan", "destroy snapshot"), id.to_string())
        }
        Action::Destroy(Subject::Dataset(id)) => {
            let what = terminal
                .pick("musnahkan semua cuplikan himpunan data", "destroy all snapshots of dataset");
            (what, id.to_string())
        }
        Action::Destroy(Subject::Repository) => {
            let what = terminal.pick(
                "musnahkan semua cuplikan repositori ini",
                "destroy all snapshots of this repository",
            );
            return what.to_owned();
        }
    };
    format!("{what} {id}")
}

fn covered(known: &Known, terminal: &Terminal) -> String {
    let Some(covered) = &known.covered else { return String::new() };
    let count = covered.snapshots.len();
    let depot = printable(covered.depot.as_bytes());
    let mut text = match terminal.lang {
        crate::terminal::Lang::Id => format!("Cuplikan yang dimusnahkan di {depot}: {count}\n"),
        crate::terminal::Lang::En => format!("Snapshots destroyed at {depot}: {count}\n"),
    };
    for one in covered.snapshots.iter().take(LINES) {
        let agent = printable(one.agent_label.as_deref().unwrap_or_default().as_bytes());
        let (finished, dataset) = (terminal.time(one.finished), one.dataset);
        let word = terminal.pick("himpunan data", "dataset");
        text.push_str(&format!("  {}  {finished}  {word} {dataset}  {agent}\n", one.id.short()));
    }
    if count > LINES {
        text.push_str(&format!("  {} {}\n", terminal.pick("dan", "and"), count - LINES));
    }
    text
}

fn standing(missing: &[Missing], terminal: &Terminal) -> String {
    if missing.is_empty() {
        return terminal
            .pick(
                "Dua tanda tangan ada. Setiap lokasi memeriksanya: `lumbung-vault order BERKAS` di konsol setiap lokasi.\n",
                "Two signatures are there. Each site checks them: `lumbung-vault order FILE` at each site's console.\n",
            )
            .to_owned();
    }
    let line = |one: &Missing| {
        match one {
        Missing::Owner => terminal.pick(
            "Belum ada: tanda tangan kustodian PD (`lumbung order sign BERKAS --key pd.key`).\n",
            "Missing: the signature of the PD's custodian (`lumbung order sign FILE --key pd.key`).\n",
        ),
        Missing::Dinas => terminal.pick(
            "Belum ada: tanda tangan Dinas (`lumbung order sign BERKAS --key dinas.key`).\n",
            "Missing: the signature of the Dinas (`lumbung order sign FILE --key dinas.key`).\n",
        ),
        Missing::Second => terminal.pick(
            "Belum ada: tanda tangan kedua. Yang satu dari kustodian PD, yang lain dari Dinas (`lumbung order sign`).\n",
            "Missing: the second signature. One is of the PD's custodian, the other of the Dinas (`lumbung order sign`).\n",
        ),
    }
    };
    missing.iter().map(line).collect()
}

/// As JSON.
#[must_use]
pub(crate) fn json(file: &OrderFile, known: &Known, now: Timestamp) -> Value {
    let order = file.order();
    let (action, id) = match &order.action {
        Action::Release(hold) => ("release-hold", Some(hold.to_string())),
        Action::Destroy(Subject::Snapshot(id)) => ("destroy-snapshot", Some(id.to_string())),
        Action::Destroy(Subject::Dataset(id)) => ("destroy-dataset", Some(id.to_string())),
        Action::Destroy(Subject::Repository) => ("destroy-repository", None),
    };
    let copies = file.copies();
    let signers: Vec<_> = copies.iter().map(|copy| copy.signer).collect();
    let role = |key| match known.role(key) {
        Some(Role::Owner) => Some("owner"),
        Some(Role::Dinas) => Some("dinas"),
        None => None,
    };
    let missing = known.missing(&signers).into_iter().map(|one| match one {
        Missing::Owner => "owner",
        Missing::Dinas => "dinas",
        Missing::Second => "second",
    });
    let covered = known.covered.as_ref();
    json!({
        "file": file.path,
        "repository": order.repository,
        "action": action,
        "id": id,
        "letter": order.letter,
        "reason": order.reason,
        "issued": order.issued,
        "valid_until": order.valid_until,
        "over": is_over(order, now),
        "snapshots": covered.map(|c| c.snapshots.iter().map(|one| one.id).collect::<Vec<_>>()),
        "signatures": copies.iter()
            .map(|copy| json!({ "key": copy.signer, "role": role(&copy.signer), "order": copy.id }))
            .collect::<Vec<_>>(),
        "missing": missing.collect::<Vec<_>>(),
    })
}
