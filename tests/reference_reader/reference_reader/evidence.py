"""Sections 13 and 14: receipts, inventories, scrub reports and proofs, with the entitlement of who signed them."""

from dataclasses import dataclass

from .codec import Reader
from .errors import SignatureError
from .header import ZERO_ID, Kind, check_signature, expect_repository
from .roster import Roster

_ZERO_SITE = bytes(16)


@dataclass(frozen=True)
class Receipt:
    site: bytes
    manifest: bytes
    number: int
    received: int
    locked_until: int
    pulled_from: bytes | None


@dataclass(frozen=True)
class Inventory:
    site: bytes
    number: int
    previous: bytes
    made: int
    roster_number: int
    packs: int
    bytes: int
    entries: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class ScrubReport:
    site: bytes
    number: int
    started: int
    finished: int
    frames: int
    bytes: int
    repaired: int
    bad: int
    verified: tuple[bytes, ...]
    damaged: tuple[bytes, ...]


@dataclass(frozen=True)
class Proof:
    manifest: bytes
    site: bytes | None
    started: int
    finished: int
    entries: int
    bytes: int
    failed: int


def _open(data: bytes, object_id: bytes, kind: Kind, repository: bytes) -> tuple[Reader, bytes]:
    what = f"{kind.name.lower()} {object_id.hex()}"
    body, signature = check_signature(data, what)
    reader = Reader(body, what)
    expect_repository(reader, kind, repository)
    return reader, signature.signer


def _site(reader: Reader, roster: Roster, signer: bytes) -> bytes:
    site_id = reader.take(16)
    site = roster.site(site_id)
    if site is None or site.receipt_key != signer:
        raise SignatureError(f"{reader.what}: the newest roster does not list its site with its key")
    return site_id


def _number(reader: Reader) -> int:
    return reader.count(reader.u64(), 1, (1 << 64) - 1, "as number")


def _ascending(reader: Reader, count: int) -> tuple[bytes, ...]:
    ids = tuple(reader.take(32) for _ in range(count))
    if any(left >= right for left, right in zip(ids, ids[1:])):
        raise reader.error("its manifests are not in ascending order")
    return ids


def decode_receipt(data: bytes, receipt_id: bytes, repository: bytes, roster: Roster) -> Receipt:
    reader, signer = _open(data, receipt_id, Kind.RECEIPT, repository)
    site, manifest, number = _site(reader, roster, signer), reader.take(32), _number(reader)
    received, locked_until, how, origin = reader.i64(), reader.i64(), reader.u8(), reader.take(16)
    if how > 1 or (how == 0) != (origin == _ZERO_SITE):
        raise reader.error("how it came does not fit where from")
    reader.finish()
    return Receipt(site, manifest, number, received, locked_until, origin if how else None)


def decode_inventory(data: bytes, inventory_id: bytes, repository: bytes, roster: Roster) -> Inventory:
    reader, signer = _open(data, inventory_id, Kind.INVENTORY, repository)
    site, number, previous = _site(reader, roster, signer), _number(reader), reader.take(32)
    if (number == 1) != (previous == ZERO_ID):
        raise reader.error("its predecessor does not fit its number")
    made, roster_number, packs, size = reader.i64(), reader.u32(), reader.u64(), reader.u64()
    entries = tuple((reader.take(32), reader.take(32)) for _ in range(reader.u32()))
    if any(left[0] >= right[0] for left, right in zip(entries, entries[1:])):
        raise reader.error("its manifests are not in ascending order")
    reader.finish()
    return Inventory(site, number, previous, made, roster_number, packs, size, entries)


def decode_scrub(data: bytes, scrub_id: bytes, repository: bytes, roster: Roster) -> ScrubReport:
    reader, signer = _open(data, scrub_id, Kind.SCRUB, repository)
    site, number = _site(reader, roster, signer), _number(reader)
    started, finished, frames, size = reader.i64(), reader.i64(), reader.u64(), reader.u64()
    repaired, bad = reader.u32(), reader.u32()
    verified, damaged = _ascending(reader, reader.u32()), _ascending(reader, reader.u32())
    reader.finish()
    return ScrubReport(site, number, started, finished, frames, size, repaired, bad, verified, damaged)


def decode_proof(data: bytes, proof_id: bytes, repository: bytes, roster: Roster) -> Proof:
    reader, signer = _open(data, proof_id, Kind.PROOF, repository)
    if not roster.is_root_key(signer):
        raise SignatureError(f"{reader.what}: is not signed by a root key of the newest roster")
    manifest, site = reader.take(32), reader.take(16)
    proof = Proof(manifest, None if site == _ZERO_SITE else site, reader.i64(), reader.i64(), reader.u64(), reader.u64(),
                  reader.u64())
    reader.finish()
    return proof
