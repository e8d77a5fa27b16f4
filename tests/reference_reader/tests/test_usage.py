"""Usage segments and usage lists: order, bitmaps, bounds."""

import unittest

from reference_reader.errors import FormatError
from reference_reader.header import Kind
from reference_reader.usage import PackUse, decode_segment, decode_usage
from tests import encode as e

REPOSITORY, DOMAIN = bytes([1]) * 32, bytes([2]) * 16
A, B, C = (bytes([value]) * 32 for value in (10, 11, 12))


def segment(*packs: tuple[bytes, int, bytes], domain: bytes = DOMAIN) -> bytes:
    body = b"".join(pack + e.u32(frames) + bitmap for pack, frames, bitmap in packs)
    return e.header(Kind.SEGMENT, REPOSITORY) + domain + e.u16(len(packs)) + body


def usage(*refs: tuple[bytes, bytes]) -> bytes:
    body = b"".join(bytes(32) + first + last + e.u32(1) + e.u64(1) + e.u64(17) for first, last in refs)
    return e.header(Kind.USAGE, REPOSITORY) + DOMAIN + e.u32(len(refs)) + body


class Segments(unittest.TestCase):
    def test_bit_order(self):
        data = segment((A, 9, b"\x05\x01"), (B, 8, b"\x80"))
        self.assertEqual(decode_segment(data, A, REPOSITORY, DOMAIN), (PackUse(A, 9, (0, 2, 8)), PackUse(B, 8, (7,))))

    def test_refusals(self):
        for name, data in {
            "empty": segment(), "no bit": segment((A, 9, b"\0\0")), "unused bit": segment((A, 9, b"\1\2")),
            "descending": segment((B, 1, b"\1"), (A, 1, b"\1")), "twice": segment((A, 1, b"\1"), (A, 1, b"\1")),
            "no frames": segment((A, 0, b"")), "too many frames": segment((A, 16_385, b"\1" * 2_049)),
            "too many packs": segment(*((e.u32(n)[::-1] + bytes(28), 1, b"\1") for n in range(1_025))),
            "domain": segment((A, 1, b"\1"), domain=bytes(16)), "trailing": segment((A, 1, b"\1")) + b"\0",
        }.items():
            with self.subTest(name), self.assertRaises(FormatError):
                decode_segment(data, A, REPOSITORY, DOMAIN)
        with self.assertRaises(FormatError):
            decode_segment(segment((A, 1, b"\1")), A, bytes(32), DOMAIN)


class Lists(unittest.TestCase):
    def test_order(self):
        self.assertEqual(len(decode_usage(usage((A, A), (B, C)), A, REPOSITORY, DOMAIN)), 2)
        self.assertEqual(decode_usage(usage(), A, REPOSITORY, DOMAIN), ())
        for name, data in {
            "overlap": usage((A, B), (B, C)), "descending": usage((B, B), (A, A)), "turned": usage((B, A)),
            "trailing": usage((A, A)) + b"\0", "short": usage((A, A))[:-1],
        }.items():
            with self.subTest(name), self.assertRaises(FormatError):
                decode_usage(data, A, REPOSITORY, DOMAIN)


if __name__ == "__main__":
    unittest.main()
