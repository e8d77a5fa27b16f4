"""HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256 and AES-GCM: opening one message a context.

Written out from the RFC's sections 4 and 5 over X25519, HMAC-SHA256 and AES-GCM. Lumbung uses AES-256-GCM; AES-128-GCM is
here because the RFC's appendix A.1 tests that suite.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEM_X25519 = 0x0020
KDF_SHA256 = 0x0001
AEAD_AES_128_GCM = 0x0001
AEAD_AES_256_GCM = 0x0002

_KEY_LENGTH = {AEAD_AES_128_GCM: 16, AEAD_AES_256_GCM: 32}
_NONCE_LENGTH = 12
_MODE_BASE = b"\x00"
_KEM_SUITE = b"KEM" + KEM_X25519.to_bytes(2, "big")


@dataclass(frozen=True)
class Context:
    """Key and first nonce of the single message."""

    key: bytes
    nonce: bytes


def _extract(salt: bytes, material: bytes) -> bytes:
    return hmac.new(salt or bytes(32), material, hashlib.sha256).digest()


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        output += block
        counter += 1
    return output[:length]


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return _extract(salt, b"HPKE-v1" + suite + label + material)


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return _expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


def kem_shared_secret(dh: bytes, encapsulated: bytes, recipient_public: bytes) -> bytes:
    key = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", dh)
    return _labeled_expand(_KEM_SUITE, key, b"shared_secret", encapsulated + recipient_public, 32)


def public_key(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def decapsulate(private_key: bytes, encapsulated: bytes) -> bytes:
    """The KEM's shared secret; ValueError where X25519 gives the all-zero output."""
    private = X25519PrivateKey.from_private_bytes(private_key)
    dh = private.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    return kem_shared_secret(dh, encapsulated, private.public_key().public_bytes_raw())


def key_schedule(shared_secret: bytes, info: bytes, aead: int = AEAD_AES_256_GCM) -> Context:
    ids = KEM_X25519.to_bytes(2, "big") + KDF_SHA256.to_bytes(2, "big") + aead.to_bytes(2, "big")
    suite = b"HPKE" + ids
    psk_id_hash = _labeled_extract(suite, b"", b"psk_id_hash", b"")
    info_hash = _labeled_extract(suite, b"", b"info_hash", info)
    context = _MODE_BASE + psk_id_hash + info_hash
    secret = _labeled_extract(suite, shared_secret, b"secret", b"")
    key = _labeled_expand(suite, secret, b"key", context, _KEY_LENGTH[aead])
    nonce = _labeled_expand(suite, secret, b"base_nonce", context, _NONCE_LENGTH)
    return Context(key, nonce)


def open_base(private_key: bytes, encapsulated: bytes, ciphertext: bytes, info: bytes, aad: bytes,
              aead: int = AEAD_AES_256_GCM) -> bytes | None:
    """The plaintext of the context's only message; None where it does not open."""
    try:
        context = key_schedule(decapsulate(private_key, encapsulated), info, aead)
        return AESGCM(context.key).decrypt(context.nonce, ciphertext, aad)
    except (ValueError, InvalidTag):
        return None
