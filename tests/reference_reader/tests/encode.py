"""Writes single objects of the format, for tests only; every function can be told to write something wrong."""

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reference_reader.catalogue import CHANGED, SAME_MTIME, SAME_OWNER, SPARSE, UNREADABLE, XATTRS, Entry, Type


def hash32(data: bytes) -> bytes:
    return blake3(data).digest()


def u8(value: int) -> bytes:
    return value.to_bytes(1, "little")


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def i64(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)


def string(text: str) -> bytes:
    raw = text.encode()
    return u16(len(raw)) + raw


def byte_string(raw: bytes) -> bytes:
    return u32(len(raw)) + raw


def varint(value: int) -> bytes:
    output = bytearray()
    while value >= 0x80:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    output.append(value)
    return bytes(output)


def svarint(value: int) -> bytes:
    return varint(((value << 1) ^ (value >> 63)) & (2**64 - 1))


def varint_bytes(raw: bytes) -> bytes:
    return varint(len(raw)) + raw


def header(kind: int, repository: bytes = bytes(32), incompatible: int = 0, version: int = 1) -> bytes:
    return b"LMBG" + u8(kind) + u8(version) + u16(0) + u32(0) + u32(incompatible) + repository


def sign(body: bytes, key: Ed25519PrivateKey) -> bytes:
    signed = body + key.public_key().public_bytes_raw()
    return signed + key.sign(signed)


def entry(item: Entry, previous: Entry | None = None, last_ref: tuple[bytes, int] | None = None,
          long_form: bool = False) -> tuple[bytes, tuple[bytes, int] | None]:
    """One catalogue entry and where its last content reference ended."""
    before = previous.path if previous else b""
    shared = 0
    while shared < min(len(before), len(item.path)) and before[shared] == item.path[shared]:
        shared += 1
    flags = (CHANGED if item.changed else 0) | (UNREADABLE if item.unreadable is not None else 0)
    flags |= (SPARSE if item.extents is not None else 0) | (XATTRS if item.xattrs else 0)
    same_owner = previous is not None and previous.owner == item.owner and not long_form
    same_mtime = previous is not None and previous.mtime == item.mtime and not long_form
    flags |= (SAME_OWNER if same_owner else 0) | (SAME_MTIME if same_mtime else 0)
    out = varint(shared) + varint_bytes(item.path[shared:]) + u8(item.type) + u8(flags) + varint(item.mode)
    if not same_owner:
        owner = item.owner
        out += varint(owner.uid) + varint(owner.gid) + varint_bytes(owner.user) + varint_bytes(owner.group)
    if not same_mtime:
        out += svarint(item.mtime[0]) + varint(item.mtime[1])
    if item.unreadable is not None:
        out += varint(item.unreadable)
    if item.xattrs:
        out += varint(len(item.xattrs)) + b"".join(varint_bytes(n) + varint_bytes(v) for n, v in item.xattrs)
    if item.type is Type.FILE:
        tail, last_ref = _file(item, last_ref, long_form)
        out += tail
    elif item.type in (Type.SYMLINK, Type.HARD_LINK):
        out += varint_bytes(item.target)
    elif item.type in (Type.CHAR_DEVICE, Type.BLOCK_DEVICE):
        out += varint(item.device[0]) + varint(item.device[1])
    return varint(len(out)) + out, last_ref


def _file(item: Entry, last_ref: tuple[bytes, int] | None, long_form: bool) -> tuple[bytes, tuple[bytes, int] | None]:
    out = varint(item.size)
    if item.extents is not None:
        out += varint(len(item.extents))
        end = 0
        for offset, length in item.extents:
            out += varint(offset - end) + varint(length)
            end = offset + length
    out += varint(len(item.content))
    for reference in item.content:
        if last_ref and not long_form and last_ref == (reference.chunk, reference.offset):
            out += varint(0)
        elif last_ref and not long_form and last_ref[0] == reference.chunk:
            out += varint(1) + varint(reference.offset)
        else:
            out += varint(2) + reference.chunk + varint(reference.offset)
        out += varint(reference.length)
        last_ref = (reference.chunk, reference.offset + reference.length)
    return out, last_ref


def catalogue_chunk(entries: list[Entry]) -> bytes:
    out, previous, last_ref = b"", None, None
    for item in entries:
        encoded, last_ref = entry(item, previous, last_ref)
        out, previous = out + encoded, item
    return out


def index(parts: list[tuple[bytes, bytes, int, int]]) -> bytes:
    """(first path, chunk id, plain length, entries) of each catalogue chunk."""
    body = b"".join(varint_bytes(path) + chunk + varint(length) + varint(count) for path, chunk, length, count in parts)
    return varint(len(parts)) + body
