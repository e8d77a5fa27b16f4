"""Holds the published test vectors (docs/format.md section 18) against this reader: `python -m reference_reader.vectors FILE.json`.

Everything is computed again from the section's inputs; what was sealed is opened and compared. A value in the file that
nothing here looks at counts as a difference, so that the file cannot grow unnoticed.
"""

import argparse
import json
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import chunker, hpke
from .catalogue import decode_chunk, decode_index
from .crypto import aead_open, derive, hash32, keyed_hash
from .grant import decode_grant, decode_openings, open_grant
from .header import Kind
from .keyfile import decode_bundle, decode_text, open_bundle
from .manifest import Root, decode_root
from .pack import CONTENT_DATA, ENCODING_RAW, ENCODING_ZSTD, Frame, PackOpener, PackTable
from .session import INFO
from .standing import decode_approval, decode_opening, open_opening
from .wrap import decode_wrap, open_wrapped


def sequence(length: int, start: int) -> bytes:
    """`n@x` of section 18: n bytes x, x + 1, x + 2, … modulo 256."""
    return bytes((start + index) % 256 for index in range(length))


DOMAIN_SECRET, SESSION_KEY = sequence(32, 0x00), sequence(32, 0x20)
PACK_SALT, ROOT_SALT = sequence(32, 0x40), sequence(32, 0x60)
REPOSITORY, SESSION = sequence(32, 0x80), sequence(32, 0xA0)
RECIPIENT, AGENT = sequence(32, 0x70), sequence(16, 0xD0)
DATASET, DOMAIN = sequence(16, 0xE0), sequence(16, 0xC0)
ID_KEY = derive("lumbung v1 chunk id", DOMAIN_SECRET)
PACK_KEY = derive("lumbung v1 pack key", SESSION_KEY + PACK_SALT)
COMMITMENT = derive("lumbung v1 pack commitment", PACK_KEY)


class Vectors:
    """The file, what was looked at, and what differs."""

    def __init__(self, document: dict[str, dict]):
        self.document = document
        self.seen: set[tuple[str, str]] = set()
        self.differences: list[str] = []

    def value(self, group: str, name: str):
        self.seen.add((group, name))
        return self.document.get(group, {}).get(name)

    def raw(self, group: str, name: str) -> bytes:
        return bytes.fromhex(self.value(group, name) or "")

    def expect(self, what: str, computed, published) -> None:
        if computed != published:
            self.differences.append(f"{what}: {computed!r} computed, {published!r} published")

    def same(self, group: str, name: str, computed) -> None:
        published = self.value(group, name)
        self.expect(f"{group}: {name}", computed.hex() if isinstance(computed, bytes) else computed, published)

    def unseen(self) -> list[str]:
        names = {(group, name) for group, members in self.document.items() for name in members}
        return [f"{group}: {name}: nothing checks this" for group, name in sorted(names - self.seen)]


def check_keys(vectors: Vectors) -> None:
    table = chunker.gear_table(DOMAIN_SECRET)
    opener = PackOpener(_pack(), SESSION_KEY, ID_KEY)
    frame = Frame(1, sequence(32, 0xE0), bytes(32), 1000, 0, ENCODING_ZSTD, 0)
    for name, computed in {
        "id key": ID_KEY,
        'chunk id of "lumbung"': keyed_hash(ID_KEY, b"lumbung"),
        "gear seed": derive("lumbung v1 gear", DOMAIN_SECRET),
        "gear[0]": f"{table[0]:016x}",
        "gear[255]": f"{table[255]:016x}",
        "hash of the gear table": hash32(b"".join(value.to_bytes(8, "little") for value in table)),
        "pack key": PACK_KEY,
        "commitment": COMMITMENT,
        "frame key": opener.frame_key(frame),
        "root key": derive("lumbung v1 root key", SESSION_KEY + ROOT_SALT),
    }.items():
        vectors.same("keys", name, computed)


def check_chunks(vectors: Vectors) -> None:
    data = blake3(b"lumbung test data").digest(length=16 << 20)
    lengths = list(chunker.chunk_lengths(data, DOMAIN_SECRET))
    small = list(chunker.chunk_lengths(data[: 16 << 10], DOMAIN_SECRET, 256, 1024, 4096))
    zeros = list(chunker.chunk_lengths(bytes(9 << 20), DOMAIN_SECRET))
    vectors.same("chunks", "lengths, 16 MiB, default sizes", lengths)
    vectors.same("chunks", "lengths, 16 KiB, sizes 256 1024 4096", small)
    vectors.same("chunks", "lengths, 9 MiB of zeros, default sizes", zeros)
    vectors.same("chunks", "id of the first", keyed_hash(ID_KEY, data[: lengths[0]]))
    vectors.same("chunks", "id of the last", keyed_hash(ID_KEY, data[-lengths[-1] :]))


def _pack() -> PackTable:
    return PackTable(bytes(32), REPOSITORY, DOMAIN, SESSION, PACK_SALT, COMMITMENT, CONTENT_DATA, (), 0)


def check_frames(vectors: Vectors) -> None:
    opener = PackOpener(_pack(), SESSION_KEY, ID_KEY)
    for number, plain, encoding, chunk_name, stored_name in (
        (0, b"lumbung", ENCODING_RAW, "frame 0, chunk id", 'frame 0, raw, of "lumbung", stored'),
        (1, b"p" * 1000, ENCODING_ZSTD, 'frame 1, zstd, of 1000 times "p", chunk id', "frame 1, stored"),
    ):
        chunk = keyed_hash(ID_KEY, plain)
        vectors.same("frames", chunk_name, chunk)
        stored = vectors.raw("frames", stored_name)
        frame = Frame(number, chunk, hash32(stored), len(plain), len(stored), encoding, 0)
        vectors.expect(f"frames: frame {number}", opener.open(frame, stored), plain)


def check_root(vectors: Vectors) -> None:
    aad = REPOSITORY + AGENT + DATASET + DOMAIN + (1).to_bytes(4, "little") + (2).to_bytes(8, "little")
    vectors.same("root", "AAD", aad)
    key = derive("lumbung v1 root key", SESSION_KEY + ROOT_SALT)
    plain = aead_open(key, vectors.raw("root", "sealed"), aad)
    vectors.same("root", "plain", plain)
    expected = Root("srv-1", "berkas", (b"/etc",), 3, ((sequence(32, 0x10), 99),))
    vectors.expect("root: decoded", decode_root(vectors.raw("root", "plain"), "root"), expected)


def check_session(vectors: Vectors) -> None:
    header = b"LMBG" + bytes([Kind.SESSION, 1]) + bytes(10) + REPOSITORY
    aad = header + AGENT + DOMAIN + DATASET + (1_800_000_000).to_bytes(8, "little", signed=True)
    vectors.same("session", "AAD", aad)
    vectors.same("session", "recipient's public key", hpke.public_key(RECIPIENT))
    encapsulated, ciphertext = vectors.raw("session", "encapsulated key"), vectors.raw("session", "ciphertext")
    plain = hpke.open_base(RECIPIENT, encapsulated, ciphertext, INFO, aad)
    vectors.expect("session: opened", plain, SESSION_KEY + DOMAIN_SECRET)


def check_grant(vectors: Vectors) -> None:
    grant = decode_grant(vectors.raw("grant", "object"), REPOSITORY)
    vectors.expect("grant: consent, part", (grant.consent, grant.part, grant.parts), (sequence(16, 0xB0), 1, 1))
    vectors.expect("grant: recipient", grant.recipient, hpke.public_key(RECIPIENT))
    vectors.expect("grant: signer", grant.signer, grant.key)
    words = (grant.name, grant.letter, grant.purpose)
    vectors.expect("grant: words", words, ("Inspektorat", "700/12/2026", "uji pulih"))
    times = (grant.issued, grant.begin, grant.until)
    vectors.expect("grant: times", times, (1_800_000_000, 1_800_000_000, 1_800_604_800))
    snapshot = sequence(32, 0x18)
    vectors.expect("grant: snapshots", grant.snapshots, (snapshot,))
    plain = open_grant(grant, RECIPIENT)
    vectors.same("grant", "plaintext", plain)
    openings = decode_openings(plain)
    vectors.expect("grant: roots", openings.roots, {snapshot: derive("lumbung v1 root key", SESSION_KEY + ROOT_SALT)})
    whole, part = _granted_pack(PACK_SALT), _granted_pack(sequence(32, 0x48))
    vectors.same("grant", "id of the whole pack", whole.id)
    vectors.same("grant", "id of the other pack", part.id)
    opener = PackOpener(part, SESSION_KEY, ID_KEY)
    expected = {whole.id: PACK_KEY, part.id: {1: opener.frame_key(part.frames[1])}}
    vectors.expect("grant: packs", openings.packs, expected)


def _granted_pack(salt: bytes) -> PackTable:
    """Two raw frames, sealed here once more: the pack's id follows from what they are."""
    pack_key = derive("lumbung v1 pack key", SESSION_KEY + salt)
    commitment = derive("lumbung v1 pack commitment", pack_key)
    empty = PackTable(bytes(32), REPOSITORY, DOMAIN, SESSION, salt, commitment, CONTENT_DATA, (), 0)
    opener, frames, table = PackOpener(empty, SESSION_KEY, ID_KEY), [], b""
    for number, plain in enumerate((b"lumbung", b"desa")):
        chunk = keyed_hash(ID_KEY, plain)
        frame = Frame(number, chunk, bytes(32), len(plain), len(plain) + 16, ENCODING_RAW, 0)
        stored = AESGCM(opener.frame_key(frame)).encrypt(bytes(12), plain, REPOSITORY + SESSION + salt)
        frames.append(Frame(number, chunk, hash32(stored), len(plain), len(stored), ENCODING_RAW, 0))
        table += chunk + hash32(stored) + len(plain).to_bytes(4, "little") + len(stored).to_bytes(4, "little") + bytes(4)
    header = b"LMBG" + bytes([Kind.PACK, 1]) + bytes(10) + REPOSITORY + DOMAIN + SESSION + salt + commitment
    head = header + bytes([CONTENT_DATA, 0, 0, 0]) + len(frames).to_bytes(4, "little") + table
    return PackTable(hash32(head), REPOSITORY, DOMAIN, SESSION, salt, commitment, CONTENT_DATA, tuple(frames), len(head))


def check_wrap(vectors: Vectors) -> None:
    data = vectors.raw("wrap", "object")
    wrap = decode_wrap(data, hash32(data), REPOSITORY)
    vectors.expect("wrap: made, recipient", (wrap.made, wrap.recipient), (1_800_000_000, hpke.public_key(RECIPIENT)))
    (wrapped,) = wrap.sessions
    vectors.same("wrap", "ciphertext", wrapped.ciphertext)
    opened = open_wrapped(REPOSITORY, wrapped, RECIPIENT)
    vectors.expect("wrap: session", wrapped.session, SESSION)
    vectors.expect("wrap: opened", (opened.session_key, opened.domain_secret), (SESSION_KEY, DOMAIN_SECRET))


def check_standing(vectors: Vectors) -> None:
    approval = decode_approval(vectors.raw("standing approval", "approval"), REPOSITORY)
    consent = sequence(16, 0xB8)
    vectors.expect("standing approval: consent, dataset", (approval.consent, approval.dataset), (consent, DATASET))
    vectors.expect("standing approval: recipient", approval.recipient, hpke.public_key(RECIPIENT))
    vectors.expect("standing approval: signer", approval.signer, approval.key)
    words = (approval.name, approval.letter, approval.purpose)
    vectors.expect("standing approval: words", words, ("penguji DRC", "445/871/2026", "uji pulih"))
    times = (approval.issued, approval.begin, approval.until)
    vectors.expect("standing approval: times", times, (1_800_000_000, 1_800_000_000, 1_815_552_000))
    vectors.expect("standing approval: base", approval.base, (sequence(32, 0x18),))
    opening = decode_opening(vectors.raw("standing approval", "opening"), REPOSITORY)
    vectors.expect("opening: session, consent", (opening.session, opening.consent), (SESSION, consent))
    vectors.same("standing approval", "ciphertext of the opening", opening.ciphertext)
    vectors.expect("opening: opened", open_opening(opening, RECIPIENT), SESSION_KEY)


def check_catalogue(vectors: Vectors) -> None:
    plain = vectors.raw("catalogue", "chunk")
    (part,) = decode_index(vectors.raw("catalogue", "index"))
    vectors.expect("catalogue: chunk id", keyed_hash(ID_KEY, plain), part.chunk)
    vectors.expect("catalogue: chunk length", len(plain), part.plain_length)
    vectors.expect("catalogue: entries", part.entries, 9)
    entries = decode_chunk(plain, part.entries, "catalogue chunk")
    vectors.expect("catalogue: first path", entries[0].path, part.first_path)
    vectors.expect("catalogue: types", {int(entry.type) for entry in entries}, {1, 2, 3, 6, 8})


def check_bundle(vectors: Vectors) -> None:
    text = vectors.value("key bundle", "text")
    vectors.same("key bundle", "object", decode_text(text, Kind.KEY_BUNDLE))
    bundle = decode_bundle(text)
    parameters = (bundle.memory_kib, bundle.passes, bundle.lanes, bundle.salt, bundle.label)
    vectors.expect("key bundle: parameters", parameters, (64, 2, 2, sequence(16, 0xF0), "PD"))
    vectors.expect("key bundle: seed", open_bundle(bundle, b"kata sandi").root_seed, sequence(32, 0x90))


CHECKS = (check_keys, check_chunks, check_frames, check_root, check_session, check_grant, check_wrap, check_standing, check_catalogue,
          check_bundle)


def run(document: dict[str, dict]) -> list[str]:
    """What differs; empty if every value of the file holds."""
    vectors = Vectors(document)
    for check in CHECKS:
        try:
            check(vectors)
        except Exception as error:  # a wrong vector can break anything; it is a difference all the same
            vectors.differences.append(f"{check.__name__}: {error!r}")
    return vectors.differences + vectors.unseen()


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m reference_reader.vectors", description=__doc__)
    arguments.add_argument("file", type=Path)
    differences = run(json.loads(arguments.parse_args().file.read_text(encoding="utf-8")))
    print("\n".join([*differences, f"{len(differences)} differences"]))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
