"""Section 9: usage segments and usage lists, and the map from chunk to frame that they give."""

from dataclasses import dataclass

from .codec import Reader
from .header import Kind, expect_repository
from .limits import PACK_MAX_FRAMES, SEGMENT_MAX_PACKS, USAGE_MAX_SEGMENTS


@dataclass(frozen=True)
class PackUse:
    pack: bytes
    frames: int
    used: tuple[int, ...]


@dataclass(frozen=True)
class SegmentRef:
    segment: bytes
    first: bytes
    last: bytes
    packs: int
    frames: int
    stored_bytes: int


def _read_bitmap(reader: Reader, frames: int) -> tuple[int, ...]:
    bits = int.from_bytes(reader.take((frames + 7) // 8), "little")
    if bits >> frames:
        raise reader.error("an unused bit of a bitmap is set")
    if not bits:
        raise reader.error("a bitmap is empty")
    return tuple(index for index in range(frames) if bits >> index & 1)


def decode_segment(data: bytes, segment_id: bytes, repository: bytes, domain: bytes) -> tuple[PackUse, ...]:
    reader = Reader(data, f"segment {segment_id.hex()}")
    expect_repository(reader, Kind.SEGMENT, repository)
    if reader.take(16) != domain:
        raise reader.error("is of another domain")
    packs: list[PackUse] = []
    for _ in range(reader.count(reader.u16(), 1, SEGMENT_MAX_PACKS, "packs")):
        pack = reader.take(32)
        frames = reader.count(reader.u32(), 1, PACK_MAX_FRAMES, "frames in a pack")
        if packs and pack <= packs[-1].pack:
            raise reader.error("its packs are not in ascending order")
        packs.append(PackUse(pack, frames, _read_bitmap(reader, frames)))
    reader.finish()
    return tuple(packs)


def decode_usage(data: bytes, usage_id: bytes, repository: bytes, domain: bytes) -> tuple[SegmentRef, ...]:
    reader = Reader(data, f"usage list {usage_id.hex()}")
    expect_repository(reader, Kind.USAGE, repository)
    if reader.take(16) != domain:
        raise reader.error("is of another domain")
    refs: list[SegmentRef] = []
    for _ in range(reader.count(reader.u32(), 0, USAGE_MAX_SEGMENTS, "segments")):
        ref = SegmentRef(reader.take(32), reader.take(32), reader.take(32), reader.u32(), reader.u64(), reader.u64())
        if ref.first > ref.last or (refs and ref.first <= refs[-1].last):
            raise reader.error("its segments overlap or are out of order")
        refs.append(ref)
    reader.finish()
    return tuple(refs)
