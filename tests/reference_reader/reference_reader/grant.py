"""Section 22: what a grant says in the clear, and the keys that it seals."""

from dataclasses import dataclass

from .codec import Reader
from .header import Kind, check_signature, expect_repository
from .hpke import open_base
from .limits import GRANT_MAX_DAYS, GRANT_MAX_PARTS, GRANT_MAX_SNAPSHOTS, GRANT_SEALED_MAX_BYTES, PACK_MAX_FRAMES

GRANT_INFO = b"lumbung v1 grant"
WHOLE, FRAMES = 1, 2


@dataclass(frozen=True)
class Grant:
    consent: bytes
    part: int
    parts: int
    recipient: bytes
    key: bytes
    name: str
    letter: str
    purpose: str
    issued: int
    begin: int
    until: int
    snapshots: tuple[bytes, ...]
    encapsulated: bytes
    sealed: bytes
    signer: bytes
    aad: bytes


@dataclass(frozen=True)
class Openings:
    """Root keys by manifest; of each pack its key, or the keys of some frames by their number."""

    roots: dict[bytes, bytes]
    packs: dict[bytes, bytes | dict[int, bytes]]


def decode_grant(data: bytes, repository: bytes) -> Grant:
    body, signature = check_signature(data, "grant")
    reader = Reader(body, "grant")
    expect_repository(reader, Kind.GRANT, repository)
    consent, part, parts = reader.take(16), reader.u16(), reader.u16()
    if not any(consent) or not 1 <= part <= parts <= GRANT_MAX_PARTS:
        raise reader.error("its consent is zero, or its part is none")
    recipient, key = reader.take(32), reader.take(32)
    name, letter, purpose = reader.string(), reader.string(), reader.string()
    issued, begin, until = reader.i64(), reader.i64(), reader.i64()
    if not max(begin, issued) <= until <= issued + GRANT_MAX_DAYS * 86_400:
        raise reader.error("its end is before its beginning, or too far away")
    count = reader.count(reader.u16(), 1, GRANT_MAX_SNAPSHOTS, "snapshots")
    snapshots = tuple(reader.take(32) for _ in range(count))
    if list(snapshots) != sorted(set(snapshots)):
        raise reader.error("its snapshots do not ascend")
    aad = data[: reader.position]
    encapsulated, sealed = reader.take(32), reader.byte_string(GRANT_SEALED_MAX_BYTES)
    reader.finish()
    return Grant(consent, part, parts, recipient, key, name, letter, purpose, issued, begin, until, snapshots,
                 encapsulated, sealed, signature.signer, aad)


def open_grant(grant: Grant, private: bytes) -> bytes | None:
    return open_base(private, grant.encapsulated, grant.sealed, GRANT_INFO, grant.aad)


def decode_openings(plain: bytes) -> Openings:
    reader = Reader(plain, "a grant's keys")
    roots = {reader.take(32): reader.take(32) for _ in range(reader.u32())}
    packs: dict[bytes, bytes | dict[int, bytes]] = {}
    for _ in range(reader.u32()):
        pack, form = reader.take(32), reader.u8()
        if form == WHOLE:
            packs[pack] = reader.take(32)
        elif form == FRAMES:
            count = reader.count(reader.u32(), 1, PACK_MAX_FRAMES, "frames")
            bitmap = reader.take((count + 7) // 8)
            set_bits = [number for number in range(len(bitmap) * 8) if bitmap[number // 8] >> number % 8 & 1]
            if not set_bits or set_bits[-1] >= count or len(set_bits) == count:
                raise reader.error("a pack's frames are none, all, or more than it has")
            packs[pack] = {number: reader.take(32) for number in set_bits}
        else:
            raise reader.error(f"form {form} is not known")
    reader.finish()
    return Openings(roots, packs)
