"""The published test vectors, the checker that holds them against this reader, and the chunker behind it."""

import copy
import json
import os
import subprocess
import sys
import unittest
from unittest import mock

from reference_reader import chunker, vectors
from tests.test_restore import PROJECT

PUBLISHED = PROJECT.parent.parent / "crates" / "seal" / "tests" / "vectors.json"
SECRET = bytes(range(32))


class Published(unittest.TestCase):
    def test_all_of_them_hold(self):
        command = [sys.executable, "-m", "reference_reader.vectors", str(PUBLISHED)]
        result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)

    def test_every_value_is_compared(self):
        document = json.loads(PUBLISHED.read_text(encoding="utf-8"))
        chunks = {name: value for name, value in document["chunks"].items() if isinstance(value, list)}

        def quick(data, *_):  # the chunker is slow in Python and has been held against the file above
            by_length = {16 << 20: "lengths, 16 MiB, default sizes", 9 << 20: "lengths, 9 MiB of zeros, default sizes"}
            return chunks[by_length.get(len(data), "lengths, 16 KiB, sizes 256 1024 4096")]

        with mock.patch("reference_reader.chunker.chunk_lengths", quick):
            self.assertEqual(vectors.run(document), [])
            for group, members in document.items():
                for name, value in members.items():
                    changed = copy.deepcopy(document)
                    changed[group][name] = value[:-1] if isinstance(value, list) else _other(value)
                    with self.subTest(group=group, name=name):
                        self.assertNotEqual(vectors.run(changed), [])
            self.assertEqual(len(vectors.run({**document, "new": {"value": "00"}})), 1)


def _other(text: str) -> str:
    """The same text with its last letter or digit changed."""
    stripped = text.rstrip()
    return stripped[:-1] + {"0": "1", "A": "B"}.get(stripped[-1], "0" if stripped[-1].islower() or stripped[-1].isdigit() else "A")


class Chunker(unittest.TestCase):
    def test_bounds_and_determinism(self):
        data = os.urandom(400_000) + bytes(100_000)
        lengths = list(chunker.chunk_lengths(data, SECRET, 2048, 8192, 32_768))
        self.assertEqual(sum(lengths), len(data))
        self.assertTrue(all(2048 < length <= 32_768 for length in lengths[:-1]))
        self.assertNotEqual(lengths, list(chunker.chunk_lengths(data, bytes(32), 2048, 8192, 32_768)))

    def test_cuts_come_back_after_an_insertion(self):
        data = os.urandom(600_000)
        before, after = ({len(plain) - end for end in _ends(plain)} for plain in (data, b"sisipan" + data))
        self.assertGreater(len(before & after), len(before) // 2)

    def test_input_no_longer_than_the_minimum_is_one_chunk(self):
        self.assertEqual(list(chunker.chunk_lengths(bytes(2048), SECRET, 2048, 8192, 32_768)), [2048])
        self.assertEqual(list(chunker.chunk_lengths(b"", SECRET)), [])


def _ends(plain: bytes):
    end = 0
    for length in chunker.chunk_lengths(plain, SECRET, 2048, 8192, 32_768):
        end += length
        yield end


if __name__ == "__main__":
    unittest.main()
