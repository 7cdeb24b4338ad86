"""Objects of a JLD2 file: groups of hard links, committed datatypes, datasets with their attributes."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

from verifluxa.errors import ModelError
from verifluxa.flux.cursor import Cursor, damaged, foreign
from verifluxa.flux.hdf5 import header
from verifluxa.flux.hdf5.datatype import Datatype, read_datatype
from verifluxa.flux.hdf5.header import File, Message, read_messages
from verifluxa.flux.limits import Budget

_MAX_RANK = 16
_FLAGS = {header.DATATYPE: (0x00, 0x01, 0x03, 0x40)}
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
    if header.LINK_INFO in kinds:
        return Object(address, _group(file, messages, kinds), None, None, attributes)
    several = [kind for kind in kinds if kind not in single and kind != header.ATTRIBUTE]
    if several or header.DATATYPE not in single or header.LINK in kinds or header.GROUP_INFO in kinds:
        raise damaged("an object is neither a group, a datatype nor a dataset", f"address {address}")
    rest = set(single) - {header.ATTRIBUTE, header.DATATYPE}
    if not rest:
        cursor = _cursor(file, single[header.DATATYPE])
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
    if set(kinds) - {header.LINK_INFO, header.GROUP_INFO, header.LINK} or kinds.count(header.LINK_INFO) != 1:
        raise foreign("a group with other messages than links", f"byte {messages[0].start}")
    links: dict[str, int] = {}
    for message in messages:
        cursor = _cursor(file, message)
        if message.kind == header.LINK:
            name, address = _link(cursor)
            if name in links:
                raise damaged(f"two links have the same name `{name}`", cursor.place)
            links[name] = address
        elif message.kind == header.LINK_INFO and bytes(cursor.take(cursor.left)) != b"\0\0" + b"\xff" * 16:
            raise foreign("a group that keeps its links in a heap", cursor.place)
        elif message.kind == header.GROUP_INFO and bytes(cursor.take(2)) not in _GROUP_INFO:
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
        if message.kind == header.ATTRIBUTE:
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
    needed = {header.FILL, header.DATASPACE, header.DATATYPE, header.LAYOUT}
    found = set(single) - {header.ATTRIBUTE, header.FILTERS}
    if found != needed:
        raise damaged("an object is neither a group, a datatype nor a dataset", place)
    if bytes(_cursor(file, single[header.FILL]).take(2)) != b"\x03\x09":
        raise foreign("a fill value", place, "none")
    message = single[header.DATATYPE]
    datatype = _datatype(_cursor(file, message), bool(message.flags & 2))
    dims = _dataspace(_cursor(file, single[header.DATASPACE]))
    deflated = header.FILTERS in single
    if deflated:
        _filters(_cursor(file, single[header.FILTERS]))
    layout = _cursor(file, single[header.LAYOUT])
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
    if address == header.UNDEFINED:
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
