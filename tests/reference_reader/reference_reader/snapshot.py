"""Section 16, steps 3 to 5: from a manifest to the plaintext of any chunk that its snapshot uses.

Every object on the way is held against the one that names it; a frame that the usage list does not name is not used, even
if it is there, since no site would keep it for this snapshot.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial

from .catalogue import Entry, decode_index, read_catalogue
from .crypto import derive
from .errors import DepotError, FormatError, SignatureError
from .header import Kind
from .manifest import Manifest, open_root
from .pack import CONTENT_CATALOGUE, CONTENT_DATA, Frame, PackOpener, PackTable, read_table
from .repository import Repository
from .session import Session, SessionSecrets, decode_session, open_session
from .usage import PackUse, SegmentRef, decode_segment, decode_usage
from .wrap import open_wrapped

_CACHE_CHUNKS = 16


class SnapshotReader:
    """One opened snapshot."""

    def __init__(self, repository: Repository, manifest: Manifest, recovery_public: bytes, recovery_private: bytes):
        self.repository = repository
        self.manifest = manifest
        packs = list(_used_packs(repository, manifest))
        tables = [table for table, _ in packs]
        secrets = _open_sessions(repository, manifest, tables, recovery_public, recovery_private)
        self._secrets = {session: candidates[0] for session, candidates in secrets.items()}
        self.root = open_root(manifest, self._secrets[manifest.sessions[0]].session_key)
        id_keys = [derive("lumbung v1 chunk id", secret) for secret in _domain_secrets(manifest, secrets)]
        self._frames: dict[tuple[int, bytes], tuple[PackOpener, Frame]] = {}
        self._cache: OrderedDict[tuple[int, bytes], bytes] = OrderedDict()
        for table, use in packs:
            opener = PackOpener(table, self._secrets[table.session].session_key, *id_keys)
            for number in use.used:
                frame = table.frames[number]
                self._frames.setdefault((table.content, frame.chunk), (opener, frame))

    def chunk(self, content: int, chunk: bytes) -> bytes:
        """The plaintext of a chunk, verified; the last few are kept, since small files share chunks."""
        key = (content, chunk)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        if key not in self._frames:
            raise DepotError(f"chunk {chunk.hex()}: the snapshot's usage list names no frame that holds it")
        opener, frame = self._frames[key]
        stored = self.repository.depot.read_pack(opener.table.id, frame.offset, frame.stored_length)
        plain = opener.open(frame, stored)
        self._cache[key] = plain
        if len(self._cache) > _CACHE_CHUNKS:
            self._cache.popitem(last=False)
        return plain

    def data(self, chunk: bytes, offset: int, length: int) -> bytes:
        """A content reference's bytes."""
        plain = self.chunk(CONTENT_DATA, chunk)
        if offset + length > len(plain):
            raise FormatError(f"chunk {chunk.hex()}: a content reference goes beyond its end")
        return plain[offset : offset + length]

    def _catalogue_chunk(self, chunk: bytes, plain_length: int) -> bytes:
        plain = self.chunk(CONTENT_CATALOGUE, chunk)
        if len(plain) != plain_length:
            raise FormatError(f"chunk {chunk.hex()}: has {len(plain)} bytes, {plain_length} were announced")
        return plain

    def entries(self) -> Iterator[Entry]:
        """The catalogue in path order; the root's count of entries is checked at the end."""
        index = decode_index(b"".join(self._catalogue_chunk(chunk, length) for chunk, length in self.root.chunks))
        count = 0
        for entry in read_catalogue(index, self._catalogue_chunk):
            count += 1
            yield entry
        if count != self.root.entries:
            raise FormatError(f"catalogue: {count} entries, the root says {self.root.entries}")


def _check_session(repository: Repository, manifest: Manifest, session: Session) -> None:
    chain, what = repository.chain, f"session {session.id.hex()}"
    if session.domain != manifest.domain:
        raise FormatError(f"{what}: is of another domain than the manifest that names it")
    if chain.knows_agent(session.agent):
        if not chain.ever_listed(session.agent, session.signer, session.domain):
            raise SignatureError(f"{what}: no roster lists its agent with its key and domain")
    elif (session.agent, session.signer) != (manifest.agent, manifest.signer):
        raise SignatureError(f"{what}: its agent is unknown")
    if session.id == manifest.sessions[0] and (session.agent, session.dataset) != (manifest.agent, manifest.dataset):
        raise FormatError(f"{what}: sealed the root of another agent's or dataset's manifest")
    roster = chain.by_number(session.roster_number)
    if roster is None or roster.recipient_keys() != {sealed.recipient for sealed in session.sealed}:
        raise FormatError(f"{what}: is not sealed to exactly the recipients of roster number {session.roster_number}")


def _open_session(repository: Repository, session: Session, fits: Callable[[SessionSecrets], bool],
                  public: bytes, private: bytes) -> list[SessionSecrets]:
    """The session's secrets; of wraps, which whoever had a root key can have made falsely, all that fit."""
    if any(sealed.recipient == public for sealed in session.sealed):
        return [open_session(session, public, private)]
    wrapped = repository.wraps(public).get(session.id, [])
    opened = (open_wrapped(repository.id, one, private) for one in wrapped)
    found = [secrets for secrets in opened if secrets is not None and fits(secrets)]
    if not found:
        raise FormatError(f"session {session.id.hex()}: is neither sealed nor wrapped to this key bundle")
    return found


def _fits(manifest: Manifest, tables: list[PackTable], session: bytes, secrets: SessionSecrets) -> bool:
    """Whether the secrets open what the session sealed: the root, or else a pack."""
    try:
        if session == manifest.sessions[0]:
            open_root(manifest, secrets.session_key)
        else:
            for table in (table for table in tables if table.session == session):
                PackOpener(table, secrets.session_key)
    except FormatError:
        return False
    return True


def _open_sessions(repository: Repository, manifest: Manifest, tables: list[PackTable],
                   public: bytes, private: bytes) -> dict[bytes, list[SessionSecrets]]:
    secrets = {}
    for session_id in manifest.sessions:
        data = repository.depot.get(Kind.SESSION, session_id)
        session = decode_session(data, session_id, repository.id)
        _check_session(repository, manifest, session)
        fits = partial(_fits, manifest, tables, session_id)
        secrets[session_id] = _open_session(repository, session, fits, public, private)
    return secrets


def _domain_secrets(manifest: Manifest, secrets: dict[bytes, list[SessionSecrets]]) -> list[bytes]:
    """Those that every session has among its candidates: one, but where wraps differ; the chunks' ids tell which."""
    common = [opened.domain_secret for opened in secrets[manifest.sessions[0]]]
    for candidates in secrets.values():
        of_one = {opened.domain_secret for opened in candidates}
        common = [secret for secret in common if secret in of_one]
    if not common:
        raise FormatError(f"manifest {manifest.id.hex()}: its sessions do not agree on the domain's secret")
    return common


def _check_segment(ref: SegmentRef, packs: tuple[PackUse, ...], tables: list[PackTable]) -> None:
    frames = sum(len(use.used) for use in packs)
    stored = sum(table.frames[number].stored_length for table, use in zip(tables, packs, strict=True) for number in use.used)
    found = (packs[0].pack, packs[-1].pack, len(packs), frames, stored)
    if found != (ref.first, ref.last, ref.packs, ref.frames, ref.stored_bytes):
        raise FormatError(f"segment {ref.segment.hex()}: is not what the usage list says of it")


def _used_packs(repository: Repository, manifest: Manifest) -> Iterator[tuple[PackTable, PackUse]]:
    depot = repository.depot
    usage = decode_usage(depot.get(Kind.USAGE, manifest.usage), manifest.usage, repository.id, manifest.domain)
    for ref in usage:
        packs = decode_segment(depot.get(Kind.SEGMENT, ref.segment), ref.segment, repository.id, manifest.domain)
        tables = []
        for use in packs:
            table = read_table(depot, use.pack, repository.id)
            if len(table.frames) != use.frames:
                raise FormatError(f"segment {ref.segment.hex()}: pack {use.pack.hex()} has another number of frames")
            if table.domain != manifest.domain or table.session not in manifest.sessions:
                raise FormatError(f"pack {use.pack.hex()}: is of a domain or session that the manifest does not name")
            tables.append(table)
        _check_segment(ref, packs, tables)
        yield from zip(tables, packs, strict=True)
