"""Section 8: pack tables, and opening one stored frame."""

from dataclasses import dataclass

import zstandard

from .codec import Reader
from .crypto import aead_open, derive, hash32, keyed_hash
from .depot import Depot
from .errors import DepotError, FormatError
from .header import Kind, expect_repository
from .limits import CHUNK_MAX, PACK_MAX_BYTES, PACK_MAX_FRAMES

FIXED_BYTES = 168
ENTRY_BYTES = 76
TAG_BYTES = 16
CONTENT_DATA, CONTENT_CATALOGUE = 1, 2
ENCODING_RAW, ENCODING_ZSTD = 0, 1


@dataclass(frozen=True)
class Frame:
    number: int
    chunk: bytes
    stored_hash: bytes
    plain_length: int
    stored_length: int
    encoding: int
    offset: int


@dataclass(frozen=True)
class PackTable:
    id: bytes
    repository: bytes
    domain: bytes
    session: bytes
    salt: bytes
    commitment: bytes
    content: int
    frames: tuple[Frame, ...]
    total_length: int


def _read_frame(reader: Reader, number: int, offset: int) -> Frame:
    chunk, stored_hash = reader.take(32), reader.take(32)
    plain_length, stored_length, encoding = reader.u32(), reader.u32(), reader.u8()
    reader.reserved(3)
    reader.count(plain_length, 1, CHUNK_MAX, "bytes in a chunk")
    reader.count(stored_length, TAG_BYTES + 1, plain_length + TAG_BYTES, "bytes in a stored frame")
    if encoding not in (ENCODING_RAW, ENCODING_ZSTD):
        raise reader.error(f"encoding {encoding} is not known")
    if encoding == ENCODING_RAW and stored_length != plain_length + TAG_BYTES:
        raise reader.error(f"frame {number} is raw, but its lengths do not fit")
    return Frame(number, chunk, stored_hash, plain_length, stored_length, encoding, offset)


def decode_table(head: bytes, pack_id: bytes, repository: bytes) -> PackTable:
    """Decodes header and table; their hash must be the pack's name."""
    if hash32(head) != pack_id:
        raise DepotError(f"pack {pack_id.hex()}: damaged: the hash of its table is not its name")
    reader = Reader(head, f"pack {pack_id.hex()}")
    expect_repository(reader, Kind.PACK, repository)
    domain, session, salt, commitment = reader.take(16), reader.take(32), reader.take(32), reader.take(32)
    content = reader.u8()
    if content not in (CONTENT_DATA, CONTENT_CATALOGUE):
        raise reader.error(f"content {content} is not known")
    reader.reserved(3)
    count = reader.count(reader.u32(), 0, PACK_MAX_FRAMES, "frames")
    frames, offset = [], FIXED_BYTES + ENTRY_BYTES * count
    for number in range(count):
        frames.append(_read_frame(reader, number, offset))
        offset += frames[-1].stored_length
    reader.finish()
    reader.count(offset, 0, PACK_MAX_BYTES, "bytes in the pack")
    if len({frame.chunk for frame in frames}) != count:
        raise reader.error("a chunk stands in the table twice")
    return PackTable(pack_id, repository, domain, session, salt, commitment, content, tuple(frames), offset)


def read_table(depot: Depot, pack_id: bytes, repository: bytes) -> PackTable:
    """Reads a pack's header and table; the file must have exactly the length that they say."""
    length = depot.pack_length(pack_id)
    fixed = depot.read_pack(pack_id, 0, FIXED_BYTES)
    count = int.from_bytes(fixed[164:168], "little")
    if count > PACK_MAX_FRAMES:
        raise FormatError(f"pack {pack_id.hex()}: {count} frames, at most {PACK_MAX_FRAMES} are allowed")
    table = decode_table(depot.read_pack(pack_id, 0, FIXED_BYTES + ENTRY_BYTES * count), pack_id, repository)
    if length != table.total_length:
        raise DepotError(f"pack {pack_id.hex()}: has {length} bytes, its table says {table.total_length}")
    return table


class PackOpener:
    """Opens the frames of one pack; made only if the session key fits the pack's commitment."""

    def __init__(self, table: PackTable, session_key: bytes, *id_keys: bytes):
        self.table = table
        self.id_keys = id_keys
        self.pack_key = derive("lumbung v1 pack key", session_key + table.salt)
        if derive("lumbung v1 pack commitment", self.pack_key) != table.commitment:
            raise FormatError(f"pack {table.id.hex()}: its session's key does not fit its commitment")

    def frame_key(self, frame: Frame) -> bytes:
        material = (self.pack_key + frame.number.to_bytes(4, "little") + bytes([self.table.content, frame.encoding])
                    + frame.chunk + frame.plain_length.to_bytes(4, "little"))
        return derive("lumbung v1 frame key", material)

    def open(self, frame: Frame, stored: bytes) -> bytes:
        what = f"pack {self.table.id.hex()}, frame {frame.number}"
        if len(stored) != frame.stored_length or hash32(stored) != frame.stored_hash:
            raise DepotError(f"{what}: damaged: the stored bytes do not match the table")
        aad = self.table.repository + self.table.session + self.table.salt
        encoded = aead_open(self.frame_key(frame), stored, aad)
        if encoded is None:
            raise FormatError(f"{what}: does not open: it was not sealed for this place")
        plain = encoded if frame.encoding == ENCODING_RAW else _decompress(encoded, frame.plain_length, what)
        if len(plain) != frame.plain_length or all(keyed_hash(key, plain) != frame.chunk for key in self.id_keys):
            raise FormatError(f"{what}: the content is not the chunk that the table names")
        return plain


def _decompress(encoded: bytes, plain_length: int, what: str) -> bytes:
    """Exactly one zstd frame that declares its content size, and nothing after it."""
    try:
        if zstandard.get_frame_parameters(encoded).content_size != plain_length:
            raise FormatError(f"{what}: the compressed frame declares another length")
        inflater = zstandard.ZstdDecompressor().decompressobj()
        plain = inflater.decompress(encoded)
        if not inflater.eof or inflater.unused_data:
            raise FormatError(f"{what}: is not one whole compressed frame")
    except zstandard.ZstdError as error:
        raise FormatError(f"{what}: does not decompress") from error
    return plain
