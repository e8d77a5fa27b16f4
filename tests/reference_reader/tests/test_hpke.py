"""HPKE against the official vectors of RFC 9180 (A.1.1, and the same file's vector for AES-256-GCM) and another library."""

import os
import unittest

from cryptography.hazmat.primitives import hpke as library
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from reference_reader import hpke

INFO = "4f6465206f6e2061204772656369616e2055726e"
AAD = "436f756e742d30"
PLAIN = "4265617574792069732074727574682c20747275746820626561757479"

VECTORS = {
    hpke.AEAD_AES_128_GCM: {
        "recipient": "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
        "encapsulated": "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
        "shared_secret": "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc",
        "key": "4531685d41d65f03dc48f6b8302c05b0",
        "nonce": "56d890e5accaaf011cff4b7d",
        "ciphertext": "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
    },
    hpke.AEAD_AES_256_GCM: {
        "recipient": "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d",
        "encapsulated": "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256",
        "shared_secret": "3101c54c3a4f87439eaac080699ed9bbcc726ffe44e860c0424ccb7e3e2ead7b",
        "key": "f50b0609186798729ed0564b36ef2ef8044f1f9d05636874d1f46c819c7a669f",
        "nonce": "151d9929e2449747889bc923",
        "ciphertext": "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a",
    },
}


class OfficialVectors(unittest.TestCase):
    def test_key_schedule_and_first_message(self):
        for aead, vector in VECTORS.items():
            with self.subTest(aead=aead):
                value = {name: bytes.fromhex(text) for name, text in vector.items()}
                secret = hpke.decapsulate(value["recipient"], value["encapsulated"])
                self.assertEqual(secret, value["shared_secret"])
                context = hpke.key_schedule(secret, bytes.fromhex(INFO), aead)
                self.assertEqual((context.key, context.nonce), (value["key"], value["nonce"]))
                opened = hpke.open_base(value["recipient"], value["encapsulated"], value["ciphertext"],
                                        bytes.fromhex(INFO), bytes.fromhex(AAD), aead)
                self.assertEqual(opened, bytes.fromhex(PLAIN))


class OtherLibrary(unittest.TestCase):
    def setUp(self):
        self.recipient = X25519PrivateKey.generate()
        suite = library.Suite(library.KEM.X25519, library.KDF.HKDF_SHA256, library.AEAD.AES_256_GCM)
        self.plain = os.urandom(64)
        sealed = suite.encrypt(self.plain, self.recipient.public_key(), info=b"info")
        self.encapsulated, self.ciphertext = sealed[:32], sealed[32:]

    def open(self, encapsulated=None, ciphertext=None, info=b"info", aad=b""):
        return hpke.open_base(self.recipient.private_bytes_raw(), encapsulated or self.encapsulated,
                              ciphertext or self.ciphertext, info, aad)

    def test_opens_what_another_implementation_sealed(self):
        self.assertEqual(self.open(), self.plain)

    def test_refuses_everything_that_was_changed(self):
        self.assertIsNone(self.open(info=b"other"))
        self.assertIsNone(self.open(aad=b"other"))
        self.assertIsNone(self.open(ciphertext=self.ciphertext[:-1] + bytes([self.ciphertext[-1] ^ 1])))
        self.assertIsNone(self.open(encapsulated=os.urandom(32)))
        self.assertIsNone(self.open(encapsulated=bytes(32)), "the all-zero shared secret must be refused")


if __name__ == "__main__":
    unittest.main()
