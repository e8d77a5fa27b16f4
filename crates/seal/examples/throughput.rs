//! How fast one thread cuts, names, seals and opens: `cargo run --release -p lumbung-seal --example throughput`.

use std::time::Instant;

use lumbung_model::{DomainId, RepositoryId, SessionId};
use lumbung_pack::{ChunkerParams, Content};
use lumbung_seal::{Chunker, DomainSecret, FrameOpener, PackSealer, Scratch, SessionKey};

const BYTES: usize = 256 << 20;

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn report(what: &str, bytes: usize, seconds: f64) {
    println!("{what:32} {:8.0} MB/s", bytes as f64 / 1e6 / seconds);
}

fn sealing(kind: &str, data: &[u8], domain: &DomainSecret, chunker: &Chunker) {
    let id_key = domain.id_key();
    let session = SessionKey::random();
    let sealer = PackSealer::new(
        RepositoryId::ZERO,
        DomainId::ZERO,
        SessionId::ZERO,
        &session,
        Content::Data,
    );
    let opener = FrameOpener::new(sealer.header(), &session).expect("its own key");
    let new_scratch = || Scratch::new().expect("memory for zstd");
    let (mut scratch, mut opening) = (new_scratch(), new_scratch());
    let chunks: Vec<_> =
        chunker.chunks(data).map(|chunk| (id_key.chunk_id(chunk), chunk)).collect();
    // Sealed, opened and thrown away, as in a backup: memory is used again.
    let (mut sealing_s, mut opening_s) = (0.0, 0.0);
    for (id, chunk) in &chunks {
        let begun = Instant::now();
        let (entry, stored) = sealer.seal(0, id, chunk, &mut scratch).expect("sealed");
        sealing_s += begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        opener.open(0, &entry, stored, &id_key, &mut opening).expect("opened");
        opening_s += begun.elapsed().as_secs_f64();
    }
    report(&format!("seal and read back, {kind}"), data.len(), sealing_s);
    report(&format!("open, {kind}"), data.len(), opening_s);
}

fn main() {
    let mut noise = vec![0; BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let domain = DomainSecret::random();
    let chunker =
        Chunker::new(&domain.gear(), ChunkerParams::default()).expect("the format's sizes");

    let begun = Instant::now();
    let count = chunker.chunks(&noise).count();
    report("cut", BYTES, begun.elapsed().as_secs_f64());
    println!("{count} chunks, {} bytes on average", BYTES / count);
    let begun = Instant::now();
    let id_key = domain.id_key();
    for chunk in chunker.chunks(&noise) {
        std::hint::black_box(id_key.chunk_id(chunk));
    }
    report("cut and name", BYTES, begun.elapsed().as_secs_f64());
    sealing("noise", &noise, &domain, &chunker);

    let line = |i: usize| {
        format!(
            "{i},Puskesmas {},2026-11-{:02},{}\n",
            i % 97,
            i % 30,
            i.wrapping_mul(2_654_435_761) % 100_000
        )
    };
    let mut text: Vec<u8> = Vec::with_capacity(BYTES);
    for i in 0.. {
        if text.len() > BYTES {
            break;
        }
        text.extend_from_slice(line(i).as_bytes());
    }
    sealing("text", &text, &domain, &chunker);
}
