"""Section 12: the gear table and the cuts. A restore needs none of this; the test vectors do."""

from collections.abc import Iterator

from .crypto import derive, keyed_hash
from .limits import CHUNK_AVG, CHUNK_MAX, CHUNK_MIN

_U64 = (1 << 64) - 1


def gear_table(domain_secret: bytes) -> list[int]:
    stream = keyed_hash(derive("lumbung v1 gear", domain_secret), b"", 2048)
    return [int.from_bytes(stream[start : start + 8], "little") for start in range(0, 2048, 8)]


def _mask(top_bits: int) -> int:
    return _U64 ^ (_U64 >> top_bits)


def cut(data: memoryview, table: list[int], least: int, average: int, most: int) -> int:
    """The length of the first chunk of `data`, which is all the input that is left."""
    bits = average.bit_length() - 1
    strict, loose = _mask(bits + 2), _mask(bits - 2)
    end, value = min(len(data), most), 0
    for position in range(least, end):
        value = ((value << 1) + table[data[position]]) & _U64
        if not value & (strict if position < average else loose):
            return position + 1
    return end


def chunk_lengths(data: bytes, domain_secret: bytes, least: int = CHUNK_MIN, average: int = CHUNK_AVG,
                  most: int = CHUNK_MAX) -> Iterator[int]:
    table, rest = gear_table(domain_secret), memoryview(data)
    while rest:
        length = cut(rest, table, least, average, most)
        yield length
        rest = rest[length:]
