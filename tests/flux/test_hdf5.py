"""The HDF5 part of JLD2: what is read, and what is refused although its checksum is right."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tests.flux.writer import BASE, FILL, FLOAT, INT, LINK_INFO, REFERENCE, SCALAR, Message, Writer, floats, link, space
from verifluxa.errors import ModelError
from verifluxa.flux.hdf5 import lookup3
from verifluxa.flux.jld2 import read_jld2
from verifluxa.flux.limits import DEPTH
from verifluxa.flux.values import List


def _value(writer: Writer, address: int) -> object:
    contents = read_jld2(writer.file(writer.group({"W": address})))
    return contents.variables[0].read()


def _read_all(data: bytes) -> list[object]:
    return [variable.read() for variable in read_jld2(data).variables]


def _refused(data: bytes) -> str:
    with pytest.raises(ModelError) as error:
        _read_all(data)
    return error.value.code


def test_the_checksum_is_the_published_one() -> None:
    # From the self-test of Bob Jenkins' lookup3.c.
    assert lookup3(b"Four score and seven years ago") == 0x17770551
    assert lookup3(b"") == 0xDEADBEEF


def test_an_array_comes_in_julias_order_of_axes() -> None:
    writer = Writer()
    value = _value(writer, writer.dataset((5, 4), FLOAT, floats(20)))
    assert isinstance(value, np.ndarray)
    assert value.shape == (4, 5)
    # The first axis runs fastest in the file.
    assert value[:, 0].tolist() == [0.25, 0.5, 0.75, 1.0]


def test_groups_give_paths_and_scalars_give_numbers() -> None:
    writer = Writer()
    number = writer.object(FILL, (1, 0, SCALAR), (3, 1, INT), (8, 0, b"\x04\x00\x08\x00" + struct.pack("<q", -3)))
    data = writer.file(writer.group({"a": writer.group({"b": number}), "c": number}))
    contents = read_jld2(data)
    assert contents.julia_version == "1.10.4"
    assert {variable.name: variable.read() for variable in contents.variables} == {"a/b": -3, "c": -3}


def test_a_header_goes_on_in_other_blocks() -> None:
    writer = Writer()
    target = writer.dataset((2,), FLOAT, floats(2))
    kind, flags, content = link("late", target)
    body = struct.pack("<BHB", kind, len(content), flags) + content
    block = b"OCHK" + body
    block += struct.pack("<I", lookup3(block))
    address = writer.add(block)
    root = writer.object(LINK_INFO, link("early", target), (0x10, 0, struct.pack("<QQ", address, len(block))))
    assert [variable.name for variable in read_jld2(writer.file(root)).variables] == ["early", "late"]


def test_a_header_that_goes_on_in_itself_is_refused() -> None:
    writer = Writer()
    address = len(writer.body)
    body = struct.pack("<BHBQQ", 0x10, 16, 0, address, 28)
    block = b"OCHK" + body
    writer.add(block + struct.pack("<I", lookup3(block)))
    assert _refused(writer.file(writer.object(LINK_INFO, (0x10, 0, struct.pack("<QQ", address, 28))))) == "VF2002"


@dataclass(frozen=True)
class Chunk:
    """What a chunked layout says; the defaults are what JLD2 writes."""

    flags: int = 2
    dims: tuple[int, ...] | None = None
    index: int = 1
    mask: int = 0
    filter: int = 1
    size: int | None = None


def _deflated(dims: tuple[int, ...], data: bytes, chunk: Chunk = Chunk()) -> bytes:
    packed = zlib.compress(data)
    writer = Writer()
    address = writer.add(packed)
    sizes = (*(dims if chunk.dims is None else chunk.dims), 4)
    size = len(packed) if chunk.size is None else chunk.size
    layout = bytes([4, 2, chunk.flags, len(sizes), 8]) + struct.pack(f"<{len(sizes)}Q", *sizes)
    layout += struct.pack("<BQIQ", chunk.index, size, chunk.mask, address)
    pipeline = b"\x02\x01" + struct.pack("<HHHI", chunk.filter, 0, 1, 5)
    array = writer.object(FILL, space(dims), (3, 1, FLOAT), (0x0B, 0, pipeline), (8, 0, layout))
    return writer.file(writer.group({"W": array}))


def test_a_deflated_array_is_read() -> None:
    (variable,) = read_jld2(_deflated((3, 2), floats(6))).variables
    value = variable.read()
    assert isinstance(value, np.ndarray)
    assert value.shape == (2, 3)


@pytest.mark.parametrize(
    "data",
    [
        _deflated((3, 2), floats(6), Chunk(flags=0)),
        _deflated((3, 2), floats(6), Chunk(dims=(3, 1))),
        _deflated((3, 2), floats(6), Chunk(index=2)),
        _deflated((3, 2), floats(6), Chunk(mask=1)),
        _deflated((3, 2), floats(6), Chunk(filter=2)),
        _deflated((3, 2), floats(6), Chunk(filter=32000)),
        _deflated((3, 2), floats(6), Chunk(size=3)),
        _deflated((3, 2), floats(5)),
        _deflated((3, 2), floats(7)),
        _deflated((2**40, 2**20), floats(6)),
    ],
    ids=["flags", "chunk", "index", "mask", "shuffle", "lzf", "cut", "short", "long", "dims"],
)
def test_another_chunk_or_filter_is_refused(data: bytes) -> None:
    assert _refused(data) in ("VF2002", "VF2003")


def test_a_small_file_does_not_inflate_without_end() -> None:
    size = 20_000_000
    packed = zlib.compress(bytes(4 * size))
    assert len(packed) < 100_000
    assert _refused(_deflated((size,), bytes(4 * size))) == "VF2004"


def _links(message: Message) -> bytes:
    writer = Writer()
    return writer.file(writer.object(LINK_INFO, message))


def _layout(layout: bytes) -> bytes:
    writer = Writer()
    array = writer.object(FILL, space((2,)), (3, 1, FLOAT), (8, 0, layout))
    return writer.file(writer.group({"W": array}))


def _with(extra: Message) -> bytes:
    writer = Writer()
    layout = b"\x04\x01" + struct.pack("<QQ", writer.add(floats(2)), 8)
    array = writer.object(FILL, space((2,)), (3, 1, FLOAT), (8, 0, layout), extra)
    return writer.file(writer.group({"W": array}))


def _typed(datatype: bytes, size: int) -> bytes:
    writer = Writer()
    return writer.file(writer.group({"W": writer.dataset((2,), datatype, bytes(2 * size))}))


def _big_endian() -> bytes:
    return bytes.fromhex("31211f00") + FLOAT[4:]


FOREIGN: dict[str, Callable[[], bytes]] = {
    "soft link": lambda: _links((6, 0, b"\x01\x18\x01\x01\x01W" + struct.pack("<H", 6) + b"/other")),
    "external link": lambda: _links((6, 0, b"\x01\x18\x40\x01\x01W" + struct.pack("<H", 9) + b"\0a.h5\0/W\0")),
    "link version": lambda: _links((6, 0, b"\x02\x10\x01\x01W" + bytes(8))),
    "links in a heap": lambda: _links((2, 0, b"\0\0" + bytes(16))),
    "symbol table": lambda: _with((0x11, 0, bytes(16))),
    "external storage": lambda: _with((0x07, 0, bytes(16))),
    "dense attributes": lambda: _with((0x15, 0, bytes(18))),
    "unknown message": lambda: _with((0x77, 0, b"")),
    "shared dataspace": lambda: _with((0x0C, 2, bytes(12))),
    "virtual layout": lambda: _layout(b"\x04\x03" + bytes(12)),
    "old layout": lambda: _layout(b"\x03\x01" + bytes(16)),
    "no data": lambda: _layout(b"\x04\x01" + b"\xff" * 8 + struct.pack("<Q", 8)),
    "big-endian floats": lambda: _typed(_big_endian(), 4),
    "odd exponent": lambda: _typed(FLOAT[:-4] + b"\x7e\0\0\0", 4),
    "odd integer": lambda: _typed(bytes.fromhex("300800000800000000003f00"), 8),
    "three-byte integer": lambda: _typed(bytes.fromhex("300800000300000000001800"), 3),
    "old datatype": lambda: _typed(b"\x11" + FLOAT[1:], 4),
    "time": lambda: _typed(bytes.fromhex("3200000008000000") + b"\x40\0", 8),
    "enumeration": lambda: _typed(bytes.fromhex("3800000001000000"), 1),
    "region reference": lambda: _typed(bytes.fromhex("3701000008000000"), 8),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_hdf5_that_jld2_does_not_write_is_refused(name: str) -> None:
    assert _refused(FOREIGN[name]()) == "VF2003"


def _group_in_itself() -> bytes:
    writer = Writer()
    address = len(writer.body)
    writer.group({"again": address})
    return writer.file(writer.group({"model": address}))


def _deep_groups() -> bytes:
    writer = Writer()
    address = writer.dataset((2,), FLOAT, floats(2))
    for _ in range(DEPTH + 2):
        address = writer.group({"g": address})
    return writer.file(address)


def _chain_of_references(length: int) -> bytes:
    writer = Writer()
    address = writer.dataset((2,), FLOAT, floats(2))
    for _ in range(length):
        address = writer.dataset((1,), REFERENCE, struct.pack("<Q", address))
    return writer.file(writer.group({"W": address}))


def _members(*members: tuple[str, int, bytes], size: int = 8) -> bytes:
    body = b"".join(name.encode() + b"\0" + bytes([offset]) + datatype for name, offset, datatype in members)
    return b"\x36" + len(members).to_bytes(3, "little") + size.to_bytes(4, "little") + body


DAMAGED: dict[str, Callable[[], bytes]] = {
    "group in itself": _group_in_itself,
    "dims and data": lambda: _layout(b"\x04\x00" + struct.pack("<H", 4) + floats(1)),
    "layout past the end": lambda: _layout(b"\x04\x01" + struct.pack("<QQ", 10_000, 8)),
    "left over": lambda: _layout(b"\x04\x00" + struct.pack("<H", 8) + floats(2) + b"\0"),
    "overlapping members": lambda: _typed(_members(("a", 0, FLOAT), ("b", 2, FLOAT)), 8),
    "same member twice": lambda: _typed(_members(("a", 0, FLOAT), ("a", 4, FLOAT)), 8),
    "member past the end": lambda: _typed(_members(("1", 0, FLOAT), ("2", 6, FLOAT)), 8),
    "null reference": lambda: _typed(REFERENCE, 8),
    "end of file": lambda: Writer().file(48, end=10_000),
    "no root": lambda: Writer().file(48),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_behind_a_right_checksum_is_refused(name: str) -> None:
    assert _refused(DAMAGED[name]()) == "VF2002"


def test_depth_is_bounded() -> None:
    assert _refused(_deep_groups()) == "VF2004"
    assert _refused(_chain_of_references(DEPTH + 1)) == "VF2004"
    (variable,) = read_jld2(_chain_of_references(DEPTH // 2)).variables
    assert isinstance(variable.read(), List)


def test_every_single_bit_of_an_object_header_is_covered_by_its_checksum() -> None:
    writer = Writer()
    data = writer.file(writer.group({"W": writer.dataset((2,), FLOAT, floats(2))}))
    start = data.index(b"OHDR")
    for position in range(start, len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        assert _refused(bytes(changed)) in ("VF2002", "VF2003"), position - BASE
