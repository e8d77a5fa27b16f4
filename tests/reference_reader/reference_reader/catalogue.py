"""Section 11: the catalogue's index, its chunks and their entries.

`read_catalogue` yields entries only in path order, each below a directory that came before it, and hard links only to
entries that came before them. Paths are bytes throughout.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from .codec import U64_MAX, Reader
from .errors import FormatError
from .limits import CHUNK_MAX, ENTRY_MAX_BYTES, PATH_MAX_BYTES

CHANGED, UNREADABLE, SPARSE, XATTRS, SAME_OWNER, SAME_MTIME = (1 << bit for bit in range(6))
_VARINT_MAX_BYTES = 10
_U32_MAX = (1 << 32) - 1


class Type(IntEnum):
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    FIFO = 4
    SOCKET = 5
    CHAR_DEVICE = 6
    BLOCK_DEVICE = 7
    HARD_LINK = 8


@dataclass(frozen=True)
class ContentRef:
    chunk: bytes
    offset: int
    length: int


@dataclass(frozen=True)
class Owner:
    uid: int
    gid: int
    user: bytes
    group: bytes


@dataclass(frozen=True)
class Entry:
    path: bytes
    type: Type
    mode: int
    owner: Owner
    mtime: tuple[int, int]
    changed: bool = False
    unreadable: int | None = None
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    size: int = 0
    extents: tuple[tuple[int, int], ...] | None = None
    content: tuple[ContentRef, ...] = ()
    target: bytes = b""
    device: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class IndexEntry:
    first_path: bytes
    chunk: bytes
    plain_length: int
    entries: int


def components(path: bytes) -> list[bytes]:
    """The sort key of path order; the root directory has no components."""
    return path.split(b"/") if path else []


def check_path(path: bytes) -> str | None:
    """What is wrong with a path, or None."""
    if len(path) > PATH_MAX_BYTES:
        return "a path is too long"
    if b"\0" in path:
        return "a path has a NUL"
    if any(part in (b"", b".", b"..") for part in components(path)):
        return "a path has an empty component, . or .."
    return None


def decode_index(data: bytes) -> list[IndexEntry]:
    reader = Reader(data, "catalogue index")
    index: list[IndexEntry] = []
    for _ in range(reader.varint()):
        path, chunk = reader.varint_bytes(PATH_MAX_BYTES), reader.take(32)
        length = reader.count(reader.varint(), 1, CHUNK_MAX, "bytes in a catalogue chunk")
        entry = IndexEntry(path, chunk, length, reader.varint())
        wrong = check_path(path)
        if wrong:
            raise reader.error(wrong)
        if entry.entries == 0 and (not index or index[-1].first_path != path or index[-1].entries > 1):
            raise reader.error("a continuation follows no entry of its path")
        if entry.entries and index and components(path) <= components(index[-1].first_path):
            raise reader.error("its chunks are not in path order")
        index.append(entry)
    reader.finish()
    return index


@dataclass
class _ChunkState:
    """What an entry may take over from the entries before it in the same catalogue chunk."""

    path: bytes = b""
    owner: Owner | None = None
    mtime: tuple[int, int] | None = None
    chunk: bytes | None = None
    chunk_end: int = 0


def _read_path(reader: Reader, state: _ChunkState) -> bytes:
    shared = reader.varint()
    if shared > len(state.path):
        raise reader.error("shares more of a path than there is")
    path = state.path[:shared] + reader.varint_bytes(PATH_MAX_BYTES)
    wrong = check_path(path)
    if wrong:
        raise reader.error(wrong)
    return path


def _read_owner(reader: Reader, same: bool, state: _ChunkState) -> Owner:
    if same:
        if state.owner is None:
            raise reader.error("a chunk's first entry takes its owner from the one before")
        return state.owner
    uid, gid = (reader.count(reader.varint(), 0, _U32_MAX, "as uid or gid") for _ in range(2))
    return Owner(uid, gid, reader.varint_bytes(PATH_MAX_BYTES), reader.varint_bytes(PATH_MAX_BYTES))


def _read_mtime(reader: Reader, same: bool, state: _ChunkState) -> tuple[int, int]:
    if same:
        if state.mtime is None:
            raise reader.error("a chunk's first entry takes its time from the one before")
        return state.mtime
    return reader.svarint(), reader.count(reader.varint(), 0, 999_999_999, "nanoseconds")


def _read_xattrs(reader: Reader) -> tuple[tuple[bytes, bytes], ...]:
    xattrs: list[tuple[bytes, bytes]] = []
    for _ in range(reader.varint()):
        name, value = reader.varint_bytes(PATH_MAX_BYTES), reader.varint_bytes(ENTRY_MAX_BYTES)
        if xattrs and name <= xattrs[-1][0]:
            raise reader.error("attribute names are not in ascending order")
        xattrs.append((name, value))
    return tuple(xattrs)


def _read_extents(reader: Reader, size: int) -> tuple[tuple[int, int], ...]:
    extents, end = [], 0
    for _ in range(reader.varint()):
        offset = end + reader.varint()
        length = reader.count(reader.varint(), 1, U64_MAX, "bytes in an extent")
        end = offset + length
        if end > size:
            raise reader.error("an extent goes beyond the file's size")
        extents.append((offset, length))
    return tuple(extents)


def _read_content(reader: Reader, state: _ChunkState) -> tuple[ContentRef, ...]:
    content = []
    for _ in range(reader.varint()):
        token = reader.varint()
        if token > 2:
            raise reader.error(f"content token {token} is not known")
        if token == 2:
            state.chunk = reader.take(32)
        if state.chunk is None:
            raise reader.error("a chunk's first content reference names no chunk")
        offset = state.chunk_end if token == 0 else reader.varint()
        length = reader.count(reader.varint(), 1, CHUNK_MAX, "bytes in a content reference")
        state.chunk_end = reader.count(offset + length, 1, CHUNK_MAX, "as a content reference's end")
        content.append(ContentRef(state.chunk, offset, length))
    return tuple(content)


def _read_file(reader: Reader, flags: int, state: _ChunkState) -> dict:
    size = reader.varint()
    extents = _read_extents(reader, size) if flags & SPARSE else None
    content = _read_content(reader, state)
    expected = size if extents is None else sum(length for _, length in extents)
    if flags & UNREADABLE:
        if content:
            raise reader.error("an entry that could not be read has content")
    elif sum(reference.length for reference in content) != expected:
        raise reader.error("the content does not add up to the file's size")
    return {"size": size, "extents": extents, "content": content}


def _read_target(reader: Reader, flags: int) -> dict:
    target = reader.varint_bytes(PATH_MAX_BYTES)
    if b"\0" in target or not (target or flags & UNREADABLE):
        raise reader.error("a symbolic link's target is empty or has a NUL")
    return {"target": target}


def _read_by_type(reader: Reader, kind: Type, flags: int, state: _ChunkState) -> dict:
    if kind is Type.FILE:
        return _read_file(reader, flags, state)
    if flags & SPARSE:
        raise reader.error("a sparse map on something that is no file")
    if kind is Type.SYMLINK:
        return _read_target(reader, flags)
    if kind in (Type.CHAR_DEVICE, Type.BLOCK_DEVICE):
        major, minor = (reader.count(reader.varint(), 0, _U32_MAX, "as a device number") for _ in range(2))
        return {"device": (major, minor)}
    if kind is Type.HARD_LINK:
        return {"target": reader.varint_bytes(PATH_MAX_BYTES)}
    return {}


def _read_entry(reader: Reader, state: _ChunkState) -> Entry:
    path, number, flags = _read_path(reader, state), reader.u8(), reader.u8()
    if number not in Type._value2member_map_:
        raise reader.error(f"entry type {number} is not known")
    if flags >> 6:
        raise reader.error(f"flags {flags:#x} are not known")
    kind = Type(number)
    if kind is Type.HARD_LINK and flags & (CHANGED | UNREADABLE | SPARSE | XATTRS):
        raise reader.error("a hard link carries what belongs to its first name")
    mode = reader.count(reader.varint(), 0, 0o7777, "as mode")
    state.owner = _read_owner(reader, bool(flags & SAME_OWNER), state)
    state.mtime = _read_mtime(reader, bool(flags & SAME_MTIME), state)
    state.path = path
    unreadable = reader.varint() if flags & UNREADABLE else None
    xattrs = _read_xattrs(reader) if flags & XATTRS else ()
    return Entry(path, kind, mode, state.owner, state.mtime, bool(flags & CHANGED), unreadable, xattrs,
                 **_read_by_type(reader, kind, flags, state))


def decode_chunk(data: bytes, entries: int, what: str) -> list[Entry]:
    """All entries of one catalogue chunk, or the single entry of joined chunks."""
    reader, state, decoded = Reader(data, what), _ChunkState(), []
    while reader.remaining():
        length = reader.count(reader.varint(), 1, ENTRY_MAX_BYTES, "bytes in an entry")
        end = reader.position + length
        if length > reader.remaining():
            raise reader.error("an entry goes beyond its chunk")
        decoded.append(_read_entry(reader, state))
        if reader.position != end:
            raise reader.error("an entry's length does not fit its fields")
    if len(decoded) != entries:
        raise reader.error(f"{len(decoded)} entries, the index says {entries}")
    return decoded


@dataclass
class _Order:
    """Holds entries against those before them: order, ancestors, first names of hard links."""

    previous: list[bytes] | None = None
    directories: list[tuple[list[bytes], bool]] = field(default_factory=list)
    linkable: set[bytes] = field(default_factory=set)

    def check(self, entry: Entry) -> None:
        key, name = components(entry.path), entry.path.decode("utf-8", "backslashreplace")
        if self.previous is not None and key <= self.previous:
            raise FormatError(f"catalogue: /{name} is not in path order")
        self.previous = key
        while self.directories and self.directories[-1][0] != key[: len(self.directories[-1][0])]:
            self.directories.pop()
        if key:
            if not self.directories or self.directories[-1][0] != key[:-1]:
                raise FormatError(f"catalogue: /{name} does not stand below a directory")
            if self.directories[-1][1]:
                raise FormatError(f"catalogue: /{name} stands below a directory that could not be read")
        if entry.type is Type.DIRECTORY:
            self.directories.append((key, entry.unreadable is not None))
        elif not key:
            raise FormatError("catalogue: the root is not a directory")
        elif entry.type is not Type.HARD_LINK:
            self.linkable.add(entry.path)
        elif entry.target not in self.linkable:
            raise FormatError(f"catalogue: /{name} is a hard link to nothing before it")


def read_catalogue(index: list[IndexEntry], fetch: Callable[[bytes, int], bytes]) -> Iterator[Entry]:
    """Entries in order; `fetch` gives the plaintext of a catalogue chunk by id and plain length."""
    order, position = _Order(), 0
    while position < len(index):
        head, group = index[position], [index[position]]
        position += 1
        while position < len(index) and index[position].entries == 0:
            group.append(index[position])
            position += 1
        if sum(part.plain_length for part in group) > max(CHUNK_MAX, ENTRY_MAX_BYTES + _VARINT_MAX_BYTES):
            raise FormatError("catalogue: an entry is longer than allowed")
        data = b"".join(fetch(part.chunk, part.plain_length) for part in group)
        entries = decode_chunk(data, head.entries, f"catalogue chunk {head.chunk.hex()}")
        if entries[0].path != head.first_path:
            raise FormatError(f"catalogue chunk {head.chunk.hex()}: does not begin with the path that the index names")
        for entry in entries:
            order.check(entry)
            yield entry
