//! Requests, grants and consents as a person reads them before deciding, and as JSON.

use std::path::Path;

use lumbung_engine::{Consented, SessionOpener, Snapshot};
use lumbung_model::{ByteSize, ConsentId, ManifestId, Timestamp};
use lumbung_pack::{
    Grant, GrantRequest, Revocation, RosterChain, Signed, StandingApproval, Wanted,
    grant as grants, standing as approvals,
};
use lumbung_seal::RecoveryKey;
use lumbung_wire::messages::consents::{Consent as Registered, ConsentKind, ConsentState};
use serde_json::{Value, json};

use super::approve::GrantArgs;
use super::approve_standing::Drafted;
use crate::depot::Opened;
use crate::labels;
use crate::table::{Table, pairs};
use crate::terminal::{Terminal, printable};

/// A snapshot that is opened, and what its root says.
struct Line {
    id: ManifestId,
    finished: Timestamp,
    dataset: String,
    host: String,
    bytes: u64,
    files: u64,
}

/// What a consent opens, besides what stands in the grant.
pub(super) struct Said {
    lines: Vec<Line>,
    packs: u64,
    frames: u64,
    stored_bytes: u64,
}

impl Said {
    /// Looks into the roots of the snapshots.
    pub(super) fn of(
        opened: &Opened,
        snapshots: &[Snapshot],
        consented: &Consented,
        key: &RecoveryKey,
    ) -> Self {
        let opener = SessionOpener::new(opened.chain.clone(), key.duplicate());
        let line = |snapshot: &Snapshot| {
            let root =
                labels::open(opened.depot.as_ref(), &snapshot.id, &opener).unwrap_or_default();
            let label = if root.label.is_empty() { snapshot.dataset.short() } else { root.label };
            Line {
                id: snapshot.id,
                finished: snapshot.finished,
                dataset: label,
                host: root.host,
                bytes: snapshot.statistics.content_bytes,
                files: snapshot.statistics.files,
            }
        };
        Self {
            lines: snapshots.iter().map(line).collect(),
            packs: consented.packs,
            frames: consented.frames,
            stored_bytes: consented.stored_bytes,
        }
    }

    fn json(&self) -> Value {
        let line = |line: &Line| {
            json!({
                "snapshot": line.id,
                "finished": line.finished,
                "dataset": line.dataset,
                "host": line.host,
                "files": line.files,
                "bytes": line.bytes,
            })
        };
        json!({
            "snapshots": self.lines.iter().map(line).collect::<Vec<_>>(),
            "packs": self.packs,
            "frames": self.frames,
            "stored_bytes": self.stored_bytes,
        })
    }
}

fn word(text: &str) -> String {
    printable(text.as_bytes())
}

/// A request, as the custodian reads it.
pub(super) fn request(request: &Signed<GrantRequest>, terminal: &Terminal) -> String {
    let body = &request.body;
    let mut text = pairs(&[
        (terminal.pick("Permohonan", "Request"), word(&body.name)),
        (terminal.pick("Kunci", "Key"), request.signer.to_string()),
        (terminal.pick("Repositori", "Repository"), body.repository.to_string()),
        (terminal.pick("Untuk", "For"), word(&body.purpose)),
        (terminal.pick("Surat", "Letter"), word(&body.letter)),
        (terminal.pick("Dibuat", "Drawn up"), terminal.time(body.drawn_up)),
        (terminal.pick("Selama", "Lasting"), lasting(body.lasting_s)),
    ]);
    for wanted in &body.wanted {
        let line = match wanted {
            Wanted::Snapshot(id) => format!("  {} {id}\n", terminal.pick("cuplikan", "snapshot")),
            Wanted::Latest(id) => format!(
                "  {} {id}\n",
                terminal.pick("cuplikan terbaru himpunan data", "the latest snapshot of dataset")
            ),
            Wanted::Standing(id) => format!(
                "  {} {id}\n",
                terminal.pick(
                    "cuplikan terbaru dan semua cuplikan berikutnya dari himpunan data",
                    "the latest snapshot and every next one of dataset"
                )
            ),
        };
        text.push_str(&line);
    }
    text.push_str(terminal.pick(
        "Nama ditulis oleh pemohon sendiri: pastikan kunci di atas memang miliknya, lewat saluran lain.\n",
        "Whoever asks wrote the name: make sure over another channel that the key above is theirs.\n",
    ));
    text
}

fn lasting(seconds: u32) -> String {
    crate::duration::Seconds(u64::from(seconds)).to_string()
}

/// A request as JSON.
pub(super) fn request_json(file: &Path, request: &Signed<GrantRequest>) -> Value {
    let body = &request.body;
    let wanted = body.wanted.iter().map(|wanted| match wanted {
        Wanted::Snapshot(id) => json!({ "snapshot": id }),
        Wanted::Latest(id) => json!({ "latest_of": id }),
        Wanted::Standing(id) => json!({ "standing_of": id }),
    });
    json!({
        "file": file,
        "kind": "request",
        "repository": body.repository,
        "name": body.name,
        "key": request.signer,
        "recipient": body.recipient,
        "purpose": body.purpose,
        "letter": body.letter,
        "drawn_up": body.drawn_up,
        "lasting_s": body.lasting_s,
        "wanted": wanted.collect::<Vec<_>>(),
    })
}

fn head(grant: &Grant, terminal: &Terminal) -> String {
    pairs(&[
        (terminal.pick("Persetujuan", "Consent"), grant.consent.to_string()),
        (terminal.pick("Dibuka untuk", "Opened to"), word(&grant.name)),
        (terminal.pick("Kunci", "Key"), grant.grantee.key.to_string()),
        (terminal.pick("Repositori", "Repository"), grant.repository.to_string()),
        (terminal.pick("Untuk", "For"), word(&grant.purpose)),
        (terminal.pick("Surat", "Letter"), word(&grant.letter)),
        (terminal.pick("Berlaku dari", "Holds from"), terminal.time(grant.from)),
        (terminal.pick("Berlaku sampai", "Holds until"), terminal.time(grant.until)),
    ])
}

/// What the custodian decides: all that a signature stands for.
pub(super) fn words(grant: &Grant, said: &Said, terminal: &Terminal) -> String {
    format!("{}\n{}", head(grant, terminal), opened_words(said, terminal))
}

/// The snapshots that are opened, and how much of the packs.
fn opened_words(said: &Said, terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Cuplikan", "Snapshot"))
        .rigid(terminal.pick("Selesai", "Finished"))
        .text(terminal.pick("Himpunan data", "Dataset"))
        .text(terminal.pick("Server", "Host"))
        .number(terminal.pick("Berkas", "Files"))
        .number(terminal.pick("Isi", "Content"));
    for line in &said.lines {
        table.row([
            line.id.short(),
            terminal.time(line.finished),
            word(&line.dataset),
            word(&line.host),
            line.files.to_string(),
            ByteSize::bytes(line.bytes).to_string(),
        ]);
    }
    let mut text = table.render();
    let stored = ByteSize::bytes(said.stored_bytes);
    text.push_str(&match terminal.lang {
        crate::terminal::Lang::Id => format!(
            "\nDibuka: {} bingkai di {} paket, {stored} tersimpan; tidak lebih dari itu.\n\
             Yang sudah dibuka tetap terbuka: masa berlaku dan pencabutan hanya ditegakkan oleh lokasi penyimpanan.\n",
            said.frames, said.packs
        ),
        crate::terminal::Lang::En => format!(
            "\nOpened: {} frames in {} packs, {stored} as stored, and nothing more.\n\
             What was opened stays opened: its end and a revocation are enforced by the sites alone.\n",
            said.frames, said.packs
        ),
    });
    text
}

/// What was granted, as JSON.
pub(super) fn granted_json(grant: &Grant, said: &Said, parts: usize, out: Option<&Path>) -> Value {
    let mut value = consent_json(grant);
    value["opened"] = said.json();
    value["parts"] = json!(parts);
    value["file"] = json!(out);
    value
}

/// What was granted, and where it went.
pub(super) fn granted(
    grant: &Grant,
    said: &Said,
    opened: &Opened,
    args: &GrantArgs,
    terminal: &Terminal,
) -> String {
    let mut text = words(grant, said, terminal);
    if args.to_depot() {
        let depot = word(&opened.name());
        text.push_str(&match terminal.lang {
            crate::terminal::Lang::Id => format!("Diserahkan ke {depot}.\n"),
            crate::terminal::Lang::En => format!("Handed to {depot}.\n"),
        });
    }
    if let Some(out) = args.out() {
        let out = word(&out.display().to_string());
        text.push_str(&match terminal.lang {
            crate::terminal::Lang::Id => format!("Ditulis ke {out}: kirimkan kepada pemohon.\n"),
            crate::terminal::Lang::En => format!("Written to {out}: send it to whoever asked.\n"),
        });
    }
    text
}

fn consent_json(grant: &Grant) -> Value {
    json!({
        "kind": "grant",
        "consent": grant.consent,
        "repository": grant.repository,
        "name": grant.name,
        "key": grant.grantee.key,
        "recipient": grant.grantee.recipient,
        "purpose": grant.purpose,
        "letter": grant.letter,
        "issued": grant.issued,
        "from": grant.from,
        "until": grant.until,
        "snapshots": grant.snapshots,
    })
}

/// A grant's file.
pub(super) fn grant(grant: &Signed<Grant>, terminal: &Terminal) -> String {
    let mut text = head(&grant.body, terminal);
    text.push_str(&pairs(&[(
        terminal.pick("Ditandatangani", "Signed by"),
        grant.signer.to_string(),
    )]));
    for id in &grant.body.snapshots {
        text.push_str(&format!("  {} {id}\n", terminal.pick("cuplikan", "snapshot")));
    }
    text
}

/// A grant's file as JSON.
pub(super) fn grant_json(file: &Path, grant: &Signed<Grant>) -> Value {
    let mut value = consent_json(&grant.body);
    value["file"] = json!(file);
    value["signer"] = json!(grant.signer);
    value
}

/// A consent: single snapshots, or a dataset's next ones as well.
#[derive(Clone, Copy)]
pub(super) enum Consent<'a> {
    Grant(&'a Signed<Grant>),
    Standing(&'a Signed<StandingApproval>),
}

impl Consent<'_> {
    pub(super) const fn id(&self) -> ConsentId {
        match self {
            Self::Grant(grant) => grant.body.consent,
            Self::Standing(approval) => approval.body.consent,
        }
    }

    pub(super) const fn issued(&self) -> Timestamp {
        match self {
            Self::Grant(grant) => grant.body.issued,
            Self::Standing(approval) => approval.body.issued,
        }
    }

    const fn term(&self) -> (Timestamp, Timestamp) {
        match self {
            Self::Grant(grant) => (grant.body.from, grant.body.until),
            Self::Standing(approval) => (approval.body.from, approval.body.until),
        }
    }

    fn is_owners(&self, chain: &RosterChain) -> bool {
        match self {
            Self::Grant(grant) => grants::honoured(chain, grant),
            Self::Standing(approval) => approvals::honoured(chain, approval),
        }
    }

    /// To whom, by which letter, and how much.
    fn said(&self, terminal: &Terminal) -> (&str, &str, String) {
        match self {
            Self::Grant(grant) => {
                let body = &grant.body;
                (&body.name, &body.letter, body.snapshots.len().to_string())
            }
            Self::Standing(approval) => {
                let body = &approval.body;
                let next = terminal.pick("berikutnya", "next ones");
                (&body.name, &body.letter, format!("{} + {next}", body.base.len()))
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Grant(grant) => {
                let mut value = consent_json(&grant.body);
                value["signer"] = json!(grant.signer);
                value
            }
            Self::Standing(approval) => approval_json(None, approval),
        }
    }
}

/// How a consent stands, as far as this depot tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Later,
    Over,
    Revoked,
    /// No root key of the newest roster signed it.
    NotOwners,
}

impl State {
    pub(super) fn of(
        of: &Consent<'_>,
        chain: &RosterChain,
        revoked: &[Signed<Revocation>],
        now: Timestamp,
    ) -> Self {
        let is_revoked = revoked.iter().any(|revocation| revocation.body.consent == of.id());
        let (from, until) = of.term();
        if !of.is_owners(chain) {
            Self::NotOwners
        } else if is_revoked {
            Self::Revoked
        } else if now > until {
            Self::Over
        } else if now < from {
            Self::Later
        } else {
            Self::Open
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Later => "later",
            Self::Over => "over",
            Self::Revoked => "revoked",
            Self::NotOwners => "not-owners",
        }
    }

    const fn word(self, terminal: &Terminal) -> &'static str {
        match self {
            Self::Open => terminal.pick("berlaku", "holds"),
            Self::Later => terminal.pick("belum berlaku", "holds later"),
            Self::Over => terminal.pick("lewat", "over"),
            Self::Revoked => terminal.pick("dicabut", "revoked"),
            Self::NotOwners => terminal.pick("bukan dari kustodian", "not the owner's"),
        }
    }
}

impl From<ConsentState> for State {
    fn from(state: ConsentState) -> Self {
        match state {
            ConsentState::Open => Self::Open,
            ConsentState::Later => Self::Later,
            ConsentState::Over => Self::Over,
            ConsentState::Revoked => Self::Revoked,
            ConsentState::NotOwners => Self::NotOwners,
        }
    }
}

/// Consents of the controller's register.
pub(super) fn registered(consents: &[Registered], terminal: &Terminal) -> String {
    if consents.is_empty() {
        return terminal.pick("Tidak ada persetujuan.\n", "No consents.\n").to_owned();
    }
    let mut table = Table::new()
        .rigid("PD")
        .rigid(terminal.pick("Persetujuan", "Consent"))
        .text(terminal.pick("Dibuka untuk", "Opened to"))
        .text(terminal.pick("Surat", "Letter"))
        .text(terminal.pick("Cuplikan", "Snapshots"))
        .text(terminal.pick("Sampai", "Until"))
        .text(terminal.pick("Keadaan", "State"));
    for one in consents {
        let snapshots = match one.kind {
            ConsentKind::Grant => one.snapshots.to_string(),
            ConsentKind::Standing => {
                format!("{} + {}", one.snapshots, terminal.pick("berikutnya", "next ones"))
            }
        };
        table.row([
            one.pd.short(),
            one.consent.to_string(),
            word(&one.name),
            word(&one.letter),
            snapshots,
            terminal.time(one.until),
            State::from(one.state).word(terminal).to_owned(),
        ]);
    }
    table.render()
}

/// Consents, oldest first.
pub(super) fn list(consents: &[(Consent<'_>, State)], terminal: &Terminal) -> String {
    if consents.is_empty() {
        return terminal.pick("Tidak ada persetujuan.\n", "No consents.\n").to_owned();
    }
    let mut table = Table::new()
        .rigid(terminal.pick("Persetujuan", "Consent"))
        .text(terminal.pick("Dibuka untuk", "Opened to"))
        .text(terminal.pick("Surat", "Letter"))
        .number(terminal.pick("Cuplikan", "Snapshots"))
        .text(terminal.pick("Sampai", "Until"))
        .text(terminal.pick("Keadaan", "State"));
    for (consent, state) in consents {
        let (name, letter, snapshots) = consent.said(terminal);
        table.row([
            consent.id().to_string(),
            word(name),
            word(letter),
            snapshots,
            terminal.time(consent.term().1),
            state.word(terminal).to_owned(),
        ]);
    }
    table.render()
}

/// Consents as JSON.
pub(super) fn list_json(consents: &[(Consent<'_>, State)]) -> Value {
    let one = |(consent, state): &(Consent<'_>, State)| {
        let mut value = consent.json();
        value["state"] = json!(state.code());
        value
    };
    json!({ "consents": consents.iter().map(one).collect::<Vec<_>>() })
}

fn approval_head(body: &StandingApproval, terminal: &Terminal) -> String {
    pairs(&[
        (terminal.pick("Persetujuan tetap", "Standing approval"), body.consent.to_string()),
        (terminal.pick("Dibuka untuk", "Opened to"), word(&body.name)),
        (terminal.pick("Kunci", "Key"), body.grantee.key.to_string()),
        (terminal.pick("Repositori", "Repository"), body.repository.to_string()),
        (terminal.pick("Himpunan data", "Dataset"), body.dataset.to_string()),
        (terminal.pick("Untuk", "For"), word(&body.purpose)),
        (terminal.pick("Surat", "Letter"), word(&body.letter)),
        (terminal.pick("Berlaku dari", "Holds from"), terminal.time(body.from)),
        (terminal.pick("Berlaku sampai", "Holds until"), terminal.time(body.until)),
    ])
}

/// A standing approval's file.
pub(super) fn approval(approval: &Signed<StandingApproval>, terminal: &Terminal) -> String {
    let mut text = approval_head(&approval.body, terminal);
    text.push_str(&pairs(&[(
        terminal.pick("Ditandatangani", "Signed by"),
        approval.signer.to_string(),
    )]));
    for id in &approval.body.base {
        text.push_str(&format!(
            "  {} {id}\n",
            terminal.pick("mulai dari cuplikan", "from snapshot")
        ));
    }
    text
}

fn unsigned_json(body: &StandingApproval) -> Value {
    json!({
        "kind": "standing",
        "consent": body.consent,
        "repository": body.repository,
        "name": body.name,
        "key": body.grantee.key,
        "recipient": body.grantee.recipient,
        "dataset": body.dataset,
        "purpose": body.purpose,
        "letter": body.letter,
        "issued": body.issued,
        "from": body.from,
        "until": body.until,
        "base": body.base,
    })
}

/// A standing approval as JSON.
pub(super) fn approval_json(file: Option<&Path>, approval: &Signed<StandingApproval>) -> Value {
    let mut value = unsigned_json(&approval.body);
    value["signer"] = json!(approval.signer);
    if let Some(file) = file {
        value["file"] = json!(file);
    }
    value
}

/// What the custodian decides: all that the signatures stand for.
pub(super) fn standing_words(drafted: &[Drafted], terminal: &Terminal) -> String {
    let mut text = String::new();
    for one in drafted {
        text.push_str(&approval_head(&one.approval, terminal));
        text.push('\n');
        text.push_str(&match &one.base {
            Some(base) => opened_words(&base.said, terminal),
            None => terminal
                .pick(
                    "Himpunan data ini belum punya cuplikan.\n",
                    "This dataset has no snapshot yet.\n",
                )
                .to_owned(),
        });
        text.push_str(terminal.pick(
            "Sejak itu, agen server membuka setiap cuplikan baru himpunan data ini kepada kunci di atas, dan hanya itu, sampai berakhir atau dicabut.\n\n",
            "From then on the server's agent opens every new snapshot of this dataset to the key above, and nothing else, until it ends or is revoked.\n\n",
        ));
    }
    text
}

/// What was approved, as JSON.
pub(super) fn standing_json(drafted: &[Drafted], out: Option<&Path>) -> Value {
    let one = |one: &Drafted| {
        let mut value = unsigned_json(&one.approval);
        value["opened"] = one.base.as_ref().map_or(Value::Null, |base| base.said.json());
        value
    };
    json!({ "approvals": drafted.iter().map(one).collect::<Vec<_>>(), "file": out })
}

/// What was approved, and where it went.
pub(super) fn standing(
    drafted: &[Drafted],
    opened: &Opened,
    out: Option<&Path>,
    terminal: &Terminal,
) -> String {
    let mut text = standing_words(drafted, terminal);
    let depot = word(&opened.name());
    text.push_str(&match terminal.lang {
        crate::terminal::Lang::Id => format!("Diserahkan ke {depot}.\n"),
        crate::terminal::Lang::En => format!("Handed to {depot}.\n"),
    });
    if let Some(out) = out {
        let out = word(&out.display().to_string());
        text.push_str(&match terminal.lang {
            crate::terminal::Lang::Id => format!("Ditulis ke {out}.\n"),
            crate::terminal::Lang::En => format!("Written to {out}.\n"),
        });
    }
    text
}
