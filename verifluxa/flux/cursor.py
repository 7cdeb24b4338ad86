"""A bounded place in a byte string: every read is checked, nothing past the end is ever touched."""

from __future__ import annotations

import struct

from verifluxa.errors import ModelError


def damaged(message: str, place: str, expected: str | None = None) -> ModelError:
    """The error for a container that is cut, overwritten or not what it says."""
    return ModelError(
        "VF2002",
        message,
        place=place,
        expected=expected,
        remedy="the file is damaged or was edited: save or copy it again",
    )


def foreign(message: str, place: str, expected: str | None = None) -> ModelError:
    """The error for something that the format allows and its Julia package never writes."""
    return ModelError(
        "VF2003",
        message,
        place=place,
        expected=expected,
        remedy="save the model again with JLD2 or BSON from Julia",
    )


class Cursor:
    """Reads little-endian values one after the other from `data[position:end]`."""

    def __init__(self, data: memoryview, position: int, end: int, what: str) -> None:
        """Starts at `position`.

        Args:
            data: the whole file.
            position: the first byte to read.
            end: one past the last byte that may be read.
            what: what is read, for messages.

        Raises:
            ModelError: VF2002 when the range does not lie in the data.
        """
        self.data = data
        self.position = position
        self.end = end
        self.what = what
        if not 0 <= position <= end <= len(data):
            raise damaged(f"{what} would lie outside the file", f"byte {position}")

    @property
    def place(self) -> str:
        """Where the cursor stands, for messages."""
        return f"byte {self.position}"

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return self.end - self.position

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, not copied.

        Raises:
            ModelError: VF2002 when there are not so many.
        """
        if not 0 <= count <= self.left:
            raise damaged(f"{self.what} needs {count} bytes, {self.left} are left", self.place)
        start = self.position
        self.position += count
        return self.data[start : self.position]

    def uint(self, width: int) -> int:
        """An unsigned integer of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def int32(self) -> int:
        """A signed integer of 4 bytes."""
        return int.from_bytes(self.take(4), "little", signed=True)

    def int64(self) -> int:
        """A signed integer of 8 bytes."""
        return int.from_bytes(self.take(8), "little", signed=True)

    def double(self) -> float:
        """A float of 8 bytes."""
        value: float = struct.unpack("<d", self.take(8))[0]
        return value

    def expect(self, content: bytes, meaning: str) -> None:
        """Reads fixed bytes.

        Raises:
            ModelError: VF2002 when other bytes stand there.
        """
        place = self.place
        found = bytes(self.take(len(content)))
        if found != content:
            raise damaged(f"{meaning} does not stand where {self.what} needs it", place, repr(content))

    def cstring(self) -> str:
        """A UTF-8 string that a zero byte ends.

        Raises:
            ModelError: VF2002 without the zero byte, or when the bytes are no UTF-8.
        """
        place = self.place
        rest = bytes(self.data[self.position : min(self.end, self.position + 4096)])
        length = rest.find(b"\0")
        if length < 0:
            raise damaged(f"a name in {self.what} does not end", place)
        self.position += length + 1
        return text(rest[:length], place)

    def finish(self) -> None:
        """Ends the reading.

        Raises:
            ModelError: VF2002 when bytes are left over.
        """
        if self.left:
            raise damaged(f"{self.left} bytes are left over after {self.what}", self.place)


def text(content: bytes, place: str) -> str:
    """Decodes UTF-8.

    Raises:
        ModelError: VF2002 for other bytes.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise damaged("a name is not valid UTF-8", place) from None
