"""Section 10: manifests, and the sealed root in them."""

from dataclasses import dataclass

from .codec import Reader
from .crypto import aead_open, derive
from .errors import FormatError
from .header import Kind, check_signature, expect_repository
from .limits import CHUNK_MAX, PATH_MAX_BYTES, SEALED_ROOT_MAX_BYTES

STATISTICS = ("files", "directories", "others", "content_bytes", "flagged", "new_plain_bytes", "new_stored_bytes")


@dataclass(frozen=True)
class Manifest:
    id: bytes
    repository: bytes
    agent: bytes
    dataset: bytes
    domain: bytes
    partial: bool
    epoch: int
    sequence: int
    previous: bytes
    started: int
    finished: int
    roster_number: int
    statistics: dict[str, int]
    usage: bytes
    sessions: tuple[bytes, ...]
    root_salt: bytes
    sealed_root: bytes
    signer: bytes

    def root_aad(self) -> bytes:
        return (self.repository + self.agent + self.dataset + self.domain + self.epoch.to_bytes(4, "little")
                + self.sequence.to_bytes(8, "little"))


@dataclass(frozen=True)
class Root:
    host: str
    label: str
    sources: tuple[bytes, ...]
    entries: int
    chunks: tuple[tuple[bytes, int], ...]


def _read_sessions(reader: Reader) -> tuple[bytes, ...]:
    count = reader.count(reader.u16(), 1, 65_535, "sessions")
    sessions = tuple(reader.take(32) for _ in range(count))
    others = sessions[1:]
    if list(others) != sorted(set(others)) or sessions[0] in others:
        raise reader.error("its sessions are not distinct and in order")
    return sessions


def decode_manifest(data: bytes, manifest_id: bytes, repository: bytes) -> Manifest:
    what = f"manifest {manifest_id.hex()}"
    body, signature = check_signature(data, what)
    reader = Reader(body, what)
    expect_repository(reader, Kind.MANIFEST, repository)
    agent, dataset, domain, flags = reader.take(16), reader.take(16), reader.take(16), reader.u8()
    if flags > 1:
        raise reader.error(f"flags {flags:#x} are not known")
    epoch, sequence, previous = reader.u32(), reader.u64(), reader.take(32)
    if epoch == 0 or sequence == 0:
        raise reader.error("epoch and sequence number begin at 1")
    started, finished, roster_number = reader.i64(), reader.i64(), reader.u32()
    statistics = {name: reader.u64() for name in STATISTICS}
    usage, sessions, salt = reader.take(32), _read_sessions(reader), reader.take(32)
    sealed = reader.byte_string(SEALED_ROOT_MAX_BYTES)
    reader.finish()
    return Manifest(manifest_id, repository, agent, dataset, domain, flags == 1, epoch, sequence, previous, started,
                    finished, roster_number, statistics, usage, sessions, salt, sealed, signature.signer)


def decode_root(plain: bytes, what: str) -> Root:
    reader = Reader(plain, what)
    host, label = reader.string(), reader.string()
    sources = tuple(reader.byte_string(PATH_MAX_BYTES) for _ in range(reader.u16()))
    for source in sources:
        if not source.startswith(b"/") or b"\0" in source:
            raise reader.error("a source is not an absolute path")
    entries, chunks = reader.u64(), []
    for _ in range(reader.u16()):
        chunk = reader.take(32)
        chunks.append((chunk, reader.count(reader.u32(), 1, CHUNK_MAX, "bytes in a root chunk")))
    reader.finish()
    return Root(host, label, sources, entries, tuple(chunks))


def open_root(manifest: Manifest, session_key: bytes) -> Root:
    what = f"root of manifest {manifest.id.hex()}"
    key = derive("lumbung v1 root key", session_key + manifest.root_salt)
    plain = aead_open(key, manifest.sealed_root, manifest.root_aad())
    if plain is None:
        raise FormatError(f"{what}: does not open with the key of the manifest's first session")
    root = decode_root(plain, what)
    if manifest.partial and (root.entries or root.chunks):
        raise FormatError(f"{what}: is partial, yet has a catalogue")
    if not manifest.partial and not root.chunks:
        raise FormatError(f"{what}: is not partial, yet has no catalogue")
    return root
