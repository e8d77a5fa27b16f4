"""Section 1 of docs/format.md: integers, strings and varints out of a byte string.

A `Reader` never reads past its end, never accepts a varint that could be shorter, and `finish` refuses trailing bytes.
"""

from .errors import FormatError
from .limits import LABEL_MAX_BYTES

U64_MAX = (1 << 64) - 1


class Reader:
    """A cursor over bytes; `what` names the object in errors."""

    def __init__(self, data: bytes, what: str):
        self.data = data
        self.position = 0
        self.what = what

    def error(self, message: str) -> FormatError:
        return FormatError(f"{self.what}: {message} (at byte {self.position})")

    def remaining(self) -> int:
        return len(self.data) - self.position

    def take(self, length: int) -> bytes:
        if length > self.remaining():
            raise self.error(f"{length} bytes expected, {self.remaining()} left")
        piece = self.data[self.position : self.position + length]
        self.position += length
        return piece

    def _unsigned(self, length: int) -> int:
        return int.from_bytes(self.take(length), "little")

    def u8(self) -> int:
        return self._unsigned(1)

    def u16(self) -> int:
        return self._unsigned(2)

    def u32(self) -> int:
        return self._unsigned(4)

    def u64(self) -> int:
        return self._unsigned(8)

    def i64(self) -> int:
        return int.from_bytes(self.take(8), "little", signed=True)

    def reserved(self, length: int) -> None:
        if any(self.take(length)):
            raise self.error("a reserved field is not zero")

    def count(self, value: int, least: int, most: int, name: str) -> int:
        """Checks a count against the range that the format gives for it."""
        if not least <= value <= most:
            raise self.error(f"{value} {name}, allowed are {least} to {most}")
        return value

    def string(self) -> str:
        raw = self.take(self.count(self.u16(), 0, LABEL_MAX_BYTES, "bytes in a string"))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error("a string is not UTF-8") from error

    def byte_string(self, most: int) -> bytes:
        return self.take(self.count(self.u32(), 0, most, "bytes in a field"))

    def varint(self) -> int:
        value = 0
        for index in range(10):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    raise self.error("a varint is longer than it need be")
                if value > U64_MAX:
                    raise self.error("a varint does not fit 64 bits")
                return value
        raise self.error("a varint is longer than 10 bytes")

    def svarint(self) -> int:
        raw = self.varint()
        return (raw >> 1) ^ -(raw & 1)

    def varint_bytes(self, most: int) -> bytes:
        """`varint n [n]`, as the catalogue writes names and paths."""
        return self.take(self.count(self.varint(), 0, most, "bytes in a field"))

    def finish(self) -> None:
        if self.remaining():
            raise self.error(f"{self.remaining()} bytes too many")
