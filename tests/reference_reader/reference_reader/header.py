"""Section 2: the 48 bytes that begin every object, and the table of kinds; section 4: how signed objects end."""

from dataclasses import dataclass
from enum import IntEnum

from .codec import Reader
from .crypto import verify_signature
from .errors import FormatError, SignatureError

MAGIC = b"LMBG"
HEADER_BYTES = 48
SIGNATURE_BYTES = 96
ZERO_ID = bytes(32)


class Kind(IntEnum):
    ROSTER = 1
    SESSION = 2
    PACK = 3
    SEGMENT = 4
    USAGE = 5
    MANIFEST = 6
    RECEIPT = 7
    INVENTORY = 8
    SCRUB = 9
    PROOF = 10
    WRAP = 16
    GRANT = 17
    STANDING_APPROVAL = 23
    OPENING = 24
    KEY_BUNDLE = 32
    AGENT_IDENTITY = 33
    SITE_IDENTITY = 34


FOLDERS = {
    Kind.ROSTER: "rosters", Kind.SESSION: "sessions", Kind.PACK: "packs", Kind.SEGMENT: "segments",
    Kind.USAGE: "usages", Kind.MANIFEST: "manifests", Kind.RECEIPT: "receipts", Kind.INVENTORY: "inventories",
    Kind.SCRUB: "scrubs", Kind.PROOF: "proofs", Kind.WRAP: "wraps", Kind.GRANT: "grants",
    Kind.STANDING_APPROVAL: "standing-approvals", Kind.OPENING: "openings",
}


def read_header(reader: Reader, kind: Kind) -> bytes:
    """Checks the header and returns the repository id that it names."""
    if reader.take(4) != MAGIC:
        raise reader.error("does not begin with LMBG")
    found = reader.u8()
    if found != kind:
        raise reader.error(f"is of kind {found}, expected {kind.value} ({kind.name.lower()})")
    version = reader.u8()
    if version != 1:
        raise reader.error(f"is of version {version}; this reader knows version 1")
    reader.reserved(2)
    reader.u32()  # compatible features: unknown ones are ignored
    incompatible = reader.u32()
    if incompatible:
        bits = [bit for bit in range(32) if incompatible >> bit & 1]
        raise reader.error(f"needs features that this reader does not know: bits {bits}")
    return reader.take(32)


def expect_repository(reader: Reader, kind: Kind, repository: bytes) -> None:
    """Reads the header of an object that must belong to `repository`."""
    if read_header(reader, kind) != repository:
        raise reader.error("belongs to another repository")


@dataclass(frozen=True)
class Signature:
    """Who signed; the signature itself has been verified."""

    signer: bytes


def check_signature(data: bytes, what: str) -> tuple[bytes, Signature]:
    """Verifies the last 96 bytes of a signed object and returns its body and its signer."""
    if len(data) < HEADER_BYTES + SIGNATURE_BYTES:
        raise FormatError(f"{what}: too short for a signed object")
    signer, signature = data[-96:-64], data[-64:]
    if not verify_signature(signer, data[:-64], signature):
        raise SignatureError(f"{what}: the signature does not verify")
    return data[:-SIGNATURE_BYTES], Signature(signer)
