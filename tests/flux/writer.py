"""Writes JLD2-like files object by object, so that one thing at a time can be wrong in them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from verifluxa.flux.hdf5 import lookup3

BANNER = b"HDF5-based Julia Data Format, version 0.2.0\0 (Julia 1.10.4 64-bit LE)\0"
BASE = 512
FLOAT = bytes.fromhex("31201f0004000000000020001708001 77f000000".replace(" ", ""))
INT = bytes.fromhex("300800000800000000004000")
REFERENCE = bytes.fromhex("3700000008000000")
SCALAR = bytes.fromhex("02000000")
FILL = (0x05, 0, b"\x03\x09")
LINK_INFO = (0x02, 0, b"\0\0" + b"\xff" * 16)
GROUP_INFO = (0x0A, 0, b"\0\0")

Message = tuple[int, int, bytes]


@dataclass
class Writer:
    """Collects objects and gives the bytes of the file."""

    body: bytearray = field(default_factory=lambda: bytearray(48))

    def add(self, content: bytes) -> int:
        """Appends bytes and returns their address."""
        address = len(self.body)
        self.body += content
        return address

    def object(self, *messages: Message) -> int:
        """Appends an object header."""
        body = b"".join(struct.pack("<BHB", kind, len(data), flags) + data for kind, flags, data in messages)
        head = b"OHDR\x02\x01" + struct.pack("<H", len(body)) + body
        return self.add(head + struct.pack("<I", lookup3(head)))

    def group(self, links: dict[str, int], *more: Message) -> int:
        """Appends a group of hard links."""
        return self.object(LINK_INFO, GROUP_INFO, *(link(name, target) for name, target in links.items()), *more)

    def dataset(self, dims: tuple[int, ...], datatype: bytes, data: bytes) -> int:
        """Appends a contiguous dataset."""
        layout = b"\x04\x01" + struct.pack("<QQ", self.add(data), len(data))
        return self.object(FILL, space(dims), (0x03, 1, datatype), (0x08, 0, layout))

    def file(self, root: int, end: int | None = None) -> bytes:
        """The bytes of the file with this root group."""
        size = BASE + len(self.body)
        head = b"\x89HDF\r\n\x1a\n\x02\x08\x08\x00"
        head += struct.pack("<QQQQ", BASE, 2**64 - 1, size if end is None else end, root)
        self.body[:48] = head + struct.pack("<I", lookup3(head))
        return BANNER.ljust(BASE, b"\0") + bytes(self.body)


def link(name: str, target: int) -> Message:
    """A hard link."""
    text = name.encode()
    return (0x06, 0, b"\x01\x10\x01" + bytes([len(text)]) + text + struct.pack("<Q", target))


def space(dims: tuple[int, ...]) -> Message:
    """A simple dataspace, a scalar one without dims."""
    return (0x01, 0, bytes([2, len(dims), 0, 1 if dims else 0]) + struct.pack(f"<{len(dims)}Q", *dims))


def floats(count: int) -> bytes:
    """Some Float32 numbers."""
    return struct.pack(f"<{count}f", *(0.25 * (index + 1) for index in range(count)))
