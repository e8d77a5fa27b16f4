"""A tiny writer of whole repositories, for tests only: enough to give the reader something of every kind to read.

It is not a model of the Rust writer (no journal, no deduplication, chunks cut at fixed sizes); each step can be changed by a
test that wants a repository with one thing wrong in it.
"""

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reference_reader import hpke
from reference_reader.catalogue import ContentRef, Entry, Owner, Type
from reference_reader.crypto import argon2id, derive, keyed_hash
from reference_reader.header import FOLDERS, Kind
from tests import encode as e

PASSPHRASE = "kata sandi contoh"
OWNER = Owner(os.geteuid(), os.getegid(), b"root", b"root")
MTIME = (1_700_000_000, 123_456_789)


def public(key) -> bytes:
    return key.public_key().public_bytes_raw()


def hpke_seal(recipient: bytes, plain: bytes, info: bytes, aad: bytes) -> tuple[bytes, bytes]:
    ephemeral = X25519PrivateKey.generate()
    encapsulated = public(ephemeral)
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    context = hpke.key_schedule(hpke.kem_shared_secret(dh, encapsulated, recipient), info)
    return encapsulated, AESGCM(context.key).encrypt(context.nonce, plain, aad)


@dataclass
class AgentKeys:
    agent: bytes = field(default_factory=lambda: os.urandom(16))
    domain: bytes = field(default_factory=lambda: os.urandom(16))
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    secret: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def id_key(self) -> bytes:
        return derive("lumbung v1 chunk id", self.secret)

    def entry(self, status: int = 0) -> bytes:
        return self.agent + public(self.key) + self.domain + e.u8(status) + e.string("server contoh")


@dataclass
class PdKeys:
    root: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    spare: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    recovery: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    site: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    site_id: bytes = field(default_factory=lambda: os.urandom(16))

    def bundle(self, passphrase: str = PASSPHRASE) -> str:
        salt = os.urandom(16)
        head = (e.header(Kind.KEY_BUNDLE) + e.u32(64) + e.u32(1) + e.u32(1) + salt + public(self.root)
                + public(self.recovery) + e.string("Dinas Contoh"))
        secrets = self.root.private_bytes_raw() + self.recovery.private_bytes_raw()
        sealed = AESGCM(argon2id(passphrase.encode(), salt, 64, 1, 1)).encrypt(bytes(12), secrets, head)
        return armor("LUMBUNG KEY BUNDLE 1", head + e.byte_string(sealed))


def armor(title: str, data: bytes) -> str:
    text = base64.b32encode(data + e.hash32(data)[:8]).decode().rstrip("=")
    lines = [text[index : index + 60] for index in range(0, len(text), 60)]
    return "\n".join([title, "# a comment", *lines]) + "\n"


def roster(number: int, previous: bytes, repository: bytes, signer, *, root_keys, recipients, agents=(), sites=(),
           registrar: bytes | None = None, created: int = 1_700_000_000) -> bytes:
    body = e.header(Kind.ROSTER, repository) + e.u32(number) + previous + e.i64(created) + e.u8(1)
    body += e.u32(262_144) + e.u32(1_048_576) + e.u32(4_194_304)
    body += e.u8(len(root_keys)) + b"".join(key + e.u8(role) + e.string("kunci") for key, role in root_keys)
    body += e.u8(0) if registrar is None else e.u8(1) + registrar
    body += e.u16(len(recipients)) + b"".join(e.u8(1) + key + e.string("pemulih") for key in recipients)
    body += e.u16(len(agents)) + b"".join(agents)
    body += e.u16(len(sites)) + b"".join(site + key + pin + e.string("Pusat Data") for site, key, pin in sites)
    return e.sign(body, signer)


@dataclass
class OpenPack:
    content: int
    salt: bytes = field(default_factory=lambda: os.urandom(32))
    entries: list[bytes] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    chunks: dict[bytes, int] = field(default_factory=dict)


class World:
    """One repository with one agent; `snapshot` writes one run."""

    def __init__(self, root: Path):
        self.root = root
        self.keys = PdKeys()
        self.agent = AgentKeys()
        self.dataset = os.urandom(16)
        self.sequence = 0
        self.previous = bytes(32)
        self.roster_objects: list[bytes] = []
        self.add_roster()
        self.add_roster(agents=[self.agent.entry()])

    @property
    def repository(self) -> bytes:
        return e.hash32(self.roster_objects[0])

    def put(self, kind: Kind, data: bytes) -> bytes:
        object_id = e.hash32(data)
        folder = self.root / FOLDERS[kind]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / object_id.hex()).write_bytes(data)
        return object_id

    def add_roster(self, **changes) -> bytes:
        number = len(self.roster_objects) + 1
        fields = {
            "root_keys": [(public(self.keys.root), 0), (public(self.keys.spare), 1)],
            "recipients": [public(self.keys.recovery)],
            "sites": [(self.keys.site_id, public(self.keys.site), bytes(32))], **changes,
        }
        data = roster(number, e.hash32(self.roster_objects[-1]) if number > 1 else bytes(32),
                      self.repository if number > 1 else bytes(32), self.keys.root, **fields)
        self.roster_objects.append(data)
        return self.put(Kind.ROSTER, data)

    def write_bundle(self, path: Path) -> Path:
        path.write_text(self.keys.bundle())
        return path

    def run(self) -> "Run":
        return Run(self)


class Run:
    """One session of the world's agent: packs, catalogue, usage, manifest."""

    def __init__(self, world: World):
        self.world, self.agent = world, world.agent
        self.session_key = os.urandom(32)
        self.session = world.put(Kind.SESSION, self._session())
        self.packs: list[OpenPack] = []
        self.uses: list[tuple[bytes, int, set[int], int]] = []

    def _session(self) -> bytes:
        world, agent = self.world, self.agent
        aad = (e.header(Kind.SESSION, world.repository) + agent.agent + agent.domain + world.dataset + e.i64(MTIME[0]))
        recipient = public(world.keys.recovery)
        enc, sealed = hpke_seal(recipient, self.session_key + agent.secret, b"lumbung v1 session", aad)
        body = aad + e.u32(len(world.roster_objects)) + e.u16(1) + e.u8(1) + recipient + enc + sealed
        return e.sign(body, agent.key)

    def chunk(self, plain: bytes, content: int = 1, compress: bool = True) -> bytes:
        """Seals a chunk into the open pack of its kind of content and returns its id."""
        pack = next((pack for pack in self.packs if pack.content == content), None)
        if pack is None:
            pack = OpenPack(content)
            self.packs.append(pack)
        chunk = keyed_hash(self.agent.id_key, plain)
        if chunk in pack.chunks:
            return chunk
        number = pack.chunks[chunk] = len(pack.frames)
        encoded = zstandard.ZstdCompressor(level=3).compress(plain) if compress else plain
        encoding = 1 if compress and len(encoded) <= len(plain) else 0
        encoded = encoded if encoding else plain
        pack_key = derive("lumbung v1 pack key", self.session_key + pack.salt)
        frame_key = derive("lumbung v1 frame key", pack_key + e.u32(number) + e.u8(content) + e.u8(encoding) + chunk
                           + e.u32(len(plain)))
        aad = self.world.repository + self.session + pack.salt
        stored = AESGCM(frame_key).encrypt(bytes(12), encoded, aad)
        pack.entries.append(chunk + e.hash32(stored) + e.u32(len(plain)) + e.u32(len(stored)) + e.u8(encoding) + bytes(3))
        pack.frames.append(stored)
        return chunk

    def file(self, path: bytes, plain: bytes, piece: int = 100_000, **fields) -> Entry:
        """A file in chunks of its own; equal pieces make references to one chunk."""
        refs = []
        for start in range(0, len(plain), piece):
            part = plain[start : start + piece]
            refs.append(ContentRef(self.chunk(part), 0, len(part)))
        fields.setdefault("size", len(plain))
        return Entry(path, Type.FILE, fields.pop("mode", 0o640), OWNER, MTIME, content=tuple(refs), **fields)

    def close_packs(self) -> None:
        for pack in self.packs:
            pack_key = derive("lumbung v1 pack key", self.session_key + pack.salt)
            head = e.header(Kind.PACK, self.world.repository) + self.agent.domain + self.session + pack.salt
            head += derive("lumbung v1 pack commitment", pack_key) + e.u8(pack.content) + bytes(3)
            head += e.u32(len(pack.frames)) + b"".join(pack.entries)
            pack_id = e.hash32(head)
            folder = self.world.root / "packs" / pack_id.hex()[:2]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / pack_id.hex()).write_bytes(head + b"".join(pack.frames))
            used = set(range(len(pack.frames)))
            self.uses.append((pack_id, len(pack.frames), used, sum(map(len, pack.frames))))

    def usage(self, per_segment: int = 1) -> bytes:
        uses, refs = sorted(self.uses), b""
        groups = [uses[start : start + per_segment] for start in range(0, len(uses), per_segment)]
        for group in groups:
            body = e.header(Kind.SEGMENT, self.world.repository) + self.agent.domain + e.u16(len(group))
            for pack, frames, used, _ in group:
                bitmap = sum(1 << bit for bit in used).to_bytes((frames + 7) // 8, "little")
                body += pack + e.u32(frames) + bitmap
            segment = self.world.put(Kind.SEGMENT, body)
            refs += segment + group[0][0] + group[-1][0] + e.u32(len(group))
            refs += e.u64(sum(len(use[2]) for use in group)) + e.u64(sum(use[3] for use in group))
        body = e.header(Kind.USAGE, self.world.repository) + self.agent.domain + e.u32(len(groups)) + refs
        return self.world.put(Kind.USAGE, body)

    def catalogue(self, groups: list[list[Entry]]) -> bytes:
        """Writes the catalogue, one chunk for each group, and returns the index."""
        parts = []
        for group in groups:
            plain = e.catalogue_chunk(group)
            parts.append((group[0].path, self.chunk(plain, content=2), len(plain), len(group)))
        return e.index(parts)

    def commit(self, index: bytes, entries: int, *, partial: bool = False, signer=None, others=()) -> bytes:
        """Seals the root over the index, closes the packs, writes usage and manifest; returns the manifest's id."""
        world, agent = self.world, self.agent
        middle = len(index) // 2 or 1
        pieces = [] if partial else [piece for piece in (index[:middle], index[middle:]) if piece]
        roots = [(self.chunk(piece, content=2), len(piece)) for piece in pieces]
        self.close_packs()
        world.sequence += 1
        root = e.string("server-1") + e.string("contoh") + e.u16(1) + e.byte_string(b"/srv")
        root += e.u64(entries) + e.u16(len(roots)) + b"".join(chunk + e.u32(length) for chunk, length in roots)
        salt = os.urandom(32)
        aad = (world.repository + agent.agent + world.dataset + agent.domain + e.u32(1) + e.u64(world.sequence))
        sealed = AESGCM(derive("lumbung v1 root key", self.session_key + salt)).encrypt(bytes(12), root, aad)
        body = e.header(Kind.MANIFEST, world.repository) + agent.agent + world.dataset + agent.domain
        body += e.u8(int(partial)) + e.u32(1) + e.u64(world.sequence) + world.previous
        body += e.i64(MTIME[0]) + e.i64(MTIME[0] + world.sequence) + e.u32(len(world.roster_objects))
        body += e.u64(entries) + bytes(48) + self.usage() + e.u16(1 + len(others)) + self.session
        body += b"".join(others) + salt + e.byte_string(sealed)
        world.previous = world.put(Kind.MANIFEST, e.sign(body, signer or agent.key))
        return world.previous

    def snapshot(self, groups: list[list[Entry]]) -> bytes:
        return self.commit(self.catalogue(groups), sum(map(len, groups)))

    def receipt(self, manifest: bytes, signer=None) -> bytes:
        world = self.world
        body = e.header(Kind.RECEIPT, world.repository) + world.keys.site_id + manifest + e.u64(1)
        body += e.i64(MTIME[0]) + e.i64(MTIME[0] + 86_400) + e.u8(0) + bytes(16)
        return world.put(Kind.RECEIPT, e.sign(body, signer or world.keys.site))


def directory(path: bytes, mode: int = 0o755, **fields) -> Entry:
    return Entry(path, Type.DIRECTORY, mode, OWNER, MTIME, **fields)
