"""Datatype messages (HDF5 file format specification 3.0, section IV.A.2.d), as far as JLD2 writes them.

Every bit is checked: a float that is not IEEE little-endian, an integer with padding bits, overlapping
members are all refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.flux.cursor import Cursor, damaged, foreign
from verifluxa.flux.limits import DEPTH, refuse_deep

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
