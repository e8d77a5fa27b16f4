"""Hashes, key derivation, AEAD and strict Ed25519 (sections 1, 4 and 6), on top of well-known libraries."""

from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ZERO_NONCE = bytes(12)

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_L = 2**252 + 27742317777372353535851937790883648493


def hash32(data: bytes) -> bytes:
    return blake3(data).digest()


def derive(context: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=context).digest()


def keyed_hash(key: bytes, data: bytes, length: int = 32) -> bytes:
    return blake3(data, key=key).digest(length=length)


def aead_open(key: bytes, sealed: bytes, aad: bytes) -> bytes | None:
    """AES-256-GCM with the zero nonce; None where the tag does not match."""
    try:
        return AESGCM(key).decrypt(ZERO_NONCE, sealed, aad)
    except InvalidTag:
        return None


def argon2id(passphrase: bytes, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    return hash_secret_raw(
        secret=passphrase, salt=salt, time_cost=passes, memory_cost=memory_kib, parallelism=lanes, hash_len=32,
        type=Type.ID, version=0x13,
    )


def _decompress(encoded: bytes) -> tuple[int, int] | None:
    """The point of an Ed25519 encoding, or None if it is not canonical or not on the curve."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else _P - x), y


def _double(point: tuple[int, int]) -> tuple[int, int]:
    x, y = point
    product = _D * x * x % _P * y % _P * y % _P
    doubled_x = 2 * x * y * pow(1 + product, -1, _P) % _P
    doubled_y = (y * y + x * x) * pow(1 - product, -1, _P) % _P
    return doubled_x, doubled_y


def is_strict_point(encoded: bytes) -> bool:
    """Canonically encoded, on the curve, and not of small order (eight times the point is not the identity)."""
    point = _decompress(encoded)
    if point is None:
        return False
    for _ in range(3):
        point = _double(point)
    return point != (0, 1)


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """RFC 8032, strict: canonical S, canonical points, no small order for the key or for R."""
    if not is_strict_point(public_key) or not is_strict_point(signature[:32]):
        return False
    if int.from_bytes(signature[32:], "little") >= _L:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
