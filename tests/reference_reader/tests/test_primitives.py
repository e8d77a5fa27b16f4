"""Varints and strict Ed25519."""

import hashlib
import unittest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reference_reader import crypto
from reference_reader.codec import U64_MAX, Reader
from reference_reader.errors import FormatError
from tests import encode


class Varints(unittest.TestCase):
    def test_round_trip(self):
        for value in (0, 1, 127, 128, 300, 2**32, 2**63, U64_MAX):
            reader = Reader(encode.varint(value), "test")
            self.assertEqual(reader.varint(), value)
            reader.finish()
        for value in (0, -1, 1, -64, 63, 64, 2**62, -(2**63), 2**63 - 1):
            self.assertEqual(Reader(encode.svarint(value), "test").svarint(), value)

    def test_only_the_shortest_form_counts(self):
        for wrong in ("8000", "ff00", "80808000", "80" * 10 + "00", "ff" * 9 + "02", "ff" * 10, "80"):
            with self.subTest(wrong=wrong), self.assertRaises(FormatError):
                Reader(bytes.fromhex(wrong), "test").varint()

    def test_strings(self):
        self.assertEqual(Reader(encode.string("Puskesmas é"), "test").string(), "Puskesmas é")
        for wrong in (b"\x01\x00\xff", b"\x00\x01" + b"a" * 256, b"\x05\x00abc"):
            with self.subTest(wrong=wrong), self.assertRaises(FormatError):
                Reader(wrong, "test").string()


class StrictEd25519(unittest.TestCase):
    def setUp(self):
        self.key = Ed25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes_raw()
        self.signature = self.key.sign(b"message")

    def test_rfc_8032_test_2(self):
        public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        signature = bytes.fromhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                                  "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
        self.assertTrue(crypto.verify_signature(public, b"\x72", signature))
        self.assertFalse(crypto.verify_signature(public, b"\x73", signature))

    def test_accepts_its_own_and_refuses_changes(self):
        self.assertTrue(crypto.verify_signature(self.public, b"message", self.signature))
        self.assertFalse(crypto.verify_signature(self.public, b"other", self.signature))

    def test_refuses_a_second_form_of_s(self):
        number = int.from_bytes(self.signature[32:], "little") + crypto._L
        self.assertFalse(crypto.verify_signature(self.public, b"message", self.signature[:32] + number.to_bytes(32, "little")))

    def test_refuses_a_signature_whose_r_has_small_order(self):
        # Only the key's owner can make one: with nonce 0, R is the identity and S = H(R, A, M) a fits the plain equation.
        digest = hashlib.sha512(self.key.private_bytes_raw()).digest()[:32]
        scalar = int.from_bytes(bytes([digest[0] & 248]) + digest[1:31] + bytes([digest[31] & 127 | 64]), "little")
        r = bytes([1]) + bytes(31)
        challenge = int.from_bytes(hashlib.sha512(r + self.public + b"message").digest(), "little")
        signature = r + (challenge * scalar % crypto._L).to_bytes(32, "little")
        self.key.public_key().verify(signature, b"message")  # the library alone takes it
        self.assertFalse(crypto.verify_signature(self.public, b"message", signature))

    def test_refuses_small_order_and_non_canonical_points(self):
        small = ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "00" * 31 + "80",
                 "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                 "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"]
        not_canonical = ["ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f", "01" + "00" * 30 + "80", "ff" * 32]
        for encoded in small + not_canonical:
            with self.subTest(encoded=encoded):
                self.assertFalse(crypto.is_strict_point(bytes.fromhex(encoded)))
        # With the identity as key, R = identity and S = 0 satisfy the plain equation for every message.
        identity = bytes.fromhex(small[1])
        self.assertFalse(crypto.verify_signature(identity, b"message", identity + bytes(32)))
        self.assertTrue(crypto.is_strict_point(self.public))


if __name__ == "__main__":
    unittest.main()
