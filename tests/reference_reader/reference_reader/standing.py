"""Section 25: what a standing approval says, and the session key that an opening seals."""

from dataclasses import dataclass

from .codec import Reader
from .header import Kind, check_signature, expect_repository
from .hpke import open_base
from .limits import GRANT_MAX_DAYS, GRANT_MAX_SNAPSHOTS

OPENING_INFO = b"lumbung v1 opening"
ALGORITHM = 1


@dataclass(frozen=True)
class StandingApproval:
    consent: bytes
    recipient: bytes
    key: bytes
    dataset: bytes
    name: str
    letter: str
    purpose: str
    issued: int
    begin: int
    until: int
    base: tuple[bytes, ...]
    signer: bytes


@dataclass(frozen=True)
class Opening:
    session: bytes
    consent: bytes
    recipient: bytes
    encapsulated: bytes
    ciphertext: bytes
    signer: bytes
    aad: bytes


def decode_approval(data: bytes, repository: bytes) -> StandingApproval:
    body, signature = check_signature(data, "standing approval")
    reader = Reader(body, "standing approval")
    expect_repository(reader, Kind.STANDING_APPROVAL, repository)
    consent = reader.take(16)
    if not any(consent):
        raise reader.error("its consent is zero")
    recipient, key, dataset = reader.take(32), reader.take(32), reader.take(16)
    name, letter, purpose = reader.string(), reader.string(), reader.string()
    issued, begin, until = reader.i64(), reader.i64(), reader.i64()
    if not max(begin, issued) <= until <= issued + GRANT_MAX_DAYS * 86_400:
        raise reader.error("its end is before its beginning, or too far away")
    count = reader.count(reader.u16(), 0, GRANT_MAX_SNAPSHOTS, "snapshots of its base")
    base = tuple(reader.take(32) for _ in range(count))
    if list(base) != sorted(set(base)):
        raise reader.error("its base does not ascend")
    reader.finish()
    return StandingApproval(consent, recipient, key, dataset, name, letter, purpose, issued, begin, until, base,
                            signature.signer)


def decode_opening(data: bytes, repository: bytes) -> Opening:
    body, signature = check_signature(data, "opening")
    reader = Reader(body, "opening")
    expect_repository(reader, Kind.OPENING, repository)
    session, consent = reader.take(32), reader.take(16)
    if not any(consent) or reader.u8() != ALGORITHM:
        raise reader.error("its consent is zero, or its algorithm not known")
    recipient = reader.take(32)
    aad = data[: reader.position]
    encapsulated, ciphertext = reader.take(32), reader.take(48)
    reader.finish()
    return Opening(session, consent, recipient, encapsulated, ciphertext, signature.signer, aad)


def open_opening(opening: Opening, private: bytes) -> bytes | None:
    return open_base(private, opening.encapsulated, opening.ciphertext, OPENING_INFO, opening.aad)
