"""A strict reader of NPZ files: plain number arrays, no pickle, every size checked before memory is taken.

An NPZ file is a ZIP of NPY members. The NPY format is that of NumPy Enhancement Proposal 1: a magic word, a
version, the length of a header, the header (a Python dictionary as text, read here by pattern and never
evaluated), and the numbers.
"""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import DataError
from verifluxa.files import NotAFileError, open_file

MAX_FILE = 2**30
"""Bytes of a data file."""
MAX_ARRAY = 2**30
"""Bytes of one array, unpacked."""
MAX_MEMBERS = 256
MAX_DIRECTORY = 2**16
"""Bytes of the ZIP's table of contents."""
MAX_HEADER = 4096
MAX_AXES = 8

_DAMAGED = (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zlib.error)
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>=|]?)([a-zA-Z])(\d+)['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([0-9L,\s]*)\)""")
_WIDTHS = {"u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8)}


@dataclass(frozen=True)
class Header:
    """What an NPY header says: the type of a number, the shape, and which axis runs fastest."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class Npz:
    """The arrays of an NPZ file, by name; each is read when it is asked for."""

    def __init__(self, content: bytes, path: str) -> None:
        """Opens the file.

        Args:
            content: its bytes.
            path: its name, for messages.

        Raises:
            DataError: VF3004 when this is no sound ZIP, VF3006 when it has too many members.
        """
        self._path = path
        _bounded_directory(content, path)
        try:
            self._zip = ZipFile(BytesIO(content))
        except _DAMAGED as error:
            raise damaged(path, str(error)) from None
        self._members = self._named()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays, in the order of the file."""
        return tuple(self._members)

    def array(self, name: str) -> NDArray[np.generic]:
        """One array.

        Raises:
            DataError: VF3004 when it is damaged, VF3005 when it holds anything but plain numbers, VF3006
                when it is too large or its sizes contradict each other.
        """
        place = f"{self._path}: {name}"
        try:
            with self._zip.open(self._members[name]) as stream:
                header = read_header(stream, place)
                numbers = stream.read(header.size + 1)
        except _DAMAGED as error:
            raise damaged(place, str(error)) from None
        if len(numbers) != header.size:
            raise _too_large(place, "the member is not as long as its header says")
        order: Literal["C", "F"] = "F" if header.fortran else "C"
        flat: NDArray[np.generic] = np.frombuffer(numbers, header.dtype)
        return flat.reshape(header.shape, order=order)

    def _named(self) -> Mapping[str, ZipInfo]:
        found: dict[str, ZipInfo] = {}
        for info in self._zip.infolist():
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            if name in found:
                raise damaged(f"{self._path}: {name}", "two arrays have this name")
            if info.flag_bits & 1 or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise damaged(f"{self._path}: {name}", "it is encrypted, or packed in a way that NPZ does not use")
            found[name] = info
        return found


def read_bytes(path: str) -> bytes:
    """The bytes of a data file.

    Raises:
        DataError: VF3001 when there is no such regular file or it cannot be read, VF3002 when it is too large.
    """
    try:
        with open_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size <= MAX_FILE:
                # Python sets aside as much as is asked for, so ask for what the file says it has.
                return stream.read(size)
    except NotAFileError:
        raise DataError(
            "VF3001",
            "this is not a file",
            place=path,
            expected="an NPZ file, JSON lines, a CSV table, or PNG pictures in a ZIP file",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(
            "VF3001",
            f"the data cannot be read: {reason}",
            place=path,
            remedy="check the path; `verify --data NAME=FILE` takes another file than the spec's",
        ) from None
    raise DataError(
        "VF3002",
        f"the data file is larger than {MAX_FILE:,} bytes",
        place=path,
        remedy="write the part that you want to verify into a file of its own",
    )


def read_header(stream: IO[bytes], place: str) -> Header:
    """The header of an NPY member; the stream then stands at the numbers.

    Raises:
        DataError: VF3004 when it is no NPY header, VF3005 for objects and other types, VF3006 when it is too large.
    """
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise damaged(place, "this is no NPY array")
    length = int.from_bytes(stream.read(2 if start[6] == 1 else 4), "little")
    if length > MAX_HEADER:
        raise _too_large(place, f"its header has {length:,} bytes")
    text = stream.read(length).decode("latin-1")
    header = Header(_dtype(text, place), _shape(text, place), _order(text, place))
    if header.size > MAX_ARRAY:
        raise _too_large(place, f"its header says shape {header.shape}")
    return header


def damaged(place: str, reason: str) -> DataError:
    """VF3004: this is no sound NPZ file."""
    return DataError(
        "VF3004",
        f"this is not a sound NPZ file: {reason}",
        place=place,
        expected="an NPZ file, as `numpy.savez` or Julia's NPZ.jl writes it",
        remedy="write it again, or check that it was copied whole",
    )


def _bounded_directory(content: bytes, path: str) -> None:
    """Checks the end record of the ZIP, before a library trusts its counts."""
    end = content.rfind(b"PK\x05\x06", max(0, len(content) - 22 - 2**16))
    record = content[end : end + 22]
    if end < 0 or len(record) < 22:
        raise damaged(path, "it does not end as a ZIP file does")
    members, directory = int.from_bytes(record[10:12], "little"), int.from_bytes(record[12:16], "little")
    if members > MAX_MEMBERS or directory > MAX_DIRECTORY or content[max(0, end - 20) :].startswith(b"PK\x06\x07"):
        raise _too_large(path, f"its table of contents lists {members:,} members")


def _dtype(text: str, place: str) -> np.dtype[np.generic]:
    match = _DESCR.search(text)
    kind, width = (match.group(2), int(match.group(3))) if match is not None else ("", 0)
    if match is None or kind == "O" or width not in _WIDTHS.get(kind, ()):
        raise DataError(
            "VF3005",
            "this array does not hold plain numbers" if kind != "O" else "this array holds pickled Python objects",
            place=place,
            expected="whole numbers or floats, such as uint8 or float32",
            remedy="objects can run code when they are read, so they are refused: save plain arrays",
        )
    return np.dtype(f"{match.group(1) or '='}{kind}{width}")


def _shape(text: str, place: str) -> tuple[int, ...]:
    match = _SHAPE.search(text)
    if match is None or len(match.group(1)) > 200:
        raise damaged(place, "its header gives no shape")
    shape = tuple(int(size) for size in re.findall(r"\d+", match.group(1)))
    if len(shape) > MAX_AXES:
        raise _too_large(place, f"its header says shape {shape}")
    return shape


def _order(text: str, place: str) -> bool:
    match = _ORDER.search(text)
    if match is None:
        raise damaged(place, "its header gives no order")
    return match.group(1) == "True"


def _too_large(place: str, what: str) -> DataError:
    return DataError(
        "VF3006",
        f"the data is too large, or not what it says: {what}",
        place=place,
        expected=f"at most {MAX_MEMBERS} arrays, each of at most {MAX_ARRAY:,} bytes",
        remedy="write the part that you want to verify into a file of its own",
    )
