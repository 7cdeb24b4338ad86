"""The part of HDF5 that JLD2 writes, and nothing else of it (HDF5 file format specification 3.0, sections II to IV).

Every bit is checked: a float that is not IEEE little-endian, an integer with padding bits, overlapping members are all
refused. Every object header's checksum is verified, addresses count from the base address, and only the messages that
JLD2 writes are let through.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from dataclasses import dataclass, field

from verifluxa.errors import ModelError
from verifluxa.flux.cursor import Cursor, damaged, foreign
from verifluxa.flux.limits import DEPTH, Budget, refuse_deep

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


_FLOATS = {
    2: (0x0F20, bytes.fromhex("000010000a05000a0f000000")),
    4: (0x1F20, bytes.fromhex("00002000170800177f000000")),
    8: (0x3F20, bytes.fromhex("00004000340b0034ff030000")),
}
_INTEGER_SIZES = (1, 2, 4, 8, 16)
_MAX_MEMBERS = 4096


@dataclass(frozen=True)
class Number:
    """An integer or float: `kind` is `i`, `u` or `f`, `size` in bytes."""

    kind: str
    size: int


@dataclass(frozen=True)
class Boolean:
    """A bit field of one byte: Julia's Bool."""

    size: int = 1


@dataclass(frozen=True)
class FixedString:
    """A string of `size` bytes."""

    size: int


@dataclass(frozen=True)
class Opaque:
    """Bytes without a meaning: what JLD2 commits for a type without fields, or a primitive type."""

    size: int


@dataclass(frozen=True)
class Reference:
    """The address of another object."""

    size: int = 8


@dataclass(frozen=True)
class Sequence:
    """A sequence of variable length in the global heap."""

    base: Datatype
    text: bool
    size: int = 16


@dataclass(frozen=True)
class Member:
    """One member of a compound: name, offset in bytes, datatype."""

    name: str
    offset: int
    datatype: Datatype


@dataclass(frozen=True)
class Compound:
    """Several members in `size` bytes, in order, without overlap."""

    size: int
    members: tuple[Member, ...]


Datatype = Number | Boolean | FixedString | Opaque | Reference | Sequence | Compound


def read_datatype(cursor: Cursor, depth: int = 0) -> Datatype:
    """Reads one datatype message.

    Raises:
        ModelError: VF2002 when it is damaged, VF2003 for a datatype that JLD2 never writes, VF2004 when
            it nests too deep.
    """
    place = cursor.place
    if depth > DEPTH:
        raise refuse_deep(place)
    first, bits, size = cursor.uint(1), cursor.uint(3), cursor.uint(4)
    if first >> 4 != 3:
        raise foreign(f"datatype version {first >> 4}", place, "version 3")
    kind = first & 15
    if kind == 6:
        return _compound(cursor, bits, size, depth)
    if kind == 9:
        return _sequence(cursor, bits, size, depth)
    return _simple(cursor, kind, bits, size)


def _simple(cursor: Cursor, kind: int, bits: int, size: int) -> Datatype:
    place = cursor.place
    if kind == 0 and bits in (0, 8) and size in _INTEGER_SIZES and cursor.take(4) == _precision(size):
        return Number("i" if bits else "u", size)
    if kind == 1 and size in _FLOATS and (bits, bytes(cursor.take(12))) == _FLOATS[size]:
        return Number("f", size)
    if kind == 3 and bits in (0x00, 0x10, 0x11, 0x01) and size > 0:
        return FixedString(size)
    if kind == 4 and bits == 0 and size == 1 and cursor.take(4) == _precision(size):
        return Boolean()
    if kind == 5 and bits == 0 and 0 < size <= 1 << 16:
        return Opaque(size)
    if kind == 7 and bits == 0 and size == 8:
        return Reference()
    raise foreign(
        f"a datatype of class {kind}, bits {bits:#x}, {size} bytes",
        place,
        "little-endian IEEE floats, integers, Bools, strings, references and compounds of them",
    )


def _precision(size: int) -> bytes:
    """Bit offset 0 and the full width."""
    return b"\0\0" + (8 * size).to_bytes(2, "little")


def _sequence(cursor: Cursor, bits: int, size: int, depth: int) -> Datatype:
    place = cursor.place
    # Type (sequence or string), padding (none or null-padded), character set (ASCII or UTF-8).
    if bits & 15 > 1 or bits >> 4 & 15 > 1 or bits >> 8 > 1 or size != 16:
        raise foreign(f"a sequence of kind {bits:#x}, {size} bytes", place)
    return Sequence(read_datatype(cursor, depth + 1), text=bits & 15 == 1)


def _compound(cursor: Cursor, bits: int, size: int, depth: int) -> Datatype:
    place = cursor.place
    if not 0 < bits <= _MAX_MEMBERS:
        raise foreign(f"a compound of {bits} members", place, f"1 to {_MAX_MEMBERS}")
    width = (size.bit_length() + 7) // 8
    members = tuple(_member(cursor, width, depth) for _ in range(bits))
    _check_members(members, size, place)
    return Compound(size, members)


def _member(cursor: Cursor, width: int, depth: int) -> Member:
    name = cursor.cstring()
    offset = cursor.uint(width)
    return Member(name, offset, read_datatype(cursor, depth + 1))


def _check_members(members: tuple[Member, ...], size: int, place: str) -> None:
    if len({member.name for member in members}) != len(members):
        raise damaged("two members of a compound have the same name", place)
    end = 0
    for member in members:
        if member.offset < end:
            raise damaged(f"member `{member.name}` of a compound overlaps another", place)
        end = member.offset + member.datatype.size
    if end > size:
        raise damaged("a member of a compound reaches past its end", place, f"{size} bytes")


_MAX_RANK = 16
_FLAGS = {DATATYPE: (0x00, 0x01, 0x03, 0x40)}
_DEFLATE = bytes.fromhex("0201010000000100")
_GROUP_INFO = (b"\0\0", b"\0\1", b"\0\2", b"\0\3")
_CHUNK_LAYOUT = 2
Dims = tuple[int, ...]


@dataclass(frozen=True)
class Shared:
    """A datatype that is committed elsewhere: the address of its object header."""

    address: int


@dataclass(frozen=True, eq=False)
class Stored:
    """A value as it lies in the file: a dataset's or an attribute's.

    Attributes:
        datatype: inline, or the address of a committed one.
        dims: sizes as in the file (Julia's reversed), () for a scalar, None for a value of size zero.
        data: its bytes; for a deflated dataset the deflated ones.
        deflated: whether `data` must be inflated.
        place: where the object is, for messages.
    """

    datatype: Datatype | Shared
    dims: Dims | None
    data: memoryview
    deflated: bool
    place: str


@dataclass(frozen=True, eq=False)
class Object:
    """What an object header says.

    Attributes:
        address: of the header.
        links: names and addresses, for a group; None for anything else.
        committed: the datatype that this object is, if it is one.
        value: the dataset's value, if it is one.
        attributes: values by name.
    """

    address: int
    links: dict[str, int] | None
    committed: Datatype | None
    value: Stored | None
    attributes: dict[str, Stored] = field(default_factory=dict)


def read_object(file: File, address: int) -> Object:
    """Reads the object at an address.

    Raises:
        ModelError: VF2002 when it is damaged, VF2003 when JLD2 would not write it so.
    """
    messages = read_messages(file, address)
    for message in messages:
        if message.flags not in _FLAGS.get(message.kind, (0x00,)):
            raise foreign(f"message flags {message.flags:#x}", f"byte {message.start}")
    kinds = [message.kind for message in messages]
    attributes = _attributes(file, messages)
    single = {kind: messages[kinds.index(kind)] for kind in kinds if kinds.count(kind) == 1}
    if LINK_INFO in kinds:
        return Object(address, _group(file, messages, kinds), None, None, attributes)
    several = [kind for kind in kinds if kind not in single and kind != ATTRIBUTE]
    if several or DATATYPE not in single or LINK in kinds or GROUP_INFO in kinds:
        raise damaged("an object is neither a group, a datatype nor a dataset", f"address {address}")
    rest = set(single) - {ATTRIBUTE, DATATYPE}
    if not rest:
        cursor = _cursor(file, single[DATATYPE])
        return Object(address, None, _inline(cursor), None, attributes)
    return Object(address, None, None, _dataset(file, single, address), attributes)


def _cursor(file: File, message: Message) -> Cursor:
    return Cursor(file.data, message.start, message.end, "a message of an object header")


def _inline(cursor: Cursor) -> Datatype:
    datatype = read_datatype(cursor)
    # An opaque datatype has a tag, which JLD2 pads with zeros.
    if any(cursor.take(cursor.left)):
        raise damaged("bytes are left over after a datatype", cursor.place)
    return datatype


def _group(file: File, messages: tuple[Message, ...], kinds: list[int]) -> dict[str, int]:
    if set(kinds) - {LINK_INFO, GROUP_INFO, LINK} or kinds.count(LINK_INFO) != 1:
        raise foreign("a group with other messages than links", f"byte {messages[0].start}")
    links: dict[str, int] = {}
    for message in messages:
        cursor = _cursor(file, message)
        if message.kind == LINK:
            name, address = _link(cursor)
            if name in links:
                raise damaged(f"two links have the same name `{name}`", cursor.place)
            links[name] = address
        elif message.kind == LINK_INFO and bytes(cursor.take(cursor.left)) != b"\0\0" + b"\xff" * 16:
            raise foreign("a group that keeps its links in a heap", cursor.place)
        elif message.kind == GROUP_INFO and bytes(cursor.take(2)) not in _GROUP_INFO:
            raise foreign("another form of group info", cursor.place)
    return links


def _link(cursor: Cursor) -> tuple[str, int]:
    version, flags = cursor.uint(1), cursor.uint(1)
    if version != 1 or flags & ~0x1B:
        raise foreign(f"a link of version {version}, flags {flags:#x}", cursor.place)
    if flags & 0x08 and (kind := cursor.uint(1)) != 0:
        name = {1: "a soft link (a path)", 64: "an external link (into another file)"}.get(
            kind, f"a link of kind {kind}"
        )
        raise foreign(name, cursor.place, "hard links only")
    if flags & 0x10 and cursor.uint(1) not in (0, 1):
        raise foreign("another character set", cursor.place)
    length = cursor.uint(1 << (flags & 3))
    place = cursor.place
    try:
        text = bytes(cursor.take(length)).decode("utf-8")
    except UnicodeDecodeError:
        raise damaged("a link's name is not valid UTF-8", place) from None
    address = cursor.uint(8)
    cursor.finish()
    return text, address


def _datatype(cursor: Cursor, shared: bool) -> Datatype | Shared:
    if not shared:
        return _inline(cursor)
    place = cursor.place
    if bytes(cursor.take(2)) != b"\x03\x02":
        raise foreign("a shared datatype of another form", place)
    address = cursor.uint(8)
    cursor.finish()
    return Shared(address)


def _dataspace(cursor: Cursor) -> Dims | None:
    place = cursor.place
    version, rank, flags, kind = (cursor.uint(1) for _ in range(4))
    if version != 2 or flags not in (0, 1) or kind > 2 or rank > _MAX_RANK or (kind == 1) != (rank > 0):
        raise foreign(f"a dataspace of version {version}, rank {rank}, flags {flags}, kind {kind}", place)
    dims = tuple(cursor.uint(8) for _ in range(rank))
    if flags and any(cursor.uint(8) != size for size in dims):
        raise foreign("a dataset that may grow", place)
    cursor.finish()
    return None if kind == 2 else dims


def _attributes(file: File, messages: tuple[Message, ...]) -> dict[str, Stored]:
    result: dict[str, Stored] = {}
    for message in messages:
        if message.kind == ATTRIBUTE:
            name, stored = _attribute(_cursor(file, message))
            if name in result:
                raise damaged(f"two attributes have the same name `{name}`", f"byte {message.start}")
            result[name] = stored
    return result


def _attribute(cursor: Cursor) -> tuple[str, Stored]:
    place = cursor.place
    version, flags = cursor.uint(1), cursor.uint(1)
    if version != 2 or flags not in (0, 1):
        raise foreign(f"an attribute of version {version}, flags {flags}", place)
    sizes = [cursor.uint(2) for _ in range(3)]
    parts = [_part(cursor, size) for size in sizes]
    name = parts[0].cstring()
    parts[0].finish()
    datatype = _datatype(parts[1], bool(flags))
    return name, Stored(datatype, _dataspace(parts[2]), cursor.take(cursor.left), False, place)


def _part(cursor: Cursor, size: int) -> Cursor:
    start = cursor.position
    cursor.take(size)
    return Cursor(cursor.data, start, start + size, "an attribute")


def _dataset(file: File, single: dict[int, Message], address: int) -> Stored:
    place = f"address {address}"
    needed = {FILL, DATASPACE, DATATYPE, LAYOUT}
    found = set(single) - {ATTRIBUTE, FILTERS}
    if found != needed:
        raise damaged("an object is neither a group, a datatype nor a dataset", place)
    if bytes(_cursor(file, single[FILL]).take(2)) != b"\x03\x09":
        raise foreign("a fill value", place, "none")
    message = single[DATATYPE]
    datatype = _datatype(_cursor(file, message), bool(message.flags & 2))
    dims = _dataspace(_cursor(file, single[DATASPACE]))
    deflated = FILTERS in single
    if deflated:
        _filters(_cursor(file, single[FILTERS]))
    layout = _cursor(file, single[LAYOUT])
    return Stored(datatype, dims, _layout(file, layout, dims, deflated), deflated, place)


def _filters(cursor: Cursor) -> None:
    place = cursor.place
    if bytes(cursor.take(8)) != _DEFLATE or cursor.uint(4) > 9:
        raise foreign("a filter other than deflate", place, "one deflate filter")
    cursor.finish()


def _layout(file: File, cursor: Cursor, dims: Dims | None, deflated: bool) -> memoryview:
    place = cursor.place
    version, kind = cursor.uint(1), cursor.uint(1)
    if version != 4 or kind > _CHUNK_LAYOUT or deflated != (kind == _CHUNK_LAYOUT):
        raise foreign(
            f"a layout of version {version}, class {kind}", place, "compact, contiguous, or one deflated chunk"
        )
    if kind == 0:
        data = cursor.take(cursor.uint(2))
        cursor.finish()
        return data
    address, size = (cursor.uint(8), cursor.uint(8)) if kind == 1 else _single_chunk(cursor, dims)
    cursor.finish()
    if address == UNDEFINED:
        raise foreign("a dataset without data", place)
    return file.cursor(address, size, "the data of a dataset").take(size)


def _single_chunk(cursor: Cursor, dims: Dims | None) -> tuple[int, int]:
    place = cursor.place
    flags, rank, width = cursor.uint(1), cursor.uint(1), cursor.uint(1)
    if dims is None or flags != 2 or rank != len(dims) + 1 or width != 8:
        raise foreign("a chunked layout of another form", place, "a single chunk of the whole array")
    chunk = tuple(cursor.uint(8) for _ in range(rank))
    if chunk[:-1] != dims or cursor.uint(1) != 1:
        raise foreign("an array in several chunks", place, "a single chunk of the whole array")
    size, mask, address = cursor.uint(8), cursor.uint(4), cursor.uint(8)
    if mask:
        raise foreign("a chunk that skips its filter", place)
    return address, size


def elements(stored: Stored) -> int:
    """The number of elements, in integers of any width."""
    return 0 if stored.dims is None else math.prod(stored.dims)


def content(stored: Stored, item: int, budget: Budget) -> memoryview:
    """The bytes of a value, inflated, exactly as many as its dims ask for.

    Args:
        stored: the value.
        item: bytes of one element.
        budget: what may still be inflated.

    Raises:
        ModelError: VF2002 when dims and bytes disagree, VF2004 past the limits.
    """
    expected = elements(stored) * item
    data = stored.data
    if stored.deflated:
        # At best 1032 to 1 (zlib's own bound): refuses absurd dims before anything is counted or allocated.
        if expected > 1040 * len(data) + 1024:
            raise _disagree(stored, expected, "at most 1040 times the deflated bytes")
        budget.inflate(expected, stored.place)
        data = _inflate(data, expected, stored.place)
    if len(data) != expected:
        raise _disagree(stored, expected, f"{len(data)}, the number of stored bytes")
    return data


def _disagree(stored: Stored, expected: int, right: str) -> ModelError:
    return damaged(f"the dims {stored.dims} ask for {expected} bytes", stored.place, right)


def _inflate(data: memoryview, size: int, place: str) -> memoryview:
    machine = zlib.decompressobj()
    try:
        result = machine.decompress(data, size + 1)
    except zlib.error:
        raise damaged("a deflated chunk is damaged", place) from None
    if len(result) != size or not machine.eof or machine.unused_data:
        raise damaged("a deflated chunk holds another number of bytes", place, str(size))
    return memoryview(result)


# The global heap (HDF5 file format specification 3.0, section III.E): strings and sequences of any length.

_HEAD = 16


class Heap:
    """Heap collections of a file, each read once."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._collections: dict[int, dict[int, memoryview]] = {}

    def sequence(self, data: memoryview, item: int, place: str) -> memoryview:
        """The bytes that a sequence of variable length refers to.

        Args:
            data: the 16 bytes in the value: count, address of a collection, index in it.
            item: bytes of one element.
            place: for messages.

        Raises:
            ModelError: VF2002 when there is no such object, or it has another length.
        """
        cursor = Cursor(data, 0, len(data), "a sequence")
        count, address, index = cursor.uint(4), cursor.uint(8), cursor.uint(4)
        if count == 0:
            return data[:0]
        collection = self._collection(address)
        if index not in collection:
            raise damaged(f"the heap has no object {index}", place)
        if len(collection[index]) != count * item:
            raise damaged(f"a sequence of {count} elements has {len(collection[index])} bytes", place)
        return collection[index]

    def _collection(self, address: int) -> dict[int, memoryview]:
        if address not in self._collections:
            self._collections[address] = _read(self._file, address)
        return self._collections[address]


def _read(file: File, address: int) -> dict[int, memoryview]:
    cursor = file.cursor(address, _HEAD, "a heap collection")
    cursor.expect(b"GCOL\x01\0\0\0", "a heap collection")
    size = cursor.uint(8)
    cursor = file.cursor(address, size, "a heap collection")
    cursor.take(min(_HEAD, size))
    objects: dict[int, memoryview] = {}
    while cursor.left >= _HEAD:
        index, references = cursor.uint(2), cursor.uint(2)
        reserved, length = cursor.uint(4), cursor.uint(8)
        if index == 0:
            break
        if index in objects or references > 1 or reserved:
            raise damaged("an object of a heap collection is damaged", cursor.place)
        objects[index] = cursor.take(length)
        cursor.take(min(-length % 8, cursor.left))
    return objects
