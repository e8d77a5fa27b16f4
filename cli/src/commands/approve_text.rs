//! Requests, grants and consents as a person reads them before deciding, and as JSON.

use std::path::Path;

use lumbung_engine::{Consented, SessionOpener, Snapshot};
use lumbung_model::{ByteSize, ConsentId, ManifestId, Timestamp};
use lumbung_pack::grant::honoured;
use lumbung_pack::{Grant, GrantRequest, Revocation, RosterChain, Signed, Wanted};
use lumbung_seal::RecoveryKey;
use serde_json::{Value, json};

use super::approve::GrantArgs;
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
    let mut text = head(grant, terminal);
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
    text.push('\n');
    text.push_str(&table.render());
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
        grant: &Signed<Grant>,
        chain: &RosterChain,
        revoked: &[Signed<Revocation>],
        now: Timestamp,
    ) -> Self {
        let is_revoked = |consent: &ConsentId| {
            revoked.iter().any(|revocation| revocation.body.consent == *consent)
        };
        if !honoured(chain, grant) {
            Self::NotOwners
        } else if is_revoked(&grant.body.consent) {
            Self::Revoked
        } else if now > grant.body.until {
            Self::Over
        } else if now < grant.body.from {
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

/// Consents, oldest first.
pub(super) fn list(consents: &[(&Signed<Grant>, State)], terminal: &Terminal) -> String {
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
    for (grant, state) in consents {
        let body = &grant.body;
        table.row([
            body.consent.to_string(),
            word(&body.name),
            word(&body.letter),
            body.snapshots.len().to_string(),
            terminal.time(body.until),
            state.word(terminal).to_owned(),
        ]);
    }
    table.render()
}

/// Consents as JSON.
pub(super) fn list_json(consents: &[(&Signed<Grant>, State)]) -> Value {
    let one = |(grant, state): &(&Signed<Grant>, State)| {
        let mut value = consent_json(&grant.body);
        value["signer"] = json!(grant.signer);
        value["state"] = json!(state.code());
        value
    };
    json!({ "consents": consents.iter().map(one).collect::<Vec<_>>() })
}
