"""Random damage behind the hashes and signatures: a decoder accepts or refuses, and never fails in any other way."""

import os
import random
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from reference_reader import catalogue, evidence, keyfile, manifest, pack, roster, session, usage
from reference_reader.catalogue import ContentRef, Entry, Type
from reference_reader.errors import LumbungError
from tests import encode as e
from tests.world import MTIME, OWNER, World, directory

ROUNDS = 1_000


def damage(good: bytes, dice: random.Random) -> bytes:
    data = bytearray(good)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        position = dice.randrange(len(data) + 1)
        how = dice.randrange(10)
        if how < 6 and position < len(data):
            data[position] = dice.randrange(256)
        elif how == 6:
            del data[position:]
        elif how == 7:
            del data[position : position + dice.randrange(1, 9)]
        else:
            data[position:position] = dice.randbytes(dice.randrange(1, 9))
    return bytes(data)


class Decoders(unittest.TestCase):
    def cases(self, depot: Path) -> dict:
        world = World(depot)
        run = world.run()
        run.receipt(run.snapshot([[directory(b""), run.file(b"a", b"x" * 9)]]))
        rep, zero = world.repository, bytes(32)
        newest = roster.decode_roster(world.roster_objects[-1], zero)
        packed = next(depot.glob("packs/*/*")).read_bytes()
        head = packed[: 168 + 76 * int.from_bytes(packed[164:168], "little")]
        entries = e.catalogue_chunk([
            directory(b""),
            Entry(b"a", Type.FILE, 0o600, OWNER, MTIME, size=5, extents=((1, 3),), xattrs=((b"user.a", b"b"),),
                  content=(ContentRef(b"z" * 32, 0, 3),)),
            Entry(b"b", Type.SYMLINK, 0, OWNER, MTIME, target=b"q"),
            Entry(b"c", Type.BLOCK_DEVICE, 0, OWNER, (5, 6), device=(8, 1)),
        ])
        read = lambda folder: next((depot / folder).iterdir()).read_bytes()  # noqa: E731
        return {
            "roster": (world.roster_objects[-1], lambda data: roster.decode_roster(data, zero)),
            "session": (read("sessions"), lambda data: session.decode_session(data, zero, rep)),
            "manifest": (read("manifests"), lambda data: manifest.decode_manifest(data, zero, rep)),
            "segment": (read("segments"), lambda data: usage.decode_segment(data, zero, rep, world.agent.domain)),
            "usage": (read("usages"), lambda data: usage.decode_usage(data, zero, rep, world.agent.domain)),
            "receipt": (read("receipts"), lambda data: evidence.decode_receipt(data, zero, rep, newest)),
            "pack": (head, lambda data: pack.decode_table(data, e.hash32(data), rep)),
            "catalogue": (entries, lambda data: catalogue.decode_chunk(data, 4, "chunk")),
            "index": (e.index([(b"", zero, 5, 1), (b"a", zero, 5, 1)]), catalogue.decode_index),
            "bundle": (world.keys.bundle().encode(), lambda data: keyfile.decode_bundle(data.decode("latin1"))),
        }

    def test_only_the_readers_own_errors(self):
        seed = int.from_bytes(os.urandom(4), "little")
        dice = random.Random(seed)
        with tempfile.TemporaryDirectory() as folder, mock.patch("reference_reader.header.verify_signature", lambda *_: True):
            for name, (good, decode) in self.cases(Path(folder) / "depot").items():
                with self.subTest(name, seed=seed):
                    decode(good)
                    refused = 0
                    for _ in range(ROUNDS):
                        try:
                            decode(damage(good, dice))
                        except LumbungError:
                            refused += 1
                    self.assertGreater(refused, ROUNDS // 4)


if __name__ == "__main__":
    unittest.main()
