"""Damage: every kind of object, deleted, truncated, changed in one byte or swapped for another; every lie a writer can tell.

Nothing of this may restore with exit code 0, nor end in a traceback.
"""

import shutil
from pathlib import Path

from reference_reader.catalogue import ContentRef, Entry, Type
from tests import encode as e
from tests.test_restore import Case
from tests.world import MTIME, OWNER, OpenPack, directory, public


class Damage(Case):
    def setUp(self):
        super().setUp()
        self.run = self.world.run()
        self.world_snapshot = self.run.snapshot(
            [[directory(b""), self.run.file(b"a", b"isi berkas a" * 50)], [self.run.file(b"b", b"isi berkas b" * 50)]]
        )

    def objects(self) -> dict[str, Path]:
        """One object of each kind that this restore needs (the newest roster, each pack)."""
        root = self.world.root
        found = {folder: next((root / folder).iterdir()) for folder in ("sessions", "segments", "usages", "manifests")}
        found["first roster"] = root / "rosters" / e.hash32(self.world.roster_objects[0]).hex()
        found["newest roster"] = root / "rosters" / e.hash32(self.world.roster_objects[-1]).hex()
        found |= {f"pack {number}": path for number, path in enumerate(sorted(root.glob("packs/*/*")))}
        return found

    def test_objects_of_another_snapshot_under_these_names(self):
        objects = self.objects()
        self.world.run().snapshot([[directory(b""), self.run.file(b"c", b"lain")]])
        for folder, path in objects.items():
            if folder not in ("sessions", "segments", "usages", "manifests"):
                continue
            good = path.read_bytes()
            other = next(item for item in path.parent.iterdir() if item != path)
            with self.subTest(folder):
                path.write_bytes(other.read_bytes())
                self.assert_refused("its hash is not its name", "--snapshot", self.world_snapshot.hex())
                path.write_bytes(good)

    def test_what_is_damaged_in_a_pack_is_named(self):
        for path in sorted(self.world.root.glob("packs/*/*")):
            good = path.read_bytes()
            for position, pattern in ((130, "the hash of its table is not its name"), (len(good) - 1, "stored bytes do not match")):
                with self.subTest(position=position):
                    path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
                    self.assert_refused(pattern)
            path.write_bytes(good)

    def assert_refused(self, pattern: str = "reference_reader: ", *arguments: str) -> None:
        if self.target.exists():
            shutil.rmtree(self.target)
        result = self.reader("--target", str(self.target), *arguments)
        self.assertIn(result.returncode, (1, 2), result.stdout + result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        self.assertIn(pattern, result.stderr)

    def test_matrix(self):
        self.restore()
        for name, path in self.objects().items():
            good = path.read_bytes()
            middle = len(good) // 2
            for how, bad in {
                "deleted": None, "empty": b"", "one byte short": good[:-1], "one byte long": good + b"\0",
                "first byte": bytes([good[0] ^ 1]) + good[1:], "last byte": good[:-1] + bytes([good[-1] ^ 0x80]),
                "middle byte": good[:middle] + bytes([good[middle] ^ 4]) + good[middle + 1 :],
                "swapped": self.world.roster_objects[0] if name != "first roster" else self.world.roster_objects[1],
            }.items():
                with self.subTest(object=name, how=how):
                    path.unlink() if bad is None else path.write_bytes(bad)
                    self.assert_refused()
                    path.write_bytes(good)
        shutil.rmtree(self.target, ignore_errors=True)
        self.restore()


class Lies(Case):
    """Repositories whose hashes and signatures fit, but whose writer broke a rule."""

    def assert_lie(self, pattern: str) -> None:
        result = self.restore(code=1)
        self.assertRegex(result.stderr, pattern)

    def simple(self, run) -> list[list[Entry]]:
        return [[directory(b""), run.file(b"a", b"isi" * 100)]]

    def test_session_sealed_to_an_additional_reader(self):
        run = self.world.run()
        groups = self.simple(run)
        self.world.add_roster(agents=[self.world.agent.entry()], recipients=[public(self.world.keys.recovery), bytes([9]) * 32])
        later = self.world.run()
        run.snapshot(groups)
        self.restore()
        self.target = self.folder / "second"
        later.snapshot(self.simple(later))
        self.assert_lie("not sealed to exactly the recipients")

    def test_session_signed_by_somebody_else(self):
        agent, stranger = self.world.agent, self.world.keys.site
        agent.key, kept = stranger, agent.key
        run = self.world.run()
        agent.key = kept
        run.snapshot(self.simple(run))
        self.assert_lie("no roster lists its agent")

    def test_usage_list_that_leaves_out_a_frame(self):
        run = self.world.run()
        groups = self.simple(run)
        more = run.file(b"b", b"lain" * 100)
        groups[0].append(more)
        close = run.close_packs

        def forget():
            close()
            for number, (pack, frames, *_) in enumerate(run.uses):
                if run.packs[number].content == 1:
                    run.uses[number] = (pack, frames, {0}, len(run.packs[number].frames[0]))

        run.close_packs = forget
        run.snapshot(groups)
        self.assert_lie("names no frame that holds it")

    def test_chunk_whose_content_is_not_its_id(self):
        run = self.world.run()
        honest = self.world.agent.secret
        groups = self.simple(run)
        self.world.agent.secret = bytes(32)
        chunk = run.chunk(b"palsu")
        self.world.agent.secret = honest
        groups[0].append(Entry(b"b", Type.FILE, 0o600, OWNER, MTIME, size=5, content=(ContentRef(chunk, 0, 5),)))
        run.snapshot(groups)
        self.assert_lie("is not the chunk that the table names")

    def test_commitment_to_another_key(self):
        run = self.world.run()
        groups = self.simple(run)
        run.packs.append(OpenPack(content=2))
        kept = run.session_key
        run.close_packs = self._with_session_key(run, run.close_packs, bytes(32))
        run.snapshot(groups)
        self.assertEqual(run.session_key, kept)
        self.assert_lie("does not fit its commitment")

    @staticmethod
    def _with_session_key(run, call, key):
        def changed():
            kept, run.session_key = run.session_key, key
            call()
            run.session_key = kept

        return changed

    def test_content_reference_beyond_its_chunk(self):
        run = self.world.run()
        chunk = run.chunk(b"pendek")
        run.snapshot([[directory(b""), Entry(b"a", Type.FILE, 0o600, OWNER, MTIME, size=7, content=(ContentRef(chunk, 0, 7),))]])
        self.assert_lie("goes beyond its end")

    def test_wrong_number_of_entries(self):
        run = self.world.run()
        run.commit(run.catalogue(self.simple(run)), 3)
        self.assert_lie("the root says 3")

    def test_entries_that_climb_out(self):
        run = self.world.run()
        run.snapshot([[directory(b""), directory(b"a"), run.file(b"a/../../escaped", b"x")]])
        self.assert_lie("component, . or ..")
        self.assertFalse((self.folder / "escaped").exists())

    def test_two_zstd_frames_in_one(self):
        import zstandard

        run = self.world.run()
        groups = self.simple(run)
        original = zstandard.ZstdCompressor

        class Doubled:
            def __init__(self, level):
                self.inner = original(level=level)

            def compress(self, plain):
                return self.inner.compress(plain) + self.inner.compress(b"")

        zstandard.ZstdCompressor = Doubled
        try:
            groups[0].append(run.file(b"b", b"ganda" * 1000))
        finally:
            zstandard.ZstdCompressor = original
        run.snapshot(groups)
        self.assert_lie("not one whole compressed frame")

    def test_usage_list_that_counts_wrongly(self):
        run = self.world.run()
        close = run.close_packs

        def miscount():
            close()
            run.uses = [(pack, frames, used, stored + 1) for pack, frames, used, stored in run.uses]

        run.close_packs = miscount
        run.snapshot(self.simple(run))
        self.assert_lie("not what the usage list says of it")

    def test_pack_of_a_session_that_the_manifest_does_not_name(self):
        run, other = self.world.run(), self.world.run()
        item = other.file(b"b", b"dari sesi lain" * 50)
        groups = self.simple(run)
        groups[0].append(item)
        other.close_packs()
        run.uses += other.uses
        run.snapshot(groups)
        self.assert_lie("session that the manifest does not name")

    def test_adopted_packs_of_an_earlier_session(self):
        run, other = self.world.run(), self.world.run()
        item = other.file(b"b", b"dari sesi lain" * 50)
        groups = self.simple(run)
        groups[0].append(item)
        other.close_packs()
        run.uses += other.uses
        index = run.catalogue(groups)
        run.commit(index, 3, others=[other.session])
        self.restore()
        self.assertEqual((self.target / "b").read_bytes(), b"dari sesi lain" * 50)

    def test_sessions_with_different_domain_secrets(self):
        run = self.world.run()
        honest, self.world.agent.secret = self.world.agent.secret, bytes(32)
        other = self.world.run()
        self.world.agent.secret = honest
        run.commit(run.catalogue(self.simple(run)), 2, others=[other.session])
        self.assert_lie("do not agree on the domain's secret")

    def test_sessions_out_of_order(self):
        run = self.world.run()
        others = sorted(self.world.run().session for _ in range(2))
        for wrong in (others[::-1], [others[0], others[0]], [run.session]):
            with self.subTest(wrong=[item.hex()[:4] for item in wrong]):
                again = self.world.run()
                again.session_key, again.session = run.session_key, run.session
                manifest = again.commit(again.catalogue(self.simple(again)), 2, others=wrong)
                result = self.restore("--snapshot", manifest.hex(), code=1)
                self.assertIn("not distinct and in order", result.stderr)
