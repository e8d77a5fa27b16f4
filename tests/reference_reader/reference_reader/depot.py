"""Section 3: a repository in a directory.

Whatever a file is called, its content is checked against its name before anybody uses it. Nothing here writes.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from .crypto import hash32
from .errors import DepotError
from .header import FOLDERS, Kind
from .limits import OBJECT_MAX_BYTES, PACK_MAX_BYTES

_ID = re.compile(r"[0-9a-f]{64}")


class Depot:
    """Read access to the objects of one repository."""

    def __init__(self, root: Path):
        if not (root / FOLDERS[Kind.ROSTER]).is_dir():
            raise DepotError(f"{root} is not a repository: it has no folder {FOLDERS[Kind.ROSTER]}")
        self.root = root

    def list(self, kind: Kind) -> list[bytes]:
        """Ids in ascending order; unfinished writes and foreign names are passed over."""
        folder = self.root / FOLDERS[kind]
        names = os.listdir(folder) if folder.is_dir() else []
        return sorted(bytes.fromhex(name) for name in names if _ID.fullmatch(name))

    def get(self, kind: Kind, object_id: bytes) -> bytes:
        """A whole object other than a pack; its hash is its name."""
        name = f"{FOLDERS[kind]}/{object_id.hex()}"
        try:
            with open(self.root / name, "rb") as file:
                data = file.read(OBJECT_MAX_BYTES + 1)
        except OSError as error:
            raise DepotError(f"{name}: cannot be read: {error.strerror}") from error
        if len(data) > OBJECT_MAX_BYTES:
            raise DepotError(f"{name}: larger than {OBJECT_MAX_BYTES} bytes")
        if hash32(data) != object_id:
            raise DepotError(f"{name}: damaged: its hash is not its name")
        return data

    def all(self, kind: Kind) -> Iterator[tuple[bytes, bytes]]:
        """Every object of a kind with its id."""
        for object_id in self.list(kind):
            yield object_id, self.get(kind, object_id)

    def pack_path(self, pack_id: bytes) -> Path:
        name = pack_id.hex()
        return self.root / FOLDERS[Kind.PACK] / name[:2] / name

    def pack_length(self, pack_id: bytes) -> int:
        try:
            length = self.pack_path(pack_id).stat().st_size
        except OSError as error:
            raise DepotError(f"pack {pack_id.hex()}: cannot be read: {error.strerror}") from error
        if length > PACK_MAX_BYTES:
            raise DepotError(f"pack {pack_id.hex()}: larger than {PACK_MAX_BYTES} bytes")
        return length

    def read_pack(self, pack_id: bytes, offset: int, length: int) -> bytes:
        """Bytes of a pack file, not yet checked; the caller holds them against the table."""
        try:
            with open(self.pack_path(pack_id), "rb") as file:
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            raise DepotError(f"pack {pack_id.hex()}: cannot be read: {error.strerror}") from error
        if len(data) != length:
            raise DepotError(f"pack {pack_id.hex()}: ends before byte {offset + length}")
        return data
