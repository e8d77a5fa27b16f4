"""Catalogue rules: what the reader takes, and everything that it refuses."""

import unittest
from dataclasses import replace

from reference_reader.catalogue import ContentRef, Entry, IndexEntry, Owner, Type, decode_chunk, decode_index, read_catalogue
from reference_reader.errors import FormatError
from reference_reader.limits import CHUNK_MAX
from tests import encode as e

OWNER = Owner(1, 2, b"u", b"g")
CHUNK = bytes(range(32))


def entry(path: bytes, type: Type = Type.FILE, **fields) -> Entry:
    fields = {"mode": 0o644, "owner": OWNER, "mtime": (1, 2), **fields}
    return Entry(path, type, **fields)


def read(*groups: list[Entry], index: list[IndexEntry] | None = None) -> list[Entry]:
    plains = [e.catalogue_chunk(group) for group in groups]
    chunks = {e.hash32(plain): plain for plain in plains}
    index = index or [IndexEntry(group[0].path, e.hash32(plain), len(plain), len(group))
                      for group, plain in zip(groups, plains)]
    return list(read_catalogue(index, lambda chunk, _: chunks[chunk]))


ROOT = entry(b"", Type.DIRECTORY)


class Order(unittest.TestCase):
    def test_slash_sorts_below_every_other_byte(self):
        paths = [entry(b"a", Type.DIRECTORY), entry(b"a/z"), entry(b"a\x01"), entry(b"a b"), entry(b"a.b"), entry(b"ab")]
        self.assertEqual(read([ROOT, *paths]), [ROOT, *paths])
        self.assertEqual(read([ROOT, *paths[:2]], paths[2:]), [ROOT, *paths])

    def test_refuses_disorder(self):
        a, ab, b = entry(b"a", Type.DIRECTORY), entry(b"a/b"), entry(b"b")
        for name, groups in {
            "descending": [[ROOT, b, a]],
            "twice": [[ROOT, b, b]],
            "byte order instead of path order": [[ROOT, a, entry(b"a.b"), ab]],
            "no root directory": [[b]],
            "no parent": [[ROOT, ab]],
            "a file as parent": [[ROOT, entry(b"a"), ab]],
            "a link as parent": [[ROOT, entry(b"a", Type.SYMLINK, target=b"/etc"), ab]],
            "across chunks": [[ROOT, b], [a]],
            "below an unreadable directory": [[ROOT, replace(a, unreadable=13), ab]],
            "the root is a file": [[entry(b"")]],
        }.items():
            with self.subTest(name), self.assertRaises(FormatError):
                read(*groups)

    def test_refuses_paths_that_lead_elsewhere(self):
        for path in (b"/etc", b"..", b"a/..", b"./a", b".", b"a//b", b"a/", b"a\0b", b"../../etc", b"x" * 65_537):
            with self.subTest(path=path), self.assertRaises(FormatError):
                decode_chunk(e.catalogue_chunk([entry(path)]), 1, "test")

    def test_hard_links(self):
        first, link = entry(b"a"), entry(b"b", Type.HARD_LINK, target=b"a")
        self.assertEqual(read([ROOT, first, link])[2], link)
        for name, group in {
            "to nothing": [ROOT, entry(b"b", Type.HARD_LINK, target=b"a")],
            "to something later": [ROOT, entry(b"a", Type.HARD_LINK, target=b"b"), entry(b"b")],
            "to a directory": [ROOT, entry(b"a", Type.DIRECTORY), link],
            "to a hard link": [ROOT, first, link, entry(b"c", Type.HARD_LINK, target=b"b")],
        }.items():
            with self.subTest(name), self.assertRaises(FormatError):
                read(group)


class Index(unittest.TestCase):
    def test_must_agree_with_the_chunks(self):
        group = [ROOT, entry(b"a")]
        plain = e.catalogue_chunk(group)
        good = IndexEntry(b"", e.hash32(plain), len(plain), 2)
        self.assertEqual(read(group, index=[good]), group)
        for wrong in (replace(good, entries=1), replace(good, entries=3), replace(good, first_path=b"a")):
            with self.subTest(wrong=wrong), self.assertRaises(FormatError):
                read(group, index=[wrong])

    def test_round_trip_and_refusals(self):
        good = [(b"", CHUNK, 5, 1), (b"a", CHUNK, CHUNK_MAX, 1), (b"a", CHUNK, 9, 0), (b"b", CHUNK, 1, 7)]
        self.assertEqual([item.entries for item in decode_index(e.index(good))], [1, 1, 0, 7])
        for name, parts in {
            "continuation first": [(b"", CHUNK, 5, 0)],
            "continuation of another path": [(b"a", CHUNK, 5, 1), (b"b", CHUNK, 5, 0)],
            "continuation of many entries": [(b"a", CHUNK, 5, 2), (b"a", CHUNK, 5, 0)],
            "disorder": [(b"b", CHUNK, 5, 1), (b"a", CHUNK, 5, 1)],
            "twice": [(b"a", CHUNK, 5, 1), (b"a", CHUNK, 5, 1)],
            "empty chunk": [(b"a", CHUNK, 0, 1)],
            "chunk too long": [(b"a", CHUNK, CHUNK_MAX + 1, 1)],
            "path": [(b"a/../b", CHUNK, 5, 1)],
        }.items():
            with self.subTest(name), self.assertRaises(FormatError):
                decode_index(e.index(parts))
        with self.assertRaises(FormatError):
            decode_index(e.index(good) + b"\0")


class Fields(unittest.TestCase):
    def refuses(self, *items: Entry) -> None:
        with self.assertRaises(FormatError):
            decode_chunk(e.catalogue_chunk(list(items)), len(items), "test")

    def test_every_field_round_trips(self):
        full = [
            entry(b"a", changed=True, xattrs=((b"user.a", b"1"), (b"user.b", b"")), mtime=(-(2**63), 999_999_999),
                  size=5, content=(ContentRef(CHUNK, 3, 2), ContentRef(CHUNK, 5, 2), ContentRef(CHUNK, 0, 1))),
            entry(b"ab", size=100, extents=((10, 1), (20, 2)), content=(ContentRef(CHUNK, 1, 3),)),
            entry(b"b", Type.BLOCK_DEVICE, device=(2**32 - 1, 7), owner=Owner(2**32 - 1, 0, b"", b"\xff")),
            entry(b"c", unreadable=5, size=10),
            entry(b"d", Type.SYMLINK, target=b"\xfe/.."),
        ]
        self.assertEqual(decode_chunk(e.catalogue_chunk(full), 5, "test"), full)

    def test_refuses_content_that_does_not_add_up(self):
        self.refuses(entry(b"a", size=5, content=(ContentRef(CHUNK, 0, 4),)))
        self.refuses(entry(b"a", size=5, content=(ContentRef(CHUNK, 0, 6),)))
        self.refuses(entry(b"a", size=5))
        self.refuses(entry(b"a", size=5, extents=(), content=(ContentRef(CHUNK, 0, 5),)))
        self.refuses(entry(b"a", size=5, unreadable=5, content=(ContentRef(CHUNK, 0, 5),)))
        self.refuses(entry(b"a", size=0, content=(ContentRef(CHUNK, 0, 0),)))
        self.refuses(entry(b"a", size=4, content=(ContentRef(CHUNK, CHUNK_MAX, 4),)))

    def test_refuses_bad_sparse_maps(self):
        self.refuses(entry(b"a", size=5, extents=((3, 4),), content=(ContentRef(CHUNK, 0, 4),)))
        self.refuses(entry(b"a", size=5, extents=((3, 0),)))
        self.refuses(entry(b"a", Type.FIFO, extents=()))

    def test_refuses_a_hard_link_that_carries_more_than_its_name(self):
        for more in ({"changed": True}, {"unreadable": 5}, {"xattrs": ((b"user.a", b""),)}, {"extents": ()}):
            with self.subTest(more=more):
                self.refuses(entry(b"b", Type.HARD_LINK, target=b"a", **more))

    def test_refuses_values_out_of_range(self):
        self.refuses(entry(b"a", mode=0o10000))
        self.refuses(entry(b"a", mtime=(0, 1_000_000_000)))
        self.refuses(entry(b"a", owner=Owner(2**32, 0, b"", b"")))
        self.refuses(entry(b"a", xattrs=((b"b", b""), (b"a", b""))))
        self.refuses(entry(b"a", xattrs=((b"a", b""), (b"a", b""))))
        self.refuses(entry(b"a", Type.SYMLINK, target=b""))
        self.refuses(entry(b"a", Type.SYMLINK, target=b"a\0b"))

    def test_refuses_what_a_chunk_shares_with_nothing(self):
        first = entry(b"a", size=1, content=(ContentRef(CHUNK, 0, 1),))
        second = entry(b"b", size=1, content=(ContentRef(CHUNK, 1, 1),))
        alone = e.entry(second, first, (CHUNK, 1))[0]
        with self.assertRaises(FormatError):
            decode_chunk(alone, 1, "test")
        with self.assertRaises(FormatError):
            decode_chunk(e.entry(entry(b"ab"), entry(b"aa"), None)[0], 1, "test")

    def test_refuses_wrong_lengths_types_and_flags(self):
        good = e.catalogue_chunk([entry(b"a")])
        for name, data in {
            "truncated": good[:-1], "trailing": good + b"\0", "length too short": e.varint(len(good) - 2) + good[1:],
            "length too long": e.varint(len(good)) + good[1:] + b"\0",
            "type 0": good[:4] + b"\0" + good[5:], "type 9": good[:4] + b"\x09" + good[5:],
            "flag 6": good[:5] + b"\x40" + good[6:], "flag 7": good[:5] + b"\x80" + good[6:],
        }.items():
            with self.subTest(name), self.assertRaises(FormatError):
                decode_chunk(data, 1, "test")


if __name__ == "__main__":
    unittest.main()
