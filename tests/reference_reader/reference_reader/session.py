"""Section 7: sessions, and opening one with the recovery key."""

from dataclasses import dataclass

from .codec import Reader
from .errors import FormatError
from .header import Kind, check_signature, expect_repository
from .hpke import open_base
from .limits import ROSTER_MAX_RECIPIENTS

INFO = b"lumbung v1 session"
AAD_BYTES = 104


@dataclass(frozen=True)
class SealedKey:
    recipient: bytes
    encapsulated: bytes
    ciphertext: bytes


@dataclass(frozen=True)
class Session:
    id: bytes
    agent: bytes
    domain: bytes
    dataset: bytes
    started: int
    roster_number: int
    sealed: tuple[SealedKey, ...]
    signer: bytes
    aad: bytes


@dataclass(frozen=True)
class SessionSecrets:
    session_key: bytes
    domain_secret: bytes


def decode_session(data: bytes, session_id: bytes, repository: bytes) -> Session:
    what = f"session {session_id.hex()}"
    body, signature = check_signature(data, what)
    reader = Reader(body, what)
    expect_repository(reader, Kind.SESSION, repository)
    agent, domain, dataset = reader.take(16), reader.take(16), reader.take(16)
    started, roster_number = reader.i64(), reader.u32()
    sealed = []
    for _ in range(reader.count(reader.u16(), 1, ROSTER_MAX_RECIPIENTS, "recipients")):
        algorithm = reader.u8()
        if algorithm != 1:
            raise reader.error(f"recipient algorithm {algorithm} is not known")
        sealed.append(SealedKey(reader.take(32), reader.take(32), reader.take(80)))
    reader.finish()
    if len({entry.recipient for entry in sealed}) != len(sealed):
        raise reader.error("a recipient stands in it twice")
    return Session(session_id, agent, domain, dataset, started, roster_number, tuple(sealed), signature.signer,
                   data[:AAD_BYTES])


def open_session(session: Session, recovery_public: bytes, recovery_private: bytes) -> SessionSecrets:
    what = f"session {session.id.hex()}"
    for sealed in session.sealed:
        if sealed.recipient != recovery_public:
            continue
        plain = open_base(recovery_private, sealed.encapsulated, sealed.ciphertext, INFO, session.aad)
        if plain is None or len(plain) != 64:
            raise FormatError(f"{what}: sealed to this key, yet it does not open: damaged or forged by its agent")
        return SessionSecrets(plain[:32], plain[32:])
    raise FormatError(f"{what}: is not sealed to this key bundle")
