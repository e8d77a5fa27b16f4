"""Writes a snapshot below a target directory that is new or empty.

Everything is made by this process: directories come before what is in them and nothing that exists is followed or replaced,
so no symbolic link in a catalogue can lead outside. Directories are entered component by component, so a path may be longer
than the operating system takes in one piece (Linux only: the last component is named through /proc/self/fd). Metadata goes
on last, directories from the deepest up.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .catalogue import Entry, Type, components
from .errors import UsageError
from .snapshot import SnapshotReader

_PRIVATE_DIRECTORY = 0o700
_PRIVATE_FILE = 0o600
_NODE_TYPE = {Type.FIFO: stat.S_IFIFO, Type.SOCKET: stat.S_IFSOCK, Type.CHAR_DEVICE: stat.S_IFCHR,
              Type.BLOCK_DEVICE: stat.S_IFBLK}


@dataclass
class Outcome:
    entries: int = 0
    content_bytes: int = 0
    unreadable: int = 0
    incomplete: int = 0


class Places:
    """Names for what lies below the target; keeps the last parent directory open, as entries come in path order."""

    def __init__(self, target: bytes):
        self.target = target
        self._parts: list[bytes] | None = None
        self._parent = -1

    def open_directory(self, parts: list[bytes]) -> int:
        handle = os.open(self.target, os.O_PATH | os.O_DIRECTORY)
        for part in parts:
            try:
                deeper = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            finally:
                os.close(handle)
            handle = deeper
        return handle

    def place(self, path: bytes) -> bytes:
        """A name that the operating system takes, good until the next call."""
        if not path:
            return self.target
        *parts, name = components(path)
        if parts != self._parts:
            self.close()
            self._parent, self._parts = self.open_directory(parts), parts
        return inside(self._parent, name)

    def close(self) -> None:
        if self._parts is not None:
            os.close(self._parent)
            self._parts = None


def inside(directory: int, name: bytes) -> bytes:
    return b"/proc/self/fd/%d/%s" % (directory, name)


@dataclass
class Restorer:
    snapshot: SnapshotReader
    places: Places
    warn: Callable[[str], None]
    outcome: Outcome = field(default_factory=Outcome)
    directories: list[Entry] = field(default_factory=list)
    skipped: set[bytes] = field(default_factory=set)

    def incomplete(self, entry: Entry, message: str) -> None:
        self.outcome.incomplete += 1
        self.warn(f"/{os.fsdecode(entry.path)}: {message}")

    def run(self) -> Outcome:
        for entry in self.snapshot.entries():
            self.outcome.entries += 1
            self._restore(entry)
        for entry in reversed(self.directories):
            self._metadata(entry)
        self.places.close()
        return self.outcome

    def _restore(self, entry: Entry) -> None:
        if entry.unreadable is not None:
            self.outcome.unreadable += 1
            self.warn(f"/{os.fsdecode(entry.path)}: could not be read when it was backed up (errno {entry.unreadable})")
            if entry.type is not Type.DIRECTORY:
                self.skipped.add(entry.path)
                return
        if entry.type is Type.DIRECTORY:
            if entry.path:
                os.mkdir(self.places.place(entry.path), _PRIVATE_DIRECTORY)
            self.directories.append(entry)
        elif entry.type is Type.HARD_LINK:
            self._hard_link(entry)
        elif self._create(entry):
            self._metadata(entry)
        else:
            self.skipped.add(entry.path)

    def _create(self, entry: Entry) -> bool:
        place = self.places.place(entry.path)
        if entry.type is Type.FILE:
            self._write_file(entry, place)
        elif entry.type is Type.SYMLINK:
            os.symlink(entry.target, place)
        else:
            try:
                os.mknod(place, _NODE_TYPE[entry.type] | _PRIVATE_FILE, os.makedev(*entry.device))
            except (OSError, OverflowError) as error:
                self.incomplete(entry, f"was not created: {error}")
                return False
        return True

    def _hard_link(self, entry: Entry) -> None:
        if entry.target in self.skipped:
            self.incomplete(entry, f"was not linked: /{os.fsdecode(entry.target)} was not restored")
            return
        *parts, name = components(entry.target)
        directory = self.places.open_directory(parts)
        try:
            os.link(inside(directory, name), self.places.place(entry.path), follow_symlinks=False)
        finally:
            os.close(directory)

    def _write_file(self, entry: Entry, place: bytes) -> None:
        extents = [(0, entry.size)] if entry.extents is None else entry.extents
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _PRIVATE_FILE)
        with os.fdopen(handle, "wb") as file:
            pieces = (self.snapshot.data(part.chunk, part.offset, part.length) for part in entry.content)
            rest = b""
            for offset, length in extents:
                file.seek(offset)
                while length:
                    rest = rest or next(pieces)
                    written = rest[:length]
                    file.write(written)
                    self.outcome.content_bytes += len(written)
                    length -= len(written)
                    rest = rest[len(written) :]
            file.truncate(entry.size)

    def _metadata(self, entry: Entry) -> None:
        """Owner, then mode (chown clears set-id bits), then attributes (chown clears capabilities), then times."""
        place, link = self.places.place(entry.path), entry.type is Type.SYMLINK
        try:
            if os.geteuid() == 0:
                os.chown(place, entry.owner.uid, entry.owner.gid, follow_symlinks=False)
            if not link:
                os.chmod(place, entry.mode)
        except OSError as error:
            self.incomplete(entry, f"owner or mode was not set: {error.strerror}")
        for name, value in entry.xattrs:
            try:
                os.setxattr(place, name, value, follow_symlinks=False)
            except (OSError, ValueError) as error:
                self.incomplete(entry, f"attribute {os.fsdecode(name)} was not set: {error}")
        seconds, nanoseconds = entry.mtime
        mtime = seconds * 1_000_000_000 + nanoseconds
        try:
            os.utime(place, ns=(mtime, mtime), follow_symlinks=False)
        except (OSError, OverflowError) as error:
            self.incomplete(entry, f"time was not set: {error}")


def restore(snapshot: SnapshotReader, target: Path, warn: Callable[[str], None]) -> Outcome:
    """Restores into `target`, which is made if it is not there and must be empty if it is."""
    if os.path.lexists(target) and (target.is_symlink() or not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not an empty directory; choose a new one")
    target.mkdir(parents=True, exist_ok=True)
    return Restorer(snapshot, Places(os.fsencode(target.absolute())), warn).run()
