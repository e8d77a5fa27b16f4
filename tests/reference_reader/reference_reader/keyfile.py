"""Section 15: key files. The text form of all three, and opening a key bundle with its passphrase."""

import base64
from dataclasses import dataclass

from argon2.exceptions import HashingError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .codec import Reader
from .crypto import aead_open, argon2id, hash32
from .errors import KeyFileError
from .header import ZERO_ID, Kind, read_header

TITLES = {
    Kind.KEY_BUNDLE: "LUMBUNG KEY BUNDLE 1",
    Kind.AGENT_IDENTITY: "LUMBUNG AGENT IDENTITY 1",
    Kind.SITE_IDENTITY: "LUMBUNG SITE IDENTITY 1",
}
_CHECK_BYTES = 8
_TEXT_MAX_BYTES = 65_536
_ARGON2_MAX_KIB = 4 * 1024 * 1024
_ARGON2_MAX_PASSES = 1_000
_ARGON2_MAX_LANES = 255
_SECRETS_BYTES = 64


@dataclass(frozen=True)
class KeyBundle:
    """The public half of a bundle, and what is needed to open the other half."""

    memory_kib: int
    passes: int
    lanes: int
    salt: bytes
    root_public: bytes
    recovery_public: bytes
    label: str
    sealed: bytes
    aad: bytes


@dataclass(frozen=True)
class BundleSecrets:
    root_seed: bytes
    recovery_private: bytes


def decode_text(text: str, kind: Kind) -> bytes:
    """The object in a key file; its checksum has been verified."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(text) > _TEXT_MAX_BYTES or not lines or lines[0].strip() != TITLES[kind]:
        raise KeyFileError(f"this is not a key file: its first line is not {TITLES[kind]}")
    encoded = "".join("".join(line.split()) for line in lines[1:])
    try:
        decoded = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
    except ValueError as error:
        raise KeyFileError("the key file is damaged: it is not base32") from error
    if base64.b32encode(decoded).decode().rstrip("=") != encoded:
        raise KeyFileError("the key file is damaged: it ends within a byte")
    data, check = decoded[:-_CHECK_BYTES], decoded[-_CHECK_BYTES:]
    if len(check) != _CHECK_BYTES or hash32(data)[:_CHECK_BYTES] != check:
        raise KeyFileError("the key file is damaged: its checksum does not match")
    return data


def decode_bundle(text: str) -> KeyBundle:
    reader = Reader(decode_text(text, Kind.KEY_BUNDLE), "key bundle")
    if read_header(reader, Kind.KEY_BUNDLE) != ZERO_ID:
        raise reader.error("names a repository")
    memory = reader.count(reader.u32(), 8, _ARGON2_MAX_KIB, "KiB of memory")
    passes = reader.count(reader.u32(), 1, _ARGON2_MAX_PASSES, "passes")
    lanes = reader.count(reader.u32(), 1, _ARGON2_MAX_LANES, "lanes")
    salt, root_public, recovery_public = reader.take(16), reader.take(32), reader.take(32)
    label = reader.string()
    aad = reader.data[: reader.position]
    sealed = reader.byte_string(_SECRETS_BYTES + 16)
    reader.finish()
    return KeyBundle(memory, passes, lanes, salt, root_public, recovery_public, label, sealed, aad)


def open_bundle(bundle: KeyBundle, passphrase: bytes) -> BundleSecrets:
    try:
        key = argon2id(passphrase, bundle.salt, bundle.memory_kib, bundle.passes, bundle.lanes)
    except HashingError as error:
        raise KeyFileError(f"the passphrase cannot be derived on this machine: {error}") from error
    plain = aead_open(key, bundle.sealed, bundle.aad)
    if plain is None:
        raise KeyFileError("the passphrase is wrong (the key file itself is not damaged)")
    if len(plain) != _SECRETS_BYTES:
        raise KeyFileError("the key bundle does not hold two keys")
    secrets = BundleSecrets(plain[:32], plain[32:])
    root = Ed25519PrivateKey.from_private_bytes(secrets.root_seed).public_key().public_bytes_raw()
    recovery = X25519PrivateKey.from_private_bytes(secrets.recovery_private).public_key().public_bytes_raw()
    if root != bundle.root_public or recovery != bundle.recovery_public:
        raise KeyFileError("the key bundle's private keys do not belong to its public keys")
    return secrets
