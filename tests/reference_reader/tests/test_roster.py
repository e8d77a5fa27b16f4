"""The chain of rosters: who may sign the next one, and what it may change."""

import os
import unittest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reference_reader.errors import FormatError, LumbungError, SignatureError
from reference_reader.roster import RosterChain, decode_roster
from tests import encode as e
from tests.world import AgentKeys, public, roster


class Chain(unittest.TestCase):
    def setUp(self):
        self.root, self.registrar, self.stranger = (Ed25519PrivateKey.generate() for _ in range(3))
        self.agents = [AgentKeys() for _ in range(3)]
        self.recipient = os.urandom(32)
        self.fields = {"root_keys": [(public(self.root), 0)], "recipients": [self.recipient],
                       "agents": [self.agents[0].entry()], "registrar": public(self.registrar)}
        self.first = roster(1, bytes(32), bytes(32), self.root, **self.fields)
        self.warnings: list[str] = []

    def next(self, before: bytes, number: int, signer, **changes) -> bytes:
        repository = changes.pop("repository", e.hash32(self.first))
        previous = changes.pop("previous", e.hash32(before))
        return roster(number, previous, repository, signer, **{**self.fields, **changes})

    def chain(self, *objects: bytes) -> RosterChain:
        rosters = [decode_roster(data, e.hash32(data)) for data in objects]
        chain = RosterChain(rosters[0])
        chain.follow(rosters[1:], self.warnings.append)
        return chain

    def assert_left_aside(self, data: bytes) -> None:
        self.assertEqual(self.chain(self.first, data).newest.number, 1)
        self.assertEqual(len(self.warnings), 1)

    def test_a_root_key_may_change_everything(self):
        second = self.next(self.first, 2, self.root, recipients=[os.urandom(32)], agents=[],
                           root_keys=[(public(self.stranger), 0)], registrar=None)
        third = self.next(second, 3, self.stranger)
        chain = self.chain(self.first, third, second)
        self.assertEqual((chain.newest.number, chain.repository), (3, e.hash32(self.first)))
        self.assertEqual(self.warnings, [])

    def test_the_root_key_of_an_older_roster_is_not_enough(self):
        second = self.next(self.first, 2, self.root, root_keys=[(public(self.stranger), 0)])
        third = self.next(second, 3, self.root)
        self.assertEqual(self.chain(self.first, second, third).newest.number, 2)

    def test_the_registrar_may_add_agents(self):
        agents = [self.agents[0].entry(), self.agents[1].entry()]
        second = self.next(self.first, 2, self.registrar, agents=agents, created=1_800_000_000)
        self.assertEqual(self.chain(self.first, second).newest.number, 2)

    def test_the_registrar_may_change_nothing_else(self):
        added, first = self.agents[1].entry(), self.agents[0].entry()
        replaced = AgentKeys(agent=self.agents[0].agent, domain=self.agents[0].domain)
        for name, changes in {
            "recipient": {"recipients": [self.recipient, os.urandom(32)]},
            "root key": {"root_keys": [(public(self.root), 0), (public(self.registrar), 0)]},
            "registrar": {"registrar": public(self.stranger)},
            "site": {"sites": [(os.urandom(16), os.urandom(32), bytes(32))]},
            "agent removed": {"agents": [added]},
            "agent withdrawn": {"agents": [self.agents[0].entry(1), added]},
            "agent's key": {"agents": [replaced.entry(), added]},
            "agent twice": {"agents": [first, added, added]},
        }.items():
            with self.subTest(name):
                self.warnings.clear()
                try:
                    self.assert_left_aside(self.next(self.first, 2, self.registrar, **changes))
                except FormatError as error:
                    self.assertIn("equal", str(error))

    def test_strangers_and_wrong_places_are_left_aside(self):
        for name, data in {
            "stranger": self.next(self.first, 2, self.stranger),
            "number": self.next(self.first, 3, self.root),
            "repository": self.next(self.first, 2, self.root, repository=os.urandom(32)),
            "domain of an agent": self.next(self.first, 2, self.root, agents=[
                AgentKeys(agent=self.agents[0].agent, key=self.agents[0].key).entry()]),
        }.items():
            with self.subTest(name):
                self.warnings.clear()
                self.assert_left_aside(data)

    def test_a_domain_stays_even_if_the_agent_was_away(self):
        second = self.next(self.first, 2, self.root, agents=[])
        third = self.next(second, 3, self.root, agents=[
            AgentKeys(agent=self.agents[0].agent, key=self.agents[0].key).entry()])
        self.assertEqual(self.chain(self.first, second, third).newest.number, 2)

    def test_a_fork_is_not_decided(self):
        one = self.next(self.first, 2, self.root, agents=[])
        two = self.next(self.first, 2, self.root, agents=[self.agents[2].entry()])
        with self.assertRaisesRegex(FormatError, "two rosters have number 2"):
            self.chain(self.first, one, two)

    def test_number_1_signs_itself(self):
        with self.assertRaises(SignatureError):
            self.chain(roster(1, bytes(32), bytes(32), self.stranger, **self.fields))
        with self.assertRaises(FormatError):
            self.chain(roster(1, bytes(32), os.urandom(32), self.root, **self.fields))

    def test_what_no_roster_may_be(self):
        body = self.first[:-96]
        for name, data in {
            "trailing byte": e.sign(body + b"\0", self.root),
            "another kind": e.sign(body[:4] + b"\2" + body[5:], self.root),
            "another version": e.sign(body[:5] + b"\2" + body[6:], self.root),
            "reserved": e.sign(body[:6] + b"\1" + body[7:], self.root),
            "incompatible feature": e.sign(body[:12] + b"\4" + body[13:], self.root),
            "chunker": e.sign(body[:92] + b"\2" + body[93:], self.root),
            "average": e.sign(body[:97] + e.u32(1_000_000) + body[101:], self.root),
            "no root key": roster(1, bytes(32), bytes(32), self.root, **{**self.fields, "root_keys": []}),
            "no recipient": roster(1, bytes(32), bytes(32), self.root, **{**self.fields, "recipients": []}),
            "equal recipients": roster(1, bytes(32), bytes(32), self.root,
                                       **{**self.fields, "recipients": [self.recipient] * 2}),
            "unknown role": roster(1, bytes(32), bytes(32), self.root,
                                   **{**self.fields, "root_keys": [(public(self.root), 2)]}),
            "flipped byte": self.first[:60] + bytes([self.first[60] ^ 1]) + self.first[61:],
        }.items():
            with self.subTest(name), self.assertRaises(LumbungError):
                decode_roster(data, e.hash32(data))

    def test_a_compatible_feature_is_ignored(self):
        body = self.first[:-96]
        data = e.sign(body[:8] + b"\4" + body[9:], self.root)
        self.assertEqual(decode_roster(data, e.hash32(data)).number, 1)


if __name__ == "__main__":
    unittest.main()
