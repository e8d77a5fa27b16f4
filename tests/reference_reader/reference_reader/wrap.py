"""Section 23: sessions whose secrets the owner sealed again, to a recipient who came later."""

from dataclasses import dataclass

from .codec import Reader
from .header import Kind, check_signature, expect_repository
from .hpke import open_base
from .limits import WRAP_MAX_SESSIONS
from .session import SessionSecrets

WRAP_INFO = b"lumbung v1 wrap"


@dataclass(frozen=True)
class WrappedSession:
    session: bytes
    encapsulated: bytes
    ciphertext: bytes


@dataclass(frozen=True)
class Wrap:
    made: int
    recipient: bytes
    sessions: tuple[WrappedSession, ...]
    signer: bytes


def decode_wrap(data: bytes, wrap_id: bytes, repository: bytes) -> Wrap:
    what = f"wrap {wrap_id.hex()}"
    body, signature = check_signature(data, what)
    reader = Reader(body, what)
    expect_repository(reader, Kind.WRAP, repository)
    made, algorithm, recipient = reader.i64(), reader.u8(), reader.take(32)
    if algorithm != 1:
        raise reader.error(f"algorithm {algorithm} is not known")
    count = reader.count(reader.u32(), 1, WRAP_MAX_SESSIONS, "sessions")
    sessions = tuple(WrappedSession(reader.take(32), reader.take(32), reader.take(80)) for _ in range(count))
    reader.finish()
    ids = [wrapped.session for wrapped in sessions]
    if ids != sorted(set(ids)):
        raise reader.error("its sessions do not ascend")
    return Wrap(made, recipient, sessions, signature.signer)


def open_wrapped(repository: bytes, wrapped: WrappedSession, recovery_private: bytes) -> SessionSecrets | None:
    """The secrets, or nothing where they do not open; what they open tells whether they are the session's."""
    aad = repository + wrapped.session
    plain = open_base(recovery_private, wrapped.encapsulated, wrapped.ciphertext, WRAP_INFO, aad)
    return SessionSecrets(plain[:32], plain[32:]) if plain is not None and len(plain) == 64 else None
