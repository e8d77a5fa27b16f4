"""Whole restores through the command line: what was written comes back, with all its metadata."""

import os
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from reference_reader.catalogue import ContentRef, Entry, Owner, Type
from reference_reader.header import Kind
from tests import encode as e
from tests.world import MTIME, OWNER, PASSPHRASE, AgentKeys, World, directory

PROJECT = Path(__file__).resolve().parent.parent
ROOT = os.geteuid() == 0


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.world = World(self.folder / "depot")
        self.key = self.world.write_bundle(self.folder / "pd.key")
        self.target = self.folder / "out"

    def reader(self, *arguments: str, passphrase: str = PASSPHRASE) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "reference_reader", str(self.world.root), "--key", str(self.key),
                   "--passphrase-env", "TEST_PASSPHRASE", *arguments]
        return subprocess.run(command, cwd=PROJECT, env={**os.environ, "TEST_PASSPHRASE": passphrase},
                              capture_output=True, text=True, check=False)

    def restore(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess:
        result = self.reader("--target", str(self.target), *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        return result


class Restores(Case):
    def everything(self) -> list[list[Entry]]:
        run = self.run = self.world.run()
        big = os.urandom(250_000) + bytes(300_000)
        shared = run.chunk(b"satu dua tiga")
        small = [Entry(b"srv/a" + name, Type.FILE, 0o600, OWNER, MTIME, size=4,
                       content=(ContentRef(shared, offset, 4),)) for name, offset in ((b"1", 0), (b"2", 4), (b"3", 0))]
        names = [
            run.file(b"srv/big", big, mode=0o4711),
            run.file(b"srv/bin\xff\nary", b"not UTF-8 in the name"),
            directory(b"srv/dir", 0o1777),
            run.file(b"srv/dir/empty", b""),
            Entry(b"srv/dir/fifo", Type.FIFO, 0o622, OWNER, MTIME),
            Entry(b"srv/dir/link", Type.SYMLINK, 0o777, OWNER, MTIME, target=b"../../../etc/passwd"),
            Entry(b"srv/dir/link2", Type.HARD_LINK, 0o777, OWNER, MTIME, target=b"srv/dir/link"),
            Entry(b"srv/dir/socket", Type.SOCKET, 0o600, OWNER, MTIME),
            run.file(b"srv/dir.d", b"stands after what is in dir"),
            run.file(b"srv/sparse", b"A" * 5000 + b"B" * 100, size=10_000_000, extents=((4096, 5000), (9_000_000, 100))),
            run.file(b"srv/hole", b"", size=1_000_000, extents=()),
            Entry(b"srv/zlink", Type.HARD_LINK, 0o4711, OWNER, MTIME, target=b"srv/big"),
        ]
        if ROOT:
            names.append(Entry(b"srv/null", Type.CHAR_DEVICE, 0o666, Owner(3, 4, b"sys", b"adm"), (-5, 7), device=(1, 3)))
            names.append(Entry(b"srv/user", Type.DIRECTORY, 0o2750, Owner(1234, 4321, b"", b""), (2**33, 1)))
        rest = sorted(small + names, key=lambda item: item.path.split(b"/"))
        middle = len(rest) // 2
        self.big = big
        return [[directory(b"", 0o755), directory(b"srv", 0o555)] + rest[:middle], rest[middle:]]

    def test_everything_comes_back(self):
        groups = self.everything()
        self.run.snapshot(groups)
        self.restore()
        out = os.fsencode(self.target)
        for item in (item for group in groups for item in group):
            with self.subTest(path=item.path):
                self.check(item, os.lstat(out + b"/" + item.path))
        self.assertEqual(self.content("srv/big"), self.big)
        self.assertEqual([self.content(f"srv/a{n}") for n in "123"], [b"satu", b" dua", b"satu"])
        expected = bytearray(10_000_000)
        expected[4096:9096], expected[9_000_000:9_000_100] = b"A" * 5000, b"B" * 100
        self.assertEqual(self.content("srv/sparse"), bytes(expected))
        self.assertLess(os.stat(self.target / "srv/sparse").st_blocks * 512, 1_000_000, "holes stay holes")
        self.assertEqual(self.content("srv/hole"), bytes(1_000_000))
        self.assertEqual(os.readlink(self.target / "srv/dir/link"), "../../../etc/passwd")
        self.assertTrue(os.path.samestat(os.lstat(self.target / "srv/big"), os.lstat(self.target / "srv/zlink")))
        self.assertTrue(os.path.samestat(os.lstat(self.target / "srv/dir/link"), os.lstat(self.target / "srv/dir/link2")))
        expected = sorted(item.path for group in groups for item in group if item.path)
        found = []
        for base, folders, files in os.walk(out):
            found += [os.path.relpath(os.path.join(base, name), out) for name in folders + files]
        self.assertEqual(sorted(found), expected, "nothing more, nothing less")

    def content(self, name: str) -> bytes:
        return (self.target / name).read_bytes()

    def check(self, item: Entry, found: os.stat_result) -> None:
        types = {Type.FILE: stat.S_ISREG, Type.DIRECTORY: stat.S_ISDIR, Type.SYMLINK: stat.S_ISLNK,
                 Type.FIFO: stat.S_ISFIFO, Type.SOCKET: stat.S_ISSOCK, Type.CHAR_DEVICE: stat.S_ISCHR}
        if item.type in types:
            self.assertTrue(types[item.type](found.st_mode))
        if item.type is not Type.SYMLINK and not stat.S_ISLNK(found.st_mode):
            self.assertEqual(oct(stat.S_IMODE(found.st_mode)), oct(item.mode))
        self.assertEqual((found.st_uid, found.st_gid), (item.owner.uid, item.owner.gid))
        self.assertEqual(found.st_mtime_ns, item.mtime[0] * 10**9 + item.mtime[1])
        if item.type is Type.CHAR_DEVICE:
            self.assertEqual((os.major(found.st_rdev), os.minor(found.st_rdev)), item.device)

    def test_extended_attributes(self):
        probe = self.folder / "probe"
        probe.write_bytes(b"")
        try:
            os.setxattr(probe, b"user.contoh", b"nilai")
        except OSError:
            self.skipTest("the temporary directory has no extended attributes")
        run = self.world.run()
        xattrs = [(b"user.biner", bytes(range(256))), (b"user.contoh", b"nilai"), (b"user.kosong", b"")]
        if ROOT:
            capability = bytes.fromhex("0100000200040000000000000000000000000000")
            xattrs = [(b"security.capability", capability), *xattrs]
        run.snapshot([[directory(b""), run.file(b"file", b"x", xattrs=tuple(xattrs), mode=0o755)]])
        self.restore()
        for name, value in xattrs:
            self.assertEqual(os.getxattr(self.target / "file", name), value)

    def test_a_huge_entry_goes_on_in_the_chunks_that_follow(self):
        run = self.world.run()
        chunk = run.chunk(b"0123456789")
        refs = tuple(ContentRef(chunk, index % 10, 1) for index in range(50_000))
        huge = Entry(b"huge", Type.FILE, 0o600, OWNER, MTIME, size=50_000, content=refs)
        first, last = [directory(b"")], [run.file(b"later", b"after it")]
        plain, pieces = e.entry(huge)[0], []
        for start in range(0, len(plain), 30_000):
            part = plain[start : start + 30_000]
            pieces.append((b"huge", run.chunk(part, content=2), len(part), 1 if start == 0 else 0))
        self.assertGreater(len(pieces), 2)
        parts = [(group[0].path, run.chunk(e.catalogue_chunk(group), content=2), len(e.catalogue_chunk(group)), 1)
                 for group in (first, last)]
        run.commit(e.index([parts[0], *pieces, parts[1]]), 3)
        self.restore()
        self.assertEqual((self.target / "huge").read_bytes(), b"0123456789" * 5_000)
        self.assertEqual((self.target / "later").read_bytes(), b"after it")

    def test_paths_longer_than_the_system_takes_in_one_piece(self):
        run, name = self.world.run(), b"n" * 250
        folders = [b"/".join([name] * depth) for depth in range(1, 21)]
        self.assertGreater(len(folders[-1]), 4096)
        first = run.file(folders[-1] + b"/a", b"dalam sekali")
        link = Entry(folders[-1] + b"/b", Type.HARD_LINK, 0o640, OWNER, MTIME, target=first.path)
        run.snapshot([[directory(b""), *(directory(folder, 0o750) for folder in folders), first, link]])
        self.restore()
        handle = os.open(self.target, os.O_RDONLY)
        for _ in folders:
            handle, outer = os.open(name, os.O_RDONLY, dir_fd=handle), handle
            os.close(outer)
            self.assertEqual((stat.S_IMODE(os.fstat(handle).st_mode), os.fstat(handle).st_mtime_ns),
                             (0o750, MTIME[0] * 10**9 + MTIME[1]))
        with open(os.open("b", os.O_RDONLY, dir_fd=handle), "rb") as file:
            self.assertEqual((file.read(), os.fstat(file.fileno()).st_nlink), (b"dalam sekali", 2))
        os.close(handle)
        subprocess.run(["rm", "-rf", self.target], check=True)  # Python's own rmtree cannot

    def test_unreadable_entries_are_told_and_not_invented(self):
        run = self.world.run()
        groups = [[directory(b""), directory(b"locked", unreadable=13), run.file(b"ok", b"ok"),
                   Entry(b"secret", Type.FILE, 0o600, OWNER, MTIME, size=99, unreadable=13),
                   Entry(b"secret2", Type.HARD_LINK, 0o600, OWNER, MTIME, target=b"secret")]]
        run.snapshot(groups)
        result = self.restore(code=3)
        self.assertIn("errno 13", result.stderr)
        self.assertEqual(sorted(os.listdir(self.target)), ["locked", "ok"])

    def test_latest_passes_over_partial_and_unlisted_snapshots(self):
        def snapshot(name: bytes, **options) -> bytes:
            run = self.world.run()
            index = b"" if options.get("partial") else run.catalogue([[directory(b""), run.file(name, name)]])
            return run.commit(index, 0 if options.get("partial") else 2, **options)

        snapshot(b"old")
        good = snapshot(b"good")
        partial = snapshot(b"partial", partial=True)
        stranger = snapshot(b"stranger", signer=self.world.keys.site)
        result = self.restore()
        self.assertIn(good.hex(), result.stdout)
        self.assertEqual(os.listdir(self.target), ["good"])
        listing = self.reader("--list-snapshots").stdout
        self.assertEqual([("partial" in line.split("\t"), "belum-disahkan" in line.split("\t"))
                          for line in listing.splitlines()], [(False, False), (False, False), (True, False), (False, True)])
        self.target = self.folder / "other"
        self.restore("--snapshot", partial.hex(), code=2)
        self.restore("--snapshot", stranger.hex(), code=1)
        self.assertFalse(self.target.exists(), "a refusal writes nothing")

    def test_receipts_count_only_with_the_sites_key(self):
        run = self.world.run()
        manifest = run.snapshot([[directory(b"")]])
        run.receipt(manifest)
        run.receipt(manifest, signer=self.world.keys.root)
        self.assertIn("receipts=1", self.reader("--list-snapshots").stdout)

    def test_wrong_passphrase_and_damaged_key_are_told_apart(self):
        run = self.world.run()
        run.snapshot([[directory(b"")]])
        wrong = self.reader("--target", str(self.target), passphrase="salah")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("passphrase is wrong", wrong.stderr)
        text = self.key.read_text()
        self.key.write_text(text[:-5] + ("A" if text[-5] != "A" else "B") + text[-4:])
        damaged = self.reader("--target", str(self.target))
        self.assertEqual(damaged.returncode, 1)
        self.assertIn("damaged", damaged.stderr)

    def test_a_target_that_is_not_empty_is_left_alone(self):
        run = self.world.run()
        run.snapshot([[directory(b"")]])
        self.target.mkdir()
        (self.target / "mine").write_text("mine")
        self.restore(code=2)
        self.assertEqual(os.listdir(self.target), ["mine"])

    def test_unfinished_writes_are_ignored(self):
        run = self.world.run()
        run.snapshot([[directory(b"")]])
        for folder in ("manifests", "rosters"):
            (self.world.root / folder / ".tmp-1").write_bytes(b"half")
        self.assertEqual(self.restore().stderr, "")


class Latest(Case):
    def snapshot(self, name: bytes) -> None:
        run = self.world.run()
        run.commit(run.catalogue([[directory(b""), run.file(name, name)]]), 2)

    def test_several_datasets_are_asked_about(self):
        self.snapshot(b"one")
        first, self.world.dataset = self.world.dataset, os.urandom(16)
        self.snapshot(b"two")
        self.assertIn("--dataset", self.restore(code=2).stderr)
        self.restore("--dataset", first.hex())
        self.assertEqual(os.listdir(self.target), ["one"])

    def test_between_agents_of_one_dataset_the_time_decides(self):
        self.snapshot(b"old-1")
        old = self.world.agent
        self.world.agent = AgentKeys()
        self.world.add_roster(agents=[old.entry(), self.world.agent.entry()])
        self.snapshot(b"new")
        self.restore()
        self.assertEqual(os.listdir(self.target), ["new"])
        self.target = self.folder / "of the old agent"
        self.restore("--agent", old.agent.hex())
        self.assertEqual(os.listdir(self.target), ["old-1"])


class Forks(Case):
    def test_two_snapshots_in_one_place_of_the_chain(self):
        first = self.world.run()
        first.snapshot([[directory(b"")]])
        self.world.sequence, self.world.previous = 0, bytes(32)
        second = self.world.run().snapshot([[directory(b"", 0o700)]])
        result = self.restore(code=1)
        self.assertIn("forked", result.stderr)
        self.restore("--snapshot", second.hex())

    def test_junk_beside_a_good_snapshot_does_not_hide_it(self):
        manifest = self.world.run().snapshot([[directory(b"")]])
        for kind in (Kind.MANIFEST, Kind.ROSTER, Kind.SESSION):
            self.world.put(kind, b"junk of a hostile vault" * 30)
        result = self.restore()
        self.assertIn(manifest.hex(), result.stdout)
        self.assertIn("left aside", result.stderr)


if __name__ == "__main__":
    unittest.main()
