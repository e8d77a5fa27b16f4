"""What the reader says when it refuses something.

Every error names the object that it is about; nothing is repaired or guessed silently.
"""


class LumbungError(Exception):
    """Base of everything that the reader reports on purpose."""


class FormatError(LumbungError):
    """Bytes that docs/format.md does not allow."""


class SignatureError(LumbungError):
    """A signature that does not verify, or a signer that is not entitled."""


class DepotError(LumbungError):
    """An object that is missing, too large, or is not what its name says."""


class KeyFileError(LumbungError):
    """A key file that is damaged, or a passphrase that does not open it."""


class UsageError(LumbungError):
    """A request that cannot be carried out as it was asked."""
