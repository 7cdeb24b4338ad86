"""Superblock and object headers (HDF5 file format specification 3.0, sections II and IV.A).

Every object header's checksum is verified, addresses count from the base address, and only the
messages that JLD2 writes are let through.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from verifluxa.flux.cursor import Cursor, damaged, foreign

# Bob Jenkins' lookup3 hash (`hashlittle`, public domain, 2006), the checksum of HDF5 metadata.

_MASK = 0xFFFFFFFF


def _rotate(value: int, count: int) -> int:
    return ((value << count) | (value >> (32 - count))) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a = ((a - c) & _MASK) ^ _rotate(c, 4)
    c = (c + b) & _MASK
    b = ((b - a) & _MASK) ^ _rotate(a, 6)
    a = (a + c) & _MASK
    c = ((c - b) & _MASK) ^ _rotate(b, 8)
    b = (b + a) & _MASK
    a = ((a - c) & _MASK) ^ _rotate(c, 16)
    c = (c + b) & _MASK
    b = ((b - a) & _MASK) ^ _rotate(a, 19)
    a = (a + c) & _MASK
    c = ((c - b) & _MASK) ^ _rotate(b, 4)
    b = (b + a) & _MASK
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = ((c ^ b) - _rotate(b, 14)) & _MASK
    a = ((a ^ c) - _rotate(c, 11)) & _MASK
    b = ((b ^ a) - _rotate(a, 25)) & _MASK
    c = ((c ^ b) - _rotate(b, 16)) & _MASK
    a = ((a ^ c) - _rotate(c, 4)) & _MASK
    b = ((b ^ a) - _rotate(a, 14)) & _MASK
    return ((c ^ b) - _rotate(b, 24)) & _MASK


def lookup3(data: bytes | memoryview) -> int:
    """The 32-bit checksum of some bytes, with the initial value 0 that HDF5 uses."""
    length = len(data)
    a = b = c = (0xDEADBEEF + length) & _MASK
    if length == 0:
        return c
    padded = bytes(data) + b"\0" * (-length % 12)
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    for start in range(0, len(words), 3):
        a, b, c = (a + words[start]) & _MASK, (b + words[start + 1]) & _MASK, (c + words[start + 2]) & _MASK
        if start + 3 < len(words):
            a, b, c = _mix(a, b, c)
    return _final(a, b, c)


# Superblock and object headers

BASE = 512
UNDEFINED = 0xFFFF_FFFF_FFFF_FFFF
SIGNATURE = b"\x89HDF\r\n\x1a\n"
_BANNER = re.compile(rb"(HDF5-based Julia Data Format|Julia data file \(HDF5\)), version (0\.[12]\.\d+)\0")
_JULIA = re.compile(rb" \(Julia ([0-9A-Za-z.+-]+) (?:64|32)-bit LE\)")
_MAX_BLOCKS = 4096

DATASPACE, LINK_INFO, DATATYPE, FILL_OLD, FILL = 0x01, 0x02, 0x03, 0x04, 0x05
LINK, LAYOUT, GROUP_INFO, FILTERS, ATTRIBUTE, CONTINUATION = 0x06, 0x08, 0x0A, 0x0B, 0x0C, 0x10
_NIL = 0x00
_KNOWN = {
    DATASPACE: "dataspace",
    LINK_INFO: "link info",
    DATATYPE: "datatype",
    FILL: "fill value",
    LINK: "link",
    LAYOUT: "layout",
    GROUP_INFO: "group info",
    FILTERS: "filter pipeline",
    ATTRIBUTE: "attribute",
    CONTINUATION: "continuation",
    _NIL: "nil",
}
_FOREIGN = {
    FILL_OLD: "an old fill value",
    0x07: "external storage (the bytes are said to lie in another file)",
    0x0D: "an object comment",
    0x0E: "an old modification time",
    0x0F: "a table of shared messages",
    0x11: "a symbol table (an old group)",
    0x12: "a modification time",
    0x13: "B-tree parameters",
    0x14: "driver information",
    0x15: "attribute info (dense attributes)",
    0x16: "a reference count",
}


@dataclass(frozen=True, eq=False)
class Message:
    """One message of an object header: its number, flags, where its bytes begin and end."""

    kind: int
    flags: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class File:
    """The bytes of a JLD2 file and the address of its root group.

    Attributes:
        data: the whole file.
        root: address of the root group's object header.
        format_version: version of the JLD2 file format, from the banner.
        julia_version: version of Julia that wrote the file, from the banner, if it says so.
    """

    data: memoryview
    root: int
    format_version: str
    julia_version: str | None

    def cursor(self, address: int, length: int, what: str) -> Cursor:
        """A cursor over `length` bytes at an address.

        Raises:
            ModelError: VF2002 when they do not lie in the file.
        """
        position = address + BASE
        if not 0 <= address < len(self.data) or not 0 <= length <= len(self.data) - position:
            raise damaged(f"{what} would lie outside the file", f"address {address}")
        return Cursor(self.data, position, position + length, what)

    def rest(self, address: int, what: str) -> Cursor:
        """A cursor from an address to the end of the file."""
        return self.cursor(address, max(0, len(self.data) - BASE - address), what)


def open_file(data: memoryview) -> File:
    """Checks the banner and the superblock.

    Raises:
        ModelError: VF2002 when they are damaged, VF2003 for another HDF5 layout.
    """
    banner = _BANNER.match(bytes(data[:BASE]))
    if banner is None:
        raise foreign("this file has no JLD2 banner", "byte 0", "`HDF5-based Julia Data Format, version ...`")
    julia = _JULIA.match(bytes(data[banner.end() : BASE]))
    cursor = Cursor(data, min(BASE, len(data)), min(BASE + 48, len(data)), "the superblock")
    cursor.expect(SIGNATURE, "the HDF5 signature")
    if (version := cursor.uint(1)) != 2:
        raise foreign(f"superblock version {version}", cursor.place, "version 2")
    if bytes(cursor.take(3)) != b"\x08\x08\x00":
        raise foreign("addresses or lengths of another width, or file flags", cursor.place, "8 bytes each, no flags")
    base, extension, end, root = (cursor.uint(8) for _ in range(4))
    if cursor.uint(4) != lookup3(data[BASE : BASE + 44]):
        raise damaged("the superblock's checksum is wrong", f"byte {BASE + 44}")
    if base != BASE or extension != UNDEFINED:
        raise foreign("another base address, or a superblock extension", f"byte {BASE}", f"base address {BASE}")
    if end not in (len(data), len(data) - BASE):
        raise damaged(f"the file says that it ends at byte {end}", f"byte {BASE + 28}", f"its size, {len(data)}")
    version_julia = julia.group(1).decode() if julia else None
    return File(data, root, banner.group(2).decode(), version_julia)


def read_messages(file: File, address: int) -> tuple[Message, ...]:
    """The messages of an object header with all its continuation blocks, nil messages left out.

    Raises:
        ModelError: VF2002 when the header is damaged, VF2003 for a message that JLD2 never writes.
    """
    cursor = file.rest(address, "an object header")
    start = cursor.position
    cursor.expect(b"OHDR\x02", "an object header")
    flags = cursor.uint(1)
    if flags & ~0x03:
        raise foreign(f"object header flags {flags:#x}", cursor.place, "no times, no attribute phases")
    size = cursor.uint(1 << (flags & 3))
    messages = _block(file, start, cursor.position, size)
    return _continued(file, messages, address)


def _continued(file: File, messages: list[Message], address: int) -> tuple[Message, ...]:
    """Follows the continuation messages, each block once."""
    result: list[Message] = []
    seen: set[int] = set()
    pending = list(reversed(messages))
    while pending:
        message = pending.pop()
        if message.kind != CONTINUATION:
            result.append(message)
            continue
        cursor = Cursor(file.data, message.start, message.end, "a continuation message")
        where, length = cursor.uint(8), cursor.uint(8)
        if where in seen or len(seen) >= _MAX_BLOCKS:
            raise damaged("an object header continues in itself", f"address {address}")
        seen.add(where)
        pending.extend(reversed(_chunk(file, where, length)))
    return tuple(result)


def _chunk(file: File, address: int, length: int) -> list[Message]:
    cursor = file.cursor(address, length, "a continuation block")
    start = cursor.position
    cursor.expect(b"OCHK", "a continuation block")
    if length < 8:
        raise damaged("a continuation block is too short", f"address {address}")
    return _block(file, start, cursor.position, length - 8)


def _block(file: File, start: int, first: int, size: int) -> list[Message]:
    """Messages in `size` bytes from `first`; the checksum behind them counts from `start`."""
    end = first + size
    if size < 0 or end + 4 > len(file.data):
        raise damaged("an object header would reach past the end of the file", f"byte {start}")
    stored = int.from_bytes(file.data[end : end + 4], "little")
    if stored != lookup3(file.data[start:end]):
        raise damaged("the checksum of an object header is wrong", f"byte {end}")
    cursor = Cursor(file.data, first, end, "an object header")
    messages: list[Message] = []
    while cursor.left >= 4:
        message = _message(cursor)
        if message is not None:
            messages.append(message)
    if any(cursor.take(cursor.left)):
        raise damaged("the gap at the end of an object header is not empty", cursor.place)
    return messages


def _message(cursor: Cursor) -> Message | None:
    kind, size, flags = cursor.uint(1), cursor.uint(2), cursor.uint(1)
    place = cursor.place
    start = cursor.position
    cursor.take(size)
    if kind in _FOREIGN or kind not in _KNOWN:
        raise foreign(f"an object header holds {_FOREIGN.get(kind, f'message {kind}')}", place)
    if flags & ~(0x01 | 0x02 | 0x10 | 0x40 | 0x04):
        raise foreign(f"message flags {flags:#x}", place)
    return None if kind == _NIL else Message(kind, flags, start, cursor.position)
